"""Gas of every call, beside the first sketch of DAM (`make bench` runs this).

Prints, for stores of 1, 64 and 10,000 items and for a per-copy stock of 1,000, the median of ten
transactions on Anvil, from the receipts, and its ratio to the sketch's figure. Hashes, keys,
salts and fragments are random non-zero bytes, so that calldata costs what it costs in the field;
three parts, threshold two, an arbitrator. ``--json`` prints the same as JSON; ``--check`` compares
with ``bench/gas.json`` and exits with 1 when a line got dearer by more than 1 %; ``--write``
renews that file and docs/gas.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as abi_encode

from dam.crypto.hashing import copy_id, escrow_of, keccak, part_leaf, sale_of, terms_leaf
from dam.crypto.merkle import MerkleTree
from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.testing.nodes import AnvilNode
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Delivery,
    Deployment,
    LogRef,
    PartLeaf,
    Purchase,
    Terms,
    Wei,
    Windows,
)

ROOT = Path(__file__).parent.parent
BASELINE = Path(__file__).with_name("gas.json")
PAGE = ROOT / "docs" / "gas.md"
SKETCH = {
    "buyItem": 74_391,
    "deliverFragment": 37_950,
    "createStore": 94_682,
    "updateStore": 39_912,
    "stakeAsSeller": 44_987,
    "stakeAsDeliverer": 44_914,
    "openDispute": 49_265,
}
# Why a line costs what it does: its storage writes above all (EIP-2929, EIP-3529), on top of the
# 21,000 of any transaction and its calldata. A word that was zero costs 22,100 to set, else 5,000.
REASONS = {
    "stakeAsSeller": "one new word: stake and operator share it",
    "stakeAsDeliverer": "one new word; the key goes to the event alone",
    "createStore": "two new words: digest, and a hash that binds the root to it",
    "updateStore": "two words changed",
    "buyItem": "one new word for the sale, the stake lowered by R; all else is an event",
    "deliverFragment": "the sale's word and the deliverer's changed; 80 bytes of fragment",
    "deliverFragment, credit zero": "earnings share the deliverer's word: nothing dearer",
    "deliverFragment, completing": "the same, and the state's change",
    "deliverFragment, last": "the same",
    "deliverFragments of 10, a part": "the deliverer's word is written once, 21,000 shared",
    "deliverFragments of 50, a part": "the same; calldata is what stays",
    "confirm": "the sale's word, the seller's stake freed and credit raised",
    "settle": "the same where the credit was empty: a new word",
    "refund": "the sale's word, the stake freed less the penalty, the buyer's credit",
    "openDispute": "the sale's word alone: the bond is in the escrow's hash",
    "resolveDispute": "as confirm, with two credits instead of one",
    "rateSale": "one bit of the sale's word; the stars are in the event",
    "withdraw": "a word emptied, which gives gas back, and a transfer of coins",
    "withdrawEarnings": "the deliverer's word changed, and a transfer of coins",
    "a whole sale, ended by confirm": "purchase, three parts, confirm, rating, four withdrawals",
    "a whole sale, ended by settle": "purchase, three parts, settle, four withdrawals",
}
RUNS = 10
ETHER = 10**18
STAKE = Wei(ETHER // 10)
WINDOWS = Windows(300, 100, 100, 1_000, STAKE, Wei(0), 100, 100)


class Bench:
    """One Anvil, one market, fresh accounts on demand."""

    def __init__(self, rpc: JsonRpc, market: Market, rng: random.Random) -> None:
        self.rpc, self.market, self.rng = rpc, market, rng

    def dense(self, size: int) -> bytes:
        """Random bytes without a zero among them."""
        return bytes(self.rng.randrange(1, 256) for _ in range(size))

    def key(self) -> bytes:
        return self.dense(31) + bytes([self.rng.randrange(1, 0x7F)])

    async def account(self) -> Address:
        from eth_utils.address import to_checksum_address

        address = Address(to_checksum_address(self.dense(20)))
        await self.rpc.call("anvil_impersonateAccount", address)
        await self.rpc.call("anvil_setBalance", address, hex(100 * ETHER))
        return address

    async def send(self, sender: Address, value: int, function: str, *args: Any) -> int:
        """Sends one call; returns the gas used. A revert is an error of the bench."""
        data = self.market.encode(function, *args)
        transaction = {
            "from": sender,
            "to": self.market.deployment.market,
            "value": hex(value),
            "data": "0x" + data.hex(),
            "gas": hex(16_000_000),
        }
        receipt = await mined(self.rpc, transaction)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"{function} reverted")
        self.block = int(receipt["blockNumber"], 16)
        return int(receipt["gasUsed"], 16)

    async def mine(self, blocks: int) -> None:
        await self.rpc.call("anvil_mine", hex(blocks))


async def mined(rpc: JsonRpc, transaction: dict[str, str]) -> dict[str, Any]:
    """Sends from an unlocked account and waits for the receipt."""
    sent = await rpc.call("eth_sendTransaction", transaction)
    while True:
        receipt: dict[str, Any] | None = await rpc.call("eth_getTransactionReceipt", sent)
        if receipt is not None:
            return receipt
        await asyncio.sleep(0.002)


class Shop:
    """A seller with one item among `items`, ready to be bought."""

    def __init__(self, bench: Bench, items: int, copies: int, stock: bool) -> None:
        self.bench, self.items, self.copies, self.stock = bench, items, copies, stock

    async def open(self) -> dict[str, int]:
        bench = self.bench
        self.seller = await bench.account()
        self.arbitrator = await bench.account()
        self.deliverers = [await bench.account() for _ in range(3)]
        gas = {"stakeAsSeller": await bench.send(self.seller, 50 * ETHER, "stakeAsSeller")}
        for one in self.deliverers:
            used = await bench.send(one, STAKE, "stakeAsDeliverer", bench.key())
            gas["stakeAsDeliverer"] = used
        self.leaves = [
            PartLeaf(copy, i, who, bench.dense(32), secret, bench.dense(32))
            for copy in range(self.copies if self.stock else 1)
            for secret in [bench.dense(32)]
            for i, who in enumerate(self.deliverers)
        ]
        self.parts = MerkleTree([part_leaf(leaf) for leaf in self.leaves])
        # The deepest leaf first, so that the lines below name the dearest case.
        depth = [len(self.parts.proof(part_leaf(leaf))) for leaf in self.leaves[:3]]
        self.order = sorted(range(3), key=lambda i: -depth[i])
        price = Wei(int.from_bytes(bench.dense(7), "big"))
        self.terms = Terms(
            item_id=bench.dense(32),
            token=ZERO_ADDRESS,
            price=price,
            commission=Wei(price // 7),
            penalty=Wei(int.from_bytes(bench.dense(6), "big")),
            bond=Wei(int.from_bytes(bench.dense(6), "big")),
            supply=max(self.copies, 60_000),
            stock=self.stock,
            parts=3,
            threshold=2,
            arbitrator=self.arbitrator,
            parts_root=self.parts.root,
        )
        others = [bench.dense(32) for _ in range(self.items - 1)]
        self.catalogue = MerkleTree([terms_leaf(self.terms), *others])
        self.digest = bench.dense(32)
        root = self.catalogue.root
        gas["createStore"] = await bench.send(self.seller, 0, "createStore", bench.dense(32), root)
        gas["updateStore"] = await bench.send(self.seller, 0, "updateStore", self.digest, root)
        return gas

    async def buy(self, copy: int, buyer: Address) -> tuple[int, Purchase]:
        bench = self.bench
        keys = tuple(bench.key() for _ in range(3))
        proof = self.catalogue.proof(terms_leaf(self.terms))
        call = (self.seller, self.terms, proof, self.digest, copy, keys)
        gas = await bench.send(buyer, self.terms.price, "buyItem", *call)
        at = LogRef(BlockRef(bench.block, bytes(32)), bytes(32), 0)
        cid = copy_id(self.seller, self.terms.item_id, copy)
        return gas, Purchase(cid, self.seller, buyer, self.digest, copy, self.terms, keys, at)

    def delivery(self, purchase: Purchase, index: int) -> Delivery:
        leaf = self.leaves[3 * purchase.leaf_copy + index]
        return Delivery(
            purchase.copy_id,
            sale_of(purchase),
            index,
            leaf.deliverer,
            leaf.commitment,
            leaf.secret_hash,
            leaf.salt,
            tuple(self.parts.proof(part_leaf(leaf))),
            self.bench.dense(80),
        )


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
    for run in range(RUNS):
        gas, purchase = await shop.buy(next(free), buyer)
        note("buyItem", gas)
        first = "deliverFragment, credit zero" if run == 0 else "deliverFragment"
        lines = (first, "deliverFragment, completing", "deliverFragment, last")
        for line, index in zip(lines, shop.order, strict=True):
            one = shop.delivery(purchase, index)
            note(line, await bench.send(shop.deliverers[index], 0, "deliverFragment", one))
        closing = (purchase.copy_id, sale_of(purchase), escrow_of(purchase))
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
    for size in (10, 50):
        for _ in range(RUNS if items == 64 and not stock else 2):
            batch = []
            for _ in range(size):
                _, purchase = await shop.buy(next(free), buyer)
                batch.append(shop.delivery(purchase, shop.order[0]))
            by = shop.deliverers[shop.order[0]]
            gas = await bench.send(by, 0, "deliverFragments", batch)
            note(f"deliverFragments of {size}, a part", gas / size)
    await closings(shop, free, buyer, note)
    return {name: statistics.median(values) for name, values in samples.items()}


async def closings(
    shop: Shop, free: Iterator[int], buyer: Address, note: Callable[[str, float], None]
) -> None:
    """Ends that need time, withdrawals, and sales from one end to the other."""
    bench, seller, one = shop.bench, shop.seller, shop.deliverers[0]
    for _ in range(3):
        _, purchase = await shop.buy(next(free), buyer)
        closing = (purchase.copy_id, sale_of(purchase), escrow_of(purchase))
        await bench.mine(301)
        note("refund", await bench.send(buyer, 0, "refund", *closing))
        _, purchase = await shop.buy(next(free), buyer)
        closing = (purchase.copy_id, sale_of(purchase), escrow_of(purchase))
        for i in range(3):
            await bench.send(shop.deliverers[i], 0, "deliverFragment", shop.delivery(purchase, i))
        await bench.mine(101)
        note("settle", await bench.send(seller, 0, "settle", *closing))
        note("withdraw", await bench.send(seller, 0, "withdraw", ZERO_ADDRESS, seller))
        note("withdrawEarnings", await bench.send(one, 0, "withdrawEarnings", one, one))
    for _ in range(3):
        for end in ("confirm", "settle"):
            whole = await whole_sale(shop, next(free), buyer, end)
            note(f"a whole sale, ended by {end}", sum(whole.values()))
            if end == "confirm":
                note("rateSale", whole["rateSale"])


async def whole_sale(shop: Shop, copy: int, buyer: Address, end: str) -> dict[str, int]:
    """Gas of everything from the purchase to everybody's withdrawal; a buyer who confirms rates."""
    bench = shop.bench
    gas, purchase = await shop.buy(copy, buyer)
    spent = {"buyItem": gas}
    for i, one in enumerate(shop.deliverers):
        part = shop.delivery(purchase, i)
        spent[f"part {i}"] = await bench.send(one, 0, "deliverFragment", part)
    closing = (purchase.copy_id, sale_of(purchase), escrow_of(purchase))
    if end == "settle":
        await bench.mine(101)
    spent[end] = await bench.send(buyer if end == "confirm" else shop.seller, 0, end, *closing)
    if end == "confirm":
        spent["rateSale"] = await bench.send(buyer, 0, "rateSale", *closing[:2], 5)
    native, seller = ZERO_ADDRESS, shop.seller
    spent["withdraw"] = await bench.send(seller, 0, "withdraw", native, seller)
    for i, one in enumerate(shop.deliverers):
        spent[f"earnings {i}"] = await bench.send(one, 0, "withdrawEarnings", one, one)
    return spent


