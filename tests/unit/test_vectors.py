"""The golden vectors: written by our code, recomputed here without it, and read by it.

What this file uses of other libraries (eth_abi, eth_utils, PyNaCl's high-level classes, hashlib) is
what another implementation would use.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from nacl.public import Box, PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead, SecretBox
from nacl.signing import SigningKey

from dam import validation
from dam.catalog import payload, reader
from dam.catalog.payload import StreamDecryptor
from dam.crypto import sealing, shamir
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.keystore.key_files import KeyPair, KeyRing
from dam.roles.deliverer import part_scan
from dam.testing.blocks import MemoryStore
from tests.unit.helpers.tools import tool

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "vectors" / "vectors.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_bytes())
PRIME = 2**256 - 189

ABI = {
    "terms": "bytes32 address uint128 uint128 uint128 uint128 uint64 bool uint8 uint8 "
    "address bytes32 bytes32",
    "part": "uint64 uint8 address bytes32 bytes32 bytes32",
    "sale": "address address uint64 uint64 uint64 bool uint8 uint8 uint128 bytes32 bytes32",
    "escrow": "bytes32 bytes32 address uint128 uint128 uint128 address",
    "split": "uint256 uint256 uint256 uint256",
}


def raw(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def as_hex(data: bytes) -> str:
    return "0x" + data.hex()


def abi(kind: str, record: dict[str, Any]) -> bytes:
    values = []
    types = ABI[kind].split()
    for abi_type, value in zip(types, record.values(), strict=True):
        if abi_type == "bytes32":
            values.append(raw(value))
        else:
            values.append(int(value) if abi_type.startswith("uint") else value)
    return encode(types, values)


def rows(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", VECTORS[name])


def test_the_script_gives_the_same_file() -> None:
    built = tool("make_vectors").build()
    assert built == FILE.read_bytes(), "run: python tools/make_vectors.py"


def test_every_kind_of_vector_has_a_test() -> None:
    source = Path(__file__).read_text()
    for name in VECTORS:
        assert name == "about" or f'rows("{name}")' in source


@rows("itemId")
def test_item_id(row: dict[str, Any]) -> None:
    assert as_hex(keccak(text=row["name"])) == row["itemId"]


@rows("copyId")
def test_copy_id(row: dict[str, Any]) -> None:
    types = ["address", "bytes32", "uint64"]
    encoded = encode(types, [row["seller"], raw(row["itemId"]), int(row["copy"])])
    assert as_hex(keccak(encoded)) == row["copyId"]


@rows("domain")
def test_domain(row: dict[str, Any]) -> None:
    types = ["uint256", "address", "address", "bytes32", "bool", "uint64"]
    copy = int(row["copy"]) if row["stock"] else 0
    where = [int(row["chainId"]), row["market"], row["seller"]]
    encoded = encode(types, [*where, raw(row["itemId"]), row["stock"], copy])
    assert as_hex(keccak(encoded)) == row["domain"]


@rows("termsLeaf")
def test_terms_leaf(row: dict[str, Any]) -> None:
    assert as_hex(keccak(keccak(abi("terms", row["terms"])))) == row["leaf"]


@rows("partLeaf")
def test_part_leaf(row: dict[str, Any]) -> None:
    assert as_hex(keccak(keccak(abi("part", row["part"])))) == row["leaf"]


@rows("merkle")
def test_merkle(row: dict[str, Any]) -> None:
    assert {proof["leaf"] for proof in row["proofs"]} == set(row["leaves"])
    for proof in row["proofs"]:
        node = raw(proof["leaf"])
        for sibling in proof["proof"]:
            node = keccak(b"".join(sorted([node, raw(sibling)])))
        assert as_hex(node) == row["root"]


@rows("catalogueCommitment")
def test_catalogue_commitment(row: dict[str, Any]) -> None:
    assert as_hex(keccak(raw(row["digest"]) + raw(row["root"]))) == row["commitment"]


@rows("purchase")
def test_purchase(row: dict[str, Any]) -> None:
    terms, escrow, sale = row["terms"], row["escrow"], row["sale"]
    assert as_hex(keccak(b"".join(map(raw, row["keys"])))) == row["keysHash"] == escrow["keysHash"]
    assert as_hex(keccak(abi("escrow", escrow))) == row["escrowHash"] == sale["escrowHash"]
    assert as_hex(keccak(abi("sale", sale))) == row["saleHash"]
    assert row["commitment"] == row["saleHash"][: 2 + 48]
    assert sale["fee"] == str(int(terms["commission"]) // int(terms["parts"]))
    for name in ("purchaseBlock", "purchaseTime", "copy"):
        assert sale[name] == row[name]
    assert escrow["storeDigest"] == row["storeDigest"]
    for name in ("token", "price", "penalty", "arbitrator"):
        assert escrow[name] == terms[name]


@rows("escrowAndSale")
def test_escrow_and_sale(row: dict[str, Any]) -> None:
    assert as_hex(keccak(abi("escrow", row["escrow"]))) == row["escrowHash"]
    assert as_hex(keccak(abi("sale", row["sale"]))) == row["saleHash"]


@rows("entry")
def test_entry(row: dict[str, Any]) -> None:
    part, sale = row["part"], row["sale"]
    assert part["copy"] == (sale["copy"] if sale["stock"] else "0")
    assert as_hex(keccak(abi("sale", sale))) == row["saleHash"]
    assert as_hex(keccak(keccak(abi("part", part)))) == row["leaf"]
    words = [row["copyId"], row["saleHash"], row["leaf"], row["freshKey"]]
    encoded = encode(["bytes32"] * 5, [*map(raw, words), keccak(raw(row["fragment"]))])
    assert as_hex(keccak(encoded)) == row["entry"]


def typed_digest(row: dict[str, Any], struct: bytes, words: bytes) -> str:
    """EIP-712, in the contract's domain."""
    name = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    values = [keccak(name), keccak(b"DAM"), keccak(b"2"), int(row["chainId"]), row["market"]]
    separator = keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values))
    assert as_hex(separator) == row["domainSeparator"]
    return as_hex(keccak(b"\x19\x01" + separator + keccak(keccak(struct) + words)))


