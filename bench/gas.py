"""Gas of every call, beside the bars of version 2 (`make bench` runs this).

Prints, for stores of 1, 64 and 10,000 items and for a per-copy stock of 1,000, the median of ten
transactions on Anvil, from the receipts, and the bytes of each contract; exits with 1 when a line
at 64 items is above its bar. Hashes, keys, salts and fragments are random non-zero bytes, so that
calldata costs what it costs in the field; three parts, threshold two, an arbitrator. ``--json``
prints the same as JSON; ``--check`` also fails where a line is dearer by more than 1 % than in
``bench/gas.json``; ``--write`` renews that file and docs/gas.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from _gas_shop import WINDOWS, Bench, Shop

from dam.crypto.hashing import closing_arguments
from dam.crypto.sealing import public_key
from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.testing.market import deploy_market, market_code
from dam.testing.nodes import AnvilNode
from dam.types import (
    ZERO_ADDRESS,
    Address,
    Closure,
    Purchase,
)

ROOT = Path(__file__).parent.parent
BASELINE = Path(__file__).with_name("gas.json")
PAGE = ROOT / "docs" / "gas.md"
BARS = {
    "stakeAsDeliverer": 48_500,
    "buyItem": 75_500,
    "deliverFragment": 55_500,
    "deliverFragments of 10, a part": 25_300,
    "deliverFragments of 50, a part": 23_000,
    "deliverFragment, fallback": 79_000,
    "deliverFragment, replacement": 79_000,
    "confirm": 52_500,
    "settle": 69_000,
    "closeMany of 50, a sale: settle": 22_000,
    "closeMany of 50, a sale: refund": 43_000,
    "proveJunk, n = 3, list of 1": 250_000,
    "proveJunk, n = 32, list of 50": 315_000,
    "a whole sale, parts alone": 300_000,
    "a whole sale, parts in batches of ten": 210_000,
}
"""Most that a line may cost at 64 items, set before the contract was written."""
BARRED = "64 items"
CODE_BAR = 23_576
"""Bytes of runtime code, each contract: 1,000 below the limit of EIP-170."""
# Why a line costs what it does: its storage writes above all (EIP-2929, EIP-3529), on top of the
# 21,000 of any transaction and its calldata. A word that was zero costs 22,100 to set, else 5,000.
REASONS = {
    "stakeAsSeller": "one new word: stake and operator share it",
    "stakeAsDeliverer": "one new word; key and possession go to the event alone",
    "createStore": "two new words: digest, and a hash that binds the root to it",
    "updateStore": "two words changed",
    "buyItem": "one new word for the sale, the stake lowered by R; all else is an event",
    "deliverFragment": "the sale's word and the deliverer's changed; 80 bytes, a signature, a log",
    "deliverFragment, credit zero": "earnings share the deliverer's word: nothing dearer",
    "deliverFragment, completing": "the same, and the state's change",
    "deliverFragment, last": "the same",
    "deliverFragment, fallback": "a new word for the entry; the fee becomes the buyer's credit",
    "deliverFragment, replacement": "a new word for the entry, the second word read",
    "deliverFragments of 10, a part": "the deliverer's word is written once, 21,000 shared",
    "deliverFragments of 50, a part": "the same; calldata is what stays",
    "confirm": "the sale's word, the seller's stake freed and credit raised",
    "settle": "the same where the credit was empty: a new word",
    "refund": "the sale's word, the stake freed less the penalty, the buyer's credit",
    "closeMany of 50, a sale: settle": "the sale's word; stake and credit once for all",
    "closeMany of 50, a sale: refund": "the same, and a new credit for each buyer",
    "openDispute": "the sale's word alone: the bond is in the escrow's hash",
    "resolveDispute": "as confirm, with two credits instead of one",
    "concede": "as refund",
    "agree": "as resolveDispute, with two signatures",
    "proveJunk, n = 3, list of 1": "a sealed box opened, 110,000; two new words, a first fine",
    "proveJunk, n = 32, list of 50": "the same, and 82 words more of calldata",
    "proveSellerJunk": "a sealed box opened; else as refund",
    "rateSale": "one bit of the sale's word; the stars are in the event",
    "withdraw": "a word emptied, which gives gas back, and a transfer of coins",
    "withdrawEarnings": "the deliverer's word changed, and a transfer of coins",
    "a whole sale, parts alone": "purchase, three parts, closeMany / 50, withdrawals / 10",
    "a whole sale, parts in batches of ten": "the same, each part a 10th of its batch",
}
RUNS = 10
FALLBACK_BLOCKS = 100


Note = Callable[[str, float], None]


async def measure(bench: Bench, items: int, copies: int, stock: bool) -> dict[str, float]:
    """Medians of ten for each call of one shape of store."""
    samples: dict[str, list[float]] = {}

    def note(name: str, gas: float) -> None:
        samples.setdefault(name, []).append(gas)

    for _ in range(RUNS if items < 1_000 and not stock else 1):
        shop = Shop(bench, items, copies, stock)
        for name, gas in (await shop.open()).items():
            note(name, gas)
    free = iter(range(300, 60_000) if not stock else range(300, copies))
    buyer = await bench.account()
    await single_parts(shop, free, buyer, note)
    for size in (10, 50):
        for _ in range(RUNS if items == 64 and not stock else 2):
            note(f"deliverFragments of {size}, a part", await batch(shop, free, buyer, size))
    await closings(shop, free, buyer, note)
    await proofs(shop, free, note)
    if not stock:
        wide = Shop(bench, items, copies, stock, parts=32)
        await wide.open()
        for copy in range(300, 303):
            await wide_proof(wide, copy, note)
    whole(note, samples)
    return {name: statistics.median(values) for name, values in samples.items()}


async def single_parts(shop: Shop, free: Iterator[int], buyer: Address, note: Note) -> None:
    """Purchases, parts one by one, and the ends that need no time."""
    bench = shop.bench
    for run in range(RUNS):
        gas, purchase = await shop.buy(next(free), buyer)
        note("buyItem", gas)
        first = "deliverFragment, credit zero" if run == 0 else "deliverFragment"
        lines = (first, "deliverFragment, completing", "deliverFragment, last")
        for line, index in zip(lines, shop.order, strict=True):
            note(line, await shop.deliver(shop.delivery(purchase, index)))
        closing = closing_arguments(purchase)
        if run % 2:
            paid = shop.terms.bond
            dispute = (*closing, bench.dense(32))
            note("openDispute", await bench.send(buyer, paid, "openDispute", *dispute))
            ruling = (*closing, shop.terms.price // 2, True)
            note(
                "resolveDispute",
                await bench.send(shop.arbitrator, 0, "resolveDispute", *ruling),
            )
        else:
            note("confirm", await bench.send(buyer, 0, "confirm", *closing))
            note("rateSale", await bench.send(buyer, 0, "rateSale", *closing[:2], 5))


async def batch(shop: Shop, free: Iterator[int], buyer: Address, size: int) -> float:
    """Gas of a part in a batch of `size`."""
    parts = []
    for _ in range(size):
        _, purchase = await shop.buy(next(free), buyer)
        parts.append(shop.delivery(purchase, shop.order[0]))
    by = shop.deliverers[shop.order[0]]
    signature = shop.bench.sign(by, [shop.entry(part) for part in parts])
    return await shop.bench.send(by, 0, "deliverFragments", parts, signature) / size


async def closings(shop: Shop, free: Iterator[int], buyer: Address, note: Note) -> None:
    """Ends that need time, and withdrawals."""
    bench, seller, one = shop.bench, shop.seller, shop.deliverers[0]
    for _ in range(3):
        _, purchase = await shop.buy(next(free), buyer)
        await bench.wait(WINDOWS.refund_seconds + 1)
        note("refund", await bench.send(buyer, 0, "refund", *closing_arguments(purchase)))
        complete = await sold(shop, free, buyer)
        note("concede", await bench.send(seller, 0, "concede", *closing_arguments(complete)))
        _, late = await shop.buy(next(free), buyer)
        await bench.mine(FALLBACK_BLOCKS + 1)
        fallback = await shop.deliver(shop.delivery(late, shop.order[0]), seller)
        note("deliverFragment, fallback", fallback)
        purchase = await sold(shop, free, buyer)
        await bench.wait(WINDOWS.dispute_seconds + 1)
        note("settle", await bench.send(seller, 0, "settle", *closing_arguments(purchase)))
        note("withdraw", await bench.send(seller, 0, "withdraw", ZERO_ADDRESS, seller))
        note("withdrawEarnings", await bench.send(one, 0, "withdrawEarnings", one, one))
    await many(shop, free, note)


async def sold(shop: Shop, free: Iterator[int], buyer: Address) -> Purchase:
    """A sale with all its parts there."""
    _, purchase = await shop.buy(next(free), buyer)
    for index in range(shop.parts):
        await shop.deliver(shop.delivery(purchase, index))
    return purchase


async def many(shop: Shop, free: Iterator[int], note: Note) -> None:
    """50 sales in one call, each of another buyer."""
    bench = shop.bench
    for _ in range(1 if shop.stock else 3):
        buyers = [await bench.account() for _ in range(50)]
        settled = [await sold(shop, free, one) for one in buyers]
        await bench.wait(WINDOWS.dispute_seconds + 1)
        note("closeMany of 50, a sale: settle", await close(shop, settled))
        refunded = [(await shop.buy(next(free), one))[1] for one in buyers]
        await bench.wait(WINDOWS.refund_seconds + 1)
        note("closeMany of 50, a sale: refund", await close(shop, refunded))


async def close(shop: Shop, purchases: list[Purchase]) -> float:
    closures = [Closure(*closing_arguments(purchase)) for purchase in purchases]
    used = await shop.bench.send(shop.seller, 0, "closeMany", closures)
    return used / len(closures)


async def proofs(shop: Shop, free: Iterator[int], note: Note) -> None:
    """Junk of a deliverer who was never fined, its replacement, and junk of the seller."""
    bench = shop.bench
    fresh = public_key(bench.secret())
    for index in shop.order:
        buyer = await bench.account()
        _, purchase = await shop.buy(next(free), buyer)
        junk = shop.delivery(purchase, index)
        await shop.deliver(junk)
        note("proveJunk, n = 3, list of 1", await shop.prove(purchase, junk, 0, fresh))
        await bench.mine(FALLBACK_BLOCKS + 1)
        again = shop.delivery(purchase, index, fresh_key=fresh)
        note("deliverFragment, replacement", await shop.deliver(again, shop.seller))
        other = shop.delivery(purchase, (index + 1) % 3)
        await shop.deliver(other, shop.seller)
        call = (*closing_arguments(purchase), purchase.keys, shop.opened(purchase, other))
        note("proveSellerJunk", await bench.send(buyer, 0, "proveSellerJunk", *call))


async def wide_proof(shop: Shop, copy: int, note: Note) -> None:
    """The dearest proof there is: 32 keys, a list of 50, a deliverer who was never fined."""
    bench = shop.bench
    _, purchase = await shop.buy(copy, await bench.account())
    junk = shop.delivery(purchase, shop.order[copy - 300])
    await shop.deliver(junk)
    fresh = public_key(bench.secret())
    note("proveJunk, n = 32, list of 50", await shop.prove(purchase, junk, 49, fresh))


def whole(note: Note, samples: dict[str, list[float]]) -> None:
    """A sale of three parts from its purchase to everybody's withdrawal."""
    gas = {name: statistics.median(values) for name, values in samples.items()}
    rest = gas["buyItem"] + gas["closeMany of 50, a sale: settle"]
    rest += (gas["withdraw"] + 3 * gas["withdrawEarnings"]) / 10
    alone = sum(gas["deliverFragment" + line] for line in ("", ", completing", ", last"))
    note("a whole sale, parts alone", rest + alone)
    note("a whole sale, parts in batches of ten", rest + 3 * gas["deliverFragments of 10, a part"])


