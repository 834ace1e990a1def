"""What is sold in a run: drawn at random, from a seed that replays it."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, replace

GWEI = 10**9
ETHER = 10**18
_ALPHABET = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Deal:
    """The terms that the demo chose for an item, in wei, before anybody saw them.

    What the scenes compare with comes from here alone, never from what a tool says.
    """

    item: str
    title: str
    price: int
    commission: int
    penalty: int
    bond: int
    parts: int
    threshold: int
    supply: int

    @property
    def fee(self) -> int:
        """What one delivered part earns."""
        return self.commission // self.parts

    @property
    def reserve(self) -> int:
        """R: what the purchase moves out of the seller's stake."""
        return self.parts * self.fee + self.penalty + self.bond

    def fine(self, least: int) -> int:
        """What a proved part of junk takes from its deliverer (protocol, section 5.4)."""
        return max(least, 10 * self.fee)


@dataclass(frozen=True)
class Goods:
    """Everything drawn for one run."""

    seed: str
    coupon: str
    coupon_deal: Deal
    file: bytes
    file_deal: Deal
    silent_code: str
    silent_deal: Deal
    loot: str
    loot_deal: Deal
    pass_code: str
    pass_deal: Deal
    """All of its parts are needed, so that one of junk keeps the good shut."""
    stock_codes: tuple[str, ...]
    stock_deal: Deal
    """Its price is in the smallest unit of a token."""


def draw(seed: str) -> Goods:
    """Draws prices and goods; the same seed gives the same ones."""
    # Reproducible on purpose: these are sample goods, not keys.
    dice = random.Random(seed)
    code = _code(dice)
    return Goods(
        seed=seed,
        coupon=code,
        coupon_deal=_deal(dice, "coupon", f"Coupon over {dice.randint(5, 95)} %", 3, 2, supply=4),
        file=dice.randbytes(5_000_000 + dice.randrange(100_000)),
        file_deal=_deal(dice, "album", "Field recordings, 5 MB", 3, 3, supply=1000),
        silent_code=_code(dice),
        silent_deal=_deal(dice, "licence", "Licence key", 3, 2, supply=2),
        loot=_code(dice),
        loot_deal=_deal(dice, "voucher", "Voucher", 3, 2, supply=3),
        pass_code=_code(dice),
        pass_deal=_deal(dice, "pass", "Day pass", 3, 3, supply=2),
        stock_codes=tuple(_code(dice) for _ in range(3)),
        stock_deal=replace(
            _deal(dice, "ticket", "Ticket, paid in a token", 3, 2, supply=3),
            price=dice.randint(ETHER, 99 * ETHER),
        ),
    )


def _deal(
    dice: random.Random, item: str, title: str, parts: int, threshold: int, supply: int
) -> Deal:
    price = dice.randint(ETHER // 100, ETHER // 4)
    # Not divisible by the number of parts, so that the rounding rule shows.
    commission = dice.randint(price // 20, price // 5) // parts * parts + dice.randint(1, parts - 1)
    return Deal(
        item=item,
        title=title,
        price=price,
        commission=commission,
        penalty=dice.randint(price // 4, price),
        bond=dice.randint(ETHER // 1000, ETHER // 50),
        parts=parts,
        threshold=threshold,
        supply=supply,
    )


def _code(dice: random.Random) -> str:
    return "-".join("".join(dice.choices(_ALPHABET, k=4)) for _ in range(4))
