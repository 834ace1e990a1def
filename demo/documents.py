"""Store documents made by hand, as thieves make them: nobody's tool would publish these.

A thief reads another seller's store, as anybody can, and lists its items under the thief's own name
for 1 wei, hoping that the deliverers serve the thief's buyer. `plain_document` is honest: it makes
a page in the old form without a page key, so that the second thief has something to copy.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nacl.utils import random

from dam.catalog import payload
from dam.catalog.reader import read_store
from dam.catalog.store import Store
from dam.crypto import hashing, sealing, shamir
from dam.crypto.hashing import keccak
from dam.crypto.merkle import MerkleTree
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.types import ZERO_ADDRESS, Address, Deployment, Part, PartLeaf, Terms, Wei
from demo.goods import Deal

Document = dict[str, Any]


@dataclass(frozen=True)
class Keyed:
    """A deliverer as a seller sees it."""

    operator: Address
    key: bytes
    """X25519 public key."""


async def read_document(blocks: BlockStore, digest: bytes) -> Document:
    """A store's whole document as one block: what anybody may read, and write down as well."""

    async def block(cid: Cid) -> Document:
        found: Document = dag_json.decode(await blocks.get(cid))
        return found

    document = await block(Cid("dag-json", digest))
    for link in document.pop("pages", ()):
        page = await block(Cid.parse(link["/"]))
        # The demo's stores are small: one page.
        assert "items" not in document
        details, goods = [await block(Cid.parse(page[n]["/"])) for n in ("details", "goods")]
        rows = zip(page["items"], details["items"], goods.pop("items"), strict=True)
        document |= {**goods, "items": [{**item, **more, **own} for item, more, own in rows]}
    for item in document["items"]:
        assert "sections" not in item
    return document


def stolen(document: Document, item: str, thief: Address, name: str) -> Document:
    """The first theft: the item with its sealed parts and their page key, for 1 wei."""
    loot = copy.deepcopy(document)
    [taken] = [entry for entry in loot["items"] if entry["itemId"] == item]
    taken |= {
        "price": "1",
        "commission": "0",
        "penalty": "0",
        "bond": "0",
        "arbitrator": ZERO_ADDRESS,
    }
    return loot | {"storeName": name, "seller": thief, "items": [taken]}


def retagged(
    document: Document, victim: Address, shared: Sequence[bytes], deployment: Deployment
) -> Document:
    """The third theft: before each stolen ciphertext, the tag that its deliverer looks for.

    Args:
        document: From `stolen`; its item's copies share their parts.
        victim: Whose item it was.
        shared: K of the page and each deliverer: the helper's contribution.
        deployment: Chain and market, for the thief's own domain.
    """
    entry = document["items"][0]
    item_id, stock = hashing.item_id(entry["itemId"]), bool(entry["stock"])
    honest, mine = (
        hashing.domain(deployment.chain_id, deployment.market, seller, item_id, stock, 0)
        for seller in (victim, document["seller"])
    )
    boxes = {box[: sealing.TAG_BYTES]: box for box in map(_unhex, entry["encryptedParts"])}
    # Whoever knows K knows which box is whose, and what its tag would be anywhere.
    entry["encryptedParts"] = [
        "0x" + (sealing.part_tag(key, mine) + boxes[sealing.part_tag(key, honest)][16:]).hex()
        for key in shared
    ]
    return document


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def terms_of(entry: Document) -> Terms:
    """The terms that an item of a well-formed document says."""
    return Terms(
        item_id=hashing.item_id(entry["itemId"]),
        token=entry["token"],
        price=int(entry["price"]),
        commission=Wei(int(entry["commission"])),
        penalty=Wei(int(entry["penalty"])),
        bond=Wei(int(entry["bond"])),
        supply=int(entry["supply"]),
        stock=entry["stock"],
        parts=entry["parts"],
        threshold=entry["threshold"],
        arbitrator=entry.get("arbitrator", ZERO_ADDRESS),
        parts_root=_unhex(entry["partsRoot"]),
    )


async def put_document(blocks: BlockStore, document: Document) -> tuple[bytes, bytes]:
    """Puts and pins a document of one block; returns its digest and catalogue root."""
    root = MerkleTree([hashing.terms_leaf(terms_of(entry)) for entry in document["items"]]).root
    cid = await blocks.put("dag-json", dag_json.dumps(document))
    await blocks.pin(cid)
    return cid.digest, root


async def checked(
    blocks: BlockStore, deployment: Deployment, seller: Address, digest: bytes, root: bytes
) -> Store:
    """Reads a store as every honest tool does."""
    return await read_store(
        blocks,
        digest,
        chain_id=deployment.chain_id,
        market=deployment.market,
        seller=seller,
        root=root,
    )


def plain_document(
    deal: Deal, good: bytes, deployment: Deployment, seller: Address, holders: Sequence[Keyed]
) -> Document:
    """An honest store whose one item has plain sealed boxes: no page key, no tags."""
    item_id = hashing.item_id(deal.item)
    domain = hashing.domain(
        deployment.chain_id, deployment.market, seller, item_id, stock=False, copy=0
    )
    # Below p except once in 2^67 runs, and `split` refuses then.
    secret = random(32)
    shares = shamir.split(
        secret, deal.threshold, deal.parts, [random(32) for _ in range(deal.threshold - 1)]
    )
    sealed, leaves = [], []
    for index, (share, holder) in enumerate(zip(shares, holders, strict=True)):
        part = Part(domain, index, share, keccak(secret), random(32))
        sealed.append(sealing.seal_plain(holder.key, part))
        leaf = PartLeaf(0, index, holder.operator, keccak(share), part.secret_hash, part.salt)
        leaves.append(hashing.part_leaf(leaf))
    box = payload.encrypt_inline(secret, domain, good)
    entry = {
        "itemId": deal.item,
        "title": deal.title,
        "price": str(deal.price),
        "token": ZERO_ADDRESS,
        "commission": str(deal.commission),
        "penalty": str(deal.penalty),
        "bond": str(deal.bond),
        "supply": str(deal.supply),
        "stock": False,
        "parts": deal.parts,
        "threshold": deal.threshold,
        "arbitrator": ZERO_ADDRESS,
        "partsRoot": "0x" + MerkleTree(leaves).root.hex(),
        "otherMetadata": {},
        "encryptedParts": ["0x" + box.hex() for box in sealed],
        "partLeaves": ["0x" + leaf.hex() for leaf in leaves],
        "payloads": [payload.payload_to_json(box)],
    }
    return {
        "version": 2,
        "storeName": "The old way",
        "chainId": deployment.chain_id,
        "market": deployment.market,
        "seller": seller,
        "items": [entry],
    }


def one_time_keys(parts: int) -> tuple[list[bytes], list[bytes]]:
    """A buyer's one-time keys, made without any tool: secrets, and their public keys."""
    secrets = [sealing.new_secret_key() for _ in range(parts)]
    return secrets, [sealing.public_key(secret) for secret in secrets]
