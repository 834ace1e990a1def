"""What a seller keeps of their own store: one file per item, and no secret in any of them.

With the seller's seed, a listing gives every content key, share, salt and leaf again; so a backup
of a seed and this folder restores everything. The folder:

- ``items/<itemId>.json``: each item as it is now;
- ``past/<partsRoot>.json``: each item as it was published under that root, for sales still open;
- ``blocks/<cid>`` and ``layout.json``: documents as published, so that what does not change is
  published again byte for byte (see `dam.roles.seller.store_builder`);
- ``versions.json``: which documents were made from it (see `dam.roles.seller.versions`).

The files tell which deliverer holds which part, which nobody else should know: mode 0600.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dam import validation
from dam.atomic_file import read_regular, write_atomic
from dam.catalog import about
from dam.catalog.about import About
from dam.catalog.document import MAX_SUPPLY, check_terms
from dam.catalog.payload import Payload, payload_from_json, payload_to_json
from dam.crypto import hashing
from dam.crypto.derivation import Place, SellerSeed
from dam.crypto.merkle import MerkleTree, SectionedTree
from dam.crypto.sealing import SEALED_BYTES, check_public_key
from dam.errors import Malformed, Permanent
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.market.deliverers import Deliverer
from dam.types import MAX_AMOUNT, MAX_PARTS, ZERO32, ZERO_ADDRESS, Address, PartLeaf, Terms, Wei

PAGE_BYTES = MAX_BLOCK_BYTES * 7 // 8
"""A page is filled up to this many bytes; the rest is for what surrounds its items or parts."""
APART_BYTES = PAGE_BYTES // 2
"""Parts longer than this have pages of their own."""
SEALED_JSON_BYTES = 2 * SEALED_BYTES + len('"0x",')
_PART_JSON_BYTES = SEALED_JSON_BYTES + 64 + len('"0x",')
_MAX_COPIES = 1_000_000
_FILE_BYTES = 1 << 30
_NOTHING = Wei(0)
_AMOUNTS = ("price", "commission", "penalty", "bond", "supply")


@dataclass(frozen=True, slots=True)
class Lot:
    """Consecutive copies whose parts were made together, for the same deliverers."""

    first_copy: int
    copies: int
    generation: int
    """Random (`derivation.new_generation`); content keys, shares and salts depend on it."""
    deliverers: tuple[Deliverer, ...]
    """By index; all different."""
    payloads: tuple[Payload, ...]
    """Ciphertext, one per copy."""


@dataclass(frozen=True, slots=True)
class Listing:
    """An item as its seller has it. Amounts in the smallest unit of their coin."""

    chain_id: int
    market: Address
    seller: Address
    name: str
    """The item's id."""
    title: str
    price: int
    commission: Wei
    penalty: Wei
    parts: int
    threshold: int
    stock: bool
    supply: int
    """Of a stock item always the number of copies in `lots`."""
    token: Address = ZERO_ADDRESS
    bond: Wei = _NOTHING
    arbitrator: Address = ZERO_ADDRESS
    metadata: dict[str, Any] = field(default_factory=dict)
    lots: tuple[Lot, ...] = ()
    listed: bool = True
    """False: no longer for sale; the file stays, since sold copies keep their numbers."""
    source: str = ""
    """``sha256:`` and hex of a long file, to tell whether it is the same; never published."""
    about: About = field(default_factory=About)
    withdrawn_copies: tuple[range, ...] = ()
    """Of a stock item: not offered any more, though their parts stay."""

    def __post_init__(self) -> None:
        """Refuses what no reader of the store would take."""
        validation.identifier(self.name, "the item's id")
        validation.title(self.title, "the title")
        validation.metadata(self.metadata, "the metadata")
        for name in _AMOUNTS:
            limit = MAX_SUPPLY if name == "supply" else MAX_AMOUNT
            validation.integer(getattr(self, name), f"the {name}", 0, limit)
        check_terms(self.terms(ZERO32))
        if self.arbitrator == self.seller and self.arbitrator != ZERO_ADDRESS:
            raise Malformed("the seller cannot be the arbitrator of their own item")
        published = self.to_document()
        about.from_json(published)
        about.withdrawn_from_json(published, self.supply)
        self._check_lots()

    def _check_lots(self) -> None:
        copy = 0
        for lot in self.lots:
            keys = {deliverer.key for deliverer in lot.deliverers}
            operators = {deliverer.operator for deliverer in lot.deliverers}
            if not len(keys) == len(operators) == len(lot.deliverers) == self.parts:
                raise Malformed(
                    f"{self.parts} parts take {self.parts} deliverers, all different, keys too"
                )
            for key in keys:
                check_public_key(key)
            if lot.first_copy != copy or lot.copies != len(lot.payloads) or lot.copies < 1:
                raise Malformed("the lots of a listing do not follow on each other")
            copy += lot.copies
        if self.stock and copy != self.supply:
            raise Malformed(f"the supply is {self.supply}, but the lots hold {copy} copies")
        if not self.stock and copy > 1:
            raise Malformed("an item whose copies share their parts has one payload")

    @property
    def item_id(self) -> bytes:
        """keccak256 of the id, 32 bytes."""
        return hashing.item_id(self.name)

    def terms(self, parts_root: bytes) -> Terms:
        """The terms as the chain will have them."""
        return Terms(
            item_id=self.item_id,
            token=self.token,
            price=self.price,
            commission=self.commission,
            penalty=self.penalty,
            bond=self.bond,
            supply=self.supply,
            stock=self.stock,
            parts=self.parts,
            threshold=self.threshold,
            arbitrator=self.arbitrator,
            parts_root=parts_root,
        )

    def to_document(self) -> dict[str, Any]:
        """What the store's document says of it beside terms and goods, and leaves out if empty."""
        ranges = about.ranges_to_json(self.withdrawn_copies)
        return {**about.to_json(self.about), **({"withdrawn": ranges} if ranges else {})}

    def domain(self, copy: int) -> bytes:
        """The domain of a copy, 32 bytes."""
        return hashing.domain(
            self.chain_id, self.market, self.seller, self.item_id, self.stock, copy
        )

    def lot_of(self, copy: int) -> Lot:
        """The lot that holds a copy.

        Raises:
            Malformed: There is no such copy.
        """
        wanted = copy if self.stock else 0
        for lot in self.lots:
            if lot.first_copy <= wanted < lot.first_copy + lot.copies:
                return lot
        raise Malformed(f"item {self.name!r} has no copy {copy + 1}")

    def place(self, copy: int) -> Place:
        """Where in the seed's derivations a copy stands."""
        lot = self.lot_of(copy)
        wanted = copy if self.stock else 0
        return Place(self.chain_id, self.market, self.item_id, wanted, lot.generation)

    def payload(self, copy: int) -> Payload:
        """The encrypted good of a copy."""
        lot = self.lot_of(copy)
        return lot.payloads[(copy if self.stock else 0) - lot.first_copy]

    def withdrawn(self) -> Listing:
        """The same, no longer for sale."""
        return replace(self, listed=False)

    def without_copies(self, copies: Iterable[int]) -> Listing:
        """The same, with these copies not offered any more, beside those that are not yet.

        Raises:
            Malformed: It has no such copy, or its copies share one good.
        """
        if not self.stock:
            raise Malformed(f"all copies of {self.name!r} are the same: take the item off sale")
        gone = {copy for one in self.withdrawn_copies for copy in one} | set(copies)
        ranges: list[range] = []
        for copy in sorted(gone):
            start = ranges.pop().start if ranges and ranges[-1].stop == copy else copy
            ranges.append(range(start, copy + 1))
        return replace(self, withdrawn_copies=tuple(ranges))


