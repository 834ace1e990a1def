"""Several nodes as one: which is believed, and what none of them can do to us."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dam.errors import ConfigError
from dam.ethereum import node_pool
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcUnavailableError,
)
from dam.ethereum.node_pool import DisagreementError, NodePool
from dam.testing.nodes import AnvilNode
from tests.node.node_pool.nodes import ADDRESS, Node, Pools, changed, until, with_one, without_one


async def test_logs_that_all_tell_are_believed(pools: Pools) -> None:
    a, b, c = (Node(name) for name in "abc")
    b.logs = lambda logs: [*logs[::-1], logs[0]]
    rpc = await pools.open(a, b, c)
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
async def test_a_lie_is_not_believed(pools: Pools, lie: Any, liar: int) -> None:
    nodes = [Node("a"), Node("b")]
    nodes[liar].logs = lie
    rpc = await pools.open(*nodes)
    with pytest.raises(DisagreementError) as caught:
        await rpc.logs(ADDRESS, 3, 7)
    hosts = rpc.host.split(", ")
    assert all(host in str(caught.value) for host in hosts)
    [line] = pools.told("endpoints_disagree")
    assert (line["level"], line["hosts"], line["block"]) == ("error", hosts, 7)
    assert rpc.disagreement
    assert rpc.stats.disagreements == 1
    nodes[liar].logs = lambda logs: logs
    await rpc.logs(ADDRESS, 3, 7)
    assert not rpc.disagreement
    assert pools.told("endpoints_agree_again")


async def test_hex_in_upper_case_is_no_disagreement(pools: Pools) -> None:
    def shout(logs: list[Any]) -> list[Any]:
        return [
            {**one, "data": "0xAB", "blockHash": "0x" + one["blockHash"][2:].upper(),
             "topics": ["0x" + t[2:].upper() for t in one["topics"]], "logIndex": "0x00",
             "blockNumber": "0x0" + one["blockNumber"][2:].upper()}
            for one in logs
        ]  # fmt: skip

    a = Node("a", fork="z", logs=shout)
    b = Node("b", fork="z", logs=lambda logs: [{**one, "data": "0xab"} for one in logs])
    rpc = await pools.open(a, b)
    logs, _ = await rpc.logs(ADDRESS, 3, 10)
    assert len(logs) == 8
    shouted = a.result("eth_getBlockByNumber", ["0x7", False])
    a.answers["eth_getBlockByNumber"] = {**shouted, "hash": "0x" + shouted["hash"][2:].upper()}
    assert (await rpc.block("0x7"))["number"] == "0x7"


async def test_an_answer_that_comes_too_late_is_not_kept(pools: Pools) -> None:
    """It may be all logs of a flood, and the next one only comes when the node is late again."""
    rpc = await pools.open(Node("a"), Node("b"), Node("c", delay=3.5))
    await rpc.logs(ADDRESS, 3, 7)
    [late] = [node for node in rpc._all if node.late]
    assert late.trouble == "no answer yet"
    await until(lambda: late.late is None)
    assert not late.trouble


async def test_two_that_take_too_long_are_too_slow_and_not_away(pools: Pools) -> None:
    """Whoever asked may ask for less; for one that is away, that would be of no use."""
    a, b, c = Node("a", mode="hang"), Node("b", mode="hang"), Node("c", mode="down")
    rpc = await pools.open(a, b, c, timeout=0.3)
    with pytest.raises(RpcTimeoutError, match="0 of 3 nodes"):
        await rpc.logs(ADDRESS, 3, 7)
    for node in (a, b):
        node.mode = "down"
    pools.clock.now += 200
    rpc = await pools.open(a, b, Node("c"), timeout=0.3)
    with pytest.raises(RpcUnavailableError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_another_branch_is_a_disagreement(pools: Pools) -> None:
    rpc = await pools.open(Node("a"), Node("b", fork="b"))
    for ask in (rpc.logs(ADDRESS, 3, 7), rpc.block("0x7")):
        with pytest.raises(DisagreementError):
            await ask


async def test_a_difference_is_looked_at_twice(pools: Pools) -> None:
    """A new branch reaches two nodes at two moments."""
    a, b = Node("a"), Node("b")
    answers = iter([without_one, lambda logs: logs])
    b.logs = lambda logs: next(answers)(logs)
    rpc = await pools.open(a, b)
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    assert pools.events == []


async def test_two_liars_of_three_do_not_win(pools: Pools) -> None:
    """They agree with each other; the third is enough to be noticed."""
    nodes = [Node("a", logs=with_one), Node("b", logs=with_one), Node("c")]
    rpc = await pools.open(*nodes)
    with pytest.raises(DisagreementError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_one_alone_is_not_believed(pools: Pools) -> None:
    a, b = Node("a", logs=with_one), Node("b", mode="down")
    rpc = await pools.open(a, b)
    with pytest.raises(RpcUnavailableError, match="rpc_agree is 2"):
        await rpc.logs(ADDRESS, 3, 7)
    with pytest.raises(RpcUnavailableError):
        await rpc.block("0x7")
    with pytest.raises(RpcUnavailableError):
        await rpc.block("latest")


async def test_one_alone_is_believed_where_the_operator_says_so(pools: Pools) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await pools.open(a, b, agree=1)
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    b.logs = with_one
    a.mode = "well"
    pools.clock.now += 2
    await rpc.block("latest")
    await until(lambda: bool(pools.told("endpoint_back")))
    with pytest.raises(DisagreementError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_one_that_lags_does_not_disagree(pools: Pools) -> None:
    a, b, c = Node("a"), Node("b", head=6), Node("c")
    rpc = await pools.open(a, b, c)
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    assert (await rpc.block("0x7"))["hash"] == a.hash(7)
    assert pools.events == []
    two = await pools.open(a, b)
    with pytest.raises(RpcUnavailableError):
        await two.logs(ADDRESS, 3, 7)
    assert (await two.logs(ADDRESS, 3, 6))[1] is not None


async def test_a_block_that_nobody_has_is_none(pools: Pools) -> None:
    rpc = await pools.open(Node("a"), Node("b"))
    assert await rpc.block(hex(11)) is None
    assert (await rpc.logs(ADDRESS, 3, 11))[1] is None


async def test_no_node_can_send_us_ahead(pools: Pools) -> None:
    """The head is one that two nodes have reached."""
    rpc = await pools.open(Node("a", head=10**9), Node("b", head=9), Node("c", head=10))
    assert (await rpc.block("latest"))["number"] == hex(10)
    assert await rpc.call("web3_clientVersion") == "a", "and the others do not lag for that"
    assert all(rpc.health.values())


async def test_a_head_that_is_none_counts_as_a_failure(pools: Pools) -> None:
    bad = {"eth_getBlockByNumber": {"number": "ten"}}
    rpc = await pools.open(Node("a", answers=bad), Node("b"), Node("c"))
    assert (await rpc.block("latest"))["number"] == hex(10)
    assert pools.told("endpoint_set_aside")


async def test_a_range_that_one_refuses_is_made_smaller(pools: Pools) -> None:
    refusal = {"code": -32005, "message": "query exceeds max block range 3"}
    rpc = await pools.open(Node("a"), Node("b", answers={"eth_getLogs": refusal}))
    with pytest.raises(RpcRangeError):
        await rpc.logs(ADDRESS, 3, 7)
    assert all(rpc.health.values()), "it is no fault of the node's"


SIZE = {"code": -32005, "message": "query exceeds max block range 3"}
PARAMS = {"code": -32602, "message": "invalid params"}


@pytest.mark.parametrize("refusal", [SIZE, PARAMS, {"code": -32000, "message": "rate limit"}])
async def test_one_refusal_never_stops_the_round(pools: Pools, refusal: Any) -> None:
    rpc = await pools.open(Node("a", answers={"eth_getLogs": refusal}), Node("b"), Node("c"))
    for _ in range(3):
        logs, _ = await rpc.logs(ADDRESS, 3, 7)
        assert len(logs) == 5


@pytest.mark.parametrize("refusal", [SIZE, PARAMS])
async def test_too_few_for_refusals_is_the_refusal(pools: Pools, refusal: Any) -> None:
    """So that the caller asks for less; but not where that would not be enough."""
    refusing = {"eth_getLogs": refusal}
    b = Node("b", mode="down")
    rpc = await pools.open(Node("a"), b, Node("c", answers=refusing))
    with pytest.raises(RpcRangeError if refusal is SIZE else RpcRejectedError):
        await rpc.logs(ADDRESS, 3, 7)
    rpc = await pools.open(b, Node("d", mode="down"), Node("c", answers=refusing))
    with pytest.raises(RpcUnavailableError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_too_few_is_alerted_once_and_so_is_its_end(pools: Pools) -> None:
    a, b, c = Node("a"), Node("b", mode="down"), Node("c", head=6)
    rpc = await pools.open(a, b, c)
    for _ in range(5):
        with pytest.raises(RpcUnavailableError, match="rpc_agree is 2"):
            await rpc.logs(ADDRESS, 3, 7)
    [line] = pools.told("endpoints_too_few")
    assert (line["level"], line["told"], line["needed"]) == ("error", 1, 2)
    assert "HTTP 503" in line["error"]
    c.head = 10
    await rpc.logs(ADDRESS, 3, 7)
    await rpc.logs(ADDRESS, 3, 7)
    assert len(pools.told("endpoints_enough_again")) == 1


async def test_a_head_that_too_few_know_is_alerted(pools: Pools) -> None:
    """The third is down: one that lags holds up the other, and the operator has to know."""
    a, b, c = Node("a", head=4), Node("b"), Node("c", mode="down")
    rpc = await pools.open(a, b, c)
    for _ in range(5):
        assert (await rpc.block("latest"))["number"] == hex(4)
    [line] = pools.told("endpoints_too_few")
    assert (line["level"], line["told"], line["needed"]) == ("error", 1, 2)
    a.head = 10
    await rpc.block("latest")
    await rpc.block("latest")
    assert len(pools.told("endpoints_enough_again")) == 1


async def test_nobody_waits_long_for_one_that_hangs(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even once for as long as a call may take."""
    a, b, c = Node("a", mode="hang"), Node("b"), Node("c")
    rpc = await pools.open(a, b, c, timeout=60)
    async with asyncio.timeout(20):
        assert len((await rpc.logs(ADDRESS, 3, 7))[0]) == 5
    assert list(rpc.troubles.values()) == ["no answer yet"]
    monkeypatch.setattr(node_pool, "_PATIENCE_SECONDS", 3600.0)
    async with asyncio.timeout(20):
        assert len((await rpc.logs(ADDRESS, 3, 7))[0]) == 5
        assert await rpc.call("web3_clientVersion") == "b"
    assert len(a.asked) == 2, "one question at a time"


