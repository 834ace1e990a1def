"""A node's logs, checked: as records, and on the hot path as rows.

Nothing that a node says is believed here: a log must be the market's, of a block in the range asked
for, alone in its place, encoded as the contract encodes it, and a purchase's copyId must be the
hash of what it names. The events that a market has by the hundred thousand are checked by hand,
word for word as `abi_codec` does; the others by `abi_codec` itself.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from struct import Struct
from typing import Any, TypeAlias

from dam.crypto.hashing import checksum, copy_id, keccak
from dam.errors import Malformed
from dam.ethereum.hex import hex_data, quantity
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import RawLog
from dam.market.abi import decode_event, decode_terms, market_abi
from dam.market.calldata import FRAGMENT_PAD, FRAGMENT_TAIL
from dam.market.log_rows import Rows
from dam.market.row_codec import dump_terms
from dam.types import (
    FRAGMENT_BYTES,
    MAX_PARTS,
    Address,
    BlockRef,
    DelivererKeyRotated,
    DelivererRegistered,
    DisputeOpened,
    FragmentDelivered,
    LogRef,
    MarketLog,
    OtherLog,
    Purchase,
    SaleClosed,
    Status,
    StoreVersion,
    Wei,
)

_CLOSED = {
    "SaleSettled": Status.SETTLED,
    "SaleRefunded": Status.REFUNDED,
    "DisputeResolved": Status.RESOLVED,
}
_ADDRESSES, _TERMS = 8192, 512
"""So many are remembered, of 0.2 and of 1.2 KB each: many logs name the same."""
_RANGES = 64
"""Terms that so many ranges did not have, once or twice over, are forgotten: others sell now."""
_PURCHASED, _DELIVERED, _SETTLED = (
    "0x" + market_abi().topic(name).hex()
    for name in ("ItemPurchased", "FragmentDelivered", "SaleSettled")
)
_MOST_LOGS = 2**32
"""No block has so many; the ledger's integers have 64 bits."""
_W = 32
_ZERO12, _ZERO24, _ZERO31 = bytes(12), bytes(24), bytes(31)
_HEAD = Struct(">32s 24s q 384s 32s 32s")
"""Data of ItemPurchased before the keys: digest, a word with the copy (as `rows.signed` has it),
terms, place of the keys and their number."""
_KEYS_AT = (15 * _W).to_bytes(_W, "big")
_FRAGMENT_MIDDLE = (4 * _W).to_bytes(_W, "big") + FRAGMENT_TAIL
_FRAGMENT_SIZE = 5 * _W + FRAGMENT_BYTES + len(FRAGMENT_PAD)


Placed: TypeAlias = tuple[int, bytes, int, RawLog]
"""A log of this market by block, block hash and index; topics and data are not looked at yet."""


