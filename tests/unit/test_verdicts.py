"""Both implementations give the same verdict on what is made up here: bytes, texts, logs, stores.

Python makes the cases by a seeded generator, from what is right, a little bent; `web/test/verdicts`
reads them in one Node process. DAM_VERDICTS sets how many of each kind; `make nightly
STAGES=verdicts` has 20,000.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dam import validation
from dam.catalog import reader
from dam.catalog.about import DETAIL_KEYS
from dam.crypto.hashing import item_id, parse_address, terms_leaf
from dam.crypto.merkle import MerkleTree
from dam.errors import BlockRefused, IpfsError, Malformed
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import RawLog
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.market.log_decoder import LogDecoder, place
from dam.roles.buyer import records
from dam.testing.blocks import MemoryStore
from dam.types import Terms, Wei
from tests.unit.helpers.documents import canonical

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
CHAIN = json.loads((ROOT / "tests/vectors/chain.json").read_bytes())
VECTORS = json.loads((ROOT / "tests/vectors/vectors.json").read_bytes())
COUNT = int(os.environ.get("DAM_VERDICTS", "200"))
SEED = int(os.environ.get("DAM_VERDICTS_SEED", "1"))
MARKET = CHAIN["event"][0]["address"]

Verdict = Any
"""What was read; None: refused."""


# ------------------------------------------------------------------------------------------ bending

_TOKENS = [
    b'"', b"\\", b"\\n", b"\\u0000", b"\\ud800", b"\\/", b"{", b"}", b"[", b"]", b",", b":", b" ",
    b"\n", b"\t", b"0", b"-0", b"1.0", b"1e1", b"00", b"9007199254740991", b"9007199254740992",
    b"18446744073709551616", b"NaN", b"null", b"true", b'{"/":"x"}', b'"/":', b'"__proto__":1',
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xc2\x85",
    "é".encode(), "e\u0301".encode(), "\u2028".encode(), "\ufdd0".encode(), b"0x", b"0X", b"A",
]  # fmt: skip


def bend(dice: random.Random, data: bytes) -> bytes:
    """The bytes with one to three changes, or none."""
    bent = bytearray(data)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        at = dice.randrange(len(bent) + 1)
        size = dice.choice((0, 0, 1, 1, 2, 8, 40))
        match dice.randrange(5):
            case 0:
                bent[at : at + size] = dice.choice(_TOKENS)
            case 1:
                bent[at : at + 1] = bytes((dice.randrange(256),))
            case 2:
                del bent[at : at + size]
            case 3:
                other = dice.randrange(len(bent) + 1)
                bent[at:at] = bent[other : other + size]
            case _:
                # Of hex and numbers, one digit for another: the JSON stays whole.
                digits = [i for i, b in enumerate(bent) if b in b"0123456789abcdef"]
                if digits:
                    bent[dice.choice(digits)] = dice.choice(b"0123456789abcdefABCDEF")
    return bytes(bent)


def bend_value(dice: random.Random, value: Any) -> Any:
    """A JSON value with one place changed: what bytes alone would seldom hit."""
    odd = (None, True, 0, 1, -1, 2**53, 1.5, "", "x", "0", "01", "1e1", " a", "0x", [], {}, [[]])
    if isinstance(value, dict) and value and dice.random() < 0.9:
        value = dict(value)
        key = dice.choice(sorted(value))
        match dice.randrange(6):
            case 0:
                del value[key]
            case 1:
                value[dice.choice(("x", "withdrawn", "tags", "kind", "size", "/"))] = dice.choice(
                    odd
                )
            case _:
                value[key] = bend_value(dice, value[key])
        return value
    if isinstance(value, list) and value and dice.random() < 0.8:
        value = list(value)
        at = dice.randrange(len(value))
        match dice.randrange(4):
            case 0:
                del value[at]
            case 1:
                value.append(value[at])
            case _:
                value[at] = bend_value(dice, value[at])
        return value
    if isinstance(value, str) and value and dice.random() < 0.6:
        return bend(dice, value.encode()).decode("utf-8", "replace")
    return dice.choice(odd)


def a_text(dice: random.Random) -> str:
    ranges = ((0x20, 0x7E), (0, 0x20), (0x7F, 0xA0), (0xA0, 0x600), (0x1100, 0x11FF),
              (0x2000, 0x2070), (0x3000, 0x3164), (0xAC00, 0xAD00), (0xFDD0, 0xFFFF),
              (0x1F600, 0x1FAFF), (0, 0xD7FF), (0xE000, 0x10FFFF))  # fmt: skip
    size = dice.choice((0, 1, 1, 2, 3, 5, 40, 130))
    low, high = dice.choice(ranges)
    plain, odd = (0x61, 0x7A), (low, high)
    return "".join(chr(dice.randint(*(odd if dice.random() < 0.3 else plain))) for _ in range(size))


# ----------------------------------------------------------------------------------------- verdicts


def verdict(read: Callable[[], Any]) -> Verdict:
    try:
        return read()
    except (Malformed, BlockRefused, IpfsError, RpcBadReplyError):
        return None


@contextmanager
def node(folder: Path) -> Iterator[Callable[[dict[str, Any]], Verdict]]:
    """The TypeScript's verdicts, from one process."""
    bundle = folder / "verdicts.mjs"
    esbuild = WEB / "node_modules" / ".bin" / "esbuild"
    flags = ["--bundle", "--format=esm", "--platform=node", "--log-level=warning"]
    command = [str(esbuild), str(WEB / "test" / "verdicts.ts"), *flags, f"--outfile={bundle}"]
    subprocess.run(command, check=True)
    program = str(ROOT / ".tools" / "bin" / "node")
    pipe = subprocess.PIPE
    with subprocess.Popen([program, str(bundle)], stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout

        def ask(asked: dict[str, Any]) -> Verdict:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())["found"]

        yield ask
        process.stdin.close()


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Verdict]]:
    with node(tmp_path_factory.mktemp("verdicts")) as asking:
        yield asking


