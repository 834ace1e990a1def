"""The JSON Schema that ships with the package says what our reader does."""

from __future__ import annotations

import copy
import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dam.roles.seller import listings, store_builder

SCHEMA: dict[str, Any] = json.loads(
    (resources.files("dam.catalog") / "schema" / "store.schema.json").read_bytes()
)


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{kind}"}]})


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.fixture
async def documents(shop, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One document of each kind; less is enough for a page of parts than the product asks for."""
    monkeypatch.setattr(listings, "APART_BYTES", 10_000)
    monkeypatch.setattr(store_builder, "APART_BYTES", 10_000)
    await shop.add(shop.draft("film", metadata={"a": [1, None, {"b": "x"}]}), b"x" * 5000)
    await shop.stock("codes", [b"%d" % i for i in range(7)])
    built = shop.build()
    kinds: dict[str, Any] = {}
    for _, data in built.blocks:
        value = json.loads(data)
        if "version" in value:
            kind = "store"
        elif "details" in value:
            kind = "page"
        elif "firstCopy" in value:
            kind = "partPage"
        else:
            kind = "goods" if "sealingKey" in value else "details"
        kinds[kind] = value
    return kinds


async def test_what_we_write_is_valid(documents: dict[str, Any]) -> None:
    assert set(documents) == {"store", "page", "details", "goods", "partPage"}
    for kind, value in documents.items():
        validator(kind).validate(value)
        Draft202012Validator(SCHEMA).validate(value)


async def test_items_in_the_root(documents: dict[str, Any]) -> None:
    store = {k: v for k, v in documents["store"].items() if k != "pages"}
    lists = (documents[kind]["items"] for kind in ("page", "details", "goods"))
    items = [{**item, **details, **goods} for item, details, goods in zip(*lists, strict=True)]
    key = documents["goods"]["sealingKey"]
    validator("store").validate({**store, "items": items, "sealingKey": key})
    assert not validator("store").is_valid({**store, "items": documents["page"]["items"]})


SHARED: list[tuple[str, Any]] = [
    ("itemId", ""),
    ("itemId", " a"),
    ("itemId", "a\nb"),
    ("itemId", 5),
    ("title", ""),
    ("title", None),
    ("price", -1),
    ("price", 1.5),
    ("price", "01"),
    ("price", "1e3"),
    ("price", True),
    ("price", 1),
    ("price", 2**128),
    ("token", "ETH"),
    ("supply", []),
    ("stock", 1),
    ("parts", 0),
    ("parts", 33),
    ("threshold", "2"),
    ("arbitrator", "0x00"),
    ("partsRoot", "0x" + "AA" * 32),
    ("otherMetadata", {}),
    ("extra", 1),
]
DETAILS: list[tuple[str, Any]] = [
    ("otherMetadata", []),
    ("otherMetadata", {"/": "x"}),
    ("otherMetadata", {"a": {"/": "x"}}),
    ("otherMetadata", {"a": -1}),
    ("otherMetadata", {"a": 1.5}),
    ("otherMetadata", {"": 1}),
    ("tags", ["x"]),
]


@pytest.mark.parametrize(("name", "value"), SHARED)
async def test_bad_items_are_invalid(documents: dict[str, Any], name: str, value: Any) -> None:
    page = copy.deepcopy(documents["page"])
    for item in page["items"]:
        item[name] = value
    assert not validator("page").is_valid(page)


@pytest.mark.parametrize(("name", "value"), DETAILS)
async def test_bad_details_are_invalid(documents: dict[str, Any], name: str, value: Any) -> None:
    details = copy.deepcopy(documents["details"])
    for entry in details["items"]:
        entry[name] = value
    assert not validator("details").is_valid(details)


@pytest.mark.parametrize("name", ["items", "details", "goods"])
async def test_pages_lack_nothing(documents: dict[str, Any], name: str) -> None:
    page = {k: v for k, v in documents["page"].items() if k != name}
    assert not validator("page").is_valid(page)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 1),
        ("version", True),
        ("chainId", 0),
        ("chainId", "1"),
        ("market", ""),
        ("pages", [{"/": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"}]),
        ("pages", ["x"]),
        ("storeName", "\n"),
        ("extra", 1),
    ],
)
async def test_bad_roots_are_invalid(documents: dict[str, Any], name: str, value: Any) -> None:
    assert not validator("store").is_valid({**documents["store"], name: value})


@pytest.mark.parametrize(
    "name", ["firstCopy", "copies", "sealingKey", "encryptedParts", "partLeaves"]
)
async def test_pages_of_parts_lack_nothing(documents: dict[str, Any], name: str) -> None:
    page = {k: v for k, v in documents["partPage"].items() if k != name}
    assert not validator("partPage").is_valid(page)
    assert not validator("partPage").is_valid({**page, name: "x"})


@pytest.mark.parametrize("name", ["page", "copies", "root"])
async def test_sections_lack_nothing(documents: dict[str, Any], name: str) -> None:
    goods = copy.deepcopy(documents["goods"])
    [item] = [item for item in goods["items"] if "sections" in item]
    for section in item["sections"]:
        del section[name]
    assert not validator("goods").is_valid(goods)
