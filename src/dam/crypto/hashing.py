"""The hashes that chain, catalogue and sealed parts share.

Everything here is keccak256 over ABI words of 32 bytes; those of a struct follow from the table in
`dam.types`. Formats: protocol, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dam.crypto.abi_words import address_word, encode_struct, uint_word
from dam.errors import Malformed
from dam.types import Address, CopyId, Escrow, PartLeaf, Purchase, Sale, Split, Terms

try:
    # Keccak's own code as a C extension: a seventh of pycryptodome's time.
    from sha3 import keccak_256 as _keccak
except ImportError:  # not built for this interpreter
    from Crypto.Hash import keccak as _crypto

    def _keccak(data: bytes) -> Any:
        return _crypto.new(digest_bits=256, data=data)


# Bit 5 tells lower case from upper in ASCII: set where EIP-55 makes a letter a capital.
_CAPITAL = bytes(0x20 if chr(i) in "89abcdef" else 0 for i in range(256))
_LETTER = bytes(0x20 if chr(i) in "abcdef" else 0 for i in range(256))


def keccak(data: bytes) -> bytes:
    """keccak256 as the EVM computes it (not SHA3-256), 32 bytes."""
    digest: bytes = _keccak(data).digest()
    return digest


_DOMAIN = (
    keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak(b"DAM")
    + keccak(b"2")
)
_FRAGMENTS = keccak(b"Fragments(bytes32[] entries)")
_AGREEMENT = keccak(
    b"Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,"
    b"uint256 penalty,uint256 toArbitrator,uint256 deadline)"
)


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


def item_id(name: str) -> bytes:
    """What the chain knows an item by: keccak256 of the UTF-8 bytes of its id."""
    return keccak(name.encode("utf-8"))


def copy_id(seller: Address, item_id: bytes, copy: int) -> CopyId:
    """keccak256(abi.encode(seller, itemId, copy)): the key of a sale."""
    return CopyId(keccak(address_word(seller) + item_id + uint_word(copy)))


def catalogue_commitment(digest: bytes, root: bytes) -> bytes:
    """keccak256(abi.encode(digest, root)): what the view ``stores`` returns of a catalogue."""
    return keccak(digest + root)


def terms_leaf(terms: Terms) -> bytes:
    """The leaf of an item under the catalogue root: keccak256(keccak256(abi.encode(terms)))."""
    return keccak(keccak(encode_struct(terms)))


def part_leaf(leaf: PartLeaf) -> bytes:
    """The leaf of a part under ``parts_root``: keccak256(keccak256(abi.encode(its six fields)))."""
    return keccak(keccak(encode_struct(leaf)))


def escrow_hash(escrow: Escrow) -> bytes:
    """keccak256(abi.encode(escrow))."""
    return keccak(encode_struct(escrow))


def sale_hash(sale: Sale) -> bytes:
    """keccak256(abi.encode(sale)), 32 bytes; a sale's storage word keeps the first 24."""
    return keccak(encode_struct(sale))


def keys_hash(keys: Iterable[bytes]) -> bytes:
    """keccak256 of the buyer's one-time keys, concatenated in the order of the parts."""
    return keccak(b"".join(keys))


def entry(copy_id: CopyId, sale: bytes, leaf: bytes, fresh_key: bytes, fragment: bytes) -> bytes:
    """What a deliverer signs of one part; see ``IMarketplace``.

    Args:
        copy_id: The sale's.
        sale: `sale_hash`, all 32 bytes.
        leaf: `part_leaf`.
        fresh_key: Of the `Delivery`: zero for an index's first key.
        fragment: Its 80 bytes.
    """
    return keccak(b"".join((copy_id, sale, leaf, fresh_key, keccak(fragment))))


def domain_separator(chain_id: int, market: Address) -> bytes:
    """EIP-712 domain separator of deliveries and agreements, as the market computes it."""
    return keccak(_DOMAIN + uint_word(chain_id) + address_word(market))


def fragments_digest(separator: bytes, entries: Iterable[bytes]) -> bytes:
    """The EIP-712 digest that a deliverer signs: ``Fragments(bytes32[] entries)``, 32 bytes.

    Args:
        separator: `domain_separator`.
        entries: Each from `entry`, in the order of the list.
    """
    return typed_digest(separator, _FRAGMENTS + keccak(b"".join(entries)))


def agreement_digest(
    separator: bytes, copy_id: CopyId, sale: bytes, status: int, since: int, split: Split
) -> bytes:
    """The EIP-712 digest that buyer and seller sign to end a sale; see ``IMarketplace.Split``.

    Args:
        separator: `domain_separator`.
        copy_id: The sale's.
        sale: `sale_hash`, all 32 bytes.
        status: As the view ``sales`` has it.
        since: As the view ``sales`` has it.
        split: What goes to whom.
    """
    words = copy_id + sale + uint_word(status) + uint_word(since) + encode_struct(split)
    return typed_digest(separator, _AGREEMENT + words)


def typed_digest(separator: bytes, encoded: bytes) -> bytes:
    """The EIP-712 digest of a struct: ``encoded`` is the hash of its type, and its fields."""
    return keccak(b"\x19\x01" + separator + keccak(encoded))


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
                uint_word(chain_id),
                address_word(market),
                address_word(seller),
                item_id,
                uint_word(stock),
                uint_word(copy if stock else 0),
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
        purchase_block=purchase.purchase_block,
        purchase_time=purchase.purchase_time,
        copy=purchase.copy,
        stock=terms.stock,
        parts=terms.parts,
        threshold=terms.threshold,
        fee=terms.fee,
        parts_root=terms.parts_root,
        escrow_hash=escrow_hash(escrow_of(purchase)),
    )


def closing_arguments(purchase: Purchase) -> tuple[CopyId, Sale, Escrow]:
    """What a call that closes a sale, or disputes or proves something of it, begins with."""
    return purchase.copy_id, sale_of(purchase), escrow_of(purchase)
