"""A seller's listings become a store document: parts sealed, pages packed.

What did not change is published again byte for byte, so that readers fetch and scan only what did.
Items stay on the page that they were put on. It, its details and its goods are three blocks: a new
price moves the first alone. Goods that are made anew take a fresh sealing key. An item with too
many parts for a block shared with others has pages of parts of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dam import validation
from dam.atomic_file import write_atomic
from dam.catalog import about
from dam.catalog.document import VERSION
from dam.catalog.payload import payload_to_json
from dam.catalog.reader import read_store
from dam.crypto import hashing, sealing
from dam.crypto.derivation import SellerSeed
from dam.crypto.merkle import MerkleTree, section_roots
from dam.errors import BlockRefused, Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES, BlockStore
from dam.ipfs.cid import Cid
from dam.roles.seller.listings import (
    APART_BYTES,
    PAGE_BYTES,
    SEALED_JSON_BYTES,
    Catalogue,
    Listing,
    Lot,
    check_same_store,
    copy_parts,
    section_leaves,
)
from dam.types import ZERO32, Address, Part, Terms

LIST_BYTES = 64 << 10
"""A page is filled up to this many bytes, so that one changed item does not move many others."""
MAX_SMALL_PAGES = 8
"""When more pages than this are small, their items are put together."""
_SMALL = 1 / 8
"""Of what a page may hold."""


@dataclass(frozen=True, slots=True)
class BuiltStore:
    """A store ready to be put: nothing in it is secret."""

    chain_id: int
    market: Address
    seller: Address
    digest: bytes
    """SHA-256 in the CID of the document, as ``createStore`` takes it."""
    root: bytes
    """Catalogue root."""
    blocks: tuple[tuple[Cid, bytes], ...]
    """Documents, the pages first and the root document last."""
    terms: dict[str, Terms]
    """By item id."""
    fresh: int
    """How many of the blocks were not there before."""

    @property
    def cid(self) -> Cid:
        """Of the root document."""
        return Cid("dag-json", self.digest)


class _Sealer:
    """One page's sealing key: made for it, used for it, and forgotten."""

    def __init__(self, seed: SellerSeed) -> None:
        self._seed = seed
        self._secret = sealing.new_secret_key()
        self._shared: dict[bytes, bytes] = {}
        self.public = sealing.public_key(self._secret)

    def seal(self, listing: Listing, copies: Iterable[int]) -> list[str]:
        """The sealed parts of some copies, in hex, in no order."""
        sealed = []
        for copy in copies:
            domain, lot = listing.domain(copy), listing.lot_of(copy)
            for leaf, share in copy_parts(self._seed, listing, copy):
                part = Part(domain, leaf.index, share, leaf.secret_hash, leaf.salt)
                shared = self._with(lot.deliverers[leaf.index].key)
                sealed.append("0x" + sealing.seal_part(shared, part).hex())
        # The order must not tell which deliverer has which part.
        secrets.SystemRandom().shuffle(sealed)
        return sealed

    def _with(self, key: bytes) -> bytes:
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = sealing.shared_key(self._secret, key)
        return shared


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item on its way into a page, all but its sealed parts."""

    listing: Listing
    fields: dict[str, Any]
    details: dict[str, Any]
    goods: dict[str, Any]
    key: bytes
    """Hash of everything that the goods depend on."""
    sizes: tuple[int, int, int]
    """Bytes in the page, and in its blocks of details and goods."""

    @property
    def apart(self) -> bool:
        """Whether its parts stand on pages of their own."""
        return "sections" in self.goods

    def to_goods(self, sealer: _Sealer) -> dict[str, Any]:
        if self.apart:
            return self.goods
        copies = range(sum(lot.copies for lot in self.listing.lots))
        return {**self.goods, "encryptedParts": sealer.seal(self.listing, copies)}


def _filled(entries: Sequence[_Entry]) -> float:
    """How full the fullest of the three blocks of these entries is; 1: it holds no more."""
    most = (LIST_BYTES, PAGE_BYTES, PAGE_BYTES)
    sums = (sum(sizes) for sizes in zip(*(entry.sizes for entry in entries), strict=True))
    return max((size / limit for size, limit in zip(sums, most, strict=True)), default=0.0)


class _Section(NamedTuple):
    """Consecutive copies of an item, and the tree over their leaves."""

    copies: range
    leaves: list[bytes]
    root: bytes


def _sections(seed: SellerSeed, listing: Listing) -> list[_Section]:
    return [
        _Section(copies, leaves, MerkleTree(leaves).root)
        for copies, leaves in section_leaves(seed, listing)
    ]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _content_key(listing: Listing, value: dict[str, Any], lots: Iterable[Lot]) -> bytes:
    """Of what a page says, and of whom it is sealed to."""
    keys = b"".join(deliverer.key for lot in lots for deliverer in lot.deliverers)
    return hashing.keccak(listing.domain(0) + hashing.keccak(keys) + dag_json.dumps(value))


class _Builder:
    """One run of `build_store`."""

    def __init__(self, seed: SellerSeed, catalogue: Catalogue) -> None:
        self._seed = seed
        self._folder = catalogue.folder
        self._old = _load_layout(self._folder)
        self.part_pages: dict[str, Cid] = {}
        self.goods: dict[str, Cid] = {}
        self.pages: list[tuple[Cid, list[str]]] = []
        self.blocks: dict[Cid, bytes] = {}
        self.fresh = 0

    def _block(self, cid: Cid) -> bytes | None:
        """A block as it was published, if the folder still has it intact."""
        try:
            data = (self._folder / "blocks" / str(cid)).read_bytes()
        except FileNotFoundError:
            return None
        return data if Cid.of("dag-json", data) == cid else None

    def put(self, value: dict[str, Any]) -> Cid:
        data = dag_json.dumps(value)
        if len(data) > MAX_BLOCK_BYTES:
            raise Malformed(f"a page of {len(data)} bytes does not fit a block")
        cid = Cid.of("dag-json", data)
        known = self._block(cid) is not None
        if not known:
            write_atomic(self._folder / "blocks" / str(cid), data)
        self.fresh += not known
        self.blocks[cid] = data
        return cid

    def _reuse(self, cid: Cid) -> bool:
        data = self._block(cid)
        if data is not None:
            self.blocks[cid] = data
        return data is not None

    # -------------------------------------------------------------------------------- items

    def entry(self, listing: Listing, terms: Terms, sections: Sequence[_Section]) -> _Entry:
        """What goes into a page for an item; pages of its own parts are made on the way."""
        said = listing.to_document()
        fields: dict[str, Any] = {
            "itemId": listing.name,
            "title": listing.title,
            "price": str(terms.price),
            "token": terms.token,
            "commission": str(terms.commission),
            "penalty": str(terms.penalty),
            "bond": str(terms.bond),
            "supply": str(terms.supply),
            "stock": terms.stock,
            "parts": terms.parts,
            "threshold": terms.threshold,
            "arbitrator": terms.arbitrator,
            "partsRoot": _hex(terms.parts_root),
            **{key: value for key, value in said.items() if key not in about.DETAIL_KEYS},
        }
        details = {key: said[key] for key in about.DETAIL_KEYS if key in said}
        if listing.metadata:
            details["otherMetadata"] = listing.metadata
        goods, sealed = self._goods(listing, sections)
        size = len(dag_json.dumps(goods)) + sealed * SEALED_JSON_BYTES
        return _Entry(
            listing,
            fields,
            details,
            goods,
            key=_content_key(listing, goods, listing.lots if sealed else ()),
            sizes=(len(dag_json.dumps(fields)), len(dag_json.dumps(details)), size),
        )

    def _goods(self, listing: Listing, sections: Sequence[_Section]) -> tuple[dict[str, Any], int]:
        """The goods of an item, and how many parts are to be sealed into them."""
        if len(sections) < 2:
            leaves = [_hex(leaf) for section in sections for leaf in section.leaves]
            payloads = [payload_to_json(p) for lot in listing.lots for p in lot.payloads]
            whole = {"partLeaves": leaves, "payloads": payloads}
            if len(dag_json.dumps(whole)) + len(leaves) * SEALED_JSON_BYTES <= APART_BYTES:
                return whole, len(leaves)
        links = [
            {
                "page": {"/": str(self._part_page(listing, section))},
                "copies": len(section.copies),
                "root": _hex(section.root),
            }
            for section in sections
        ]
        return {"sections": links}, 0

    def _part_page(self, listing: Listing, section: _Section) -> Cid:
        copies = section.copies
        value = {
            "firstCopy": copies.start,
            "copies": len(copies),
            "partLeaves": [_hex(leaf) for leaf in section.leaves],
            "payloads": [payload_to_json(listing.payload(copy)) for copy in copies],
        }
        lots = [lot for lot in listing.lots if lot.first_copy < copies.stop]
        lots = [lot for lot in lots if lot.first_copy + lot.copies > copies.start]
        key = _content_key(listing, value, lots).hex()
        old = self._old.part_pages.get(key)
        if old is None or not self._reuse(old):
            sealer = _Sealer(self._seed)
            sealed = sealer.seal(listing, copies)
            page = {**value, "sealingKey": _hex(sealer.public), "encryptedParts": sealed}
            old = self.put(page)
        self.part_pages[key] = old
        return old

    # -------------------------------------------------------------------------------- pages

    def pack(self, entries: Sequence[_Entry]) -> None:
        """Leaves items on the pages where they stand, and makes pages of the rest."""
        left = {entry.listing.name: entry for entry in entries}
        old = [
            [left[name] for name in dict.fromkeys(names) if name in left]
            for names in self._old.pages
        ]
        # Pages that would hold too much, or one item that two of them name: packed anew.
        kept = [(page, filled) for page in old if page and (filled := _filled(page)) <= 1]
        if sum(filled < _SMALL for _, filled in kept) > MAX_SMALL_PAGES:
            kept = [(page, filled) for page, filled in kept if filled >= _SMALL]
        for page, _ in kept:
            if all(entry.listing.name in left for entry in page):
                self._make_page(page)
                for entry in page:
                    del left[entry.listing.name]
        page = []
        for entry in left.values():
            if page and _filled([*page, entry]) > 1:
                self._make_page(page)
                page = []
            page.append(entry)
        if page:
            self._make_page(page)

    def _make_page(self, entries: Sequence[_Entry]) -> None:
        value = {
            "items": [entry.fields for entry in entries],
            "details": {"/": str(self.put({"items": [entry.details for entry in entries]}))},
            "goods": {"/": str(self._goods_block(entries))},
        }
        self.pages.append((self.put(value), [entry.listing.name for entry in entries]))

    def _goods_block(self, entries: Sequence[_Entry]) -> Cid:
        key = hashing.keccak(b"".join(entry.key for entry in entries)).hex()
        old = self._old.goods.get(key)
        if old is None or not self._reuse(old):
            sealer = _Sealer(self._seed)
            value: dict[str, Any] = {"items": [entry.to_goods(sealer) for entry in entries]}
            if not all(entry.apart for entry in entries):
                value["sealingKey"] = _hex(sealer.public)
            old = self.put(value)
        self.goods[key] = old
        return old

    def save_layout(self) -> None:
        """Remembers what stands where, and forgets blocks that no page needs any more."""
        write_atomic(
            self._folder / "layout.json",
            dag_json.dumps(
                {
                    "version": 2,
                    "pages": [names for _, names in self.pages],
                    "goods": {key: str(cid) for key, cid in self.goods.items()},
                    "partPages": {key: str(cid) for key, cid in self.part_pages.items()},
                }
            ),
        )
        wanted = {str(cid) for cid in self.blocks}
        for path in (self._folder / "blocks").iterdir():
            if path.name not in wanted:
                path.unlink()


@dataclass(frozen=True, slots=True)
class _Layout:
    pages: list[list[str]]
    """Names of items."""
    goods: dict[str, Cid]
    part_pages: dict[str, Cid]


def _load_layout(folder: Path) -> _Layout:
    """What stood where in the last build. Where that is lost or damaged, all is made anew."""
    try:
        value = dag_json.loads((folder / "layout.json").read_bytes())
        validation.record(value, "layout", ("version", "pages", "goods", "partPages"))
        goods, part_pages = (
            {key: Cid.parse(cid) for key, cid in value[name].items()}
            for name in ("goods", "partPages")
        )
        return _Layout([list(map(str, names)) for names in value["pages"]], goods, part_pages)
    except (FileNotFoundError, Malformed, BlockRefused, KeyError, TypeError, AttributeError):
        return _Layout([], {}, {})


def build_store(
    seed: SellerSeed,
    catalogue: Catalogue,
    *,
    name: str,
    chain_id: int,
    market: Address,
    seller: Address,
) -> BuiltStore:
    """Builds the store of all listings that are for sale.

    It is the catalogue folder's own work (parts are sealed, blocks and past listings written), so
    call it in a thread where an event loop runs. Nothing is published; `publish_store` does that.

    Args:
        seed: The seller's.
        catalogue: The seller's listings.
        name: Of the store, for people.
        chain_id: Chain of the marketplace.
        market: Its address.
        seller: Owner of the store.

    Raises:
        Malformed: A listing has no goods, or is of another store.
    """
    listings = [listing for listing in catalogue.all() if listing.listed]
    check_same_store(listings, chain_id, market, seller)
    builder = _Builder(seed, catalogue)
    entries, terms = [], {}
    for listing in listings:
        if not listing.stock and not listing.lots:
            raise Malformed(f"item {listing.name!r} has nothing to sell yet: add its good")
        sections = _sections(seed, listing)
        root = section_roots([section.root for section in sections]).root
        terms[listing.name] = listing.terms(root)
        if root != ZERO32:
            catalogue.remember(root, listing)
        entries.append(builder.entry(listing, terms[listing.name], sections))
    builder.pack(entries)
    document = {
        "version": VERSION,
        "storeName": validation.title(name, "the store's name"),
        "chainId": chain_id,
        "market": market,
        "seller": seller,
        "pages": [{"/": str(cid)} for cid, _ in builder.pages],
    }
    cid = builder.put(document)
    builder.blocks[cid] = builder.blocks.pop(cid)  # last, also where it was there before
    builder.save_layout()
    return BuiltStore(
        chain_id=chain_id,
        market=market,
        seller=seller,
        digest=cid.digest,
        root=MerkleTree([hashing.terms_leaf(t) for t in terms.values()]).root,
        blocks=tuple(builder.blocks.items()),
        terms=terms,
        fresh=builder.fresh,
    )


async def publish_store(blocks: BlockStore, built: BuiltStore) -> None:
    """Puts all blocks of a store, the document last; reads it as a buyer will; pins it whole.

    Raises:
        IpfsError: The store of blocks did not take one, or a payload's block is gone.
        Malformed: No reader would take this store: it is over a limit, say.
    """
    for _, data in built.blocks:
        await blocks.put("dag-json", data)
    store = await read_store(
        blocks,
        built.digest,
        chain_id=built.chain_id,
        market=built.market,
        seller=built.seller,
        root=built.root,
    )
    for fault in [section.fault for item in store.items for section in item.sections]:
        if fault:
            raise Malformed(f"no deliverer would serve a section of this store: {fault}")
    await blocks.pin(built.cid)
