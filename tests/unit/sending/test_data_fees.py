"""What a rollup takes for data: in the profit rule, in gas limits, in what is told of the costs."""

from __future__ import annotations

from typing import Any

import pytest

from dam.ethereum.data_fee import DataFee, DataFees
from dam.ethereum.node_errors import RpcBadReplyError, RpcRejectedError
from dam.ledger.status import read_status
from dam.roles.seller.store_builder import BuiltStore
from dam.sending.fee_policy import SendPolicy, cap_to_earnings, gas_of
from dam.sending.transactions import read_receipt
from dam.sending.wallet import KeyWallet
from dam.types import Address
from tests.unit.helpers.jobs import job
from tests.unit.helpers.transactions import FEES, policy_of, sent_one
from tests.unit.helpers.world import DEAR_FEE, World, assert_delivered_once

ORACLE = "0x420000000000000000000000000000000000000F"
INTERFACE = "0x00000000000000000000000000000000000000C8"
US, TO = Address("0x" + "33" * 20), Address("0x" + "22" * 20)
GWEI = 10**9


def word(value: int) -> str:
    return f"{value:064x}"


class Chain:
    """A node of a rollup, as far as data fees go."""

    def __init__(self, oracle: Any = "0x", interface: Any = "0x") -> None:
        self.answers = {ORACLE: oracle, INTERFACE: interface}
        self.asked: list[dict[str, Any]] = []

    async def batch(self, calls: Any, **_: Any) -> list[Any]:
        self.asked += [params[0] for _, params in calls]
        return [self.answers[params[0]["to"]] for _, params in calls]

    async def fee(self, data: bytes = b"", *, fees: DataFees | None = None) -> DataFee | None:
        return await (fees or DataFees(self)).fee(US, TO, data)  # type: ignore[arg-type]


class TestAsking:
    async def test_the_op_stack_takes_it_beside_the_gas(self) -> None:
        chain = Chain("0x" + word(700))
        assert await chain.fee(b"\x05" * 40) == DataFee(700, 700)
        sent = bytes.fromhex(chain.asked[0]["data"][2:])
        assert sent[:4].hex() == "49948e0e", "getL1Fee(bytes)"
        length = int.from_bytes(sent[36:68], "big")
        assert sent[68 : 68 + length].endswith(b"\x05" * 40)
        assert len(sent) % 32 == 4

    async def test_arbitrum_takes_it_in_gas(self) -> None:
        chain = Chain(interface="0x" + word(3000) + word(7) + word(10**9))
        assert await chain.fee(b"\x05" * 40) == DataFee(21_000, 0)
        sent = chain.asked[1]["data"][2:]
        assert sent.startswith("77d488a2" + word(int(TO, 16)) + word(0) + word(96) + word(40))

    async def test_a_chain_that_is_no_rollup_is_asked_once(self) -> None:
        chain = Chain()
        fees = DataFees(chain)  # type: ignore[arg-type]
        assert await chain.fee(fees=fees) is None
        assert await chain.fee(fees=fees) is None
        assert len(chain.asked) == 2

    async def test_a_refusal_is_not_the_last_word(self) -> None:
        chain = Chain(RpcRejectedError("eth_call", -32000, "busy"))
        fees = DataFees(chain)  # type: ignore[arg-type]
        assert await chain.fee(fees=fees) is None
        chain.answers[ORACLE] = "0x" + word(700)
        assert await chain.fee(fees=fees) == DataFee(700, 700)

    @pytest.mark.parametrize("answer", [None, 7, "0xz", []])
    async def test_an_answer_that_is_none(self, answer: Any) -> None:
        with pytest.raises(RpcBadReplyError):
            await Chain(answer).fee()

    async def test_an_absurd_fee_is_cut(self) -> None:
        most = await Chain("0x" + "ff" * 32).fee()
        assert most == DataFee(10**24, 10**24)
        assert await Chain(interface="0x" + "ff" * 96).fee() == DataFee(10**24, 0)


