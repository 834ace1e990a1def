"""What one step of the model test draws at random, all from one number."""

from __future__ import annotations

import random

from reference import Item, Leaf
from world import ETHER, PEOPLE


class Dice(random.Random):
    """What one step draws, all from one number: hypothesis shrinks the list of the steps."""

    def one_in(self, number: int) -> bool:
        return self.randrange(number) == 0

    def amount(self) -> int:
        """Dust, everyday sums, and now and then far more than most people hold."""
        limit = self.choice((2, 7, ETHER // 50, 3 * ETHER, 3 * ETHER, 2**64))
        return self.randrange(limit)

    def person(self, *likely: str) -> str:
        """Mostly one of the likely, sometimes anybody."""
        return self.choice(likely if likely and not self.one_in(8) else PEOPLE)

    def item(self, seller: str, number: int) -> tuple[Item, bool, list[list[Leaf]]]:
        """An item, whether it is a stock, and the leaves of each copy. Some are odd."""
        odd = self.choice((*[""] * 12, "n", "k", "commission", "arbitrator"))
        n = self.choice((0, 33)) if odd == "n" else self.choice((1, 2, 2, 3, 3, 3, 4, 5, 32))
        price = self.amount()
        # A deliverer stands for ten fees: where they are high, few deliver.
        most = price if self.one_in(4) else min(price, n * ETHER // 100)
        commission = price + 1 if odd == "commission" else self.randint(0, most)
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
        return item, stock, [self.leaves(seller, n) for _ in range(item.supply if stock else 1)]

    def leaves(self, seller: str, n: int) -> list[Leaf]:
        """Of one copy; some sellers commit to what does not add up."""
        helpers = (*("dan", "dee") * 6, "dot", "dot", seller, "wes", "wal")
        leaves = [Leaf(i, self.choice(helpers), "key", "key") for i in range(n)]
        odd, at = (
            self.choice((*[""] * 8, "share", "secret", "twice", "twice", "beyond")),
            self.randrange(n or 1),
        )
        if n and odd == "share":
            leaves[at] = leaves[at]._replace(share="another")
        elif n and odd == "secret":
            leaves[at] = leaves[at]._replace(secret="another")
        elif n and odd == "twice":
            leaves.append(leaves[at]._replace(share="another", deliverer="dot"))
        elif n and odd == "beyond":
            leaves.append(Leaf(n, "dan", "key", "key"))
        return leaves
