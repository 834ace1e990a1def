"""The hand-packed codec equals eth_abi, and decodes one encoding only."""

import importlib.util
from pathlib import Path

import pytest
from eth_abi.abi import encode as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from dam.crypto.hashing import checksum, keccak
from dam.errors import Malformed
from dam.market.abi import (
    decode_event,
    decode_result,
    decode_revert,
    encode,
    market_abi,
)
from dam.types import Address, Delivery, Escrow, Sale, Terms, Wei

ROOT = Path(__file__).resolve().parents[3]
bytes32 = st.binary(min_size=32, max_size=32)
address = st.binary(min_size=20, max_size=20).map(checksum)
uint8, uint64, uint128 = (st.integers(0, 2**bits - 1) for bits in (8, 64, 128))
hashes = st.lists(bytes32, max_size=20).map(tuple)
terms = st.builds(
    Terms, bytes32, address, uint128, uint128.map(Wei), uint128.map(Wei), uint128.map(Wei), uint64,
    st.booleans(), uint8, uint8, address, bytes32,
)  # fmt: skip
sales = st.builds(
    Sale, address, address, uint64, uint64, st.booleans(), uint8, uint8, uint128.map(Wei), bytes32,
    bytes32,
)  # fmt: skip
escrows = st.builds(
    Escrow, bytes32, bytes32, address, uint128, uint128.map(Wei), uint128.map(Wei), address
)
deliveries = st.builds(
    Delivery, bytes32, sales, uint8, address, bytes32, bytes32, bytes32, hashes,
    st.binary(min_size=80, max_size=80),
)  # fmt: skip


def fields(record: object) -> tuple:
    """A record as eth_abi takes it: nested tuples in the order of the fields."""
    values = []
    for name in type(record).__dataclass_fields__:
        value = getattr(record, name)
        values.append(fields(value) if hasattr(value, "__dataclass_fields__") else value)
    return tuple(values)


def expected(function: str, *args: object) -> bytes:
    entry = market_abi().functions[function]
    return entry.id + reference([p.type for p in entry.inputs], args)


@given(deliveries)
def test_deliver_fragment(delivery: Delivery) -> None:
    assert encode("deliverFragment", delivery) == expected("deliverFragment", fields(delivery))


@settings(max_examples=40)
@given(st.sampled_from(["deliverFragments", "supplyFragments"]), st.lists(deliveries, max_size=4))
def test_deliver_fragments(function: str, batch: list[Delivery]) -> None:
    assert encode(function, batch) == expected(function, [fields(d) for d in batch])


@given(address, terms, hashes, bytes32, uint64, hashes)
def test_buy_item(seller, item, proof, digest, copy, keys) -> None:
    assert encode("buyItem", seller, item, proof, digest, copy, keys) == expected(
        "buyItem", seller, fields(item), proof, digest, copy, keys
    )


@given(bytes32, sales, escrows, st.integers(0, 2**256 - 1), st.booleans())
def test_closing_calls(copy, sale, escrow, amount, penalty) -> None:
    rest = (copy, fields(sale), fields(escrow))
    for function in ("confirm", "settle", "refund", "concede"):
        assert encode(function, copy, sale, escrow) == expected(function, *rest)
    assert encode("openDispute", copy, sale, escrow, copy) == expected("openDispute", *rest, copy)
    assert encode("resolveDispute", copy, sale, escrow, amount, penalty) == expected(
        "resolveDispute", *rest, amount, penalty
    )


@given(address, bytes32)
def test_static_calls(who: Address, key: bytes) -> None:
    assert encode("rotateDelivererKey", who, key) == expected("rotateDelivererKey", who, key)
    assert encode("credits", who, who) == expected("credits", who, who)


def test_selectors_are_solidity_s() -> None:
    assert encode("stakeAsSeller") == keccak(b"stakeAsSeller()")[:4]
    sale = "(address,address,uint64,uint64,bool,uint8,uint8,uint128,bytes32,bytes32)"
    signature = (
        f"deliverFragment((bytes32,{sale},uint8,address,bytes32,bytes32,bytes32,bytes32[],bytes))"
    )
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
    ],
)
def test_arguments_that_do_not_fit(function: str, args: tuple) -> None:
    with pytest.raises(Malformed):
        encode(function, *args)


@given(deliveries, st.binary(max_size=200).filter(lambda data: len(data) != 80))
def test_fragment_of_another_length(delivery: Delivery, fragment: bytes) -> None:
    values = {name: getattr(delivery, name) for name in type(delivery).__dataclass_fields__}
    with pytest.raises(Malformed):
        encode("deliverFragment", Delivery(**values | {"fragment": fragment}))


