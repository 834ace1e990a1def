"""Golden vectors of store documents: each a store with one thing changed, and what readers say."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from make_vectors import a_store
from vector_inputs import CHAIN_ID, MARKET, SELLER, an_address, fixed

from dam.crypto.hashing import item_id, parse_address, terms_leaf
from dam.crypto.merkle import MerkleTree
from dam.ipfs.cid import Cid
from dam.types import MAX_AMOUNT, Terms, Wei

_STORE = a_store()
_ABOUT = {
    "kind": "file", "summary": "One line", "tags": ["a", "b c"], "language": "pt-BR",
    "description": "Two\nlines", "licence": "MIT", "fileName": "a b.txt", "mediaType": "text/plain",
    "size": 5, "withdrawn": [[0, 1], [5, 9]], "otherMetadata": {"note": ["a", {"b": 1}], "c": "d"},
}  # fmt: skip
_DETAILS = ("description", "licence", "fileName", "mediaType", "size", "otherMetadata")
_GOODS = ("encryptedParts", "partLeaves", "payloads", "sections")
_RAW = {"/": str(Cid.of("raw", b"DAM"))}

Draft = dict[str, Any]
"""``root``, ``page``, ``item`` (in the page) and ``parts`` (a page of parts, or None)."""


def canonical(value: Any) -> bytes:
    """Also of what no writer of ours would take: a float, a number below zero."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _draft(*, apart: bool) -> Draft:
    details, goods, page, root = (json.loads(block["text"]) for block in _STORE["blocks"])
    page = {"items": [page["items"][0] | details["items"][0] | goods["items"][0]]}
    page["sealingKey"] = goods["sealingKey"]
    [item] = page["items"]
    item |= deepcopy(_ABOUT)
    parts = None
    if apart:
        parts = {key: item.pop(key) for key in ("encryptedParts", "partLeaves", "payloads")}
        parts |= {"firstCopy": 0, "copies": 1, "sealingKey": page.pop("sealingKey")}
        item["sections"] = [{"page": None, "copies": 1, "root": item["partsRoot"]}]
    return {"root": root, "page": page, "item": item, "parts": parts}


def _leaf(item: dict[str, Any]) -> bytes:
    amounts = [int(item[name]) for name in ("price", "commission", "penalty", "bond")]
    price, *wei = amounts
    return terms_leaf(
        Terms(
            item_id(item["itemId"]), parse_address(item["token"]), price, *map(Wei, wei),
            int(item["supply"]), item["stock"], item["parts"], item["threshold"],
            parse_address(item["arbitrator"]), bytes.fromhex(item["partsRoot"][2:]),
        )
    )  # fmt: skip


def _split(draft: Draft, put: Callable[[Any], dict[str, str]]) -> dict[str, Any]:
    """The page without details and goods, which get blocks of their own."""
    page, blocks = dict(draft["page"]), {}
    sealing_key = {key: page.pop(key) for key in ("sealingKey",) if key in page}
    whole = page["items"] if isinstance(page["items"], list) else []
    for name, keys in (("details", _DETAILS), ("goods", _GOODS)):
        items = [{key: item[key] for key in keys if key in item} for item in whole]
        blocks[name] = {"items": items} | (sealing_key if name == "goods" else {})
        draft.get("bend", {}).get(name, lambda _: None)(blocks[name])
    if whole:
        page["items"] = [
            {key: value for key, value in item.items() if key not in (*_DETAILS, *_GOODS)}
            for item in whole
        ]
    return page | {name: put(block) for name, block in blocks.items()} | draft.get("links", {})


def _row(name: str, draft: Draft, taken: bool, faults: bool) -> dict[str, Any]:
    blocks: list[bytes] = []

    def put(value: Any) -> dict[str, str]:
        blocks.append(canonical(value))
        return {"/": str(Cid.of("dag-json", blocks[-1]))}

    if draft["parts"] is not None:
        link = put(draft["parts"])
        for section in draft["item"]["sections"]:
            if isinstance(section, dict) and "page" in section and section["page"] is None:
                section["page"] = link
    page = put(_split(draft, put))
    root = draft["root"]
    if "pages" in root and not draft.get("own pages"):
        root["pages"] = [page]
    cid = Cid.parse(put(root)["/"])
    try:
        catalogue = MerkleTree([_leaf(one) for one in draft["page"]["items"]]).root
    except Exception:  # noqa: BLE001 - terms that are none have no leaf: any root will do
        catalogue = fixed("root")
    return {
        "name": name,
        "blocks": [
            {"cid": str(Cid.of("dag-json", data)), "text": data.decode()}
            for data in dict.fromkeys(blocks)
        ],
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "seller": SELLER,
        "digest": cid.digest,
        "catalogue_root": draft.get("catalogue", catalogue),
        "taken": taken,
        "broken_section": faults,
    }


def _put(place: str, **values: Any) -> Callable[[Draft], None]:
    return lambda draft: draft[place].update(values)


def _drop(place: str, name: str) -> Callable[[Draft], None]:
    return lambda draft: draft[place].pop(name)


