"""The vectors of calls, logs, sales, files and streams: written by tools, read here by the product.

What our tools encode is computed here without them (eth_abi, PyNaCl's classes); what eth_abi or
libsodium encoded is read by our code.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from nacl import bindings as sodium

from dam import units
from dam.catalog import payload, reader
from dam.crypto import derivation, hashing, sealing, shamir
from dam.crypto.abi_words import abi_fields, abi_type
from dam.errors import KeyFileError, Malformed
from dam.ethereum.erc2612 import Permit
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import RawLog
from dam.keystore import key_files
from dam.market import abi
from dam.market.log_decoder import LogDecoder, place
from dam.proofs.judging import open_share
from dam.roles.buyer import records
from dam.testing.blocks import MemoryStore
from dam.types import (
    Clock,
    Closure,
    Delivery,
    Escrow,
    FragmentDelivered,
    Hint,
    JunkEvidence,
    Leaf,
    Purchase,
    Sale,
    Signature,
    SignedList,
    Split,
    Terms,
)
from tests.unit.helpers.tools import tool

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "vectors" / "chain.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_bytes())
STRUCTS: dict[str, Any] = {
    abi_type(one): one
    for one in (Terms, Sale, Escrow, Split, Delivery, Signature, JunkEvidence, SignedList, Leaf,
                Closure, Permit, Hint)
}  # fmt: skip


def rows(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", VECTORS[name])


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def value(kind: str, plain: Any) -> Any:
    """What our code takes for a value of the vectors."""
    if kind.endswith("[]"):
        return tuple(value(kind[:-2], one) for one in plain)
    if kind.startswith("("):
        struct = STRUCTS[kind]
        fields = abi_fields(struct).items()
        return struct(**{name: value(inner, plain[camel(name)]) for name, inner in fields})
    if kind.startswith("uint"):
        return int(plain)
    return raw(plain) if kind.startswith("bytes") else plain


def test_the_script_gives_the_same_file() -> None:
    built = tool("make_chain_vectors").build()
    assert built == FILE.read_bytes(), "run: python tools/make_chain_vectors.py"


def test_every_kind_of_vector_has_a_test() -> None:
    source = Path(__file__).read_text()
    for name in VECTORS:
        assert name == "about" or f'rows("{name}")' in source


# --------------------------------------------------------------------------------------- the chain


@rows("call")
def test_call(row: dict[str, Any]) -> None:
    inputs = abi.market_abi().functions[row["function"]].inputs
    assert list(row["args"]) == [p.name for p in inputs]
    args = [value(p.type, row["args"][p.name]) for p in inputs]
    assert abi.encode(row["function"], *args) == raw(row["calldata"])


def test_every_call_event_and_error_is_there() -> None:
    ours = abi.market_abi()
    assert {row["function"] for row in VECTORS["call"]} == set(ours.functions)
    assert {row["event"] for row in VECTORS["event"]} == {e.name for e in ours.events.values()}
    assert {e.name for e in ours.errors.values()} <= {row["error"] for row in VECTORS["revert"]}


def decoded(row: dict[str, Any]) -> Any:
    log = RawLog(
        address=row["address"],
        topics=row["topics"],
        data=row["data"],
        block_number="0x5",
        block_hash="0x" + "05" * 32,
        transaction_hash="0x" + "77" * 32,
        log_index="0x0",
    )
    market = VECTORS["event"][0]["address"].lower()
    placed = place([log], market, 5, 5)
    decoder = LogDecoder()
    decoder.rows(placed)
    [record] = decoder.records(placed)
    return record


@rows("event")
def test_event(row: dict[str, Any]) -> None:
    record = decoded(row)
    found = getattr(record, "args", None)
    if found is None:
        found = {camel(n): getattr(record, n) for n in record.__slots__ if n != "splits"}
    for name, plain in row["args"].items():
        if name == "terms":
            assert found[name] == value(abi_type(Terms), plain)
        elif name in found and not isinstance(found[name], tuple):
            expected = found[name]
            shown = "0x" + expected.hex() if isinstance(expected, bytes) else expected
            assert str(plain) == str(shown), name
    if isinstance(record, FragmentDelivered):
        fragment = "".join(row["args"][n][2:] for n in ("ephemeralKey", "tag", "ciphertext"))
        assert record.fragment.hex() == fragment
    if isinstance(record, Purchase):
        assert list(record.keys) == [raw(key) for key in row["args"]["keys"]]


@rows("refusedLog")
def test_refused_log(row: dict[str, Any]) -> None:
    with pytest.raises(RpcBadReplyError):
        decoded(row)


@rows("revert")
def test_revert(row: dict[str, Any]) -> None:
    found = abi.decode_revert(raw(row["data"]))
    assert found.error == row["error"]
    for name, plain in (row["args"] or {}).items():
        shown = "DISPUTED" if name == "status" else str(plain)
        assert str(found.arguments[name]) == shown


# ------------------------------------------------------------------------------------------- sales


@rows("saleWord")
def test_sale_word(row: dict[str, Any]) -> None:
    word = int.from_bytes(raw(row["word"]), "big")
    assert word >> 64 == int.from_bytes(raw(row["commitment"]), "big")
    assert word >> 32 & 2**32 - 1 == int(row["delivered"])
    assert word >> 5 & 2**27 - 1 == int(row["since"])
    assert word >> 2 & 7 == int(row["status"])
    assert [bool(word & 2), bool(word & 1)] == [row["rated"], row["marked"]]


@rows("marksWord")
def test_marks_word(row: dict[str, Any]) -> None:
    word = int.from_bytes(raw(row["word"]), "big")
    assert word >> 64 == int.from_bytes(raw(row["freshKey"]), "big")
    assert [word >> 32 & 2**32 - 1, word & 2**32 - 1] == [int(row["punished"]), int(row["cleared"])]


@rows("clocks")
def test_clocks(row: dict[str, Any]) -> None:
    """The times, once more from the protocol's table (section 5.2)."""
    sale, windows = row["sale"], {k: int(v) for k, v in row["windows"].items()}
    status, since = int(row["status"]), int(row["since"])
    bought, began = int(sale["purchaseTime"]), int(sale["purchaseTime"]) + since
    refund, times = windows["refundSeconds"], {k: int(v) for k, v in row["deadlines"].items()}
    if status > 3:
        assert set(times.values()) == {0}
        assert row["actions"] == []
        return
    assert times["fallbackBlock"] == int(sale["purchaseBlock"]) + 101
    assert times["deliver"] == bought + refund // 3
    assert times["fallbackDelivery"] == bought + refund
    assert times["proof"] == (0 if status == 3 else bought + 2 * refund // 3)
    assert times["refundFrom"] == (bought + refund + 1 if status == 1 else 0)
    assert times["dispute"] == (began + windows["disputeSeconds"] if status == 2 else 0)
    ruling = began + windows["arbitrationSeconds"]
    assert times["ruling"] == (ruling if status == 3 else 0)
    third = began + windows["arbitrationSeconds"] // 3
    assert times["arbitratorPaidFrom"] == (third if status == 3 else 0)
    ends = times["dispute"] if status == 2 else times["ruling"]
    assert times["settleFrom"] == (ends + 1 if status > 1 else 0)
    names = {f"{action['who']} {action['name']}" for action in row["actions"]}
    wanted = {
        1: {"buyer prove", "both agree", "anyone refund"},
        2: {"buyer prove", "buyer confirm", "seller concede", "both agree", "anyone settle"},
        3: {"arbitrator rule", "buyer concede", "seller concede", "both agree", "anyone settle"},
    }[status]
    assert wanted <= names
    assert ("buyer dispute" in names) == (status == 2 and int(row["escrow"]["arbitrator"], 16) > 0)
    whole = int(row["delivered"]) | int(row["cleared"]) == 7
    for at in row["at"]:
        clock = Clock(int(at["block"]), int(at["time"]))
        gate = status == 3 or whole or clock.block + 1 >= times["fallbackBlock"]
        assert ("both agree" in at["doable"]) == (
            gate and (status != 3 or clock.time + 1 <= times["ruling"])
        )
        assert ("anyone refund" in at["doable"]) == (
            status == 1 and clock.time + 1 >= times["refundFrom"]
        )


@rows("wholePurchase")
def test_whole_purchase(row: dict[str, Any]) -> None:
    market, chain_id = row["market"], int(row["chainId"])
    log = decoded(row["logs"][0])
    assert hashing.sale_hash(hashing.sale_of(log)) == raw(row["saleHash"])
    seed = derivation.BuyerSeed(raw(row["buyerSeed"]))
    place_of = (chain_id, market, log.copy_id, int(row["attempt"]))
    own = [seed.part_secret(*place_of, i) for i in range(3)]
    assert log.keys == tuple(map(sealing.public_key, own))
    shares, junk = {}, []
    for number, entry in enumerate(row["logs"][1:], start=1):
        part = decoded(entry)
        if not isinstance(part, FragmentDelivered):
            assert part.fresh_key == sealing.public_key(seed.fresh_secret(*place_of))
            own[part.index] = seed.fresh_secret(*place_of)
            continue
        try:
            shares[part.index] = open_share(part.fragment, own[part.index], part.commitment)
        except Malformed:
            junk.append(number)
    assert junk == [int(number) for number in row["junk"]]
    key = shamir.join(shares, log.terms.threshold)
    assert key == raw(row["contentKey"])
    domain = hashing.domain(
        chain_id, market, log.seller, log.terms.item_id, log.terms.stock, log.copy
    )
    box = payload.payload_from_json(row["payload"])
    assert isinstance(box, payload.InlinePayload)
    assert payload.decrypt_inline(key, domain, box) == raw(row["good"])


# -------------------------------------------------------------------------------- sharing, streams


@rows("interpolation")
def test_interpolation(row: dict[str, Any]) -> None:
    shares = {int(i): raw(s) for i, s in zip(row["indices"], row["shares"], strict=True)}
    assert shamir.join(shares, int(row["k"])) == raw(row["secret"])


@rows("refusedInterpolation")
def test_refused_interpolation(row: dict[str, Any]) -> None:
    shares = {int(i): raw(s) for i, s in zip(row["indices"], row["shares"], strict=True)}
    with pytest.raises(Malformed):
        shamir.join(shares, int(row["k"]))


@rows("skippedSecret")
def test_skipped_secret(row: dict[str, Any]) -> None:
    def value(counter: int) -> bytes:
        message = bytes([int(row["index"])]) + counter.to_bytes(4, "big")
        key = raw(row["purchaseSecret"])
        return hashlib.blake2b(message, key=key, person=b"dam.part-key", digest_size=32).digest()

    assert value(0) == raw(row["skipped"]) != raw(row["secret"])
    assert raw(row["secret"]) in (value(1), value(2), value(3))


@rows("junkFragment")
def test_junk_fragment(row: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        open_share(raw(row["fragment"]), raw(row["secret"]), raw(row["commitment"]))


@rows("bigStream")
def test_big_stream(row: dict[str, Any]) -> None:
    stream = payload.payload_from_json(row["document"])
    assert isinstance(stream, payload.StreamPayload)
    key, domain = raw(row["contentKey"]), raw(row["domain"])
    encryptor = payload.StreamEncryptor(key, domain, stream.header)
    blocks = [*encryptor.push(raw(row["byte"]) * int(row["size"])), encryptor.finish()]
    assert [hashlib.sha256(block).digest() for block in blocks] == [c.digest for c in stream.chunks]
    assert [len(block) for block in blocks] == [int(size) for size in row["blockSizes"]]


@rows("refusedStream")
def test_refused_stream(row: dict[str, Any]) -> None:
    stream = payload.payload_from_json(row["document"])
    assert isinstance(stream, payload.StreamPayload)
    opener = payload.StreamDecryptor(raw(row["contentKey"]), raw(row["domain"]), stream)
    with pytest.raises(Malformed):  # noqa: PT012 - which block it is depends on the case
        for block in row["blocks"]:
            opener.push(raw(block))
        opener.finish()


@rows("refusedPayload")
def test_refused_payload(row: dict[str, Any]) -> None:
    box = payload.InlinePayload(raw(row["box"]))
    with pytest.raises(Malformed):
        payload.decrypt_inline(raw(row["contentKey"]), raw(row["domain"]), box)


# ------------------------------------------------------------------------------------------- files


@rows("keyFile")
def test_key_file(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(row["file"], encoding="utf-8")
    path.chmod(0o600)
    assert key_files.load_seed(path, row["kind"], row["passphrase"]) == raw(row["seed"])
    stretched = sodium.crypto_pwhash_alg(
        32, row["passphrase"].encode(), raw(row["salt"]), int(row["passes"]), int(row["memory"]), 2
    )
    box = json.loads(row["file"])["box"]
    plain = sodium.crypto_secretbox_open(raw(box), raw(row["nonce"]), stretched)
    assert json.loads(plain) == {"kind": row["kind"], "seed": row["seed"]}


@rows("purchaseRecord")
def test_purchase_record(row: dict[str, Any]) -> None:
    record = records.from_json(row["file"].encode())
    assert records.to_json(record).decode() == row["file"]
    assert [record.item, record.failed] == [row["item"], row["failed"]]
    assert record.attempt == int(row["attempt"])


@rows("refusedFile")
def test_refused_file(row: dict[str, Any], tmp_path: Path) -> None:
    if row["of"] == "purchaseRecord":
        with pytest.raises(Malformed):
            records.from_json(row["file"].encode())
        return
    path = tmp_path / "key.json"
    path.write_text(row["file"], encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        key_files.load_seed(path, "buyer-seed", row["passphrase"])


@rows("document")
async def test_document(row: dict[str, Any]) -> None:
    blocks = MemoryStore()
    for block in row["blocks"]:
        assert str(await blocks.put("dag-json", block["text"].encode())) == block["cid"]
    reading = reader.read_store(
        blocks,
        raw(row["digest"]),
        chain_id=int(row["chainId"]),
        market=row["market"],
        seller=row["seller"],
        root=raw(row["catalogueRoot"]),
    )
    if not row["taken"]:
        with pytest.raises(Malformed):
            await reading
        return
    [item] = (await reading).items
    assert [bool(section.fault) for section in item.sections] == [row["brokenSection"]]


@rows("amount")
def test_amount(row: dict[str, Any]) -> None:
    amount, decimals = int(row["amount"]), int(row["decimals"])
    assert units.format_units(amount, decimals) == row["text"]
    assert units.parse_units(row["text"], decimals) == amount
    whole, _, part = row["text"].partition(".")
    assert int(whole + part.ljust(decimals, "0")) == amount


@rows("refusedAmount")
def test_refused_amount(row: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        units.parse_units(row["text"], int(row["decimals"]))
