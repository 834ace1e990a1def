"""What items say of themselves: hostile text, each field within its rule."""

from __future__ import annotations

from typing import Any

import pytest

from dam.catalog import about
from dam.catalog.about import About
from dam.errors import Malformed
from tests.unit.helpers.documents import Documents

GOOD: dict[str, list[Any]] = {
    "kind": ["code", "text", "file"],
    "summary": ["x" * 512, "日本の本"],
    "tags": [["a"], ["music", "ambient", "x" * 48], [str(n) for n in range(16)]],
    "language": ["en", "pt-BR", "zh-Hant", "zh-Hant-TW", "es-419", "gsw"],
    "description": ["two\nlines\n", "x" * 4096],
    "licence": ["CC-BY-4.0", "All rights reserved"],
    "fileName": ["film.mkv", "a b", "日本.pdf", "CONSOLE", "com10", "x" * 255, "a..b", "-rf"],
    "mediaType": ["application/pdf", "image/svg+xml", "a/b", "x" * 63 + "/" + "y" * 63],
    "size": [0, 8_589_795_328],
}

BAD: dict[str, list[Any]] = {
    "kind": ["", "Code", "film", None, 1, ["code"]],
    "summary": ["", "x" * 513, " a", "a\nb", "\u202e", None],
    "tags": [[], ["a", "a"], [""], ["x" * 49], ["e\u0301"], [str(n) for n in range(17)], "a", [1]],
    "language": ["", "EN", "english", "en-us", "en_US", "en-US-x", "en\n", None],
    "description": ["", "x" * 4097, "a\rb", "\x1b[2J", None],
    "licence": ["", "x" * 129, "a\nb"],
    "fileName": [
        "", "a/b", "a\\b", "..", ".", ".profile", "a.", "a ", "con", "NUL.txt", "Com1.tar.gz",
        "lpt\u00b2", "aux .c", "a:b", "a*", "a?", 'a"', "a|b", "<a>", "x" * 256, "a\nb", None, 1,
    ],
    "mediaType": ["", "pdf", "a/", "/b", "A/b", "a/b; c=d", "a/b/c", "x" * 64 + "/y", "a/b\n"],
    "size": [-1, 8_589_795_329, "1", 1.0, True, None],
}  # fmt: skip


@pytest.mark.parametrize("key", GOOD)
def test_good_fields_go_round(key: str) -> None:
    for value in GOOD[key]:
        found = about.from_json({key: value, "other": 1})
        assert about.to_json(found) == {key: value}


@pytest.mark.parametrize("key", BAD)
def test_bad_fields(key: str) -> None:
    for value in BAD[key]:
        with pytest.raises(Malformed) as caught:
            about.from_json({key: value})
        assert str(caught.value).isprintable(), value


def test_nothing_said_is_nothing_written() -> None:
    assert about.from_json({}) == About()
    assert about.to_json(About()) == {}


@pytest.mark.parametrize("pairs", [[[0, 0]], [[0, 3], [5, 9]], [[9, 9]]])
def test_good_ranges(pairs: list[list[int]]) -> None:
    assert about.ranges_to_json(about.ranges_from_json(pairs, "withdrawn", 10)) == pairs


@pytest.mark.parametrize(
    "pairs",
    [
        [], {}, None, [[]], [[1]], [[1, 2, 3]], [[2, 1]], [[0, 10]], [[-1, 2]], [["0", "1"]],
        [[0, 3], [4, 9]], [[0, 3], [3, 9]], [[5, 9], [0, 3]], [[0, True]], [[0, 2**53]], [0, 1],
    ],
)  # fmt: skip
def test_bad_ranges(pairs: Any) -> None:
    with pytest.raises(Malformed):
        about.ranges_from_json(pairs, "withdrawn", 10)


async def test_items_of_a_store_say_it(documents: Documents) -> None:
    said = {key: values[0] for key, values in GOOD.items()}
    documents.item.update({key: said[key] for key in about.ITEM_KEYS}, withdrawn=[[0, 0]])
    documents.item_details.update({key: said[key] for key in about.DETAIL_KEYS})
    item = (await documents.read()).items[0]
    assert about.to_json(item.about) == said
    assert item.withdrawn == (range(1),)
    assert item.is_withdrawn(0)
    assert not item.is_withdrawn(1)


@pytest.mark.parametrize("key", [*BAD, "withdrawn"])
async def test_a_bad_field_refuses_the_store(documents: Documents, key: str) -> None:
    place = documents.item_details if key in about.DETAIL_KEYS else documents.item
    place[key] = None
    with pytest.raises(Malformed):
        await documents.read()