SHAPES = {
    "1 item": (1, 1, False),
    "64 items": (64, 1, False),
    "10,000 items": (10_000, 1, False),
    "64 items, stock of 1,000": (64, 1_000, True),
}


def deploy_data() -> bytes:
    """Creation code with the constructor's arguments, compiled by forge."""
    subprocess.run(["forge", "build"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    built = json.loads((ROOT / ".build/forge/Marketplace.sol/Marketplace.json").read_text())
    arguments = abi_encode(
        ["(uint64,uint64,uint64,uint64,uint64,uint64)", "address", "uint256", "uint256"],
        [(300, 100, 100, 1_000, 100, 100), ZERO_ADDRESS, STAKE, 0],
    )
    return bytes.fromhex(built["bytecode"]["object"][2:]) + arguments


async def run() -> dict[str, dict[str, float]]:
    with AnvilNode() as node:
        rpc = JsonRpc(node.url)
        try:
            sender = (await rpc.call("eth_accounts"))[0]
            data = {"from": sender, "data": "0x" + deploy_data().hex(), "gas": hex(15_000_000)}
            receipt = await mined(rpc, data)
            created = await rpc.call("eth_getCode", receipt["contractAddress"], "latest")
            code = bytes.fromhex(created[2:])
            deployment = Deployment(
                31337, Address(receipt["contractAddress"]), 0, keccak(code), WINDOWS, ZERO_ADDRESS
            )
            bench = Bench(rpc, Market(rpc, deployment), random.Random(20))
            print(f"runtime code: {len(code):,} bytes", file=sys.stderr)
            return {name: await measure(bench, *shape) for name, shape in SHAPES.items()}
        finally:
            await rpc.close()


def table(results: dict[str, dict[str, float]]) -> str:
    lines = []
    for shape, gas in results.items():
        lines += ["", f"## {shape}", "", "| call | gas | sketch | ratio |", "|---|---:|---:|---:|"]
        for name, used in gas.items():
            sketch = SKETCH.get(name)
            ratio = f"{used / sketch:.3f}" if sketch else ""
            lines.append(f"| {name} | {used:,.0f} | {f'{sketch:,}' if sketch else ''} | {ratio} |")
    return "\n".join(lines).strip()


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
        figures = " | ".join(f"{results[shape][name]:,.0f}" for shape in shapes)
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
    options = parser.parse_args()
    results = asyncio.run(run())
    print(json.dumps(results, indent=1) if options.json else table(results))
    if options.write:
        BASELINE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(results), encoding="utf-8")
    if options.check:
        found = worse(results, json.loads(BASELINE.read_text(encoding="utf-8")))
        print("\n".join(found) or "no line got dearer by more than 1 %", file=sys.stderr)
        return 1 if found else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