def place(raws: Sequence[RawLog], address: str, first: int, last: int) -> list[Placed]:
    """Checks whose logs they are and where they stand; in their order, copies of one once.

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
            if index >= _MOST_LOGS:
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


# -------------------------------------------------------------------------------------------- rows


_KEPT = {
    "ItemPurchased", "FragmentDelivered", "FragmentSupplied", "StoreCreated", "StoreUpdated",
    "DisputeOpened", "DelivererStaked", "DelivererKeyRotated", *_CLOSED,
}  # fmt: skip
KEPT_TOPICS = tuple(
    "0x" + topic.hex() for topic, event in market_abi().events.items() if event.name in _KEPT
)
"""First topics of the events that leave a row."""
_SHAPES = {
    "0x" + topic.hex(): (
        1 + sum(p.indexed for p in event.inputs),
        2 + 64 * sum(not p.indexed for p in event.inputs),
    )
    for topic, event in market_abi().events.items()
    if event.name not in _KEPT and all(p.static for p in event.inputs)
}
"""Of events that no ledger keeps: how many topics, and how long a text of data."""


class Intake:
    """Makes rows of logs; remembers addresses and terms from one range to the next."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._terms: dict[bytes, tuple[str, bytes, bytes, int]] = {}
        self._terms_before: dict[bytes, tuple[str, bytes, bytes, int]] = {}
        self._ranges = 0

    def rows(self, placed: Sequence[Placed]) -> Rows:
        """The logs as the ledger keeps them.

        Raises:
            RpcBadReplyError: One of them is no log that the contract can have written.
        """
        self._ranges += 1
        if self._ranges % _RANGES == 0:
            self._age()
        rows = Rows(count=len(placed))
        blocks, add = rows.blocks, rows.delivered.append
        known = self._addresses.get
        try:
            for number, block_hash, index, raw in placed:
                blocks[number] = block_hash
                topics = raw.topics
                kind = topics[0] if topics else ""
                if kind == _DELIVERED and len(topics) == 3:
                    # Most logs by far are these.
                    part = _fragment_index(raw.data)
                    by = known(topics[2]) or self._address(topics[2])
                    add((number, block_hash, index, _word(topics[1]), part, by, False))
                else:
                    self._take(kind, number, block_hash, index, raw, rows)
        except (Malformed, ValueError) as error:
            raise RpcBadReplyError(f"forged log: {error}") from None
        return rows

    def _take(
        self, kind: str, number: int, block_hash: bytes, index: int, raw: RawLog, rows: Rows
    ) -> None:
        here = number, block_hash, index
        if kind == _PURCHASED:
            transaction = hex_data(raw.transaction_hash, "log's transaction", 32)
            rows.purchases.append((*here, transaction, 0, *self._purchase(raw.topics, raw.data)))
        elif kind == _SETTLED:
            _, sold, by = raw.topics
            if raw.data != "0x" or _word(by)[:12] != _ZERO12:
                raise Malformed("SaleSettled: not as the contract writes it")
            rows.turns.append((*here, _word(sold), "settled"))
        else:
            self._take_any(here, raw, rows)

    def _take_any(self, here: tuple[int, bytes, int], raw: RawLog, rows: Rows) -> None:
        """All other events, by the general decoder; of those without a row, only the shape."""
        if raw.topics and _SHAPES.get(raw.topics[0]) == (len(raw.topics), len(raw.data)):
            return
        name, args = decode_event(*_decoded(raw))
        if name in ("StoreCreated", "StoreUpdated"):
            rows.versions.append((*here, args["seller"], args["digest"], args["root"]))
        elif name == "FragmentSupplied":
            rows.delivered.append((*here, args["copyId"], args["index"], args["seller"], True))
        elif name == "DisputeOpened":
            rows.turns.append((*here, args["copyId"], "disputed"))
        elif name in ("DelivererStaked", "DelivererKeyRotated"):
            rows.announced.append((*here, args["operator"], args["key"]))
        elif name in _CLOSED:
            rows.turns.append((*here, args["copyId"], _CLOSED[name].name.lower()))

    def _purchase(
        self, topics: list[str], text: str
    ) -> tuple[bytes, str, str, bytes, int, str, bytes]:
        """What of a purchase's row comes after its place."""
        data = unhexlify(text[2:])
        if len(topics) != 4 or len(data) <= _HEAD.size:
            raise Malformed("ItemPurchased: too little of it")
        digest, zeros, copy, terms, keys_at, count = _HEAD.unpack_from(data)
        text_of_terms, item_id, parts, size = self._terms.get(terms) or self._read_terms(terms)
        if (
            len(data) != size
            or len(text) != 2 + 2 * size
            or zeros != _ZERO24
            or keys_at != _KEYS_AT
            or count != parts
            or not text.startswith("0x")
        ):
            raise Malformed("ItemPurchased: not as the contract writes it")
        sold = _word(topics[1])
        seller = self._addresses.get(topics[2]) or self._address(topics[2])
        if sold != keccak(unhexlify(topics[2][2:]) + item_id + data[_W : 2 * _W]):
            raise Malformed("copyId is not the hash of what was bought")
        buyer = _address(topics[3])  # hardly ever seen again
        return sold, seller, buyer, digest, copy, text_of_terms, data[_HEAD.size :]

    def _read_terms(self, data: bytes) -> tuple[str, bytes, bytes, int]:
        """The terms as text, the item's id, the number of keys as a word, the length of all."""
        found = self._terms_before.get(data)
        if found is None:
            terms = decode_terms(data)
            if terms.parts > MAX_PARTS:
                raise Malformed("ItemPurchased: too many parts")
            parts = terms.parts.to_bytes(_W, "big")
            found = dump_terms(terms), terms.item_id, parts, _HEAD.size + _W * terms.parts
        if len(self._terms) >= _TERMS:
            self._age()
        self._terms[data] = found
        return found

    def _age(self) -> None:
        self._terms_before, self._terms = self._terms, {}

    def _address(self, topic: str) -> Address:
        found = self._addresses.get(topic)
        if found is None:
            if len(self._addresses) >= _ADDRESSES:
                self._addresses.clear()
            found = self._addresses[topic] = _address(topic)
        return found


