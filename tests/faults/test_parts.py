"""F72 to F76: sealed parts and keys that are broken, too many, or somebody else's.

Each time the shop's sales are delivered beside it.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest

from dam.catalog.payload import encrypt_inline, payload_to_json
from dam.catalog.reader import Limits
from dam.crypto import curve25519, hashing, sealing
from dam.crypto.merkle import MerkleTree, SectionedTree
from dam.errors import ContractReverted
from dam.ipfs import dag_json
from dam.types import ZERO_ADDRESS, Terms, Wei
from demo import documents
from demo.shop import ITEM
from demo.trade import Bought, order
from tests.faults import rpc_faults
from tests.faults.oracle import oracle
from tests.faults.rogue_seller import Document, RogueSeller, bent, put_page
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld


def state_of(daemon: Any, bought: Bought) -> list[tuple[str, str]]:
    """What the ledger says of a sale: state and reason."""
    copy_id = bought.sale.copy_id
    return [
        (str(state), str(reason))
        for state, reason in daemon.query(
            "SELECT state, reason FROM purchases WHERE copy_id = ?", copy_id
        )
    ]


def little(number: int) -> str:
    """A number as 32 bytes of X25519, in hex."""
    return "0x" + number.to_bytes(32, "little").hex()


P = curve25519.P
PAGE_KEYS = {
    **{
        f"low order {number}": "0x" + key.hex() for number, key in enumerate(sealing.LOW_ORDER_KEYS)
    },
    "p": little(P),
    "p + 1, of low order": little(P + 1),
    "p + 9": little(P + 9),
    "all ones": "0x" + "ff" * 32,
    "top bit": little(9 + 2**255),
    "short": "0x" + "09" * 31,
    "long": "0x" + "09" * 33,
    "empty": "0x",
}
BAD_PARTS = {"a byte too many": "00", "ten thousand bytes": "00" * 10_000}


@fault(
    72,
    "low-order, off-curve or oversized",
    by="K",
    breaks="src/dam/crypto/sealing.py:"
    'raise Malformed(f"the X25519 key 0x{key.hex()} is of low order")',
)
async def test_f72_keys_and_parts_of_the_wrong_kind(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.deliverer().start()
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    bad: dict[str, Document] = {
        name: {**document, "sealingKey": key} for name, key in PAGE_KEYS.items()
    }
    sealed = document["items"][0]["encryptedParts"]
    for name, more in BAD_PARTS.items():
        bad[name] = bent(document, encryptedParts=[sealed[0] + more, *sealed[1:]])
    bad["a byte too few"] = bent(document, encryptedParts=[sealed[0][:-2], *sealed[1:]])
    names = {}
    for name, value in bad.items():
        offer = await rogue.publish(value)
        names["0x" + offer.digest.hex()] = name
        await rogue.buy()
        injected.add(name)
    # On the curve's twist: X25519 is at home there, and the part is simply nobody's.
    await rogue.publish({**document, "sealingKey": little(2)})
    injected.add("off the curve")
    twist = await rogue.buy()
    shop = await world.buy(2)
    await world.until_delivered(sales=shop)
    await world.until(lambda: state_of(daemon, twist) == [("not-mine", "")], "it is nobody's")
    others = [one for one in world.sold if one is not twist]
    outcome = await oracle(world, sales=others, reasons=["document-refused"])
    assert outcome == {"delivered": 2, "document-refused": len(bad)}
    refused = daemon.logged("store_refused")
    reasons = {names[line["digest"]]: line["reason"] for line in refused}
    assert set(reasons) == set(bad)
    for name, reason in reasons.items():
        if name.startswith("low order"):
            assert "is of low order" in reason, name
        elif name in ("short", "long", "empty"):
            assert "sealingKey is not 0x" in reason, name
        elif name in PAGE_KEYS:
            assert "is not canonical" in reason, name
        else:
            assert "encryptedParts is not 0x" in reason, name


@fault(
    73,
    "another's part",
    by="K",
    breaks="src/dam/roles/deliverer/part_scan.py:"
    'raise Refused("leaf-not-in-item", f"{where}: {error}") from None',
    instead="raise",
)
async def test_f73_parts_of_others_under_our_key(world: FaultWorld, injected: Injected) -> None:
    first, third = await world.deliverer(0).start(), await world.deliverer(2).start()
    rogue = await RogueSeller.enter(world)
    # The leaf names the second deliverer, the ciphertext is for the first one, and vice versa.
    keys = [await world.deliverer_key(actor.address) for actor in world.shop.deliverers]
    crossed = await rogue.document(keys=[keys[1], keys[0], keys[2]])
    await rogue.publish(crossed)
    injected.add("leaf of another")
    exchanged = await rogue.buy()
    # Our tag before what somebody else's key opens, made by a helper who knows K.
    document = await rogue.document()
    page = bytes.fromhex(document["sealingKey"][2:])
    item = hashing.item_id(document["items"][0]["itemId"])
    place = (world.deployment.chain_id, world.deployment.market, rogue.actor.address)
    domain = hashing.domain(*place, item, stock=False, copy=0)
    ours = sealing.part_tag(sealing.shared_key(first.ring.current.secret, page), domain).hex()
    sealed = document["items"][0]["encryptedParts"]
    [mine] = [one for one in sealed if one[2:34] == ours]
    other = next(one for one in sealed if one != mine)
    swapped = ["0x" + ours + other[34:] if one == mine else one for one in sealed]
    await rogue.publish(bent(document, encryptedParts=swapped))
    injected.add("tag of ours, part of another")
    tagged = await rogue.buy()
    await world.buy()
    await world.until_delivered(third)
    await world.until_delivered(first, sales=world.sold[2:])
    outcome = await oracle(world, reasons=["leaf-not-in-item", "part-unreadable"])
    # The third deliverer has its part of both; the first one is served what it was promised.
    assert outcome == {"delivered": 4, "leaf-not-in-item": 1, "part-unreadable": 1}
    assert state_of(first, exchanged) == [("refused", "leaf-not-in-item")]
    assert state_of(first, tagged) == [("refused", "part-unreadable")]
    told = [line["reason"] for line in first.logged("part_refused")]
    assert sorted(told) == ["leaf-not-in-item", "part-unreadable"]


COPIES, PARTS = 39, 32
"""Of one section or item: what fits a block."""


def noise(rogue: RogueSeller, name: str, sections: int, *, plain: bool) -> tuple[Terms, list[Any]]:
    """A stock item whose parts are noise: its terms, and each section's parts."""
    size = sealing.PLAIN_SEALED_BYTES if plain else sealing.SEALED_BYTES
    leaves = [[secrets.token_bytes(32) for _ in range(COPIES * PARTS)] for _ in range(sections)]
    box = payload_to_json(encrypt_inline(b"\x01" * 32, bytes(32), b"x"))
    parts = [
        {
            "encryptedParts": ["0x" + secrets.token_hex(size) for _ in part],
            "partLeaves": ["0x" + leaf.hex() for leaf in part],
            "payloads": [box] * COPIES,
        }
        for part in leaves
    ]
    item = rogue.listing(name, parts=PARTS, threshold=2, stock=True, supply=0)
    root = SectionedTree([MerkleTree(part) for part in leaves]).root
    return replace(item.terms(root), supply=COPIES * sections), parts


