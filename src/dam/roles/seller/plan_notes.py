"""What a seller sees before a store is published: what changes, and what they should know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dam.ethereum.erc20 import Tokens
from dam.market.deliverers import Candidate
from dam.roles.seller.listings import Listing
from dam.roles.seller.store_changes import Change
from dam.roles.seller.store_file import ItemDraft
from dam.types import ZERO_ADDRESS, Address, Windows
from dam.units import format_amount

DELIVERY_GAS = 50_000
"""What a delivery costs its deliverer, roughly; a fee below that is an offer few will take."""


def differences(change: Change, tokens: Tokens) -> list[str]:
    """What publishing changes of one item, a line each; nothing for one that is new or stays.

    Args:
        change: From `plan_changes`.
        tokens: Those that its old and new prices are in, as far as they are known.
    """
    old, draft = change.old, change.draft
    if old is None:
        return []
    if draft is None:
        if change.what == "closed":
            return [f"stays off sale; --open {change.name} lists it again"]
        return ["goes off sale: it is not among the items any more"]
    lines = [] if old.listed else ["is for sale again"]
    lines += [
        f"{name}: {before} -> {after}"
        for name, before, after in _terms(old, draft, tokens)
        if before != after
    ]
    if old.metadata != dict(draft.metadata):
        lines.append("metadata: other than before")
    if change.goods and draft.stock:
        lines.append(f"codes: {old.supply} -> {old.supply + len(change.goods)}")
    elif change.goods:
        lines.append("good: another than before")
    if change.assign or (change.goods and not draft.stock):
        lines.append(f"deliverers: {_named(draft)} in place of those before")
    elif change.goods:
        lines.append(f"deliverers of the new codes: {_named(draft)}")
    return lines


def _named(draft: ItemDraft) -> str:
    return ", ".join(draft.deliverers) or "picked by stake and record"


def _terms(old: Listing, draft: ItemDraft, tokens: Tokens) -> Iterator[tuple[str, str, str]]:
    """Name, old and new of each term, as people write them."""
    yield "title", old.title, draft.title
    yield "price", tokens.text(old.token, old.price), tokens.text(draft.token, draft.price)
    for name in ("commission", "penalty", "bond"):
        yield name, format_amount(getattr(old, name)), format_amount(getattr(draft, name))
    if not draft.stock:
        yield "copies", str(old.supply), str(draft.supply)
    parts = [f"{one.threshold} of {one.parts}" for one in (old, draft)]
    yield "parts", parts[0], parts[1]
    who = ["none" if a.arbitrator == ZERO_ADDRESS else a.arbitrator for a in (old, draft)]
    yield "arbitrator", who[0], who[1]


def warnings(
    changes: Sequence[Change],
    candidates: Mapping[Address, Candidate],
    windows: Windows,
    *,
    free_stake: int,
    gas_price: int,
) -> list[str]:
    """What a seller should know before they publish; none of it is a mistake."""
    found = []
    needed: dict[str, int] = {}
    for change in changes:
        draft = change.draft
        if draft is None:
            continue
        fee = draft.commission // draft.parts
        bond = draft.bond if int(draft.arbitrator, 16) else 0
        needed[draft.name] = draft.parts * fee + draft.penalty + bond
        if draft.threshold == 1:
            found.append(
                f"{draft.name}: one part gives the whole key, so each of its deliverers can open "
                "the good alone"
            )
        if draft.threshold == draft.parts:
            found.append(
                f"{draft.name}: every part is needed, so one silent deliverer costs you the sale "
                "unless your watchdog runs"
            )
        if fee < DELIVERY_GAS * gas_price:
            found.append(
                f"{draft.name}: a part earns {format_amount(fee)}, and to deliver it costs about "
                f"{format_amount(DELIVERY_GAS * gas_price)} of gas now: few will bother"
            )
        found += _departed(change, candidates, windows)
    uncovered = [name for name, reserve in needed.items() if reserve > free_stake]
    if uncovered:
        most = max(needed[name] for name in uncovered)
        found.append(
            f"your free stake of {format_amount(free_stake)} does not cover one sale of "
            f"{', '.join(uncovered)}: nobody can buy until `dam seller stake` has brought it to "
            f"{format_amount(most)}"
        )
    return found


def _departed(
    change: Change, candidates: Mapping[Address, Candidate], windows: Windows
) -> list[str]:
    """Deliverers of what is for sale who deliver no longer."""
    if change.old is None or change.assign:
        return []
    operators = {d.operator for lot in change.old.lots for d in lot.deliverers}
    gone = [
        operator
        for operator in sorted(operators)
        if operator not in candidates or candidates[operator].obstacle(windows)
    ]
    if not gone:
        return []
    text = (
        f"{change.name}: {len(gone)} of its deliverers deliver no longer ({', '.join(gone)}); "
        f"--assign {change.name} gives its parts to others"
    )
    return [text]
