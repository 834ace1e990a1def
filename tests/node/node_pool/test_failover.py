"""Several nodes as one: which is asked, and which get a transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dam.errors import RpcError
from dam.ethereum import node_pool
from dam.ethereum.node_errors import (
    RpcMethodError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcUnavailableError,
)
from tests.node.node_pool.nodes import REJECTION, Node, Pools, until


async def test_the_first_node_answers(pools: Pools) -> None:
    a, b = Node("a"), Node("b")
    rpc = await pools.open(a, b)
    assert await rpc.call("web3_clientVersion") == "a"
    assert await rpc.batch([("web3_clientVersion", ()), ("net_version", ())]) == ["a", "a"]
    assert b.asked == []
    assert (rpc.stats.requests, rpc.stats.failures) == (2, 0)


@pytest.mark.parametrize("mode", ["down", "busy", "hang", "cut"])
async def test_the_next_one_answers_where_one_fails(pools: Pools, mode: str) -> None:
    a, b = Node("a", mode=mode), Node("b")
    rpc = await pools.open(a, b, timeout=0.5)
    assert await rpc.call("web3_clientVersion") == "b"
    asked = len(a.asked)
    assert await rpc.batch([("web3_clientVersion", ())]) == ["b"]
    assert len(a.asked) == asked, "it is set aside, and delays no second call"
    assert rpc.stats.failures == 1
    [line] = pools.told("endpoint_set_aside")
    assert line["level"] == "warning"
    assert rpc.health == dict(zip(rpc.host.split(", "), (False, True), strict=True))


async def test_a_node_comes_back_once_it_answers_a_probe(pools: Pools) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await pools.open(a, b)
    assert await rpc.call("web3_clientVersion") == "b"
    pools.clock.now += 1.1
    assert await rpc.call("web3_clientVersion") == "b", "nobody waits for a probe"
    await until(lambda: a.asked.count("eth_chainId") == 1)
    await until(lambda: not rpc._all[0].probe or rpc._all[0].probe.done())
    a.mode = "well"
    pools.clock.now += 1.1
    assert await rpc.call("web3_clientVersion") == "b", "twice as long after the second failure"
    assert a.asked.count("eth_chainId") == 1
    pools.clock.now += 1.1
    await rpc.call("web3_clientVersion")
    await until(lambda: bool(pools.told("endpoint_back")))
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_wish_to_wait_is_granted(pools: Pools) -> None:
    a, b = Node("a", mode="busy", retry_after="60"), Node("b")
    rpc = await pools.open(a, b)
    assert await rpc.call("web3_clientVersion") == "b"
    asked = list(a.asked)
    for _ in range(3):
        pools.clock.now += 19
        assert await rpc.call("web3_clientVersion") == "b"
        assert await rpc.call("eth_sendRawTransaction", "0x00") == "b"
    assert a.asked == asked
    pools.clock.now += 4
    a.mode = "well"
    await rpc.call("web3_clientVersion")
    await until(lambda: bool(pools.told("endpoint_back")))


async def test_a_single_node_s_wish_is_granted_without_asking_it(pools: Pools) -> None:
    a = Node("a", mode="busy", retry_after="20")
    rpc = await pools.open(a)
    with pytest.raises(RpcUnavailableError):
        await rpc.call("eth_chainId")
    asked = len(a.asked)
    with pytest.raises(RpcUnavailableError) as caught:
        await rpc.call("eth_chainId")
    assert (len(a.asked), caught.value.status, caught.value.retry_after) == (asked, 429, 20.0)
    a.mode = "well"
    pools.clock.now += 20.1
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_wish_for_a_day_is_cut(pools: Pools) -> None:
    a = Node("a", mode="busy", retry_after="86400")
    rpc = await pools.open(a)
    with pytest.raises(RpcUnavailableError):
        await rpc.call("eth_chainId")
    a.mode = "well"
    pools.clock.now += 301
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_single_node_is_asked_again_at_once(pools: Pools) -> None:
    """As `JsonRpc`: who asks has a pause of its own."""
    a = Node("a", mode="down")
    rpc = await pools.open(a)
    with pytest.raises(RpcUnavailableError):
        await rpc.call("web3_clientVersion")
    a.mode = "well"
    assert await rpc.call("web3_clientVersion") == "a"
    assert pools.events == []


async def test_all_down_is_the_first_one_s_error(pools: Pools) -> None:
    rpc = await pools.open(Node("a", mode="hang"), Node("b", mode="down"), timeout=0.3)
    with pytest.raises(RpcTimeoutError):
        await rpc.call("web3_clientVersion")
    with pytest.raises(RpcError):
        await rpc.call("web3_clientVersion")


async def test_a_refusal_is_an_answer(pools: Pools) -> None:
    a, b = Node("a", answers={"eth_call": {"code": 3, "message": "reverted"}}), Node("b")
    rpc = await pools.open(a, b)
    with pytest.raises(RpcRejectedError):
        await rpc.call("eth_call")
    assert (b.asked, pools.events) == ([], [])


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32005, "message": "daily request count exceeded"},
        {"code": -32601, "message": "the method does not exist"},
        {"code": -32000, "message": "missing trie node 1234"},
        {"code": -32000, "message": "header not found"},
    ],
)
async def test_what_speaks_of_the_node_is_asked_of_another(pools: Pools, error: Any) -> None:
    a, b = Node("a", answers={"eth_call": error}), Node("b")
    rpc = await pools.open(a, b)
    assert await rpc.call("eth_call") == "b"


async def test_what_a_node_fails_at_in_a_batch_is_asked_of_another(pools: Pools) -> None:
    """A quota that strikes some calls of each batch would put the same duties off for ever."""
    error = {"code": -32005, "message": "daily request count exceeded"}
    a, b = Node("a", answers={"eth_call": error}), Node("b")
    rpc = await pools.open(a, b)
    asked = [("web3_clientVersion", ()), ("eth_call", ())]
    assert await rpc.batch(asked, errors=True) == ["b", "b"]
    b.answers["eth_call"] = error
    version, refusal = await rpc.batch(asked, errors=True)
    assert version == "a"
    assert isinstance(refusal, RpcRejectedError)
    a.answers["eth_call"] = {"code": 3, "message": "reverted"}
    b.asked.clear()
    await rpc.batch(asked, errors=True)
    assert not b.asked, "a contract's words are an answer"


async def test_a_node_that_lags_is_asked_last(pools: Pools) -> None:
    a, b, c = Node("a", head=5), Node("b", head=10), Node("c", head=9)
    rpc = await pools.open(a, b, c)
    assert (await rpc.block("latest"))["number"] == hex(9)
    assert await rpc.call("web3_clientVersion") == "b"
    a.head = 10
    await rpc.block("latest")
    assert await rpc.call("web3_clientVersion") == "a"


async def test_blocks_that_a_node_lacks_are_asked_of_another(pools: Pools) -> None:
    a, b = Node("a", head=9), Node("b")
    rpc = await pools.open(a, b)
    await rpc.block("latest")
    asked = [("eth_getBlockByNumber", (hex(n), False)) for n in (9, 10)]
    assert [block["hash"] for block in await rpc.batch(asked)] == [b.hash(9), b.hash(10)]
    both = [*asked, ("eth_getBlockByNumber", (hex(11), False))]
    assert (await rpc.batch(both))[2] is None
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_transaction_goes_to_all(pools: Pools) -> None:
    nodes = [Node("a"), Node("b"), Node("c")]
    rpc = await pools.open(*nodes)
    await rpc.call("eth_sendRawTransaction", "0x00")
    await until(lambda: all(node.asked == ["eth_sendRawTransaction"] for node in nodes))


async def test_one_that_took_it_is_enough(pools: Pools) -> None:
    a = Node("a", answers={"eth_sendRawTransaction": REJECTION})
    b, c = Node("b", mode="down"), Node("c")
    rpc = await pools.open(a, b, c)
    assert await rpc.call("eth_sendRawTransaction", "0x00") == "c"


async def test_nobody_waits_for_one_that_hangs(pools: Pools) -> None:
    a, b = Node("a", mode="hang"), Node("b")
    rpc = await pools.open(a, b, timeout=60)
    async with asyncio.timeout(20):
        assert await rpc.call("eth_sendRawTransaction", "0x00") == "b"


async def test_nobody_waits_for_one_that_is_set_aside(pools: Pools) -> None:
    """Not even for a better answer than a refusal."""
    a, b = Node("a", mode="down"), Node("b", answers={"eth_sendRawTransaction": REJECTION})
    rpc = await pools.open(a, b, timeout=60)
    await rpc.call("web3_clientVersion")
    a.mode = "hang"
    async with asyncio.timeout(20):
        with pytest.raises(RpcRejectedError):
            await rpc.call("eth_sendRawTransaction", "0x00")


async def test_a_node_s_own_words_go_before_a_silence(pools: Pools) -> None:
    a, b = Node("a", mode="down"), Node("b", answers={"eth_sendRawTransaction": REJECTION})
    rpc = await pools.open(a, b)
    with pytest.raises(RpcRejectedError, match="nonce too low"):
        await rpc.call("eth_sendRawTransaction", "0x00")


async def test_that_one_has_it_goes_before_what_others_say(pools: Pools) -> None:
    known = {"code": -32000, "message": "already known"}
    a = Node("a", answers={"eth_sendRawTransaction": REJECTION})
    rpc = await pools.open(a, Node("b", answers={"eth_sendRawTransaction": known}))
    with pytest.raises(RpcRejectedError, match="already known"):
        await rpc.call("eth_sendRawTransaction", "0x00")


async def test_a_node_set_aside_gets_it_too(pools: Pools) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await pools.open(a, b)
    await rpc.call("web3_clientVersion")
    assert await rpc.call("eth_sendRawTransaction", "0x00") == "b"
    await until(lambda: "eth_sendRawTransaction" in a.asked)


async def test_the_next_one_is_asked_where_one_takes_long(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = Node("a", mode="hang"), Node("b")
    rpc = await pools.open(a, b, timeout=60)
    async with asyncio.timeout(20):
        assert await rpc.call("web3_clientVersion") == "b"
    monkeypatch.setattr(node_pool, "_PATIENCE_SECONDS", 3600.0)
    async with asyncio.timeout(20):
        assert await rpc.call("web3_clientVersion") == "b"


async def test_a_slow_answer_is_better_than_none(pools: Pools) -> None:
    a, b = Node("a", delay=2.5), Node("b", mode="down")
    rpc = await pools.open(a, b, timeout=60)
    assert await rpc.call("web3_clientVersion") == "a"


async def test_a_method_that_one_lacks_is_asked_of_another(pools: Pools) -> None:
    """And what lacks one method is well for all that."""
    missing = {"eth_feeHistory": {"code": -32601, "message": "the method does not exist"}}
    a, b = Node("a", answers=missing), Node("b")
    rpc = await pools.open(a, b)
    assert await rpc.call("eth_feeHistory") == "b"
    assert all(rpc.health.values())
    b.answers = missing
    with pytest.raises(RpcMethodError):
        await rpc.call("eth_feeHistory")


async def test_a_lone_node_s_pause_has_its_reason(pools: Pools) -> None:
    rpc = await pools.open(Node("a", mode="busy", retry_after="20"))
    for text in ("Too Many Requests), asks to wait 20 s", "asked again in 20 s"):
        with pytest.raises(RpcUnavailableError, match="HTTP 429") as caught:
            await rpc.call("eth_chainId")
        assert text in str(caught.value)


async def test_who_may_be_back_is_waited_for_where_there_are_too_few(pools: Pools) -> None:
    """Else each round is one too early: the question whether it is back is under way."""
    a, b = Node("a", mode="busy"), Node("b")
    rpc = await pools.open(a, b, agree=2)
    with pytest.raises(RpcUnavailableError):
        await rpc.block("0x5")
    a.mode = "well"
    pools.clock.now += 301
    assert (await rpc.block("0x5"))["number"] == "0x5"


async def test_a_long_pause_of_our_own_is_cut_where_there_are_too_few(pools: Pools) -> None:
    a, b = Node("a", mode="down"), Node("b")
    rpc = await pools.open(a, b, agree=2)
    for _ in range(6):
        with pytest.raises(RpcUnavailableError):
            await rpc.block("0x5")
        pools.clock.now += 31
    with pytest.raises(RpcUnavailableError):
        await rpc.block("0x5")  # which has it asked again soon
    a.mode = "well"
    pools.clock.now += 2.1
    assert (await rpc.block("0x5"))["number"] == "0x5"


async def test_a_pause_that_a_node_asks_for_is_never_cut(pools: Pools) -> None:
    a, b = Node("a", mode="busy"), Node("b")
    rpc = await pools.open(a, b, agree=2)
    for _ in range(3):
        with pytest.raises(RpcUnavailableError):
            await rpc.block("0x5")
        pools.clock.now += 2.1
    assert len(a.asked) == 1


async def test_who_may_be_back_is_waited_for_when_chains_are_compared_too(pools: Pools) -> None:
    a, b = Node("a", mode="busy"), Node("b")
    rpc = await pools.open(a, b, agree=2)
    with pytest.raises(RpcUnavailableError):
        await rpc.check_chain(1)
    a.mode = "well"
    pools.clock.now += 301
    await rpc.check_chain(1)
