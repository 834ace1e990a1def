"""Random sales in the model alone: honest people among hostile ones, and what must hold for them.

Honest are: the seller sam, whose watchdog wes looks at least every third of the refund window; the
deliverers dan and dee, when they are there; the buyer bea; and the arbitrator art. Everybody else
signs, keeps, relays and proves whatever is to be had, at any time. See `test_hostile` for what
must hold.
"""

from __future__ import annotations

import random
from collections import Counter

from reference import FINAL, OPEN, Agreement, Entry, Fragment, Item, Leaf, SignedList, Split
from reference_proofs import Market, add_up, junk
from reference_stakes import Refused, Rules

HOUR, DAY = 3600, 86400
RULES = Rules(DAY, 3 * DAY, 7 * DAY, 26 * DAY, 7 * DAY, 7 * DAY, 500, 1000, 50, "gov")
SELLERS, BUYERS, DELIVERERS = ("sam", "sue"), ("bea", "ben"), ("dan", "dee", "dot", "dix")
HONEST = ("dan", "dee")
PEOPLE = (*SELLERS, *BUYERS, *DELIVERERS, "wes", "art", "ann", "gov")
LOOK = 7 * HOUR  # how often who is honest looks, at the least


class Run:
    """One market with a few sales, all from one seed."""

    def __init__(self, seed, market=Market):
        self.dice = random.Random(seed)
        self.market = market(RULES)
        self.pace = self.dice.choice((1, 2, 12))  # seconds of a block
        self.stolen = self.dice.random() < 0.2  # the thief has wes's key
        self.sales, self.lists, self.agreements = [], [], []
        self.seen = {}  # sale: what fragments its buyer has seen, as entries
        self.fines = Counter()  # (sale, index)
        self.fined = Counter()  # deliverer
        self.paid = Counter()  # (sale, index): parts paid
        self.honest_lists = set()
        self.thefts = set()  # sales that the thief reached
        self.lazy = self.dice.random() < 0.4  # the watchdog looks once, in the last third
        self.there = {name: self.dice.random() < 0.8 for name in HONEST}
        self.count = 0
        self.events = Counter()
        self.furnish()

    # ------------------------------------------------------------------------------- plumbing

    def furnish(self):
        market = self.market
        for who in SELLERS:
            market.move(market.free, who, 10**6)
        market.agent["sam"] = "wes"
        market.agent["sue"] = self.dice.choice(("dot", "dix", "sue", ""))
        for who in DELIVERERS:
            market.register(who, who, self.dice.choice((500, 600, 5000)))
        market.block, market.time = 1000, 10**6

    def go(self, function, *args):
        """Whether a call was possible."""
        try:
            result = function(*args)
        except Refused as refused:
            self.events[f"{function.__name__}: {min(refused.args[0])}"] += 1
            return False
        self.events[function.__name__] += 1
        self.solvent()
        return True if result is None else result

    def solvent(self):
        """What is held is what is owed, in each currency, and what is burnt stays."""
        market = self.market
        held = (market.free, market.stake, market.earned)
        owed = Counter({"": market.burnt + sum(sum(one.values()) for one in held)})
        for (_, token), amount in market.credits.items():
            owed[token] += amount
        for sale in market.sales.values():
            if sale.status in OPEN:
                owed[sale.item.token] += sale.item.price
                owed[""] += sale.R - sale.paid + (sale.bond if sale.status == "Disputed" else 0)
        for token in ("", "usd"):
            assert owed[token] == market.held[token], f"insolvent in {token or 'coins'}"
        for what in (market.free, market.stake, market.earned, market.credits):
            assert min(what.values(), default=0) >= 0, "somebody owes"

    def pass_time(self, seconds):
        self.market.time += seconds
        self.market.block += max(1, seconds // self.pace)

    # ---------------------------------------------------------------------------------- sales

    def buy(self):
        dice, market = self.dice, self.market
        seller, buyer = dice.choice(SELLERS), dice.choice((*BUYERS, "dot"))
        n = dice.randint(1, 5)
        k = dice.randint(1, n)
        price = dice.randrange(400)
        self.count += 1
        token, arbitrator = dice.choice(("", "", "usd")), dice.choice(("art", "art", "ann", ""))
        money = (price, dice.randint(0, price), dice.randrange(300), dice.randrange(50))
        item = Item(f"item {self.count}", token, *money, 1, n, k, arbitrator)
        leaves = [Leaf(i, dice.choice(DELIVERERS), "key", "key") for i in range(n)]
        if seller == "sue":
            leaves = self.twisted(leaves)
        market.store[seller] = b"", (item,)
        key = (seller, item.name, 0)
        arguments = (item, tuple(leaves), b"", 0 if item.token else price, n, False, price)
        if self.go(market.buy, key, buyer, seller, *arguments):
            self.sales.append(market.sales[key])
            self.seen[market.sales[key]] = []

    def twisted(self, leaves):
        """As a hostile seller commits to them."""
        odd, dice = self.dice.choice(("", "", "share", "twice", "secret", "own")), self.dice
        at = dice.randrange(len(leaves))
        if odd == "share":
            leaves[at] = leaves[at]._replace(share="another")
        elif odd == "twice":
            leaves.append(leaves[at]._replace(share="another", deliverer="dix"))
        elif odd == "secret":
            leaves[at] = leaves[at]._replace(secret="another")
        elif odd == "own":
            leaves = [leaf._replace(deliverer=dice.choice(("sue", "dot"))) for leaf in leaves]
        return leaves

    def sign(self, signer, entries):
        listed = SignedList(signer, tuple(entries))
        self.lists.append(listed)
        return listed

    def entry(self, sale, leaf, good=True, fresh="", key=None):
        nonce = self.count = self.count + 1
        return Entry(sale, leaf, fresh, Fragment(fresh if key is None else key, good, nonce))

    def send(self, listed, batch=True):
        """Anybody does; what the log then tells, its buyer sees."""
        before = {e.sale: dict(e.sale.parts) for e in listed.entries}
        cleared = {e.sale: set(e.sale.cleared) for e in listed.entries}
        if not self.go(self.market.deliver, listed, batch):
            return False
        for entry in listed.entries:
            sale, index = entry.sale, entry.leaf.index
            if index in sale.parts and index not in before[sale]:
                self.seen[sale].append(entry)
                before[sale][index] = sale.parts[index]
                if index not in cleared[sale]:
                    self.paid[sale, index] += 1
                    assert self.paid[sale, index] == 1, "a fee was paid twice"
                if listed.signer == "wes" and listed not in self.honest_lists:
                    self.thefts.add(sale)
        return True

    def prove(self, who, sale, fresh, evidence):
        """Checks what no proof may do."""
        market = self.market
        stakes, burnt = dict(market.stake), market.burnt
        purse = sum(market.credits.values()) + sum(market.earned.values())
        results = self.go(market.prove_junk, who, sale, fresh, evidence)
        if not results:
            return False
        for (entry, _, _), (taken, bounty, _) in zip(evidence, results, strict=True):
            self.fines[sale, entry.leaf.index] += 1
            self.fined[entry.leaf.deliverer] += 1
            assert self.fines[sale, entry.leaf.index] == 1, "one proof, twice"
            assert bounty * 5 <= taken, "a fine that stays in the family"
        lost = sum(stakes.values()) - sum(market.stake.values())
        gained = sum(market.credits.values()) + sum(market.earned.values()) - purse
        assert lost - gained == market.burnt - burnt, "a fine went somewhere else"
        assert (market.burnt - burnt) * 5 >= (lost - gained) * 4, "a free self-slash"
        assert not any(self.fined[name] for name in HONEST), "an honest deliverer was punished"
        return True

    def readable(self, sale):
        """Leaves of whose shares the buyer has good fragments, one for each index."""
        good = [entry for entry in self.seen[sale] if not junk(entry)]
        return list({entry.leaf.index: entry.leaf for entry in good}.values())

    def opens(self, sale):
        """Whether some k of these shares give the key."""
        right = [leaf for leaf in self.readable(sale) if leaf.share == leaf.secret == "key"]
        return len(right) >= sale.item.k


class Honest(Run):
    """What honest people do when they look."""

    def in_front_of(self, sale):
        """What the others do; see `Hostile`."""

    def honest_deliverers(self):
        for name in HONEST:
            mine = [
                self.entry(sale, leaf)
                for sale in self.sales
                if sale.status in OPEN
                for leaf in sale.leaves
                if leaf.deliverer == name and leaf.index not in sale.parts
            ]
            if mine and self.there[name]:
                listed = self.sign(name, mine)
                self.honest_lists.add(listed)
                self.send(listed)

    def watchdog(self):
        """Fallbacks, replacements to the fresh key, and supplies in a dispute."""
        for sale in self.sales:
            if sale.seller != "sam" or sale.status not in OPEN:
                continue
            if self.lazy and self.market.time <= sale.time + DAY - LOOK:
                continue
            missing = [leaf for leaf in sale.leaves if leaf.index not in sale.parts]
            lists = [(missing, self.send)]
            if sale.status == "Disputed":
                lists.append(([x for x in sale.leaves if x.index in sale.parts], self.supply))
            for leaves, send in lists:
                fresh = {leaf: sale.fresh if leaf.index in sale.punished else "" for leaf in leaves}
                entries = [self.entry(sale, leaf, fresh=fresh[leaf]) for leaf in leaves]
                if entries:
                    listed = self.sign("wes", entries)
                    self.honest_lists.add(listed)
                    if self.dice.random() < 0.5:
                        self.in_front_of(sale)
                    send(listed)
            self.go(self.market.close_many, [sale])

    def supply(self, listed):
        if self.go(self.market.supply, listed):
            for entry in listed.entries:
                self.seen[entry.sale].append(entry)

    def buyer(self):
        for sale in self.sales:
            if sale.buyer != "bea" or sale.status not in OPEN:
                continue
            if self.opens(sale):
                if self.dice.random() < 0.3:
                    self.go(self.market.confirm, "bea", sale)
                continue
            self.complain(sale)

    def complain(self, sale):
        """Proves what there is to prove; takes the money back where there is nothing."""
        market, fresh = self.market, sale.fresh or f"fresh of {sale.item.name}"
        readable = {leaf.index for leaf in self.readable(sale)}
        for entry in list(self.seen[sale]):
            index = entry.leaf.index
            if index in readable or index not in sale.parts or not junk(entry):
                continue
            if sale.parts[index] and index not in sale.punished:
                by = sale.parts[index]
                lists = [x for x in self.lists if x.signer == by and entry in x.entries]
                self.prove("bea", sale, fresh, [(entry, lists[0], lists[0].entries.index(entry))])
            elif sale.entries.get(index) == entry:
                self.go(market.prove_seller_junk, "bea", sale, entry)
            if sale.status not in OPEN:
                return
        leaves = self.readable(sale)[: sale.item.k]
        if len(leaves) == sale.item.k and not add_up(leaves, sale.item.k):
            self.go(market.prove_bad_shares, "bea", sale, leaves)
        for one in sale.leaves if sale.status in OPEN else ():
            for other in sale.leaves:
                if (
                    sale.status in OPEN
                    and one != other
                    and (one.index == other.index or one.secret != other.secret)
                ):
                    self.go(market.prove_bad_leaves, "bea", sale, one, other)
        if sale.status == "Purchased":
            self.go(market.refund, sale)

    def arbitrator(self):
        """Late, so that everybody has had a say."""
        for sale in self.sales:
            late = self.market.last(sale) - 2 * DAY
            mine = sale.status == "Disputed" and sale.item.arbitrator == "art"
            if mine and self.market.time > late:
                opened = self.opens(sale)
                price = 0 if opened else sale.item.price
                self.go(self.market.rule, "art", sale, price, not opened)


class Hostile(Honest):
    """What hostile people do, at any time."""

    def mischief(self):
        acts = (
            *(self.junk, self.junk, self.relay, self.relay, self.prove_anything),
            *(self.prove_anything, self.accuse, self.close, self.close, self.sign_agreement),
            *(self.use_agreement, self.stakes, self.slash, self.contradict),
        )
        self.dice.choice(acts)()

    def in_front_of(self, sale):
        """A proof of junk that nobody ever saw, just before the watchdog's call."""
        for leaf in sale.leaves:
            mine = leaf.deliverer in ("dot", "dix") and leaf.index not in sale.punished
            if mine and sale.buyer != "bea" and self.dice.random() < 0.5:
                entry = self.entry(sale, leaf, good=False)
                listed = self.sign(leaf.deliverer, [entry])
                fresh = f"key {self.count}" if self.dice.random() < 0.5 else sale.fresh or "key"
                self.prove(sale.buyer, sale, fresh, [(entry, listed, 0)])

    def any_sale(self):
        some = [sale for sale in self.sales if sale.status in OPEN]
        return self.dice.choice(some if some and self.dice.random() < 0.9 else self.sales)

    def junk(self):
        """Signs parts, good and bad, for now or for later."""
        dice, sale = self.dice, self.any_sale()
        thief = ("wes",) if self.stolen else ()
        signer = dice.choice(("dot", "dot", "dix", "sue", "ben", *thief))
        leaves = dice.choices(sale.leaves, k=dice.randint(1, 3))
        mine = [leaf for leaf in sale.leaves if leaf.deliverer == signer]
        fresh = (sale.fresh, sale.fresh, "", "", "false")
        entries = [
            self.entry(
                sale, leaf, dice.random() < 0.4, dice.choice(fresh), dice.choice((None, "x"))
            )
            for leaf in (mine if mine and dice.random() < 0.8 else leaves)
        ]
        listed = self.sign(signer, entries)
        if dice.random() < 0.7:
            self.send(listed, dice.random() < 0.8)

    def relay(self):
        """Sends, once more or for the first time, what anybody has signed."""
        if self.lists:
            listed = self.dice.choice(self.lists[-40:])
            self.supply(listed) if self.dice.random() < 0.2 else self.send(listed)

    def prove_anything(self):
        dice, sale = self.dice, self.any_sale()
        who = sale.buyer if sale.buyer != "bea" else "ben"
        pool = [(entry, one, i) for one in self.lists for i, entry in enumerate(one.entries)]
        mine = [row for row in pool if row[0].sale is sale]
        bad = [row for row in mine if junk(row[0]) and row[0].leaf.index not in sale.punished]
        some = bad if bad and dice.random() < 0.7 else (mine or pool)
        if some:
            fresh = sale.fresh if sale.fresh and dice.random() < 0.8 else f"key {dice.random()}"
            self.prove(who, sale, fresh, dice.sample(some, min(len(some), dice.randint(1, 2))))

    def accuse(self):
        """The seller, of anything that anybody has ever signed."""
        sale = self.any_sale()
        entries = [e for one in self.lists for e in one.entries if e.sale is sale]
        if entries and sale.buyer != "bea":
            entry = self.dice.choice(entries)
            self.go(self.market.prove_seller_junk, sale.buyer, sale, entry)

    def contradict(self):
        sale = self.any_sale()
        if sale.buyer == "bea":
            return
        two = self.dice.choices(sale.leaves, k=2)
        self.go(self.market.prove_bad_leaves, sale.buyer, sale, *two)
        leaves = self.dice.choices(sale.leaves, k=sale.item.k)
        self.go(self.market.prove_bad_shares, sale.buyer, sale, leaves)

    def close(self):
        dice, market, sale = self.dice, self.market, self.any_sale()
        who = dice.choice(
            [x for x in (sale.buyer, sale.seller) if x not in ("bea", "sam")] or ["x"]
        )
        act = dice.choice(
            ("settle", "refund", "many", "confirm", "concede", "dispute", "rule", "rate")
        )
        if act in ("settle", "refund"):
            self.go(getattr(market, act), sale)
        elif act == "many":
            self.go(market.close_many, dice.sample(self.sales, min(3, len(self.sales))))
        elif act in ("confirm", "concede"):
            self.go(getattr(market, act), who, sale)
        elif act == "dispute":
            self.go(market.dispute, who, sale, sale.bond)
        elif act == "rule":
            self.go(market.rule, "ann", sale, dice.randint(0, sale.item.price), dice.random() < 0.5)
        else:
            self.go(market.rate, sale.buyer, sale, dice.randint(1, 5))

    def sign_agreement(self):
        sale, dice = self.any_sale(), self.dice
        signers = {sale.buyer, sale.seller} - {"sam", "bea"}
        most = 2 * sale.bond if sale.status == "Disputed" else 0
        amounts = [dice.randint(0, one) for one in (sale.item.price, sale.item.penalty, most)]
        split = Split(*amounts, self.market.time + dice.randrange(9 * DAY))
        for signer in sorted(signers):
            self.agreements.append((signer, Agreement(sale, sale.status, sale.since, split)))

    def use_agreement(self):
        """An old one as well."""
        if self.agreements:
            _, one = self.dice.choice(self.agreements)
            sale = one.sale
            signed = {who for who, other in self.agreements if other == one}
            by = [one if who in signed else None for who in (sale.buyer, sale.seller)]
            who = self.dice.choice(("x", *({sale.buyer, sale.seller} - {"sam", "bea"})))
            self.go(self.market.agree, who, sale, one.split, *by)

    def stakes(self):
        dice, market, op = self.dice, self.market, self.dice.choice(("dot", "dix"))
        act = dice.choice(("exit", "cancel", "leave", "earn", "add", "again", "withdraw"))
        calls = {
            "exit": (market.request_exit, op, op),
            "cancel": (market.cancel_exit, op, op),
            "leave": (market.withdraw_deliverer_stake, op, op),
            "earn": (market.withdraw_earnings, op, op),
            "add": (market.add_stake, op, dice.randrange(900)),
            "again": (market.register, op, op, 600),
            "withdraw": (market.withdraw, dice.choice(PEOPLE), dice.choice(("", "usd"))),
        }
        self.go(*calls[act])

    def slash(self):
        dice, market = self.dice, self.market
        if market.slashes and dice.random() < 0.6:
            self.go(market.execute_slashing, dice.choice(list(market.slashes)))
        else:
            self.count += 1
            op = dice.choice(("dot", "dix"))
            self.go(market.propose_slashing, "gov", self.count, op, dice.randrange(900), "ann")

    # ------------------------------------------------------------------------------ the course

    def play(self, steps):
        self.buy()
        since = 0
        for _ in range(steps):
            if self.dice.random() < 0.08 and len(self.sales) < 6:
                self.buy()
            if not self.sales:
                continue
            wait = self.dice.choice((0, 0, 1, 60, HOUR, 3 * HOUR, LOOK, self.edge()))
            wait = min(wait, LOOK - since)
            self.pass_time(wait)
            since += wait
            # Between two looks of the honest everything else may happen.
            if since >= LOOK or self.dice.random() < 0.1:
                since = 0
                self.look()
            else:
                self.mischief()
        self.finish()

    def edge(self):
        """To just before or after something of a sale ends."""
        sale = self.any_sale()
        edges = (DAY // 3, 2 * DAY // 3, DAY, self.market.last(sale) - sale.time)
        at = sale.time + self.dice.choice(edges) + self.dice.randint(-1, 1)
        return max(at - self.market.time, 0)

    def look(self):
        for act in self.dice.sample((self.honest_deliverers, self.watchdog, self.buyer), 3):
            act()
        # Who looks that seldom sees, and acts, before anybody else can.
        self.arbitrator()

    def finish(self):
        for _ in range(300):
            if not any(sale.status in OPEN for sale in self.sales):
                break
            self.pass_time(LOOK)
            self.look()
            self.go(self.market.close_many, list(self.sales))
        assert all(sale.status in FINAL for sale in self.sales), "a sale is stuck"
        self.judge()
        self.leave()

    def judge(self):
        """What honest people are owed."""
        for sale in self.sales:
            fair = sale.item.arbitrator != "ann"
            if sale.buyer == "bea" and fair:
                whole = sale.given == (sale.item.price, sale.item.penalty)
                assert whole or self.opens(sale), "bea has neither the good nor the money"
            if sale.seller == "sam" and fair and sale not in self.thefts:
                assert sale.given == (0, 0), f"sam lost a sale: {sale.status}"

    def leave(self):
        """Everybody takes what is theirs; only what was burnt stays."""
        market = self.market
        for op in DELIVERERS:
            if not market.exits[op] and market.known(op):
                self.go(market.request_exit, op, op)
        self.pass_time(60 * DAY)
        for op in DELIVERERS:
            if market.exits[op]:
                self.go(market.withdraw_deliverer_stake, op, op)
            if market.earned[op]:
                market.withdraw_earnings(op, op)
        for who in SELLERS:
            if market.free[who]:
                market.withdraw_seller_stake(who, market.free[who])
        for who, token in [key for key, amount in market.credits.items() if amount]:
            market.withdraw(who, token)
        assert market.held["usd"] == 0, "stranded tokens"
        assert market.held[""] == market.burnt, "stranded coins"
