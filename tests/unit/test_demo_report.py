"""What the demo prints fits a terminal, and stays whole in a file."""

import io

import pytest

from demo.report import Report, coins

HEAD = ("", "balance", "gas paid", "earned", "by the rules", "bound meanwhile")
ROWS = [("block producer", *[coins(-(10**18))] * 5), ("sum", *[coins(0)] * 5)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(out: io.StringIO) -> list[str]:
    report = Report(out, color=False)
    with report.scene("a", "a coupon code, 2-of-3; all deliver, everybody is paid") as scene:
        report.step("the buyer reads ABCD-EFGH, which the shop takes for half of its worth", 106)
        report.check(True, "beside gas the buyer has the price back and a penalty, to the wei")
        report.table(HEAD, ROWS)
        scene.outcome = f"3 parts, {coins(10**18)} paid"
    assert report.summary()
    return out.getvalue().splitlines()


def test_a_terminal_of_80_columns_is_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(Terminal())
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(text.count(title) == 1 for title in HEAD[1:])
    assert text.count(coins(-(10**18))) == 5
    assert "(a)         1" in text


def test_a_file_keeps_lines_whole() -> None:
    lines = printed(io.StringIO())
    [head] = [line for line in lines if "gas paid" in line]
    assert all(title in head for title in HEAD)
    assert any("everybody is paid  " in line for line in lines)
