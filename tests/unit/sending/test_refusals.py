"""What nodes say when they refuse a transaction: there are no common codes, only words."""

from __future__ import annotations

from typing import Any

import pytest

from dam.ethereum.node_errors import RpcRejectedError
from dam.roles.seller.store_builder import BuiltStore
from tests.unit.helpers.transactions import no_transactions, policy_of, sent_one
from tests.unit.helpers.world import World


def in_words(text: str) -> Any:
    def refuse(_: str) -> str:
        raise RpcRejectedError("eth_sendRawTransaction", -32010, text)

    return refuse


class TestRefusals:
    """Nodes' refusals: there are no common codes."""

    @pytest.mark.parametrize("text", ["already known", "AlreadyKnown", "known transaction: 0x1"])
    async def test_known(self, world: World, built: BuiltStore, text: str) -> None:
        daemon, _, _ = await sent_one(world, built)
        world.chain._eth_sendRawTransaction = in_words(text)  # type: ignore[method-assign]
        daemon.restart()
        await world.ticks(daemon, blocks=1)
        assert not daemon.events("node_refused")

    async def test_unknown_is_not_known(self, world: World, built: BuiltStore) -> None:
        refuse = in_words("unknown transaction type")
        world.chain._eth_sendRawTransaction = refuse  # type: ignore[method-assign]
        world.buy(built, "coupon")
        await world.ticks(world.daemon, blocks=6)
        assert world.daemon.events("node_refused")
        assert not world.daemon.events("sent")

    @pytest.mark.parametrize(
        "text",
        [
            "insufficient funds for gas * price + value: balance 0",
            "insufficient funds for gas * price + value: have 0 want 90000",
            "Insufficient funds for gas * price + value",
            "transaction would cause overdraft: balance 0, queued cost 0, tx cost 1",
            "insufficient balance for transfer",
            "InsufficientFunds, Account balance: 0, cumulative cost: 90000",
            "insufficient sender balance",
            "err: insufficient MaxFeePerGas for sender balance (supplied gas 0)",
            "Upfront cost exceeds account balance",
            "transaction up-front cost 0x5af3 exceeds transaction sender account balance 0x0",
            (
                "Sender doesn't have enough funds to send tx. The max upfront cost is: 90000 "
                "and the sender's balance is: 0."
            ),
            (
                "sender doesn't have enough funds to send tx. The max upfront cost is: 1 and the "
                "sender's account only has: 0"
            ),
            "lack of funds (0) for max fee (90000)",
            "not enough funds for gas",
            (
                "Insufficient funds. The account you tried to send transaction from does not have "
                "enough funds. Required 90000 and got: 0."
            ),
            "Insufficient balance for transaction. Balance=0, Cost=90000",
            "failed precheck with status INSUFFICIENT_PAYER_BALANCE",
        ],
    )
    async def test_poor(self, world: World, built: BuiltStore, text: str) -> None:
        world.chain._eth_sendRawTransaction = in_words(text)  # type: ignore[method-assign]
        world.buy(built, "coupon")
        await world.ticks(world.daemon, blocks=20)
        assert len(world.daemon.events("no_balance")) == 1
        assert not world.daemon.events("node_refused")

    @pytest.mark.parametrize("text", ["nonce too low", "OldNonce, Current nonce: 1"])
    async def test_used(self, world: World, built: BuiltStore, text: str) -> None:
        world.chain._eth_sendRawTransaction = in_words(text)  # type: ignore[method-assign]
        world.buy(built, "coupon")
        await world.ticks(world.daemon, blocks=8)
        assert not world.daemon.events("node_refused")

    async def test_no_balance_is_told_once(self, world: World, built: BuiltStore) -> None:
        """That a node has the old ones already says nothing of the balance."""
        daemon = world.daemon
        policy_of(daemon, batch=1)
        world.chain.accepts = no_transactions
        for copy in range(3):
            world.buy(built, "coupon", copy)
        await world.ticks(daemon, blocks=3)
        assert len(world.chain.pool) == 3
        world.chain.poor.add(daemon.address)
        world.buy(built, "coupon", 3)
        await world.ticks(daemon, blocks=20)
        assert len(daemon.events("no_balance")) == 1
        assert not daemon.events("alert_resolved")

    async def test_refused_by_every_pool(self, world: World, built: BuiltStore) -> None:
        """An error that names the nodes' reason, long before the deadline, and once."""
        daemon = world.daemon
        refuse = in_words("sender not an eoa")
        world.chain._eth_sendRawTransaction = refuse  # type: ignore[method-assign]
        world.buy(built, "coupon")
        await world.ticks(daemon, blocks=40)
        [alert] = daemon.events("transaction_refused")
        assert alert["error"] == "sender not an eoa"
        assert alert["level"] == "error"

    async def test_refused_now_and_then_is_no_alert(self, world: World, built: BuiltStore) -> None:
        daemon, _, _ = await sent_one(world, built)
        send = world.chain._eth_sendRawTransaction
        for _ in range(5):
            refuse = in_words("txpool is full")
            world.chain._eth_sendRawTransaction = refuse  # type: ignore[method-assign]
            await world.ticks(daemon, blocks=4)
            world.chain._eth_sendRawTransaction = send  # type: ignore[method-assign]
            await world.ticks(daemon, blocks=2)
        assert len(daemon.events("node_refused")) > 8
        assert not daemon.events("transaction_refused")