@rows("fragmentsDigest")
def test_fragments_digest(row: dict[str, Any]) -> None:
    words = keccak(b"".join(map(raw, row["entries"])))
    assert typed_digest(row, b"Fragments(bytes32[] entries)", words) == row["digest"]


@rows("agreementDigest")
def test_agreement_digest(row: dict[str, Any]) -> None:
    struct = (
        b"Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,"
        b"uint256 penalty,uint256 toArbitrator,uint256 deadline)"
    )
    sale = [raw(row["copyId"]), raw(row["saleHash"]), int(row["status"]), int(row["since"])]
    words = encode(["bytes32", "bytes32", "uint8", "uint32"], sale) + abi("split", row["split"])
    assert typed_digest(row, struct, words) == row["digest"]


@rows("possession")
def test_possession(row: dict[str, Any]) -> None:
    key, operator = SigningKey(raw(row["seed"])), row["operator"]
    message = b"DAM deliverer key 2" + int(row["chainId"]).to_bytes(32, "big")
    message += raw(row["market"]) + raw(operator)
    assert as_hex(message) == row["message"]
    assert as_hex(bytes(key.verify_key)) == row["key"]
    assert as_hex(key.sign(message).signature) == row["possession"]
    assert as_hex(bytes(key.to_curve25519_private_key())) == row["sealingSecret"]
    assert as_hex(bytes(key.verify_key.to_curve25519_public_key())) == row["sealingKey"]


@rows("sharing")
def test_sharing(row: dict[str, Any]) -> None:
    numbers = [int(value, 16) for value in (row["secret"], *row["coefficients"])]
    assert len(numbers) == int(row["k"])
    for index in range(int(row["n"])):
        value = sum(c * (index + 1) ** power for power, c in enumerate(numbers)) % PRIME
        assert int(row["shares"][index], 16) == value
        assert as_hex(keccak(raw(row["shares"][index]))) == row["commitments"][index]
    assert as_hex(keccak(raw(row["secret"]))) == row["secretHash"]
    shares = {i: raw(share) for i, share in enumerate(row["shares"])}
    assert shamir.join(shares, int(row["k"])) == raw(row["secret"])


@rows("sellerSeed")
def test_seller_seed(row: dict[str, Any]) -> None:
    k, n = int(row["k"]), int(row["n"])
    place = (
        int(row["chainId"]).to_bytes(32, "big")
        + raw(row["market"])
        + raw(row["itemId"])
        + int(row["copy"]).to_bytes(8, "big")
        + int(row["generation"]).to_bytes(8, "big")
    )

    def derive(person: bytes, tail: bytes) -> bytes:
        return hashlib.blake2b(
            place + tail, key=raw(row["seed"]), person=person, digest_size=32
        ).digest()

    numbers = [derive(b"dam.content", bytes(4))]
    numbers += [derive(b"dam.share", bytes([n, k, j]) + bytes(4)) for j in range(1, k)]
    assert as_hex(numbers[0]) == row["contentKey"]
    assert [as_hex(c) for c in numbers[1:]] == row["coefficients"]
    values = [int.from_bytes(c, "big") for c in numbers]
    for i in range(n):
        share = sum(c * (i + 1) ** power for power, c in enumerate(values)) % PRIME
        assert int(row["shares"][i], 16) == share
        assert as_hex(derive(b"dam.salt", bytes([i]))) == row["salts"][i]


