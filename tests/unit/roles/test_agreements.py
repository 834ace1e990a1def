"""Offers to end a sale: their making, their files as hostile input, and their acceptance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from dam.crypto.hashing import copy_id, keccak, sale_hash, sale_of
from dam.errors import Malformed, Permanent
from dam.ethereum.erc20 import Token, Tokens
from dam.keystore.ape_accounts import Signer
from dam.market.log_history import History
from dam.market.sale_history import SaleHistory
from dam.roles import agreements
from dam.roles.agreements import MAX_OFFER_BYTES, Offer, money_of, read_offer, write_offer
from dam.roles.new_files import check_new_file
from dam.testing.rules import deadlines
from dam.types import (
    Address,
    Clock,
    Deployment,
    DisputeOpened,
    SaleClosed,
    SaleState,
    Split,
    Status,
    Wei,
    Windows,
)
from tests.unit.helpers.records import time_of

BOUGHT = 1000
TOKENS = Tokens()


def signer(name: str) -> Signer:
    local = Account.from_key(keccak(name.encode()))
    return Signer(Address(local.address), local)


BUYER, SELLER, THIEF = map(signer, ("buyer", "seller", "thief"))


class Market:
    """The contract's views, from a replay of logs."""

    def __init__(self, deployment: Deployment, history: History) -> None:
        self.deployment, self.address = deployment, deployment.market
        self.history, self.code, self.rpc = history, "0x", self

    async def call(self, method: str, account: Address, tag: str) -> str:
        assert (method, tag) == ("eth_getCode", "latest")
        return self.code

    async def sale_states(self, copies: list[Any], *, block: int) -> list[SaleState]:
        assert block == self.history.head
        sales = [self.history.state.sales[copy] for copy in copies]
        return [SaleState(s.status, 0, s.since, False, False, bytes(24)) for s in sales]

    async def deadlines(self, bought: list[Any], *, block: int) -> list[Any]:
        assert block == self.history.head
        sales = [self.history.state.sales[one.copy_id] for one in bought]
        windows = self.deployment.windows
        return [deadlines(s.purchase, s.status, s.since, windows) for s in sales]

    def encode(self, *arguments: Any) -> bytes:
        self.sent = arguments
        return b"call"


class Wallet:
    def __init__(self, signer: Signer) -> None:
        self.address, self.sign_typed = signer.address, signer.sign_typed

    async def send(self, *arguments: Any, **_: Any) -> tuple[Any, ...]:
        return arguments


@pytest.fixture
def sold(make: Any) -> Any:
    bought = make.purchase(BOUGHT)
    identity = copy_id(SELLER.address, bought.terms.item_id, 0)
    return replace(bought, seller=SELLER.address, buyer=BUYER.address, copy_id=identity)


def market_at(
    deployment: Deployment, sold: Any, make: Any, block: int, *, parts: int = 3, dispute: int = 0
) -> Market:
    """The market as of a block; the first parts came one a block."""
    logs = [sold, *(make.delivery(sold, n, BOUGHT + 1 + n) for n in range(parts))]
    if dispute:
        arbitrator = sold.terms.arbitrator
        logs.append(
            DisputeOpened(sold.copy_id, BUYER.address, arbitrator, bytes(32), make.at(dispute))
        )
    history = History(logs, block, Clock(block, time_of(block)), SaleHistory(logs))
    return Market(deployment, history)


async def offer_of(
    market: Market, who: Signer = SELLER, by: agreements.Party = "seller", **changes: Any
) -> tuple[agreements.OfferPlan, Offer]:
    [sale] = market.history.state.sales.values()
    values: dict[str, Any] = {"to_buyer": "40%", "seconds": 600} | changes
    plan = await agreements.plan_offer(
        market, market.history, sale, TOKENS, by=by, address=who.address, **values
    )
    return plan, agreements.sign_offer(market, Wallet(who), plan)


async def accept(market: Market, offer: Offer, who: Signer = BUYER) -> agreements.Acceptance:
    return await agreements.plan_acceptance(market, market.history, offer, TOKENS, who.address)


