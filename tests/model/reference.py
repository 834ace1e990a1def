"""The money rules of DAM, written from the protocol's section 5 and never from the Solidity.

Every rule that a call breaks is named by the error it deserves; a call that breaks several may be
refused with any of them. Accounts are names, "" is nobody and the native coin; d, f, k, n, q, b, w,
F and R are the protocol's. Stakes, exits and slashes stand in `reference_stakes`.
"""

from collections import namedtuple

from reference_stakes import Stakes, broken, refuse

Item = namedtuple("Item", "name token price commission penalty bond supply n k arbitrator")
FALLBACK, OPEN = 100, ("Purchased", "Complete", "Disputed")
SKIPPED = {"WrongStatus", "DeliveryClosed", "AlreadyDelivered", "FallbackTooEarly"}  # in a batch


class Sale:
    def __init__(self, item, seller, buyer, leaves, born):
        self.item, self.seller, self.buyer, self.leaves = item, seller, buyer, leaves
        self.born, self.status, self.rated = born, "Purchased", False
        self.parts = {}  # index: the deliverer who was paid, or "" for a fallback
        self.completed = self.full = self.changed = 0  # blocks of k parts, n parts, dispute or end
        self.fee = item.commission // max(item.n, 1)
        self.bond = item.bond if item.arbitrator else 0
        self.R = item.n * self.fee + item.penalty + self.bond

    def gate(self):
        by_time = self.born + FALLBACK + 1
        return min(self.full or by_time, by_time)

    def q(self):
        d, k = sum(map(bool, self.parts.values())), self.item.k
        return self.item.penalty * (k - min(d, k)) // k


