"""Draws docs/assets/sale.svg, the sequence of one sale: change it here and run this file."""

from __future__ import annotations

from html import escape
from pathlib import Path

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "assets" / "sale.svg"
WIDTH, LEFT, TOP, STEP, BOX = 1000, 90, 70, 44, 120

WHO = ("Seller", "Watchdog", "IPFS", "Contract", "Deliverer", "Buyer")
# From, to, words; or a heading alone.
STEPS: tuple[tuple[str, str, str] | str, ...] = (
    "Publishing",
    ("Seller", "IPFS", "store document: goods encrypted, parts of their keys sealed"),
    ("Seller", "Contract", "createStore: digest of the document, catalogue root"),
    ("Deliverer", "IPFS", "reads it, finds its sealed parts, pins it"),
    "Buying, in block P at time T",
    ("Buyer", "IPFS", "reads the document, checks it against the root"),
    ("Buyer", "Contract", "buyItem: price, n one-time keys"),
    ("Contract", "Deliverer", "ItemPurchased"),
    "Delivery, for a third of the refund window; the watchdog: for all of it",
    ("Deliverer", "Contract", "deliverFragment, signed: earns its fee"),
    ("Contract", "Buyer", "FragmentDelivered, n times: any k of them open the good"),
    ("Watchdog", "Contract", "from P + 101: delivers what is missing"),
    "Where a part is junk",
    ("Buyer", "Contract", "proveJunk: the deliverer is fined, the part is missing again"),
    ("Watchdog", "Contract", "delivers it, sealed to a fresh key of the buyer"),
    "The end, one of five",
    ("Buyer", "Contract", "confirm, from the gate on: the seller is paid"),
    ("Watchdog", "Contract", "settle, after DISPUTE_SECONDS of silence: the same"),
    ("Buyer", "Contract", "refund, with fewer than k parts: price and penalty"),
    ("Buyer", "Contract", "openDispute: the arbitrator rules (resolveDispute)"),
    ("Buyer", "Contract", "agree: any split, signed by buyer and seller"),
    "Money",
    ("Contract", "Seller", "withdraw: the price, and what came back of the stake is free again"),
)

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2933 }
.who { font-weight: 600; text-anchor: middle; fill: #fff }
.box { fill: #00796b }
.life { stroke: #b0bec5; stroke-dasharray: 3 4 }
.head { fill: #e0f2f1 }
.title { font-weight: 600; fill: #004d40 }
.words { text-anchor: middle; paint-order: stroke; stroke: #fff; stroke-width: 5px }
.line { stroke: #37474f; stroke-width: 1.4; marker-end: url(#tip) }
"""


def draw() -> str:
    gap = (WIDTH - 2 * LEFT) / (len(WHO) - 1)
    at = {name: LEFT + i * gap for i, name in enumerate(WHO)}
    height = TOP + STEP * len(STEPS) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>One sale, from the store document to the seller's money</title>",
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#37474f"/></marker></defs>'
        ),
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
    ]
    for name, x in at.items():
        out += [
            f'<line class="life" x1="{x:g}" y1="50" x2="{x:g}" y2="{height - 16}"/>',
            f'<rect class="box" x="{x - BOX / 2:g}" y="18" width="{BOX}" height="32" rx="5"/>',
            f'<text class="who" x="{x:g}" y="39">{name}</text>',
        ]
    for i, step in enumerate(STEPS):
        y = TOP + STEP * i + STEP / 2
        if isinstance(step, str):
            out += [
                f'<rect class="head" x="16" y="{y - 13:g}" width="{WIDTH - 32}" height="26"/>',
                f'<text class="title" x="28" y="{y + 5:g}">{escape(step)}</text>',
            ]
            continue
        source, target, words = step
        middle = (at[source] + at[target]) / 2
        # Words that are wider than their arrow stay inside the picture.
        half = len(words) * 3.4
        middle = min(max(middle, half + 24), WIDTH - half - 24)
        out += [
            (
                f'<line class="line" x1="{at[source]:g}" y1="{y + 9:g}" x2="{at[target]:g}" '
                f'y2="{y + 9:g}"/>'
            ),
            f'<text class="words" x="{middle:g}" y="{y - 1:g}">{escape(words)}</text>',
        ]
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
