"""A node that hangs, lies or floods: each gives one error of its kind, after one request."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dam.errors import ConfigError, RpcError
from dam.ethereum.node_errors import (
    RpcBadReplyError,
    RpcRangeError,
    RpcRejectedError,
    RpcTimeoutError,
    RpcTooLargeError,
    RpcUnavailableError,
)
from dam.ethereum.rpc import JsonRpc
from tests.node.servers import answering, http, reply

HTML = b"<html>502 Bad Gateway</html>"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http("503 Service Unavailable", HTML), RpcUnavailableError),
        (http("502 Bad Gateway", b"{}"), RpcUnavailableError),
        (http("404 Not Found", b'{"error":"no such path"}'), RpcUnavailableError),
        (http("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"), RpcUnavailableError),
        (http("200 OK", HTML), RpcBadReplyError),
        (http("200 OK", b'{"jsonrpc":"2.0","id":1,"resu'), RpcBadReplyError),
        (http("200 OK", b"[" * 100_000), RpcBadReplyError),
        (http("200 OK", b'{"id":1,"result":' + b"1" * 5000 + b"}"), RpcBadReplyError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", RpcTimeoutError),
        (b"\x00\x01garbage\r\n\r\n", RpcUnavailableError),
        (reply(id=2, result="0x1"), RpcBadReplyError),
        (reply(id="1", result="0x1"), RpcBadReplyError),
        (reply(id=True, result="0x1"), RpcBadReplyError),
        (reply(result="0x1"), RpcBadReplyError),
        (reply(id=1), RpcBadReplyError),
        (reply(id=7, error={"code": 1, "message": "x"}), RpcBadReplyError),
        (http("200 OK", b"[]"), RpcBadReplyError),
        (reply(id=1, error={"code": -32000, "message": "nonce too low"}), RpcRejectedError),
        (reply(id=None, error={"code": -32600, "message": "bad"}), RpcRejectedError),
        (reply(id=1, error="no"), RpcRejectedError),
        (reply(id=1, error="quota"), RpcUnavailableError),
    ],
)
async def test_faults(serve, answer: bytes, kind: type[RpcError]) -> None:
    server = await serve(answer)
    async with JsonRpc(server.url, timeout=1) as rpc:
        with pytest.raises(kind) as caught:
            await rpc.call("eth_sendRawTransaction", "0x00")
    assert type(caught.value) is kind
    assert len(server.requests) == 1, "nothing is retried here"


async def test_answer(serve) -> None:
    server = await serve(reply(id=1, result="0x10"))
    async with JsonRpc(server.url) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x10"
    assert json.loads(server.requests[0][1])["params"] == []


async def test_rate_limit_says_how_long(serve) -> None:
    server = await serve(http("429 Too Many Requests", b"slow down", "Retry-After: 7"))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError) as caught:
            await rpc.call("eth_blockNumber")
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 31 Dec 1999 23:59:59", None),
        ("soon", None),
        ("-5", None),
        ("1" * 9, None),
    ],
)
async def test_retry_after_in_other_words(serve, header: str, seconds: float | None) -> None:
    server = await serve(http("429 Too Many Requests", b"", f"Retry-After: {header}"))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError) as caught:
            await rpc.call("eth_blockNumber")
    assert caught.value.retry_after == seconds


async def test_retry_after_a_date(serve) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server = await serve(http("429 Too Many Requests", b"", f"Retry-After: {when}"))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError) as caught:
            await rpc.call("eth_blockNumber")
    assert caught.value.retry_after is not None
    assert 3000 < caught.value.retry_after <= 3600


REVERTED = json.dumps({"id": 1, "error": {"code": 3, "message": "reverted", "data": "0x01"}})
THROTTLED = {"id": 1, "error": {"code": -32005, "message": "query exceeds max block range 3"}}


async def test_error_object_under_http_400(serve) -> None:
    server = await serve(http("400 Bad Request", REVERTED.encode()))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRejectedError) as caught:
            await rpc.call("eth_call")
    assert caught.value.data == "0x01"


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 502, 503, 599])
@pytest.mark.parametrize("body", [REVERTED, json.dumps(THROTTLED), json.dumps([THROTTLED])])
async def test_a_status_of_the_node_s_own_goes_before_its_words(serve, status, body) -> None:
    server = await serve(http(f"{status} Any", body.encode(), "Retry-After: 30"))
    async with JsonRpc(server.url) as rpc:
        for ask in (rpc.call("eth_call"), rpc.logs("0xda", 3, 7), rpc.batch([("a", [])])):
            with pytest.raises(RpcUnavailableError) as caught:
                await ask
            assert (caught.value.status, caught.value.retry_after) == (status, 30.0)


async def test_a_body_that_is_too_large_is_one_of_size(serve) -> None:
    server = await serve(http("413 Payload Too Large", HTML))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcTooLargeError):
            await rpc.logs("0xda", 3, 7)


async def test_a_quota_in_json_says_how_long(serve) -> None:
    data = {"rate": {"allowed_rps": 1, "backoff_seconds": 24, "current_rps": 4.2}, "see": "x"}
    error = {"code": -32005, "message": "project ID request rate exceeded", "data": data}
    server = await serve(reply(id=1, error=error))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError) as caught:
            await rpc.call("eth_blockNumber")
    assert caught.value.retry_after == 24.0


async def test_one_fault_among_answers_is_about_its_call(serve) -> None:
    """And not about the node: the rest of the batch counts."""
    error = {"error": {"code": -32000, "message": "rate limit"}}
    server = await answering(serve, [{"result": 1}, error])
    async with JsonRpc(server.url) as rpc:
        one, two = await rpc.batch([("a", []), ("b", [])], errors=True)
        assert (one, type(two)) == (1, RpcRejectedError)
        with pytest.raises(RpcUnavailableError):
            await rpc.batch([("a", []), ("b", [])])
    server = await answering(serve, [error, error])
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcUnavailableError):
            await rpc.batch([("a", []), ("b", [])], errors=True)


async def test_hang_ends_at_the_deadline(serve) -> None:
    async def hang(path, body, writer) -> None:
        await asyncio.sleep(60)

    server = await serve(hang)
    async with JsonRpc(server.url, timeout=0.3) as rpc:
        with pytest.raises(RpcTimeoutError, match=r"took over 0\.3 s"):
            await rpc.call("eth_blockNumber")


async def test_drip_ends_at_the_deadline(serve) -> None:
    async def drip(path, body, writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    server = await serve(drip)
    async with JsonRpc(server.url, timeout=0.5) as rpc:
        with pytest.raises(RpcTimeoutError):
            await rpc.call("eth_blockNumber")


async def test_flood_is_cut(serve) -> None:
    sent = 0

    async def flood(path, body, writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()
            sent += 65536

    server = await serve(flood)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcTooLargeError):
            await rpc.call("eth_blockNumber")
    assert sent < 32 << 20


async def test_requests_and_failures_are_counted(serve) -> None:
    """A refusal in proper JSON is an answer; a batch is one request."""
    server = await serve(reply(id=1, error={"code": 1, "message": "no"}))
    async with JsonRpc(server.url, timeout=1) as rpc:
        with pytest.raises(RpcRejectedError):
            await rpc.call("eth_chainId")
        assert (rpc.stats.requests, rpc.stats.failures) == (1, 0)
    server = await serve(http("502 Bad Gateway", HTML))
    async with JsonRpc(server.url, timeout=1) as rpc:
        with pytest.raises(RpcUnavailableError):
            await rpc.batch([("eth_chainId", ()), ("eth_blockNumber", ())])
        assert (rpc.stats.requests, rpc.stats.failures) == (1, 1)


async def test_nobody_there() -> None:
    async with JsonRpc("http://127.0.0.1:1") as rpc:
        with pytest.raises(RpcUnavailableError, match=r"nothing answers at 127\.0\.0\.1:1$"):
            await rpc.call("eth_blockNumber")
    async with JsonRpc("http://no-such-host.invalid:1") as rpc:
        with pytest.raises(RpcUnavailableError, match=r"no-such-host.invalid:1"):
            await rpc.call("eth_blockNumber")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "broke the connection off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{", "broke the conn"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "answers no HTTP"),
        (http("429 Too Many Requests", b"", "Retry-After: 30"), "HTTP 429 .*asks to wait 30 s"),
    ],
)
async def test_the_cause_is_named(serve, answer: bytes, cause: str) -> None:
    async def once(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await serve(once)
    async with JsonRpc(server.url, timeout=2) as rpc:
        with pytest.raises(RpcUnavailableError, match=cause):
            await rpc.call("eth_blockNumber")


async def test_no_error_holds_the_key(serve) -> None:
    answers = [
        http("401 Unauthorized", b"no"),
        http("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/SECRETKEY"),
        b"garbage\r\n\r\n",
        http("200 OK", b"{"),
    ]
    for answer in answers:
        server = await serve(answer)
        async with JsonRpc(server.url + "/v2/SECRETKEY?key=SECRETKEY", timeout=2) as rpc:
            with pytest.raises(RpcError) as caught:
                await rpc.call("eth_blockNumber")
            assert "SECRETKEY" not in f"{rpc!r}{caught.value!r}{caught.value.__cause__!r}"
    async with JsonRpc("http://127.0.0.1:1/SECRETKEY") as rpc:
        with pytest.raises(RpcError) as caught:
            await rpc.call("eth_blockNumber")
        assert "SECRETKEY" not in repr(caught.value)


async def test_batch_in_any_order(serve) -> None:
    async def shuffled(path, body, writer) -> None:
        answers = [{"id": r["id"], "result": r["params"][0]} for r in json.loads(body)]
        writer.write(http("200 OK", json.dumps(answers[::-1]).encode()))

    server = await serve(shuffled)
    async with JsonRpc(server.url) as rpc:
        results = await rpc.batch([("echo", [i]) for i in range(250)])
    assert results == list(range(250))
    assert len(server.requests) == 3
    async with JsonRpc(server.url) as rpc:
        assert await rpc.batch([]) == []


@pytest.mark.parametrize(
    "answers",
    [
        [{"id": 1, "result": 1}],
        [{"id": 1, "result": 1}, {"id": 1, "result": 2}],
        [{"id": 1, "result": 1}, {"id": 3, "result": 2}],
        [{"id": 1, "result": 1}, {"id": 2}],
        [1, 2],
        "no",
    ],
)
async def test_batch_not_answered(serve, answers: object) -> None:
    server = await serve(http("200 OK", json.dumps(answers).encode()))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcBadReplyError):
            await rpc.batch([("a", []), ("b", [])])


async def test_batch_errors(serve) -> None:
    answers = [{"id": 1, "error": {"code": 3, "message": "no"}}, {"id": 2, "result": 5}]

    async def numbered(path, body, writer) -> None:
        for answer, request in zip(answers, json.loads(body), strict=True):
            answer["id"] = request["id"]
        writer.write(http("200 OK", json.dumps(answers).encode()))

    server = await serve(numbered)
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRejectedError):
            await rpc.batch([("a", []), ("b", [])])
        first, second = await rpc.batch([("a", []), ("b", [])], errors=True)
    assert isinstance(first, RpcRejectedError)
    assert second == 5


RANGE_ERRORS = """
-32005 query returned more than 10000 results
-32000 exceed maximum block range: 50000
-32602 Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range
-32614 eth_getLogs is limited to a 10,000 range
-32000 block range is too wide
-32000 query timeout exceeded
-32600 Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.
-32000 too many logs
"""
OTHER_ERRORS = """
-32701 Please specify an address in your request or order a dedicated full node
-32601 the method eth_getLogs does not exist
"""


@pytest.mark.parametrize(
    ("line", "ranged"),
    [(line, True) for line in RANGE_ERRORS.strip().splitlines()]
    + [(line, False) for line in OTHER_ERRORS.strip().splitlines()],
)
async def test_range_errors(serve, line: str, ranged: bool) -> None:
    code, _, message = line.partition(" ")
    server = await serve(reply(id=1, error={"code": int(code), "message": message}))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRejectedError) as caught:
            await rpc.call("eth_getLogs", {})
    assert isinstance(caught.value, RpcRangeError) is ranged


async def test_hostile_message_is_printable(serve) -> None:
    server = await serve(reply(id=1, error={"code": 1, "message": "\x1b[2J\n" + "x" * 9999}))
    async with JsonRpc(server.url) as rpc:
        with pytest.raises(RpcRejectedError) as caught:
            await rpc.call("a")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("url", ["", "node", "ws://x", "http://", "http://x:99999", "file:///x"])
def test_urls(url: str) -> None:
    with pytest.raises(ConfigError):
        JsonRpc(url)


async def test_wrong_chain(anvil) -> None:
    async with JsonRpc(anvil.url) as rpc:
        await rpc.check_chain(31337)
        with pytest.raises(ConfigError, match="chain 31337"):
            await rpc.check_chain(1)


# ------------------------------------------------------------------ logs, with their last block
