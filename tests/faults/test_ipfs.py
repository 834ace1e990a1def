"""F55 to F64: the IPFS node is down, slow, or lies; links lead where nobody should go.

In each of them the shop's store is read before the fault begins, and its sales are delivered while
the fault lasts; what the fault concerns is the store of a rogue.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator

import pytest_asyncio

from dam.crypto.merkle import MerkleTree
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.ipfs.open import open_store
from dam.testing.nodes import KuboNode, NodeMissingError
from demo.trade import Bought
from tests.faults import ipfs_faults
from tests.faults.daemons import Deliverer
from tests.faults.ipfs_proxy import IpfsProxy
from tests.faults.oracle import oracle
from tests.faults.rogue_seller import RogueSeller, put_page
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld


@pytest_asyncio.fixture(loop_scope="session")
async def ipfs(world: FaultWorld, injected: Injected) -> AsyncIterator[IpfsProxy]:
    """A node that does as the test says, over the world's own blocks."""
    async with IpfsProxy(world.ipfs, counted=injected) as proxy:
        yield proxy
        await world.clear()


async def begin(
    world: FaultWorld, ipfs: IpfsProxy, number: int = 0
) -> tuple[Deliverer, RogueSeller]:
    """A deliverer that has the shop's store, and a rogue without one yet."""
    daemon = await world.deliverer(number, env={"DAM_IPFS": ipfs.url}).start()
    await daemon.event("pinned")
    return daemon, await RogueSeller.enter(world)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kubo_url(session_world: FaultWorld) -> AsyncIterator[str]:
    """A real node where there is one; else the directory, which the same faults are put before."""
    try:
        async with KuboNode(folder=session_world.folder / "kubo") as node:
            session_world.reaper.watch(node.pid)
            yield node.url
            session_world.reaper.forget(node.pid)
    except NodeMissingError:
        yield session_world.ipfs


@pytest_asyncio.fixture(loop_scope="session")
async def kubo(world: FaultWorld, kubo_url: str, injected: Injected) -> AsyncIterator[IpfsProxy]:
    """The same before a real Kubo, which has the shop's blocks."""
    await mirror(world, kubo_url)
    async with IpfsProxy(kubo_url, counted=injected) as proxy:
        yield proxy
        await world.clear()


async def mirror(world: FaultWorld, url: str) -> None:
    """Puts all blocks of the world's directory into a node."""
    if url == world.ipfs:
        return
    node = open_store(url)
    try:
        for path in (world.folder / "blocks" / "blocks").glob("*/*"):
            await node.put(Cid.parse(path.name).codec, path.read_bytes())
    finally:
        await node.close()


def of_the_shop(world: FaultWorld, bought: Bought) -> bool:
    """Whether it is an honest sale of the world's own shop."""
    return bought.sale.seller == world.shop.seller.address


@fault(
    55,
    "IPFS refused",
    by="K",
    breaks="src/dam/ipfs/kubo.py:except (aiohttp.ClientError, OSError) as error:",
    instead="except UnicodeError as error:",
)
async def test_f55_the_node_refuses_connections(
    world: FaultWorld, ipfs: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, ipfs)
    await ipfs.refuse()
    await rogue.publish(await rogue.document())
    await rogue.buy()
    await world.buy(2)
    await daemon.event("store_unavailable")
    await world.until_delivered(sales=world.sold[1:])
    await ipfs.accept()
    # Once with a node that takes the connection and breaks it, which is as good as none.
    ipfs.inject(ipfs_faults.Reset(), times=1)
    await world.until_delivered()
    await oracle(world)


@fault(
    56,
    "IPFS hangs",
    by="K",
    breaks="src/dam/catalog/reader.py:async with asyncio.timeout(limits.seconds) as clock:",
    instead="async with asyncio.timeout(None) as clock:",
)
async def test_f56_the_node_never_answers(
    world: FaultWorld, ipfs: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, ipfs)
    document = await rogue.document()
    first = await rogue.publish(document)
    hanging = ipfs.inject(ipfs_faults.Hang(), cids=[first.cid])
    await rogue.buy()
    await world.buy()
    await world.until_delivered(sales=world.sold[1:])
    # What hangs is let go at the deadline of a first attempt, which is a short one.
    told = await daemon.event("store_unavailable")
    assert "did not arrive within 15 s" in told["reason"]
    hanging.stop()
    await world.until_delivered()
    await oracle(world)


