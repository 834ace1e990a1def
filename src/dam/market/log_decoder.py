"""Decodes a node's logs, as records or as rows of a ledger, and checks each of them.

A node is not trusted: a log must be the market's, of a block in the range asked for, alone in its
place, encoded as the contract encodes it, and a purchase's copyId must be the hash of what it
names. The events that a market has by the hundred thousand (``ItemPurchased``,
``FragmentDelivered``, ``FragmentSupplied``) are checked by hand; the others by `dam.market.abi`.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import replace
from struct import Struct
from typing import Any, TypeAlias

from dam.crypto.abi_words import WORD_BYTES, abi_fields, uint_word
from dam.crypto.hashing import checksum, keccak
from dam.errors import Malformed
from dam.ethereum.node import hex_data, quantity
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import RawLog
from dam.market.abi import decode_event, decode_terms, market_abi
from dam.market.log_rows import Rows, dump_terms, load_terms, split_words, unsigned
from dam.types import (
    MAX_PARTS,
    ZERO_ADDRESS,
    Address,
    BlockRef,
    CopyId,
    DelivererKeyRotated,
    DelivererRegistered,
    DisputeOpened,
    FragmentDelivered,
    FragmentsSigned,
    JunkProved,
    LogRef,
    MarketLog,
    OtherLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
    Terms,
    Wei,
)

_CLOSED = {
    "SaleSettled": Status.SETTLED,
    "SaleRefunded": Status.REFUNDED,
    "DisputeResolved": Status.RESOLVED,
    "SaleAgreed": Status.AGREED,
}
_KEPT = {
    "ItemPurchased", "FragmentDelivered", "FragmentSupplied", "StoreCreated", "StoreUpdated",
    "DisputeOpened", "JunkProved", *_CLOSED,
}  # fmt: skip
_EVENTS = {"0x" + topic.hex(): event for topic, event in market_abi().events.items()}
KEPT_TOPICS = tuple(topic for topic, event in _EVENTS.items() if event.name in _KEPT)
"""First topics of the events that leave a row: all that a daemon asks for."""
_SHAPES = {
    topic: (
        1 + sum(p.indexed for p in event.inputs),
        2 + 2 * WORD_BYTES * sum(p.words for p in event.inputs if not p.indexed),
    )
    for topic, event in _EVENTS.items()
    if event.name not in _KEPT and all(p.static for p in event.inputs)
}
"""Of events that no ledger keeps: number of topics, and length of the data's hex text."""
TOPICS = {event.name: topic for topic, event in _EVENTS.items()}
"""First topic of each event, by its name."""
_PURCHASED, _SETTLED = TOPICS["ItemPurchased"], TOPICS["SaleSettled"]
_FRAGMENTS = {TOPICS["FragmentDelivered"]: False, TOPICS["FragmentSupplied"]: True}
"""Whether the seller supplied it."""

_MAX_ADDRESSES, _MAX_TERMS = 8192, 512
"""Remembered, of 0.2 and 1.2 KB each: many logs name the same."""
_FORGET_RANGES = 64
"""Terms that appeared in none of the last 64 to 128 ranges are forgotten."""
_MAX_BLOCK_LOGS = 2**32
"""No block has so many; the ledger's integers have 64 bits."""
_ZERO12, _ZERO16, _ZERO24, _ZERO31 = bytes(12), bytes(16), bytes(24), bytes(31)
_TERMS_BYTES = WORD_BYTES * len(abi_fields(Terms))
_PURCHASE_HEAD = Struct(f">32s 24s q 24s q 24s q {_TERMS_BYTES}s 32s 32s")
"""Data of ItemPurchased before the keys: digest of the store, words with the copy (as
`log_rows.signed` has it), block and time of the purchase, then terms, place of the keys and their
number."""
_CLOCK_BITS = 48
"""No chain's clock comes so far, and the ledger's integers hold any sum of such."""
_KEYS_PLACE = uint_word(_PURCHASE_HEAD.size - WORD_BYTES)
_FRAGMENT_AT, _TAG_END, _CIPHERTEXT_AT = 5 * WORD_BYTES, 6 * WORD_BYTES + 16, 7 * WORD_BYTES
"""Behind the five words of the leaf: ephemeral key, tag with its padding, ciphertext."""
_FRAGMENT_DATA_BYTES = 8 * WORD_BYTES

