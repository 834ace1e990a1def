"""Calldata of deliveries, which stands on the path of every sale.

A delivery is packed once, kept as bytes, and joined with others when a batch is sent; all other
calls go through `dam.market.abi.encode`. Format: Solidity's contract ABI specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from dam.crypto.abi_words import WORD_BYTES, abi_fields, address_word, encode_struct, uint_word
from dam.crypto.hashing import entry, fragments_digest, keccak
from dam.market.log_rows import SaleRow, unsigned
from dam.types import (
    FRAGMENT_BYTES,
    ZERO32,
    ZERO_ADDRESS,
    Address,
    CopyId,
    Delivery,
    Escrow,
    Part,
    Sale,
    Signature,
    Terms,
)

_SALE_WORDS = len(abi_fields(Sale))
_LEAF_WORDS = 5
"""Index, deliverer, commitment, hash of the secret, salt: of a leaf, all but the copy."""
_SALE_AT = WORD_BYTES
_LEAF_AT = _SALE_AT + WORD_BYTES * _SALE_WORDS
FRESH_KEY_AT = _LEAF_AT + WORD_BYTES * _LEAF_WORDS
"""Where the fresh key of a packed delivery begins."""
_PROOF_AT = FRESH_KEY_AT + WORD_BYTES
_HEAD_BYTES = _PROOF_AT + 2 * WORD_BYTES
"""copyId, sale, the leaf's words, fresh key, and the places of proof and fragment."""
_COPY_AT, _STOCK_AT = (
    _SALE_AT + WORD_BYTES * list(abi_fields(Sale)).index(name) for name in ("copy", "stock")
)
PURCHASE_BLOCK_AT, FEE_AT = (
    _SALE_AT + WORD_BYTES * list(abi_fields(Sale)).index(name) for name in ("purchase_block", "fee")
)
PROOF_LENGTH_AT = _HEAD_BYTES
"""Where these words of a packed delivery begin."""
_SIZE_WORD = uint_word(FRAGMENT_BYTES)
_PADDING = bytes(-FRAGMENT_BYTES % WORD_BYTES)
_TAIL_BYTES = FRAGMENT_BYTES + len(_PADDING)
_ZERO_WORD = bytes(WORD_BYTES)


def pack_delivery(delivery: Delivery) -> bytes:
    """``abi.encode`` of a `Delivery` without the leading offset: what a batch is joined from.

    Raises:
        ValueError, TypeError: A field does not fit its type.
    """
    if len(delivery.fragment) != FRAGMENT_BYTES:
        raise ValueError(f"a fragment is {FRAGMENT_BYTES} bytes")
    if any(len(step) != WORD_BYTES for step in delivery.proof):
        raise ValueError("a step of a proof is 32 bytes")
    return _join((encode_struct(delivery),), b"".join(delivery.proof), delivery.fragment)


def _join(words: Sequence[bytes], proof: bytes, fragment: bytes) -> bytes:
    """A delivery of the words of its static fields, the joined steps of the proof, the fragment."""
    offsets, steps = _proof_words(len(proof))
    return b"".join((*words, offsets, steps, proof, _SIZE_WORD, fragment, _PADDING))