@rows("buyerSeed")
def test_buyer_seed(row: dict[str, Any]) -> None:
    message = (
        int(row["chainId"]).to_bytes(32, "big")
        + raw(row["market"])
        + raw(row["copyId"])
        + int(row["attempt"]).to_bytes(4, "big")
    )
    secret = hashlib.blake2b(
        message, key=raw(row["seed"]), person=b"dam.purchase", digest_size=32
    ).digest()
    assert as_hex(secret) == row["purchaseSecret"]
    for i, (part, key) in enumerate(zip(row["partSecrets"], row["partKeys"], strict=True)):
        assert as_hex(first_provable(secret, b"dam.part-key", bytes([i]))) == part
        assert as_hex(bytes(PrivateKey(raw(part)).public_key)) == key
    assert as_hex(first_provable(secret, b"dam.fresh-key", b"")) == row["freshSecret"]


def first_provable(key: bytes, person: bytes, message: bytes) -> bytes:
    """The first value of a derivation whose scalar is a short odd multiple's quotient."""
    order = 2**252 + 27742317777372353535851937790883648493
    for counter in itertools.count():
        value = hashlib.blake2b(
            message + counter.to_bytes(4, "big"), key=key, person=person, digest_size=32
        ).digest()
        scalar = ((int.from_bytes(value, "little") & 2**254 - 8) + 2**254) // 8
        # The denominators of the convergents of scalar / order, from its continued fraction.
        above, below, before, now = order, scalar, 0, 1
        while now < 2**128:
            a = now * scalar % order
            if now % 2 and min(a, order - a) < 2**128:
                return value
            above, below, quotient = below, above % below, above // below
            before, now = now, before + quotient * now
    raise AssertionError


def plaintext(part: dict[str, Any]) -> bytes:
    tail = raw(part["share"]) + raw(part["secretHash"]) + raw(part["salt"])
    return b"\1" + raw(part["domain"]) + bytes([int(part["index"])]) + tail


@rows("sealedPart")
def test_sealed_part(row: dict[str, Any]) -> None:
    page, deliverer = (PrivateKey(raw(row[k])) for k in ("sealingSecret", "delivererSecret"))
    assert as_hex(bytes(page.public_key)) == row["sealingKey"]
    assert as_hex(bytes(deliverer.public_key)) == row["delivererKey"]
    shared = Box(deliverer, page.public_key).shared_key()
    assert as_hex(shared) == row["sharedKey"]
    assert as_hex(plaintext(row["part"])) == row["plaintext"]
    domain, nonce = raw(row["part"]["domain"]), raw(row["nonce"])
    tag = hashlib.blake2b(domain, key=shared, digest_size=16).digest()
    assert as_hex(tag) == row["tag"]
    box = SecretBox(shared).encrypt(plaintext(row["part"]), nonce).ciphertext
    assert as_hex(tag + nonce + box) == row["sealed"]
    assert sealing.open_part(shared, raw(row["sealed"])).share == raw(row["part"]["share"])


def sealed_box(message: bytes, public: bytes, ephemeral: PrivateKey) -> bytes:
    own = bytes(ephemeral.public_key)
    nonce = hashlib.blake2b(own + public, digest_size=24).digest()
    return own + Box(ephemeral, PublicKey(public)).encrypt(message, nonce).ciphertext


@rows("plainSealedPart")
def test_plain_sealed_part(row: dict[str, Any]) -> None:
    secret = PrivateKey(raw(row["delivererSecret"]))
    assert SealedBox(secret).decrypt(raw(row["sealed"])) == plaintext(row["part"])
    ephemeral = PrivateKey(raw(row["ephemeralSecret"]))
    box = sealed_box(plaintext(row["part"]), raw(row["delivererKey"]), ephemeral)
    assert as_hex(box) == row["sealed"]
    assert sealing.open_plain(bytes(secret), box).share == raw(row["part"]["share"])