Placed: TypeAlias = tuple[int, bytes, int, RawLog]
"""A log of this market by block, block hash and index; topics and data are not looked at yet."""


def place(raws: Sequence[RawLog], address: str, first: int, last: int) -> list[Placed]:
    """Checks the logs' addresses and places; returns them in order, without duplicates.

    Args:
        raws: As the node gave them.
        address: The market's, in lower case.
        first: First block that was asked for.
        last: Last block that was asked for.

    Raises:
        RpcBadReplyError: A log is another contract's, of another block, or was removed.
    """
    numbers: dict[str, int] = {}
    indexes: dict[str, int] = {}
    blocks: dict[str, tuple[int, bytes]] = {}
    hashes: dict[int, bytes] = {}
    placed: list[Placed] = []
    ordered = True
    before = (-1, -1)
    for raw in raws:
        if raw.address != address and raw.address.lower() != address:
            raise RpcBadReplyError("forged log: of another address")
        if raw.removed:
            raise RpcBadReplyError("a removed log: its block was replaced")
        number = numbers.get(raw.block_number)
        if number is None:
            number = numbers[raw.block_number] = quantity(raw.block_number, "log's block")
            if not first <= number <= last:
                raise RpcBadReplyError("forged log: of a block outside the range")
        block = blocks.get(raw.block_hash)
        if block is None:
            block = number, hex_data(raw.block_hash, "log's block hash", 32)
            blocks[raw.block_hash] = block
            if hashes.setdefault(*block) != block[1]:
                raise RpcBadReplyError(f"logs of two blocks {number}: one was replaced")
        if block[0] != number:
            raise RpcBadReplyError("forged log: one block of two numbers")
        index = indexes.get(raw.log_index)
        if index is None:
            index = indexes[raw.log_index] = quantity(raw.log_index, "log's index")
            if index >= _MAX_BLOCK_LOGS:
                raise RpcBadReplyError("forged log: of no place that a block has")
        if number < before[0] or (number == before[0] and index <= before[1]):
            ordered = False
        before = number, index
        placed.append((number, block[1], index, raw))
    return placed if ordered else _ordered(placed)


def _ordered(placed: list[Placed]) -> list[Placed]:
    found: dict[tuple[int, int], Placed] = {}
    for log in placed:
        if found.setdefault((log[0], log[2]), log)[3] != log[3]:
            raise RpcBadReplyError("forged log: two logs in one place")
    return [found[here] for here in sorted(found)]


