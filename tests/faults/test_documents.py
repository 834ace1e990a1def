"""F65 to F71: documents that no parser should trust.

Each bent document is a version of a rogue's store, with a sale under it that the chain took: the
rogue commits to the very terms that a careless reader would have found, so that nothing but the
fault itself speaks against the document. The daemon refuses that store by name and lives: it goes
on with the shop's sales, and with the rogue's once a proper document is published.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from dam.crypto.hashing import item_id
from dam.types import Terms, Wei
from tests.faults.daemons import Deliverer
from tests.faults.oracle import oracle
from tests.faults.rogue_seller import Document, RogueSeller, bent
from tests.faults.table import Injected, fault
from tests.faults.world import FaultWorld

ESCAPE = "DAG-JSON with an escape other than those of quote, backslash and newline"
NO_AMOUNT = "price is not a whole number, written as a text"
Case = tuple[bytes, Terms]
"""The document's bytes, and what the chain says that it sells."""


def text(document: Document) -> str:
    """The canonical text: what is bent in it afterwards is all that is wrong with it."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


async def all_refused(
    world: FaultWorld, rogue: RogueSeller, injected: Injected, cases: dict[str, Case]
) -> tuple[Deliverer, dict[str, str]]:
    """Publishes and sells all of it before a daemon, and checks that it is refused, and no more.

    Returns:
        The daemon, and why each document was refused, by the case's name.
    """
    daemon = await world.deliverer().start()
    digests = {}
    for name, (data, terms) in cases.items():
        offer = await rogue.publish(data, [terms])
        digests["0x" + offer.digest.hex()] = name
        await rogue.buy()
        injected.add(name)
    shop = await world.buy(2)
    await world.until_delivered(sales=shop)
    await world.until(
        lambda: len(daemon.logged("purchase_refused")) == len(cases), "all are refused"
    )
    # An honest document at last: nothing of what came before counts against its seller.
    await rogue.publish(await rogue.document())
    mended = await rogue.buy()
    await world.until_delivered(sales=[mended])
    outcome = await oracle(world, reasons=["document-refused"])
    assert outcome == {"delivered": 3, "document-refused": len(cases)}
    # One line for each document and one for each sale, whatever stands in them.
    refused = daemon.logged("store_refused")
    assert len(refused) == len(cases) == len(daemon.logged("purchase_refused"))
    assert not daemon.logged("internal_error")
    whole = daemon.text()
    assert all(isinstance(json.loads(line), dict) for line in whole.splitlines())
    assert whole.replace("\n", "").isprintable()
    assert max(len(line) for line in whole.splitlines()) < 2000
    return daemon, {digests[line["digest"]]: line["reason"] for line in refused}


def metadata(document: Document, inner: str) -> bytes:
    """The document with this text as a value in an item's metadata."""
    marked = text(bent(document, otherMetadata={"a": "MARK"}))
    return marked.replace('"MARK"', inner).encode()


def field(document: Document, name: str, inner: str) -> bytes:
    """The document with this text as the value of an item's field."""
    return text(bent(document, **{name: "MARK"})).replace('"MARK"', inner).encode()


