"""A reader with an honest node and one that lies: nothing of a lie gets into the ledger."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from dam.crypto.hashing import copy_id, keccak, parse_address
from dam.daemon.chain_reader import ChainReader
from dam.errors import ConfigError, Retryable
from dam.ethereum.node_pool import DisagreementError, NodePool
from dam.ethereum.rpc import JsonRpc
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.sales import Sales
from dam.market.abi import encode, market_abi
from dam.market.client import Market
from dam.testing.market import MarketCode, deploy_market, transact
from dam.testing.nodes import AnvilNode
from dam.testing.pages import rows_of
from dam.types import Deployment
from tests.node.servers import Server

SOLD = "0x" + market_abi().topic("ItemPurchased").hex()


class Lies:
    """What the liar does with the node's answers; nothing, unless a test says so."""

    def __init__(self) -> None:
        self.logs: Any = None
        self.blocks: Any = None
        self.told = 0

    def __call__(self, method: str, params: list[Any], result: Any) -> Any:
        lie = {"eth_getLogs": self.logs, "eth_getBlockByNumber": self.blocks}.get(method)
        if lie is None or result is None:
            return result
        changed = lie(result)
        self.told += changed != result
        return changed


class Place:
    """A market with some stores, read through a liar and an honest node."""

    def __init__(self, anvil: AnvilNode, deployment: Deployment, folder: Path) -> None:
        self.anvil = anvil
        self.deployment = deployment
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.log = structlog.wrap_logger(None, processors=[self._note])

    def publish(self, number: int) -> None:
        """A new version of the store of account 1."""
        seller = self.anvil.request("eth_accounts")[1]
        name = "createStore" if number == 0 else "updateStore"
        data = encode(name, keccak(b"document %d" % number), keccak(b"root"))
        transact(self.anvil, seller, self.deployment.market, data)

    def ledger(self, name: str = "one") -> Ledger:
        binding = Binding(31337, self.deployment.market, self.deployment.market, "deliverer")
        return Ledger.open(self.folder / f"{name}.sqlite", binding)

    def reader(self, rpc: NodePool | JsonRpc, ledger: Ledger, **options: Any) -> ChainReader:
        options = {"confirmations": 1, **options}
        return ChainReader(
            Market(rpc, self.deployment),
            ledger,
            log=self.log,
            **options,
        )

    def _note(self, _: Any, level: str, event: dict[str, Any]) -> str:
        self.events.append({**event, "level": level})
        raise structlog.DropEvent


@pytest.fixture
def place(anvil: AnvilNode, code: MarketCode, tmp_path: Path) -> Place:
    made = Place(anvil, deploy_market(anvil, code=code), tmp_path)
    seller = anvil.request("eth_accounts")[1]
    transact(anvil, seller, made.deployment.market, encode("stakeAsSeller"), 10**18)
    for number in range(3):
        made.publish(number)
    anvil.mine(2)
    return made


async def catch_up(reader: ChainReader) -> None:
    while not (await reader.advance()).caught_up:
        pass


def versions(ledger: Ledger) -> int:
    [count] = ledger.db.execute("SELECT count(*) FROM store_versions").fetchone()
    return int(count)


def forged_purchase(market: str) -> Any:
    """Adds a purchase that never was, encoded as the contract would, in a block that is there."""
    seller, item = parse_address("0x" + "51" * 20), keccak(b"item")
    sold = copy_id(seller, item, 0)
    words = [*[bytes(32)] * 4, item, *[bytes(32)] * 5, (1).to_bytes(32, "big"), bytes(32)]
    words += [(1).to_bytes(32, "big")] * 2 + [bytes(32)] * 3
    words += [(18 * 32).to_bytes(32, "big"), (1).to_bytes(32, "big"), b"k" * 32]

    def lie(logs: list[Any]) -> list[Any]:
        if not logs:
            return logs
        topics = [SOLD, "0x" + sold.hex(), "0x" + "00" * 12 + seller[2:].lower(), "0x" + "00" * 32]
        forged = {
            **logs[-1],
            "topics": topics,
            "data": "0x" + b"".join(words).hex(),
            "logIndex": hex(int(logs[-1]["logIndex"], 16) + 1),
        }
        return [*logs, forged]

    return lie


@pytest.mark.parametrize("first", ["liar", "honest"])
@pytest.mark.parametrize("lie", ["forged purchase", "log left out", "forged block"])
async def test_a_lie_stops_the_reader_and_nothing_else(
    place: Place, proxy, first: str, lie: str
) -> None:
    lies = Lies()
    server: Server = await proxy(lies)
    urls = (server.url, place.anvil.url)
    with closing(place.ledger()) as ledger:
        async with NodePool(urls if first == "liar" else urls[::-1], log=place.log) as rpc:
            reader = place.reader(rpc, ledger)
            await catch_up(reader)
            assert versions(ledger) == 3
            place.publish(3)
            place.anvil.mine(2)
            cursor = ledger.cursor()
            if lie == "forged purchase":
                lies.logs = forged_purchase(place.deployment.market)
            elif lie == "log left out":
                lies.logs = lambda logs: logs[:-1]
            else:
                lies.blocks = lambda block: {**block, "hash": "0x" + "66" * 32}
            for _ in range(2):
                with pytest.raises(DisagreementError):
                    await catch_up(reader)
            assert lies.told
            assert ledger.cursor() == cursor
            assert versions(ledger) == 3
            assert not Sales(ledger).in_state("new")
            assert rpc.disagreement
            assert [e for e in place.events if e["event"] == "endpoints_disagree"]
            lies.logs = lies.blocks = None
            await catch_up(reader)
            assert versions(ledger) == 4
            assert not Sales(ledger).in_state("new")
            assert not rpc.disagreement


