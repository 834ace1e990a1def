"""Places of logs, and numbers in forms that SQLite can hold, compare and sum up."""

from __future__ import annotations

from dam.errors import Malformed
from dam.types import BlockRef, LogRef

_INDEX_BITS = 24
"""No block has so many logs: its gas does not pay for them."""
_BLOCK_BITS = 38
_AMOUNT_DIGITS = 64
NO_HASH = b""
"""Of blocks whose hash the index does not keep."""


def place_of(at: LogRef) -> int:
    """A log's place on the chain as one number.

    Raises:
        Malformed: There is no such place.
    """
    number, index = at.block.number, at.log_index
    if number >> _BLOCK_BITS or index >> _INDEX_BITS:
        raise Malformed(f"no chain has a log {index} in a block {number}")
    return first_place(number) + index


def first_place(block: int) -> int:
    """The first place in a block."""
    return block << _INDEX_BITS


def block_of(place: int) -> int:
    """The block of a place."""
    return place >> _INDEX_BITS


def ref_of(place: int, tx_hash: bytes = b"") -> LogRef:
    """The inverse of `place_of`, without what the index does not keep."""
    return LogRef(BlockRef(block_of(place), NO_HASH), tx_hash, place & ((1 << _INDEX_BITS) - 1))


def amount_text(amount: int) -> str:
    """An amount as text whose order is that of the amounts."""
    return f"{amount:0{_AMOUNT_DIGITS}x}"


def amount_of(text: str) -> int:
    """The inverse of `amount_text`; of an empty text 0."""
    return int(text, 16) if text else 0
