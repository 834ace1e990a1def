"""Gas limits: room for rules that make gas dearer, and never over EIP-7825's 2^24."""

from __future__ import annotations

from typing import Any

import pytest

from dam.crypto.hashing import keccak
from dam.errors import Permanent
from dam.ethereum.node_errors import RpcRejectedError
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.wallet import KeyWallet
from dam.types import Address
from tests.unit.helpers.transactions import FEES, policy_of, sent_one
from tests.unit.helpers.world import World

TO = Address("0x" + "22" * 20)


class Node:
    """A chain whose blocks have 60 million gas, and a call that takes a good part of it."""

    url = "http://127.0.0.1"

    def __init__(self, estimate: int, refusal: str = "") -> None:
        self.estimate = estimate
        self.refusal = refusal

    async def call(self, method: str, *params: Any) -> Any:
        if method == "eth_sendRawTransaction" and self.refusal:
            raise RpcRejectedError(method, -32000, self.refusal)
        return {
            "eth_estimateGas": hex(self.estimate),
            "eth_getTransactionCount": "0x0",
            "eth_getBalance": "0x5",
            "eth_blockNumber": "0x7",
            "eth_sendRawTransaction": "0x" + "11" * 32,
            "eth_getTransactionReceipt": {
                "transactionHash": "0x" + keccak(b"raw").hex(), "blockNumber": "0x7",
                "status": "0x1", "gasUsed": hex(self.estimate), "logs": [],
            },
        }[method]  # fmt: skip

    async def batch(self, calls: Any, **_: Any) -> list[Any]:
        return [FEES[method] for method, _ in calls]


class Signer:
    address = Address("0x" + "33" * 20)

    def __init__(self) -> None:
        self.signed: list[dict[str, Any]] = []

    def sign(self, transaction: dict[str, Any]) -> bytes:
        self.signed.append(transaction)
        return b"raw"


def wallet_on(node: Node) -> tuple[KeyWallet, Signer]:
    signer = Signer()
    return KeyWallet(node, signer, 1), signer  # type: ignore[arg-type]


@pytest.mark.parametrize("estimate", [15_000_000, 40_000_000])
async def test_a_command_never_asks_for_more_than_a_transaction_may_have(estimate: int) -> None:
    wallet, signer = wallet_on(Node(estimate))
    await wallet.send(TO, b"")
    assert [one["gas"] for one in signer.signed] == [2**24]


async def test_a_command_leaves_room_for_dearer_rules() -> None:
    wallet, signer = wallet_on(Node(100_000))
    await wallet.send(TO, b"")
    assert signer.signed[0]["gas"] >= 150_000


@pytest.mark.parametrize(
    "refusal",
    ["Upfront cost exceeds account balance", "Sender doesn't have enough funds to send tx."],
)
async def test_a_command_says_that_coins_are_missing(refusal: str) -> None:
    wallet, signer = wallet_on(Node(100_000, refusal))
    with pytest.raises(Permanent, match=f"{signer.address} has .* too little for"):
        await wallet.send(TO, b"")


async def test_a_daemon_pays_what_state_costs_on_chains_with_a_price_for_it(
    world: World, built: BuiltStore
) -> None:
    """On geth's development chain a fallback ran out of gas, again and again (EIP-8037)."""
    world.chain._eth_estimateGas = lambda *_: hex(310_000)  # type: ignore[method-assign]
    _, attempt, _ = await sent_one(world, built)
    assert attempt.gas >= 310_000 * 17 // 16


async def test_a_daemon_never_asks_for_more_than_a_transaction_may_have(
    world: World, built: BuiltStore
) -> None:
    world.chain._eth_estimateGas = lambda *_: hex(10**9)  # type: ignore[method-assign]
    policy_of(world.daemon, part_gas=10**9)
    _, attempt, _ = await sent_one(world, built)
    assert attempt.gas == 2**24
