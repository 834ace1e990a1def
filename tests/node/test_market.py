"""The market on a real chain: every log as a record, every lie refused."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from nacl.public import PrivateKey

from dam.crypto.hashing import (
    catalogue_commitment,
    copy_id,
    escrow_of,
    item_id,
    keccak,
    parse_address,
    part_leaf,
    sale_hash,
    sale_of,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.errors import ConfigError, ContractReverted, RpcError
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import JsonRpc
from dam.market import log_reader
from dam.market.abi import encode, market_abi
from dam.market.client import BlockUnknownError, Market
from dam.testing.market import deploy_market, transact
from dam.testing.nodes import AnvilNode, NodeFailedError
from dam.types import (
    ZERO_ADDRESS,
    Address,
    DelivererKeyRotated,
    DelivererRegistered,
    Delivery,
    Deployment,
    FragmentDelivered,
    OtherLog,
    PartLeaf,
    Purchase,
    SaleClosed,
    SaleState,
    Status,
    StoreVersion,
    Terms,
    Wei,
)

ETHER = 10**18
DIGEST = keccak(b"document")


def x25519() -> bytes:
    return bytes(PrivateKey.generate().public_key)


@dataclass
class LiveMarket:
    """A market with a seller, a buyer and three deliverers, before the first sale."""

    anvil: AnvilNode
    deployment: Deployment
    accounts: list[Address]

    def __post_init__(self) -> None:
        self.seller, self.buyer, *self.deliverers = self.accounts[1:6]
        self.shares = [bytes([i]) * 32 for i in range(3)]
        self.leaves = [
            PartLeaf(0, i, d, keccak(share), keccak(b"key"), bytes([9, i]) * 16)
            for i, (d, share) in enumerate(zip(self.deliverers, self.shares, strict=True))
        ]
        self.parts = MerkleTree([part_leaf(leaf) for leaf in self.leaves])
        self.terms = Terms(
            item_id("song"), ZERO_ADDRESS, ETHER, Wei(3 * 10**15), Wei(10**17), Wei(10**16), 10,
            False, 3, 2, self.accounts[7], self.parts.root,
        )  # fmt: skip
        self.catalogue = MerkleTree([terms_leaf(self.terms)])

    def send(self, who: Address, function: str, *args: Any, value: int = 0) -> dict[str, str]:
        return transact(self.anvil, who, self.deployment.market, encode(function, *args), value)

    def open(self) -> None:
        self.send(self.seller, "stakeAsSeller", value=5 * ETHER)
        for deliverer in self.deliverers:
            self.send(deliverer, "stakeAsDeliverer", x25519(), value=ETHER)
        self.send(self.seller, "createStore", DIGEST, self.catalogue.root)

    def buy(self, copy: int = 0) -> None:
        keys = [x25519() for _ in range(3)]
        proof = self.catalogue.proof(terms_leaf(self.terms))
        self.send(
            self.buyer, "buyItem", self.seller, self.terms, proof, DIGEST, copy, keys, value=ETHER
        )

    def delivery(self, purchase: Purchase, index: int) -> Delivery:
        leaf = self.leaves[index]
        return Delivery(
            purchase.copy_id, sale_of(purchase), index, leaf.deliverer, leaf.commitment,
            leaf.secret_hash, leaf.salt, self.parts.proof(part_leaf(leaf)), bytes([index]) * 80,
        )  # fmt: skip


@pytest.fixture
def live(anvil: AnvilNode, code: bytes) -> LiveMarket:
    deployment = deploy_market(anvil, code=code)
    accounts = [parse_address(a) for a in anvil.request("eth_accounts")]
    return LiveMarket(anvil, deployment, accounts)


@pytest.fixture
async def market(live: LiveMarket):
    async with JsonRpc(live.anvil.url, timeout=10) as rpc:
        yield Market(rpc, live.deployment)


def head(live: LiveMarket) -> int:
    return int(live.anvil.request("eth_blockNumber"), 16)


async def test_deployment(market: Market, live: LiveMarket) -> None:
    await market.check_deployment()
    assert await market.windows() == live.deployment.windows
    for wrong in (
        {"chain_id": 1},
        {"code_hash": bytes(32)},
        {"market": live.seller},
    ):
        with pytest.raises(ConfigError):
            await Market(
                market.rpc, dataclasses.replace(live.deployment, **wrong)
            ).check_deployment()


async def test_a_node_before_the_deployment_is_behind_and_not_wrong(
    market: Market, live: LiveMarket
) -> None:
    """A node that syncs, or whose state was put back: it is waited for, and nothing ends."""
    first = live.deployment.first_block
    live.anvil.request("anvil_rollback", head(live) - first + 1)
    with pytest.raises(BlockUnknownError, match=f"at block {first - 1}, .* in block {first}"):
        await market.check_deployment()
    live.anvil.request("anvil_mine", hex(3))
    with pytest.raises(ConfigError, match="no code"):
        await market.check_deployment()


async def test_one_sale(market: Market, live: LiveMarket) -> None:
    first = live.deployment.first_block
    assert await market.logs(first, first) == []
    owner, operator, key = live.accounts[8], live.accounts[9], x25519()
    live.send(operator, "stakeAsDelivererFor", owner, key, value=ETHER)
    new_key = x25519()
    live.send(operator, "rotateDelivererKey", operator, new_key)
    live.open()
    opened = head(live)
    logs = await market.logs(0, opened, canonical=True)
    registered = [log for log in logs if isinstance(log, DelivererRegistered)]
    assert [(r.operator, r.owner, r.stake) for r in registered] == [
        (operator, owner, ETHER),
        *((d, d, ETHER) for d in live.deliverers),
    ]
    assert registered[0].key == key
    assert [log.key for log in logs if isinstance(log, DelivererKeyRotated)] == [new_key]
    (store,) = [log for log in logs if isinstance(log, StoreVersion)]
    assert (store.seller, store.digest, store.root) == (live.seller, DIGEST, live.catalogue.root)
    assert await market.store(live.seller) == (
        DIGEST,
        catalogue_commitment(DIGEST, live.catalogue.root),
    )
    (staked,) = [log for log in logs if isinstance(log, OtherLog) and log.name == "SellerStaked"]
    assert staked.args == {"seller": live.seller, "amount": 5 * ETHER, "free": 5 * ETHER}
    assert (await market.deliverer(operator)).owner == owner

    live.buy(copy=4)
    (purchase,) = await market.logs(opened + 1, head(live), canonical=True)
    assert isinstance(purchase, Purchase)
    assert purchase.terms == live.terms
    assert (purchase.copy, purchase.block, len(purchase.keys)) == (4, opened + 1, 3)
    assert purchase.at.block == dataclasses.replace(await market.block(opened + 1), timestamp=0)
    assert purchase.copy_id == copy_id(live.seller, live.terms.item_id, 4)
    commitment = sale_hash(sale_of(purchase))[:24]
    state = await market.sale_state(purchase.copy_id)
    assert state == SaleState(Status.PURCHASED, 0, 0, 0, commitment)
    assert await market.seller_stake(live.seller) == 5 * ETHER - live.terms.reserve

    batch = [live.delivery(purchase, i) for i in range(3)]
    data = market.encode("deliverFragment", batch[0])
    await market.simulate(data, sender=live.deliverers[0])
    with pytest.raises(ContractReverted) as caught:
        await market.simulate(data, sender=live.deliverers[1])
    assert caught.value.error == "NotYourPart"
    assert caught.value.arguments == {
        "deliverer": live.deliverers[0],
        "caller": live.deliverers[1],
    }
    for i in range(3):
        # One by hand as a batch: the same calldata codec, from the same deliverer.
        function, argument = (
            ("deliverFragment", batch[i]) if i < 2 else ("deliverFragments", [batch[i]])
        )
        live.send(live.deliverers[i], function, argument)
    delivered = await market.logs(opened + 2, head(live))
    assert all(isinstance(log, FragmentDelivered) for log in delivered)
    for i, log in enumerate(delivered):
        assert isinstance(log, FragmentDelivered)
        leaf = live.leaves[i]
        assert (log.index, log.by, log.fragment) == (i, live.deliverers[i], bytes([i]) * 80)
        assert (log.commitment, log.secret_hash, log.supplied) == (
            leaf.commitment,
            leaf.secret_hash,
            False,
        )
    state = await market.sale_state(purchase.copy_id)
    assert (state.status, state.delivered, state.by_deliverers) == (Status.COMPLETE, 0b111, 3)
    assert (await market.deliverer(live.deliverers[1])).earned == live.terms.fee

    with pytest.raises(ContractReverted) as caught:
        await market.simulate(data, sender=live.deliverers[0])
    assert caught.value.error == "AlreadyDelivered"
    assert caught.value.arguments["index"] == 0


async def test_settled_and_refunded(market: Market, live: LiveMarket) -> None:
    live.open()
    live.buy(0)
    live.buy(1)
    sold = [log for log in await market.logs(0, head(live)) if isinstance(log, Purchase)]
    for i in range(3):
        live.send(live.deliverers[i], "deliverFragment", live.delivery(sold[0], i))
    start = head(live) + 1
    first, second = ((p.copy_id, sale_of(p), escrow_of(p)) for p in sold)
    live.send(live.buyer, "confirm", *first)
    with pytest.raises(ContractReverted) as caught:
        await market.simulate(encode("refund", *second), sender=live.buyer)
    assert caught.value.error == "TooEarly"
    live.anvil.mine(300)
    live.send(live.accounts[9], "refund", *second)
    logs = await market.logs(start, head(live))
    closed = [log for log in logs if isinstance(log, SaleClosed)]
    assert [(c.copy_id, c.status, c.by, c.penalty) for c in closed] == [
        (first[0], Status.SETTLED, live.buyer, 0),
        (second[0], Status.REFUNDED, live.accounts[9], live.terms.penalty),
    ]
    assert await market.credits(live.buyer) == ETHER + live.terms.penalty
    states = await market.sale_states([first[0], second[0], bytes(32)])
    assert [s.status for s in states] == [Status.SETTLED, Status.REFUNDED, Status.NONE]


async def test_blocks(market: Market, live: LiveMarket) -> None:
    live.anvil.mine(5)
    newest = head(live)
    assert (await market.head()).number == newest
    assert (await market.head(2)) == await market.block(newest - 2)
    assert (await market.head(newest + 50)).number == 0
    assert [b.number for b in await market.blocks([3, 1, 2])] == [3, 1, 2]
    with pytest.raises(BlockUnknownError):
        await market.block(newest + 1)


async def test_lagging_node_is_not_an_empty_range(market: Market, live: LiveMarket) -> None:
    with pytest.raises(BlockUnknownError):
        await market.logs(0, head(live) + 1)


async def test_reorganisation_shows_in_the_hashes(market: Market, live: LiveMarket) -> None:
    live.open()
    before = await market.page(0, head(live))
    live.anvil.request("anvil_reorg", 2, [])
    after = await market.page(0, before.end.number)
    assert after.end.number == before.end.number
    assert after.end.hash != before.end.hash
    assert len(after.logs) < len(before.logs)


async def test_reverted_transactions_are_told(live: LiveMarket) -> None:
    with pytest.raises(NodeFailedError):
        live.send(live.seller, "createStore", DIGEST, DIGEST)


# ------------------------------------------------------------------------------ lies, by a proxy


@pytest.fixture
def through(proxy, live: LiveMarket):
    """Logs as read through a proxy that changes what eth_getLogs gives."""
    rpcs: list[JsonRpc] = []

    async def read(change, *, canonical: bool = False, last: int | None = None) -> Any:
        def only_logs(method: str, params: list[Any], result: Any) -> Any:
            return change(params, result) if method == "eth_getLogs" else result

        server = await proxy(only_logs)
        rpc = JsonRpc(server.url, timeout=10)
        try:
            market = Market(rpc, live.deployment)
            return await market.logs(0, head(live) if last is None else last, canonical=canonical)
        finally:
            await rpc.close()
            rpcs.append(rpc)

    return read


def log_change(**fields: Any):
    """Changes the last log, which is a purchase."""

    def change(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*logs[:-1], {**logs[-1], **fields}]

    return change


TOPICS = [market_abi().topic("ItemPurchased"), bytes(32), bytes(32), bytes(32)]


@pytest.mark.parametrize(
    "change",
    [
        log_change(address="0x" + "11" * 20),
        log_change(address=None),
        log_change(topics=["0x" + "22" * 32]),
        log_change(topics=["0x" + topic.hex() for topic in TOPICS]),
        log_change(topics=[]),
        log_change(topics=None),
        log_change(topics=["0x12"]),
        log_change(data="0x"),
        log_change(data="0x1"),
        log_change(data=None),
        log_change(removed=True),
        log_change(removed="yes"),
        log_change(blockNumber="0xffff"),
        log_change(blockNumber=None),
        log_change(blockNumber="-0x1"),
        log_change(blockNumber="0x1"),
        log_change(blockHash="0x" + "33" * 32),
        log_change(blockHash=None),
        log_change(logIndex=None),
        log_change(transactionHash="0x00"),
        lambda params, logs: [*logs, None],
        lambda params, logs: {"logs": logs},
        lambda params, logs: None,
        lambda params, logs: [*logs, {**logs[-1], "transactionHash": "0x" + "44" * 32}],
    ],
)
async def test_forged_logs(through, live: LiveMarket, change) -> None:
    live.open()
    live.buy()
    with pytest.raises(RpcBadReplyError):
        await through(change, canonical=True)


async def test_copy_id_must_be_its_hash(through, live: LiveMarket) -> None:
    live.open()
    live.buy()

    def change(params: list[Any], logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        topics = logs[-1]["topics"]
        return [*logs[:-1], {**logs[-1], "topics": [topics[0], "0x" + "55" * 32, *topics[2:]]}]

    with pytest.raises(RpcBadReplyError, match="forged log"):
        await through(change)


async def test_duplicates_and_disorder(through, market: Market, live: LiveMarket) -> None:
    live.open()
    live.buy(0)
    live.buy(1)
    honest = await market.logs(0, head(live))
    assert len(honest) == 7
    assert await through(lambda params, logs: logs[::-1] + logs) == honest


async def test_range_limit_is_bisected(through, market: Market, live: LiveMarket) -> None:
    live.open()
    live.anvil.mine(300)
    live.buy()
    asked: list[tuple[int, int]] = []

    def limited(params: list[Any], logs: list[Any]) -> Any:
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first >= 50:
            return {"code": -32005, "message": "query exceeds max block range 50"}
        asked.append((first, last))
        return logs

    assert await through(limited) == await market.logs(0, head(live))
    assert asked[0][0] == 0
    assert all(b[0] == a[1] + 1 for a, b in itertools.pairwise(asked))
    assert asked[-1][1] == head(live)
    assert len(asked) < 20


@pytest.mark.parametrize(
    "error",
    [{"code": -32005, "message": "limit exceeded"}, {"code": -32000, "message": "no such luck"}],
)
async def test_a_node_that_gives_no_logs_is_read_by_its_receipts(
    through, market: Market, live: LiveMarket, error: dict[str, Any], monkeypatch
) -> None:
    monkeypatch.setattr(log_reader, "_UNKNOWN_PAUSE_SECONDS", 0.0)
    live.open()
    live.buy()
    assert await through(lambda params, logs: error) == await market.logs(0, head(live))


async def test_other_errors_are_not_bisected(through, live: LiveMarket) -> None:
    asked = 0

    def refuse(params: list[Any], logs: list[Any]) -> Any:
        nonlocal asked
        asked += 1
        return {"code": -32000, "message": "header not found"}

    with pytest.raises(RpcError):
        await through(refuse)
    assert asked == 2, "the same once more: another node may stand behind the address"


async def test_views_that_lie(proxy, live: LiveMarket) -> None:
    for answer in ("0x", "0x00", None, "0x" + "ff" * 160, {"x": 1}):
        server = await proxy(
            lambda method, params, result, a=answer: a if method == "eth_call" else result
        )
        async with JsonRpc(server.url) as rpc:
            market = Market(rpc, live.deployment)
            with pytest.raises(RpcBadReplyError):
                await market.sale_state(bytes(32))
            with pytest.raises(RpcBadReplyError):
                await market.deliverer(live.seller)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0xd92e233d"}, "ZeroAddress"),
        ({"code": -32015, "message": "VM error", "data": "Reverted 0xd92e233d"}, "ZeroAddress"),
        ({"code": -32603, "message": "x", "data": {"data": "0xd92e233d"}}, "ZeroAddress"),
        ({"code": 3, "message": "execution reverted"}, ""),
        ({"code": -32000, "message": "execution reverted"}, ""),
        ({"code": 3, "message": "execution reverted", "data": "0x12345678"}, "unknown"),
    ],
)
async def test_reverts_as_nodes_tell_them(proxy, live: LiveMarket, error, expected: str) -> None:
    server = await proxy(lambda method, params, result: error)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(ContractReverted) as caught:
            await Market(rpc, live.deployment).simulate(encode("stakeAsSeller"), sender=live.seller)
    assert caught.value.error == expected


async def test_a_node_s_own_refusal_is_no_revert(proxy, live: LiveMarket) -> None:
    error = {"code": -32000, "message": "insufficient funds for gas * price + value"}
    server = await proxy(lambda method, params, result: error)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcError):
            await Market(rpc, live.deployment).simulate(encode("stakeAsSeller"), sender=live.seller)
