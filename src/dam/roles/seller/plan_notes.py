"""What a seller sees before a store is published: what changes, and what they should know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dam.catalog import about
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.market.deliverers import Candidate
from dam.market.sale_history import SaleHistory
from dam.roles.seller.deliverer_choice import Choice
from dam.roles.seller.drafted import ItemDraft
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_changes import Change
from dam.types import STAKED_FEES, ZERO_ADDRESS, Address, Wei, Windows
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
    before, after = about.to_json(old.about), about.to_json(draft.about)
    changed = [key for key in about.KEYS if before.get(key) != after.get(key)]
    if changed:
        lines.append(f"{', '.join(changed)}: other than before")
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


def fees_open(catalogue: Catalogue, seller: Address, history: SaleHistory) -> dict[Address, Wei]:
    """What each deliverer could still earn with parts of a seller's open sales, in wei."""
    found: dict[Address, Wei] = {}
    for sale in history.sales.values():
        purchase, root = sale.purchase, sale.purchase.terms.parts_root
        if purchase.seller != seller or sale.status.final:
            continue
        try:
            listing = catalogue.recall(root)
            lot = listing.lot_of(purchase.copy) if listing else None
        except Permanent:  # The watchdog tells of a damaged catalogue.
            continue
        for index, one in enumerate(lot.deliverers if lot else ()):
            if index not in sale.delivered:
                found[one.operator] = Wei(found.get(one.operator, 0) + purchase.terms.fee)
    return found


def choice_warnings(
    changes: Sequence[Change], choices: Sequence[Choice | None], open_fees: Mapping[Address, Wei]
) -> list[str]:
    """What a seller should know of who gets their parts.

    Args:
        changes: From `plan_changes`.
        choices: From `choose_deliverers`.
        open_fees: From `fees_open`.
    """
    found = []
    for change, choice in zip(changes, choices, strict=True):
        draft = change.draft
        if draft is None or choice is None:
            continue
        found += [
            f"{draft.name}: {one} and {other} share an owner, a funder, a key or a registration: "
            "they may be one person, who then holds both parts"
            for one, other in choice.alike
        ]
        fee = draft.commission // draft.parts
        copies = len(change.goods) if draft.stock else draft.supply
        for one in choice.candidates:
            fees = open_fees.get(one.operator, 0) + fee * copies
            if fees > one.stake:
                found.append(
                    f"{draft.name}: if all its copies were bought at once, {one.operator} would "
                    f"have fees of {format_amount(fees)} open against a stake of "
                    f"{format_amount(one.stake)}, and could gain by delivering junk: list fewer "
                    "copies, pay a lower commission, or name deliverers with more stake"
                )
                break
    return found


def choice_text(name: str, choice: Choice, *, governed: bool) -> str:
    """Who gets the parts of an item, and what those would lose who open the good together.

    Args:
        name: Of the item.
        choice: Its deliverers.
        governed: Whether the market has a governor, who alone takes a stake for that.
    """
    count, k = len(choice.candidates), choice.threshold
    together = "one that opens the good alone has" if k == 1 else f"{k} that open it together have"
    text = (
        f"{name}: {count - choice.newcomers} of its {count} deliverers are established; the "
        f"{together} at least {format_amount(choice.at_stake)} of stake"
    )
    if governed:
        return f"{text}, which the governor could take"
    return f"{text}, which nobody could take for that: this market has no governor"


def _departed(
    change: Change, candidates: Mapping[Address, Candidate], windows: Windows
) -> list[str]:
    """Deliverers of what is for sale who deliver no longer, or not for this fee."""
    if change.old is None or change.draft is None or change.assign:
        return []
    operators = sorted({d.operator for lot in change.old.lots for d in lot.deliverers})
    gone = [o for o in operators if o not in candidates or candidates[o].obstacle(windows)]
    fee = change.draft.commission // change.draft.parts
    small = [o for o in operators if o not in gone and candidates[o].stake < STAKED_FEES * fee]
    hint = f"--assign {change.name} gives its parts to others"
    found = []
    if gone:
        found.append(
            f"{change.name}: {len(gone)} of its deliverers deliver no longer ({', '.join(gone)}); "
            + hint
        )
    if small:
        found.append(
            f"{change.name}: a part earns {format_amount(fee)}, over a tenth of the stake of "
            f"{', '.join(small)}: the contract does not let them deliver it; lower the commission, "
            f"or {hint}"
        )
    return found