async def test_the_same_forgery_is_taken_from_a_single_node(place: Place, proxy) -> None:
    """So the lie above is one that a deliverer would fall for: see docs/operating.md, section 1."""
    lies = Lies()
    server: Server = await proxy(lies)
    lies.logs = forged_purchase(place.deployment.market)
    with closing(place.ledger()) as ledger:
        async with NodePool((server.url,)) as rpc:
            await catch_up(place.reader(rpc, ledger))
            assert Sales(ledger).in_state("new")


async def test_a_stale_node_moves_nothing_back(place: Place, proxy) -> None:
    """F21, F22 with two nodes: one stopped on a branch that has lost."""
    old = int(place.anvil.request("eth_blockNumber"), 16)
    stuck = False

    def lag(method: str, params: list[Any], result: Any) -> Any:
        if not stuck or method not in ("eth_getBlockByNumber", "eth_getLogs"):
            return result
        if method == "eth_getLogs":
            return [log for log in result if int(log["blockNumber"], 16) <= old]
        if int(result["number"], 16) > old:
            return place.anvil.request(method, hex(old), False) if params[0] == "latest" else None
        return result

    server: Server = await proxy(lag)
    with closing(place.ledger()) as ledger:
        async with NodePool((server.url, place.anvil.url), agree=1) as rpc:
            reader = place.reader(rpc, ledger)
            stuck = True
            await catch_up(reader)
            for number in range(3, 6):
                place.publish(number)
                place.anvil.mine(2)
                before = ledger.cursor()
                await catch_up(reader)
                after = ledger.cursor()
                assert before is not None
                assert after is not None
                assert after.number > before.number
            assert versions(ledger) == 6
            assert ledger.rollbacks == 0


async def test_raw_logs_and_records_give_the_same_rows(place: Place) -> None:
    async with JsonRpc(place.anvil.url) as rpc:
        market = Market(rpc, place.deployment)
        page = await market.page(0, place.deployment.first_block + 5)
        assert page.size == len(page.logs) == 3
        assert page.rows == rows_of(page.logs)


@pytest.mark.parametrize("tag", ["safe", "finalized"])
async def test_tags_as_depth(place: Place, tag: Any) -> None:
    """Anvil's epochs have 32 blocks."""
    place.anvil.mine(70)
    async with NodePool((place.anvil.url,)) as rpc:
        named = await Market(rpc, place.deployment).head(tag)
        newest = int(place.anvil.request("eth_blockNumber"), 16)
        assert named.number < newest
        with closing(place.ledger()) as ledger:
            await catch_up(place.reader(rpc, ledger, confirmations=tag))
            cursor = ledger.cursor()
            assert cursor is not None
            assert (cursor.number, cursor.hash) == (named.number, named.hash)
            place.anvil.mine(10)
            await catch_up(place.reader(rpc, ledger, confirmations=tag))
            moved = ledger.cursor()
            assert moved is not None
            assert moved.number == cursor.number + 10


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"code": -32602, "message": "hex string without 0x prefix"}, ConfigError),
        ({"code": -39001, "message": "safe block not found"}, Retryable),
        (None, Retryable),
    ],
)
async def test_a_node_without_tags_says_which_setting(
    place: Place, proxy, answer: Any, kind: type[Exception]
) -> None:
    """No such name: a wrong setting. No such block yet: a node that has just started."""

    def change(method: str, params: list[Any], result: Any) -> Any:
        return answer if method == "eth_getBlockByNumber" and params[0] == "safe" else result

    server: Server = await proxy(change)
    with closing(place.ledger()) as ledger:
        async with NodePool((server.url,)) as rpc:
            with pytest.raises(kind) as caught:
                await place.reader(rpc, ledger, confirmations="safe").advance()
    if answer is None or kind is ConfigError:
        assert "confirmations (DAM_CONFIRMATIONS)" in str(caught.value)


async def test_reads_while_the_chain_grows(place: Place) -> None:
    """Ranges that are on their way while others are saved: every log once, none missed."""
    place.anvil.mine(200)
    with closing(place.ledger()) as ledger:
        async with NodePool((place.anvil.url,)) as rpc:
            reader = place.reader(rpc, ledger, range_blocks=7)
            for number in range(3, 9):
                reading = asyncio.create_task(reader.advance())
                await asyncio.to_thread(place.publish, number)
                await asyncio.to_thread(place.anvil.mine, 9)
                await reading
            await catch_up(reader)
            assert versions(ledger) == 9
            assert not [e for e in place.events if e["event"] == "log_was_missing"]