SHAPES = {
    "1 item": (1, 1, False),
    "64 items": (64, 1, False),
    "10,000 items": (10_000, 1, False),
    "64 items, stock of 1,000": (64, 1_000, True),
}


async def run(shapes: list[str]) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Gas by shape and call, and the size of each contract's runtime code in bytes."""
    with AnvilNode() as node:
        rpc = JsonRpc(node.url)
        try:
            deployment = deploy_market(node, WINDOWS, code=market_code())
            contracts = {
                "Marketplace": deployment.market,
                "Closing": deployment.closing,
                "Proofs": deployment.proofs,
            }
            sizes = {
                name: len(await rpc.call("eth_getCode", address, "latest")) // 2 - 1
                for name, address in contracts.items()
            }
            bench = Bench(rpc, Market(rpc, deployment), random.Random(20))
            return {name: await measure(bench, *SHAPES[name]) for name in shapes}, sizes
        finally:
            await rpc.close()


def table(results: dict[str, dict[str, float]], sizes: dict[str, int]) -> str:
    lines = ["| contract | bytes | at most |", "|---|---:|---:|"]
    lines += [f"| {name} | {size:,} | {CODE_BAR:,} |" for name, size in sizes.items()]
    for shape, gas in results.items():
        lines += ["", f"## {shape}", "", "| call | gas | at most | |", "|---|---:|---:|---|"]
        for name, used in gas.items():
            bar = BARS.get(name) if shape == BARRED else None
            over = "OVER" if bar and used > bar else ""
            lines.append(f"| {name} | {used:,.0f} | {f'{bar:,}' if bar else ''} | {over} |")
    return "\n".join(lines)


