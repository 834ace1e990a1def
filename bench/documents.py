"""Bytes that browsing reads, and bytes that a change moves (`make bench` runs this).

A store of 10,000 items of five parts is built as a seller builds it, and measured block by block:

- to browse it are read its root and its pages: at most 7 MiB, and 2.2 MiB if each block is
  compressed; beside it stands what the whole document has, which was read for it before;
- a new price moves at most 80,000 bytes of blocks that were not there before.

Titles, summaries and tags are words drawn from a vocabulary of a few thousand, so that they
compress as people's do. Exits with 1 over a bar.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from dam.catalog.about import About
from dam.crypto.derivation import SellerSeed, new_seed
from dam.crypto.hashing import checksum
from dam.keystore.key_files import KeyRing
from dam.market.deliverers import Deliverer
from dam.roles.seller.goods import add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_builder import BuiltStore, build_store
from dam.testing.blocks import MemoryStore
from dam.types import Wei

MIB = 1 << 20
RAW_BAR, GZIP_BAR, CHANGE_BAR = 7 * MIB, 2.2 * MIB, 80_000
MARKET, SELLER = (checksum(bytes([i]) * 20) for i in (0xAA, 0xBB))
PARTS = 5


class Shop:
    """A seller of made-up codes."""

    def __init__(self, folder: Path) -> None:
        self.seed = SellerSeed(new_seed())
        self.catalogue = Catalogue(folder)
        self.dice = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = [
            "".join(self.dice.choices(letters, k=self.dice.randint(2, 9))) for _ in range(4000)
        ]
        self.deliverers = [
            Deliverer(checksum(bytes([i + 1]) * 20), KeyRing.generate().current.public)
            for i in range(PARTS)
        ]

    def text(self, words: int) -> str:
        """Some words, a few of them far more often than the others."""
        picks = (int(len(self.words) * self.dice.random() ** 3) for _ in range(words))
        return " ".join(self.words[pick] for pick in picks)

    async def add(self, number: int) -> None:
        """One item with its code."""
        about = About(
            kind="code",
            summary=self.text(12),
            tags=tuple({self.text(1) for _ in range(3)}),
            description=self.text(60),
        )
        listing = Listing(
            chain_id=31337, market=MARKET, seller=SELLER, name=f"item-{number}",
            title=self.text(6), price=10**16 + number, commission=Wei(10**14),
            penalty=Wei(10**15), parts=PARTS, threshold=PARTS - 1, stock=False, supply=1000,
            about=about,
        )  # fmt: skip
        code = b"CODE-%d" % number
        full = await add_goods(MemoryStore(), self.seed, listing, [code], self.deliverers)
        self.catalogue.save(full)

    def build(self) -> BuiltStore:
        """Its store as it is now."""
        return build_store(
            self.seed, self.catalogue, name="Bench", chain_id=31337, market=MARKET, seller=SELLER
        )


def listed(built: BuiltStore) -> list[bytes]:
    """The blocks that lists read."""
    blocks = {str(cid): data for cid, data in built.blocks}
    root = blocks[str(built.cid)]
    return [root, *(blocks[link["/"]] for link in json.loads(root)["pages"])]


def size(blocks: list[bytes]) -> tuple[int, int]:
    """Bytes as they are, and compressed one by one."""
    return sum(map(len, blocks)), sum(len(gzip.compress(block)) for block in blocks)


def run(items: int, folder: Path, bar: int) -> bool:
    """Prints the figures; whether all are within their bars."""
    shop = Shop(folder)
    for number in range(items):
        asyncio.run(shop.add(number))
    built = shop.build()
    raw, packed = size(listed(built))
    whole, whole_packed = size([data for _, data in built.blocks])
    one = shop.catalogue.get(f"item-{items // 2}")
    assert one is not None
    shop.catalogue.save(replace(one, price=10**17))
    old = {cid for cid, _ in built.blocks}
    moved, _ = size([data for cid, data in shop.build().blocks if cid not in old])
    rows = [
        ("bytes to browse, raw", raw, whole, bar),
        ("bytes to browse, gzip", packed, whole_packed, GZIP_BAR),
        ("bytes that a new price moves", moved, whole, CHANGE_BAR),
    ]
    for what, found, baseline, most in rows:
        over = "   OVER" if found > most else ""
        print(f"{what:<30}{found:>12,}   of {baseline:>12,}   bar {int(most):>10,}{over}")
    return all(found <= most for _, found, _, most in rows)


def main() -> int:
    """Prints the comparison; 1 if a figure is over its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--bar", type=int, default=RAW_BAR, help="of the bytes to browse, raw")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if run(arguments.items, Path(folder), arguments.bar) else 1


if __name__ == "__main__":
    sys.exit(main())
