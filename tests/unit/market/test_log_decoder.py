"""Rows straight from a node's logs: the same as by way of records, and as strict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from dam.crypto.abi_words import abi_type
from dam.crypto.hashing import checksum, copy_id
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import RawLog
from dam.market import log_decoder
from dam.market.log_decoder import LogDecoder, place
from dam.market.log_rows import unsigned
from dam.testing.pages import rows_of
from dam.types import (
    DisputeOpened,
    FragmentDelivered,
    JunkProved,
    MarketLog,
    Purchase,
    SaleClosed,
    StoreVersion,
    Terms,
)
from tests.unit.helpers.raw_logs import EVENTS, MARKET, log
from tests.unit.helpers.structs import addresses, bytes32, plain, terms, uint8, uint64


def rows(*raws: RawLog) -> Any:
    return LogDecoder().rows(place(raws, MARKET, 0, 100))


def test_every_event_gives_the_rows_of_its_record() -> None:
    raws = [log(name, index) for index, name in enumerate(EVENTS)]
    placed = place(raws, MARKET, 0, 100)
    found = LogDecoder().rows(placed)
    kept = (Purchase, StoreVersion, FragmentDelivered, JunkProved, DisputeOpened, SaleClosed)
    by_way_of_records = LogDecoder().records(placed)
    assert found == rows_of(by_way_of_records)
    assert sum(isinstance(record, kept) for record in by_way_of_records) == 11
    assert found.count == len(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_hex_in_upper_case_is_as_good(name: str) -> None:
    """Rows and records alike: a purchase that is lost is one that nobody serves."""

    def upper(text: str) -> str:
        return "0x" + text[2:].upper()

    raw = log(name)
    shouted = msgspec.structs.replace(
        raw,
        topics=[upper(topic) for topic in raw.topics],
        data=upper(raw.data),
        address=upper(raw.address),
        block_hash=upper(raw.block_hash),
        transaction_hash=upper(raw.transaction_hash),
        block_number=upper(raw.block_number),
        log_index=upper(raw.log_index),
    )
    assert rows(shouted) == rows(raw)
    [record] = LogDecoder().records(place([raw], MARKET, 0, 100))
    assert LogDecoder().records(place([shouted], MARKET, 0, 100)) == [record]


@pytest.mark.parametrize("copy", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_copy_that_the_contract_sells_fits_into_the_ledger(copy: int) -> None:
    placed = place([log("ItemPurchased", copy=copy)], MARKET, 0, 100)
    found = LogDecoder().rows(placed)
    assert found == rows_of(LogDecoder().records(placed))
    [row] = found.purchases
    assert unsigned(row[8]) == copy
    assert -(2**63) <= row[8] < 2**63


# --------------------------------------------- the two big events, beside a codec that knows none


def as_log(topics: list[bytes], data: bytes) -> RawLog:
    """A log of these topics and data."""
    texts = ["0x" + topic.hex() for topic in topics]
    return msgspec.structs.replace(log(SETTLED), topics=texts, data="0x" + data.hex())


def record(topics: list[bytes], data: bytes) -> MarketLog:
    """What the decoder makes of it; its row is the same, or refused likewise."""
    placed = place([as_log(topics, data)], MARKET, 0, 100)
    try:
        [found] = LogDecoder().records(placed)
    except RpcBadReplyError:
        with pytest.raises(RpcBadReplyError):
            LogDecoder().rows(placed)
        raise
    assert LogDecoder().rows(placed) == rows_of([found])
    return found


def address_topic(account: str) -> bytes:
    return bytes(12) + bytes.fromhex(account[2:])


clocks = st.integers(0, 2**48 - 1)


@given(
    addresses, addresses, bytes32, uint64, clocks, clocks, terms,
    st.lists(bytes32, min_size=1, max_size=32),
)  # fmt: skip
def test_purchases_as_the_table_has_them(
    seller, buyer, digest, copy, block, time, item, keys
) -> None:
    item = replace(item, parts=len(keys))
    entry, sold = EVENTS["ItemPurchased"], copy_id(seller, item.item_id, copy)
    topics = [entry.id, sold, address_topic(seller), address_topic(buyer)]
    kinds = [p.type for p in entry.inputs if not p.indexed]
    assert kinds == ["bytes32", "uint64", "uint64", "uint64", abi_type(Terms), "bytes32[]"]
    data = abi_encode(kinds, [digest, copy, block, time, plain(item), keys])
    found = record(topics, data)
    assert found == Purchase(
        sold, seller, buyer, digest, copy, block, time, item, tuple(keys), found.at
    )
    # One encoding only: whatever byte changes, the log is refused or says something else.
    for broken in (data[:-1], data + bytes(32), bytes([data[0] ^ 1]) + data[1:], data[:-32]):
        try:
            other = record(topics, broken)
        except RpcBadReplyError:
            continue
        assert other != found
    offset = 17 * 32
    assert data[offset : offset + 32] == (18 * 32).to_bytes(32, "big")
    moved = data[:offset] + (18 * 32 + 1).to_bytes(32, "big") + data[offset + 32 :]
    with pytest.raises(RpcBadReplyError):
        record(topics, moved)


@given(
    st.booleans(), bytes32, addresses, uint8, addresses, bytes32, bytes32,
    st.binary(min_size=80, max_size=80),
)  # fmt: skip
def test_fragments_as_the_table_has_them(
    supplied, copy, by, index, deliverer, word, salt, fragment
) -> None:
    entry = EVENTS["FragmentSupplied" if supplied else "FragmentDelivered"]
    topics = [entry.id, copy, address_topic(by)]
    kinds = [p.type for p in entry.inputs if not p.indexed]
    assert kinds == ["uint8", "address", *["bytes32"] * 4, "bytes16", "bytes32"]
    leaf = [index, deliverer, word, copy, salt]
    data = abi_encode(kinds, [*leaf, fragment[:32], fragment[32:48], fragment[48:]])
    found = record(topics, data)
    assert found == FragmentDelivered(copy, by, *leaf, fragment, supplied, found.at)
    for broken in (
        data[:208] + b"\x01" + data[209:],
        data[:223] + b"\x01" + data[224:],
        data[:-32],
        data + bytes(32),
        bytes([1]) + data[1:],
        data[:32] + bytes([1]) + data[33:],
        abi_encode([*kinds[:5], "bytes"], [*leaf, fragment]),
    ):
        with pytest.raises(RpcBadReplyError):
            record(topics, broken)
    dirty_address = b"\x01" + topics[2][1:]
    for wrong in (topics[:2], [*topics, bytes(32)], [], [bytes(32)], [*topics[:2], dirty_address]):
        with pytest.raises(RpcBadReplyError):
            record(wrong, data)


# ---------------------------------------------------------------------------- what is remembered


def test_what_is_remembered_changes_nothing() -> None:
    decoder = LogDecoder()
    raws = [log("ItemPurchased", i) for i in (0, 1)]
    again = [msgspec.structs.replace(raw, log_index=hex(9 + i)) for i, raw in enumerate(raws)]
    first = decoder.rows(place(raws, MARKET, 0, 100))
    second = decoder.rows(place([*raws, *again], MARKET, 0, 100))
    assert second.purchases[:2] == first.purchases
    assert [row[3:] for row in second.purchases[2:]] == [row[3:] for row in first.purchases]


def test_terms_that_no_longer_sell_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that do are decoded once, however many ranges go by."""
    decoded: list[bytes] = []
    decode = log_decoder.decode_terms

    def counted(data: bytes) -> Any:
        decoded.append(data)
        return decode(data)

    monkeypatch.setattr(log_decoder, "decode_terms", counted)
    decoder = LogDecoder()
    placed = place([log("ItemPurchased")], MARKET, 0, 100)
    first = decoder.rows(placed)
    for _ in range(300):
        decoder.rows([])
        assert decoder.rows(placed) == first
    assert len(decoded) == 1
    for _ in range(200):
        decoder.rows([])
    assert not decoder._terms
    assert not decoder._terms_before
    assert decoder.rows(placed) == first