def _address(topic: str) -> Address:
    word = _word(topic)
    if word[:12] != _ZERO12:
        raise Malformed("not an address word")
    return checksum(word[12:])


def _fragment_index(text: str) -> int:
    """The part's index in the data of a delivery whose every word is where it belongs."""
    data = unhexlify(text[2:])
    if len(data) != _FRAGMENT_SIZE or len(text) != 2 + 2 * _FRAGMENT_SIZE or text[:2] != "0x":
        raise Malformed("a fragment of the wrong length")
    if data[:31] != _ZERO31 or data[96:160] != _FRAGMENT_MIDDLE or data[240:] != FRAGMENT_PAD:
        raise Malformed("a fragment of the wrong shape")
    return data[31]


def _word(text: str) -> bytes:
    data = unhexlify(text[2:])
    if len(data) != 32 or len(text) != 66 or text[:2] != "0x":
        raise Malformed("not a word")
    return data


def _decoded(raw: RawLog) -> tuple[list[bytes], bytes]:
    return [hex_data(t, "log's topic", 32) for t in raw.topics], hex_data(raw.data, "log's data")


# ----------------------------------------------------------------------------------------- records


def records(placed: Sequence[Placed]) -> list[MarketLog]:
    """The logs as records. A deliverer's owner, if another, stands in a log of its own.

    Raises:
        RpcBadReplyError: One of them is no log that the contract can have written.
    """
    decoded: list[tuple[str, dict[str, Any], LogRef]] = []
    owners: dict[tuple[bytes, Address], Address] = {}
    for number, block_hash, index, raw in placed:
        tx_hash = hex_data(raw.transaction_hash, "log's transaction", 32)
        try:
            name, args = decode_event(*_decoded(raw))
        except Malformed as error:
            raise RpcBadReplyError(f"forged log: {error}") from None
        at = LogRef(BlockRef(number, block_hash), tx_hash, index)
        decoded.append((name, args, at))
        if name == "DelivererOwnerSet":
            owners[tx_hash, args["operator"]] = args["owner"]
    for name, args, at in decoded:
        if name == "DelivererStaked":
            operator = args["operator"]
            args["owner"] = owners.get((at.tx_hash, operator), operator)
    return [_record(name, args, at) for name, args, at in decoded]


def _record(name: str, args: dict[str, Any], at: LogRef) -> MarketLog:
    match name:
        case "ItemPurchased":
            purchase = Purchase(
                args["copyId"],
                args["seller"],
                args["buyer"],
                args["storeDigest"],
                args["copy"],
                args["terms"],
                args["keys"],
                at,
            )
            expected = copy_id(purchase.seller, purchase.terms.item_id, purchase.copy)
            if purchase.copy_id != expected:
                raise RpcBadReplyError("forged log: copyId is not the hash of what was bought")
            return purchase
        case "FragmentDelivered" | "FragmentSupplied":
            supplied = name == "FragmentSupplied"
            return FragmentDelivered(
                args["copyId"],
                args["seller" if supplied else "by"],
                args["index"],
                args["commitment"],
                args["secretHash"],
                args["fragment"],
                supplied,
                at,
            )
        case "StoreCreated" | "StoreUpdated":
            return StoreVersion(args["seller"], args["digest"], args["root"], at)
        case "DelivererStaked":
            return DelivererRegistered(
                args["operator"], args["owner"], args["key"], Wei(args["stake"]), at
            )
        case "DelivererKeyRotated":
            return DelivererKeyRotated(args["operator"], args["key"], at)
        case "DisputeOpened":
            return DisputeOpened(
                args["copyId"], args["buyer"], args["arbitrator"], args["evidence"], at
            )
        case "SaleSettled" | "SaleRefunded" | "DisputeResolved":
            return SaleClosed(
                args["copyId"],
                _CLOSED[name],
                args["arbitrator" if name == "DisputeResolved" else "by"],
                args.get("toBuyer", 0),
                Wei(args.get("penalty", 0)),
                at,
            )
    return OtherLog(name, args, at)
