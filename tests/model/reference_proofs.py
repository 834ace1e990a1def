"""The rules of evidence, for the model in `reference`: see there."""

from reference import OPEN, Sales
from reference_stakes import broken, refuse


def junk(entry):
    """It does not open, with the key that the entry names, to the share that was committed to."""
    return not entry.fragment.good or entry.fragment.key != entry.fresh


def add_up(leaves, k):
    """Whether these k shares give the key that the leaves commit to."""
    return all(leaf.share == leaves[0].secret for leaf in leaves[:k])


class Market(Sales):
    def strange(self, sale, leaves):
        return any(leaf not in sale.leaves or leaf.index >= sale.item.n for leaf in leaves)

    def prove_junk(self, who, sale, fresh, evidence, keys=True, bad_key=False):
        """`evidence`: entries, the lists in which they are said to stand, and where. What each
        took, the buyer's bounty, and whether the part is missing again."""
        is_open, seen, names = sale.status in OPEN, set(sale.punished), set()
        for entry, listed, place in evidence:
            leaf = entry.leaf
            strange = listed.entries[place : place + 1] != (entry,) or entry.sale is not sale
            names |= broken(
                PartNotInItem=self.strange(sale, [leaf]),
                EntryNotFound=strange,
                NotTheDeliverers=listed.signer != leaf.deliverer or leaf.deliverer == sale.seller,
                AlreadyPunished=leaf.index in seen,
                NothingProved=not junk(entry),
            )
            seen.add(leaf.index)
        if not evidence:
            names.add("NothingProved")
        # No deliverer ever delivers to a fresh key.
        if any(one.fresh for one, _, _ in evidence) or (is_open and sale.fresh not in ("", fresh)):
            names.add("WrongFreshKey")
        bad = is_open and bad_key
        refuse(NotAllowed=who != sale.buyer, WrongKeys=not keys, InvalidKey=bad,
               **dict.fromkeys(names, True))  # fmt: skip
        if is_open:
            sale.fresh = fresh
        return [self.punish(sale, entry.leaf) for entry, _, _ in evidence]

    def in_time(self, sale):
        """So that the seller's side can still replace it."""
        return self.time <= sale.time + 2 * self.rules.refund // 3

    def punish(self, sale, leaf):
        """Fined once for an index of a sale; in time the part is missing again."""
        taken, bounty = self.fine(leaf.deliverer, sale.fee, sale.buyer)
        sale.punished.add(leaf.index)
        clears = self.in_time(sale) and sale.status in OPEN[:2] and sale.parts.get(leaf.index)
        if clears:
            del sale.parts[leaf.index]
            sale.cleared.add(leaf.index)
            if sale.status == "Complete" and len(sale.parts) < sale.item.k:
                sale.status, sale.since = "Purchased", self.time - sale.time
        return taken, bounty, bool(clears)

    def prove_seller_junk(self, who, sale, entry, keys=True):
        kept = sale.entries.get(entry.leaf.index)
        refuse(NotAllowed=who != sale.buyer, WrongStatus=sale.status not in OPEN,
               WrongKeys=not keys, EntryNotFound=kept is None or kept != entry,
               PartNotInItem=self.strange(sale, [entry.leaf]),
               NothingProved=not junk(entry))  # fmt: skip
        self.give_in(sale)

    def prove_bad_shares(self, who, sale, leaves, known=True):
        """`known`: the buyer brings what the leaves commit to."""
        distinct, secrets = {leaf.index for leaf in leaves}, {leaf.secret for leaf in leaves}
        wrong = not sale.item.k == len(leaves) == len(distinct) or len(secrets) != 1
        refuse(NotAllowed=who != sale.buyer, WrongStatus=sale.status not in OPEN,
               BeforeGate=self.early(sale), WrongShares=wrong or not known,
               PartNotInItem=self.strange(sale, leaves),
               NothingProved=not wrong and add_up(leaves, sale.item.k))  # fmt: skip
        self.give_in(sale)

    def prove_bad_leaves(self, who, sale, one, other):
        at_odds = one.index == other.index or one.secret != other.secret
        refuse(NotAllowed=who != sale.buyer, WrongStatus=sale.status not in OPEN,
               BeforeGate=self.early(sale),
               PartNotInItem=self.strange(sale, (one, other)),
               NothingProved=one == other or not at_odds)  # fmt: skip
        self.give_in(sale)