@fault(
    57,
    "1 byte/s: total deadline, others proceed",
    by="K",
    breaks="src/dam/daemon/document_sync.py:"
    "patience = self._policy.first_seconds * 2 ** min(document.attempts, 10)",
    instead="patience = self._policy.limits.seconds",
)
async def test_f57_one_byte_a_second(
    world: FaultWorld, ipfs: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, ipfs)
    honest = await RogueSeller.enter(world)
    # More slow documents than are read at once, three of a seller, and one for which a buyer waits.
    slow = []
    for one in (rogue, *[await RogueSeller.enter(world) for _ in range(3)]):
        document = await one.document()
        for number in range(3):
            block = dag_json.dumps({**document, "storeName": f"Slow {number}"})
            slow.append(Cid.of("dag-json", block))
            ipfs.inject(ipfs_faults.Drip(), cids=[slow[-1]])
            await one.publish(block, [one.terms(document)])
    await rogue.buy()
    await world.wait(lambda: ipfs.held >= 8, "all places are taken by slow documents")
    await honest.publish(await honest.document())
    await honest.buy()
    await world.buy()
    await world.until_delivered(sales=world.sold[2:])
    await world.until_delivered(sales=world.sold[1:2])
    told = daemon.logged("store_unavailable")
    assert told
    assert all("did not arrive within 15 s" in line["reason"] for line in told[:8])
    ipfs.clear()
    await world.until_delivered()
    await oracle(world)


@fault(
    58,
    "cut stream",
    by="K",
    breaks="src/dam/ipfs/kubo.py:raise IpfsError("
    'f"{of}: {command}: {type(error).__name__}") from None',
    instead="return b''",
)
async def test_f58_the_stream_is_cut(
    world: FaultWorld, kubo: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, kubo)
    document = dag_json.dumps(await rogue.document())
    cid = await world.blocks.put("dag-json", document)
    await mirror(world, kubo.upstream)
    # In the middle of the block; at its end, as if it were whole; and in the answer to a pin.
    kubo.inject(ipfs_faults.Cut(), "block/get", cids=[cid], times=1)
    kubo.inject(ipfs_faults.Cut(clean=True), "block/get", cids=[cid], times=1, after=1)
    pin = kubo.inject(ipfs_faults.Cut(), "pin/add", cids=[cid], times=1)
    await rogue.publish(document, [rogue.terms(json.loads(document))])
    await rogue.buy()
    await world.buy()
    told = await daemon.event("store_unavailable", 2)
    assert "ClientPayloadError" in daemon.logged("store_unavailable")[0]["reason"]
    assert str(cid) in told["reason"]
    await world.until_delivered()
    await daemon.event("pinned", 2)
    assert pin.injected == 1
    assert injected["cut stream"] == 3
    await oracle(world)


@fault(
    59,
    "bytes that are not the CID's",
    by="K",
    breaks="src/dam/ipfs/kubo.py:return cid.check(data)",
    instead="return data",
)
async def test_f59_other_bytes(world: FaultWorld, ipfs: IpfsProxy, injected: Injected) -> None:
    daemon, rogue = await begin(world, ipfs)
    document = await rogue.document()
    cid = Cid.of("dag-json", dag_json.dumps(document))
    bait = Cid.of("raw", b"nobody links to this")
    # The document with a bit turned; then, when its links are walked to pin it, another document.
    turned = ipfs.inject(ipfs_faults.WrongBytes(), "block/get", cids=[cid], times=2)
    lured = ipfs.inject(
        ipfs_faults.WrongBytes(dag_json.dumps({"to": {"/": str(bait)}})),
        "block/get",
        cids=[cid],
        times=1,
        after=3,
    )
    await rogue.publish(dag_json.dumps(document), [rogue.terms(document)])
    await rogue.buy()
    await world.buy()
    told = await daemon.event("store_unavailable")
    assert "not this block" in told["reason"]
    await world.until_delivered()
    await daemon.event("pinned", 2)
    assert (turned.injected, lured.injected) == (2, 1)
    assert "not this block" in daemon.logged("pin_unavailable")[0]["reason"]
    assert not any(one.arg == str(bait) for one in ipfs.asked), "a link of wrong bytes was followed"
    await oracle(world)


