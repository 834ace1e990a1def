"""What a whole sale costs, in gas and in money: the tables of docs/cost.md.

    tools/cost_page.py [--write]

Gas is that of bench/gas.json (64 items). Bytes are those of the calls, packed from dense random
values of the same shapes; what a rollup bills of them is its own compression's result, for which
DEFLATE stands here. Without --write the tables are compared with the page's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

from dam.crypto.hashing import checksum
from dam.market.abi import encode
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    Address,
    Closure,
    CopyId,
    Delivery,
    Escrow,
    Sale,
    Signature,
    Terms,
    Wei,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cost.md"
START, END = "<!-- tables: made by tools/cost_page.py -->\n", "<!-- /tables -->"
COLUMN = "64 items"
ETHER, GWEI = 10**18, 10**9
DOLLARS_PER_COIN = 3_000
PROOF_STEPS = 6
"""Of a tree of 64 leaves: items in a catalogue; parts need two, for three leaves."""
ENVELOPE_BYTES = 120
"""Of a transaction beside its calldata: signature, nonce, fees, recipient, gas, value."""

L1_GWEI = (0.1, 1, 5, 20)
"""Gas prices to show for a main chain."""


class Rollup(NamedTuple):
    """Prices of one rollup at one time, as examples; in gwei."""

    name: str
    l2_gwei: float
    l1_gwei: float
    blob_gwei: float
    base_fee_scalar: float
    """What one compressed byte costs: `16 x base_fee_scalar x l1 + blob_scalar x blob`."""
    blob_scalar: float

    @property
    def gwei_per_byte(self) -> float:
        return 16 * self.base_fee_scalar * self.l1_gwei + self.blob_scalar * self.blob_gwei


ROLLUPS = (
    Rollup("OP stack, quiet", 0.005, 1, 0.001, 0.002, 1.0),
    Rollup("OP stack, busy", 0.05, 20, 5, 0.002, 1.0),
    Rollup("Arbitrum, quiet", 0.01, 1, 0.001, 0, 1.0),
    Rollup("Arbitrum, busy", 0.1, 20, 5, 0, 1.0),
    Rollup("a rollup that posts calldata", 0.01, 20, 0, 1.0, 0),
)


class Share(NamedTuple):
    """One line of a sale: a call's gas and bytes, and how much of it falls on one sale."""

    what: str
    gas: float
    bytes: float