def compare(ask: Callable[..., Verdict], asked: dict[str, Any], ours: Verdict) -> bool:
    """Whether it was taken; both say the same of it."""
    theirs = ask(asked)
    assert theirs == ours, f"seed {SEED}: {json.dumps(asked)[:2000]}"
    return ours is not None


def dice_for(kind: str) -> random.Random:
    return random.Random(f"{SEED} {kind}")


BLOCKS = [bytes.fromhex(row["data"][2:]) for row in VECTORS["block"]]
BLOCKS += [block["text"].encode() for row in VECTORS["store"] for block in row["blocks"]]


def test_blocks(ask: Callable[..., Verdict]) -> None:
    dice, taken = dice_for("block"), 0
    for _ in range(COUNT):
        data = bend(dice, dice.choice(BLOCKS))
        ours = verdict(lambda data=data: "0x" + dag_json.dumps(dag_json.decode(data)).hex())
        taken += compare(ask, {"kind": "block", "given": "0x" + data.hex()}, ours)
    assert 0 < taken < COUNT


def test_files(ask: Callable[..., Verdict]) -> None:
    dice, taken = dice_for("file"), 0
    files = [row["file"].encode() for row in CHAIN["purchaseRecord"]]
    for number in range(COUNT):
        kind = ("file", "record")[number % 2]
        data = bend(dice, dice.choice(files if kind == "record" else files + BLOCKS))

        def read(data: bytes = data, kind: str = kind) -> str:
            if kind == "record":
                return "0x" + records.to_json(records.from_json(data)).hex()
            return "0x" + dag_json.dumps(dag_json.loads(data)).hex()

        taken += compare(ask, {"kind": kind, "given": "0x" + data.hex()}, verdict(read))
    assert 0 < taken < COUNT


def test_texts(ask: Callable[..., Verdict]) -> None:
    dice, taken = dice_for("text"), 0
    readers: dict[str, Callable[[str], str]] = {
        "id": lambda text: validation.identifier(text, "x"),
        "line": lambda text: validation.title(text, "x"),
        "text": lambda text: validation.text(text, "x", 4096),
        "address": parse_address,
        "cid": lambda text: str(Cid.parse(text)),
    }
    kinds = sorted(readers)
    seeds = [MARKET, MARKET.lower(), *(row["cid"] for row in VECTORS["cid"])]
    for number in range(COUNT):
        kind = kinds[number % len(kinds)]
        text = a_text(dice)
        if kind in ("address", "cid"):
            text = bend(dice, dice.choice(seeds).encode()).decode("utf-8", "replace")
        ours = verdict(partial(readers[kind], text))
        taken += compare(ask, {"kind": kind, "given": text}, ours)
    assert 0 < taken < COUNT


def test_logs(ask: Callable[..., Verdict]) -> None:
    dice, taken = dice_for("log"), 0
    for _ in range(COUNT):
        row = dice.choice(CHAIN["event"])
        topics, data = list(row["topics"]), row["data"]
        if dice.random() < 0.3:
            at = dice.randrange(len(topics))
            topics[at] = bend(dice, topics[at].encode()).decode("utf-8", "replace")
        elif dice.random() < 0.8:
            data = bend(dice, data.encode()).decode("utf-8", "replace")
        log = RawLog(row["address"], topics, data, "0x5", "0x" + "05" * 32, "0x" + "77" * 32, "0x0")

        def read(log: RawLog = log, event: str = row["event"]) -> str:
            LogDecoder().records(place([log], MARKET.lower(), 5, 5))
            LogDecoder().rows(place([log], MARKET.lower(), 5, 5))
            return event

        shown = {"address": row["address"], "topics": topics, "data": data}
        asked = {"kind": "log", "given": "", "log": shown, "market": MARKET}
        taken += compare(ask, asked, verdict(read))
    assert 0 < taken < COUNT


