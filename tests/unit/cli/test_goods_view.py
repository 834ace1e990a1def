"""What `publish` shows of the goods before it asks; no code whole, wherever it is shown."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from dam.cli.seller import publish
from dam.cli.seller.goods_view import goods_text, masked
from dam.crypto.hashing import checksum
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.market.deliverers import Candidate, Registration
from dam.roles.seller import publishing
from dam.roles.seller.deliverer_choice import pick_deliverers
from dam.roles.seller.drafted import ItemDraft
from dam.roles.seller.store_changes import Change
from dam.roles.seller.store_file import read_folder, read_store_file
from dam.roles.seller.versions import Base, Versions
from dam.types import Wei, Windows


def draft(folder: Path, good: str) -> ItemDraft:
    (folder / "s.toml").write_text(
        f'[store]\nname = "T"\n[[items]]\nid = "x"\nprice = "1 ether"\n{good}\n'
    )
    return read_store_file(folder / "s.toml").items[0]


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        (
            ["KEY-AAAA-0001", "K-2", "KEY-AAAA-0003"],
            "3 codes of 3 to 13 characters, the first KE…01, the last KE…03",
        ),
        (["KEY-AAAA-0001"], "1 code of 13 characters, KE…01"),
        (
            ["1234567890123456789012345", "2234567890123456789012346"],
            "2 codes of 25 characters, the first 123…345, the last 223…346",
        ),
        (["abcd"], "1 code of 4 characters, …"),
        (
            [f"KEY-{n:04}" for n in range(1500)],
            "1,500 codes of 8 characters, the first K…0, the last K…9",
        ),
    ],
)
def test_codes(tmp_path: Path, codes: list[str], text: str) -> None:
    (tmp_path / "c.txt").write_text("\n".join(codes))
    assert goods_text(draft(tmp_path, 'codes_file = "c.txt"')) == f"x: {text}"


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1 byte"), (999, "999 bytes"), (1500, "1.5 kB"), (2_350_000, "2.4 MB")]
)
def test_files_with_their_sizes(tmp_path: Path, size: int, text: str) -> None:
    (tmp_path / "本.pdf").write_bytes(bytes(size))
    assert goods_text(draft(tmp_path, 'file = "本.pdf"')) == f"x: 本.pdf, {text}"


def test_texts(tmp_path: Path) -> None:
    assert goods_text(draft(tmp_path, 'text = "é"')) == "x: a text of 2 bytes"


@pytest.mark.parametrize("size", range(1, 60))
def test_a_mask_keeps_more_than_half(size: int) -> None:
    code = "".join(chr(ord("A") + n % 26) for n in range(size))
    assert len(masked(code)) - 1 <= min(6, 2 * size / 5)


def test_a_mask_steers_no_terminal() -> None:
    assert masked("\x1b[31m0123456789").isprintable()


WINDOWS = Windows(3600, 2400, 1800, 9600, 1200, 1200, Wei(10), Wei(10), Wei(5))


def newcomers(count: int) -> list[Candidate]:
    found = []
    for number in range(1, count + 1):
        who = checksum(bytes([number]) * 20)
        registration = Registration(who, who, bytes([number]) * 32, 1, 1)
        found.append(Candidate(registration, Wei(1000), 0, Wei(0), 0))
    return found


async def test_publish_shows_goods_and_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "book.pdf").write_bytes(bytes(1500))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "secret").symlink_to("/etc/passwd")
    store = read_folder(tmp_path, name="shelf", overrides={"price": "1 ether"})
    changes = [Change("new", None, item) for item in store.items]
    choice = pick_deliverers(newcomers(3), 3, 2, WINDOWS, random.Random(1), fee=1)
    for name, value in {
        "read_history": AsyncMock(),
        "plan_changes": AsyncMock(return_value=changes),
        "read_pool": AsyncMock(return_value={}),
        "choose_deliverers": Mock(return_value=[choice]),
        "fees_open": Mock(return_value={}),
        "gas_price_of": AsyncMock(return_value=1),
        "warnings": Mock(return_value=["a hint"]),
        "_check_stake": AsyncMock(),
        "find_base": Mock(return_value=Base((bytes(32), bytes(32)), Versions())),
        "stored_name": Mock(return_value=""),
    }.items():
        monkeypatch.setattr(publishing, name, value)
    market: Any = AsyncMock(store=AsyncMock(return_value=(bytes(32), b"")))
    shop: Any = SimpleNamespace(seller="0x", catalogue=None)
    plan = await publishing.plan_publication(market, shop, store)
    publish._show(plan, Tokens(), governed=True)
    shown = capsys.readouterr().err
    assert "book.pdf: book.pdf, 1.5 kB\n" in shown
    assert "Note: left out: .DS_Store (hidden)\n" in shown
    assert "Note: left out: secret (a symbolic link)\n" in shown
    assert "Note: a hint" in shown
    told = " ".join(shown.split())
    assert "0 of its 3 deliverers are established; the 2 that open it together have" in told
    assert plan.bootstrap == ("book.pdf",)
    with pytest.raises(Permanent, match="--yes"):
        publish._bootstrap(plan, yes=False)
    publish._bootstrap(plan, yes=True)
    assert "BOOTSTRAP: this market has too few established" in capsys.readouterr().err
