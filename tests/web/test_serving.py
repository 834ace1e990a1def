"""Who is answered by the storefront's server, and with what: section by section of docs/web.md."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from dam.errors import ConfigError, Permanent
from dam.ipfs.cid import Cid
from dam.web import rpc_proxy
from dam.web.bundle import load_bundle
from dam.web.server import WebServer, take_port
from tests.web.asking import Asking, free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGE = "/"
DATA = ("/market.json", "/index", "/rpc", "/block/{cid}")
CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()


async def each(ask: Asking, **changed: str | None) -> set[int]:
    """What all that is not the page answers to a request so changed."""
    return {
        (await ask(p.format(cid=ask.known), CALL if p == "/rpc" else None, **changed)).status
        for p in DATA
    }


# ------------------------------------------------------------------------------------- addresses


async def test_it_answers_on_both_loopback_addresses(ask: Asking) -> None:
    for address in ("127.0.0.1", "::1"):
        assert (await ask(PAGE, address=address)).status == 200
    assert await each(ask) == {200}


async def test_it_listens_on_no_other_address(ask: Asking) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: names the address that would
        own = probe.getsockname()[0]
    with pytest.raises(OSError):
        await ask(PAGE, address=own)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
async def test_it_refuses_to_start_where_either_address_is_taken(family, address) -> None:
    port = free_port()
    with socket.socket(family) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((address, port))
        other.listen()
        with pytest.raises(ConfigError, match=rf"web_port {port} on {address} cannot be had"):
            take_port(port)
    for one in take_port(port):  # and it kept neither
        one.close()


# ------------------------------------------------------------------------------- who is answered


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "[::1]:{}", "localhost", "LOCALHOST:{}",
                                  "localhost:{}.", "evil.example:{}", None, ""])  # fmt: skip
async def test_the_raw_host_is_exactly_ours(ask: Asking, host: str | None) -> None:
    given = None if host is None else host.format(ask.port)
    for path in (PAGE, "/app.js"):
        assert (await ask(path, Host=given)).status in (400, 421)
    assert await each(ask, Host=given) <= {400, 421}
    if host:
        assert await each(ask, Host=given) == {421}


async def test_an_origin_is_absent_or_ours(ask: Asking) -> None:
    assert await each(ask, Origin=None) == {200}
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{ask.port}",
                   f"https://localhost:{ask.port}", "http://localhost"):  # fmt: skip
        assert await each(ask, Origin=origin) == {403}
        assert (await ask("/app.js", Origin=origin)).status == 403


async def test_the_browser_says_that_it_is_our_own_page(ask: Asking) -> None:
    for site in ("cross-site", "same-site", "none", None):
        assert await each(ask, Sec_Fetch_Site=site) == {403}
    for site, status in (("cross-site", 403), ("same-site", 403), (None, 200), ("none", 200)):
        assert (await ask("/app.js", Sec_Fetch_Site=site)).status == status
    # A link to the page gives nothing but the page.
    assert (await ask(PAGE, Sec_Fetch_Site="cross-site")).status == 200


async def test_all_but_the_page_asks_for_the_token(ask: Asking) -> None:
    for token in (None, "", "another", "a-token-of-this-start2", "\u00e9"):
        assert await each(ask, X_Dam_Token=token) == {401}
    for path in (PAGE, "/app.js"):
        assert (await ask(path, X_Dam_Token=None)).status == 200


async def test_the_token_is_random_and_in_the_fragment_alone(ask: Asking) -> None:
    urls = {WebServer(8620, {}, []).url for _ in range(3)}
    assert len(urls) == 3
    assert all(url.startswith("http://localhost:8620/#t=") and len(url) > 60 for url in urls)
    assert await each(ask, X_Dam_Token=None, Cookie="t=a-token-of-this-start") == {401}
    assert "Set-Cookie" not in (await ask(PAGE)).headers


async def test_a_question_to_the_node_is_json_and_posted(ask: Asking) -> None:
    for kind in ("text/plain", "application/json; charset=utf-8", "", None):
        assert (await ask("/rpc", CALL, Content_Type=kind)).status == 415
    assert (await ask("/rpc")).status == 405
    for path in DATA[:2]:
        assert (await ask(path, b"{}")).status == 405
    assert (await ask("/rpc", method="OPTIONS")).status == 405


# ---------------------------------------------------------------------------------------- headers


async def test_the_page_has_a_strict_policy(ask: Asking) -> None:
    answer = await ask(PAGE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {"script-src 'self'", "frame-ancestors 'none'", "connect-src 'self'",
            "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'",
            "trusted-types dam lit-html"} < set(policy)  # fmt: skip
    assert not [rule for rule in policy if "unsafe" in rule or "http" in rule or "*" in rule]


async def test_every_answer_has_the_headers_that_shut_others_out(ask: Asking) -> None:
    asked = [
        await ask(PAGE),
        await ask("/app.js"),
        await ask("/market.json"),
        await ask(f"/block/{ask.known}"),
        await ask("/rpc", CALL),
        await ask("/nothing"),
        await ask("/rpc"),
        await ask(PAGE, Host="evil.example"),
        await ask("/index", X_Dam_Token=None),
    ]
    for answer in asked:
        headers = answer.headers
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", answer
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cache-Control"] in ("no-store", "no-cache")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
    for answer in asked[2:]:
        assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


# ----------------------------------------------------------------------------------------- blocks


async def test_a_block_is_nothing_that_a_browser_runs(ask: Asking) -> None:
    answer = await ask(f"/block/{ask.known}")
    assert (answer.status, answer.body) == (200, b"<script>alert(1)</script>")
    assert answer.headers["Content-Type"] == "application/vnd.ipld.raw"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


async def test_a_block_that_is_not_its_cids_is_not_handed_on(ask: Asking) -> None:
    forged = await ask.forge(b"the real one", b"another one!")
    answer = await ask(f"/block/{forged}")
    assert answer.status == 404
    assert b"another" not in answer.body


async def test_only_cids_that_dam_reads_are_asked_for(ask: Asking) -> None:
    for name in ("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "..%2f..%2fetc%2fpasswd", "b"):
        assert (await ask(f"/block/{name}")).status == 400
    absent = await ask(f"/block/{Cid.of('raw', b'nobody has it')}")
    assert (absent.status, list(absent.json)) == (404, ["error"])


async def test_a_block_over_the_limit_is_refused(ask: Asking) -> None:
    large = await ask.forge(bytes((1 << 20) + 1), bytes((1 << 20) + 1))
    assert (await ask(f"/block/{large}")).status == 400


# ------------------------------------------------------------------------------------- the page


async def test_nothing_but_the_built_files_has_an_address(ask: Asking) -> None:
    script = await ask("/app.js")
    assert (script.status, script.headers["Content-Type"]) == (
        200,
        "text/javascript; charset=utf-8",
    )
    for path in ("/notes.txt", "/../app.js", "/%2e%2e/app.js", "/index.html", "//app.js"):
        assert (await ask(path)).status == 404, path


async def test_the_market_is_told_as_its_record(ask: Asking) -> None:
    [market] = (await ask("/market.json")).json["markets"]
    record = market["record"]
    assert record["chainId"] == ask.anvil.chain_id
    assert market["key"] == f"{record['chainId']}-{record['market'].lower()}"
    assert record["windows"]["refundSeconds"] == 3600


async def test_the_worker_keeps_its_path_and_a_reset_one_goes_and_takes_only_its_cache(
    ask: Asking, bundle_folder: Path
) -> None:
    answer = await ask("/sw.js")
    assert (answer.body, answer.headers["Cache-Control"]) == (b"// the worker", "no-cache")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    text = load_bundle(bundle_folder, reset=True)["sw.js"].body.decode()
    assert "caches.delete" in text
    assert "registration.unregister" in text
    assert "indexedDB" not in text


async def test_without_the_page_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="make setup"):
        load_bundle(tmp_path)


# -------------------------------------------------------------------------------------- the node


async def test_reading_methods_are_handed_on_one_or_many(ask: Asking) -> None:
    chain = hex(ask.anvil.chain_id)
    one = await ask.rpc({"jsonrpc": "2.0", "id": 7, "method": "eth_chainId", "params": []})
    assert one == {"jsonrpc": "2.0", "id": 7, "result": chain}
    many = await ask.rpc(
        [
            {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
            {"jsonrpc": "2.0", "id": "b", "method": "eth_accounts"},
            {"jsonrpc": "2.0", "id": "c", "method": "eth_getBlockByNumber",
             "params": ["0x0", False]},
        ]
    )  # fmt: skip
    assert [reply["id"] for reply in many] == ["a", "b", "c"]
    assert many[0]["result"] == chain
    assert many[1]["error"]["code"] == -32601
    assert many[2]["result"]["number"] == "0x0"


async def test_no_method_outside_the_list_reaches_the_node(ask: Asking) -> None:
    before = ask.anvil.request("eth_blockNumber")
    for method in ("eth_sendTransaction", "eth_sendRawTransaction", "eth_sign", "eth_accounts",
                   "personal_sign", "anvil_mine", "evm_mine", "debug_traceCall", "web3_sha3",
                   "eth_subscribe", "__class__", ["eth_call"], None):  # fmt: skip
        reply = await ask.rpc({"jsonrpc": "2.0", "id": 1, "method": method, "params": []})
        assert reply["error"]["code"] == -32601, method
    assert ask.anvil.request("eth_blockNumber") == before
    writes = ("send", "sign", "submit", "accounts", "mine", "subscribe", "filter", "debug")
    assert not [m for m in rpc_proxy.METHODS if any(word in m.lower() for word in writes)]


async def test_state_and_block_cannot_be_overridden(ask: Asking) -> None:
    reply = await ask.rpc({"jsonrpc": "2.0", "id": 1, "method": "eth_call",
                           "params": [{"to": "0x" + "11" * 20}, "latest", {}]})  # fmt: skip
    assert reply["error"]["code"] == -32602


async def test_requests_are_bounded_in_bytes_and_calls(ask: Asking) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    for count, status in ((0, 400), (100, 200), (101, 400)):
        assert (await ask("/rpc", json.dumps([call] * count).encode())).status == status
    padded = json.dumps(call | {"pad": "0" * rpc_proxy.MAX_REQUEST_BYTES}).encode()
    assert (await ask("/rpc", padded)).status == 413
    for body in (b"", b"{", b'{"id":1,"id":2}', b"[" * 5000, b"\xff"):
        assert (await ask("/rpc", body)).status == 400


async def test_a_request_without_an_end_is_given_up(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dam.web.server._BODY_SECONDS", 0.2)
    answer = await ask("/rpc", CALL[:-1], Content_Length=str(len(CALL)))
    assert answer.status == 408


async def test_a_node_that_hangs_is_given_up(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(ask.anvil.pid, 19)  # SIGSTOP
    try:
        monkeypatch.setattr(ask.proxy, "_seconds", 0.3)
        reply = await ask.rpc({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
    finally:
        os.kill(ask.anvil.pid, 18)  # SIGCONT
    assert reply["error"] == {"code": -32603, "message": "the node took over 0.3 s"}


async def test_a_revert_comes_with_its_data(ask: Asking) -> None:
    market = (await ask("/market.json")).json["markets"][0]["record"]["market"]
    reply = await ask.rpc({"jsonrpc": "2.0", "id": 1, "method": "eth_call",
                           "params": [{"to": market, "data": "0xdeadbeef"}, "latest"]})  # fmt: skip
    assert reply["error"]["code"] != 0
    assert "data" in reply["error"]


# --------------------------------------------------------------------------------------- the index


async def test_the_index_is_asked_by_known_words_alone(ask: Asking) -> None:
    found = (await ask("/index")).json
    assert (found["items"], found["stores"], found["trouble"]) == ([], [], "")
    assert found["block"] >= 1
    for query in ("?sort=worst", "?page=x", "?token=0x12", "?evil=1", "?text=a&text=b",
                  "?maxPrice=-1"):  # fmt: skip
        assert (await ask(f"/index{query}")).status == 400, query
    assert (await ask("/index?market=1-0x00")).status == 404