def copy_parts(seed: SellerSeed, listing: Listing, copy: int) -> list[tuple[PartLeaf, bytes]]:
    """Leaf and share (32 bytes) of every part of a copy, by index."""
    place, lot = listing.place(copy), listing.lot_of(copy)
    secret_hash = hashing.keccak(seed.content_key(place))
    return [
        (
            PartLeaf(
                copy=place.copy,
                index=index,
                deliverer=lot.deliverers[index].operator,
                commitment=hashing.keccak(share),
                secret_hash=secret_hash,
                salt=seed.salt(place, index),
            ),
            share,
        )
        for index, share in enumerate(seed.shares(place, listing.threshold, listing.parts))
    ]


def leaf_and_share(
    seed: SellerSeed, listing: Listing, copy: int, index: int
) -> tuple[PartLeaf, bytes]:
    """What the seller needs to deliver a part without its deliverer: its leaf and 32-byte share.

    Raises:
        Malformed: The listing has no such copy or index.
    """
    if not 0 <= index < listing.parts:
        raise Malformed(f"item {listing.name!r} has no part {index + 1}")
    return copy_parts(seed, listing, copy)[index]


def leaf_hashes(seed: SellerSeed, listing: Listing, lot: Lot) -> list[bytes]:
    """The leaves of a lot, copy by copy, by index; 32 bytes each."""
    return [
        hashing.part_leaf(leaf)
        for copy in range(lot.first_copy, lot.first_copy + lot.copies)
        for leaf, _ in copy_parts(seed, listing, copy)
    ]