class Samples:
    """Calls with the bytes that they have in the field."""

    def __init__(self) -> None:
        # Reproducible on purpose: these are sizes, not keys.
        self._dice = random.Random("cost")
        self._seller = self._address()
        self._terms = Terms(
            item_id=self._word(),
            token=ZERO_ADDRESS,
            price=ETHER // 17,
            commission=Wei(ETHER // 170),
            penalty=Wei(ETHER // 30),
            bond=Wei(ETHER // 90),
            supply=100,
            stock=False,
            parts=3,
            threshold=2,
            arbitrator=self._address(),
            parts_root=self._word(),
        )

    def _word(self) -> bytes:
        return self._dice.randbytes(32)

    def _words(self, count: int) -> list[bytes]:
        return [self._word() for _ in range(count)]

    def _address(self) -> Address:
        return checksum(self._dice.randbytes(20))

    def _sale(self) -> Sale:
        at = self._dice.randrange(10**6)
        return Sale(
            seller=self._seller,
            buyer=self._address(),
            purchase_block=21_000_000 + at,
            purchase_time=1_790_000_000 + 12 * at,
            copy=at % 100,
            stock=False,
            parts=3,
            threshold=2,
            fee=self._terms.fee,
            parts_root=self._terms.parts_root,
            escrow_hash=self._word(),
        )

    def buy(self) -> bytes:
        """A purchase."""
        proof, digest = self._words(PROOF_STEPS), self._word()
        return encode("buyItem", self._seller, self._terms, proof, digest, 7, self._words(3))

    def _delivery(self) -> Delivery:
        return Delivery(
            copy_id=CopyId(self._word()),
            sale=self._sale(),
            index=1,
            deliverer=self._address(),
            commitment=self._word(),
            secret_hash=self._word(),
            salt=self._word(),
            fresh_key=ZERO32,
            proof=tuple(self._words(2)),
            fragment=self._dice.randbytes(80),
        )

    def deliver(self, parts: int) -> bytes:
        """A signed batch of so many parts."""
        signature = Signature(self._word(), self._word())
        return encode("deliverFragments", [self._delivery() for _ in range(parts)], signature)

    def close(self, sales: int) -> bytes:
        """So many sales closed at once."""
        return encode("closeMany", [self._closure() for _ in range(sales)])

    def _closure(self) -> Closure:
        terms = self._terms
        escrow = Escrow(
            store_digest=self._word(),
            keys_hash=self._word(),
            token=terms.token,
            price=terms.price,
            penalty=terms.penalty,
            bond=terms.bond,
            arbitrator=terms.arbitrator,
        )
        return Closure(CopyId(self._word()), self._sale(), escrow)

    def withdraw(self) -> bytes:
        """A seller's withdrawal."""
        return encode("withdraw", ZERO_ADDRESS, self._seller)

    def withdraw_earnings(self) -> bytes:
        """A deliverer's."""
        return encode("withdrawEarnings", self._address(), self._address())


def billed(data: bytes) -> int:
    """Bytes of a transaction with this calldata after compression."""
    envelope = random.Random("envelope").randbytes(ENVELOPE_BYTES)
    return len(zlib.compress(data + envelope, 9))


def shares() -> list[Share]:
    """What one sale of three parts takes: parts in batches of ten, closing in batches of fifty."""
    gas = json.loads((ROOT / "bench" / "gas.json").read_text("utf-8"))[COLUMN]
    sample = Samples()
    withdrawals = [billed(sample.withdraw()), *[billed(sample.withdraw_earnings())] * 3]
    return [
        Share("the purchase", gas["buyItem"], billed(sample.buy())),
        Share(
            "three parts, each a tenth of a batch",
            3 * gas["deliverFragments of 10, a part"],
            3 * billed(sample.deliver(10)) / 10,
        ),
        Share(
            "the end, a fiftieth of closeMany",
            gas["closeMany of 50, a sale: settle"],
            billed(sample.close(50)) / 50,
        ),
        Share(
            "four withdrawals, shared by ten sales",
            (gas["withdraw"] + 3 * gas["withdrawEarnings"]) / 10,
            sum(withdrawals) / 10,
        ),
    ]


def _dollars(gwei: float) -> str:
    value = gwei / 10**9 * DOLLARS_PER_COIN
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.4f}"


def tables() -> str:
    """The two tables, as they stand on the page."""
    lines = shares()
    gas, size = sum(line.gas for line in lines), sum(line.bytes for line in lines)
    out = ["| of one sale | gas | bytes after compression |", "|---|---:|---:|"]
    out += [f"| {line.what} | {line.gas:,.0f} | {line.bytes:,.0f} |" for line in lines]
    out += [f"| **all of it** | **{gas:,.0f}** | **{size:,.0f}** |", ""]
    out += [
        "| where | gas price, gwei | a byte, gwei | gas, $ | data, $ | a sale, $ |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    out += [
        f"| a main chain | {price:g} | - | {_dollars(gas * price)} | - | {_dollars(gas * price)} |"
        for price in L1_GWEI
    ]
    for rollup in ROLLUPS:
        run, data = gas * rollup.l2_gwei, size * rollup.gwei_per_byte
        out.append(
            f"| {rollup.name} | {rollup.l2_gwei:g} | {rollup.gwei_per_byte:.3g} | {_dollars(run)} "
            f"| {_dollars(data)} | {_dollars(run + data)} |"
        )
    return "\n".join(out) + "\n"


def page() -> str:
    """The page with fresh tables."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(START)
    return before + START + "\n" + tables() + "\n" + END + rest.split(END)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew docs/cost.md")
    if parser.parse_args().write:
        PAGE.write_text(page(), "utf-8")
        return 0
    if page() == PAGE.read_text("utf-8"):
        return 0
    print("docs/cost.md is not what tools/cost_page.py computes: --write renews it")
    return 1


if __name__ == "__main__":
    sys.exit(main())
