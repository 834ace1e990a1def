"""`dam doctor --measure`: real Anvil behind proxies that take less, keep less, lie, or are slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from dam.config.settings import Settings
from dam.diagnostics import node_probe
from dam.diagnostics.node_measures import measure_nodes
from tests.faults.rpc_faults import AnswerCap, BatchLimit, Hang, RangeLimit, Refusal, TooMany
from tests.faults.rpc_proxy import RpcProxy
from tests.node.operator.commands import Findings, Operator, one

TOO_LARGE = {"code": -32600, "message": "batch too large"}
BATCH_ERROR = {"jsonrpc": "2.0", "id": None, "error": TOO_LARGE}


@pytest.fixture
async def proxies(operator: Operator) -> AsyncIterator[Callable[[], Any]]:
    """Makes proxies before the operator's chain."""
    async with AsyncExitStack() as stack:

        async def make() -> RpcProxy:
            return await stack.enter_async_context(RpcProxy(operator.chain.url))

        yield make


async def measured(operator: Operator, *nodes: RpcProxy) -> Findings:
    urls = ",".join(node.url for node in nodes)

    def run() -> Findings:
        done = operator("doctor", "--measure", "--json", DAM_RPC_URL=urls, parse=True)
        return list(done["findings"])

    return await asyncio.to_thread(run)


def kept(findings: Findings) -> dict[str, str]:
    lines = [f["text"].partition("  #")[0] for f in findings if f["check"] == "keep"]
    return dict(line.split(" = ") for line in lines)


async def test_what_a_good_node_takes(operator: Operator, proxies: Callable[[], Any]) -> None:
    node = await proxies()
    found = await measured(operator, node)
    assert one(found, "an archive: it knows the state of every block")["level"] == "ok"
    assert one(found, "blocks at once, or more")["level"] == "ok"
    assert one(found, "refused none that were asked for")["level"] == "ok"
    assert one(found, "takes 100 calls in one request, or more")["level"] == "ok"
    assert one(found, "answered 40 of 40 quick requests")["level"] == "ok"
    lines = kept(found)
    assert lines["max_logs_blocks"] == "10000", "a young chain shows no limit"
    assert lines["rpc_batch"] == "100"
    assert lines["rpc_timeout_seconds"] == "20"
    assert "poll_seconds" not in lines
    # They can be kept as they are.
    config = operator.home / "config.toml"
    text = "\n".join(f"{key} = {value}" for key, value in lines.items())
    config.write_text(f"{text}\n{config.read_text()}")
    shown = operator("deliverer", "config", "--json", parse=True)
    assert "100" in str(shown)


async def test_nothing_is_measured_unless_it_is_asked_for(
    operator: Operator, proxies: Callable[[], Any]
) -> None:
    node = await proxies()
    found = await asyncio.to_thread(operator.doctor, DAM_RPC_URL=node.url)
    assert kept(found) == {}
    assert sum(node.asked.values()) < 200


async def test_limits_are_found_to_the_block_and_the_call(
    operator: Operator, proxies: Callable[[], Any]
) -> None:
    operator.chain.mine(200)
    node = await proxies()
    node.inject(RangeLimit(150))
    node.inject(BatchLimit(37, [BATCH_ERROR]))
    found = await measured(operator, node)
    assert "range" in one(found, "gives logs of 150 blocks at once")["text"]
    assert one(found, "takes 37 calls in one request")["level"] == "ok"
    assert kept(found)["max_logs_blocks"] == "150"
    assert kept(found)["rpc_batch"] == "37"
    assert node.requests < 250


async def test_the_number_of_logs_is_found(operator: Operator, proxies: Callable[[], Any]) -> None:
    node = await proxies()
    node.inject(AnswerCap(0))
    found = await measured(operator, node)
    assert "returned more than 0 results" in one(found, "and refused more")["text"]


async def test_how_old_a_state_it_knows(operator: Operator, proxies: Callable[[], Any]) -> None:
    operator.chain.mine(300)
    head = int(operator.chain.request("eth_blockNumber"), 16)
    node = await proxies()

    def old(call: Any) -> bool:
        return call.params[-1] != "latest" and int(call.params[-1], 16) <= head - 128

    gone = Refusal(-32000, "missing trie node")
    node.inject(gone, "eth_getBalance", when=old)
    text = one(await measured(operator, node), "knows the state of its newest")["text"]
    blocks = int(text.split("newest ")[1].split()[0])
    assert blocks in range(128, 135)