def purchase_log(seller, buyer, digest, copy, item, keys, copy_id=bytes(32)):
    abi = market_abi()
    topic = abi.topic("ItemPurchased")
    rest = [p.type for p in abi.events[topic].inputs if not p.indexed]
    topics = [topic, copy_id, *(bytes(12) + bytes.fromhex(a[2:]) for a in (seller, buyer))]
    return topics, reference(rest, [digest, copy, fields(item), keys])


@given(address, address, bytes32, uint64, terms, st.lists(bytes32, max_size=32))
def test_item_purchased(seller, buyer, digest, copy, item, keys) -> None:
    values = {name: getattr(item, name) for name in type(item).__dataclass_fields__}
    item = Terms(**values | {"parts": len(keys)})
    topics, data = purchase_log(seller, buyer, digest, copy, item, keys)
    name, args = decode_event(topics, data)
    assert name == "ItemPurchased"
    assert args == {
        "copyId": bytes(32), "seller": seller, "buyer": buyer, "storeDigest": digest,
        "copy": copy, "terms": item, "keys": tuple(keys),
    }  # fmt: skip
    # One encoding only: whatever byte changes, the log is refused or says something else.
    for broken in (data[:-1], data + bytes(32), bytes([data[0] ^ 1]) + data[1:], data[:-32]):
        try:
            _, other = decode_event(topics, broken)
        except Malformed:
            continue
        assert other != args
    offset = 14 * 32
    moved = data[:offset] + (0x1E1).to_bytes(32, "big") + data[offset + 32 :]
    with pytest.raises(Malformed):
        decode_event(topics, moved)


@given(st.booleans(), bytes32, address, uint8, bytes32, st.binary(min_size=80, max_size=80))
def test_fragment_events(supplied, copy, by, index, word, fragment) -> None:
    name = "FragmentSupplied" if supplied else "FragmentDelivered"
    topics = [market_abi().topic(name), copy, bytes(12) + bytes.fromhex(by[2:])]
    kinds = ["uint8", "bytes32", "bytes32", "bytes"]
    data = reference(kinds, [index, word, copy, fragment])
    assert decode_event(topics, data) == (
        name,
        {
            "copyId": copy, "seller" if supplied else "by": by, "index": index,
            "commitment": word, "secretHash": copy, "fragment": fragment,
        },
    )  # fmt: skip
    for broken in (
        data[:-1] + b"\x01",
        data[:-32],
        data + bytes(32),
        bytes([1]) + data[1:],
        reference(kinds, [index, word, copy, fragment + b"x"]),
        reference(kinds, [index, word, copy, fragment[:79]]),
    ):
        with pytest.raises(Malformed):
            decode_event(topics, broken)
    dirty_address = b"\x01" + topics[2][1:]
    for wrong in (topics[:2], [*topics, bytes(32)], [], [bytes(32)], [*topics[:2], dirty_address]):
        with pytest.raises(Malformed):
            decode_event(wrong, data)


def test_every_event_has_a_decoder() -> None:
    for topic, entry in market_abi().events.items():
        rest = [p for p in entry.inputs if not p.indexed]
        assert all(p.static for p in rest) or entry.name in (
            "ItemPurchased", "FragmentDelivered", "FragmentSupplied", "Evidence",
        )  # fmt: skip
        if all(p.static for p in rest):
            topics = [topic] + [bytes(32)] * (len(entry.inputs) - len(rest))
            name, args = decode_event(topics, bytes(32 * len(rest)))
            assert name == entry.name
            assert list(args) == [p.name for p in entry.inputs if p.indexed] + [
                p.name for p in rest
            ]


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
    state = reference(["uint8", "uint32", "uint8", "uint32", "bytes24"], [2, 5, 2, 9, b"\x01" * 24])
    assert decode_result("sales", state) == (2, 5, 2, 9, b"\x01" * 24)
    assert decode_result("sellerStoreCID", reference(["string"], ["bx"])) == ("bx",)
    for function in ("sales", "sellerStoreCID"):
        with pytest.raises(Malformed):
            decode_result(function, b"")
    with pytest.raises(Malformed):
        decode_result("sales", b"\xff" * 160)


def test_committed_abi_is_the_compiler_s() -> None:
    if not (ROOT / ".tools" / "solc").exists():
        pytest.skip("no compiler here: run `make setup`")
    spec = importlib.util.spec_from_file_location("make_abi", ROOT / "tools" / "abi.py")
    assert spec is not None
    assert spec.loader is not None
    make_abi = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_abi)
    fresh = make_abi.compact(make_abi.compile_abi())
    committed = (ROOT / "src" / "dam" / "abi" / "Marketplace.json").read_text("utf-8")
    assert committed == fresh, "the contract's interface changed: run `make abi` and commit"