async def test_one_that_is_a_little_slower_counts(pools: Pools) -> None:
    """A contradiction that comes a second after the others' word is heard."""
    a, b, c = Node("a", logs=with_one, delay=0.8), Node("b"), Node("c")
    rpc = await pools.open(a, b, c)
    with pytest.raises(DisagreementError):
        await rpc.logs(ADDRESS, 3, 7)


async def test_one_that_lags_shows_in_health(pools: Pools) -> None:
    a, b, c = Node("a", head=4), Node("b"), Node("c")
    rpc = await pools.open(a, b, c)
    await rpc.block("latest")
    hosts = rpc.host.split(", ")
    assert rpc.health == dict(zip(hosts, (False, True, True), strict=True))
    assert rpc.troubles == {hosts[0]: "6 blocks behind the others"}


async def test_garbage_is_a_failure_of_its_node(pools: Pools) -> None:
    rpc = await pools.open(Node("a", logs=lambda logs: {"no": 1}), Node("b"), Node("c"))
    logs, _ = await rpc.logs(ADDRESS, 3, 7)
    assert len(logs) == 5
    assert pools.told("endpoint_set_aside")
    alone = await pools.open(Node("a", logs=lambda logs: [*logs, 5]))
    with pytest.raises(RpcBadReplyError):
        await alone.logs(ADDRESS, 3, 7)


