"""Sales that a watchdog looks after: late ones, and what of them came from the seller's side."""

from __future__ import annotations

from dam.roles.seller.store_builder import BuiltStore
from dam.types import CopyId, FragmentDelivered
from tests.unit.helpers.world import SELLER, WatchdogDaemon, World


def by_seller(world: World, sold: CopyId, *, supplied: bool = False) -> list[FragmentDelivered]:
    return [
        log for log in world.chain.delivered(sold) if log.by == SELLER and log.supplied == supplied
    ]


async def complete_late(
    world: World, built: BuiltStore, watchdog: WatchdogDaemon
) -> tuple[CopyId, int]:
    """A sale that is complete past block 101, late enough not to end with the proofs; and when it
    was made, in seconds."""
    sold = world.buy(built, "coupon")
    world.chain.mine()
    bought = (await world.chain.head()).timestamp
    world.chain.pass_time(world.chain.deployment.windows.delivery_seconds - 100)
    await world.ticks(*world.deliverers, blocks=10)
    assert len(world.chain.delivered(sold)) == 3
    world.chain.mine(100)
    await watchdog.tick()
    return sold, bought


async def past_proofs(world: World, built: BuiltStore, watchdog: WatchdogDaemon) -> CopyId:
    """One that is complete when proofs come too late to clear a part."""
    sold, bought = await complete_late(world, built, watchdog)
    over = bought + world.chain.deployment.windows.proof_seconds
    world.chain.pass_time(over - world.chain._blocks[-1].time)
    world.chain.mine()
    return sold
