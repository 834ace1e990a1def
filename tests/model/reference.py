"""The rules of sales, written from `IMarketplace`'s words and never from the contract's code.

Every rule that a call breaks is named by the error it deserves; a call that breaks several may be
refused with any of them. Accounts are names, "" is nobody, the native coin and "no fresh key"; F,
R, b, w and a are the table's. Stakes, exits and slashes stand in `reference_stakes`, evidence in
`reference_proofs`, which has the whole `Market`.
"""

from collections import namedtuple

from reference_stakes import FINE_FEES, Stakes, broken, refuse

Item = namedtuple("Item", "name token price commission penalty bond supply n k arbitrator")
# Part `index` of a copy; `share` and `secret` are what its leaf commits to.
Leaf = namedtuple("Leaf", "index deliverer share secret")
# Sealed to `key`: "" for the buyer's first key of that index; it opens to the share if `good`.
Fragment = namedtuple("Fragment", "key good nonce")
# What is signed of a delivery: `fresh` is the key that it claims to be sealed to.
Entry = namedtuple("Entry", "sale leaf fresh fragment")
SignedList = namedtuple("SignedList", "signer entries")
Split = namedtuple("Split", "to_buyer penalty to_arbitrator deadline")
# What an agreement's signatures are over.
Agreement = namedtuple("Agreement", "sale status since split")
FALLBACK, MAX_ENTRIES = 100, 50
OPEN = ("Purchased", "Complete", "Disputed")
FINAL = ("Settled", "Refunded", "Resolved", "Agreed")
SKIPPED = {
    *("WrongStatus", "DeliveryClosed", "AlreadyDelivered", "FallbackTooEarly", "NotEligible"),
    *("NotYourPart", "IndexPunished", "WrongFreshKey"),
}  # in a batch
NOT_NOW = {"WrongStatus", "BeforeGate", "TooEarly"}  # skipped by `close_many`


class Sale:
    def __init__(self, item, seller, buyer, leaves, block, time):
        self.item, self.seller, self.buyer, self.leaves = item, seller, buyer, leaves
        self.block, self.time = block, time  # of the purchase
        self.status, self.rated, self.since = "Purchased", False, 0
        self.parts = {}  # index: the deliverer who was paid, or "" for the seller's side
        self.entries = {}  # index: what the seller's side delivered
        self.punished, self.cleared, self.fresh = set(), set(), ""
        self.given = 0, 0  # of price and penalty, to the buyer, by the end
        self.fee = item.commission // max(item.n, 1)
        self.bond = item.bond if item.arbitrator else 0
        self.R = item.n * self.fee + item.penalty + self.bond

    @property
    def paid(self):
        """F: each index's fee is paid once."""
        return len(self.cleared | set(self.parts)) * self.fee

    def gate(self, block):
        all_paid = len(self.cleared | set(self.parts)) == self.item.n
        return all_paid or block > self.block + FALLBACK