def section_copies(listing: Listing) -> list[range]:
    """The copies of each section of a listing, in order.

    It follows from the listing alone, whatever is published with it: the sections make partsRoot. A
    lot's are cut in the same places as long as the lot is the same.
    """
    sizes = [
        len(dag_json.dumps(payload_to_json(payload))) + listing.parts * _PART_JSON_BYTES
        for lot in listing.lots
        for payload in lot.payloads
    ]
    if sum(sizes) <= APART_BYTES:
        return [range(len(sizes))] if sizes else []
    found = []
    for lot in listing.lots:
        start, size, end = lot.first_copy, 0, lot.first_copy + lot.copies
        for copy in range(start, end):
            if size and size + sizes[copy] > PAGE_BYTES:
                found.append(range(start, copy))
                start, size = copy, 0
            size += sizes[copy]
        found.append(range(start, end))
    return found


def section_leaves(seed: SellerSeed, listing: Listing) -> list[tuple[range, list[bytes]]]:
    """The copies of each section, and their leaves by copy and index; 32 bytes each."""
    leaves = [leaf for lot in listing.lots for leaf in leaf_hashes(seed, listing, lot)]
    n = listing.parts
    return [(one, leaves[n * one.start : n * one.stop]) for one in section_copies(listing)]


def parts_tree(seed: SellerSeed, listing: Listing) -> SectionedTree:
    """The tree under the item's partsRoot, for the proofs of deliveries."""
    return SectionedTree([MerkleTree(leaves) for _, leaves in section_leaves(seed, listing)])


# ------------------------------------------------------------------------------------ as files


def _lot_to_json(lot: Lot) -> dict[str, Any]:
    return {
        "firstCopy": lot.first_copy,
        "copies": lot.copies,
        "generation": str(lot.generation),
        "deliverers": [{"operator": d.operator, "key": "0x" + d.key.hex()} for d in lot.deliverers],
        "payloads": [payload_to_json(payload) for payload in lot.payloads],
    }


def _deliverer_from_json(value: Any, what: str) -> Deliverer:
    validation.record(value, what, ("operator", "key"))
    return Deliverer(
        validation.address(value["operator"], "operator"), validation.bytes32(value["key"], "key")
    )


def _lot_from_json(value: Any, what: str) -> Lot:
    validation.record(value, what, ("firstCopy", "copies", "generation", "deliverers", "payloads"))
    return Lot(
        first_copy=validation.integer(value["firstCopy"], "firstCopy", 0, _MAX_COPIES),
        copies=validation.integer(value["copies"], "copies", 1, _MAX_COPIES),
        generation=validation.amount(value["generation"], "generation", 2**63 - 1),
        deliverers=validation.array(
            value["deliverers"], "deliverers", MAX_PARTS, _deliverer_from_json
        ),
        payloads=validation.array(value["payloads"], "payloads", _MAX_COPIES, payload_from_json),
    )


def to_json(listing: Listing) -> bytes:
    """The bytes of a listing's file."""
    return dag_json.dumps(
        {
            "version": 2,
            "chainId": listing.chain_id,
            "market": listing.market,
            "seller": listing.seller,
            "itemId": listing.name,
            "title": listing.title,
            **{name: str(getattr(listing, name)) for name in _AMOUNTS},
            "token": listing.token,
            "stock": listing.stock,
            "parts": listing.parts,
            "threshold": listing.threshold,
            "arbitrator": listing.arbitrator,
            "otherMetadata": listing.metadata,
            "lots": [_lot_to_json(lot) for lot in listing.lots],
            "listed": listing.listed,
            "source": listing.source,
            "document": listing.to_document(),
        }
    )