def _twice(draft: Draft) -> None:
    draft["page"]["items"].append(deepcopy(draft["item"]))


_TAKEN: dict[str, Callable[[Draft], Any]] = {
    "as it is": lambda _: None,
    "nothing said of it": lambda d: [d["item"].pop(k) for k in _ABOUT if k != "otherMetadata"],
    "addresses in lower case": _put("item", arbitrator=an_address("x").lower()),
    "the largest amounts": _put("item", price=str(MAX_AMOUNT), penalty=str(MAX_AMOUNT)),
    "a name of a device in a word": _put("item", fileName="console.txt"),
    "metadata of eight levels": _put("item", otherMetadata={"a": [[[[[[1]]]]]]}),
    "a language with script and region": _put("item", language="zh-Hant-419"),
}
_ITEMS: dict[str, Callable[[Draft], Any]] = {
    "a key of the item that nobody knows": _put("item", x=1),
    "no title": _drop("item", "title"),
    "an amount that is a number": _put("item", price=1000),
    "an amount with a leading zero": _put("item", price="01000"),
    "an amount over 128 bits": _put("item", penalty=str(MAX_AMOUNT + 1)),
    "a supply over 64 bits": _put("item", supply=str(2**64), withdrawn=[[0, 1]]),
    "a negative amount": _put("item", bond="-1"),
    "a commission over a native price": _put("item", commission="1001"),
    "a threshold over the parts": _put("item", threshold=4),
    "a threshold of zero": _put("item", threshold=0),
    "33 parts": _put("item", parts=33),
    "a stock that is no boolean": _put("item", stock=0),
    "an address with a wrong checksum": _put("item", token="0x" + SELLER[2:].swapcase()),
    "an id that is not in NFC": _put("item", itemId="e\u0301"),
    "a title with a space at its end": _put("item", title="x "),
    "two items of one id": _twice,
    "another partsRoot than its parts have": _put("item", partsRoot="0x" + "11" * 32),
    "a kind that is none": _put("item", kind="thing"),
    "a tag twice": _put("item", tags=["a", "a"]),
    "no tag in the list": _put("item", tags=[]),
    "17 tags": _put("item", tags=[str(i) for i in range(17)]),
    "a tag over 48 bytes": _put("item", tags=["x" * 49]),
    "a language of another form": _put("item", language="PT"),
    "an empty description": _put("item", description=""),
    "a description over 4,096 bytes": _put("item", description="x" * 4097),
    "a licence over 128 bytes": _put("item", licence="x" * 129),
    "a file name with a path": _put("item", fileName="a/b"),
    "a hidden file's name": _put("item", fileName=".a"),
    "a file name that ends in a dot": _put("item", fileName="a."),
    "a device's name": _put("item", fileName="NUL.txt"),
    "a device's name with a superscript": _put("item", fileName="com\u00b9"),
    "a media type of another form": _put("item", mediaType="text"),
    "a size that is a text": _put("item", size="5"),
    "a size over every payload": _put("item", size=2**53 - 1),
    "withdrawn copies out of order": _put("item", withdrawn=[[5, 9], [0, 1]]),
    "withdrawn ranges that touch": _put("item", withdrawn=[[0, 1], [2, 3]]),
    "withdrawn copies beyond the supply": _put("item", withdrawn=[[0, 25]]),
    "a withdrawn range backwards": _put("item", withdrawn=[[3, 2]]),
    "no withdrawn range in the list": _put("item", withdrawn=[]),
    "metadata that is no object": _put("item", otherMetadata=[]),
    "metadata of nine levels": _put("item", otherMetadata={"a": [[[[[[[1]]]]]]]}),
    "a link in the metadata": _put("item", otherMetadata={"a": _RAW}),
    "metadata with a control": _put("item", otherMetadata={"a": "\x7f"}),
    "a key of the metadata with a newline": _put("item", otherMetadata={"a\n": 1}),
    "a key of the page that nobody knows": _put("page", x=1),
    "items that are no list": _put("page", items={}),
}
_SPLIT: dict[str, Callable[[Draft], Any]] = {
    "a key of the details that nobody knows": lambda d: d.update(
        bend={"details": lambda block: block.update(x=1)}
    ),
    "details of more items": lambda d: d.update(
        bend={"details": lambda block: block["items"].append({})}
    ),
    "no details": lambda d: d.update(bend={"details": lambda block: block["items"].clear()}),
    "a title among the details": lambda d: d.update(
        bend={"details": lambda block: block["items"][0].update(title="x")}
    ),
    "a key of the goods that nobody knows": lambda d: d.update(
        bend={"goods": lambda block: block.update(x=1)}
    ),
    "goods of more items": lambda d: d.update(
        bend={"goods": lambda block: block["items"].append(block["items"][0])}
    ),
    "no goods": lambda d: d.update(bend={"goods": lambda block: block["items"].clear()}),
    "both forms of goods": lambda d: d.update(
        bend={"goods": lambda block: block["items"][0].update(sections=[])}
    ),
    "details that are raw": lambda d: d.update(links={"details": _RAW}),
    "goods without a link": lambda d: d.update(links={"goods": "x"}),
}
_ROOTS: dict[str, Callable[[Draft], Any]] = {
    "an earlier version": _put("root", version=1),
    "a later version": _put("root", version=3),
    "a key of the root that nobody knows": _put("root", x=1),
    "another chain": _put("root", chainId=CHAIN_ID + 1),
    "another market": _put("root", market=an_address("other")),
    "another seller": _put("root", seller=an_address("other")),
    "a name with a newline": _put("root", storeName="a\nb"),
    "items beside pages": _put("root", items=[]),
    "a page that is raw": lambda d: d.update({"own pages": d["root"].update(pages=[_RAW]) or True}),
    "a page without a link": lambda d: d.update({"own pages": d["root"].update(pages=["x"]) or 1}),
    "another catalogue than on chain": lambda d: d.update(catalogue=fixed("another root")),
}
_PARTS: dict[str, Callable[[Draft], Any]] = {
    "a sealed part that is a byte short": lambda d: _cut(d, "encryptedParts"),
    "a sealed part too few": lambda d: _holder(d)["encryptedParts"].pop(),
    "a leaf too few": lambda d: _holder(d)["partLeaves"].pop(),
    "another leaf": lambda d: _holder(d)["partLeaves"].__setitem__(0, "0x" + "11" * 32),
    "no payload": lambda d: _holder(d)["payloads"].clear(),
    "two payloads": lambda d: _holder(d)["payloads"].append(_holder(d)["payloads"][0]),
    "a payload of no form": lambda d: _holder(d).update(payloads=[{"x": 1}]),
    "a payload of another size": lambda d: _holder(d).update(payloads=[{"inline": "0x00"}]),
    "a sealing key of low order": lambda d: _keeper(d).update(sealingKey="0x" + "00" * 32),
    "a sealing key that is not canonical": lambda d: _keeper(d).update(sealingKey="0x" + "ff" * 32),
    "hex in upper case": lambda d: _upper(d),
}


