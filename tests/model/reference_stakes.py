"""The rules of stakes, exits, fines and slashes, for the model in `reference`: see there."""

from collections import Counter, namedtuple

WINDOWS = "refund dispute arbitration exit slash_delay slash_lapse"
Rules = namedtuple("Rules", WINDOWS + " min_deliverer min_seller junk_fine governor")
Slash = namedtuple("Slash", "operator amount stake removed beneficiary first last")
FINE_FEES, BOUNTY_PARTS = 10, 5  # a fine is at least so many fees; the buyer has a fifth of it


class Refused(Exception):
    """The call breaks these rules: its one argument is the set of their errors' names."""


def broken(**rules):
    return {name for name, is_broken in rules.items() if is_broken}


def refuse(**rules):
    if names := broken(**rules):
        raise Refused(names)


class Stakes:
    def __init__(self, rules):
        self.rules = rules
        self.block = self.time = 0  # those of the call under way
        self.held = Counter()  # token: balance
        self.credits = Counter()  # (account, token)
        self.burnt = 0
        self.free = Counter()  # seller: free stake
        self.agent = {}  # seller: its operator
        self.store = {}  # seller: (digest, items)
        self.stake, self.earned, self.record, self.exits = (Counter() for _ in range(4))
        self.removed = Counter()  # deliverer: what has left its stake ever
        self.owners, self.slashes, self.sales = {}, {}, {}

    def move(self, stakes, who, value):
        stakes[who] += value
        self.held[""] += value

    def withdraw_seller_stake(self, who, amount):
        refuse(NothingToWithdraw=amount == 0, SellerStakeTooLow=amount > self.free[who])
        self.move(self.free, who, -amount)

    def create_store(self, who, digest, items):
        poor = self.free[who] < self.rules.min_seller
        refuse(StoreExists=who in self.store, SellerStakeTooLow=poor)
        self.store[who] = digest, items

    def update_store(self, who, digest, items):
        refuse(NoStore=who not in self.store)
        self.store[who] = digest, items

    def owner(self, op):
        return self.owners.get(op, op)

    def known(self, op):
        numbers = (self.stake, self.earned, self.record, self.exits)
        return self.owner(op) != op or any(one[op] for one in numbers)

    def register(self, who, owner, value):
        refuse(AlreadyRegistered=self.known(who), StakeTooLow=value < self.rules.min_deliverer)
        self.owners[who] = owner
        self.move(self.stake, who, value)

    def add_stake(self, op, value):
        refuse(NotRegistered=not self.known(op), ExitRequested=self.exits[op])
        self.move(self.stake, op, value)

    def request_exit(self, who, op):
        refuse(
            NotAllowed=who != self.owner(op),
            NotRegistered=not self.known(op),
            ExitRequested=self.exits[op],
        )
        self.exits[op] = self.time + self.rules.exit

    def cancel_exit(self, who, op):
        refuse(NotAllowed=who != self.owner(op), ExitNotRequested=not self.exits[op])
        self.exits[op] = 0

    def frozen(self, op):
        """An open proposal keeps a stake in, but no row of them for ever."""
        last = self.exits[op] + self.rules.slash_delay + self.rules.slash_lapse
        return self.time <= last and any(
            s.operator == op and self.time <= s.last for s in self.slashes.values()
        )

    def withdraw_deliverer_stake(self, who, op):
        refuse(
            NotAllowed=who != self.owner(op),
            ExitNotRequested=not self.exits[op],
            ExitPending=self.time < self.exits[op],
            StakeFrozen=self.frozen(op),
        )
        self.removed[op] += self.stake[op]
        self.move(self.stake, op, -self.stake[op])
        self.exits[op] = 0

    def withdraw_earnings(self, who, op):
        refuse(NotAllowed=who != self.owner(op), NothingToWithdraw=not self.earned[op])
        self.move(self.earned, op, -self.earned[op])

    def withdraw(self, who, token):
        refuse(NothingToWithdraw=not self.credits[who, token])
        self.held[token] -= self.credits.pop((who, token))

    def propose_slashing(self, who, number, op, amount, beneficiary):
        refuse(
            NotAllowed=who != self.rules.governor,
            NotRegistered=not self.known(op),
            NothingToSlash=not (amount and self.stake[op]),
        )
        stake, first = self.stake[op], self.time + self.rules.slash_delay
        self.slashes[number] = Slash(
            op, min(amount, stake), stake, self.removed[op], beneficiary, first,
            first + self.rules.slash_lapse,
        )  # fmt: skip

    def execute_slashing(self, number):
        slash = self.slashes.get(number)
        gone = not slash or self.time > slash.last
        refuse(NoSlash=gone, SlashTooEarly=not gone and self.time < slash.first)
        # What has left since was the stake of then, whatever came later.
        left = slash.stake - (self.removed[slash.operator] - slash.removed)
        taken = min(slash.amount, max(left, 0))
        self.stake[slash.operator] -= taken
        self.removed[slash.operator] += taken
        self.credits[slash.beneficiary, ""] += taken
        del self.slashes[number]

    def cancel_slashing(self, who, number):
        gone = number not in self.slashes or self.time > self.slashes[number].last
        refuse(NotAllowed=who != self.rules.governor, NoSlash=gone)
        del self.slashes[number]

    def fine(self, op, fee, buyer):
        """What a deliverer pays for junk: the stake first, then earnings, as far as they go."""
        fine = max(self.rules.junk_fine, FINE_FEES * fee)
        of_stake = min(fine, self.stake[op])
        of_earnings = min(fine - of_stake, self.earned[op])
        self.stake[op] -= of_stake
        self.removed[op] += of_stake
        self.earned[op] -= of_earnings
        taken = of_stake + of_earnings
        bounty = taken // BOUNTY_PARTS
        self.credits[buyer, ""] += bounty
        self.burnt += taken - bounty
        return taken, bounty
