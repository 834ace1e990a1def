"""What a daemon logs, and what it never does."""

import io
import json
import re

import pytest

from dam.log import configure_logging, get_logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    share = b"\x5e\xc2\xe7" * 11
    try:
        _fail(share)
    except ZeroDivisionError:
        get_logger("test").exception("internal_error")
    text = stream.getvalue()
    assert "ZeroDivisionError" in text
    assert "_fail" in text
    assert "5ec2e7" not in text
    assert repr(share)[2:20] not in text


def _fail(share: bytes) -> float:
    secret = share.hex()
    return len(secret) / 0


def test_json_lines_carry_the_event_and_bytes_as_hex() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_logger("test").info("sealed", copy_id=b"\x01\xff")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["copy_id"]) == ("sealed", "info", "0x01ff")


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Terminal:
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    configure_logging(stream=stream)
    return stream


ADDRESS, HASH = "0x" + "aB" * 20, "0x" + "cd" * 32


def test_a_terminal_has_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns, no word cut; addresses shorten where nobody has to act on them."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = on_terminal(monkeypatch)
    log = get_logger("dam.daemon")
    log.info("serving", seller=ADDRESS, copy_id=bytes.fromhex(HASH[2:]), parts=[1, 2, 3], block=7)
    log.error("no_balance", account=ADDRESS, reason="the node says that it is too little " * 3)
    shown = stream.getvalue()
    assert "\x1b[" in shown
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80, text
    assert re.match(r"\d\d:\d\d:\d\d serving seller=0xaBaBaBaB..aBaB copy_id=0xcdcd", lines[0])
    assert f"copy_id={HASH[:18]}.." in text
    assert f"account={ADDRESS}" in text
    assert " error no_balance " in text
    assert "          -> send coins to `account`; it goes on by itself" in lines
    assert "the node says that it is too little" in " ".join(text.split())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_plain_terminal_gets_no_escapes(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = on_terminal(monkeypatch)
    get_logger("x").error("hostile", text="a\x1b[2Jb\u202e", next_step="none")
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()
    assert "a\\x1b[2Jb" in stream.getvalue()


class Broken(Terminal):
    """A disk that is full, a pipe that nobody reads, a letter that is not there."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        if isinstance(self.error, UnicodeEncodeError) and text.isascii():
            return super().write(text)
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        BrokenPipeError(32, "Broken pipe"),
        ValueError("I/O operation on closed file"),
        UnicodeEncodeError("latin-1", "x", 0, 1, "no such letter"),
    ],
)
def test_a_line_that_nobody_takes_stops_no_daemon(error: Exception) -> None:
    stream = Broken(error)
    configure_logging(stream=stream)
    get_logger("x").error("store_refused", name="文字")
    if isinstance(error, UnicodeEncodeError):
        assert "store_refused" in stream.getvalue()


def test_a_closed_standard_error_stops_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    configure_logging()
    get_logger("x").error("store_refused")
