"""What sellers, deliverers, buyers and the governor do in the model test, at random."""

from __future__ import annotations

from dataclasses import astuple
from functools import partial
from typing import Any

from comparison import Comparison
from dice import Dice
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from reference import Item
from world import (
    BAD_KEY,
    BUYERS,
    DELIVERERS,
    ETHER,
    KEY,
    NO_POSSESSION,
    RULES,
    SELLERS,
    Goods,
    catalogue,
)

from dam.crypto.hashing import keccak, terms_leaf

numbers = st.integers(0, 2**32)


class Trading(Comparison):
    """Everything before and beside a sale."""

    def __init__(self) -> None:
        super().__init__()
        # Most examples would spend their steps on getting ready.
        for who, value in (("sam", 50 * ETHER), ("sue", 2**72), ("wal", 5 * ETHER)):
            self.stake_as_seller(who, value)
        for who, owner, stake in (("dan", "dan", 40), ("dee", "art", 1), ("wes", "sam", 9)):
            self.register(who, owner, stake * ETHER // 10)
        self.set_operator("sam", "wes")

    @initialize(number=numbers)
    def open_stores(self, number: int) -> None:
        for who in SELLERS:
            self.publish(self.dice(number), who)
            self.buy(number)

    # ----------------------------------------------------------------------------------- time

    @rule(number=numbers)
    def time(self, number: int) -> None:
        """A few blocks, or to an edge: of a fallback or a window, of an exit, of a slash."""
        dice = self.dice(number)
        if dice.one_in(3) or not self.sales:
            self.chain.mine(dice.randint(1, 40))
            return
        sale = self.sale(dice)
        if dice.one_in(2):
            block = sale.block + 99 + dice.randint(0, 3)
            if block > self.chain.head:
                self.chain.reach(block)
            return
        edges = [second for second in self.model.exits.values() if second]
        edges += [second for s in self.model.slashes.values() for second in (s.first, s.last)]
        if not edges or not dice.one_in(6):
            shares = (RULES.refund // 3, 2 * RULES.refund // 3, RULES.refund)
            edges = [sale.time + share for share in shares]
            edges += [self.model.last(sale), self.model.last(sale) - 2 * RULES.arbitration // 3]
        second = dice.choice(edges) + dice.randint(-1, 2)
        # Seldom far, or most sales would be over before anything else has happened to them.
        if second < self.chain.now + (RULES.exit if dice.one_in(9) else RULES.refund // 4):
            self.chain.reach_time(second)

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
            # A sealed offer is for one copy, the lower 64 bits of its salt.
            salt = (
                dice.randrange(1, 99) << 64 | dice.randrange(item.supply) if dice.one_in(6) else 0
            )
            made[item] = self.world.goods(item, stock, leaves, salt.to_bytes(32, "big"))
            for copy in range(item.supply + 1):
                row = leaves[copy if stock and copy < item.supply else 0]
                self.leaves[item, copy] = tuple(row)
        # What was on sale mostly stays.
        made |= {} if dice.one_in(4) or not made else self.on_sale(who)
        tree = catalogue(made.values())
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
            op = dice.choice([one for one, second in self.model.exits.items() if second])
        who, at, model = dice.person(self.model.owner(op)), self.world.at[op], self.model
        if act == "register":
            self.register(op, dice.person(op), dice.choice((ETHER // 10 - 1, ETHER // 10, ETHER)))
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
            self.call(who, "stakeAsDeliverer", KEY, NO_POSSESSION, value=value, model=act)
        else:
            at = self.world.at[owner]
            args = (at, KEY, NO_POSSESSION)
            self.call(who, "stakeAsDelivererFor", *args, value=value, model=act)

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
        keys = list(self.world.buyers_keys(item, copy)) + [KEY] * (odd == "keys")
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
        key, salt = (seller, item.name, copy), int.from_bytes(goods.terms.salt, "big")

        def act() -> None:
            model.buy(
                key, buyer, seller, item, leaves, digest, value, count, bad_key, funds, salt
            )  # fmt: skip
            sale = model.sales[key]
            self.sales.append(sale)
            self.bought[id(sale)] = self.world.bought(sale, goods, copy, digest)
            self.allowed[buyer, item.token] = funds - item.price

        self.call(buyer, function, *args, value=value, model=act)
