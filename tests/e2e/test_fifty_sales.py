"""Fifty sales while every deliverer is killed at each of F1 to F8 at least five times."""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import replace

import pytest

from demo import ledgers, trade
from demo.shop import open_shop
from tests.faults.crash_launcher import LAUNCHER

pytestmark = [pytest.mark.kubo, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SALES = 50
DEATHS = 5
"""Of each daemon at each place."""
# A new document every few sales: without one, no daemon would ever come by F3.
UPDATE_EVERY = 8
OPEN = 3
PLACES = [f"F{number}" for number in range(1, 9)]
SECONDS = 420


class Mortal:
    """A deliverer's daemon that is started again after each of its deaths."""

    def __init__(self, shop, number):
        self.daemon = shop.deliverer(number, command=[*LAUNCHER, "deliverer"])

    def deaths(self):
        """How often it died at each place, from its own log."""
        lines = self.daemon.lines()
        return Counter(line["place"] for line in lines if line.get("event") == "crash")

    def next_place(self):
        """The place where it died least often, or None once it died everywhere often enough."""
        deaths = self.deaths()
        left = [place for place in PLACES if deaths[place] < DEATHS]
        # F3 waits for a new document; the others come with every sale.
        wanted = "SELECT 1 FROM documents WHERE state = 'wanted'"
        if "F3" in left and ledgers.query(self.daemon, wanted):
            return "F3"
        left = [place for place in left if place != "F3"]
        return min(left, key=lambda place: deaths[place], default=None)

    async def live(self, stop):
        while not stop.is_set():
            place = self.next_place()
            self.daemon.env.pop("DAM_CRASH_AT", None)
            if place is not None:
                self.daemon.env["DAM_CRASH_AT"] = f"{place}:1"
            self.daemon.start()
            await self._end(stop)
        await self.daemon.stop()

    async def _end(self, stop):
        while self.daemon.running and not stop.is_set():  # noqa: ASYNC110 - a process, no event
            await asyncio.sleep(0.05)

    def done(self):
        deaths = self.deaths()
        return all(deaths[place] >= DEATHS for place in PLACES)


async def test_fifty_goods_are_recovered_through_every_crash(world, check_nonces, capsys):
    shop = await open_shop(world)
    buyers = itertools.cycle([await world.actor("buyer") for _ in range(5)])
    mortals = [Mortal(shop, number) for number in range(3)]
    stop = asyncio.Event()
    lives = [asyncio.create_task(mortal.live(stop)) for mortal in mortals]
    deadline = time.monotonic() + SECONDS
    bought = []
    try:
        while len(bought) < SALES:
            bought.append(await shop.buy(next(buyers)))
            if len(bought) % UPDATE_EVERY == 0:
                await _new_document(shop, len(bought))
            # As many deaths as sales, so that the plan ends with the last one.
            wanted = len(PLACES) * DEATHS * len(bought) // SALES - 4
            while min(sum(m.deaths().values()) for m in mortals) < wanted:
                await _alive(lives, deadline)
            # A few open at a time, so that they are not all delivered in one batch.
            if len(bought) >= OPEN:
                await trade.deliveries(world, bought[-OPEN].sale.copy_id, 3, seconds=60)
        while not all(mortal.done() for mortal in mortals):
            await _new_document(shop, len(bought))
            await _alive(lives, deadline, seconds=3)
        for one in bought:
            await trade.deliveries(world, one.sale.copy_id, 3, seconds=60)
    finally:
        stop.set()
        await asyncio.gather(*lives)

    parts = [part for one in bought for part in await trade.delivered(world, one.sale.copy_id)]
    assert Counter(part.copy_id for part in parts) == {one.sale.copy_id: 3 for one in bought}
    assert len({(part.copy_id, part.index) for part in parts}) == 3 * SALES
    for one in bought:
        assert await shop.recover(one) == shop.good_of(one)
    sent = [await check_nonces(actor.address) for actor in shop.deliverers]
    with capsys.disabled():
        print(f"\n{SALES} sales, {len(parts)} FragmentDelivered, all goods recovered")
        for mortal, transactions in zip(mortals, sent, strict=True):
            counts = mortal.deaths()
            told = "  ".join(f"{place} {counts[place]}" for place in PLACES)
            print(f"{mortal.daemon.name}: killed at {told}; {transactions} transactions")


async def _new_document(shop, number):
    shop.listing = replace(shop.listing, title=f"A thing, edition {number}-{time.monotonic_ns()}")
    shop.catalogue.save(shop.listing)
    await shop.publish()


async def _alive(lives, deadline, seconds=0.2):
    """Lets time pass; fails if a supervisor failed, or too much time passed."""
    for life in lives:
        if life.done():
            life.result()
    assert time.monotonic() < deadline, "the daemons did not come by every place in time"
    await asyncio.sleep(seconds)