async def test_a_node_that_limits_the_rate_is_left_alone(
    operator: Operator, proxies: Callable[[], Any]
) -> None:
    """In the middle of it: not a request more. At the end: by that much the pause is longer."""
    node = await proxies()
    node.inject(TooMany(), "eth_getBalance")
    found = await measured(operator, node)
    assert one(found, "was not measured any further: it limits the rate")["level"] == "warn"
    assert node.asked["eth_getBalance"] == 1
    assert kept(found) == {}

    slow = await proxies()
    slow.inject(TooMany(), "eth_chainId", when=lambda _: slow.batch == 0 and slow.requests > 40)
    found = await measured(operator, slow)
    assert one(found, "refused a request for its rate")["level"] == "warn"
    assert float(kept(found)["poll_seconds"]) >= 2


async def test_nodes_that_do_not_tell_the_same(
    operator: Operator, proxies: Callable[[], Any]
) -> None:
    operator.chain.mine(20)
    good, other, behind = await proxies(), await proxies(), await proxies()
    found = await measured(operator, good, other)
    assert sum("tells the same as the others" in f["text"] for f in found) == 2
    assert sum("is 0 to 0 blocks behind" in f["text"] for f in found) == 2

    class NoLogs(AnswerCap):
        """Leaves all logs out."""

        def change(self, call: Any, reply: Any, proxy: Any) -> bool:
            if call.method == "eth_getLogs" and reply.get("result"):
                reply["result"] = []
            return True

    class Behind(AnswerCap):
        """Ten blocks late."""

        def change(self, call: Any, reply: Any, proxy: Any) -> bool:
            if call.method == "eth_blockNumber":
                reply["result"] = hex(int(reply["result"], 16) - 10)
            return True

    other.inject(NoLogs())
    behind.inject(Behind())
    found = await measured(operator, good, other, behind)
    wrong = [f for f in found if "tells other hashes or logs" in f["text"]]
    assert any(str(other.url.split("/")[2]) in f["check"] for f in wrong)
    assert one(found, "is 10 to 10 blocks behind")["level"] == "warn"


async def test_a_node_that_hangs_ends_it(
    operator: Operator, proxies: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.chain.mine(2)
    monkeypatch.setattr(node_probe, "CALL_SECONDS", 0.2)
    node = await proxies()
    node.inject(Hang(), "eth_getLogs")
    found = await asyncio.to_thread(measure_alone, operator, node.url)
    assert "took over 0.2 s" in one(found, "gives no logs of a single block")["text"]
    assert kept(found) == {}


@pytest.mark.parametrize(
    ("budget", "much"), [("_MOST_REQUESTS", 5), ("_MOST_BYTES", 300), ("_MOST_SECONDS", 0.0)]
)
async def test_a_measurement_has_a_budget(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, budget: str, much: float
) -> None:
    monkeypatch.setattr(node_probe, budget, much)
    found = await asyncio.to_thread(measure_alone, operator, operator.chain.url)
    assert one(found, "the budget of one measurement is used up")["level"] == "warn"
    assert kept(found) == {}


@pytest.mark.parametrize("nonsense", [None, "0xzz", {"a": 1}, [["0x1"]], -5, "0x" + "f" * 64])
async def test_a_node_that_talks_nonsense_ends_it(
    operator: Operator, proxies: Callable[[], Any], nonsense: Any
) -> None:
    class Nonsense(AnswerCap):
        """The same answer to everything."""

        def change(self, call: Any, reply: Any, proxy: Any) -> bool:
            reply["result"] = nonsense
            return True

    good, node = await proxies(), await proxies()
    node.inject(Nonsense())
    urls = f"{good.url},{node.url}"
    found = await asyncio.to_thread(measure_alone, operator, urls)
    bad = [f for f in found if node.url.split("/")[2] in f["check"]]
    assert any(f["level"] == "warn" for f in bad)
    assert node.requests <= 260
    for line in (f["text"] for f in found if f["check"] == "keep"):
        assert line.endswith(f"# of {good.url.split('/')[2]} alone")


async def test_a_flood_for_an_answer_is_cut_off(
    operator: Operator, proxies: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_probe, "_SMALL_BYTES", 1000)
    node = await proxies()

    class Flood(AnswerCap):
        """More bytes than a balance has."""

        def change(self, call: Any, reply: Any, proxy: Any) -> bool:
            if call.method == "eth_getBalance":
                reply["result"] = "0x" + "0" * 5000
            return True

    node.inject(Flood())
    found = await asyncio.to_thread(measure_alone, operator, node.url)
    assert one(found, "knows the state of its newest 0 blocks")["level"] == "warn"


def measure_alone(operator: Operator, urls: str) -> Findings:
    env = {key: value for key, value in operator.env.items() if value is not None}
    found = asyncio.run(measure_nodes(Settings.load(env | {"DAM_RPC_URL": urls})))
    return [{"check": f.check, "level": f.level, "text": f.text, "fix": f.fix} for f in found]