class Market(Stakes):
    def buy(self, key, buyer, seller, item, leaves, digest, value, keys, bad_key, funds):
        current, items = self.store.get(seller, (None, ()))
        sale, native = Sale(item, seller, buyer, leaves, self.block), not item.token
        bad = (native and item.commission > item.price) or not 1 <= item.k <= item.n <= 32
        refuse(StoreChanged=digest != current, StoreClosed=not items, InvalidTerms=bad,
               TermsNotInCatalogue=items and item not in items, InvalidKey=bad_key,
               InvalidArbitrator=item.arbitrator in (seller, buyer), WrongKeyCount=keys != item.n,
               CopyBeyondSupply=key[-1] >= item.supply, CopyTaken=key in self.sales,
               Underpaid=native and value < item.price, CoinsWithToken=not native and value,
               TokenTransferFailed=not native and funds < item.price,
               SellerStakeTooLow=self.free[seller] < sale.R)  # fmt: skip
        self.free[seller] -= sale.R
        self.held[item.token] += value if native else item.price
        self.credits[buyer, ""] += value - item.price if native else 0
        self.sales[key] = sale

    def deliver(self, who, wanted, batch):
        refuse(NotPlainAccount=who in self.contracts)
        weak = self.stake[who] < self.rules.min_deliverer or self.exits[who]
        done, why = {}, set()
        for sale, i in wanted:
            age = self.block - sale.born
            mine = i < sale.item.n and who == sale.leaves[i] != sale.seller
            helps = who in (sale.seller, self.agent.get(sale.seller))
            there = i in sale.parts or (sale, i) in done
            names = broken(WrongStatus=sale.status not in OPEN, AlreadyDelivered=there,
                           DeliveryClosed=age > self.rules.refund, PartNotInItem=i >= sale.item.n,
                           FallbackTooEarly=helps and not mine and age <= FALLBACK,
                           NotYourPart=not mine and not helps,
                           NotEligible=mine and weak)  # fmt: skip
            if not (batch and names & SKIPPED):
                done[sale, i] = who if mine else ""
                why |= names
        refuse(NothingDelivered=not done, **dict.fromkeys(why, True))
        for (sale, i), by in done.items():
            sale.parts[i] = by
            self.earned[by] += sale.fee if by else 0
            self.record[by] += 1 if by else 0
            self.credits[sale.buyer, ""] += 0 if by else sale.fee
            if sale.status == "Purchased" and len(sale.parts) == sale.item.k:
                sale.status, sale.completed = "Complete", self.block
            sale.full = self.block if len(sale.parts) == sale.item.n else 0

    def supply(self, who, sale, i):
        virtual, other = who in self.contracts, sale.status not in OPEN
        stranger = who not in (sale.seller, self.agent.get(sale.seller))
        absent = i not in sale.parts
        refuse(NotPlainAccount=virtual, NotAllowed=stranger, WrongStatus=other, NotDelivered=absent)

    def last(self, sale):  # block of the present state's window
        if sale.status == "Purchased":
            return sale.born + self.rules.refund
        if sale.status == "Complete":
            return max(sale.completed, sale.gate()) + self.rules.dispute
        return sale.changed + self.rules.arbitration

    def confirm(self, who, sale):
        early, other = self.block < sale.gate(), sale.status != "Complete"
        refuse(NotAllowed=who != sale.buyer, WrongStatus=other, BeforeGate=early)
        self.end(sale, "Settled")

    def settle(self, sale):
        early, own = self.block <= self.last(sale), sale.buyer if sale.status == "Disputed" else ""
        refuse(WrongStatus=sale.status != "Complete" and not own, TooEarly=early)
        self.end(sale, "Settled", bonds=(own, ""))

    def refund(self, sale):
        refuse(WrongStatus=sale.status != "Purchased", TooEarly=self.block <= self.last(sale))
        self.end(sale, "Refunded", sale.item.price, sale.q())

    def concede(self, who, sale):
        if sale.status != "Disputed":
            early, other = self.block < sale.gate(), sale.status != "Complete"
            refuse(NotAllowed=who != sale.seller, WrongStatus=other, BeforeGate=early)
            return self.end(sale, "Refunded", sale.item.price, sale.q())
        stranger, late = who not in (sale.seller, sale.buyer), self.block > self.last(sale)
        refuse(NotAllowed=stranger, TooLate=late)
        if who != sale.seller:
            return self.end(sale, "Settled", bonds=(sale.seller, ""))
        return self.end(sale, "Refunded", sale.item.price, sale.item.penalty, (sale.buyer,) * 2)

    def dispute(self, who, sale, value):
        early, late = self.block < sale.gate(), self.block > self.last(sale)
        refuse(NotAllowed=who != sale.buyer, WrongStatus=sale.status != "Complete",
               NoArbitrator=not sale.item.arbitrator, WrongBond=value != sale.bond,
               BeforeGate=early, TooLate=late)  # fmt: skip
        self.held[""] += value
        sale.status, sale.changed = "Disputed", self.block

    def rule(self, who, sale, b, awarded):
        arbitrator, other = sale.item.arbitrator, sale.status != "Disputed"
        late, high = self.block > self.last(sale), b > sale.item.price
        refuse(NotAllowed=who != arbitrator, WrongStatus=other, TooLate=late, RulingTooHigh=high)
        w = sale.item.penalty if awarded else 0
        self.end(sale, "Resolved", b, w, (sale.buyer, arbitrator) if b or w else (arbitrator, ""))

    def rate(self, who, sale, stars):
        stranger, other, bad = who != sale.buyer, sale.status != "Settled", stars not in range(1, 6)
        refuse(NotAllowed=stranger, WrongStatus=other, InvalidRating=bad, AlreadyRated=sale.rated)
        sale.rated = True

    def end(self, sale, status, b=0, w=0, bonds=("", "")):
        """Of the price b, of the penalty w to the buyer. `bonds`: to whom the buyer's and the
        seller's go; "": it was never put up, or returns to the stake it came from."""
        fees, token = len(sale.parts) * sale.fee, sale.item.token  # F
        back = 0 if token else min(sale.item.price - b, fees)
        self.credits[sale.buyer, token] += b
        self.credits[sale.buyer, ""] += w
        self.credits[sale.seller, token] += sale.item.price - b - back
        self.free[sale.seller] += sale.R - fees - w + back - (sale.bond if bonds[1] else 0)
        for who in filter(None, bonds):
            self.credits[who, ""] += sale.bond
        sale.status, sale.changed = status, self.block