@fault(
    65,
    "100k nesting",
    by="K",
    breaks="src/dam/ipfs/dag_json.py:_check_depth(text, max_depth)\n    try:",
    instead="try:",
)
async def test_f65_nested_a_hundred_thousand_deep(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    terms = rogue.terms(document)
    deep = 100_000
    cases = {
        "arrays": (metadata(document, "[" * deep + "]" * deep), terms),
        "objects": (metadata(document, '{"a":' * deep + "1" + "}" * deep), terms),
        "arrays in a term": (field(document, "price", "[" * deep + "]" * deep), terms),
        "never closed": (b"[" * deep, terms),
        "closed too often": (b"[" * deep + b"]" * (deep + 1), terms),
        "just over the limit": (metadata(document, "[" * 30 + "]" * 30), terms),
    }
    _, reasons = await all_refused(world, rogue, injected, cases)
    assert set(reasons.values()) == {"JSON nested deeper than 32 levels"}


@fault(
    66,
    "5,000-digit integer",
    by="K",
    breaks="src/dam/ipfs/dag_json.py:if len(digits) > 16 or int(digits) > MAX_INTEGER:",
    instead="if int(digits) > MAX_INTEGER:",
)
async def test_f66_integers_of_thousands_of_digits(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    terms = rogue.terms(document)
    long = "9" * 5000
    cases = {
        "price": (field(document, "price", long), terms),
        "parts": (field(document, "parts", long), terms),
        "in the metadata": (metadata(document, long), terms),
        "half a megabyte of it": (metadata(document, "9" * (1 << 19)), terms),
        "2^128": (field(document, "price", str(2**128)), terms),
        "as a text": (field(document, "price", f'"{long}"'), terms),
        "negative": (field(document, "price", "-" + long), terms),
    }
    _, reasons = await all_refused(world, rogue, injected, cases)
    assert reasons.pop("as a text") == NO_AMOUNT
    assert reasons.pop("negative") == "JSON with a negative number"
    assert set(reasons.values()) == {"JSON with a number over 2^53 - 1"}


PRICES = {
    "float": ("1.5", 1),
    "whole float": ("100.0", 100),
    "exponent": ("1e2", 100),
    "1e999": ("1e999", 1),
    "NaN": ("NaN", 0),
    "infinity": ("Infinity", 1),
    "minus infinity": ("-Infinity", 1),
    "negative": ("-1", 1),
    "minus zero": ("-0", 0),
    "true": ("true", 1),
    "false": ("false", 0),
    "null": ("null", 0),
    "list": ("[7]", 7),
    "text of a float": ('"1.5"', 1),
    "text of a negative": ('"-1"', 1),
    "text with a sign": ('"+1"', 1),
    "text with a space": ('" 1"', 1),
    "text with an underscore": ('"1_0"', 10),
    "text in hex": ('"0x10"', 16),
    "leading zero": ('"010"', 10),
    "other digits": ('"\uff11\uff10"', 10),
    "text of NaN": ('"NaN"', 0),
    "empty": ('""', 0),
}


@fault(
    67,
    "price float, NaN, 1e999, negative, boolean",
    by="K",
    breaks="src/dam/validation.py:if not isinstance(value, str) or not _AMOUNT.fullmatch(value):",
    instead="if isinstance(value, str) and not _AMOUNT.fullmatch(value):",
)
async def test_f67_prices_that_are_none(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    free = rogue.listing(commission=Wei(0), penalty=Wei(0))
    document = await rogue.document(free)
    terms = rogue.terms(document)
    cases = {
        name: (field(document, "price", shown), replace(terms, price=meant))
        for name, (shown, meant) in PRICES.items()
    }
    _, reasons = await all_refused(world, rogue, injected, cases)
    of_json = {"JSON with a number that is not an integer", "JSON with a negative number"}
    assert set(reasons.values()) == of_json | {NO_AMOUNT}


@fault(
    68,
    "duplicate ids or keys",
    by="K",
    breaks="src/dam/ipfs/dag_json.py:if len(result) != len(pairs):",
    instead="if False:",
)
async def test_f68_ids_and_keys_that_come_twice(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    terms, whole = rogue.terms(document), text(document)
    price = f'"price":"{terms.price}"'
    assert whole.count(price) == 1
    cheap = whole.replace(price, f'"price":"1",{price}')
    escaped = whole.replace(price, f'"\\u0070rice":"1",{price}')
    version = whole.replace('"version":2', '"version":1,"version":2')
    entry = document["items"][0]
    cases = {
        "price": (cheap.encode(), terms),
        "price, escaped": (escaped.encode(), terms),
        "version": (version.encode(), terms),
        "in the metadata": (metadata(document, '{"x":1,"x":1}'), terms),
        "id": (text({**document, "items": [entry, entry]}).encode(), terms),
    }
    _, reasons = await all_refused(world, rogue, injected, cases)
    assert reasons.pop("id") == "two items of the store have the same id"
    assert reasons.pop("price, escaped") == ESCAPE
    assert set(reasons.values()) == {"JSON object with a key twice"}


@fault(
    69,
    "bad UTF-8, UTF-16, lone surrogates",
    by="K",
    breaks='src/dam/ipfs/dag_json.py:if b"\\\\" in data.replace(rb"\\\\", b"")'
    '.replace(rb"\\"", b"").replace(rb"\\n", b""):',
    instead="if False:",
)
async def test_f69_texts_that_are_none(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    terms, whole = rogue.terms(document), text(document)
    title = f'"title":"{document["items"][0]["title"]}"'
    assert whole.count(title) == 1

    def titled(inner: bytes) -> Case:
        return whole.encode().replace(title.encode(), b'"title":"' + inner + b'"'), terms

    cases = {
        "a stray byte": titled(b"\xff"),
        "a cut letter": titled(b"\xc3"),
        "overlong": titled(b"\xc0\xaf"),
        "beyond Unicode": titled(b"\xf4\x90\x80\x80"),
        "surrogate in UTF-8": titled(b"\xed\xa0\x80"),
        "surrogate": titled(b"\\ud800"),
        "surrogates in the wrong order": titled(b"\\udc00\\ud800"),
        "surrogate in a key": (metadata(document, '{"\\udfff":1}'), terms),
        "UTF-16": (whole.encode("utf-16"), terms),
        "UTF-16 without a mark": (whole.encode("utf-16-le"), terms),
        "UTF-32": (whole.encode("utf-32"), terms),
        "UTF-8 with a mark": (whole.encode("utf-8-sig"), terms),
    }
    _, reasons = await all_refused(world, rogue, injected, cases)
    for name in ("surrogate", "surrogates in the wrong order", "surrogate in a key"):
        assert reasons.pop(name) == ESCAPE
    for name in ("UTF-16 without a mark", "UTF-8 with a mark"):
        assert reasons.pop(name).startswith("not JSON:")
    assert set(reasons.values()) == {"JSON that is not UTF-8"}


IDS = {
    "newline": "a\nb",
    "carriage return": "a\rb",
    "ANSI": "\x1b[31mred",
    "ANSI in one byte": "\x9b2J",
    "bell": "\x07",
    "nothing": "",
    "NUL": "a\0b",
    "turned around": "a\u202eb",
    "invisible": "a\u200bb",
    "line separator": "a\u2028b",
    "tag letters": "a\U000e0041",
    "space before": " a",
    "odd space": "a\u00a0b",
    "another spelling": "e\u0301",
    "too long": "x" * 129,
}


@fault(
    70,
    "newline or ANSI in ids",
    by="K",
    breaks="src/dam/validation.py:text = _printable(value, what, limit, _IN_IDS)",
    instead="text = value",
)
async def test_f70_ids_that_play_with_the_terminal(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    terms = rogue.terms(document)

    def called(name: str) -> Case:
        return text(bent(document, itemId=name)).encode(), replace(terms, item_id=item_id(name))

    cases = {name: called(value) for name, value in IDS.items()}
    other: dict[str, dict[str, Any]] = {
        "title": bent(document, title="\x1b]0;owned\x07"),
        "name of the store": {**document, "storeName": "A\nB"},
        "metadata": bent(document, otherMetadata={"\x1b[2J": 1}),
    }
    cases |= {name: (text(value).encode(), terms) for name, value in other.items()}
    cases["raw newline"] = (field(document, "title", '"a\nb"'), terms)
    daemon, reasons = await all_refused(world, rogue, injected, cases)
    assert reasons.pop("nothing") == "itemId is not a text"
    assert reasons.pop("too long") == "itemId is longer than 128 bytes"
    assert reasons.pop("raw newline").startswith("not JSON: Invalid control character")
    assert reasons.pop("space before") == "itemId has spaces around it"
    assert reasons.pop("another spelling") == "itemId is not in normal form (NFC)"
    # The controls that JSON has to escape do not even reach the rules of texts.
    escaped = {"carriage return", "ANSI", "bell", "NUL", "title", "metadata"}
    assert {reasons.pop(name) for name in escaped} == {ESCAPE}
    assert all("holds control, invisible or unass" in reason for reason in reasons.values())
    assert "\x1b" not in daemon.text()


@fault(
    71,
    "store changed after the purchase",
    by="A",
    breaks='src/dam/ledger/sales.py:"WHERE v.seller = ? AND (v.block, v.log_index) < (?, ?) "',
    instead='"WHERE v.seller = ? AND (0 * ?, 0 * ?) = (0, 0) "',
)
async def test_f71_the_version_at_the_purchase_wins(world: FaultWorld, injected: Injected) -> None:
    rogue = await RogueSeller.enter(world)
    document = await rogue.document()
    terms = rogue.terms(document)
    first = await rogue.publish(document)
    await rogue.buy()
    # Dearer, sealed anew, and then gone: with one sale under each version, the deliverer down.
    dearer = await rogue.document(rogue.listing(price=terms.price * 2))
    await rogue.publish(dearer)
    injected.add("another price")
    await rogue.buy()
    await rogue.publish({**document, "items": []})
    injected.add("closed")
    daemon = await world.deliverer().start()
    await world.until_delivered()
    # Once more before its eyes, the store changed in the block after the purchase.
    await rogue.publish(document)
    assert rogue.versions[-1].digest == first.digest
    await rogue.buy()
    await rogue.publish(b"no document at all", [terms])
    injected.add("spoilt")
    await world.buy()
    await world.until_delivered()
    assert await oracle(world) == {"delivered": 4}
    assert len(daemon.logged("store_refused")) == 1