@rows("fragment")
def test_fragment(row: dict[str, Any]) -> None:
    fragment, share = raw(row["fragment"]), raw(row["share"])
    assert len(fragment) == 80
    assert SealedBox(PrivateKey(raw(row["secret"]))).decrypt(fragment) == share
    assert sealed_box(share, raw(row["key"]), PrivateKey(raw(row["ephemeralSecret"]))) == fragment
    assert as_hex(keccak(share)) == row["commitment"]
    assert sealing.open_fragment(fragment, raw(row["secret"])) == share


@rows("refusedPublicKey")
def test_refused_public_key(row: dict[str, Any]) -> None:
    canonical = int.from_bytes(raw(row["key"]), "little") < 2**255 - 19
    assert canonical == (row["reason"] == "low order")
    with pytest.raises(Malformed, match=row["reason"]):
        sealing.check_public_key(raw(row["key"]))


@rows("inlinePayload")
def test_inline_payload(row: dict[str, Any]) -> None:
    key, domain, good, box = (raw(row[k]) for k in ("contentKey", "domain", "good", "box"))
    assert raw(row["associatedData"]) == b"DAM payload 1" + domain
    assert box[:24] == raw(row["nonce"])
    padded = Aead(key).decrypt(box[24:], raw(row["associatedData"]), box[:24])
    assert padded == good + b"\x80" + bytes(int(row["paddedBytes"]) - len(good) - 1)
    read = payload.payload_from_json(row["document"])
    assert isinstance(read, payload.InlinePayload)
    assert payload.decrypt_inline(key, domain, read) == good


@rows("streamPayload")
def test_stream_payload(row: dict[str, Any]) -> None:
    read = payload.payload_from_json(row["document"])
    assert isinstance(read, payload.StreamPayload)
    assert read.header == raw(row["header"])
    blocks = [raw(block) for block in row["blocks"]]
    assert [cid.digest for cid in read.chunks] == [hashlib.sha256(b).digest() for b in blocks]
    decryptor = StreamDecryptor(raw(row["contentKey"]), raw(row["domain"]), read)
    assert b"".join(decryptor.push(block) for block in blocks) == raw(row["good"])
    decryptor.finish()


@rows("cid")
def test_cid(row: dict[str, Any]) -> None:
    digest = hashlib.sha256(raw(row["data"])).digest()
    assert as_hex(digest) == row["digest"]
    prefix = {"raw": b"\x01\x55", "dag-json": b"\x01\xa9\x02"}[row["codec"]]
    text = base64.b32encode(prefix + b"\x12\x20" + digest).decode().rstrip("=").lower()
    assert "b" + text == row["cid"]


@rows("block")
def test_block(row: dict[str, Any]) -> None:
    data = raw(row["data"])
    assert row["cid"] == str(Cid.of("dag-json", data))
    with nullcontext() if row["taken"] else pytest.raises(Malformed):
        assert dag_json.dumps(dag_json.decode(data)) == data


@rows("text")
def test_text(row: dict[str, Any]) -> None:
    read = {
        "id": validation.identifier,
        "line": validation.title,
        "text": partial(validation.text, limit=4096),
    }[row["kind"]]
    with nullcontext() if row["taken"] else pytest.raises(Malformed):
        assert read(row["value"], "x") == row["value"]


@rows("store")
async def test_store(row: dict[str, Any]) -> None:
    """The whole way: read, find, open, join, decrypt."""
    blocks = MemoryStore()
    for block in row["blocks"]:
        data = block["text"].encode()
        assert str(await blocks.put("dag-json", data)) == block["cid"]
        assert dag_json.dumps(json.loads(data)) == data, "canonical"
    place = {"market": row["market"], "seller": row["seller"], "chain_id": int(row["chainId"])}
    root = raw(row["catalogueRoot"])
    store = await reader.read_store(blocks, raw(row["digest"]), root=root, **place)
    (item,) = store.items
    ring = KeyRing((KeyPair(raw(row["delivererSeed"])),))
    origin = part_scan.Origin(**place)
    (found,) = part_scan.find_parts(item, ring, origin)
    opened = part_scan.open_found(found, origin, row["deliverer"])
    assert opened.part.share == raw(row["share"])
    assert [as_hex(step) for step in opened.proof] == row["delivererProof"]
    assert as_hex(opened.leaf.salt) == row["delivererLeaf"]["salt"]
    shares = {i: raw(share) for i, share in enumerate(row["shares"])}
    key = shamir.join(shares, item.terms.threshold)
    assert as_hex(key) == row["contentKey"]
    box = item.payload(24)
    assert isinstance(box, payload.InlinePayload)
    assert payload.decrypt_inline(key, opened.part.domain, box) == raw(row["good"])
