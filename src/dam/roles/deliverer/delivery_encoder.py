"""Delivering many copies of one item: what they share is encoded once.

A `DeliveryEncoder` makes the same bytes as `hashing.domain`, `hashing.part_leaf`, `hashing.sale_of`
and `calldata.pack_delivery` do from records (a test compares them), without a record for every
sale: where there are many, a part costs little more than its cryptography (bench/cpu_per_part.py).
"""

from __future__ import annotations

from functools import lru_cache

from dam.crypto.hashing import keccak
from dam.ledger.sales import SaleRow
from dam.market.calldata import FRAGMENT_PAD, FRAGMENT_TAIL
from dam.market.log_rows import unsigned
from dam.types import Address, Part, Terms

_WORD = 32
_PAD = bytes(12)
_HEAD = _WORD * (1 + 10 + 5 + 2)


def _uint(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")


_INDEX = tuple(_uint(index) for index in range(256))
_uint_again = lru_cache(maxsize=64)(_uint)  # the block, which sales next to each other share


@lru_cache(maxsize=512)
def _address_word(address: Address) -> bytes:
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
        self._me = _address_word(me)
        self._seller = _address_word(seller)
        stock = _uint(terms.stock)
        domain = (_uint(chain_id), _address_word(market), self._seller, terms.item_id, stock)
        self._domain = b"".join(domain)
        counts = (_uint(terms.parts), _uint(terms.threshold), _uint(terms.fee))
        self._sale = b"".join((stock, *counts, terms.parts_root))
        token, arbitrator = _address_word(terms.token), _address_word(terms.arbitrator)
        amounts = (_uint(terms.price), _uint(terms.penalty), _uint(terms.effective_bond))
        self._escrow = b"".join((token, *amounts, arbitrator))

    def domain(self, copy: int) -> bytes:
        """As `hashing.domain`. Here and below, ``copy`` is as in the ledger."""
        return keccak(self._domain + self._leaf_copy(copy))

    def leaf(self, copy: int, part: Part, commitment: bytes) -> bytes:
        """As `hashing.part_leaf`, for the leaf of a sale of ``copy``."""
        place = (self._leaf_copy(copy), _INDEX[part.index], self._me)
        return keccak(keccak(b"".join((*place, commitment, part.secret_hash, part.salt))))

    def _leaf_copy(self, copy: int) -> bytes:
        return _uint(unsigned(copy)) if self.terms.stock else _INDEX[0]

    def delivery(
        self, sale: SaleRow, part: Part, commitment: bytes, proof: bytes, fragment: bytes
    ) -> bytes:
        """As `calldata.pack_delivery`.

        Args:
            sale: Of this item.
            part: Opened.
            commitment: keccak256 of its share.
            proof: 32 bytes a step.
            fragment: 80 bytes.
        """
        offsets, steps = _proof_words(len(proof))
        return b"".join(
            (
                sale.copy_id,
                self._seller,
                _address_word(sale.buyer),
                _uint_again(sale.block),
                _uint(unsigned(sale.copy)),
                self._sale,
                keccak(sale.store_digest + keccak(sale.keys) + self._escrow),
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