def root_of(document: bytes, blocks: dict[str, bytes]) -> str | None:
    """The catalogue root that a seller of such a document would have put on the chain, so that it
    is not for the root alone that it is refused.
    """
    try:
        root = json.loads(document)
        pages = (
            [json.loads(blocks[page["/"]]) for page in root["pages"]] if "pages" in root else [root]
        )
        leaves = [
            terms_leaf(
                Terms(
                    item_id(item["itemId"]), parse_address(item["token"]), int(item["price"]),
                    Wei(int(item["commission"])), Wei(int(item["penalty"])),
                    Wei(int(item["bond"])), int(item["supply"]), item["stock"], item["parts"],
                    item["threshold"], parse_address(item["arbitrator"]),
                    bytes.fromhex(item["partsRoot"][2:]),
                )
            )
            for page in pages
            for item in page["items"]
        ]  # fmt: skip
        return "0x" + MerkleTree(leaves).root.hex()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, Malformed):
        return None


ABOUT = {
    "kind": "file", "summary": "One line", "tags": ["a", "b c"], "language": "pt-BR",
    "description": "Two\nlines", "licence": "MIT", "fileName": "a b.txt", "mediaType": "text/plain",
    "size": 5, "withdrawn": [[0, 1], [5, 9]], "otherMetadata": {"note": ["a", {"b": 1}], "c": "d"},
}  # fmt: skip


DETAILS = (*DETAIL_KEYS, "otherMetadata")


def a_store(dice: random.Random) -> list[Any]:
    """The blocks of a store, the root last: as in the vectors, or with all that an item may say,
    or with its parts on a page of their own, or all in one block.
    """
    details, goods, page, root = (
        json.loads(block["text"]) for block in VECTORS["store"][0]["blocks"]
    )
    [item], [more], [kept] = page["items"], details["items"], goods["items"]
    if dice.random() < 0.7:
        more |= {name: value for name, value in ABOUT.items() if name in DETAILS}
        item |= {name: value for name, value in ABOUT.items() if name not in DETAILS}
    blocks = []
    if dice.random() < 0.4:
        parts = {key: kept.pop(key) for key in ("encryptedParts", "partLeaves", "payloads")}
        parts |= {"firstCopy": 0, "copies": 1, "sealingKey": goods.pop("sealingKey")}
        kept["sections"] = [{"page": link(parts), "copies": 1, "root": item["partsRoot"]}]
        blocks.append(parts)
    if dice.random() < 0.3:
        del root["pages"]
        key = {name: goods[name] for name in ("sealingKey",) if name in goods}
        return [*blocks, root | {"items": [item | more | kept]} | key]
    page |= {"details": link(details), "goods": link(goods)}
    return [*blocks, details, goods, page, root | {"pages": [link(page)]}]


def link(value: Any) -> dict[str, str]:
    return {"/": str(Cid.of("dag-json", canonical(value)))}


def bent_store(dice: random.Random) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A store with something changed in one of its blocks, and links that name what is there."""
    row = VECTORS["store"][0]
    blocks = a_store(dice)
    chosen, names, found = dice.randrange(len(blocks)), {}, {}
    for number, block in enumerate(blocks):
        text = canonical(block).decode()
        named = str(Cid.of("dag-json", text.encode()))
        for old, new in names.items():
            text = text.replace(old, new)
        value = json.loads(text)
        data = canonical(bend_value(dice, value) if number == chosen else value)
        cid = str(Cid.of("dag-json", data))
        names[named], found[cid] = cid, data
    place_of = {
        "chainId": int(row["chainId"]),
        "market": row["market"],
        "seller": row["seller"],
        "digest": "0x" + Cid.parse(cid).digest.hex(),
        "root": root_of(found[cid], found) or row["catalogueRoot"],
    }
    return place_of, found


async def read_store(where: dict[str, Any], found: dict[str, bytes]) -> Verdict:
    blocks = MemoryStore()
    for data in found.values():
        await blocks.put("dag-json", data)
    store = await reader.read_store(
        blocks,
        bytes.fromhex(where["digest"][2:]),
        chain_id=where["chainId"],
        market=where["market"],
        seller=where["seller"],
        root=bytes.fromhex(where["root"][2:]),
    )
    return [[not section.fault for section in item.sections] for item in store.items]


def test_stores(ask: Callable[..., Verdict]) -> None:
    dice, taken = dice_for("store"), 0
    for _ in range(COUNT):
        where, found = bent_store(dice)
        ours = verdict(lambda where=where, found=found: asyncio.run(read_store(where, found)))
        blocks = {cid: "0x" + data.hex() for cid, data in found.items()}
        asked = {"kind": "store", "given": "", "place": where, "blocks": blocks}
        taken += compare(ask, asked, ours)
    assert 0 < taken < COUNT
