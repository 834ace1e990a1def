"""The blocks of a store's document, each by itself: from JSON to records, or `Malformed`.

Every rule that needs one block alone, or one beside its page, stands here; the format is in
docs/protocol.md, section 4, and in ``schema/store.schema.json``. `dam.catalog.reader` fetches them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from dam import validation
from dam.catalog import about
from dam.catalog.payload import payload_from_json
from dam.catalog.store import Item, Section
from dam.crypto import hashing
from dam.crypto.merkle import section_roots
from dam.crypto.sealing import PLAIN_SEALED_BYTES, SEALED_BYTES, check_public_key
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.ipfs.cid import Cid
from dam.types import MAX_PARTS, ZERO_ADDRESS, Terms, Wei

VERSION = 2
MAX_SUPPLY = 2**64 - 1
T = TypeVar("T")

_ITEM_KEYS = (
    "itemId", "title", "price", "token", "commission", "penalty", "bond", "supply", "stock",
    "parts", "threshold", "arbitrator", "partsRoot",
)  # fmt: skip
_MORE_ITEM_KEYS = (*about.ITEM_KEYS, "withdrawn")
_DETAIL_KEYS = (*about.DETAIL_KEYS, "otherMetadata")
_PART_KEYS = ("encryptedParts", "partLeaves", "payloads")
_STORE_KEYS = ("version", "storeName", "chainId", "market", "seller")


@dataclass(frozen=True, slots=True)
class Apart:
    """A section whose parts stand on a page of their own."""

    page: Cid
    first_copy: int
    copies: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Goods:
    """The parts of an item: here, or on pages of their own."""

    parts: int
    """How many, wherever they stand."""
    section: Section | None
    apart: tuple[Apart, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Items as lists need them, and where the rest of them stands."""

    items: list[Item]
    details: Cid
    goods: Cid


def parse_root(value: Any) -> dict[str, Any]:
    """The root document with its own fields read; ``items`` or ``pages`` still as they came."""
    if isinstance(value, dict) and value.get("version") != VERSION:
        raise Malformed(f"the store document is not of version {VERSION}")
    if isinstance(value, dict) and "pages" in value:
        validation.record(value, "store", (*_STORE_KEYS, "pages"))
    else:
        validation.record(value, "store", (*_STORE_KEYS, "items"), ("sealingKey",))
    validation.integer(value["version"], "version", VERSION, VERSION)
    return {
        **value,
        "storeName": validation.title(value["storeName"], "storeName"),
        "chainId": validation.integer(value["chainId"], "chainId", 1, dag_json.MAX_INTEGER),
        "market": validation.address(value["market"], "market"),
        "seller": validation.address(value["seller"], "seller"),
    }


def _items(value: Any, read: Callable[[Any], T]) -> list[T]:
    number = 0

    def count(entry: Any, _: str) -> T:
        nonlocal number
        number += 1
        try:
            return read(entry)
        except Malformed as error:
            error.add_note(f"entry {number}")
            raise

    return list(validation.array(value, "items", MAX_BLOCK_BYTES, count))


def _beside(value: Any, items: Sequence[Item], read: Callable[[Any, Item], T]) -> list[T]:
    if isinstance(value, list) and len(value) != len(items):
        raise Malformed("there is not one entry of details and one of goods per item")
    rest = iter(items)
    return _items(value, lambda one: read(one, next(rest)))


def parse_page(value: Any) -> Page:
    """A page of items.

    Raises:
        Malformed: A rule is broken; so do the other functions here.
    """
    validation.record(value, "page", ("items", "details", "goods"))
    return Page(
        _items(value["items"], _parse_item),
        validation.link(value["details"], "details", "dag-json"),
        validation.link(value["goods"], "goods", "dag-json"),
    )


def parse_details(value: Any, items: Sequence[Item]) -> list[Item]:
    """The items of a page, with what its block of details says of them."""
    validation.record(value, "details", ("items",))
    return _beside(value["items"], items, _add_details)


def parse_goods(value: Any, items: Sequence[Item]) -> list[Goods]:
    """The goods of a page's items."""
    validation.record(value, "goods", ("items",), ("sealingKey",))
    key = _sealing_key(value)
    return _beside(value["items"], items, lambda one, item: _parse_item_goods(one, key, item.terms))


def parse_whole_items(document: dict[str, Any]) -> list[tuple[Item, Goods]]:
    """Items of a store of one block: each with its details and goods in it."""
    key = _sealing_key(document)

    def read(value: Any) -> tuple[Item, Goods]:
        if not isinstance(value, dict):
            raise Malformed("item is not an object")
        details = {name: value[name] for name in _DETAIL_KEYS if name in value}
        goods = {name: value[name] for name in (*_PART_KEYS, "sections") if name in value}
        left = {name: value[name] for name in value if name not in details and name not in goods}
        item = _add_details(details, _parse_item(left))
        return item, _parse_item_goods(goods, key, item.terms)

    return _items(document["items"], read)


def _sealing_key(value: dict[str, Any]) -> bytes | None:
    if "sealingKey" not in value:
        return None
    key = validation.bytes32(value["sealingKey"], "sealingKey")
    check_public_key(key)
    return key