class LogDecoder:
    """Decodes logs; remembers addresses and terms from one range of blocks to the next."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._terms: dict[bytes, tuple[str, bytes, bytes, int]] = {}
        self._terms_before: dict[bytes, tuple[str, bytes, bytes, int]] = {}
        self._ranges = 0

    # ---------------------------------------------------------------------------------------- rows

    def rows(self, placed: Sequence[Placed]) -> Rows:
        """The logs as the ledger keeps them.

        Raises:
            RpcBadReplyError: One of them is no log that the contract can have written.
        """
        self._ranges += 1
        if self._ranges % _FORGET_RANGES == 0:
            self._age()
        rows = Rows(count=len(placed))
        blocks, add = rows.blocks, rows.deliveries.append
        known, fragments = self._addresses.get, _FRAGMENTS.get
        try:
            for number, block_hash, index, raw in placed:
                blocks[number] = block_hash
                topics = raw.topics
                kind = topics[0].lower() if topics else ""
                supplied = fragments(kind)
                if supplied is not None and len(topics) == 3:
                    # Most logs by far are these.
                    part = _fragment_data(raw.data)[31]
                    by = known(topics[2]) or self._address(topics[2])
                    add((number, block_hash, index, _word(topics[1]), part, by, supplied))
                elif kind == _PURCHASED:
                    transaction = hex_data(raw.transaction_hash, "log's transaction", 32)
                    sale = self._purchase(topics, raw.data)
                    rows.purchases.append((number, block_hash, index, transaction, *sale))
                elif kind == _SETTLED:
                    _, sold, by_word = topics
                    if raw.data != "0x" or _word(by_word)[:12] != _ZERO12:
                        raise Malformed("SaleSettled: not as the contract writes it")
                    rows.sale_events.append((number, block_hash, index, _word(sold), "settled"))
                elif _SHAPES.get(kind) != (len(topics), len(raw.data)):
                    _add_row(rows, (number, block_hash, index), raw)
        except (Malformed, ValueError) as error:
            raise RpcBadReplyError(f"forged log: {error}") from None
        return rows

    # ------------------------------------------------------------------------------------- records

    def records(self, placed: Sequence[Placed]) -> list[MarketLog]:
        """The logs as records. A deliverer's owner, if another, is set by a log before its stake's.

        Raises:
            RpcBadReplyError: One of them is no log that the contract can have written.
        """
        found: list[MarketLog] = []
        owners: dict[tuple[bytes, Address], Address] = {}
        try:
            for number, block_hash, index, raw in placed:
                tx_hash = hex_data(raw.transaction_hash, "log's transaction", 32)
                log = self._record(raw, LogRef(BlockRef(number, block_hash), tx_hash, index))
                if isinstance(log, OtherLog) and log.name == "DelivererOwnerSet":
                    owners[tx_hash, log.args["operator"]] = log.args["owner"]
                elif isinstance(log, DelivererRegistered):
                    log = replace(log, owner=owners.get((tx_hash, log.operator), log.operator))
                found.append(log)
        except (Malformed, ValueError) as error:
            raise RpcBadReplyError(f"forged log: {error}") from None
        return found

    def _record(self, raw: RawLog, at: LogRef) -> MarketLog:
        topics = raw.topics
        kind = topics[0].lower() if topics else ""
        if kind == _PURCHASED:
            sold, seller, buyer, digest, copy, block, time, terms, keys = self._purchase(
                topics, raw.data
            )
            return Purchase(
                CopyId(sold), seller, buyer, digest, unsigned(copy), block, time,
                load_terms(terms), split_words(keys), at,
            )  # fmt: skip
        if kind in _FRAGMENTS and len(topics) == 3:
            data, by = _fragment_data(raw.data), self._address(topics[2])
            return FragmentDelivered(
                CopyId(_word(topics[1])), by, data[31], checksum(data[44:64]), data[64:96],
                data[96:128], data[128:160], data[_FRAGMENT_AT:_TAG_END] + data[_CIPHERTEXT_AT:],
                _FRAGMENTS[kind], at,
            )  # fmt: skip
        return _other_record(*_decoded(raw), at)

    # ------------------------------------------------------------------------------------ purchases

    def _purchase(
        self, topics: list[str], text: str
    ) -> tuple[bytes, Address, Address, bytes, int, int, int, str, bytes]:
        """The columns of a purchase's row after place and transaction."""
        data = unhexlify(text[2:])
        if len(topics) != 4 or len(data) <= _PURCHASE_HEAD.size:
            raise Malformed("ItemPurchased: too little of it")
        (
            digest, zeros, copy, zeros_too, block, also_zeros, time, terms, keys_place, count
        ) = _PURCHASE_HEAD.unpack_from(data)  # fmt: skip
        text_of_terms, item_id, parts, size = self._terms.get(terms) or self._read_terms(terms)
        if (
            len(data) != size
            or len(text) != 2 + 2 * size
            or not zeros == zeros_too == also_zeros == _ZERO24
            or block >> _CLOCK_BITS
            or time >> _CLOCK_BITS
            or keys_place != _KEYS_PLACE
            or count != parts
            or not text.startswith("0x")
        ):
            raise Malformed("ItemPurchased: not as the contract writes it")
        sold = _word(topics[1])
        seller = self._addresses.get(topics[2]) or self._address(topics[2])
        if sold != keccak(unhexlify(topics[2][2:]) + item_id + data[32:64]):
            raise Malformed("copyId is not the hash of what was bought")
        buyer = _address(topics[3])  # rarely seen again, so not remembered
        keys = data[_PURCHASE_HEAD.size :]
        return sold, seller, buyer, digest, copy, block, time, text_of_terms, keys

    def _read_terms(self, data: bytes) -> tuple[str, bytes, bytes, int]:
        """The terms as text, the item's id, the number of keys as a word, bytes of all data."""
        found = self._terms_before.get(data)
        if found is None:
            terms = decode_terms(data)
            if terms.parts > MAX_PARTS:
                raise Malformed("ItemPurchased: too many parts")
            size = _PURCHASE_HEAD.size + WORD_BYTES * terms.parts
            found = dump_terms(terms), terms.item_id, uint_word(terms.parts), size
        if len(self._terms) >= _MAX_TERMS:
            self._age()
        self._terms[data] = found
        return found

    def _age(self) -> None:
        self._terms_before, self._terms = self._terms, {}

    def _address(self, topic: str) -> Address:
        found = self._addresses.get(topic)
        if found is None:
            if len(self._addresses) >= _MAX_ADDRESSES:
                self._addresses.clear()
            found = self._addresses[topic] = _address(topic)
        return found


