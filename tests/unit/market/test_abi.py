"""The hand-packed codec equals eth_abi, and decodes one encoding only."""

from pathlib import Path

import pytest
from eth_abi.abi import encode as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from dam.crypto.hashing import keccak
from dam.errors import Malformed
from dam.market.abi import (
    decode_event,
    decode_result,
    decode_revert,
    encode,
    market_abi,
)
from dam.types import Address, Delivery, Signature
from tests.unit.helpers.structs import (
    addresses,
    bytes32,
    closures,
    deliveries,
    escrows,
    hashes,
    junk_evidence,
    plain,
    proved_leaves,
    sales,
    signatures,
    signed_lists,
    splits,
    terms,
    uint64,
)
from tests.unit.helpers.tools import tool

NOBODYS = Signature(bytes(32), bytes(32))
ROOT = Path(__file__).resolve().parents[3]


def expected(function: str, *args: object) -> bytes:
    entry = market_abi().functions[function]
    return entry.id + reference([p.type for p in entry.inputs], args)


@given(deliveries, signatures)
def test_deliver_fragment(delivery: Delivery, signature: Signature) -> None:
    assert encode("deliverFragment", delivery, signature) == expected(
        "deliverFragment", plain(delivery), plain(signature)
    )


@settings(max_examples=40)
@given(
    st.sampled_from(["deliverFragments", "supplyFragments"]),
    st.lists(deliveries, max_size=4),
    signatures,
)
def test_deliver_fragments(function: str, batch: list[Delivery], signature: Signature) -> None:
    assert encode(function, batch, signature) == expected(function, plain(batch), plain(signature))


@settings(max_examples=20)
@given(
    bytes32,
    sales,
    escrows,
    hashes,
    st.lists(junk_evidence, max_size=2),
    st.lists(signed_lists, max_size=2),
)
def test_proofs_of_junk(copy, sale, escrow, keys, evidence, lists) -> None:
    rest = plain(sale), plain(escrow), keys
    assert encode("proveJunk", copy, sale, escrow, keys, copy, evidence, lists) == expected(
        "proveJunk", copy, *rest, copy, plain(evidence), plain(lists)
    )
    for one in evidence:
        assert encode("proveSellerJunk", copy, sale, escrow, keys, one) == expected(
            "proveSellerJunk", copy, *rest, plain(one)
        )


@settings(max_examples=20)
@given(bytes32, sales, escrows, hashes, st.lists(proved_leaves, min_size=2, max_size=3))
def test_proofs_against_a_seller(copy, sale, escrow, shares, leaves) -> None:
    rest = copy, plain(sale), plain(escrow)
    assert encode("proveBadShares", copy, sale, escrow, leaves, shares) == expected(
        "proveBadShares", *rest, plain(leaves), shares
    )
    assert encode("proveBadLeaves", copy, sale, escrow, *leaves[:2]) == expected(
        "proveBadLeaves", *rest, *plain(leaves[:2])
    )


@settings(max_examples=20)
@given(bytes32, sales, escrows, splits, st.binary(max_size=90), st.lists(closures, max_size=3))
def test_endings(copy, sale, escrow, split, signature, closures) -> None:
    rest = copy, plain(sale), plain(escrow)
    assert encode("agree", copy, sale, escrow, split, signature, b"") == expected(
        "agree", *rest, plain(split), signature, b""
    )
    assert encode("closeMany", closures) == expected("closeMany", plain(closures))


@given(addresses, bytes32, st.binary(min_size=64, max_size=64))
def test_announced_keys(who: Address, key: bytes, possession: bytes) -> None:
    words = [possession[:32], possession[32:]]
    assert encode("stakeAsDeliverer", key, possession) == expected("stakeAsDeliverer", key, words)
    assert encode("rotateDelivererKey", who, key, possession) == expected(
        "rotateDelivererKey", who, key, words
    )


@given(addresses, terms, hashes, bytes32, uint64, hashes)
def test_buy_item(seller, item, proof, digest, copy, keys) -> None:
    assert encode("buyItem", seller, item, proof, digest, copy, keys) == expected(
        "buyItem", seller, plain(item), proof, digest, copy, keys
    )


@given(bytes32, sales, escrows, st.integers(0, 2**256 - 1), st.booleans())
def test_closing_calls(copy, sale, escrow, amount, penalty) -> None:
    rest = (copy, plain(sale), plain(escrow))
    for function in ("confirm", "settle", "refund", "concede"):
        assert encode(function, copy, sale, escrow) == expected(function, *rest)
    assert encode("openDispute", copy, sale, escrow, copy) == expected("openDispute", *rest, copy)
    assert encode("resolveDispute", copy, sale, escrow, amount, penalty) == expected(
        "resolveDispute", *rest, amount, penalty
    )


@given(addresses, bytes32)
def test_static_calls(who: Address, key: bytes) -> None:
    assert encode("createStore", key, key) == expected("createStore", key, key)
    assert encode("credits", who, who) == expected("credits", who, who)


