"""The model of the protocol's money rules against the real contract, step by step, at random.

Eleven people, one of them a contract, call everything in any order, with blocks that jump to the
edges of every window. After each call: the same outcome (success, or an error that the model
allows), the same credits, stakes, earnings, sale words and balances, to the wei. In the end
everybody leaves, and nothing may stay behind.

DAM_MODEL=nightly runs the long form; DAM_MODEL=12x300 runs 12 examples of 300 steps.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import astuple, replace
from functools import partial
from typing import Any

from comparison import Comparison
from dice import Dice
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from reference import OPEN, Item
from world import BAD_KEY, BUYERS, DELIVERERS, ETHER, GOOD_KEY, SELLERS, TOKENS, Goods, World

from dam.crypto.hashing import keccak, terms_leaf
from dam.crypto.merkle import MerkleTree

DELIVERY_ERRORS = {
    *("NotPlainAccount", "WrongStatus", "DeliveryClosed", "AlreadyDelivered", "NotYourPart"),
    *("FallbackTooEarly", "PartNotInItem"),
}
CLOSING_ERRORS = {"NotAllowed", "WrongStatus", "BeforeGate", "TooEarly", "TooLate", "WrongEscrow"}
WANTED = [
    *(f"{name}: done" for name in ("buyItem", "buyItemByPermit", "deliverFragment", "settle")),
    *(f"{name}: done" for name in ("deliverFragments", "supplyFragments", "confirm", "refund")),
    *(f"{name}: done" for name in ("concede", "openDispute", "resolveDispute", "rateSale")),
    *(f"{name}: done" for name in ("withdraw", "withdrawEarnings", "withdrawSellerStake")),
    *(f"{name}: done" for name in ("proposeSlashing", "executeSlashing", "cancelSlashing")),
    *(f"{name}: done" for name in ("requestExit", "cancelExit", "withdrawDelivererStake")),
    "everybody left",
]
FORMS = {"quick": (120, 80), "nightly": (2000, 100)}
numbers = st.integers(0, 2**32)


class Differential(Comparison):
    """Chooses the calls; see the module."""

    def __init__(self) -> None:
        super().__init__()
        # Most examples would spend their steps on getting ready.
        for who, value in (("sam", 50 * ETHER), ("sue", 2**72), ("wal", 5 * ETHER)):
            self.stake_as_seller(who, value)
        for who, owner in (("dan", "dan"), ("dee", "art"), ("wes", "sam")):
            self.register(who, owner, ETHER // 10)
        self.set_operator("sam", "wes")

    @initialize(number=numbers)
    def open_stores(self, number: int) -> None:
        for who in SELLERS:
            self.publish(self.dice(number), who)
            self.buy(number)
            if self.sales:
                self.deliver_many(number)

    # --------------------------------------------------------------------------------- blocks

    @rule(number=numbers)
    def time(self, number: int) -> None:
        """A few blocks, or to an edge: of a sale's fallback or window, of an exit, of a slash."""
        dice = self.dice(number)
        edges = [block for block in self.model.exits.values() if block]
        edges += [block for s in self.model.slashes.values() for block in (s.first, s.last)]
        if self.sales and not (edges and dice.one_in(4)):
            sale = self.sale(dice)
            edges = [sale.born + 99, sale.born + 100, self.model.last(sale), self.model.last(sale)]
        if dice.one_in(3) or not edges:
            self.chain.mine(dice.randint(1, 40))
            return
        # Seldom far, or most sales would be over before anything else has happened to them.
        block = dice.choice(edges) + dice.randint(-1, 2)
        if self.chain.head < block < self.chain.head + (700 if dice.one_in(4) else 250):
            self.chain.reach(block)

    # -------------------------------------------------------------------------------- sellers

    @rule(number=numbers)
    def sellers(self, number: int) -> None:
        dice = self.dice(number)
        who = dice.person(*SELLERS)
        act = dice.choice(("publish", "publish", "stake", "withdraw", "operator"))
        if act == "publish":
            self.publish(dice, who)
        elif act == "stake":
            self.stake_as_seller(who, dice.amount())
        elif act == "withdraw":
            free = self.model.free[who]
            amount = dice.choice((free + 1, free, 0, dice.amount(), dice.amount()))
            call = partial(self.model.withdraw_seller_stake, who, amount)
            self.call(who, "withdrawSellerStake", amount, self.world.at["ben"], model=call)
        else:
            self.set_operator(who, dice.choice(("wes", "wes", "dan", "bea", "")))

    def stake_as_seller(self, who: str, value: int) -> None:
        act = partial(self.model.move, self.model.free, who, value)
        self.call(who, "stakeAsSeller", value=value, model=act)

    def set_operator(self, who: str, operator: str) -> None:
        act = partial(self.model.agent.__setitem__, who, operator)
        self.call(who, "setSellerOperator", self.world.at[operator], model=act)

    def publish(self, dice: Dice, who: str) -> None:
        made: dict[Item, Goods] = {}
        for _ in range(0 if dice.one_in(16) else dice.randint(1, 3)):
            self.count += 1
            item, stock, leaves = dice.item(who, self.count)
            made[item] = self.world.goods(item, stock, leaves)
            for copy in range(item.supply + 1):
                self.leaves[item, copy] = leaves[copy if stock and copy < item.supply else 0]
        # What was on sale mostly stays.
        made |= {} if dice.one_in(4) or not made else self.on_sale(who)
        tree = MerkleTree([terms_leaf(goods.terms) for goods in made.values()])
        self.count += 1
        digest = keccak(b"document %d" % self.count)
        create = (who not in self.model.store) != dice.one_in(8)
        act = self.model.create_store if create else self.model.update_store
        function = "createStore" if create else "updateStore"
        model = partial(act, who, digest, set(made))
        if self.call(who, function, digest, tree.root, model=model):
            self.goods |= made
            self.catalogues[who] = digest, tree

    def on_sale(self, seller: str) -> dict[Item, Goods]:
        _, items = self.model.store.get(seller, (b"", set()))
        return {item: goods for item, goods in self.goods.items() if item in items}

    # ------------------------------------------------------------------------------ deliverers

    @rule(number=numbers)
    def deliverers(self, number: int) -> None:
        dice = self.dice(number)
        op = dice.person(*DELIVERERS, "wes")
        act = dice.choice(("register", "add", "request", "cancel", "withdraw", "earn"))
        leaving = act in ("withdraw", "cancel")
        if leaving and not dice.one_in(3) and any(self.model.exits.values()):
            op = dice.choice([one for one, block in self.model.exits.items() if block])
        who, at, model = dice.person(self.model.owner(op)), self.world.at[op], self.model
        if act == "register":
            self.register(op, dice.person(op), dice.choice((ETHER // 10 - 1, ETHER // 10, ETHER)))
            names = {"InvalidKey", "NotPlainAccount", "StakeTooLow", "AlreadyRegistered"}
            self.refused(op, "stakeAsDeliverer", BAD_KEY, value=ETHER, names=names)
        elif act == "add":
            value = dice.amount()
            add = partial(model.add_stake, op, value)
            self.call(who, "addDelivererStake", at, value=value, model=add)
        elif act == "request" and dice.one_in(2):
            self.call(who, "requestExit", at, model=partial(model.request_exit, who, op))
        elif act == "cancel" and dice.one_in(2):
            self.call(who, "cancelExit", at, model=partial(model.cancel_exit, who, op))
        elif act == "withdraw":
            take = partial(model.withdraw_deliverer_stake, who, op)
            self.call(who, "withdrawDelivererStake", at, self.world.at["ben"], model=take)
        elif act == "earn":
            earn = partial(model.withdraw_earnings, who, op)
            self.call(who, "withdrawEarnings", at, self.world.at["ben"], model=earn)

    def register(self, who: str, owner: str, value: int) -> None:
        act = partial(self.model.register, who, owner, value)
        if who == owner:
            self.call(who, "stakeAsDeliverer", GOOD_KEY, value=value, model=act)
        else:
            at = self.world.at[owner]
            self.call(who, "stakeAsDelivererFor", at, GOOD_KEY, value=value, model=act)

    # ------------------------------------------------------------------------------- slashing

    @rule(number=numbers)
    def slash(self, number: int) -> None:
        dice = self.dice(number)
        model, who = self.model, dice.person("gov")
        number = len(self.proposed) + 1
        if self.proposed and dice.one_in(2):
            number = dice.choice([*model.slashes, dice.randint(0, number)])
            if dice.one_in(3):
                act = partial(model.cancel_slashing, who, number)
                self.call(who, "cancelSlashing", number, model=act)
            else:
                act = partial(model.execute_slashing, number)
                self.call(who, "executeSlashing", number, model=act)
            return
        op, to, amount = dice.person(*DELIVERERS), dice.person(), dice.amount()
        act = partial(model.propose_slashing, who, number, op, amount, to)
        args = (self.world.at[op], amount, self.world.at[to], bytes(32))
        if self.call(who, "proposeSlashing", *args, model=act):
            self.proposed.append((op, model.slashes[number].last))

    # --------------------------------------------------------------------------------- buying

    @precondition(lambda self: self.goods)
    @rule(number=numbers)
    def buy_and_receive(self, number: int) -> None:
        before = len(self.sales)
        self.buy(number)
        if len(self.sales) > before:
            self.deliver_many(number)

    @precondition(lambda self: self.goods)
    @rule(number=numbers)
    def buy(self, number: int) -> None:
        dice = self.dice(number)
        if not self.goods:
            return
        odd = dice.choice((*[""] * 12, "value", "keys", "key", "digest", "item", "copy"))
        seller = dice.choice(list(self.catalogues))
        buyer = dice.person(*BUYERS, *BUYERS, "wal", "dan", seller)
        digest, tree = self.catalogues[seller]
        item = dice.choice(list(self.on_sale(seller) if odd != "item" else {}) or list(self.goods))
        goods = self.goods[item]
        free = [i for i in range(item.supply) if (seller, item.name, i) not in self.model.sales]
        copy = dice.randint(0, item.supply) if odd == "copy" or not free else dice.choice(free)
        digest = keccak(digest) if odd == "digest" else digest
        keys = [GOOD_KEY] * (item.n + (odd == "keys"))
        bad_key = odd == "key" and bool(keys)
        keys[-1:] = [BAD_KEY] if bad_key else keys[-1:]
        extra = dice.choice((0, 0, 1, 5))
        value = 0 if item.token else item.price + extra
        if odd == "value":
            value = 1 if item.token else max(item.price - 1, 0)
        leaf = terms_leaf(goods.terms)
        args: tuple[Any, ...] = (
            self.world.at[seller],
            astuple(goods.terms),
            list(tree.proof(leaf)) if leaf in tree else [],
            digest,
            copy,
            keys,
        )
        function, funds = "buyItem", self.allowed[buyer, item.token]
        if item.token and not value and (item.token == "eur" or dice.one_in(3)):
            # A permit that somebody spoilt is ignored; one that holds sets the allowance.
            function, holds = "buyItemByPermit", not dice.one_in(5)
            funds = item.price + extra if holds else funds
            args += ((item.price + extra, 0, 27 if holds else 28, bytes(32), bytes(32)),)
        model, leaves, count = self.model, self.leaves[item, min(copy, item.supply)], len(keys)
        key = (seller, item.name, copy)

        def act() -> None:
            model.buy(key, buyer, seller, item, leaves, digest, value, count, bad_key, funds)
            sale = model.sales[key]
            self.sales.append(sale)
            self.bought[id(sale)] = self.world.bought(sale, goods, copy, digest)
            self.allowed[buyer, item.token] = funds - item.price

        self.call(buyer, function, *args, value=value, model=act)

    # ----------------------------------------------------------------------------- delivering

    @precondition(lambda self: self.sales)
    @rule(number=numbers)
    def deliver(self, number: int) -> None:
        """One part, mostly by whom it is for; or all parts of several sales that are theirs."""
        dice = self.dice(number)
        sale = self.sale(dice)
        index = dice.randrange(sale.item.n + dice.one_in(16))
        leaf = sale.leaves[index % sale.item.n]
        who = dice.person(leaf, leaf, leaf, sale.seller, "wes")
        one = self.bought[id(sale)]
        delivery, odd = one.delivery(index), dice.randrange(16)
        if odd > 10:
            wanted = [(one, i) for one in self.sales for i in range(one.item.n)]
            wanted = [(one, i) for one, i in wanted if who in (one.leaves[i], one.seller)][-9:]
            wanted += wanted[:1]
            batch = [astuple(self.bought[id(one)].delivery(i)) for one, i in wanted]
            act = partial(self.model.deliver, who, wanted, batch=True)
            self.call(who, "deliverFragments", batch, model=act)
        elif odd > 2:
            act = partial(self.model.deliver, who, [(sale, index)], batch=False)
            self.call(who, "deliverFragment", astuple(delivery), model=act)
        else:
            names, changes = [
                (DELIVERY_ERRORS | {"InvalidFragmentLength"}, {"fragment": bytes(79)}),
                (DELIVERY_ERRORS, {"salt": keccak(b"")}),
                (
                    {"WrongSale", "NotPlainAccount"},
                    {"sale": replace(one.sale, fee=one.sale.fee + 1)},
                ),
            ][odd]
            other = replace(delivery, **changes)
            self.refused(who, "deliverFragment", astuple(other), names=names)

    @precondition(lambda self: self.sales)
    @rule(number=numbers)
    def deliver_many(self, number: int) -> None:
        """Every part of a sale, or as many as complete it, each by whom it is for."""
        dice = self.dice(number)
        sale, enough = dice.choice((self.sale(dice), self.sales[-1])), dice.one_in(2)
        by_seller = self.chain.head - sale.born >= 100 and dice.one_in(3)
        for index in dice.sample(range(sale.item.n), sale.item.n):
            if index in sale.parts or (enough and len(sale.parts) >= sale.item.k):
                continue
            delivery = self.bought[id(sale)].delivery(index)
            by = sale.seller if by_seller else sale.leaves[index]
            if dice.one_in(3):
                # What is about to be good is refused as long as it is not: no leaf has this salt.
                other = astuple(replace(delivery, salt=keccak(b"")))
                self.refused(by, "deliverFragment", other, names=DELIVERY_ERRORS)
            act = partial(self.model.deliver, by, [(sale, index)], batch=False)
            done = self.call(by, "deliverFragment", astuple(delivery), model=act)
            if not done and dice.one_in(2):
                break

    # -------------------------------------------------------------------------------- closing

    @precondition(lambda self: self.sales)
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
        act = dice.choice(list(calls))
        if act in ("settle", "refund") and sale.status in OPEN and dice.one_in(2):
            self.chain.reach(model.last(sale) + dice.randint(0, 1))
        if dice.one_in(16):
            # What is not the sale's is refused, whatever it claims.
            escrow = replace(self.bought[id(sale)].escrow, price=sale.item.price + 1)
            self.refused(who, act, *args[:2], astuple(escrow), names=CLOSING_ERRORS)
        else:
            self.call(who, act, *args, model=calls[act])

    @precondition(lambda self: any(sale.status == "Complete" for sale in self.sales))
    @rule(number=numbers)
    def dispute(self, number: int) -> None:
        dice = self.dice(number)
        sale = dice.choice([sale for sale in self.sales if sale.status == "Complete"])
        sale = self.sale(dice) if dice.one_in(8) else sale
        if not dice.one_in(3):
            self.chain.reach(max(self.chain.head + 1, sale.gate()))
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

    @precondition(lambda self: self.sales)
    @rule(number=numbers)
    def finish(self, number: int) -> None:
        """One sale at a fitting time to some end, and what its parties do then: what chance alone
        seldom brings together."""
        dice = self.dice(number)
        sale, model = self.sale(dice), self.model
        if sale.status == "Complete" and dice.one_in(2):
            self.chain.reach(max(self.chain.head + 1, sale.gate()))
            args = (*self.closing(sale), bytes(32))
            act = partial(model.dispute, sale.buyer, sale, sale.bond)
            self.call(sale.buyer, "openDispute", *args, value=sale.bond, model=act)
        end = dice.choice(("buyer", "seller", "time", "time"))
        if sale.status in OPEN and end == "time":
            self.chain.reach(max(self.chain.head + 1, model.last(sale) + 1))
            name = "refund" if sale.status == "Purchased" else "settle"
            self.call("ben", name, *self.closing(sale), model=partial(getattr(model, name), sale))
        elif sale.status == "Disputed" and dice.one_in(2):
            b, awarded = dice.randint(0, min(sale.item.price, 2)), dice.one_in(2)
            who = sale.item.arbitrator
            act = partial(model.rule, who, sale, b, awarded)
            self.call(who, "resolveDispute", *self.closing(sale), b, awarded, model=act)
        else:
            self.chain.reach(max(self.chain.head + 1, sale.gate()))
            who = sale.buyer if end == "buyer" else sale.seller
            name = "confirm" if who == sale.buyer and sale.status == "Complete" else "concede"
            act = partial(getattr(model, name), who, sale)
            self.call(who, name, *self.closing(sale), model=act)
        for stars in (0, 6, 5, 5) if sale.status == "Settled" else (5,):
            act = partial(model.rate, sale.buyer, sale, stars)
            self.call(sale.buyer, "rateSale", *self.closing(sale)[:2], stars, model=act)

    @precondition(lambda self: self.sales)
    @rule(number=numbers)
    def afterwards(self, number: int) -> None:
        """What moves no escrow: supplying anew, rating, withdrawing."""
        dice = self.dice(number)
        act = dice.choice(("supply", "rate", "withdraw", "withdraw"))
        sale = self.sale(dice)
        if act == "supply":
            who, index = dice.person(sale.seller, "wes"), dice.randrange(sale.item.n)
            delivery = astuple(self.bought[id(sale)].delivery(index))
            supply = partial(self.model.supply, who, sale, index)
            self.call(who, "supplyFragments", [delivery], model=supply)
        elif act == "rate":
            settled = [sale for sale in self.sales if sale.status == "Settled"]
            sale = dice.choice(settled) if settled and not dice.one_in(4) else sale
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