def _address(topic: str) -> Address:
    word = _word(topic)
    if word[:12] != _ZERO12:
        raise Malformed("not an address word")
    return checksum(word[12:])


def _fragment_data(text: str) -> bytes:
    """The leaf of a part and its fragment, every word in its place."""
    data = unhexlify(text[2:])
    if len(data) != _FRAGMENT_DATA_BYTES or len(text) != 2 + 2 * len(data) or text[:2] != "0x":
        raise Malformed("a fragment of the wrong length")
    if data[:31] != _ZERO31 or data[32:44] != _ZERO12 or data[_TAG_END:_CIPHERTEXT_AT] != _ZERO16:
        raise Malformed("a fragment of the wrong shape")
    return data


def _word(text: str) -> bytes:
    data = unhexlify(text[2:])
    if len(data) != 32 or len(text) != 66 or text[:2] != "0x":
        raise Malformed("not a word")
    return data


def _decoded(raw: RawLog) -> tuple[str, dict[str, Any]]:
    topics = [hex_data(t, "log's topic", 32) for t in raw.topics]
    return decode_event(topics, hex_data(raw.data, "log's data"))


def _add_row(rows: Rows, at: tuple[int, bytes, int], raw: RawLog) -> None:
    """Adds the row of a rare event, if it leaves any."""
    name, args = _decoded(raw)
    if name in ("StoreCreated", "StoreUpdated"):
        rows.store_versions.append((*at, args["seller"], args["digest"], args["root"]))
    elif name == "JunkProved":
        what = args["copyId"], args["index"], args["deliverer"], args["freshKey"], args["cleared"]
        rows.junk_proofs.append((*at, *what))
    elif name == "DisputeOpened":
        rows.sale_events.append((*at, args["copyId"], "disputed"))
    elif name in _CLOSED:
        rows.sale_events.append((*at, args["copyId"], _CLOSED[name].name.lower()))


def _other_record(name: str, args: dict[str, Any], at: LogRef) -> MarketLog:
    match name:
        case "StoreCreated" | "StoreUpdated":
            return StoreVersion(args["seller"], args["digest"], args["root"], at)
        case "DelivererStaked":
            return DelivererRegistered(
                args["operator"],
                args["operator"],
                args["key"],
                args["possession"],
                Wei(args["stake"]),
                at,
            )
        case "DelivererKeyRotated":
            return DelivererKeyRotated(args["operator"], args["key"], args["possession"], at)
        case "FragmentsSigned":
            return FragmentsSigned(args["signer"], args["r"], args["vs"], args["entries"], at)
        case "JunkProved":
            return JunkProved(
                args["copyId"],
                args["deliverer"],
                args["index"],
                args["freshKey"],
                Wei(args["taken"]),
                Wei(args["bounty"]),
                args["cleared"],
                at,
            )
        case "DisputeOpened":
            return DisputeOpened(
                args["copyId"], args["buyer"], args["arbitrator"], args["evidence"], at
            )
        case "SaleSettled" | "SaleRefunded" | "DisputeResolved" | "SaleAgreed":
            return SaleClosed(
                args["copyId"],
                _CLOSED[name],
                args.get("by") or args.get("arbitrator") or ZERO_ADDRESS,
                args.get("toBuyer", 0),
                Wei(args.get("penalty", 0)),
                at,
            )
    return OtherLog(name, args, at)