@fault(
    60,
    "502 with a body",
    by="K",
    breaks='src/dam/ipfs/kubo.py:if response.status != 200 or "X-Stream-Error" '
    "in response.headers:",
    instead="if False:",
)
async def test_f60_the_body_of_an_error(
    world: FaultWorld, ipfs: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, ipfs)
    document = dag_json.dumps(await rogue.document())
    cid = Cid.of("dag-json", document)
    # A page; the block's own bytes, which are no answer either; and a pin that never was.
    for times, fault_ in enumerate((ipfs_faults.BadGateway(), ipfs_faults.BadGateway(503, None))):
        ipfs.inject(fault_, "block/get", cids=[cid], times=1, after=times)
    ipfs.inject(ipfs_faults.Says({"Pins": [str(cid)]}, 502), "pin/add", cids=[cid], times=1)
    await rogue.publish(document, [rogue.terms(json.loads(document))])
    await rogue.buy()
    await world.buy()
    await daemon.event("store_unavailable", 2)
    told = [line["reason"] for line in daemon.logged("store_unavailable")]
    assert "HTTP 502" in told[0]
    assert "HTTP 503" in told[1]
    await world.until_delivered()
    await daemon.event("pinned", 2)
    assert "HTTP 502" in daemon.logged("pin_unavailable")[0]["reason"]
    assert (world.folder / "blocks" / "pins" / str(cid)).exists()
    await oracle(world)


@fault(
    61,
    "10 GB: byte cap while streaming",
    by="K",
    breaks="src/dam/ipfs/kubo.py:if size > max_bytes:",
    instead="if False:",
)
async def test_f61_ten_gigabytes(world: FaultWorld, ipfs: IpfsProxy, injected: Injected) -> None:
    daemon, rogue = await begin(world, ipfs)
    document = await rogue.document()
    for number, announced in enumerate((10 * 10**9, None)):
        block = dag_json.dumps({**document, "storeName": f"Large {number}"})
        ipfs.inject(ipfs_faults.Flood(announced), "block/get", cids=[Cid.of("dag-json", block)])
        await rogue.publish(block, [rogue.terms(document)])
        await rogue.buy()
    await world.buy()
    await daemon.event("purchase_refused", 2)
    await world.until_delivered(sales=world.sold[2:])
    # A block is 1 MiB at most; what is on its way beyond that stands in the sockets' buffers.
    assert ipfs.sent_bytes < 2 * (16 << 20)
    assert await oracle(world, reasons=["document-refused"]) == {
        "delivered": 1,
        "document-refused": 2,
    }


@fault(
    62,
    "redirect: not followed",
    by="K",
    breaks="src/dam/ipfs/kubo.py:params=query, data=form, allow_redirects=False",
    instead="params=query, data=form, allow_redirects=True",
)
async def test_f62_a_redirect(world: FaultWorld, ipfs: IpfsProxy, injected: Injected) -> None:
    daemon, rogue = await begin(world, ipfs)
    document = dag_json.dumps(await rogue.document())
    cid = Cid.of("dag-json", document)
    # The other place would give the very block: it is not asked all the same.
    async with IpfsProxy(world.ipfs) as elsewhere:
        for number, status in enumerate((301, 307)):
            to = ipfs_faults.Redirect(elsewhere.url, status)
            ipfs.inject(to, "block/get", cids=[cid], times=1, after=number)
        ipfs.inject(ipfs_faults.Redirect(elsewhere.url), "pin/add", cids=[cid], times=1)
        await rogue.publish(document, [rogue.terms(json.loads(document))])
        await rogue.buy()
        await world.buy()
        await world.until_delivered(sales=world.sold[1:])
        await world.until_delivered()
        await daemon.event("pinned", 2)
        told = [line["reason"] for line in daemon.logged("store_unavailable")]
        assert ["HTTP 301" in told[0], "HTTP 307" in told[1]] == [True, True]
        assert injected["redirect"] == 3
        assert not elsewhere.asked, "a redirect was followed"
    await oracle(world)


ESCAPE = "DAG-JSON with an escape other than those of quote, backslash and newline"


async def refuse_links(
    world: FaultWorld,
    daemon: Deliverer,
    rogue: RogueSeller,
    injected: Injected,
    links: dict[str, str],
) -> None:
    """A version of the rogue's store for each link, and a sale under each: all refused."""
    document = await rogue.document()
    terms = rogue.terms(document)
    for name, text in links.items():
        whole = {key: document[key] for key in document if key not in ("items", "sealingKey")}
        await rogue.publish(dag_json.dumps({**whole, "pages": [{"/": text}]}), [terms])
        await rogue.buy()
        injected.add(name)
    await world.buy()
    await daemon.event("purchase_refused", len(links))
    told = [line["reason"] for line in daemon.logged("store_refused")]
    assert len(told) == len(links)
    # JSON has to escape a line break, and canonical DAG-JSON knows no escape of it.
    assert set(told) <= {"DAG-JSON with a key '/' that is no link that DAM reads", ESCAPE}
    await world.until_delivered(sales=[one for one in world.sold if of_the_shop(world, one)])
    outcome = await oracle(world, reasons=["document-refused"])
    assert outcome == {"delivered": 1, "document-refused": len(links)}