class Sales(Stakes):
    def buy(self, key, buyer, seller, item, leaves, digest, value, keys, bad_key, funds, salt=0):
        current, items = self.store.get(seller, (None, ()))
        sale = Sale(item, seller, buyer, leaves, self.block, self.time)
        native = not item.token
        bad = (native and item.commission > item.price) or not 1 <= item.k <= item.n <= 32
        refuse(StoreChanged=digest != current, StoreClosed=not items, InvalidTerms=bad,
               TermsNotInCatalogue=items and item not in items, InvalidKey=bad_key,
               InvalidArbitrator=item.arbitrator in (seller, buyer), WrongKeyCount=keys != item.n,
               CopyBeyondSupply=key[-1] >= item.supply, CopyTaken=key in self.sales,
               SealedForAnotherCopy=salt and salt % 2**64 != key[-1],
               Underpaid=native and value < item.price, CoinsWithToken=not native and value,
               TokenTransferFailed=not native and funds < item.price,
               SellerStakeTooLow=self.free[seller] < sale.R)  # fmt: skip
        self.free[seller] -= sale.R
        self.held[item.token] += value if native else item.price
        self.credits[buyer, ""] += value - item.price if native else 0
        self.sales[key] = sale

    # -------------------------------------------------------------------------- delivering

    def sides_with(self, who, seller):
        return who in (seller, self.agent.get(seller))

    def until(self, mine):
        """Seconds after the purchase: so that what deliverers bring can be proved and replaced."""
        return self.rules.refund // 3 if mine else self.rules.refund

    def refusals(self, signer, entry, there=()):
        """What speaks against an entry, and whether it is the deliverer's own part."""
        sale, leaf, index = entry.sale, entry.leaf, entry.leaf.index
        helps = self.sides_with(signer, sale.seller)
        known = entry.fresh == sale.fresh and index in sale.punished
        both = broken(
            WrongStatus=sale.status not in OPEN,
            AlreadyDelivered=index in sale.parts or (sale, index) in there,
            PartNotInItem=index >= sale.item.n or leaf not in sale.leaves,
            WrongFreshKey=entry.fresh and not known,
        )
        weak = self.stake[signer] < max(self.rules.min_deliverer, FINE_FEES * sale.fee)
        own = broken(
            NotYourPart=not signer == leaf.deliverer != sale.seller,
            NotEligible=weak or self.exits[signer],
            IndexPunished=index in sale.punished,
            DeliveryClosed=self.time > sale.time + self.until(True),
        )
        side = broken(
            NotYourPart=not helps,
            FallbackTooEarly=self.block <= sale.block + FALLBACK,
            DeliveryClosed=self.time > sale.time + self.until(False),
        )
        # An operator whom the leaf names is its deliverer wherever that is possible.
        if not own or not side:
            return both, not own
        nobody = "NotYourPart" in own & side
        return both | ({"NotYourPart"} if nobody else own | side - {"NotYourPart"}), False

    def deliver(self, listed, batch):
        """Whoever sends it: the deliverer is who signed."""
        done, why = {}, set()
        for entry in listed.entries:
            names, mine = self.refusals(listed.signer, entry, done)
            if not (batch and names & SKIPPED):
                done[entry.sale, entry.leaf.index] = entry, mine
                why |= names
        long = len(listed.entries) > MAX_ENTRIES
        refuse(ListTooLong=long, NothingDelivered=not done, **dict.fromkeys(why, True))
        for entry, mine in done.values():
            self.arrive(entry, listed.signer if mine else "")

    def arrive(self, entry, by):
        sale, index = entry.sale, entry.leaf.index
        if by:
            self.earned[by] += sale.fee
            self.record[by] += 1
        else:
            sale.entries[index] = entry
            self.credits[sale.buyer, ""] += 0 if index in sale.cleared else sale.fee
        sale.parts[index] = by
        if sale.status == "Purchased" and len(sale.parts) == sale.item.k:
            sale.status, sale.since = "Complete", self.time - sale.time
        elif sale.status == "Complete" and len(sale.cleared | set(sale.parts)) == sale.item.n:
            sale.since = self.time - sale.time

    def supply(self, listed):
        """No bit, no fee, no evidence."""
        why, done = set(), 0
        for entry in listed.entries:
            sale, index = entry.sale, entry.leaf.index
            known = entry.fresh == sale.fresh and index in sale.punished
            names = broken(
                WrongStatus=sale.status not in OPEN,
                NotYourPart=not self.sides_with(listed.signer, sale.seller),
                WrongFreshKey=entry.fresh and not known,
                PartNotInItem=index >= sale.item.n or entry.leaf not in sale.leaves,
            )
            if index in sale.parts and not names & SKIPPED:
                done += 1
                why |= names
        long = len(listed.entries) > MAX_ENTRIES
        refuse(ListTooLong=long, NothingDelivered=not done, **dict.fromkeys(why, True))

    # ------------------------------------------------------------------------------- ends

    def last(self, sale):
        """Last second of the present state's window."""
        window = {"Purchased": self.rules.refund, "Complete": self.rules.dispute}
        since = 0 if sale.status == "Purchased" else sale.since
        return sale.time + since + window.get(sale.status, self.rules.arbitration)

    def early(self, sale):
        return not sale.gate(self.block)

    def confirm(self, who, sale):
        other = sale.status != "Complete"
        refuse(NotAllowed=who != sale.buyer, WrongStatus=other, BeforeGate=self.early(sale))
        self.end(sale, "Settled")

    def settle(self, sale):
        silence = sale.status == "Disputed"
        refuse(WrongStatus=sale.status not in ("Complete", "Disputed"),
               BeforeGate=sale.status == "Complete" and self.early(sale),
               TooEarly=self.time <= self.last(sale))  # fmt: skip
        self.end(sale, "Settled", bonds=(sale.buyer if silence else "", ""))

    def refund(self, sale):
        refuse(WrongStatus=sale.status != "Purchased", TooEarly=self.time <= self.last(sale))
        self.end(sale, "Refunded", sale.item.price, sale.item.penalty)

    def close(self, sale):
        return self.refund(sale) if sale.status == "Purchased" else self.settle(sale)

    def close_many(self, sales):
        closed = 0
        for sale in sales:
            done = sale.status in OPEN and self.time > self.last(sale)
            if done and not (sale.status == "Complete" and self.early(sale)):
                self.close(sale)
                closed += 1
        refuse(NothingClosed=not closed)

    def worked(self, sale):
        """Whether the arbitrator has, a third into the arbitration."""
        first = sale.time + sale.since + self.rules.arbitration // 3
        return sale.status == "Disputed" and self.time >= first

    def give_in(self, sale):
        """The seller did, or was proved wrong."""
        worked, disputed = self.worked(sale), sale.status == "Disputed"
        seller_bond = (sale.item.arbitrator if worked else sale.buyer) if disputed else ""
        bonds = (sale.buyer if disputed else "", seller_bond)
        self.end(sale, "Refunded", sale.item.price, sale.item.penalty, bonds)

    def concede(self, who, sale):
        if sale.status != "Disputed":
            other = sale.status != "Complete"
            refuse(NotAllowed=who != sale.seller, WrongStatus=other, BeforeGate=self.early(sale))
            return self.give_in(sale)
        late = self.time > self.last(sale)
        refuse(NotAllowed=who not in (sale.seller, sale.buyer), TooLate=late)
        if who == sale.seller:
            return self.give_in(sale)
        to = sale.item.arbitrator if self.worked(sale) else sale.seller
        return self.end(sale, "Settled", bonds=(to, ""))

    def agree(self, who, sale, split, by_buyer, by_seller):
        """`by_buyer` and `by_seller`: the agreements that each signed, or None."""
        now = Agreement(sale, sale.status, sale.since, split)
        disputed, a = sale.status == "Disputed", split.to_arbitrator
        least, most = (sale.bond if self.worked(sale) else 0), (2 * sale.bond if disputed else 0)
        high = split.to_buyer > sale.item.price or split.penalty > sale.item.penalty
        late = self.time > split.deadline or (disputed and self.time > self.last(sale))
        refuse(WrongStatus=sale.status not in OPEN, BeforeGate=self.early(sale), TooLate=late,
               InvalidSplit=high or not least <= a <= most,
               NotAgreed=(who != sale.buyer and by_buyer != now)
               or (who != sale.seller and by_seller != now))  # fmt: skip
        self.credits[sale.item.arbitrator, ""] += a
        self.credits[sale.buyer, ""] += sale.bond - a // 2 if disputed else 0
        self.free[sale.seller] -= a - a // 2
        self.end(sale, "Agreed", split.to_buyer, split.penalty)

    def dispute(self, who, sale, value):
        refuse(NotAllowed=who != sale.buyer, WrongStatus=sale.status != "Complete",
               NoArbitrator=not sale.item.arbitrator, WrongBond=value != sale.bond,
               BeforeGate=self.early(sale), TooLate=self.time > self.last(sale))  # fmt: skip
        self.held[""] += value
        sale.status, sale.since = "Disputed", self.time - sale.time

    def rule(self, who, sale, b, awarded):
        arbitrator, other = sale.item.arbitrator, sale.status != "Disputed"
        late, high = self.time > self.last(sale), b > sale.item.price
        refuse(NotAllowed=who != arbitrator, WrongStatus=other, TooLate=late, RulingTooHigh=high)
        w = sale.item.penalty if awarded else 0
        self.end(sale, "Resolved", b, w, (sale.buyer, arbitrator) if b or w else (arbitrator, ""))

    def rate(self, who, sale, stars):
        other, bad = sale.status not in FINAL, stars not in range(1, 6)
        refuse(NotAllowed=who != sale.buyer, WrongStatus=other, InvalidRating=bad,
               AlreadyRated=sale.rated)  # fmt: skip
        sale.rated = True

    def end(self, sale, status, b=0, w=0, bonds=("", "")):
        """Of the price b, of the penalty w to the buyer. `bonds`: to whom the buyer's and the
        seller's go; "": it was never put up, or returns to the stake it came from."""
        token = sale.item.token
        back = 0 if token else min(sale.item.price - b, sale.paid)
        self.credits[sale.buyer, token] += b
        self.credits[sale.buyer, ""] += w
        self.credits[sale.seller, token] += sale.item.price - b - back
        self.free[sale.seller] += sale.R - sale.paid - w + back - (sale.bond if bonds[1] else 0)
        for who in filter(None, bonds):
            self.credits[who, ""] += sale.bond
        sale.status, sale.since, sale.given = status, self.time - sale.time, (b, w)