def from_json(data: bytes) -> Listing:
    """Reads a listing's file.

    Raises:
        Malformed: It is none.
    """
    v = dag_json.loads(data)
    names = ("version", "chainId", "market", "seller", "itemId", "title", *_AMOUNTS, "token")
    more = ("stock", "parts", "threshold", "arbitrator", "otherMetadata", "lots", "listed")
    validation.record(v, "listing", (*names, *more, "source", "document"))
    validation.integer(v["version"], "version", 2, 2)
    said = validation.record(v["document"], "document", (), (*about.KEYS, "withdrawn"))
    supply = validation.amount(v["supply"], "supply", MAX_SUPPLY)
    if not isinstance(v["source"], str):
        raise Malformed("source is not a text")
    return Listing(
        chain_id=validation.integer(v["chainId"], "chainId", 1, dag_json.MAX_INTEGER),
        market=validation.address(v["market"], "market"),
        seller=validation.address(v["seller"], "seller"),
        name=validation.identifier(v["itemId"], "itemId"),
        title=v["title"],
        price=validation.amount(v["price"], "price"),
        commission=Wei(validation.amount(v["commission"], "commission")),
        penalty=Wei(validation.amount(v["penalty"], "penalty")),
        bond=Wei(validation.amount(v["bond"], "bond")),
        supply=supply,
        token=validation.address(v["token"], "token"),
        stock=validation.boolean(v["stock"], "stock"),
        parts=validation.integer(v["parts"], "parts", 1, MAX_PARTS),
        threshold=validation.integer(v["threshold"], "threshold", 1, MAX_PARTS),
        arbitrator=validation.address(v["arbitrator"], "arbitrator"),
        metadata=v["otherMetadata"],
        lots=validation.array(v["lots"], "lots", _MAX_COPIES, _lot_from_json),
        listed=validation.boolean(v["listed"], "listed"),
        source=v["source"],
        about=about.from_json(said),
        withdrawn_copies=about.withdrawn_from_json(said, supply),
    )


class Catalogue:
    """The seller's folder. One process at a time changes it; any number reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("items", "past", "blocks"):
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _item_path(self, name: str) -> Path:
        return self.folder / "items" / f"{hashing.item_id(name).hex()}.json"

    def get(self, name: str) -> Listing | None:
        """The listing of an item id, withdrawn or not, or None."""
        return self._read(self._item_path(name))

    def all(self) -> Iterator[Listing]:
        """Every listing, withdrawn ones too, in the order of their ids."""
        paths = (self.folder / "items").glob("*.json")
        found = [listing for path in paths if (listing := self._read(path))]
        yield from sorted(found, key=lambda listing: listing.name)

    def save(self, listing: Listing) -> None:
        """Writes a listing, in place of the item's earlier one."""
        write_atomic(self._item_path(listing.name), to_json(listing))

    def remember(self, parts_root: bytes, listing: Listing) -> None:
        """Keeps a listing as it is published, for the sales made under its root."""
        path, data = self.folder / "past" / f"{parts_root.hex()}.json", to_json(listing)
        if not path.exists() or path.read_bytes() != data:
            write_atomic(path, data)

    def recall(self, parts_root: bytes) -> Listing | None:
        """The listing that was published under a root (32 bytes), or None."""
        return self._read(self.folder / "past" / f"{parts_root.hex()}.json")

    def _read(self, path: Path) -> Listing | None:
        try:
            return from_json(read_regular(path, _FILE_BYTES))
        except FileNotFoundError:
            return None
        except (Malformed, OSError) as error:
            why = error if isinstance(error, Malformed) else error.strerror
            raise Permanent(f"{path} is damaged ({why}); put it back from a backup") from None


def check_same_store(
    listings: Sequence[Listing], chain_id: int, market: Address, seller: Address
) -> None:
    """Refuses listings that were made for another chain, market or seller."""
    for listing in listings:
        if (listing.chain_id, listing.market, listing.seller) != (chain_id, market, seller):
            raise Malformed(f"item {listing.name!r} was made for another chain, market or seller")
