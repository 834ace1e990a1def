"""Parts, junk, proofs and agreements in the model test, at random."""

from __future__ import annotations

import dataclasses
from dataclasses import astuple
from functools import partial

from dice import Dice
from hypothesis.stateful import precondition, rule
from reference import OPEN, Agreement, Entry, Fragment, Leaf, Sale, SignedList, Split
from trading import Trading, numbers
from world import HOUR, RULES, entry_of, key_of

from dam.crypto.hashing import keccak

DELIVERY_ERRORS = {
    *("WrongStatus", "DeliveryClosed", "AlreadyDelivered", "NotYourPart", "FallbackTooEarly"),
    *("PartNotInItem", "NotEligible", "IndexPunished", "WrongFreshKey"),
}


def has_sales(machine: Trading) -> bool:
    return bool(machine.sales)


class Proving(Trading):
    """What is signed, delivered and proved."""

    # ------------------------------------------------------------------------------- signing

    def entry(self, dice: Dice, sale: Sale, leaf: Leaf, *, good: bool, fresh: str = "") -> Entry:
        self.count += 1
        # Now and then sealed to another key than the entry says.
        key = fresh if not dice.one_in(9) else dice.choice(("", sale.fresh, "another"))
        return Entry(sale, leaf, fresh, Fragment(key, good, self.count))

    def listed(self, signer: str, entries: list[Entry]) -> SignedList:
        """A contract signs nothing."""
        one = SignedList("nobody" if signer == "wal" else signer, tuple(entries))
        self.lists.append(one)
        return one

    def signed(self, dice: Dice, sale: Sale, signer: str, leaves: list[Leaf]) -> SignedList:
        """Good and junk, mostly to the key that is wanted; by the seller's side to the fresh one
        where there is one."""
        helps = self.model.sides_with(signer, sale.seller)
        fresh = [
            dice.choice((sale.fresh, sale.fresh, sale.fresh, "", "false"))
            if (helps and leaf.index in sale.punished) or dice.one_in(16)
            else ""
            for leaf in leaves
        ]
        good = [not dice.one_in(3) for _ in leaves]
        made = zip(leaves, fresh, good, strict=True)
        return self.listed(
            signer, [self.entry(dice, sale, leaf, good=ok, fresh=key) for leaf, key, ok in made]
        )

    # ----------------------------------------------------------------------------- delivering

    @precondition(has_sales)
    @rule(number=numbers)
    def deliver(self, number: int) -> None:
        """One part, mostly by whom it is for; or parts of several sales in one list."""
        dice = self.dice(number)
        sale = self.sale(dice)
        punished = [leaf for leaf in sale.leaves if leaf.index in sale.punished]
        leaf = dice.choice(punished if punished and dice.one_in(2) else sale.leaves)
        if dice.one_in(16):
            leaf = leaf._replace(deliverer="ben")
        who = dice.person(leaf.deliverer, leaf.deliverer, leaf.deliverer, sale.seller, "wes")
        if dice.one_in(3):
            self.deliver_across(dice, who)
            return
        listed = self.signed(dice, sale, who, [leaf])
        sender = dice.person("ben", who)
        if not dice.one_in(8):
            self.send_list(sender, listed, batch=dice.one_in(2))
            return
        made = self.made(listed.entries[0])
        names, changes = dice.choice(
            [
                ({"InvalidFragmentLength"}, {"fragment": bytes(79)}),
                (DELIVERY_ERRORS, {"salt": keccak(b"")}),
                ({"WrongSale"}, {"sale": dataclasses.replace(made.sale, fee=made.sale.fee + 1)}),
            ]
        )
        data = self.world.parts(listed.signer, [dataclasses.replace(made, **changes)])
        self.refused_raw(sender, "deliverFragment", data, names)

    def deliver_across(self, dice: Dice, who: str) -> None:
        """All that are this person's, as deliverer or for a seller, with one of them twice."""
        wanted = [
            (sale, leaf)
            for sale in self.sales
            for leaf in sale.leaves
            if who in (leaf.deliverer, sale.seller, self.model.agent.get(sale.seller))
            and leaf.index < sale.item.n
        ][-9:]
        entries = [
            entry for sale, leaf in wanted for entry in self.signed(dice, sale, who, [leaf]).entries
        ]
        if entries:
            listed = self.listed(who, [*entries, entries[0]])
            self.send_list(dice.person("ben", who), listed)

    @precondition(lambda self: self.goods)
    @rule(number=numbers)
    def buy_and_receive(self, number: int) -> None:
        before = len(self.sales)
        self.buy(number)
        if len(self.sales) > before:
            self.deliver_many(number)

    @precondition(has_sales)
    @rule(number=numbers)
    def deliver_many(self, number: int) -> None:
        """Every part of a sale, or as many as complete it, each by whom it is for."""
        dice = self.dice(number)
        sale, enough = dice.choice((self.sale(dice), self.sales[-1])), dice.one_in(2)
        by_seller = self.chain.head - sale.block >= 100 and dice.one_in(3)
        if dice.one_in(6) and sale.block + 101 > self.chain.head:
            self.chain.reach(sale.block + 101)
        for leaf in dice.sample(sale.leaves, len(sale.leaves)):
            if leaf.index in sale.parts or (enough and len(sale.parts) >= sale.item.k):
                continue
            by = sale.seller if by_seller or leaf.index in sale.punished else leaf.deliverer
            listed = self.signed(dice, sale, by, [leaf])
            if not self.send_list("ben", listed, batch=False) and dice.one_in(2):
                break

    @precondition(lambda self: self.lists)
    @rule(number=numbers)
    def relay(self, number: int) -> None:
        """What was signed earlier, once more or for the first time."""
        dice = self.dice(number)
        listed = dice.choice(self.lists[-30:])
        if dice.one_in(4):
            self.supply_list(dice.person("ben"), listed)
        else:
            self.send_list(dice.person("ben"), listed)

    @precondition(has_sales)
    @rule(number=numbers)
    def supply(self, number: int) -> None:
        dice = self.dice(number)
        sale = self.sale(dice)
        leaves = dice.sample(sale.leaves, dice.randint(1, len(sale.leaves)))
        listed = self.signed(dice, sale, dice.person(sale.seller, "wes"), leaves)
        self.supply_list(dice.person("ben"), listed)

    # --------------------------------------------------------------------------------- proofs

    @precondition(lambda self: self.lists)
    @rule(number=numbers)
    def prove(self, number: int) -> None:
        """Mostly what can be proved: junk of deliverers, mined or not; in and after its time."""
        dice = self.dice(number)
        pool = [
            (entry, listed, place)
            for listed in self.lists[-60:]
            for place, entry in enumerate(listed.entries)
            if listed.signer == entry.leaf.deliverer or dice.one_in(9)
        ]
        if not pool:
            return
        first = dice.choice(pool)
        sale = first[0].sale
        junk = [row for row in pool if row[0].sale is sale and not row[0].fragment.good]
        fresh_ones = [row for row in junk if row[0].leaf.index not in sale.punished]
        if fresh_ones and not dice.one_in(6):
            rows = dice.sample(fresh_ones, min(len(fresh_ones), dice.randint(1, 2)))
        else:
            rows = [first]
        if dice.one_in(12):
            rows = [(entry, listed, place + 1) for entry, listed, place in rows]
        fresh = sale.fresh if sale.fresh and not dice.one_in(6) else f"fresh {self.count}"
        self.prove_rows(dice.person(sale.buyer), sale, fresh, rows, dice)

    def prove_rows(
        self,
        who: str,
        sale: Sale,
        fresh: str,
        rows: list[tuple[Entry, SignedList, int]],
        dice: Dice,
    ) -> None:
        one = self.bought[id(sale)]
        keys_wrong, bad_key = dice.one_in(16), dice.one_in(16)
        keys = [*one.keys[:-1], key_of("another")] if keys_wrong else list(one.keys)
        evidence = [astuple(self.bought[id(e.sale)].evidence(e)) for e, _, _ in rows]
        lists = [
            astuple(self.world.listed(listed.signer, self.hashes(listed), place))
            for _, listed, place in rows
        ]
        fresh_key = bytes(32) if bad_key else key_of(fresh)
        act = partial(
            self.model.prove_junk, who, sale, "zero" if bad_key else fresh, rows,
            keys=not keys_wrong, bad_key=bad_key,
        )  # fmt: skip
        args = (*self.closing(sale), keys, fresh_key, evidence, lists)
        self.call(who, "proveJunk", *args, model=act)

    @precondition(lambda self: any(sale.status in OPEN for sale in self.sales))
    @rule(number=numbers)
    def replace(self, number: int) -> None:
        """Junk proved, mined or not; its deliverer tries again; the seller's side replaces it."""
        dice = self.dice(number)
        sale = dice.choice([sale for sale in self.sales if sale.status in OPEN])
        for leaf in dice.sample(sale.leaves, min(len(sale.leaves), dice.randint(1, 3))):
            if leaf.index not in sale.punished:
                listed = self.listed(leaf.deliverer, [self.entry(dice, sale, leaf, good=False)])
                if dice.one_in(2):
                    self.send_list("ben", listed)
                fresh = sale.fresh or f"fresh {self.count}"
                self.prove_rows(sale.buyer, sale, fresh, [(listed.entries[0], listed, 0)], dice)
            again = self.listed(leaf.deliverer, [self.entry(dice, sale, leaf, good=True)])
            self.send_list(leaf.deliverer, again, batch=dice.one_in(2))
            if not dice.one_in(3):
                self.chain.reach(max(self.chain.head + 1, sale.block + 101))
                self.send_list("ben", self.signed(dice, sale, sale.seller, [leaf]))

    @precondition(lambda self: any(sale.entries for sale in self.sales))
    @rule(number=numbers)
    def prove_seller(self, number: int) -> None:
        """Of a part of the seller's side; or what they signed and nobody delivered."""
        dice = self.dice(number)
        some = [sale for sale in self.sales if sale.entries]
        sale = dice.choice([sale for sale in some if sale.status in OPEN] or some)
        junk = [entry for entry in sale.entries.values() if not entry.fragment.good]
        entry = dice.choice(junk or list(sale.entries.values()))
        others = [e for x in self.lists[-60:] for e in x.entries if e.sale is sale]
        if others and dice.one_in(4):
            entry = dice.choice(others)
        one, who, wrong = self.bought[id(sale)], dice.person(sale.buyer), dice.one_in(16)
        keys = [*one.keys[:-1], key_of("another")] if wrong else list(one.keys)
        args = (*self.closing(sale), keys, astuple(one.evidence(entry)))
        act = partial(self.model.prove_seller_junk, who, sale, entry, keys=not wrong)
        self.call(who, "proveSellerJunk", *args, model=act)

    @precondition(has_sales)
    @rule(number=numbers)
    def contradict(self, number: int) -> None:
        """Shares that do not add up, and leaves at odds; most often there is nothing to prove."""
        dice = self.dice(number)
        odd = [s for s in self.sales if {(x.share, x.secret) for x in s.leaves} != {("key", "key")}]
        odd = [sale for sale in odd if sale.status in OPEN] or odd
        sale = dice.choice(odd) if odd and not dice.one_in(3) else self.sale(dice)
        one, who, k = self.bought[id(sale)], dice.person(sale.buyer), sale.item.k
        if dice.one_in(2):
            self.chain.reach(max(self.chain.head + 1, sale.block + 101))
        if dice.one_in(2):
            two = [dice.choice(sale.leaves), sale.leaves[-1 if dice.one_in(2) else 0]]
            two[1] = two[1]._replace(secret="none") if dice.one_in(9) else two[1]
            records = [astuple(one.open_leaf(leaf)) for leaf in two]
            act = partial(self.model.prove_bad_leaves, who, sale, *two)
            self.call(who, "proveBadLeaves", *self.closing(sale), *records, model=act)
            return
        size = min(len(sale.leaves), max(1, k + dice.choice((0, 0, 0, 0, 1, -1))))
        leaves = dice.sample(sale.leaves, size)
        known = not dice.one_in(9)
        shares = [one.goods.share(leaf) if known else bytes(32) for leaf in leaves]
        records = [astuple(one.open_leaf(leaf)) for leaf in leaves]
        act = partial(self.model.prove_bad_shares, who, sale, leaves, known=known)
        self.call(who, "proveBadShares", *self.closing(sale), records, shares, model=act)

    # ----------------------------------------------------------------------------- agreements

    @precondition(has_sales)
    @rule(number=numbers)
    def agree(self, number: int) -> None:
        """What both signed for now; what one signed; what was signed for an earlier state."""
        dice = self.dice(number)
        sale = self.sale(dice)
        if self.agreements and dice.one_in(3):
            old = dice.choice(self.agreements)
            sale = old.sale
            one = old
        else:
            if dice.one_in(2):
                self.chain.reach(max(self.chain.head + 1, sale.block + 101))
            one = Agreement(sale, sale.status, sale.since, self.split(dice, sale))
            self.agreements.append(one)
        by = [None if dice.one_in(8) else one for _ in range(2)]
        parties = zip((sale.buyer, sale.seller), by, strict=True)
        bought = self.bought[id(sale)]
        signatures = [
            b"" if by is None else self.world.agreement(who, bought, one) for who, by in parties
        ]
        if None in by and "wal" in (sale.buyer, sale.seller):
            return  # what a contract says once, it says always
        who = dice.person("ben", sale.buyer, sale.seller)
        args = (*self.closing(sale), tuple(one.split), *signatures)
        act = partial(self.model.agree, who, sale, one.split, *by)
        self.call(who, "agree", *args, model=act)

    def split(self, dice: Dice, sale: Sale) -> Split:
        item, disputed = sale.item, sale.status == "Disputed"
        least = sale.bond if self.model.worked(sale) else 0
        most = 2 * sale.bond if disputed else 0
        return Split(
            dice.randint(0, item.price) + dice.one_in(16),
            dice.randint(0, item.penalty) + dice.one_in(16),
            dice.choice((least, most, dice.randint(least, most), dice.randint(0, 2))),
            self.chain.next_time + dice.choice((-1, 0, HOUR, RULES.refund)),
        )


__all__ = ["Proving", "entry_of", "has_sales"]