class TestByte:
    async def byte(self, fees: DataFees) -> int:
        return await fees.byte_gas(US, TO, bytes(80), 10)

    async def test_in_gas_and_rounded_up(self) -> None:
        # Two hundred bytes with what is around the calldata: 3.5 wei each, of gas at ten.
        assert await self.byte(DataFees(Chain("0x" + word(700)))) == 1  # type: ignore[arg-type]
        assert await self.byte(DataFees(Chain("0x" + word(20_001)))) == 11  # type: ignore[arg-type]

    async def test_the_setting_goes_first(self) -> None:
        chain = Chain("0x" + word(700))
        assert await self.byte(DataFees(chain, 95)) == 10  # type: ignore[arg-type]
        assert not chain.asked

    async def test_else_what_the_newest_receipt_told(self) -> None:
        fees = DataFees(Chain())  # type: ignore[arg-type]
        assert await self.byte(fees) == 0
        fees.note(9_000, 100)
        assert await self.byte(fees) == 9

    async def test_gas_for_nothing(self) -> None:
        fees = DataFees(Chain("0x" + word(700)))  # type: ignore[arg-type]
        assert await fees.byte_gas(US, TO, bytes(80), 0) == 4


def receipt_of(**more: Any) -> Any:
    fields = {
        "transactionHash": "0x" + "ab" * 32, "blockNumber": "0x2", "status": "0x1",
        "gasUsed": "0x5208", "effectiveGasPrice": "0x3",
    }  # fmt: skip
    return read_receipt(b"\xab" * 32, fields | more)


class TestReceipts:
    def test_a_plain_chain(self) -> None:
        assert (receipt_of().cost, receipt_of().data) == (63_000, (0, 0))

    def test_the_op_stack(self) -> None:
        found = receipt_of(l1Fee="0x64", l1GasUsed="0x10", l1FeeScalar="0.684")
        assert (found.cost, found.data) == (63_100, (100, 100))

    def test_arbitrum(self) -> None:
        found = receipt_of(gasUsedForL1="0x64", l1BlockNumber="0x7")
        assert (found.cost, found.data) == (63_000, (300, 0))

    def test_null_and_nonsense(self) -> None:
        assert receipt_of(l1Fee=None).cost == 63_000
        for wrong in ({"l1Fee": "0.684"}, {"gasUsedForL1": -1}):
            with pytest.raises(RpcBadReplyError, match="receipt data"):
                receipt_of(**wrong)


def on_op_stack(world: World, wei: list[int]) -> None:
    """A byte costs the last of these."""
    call = world.chain._eth_call

    def answer(request: dict[str, Any], tag: str) -> str:
        if request["to"] == ORACLE:
            return "0x" + word(int(request["data"][74:138], 16) * wei[-1])
        return call(request, tag)

    world.chain._eth_call = answer  # type: ignore[method-assign]