async def test_an_offer_goes_through_a_file_and_is_carried_out(
    deployment: Deployment, sold: Any, make: Any, tmp_path: Path
) -> None:
    market = market_at(deployment, sold, make, 1010)
    plan, offer = await offer_of(market, penalty=30)
    assert plan.split == Split(400, 30, 0, time_of(1010) + 601)
    path = tmp_path / "offer.json"
    write_offer(path, offer)
    assert read_offer(path) == offer
    with pytest.raises(Permanent, match="there already"):
        write_offer(path, offer)
    plan_of_buyer = await accept(market, read_offer(path))
    assert plan_of_buyer.money == plan.money
    await agreements.accept_offer(market, Wallet(BUYER), plan_of_buyer)
    function, identity, sale, _, split, theirs, ours = market.sent
    assert (function, identity, sale, split) == (
        "agree", sold.copy_id, sale_of(sold), plan.split,
    )  # fmt: skip
    assert (theirs, ours) == (b"", offer.signature)


def test_a_name_that_cannot_be_written_is_refused_before_the_signature(tmp_path: Path) -> None:
    taken, link, missing = tmp_path / "taken", tmp_path / "link", tmp_path / "missing"
    taken.write_text("an older offer")
    link.symlink_to(missing)
    for path, text in (
        (taken, "there already"),
        (link, "there already"),
        (missing / "x", "no fol"),
    ):
        with pytest.raises(Permanent, match=text):
            check_new_file(path)
    check_new_file(missing)


async def test_a_buyers_offer_is_the_sellers_to_accept(
    deployment: Deployment, sold: Any, make: Any
) -> None:
    market = market_at(deployment, sold, make, 1010)
    _, offer = await offer_of(market, BUYER, "buyer")
    plan = await accept(market, offer, SELLER)
    assert plan.party == "seller"
    await agreements.accept_offer(market, Wallet(SELLER), plan)
    assert market.sent[-2:] == (offer.signature, b"")
    for who in (BUYER, THIEF):
        with pytest.raises(Permanent, match="not the seller"):
            await accept(market, offer, who)


