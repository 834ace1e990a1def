"""The model and the contract side by side: every call, and all that the chain then holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from typing import Any

from anvil_market import RICH
from dice import Dice
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine
from reference import OPEN, Entry, Item, Leaf, Sale, SignedList
from reference_proofs import Market
from reference_stakes import Refused
from world import PEOPLE, RULES, TOKENS, Bought, Goods, World, entry_of, key_of

from dam.crypto.hashing import keccak, sale_hash
from dam.crypto.merkle import MerkleTree
from dam.types import Delivery

STATUS = ("None", "Purchased", "Complete", "Disputed", "Settled", "Refunded", "Resolved", "Agreed")


def bits(indexes: Any) -> int:
    return sum(1 << index for index in indexes)


class Comparison(RuleBasedStateMachine):
    """The model and the contract side by side: each call goes to both, which must agree."""

    world: World
    seen: Counter[str]
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        world = self.world
        self.chain = world.chain
        world.reset()
        self.model = Market(RULES)
        self.goods: dict[Item, Goods] = {}
        self.leaves: dict[tuple[Item, int], tuple[Leaf, ...]] = {}
        self.catalogues: dict[str, tuple[bytes, MerkleTree]] = {}
        self.bought: dict[int, Bought] = {}
        self.sales: list[Sale] = []
        self.lists: list[SignedList] = []
        self.agreements: list[tuple[str, Any]] = []
        self.allowed = Counter({(name, "usd"): RICH for name in PEOPLE})
        self.count = self.rolls = 0
        self.proposed: list[tuple[str, int]] = []

    # ---------------------------------------------------------------------------- every call

    def call(
        self, who: str, function: str, *args: Any, value: int = 0, model: Callable[[], Any]
    ) -> bool:
        """Calls both; they must agree. True: it succeeded."""
        data = self.world.contract.call(function, *args)
        return self.call_raw(who, function, data, value=value, model=model)

    def call_raw(
        self, who: str, function: str, data: bytes, *, value: int = 0, model: Callable[[], Any]
    ) -> bool:
        self.model.block, self.model.time = self.chain.head + 1, self.chain.next_time
        got = self.world.attempt(who, self.world.market, data, value)
        if got == "StakeFrozen" and self.still_frozen(data):
            return False
        try:
            model()
            expected = None
        except Refused as refused:
            expected = refused.args[0]
        case = f"{function} by {who} in block {self.model.block}, second {self.model.time}"
        if expected is None:
            assert got is None, f"{case}: the model allows it, the contract says {got}"
        else:
            assert got in expected, f"{case}: the contract says {got}, the model {expected}"
        self.seen[f"{function}: {got or 'done'}"] += 1
        note(f"{case}: {got or 'done'}")
        if got is None:
            self.world.send(who, self.world.market, data, value)
            self.compare()
            self.notice()
        return got is None

    def notice(self) -> None:
        """What only a look at the sales tells."""
        for sale in self.sales:
            self.seen["part cleared"] += bool(sale.cleared)
            self.seen["purchased again"] += sale.status == "Purchased" and sale.since > 0
            self.seen["a replacement"] += bool(sale.cleared & set(sale.parts))

    def refused(self, who: str, function: str, *args: Any, names: set[str], value: int = 0) -> None:
        """A call that must fail, whatever the model's state."""
        self.refused_raw(who, function, self.world.contract.call(function, *args), names, value)

    def refused_raw(
        self, who: str, function: str, data: bytes, names: set[str], value: int = 0
    ) -> None:
        got = self.world.attempt(who, self.world.market, data, value)
        assert got in names, f"{function} by {who}: {got} is not among {names}"
        self.seen[f"{function}: {got}"] += 1

    def still_frozen(self, data: bytes) -> bool:
        """The contract may freeze a stake longer than the rules say, never shorter: until the
        last slash proposed would have lapsed, where an earlier one lapsed behind it."""
        name = self.world.names["0x" + data[16:36].hex()]
        return any(op == name and last >= self.model.time for op, last in self.proposed)

    def sale(self, dice: Dice) -> Sale:
        """Mostly one that is open."""
        some = [one for one in self.sales if one.status in OPEN]
        return dice.choice(self.sales if not some or dice.one_in(8) else some)

    def dice(self, number: int) -> Dice:
        # Hypothesis likes small numbers and repeats them; the same step twice would tell nothing.
        self.rolls += 1
        return Dice(f"{number} {self.rolls}")

    def closing(self, sale: Sale) -> tuple[Any, ...]:
        one = self.bought[id(sale)]
        return one.copy_id, astuple(one.sale), astuple(one.escrow)

    # ------------------------------------------------------------------------------ deliveries

    def made(self, one: Entry) -> Delivery:
        return self.bought[id(one.sale)].delivery(one)

    def hashes(self, listed: SignedList) -> list[bytes]:
        return [entry_of(self.made(one)) for one in listed.entries]

    def send_list(self, who: str, listed: SignedList, *, batch: bool = True) -> bool:
        """A list as it was signed, by whoever sends it."""
        function = "deliverFragments" if batch else "deliverFragment"
        made = [self.made(one) for one in listed.entries]
        data = self.world.parts(listed.signer, made, function if batch else "")
        act = partial(self.model.deliver, listed, batch)
        return self.call_raw(who, function, data, model=act)

    def supply_list(self, who: str, listed: SignedList) -> bool:
        made = [self.made(one) for one in listed.entries]
        data = self.world.parts(listed.signer, made, "supplyFragments")
        return self.call_raw(who, "supplyFragments", data, model=partial(self.model.supply, listed))

    # ------------------------------------------------------------------------------- compare

    def compare(self) -> None:
        """Everything that the chain holds against everything that the model holds."""
        world, model, view = self.world, self.model, self.world.contract.call
        asked: list[tuple[str, str, Any, Any]] = [("burnt", "burnt", view("burnt"), None)]
        for name in PEOPLE:
            at = world.at[name]
            for token in TOKENS:
                data = view("credits", at, world.token_at[token])
                asked.append((f"credit of {name} in {token}", "credits", data, (name, token)))
            asked.append((f"stake of {name}", "sellerStakes", view("sellerStakes", at), name))
            asked.append((f"deliverer {name}", "deliverers", view("deliverers", at), name))
        for sale in self.sales:
            cid, name = self.bought[id(sale)].copy_id, sale.item.name
            asked.append((name, "sales", view("sales", cid), sale))
            if sale.punished:
                asked.append((f"marks of {name}", "marks", view("marks", cid), sale))
            asked += [
                (f"entry of {name}", "sellerEntries", view("sellerEntries", cid, i), one)
                for i, one in sale.entries.items()
            ]
        views = [(world.market, data) for _, _, data, _ in asked]
        held = world.token.call("balanceOf", world.market)
        views += [(world.token_at[token], held) for token in TOKENS[1:]]
        balance, results = self.chain.read(world.market, views)
        balances = [balance, *(int.from_bytes(one, "big") for one in results[-2:])]
        assert balances == [model.held[token] for token in TOKENS], "balances"
        for (what, function, _, key), result in zip(asked, results, strict=False):
            got = world.contract.result(function, result)
            assert got == self.expected(function, key), f"{what}, {function}"
        self.solvent()

    def expected(self, function: str, key: Any) -> Any:
        model = self.model
        if function == "burnt":
            return model.burnt
        if function == "credits":
            return model.credits[key]
        if function == "sellerStakes":
            return model.free[key]
        if function == "sellerEntries":
            return entry_of(self.made(key))
        if function == "deliverers":
            owner = self.world.at[model.owner(key) if model.known(key) else ""].lower()
            numbers = (model.stake, model.earned, model.record, model.exits)
            return (owner, *(one[key] for one in numbers))
        if function == "marks":
            fresh = keccak(key_of(key.fresh))[:24] if key.fresh else bytes(24)
            return bits(key.punished), bits(key.cleared), fresh
        commitment = sale_hash(self.bought[id(key)].sale)[:24]
        marked = bool(key.punished)
        status = STATUS.index(key.status)
        return status, bits(key.parts), key.since, key.rated, marked, commitment

    def solvent(self) -> None:
        """What is held is what is owed, in each token, to the wei; what is burnt stays."""
        model = self.model
        owed = Counter({"": model.burnt + sum(sum(x.values()) for x in (model.free, model.stake))})
        owed[""] += sum(model.earned.values())
        for (_, token), amount in model.credits.items():
            owed[token] += amount
        for sale in self.sales:
            if sale.status in OPEN:
                owed[sale.item.token] += sale.item.price
                owed[""] += sale.R - sale.paid
                owed[""] += sale.bond if sale.status == "Disputed" else 0
        for token in TOKENS:
            assert owed[token] == model.held[token], f"the model owes what it has not: {token}"

    # ------------------------------------------------------------------------------- the end

    def teardown(self) -> None:
        """Everybody leaves by calls that need nobody else's help, and nothing stays behind."""
        if type(self).examples % 4 == 0 and self.sales:
            self.leave_all()
        super().teardown()

    def leave_all(self) -> None:
        model, at = self.model, self.world.at
        open_sales = [sale for sale in self.sales if sale.status in OPEN]
        for sale in sorted(open_sales, key=model.last):
            self.chain.reach(max(sale.block + 101, self.chain.head + 1))
            self.chain.reach_time(model.last(sale) + 1)
            act, end = ("refund", model.refund)
            if sale.status != "Purchased":
                act, end = ("settle", model.settle)
            assert self.call("art", act, *self.closing(sale), model=partial(end, sale))
        for op in [one for one in PEOPLE if model.stake[one]]:
            who = model.owner(op)
            if not model.exits[op]:
                ask = partial(model.request_exit, who, op)
                assert self.call(who, "requestExit", at[op], model=ask)
        last = max([0, *model.exits.values()])
        self.chain.reach_time(last + RULES.slash_delay + RULES.slash_lapse + 1)
        for op in PEOPLE:
            who = model.owner(op)
            if model.stake[op]:
                take = partial(model.withdraw_deliverer_stake, who, op)
                assert self.call(who, "withdrawDelivererStake", at[op], at[who], model=take)
            if model.earned[op]:
                earn = partial(model.withdraw_earnings, who, op)
                assert self.call(who, "withdrawEarnings", at[op], at[who], model=earn)
            if free := model.free[op]:
                back = partial(model.withdraw_seller_stake, op, free)
                assert self.call(op, "withdrawSellerStake", free, at[op], model=back)
        for who, token in [key for key, amount in model.credits.items() if amount]:
            pay = partial(model.withdraw, who, token)
            assert self.call(who, "withdraw", self.world.token_at[token], at[who], model=pay)
        left = {token: amount for token, amount in model.held.items() if amount}
        assert left == ({"": model.burnt} if model.burnt else {}), f"nobody can have {left}"
        self.seen["everybody left"] += 1