class TestDaemon:
    async def test_a_fee_that_pays_the_gas_and_not_the_data(
        self, world: World, dear: BuiltStore
    ) -> None:
        daemon, wei = world.daemon, [DEAR_FEE // 1000]
        on_op_stack(world, wei)
        sold = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=6)
        [told] = daemon.journal("unprofitable")
        assert told["byte_gas"] > 0
        assert not world.chain.pool
        wei.append(DEAR_FEE // 10**6)
        await world.ticks(daemon, blocks=8)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_the_setting_counts_where_no_chain_tells(
        self, world: World, dear: BuiltStore
    ) -> None:
        daemon = world.daemon
        daemon.policy = SendPolicy(confirmations=2, byte_price=DEAR_FEE // 1000)
        daemon.restart()
        world.buy(dear, "dear")
        await world.ticks(daemon, blocks=6)
        assert daemon.journal("unprofitable")
        assert not world.chain.pool

    async def test_a_receipt_tells_where_no_chain_does(
        self, world: World, dear: BuiltStore
    ) -> None:
        daemon = world.daemon
        receipt = world.chain._eth_getTransactionReceipt

        def with_fee(text: str) -> Any:
            found = receipt(text)
            return found and found | {"l1Fee": hex(2 * DEAR_FEE)}

        world.chain._eth_getTransactionReceipt = with_fee  # type: ignore[method-assign]
        world.buy(dear, "dear", 0)
        await world.ticks(daemon, blocks=8)
        assert not daemon.journal("unprofitable")
        [used] = world.chain.mined(daemon.address)
        world.buy(dear, "dear", 1)
        await world.ticks(daemon, blocks=8)
        assert daemon.journal("unprofitable")
        found = read_status(daemon.path)
        assert found.data_paid == 2 * DEAR_FEE
        assert found.gas_paid == 60_000 * GWEI + 2 * DEAR_FEE
        assert len(world.chain.mined(daemon.address)) == 1, used

    async def test_what_the_node_estimates_counts_where_it_is_more(
        self, world: World, dear: BuiltStore
    ) -> None:
        """A rule of gas that is dearer than ours, as forks to come have."""
        daemon, estimate = world.daemon, [200_000]
        world.chain._eth_estimateGas = lambda *_: hex(estimate[-1])  # type: ignore[method-assign]
        sold = world.buy(dear, "dear")
        await world.ticks(daemon, blocks=6)
        assert daemon.journal("unprofitable")
        assert not world.chain.pool
        estimate.append(40_000)
        await world.ticks(daemon, blocks=8)
        assert_delivered_once(world, sold, by=[daemon])

    async def test_gas_limits_have_room_for_data(self, world: World, built: BuiltStore) -> None:
        world.chain._eth_estimateGas = lambda *_: hex(1_000_000)  # type: ignore[method-assign]
        policy_of(world.daemon, byte_price=1000 * GWEI)
        daemon, attempt, _ = await sent_one(world, built)
        assert attempt.gas == 1_000_000 * 17 // 16 + 20_000
        world.chain.pass_time(86_400)
        await world.ticks(daemon, blocks=8)
        [slot] = daemon.outbox.live()
        assert not slot.last.data
        # Empty, and yet its bytes are paid: 120 of them, five hundred gas each.
        assert slot.last.gas > 21_000 + 60_000


def test_a_replacement_may_cost_what_is_left_beside_the_data() -> None:
    part = job(fee=10**15, steps=2)
    plain = cap_to_earnings(SendPolicy(), [part]).max_fee
    dear = cap_to_earnings(SendPolicy(), [part], byte=50).max_fee
    assert plain == 10**15 // gas_of(1, 2)
    assert dear == 10**15 // gas_of(1, 2, 50) < plain
    # The limit of gas that an estimate of 100,000 makes.
    limit = 100_000 * 17 // 16 + 20_000
    assert cap_to_earnings(SendPolicy(), [part], limit=limit).max_fee == 10**15 // 100_000


async def test_a_quote_for_people_has_it() -> None:
    class Node(Chain):
        async def call(self, method: str, *_: Any) -> Any:
            return {"eth_estimateGas": hex(60_000), "eth_getBalance": hex(10**18)}[method]

        async def batch(self, calls: Any, **more: Any) -> list[Any]:
            if calls[0][0] == "eth_call":
                return await super().batch(calls, **more)
            return [FEES[method] for method, _ in calls]

    class Signer:
        address = US

    chains = Node(), Node("0x" + word(700)), Node(interface="0x" + word(9) * 3)
    wallets = [KeyWallet(chain, Signer(), 1) for chain in chains]  # type: ignore[arg-type]
    costs = [await wallet.gas_cost(TO, b"") for wallet in wallets]
    assert costs == [costs[0], costs[0] + 700, costs[0]], "Arbitrum's is in the estimate"