OTHER = Cid.of("dag-json", b"{}")
PATHS = {
    "a URL": "http://169.254.169.254/latest/meta-data",
    "a path up": f"../../{OTHER}",
    "a path": f"/ipfs/{OTHER}",
    "a name": "/ipns/example.org",
    "another argument": f"{OTHER}&arg={OTHER}&offline=false",
    "another command": f"{OTHER}/../../../repo/gc",
    "a query": f"{OTHER}?pin=false#",
    "a line of its own": f"{OTHER}\r\nX-Injected: 1",
    "upper case": str(OTHER).upper(),
    "a spare bit": str(OTHER)[:-1] + "b",
}


@fault(
    63,
    'a "CID" that is a URL, ../, /ipns/, &arg=',
    by="K",
    breaks="src/dam/ipfs/cid.py:if pattern.fullmatch(text):",
    instead="if True:",
)
async def test_f63_links_that_are_none(
    world: FaultWorld, ipfs: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, ipfs)
    await refuse_links(world, daemon, rogue, injected, PATHS)
    there = {path.name for path in (world.folder / "blocks" / "blocks").glob("*/*")}
    assert {one.arg for one in ipfs.asked} <= there, "a request was sent for a link that is none"
    assert all(set(one.query) <= {"arg", "recursive", "progress"} for one in ipfs.asked)
    assert {one.command for one in ipfs.asked} <= {"block/get", "block/stat", "pin/add"}


def _cid(prefix: bytes, rest: bytes) -> str:
    return "b" + base64.b32encode(prefix + rest).decode().rstrip("=").lower()


_DIGEST = hashlib.sha256(b"a directory").digest()
KINDS = {
    "identity": _cid(b"\x01\x55\x00", b"\x05hello"),
    "identity of a document": _cid(b"\x01\xa9\x02\x00", b"\x02{}"),
    "a directory": _cid(b"\x01\x70\x12\x20", _DIGEST),
    "a directory, CIDv0": "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
    "DAG-CBOR": _cid(b"\x01\x71\x12\x20", _DIGEST),
    "SHA-1": _cid(b"\x01\x55\x11\x14", _DIGEST[:20]),
}


@fault(
    64,
    "identity CID, directory, million-link DAG",
    by="K",
    breaks="src/dam/catalog/reader.py:self.count_goods(goods)",
)
async def test_f64_links_to_what_is_no_document(
    world: FaultWorld, ipfs: IpfsProxy, injected: Injected
) -> None:
    daemon, rogue = await begin(world, ipfs)
    await refuse_links(world, daemon, rogue, injected, KINDS)
    # Two blocks make ever so many links: goods of thousands, and pages that all name them.
    document = await rogue.document()
    entry = document["items"][0]
    for key in ("encryptedParts", "partLeaves", "payloads"):
        del entry[key]
    links = [
        {"page": {"/": str(Cid.of("dag-json", b"%d" % n))}, "copies": 1, "root": f"0x{n:064x}"}
        for n in range(5_500)
    ]
    roots = MerkleTree([bytes.fromhex(link["root"][2:]) for link in links]).root
    stock = {"stock": True, "supply": str(len(links)), "partsRoot": "0x" + roots.hex()}
    item = {**entry, **stock, "sections": links}
    pages = [await put_page(world.blocks, {**item, "title": f"Page {n}"}) for n in range(70)]
    first = dag_json.decode(await world.blocks.get(Cid.parse(pages[0]["/"])))
    whole = {key: document[key] for key in document if key not in ("items", "sealingKey")}
    many = {**whole, "pages": pages}
    await rogue.publish(dag_json.dumps(many), [rogue.terms(document)])
    injected.add("million-link DAG")
    await rogue.buy()
    told = await daemon.event("store_refused", len(KINDS) + 1)
    assert "pages of parts" in told["reason"]
    await world.mine()
    await daemon.event("purchase_refused", len(KINDS) + 1)
    # Not one of those links was asked for, and the goods no more often than one look takes.
    assert ipfs.asked_for(first["goods"]["/"]) <= 8
    assert not any(ipfs.asked_for(link["page"]["/"]) for link in links[:50])
    await world.until_delivered(sales=[one for one in world.sold if of_the_shop(world, one)])
    outcome = await oracle(world, reasons=["document-refused"])
    assert outcome == {"delivered": 1, "document-refused": len(KINDS) + 1}
