"""Writes tests/vectors/vectors.json: golden vectors of every format that two programs must share.

Usage: python tools/make_vectors.py [path]

Nothing in it is random: what the product draws at random (nonces, ephemeral keys, stream headers)
is derived here from labels and stands in the vectors as input. Running it again gives the same
bytes; tests/unit/test_vectors.py checks that, and computes each value by other means.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from document_vectors import blocks, texts
from market_vectors import (
    a_possession,
    agreements,
    catalogue_commitment,
    domains,
    entries,
    escrow_and_sale,
    fragments_digest,
    purchase,
    some_part_leaves,
    some_terms,
)
from vector_inputs import (
    CHAIN_ID,
    MARKET,
    SELLER,
    a_key,
    a_sharing,
    an_address,
    fixed,
    inline_box,
    plain,
    sealed_box,
    stream_blocks,
)

from dam.catalog import payload
from dam.crypto import curve25519, derivation, hashing, possession, sealing
from dam.crypto.merkle import MerkleTree
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.types import (
    ZERO_ADDRESS,
    CopyId,
    Part,
    PartLeaf,
    Terms,
    Wei,
)

TARGET = Path(__file__).resolve().parents[1] / "tests" / "vectors" / "vectors.json"


def merkle(count: int) -> dict[str, Any]:
    leaves = [fixed(f"leaf {i} of {count}") for i in range(count)]
    tree = MerkleTree(leaves)
    return {
        "leaves": leaves,
        "root": tree.root,
        "proofs": [{"leaf": leaf, "proof": tree.proof(leaf)} for leaf in leaves],
    }


def seller_seed(copy: int, generation: int, k: int, n: int) -> dict[str, Any]:
    seed = derivation.SellerSeed(fixed("seller seed"))
    place = derivation.Place(CHAIN_ID, MARKET, hashing.item_id("codes"), copy, generation)
    return {
        "seed": seed.seed,
        **asdict(place),
        "k": k,
        "n": n,
        "content_key": seed.content_key(place),
        "coefficients": seed.coefficients(place, k, n),
        "shares": seed.shares(place, k, n),
        "salts": [seed.salt(place, i) for i in range(n)],
    }


def buyer_seed(attempt: int) -> dict[str, Any]:
    seed = derivation.BuyerSeed(fixed("buyer seed"))
    copy_id = hashing.copy_id(SELLER, hashing.item_id("codes"), 5)
    secrets = [seed.part_secret(CHAIN_ID, MARKET, copy_id, attempt, i) for i in range(32)]
    return {
        "seed": seed.seed,
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "copy_id": copy_id,
        "attempt": attempt,
        "purchase_secret": seed.purchase_secret(CHAIN_ID, MARKET, CopyId(copy_id), attempt),
        "part_secrets": secrets,
        "part_keys": [sealing.public_key(secret) for secret in secrets],
        "fresh_secret": seed.fresh_secret(CHAIN_ID, MARKET, copy_id, attempt),
    }


def a_part(index: int) -> Part:
    return Part(
        domain=hashing.domain(CHAIN_ID, MARKET, SELLER, hashing.item_id("codes"), True, 5),
        index=index,
        share=b"\x01" + fixed(f"share {index}", 31),
        secret_hash=fixed("secret hash"),
        salt=fixed(f"salt {index}"),
    )


def sealed_part(index: int) -> dict[str, Any]:
    page_secret, page_key = a_key("page")
    secret, public = a_key(f"deliverer {index}")
    part, nonce = a_part(index), fixed(f"nonce {index}", 24)
    shared = sealing.shared_key(page_secret, public)
    sealed = sealing.seal_part(shared, part, nonce=nonce)
    return {
        "sealing_secret": page_secret,
        "sealing_key": page_key,
        "deliverer_secret": secret,
        "deliverer_key": public,
        "shared_key": shared,
        "part": asdict(part),
        "plaintext": plaintext(part),
        "tag": sealing.part_tag(shared, part.domain),
        "nonce": nonce,
        "sealed": sealed,
    }


def plaintext(part: Part) -> bytes:
    head = b"\x01" + part.domain + bytes((part.index,))
    return head + part.share + part.secret_hash + part.salt


def plain_sealed_part() -> dict[str, Any]:
    secret, public = a_key("deliverer 0")
    ephemeral = fixed("ephemeral of a plain part")
    return {
        "deliverer_secret": secret,
        "deliverer_key": public,
        "ephemeral_secret": ephemeral,
        "part": asdict(a_part(0)),
        "plaintext": plaintext(a_part(0)),
        "sealed": sealed_box(plaintext(a_part(0)), public, ephemeral),
    }


def fragment(index: int) -> dict[str, Any]:
    secret, public = a_key(f"one-time {index}")
    ephemeral = fixed(f"ephemeral {index}")
    return {
        "share": a_part(index).share,
        "commitment": hashing.keccak(a_part(index).share),
        "secret": secret,
        "key": public,
        "ephemeral_secret": ephemeral,
        "fragment": sealed_box(a_part(index).share, public, ephemeral),
    }


def bad_keys() -> list[dict[str, Any]]:
    """Every spelling of a point of low order, and the edges of what is canonical."""
    p = curve25519.P
    low = [int.from_bytes(key, "little") for key in sealing.LOW_ORDER_KEYS]
    spelled = [u + add for u in low for add in (0, p, 1 << 255, p + (1 << 255))]
    edges = [p, p + 1, p + 9, p + 18, (1 << 255) + 9, (1 << 256) - 1]
    values = [u for u in dict.fromkeys((*spelled, *edges)) if u < 1 << 256]
    return [
        {"key": u.to_bytes(32, "little"), "reason": "low order" if u in low else "not canonical"}
        for u in values
    ]


def inline_payload(size: int) -> dict[str, Any]:
    key, domain = a_sharing(1, 1)["secret"], a_part(0).domain
    good, nonce = fixed(f"good of {size}", size), fixed(f"payload nonce {size}", 24)
    padded = good + b"\x80"
    padded = padded.ljust(max(256, 1 << (len(padded) - 1).bit_length()), b"\0")
    box = inline_box(padded, key, domain, nonce)
    return {
        "content_key": key,
        "domain": domain,
        "good": good,
        "padded_bytes": len(padded),
        "associated_data": b"DAM payload 1" + domain,
        "nonce": nonce,
        "box": box,
        "document": payload.payload_to_json(payload.InlinePayload(box)),
    }


def stream_payload() -> dict[str, Any]:
    """Two short chunks, to keep the file small; the product fills each but the last."""
    key, domain = a_sharing(1, 1)["secret"], a_part(0).domain
    header, goods = fixed("header", 24), [fixed("chunk 1", 100), fixed("chunk 2", 33)]
    associated = b"DAM payload 1" + domain
    tags = (payload._MESSAGE, payload._FINAL)
    blocks = stream_blocks(header, key, associated, zip(goods, tags, strict=True))
    stream = payload.StreamPayload(header, 133, tuple(Cid.of("raw", b) for b in blocks))
    return {
        "content_key": key,
        "domain": domain,
        "good": b"".join(goods),
        "associated_data": associated,
        "header": header,
        "blocks": blocks,
        "document": payload.payload_to_json(stream),
    }


def a_store() -> dict[str, Any]:
    """A whole store: one item, 2-of-3, one page; with the keys of its first deliverer."""
    seed = derivation.SellerSeed(fixed("seller seed"))
    item_id = hashing.item_id("coupon-2026")
    domain = hashing.domain(CHAIN_ID, MARKET, SELLER, item_id, False, 0)
    place = derivation.Place(CHAIN_ID, MARKET, item_id, 0, 77)
    key, page_secret = seed.content_key(place), fixed("store page")
    shares, leaves, sealed = seed.shares(place, 2, 3), [], []
    for index, share in enumerate(shares):
        salt, secret_hash = seed.salt(place, index), hashing.keccak(key)
        deliverer = an_address(f"deliverer {index}")
        commitment = hashing.keccak(share)
        leaves.append(PartLeaf(0, index, deliverer, commitment, secret_hash, salt))
        sealing_secret = possession.sealing_secret(fixed(f"deliverer {index}"))
        shared = sealing.shared_key(page_secret, sealing.public_key(sealing_secret))
        part = Part(domain, index, share, secret_hash, salt)
        sealed.append(sealing.seal_part(shared, part, nonce=fixed(f"store nonce {index}", 24)))
    tree = MerkleTree([hashing.part_leaf(leaf) for leaf in leaves])
    padded = b"COUPON-1234\x80".ljust(256, b"\0")
    box = inline_box(padded, key, domain, fixed("store payload", 24))
    page = {
        "items": [
            {
                "itemId": "coupon-2026",
                "title": "A coupon",
                "price": "1000",
                "token": ZERO_ADDRESS,
                "commission": "30",
                "penalty": "500",
                "bond": "0",
                "supply": "25",
                "stock": False,
                "parts": 3,
                "threshold": 2,
                "arbitrator": ZERO_ADDRESS,
                "partsRoot": "0x" + tree.root.hex(),
                "kind": "code",
                "tags": ["coupon", "summer"],
            }
        ],
    }
    details = {"items": [{"licence": "one use", "otherMetadata": {"note": "10 % off"}}]}
    goods = {
        "sealingKey": "0x" + sealing.public_key(page_secret).hex(),
        "items": [
            {
                "encryptedParts": ["0x" + s.hex() for s in (sealed[1], sealed[2], sealed[0])],
                "partLeaves": ["0x" + hashing.part_leaf(leaf).hex() for leaf in leaves],
                "payloads": [payload.payload_to_json(payload.InlinePayload(box))],
            }
        ],
    }
    blocks: list[dict[str, str]] = []

    def put(value: dict[str, Any]) -> Cid:
        data = dag_json.dumps(value)
        blocks.append({"cid": str(Cid.of("dag-json", data)), "text": data.decode()})
        return Cid.of("dag-json", data)

    page |= {"details": {"/": str(put(details))}, "goods": {"/": str(put(goods))}}
    cid = put(
        {
            "version": 2,
            "storeName": "Vectors",
            "chainId": CHAIN_ID,
            "market": MARKET,
            "seller": SELLER,
            "pages": [{"/": str(put(page))}],
        }
    )
    terms = Terms(
        item_id, ZERO_ADDRESS, 1000, Wei(30), Wei(500), Wei(0), 25, False, 3, 2, ZERO_ADDRESS,
        tree.root,
    )  # fmt: skip
    return {
        "blocks": blocks,
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "seller": SELLER,
        "digest": cid.digest,
        "catalogue_root": MerkleTree([hashing.terms_leaf(terms)]).root,
        "deliverer_seed": fixed("deliverer 0"),
        "deliverer": an_address("deliverer 0"),
        "deliverer_leaf": asdict(leaves[0]),
        "deliverer_proof": tree.proof(hashing.part_leaf(leaves[0])),
        "share": shares[0],
        "shares": shares,
        "content_key": key,
        "good": b"COUPON-1234",
    }


def cids() -> list[dict[str, Any]]:
    samples = [("raw", b""), ("raw", b"DAM"), ("dag-json", b"{}"), ("dag-json", b'{"a":1}')]
    rows = []
    for codec, data in samples:
        cid = Cid.of("raw" if codec == "raw" else "dag-json", data)
        rows.append({"codec": codec, "data": data, "digest": cid.digest, "cid": str(cid)})
    return rows


def build() -> bytes:
    """The file's bytes."""
    names = ["a", "coupon-2026", "licença nº 7 ✓", "x" * 128]
    item_id = hashing.item_id("codes")
    vectors = {
        "about": "Golden vectors of the DAM protocol, version 2. Bytes are 0x-hex, numbers decimal "
        "strings; X25519 keys little-endian as in RFC 7748, all other numbers in bytes big-endian. "
        "The formats are in docs/protocol.md. Written by tools/make_vectors.py.",
        "item_id": [{"name": name, "item_id": hashing.item_id(name)} for name in names],
        "copy_id": [
            {
                "seller": SELLER,
                "item_id": item_id,
                "copy": copy,
                "copy_id": hashing.copy_id(SELLER, item_id, copy),
            }
            for copy in (0, 1, 2**64 - 1)
        ],
        "domain": domains(),
        "terms_leaf": [
            {"terms": asdict(terms), "leaf": hashing.terms_leaf(terms)} for terms in some_terms()
        ],
        "part_leaf": [
            {"part": asdict(leaf), "leaf": hashing.part_leaf(leaf)} for leaf in some_part_leaves()
        ],
        "catalogue_commitment": [catalogue_commitment()],
        "merkle": [merkle(count) for count in (1, 2, 3, 5, 8)],
        "purchase": [purchase()],
        "escrow_and_sale": [escrow_and_sale()],
        "entry": entries(),
        "fragments_digest": [fragments_digest(count) for count in (1, 50)],
        "agreement_digest": agreements(),
        "possession": [a_possession(CHAIN_ID), a_possession(2**256 - 1)],
        "sharing": [a_sharing(k, n) for k, n in ((1, 1), (2, 3), (3, 3), (5, 8), (32, 32))],
        "seller_seed": [seller_seed(0, 0, 2, 3), seller_seed(9, 2**63 - 1, 3, 5)],
        "buyer_seed": [buyer_seed(0), buyer_seed(1)],
        "sealed_part": [sealed_part(0), sealed_part(31)],
        "plain_sealed_part": [plain_sealed_part()],
        "fragment": [fragment(0), fragment(2)],
        "refused_public_key": bad_keys(),
        "inline_payload": [inline_payload(size) for size in (0, 11, 255, 256)],
        "stream_payload": [stream_payload()],
        "cid": cids(),
        "block": blocks(),
        "text": texts(),
        "store": [a_store()],
    }
    return json.dumps(plain(vectors), indent=1, ensure_ascii=False).encode() + b"\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(build())
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