def flip(text: str, byte: int, to: int) -> str:
    """A hex text with one byte changed."""
    data = bytearray.fromhex(text[2:])
    data[byte] = to
    return "0x" + data.hex()


FRAGMENT, PURCHASE, SETTLED = "FragmentDelivered", "ItemPurchased", "SaleSettled"
FORGERIES = {
    "fragment: index over a byte": (FRAGMENT, lambda r: {"data": flip(r.data, 30, 1)}),
    "fragment: tag over 16 bytes": (FRAGMENT, lambda r: {"data": flip(r.data, 208, 1)}),
    "fragment: padding of the tag": (FRAGMENT, lambda r: {"data": flip(r.data, 223, 1)}),
    "fragment: short": (FRAGMENT, lambda r: {"data": r.data[:-2]}),
    "fragment: long": (FRAGMENT, lambda r: {"data": r.data + "00"}),
    "fragment: no hex": (FRAGMENT, lambda r: {"data": r.data[:100] + "zz" + r.data[102:]}),
    "fragment: blanks": (FRAGMENT, lambda r: {"data": r.data[:100] + "  " + r.data[102:]}),
    "fragment: prefix": (FRAGMENT, lambda r: {"data": "00" + r.data[2:]}),
    "fragment: by no address": (
        FRAGMENT,
        lambda r: {"topics": [*r.topics[:2], flip(r.topics[2], 3, 1)]},
    ),
    "fragment: copyId too short": (
        FRAGMENT,
        lambda r: {"topics": [r.topics[0], r.topics[1][:-2], r.topics[2]]},
    ),
    "fragment: a topic less": (FRAGMENT, lambda r: {"topics": r.topics[:2]}),
    "fragment: a topic more": (FRAGMENT, lambda r: {"topics": [*r.topics, r.topics[1]]}),
    "purchase: another copyId": (
        PURCHASE,
        lambda r: {"topics": [r.topics[0], flip(r.topics[1], 0, 0), *r.topics[2:]]},
    ),
    "purchase: another seller": (
        PURCHASE,
        lambda r: {"topics": [*r.topics[:2], flip(r.topics[2], 31, 0), r.topics[3]]},
    ),
    "purchase: seller no address": (
        PURCHASE,
        lambda r: {"topics": [*r.topics[:2], flip(r.topics[2], 0, 1), r.topics[3]]},
    ),
    "purchase: buyer no address": (
        PURCHASE,
        lambda r: {"topics": [*r.topics[:3], flip(r.topics[3], 11, 1)]},
    ),
    "purchase: a topic less": (PURCHASE, lambda r: {"topics": r.topics[:3]}),
    "purchase: copy over 64 bits": (PURCHASE, lambda r: {"data": flip(r.data, 55, 1)}),
    "purchase: block over 48 bits": (PURCHASE, lambda r: {"data": flip(r.data, 89, 1)}),
    "purchase: block over 64 bits": (PURCHASE, lambda r: {"data": flip(r.data, 87, 1)}),
    "purchase: block below zero": (PURCHASE, lambda r: {"data": flip(r.data, 88, 0x80)}),
    "purchase: time over 48 bits": (PURCHASE, lambda r: {"data": flip(r.data, 121, 1)}),
    "purchase: time over 64 bits": (PURCHASE, lambda r: {"data": flip(r.data, 119, 1)}),
    "purchase: keys elsewhere": (PURCHASE, lambda r: {"data": flip(r.data, 575, 0)}),
    "purchase: number of keys": (PURCHASE, lambda r: {"data": flip(r.data, 607, 2)}),
    "purchase: a key less": (PURCHASE, lambda r: {"data": r.data[:-64]}),
    "purchase: a key more": (PURCHASE, lambda r: {"data": r.data + "00" * 32}),
    "purchase: parts unlike keys": (PURCHASE, lambda r: {"data": flip(r.data, 415, 4)}),
    "purchase: price over 128 bits": (PURCHASE, lambda r: {"data": flip(r.data, 207, 1)}),
    "purchase: stock is 2": (PURCHASE, lambda r: {"data": flip(r.data, 383, 2)}),
    "purchase: token no address": (PURCHASE, lambda r: {"data": flip(r.data, 160, 1)}),
    "purchase: no data": (PURCHASE, lambda r: {"data": "0x"}),
    "purchase: prefix": (PURCHASE, lambda r: {"data": "00" + r.data[2:]}),
    "purchase: transaction": (PURCHASE, lambda r: {"transaction_hash": "0x00"}),
    "settled: data": (SETTLED, lambda r: {"data": "0x00"}),
    "settled: by no address": (
        SETTLED,
        lambda r: {"topics": [*r.topics[:2], flip(r.topics[2], 0, 1)]},
    ),
    "settled: a topic less": (SETTLED, lambda r: {"topics": r.topics[:2]}),
    "rated: more data": ("SaleRated", lambda r: {"data": r.data + "00" * 32}),
    "rated: a topic less": ("SaleRated", lambda r: {"topics": r.topics[:3]}),
    "junk: less data": ("JunkProved", lambda r: {"data": r.data[:-64]}),
    "junk: index over a byte": ("JunkProved", lambda r: {"data": flip(r.data, 30, 1)}),
    "junk: cleared is 2": ("JunkProved", lambda r: {"data": flip(r.data, 159, 2)}),
    "agreed: more data": ("SaleAgreed", lambda r: {"data": r.data + "00" * 32}),
    "signed: entries elsewhere": ("FragmentsSigned", lambda r: {"data": flip(r.data, 95, 0x80)}),
    "signed: number of entries": ("FragmentsSigned", lambda r: {"data": flip(r.data, 127, 9)}),
    "staked: less data": ("DelivererStaked", lambda r: {"data": r.data[:-64]}),
    "store: less data": ("StoreUpdated", lambda r: {"data": r.data[:-64]}),
    "no such event": (SETTLED, lambda r: {"topics": ["0x" + "12" * 32, *r.topics[1:]]}),
    "no topics": (SETTLED, lambda r: {"topics": []}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_of_what_is_kept(name: str) -> None:
    event, change = FORGERIES[name]
    good = log(event)
    assert rows(good).count == 1
    forged = msgspec.structs.replace(good, **change(good))
    with pytest.raises(RpcBadReplyError):
        rows(forged)
    with pytest.raises(RpcBadReplyError):
        LogDecoder().records(place([forged], MARKET, 0, 100))


@pytest.mark.parametrize(
    "change",
    [
        {"address": "0x" + "db" * 20},
        {"removed": True},
        {"block_number": "0x65"},
        {"block_number": "5"},
        {"block_hash": "0x05"},
        {"block_hash": "0x" + "06" * 32},
        {"log_index": "-1"},
        {"log_index": "0x"},
        {"log_index": hex(2**63)},  # more than the ledger's integers hold
    ],
)
def test_places_that_cannot_be(change: dict[str, Any]) -> None:
    raws = [log(SETTLED, 0), log(SETTLED, 1)]
    with pytest.raises(RpcBadReplyError):
        place([raws[0], msgspec.structs.replace(raws[1], **change)], MARKET, 0, 100)


def test_one_hash_of_two_numbers() -> None:
    raws = [log(SETTLED, 0, block=5), log(SETTLED, 0, block=6)]
    raws[1] = msgspec.structs.replace(raws[1], block_hash=raws[0].block_hash)
    with pytest.raises(RpcBadReplyError):
        place(raws, MARKET, 0, 100)


def test_copies_and_disorder() -> None:
    raws = [log(SETTLED, i, block=b) for b in (5, 6) for i in (0, 1, 16)]
    ordered = place(raws, MARKET, 0, 100)
    assert [(number, index) for number, _, index, _ in ordered] == [
        (5, 0), (5, 1), (5, 16), (6, 0), (6, 1), (6, 16),
    ]  # fmt: skip
    assert place([*raws[::-1], *raws], MARKET, 0, 100) == ordered
    assert place([raws[0], raws[0]], MARKET, 0, 100) == ordered[:1]
    other = msgspec.structs.replace(raws[0], data="0x12")
    with pytest.raises(RpcBadReplyError, match="two logs in one place"):
        place([raws[0], other], MARKET, 0, 100)


def test_a_checksummed_address_is_the_same() -> None:
    raw = msgspec.structs.replace(log(SETTLED), address=checksum(bytes.fromhex(MARKET[2:])))
    assert len(place([raw], MARKET, 0, 100)) == 1


def test_rows_up_to_a_block() -> None:
    raws = [log(name, 0, block=b) for b, name in ((5, FRAGMENT), (6, SETTLED), (7, PURCHASE))]
    raws.append(log("StoreUpdated", 0, block=8))
    part = rows(*raws).until(6)
    tables = part.deliveries, part.sale_events, part.purchases, part.store_versions
    assert list(map(len, tables)) == [1, 1, 0, 0]
    assert sorted(part.blocks) == [5, 6]
    assert part.count == 2
