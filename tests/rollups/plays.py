"""What is played on every chain: five sales, and five ways in which they go.

By real daemons, and by the commands that people type. Money is compared to the wei.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dam.types import FALLBACK_BLOCKS, CopyId, Purchase, Status
from demo import trade
from demo.processes import Daemon
from tests.e2e.manual_market import ManualMarket
from tests.rollups.world import DAY, RollupWorld

CODES = ("ALPHA-1", "BETA-2", "GAMMA-3", "DELTA-4", "EPSILON-5")
ITEM = """
[[items]]
id = "code"
price = "0.05 ether"
commission = "0.003 ether"
penalty = "0.002 ether"
bond = "0.004 ether"
arbitrator = "{arbitrator}"
parts = 3
threshold = 2
codes = ["ALPHA-1", "BETA-2", "GAMMA-3", "DELTA-4", "EPSILON-5"]
"""
PRICE, PENALTY, BOND, FEE = 5 * 10**16, 2 * 10**15, 4 * 10**15, 10**15
FINE, BOUNTY = 10**16, 2 * 10**15
"""Ten times the fee, and a fifth of that."""
PLAYED = "sale, fallback, refund, dispute, proof"


class Plays:
    """One market with its people; each method plays one sale."""

    def __init__(self, world: RollupWorld) -> None:
        self.world = world
        self.people = ManualMarket(world)
        self.daemons: list[Daemon] = []
        self.watchdog: Daemon

    async def open(self) -> None:
        """The store is published, and all daemons run."""
        world, people = self.world, self.people
        await people.open()
        await people.publish(ITEM.format(arbitrator=people.arbitrator.address), "--yes")
        operator = await world.actor("watchdog")
        seller = people.seller
        await world.dam(seller, "seller", "operator", operator.address)
        home = {"DAM_HOME": str(seller.dam_home), "DAM_KEY_PASSPHRASE": seller.passphrase}
        self.watchdog = world.daemon(operator, "watchdog", env=home)
        self.daemons = [world.daemon(actor, "deliverer") for actor in people.deliverers]
        for daemon in (self.watchdog, *self.daemons):
            daemon.start()
        await asyncio.gather(*(one.event("ready") for one in (self.watchdog, *self.daemons)))

    async def all(self) -> None:
        """Everything, one after the other."""
        await self.sale()
        await self.dispute()
        for daemon in self.daemons[1:]:
            await daemon.stop()
        await self.fallback()
        await self.proof()
        for daemon in (self.watchdog, self.daemons[0]):
            await daemon.stop()
        await self.refund()
        await self.withdraw()

    async def sale(self) -> None:
        """All deliver; the buyer opens and confirms."""
        sale = await self._buy()
        await self._opens(sale)
        assert len(await trade.deliveries(self.world, sale.copy_id, 3)) == 3
        await self._confirms(sale)

    async def dispute(self) -> None:
        """A complete sale; the arbitrator gives the buyer all."""
        sale, before = await self._buy(), await self._credits()
        assert len(await trade.deliveries(self.world, sale.copy_id, 3)) == 3
        await self._buyer("dispute", sale, "--yes")
        rule = ("arbiter", "rule", _hex(sale), "--to-buyer", "100%", "--penalty", "--yes")
        await self.world.dam(self.people.arbitrator, *rule)
        await self._ended(sale, Status.RESOLVED)
        gained = await self._credits() - before
        assert gained == PRICE + PENALTY + BOND
        assert await self.world.market.credits(self.people.arbitrator.address) == BOND

    async def fallback(self) -> None:
        """Two of three are dead: nobody takes their fees before the gate, the watchdog then."""
        sale, before = await self._buy(), await self._credits()
        await trade.deliveries(self.world, sale.copy_id, 1)
        await self.world.count_to(sale.purchase_block + FALLBACK_BLOCKS - 20)
        await asyncio.sleep(1)
        assert len(await trade.delivered(self.world, sale.copy_id)) == 1
        await self.world.count_to(sale.purchase_block + FALLBACK_BLOCKS + 1)
        parts = await trade.deliveries(self.world, sale.copy_id, 3)
        late = [part for part in parts if part.by == self.people.seller.address]
        assert len(late) == 2, self.watchdog.tail()
        assert await self._credits() - before == 2 * FEE
        await self._opens(sale)
        await self._confirms(sale)

    async def proof(self) -> None:
        """Two parts are junk: proved, cleared, replaced by the watchdog, opened."""
        sale, before = await self._buy(), await self._credits()
        named = {"id": _hex(sale)}
        await trade.deliveries(self.world, sale.copy_id, 1)
        there = {part.index for part in await trade.delivered(self.world, sale.copy_id)}
        junk = sorted({0, 1, 2} - there)
        for index in junk:
            await self.people.deliver(named, index, junk=True)
        told = await self.people.fails(self.people.buyer, "buyer", "open", _hex(sale))
        assert "dam buyer prove" in told
        await self._buyer("prove", sale, "--yes", "--json")
        assert await self._credits() - before == 2 * BOUNTY
        await self.world.count_to(sale.purchase_block + FALLBACK_BLOCKS + 1)
        parts = await trade.deliveries(self.world, sale.copy_id, 5)
        late = [part for part in parts if part.by == self.people.seller.address]
        assert sorted(part.index for part in late) == junk, self.watchdog.tail()
        await self._opens(sale)
        await self._confirms(sale)

    async def refund(self) -> None:
        """Nobody delivers: price and penalty come back, and not a second before."""
        sale, before = await self._buy(), await self._credits()
        await self.world.pass_time(DAY // 2)
        await self.people.fails(self.people.buyer, "buyer", "refund", _hex(sale))
        # Later than a day, by a clock of whole seconds.
        await self.world.pass_time(DAY // 2 + 1)
        await self._buyer("refund", sale, "--json")
        await self._ended(sale, Status.REFUNDED)
        assert await self._credits() - before == PRICE + PENALTY

    async def withdraw(self) -> None:
        """Whoever earned something takes it."""
        people, market = self.people, self.world.market
        # The sale, the fallback's and the proof's: what is left of the price is the seller's.
        assert await market.credits(people.seller.address) == 3 * (PRICE - 3 * FEE)
        earned = [(await market.deliverer(one.address)).earned for one in people.deliverers]
        # All parts of the first two sales; of the two after it one each, and the junk's fees.
        assert sum(earned) == (2 * 3 + 1 + 3) * FEE, earned
        for earner in (people.seller, people.buyer, people.arbitrator, people.deliverers[0]):
            await self.world.dam(earner, "withdraw", "--yes", "--json")
        assert await market.credits(people.seller.address) == 0

    # ----------------------------------------------------------------------------------- in common

    async def _buy(self) -> Purchase:
        told = await self.people.buy("code")
        return await trade.purchase(self.world, CopyId(bytes.fromhex(told["id"][2:])))

    async def _buyer(self, command: str, sale: Purchase, *more: str) -> Any:
        return await self.world.dam(self.people.buyer, "buyer", command, _hex(sale), *more)

    async def _opens(self, sale: Purchase) -> None:
        await self._buyer("wait", sale, "--timeout", "60")
        opened = await self._buyer("open", sale, "--json")
        assert opened.json["text"] == CODES[sale.leaf_copy]

    async def _confirms(self, sale: Purchase) -> None:
        seller = self.people.seller.address
        before = await self.world.market.credits(seller)
        await self._buyer("confirm", sale, "--yes", "--json")
        await self._ended(sale, Status.SETTLED)
        assert await self.world.market.credits(seller) - before == PRICE - 3 * FEE

    async def _ended(self, sale: Purchase, status: Status) -> None:
        assert (await self.world.market.sale_state(sale.copy_id)).status == status

    async def _credits(self) -> int:
        return await self.world.market.credits(self.people.buyer.address)


def _hex(sale: Purchase) -> str:
    return "0x" + sale.copy_id.hex()
