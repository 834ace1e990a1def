"""Delivering many copies of one item: what they share is encoded once.

A `DeliveryEncoder` makes the same bytes as `hashing.domain`, `hashing.part_leaf`, `hashing.sale_of`
and `calldata.pack_delivery` do from records (a test compares them), without a record for every
sale: where there are many, a part costs little more than its cryptography (bench/cpu_per_part.py).
"""

from __future__ import annotations

from functools import lru_cache

from dam.crypto.abi_words import WORD_BYTES, address_word, encode_struct, uint_word
from dam.crypto.hashing import keccak
from dam.ledger.sales import SaleRow
from dam.market.calldata import DELIVERY_HEAD_BYTES, FRAGMENT_PADDING, FRAGMENT_SIZE_WORD
from dam.market.log_rows import unsigned
from dam.types import ZERO32, ZERO_ADDRESS, Address, Escrow, Part, Sale, Terms

_BYTE_WORDS = tuple(map(uint_word, range(256)))
_block_word = lru_cache(maxsize=64)(uint_word)  # the same for sales next to each other


@lru_cache(maxsize=64)
def _proof_words(size: int) -> tuple[bytes, bytes]:
    """Offset of the proof and of the fragment behind it; and the proof's length."""
    proof, fragment = DELIVERY_HEAD_BYTES, DELIVERY_HEAD_BYTES + WORD_BYTES + size
    return uint_word(proof) + uint_word(fragment), uint_word(size // WORD_BYTES)


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
        self._me = address_word(me)
        self._seller = address_word(seller)
        stock = uint_word(int(terms.stock))
        domain = (uint_word(chain_id), address_word(market), self._seller, terms.item_id, stock)
        self._domain = b"".join(domain)
        # Of sale and escrow, the words that all sales of the item share.
        sale = Sale(
            seller, ZERO_ADDRESS, 0, 0, terms.stock, terms.parts, terms.threshold, terms.fee,
            terms.parts_root, ZERO32,
        )  # fmt: skip
        self._sale = encode_struct(sale)[4 * WORD_BYTES : -WORD_BYTES]
        escrow = Escrow(
            ZERO32, ZERO32, terms.token, terms.price, terms.penalty, terms.effective_bond,
            terms.arbitrator,
        )  # fmt: skip
        self._escrow = encode_struct(escrow)[2 * WORD_BYTES :]

    def domain(self, copy: int) -> bytes:
        """As `hashing.domain`. Here and below, ``copy`` is as in the ledger."""
        return keccak(self._domain + self._leaf_copy(copy))

    def leaf(self, copy: int, part: Part, commitment: bytes) -> bytes:
        """As `hashing.part_leaf`, for the leaf of a sale of ``copy``."""
        place = (self._leaf_copy(copy), _BYTE_WORDS[part.index], self._me)
        return keccak(keccak(b"".join((*place, commitment, part.secret_hash, part.salt))))

    def _leaf_copy(self, copy: int) -> bytes:
        return uint_word(unsigned(copy)) if self.terms.stock else _BYTE_WORDS[0]

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
                address_word(sale.buyer),
                _block_word(sale.block),
                uint_word(unsigned(sale.copy)),
                self._sale,
                keccak(sale.store_digest + keccak(sale.keys) + self._escrow),
                _BYTE_WORDS[part.index],
                self._me,
                commitment,
                part.secret_hash,
                part.salt,
                offsets,
                steps,
                proof,
                FRAGMENT_SIZE_WORD,
                fragment,
                FRAGMENT_PADDING,
            )
        )