async def test_only_the_sides_offer(deployment: Deployment, sold: Any, make: Any) -> None:
    market = market_at(deployment, sold, make, 1010)
    for by in agreements.PARTIES:
        with pytest.raises(Permanent, match=f"not the {by}"):
            await offer_of(market, THIEF, by)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"to_buyer": "1001"}, "more than the price"),
        ({"penalty": 101}, "the penalty of the sale is 100 wei"),
        ({"to_arbitrator": 1}, "in a dispute alone"),
    ],
)
async def test_a_split_that_the_contract_refuses(
    deployment: Deployment, sold: Any, make: Any, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(Permanent, match=why):
        await offer_of(market_at(deployment, sold, make, 1010), **changes)


async def test_the_arbitrators_part_in_a_dispute(
    deployment: Deployment, sold: Any, make: Any, windows: Windows
) -> None:
    """Nothing at first; a bond at least from a third of the time on; both at most."""
    third = windows.arbitration_seconds // 3
    early = market_at(deployment, sold, make, 1110, dispute=1105)
    plan, _ = await offer_of(early, seconds=10**6)
    greedy = replace(plan, split=replace(plan.split, deadline=2**40))
    offer = agreements.sign_offer(early, Wallet(SELLER), greedy)
    # After that it would have to pay the arbitrator, and the contract would refuse it.
    assert (plan.split.to_arbitrator, plan.split.deadline) == (0, time_of(1105) + third - 1)
    plan, _ = await offer_of(early, seconds=10**6, to_arbitrator=100)
    assert plan.split.deadline == time_of(1105) + windows.arbitration_seconds
    with pytest.raises(Permanent, match="both bonds at most: 100 wei"):
        await offer_of(early, to_arbitrator=101)

    just_before = market_at(deployment, sold, make, 1110, dispute=1105)
    last = Clock(1155, time_of(1105) + third - 2)
    just_before.history = replace(just_before.history, clock=last)
    assert await accept(just_before, offer)
    at_third = market_at(deployment, sold, make, 1105 + third // 12, dispute=1105)
    with pytest.raises(Permanent, match="at least a bond of 50 wei"):
        await accept(at_third, offer)
    with pytest.raises(Permanent, match="at least a bond of 50 wei"):
        await offer_of(at_third, to_arbitrator=49)
    plan, offer = await offer_of(at_third)
    assert plan.split.to_arbitrator == 50
    assert await accept(at_third, offer)
    over = market_at(deployment, sold, make, 1105 + windows.arbitration_seconds // 12, dispute=1105)
    greedy = replace(plan, split=replace(plan.split, deadline=2**40))
    offer = agreements.sign_offer(at_third, Wallet(SELLER), greedy)
    with pytest.raises(Permanent, match="time to rule is over"):
        await accept(over, offer)


async def test_an_old_offer_is_no_option(deployment: Deployment, sold: Any, make: Any) -> None:
    """It dies with the state that it was made in, and the refusal says so."""
    _, waiting = await offer_of(market_at(deployment, sold, make, 1110, parts=1))
    complete = market_at(deployment, sold, make, 1112, parts=2)
    with pytest.raises(Permanent, match=r"was purchased since .* it is complete since .* new one"):
        await accept(complete, waiting)
    _, offer = await offer_of(complete)
    with pytest.raises(Permanent, match=r"was complete since .* it is complete since"):
        await accept(market_at(deployment, sold, make, 1112, parts=3), offer)
    with pytest.raises(Permanent, match=r"was complete since .* it is disputed since"):
        await accept(market_at(deployment, sold, make, 1115, parts=2, dispute=1113), offer)
    over = market_at(deployment, sold, make, 1112, parts=2)
    end = SaleClosed(sold.copy_id, Status.AGREED, BUYER.address, 0, Wei(0), make.at(1111))
    over.history.state.add(end)
    with pytest.raises(Permanent, match="the sale has ended: it is agreed"):
        await accept(over, offer)


async def test_a_deadline_and_the_gate(deployment: Deployment, sold: Any, make: Any) -> None:
    market = market_at(deployment, sold, make, 1010, parts=2)
    _, offer = await offer_of(market, seconds=3000)
    with pytest.raises(Permanent, match="from block 1101 on"):
        await accept(market, offer)
    assert await accept(market_at(deployment, sold, make, 1100, parts=2), offer)
    last = offer.split.deadline
    late = market_at(deployment, sold, make, 1100, parts=2)
    late.history = replace(late.history, clock=Clock(1300, last - 1))
    assert await accept(late, offer)
    late.history = replace(late.history, clock=Clock(1300, last))
    with pytest.raises(Permanent, match="the offer held until"):
        await accept(late, offer)


@pytest.mark.parametrize(
    "changes",
    [
        {"split": Split(401, 30, 0, time_of(1010) + 601)},
        {"signature": bytes(65)},
        {"signature": b"\x01" * 64},
        {"by": "buyer"},
    ],
)
async def test_a_signature_is_checked_against_its_maker(
    deployment: Deployment, sold: Any, make: Any, changes: dict[str, Any]
) -> None:
    market = market_at(deployment, sold, make, 1010)
    _, offer = await offer_of(market, penalty=30)
    forged, who = replace(offer, **changes), SELLER if "by" in changes else BUYER
    with pytest.raises(Permanent, match="not signed by the"):
        await accept(market, forged, who)
    # A contract's signature is the contract's to judge.
    market.code = "0x00"
    assert await accept(market, forged, who)


async def test_a_high_s_is_nobodys(deployment: Deployment, sold: Any, make: Any) -> None:
    market = market_at(deployment, sold, make, 1010)
    _, offer = await offer_of(market)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    r, s, v = offer.signature[:32], offer.signature[32:64], offer.signature[64]
    high = (order - int.from_bytes(s, "big")).to_bytes(32, "big")
    with pytest.raises(Permanent, match="not signed by"):
        await accept(market, replace(offer, signature=r + high + bytes([55 - v])))


async def test_other_chains_markets_and_sales(deployment: Deployment, sold: Any, make: Any) -> None:
    market = market_at(deployment, sold, make, 1010)
    _, offer = await offer_of(market)
    for changes, why in (
        ({"chain_id": 5}, "is for the market"),
        ({"market": make.person(5)}, "is for the market"),
        ({"copy_id": keccak(b"other")}, "there is no sale"),
        ({"sale_hash": bytes(32)}, "another purchase"),
    ):
        with pytest.raises(Permanent, match=why):
            await accept(market, replace(offer, **changes))
    assert offer.sale_hash == sale_hash(sale_of(sold))


async def test_an_account_that_signs_something_else(
    deployment: Deployment, sold: Any, make: Any
) -> None:
    market = market_at(deployment, sold, make, 1010)
    plan, _ = await offer_of(market)
    wallet = Wallet(SELLER)
    wallet.sign_typed = lambda message: (27, bytes(32), bytes(32))
    with pytest.raises(Permanent, match="signed something else"):
        agreements.sign_offer(market, wallet, plan)


def good(offer: Offer, path: Path) -> dict[str, Any]:
    write_offer(path, offer)
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "DAM agreement 1"),
        ("chainId", 0),
        ("chainId", "31337"),
        ("market", "0x12"),
        ("copyId", "0x" + "AA" * 32),
        ("saleHash", "0x" + "aa" * 31),
        ("status", "settled"),
        ("status", 2),
        ("since", -1),
        ("since", 2**32),
        ("toBuyer", "-1"),
        ("toBuyer", "1e3"),
        ("toBuyer", str(2**128)),
        ("penalty", None),
        ("toArbitrator", "0x10"),
        ("deadline", 2**63),
        ("deadline", 1.5),
        ("by", "arbitrator"),
        ("by", ["buyer"]),
        ("signature", "0x1"),
        ("signature", "0x" + "00" * 20_000),
        ("more", 1),
    ],
)
async def test_a_file_is_hostile(
    deployment: Deployment, sold: Any, make: Any, tmp_path: Path, field: str, value: Any
) -> None:
    _, offer = await offer_of(market_at(deployment, sold, make, 1010))
    document = good(offer, tmp_path / "good.json")
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document, indent=2))
    assert read_offer(path) == offer
    path.write_text(json.dumps(document | {field: value}))
    with pytest.raises(Malformed):
        read_offer(path)
    if field in document:
        path.write_text(json.dumps({k: v for k, v in document.items() if k != field}))
        with pytest.raises(Malformed, match="lacks"):
            read_offer(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"kind": {"kind": {}}}', b'{"by": 1, "by": 2}'],
)  # fmt: skip
def test_a_file_that_is_no_offer(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "offer.json"
    path.write_bytes(data)
    with pytest.raises(Malformed):
        read_offer(path)


def test_a_file_without_end(tmp_path: Path) -> None:
    path = tmp_path / "offer.json"
    path.write_bytes(b" " * (MAX_OFFER_BYTES + 1))
    with pytest.raises(OSError, match="longer than"):
        read_offer(path)


def test_money_by_hand(make: Any, windows: Windows) -> None:
    """R = 30 + 100 + 50; two fees of 10 are paid."""
    sold = make.purchase(BOUGHT)
    logs = [sold, make.delivery(sold, 0, 1001), make.delivery(sold, 1, 1002)]
    sale = SaleHistory(logs).sales[sold.copy_id]
    money = money_of(sale, Split(400, 30, 0, 0), Tokens()[sold.terms.token])
    assert (money.buyer_price, money.buyer_penalty, money.buyer_bond) == (400, 30, 0)
    # The seller's 600 of the price first fill the 20 that fees took of the stake.
    assert (money.seller_price, money.seller_stake, money.fees) == (580, 180 - 20 - 30 + 20, 20)
    logs.append(DisputeOpened(sold.copy_id, sold.buyer, make.arbiter, bytes(32), make.at(1003)))
    sale = SaleHistory(logs).sales[sold.copy_id]
    money = money_of(sale, Split(995, 100, 51, 0), Tokens()[sold.terms.token])
    assert (money.buyer_bond, money.arbitrator) == (50 - 25, 51)
    # Five of the price go to the stake, which gives the odd wei.
    assert (money.seller_price, money.seller_stake) == (0, 180 - 20 - 100 - 26 + 5)
    token = Token(make.person(7), "T", 0)
    money = money_of(sale, Split(400, 0, 0, 0), token)
    assert (money.seller_price, money.seller_stake) == (600, 160)
    which, *_, arbitrator = money.lines(sale)
    assert which.startswith(f"Sale        0x{sale.copy_id.hex()[:16]} ")
    assert "copy 1 for 1000 T" in which
    assert which.endswith(", disputed")
    assert arbitrator.endswith("0 wei")
    assert sale.status == Status.DISPUTED
