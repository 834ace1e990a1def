"""Commands' transactions: waited for whatever a node answers, and named however that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dam.errors import ContractReverted, Permanent
from dam.ethereum.node_errors import RpcRejectedError, RpcTimeoutError, RpcUnavailableError
from dam.market.wallet import TransactionPendingError
from dam.sending import wallet as wallets
from dam.sending.wallet import KeyWallet
from dam.testing.memory import MemoryChain
from tests.unit.helpers.transactions import no_transactions
from tests.unit.helpers.world import BUYER, account


class Chain(MemoryChain):
    """Mines when it is asked for a receipt; its methods may be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def _eth_blockNumber(self) -> str:  # noqa: N802 - named as the method is
        return hex(self.height)

    def _eth_getBalance(self, who: str, tag: str) -> str:  # noqa: N802
        return hex(10**18)

    def _eth_sendRawTransaction(self, text: str) -> str:  # noqa: N802
        self.taken.append(super()._eth_sendRawTransaction(text))
        return self.taken[-1]

    def _eth_getTransactionReceipt(self, text: str) -> Any:  # noqa: N802
        self.mine()
        return super()._eth_getTransactionReceipt(text)


class Payer:
    """A wallet on such a chain, and what it said."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.chain = Chain()
        self.told: list[str] = []
        self.signed: list[str] = []
        self.wallet = KeyWallet(
            self.chain,
            account("payer"),
            31337,
            poll_seconds=0.01,
            wait_seconds=seconds,
            notice=self.told.append,
        )

    async def pay(self) -> Any:
        return await self.wallet.send(BUYER, b"", 1, signed=lambda tx: self.signed.append(tx.hex()))

    def replace(
        self, method: str, change: Callable[[Callable[..., Any], tuple[Any, ...]], Any]
    ) -> None:
        """Has ``change`` answer instead of a method, which it is given with the parameters."""
        old = getattr(self.chain, "_" + method)
        setattr(self.chain, "_" + method, lambda *params: change(old, params))


def rejecting(message: str, code: int = -32000) -> Callable[..., Any]:
    def answer(*_: Any) -> Any:
        raise RpcRejectedError("eth_x", code, message)

    return answer


def failing(*_: Any) -> Any:
    raise RpcUnavailableError("eth_x: 127.0.0.1:8545 gave HTTP 502", status=502)


def silence(*_: Any) -> Any:
    raise RpcTimeoutError("eth_x: 127.0.0.1:8545 took over 20 s")


FAULTS: dict[str, Callable[..., Any]] = {
    "indexing": rejecting("transaction indexing is in progress"),
    "internal": rejecting("internal error", -32603),
    "502": failing,
    "silence": silence,
    "a text": lambda *_: "soon",
    "of another": lambda *_: {"transactionHash": "0x" + "11" * 32, "blockNumber": "0x1"},
    "no status": lambda _, params: {"transactionHash": "".join(params), "blockNumber": "0x1"},
}


def some_times(times: int, fault: Callable[..., Any]) -> Callable[..., Any]:
    left = [times]

    def answer(old: Callable[..., Any], params: tuple[Any, ...]) -> Any:
        left[0] -= 1
        return fault(old, params) if left[0] >= 0 else old(*params)

    return answer


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_blockNumber"])
async def test_what_a_node_cannot_tell_is_asked_again(kind: str, method: str) -> None:
    payer = Payer()
    payer.replace(method, some_times(4, FAULTS[kind]))
    receipt = await payer.pay()
    assert ["0x" + receipt.tx_hash.hex()] == payer.chain.taken
    assert payer.signed == [receipt.tx_hash.hex()]
    [word] = payer.told
    assert payer.chain.taken[0] in word


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_wait_that_ends_names_the_transaction(kind: str) -> None:
    """After the whole time, and not before; the money may have moved."""
    payer = Payer(0.3)
    payer.replace("eth_getTransactionReceipt", FAULTS[kind])
    with pytest.raises(TransactionPendingError, match="may still be mined: look it up") as raised:
        await payer.pay()
    assert payer.chain.taken[0] in str(raised.value)
    assert "0x" + raised.value.tx_hash.hex() == payer.chain.taken[0]
    assert payer.chain.calls.count("eth_getTransactionReceipt") > 5


async def test_a_transaction_that_waits_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallets, "_QUIET_SECONDS", 0.05)
    payer = Payer(0.3)
    payer.chain.accepts = no_transactions
    with pytest.raises(TransactionPendingError, match="not known to be mined"):
        await payer.pay()
    [word] = payer.told
    assert payer.chain.taken[0] in word


async def test_a_node_that_goes_down_after_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    payer = Payer(0.3)

    def last_word(old: Callable[..., Any], params: tuple[Any, ...]) -> Any:
        found = old(*params)
        for method in ("eth_getTransactionReceipt", "eth_blockNumber", "eth_sendRawTransaction"):
            setattr(payer.chain, "_" + method, failing)
        return found

    payer.replace("eth_sendRawTransaction", last_word)
    with pytest.raises(TransactionPendingError) as raised:
        await payer.pay()
    assert payer.chain.taken[0] in str(raised.value)


async def test_ctrl_c_while_it_is_waited_for_says_what_was_sent() -> None:
    payer = Payer(60)
    payer.chain.accepts = no_transactions
    task = asyncio.create_task(payer.pay())
    for _ in range(500):
        if payer.chain.taken:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert payer.chain.taken[0] in payer.told[-1]
    assert "may still be mined" in payer.told[-1]


async def test_a_reply_that_is_lost_is_no_second_payment() -> None:
    payer = Payer()

    def lost(old: Callable[..., Any], params: tuple[Any, ...]) -> Any:
        old(*params)
        return silence()

    payer.replace("eth_sendRawTransaction", some_times(1, lambda old, params: lost(old, params)))
    receipt = await payer.pay()
    assert ["0x" + receipt.tx_hash.hex()] == payer.chain.taken
    assert len(payer.chain.mined(payer.wallet.address)) == 1


@pytest.mark.parametrize("kind", ["502", "silence", "internal"])
async def test_what_never_arrived_is_sent_again(kind: str) -> None:
    """The same bytes: they can be mined once only."""
    payer = Payer()
    payer.replace("eth_sendRawTransaction", some_times(3, FAULTS[kind]))
    receipt = await payer.pay()
    assert receipt.status == 1
    assert len(payer.signed) == 1
    assert len(payer.chain.mined(payer.wallet.address)) == 1


async def test_a_refusal_is_final_and_names_it_all_the_same() -> None:
    payer = Payer()
    payer.replace("eth_sendRawTransaction", rejecting("nonce too low"))
    with pytest.raises(RpcRejectedError, match="nonce too low") as raised:
        await payer.pay()
    assert payer.signed[0] in str(raised.value)
    assert "eth_getTransactionReceipt" not in payer.chain.calls


async def test_an_account_without_coins_sends_nothing() -> None:
    payer = Payer()
    payer.chain.poor.add(payer.wallet.address)
    with pytest.raises(Permanent, match="too little"):
        await payer.pay()
    assert not payer.signed


async def test_a_node_that_fails_before_the_signature_sent_nothing() -> None:
    payer = Payer()
    payer.replace("eth_estimateGas", failing)
    with pytest.raises(RpcUnavailableError):
        await payer.pay()
    assert not payer.signed


async def test_what_reverts_in_its_block_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    payer = Payer()
    payer.replace(
        "eth_getTransactionReceipt",
        lambda old, params: (found := old(*params)) and {**found, "status": "0x0"},
    )
    with pytest.raises(ContractReverted) as raised:
        await payer.pay()
    assert raised.value.arguments["transaction"] == payer.chain.taken[0]


async def test_one_of_several_nodes_that_lags_is_waited_for() -> None:
    payer = Payer()
    payer.replace("eth_blockNumber", some_times(3, lambda *_: "0x0"))
    receipt = await payer.pay()
    assert payer.chain.calls.count("eth_blockNumber") == 4
    assert receipt.block > 0


async def test_a_receipt_that_is_taken_back_is_no_success() -> None:
    """A reorganisation threw its block away, before another node had it: nothing is paid."""
    payer = Payer(seconds=0.2)
    looks = []

    def once(old: Callable[..., Any], params: tuple[Any, ...]) -> Any:
        looks.append(params)
        return old(*params) if len(looks) == 1 else None

    payer.replace("eth_getTransactionReceipt", once)
    payer.replace("eth_blockNumber", lambda *_: "0x0")
    with pytest.raises(TransactionPendingError):
        await payer.pay()
    assert len(looks) > 1
