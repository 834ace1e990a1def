"""People count copies and parts from 1, wherever they read or type them; programs from 0."""

from __future__ import annotations

import io
import json
import sqlite3
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dam.catalog.store import Item
from dam.cli import arbiter, sale_views
from dam.cli.buyer import commands
from dam.cli.buyer import open as opened
from dam.cli.errors import refusal_text
from dam.cli.main import main
from dam.cli.seller.publish import _Copies
from dam.crypto.hashing import catalogue_commitment
from dam.errors import ContractReverted, Malformed, Permanent
from dam.ethereum.erc20 import Tokens
from dam.log import configure_logging, get_logger
from dam.market.sale_history import SaleHistory
from dam.roles.arbiter import Case, CaseFile
from dam.roles.buyer.buying import _prove
from dam.roles.buyer.opening import ArrivedParts, Junk, Sifted
from dam.roles.seller.listings import leaf_and_share
from dam.testing.rules import deadlines
from dam.types import Clock, Deployment, Status, StoreVersion, Windows
from tests.unit.helpers.records import time_of
from tests.unit.helpers.shop import Shop


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_the_daemons_console_counts_from_one_and_json_keeps_indexes(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    log = get_logger("test")
    log.info("confirmed", index=0)
    log.info("serving", parts=[0, 2], copy=4)
    log.info("sending", parts=2)
    first, second, third = stream.getvalue().splitlines()
    if stream.isatty():
        for line, words in ((first, "part"), (second, "parts"), (second, "copy"), (third, "parts")):
            assert words in line
        assert "index" not in first
        assert "1" in first.rpartition("part")[2]
        assert "[1, 3]" in second
        assert "5" in second.rpartition("copy")[2]
        assert "2" in third.rpartition("parts")[2]
    else:
        assert json.loads(first)["index"] == 0
        assert (json.loads(second)["parts"], json.loads(second)["copy"]) == ([0, 2], 4)
        assert json.loads(third)["parts"] == 2


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("AlreadyDelivered", {"index": 0}, "part 1 is"),
        ("PartNotInItem", {"index": 1}, "part 2 as"),
        ("CopyTaken", {"copy": 0}, "copy 1 is"),
        ("CopyBeyondSupply", {"supply": 3, "copy": 3}, "3 copies only; copy 4 is"),
    ],
)
def test_refusals_count_from_one(name: str, arguments: dict[str, Any], words: str) -> None:
    assert words in refusal_text(ContractReverted(name, arguments))


def test_there_is_no_copy_zero_to_buy() -> None:
    seller = "0x" + "11" * 20
    result = CliRunner().invoke(main, ["buyer", "buy", seller, "thing", "--copy", "0"])
    assert result.exit_code == 2


def test_lists_of_sales_count_from_one_and_json_keeps_indexes(make: Any, windows: Windows) -> None:
    [sale] = SaleHistory([make.purchase(10, copy=0)]).sales.values()
    times, clock = deadlines(sale.purchase, sale.status, 0, windows), Clock(20, time_of(20))
    assert commands._purchase_row(sale, None, times, clock, Tokens())[2] == 1
    assert sale_views.sale_json(sale, times, clock)["copy"] == 0
    file = CaseFile(Case(sale, None), "", (), None)
    times = deadlines(sale.purchase, Status.DISPUTED, 0, windows)
    assert "copy 1\n" in arbiter._case_text(file, times, clock, Tokens())


def test_parts_that_arrive_count_from_one(
    make: Any, windows: Windows, capsys: pytest.CaptureFixture[str]
) -> None:
    [sale] = SaleHistory([make.purchase(10)]).sales.values()
    sale.fragments.append(make.delivery(sale.purchase, 0, 12))
    own: Any = SimpleNamespace(sale=sale)
    opened._News().show(ArrivedParts(own, Sifted((), (Junk(sale.fragments[0], "noise"),)), None))
    assert "block 12: part 1 delivered by" in capsys.readouterr().err


def test_a_wait_says_once_that_it_waits_and_until_when(
    make: Any, windows: Windows, capsys: pytest.CaptureFixture[str]
) -> None:
    [sale] = SaleHistory([make.purchase(10)]).sales.values()
    own: Any = SimpleNamespace(sale=sale)
    times = deadlines(sale.purchase, sale.status, 0, windows)
    news = opened._News()
    for _ in range(2):
        news.show(ArrivedParts(own, Sifted((), ()), times))
    told = capsys.readouterr().err
    assert told.count("Waiting for parts until 20") == 1
    assert "the money can be had back" in " ".join(told.split())


async def test_errors_count_from_one(make: Any, deployment: Deployment, shop: Shop) -> None:
    version = StoreVersion(make.seller, bytes(32), bytes(32), make.at(1))

    class Sold:
        async def standing(self, _: str, copies: list[bytes]) -> Any:
            sold = SimpleNamespace(status=Status.PURCHASED)
            current = version.digest, catalogue_commitment(version.digest, version.root)
            return current, 10**20, [sold for _ in copies]

    market: Any = Sold()
    index: Any = SimpleNamespace(db=sqlite3.connect(":memory:"))
    thing = Item("thing", "thing", make.terms(supply=3), b"{}", ())
    offer: Any = SimpleNamespace(version=version, item=thing, taken={0})
    with pytest.raises(Permanent, match="3 copies, so no copy 4"):
        await _prove(index, market, offer, 3, [])
    with pytest.raises(Permanent, match="copy 1 is sold"):
        await _prove(index, market, offer, 0, [])
    with pytest.raises(Permanent, match="'thing' is sold out"):  # both others are, by the chain
        await _prove(index, market, offer, None, [])
    listing = await shop.stock("code", [b"a", b"b"])
    with pytest.raises(Malformed, match="no copy 3"):
        listing.payload(2)
    with pytest.raises(Malformed, match="no part 4"):
        leaf_and_share(shop.seed, listing, 0, 3)
    _, store = await shop.publish()
    with pytest.raises(Malformed, match="no copy 3"):
        store.items[0].payload(2)


def test_codes_to_withdraw_are_counted_from_one() -> None:
    kind = _Copies()
    assert kind.convert("1", None, None) == range(1)
    assert kind.convert("3-7", None, None) == range(2, 7)
    for text in ("0", "-1", "7-3", "1-", "1,2", "x", "\u0661", "1-999999999", "9" * 40):
        with pytest.raises(click.BadParameter, match="neither a copy"):
            kind.convert(text, None, None)
