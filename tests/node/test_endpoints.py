"""Several nodes as one: which is asked, which is believed, and what none of them can do to us."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from dam.errors import ConfigError, RpcError
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcUnavailableError,
)
from dam.ethereum.node_pool import DisagreementError, NodePool
from dam.testing.nodes import AnvilNode

from .conftest import Server, http

ADDRESS = "0x" + "da" * 20
REJECTION = {"code": -32000, "message": "nonce too low"}


@dataclass
class Node:
    """A node that a test plays: ten blocks, a log in each, and faults as the test says."""

    name: str
    head: int = 10
    chain_id: int = 1
    fork: str = "a"
    mode: str = "well"
    """``well``, ``down`` (503), ``busy`` (429), ``hang`` or ``cut``."""
    retry_after: str = "7"
    logs: Callable[[list[Any]], Any] = field(default=lambda logs: logs)
    answers: dict[str, Any] = field(default_factory=dict)
    """Method to result, or to an error (an object with a code)."""
    asked: list[str] = field(default_factory=list)

    def hash(self, number: int) -> str:
        return f"0x{self.fork.encode().hex():>02}{number:062x}"

    def result(self, method: str, params: list[Any]) -> Any:
        if method in self.answers:
            return self.answers[method]
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16) if params[0].startswith("0x") else self.head
            if number > self.head:
                return None
            return {"number": hex(number), "hash": self.hash(number), "timestamp": "0x1"}
        if method == "eth_getLogs":
            first, last = (int(params[0][key], 16) for key in ("fromBlock", "toBlock"))
            return self.logs([self.log(n) for n in range(first, min(last, self.head) + 1)])
        return self.name

    def log(self, number: int) -> dict[str, Any]:
        return {
            "address": ADDRESS,
            "topics": ["0x" + "11" * 32],
            "data": "0x",
            "blockNumber": hex(number),
            "blockHash": self.hash(number),
            "transactionHash": "0x" + "22" * 32,
            "logIndex": "0x0",
        }

    async def handle(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        batch = isinstance(calls, list)
        calls = calls if batch else [calls]
        self.asked += [call["method"] for call in calls]
        if self.mode == "hang":
            await asyncio.sleep(60)
        if self.mode == "down":
            writer.write(http("503 Service Unavailable", b"<html>"))
        elif self.mode == "busy":
            wish = f"Retry-After: {self.retry_after}"
            writer.write(http("429 Too Many Requests", b"slow down", wish))
        elif self.mode == "cut":
            writer.write(http("200 OK", b'{"jsonrpc":"2.0","id":'))
        else:
            replies = []
            for call in calls:
                result = self.result(call["method"], call["params"])
                key = "error" if isinstance(result, dict) and "code" in result else "result"
                replies.append({"jsonrpc": "2.0", "id": call["id"], key: result})
            writer.write(http("200 OK", json.dumps(replies if batch else replies[0]).encode()))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Town:
    """Nodes ``a`` and ``b`` (and more), and what asks them."""

    def __init__(self, serve: Callable[..., Awaitable[Server]]) -> None:
        self._serve = serve
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        self.opened: list[NodePool] = []
        self.log = structlog.wrap_logger(None, processors=[self._note])

    async def endpoints(self, *nodes: Node, **options: Any) -> NodePool:
        urls = [(await self._serve(node.handle)).url + "/v3/SECRETKEY" for node in nodes]
        options = {"timeout": 5.0, **options}
        made = NodePool(urls, log=self.log, clock=self.clock, **options)
        self.opened.append(made)
        return made

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]

    def _note(self, _: Any, level: str, event: dict[str, Any]) -> str:
        self.events.append({**event, "level": level})
        raise structlog.DropEvent


@pytest.fixture
async def town(serve):
    made = Town(serve)
    yield made
    for endpoints in made.opened:
        await endpoints.close()
    assert "SECRETKEY" not in repr(made.events)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


# ------------------------------------------------------------------------------------- fail-over


async def test_the_first_node_answers(town: Town) -> None:
    a, b = Node("a"), Node("b")
    rpc = await town.endpoints(a, b)
    assert await rpc.call("web3_clientVersion") == "a"
    assert await rpc.batch([("web3_clientVersion", ()), ("net_version", ())]) == ["a", "a"]
    assert b.asked == []
    assert (rpc.stats.requests, rpc.stats.failures) == (2, 0)


@pytest.mark.parametrize("mode", ["down", "busy", "hang", "cut"])
async def test_the_next_one_answers_where_one_fails(town: Town, mode: str) -> None:
    a, b = Node("a", mode=mode), Node("b")
    rpc = await town.endpoints(a, b, timeout=0.5)
    assert await rpc.call("web3_clientVersion") == "b"
    asked = len(a.asked)
    assert await rpc.batch([("web3_clientVersion", ())]) == ["b"]
    assert len(a.asked) == asked, "it is set aside, and delays no second call"
    assert rpc.stats.failures == 1
    [line] = town.told("endpoint_set_aside")
    assert line["level"] == "warning"
    assert rpc.health == dict(zip(rpc.host.split(", "), (False, True), strict=True))


async def test_a_node_comes_back_once_it_answers_a_probe(town: Town) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await town.endpoints(a, b)
    assert await rpc.call("web3_clientVersion") == "b"
    town.clock.now += 1.1
    assert await rpc.call("web3_clientVersion") == "b", "nobody waits for a probe"
    await until(lambda: a.asked.count("eth_chainId") == 1)
    await until(lambda: not rpc._all[0].probe or rpc._all[0].probe.done())
    a.mode = "well"
    town.clock.now += 1.1
    assert await rpc.call("web3_clientVersion") == "b", "twice as long after the second failure"
    assert a.asked.count("eth_chainId") == 1
    town.clock.now += 1.1
    await rpc.call("web3_clientVersion")
    await until(lambda: bool(town.told("endpoint_back")))
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_wish_to_wait_is_granted(town: Town) -> None:
    a, b = Node("a", mode="busy", retry_after="60"), Node("b")
    rpc = await town.endpoints(a, b)
    assert await rpc.call("web3_clientVersion") == "b"
    asked = list(a.asked)
    for _ in range(3):
        town.clock.now += 19
        assert await rpc.call("web3_clientVersion") == "b"
        assert await rpc.call("eth_sendRawTransaction", "0x00") == "b"
    assert a.asked == asked
    town.clock.now += 4
    a.mode = "well"
    await rpc.call("web3_clientVersion")
    await until(lambda: bool(town.told("endpoint_back")))


async def test_a_single_node_s_wish_is_granted_without_asking_it(town: Town) -> None:
    a = Node("a", mode="busy", retry_after="20")
    rpc = await town.endpoints(a)
    with pytest.raises(RpcUnavailableError):
        await rpc.call("eth_chainId")
    asked = len(a.asked)
    with pytest.raises(RpcUnavailableError) as caught:
        await rpc.call("eth_chainId")
    assert (len(a.asked), caught.value.status, caught.value.retry_after) == (asked, 429, 20.0)
    a.mode = "well"
    town.clock.now += 20.1
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_wish_for_a_day_is_cut(town: Town) -> None:
    a = Node("a", mode="busy", retry_after="86400")
    rpc = await town.endpoints(a)
    with pytest.raises(RpcUnavailableError):
        await rpc.call("eth_chainId")
    a.mode = "well"
    town.clock.now += 301
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_single_node_is_asked_again_at_once(town: Town) -> None:
    """As `JsonRpc`: who asks has a pause of its own."""
    a = Node("a", mode="down")
    rpc = await town.endpoints(a)
    with pytest.raises(RpcUnavailableError):
        await rpc.call("web3_clientVersion")
    a.mode = "well"
    assert await rpc.call("web3_clientVersion") == "a"
    assert town.events == []


async def test_all_down_is_the_first_one_s_error(town: Town) -> None:
    rpc = await town.endpoints(Node("a", mode="hang"), Node("b", mode="down"), timeout=0.3)
    with pytest.raises(RpcTimeoutError):
        await rpc.call("web3_clientVersion")
    with pytest.raises(RpcError):
        await rpc.call("web3_clientVersion")


async def test_a_refusal_is_an_answer(town: Town) -> None:
    a, b = Node("a", answers={"eth_call": {"code": 3, "message": "reverted"}}), Node("b")
    rpc = await town.endpoints(a, b)
    with pytest.raises(RpcRejectedError):
        await rpc.call("eth_call")
    assert (b.asked, town.events) == ([], [])


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32005, "message": "daily request count exceeded"},
        {"code": -32601, "message": "the method does not exist"},
        {"code": -32000, "message": "missing trie node 1234"},
        {"code": -32000, "message": "header not found"},
    ],
)
async def test_what_speaks_of_the_node_is_asked_of_another(town: Town, error: Any) -> None:
    a, b = Node("a", answers={"eth_call": error}), Node("b")
    rpc = await town.endpoints(a, b)
    assert await rpc.call("eth_call") == "b"


async def test_a_node_that_lags_is_asked_last(town: Town) -> None:
    a, b, c = Node("a", head=5), Node("b", head=10), Node("c", head=9)
    rpc = await town.endpoints(a, b, c)
    assert (await rpc.block("latest"))["number"] == hex(9)
    assert await rpc.call("web3_clientVersion") == "b"
    a.head = 10
    await rpc.block("latest")
    assert await rpc.call("web3_clientVersion") == "a"


async def test_blocks_that_a_node_lacks_are_asked_of_another(town: Town) -> None:
    a, b = Node("a", head=9), Node("b")
    rpc = await town.endpoints(a, b)
    await rpc.block("latest")
    asked = [("eth_getBlockByNumber", (hex(n), False)) for n in (9, 10)]
    assert [block["hash"] for block in await rpc.batch(asked)] == [b.hash(9), b.hash(10)]
    both = [*asked, ("eth_getBlockByNumber", (hex(11), False))]
    assert (await rpc.batch(both))[2] is None
    assert await rpc.call("web3_clientVersion") == "a"


# ----------------------------------------------------------------------------------------- sends


async def test_a_transaction_goes_to_all(town: Town) -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    rpc = await town.endpoints(*nodes)
    await rpc.call("eth_sendRawTransaction", "0x00")
    await until(lambda: all(node.asked == ["eth_sendRawTransaction"] for node in nodes))


async def test_one_that_took_it_is_enough(town: Town) -> None:
    a = Node("a", answers={"eth_sendRawTransaction": REJECTION})
    b, c = Node("b", mode="down"), Node("c")
    rpc = await town.endpoints(a, b, c)
    assert await rpc.call("eth_sendRawTransaction", "0x00") == "c"


async def test_nobody_waits_for_one_that_hangs(town: Town) -> None:
    a, b = Node("a", mode="hang"), Node("b")
    rpc = await town.endpoints(a, b, timeout=60)
    async with asyncio.timeout(20):
        assert await rpc.call("eth_sendRawTransaction", "0x00") == "b"


async def test_nobody_waits_for_one_that_is_set_aside(town: Town) -> None:
    """Not even for a better answer than a refusal."""
    a, b = Node("a", mode="down"), Node("b", answers={"eth_sendRawTransaction": REJECTION})
    rpc = await town.endpoints(a, b, timeout=60)
    await rpc.call("web3_clientVersion")
    a.mode = "hang"
    async with asyncio.timeout(20):
        with pytest.raises(RpcRejectedError):
            await rpc.call("eth_sendRawTransaction", "0x00")


async def test_a_node_s_own_words_go_before_a_silence(town: Town) -> None:
    a, b = Node("a", mode="down"), Node("b", answers={"eth_sendRawTransaction": REJECTION})
    rpc = await town.endpoints(a, b)
    with pytest.raises(RpcRejectedError, match="nonce too low"):
        await rpc.call("eth_sendRawTransaction", "0x00")


async def test_that_one_has_it_goes_before_what_others_say(town: Town) -> None:
    known = {"code": -32000, "message": "already known"}
    a = Node("a", answers={"eth_sendRawTransaction": REJECTION})
    rpc = await town.endpoints(a, Node("b", answers={"eth_sendRawTransaction": known}))
    with pytest.raises(RpcRejectedError, match="already known"):
        await rpc.call("eth_sendRawTransaction", "0x00")


async def test_a_node_set_aside_gets_it_too(town: Town) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await town.endpoints(a, b)
    await rpc.call("web3_clientVersion")
    assert await rpc.call("eth_sendRawTransaction", "0x00") == "b"
    await until(lambda: "eth_sendRawTransaction" in a.asked)


# ------------------------------------------------------------------------------------- agreement


def without_one(logs: list[Any]) -> list[Any]:
    return logs[:-1]


def with_one(logs: list[Any]) -> list[Any]:
    return [*logs, {**logs[-1], "logIndex": "0x1"}]


def changed(**fields: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda logs: [*logs[:-1], {**logs[-1], **fields}]


async def test_logs_that_all_tell_are_believed(town: Town) -> None:
    a, b, c = (Node(name) for name in "abc")
    b.logs = lambda logs: [*logs[::-1], logs[0]]
    rpc = await town.endpoints(a, b, c)
    logs, end = await rpc.logs(ADDRESS, 3, 7)
    assert [int(log.block_number, 16) for log in logs] == [3, 4, 5, 6, 7]
    assert end is not None
    assert end.hash == a.hash(7)
    assert all(node.asked == ["eth_getBlockByNumber", "eth_getLogs"] for node in (a, b, c))


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize(
    "lie",
    [
        without_one,
        with_one,
        changed(data="0x12"),
        changed(topics=["0x" + "12" * 32]),
        changed(blockHash="0x" + "13" * 32),
        changed(address="0x" + "14" * 20),
        changed(logIndex="0x7"),
        changed(transactionHash="0x" + "15" * 32),
        lambda logs: [],
    ],
)
async def test_a_lie_is_not_believed(town: Town, lie: Any, liar: int) -> None:
    nodes = [Node("a"), Node("b")]
    nodes[liar].logs = lie
    rpc = await town.endpoints(*nodes)
    with pytest.raises(DisagreementError) as caught:
        await rpc.logs(ADDRESS, 3, 7)
    hosts = rpc.host.split(", ")
    assert all(host in str(caught.value) for host in hosts)
    [line] = town.told("endpoints_disagree")
    assert (line["level"], line["hosts"], line["block"]) == ("error", hosts, 7)
    assert rpc.disagreement
    assert rpc.stats.disagreements == 1
    nodes[liar].logs = lambda logs: logs
    await rpc.logs(ADDRESS, 3, 7)
    assert not rpc.disagreement
    assert town.told("endpoints_agree_again")


async def test_another_branch_is_a_disagreement(town: Town) -> None:
    rpc = await town.endpoints(Node("a"), Node("b", fork="b"))
    for ask in (rpc.logs(ADDRESS, 3, 7), rpc.block("0x7")):
        with pytest.raises(DisagreementError):
            await ask


async def test_a_difference_is_looked_at_twice(town: Town) -> None:
    """A new branch reaches two nodes at two moments."""
    a, b = Node("a"), Node("b")
    answers = iter([without_one, lambda logs: logs])
    b.logs = lambda logs: next(answers)(logs)
    rpc = await town.endpoints(a, b)
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    assert town.events == []


async def test_two_liars_of_three_do_not_win(town: Town) -> None:
    """They agree with each other; the third is enough to be noticed."""
    nodes = [Node("a", logs=with_one), Node("b", logs=with_one), Node("c")]
    rpc = await town.endpoints(*nodes)
    with pytest.raises(DisagreementError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_one_alone_is_not_believed(town: Town) -> None:
    a, b = Node("a", logs=with_one), Node("b", mode="down")
    rpc = await town.endpoints(a, b)
    with pytest.raises(RpcUnavailableError, match="rpc_agree is 2"):
        await rpc.logs(ADDRESS, 3, 7)
    with pytest.raises(RpcUnavailableError):
        await rpc.block("0x7")
    with pytest.raises(RpcUnavailableError):
        await rpc.block("latest")


async def test_one_alone_is_believed_where_the_operator_says_so(town: Town) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await town.endpoints(a, b, agree=1)
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    b.logs = with_one
    a.mode = "well"
    town.clock.now += 2
    await rpc.block("latest")
    await until(lambda: bool(town.told("endpoint_back")))
    with pytest.raises(DisagreementError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_one_that_lags_does_not_disagree(town: Town) -> None:
    a, b, c = Node("a"), Node("b", head=6), Node("c")
    rpc = await town.endpoints(a, b, c)
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    assert (await rpc.block("0x7"))["hash"] == a.hash(7)
    assert town.events == []
    two = await town.endpoints(a, b)
    with pytest.raises(RpcUnavailableError):
        await two.logs(ADDRESS, 3, 7)
    assert (await two.logs(ADDRESS, 3, 6))[1] is not None


async def test_a_block_that_nobody_has_is_none(town: Town) -> None:
    rpc = await town.endpoints(Node("a"), Node("b"))
    assert await rpc.block(hex(11)) is None
    assert (await rpc.logs(ADDRESS, 3, 11))[1] is None


async def test_no_node_can_send_us_ahead(town: Town) -> None:
    """The head is one that two nodes have reached."""
    rpc = await town.endpoints(Node("a", head=10**9), Node("b", head=9), Node("c", head=10))
    assert (await rpc.block("latest"))["number"] == hex(10)
    assert await rpc.call("web3_clientVersion") == "a", "and the others do not lag for that"
    assert not any(node.lags for node in rpc._all)


async def test_a_head_that_is_none_counts_as_a_failure(town: Town) -> None:
    bad = {"eth_getBlockByNumber": {"number": "ten"}}
    rpc = await town.endpoints(Node("a", answers=bad), Node("b"), Node("c"))
    assert (await rpc.block("latest"))["number"] == hex(10)
    assert town.told("endpoint_set_aside")


async def test_a_range_that_one_refuses_is_made_smaller(town: Town) -> None:
    refusal = {"code": -32005, "message": "query exceeds max block range 3"}
    rpc = await town.endpoints(Node("a"), Node("b", answers={"eth_getLogs": refusal}))
    with pytest.raises(RpcRangeError):
        await rpc.logs(ADDRESS, 3, 7)
    assert all(rpc.health.values()), "it is no fault of the node's"


async def test_garbage_is_a_failure_of_its_node(town: Town) -> None:
    rpc = await town.endpoints(Node("a", logs=lambda logs: {"no": 1}), Node("b"), Node("c"))
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    assert town.told("endpoint_set_aside")
    alone = await town.endpoints(Node("a", logs=lambda logs: [*logs, 5]))
    with pytest.raises(RpcBadReplyError):
        await alone.logs(ADDRESS, 3, 7)


# -------------------------------------------------------------------------------------- chain id


@pytest.mark.parametrize("wrong", [0, 1])
async def test_a_wrong_chain_of_any_node_is_a_wrong_setting(town: Town, wrong: int) -> None:
    nodes = [Node("a"), Node("b")]
    rpc = await town.endpoints(*nodes)
    await rpc.check_chain(1)
    nodes[wrong].chain_id = 5
    with pytest.raises(ConfigError, match="on chain 5"):
        await rpc.check_chain(1)


async def test_a_node_that_is_down_is_checked_when_it_comes_back(town: Town) -> None:
    a, b, c = Node("a"), Node("b"), Node("c", mode="down", chain_id=5)
    rpc = await town.endpoints(c, a, b)
    await rpc.check_chain(1)
    c.mode = "well"
    town.clock.now += 2
    await rpc.call("web3_clientVersion")
    await until(lambda: c.asked.count("eth_chainId") == 2)
    await until(lambda: rpc._all[0].chain_id == 5)
    assert await rpc.call("web3_clientVersion") == "a", "it is not asked"
    await rpc.call("eth_sendRawTransaction", "0x00")
    assert "eth_sendRawTransaction" not in c.asked
    with pytest.raises(ConfigError):
        await rpc.check_chain(1)


async def test_too_few_to_check_is_no_wrong_setting(town: Town) -> None:
    rpc = await town.endpoints(Node("a"), Node("b", mode="down"))
    with pytest.raises(RpcUnavailableError):
        await rpc.check_chain(1)


@pytest.mark.parametrize("agree", [0, 3])
async def test_agreement_of_more_than_there_are(agree: int) -> None:
    with pytest.raises(ConfigError):
        NodePool(("http://127.0.0.1:1", "http://127.0.0.1:2"), agree=agree)


# ------------------------------------------------------------------------------------ real chains


async def test_two_chains_of_one_id_do_not_agree(anvil: AnvilNode) -> None:
    """Chain ids can be the same by mistake; blocks cannot."""
    with AnvilNode(args=("--timestamp", "1700000000")) as other:
        anvil.mine(5)
        other.mine(5)
        async with NodePool((anvil.url, other.url)) as rpc:
            await rpc.check_chain(31337)
            with pytest.raises(DisagreementError):
                await rpc.logs(ADDRESS, 1, 5)
            with pytest.raises(DisagreementError):
                await rpc.block("0x3")
    with AnvilNode(chain_id=5) as other:
        async with NodePool((anvil.url, other.url)) as rpc:
            with pytest.raises(ConfigError, match="on chain 5"):
                await rpc.check_chain(31337)
