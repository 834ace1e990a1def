"""What is kept of an attempt to pay, however it ends: nobody pays twice for one purchase."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dam.crypto.derivation import BuyerSeed, new_seed
from dam.crypto.hashing import keccak
from dam.errors import ContractReverted, Permanent
from dam.ethereum.node_errors import RpcRejectedError, RpcTimeoutError
from dam.market.log_history import History
from dam.market.sale_history import SaleHistory
from dam.market.wallet import Receipt, TransactionPendingError
from dam.roles.buyer import purchases
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.buying import buy
from dam.roles.buyer.records import Record, Records, one_time_keys
from dam.types import Clock, Deployment, Purchase, StoreVersion
from tests.unit.helpers.attempts import check_attempts

TX = b"\x5a" * 32


class Wallet:
    """Signs or not, and then ends as it is told."""

    def __init__(self, *, signs: bool, end: Receipt | BaseException) -> None:
        self._signs, self._end = signs, end
        self.sent = 0

    async def send(self, *_: Any, signed: Callable[[bytes], None]) -> Receipt:
        if self._signs:
            signed(TX)
            self.sent += 1
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end


class Market:
    """What paying asks of it, and one sale's history."""

    def __init__(self, deployment: Deployment, purchase: Purchase) -> None:
        self.address, self.deployment = deployment.market, deployment
        version = StoreVersion(purchase.seller, purchase.store_digest, keccak(b"r"), purchase.at)
        self.before = History([version], 9, Clock(9, 900), SaleHistory([version]))
        logs = [version, purchase]
        self.after = History(logs, 9, Clock(9, 900), SaleHistory(logs))

    def encode(self, *_: Any) -> bytes:
        return b""


class Case:
    """A quote, paid with some wallet."""

    def __init__(self, folder: Path, deployment: Deployment, make: Any) -> None:
        seed = BuyerSeed(new_seed())
        blank = make.purchase(parts=3)
        keys = one_time_keys(seed, deployment, blank.copy_id, 0, 3)
        self.purchase: Purchase = replace(blank, keys=keys)
        self.market = Market(deployment, self.purchase)
        self.records = Records(folder / "purchases")
        market: Any = self.market
        blocks: Any = None
        self.buyer = Buyer(market, blocks, seed, self.records)
        self.told: list[str] = []
        self.record = Record(
            deployment.chain_id, deployment.market, blank.copy_id, 0, blank.seller, blank.buyer,
            "thing", "A thing", blank.store_digest, keccak(b"r"), keys, None, (),
            "2026-01-01T00:00Z",
        )  # fmt: skip

    async def pay(self, wallet: Wallet) -> Any:
        payment = SimpleNamespace(needs_allowance=False, coins=1)
        quote: Any = SimpleNamespace(record=self.record, payment=payment, arguments=())
        payer: Any = wallet
        return await buy(self.buyer, payer, quote, notice=self.told.append)

    def check(self, history: History) -> None:
        check_attempts(self.records.of_item(self.purchase.seller, "thing"), history.logs)

    @property
    def kept(self) -> Record:
        [record] = self.records.all()
        return record


@pytest.fixture
def case(tmp_path: Path, deployment: Deployment, make: Any) -> Case:
    return Case(tmp_path, deployment, make)


UNKNOWN: list[BaseException] = [
    TransactionPendingError(TX, "not known to be mined"),
    RpcRejectedError("eth_sendRawTransaction", -32000, "nonce too low"),
    RpcTimeoutError("took over 20 s"),
    asyncio.CancelledError(),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("end", UNKNOWN, ids=lambda end: type(end).__name__)
async def test_what_was_signed_may_be_mined_and_is_not_paid_again(
    case: Case, end: BaseException
) -> None:
    with pytest.raises(type(end)):
        await case.pay(Wallet(signs=True, end=end))
    assert (case.kept.tx, case.kept.block, case.kept.failed) == (TX, None, False)
    assert case.kept.copy_id.hex()[:16] in case.told[-1]
    with pytest.raises(Permanent, match=f"0x{TX.hex()} may still be mined"):
        case.check(case.market.before)
    # And when it is mined: the command that failed had paid.
    with pytest.raises(Permanent, match="went through: the sale 0x"):
        case.check(case.market.after)


@pytest.mark.parametrize("end", UNKNOWN[2:], ids=lambda end: type(end).__name__)
async def test_what_was_never_signed_is_no_attempt(case: Case, end: BaseException) -> None:
    with pytest.raises(type(end)):
        await case.pay(Wallet(signs=False, end=end))
    assert (case.kept.tx, case.kept.failed) == (None, True)
    case.check(case.market.before)


async def test_what_reverted_in_its_block_paid_nothing(case: Case) -> None:
    with pytest.raises(ContractReverted):
        await case.pay(Wallet(signs=True, end=ContractReverted("CopyTaken")))
    assert case.kept.failed
    case.check(case.market.before)


async def test_a_purchase_that_was_told_of_is_no_obstacle(case: Case) -> None:
    await case.pay(Wallet(signs=True, end=Receipt(TX, 7, 1, 1, 1, ())))
    assert (case.kept.tx, case.kept.block) == (TX, 7)
    case.check(case.market.after)


async def test_whoever_looks_at_the_sale_knows_of_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: Any, **__: Any) -> History:
        return case.market.after

    monkeypatch.setattr(purchases, "read_history", read)
    with pytest.raises(TransactionPendingError):
        await case.pay(Wallet(signs=True, end=TransactionPendingError(TX, "")))
    found = await purchases.find_purchase(case.buyer, "0x" + case.purchase.copy_id.hex()[:12])
    assert found.record.block == case.purchase.at.block.number
    assert case.kept == found.record
    case.check(case.market.after)
