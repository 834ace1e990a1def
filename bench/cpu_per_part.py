"""CPU that one delivered part costs, beside the sum of its primitives (`make bench` runs this).

A backlog of 1,000 sales is in a real ledger (SQLite, on disk, ``synchronous=FULL``), of a stock
item with a tree over the parts of all its copies, so that every part has a proof of its own.
Measured is `time.process_time`, kernel time included, of everything between the purchase and the
signed transaction: `Deliverer.decide`, `Sender.step` (profit, simulation, batches, ABI encoding,
signing), every write to the ledger, and log lines as JSON. The node is a stub that answers from
memory: what HTTP costs is in bench/block_packing.py.

The baseline runs, on the same inputs and as often as a part by itself needs them, only

- X25519: ``crypto_box_beforenm``, once a part, which opens our part;
- seal: ``crypto_box_seal``, once a part (two multiplications);
- keccak256 (`hashing.keccak`): commitment, leaf (twice), every step of the proof, the domain, the
  buyer's keys, escrow and sale, what is signed of a list (fragment and entry of each part, the
  digest), and twice the transaction (what is signed, and its hash);
- ABI encoding: of the part alone, for it is simulated before it joins others, and of the batch;
- a raw coincurve signature, once a transaction;
- the same once a list: of the part alone, for its simulation, and of the batch.

Not in the baseline, though the path needs it: opening the secretbox, checking the buyer's key, RLP.
On our side one multiplication serves all parts of a page (protocol, section 3), and proofs of one
tree share their upper steps (`merkle.ProofVerifier`); the ledger and Python live off that.
``--items 1000`` gives each part a page and a tree of its own, where nothing is shared: that is not
what a backlog looks like, and it is over the bar. Both sides run in turns, in many short rounds; of
each the best counts, which is one that nobody else on the machine disturbed. Exits with 1 over the
bar.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_account import Account
from nacl import bindings as sodium

from dam.crypto.hashing import copy_id, domain, keccak, part_leaf, sale_of
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import new_secret_key, public_key, seal_part, shared_key
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyRing
from dam.ledger.documents import Documents, Scan
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.sales import KeptPart
from dam.log import configure_logging, get_logger
from dam.market.abi import encode
from dam.market.log_rows import dump_terms, split_words
from dam.roles.deliverer.deliverer import Deliverer
from dam.sending.sender import Sender, SendPolicy
from dam.testing.pages import rows_of
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Clock,
    Delivery,
    Deployment,
    LogRef,
    Part,
    PartLeaf,
    Purchase,
    Signature,
    StoreVersion,
    Terms,
    Wei,
    Windows,
)

BAR = 1.25
CHAIN = 31337
GWEI = 10**9
WINDOWS = Windows(86_400, 259_200, 604_800, 2_246_400, 604_800, 604_800, Wei(10), Wei(10), Wei(5))
MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
HEAD = BlockRef(110, keccak(b"head"), 1_700_000_000)
CLOCK = Clock(HEAD.number, HEAD.timestamp)
SIGNATURE = Signature(bytes(range(32)), bytes(range(32)))


class Node:
    """Answers at once, from memory; and stands in for the market's views."""

    address = MARKET
    deployment = Deployment(
        CHAIN, MARKET, 1, bytes(32), ZERO_ADDRESS, ZERO_ADDRESS, WINDOWS, ZERO_ADDRESS
    )

    def __init__(self) -> None:
        self.raw: list[str] = []

    async def call(self, method: str, *params: Any) -> Any:
        assert method == "eth_sendRawTransaction", method
        self.raw.append(params[0])
        return "0x"

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, errors: bool = False
    ) -> list[Any]:
        del errors
        return [_ANSWERS[method] for method, _ in calls]

    def encode(self, function: str, *args: Any) -> bytes:
        return encode(function, *args)

    async def deliverer(self, operator: Address) -> Any:
        del operator
        return _Staked()

    async def announced_key(
        self, operator: Address, first: int, last: int
    ) -> tuple[bytes | None, int]:
        del operator, first
        return None, last


@dataclass(frozen=True)
class _Staked:
    stake = Wei(10**18)
    exit_time = 0


_ANSWERS: dict[str, Any] = {
    "eth_call": "0x",
    "eth_estimateGas": hex(700_000),
    "eth_getTransactionCount": "0x0",
    "eth_feeHistory": {"baseFeePerGas": [hex(GWEI)] * 2},
    "eth_maxPriorityFeePerGas": hex(GWEI),
}