def _holder(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = draft["parts"] or draft["item"]
    return found


def _keeper(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = draft["parts"] or draft["page"]
    return found


def _cut(draft: Draft, name: str) -> None:
    holder = _holder(draft)
    holder[name][0] = holder[name][0][:-2]


def _upper(draft: Draft) -> None:
    leaves = _holder(draft)["partLeaves"]
    leaves[0] = "0x" + leaves[0][2:].upper()


def _same_roots(item: dict[str, Any]) -> None:
    root = MerkleTree([bytes.fromhex(item["partsRoot"][2:])] * 2).root
    item["sections"].append(deepcopy(item["sections"][0]))
    item.update(stock=True, supply="2", withdrawn=[[0, 0]], partsRoot="0x" + root.hex())


_SECTIONS: dict[str, Callable[[Draft], Any]] = {
    "two copies in a section of an item with one": lambda d: d["item"]["sections"][0].update(
        copies=2
    ),
    "no section": lambda d: d["item"].update(sections=[]),
    "a section twice": lambda d: d["item"]["sections"].append(deepcopy(d["item"]["sections"][0])),
    "two sections of one root": lambda d: _same_roots(d["item"]),
    "another root than partsRoot": lambda d: d["item"]["sections"][0].update(root="0x" + "11" * 32),
    "a section without copies": lambda d: d["item"]["sections"][0].update(copies=0),
    "a page of parts that is raw": lambda d: d["item"]["sections"][0].update(page=_RAW),
    "a key of the section that nobody knows": lambda d: d["item"]["sections"][0].update(x=1),
}
_PART_PAGES: dict[str, Callable[[Draft], Any]] = {
    "a page of parts for another copy": lambda d: d["parts"].update(firstCopy=1),
    "a page of parts with more copies": lambda d: d["parts"].update(copies=2),
    "a page of parts without a sealing key": lambda d: d["parts"].pop("sealingKey"),
    "a key of the page of parts that nobody knows": lambda d: d["parts"].update(x=1),
}


def documents() -> list[dict[str, Any]]:
    """Stores that readers take, refuse, or take without their one section."""
    rows = []

    def add(
        cases: dict[str, Callable[[Draft], Any]], *, apart: bool, taken: bool, faults: bool = False
    ) -> None:
        for name, edit in cases.items():
            draft = _draft(apart=apart)
            edit(draft)
            where = f"{name}, parts apart" if apart else name
            rows.append(_row(where, draft, taken, faults))

    add(_TAKEN, apart=False, taken=True)
    add({"as it is": lambda _: None}, apart=True, taken=True)
    add(_ITEMS | _SPLIT | _ROOTS | _PARTS, apart=False, taken=False)
    add(_SECTIONS, apart=True, taken=False)
    # What is wrong with a page of parts is its section's fault alone.
    add(_PARTS | _PART_PAGES, apart=True, taken=True, faults=True)
    return rows
