"""A store's document as rows: the one place that knows what of it is listed and searched."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

from dam.catalog.about import ranges_to_json
from dam.catalog.store import Item, Store
from dam.types import Terms

MAX_ITEMS = 1_000
"""Of one store; further ones are sold, and not listed."""
MAX_TEXT_BYTES = 256 << 10
"""Of one store, titles and words together."""
IDEOGRAPHS = (
    "["
    "\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"  # Hangul letters, kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"
    "]"
)
"""Of a regular expression: letters that are words, or parts of words without spaces between."""
_IDEOGRAPH = re.compile(IDEOGRAPHS)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What lists and searches know of an item."""

    name: str
    title: str
    terms: Terms
    summary: str
    tags: str
    """As JSON."""
    withdrawn: str
    """Ranges of copies that are not for sale, as JSON."""
    body: str
    """Its words, as `spaced`."""


@dataclass(frozen=True, slots=True)
class StoreRows:
    """What lists and searches know of a store."""

    name: str
    items: tuple[ItemRow, ...]
    hidden: int
    """Items over the budget of one store."""


def store_rows(store: Store) -> StoreRows:
    """The rows of a store, within one store's budget: the first items of its document."""
    rows, left = [], MAX_TEXT_BYTES
    for item in store.items[:MAX_ITEMS]:
        row = _item_row(store, item)
        texts = row.title, row.name, row.summary, row.tags, row.withdrawn, row.body
        left -= sum(len(text.encode()) for text in texts)
        if left < 0:
            break
        rows.append(row)
    return StoreRows(store.name, tuple(rows), len(store.items) - len(rows))


def _item_row(store: Store, item: Item) -> ItemRow:
    summary, tags = item.about.summary, item.about.tags
    body = spaced(" ".join((item.title, item.name, store.name, summary, *tags)))
    withdrawn = json.dumps(ranges_to_json(item.withdrawn))
    return ItemRow(item.name, item.title, item.terms, summary, json.dumps(tags), withdrawn, body)


def spaced(text: str) -> str:
    """Text in which each ideograph is a word: where such words end, no space tells."""
    return _IDEOGRAPH.sub(lambda found: f" {found[0]} ", unicodedata.normalize("NFC", text))