def test_selectors_are_solidity_s() -> None:
    assert encode("stakeAsSeller") == keccak(b"stakeAsSeller()")[:4]
    sale = "(address,address,uint64,uint64,uint64,bool,uint8,uint8,uint128,bytes32,bytes32)"
    delivery = f"(bytes32,{sale},uint8,address{',bytes32' * 4},bytes32[],bytes)"
    signature = f"deliverFragment({delivery},(bytes32,bytes32))"
    assert market_abi().functions["deliverFragment"].id == keccak(signature.encode())[:4]


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("nosuch", ()),
        ("stakeAsSeller", (1,)),
        ("credits", ("0x12", "0x12")),
        ("credits", (5, 5)),
        ("withdrawSellerStake", (-1, "0x" + "11" * 20)),
        ("withdrawSellerStake", (2**256, "0x" + "11" * 20)),
        ("withdrawSellerStake", (True, "0x" + "11" * 20)),
        ("createStore", (b"short", bytes(32))),
        ("confirm", (bytes(32), None, None)),
        ("stakeAsDeliverer", (bytes(32), bytes(63))),
        ("closeMany", ([(bytes(32), None, None)],)),
        ("closeMany", ([Signature(bytes(32), bytes(32))],)),
    ],
)
def test_arguments_that_do_not_fit(function: str, args: tuple) -> None:
    with pytest.raises(Malformed):
        encode(function, *args)


@given(deliveries, st.binary(max_size=200).filter(lambda data: len(data) != 80))
def test_fragment_of_another_length(delivery: Delivery, fragment: bytes) -> None:
    values = {name: getattr(delivery, name) for name in type(delivery).__dataclass_fields__}
    with pytest.raises(Malformed):
        encode("deliverFragment", Delivery(**values | {"fragment": fragment}), NOBODYS)


def test_every_event_has_a_decoder() -> None:
    for topic, entry in market_abi().events.items():
        rest = [p for p in entry.inputs if not p.indexed]
        assert all(p.static for p in rest) or entry.name in (
            "ItemPurchased", "FragmentsSigned", "Evidence",
        )  # fmt: skip
        if all(p.static for p in rest):
            topics = [topic] + [bytes(32)] * (len(entry.inputs) - len(rest))
            name, args = decode_event(topics, bytes(32 * sum(p.words for p in rest)))
            assert name == entry.name
            assert list(args) == [p.name for p in entry.inputs if p.indexed] + [
                p.name for p in rest
            ]


@given(bytes32, bytes32, hashes)
def test_a_signed_list(r: bytes, vs: bytes, entries: tuple[bytes, ...]) -> None:
    topics = [market_abi().topic("FragmentsSigned"), bytes(32)]
    data = reference(["bytes32", "bytes32", "bytes32[]"], [r, vs, entries])
    name, args = decode_event(topics, data)
    assert name == "FragmentsSigned"
    assert (args["r"], args["vs"], args["entries"]) == (r, vs, entries)
    for wrong in (data[:-1], data + bytes(32), data[:127], data[:95] + b"\x80" + data[96:], b""):
        with pytest.raises(Malformed):
            decode_event(topics, wrong)


def test_custom_errors_by_name() -> None:
    def data(name: str, *values: object) -> bytes:
        entry = next(e for e in market_abi().errors.values() if e.name == name)
        return entry.id + reference([p.type for p in entry.inputs], values)

    underpaid = decode_revert(data("Underpaid", 5, 7))
    assert underpaid.error == "Underpaid"
    assert underpaid.arguments == {"paid": 5, "price": 7}
    status = decode_revert(data("WrongStatus", b"\x07" * 32, 5))
    assert str(status) == f"WrongStatus(copyId=0x{'07' * 32}, status=REFUNDED)"
    assert decode_revert(data("ZeroAddress")).error == "ZeroAddress"


def test_other_reverts() -> None:
    assert decode_revert(b"").error == ""
    panic = decode_revert(bytes.fromhex("4e487b71") + (17).to_bytes(32, "big"))
    assert panic.arguments == {"code": 17}
    message = bytes.fromhex("08c379a0") + reference(["string"], ["no\x1b[31m"])
    assert decode_revert(message).arguments == {"message": "no\\x1b[31m"}
    assert decode_revert(b"\xde\xad").error == "unknown"
    assert decode_revert(b"\xde\xad\xbe\xef" * 100).error == "unknown"
    for entry in market_abi().errors.values():
        assert decode_revert(entry.id + b"\xff" * 7).error == "unknown"


def test_results() -> None:
    kinds = ["uint8", "uint32", "uint32", "bool", "bool", "bytes24"]
    state = reference(kinds, [2, 5, 9, True, False, b"\x01" * 24])
    assert decode_result("sales", state) == (2, 5, 9, True, False, b"\x01" * 24)
    assert decode_result("sellerStoreCID", reference(["string"], ["bx"])) == ("bx",)
    for function in ("sales", "sellerStoreCID"):
        with pytest.raises(Malformed):
            decode_result(function, b"")
    with pytest.raises(Malformed):
        decode_result("sales", b"\xff" * 192)


def test_committed_abi_is_the_compiler_s() -> None:
    if not (ROOT / ".tools" / "solc").exists():
        pytest.skip("no compiler here: run `make setup`")
    make_abi = tool("abi")
    fresh = make_abi.compact(make_abi.compile_abi())
    committed = (ROOT / "src" / "dam" / "abi" / "Marketplace.json").read_text("utf-8")
    assert committed == fresh, "the contract's interface changed: run `make abi` and commit"