def over(results: dict[str, dict[str, float]], sizes: dict[str, int]) -> list[str]:
    """Lines above their bar, missing ones, and contracts that are too large."""
    gas = results.get(BARRED)
    found = [f"{name}: {size:,} bytes" for name, size in sizes.items() if size > CODE_BAR]
    if gas is None:
        return found
    for name, bar in BARS.items():
        if name not in gas:
            found.append(f"{name}: not measured")
        elif gas[name] > bar:
            found.append(f"{name}: {gas[name]:,.0f}, at most {bar:,}")
    return found


def page(results: dict[str, dict[str, float]]) -> str:
    """The text of docs/gas.md."""
    shapes = list(results)
    lines = [
        "# What each call costs",
        "",
        "Gas by the receipts, medians, for three parts of which two are enough; made by",
        "`bench/gas.py --write`. A call that gets dearer by more than 1 % fails the tests.",
        "",
        "| call | " + " | ".join(shapes) + " | why |",
        "|---|" + "---:|" * len(shapes) + "---|",
    ]
    for name in REASONS:
        figures = " | ".join(
            f"{results[shape][name]:,.0f}" if name in results[shape] else "" for shape in shapes
        )
        lines.append(f"| {name} | {figures} | {REASONS[name]} |")
    lines += [
        "",
        "A stock of copies has one tree of all copies' parts: its proofs are longer by ten hashes.",
        "",
    ]
    return "\n".join(lines)


def worse(now: dict[str, dict[str, float]], before: dict[str, dict[str, float]]) -> list[str]:
    """Lines dearer than before by more than 1 %."""
    return [
        f"{shape}: {name}: {before[shape][name]:,.0f} -> {used:,.0f}"
        for shape, gas in now.items()
        for name, used in gas.items()
        if used > 1.01 * before.get(shape, {}).get(name, float("inf"))
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--shape", action="append", choices=list(SHAPES), help="some shapes alone")
    options = parser.parse_args()
    results, sizes = asyncio.run(run(options.shape or list(SHAPES)))
    print(json.dumps(results, indent=1) if options.json else table(results, sizes))
    if options.write:
        BASELINE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(results), encoding="utf-8")
    found, good = over(results, sizes), "every line is within its bar"
    if options.check:
        found += worse(results, json.loads(BASELINE.read_text(encoding="utf-8")))
        good += ", and none is dearer than it was"
    print("\n".join(found) or good, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