@lru_cache(maxsize=64)
def _proof_words(size: int) -> tuple[bytes, bytes]:
    """Offset of the proof and of the fragment behind it; and the proof's length."""
    offsets = uint_word(_HEAD_BYTES) + uint_word(_HEAD_BYTES + WORD_BYTES + size)
    return offsets, uint_word(size // WORD_BYTES)


def entry_of(delivery: Delivery | bytes) -> bytes:
    """What is signed of a delivery, 32 bytes: `hashing.entry`, from what `pack_delivery` made."""
    packed = _packed(delivery)
    copy = packed[_COPY_AT : _COPY_AT + WORD_BYTES]
    if packed[_STOCK_AT : _STOCK_AT + WORD_BYTES] == _ZERO_WORD:
        copy = _ZERO_WORD
    return entry(
        CopyId(packed[:WORD_BYTES]),
        keccak(packed[_SALE_AT:_LEAF_AT]),
        keccak(keccak(copy + packed[_LEAF_AT:FRESH_KEY_AT])),
        packed[FRESH_KEY_AT:_PROOF_AT],
        packed[-_TAIL_BYTES:][:FRAGMENT_BYTES],
    )


def signed_digest(separator: bytes, deliveries: Iterable[Delivery | bytes]) -> bytes:
    """What the signature of a delivering call covers, 32 bytes.

    Args:
        separator: `hashing.domain_separator` of the market.
        deliveries: All of the call, in its order; they may be packed already.
    """
    return fragments_digest(separator, map(entry_of, deliveries))


def pack_one(delivery: Delivery | bytes, signature: Signature) -> bytes:
    """The arguments of ``deliverFragment``; the delivery may be packed already."""
    return _ARGUMENTS_AT + encode_struct(signature) + _packed(delivery)


def pack_many(deliveries: Sequence[Delivery | bytes], signature: Signature) -> bytes:
    """The arguments of ``deliverFragments``; the deliveries may be packed already."""
    bodies = [_packed(delivery) for delivery in deliveries]
    offset = WORD_BYTES * len(bodies)
    offsets: list[bytes] = []
    for body in bodies:
        offsets.append(uint_word(offset))
        offset += len(body)
    head = _ARGUMENTS_AT + encode_struct(signature) + uint_word(len(bodies))
    return b"".join((head, *offsets, *bodies))


_ARGUMENTS_AT = uint_word(3 * WORD_BYTES)
"""Place of the deliveries, behind itself and the two words of the signature."""


def _packed(delivery: Delivery | bytes) -> bytes:
    return delivery if isinstance(delivery, bytes) else pack_delivery(delivery)


_BYTE_WORDS = tuple(map(uint_word, range(256)))
_clock_word = lru_cache(maxsize=64)(uint_word)  # sales next to each other share it


def _copy_word(copy: int) -> bytes:
    return uint_word(unsigned(copy))


class DeliveryEncoder:
    """Encodes the deliveries of one deliverer in one item; what they share, once.

    It makes the same bytes as `hashing.domain`, `hashing.part_leaf`, `hashing.sale_of` and
    `pack_delivery` do from records (a test compares them), without a record for every sale: where
    there are many, a part costs little more than its cryptography (bench/cpu_per_part.py).

    ``me`` is the deliverer, whom the leaves name.
    """

    def __init__(
        self, chain_id: int, market: Address, seller: Address, terms: Terms, me: Address
    ) -> None:
        self.terms = terms
        self._me = address_word(me)
        self._seller = address_word(seller)
        stock = _BYTE_WORDS[terms.stock]
        domain = (uint_word(chain_id), address_word(market), self._seller, terms.item_id, stock)
        self._domain = b"".join(domain)
        # Of sale and escrow, the words that all sales of the item share.
        sale = Sale(
            seller, ZERO_ADDRESS, 0, 0, 0, terms.stock, terms.parts, terms.threshold, terms.fee,
            terms.parts_root, ZERO32,
        )  # fmt: skip
        self._sale = encode_struct(sale)[5 * WORD_BYTES : -WORD_BYTES]
        escrow = Escrow(
            ZERO32, ZERO32, terms.token, terms.price, terms.penalty, terms.effective_bond,
            terms.arbitrator,
        )  # fmt: skip
        self._escrow = encode_struct(escrow)[2 * WORD_BYTES :]

    def domain(self, copy: int) -> bytes:
        """As `hashing.domain`. Here and below, ``copy`` is as in the ledger (`signed`)."""
        return keccak(self._domain + self._leaf_copy(copy))

    def leaf(self, copy: int, part: Part, commitment: bytes) -> bytes:
        """As `hashing.part_leaf`, for the leaf of a sale of ``copy``."""
        place = (self._leaf_copy(copy), _BYTE_WORDS[part.index], self._me)
        return keccak(keccak(b"".join((*place, commitment, part.secret_hash, part.salt))))

    def _leaf_copy(self, copy: int) -> bytes:
        return _copy_word(copy) if self.terms.stock else _BYTE_WORDS[0]

    def delivery(
        self, sale: SaleRow, part: Part, commitment: bytes, proof: bytes, fragment: bytes
    ) -> bytes:
        """As `pack_delivery`; ``proof`` has 32 bytes a step, ``fragment`` 80 bytes, sealed to the
        buyer's first key of its index.
        """
        words = (
            sale.copy_id,
            self._seller,
            address_word(sale.buyer),
            _clock_word(sale.purchase_block),
            _clock_word(sale.purchase_time),
            _copy_word(sale.copy),
            self._sale,
            keccak(sale.store_digest + keccak(sale.keys) + self._escrow),
            _BYTE_WORDS[part.index],
            self._me,
            commitment,
            part.secret_hash,
            part.salt,
            _ZERO_WORD,
        )
        return _join(words, proof, fragment)
