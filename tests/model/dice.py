"""What one step of the model test draws at random, all from one number."""

from __future__ import annotations

import random

from reference import Item
from world import ETHER, PEOPLE


class Dice(random.Random):
    """What one step draws, all from one number: hypothesis shrinks the list of the steps."""

    def one_in(self, number: int) -> bool:
        return self.randrange(number) == 0

    def amount(self) -> int:
        """Dust, everyday sums, and now and then far more than most people hold."""
        limit = self.choice((2, 7, 3 * ETHER, 3 * ETHER, 3 * ETHER, 2**64))
        return self.randrange(limit)

    def person(self, *likely: str) -> str:
        """Mostly one of the likely, sometimes anybody."""
        return self.choice(likely if likely and not self.one_in(8) else PEOPLE)

    def item(self, seller: str, number: int) -> tuple[Item, bool, list[list[str]]]:
        """An item, whether it is a stock, and whom the leaves of each copy name. Some are odd."""
        odd = self.choice((*[""] * 12, "n", "k", "commission", "arbitrator"))
        n = self.choice((0, 33)) if odd == "n" else self.choice((1, 2, 2, 3, 3, 3, 4, 5, 32))
        price = self.amount()
        commission = price + 1 if odd == "commission" else self.randint(0, price)
        arbitrator = self.choice((seller, "bea")) if odd == "arbitrator" else "art"
        item = Item(
            name=f"item {number}",
            token=self.choice(("", "", "", "usd", "usd", "eur")),
            price=price,
            commission=commission,
            penalty=self.amount(),
            bond=self.amount(),
            supply=self.randint(1, 3),
            n=n,
            k=self.choice((0, n + 1)) if odd == "k" else self.randint(1, max(n, 1)),
            arbitrator="" if self.one_in(6) else arbitrator,
        )
        stock = self.one_in(2)
        helpers = (*("dan", "dee") * 6, "dot", "dot", seller, "wes", "wal")
        leaves = [self.choices(helpers, k=n) for _ in range(item.supply if stock else 1)]
        return item, stock, leaves