@dataclass
class Market:
    """Stores, items and purchases of which one part each is ours."""

    parts: int
    items: int

    def __post_init__(self) -> None:
        dice = random.Random(5)
        self.account = Account.from_key(keccak(b"deliverer"))
        self.me = Address(self.account.address)
        self.ring = KeyRing.generate()
        self.buyers = [_address(dice) for _ in range(50)]
        self.versions: list[StoreVersion] = []
        self.scans: list[tuple[StoreVersion, Scan]] = []
        self.purchases: list[Purchase] = []
        for number in range(self.items):
            self._add_item(dice, number, -(-self.parts // self.items))
        dice.shuffle(self.purchases)

    def _add_item(self, dice: random.Random, number: int, copies: int) -> None:
        seller = _address(dice)
        at = LogRef(BlockRef(1, keccak(b"block 1")), dice.randbytes(32), number)
        version = StoreVersion(seller, dice.randbytes(32), dice.randbytes(32), at)
        item_id = keccak(number.to_bytes(4, "big"))
        others = [_address(dice), _address(dice)]
        leaves, mine = [], []
        for copy in range(copies):
            shares = [dice.randbytes(32) for _ in range(3)]
            secret, salts = dice.randbytes(32), [dice.randbytes(32) for _ in range(3)]
            for index, who in enumerate((self.me, *others)):
                leaves.append(
                    PartLeaf(copy, index, who, keccak(shares[index]), secret, salts[index])
                )
            place = domain(CHAIN, MARKET, seller, item_id, True, copy)
            mine.append(Part(place, 0, shares[0], secret, salts[0]))
        tree = MerkleTree([part_leaf(leaf) for leaf in leaves])
        terms = Terms(
            item_id, ZERO_ADDRESS, 10**17, Wei(3 * 10**16), Wei(10**16), Wei(10**15), copies,
            True, 3, 2, others[0], tree.root,
        )  # fmt: skip
        page = new_secret_key()
        shared = shared_key(page, self.ring.current.public)
        kept = [
            KeptPart(
                item_id, copy, 0, dump_terms(terms), public_key(page), seal_part(shared, part),
                b"".join(tree.proof(part_leaf(leaves[3 * copy]))),
            )
            for copy, part in enumerate(mine)
        ]  # fmt: skip
        self.versions.append(version)
        self.scans.append((version, Scan(kept)))
        for copy in range(copies):
            block = 100 + dice.randrange(8)
            at = LogRef(
                BlockRef(block, keccak(b"block %d" % block)), dice.randbytes(32),
                1000 + len(self.purchases),
            )  # fmt: skip
            keys = tuple(public_key(dice.randbytes(32)) for _ in range(3))
            sold = copy_id(seller, item_id, copy)
            buyer = dice.choice(self.buyers)
            self.purchases.append(
                Purchase(
                    sold,
                    seller,
                    buyer,
                    version.digest,
                    copy,
                    block,
                    HEAD.timestamp - 60,
                    terms,
                    keys,
                    at,
                )
            )

    def ledger(self, path: Path) -> Ledger:
        """A new one, with all purchases read and none decided."""
        ledger = Ledger.open(path, Binding(CHAIN, MARKET, self.me, "deliverer"))
        documents = Documents(ledger)
        documents.note_keys([key.public for key in self.ring.keys])
        with ledger.transaction():
            rows = rows_of([*self.versions, *self.purchases])
            ledger.save_range(rows, HEAD, delivery_seconds=WINDOWS.delivery_seconds)
        for version, scan in self.scans:
            [document] = [d for d in documents.wanted(()) if d.digest == version.digest]
            documents.save_scan(document, scan)
        return ledger


def _address(dice: random.Random) -> Address:
    return Address(Account.from_key(dice.randbytes(32)).address)


async def deliver(market: Market, path: Path, batch: int) -> tuple[float, list[str]]:
    """Decides, encodes and signs everything; CPU seconds, and the transactions."""
    ledger = market.ledger(path)
    node = Node()
    log = get_logger("deliverer")
    signer = Signer(market.me, market.account)
    policy = SendPolicy(batch=batch, max_live=10**6, confirmations=0)
    role = Deliverer(node, ledger, market.ring, market.me, log=log)
    sender = Sender(node, node, signer, ledger, operator=signer, log=log, policy=policy)
    gc.collect()
    gc.freeze()  # what the bench itself holds is not the daemon's to look through
    start = time.process_time()
    await role.decide(HEAD, CLOCK)
    await sender.step(HEAD.number, HEAD, CLOCK)
    taken = time.process_time() - start
    ledger.close()
    return taken, node.raw


class Primitives:
    """The inputs of every primitive, laid out beforehand, and runs over them."""

    def __init__(self, market: Market, batch: int) -> None:
        self.key = PrivateKey(bytes(market.account.key))
        self.market = market
        kept = {(part.item_id, part.copy): part for _, scan in market.scans for part in scan.parts}
        found = [(p, kept[p.terms.item_id, p.copy]) for p in market.purchases]
        secret = market.ring.current.secret
        self.opens = [(part.page_key, secret) for _, part in found]
        self.seals = [(bytes(range(32)), p.keys[part.index]) for p, part in found]
        deliveries = [
            Delivery(
                p.copy_id, sale_of(p), part.index, market.me, p.copy_id, p.copy_id, p.copy_id,
                ZERO32, split_words(part.proof), bytes(80),
            )
            for p, part in found
        ]  # fmt: skip
        self.deliveries = deliveries
        self.batches = [deliveries[i : i + batch] for i in range(0, len(deliveries), batch)]
        self.hashed: list[bytes] = []
        for _, part in found:
            # Commitment, leaf twice, proof, domain, three keys, escrow, sale; and what is signed
            # of the part alone: fragment, entry, list, type, digest.
            sizes = (32, 192, 32, *[64] * (len(part.proof) // 32), 192, 96, 224, 352)
            sizes += (80, 160, 32, 64, 66)
            self.hashed += [bytes(size) for size in sizes]
        for batch_ in self.batches:
            size = len(encode("deliverFragments", batch_, SIGNATURE)) + 120
            self.hashed += [bytes(size), bytes(size + 70)]
            # Its list: each fragment and entry once more, and the digest.
            self.hashed += [bytes(80), bytes(160)] * len(batch_)
            self.hashed += [bytes(32 * len(batch_)), bytes(64), bytes(66)]
        self.counts = {
            "X25519": len(self.opens),
            "seal": len(self.seals),
            "keccak": len(self.hashed),
            "ABI": len(self.batches) + len(deliveries),
            "signature": len(self.batches),
            "of lists": len(self.batches) + len(deliveries),
        }

    def run(self) -> dict[str, float]:
        """CPU seconds of each."""
        parts: dict[str, Callable[[], None]] = {
            "X25519": self._x25519,
            "seal": self._seal,
            "keccak": self._keccak,
            "ABI": self._abi,
            "signature": self._sign,
            "of lists": self._sign_lists,
        }
        taken = {}
        for name, part in parts.items():
            start = time.process_time()
            part()
            taken[name] = time.process_time() - start
        return taken

    def _x25519(self) -> None:
        for public, secret in self.opens:
            sodium.crypto_box_beforenm(public, secret)

    def _seal(self) -> None:
        for share, key in self.seals:
            sodium.crypto_box_seal(share, key)

    def _keccak(self) -> None:
        for data in self.hashed:
            keccak(data)

    def _abi(self) -> None:
        for one in self.deliveries:
            encode("deliverFragment", one, SIGNATURE)
        for batch in self.batches:
            encode("deliverFragments", batch, SIGNATURE)

    def _sign(self) -> None:
        digest = bytes(range(32))
        for _ in self.batches:
            self.key.sign_recoverable(digest, hasher=None)

    def _sign_lists(self) -> None:
        digest = bytes(range(32))
        for _ in range(self.counts["of lists"]):
            self.key.sign_recoverable(digest, hasher=None)


def main() -> int:
    """Prints the comparison; 1 if a line is over the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--parts", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batches", type=int, nargs="+", default=[10, 24])
    parser.add_argument("--bar", type=float, default=BAR)
    arguments = parser.parse_args()
    worst = 0.0
    with Path(os.devnull).open("w") as silence, tempfile.TemporaryDirectory() as folder:
        configure_logging(stream=silence)
        market = Market(arguments.parts, arguments.items)
        parts = len(market.purchases)
        for batch in arguments.batches:
            primitives = Primitives(market, batch)
            best: dict[str, float] = {}
            ours = []
            for number in range(arguments.rounds):
                path = Path(folder) / f"{batch}-{number}.sqlite"
                taken, raw = asyncio.run(deliver(market, path, batch))
                _check(raw, primitives, batch)
                ours.append(taken)
                for name, seconds in primitives.run().items():
                    best[name] = min(seconds, best.get(name, seconds))
            total = sum(best.values())
            ratio = min(ours) / total
            worst = max(worst, ratio)
            print(
                f"{parts} parts, batches of {batch}: {min(ours) / parts * 1e6:.1f} us of CPU a part"
            )
            for name, seconds in best.items():
                count = primitives.counts[name] / parts
                print(f"  {name:10} {seconds / parts * 1e6:7.1f} us  ({count:g} a part)")
            print(
                f"  sum        {total / parts * 1e6:7.1f} us; ratio {ratio:.3f}, "
                f"bar {arguments.bar}"
            )
    print("worst ratio", round(worst, 3))
    return 1 if worst > arguments.bar else 0


def _check(raw: list[str], primitives: Primitives, batch: int) -> None:
    """All parts were signed for, in batches of the size that is claimed."""
    sizes = [len(text) // 2 for text in raw]
    parts = sum(len(one) for one in primitives.batches)
    whole = max(sizes)
    per_part = whole // batch
    if abs(sum(sizes) // per_part - parts) > len(raw) or len(raw) > -(-parts // batch) + 8:
        raise SystemExit(f"{len(raw)} transactions of {sum(sizes)} bytes are not {parts} parts")


if __name__ == "__main__":
    sys.exit(main())