@pytest.mark.parametrize("wrong", [0, 1])
async def test_a_wrong_chain_of_any_node_is_a_wrong_setting(pools: Pools, wrong: int) -> None:
    nodes = [Node("a"), Node("b")]
    rpc = await pools.open(*nodes)
    await rpc.check_chain(1)
    nodes[wrong].chain_id = 5
    with pytest.raises(ConfigError, match="on chain 5"):
        await rpc.check_chain(1)


async def test_a_node_that_is_down_is_checked_when_it_comes_back(pools: Pools) -> None:
    a, b, c = Node("a"), Node("b"), Node("c", mode="down", chain_id=5)
    rpc = await pools.open(c, a, b)
    await rpc.check_chain(1)
    c.mode = "well"
    pools.clock.now += 2
    await rpc.call("web3_clientVersion")
    await until(lambda: c.asked.count("eth_chainId") == 2)
    await until(lambda: rpc._all[0].chain_id == 5)
    assert await rpc.call("web3_clientVersion") == "a", "it is not asked"
    await rpc.call("eth_sendRawTransaction", "0x00")
    assert "eth_sendRawTransaction" not in c.asked
    with pytest.raises(ConfigError):
        await rpc.check_chain(1)


async def test_too_few_to_check_is_no_wrong_setting(pools: Pools) -> None:
    rpc = await pools.open(Node("a"), Node("b", mode="down"))
    with pytest.raises(RpcUnavailableError):
        await rpc.check_chain(1)


@pytest.mark.parametrize("agree", [0, 3])
async def test_agreement_of_more_than_there_are(agree: int) -> None:
    with pytest.raises(ConfigError):
        NodePool(("http://127.0.0.1:1", "http://127.0.0.1:2"), agree=agree)


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
