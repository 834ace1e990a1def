"""The hashes that chain, catalogue and sealed parts share.

Everything here is keccak256 over hand-packed ABI words: all fields of `Terms`, `PartLeaf`, `Sale`
and `Escrow` are static, so ``abi.encode`` of them is one 32-byte word per field, in order
(Solidity ABI specification, "Formal Specification of the Encoding"). Packing by hand is twenty
times as fast as a general codec, and these hashes stand on the path of every delivery.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dam.errors import Malformed
from dam.types import (
    Address,
    CopyId,
    Escrow,
    PartLeaf,
    Purchase,
    Sale,
    Terms,
)

try:
    # Keccak's own code as a C extension: a seventh of pycryptodome's time.
    from sha3 import keccak_256 as _keccak
except ImportError:  # not built for this interpreter
    from Crypto.Hash import keccak as _crypto

    def _keccak(data: bytes) -> Any:
        return _crypto.new(digest_bits=256, data=data)


_PAD = bytes(12)
# Bit 5 tells lower case from upper in ASCII: set where EIP-55 makes a letter a capital.
_CAPITAL = bytes(0x20 if chr(i) in "89abcdef" else 0 for i in range(256))
_LETTER = bytes(0x20 if chr(i) in "abcdef" else 0 for i in range(256))


def keccak(data: bytes) -> bytes:
    """keccak256 as the EVM computes it (not SHA3-256), 32 bytes."""
    digest: bytes = _keccak(data).digest()
    return digest


def checksum(raw: bytes) -> Address:
    """The EIP-55 form of a 20-byte address."""
    if len(raw) != 20:
        raise Malformed(f"an address is 20 bytes, not {len(raw)}")
    digits = raw.hex().encode()
    digest = keccak(digits)[:20].hex().encode()
    # All 40 digits at once: a daemon that catches up meets an address per sale.
    capitals = int.from_bytes(digest.translate(_CAPITAL), "big")
    letters = int.from_bytes(digits.translate(_LETTER), "big")
    written = int.from_bytes(digits, "big") - (capitals & letters)
    return Address("0x" + written.to_bytes(40, "big").decode())


def address_bytes(address: Address) -> bytes:
    """The 20 bytes of an address."""
    return bytes.fromhex(address[2:])


def parse_address(text: str) -> Address:
    """An address from outside: ``0x`` and 40 hex digits, all lower case or with a right checksum.

    Raises:
        Malformed: It is neither.
    """
    if len(text) != 42 or not text.startswith("0x") or not text.isascii() or not text[2:].isalnum():
        raise Malformed("an address is 0x and 40 hex digits")
    try:
        address = checksum(bytes.fromhex(text[2:]))
    except ValueError:
        raise Malformed("an address is 0x and 40 hex digits") from None
    if text not in (address, address.lower()):
        raise Malformed(f"the checksum of address {text} is wrong (EIP-55)")
    return address


def _uint(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(address: Address) -> bytes:
    return _PAD + bytes.fromhex(address[2:])


def item_id(name: str) -> bytes:
    """What the chain knows an item by: keccak256 of the UTF-8 bytes of its id."""
    return keccak(name.encode("utf-8"))


def copy_id(seller: Address, item_id: bytes, copy: int) -> CopyId:
    """keccak256(abi.encode(seller, itemId, copy)): the key of a sale."""
    return CopyId(keccak(_address(seller) + item_id + _uint(copy)))


def catalogue_commitment(digest: bytes, root: bytes) -> bytes:
    """keccak256(abi.encode(digest, root)): what the view ``stores`` returns of a catalogue."""
    return keccak(digest + root)


def terms_leaf(terms: Terms) -> bytes:
    """The leaf of an item under the catalogue root: keccak256(keccak256(abi.encode(terms)))."""
    encoded = b"".join(
        (
            terms.item_id,
            _address(terms.token),
            _uint(terms.price),
            _uint(terms.commission),
            _uint(terms.penalty),
            _uint(terms.bond),
            _uint(terms.supply),
            _uint(terms.stock),
            _uint(terms.parts),
            _uint(terms.threshold),
            _address(terms.arbitrator),
            terms.parts_root,
        )
    )
    return keccak(keccak(encoded))


def part_leaf(leaf: PartLeaf) -> bytes:
    """The leaf of a part under ``parts_root``: keccak256(keccak256(abi.encode(its six fields)))."""
    encoded = b"".join(
        (
            _uint(leaf.copy),
            _uint(leaf.index),
            _address(leaf.deliverer),
            leaf.commitment,
            leaf.secret_hash,
            leaf.salt,
        )
    )
    return keccak(keccak(encoded))


def escrow_hash(escrow: Escrow) -> bytes:
    """keccak256(abi.encode(escrow))."""
    return keccak(
        b"".join(
            (
                escrow.store_digest,
                escrow.keys_hash,
                _address(escrow.token),
                _uint(escrow.price),
                _uint(escrow.penalty),
                _uint(escrow.bond),
                _address(escrow.arbitrator),
            )
        )
    )


def sale_hash(sale: Sale) -> bytes:
    """keccak256(abi.encode(sale)), 32 bytes; a sale's storage word keeps the first 24."""
    return keccak(
        b"".join(
            (
                _address(sale.seller),
                _address(sale.buyer),
                _uint(sale.purchase_block),
                _uint(sale.copy),
                _uint(sale.stock),
                _uint(sale.parts),
                _uint(sale.threshold),
                _uint(sale.fee),
                sale.parts_root,
                sale.escrow_hash,
            )
        )
    )


def keys_hash(keys: Iterable[bytes]) -> bytes:
    """keccak256 of the buyer's one-time keys, concatenated in the order of the parts."""
    return keccak(b"".join(keys))


def domain(
    chain_id: int, market: Address, seller: Address, item_id: bytes, stock: bool, copy: int
) -> bytes:
    """What a sealed part, or a payload, belongs to.

    keccak256(abi.encode(uint256 chainId, address market, address seller, bytes32 itemId, bool
    stock, uint64 copy)), where copy is 0 if all copies share their parts.
    """
    return keccak(
        b"".join(
            (
                _uint(chain_id),
                _address(market),
                _address(seller),
                item_id,
                _uint(stock),
                _uint(copy if stock else 0),
            )
        )
    )


def escrow_of(purchase: Purchase) -> Escrow:
    """The `Escrow` that the contract committed to when it emitted this purchase."""
    terms = purchase.terms
    return Escrow(
        store_digest=purchase.store_digest,
        keys_hash=keys_hash(purchase.keys),
        token=terms.token,
        price=terms.price,
        penalty=terms.penalty,
        bond=terms.effective_bond,
        arbitrator=terms.arbitrator,
    )


def sale_of(purchase: Purchase) -> Sale:
    """The `Sale` that the contract committed to when it emitted this purchase."""
    terms = purchase.terms
    return Sale(
        seller=purchase.seller,
        buyer=purchase.buyer,
        purchase_block=purchase.block,
        copy=purchase.copy,
        stock=terms.stock,
        parts=terms.parts,
        threshold=terms.threshold,
        fee=terms.fee,
        parts_root=terms.parts_root,
        escrow_hash=escrow_hash(escrow_of(purchase)),
    )