def entry(name: str, terms: Terms, parts: dict[str, Any]) -> dict[str, Any]:
    """The item of these terms, with its parts as they stand in it."""
    return {
        "itemId": name,
        "title": "Noise",
        **{key: str(getattr(terms, key)) for key in ("price", "commission", "penalty", "bond")},
        "token": ZERO_ADDRESS,
        "supply": str(terms.supply),
        "stock": True,
        "parts": terms.parts,
        "threshold": terms.threshold,
        "arbitrator": ZERO_ADDRESS,
        "partsRoot": "0x" + terms.parts_root.hex(),
        "otherMetadata": {},
        **parts,
    }


async def publish_pages(
    rogue: RogueSeller, name: str, items: list[Document], terms: list[Terms]
) -> None:
    """Publishes a store of these items, each on a page of its own."""
    deployment = rogue.world.deployment
    document = {
        "version": 2,
        "storeName": name,
        "chainId": deployment.chain_id,
        "market": deployment.market,
        "seller": rogue.actor.address,
        "pages": [await put_page(rogue.world.blocks, item) for item in items],
    }
    await rogue.publish(dag_json.dumps(document), terms)


async def publish_tagged(rogue: RogueSeller, sections: int) -> None:
    """One item, its parts on pages of their own, under page keys."""
    terms, parts = noise(rogue, "noise", sections, plain=False)
    key = "0x" + sealing.public_key(secrets.token_bytes(32)).hex()
    links = []
    for number, page in enumerate(parts):
        value = {**page, "firstCopy": COPIES * number, "copies": COPIES, "sealingKey": key}
        cid = await rogue.world.blocks.put("dag-json", dag_json.dumps(value))
        leaves = [bytes.fromhex(leaf[2:]) for leaf in page["partLeaves"]]
        root = "0x" + MerkleTree(leaves).root.hex()
        links.append({"page": {"/": str(cid)}, "copies": COPIES, "root": root})
    await publish_pages(rogue, "tagged", [entry("noise", terms, {"sections": links})], [terms])


