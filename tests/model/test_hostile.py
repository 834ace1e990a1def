"""What the rules hold for honest people, among hostile ones: in the model alone, at random.

After every call: what is held is what is owed; no fee is paid twice; no index of a sale is punished
twice; at least four fifths of what a fine takes are gone for good; and no honest deliverer is ever
punished. In the end of every run: no sale is stuck; the honest buyer has the good, or the price and
the whole penalty; the honest seller has lost no sale (but where a thief with the operator's key
delivered a part that was still missing); everybody leaves, and only what was burnt stays behind.

DAM_HOSTILE is the number of runs, DAM_SEED the first seed.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hostile import Hostile
from reference import Sales
from reference_proofs import Market, junk
from reference_stakes import refuse

RUNS, STEPS = int(os.environ.get("DAM_HOSTILE", "600")), 150
FIRST = int(os.environ.get("DAM_SEED", "0"))


def test_honest_people_are_safe_among_hostile_ones() -> None:
    events: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + RUNS):
        run = Hostile(seed)
        try:
            run.play(STEPS)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        events += run.events
    calls = [name for name in vars(Market) | vars(Sales) if name.startswith("prove")]
    calls += ["deliver", "supply", "settle", "refund", "close_many", "concede", "agree", "rule"]
    calls += ["dispute", "rate", "execute_slashing", "withdraw_deliverer_stake", "confirm"]
    # Runs that only ever saw refusals would prove nothing.
    missing = [name for name in calls if not events[name]]
    assert not missing, f"never happened: {missing}"


# --------------------------------------------- the rules taken out, one at a time: it must show


class JunkLate(Market):
    """Deliverers deliver until the refund opens."""

    def until(self, mine):
        return self.rules.refund


class ProofsLate(Market):
    """A proof clears until the refund opens."""

    def in_time(self, sale):
        return self.time <= sale.time + self.rules.refund


class ByMissingParts(Market):
    """A refund pays of the penalty what is missing of k, as version 1 did."""

    def refund(self, sale):
        refuse(WrongStatus=sale.status != "Purchased", TooEarly=self.time <= self.last(sale))
        k = sale.item.k
        q = sale.item.penalty * (k - min(len(sale.parts), k)) // k
        self.end(sale, "Refunded", sale.item.price, q)


class KeysChange(Market):
    """Every proof names the fresh key anew."""

    def prove_junk(self, who, sale, fresh, evidence, keys=True, bad_key=False):
        kept, sale.fresh = sale.fresh, ""
        try:
            return super().prove_junk(who, sale, fresh, evidence, keys, bad_key)
        finally:
            sale.fresh = sale.fresh or kept


class ProvedAgain(Market):
    """An index is punished as often as it is proved."""

    def prove_junk(self, who, sale, fresh, evidence, keys=True, bad_key=False):
        kept, sale.punished = sale.punished, set()
        try:
            return super().prove_junk(who, sale, fresh, evidence, keys, bad_key)
        finally:
            sale.punished |= kept


class FineToTheBuyer(Market):
    """Nothing is burnt."""

    def fine(self, op, fee, buyer):
        before = self.burnt
        taken, _ = super().fine(op, fee, buyer)
        self.credits[buyer, ""] += self.burnt - before
        self.burnt = before
        return taken, taken


class PaidAgain(Market):
    """A replacement earns once more."""

    def arrive(self, entry, by):
        again = not by and entry.leaf.index in entry.sale.cleared
        super().arrive(entry, by)
        self.credits[entry.sale.buyer, ""] += entry.sale.fee if again else 0


class OwnPartsOnly(Market):
    """Only the leaf's deliverer delivers a punished index."""

    def refusals(self, signer, entry, there=()):
        names, mine = super().refusals(signer, entry, there)
        if entry.leaf.index in entry.sale.punished:
            names |= {"IndexPunished"}
        return names, mine


class AnyListAccuses(Market):
    """Whatever the seller's side has signed is evidence, delivered or not."""

    def prove_seller_junk(self, who, sale, entry, keys=True):
        refuse(NotAllowed=who != sale.buyer, NothingProved=not junk(entry))
        self.give_in(sale)


class AnySignerIsFined(Market):
    """The leaf's deliverer is fined, whoever signed."""

    def prove_junk(self, who, sale, fresh, evidence, keys=True, bad_key=False):
        named = [(e, one._replace(signer=e.leaf.deliverer), at) for e, one, at in evidence]
        return super().prove_junk(who, sale, fresh, named, keys, bad_key)


class Knocked(Market):
    """An entry with a zero key is skipped where the index was punished meanwhile."""

    def refusals(self, signer, entry, there=()):
        names, mine = super().refusals(signer, entry, there)
        if entry.leaf.index in entry.sale.punished and not entry.fresh:
            names |= {"WrongFreshKey"}
        return names, mine


WEAKER = (
    *(JunkLate, ProofsLate, ByMissingParts, KeysChange, ProvedAgain, FineToTheBuyer, PaidAgain),
    *(OwnPartsOnly, AnyListAccuses, AnySignerIsFined, Knocked),
)


@pytest.mark.parametrize("market", WEAKER, ids=[one.__name__ for one in WEAKER])
def test_a_weaker_rule_does_not_hold(market: type[Market]) -> None:
    with pytest.raises(AssertionError):
        play_many(market)


def play_many(market: type[Market]) -> None:
    for seed in range(3000):
        Hostile(seed, market).play(STEPS)
