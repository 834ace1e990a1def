"""Delivering many copies of one item: what they share is packed once.

A `DeliveryEncoder` makes the same bytes as `hashing.domain`, `hashing.part_leaf`, `hashing.sale_of` and
`abi_packing.pack_delivery` do from records (a test compares them), without a record for every sale:
in a backlog a part costs little more than its cryptography (bench/cpu_per_part.py).
"""

from __future__ import annotations

from functools import lru_cache

from dam.crypto.hashing import keccak
from dam.market.calldata import FRAGMENT_PAD, FRAGMENT_TAIL
from dam.market.log_rows import unsigned
from dam.types import ZERO_ADDRESS, Address, Part, Terms

_WORD = 32
_PAD = bytes(12)
_HEAD = _WORD * (1 + 10 + 5 + 2)


def _uint(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")


_INDEX = tuple(_uint(index) for index in range(256))
_uint_again = lru_cache(maxsize=64)(_uint)  # the block, which sales next to each other share


@lru_cache(maxsize=512)
def address_word(address: Address) -> bytes:
    """An address as an ABI word."""
    return _PAD + bytes.fromhex(address[2:])


@lru_cache(maxsize=64)
def _proof_words(size: int) -> tuple[bytes, bytes]:
    """Offset of the proof and of the fragment behind it; and the proof's length."""
    return _uint(_HEAD) + _uint(_HEAD + _WORD + size), _uint(size // _WORD)


class DeliveryEncoder:
    """For the parts of one deliverer in one item.

    Args:
        chain_id: Chain.
        market: Its market.
        seller: Of the item.
        terms: Of the item.
        me: The deliverer, whom the leaves name.
    """

    def __init__(
        self, chain_id: int, market: Address, seller: Address, terms: Terms, me: Address
    ) -> None:
        self.terms = terms
        self._stock = terms.stock
        self._me = address_word(me)
        self._seller = address_word(seller)
        self._domain = b"".join(
            (_uint(chain_id), address_word(market), self._seller, terms.item_id, _uint(terms.stock))
        )
        self._sale = b"".join(
            (
                _uint(terms.stock),
                _uint(terms.parts),
                _uint(terms.threshold),
                _uint(terms.fee),
                terms.parts_root,
            )
        )
        bond = 0 if terms.arbitrator == ZERO_ADDRESS else terms.bond
        self._escrow = b"".join(
            (
                address_word(terms.token),
                _uint(terms.price),
                _uint(terms.penalty),
                _uint(bond),
                address_word(terms.arbitrator),
            )
        )

    def domain(self, copy: int) -> bytes:
        """As `hashing.domain`. Here and below, ``copy`` may be as in the ledger (`rows.signed`)."""
        return keccak(self._domain + (_uint(unsigned(copy)) if self._stock else _INDEX[0]))

    def leaf(self, copy: int, part: Part, commitment: bytes) -> bytes:
        """As `hashing.part_leaf`, for the leaf of a sale of ``copy``."""
        words = b"".join(
            (
                _uint(unsigned(copy)) if self._stock else _INDEX[0],
                _INDEX[part.index],
                self._me,
                commitment,
                part.secret_hash,
                part.salt,
            )
        )
        return keccak(keccak(words))

    def sale(
        self, buyer: Address, block: int, copy: int, store_digest: bytes, keys: bytes
    ) -> bytes:
        """``abi.encode`` of `hashing.sale_of` a purchase; ``keys`` as the ledger has them."""
        return b"".join(
            (
                self._seller,
                address_word(buyer),
                _uint_again(block),
                _uint(unsigned(copy)),
                self._sale,
                keccak(store_digest + keccak(keys) + self._escrow),
            )
        )

    def delivery(
        self,
        copy_id: bytes,
        sale: bytes,
        part: Part,
        commitment: bytes,
        proof: bytes,
        fragment: bytes,
    ) -> bytes:
        """As `abi_packing.pack_delivery`.

        Args:
            copy_id: 32 bytes.
            sale: From `sale`.
            part: Opened.
            commitment: keccak256 of its share.
            proof: 32 bytes a step.
            fragment: 80 bytes.
        """
        offsets, steps = _proof_words(len(proof))
        return b"".join(
            (
                copy_id,
                sale,
                _INDEX[part.index],
                self._me,
                commitment,
                part.secret_hash,
                part.salt,
                offsets,
                steps,
                proof,
                FRAGMENT_TAIL,
                fragment,
                FRAGMENT_PAD,
            )
        )