async def publish_plain(rogue: RogueSeller, items: int) -> None:
    """Items on pages of their own, each part in a box of its own."""
    names = [f"noise {number}" for number in range(items)]
    made = [noise(rogue, name, 1, plain=True) for name in names]
    items = [entry(name, terms, parts) for name, (terms, [parts]) in zip(names, made, strict=True)]
    await publish_pages(rogue, "plain", items, [terms for terms, _ in made])


@fault(
    74,
    "10,000 parts: work budget",
    by="K",
    breaks="src/dam/catalog/reader.py:if self._plain_left < 0:",
    instead="if False:",
)
async def test_f74_ten_thousand_parts(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.deliverer().start()
    rogue = await RogueSeller.enter(world)
    # Under a page key it is one multiplication a page, and read like any other store.
    await publish_tagged(rogue, 8)
    injected.add("parts under a page key", 8 * COPIES * PARTS)
    tagged = await rogue.buy()
    # Each in a box of its own, it would be a multiplication a part: over the budget.
    assert Limits().max_plain_parts < 8 * COPIES * PARTS
    await publish_plain(rogue, 8)
    injected.add("parts to try one by one", 8 * COPIES * PARTS)
    plain = await rogue.buy()
    shop = await world.buy(3)
    await world.until_delivered(sales=shop)
    await world.until(lambda: len(daemon.logged("purchase_refused")) == 1, "it is refused")
    await world.until(lambda: state_of(daemon, tagged) == [("not-mine", "")], "it is nobody's")
    [line] = daemon.logged("store_refused")
    assert "sealed parts without a page key" in line["reason"]
    outcome = await oracle(world, sales=[*shop, plain], reasons=["document-refused"])
    assert outcome == {"delivered": 3, "document-refused": 1}


@fault(
    75,
    "bad buyer key",
    by="P",
    breaks="src/dam/crypto/sealing.py:check_public_key(buyer_key)",
)
async def test_f75_buyer_keys_that_nobody_should_seal_to(
    world: FaultWorld, proxy: RpcProxy, injected: Injected
) -> None:
    bad_keys = [*sealing.LOW_ORDER_KEYS, P.to_bytes(32, "little"), b"\xff" * 32]
    # The contract takes no such key ...
    ready = await order(world, world.shop.seller, ITEM, 900)
    good = sealing.public_key(secrets.token_bytes(32))
    for key in bad_keys:
        proof = (await shop_proof(world))[1]
        data = world.market.encode(
            "buyItem",
            world.shop.seller.address,
            ready.terms,
            proof,
            ready.digest,
            900,
            [key, good, good],
        )
        with pytest.raises(ContractReverted, match="InvalidKey"):
            await world.market.simulate(
                data, sender=world.people[0].address, value=ready.terms.price
            )
    # ... so a node has to lie about it.
    bought = await world.buy(len(bad_keys))
    keys = {one.sale.keys[0].hex(): key.hex() for one, key in zip(bought, bad_keys, strict=True)}

    def swap(log: Any) -> Any:
        data = log["data"]
        for old, new in keys.items():
            data = data.replace(old, new)
        return {**log, "data": data}

    lie = proxy.inject(rpc_faults.each("low-order key", swap), "eth_getLogs")
    daemon = await world.deliverer(rpc=proxy.url).start()
    await world.until(
        lambda: len(daemon.logged("purchase_refused")) == len(bought), "all are refused"
    )
    lie.stop()
    beside = await world.buy(2)
    await world.until_delivered(sales=beside)
    outcome = await oracle(world, reasons=["bad-buyer-key"])
    assert outcome == {"delivered": 2, "bad-buyer-key": len(bought)}
    assert not daemon.logged("internal_error")


async def shop_proof(world: FaultWorld) -> tuple[Terms, tuple[bytes, ...]]:
    """Terms of the shop's item, and their proof."""
    version = await world.store_version(world.shop.seller.address)
    store = await documents.checked(
        world.blocks, world.deployment, version.seller, version.digest, version.root
    )
    [item] = store.items
    return item.terms, store.terms_proof(item)


@fault(
    76,
    "part replayed from another item",
    by="K",
    breaks="src/dam/roles/deliverer/part_scan.py:if found.copy is None or part.domain != domain:",
    instead="if found.copy is None:",
)
async def test_f76_ciphertext_of_another_item(world: FaultWorld, injected: Injected) -> None:
    daemon = await world.deliverer().start()
    thief = await RogueSeller.enter(world)
    version = await world.store_version(world.shop.seller.address)
    victim = await documents.read_document(world.blocks, version.digest)
    # As it is, it bears the tags of the shop's own domain.
    copied = documents.stolen(victim, ITEM, thief.actor.address, "Copied")
    await thief.publish(copied)
    injected.add("copied")
    first = await thief.buy()
    # With tags for the thief's own, which take a helper who knows K of page and deliverer.
    page = bytes.fromhex(victim["sealingKey"][2:])
    rings = [world.deliverer(number).ring for number in range(3)]
    shared = [sealing.shared_key(ring.current.secret, page) for ring in rings]
    loot = documents.stolen(victim, ITEM, thief.actor.address, "Tagged anew")
    await thief.publish(documents.retagged(loot, version.seller, shared, world.deployment))
    injected.add("tagged anew")
    second = await thief.buy()
    # And from one of the seller's items into another: here the share would be given away.
    own = await thief.document(
        thief.listing("dear"), thief.listing("cheap", price=1, commission=Wei(0))
    )
    dear, cheap = (item for item in own["items"] if item["itemId"] in ("dear", "cheap"))
    if dear["itemId"] != "dear":
        dear, cheap = cheap, dear
    for key in ("encryptedParts", "partLeaves", "partsRoot", "payloads"):
        cheap[key] = dear[key]
    offer = await thief.publish(own)
    injected.add("from item to item")
    number = [terms.price for terms in offer.terms].index(1)
    third = await thief.buy(number=number)
    await world.buy(2)
    await world.until_delivered(daemon, sales=world.sold[3:])
    await world.until(lambda: len(daemon.logged("purchase_refused")) >= 1, "it is refused")
    await world.settle_down()
    given = {log.copy_id for log in await world.delivered()}
    assert not given & {one.sale.copy_id for one in (first, second, third)}
    assert state_of(daemon, first) == [("refused", "copied-ciphertext")]
    assert state_of(daemon, second) == [("refused", "domain-mismatch")]
    told = [line["reason"] for line in daemon.logged("part_refused")]
    assert "domain-mismatch" in told
    # Its tags are those of the dear item, so in the cheap one nothing bears ours.
    assert state_of(daemon, third) == [("not-mine", "")]
    ours = [one for one in world.sold if one is not third]
    reasons = ["copied-ciphertext", "domain-mismatch"]
    outcome = await oracle(world, daemons=[daemon], sales=ours, reasons=reasons)
    assert outcome == {"delivered": 2, "copied-ciphertext": 1, "domain-mismatch": 1}
