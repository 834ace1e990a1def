"""The model of the rules against the real contract, step by step, at random.

Eleven people, one of them a contract, call everything in any order, with blocks and seconds that
jump to the edges of every window; parts are good and junk, signed by whom they are for or by
others, relayed, kept, sent again and proved. After each call: the same outcome (success, or an
error that the model allows), the same credits, stakes, earnings, sale words, marks, entries and
balances, to the wei. In the end everybody leaves, and nothing but what was burnt stays behind.

DAM_MODEL=nightly runs the long form; DAM_MODEL=12x300 runs 12 examples of 300 steps.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import astuple, replace
from functools import partial

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from proving import Proving, has_sales
from reference import FINAL, OPEN
from trading import numbers
from world import TOKENS, World

CLOSING_ERRORS = {"NotAllowed", "WrongStatus", "BeforeGate", "TooEarly", "TooLate", "WrongEscrow"}
WANTED = [
    *(f"{name}: done" for name in ("buyItem", "buyItemByPermit", "deliverFragment", "settle")),
    *(f"{name}: done" for name in ("deliverFragments", "supplyFragments", "confirm", "refund")),
    *(f"{name}: done" for name in ("concede", "openDispute", "resolveDispute", "rateSale")),
    *(f"{name}: done" for name in ("withdraw", "withdrawEarnings", "withdrawSellerStake")),
    *(f"{name}: done" for name in ("proposeSlashing", "executeSlashing", "cancelSlashing")),
    *(f"{name}: done" for name in ("requestExit", "cancelExit", "withdrawDelivererStake")),
    *(f"{name}: done" for name in ("closeMany", "agree", "proveJunk", "proveSellerJunk")),
    *(f"{name}: done" for name in ("proveBadShares", "proveBadLeaves")),
    *("proveJunk: AlreadyPunished", "deliverFragment: IndexPunished", "part cleared"),
    *("purchased again", "a replacement", "everybody left"),
]
FORMS = {"quick": (120, 80), "nightly": (2000, 100)}


class Differential(Proving):
    """Chooses the calls that close; see the module."""

    # -------------------------------------------------------------------------------- closing

    @precondition(has_sales)
    @rule(number=numbers)
    def close(self, number: int) -> None:
        dice = self.dice(number)
        sale, model = self.sale(dice), self.model
        args = self.closing(sale)
        who = dice.person(sale.buyer, sale.seller)
        calls = {
            "confirm": partial(model.confirm, who, sale),
            "settle": partial(model.settle, sale),
            "refund": partial(model.refund, sale),
            "concede": partial(model.concede, who, sale),
        }
        act = dice.choice([*calls, "closeMany"])
        if act in ("settle", "refund") and sale.status in OPEN and dice.one_in(2):
            self.chain.reach_time(model.last(sale) + dice.randint(0, 1))
        if dice.one_in(16):
            # What is not the sale's is refused, whatever it claims.
            act = "settle" if act == "closeMany" else act
            escrow = replace(self.bought[id(sale)].escrow, price=sale.item.price + 1)
            self.refused(who, act, *args[:2], astuple(escrow), names=CLOSING_ERRORS)
        elif act == "closeMany":
            some = dice.sample(self.sales, dice.randint(0, len(self.sales)))
            close = partial(model.close_many, some)
            self.call(who, act, [self.closing(one) for one in some], model=close)
        else:
            self.call(who, act, *args, model=calls[act])

    @precondition(lambda self: any(sale.status == "Complete" for sale in self.sales))
    @rule(number=numbers)
    def dispute(self, number: int) -> None:
        dice = self.dice(number)
        sale = dice.choice([sale for sale in self.sales if sale.status == "Complete"])
        sale = self.sale(dice) if dice.one_in(8) else sale
        if not dice.one_in(3):
            self.chain.reach(max(self.chain.head + 1, sale.block + 101))
        who, value = dice.person(sale.buyer), sale.bond + dice.one_in(8)
        act = partial(self.model.dispute, who, sale, value)
        self.call(who, "openDispute", *self.closing(sale), bytes(32), value=value, model=act)

    @precondition(lambda self: any(sale.status == "Disputed" for sale in self.sales))
    @rule(number=numbers)
    def rule_on(self, number: int) -> None:
        dice = self.dice(number)
        sale = dice.choice([sale for sale in self.sales if sale.status == "Disputed"])
        sale = self.sale(dice) if dice.one_in(8) else sale
        who, price, awarded = (
            dice.person(sale.item.arbitrator or "art"),
            sale.item.price,
            dice.one_in(2),
        )
        b = dice.choice((0, 0, price, min(price, 1), dice.randint(0, price), price + 1))
        act = partial(self.model.rule, who, sale, b, awarded)
        self.call(who, "resolveDispute", *self.closing(sale), b, awarded, model=act)

    @precondition(has_sales)
    @rule(number=numbers)
    def finish(self, number: int) -> None:
        """One sale at a fitting time to some end, and what its parties do then: what chance alone
        seldom brings together."""
        dice = self.dice(number)
        sale, model = self.sale(dice), self.model
        if sale.status == "Complete" and dice.one_in(2):
            self.chain.reach(max(self.chain.head + 1, sale.block + 101))
            args = (*self.closing(sale), bytes(32))
            act = partial(model.dispute, sale.buyer, sale, sale.bond)
            self.call(sale.buyer, "openDispute", *args, value=sale.bond, model=act)
        end = dice.choice(("buyer", "seller", "time", "time"))
        if sale.status in OPEN and end == "time":
            self.chain.reach(max(self.chain.head + 1, sale.block + 101))
            self.chain.reach_time(model.last(sale) + 1)
            name = "refund" if sale.status == "Purchased" else "settle"
            self.call("ben", name, *self.closing(sale), model=partial(getattr(model, name), sale))
        elif sale.status == "Disputed" and dice.one_in(2):
            b, awarded = dice.randint(0, min(sale.item.price, 2)), dice.one_in(2)
            who = sale.item.arbitrator
            act = partial(model.rule, who, sale, b, awarded)
            self.call(who, "resolveDispute", *self.closing(sale), b, awarded, model=act)
        else:
            self.chain.reach(max(self.chain.head + 1, sale.block + 101))
            who = sale.buyer if end == "buyer" else sale.seller
            name = "confirm" if who == sale.buyer and sale.status == "Complete" else "concede"
            act = partial(getattr(model, name), who, sale)
            self.call(who, name, *self.closing(sale), model=act)
        for stars in (0, 6, 5, 5) if sale.status in FINAL else (5,):
            act = partial(model.rate, sale.buyer, sale, stars)
            self.call(sale.buyer, "rateSale", *self.closing(sale)[:2], stars, model=act)

    @precondition(has_sales)
    @rule(number=numbers)
    def afterwards(self, number: int) -> None:
        """What moves no escrow: rating, withdrawing."""
        dice = self.dice(number)
        sale = self.sale(dice)
        if dice.one_in(3):
            ended = [sale for sale in self.sales if sale.status in FINAL]
            sale = dice.choice(ended) if ended and not dice.one_in(4) else sale
            who, stars = dice.person(sale.buyer), dice.randint(0, 6)
            rate = partial(self.model.rate, who, sale, stars)
            self.call(who, "rateSale", *self.closing(sale)[:2], stars, model=rate)
        else:
            owed = [key for key, amount in self.model.credits.items() if amount]
            who, token = dice.choice([*owed, (dice.person(), dice.choice(TOKENS))])
            pay = partial(self.model.withdraw, who, token)
            # Where it goes must not matter to the market; the wallet takes coins, too.
            to = self.world.at[dice.choice(("ben", "wal"))]
            self.call(who, "withdraw", self.world.token_at[token], to, model=pay)


def form() -> tuple[int, int]:
    """Examples, and steps of each."""
    wanted = os.environ.get("DAM_MODEL", "quick")
    if wanted in FORMS:
        return FORMS[wanted]
    examples, steps = wanted.split("x")
    return int(examples), int(steps)


def test_the_contract_does_what_the_model_says(world: World) -> None:
    examples, steps = form()
    machine = type("Machine", (Differential,), {"world": world, "seen": Counter()})
    begun = time.monotonic()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # CI compares what it compared yesterday; the night looks elsewhere.
            derandomize=examples == FORMS["quick"][0],
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if os.environ.get("DAM_SHRINK") else [])],
            print_blob=True,
        ),
    )
    seen: Counter[str] = machine.seen
    calls, seconds = sum(seen.values()), time.monotonic() - begun
    print(f"\n{calls} calls in {seconds:.0f} s ({calls / seconds:.0f}/s)")
    for name, count in sorted(seen.items()):
        print(f"{count:7} {name}")
    # A run that only ever saw refusals would prove nothing.
    missing = [name for name in WANTED if not seen[name] and examples >= FORMS["quick"][0]]
    assert not missing, f"never happened: {missing}"
