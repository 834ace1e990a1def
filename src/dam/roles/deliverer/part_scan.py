"""A deliverer's parts in a store: found by their tags, and believed only after every check.

Nothing that bears our tag is dropped in silence: a thief can put a tag for another domain before
stolen ciphertext (with the help of somebody who knows K), and an operator wants to know. So
`find_parts` yields whatever looks like ours, `open_found` raises `Refused` for what must not be
served, and `scan_store` gives both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dam.catalog.store import Item, Section, Store
from dam.crypto import hashing, sealing, shamir
from dam.errors import Malformed, NotForMe, Refused
from dam.keystore.key_files import KeyPair, KeyRing
from dam.ledger.documents import NO_COPY, PartRefusal, Scan
from dam.ledger.sales import KeptPart
from dam.market.log_rows import dump_terms
from dam.types import Address, Part, PartLeaf

Shared = Callable[[bytes, bytes], bytes]
"""`sealing.shared_key`, or one that remembers K for the other parts of a page."""


class Origin(NamedTuple):
    """Whose store it is, in which market."""

    chain_id: int
    market: Address
    seller: Address


@dataclass(frozen=True, slots=True)
class FoundPart:
    """Something in an item that is sealed to one of our keys."""

    item: Item
    copy: int | None
    """Copy of the leaf; None: it opens, but for no copy of this item."""
    sealed: bytes
    section: Section
    key: KeyPair
    shared: bytes | None = field(default=None, repr=False)
    """K of page and key: one X25519 serves a whole page; None for a plain sealed box."""


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """A part that passed every check: it is this item's, and the contract will take it."""

    part: Part
    leaf: PartLeaf
    proof: tuple[bytes, ...]


def scan_store(store: Store, ring: KeyRing, me: Address) -> Scan:
    """Our parts in a store, and what looks like one and must not be served.

    ``me`` is our operator address, which the leaves have to name.
    """
    parts: list[KeptPart] = []
    refusals: list[PartRefusal] = []
    origin = Origin(store.chain_id, store.market, store.seller)
    for item in store.items:
        item_id, terms = item.terms.item_id, dump_terms(item.terms)
        faults = [section.fault for section in item.sections if section.fault]
        refusals += [PartRefusal(item_id, NO_COPY, "section-broken", fault) for fault in faults[:1]]
        for found in find_parts(item, ring, origin):
            try:
                opened = open_found(found, origin, me)
            except Refused as error:
                copy = NO_COPY if found.copy is None else found.copy
                refusals.append(PartRefusal(item_id, copy, error.reason, str(error)))
                continue
            place, page_key = (opened.leaf.copy, opened.leaf.index), found.section.page_key
            proof = b"".join(opened.proof)
            parts.append(KeptPart(item_id, *place, terms, page_key, found.sealed, proof))
    return Scan(parts, refusals)


def find_parts(item: Item, ring: KeyRing, origin: Origin) -> Iterator[FoundPart]:
    """What an item holds for the keys of a ring.

    One X25519 per section and key, one short hash per copy and key; or, without a page key, one
    X25519 per part and key. A broken section holds none.
    """
    item_id, stock = item.terms.item_id, item.terms.stock
    for section in [section for section in item.sections if not section.fault]:
        domains = {
            copy: hashing.domain(*origin, item_id, stock, copy)
            for copy in range(section.first_copy, section.first_copy + section.copies)
        }
        if section.sealing_key is None:
            yield from _find_plain(item, section, domains, ring)
        else:
            yield from _find_tagged(item, section, domains, ring)


def _find_tagged(
    item: Item, section: Section, domains: dict[int, bytes], ring: KeyRing
) -> Iterator[FoundPart]:
    by_tag: dict[bytes, dict[bytes, None]] = {}
    for sealed in section.encrypted_parts:
        by_tag.setdefault(sealed[: sealing.TAG_BYTES], {})[sealed] = None
    for key in ring.keys:
        shared = sealing.shared_key(key.secret, section.page_key)
        for copy, domain in domains.items():
            for sealed in by_tag.get(sealing.part_tag(shared, domain), ()):
                yield FoundPart(item, copy, sealed, section, key, shared)


def _find_plain(
    item: Item, section: Section, domains: dict[int, bytes], ring: KeyRing
) -> Iterator[FoundPart]:
    copies = {domain: copy for copy, domain in domains.items()}
    for sealed in dict.fromkeys(section.encrypted_parts):
        for key in ring.keys:
            try:
                part = sealing.open_plain(key.secret, sealed, public=key.public)
            except NotForMe:
                continue
            except Malformed:
                yield FoundPart(item, None, sealed, section, key)
            else:
                yield FoundPart(item, copies.get(part.domain), sealed, section, key)
            break


def _unseal(sealed: bytes, key: KeyPair, shared: bytes | None) -> Part:
    if shared is None:
        return sealing.open_plain(key.secret, sealed, public=key.public)
    return sealing.open_part(shared, sealed)


def open_found(found: FoundPart, origin: Origin, me: Address) -> OpenedPart:
    """Opens a part and does every check that does not need a sale.

    Raises:
        Refused: ``part-unreadable`` (our tag, but not our ciphertext), ``domain-mismatch`` (a part
            of another item, seller, market or chain: somebody's theft or mistake),
            ``index-beyond-parts``, ``share-out-of-range``, or ``leaf-not-in-item`` (the item's root
            does not commit to this share, secret hash, salt and our address).
    """
    terms = found.item.terms
    where = f"item 0x{terms.item_id.hex()} of seller {origin.seller}"
    try:
        part = _unseal(found.sealed, found.key, found.shared)
    except (NotForMe, Malformed) as error:
        raise Refused("part-unreadable", f"{where}: {error}") from None
    domain = hashing.domain(*origin, terms.item_id, terms.stock, found.copy or 0)
    if found.copy is None or part.domain != domain:
        raise Refused("domain-mismatch", f"{where} lists a part that was sealed for another")
    if part.index >= terms.parts:
        raise Refused("index-beyond-parts", f"{where}: part {part.index + 1} of {terms.parts}")
    if not shamir.is_element(part.share):
        raise Refused("share-out-of-range", f"{where}: the share is not below 2^256 - 189")
    commitment = hashing.keccak(part.share)
    leaf = PartLeaf(found.copy, part.index, me, commitment, part.secret_hash, part.salt)
    try:
        return OpenedPart(part, leaf, found.item.proof(hashing.part_leaf(leaf), found.section))
    except Malformed as error:
        raise Refused("leaf-not-in-item", f"{where}: {error}") from None


def reopen(
    sealed: bytes, sealing_key: bytes | None, ring: KeyRing, shared: Shared = sealing.shared_key
) -> Part:
    """Opens a part that was found and checked before, with whichever of our keys fits.

    ``sealing_key`` is its page's; None for a plain sealed box.

    Raises:
        NotForMe: None of them does.
    """
    for key in ring.keys:
        try:
            known = None if sealing_key is None else shared(key.secret, sealing_key)
            return _unseal(sealed, key, known)
        except NotForMe:
            continue
    raise NotForMe("the part is sealed to none of the keys in the key file")