def _parse_item(value: Any) -> Item:
    validation.record(value, "item", _ITEM_KEYS, _MORE_ITEM_KEYS)
    terms = _parse_terms(value)
    return Item(
        name=value["itemId"],
        title=validation.title(value["title"], "title"),
        terms=terms,
        about=about.from_json(value),
        withdrawn=about.withdrawn_from_json(value, terms.supply),
    )


def _add_details(value: Any, item: Item) -> Item:
    validation.record(value, "an item's details", (), _DETAIL_KEYS)
    metadata = validation.metadata(value.get("otherMetadata", {}), "otherMetadata")
    return replace(
        item,
        metadata_json=dag_json.dumps(metadata),
        about=about.from_json(value, item.about),
    )


def _parse_item_goods(value: Any, key: bytes | None, terms: Terms) -> Goods:
    copies = terms.supply if terms.stock else 1
    if isinstance(value, dict) and "sections" in value:
        validation.record(value, "an item's goods", ("sections",))
        return Goods(terms.parts * copies, None, _parse_sections(value["sections"], terms, copies))
    validation.record(value, "an item's goods", _PART_KEYS)
    section = _parse_parts(value, key, terms, 0, copies, terms.parts_root)
    return Goods(terms.parts * copies, section, ())


def _parse_sections(value: Any, terms: Terms, copies: int) -> tuple[Apart, ...]:
    """The sections cover copy 0 to the last one, in order, and their roots make partsRoot."""
    found: list[Apart] = []

    def read(element: Any, what: str) -> None:
        validation.record(element, f"one of {what}", ("page", "copies", "root"))
        page = validation.link(element["page"], "the page of a section", "dag-json")
        count = validation.integer(element["copies"], "copies", 1, dag_json.MAX_INTEGER)
        first = found[-1].first_copy + found[-1].copies if found else 0
        found.append(Apart(page, first, count, validation.bytes32(element["root"], "root")))

    validation.array(value, "sections", MAX_BLOCK_BYTES, read)
    if sum(one.copies for one in found) != copies:
        raise Malformed("an item has parts for more or fewer copies than it sells")
    if section_roots([one.root for one in found]).root != terms.parts_root:
        raise Malformed("the sections of an item are not those of its partsRoot")
    return tuple(found)


def _parse_terms(value: dict[str, Any]) -> Terms:
    terms = Terms(
        item_id=hashing.item_id(validation.identifier(value["itemId"], "itemId")),
        token=validation.address(value["token"], "token"),
        price=validation.amount(value["price"], "price"),
        commission=Wei(validation.amount(value["commission"], "commission")),
        penalty=Wei(validation.amount(value["penalty"], "penalty")),
        bond=Wei(validation.amount(value["bond"], "bond")),
        supply=validation.amount(value["supply"], "supply", MAX_SUPPLY),
        stock=validation.boolean(value["stock"], "stock"),
        parts=validation.integer(value["parts"], "parts", 1, MAX_PARTS),
        threshold=validation.integer(value["threshold"], "threshold", 1, MAX_PARTS),
        arbitrator=validation.address(value["arbitrator"], "arbitrator"),
        parts_root=validation.bytes32(value["partsRoot"], "partsRoot"),
    )
    check_terms(terms)
    return terms


def check_terms(terms: Terms) -> None:
    """Refuses terms under which the contract sells nothing.

    Raises:
        Malformed: 1 <= k <= n <= 32 does not hold, or a native commission is over the price.
    """
    if not 1 <= terms.threshold <= terms.parts <= MAX_PARTS:
        raise Malformed("an item's threshold is not between 1 and its number of parts")
    if terms.token == ZERO_ADDRESS and terms.commission > terms.price:
        raise Malformed("an item's commission is over its price")


def parse_part_page(terms: Terms, apart: Apart, value: Any) -> Section:
    """A section from the page of its parts."""
    validation.record(value, "page of parts", ("firstCopy", "copies", "sealingKey", *_PART_KEYS))
    validation.integer(value["firstCopy"], "firstCopy", apart.first_copy, apart.first_copy)
    validation.integer(value["copies"], "copies", apart.copies, apart.copies)
    return _parse_parts(
        value, _sealing_key(value), terms, apart.first_copy, apart.copies, apart.root
    )


def _parse_parts(
    value: dict[str, Any], key: bytes | None, terms: Terms, first: int, copies: int, root: bytes
) -> Section:
    size = PLAIN_SEALED_BYTES if key is None else SEALED_BYTES
    sealed = validation.array(
        value["encryptedParts"],
        "encryptedParts",
        MAX_BLOCK_BYTES,
        lambda element, what: validation.hexadecimal(element, what, size),
    )
    leaves = validation.array(
        value["partLeaves"], "partLeaves", MAX_BLOCK_BYTES, validation.bytes32
    )
    payloads = validation.array(value["payloads"], "payloads", MAX_BLOCK_BYTES, payload_from_json)
    if not len(sealed) == len(leaves) == copies * terms.parts:
        raise Malformed("there is not one sealed part and one leaf per copy and index")
    if len(payloads) != copies:
        raise Malformed("there is not one payload per copy")
    section = Section(first, copies, root, key, sealed, leaves, payloads)
    if section.tree.root != root:
        raise Malformed("the part leaves are not those of their root")
    return section
