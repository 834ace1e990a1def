"""Golden vectors of files, streams and amounts: what the tools write, and what readers refuse."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from typing import Any

from nacl import bindings as sodium
from vector_inputs import (
    BUYER,
    CHAIN_ID,
    MARKET,
    SELLER,
    a_sharing,
    fixed,
    inline_box,
    stream_blocks,
)

from dam import units
from dam.catalog import payload
from dam.crypto import curve25519, derivation, hashing, sealing, shamir
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.keystore import key_files as keystore
from dam.roles.buyer import records
from dam.types import CopyId

_KEY = b"\x0f" + fixed("content key", 31)
_DOMAIN = fixed("domain")
_HEADER = fixed("header", 24)
_ASSOCIATED = b"DAM payload 1" + _DOMAIN


def sharings() -> list[dict[str, Any]]:
    """Interpolation of arbitrary indices."""
    rows = []
    for k, n, indices in ((2, 3, (1, 2)), (3, 32, (0, 17, 31)), (4, 9, (8, 2, 5, 3))):
        row = a_sharing(k, n)
        shares = [row["shares"][i] for i in indices]
        rows.append({"k": k, "indices": indices, "shares": shares, "secret": row["secret"]})
    return rows


def refused_sharings() -> list[dict[str, Any]]:
    """Shares that are no numbers below p, or too few."""
    good, p = fixed("a share", 31).rjust(32, b"\0"), shamir.PRIME.to_bytes(32, "big")
    return [
        {"k": 2, "indices": (0, 1), "shares": [good, p]},
        {"k": 2, "indices": (0, 1), "shares": [b"\xff" * 32, good]},
        {"k": 2, "indices": (0, 1), "shares": [good, good[1:]]},
        {"k": 2, "indices": (0,), "shares": [good]},
        {"k": 1, "indices": (32,), "shares": [good]},
        {"k": 0, "indices": (0,), "shares": [good]},
    ]


def junk_fragments() -> list[dict[str, Any]]:
    """Fragments that a proof of junk would be upheld for; libsodium opens the first two."""
    secret, share = fixed("one-time"), fixed("share")
    own, commitment = sealing.public_key(secret), hashing.keccak(share)
    off_curve = next(
        u for u in (bytes([n]) + bytes(31) for n in range(2, 99))
        if not curve25519.is_on_curve(curve25519.decode(u))
    )  # fmt: skip

    def box(ephemeral: bytes, message: bytes) -> bytes:
        nonce = hashlib.blake2b(ephemeral + own, digest_size=24).digest()
        key = sodium.crypto_box_beforenm(ephemeral, secret)
        return ephemeral + sodium.crypto_secretbox(message, nonce, key)

    nine = bytes([9]) + bytes(31)
    cases = {
        "an ephemeral key off the curve": box(off_curve, share),
        "an ephemeral key that is not canonical": box(nine[:31] + b"\x80", share),
        "an ephemeral key of low order": bytes(80),
        "another share": box(nine, fixed("another share")),
        "a box that does not open": box(nine, share)[:-1] + b"\0",
        "79 bytes": box(nine, share)[:79],
    }
    return [
        {"why": why, "fragment": fragment, "secret": secret, "commitment": commitment}
        for why, fragment in cases.items()
    ]


def skipped_secrets() -> list[dict[str, Any]]:
    """Secrets of a buyer whose first value has no half-size pair, and is thrown away."""
    seed, copy_id = derivation.BuyerSeed(fixed("buyer seed")), fixed("copy")
    rows = []
    for attempt in range(64):
        purchase = seed.purchase_secret(CHAIN_ID, MARKET, CopyId(copy_id), attempt)
        for index in range(2):
            first = derivation._derive(purchase, b"dam.part-key", bytes((index,)) + bytes(4))
            if curve25519.half_size_pair(first) is None:
                secret = seed.part_secret(CHAIN_ID, MARKET, CopyId(copy_id), attempt, index)
                rows.append({
                    "purchase_secret": purchase, "index": index, "skipped": first, "secret": secret,
                })  # fmt: skip
    return rows


def _blocks(*chunks: tuple[bytes, int], associated: bytes = _ASSOCIATED) -> list[bytes]:
    return stream_blocks(_HEADER, _KEY, associated, chunks)


@cache
def big_streams() -> list[dict[str, Any]]:
    """Files of one byte over and over: only the digests of their blocks stand here."""
    full, rows = payload.CHUNK_BYTES, []
    for size in (0, 1, full - 1, full, full + 1):
        data = b"\x5a" * size
        cuts = [data[at : at + full] for at in range(0, max(size, 1), full)]
        tags = [payload._MESSAGE] * (len(cuts) - 1) + [payload._FINAL]
        blocks = _blocks(*zip(cuts, tags, strict=True))
        stream = payload.StreamPayload(_HEADER, size, tuple(Cid.of("raw", b) for b in blocks))
        rows.append({
            "content_key": _KEY, "domain": _DOMAIN, "byte": b"\x5a", "size": size,
            "block_sizes": [len(block) for block in blocks],
            "document": payload.payload_to_json(stream),
        })  # fmt: skip
    return rows


def refused_streams() -> list[dict[str, Any]]:
    """Streams that do not open, each made from one that does."""
    message, final = payload._MESSAGE, payload._FINAL
    one, two = fixed("chunk 1", 100), fixed("chunk 2", 33)
    good = _blocks((one, message), (two, final))
    flipped = [good[0][:-1] + bytes([good[0][-1] ^ 1]), good[1]]
    tag = [bytes([good[0][0] ^ 1]) + good[0][1:], good[1]]
    cases = {
        "its blocks are swapped": (good[::-1], 133),
        "its last block is missing": (good[:1], 100),
        "it goes on after its end": ([*good, good[1]], 133),
        "no block is final": (_blocks((one, message), (two, message)), 133),
        "it is final before its end": (_blocks((one, final), (two, final)), 133),
        "a block has the tag PUSH": (_blocks((one, 1), (two, final)), 133),
        "a block has the tag REKEY": (_blocks((one, 2), (two, final)), 133),
        "it is shorter than it says": (good, 134),
        "it is longer than it says": (good, 132),
        "a byte of a MAC is another": (flipped, 133),
        "a byte of a tag is another": (tag, 133),
        "a block is cut off": ([good[0][:16], good[1]], 133),
        "it is of another domain": (
            _blocks((one, message), (two, final), associated=b"DAM payload 1" + bytes(32)), 133
        ),
    }  # fmt: skip
    rows = []
    for why, (blocks, size) in cases.items():
        stream = payload.StreamPayload(_HEADER, size, tuple(Cid.of("raw", b) for b in blocks))
        document = payload.payload_to_json(stream)
        rows.append(
            {
                "why": why,
                "content_key": _KEY,
                "domain": _DOMAIN,
                "blocks": blocks,
                "document": document,
            }
        )
    return rows


def refused_payloads() -> list[dict[str, Any]]:
    """Inline payloads: paddings of another form, other keys and domains, and impossible sizes."""

    def box(padded: bytes) -> bytes:
        return inline_box(padded, _KEY, _DOMAIN, fixed("refused nonce", 24))

    rows = []
    good = (b"good" + b"\x80").ljust(256, b"\0")
    cases = {
        "no mark": bytes(256),
        "something behind the mark": good[:-1] + b"\1",
        "padded to twice what is needed": good.ljust(512, b"\0"),
        "padded to no power of two": good.ljust(257, b"\0"),
        "a good that fills its padding": (b"x" * 256 + b"\x80").ljust(512, b"\0")[:-1],
    }
    for why, padded in cases.items():
        rows.append({"why": why, "content_key": _KEY, "domain": _DOMAIN, "box": box(padded)})
    rows.append(
        {"why": "another domain", "content_key": _KEY, "domain": bytes(32), "box": box(good)}
    )
    rows.append(
        {
            "why": "another key",
            "content_key": b"\x0e" + _KEY[1:],
            "domain": _DOMAIN,
            "box": box(good),
        }
    )
    rows.append(
        {
            "why": "a key not below p",
            "content_key": b"\xff" * 32,
            "domain": _DOMAIN,
            "box": box(good),
        }
    )
    return rows


# ------------------------------------------------------------------------------------------- files


def _key_file(kind: str, passes: int, memory: int, passphrase: str, /, **change: Any) -> bytes:
    """As `dam` writes one, but for salt and nonce, which it draws."""
    salt, nonce, seed = fixed("salt", 16), fixed("nonce", 24), fixed(f"seed of {kind}")
    key = keystore._stretch(passphrase, salt, passes, memory)
    body = change.pop("body", {"kind": kind, "seed": "0x" + seed.hex()})
    box = sodium.crypto_secretbox(dag_json.dumps(body), nonce, key)
    kdf = {"algorithm": "argon2id13", "passes": passes, "memory": memory, "salt": "0x" + salt.hex()}
    file = {
        "version": 1,
        "kind": kind,
        "kdf": kdf,
        "nonce": "0x" + nonce.hex(),
        "box": "0x" + box.hex(),
    }
    return dag_json.dumps({**file, **change})


def key_files() -> list[dict[str, Any]]:
    """Seeds under a passphrase; the first with what the tools choose."""
    rows = []
    for kind, passes, memory, passphrase in (
        ("buyer-seed", keystore.KDF_PASSES, keystore.KDF_MEMORY_BYTES, "correct horse"),
        ("buyer-seed", 1, 8 << 10, "pässwörd ✓"),
        ("seller-seed", 2, 1 << 20, " spaces "),
        ("buyer-seed", 1, (9 << 10) + 1023, "x"),
    ):
        rows.append({
            "kind": kind, "passes": passes, "memory": memory, "salt": fixed("salt", 16),
            "nonce": fixed("nonce", 24), "passphrase": passphrase, "seed": fixed(f"seed of {kind}"),
            "file": _key_file(kind, passes, memory, passphrase).decode(),
        })  # fmt: skip
    return rows


def _records() -> list[records.Record]:
    item_id = hashing.item_id("licença nº 7 ✓")
    stream = payload.payload_from_json(big_streams()[-1]["document"])
    bought = records.Record(
        chain_id=CHAIN_ID,
        market=MARKET,
        copy_id=hashing.copy_id(SELLER, item_id, 3),
        attempt=2**32 - 1,
        seller=SELLER,
        buyer=BUYER,
        item="licença nº 7 ✓",
        title='A "licence" \\ for 日本',
        store_digest=fixed("store digest"),
        root=fixed("root"),
        keys=(fixed("key 0"), fixed("key 1")),
        payload=stream,
        part_proofs=((fixed("step 1"), fixed("step 2")), ()),
        made="2026-11-30T14:05:09Z",
        tx=fixed("transaction"),
        block=2**53 - 1,
    )
    inline = payload.InlinePayload(fixed("box", 24 + 16 + 256))
    return [
        bought,
        replace(bought, payload=inline, attempt=0, tx=None, block=None, failed=True),
        replace(bought, payload=None, part_proofs=(), block=None),
    ]


def purchase_records() -> list[dict[str, Any]]:
    """Records of purchases, as files."""
    return [
        {
            "item": one.item,
            "attempt": one.attempt,
            "keys": one.keys,
            "failed": one.failed,
            "file": records.to_json(one).decode(),
        }
        for one in _records()
    ]


def refused_files() -> list[dict[str, Any]]:
    """Key files and records that nobody takes."""
    cheap = ("buyer-seed", 1, 8 << 10, "x")
    seed = "0x" + fixed("seed").hex()
    kdf = {
        "algorithm": "argon2id13",
        "passes": 1,
        "memory": 8 << 10,
        "salt": "0x" + fixed("salt", 16).hex(),
    }
    keys = {
        "a later version": {"version": 2},
        "another kind than asked for": {"kind": "seller-seed"},
        "another kind inside": {"body": {"kind": "seller-seed", "seed": seed}},
        "no seed inside": {"body": {"kind": "buyer-seed"}},
        "a seed of another size": {"body": {"kind": "buyer-seed", "seed": "0x00"}},
        "another algorithm": {"kdf": {**kdf, "algorithm": "scrypt"}},
        "no passes": {"kdf": {**kdf, "passes": 0}},
        "too many passes": {"kdf": {**kdf, "passes": 17}},
        "too much memory": {"kdf": {**kdf, "memory": (1 << 30) + 1}},
        "too little memory": {"kdf": {**kdf, "memory": (8 << 10) - 1}},
        "a key more": {"x": 1},
        "a nonce of another size": {"nonce": "0x00"},
        "another passphrase": {"passphrase": "y"},
    }
    rows = []
    for why, change in keys.items():
        passphrase = change.pop("passphrase", "x")
        file = _key_file(*cheap, **change).decode()
        rows.append({"why": why, "of": "keyFile", "passphrase": passphrase, "file": file})
    good = records.to_json(_records()[0]).decode()
    bent = {
        "an earlier version": good.replace('"version":2', '"version":1'),
        "a key twice": good.replace('"attempt":', '"attempt":1,"attempt":'),
        "a key less": good.replace('"failed":false,', ""),
        "a key more": good.replace("{", '{"x":1,', 1),
        "an attempt over 32 bits": good.replace(str(2**32 - 1), str(2**32)),
        "a block over every limit": good.replace(str(2**53 - 1), str(2**63)),
        "a fraction": good.replace('"attempt":', '"attempt":0.'),
        "hex in upper case": good.replace(fixed("root").hex(), fixed("root").hex().upper()),
        "a wrong checksum": good.replace(BUYER, BUYER.swapcase().replace("0X", "0x")),
        "something behind it": good + "{}",
        "nothing": "",
    }
    assert all(text != good for text in bent.values())
    rows += [
        {"why": why, "of": "purchaseRecord", "passphrase": "", "file": text}
        for why, text in bent.items()
    ]
    return rows


# ----------------------------------------------------------------------------------------- amounts


def amounts() -> list[dict[str, Any]]:
    """Smallest units in whole tokens."""
    values = (0, 1, 10, 12345, 10**6, 10**18, 1_500_000_000_000_000_000, 2**128 - 1)
    return [
        {"amount": value, "decimals": decimals, "text": units.format_units(value, decimals)}
        for decimals in (0, 6, 18, 77)
        for value in values
    ]


def refused_amounts() -> list[dict[str, Any]]:
    """Texts that are no amount of a token with so many decimals."""
    cases = [(0, "1.5"), (6, "0.0000001"), (18, "-1"), (18, "1e3"), (18, ""), (18, "."), (18, "1."),
             (18, ".5"), (18, "1,5"), (18, "0x10"), (18, "٣"), (0, str(2**128)),
             (77, "3" * 3), (18, "1 ether"), (18, "1" * 101)]  # fmt: skip
    return [{"decimals": decimals, "text": text} for decimals, text in cases]
