"""How sales end: agreements by the command line, and many closed in one transaction."""

import asyncio
import secrets
from collections import Counter

import pytest

from dam.crypto.hashing import closing_arguments
from dam.market.log_history import read_history
from dam.market.sale_history import SaleRecord
from dam.types import SaleClosed, Status
from demo import trade
from demo.shop import open_shop
from demo.world import CommandFailed

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]

BOND = 2 * 10**15 + 1


async def disputable(world):
    """A complete sale with an arbitrator: its shop, buyer, arbitrator and purchase."""
    arbitrator, buyer = await asyncio.gather(world.actor("arbitrator"), world.actor("buyer"))
    shop = await open_shop(world, arbitrator=arbitrator.address, bond=BOND)
    await shop.daemons()
    bought = await shop.buy(buyer)
    await trade.deliveries(world, bought.sale.copy_id, 3)
    return shop, buyer, arbitrator, bought.sale


async def dispute(world, buyer, sale):
    arguments = (*closing_arguments(sale), bytes(32))
    await world.send(buyer, "openDispute", *arguments, value=sale.terms.bond)


async def offer(world, actor, sale, by, *terms):
    path = actor.home / f"offer-{secrets.token_hex(4)}.json"
    command = ("sale", "agree", "offer", "0x" + sale.copy_id.hex(), "--as", by, "--out", path)
    done = await world.dam(actor, *command, *terms, "--yes", "--json")
    return path, done.json


async def accept(world, actor, path):
    return (await world.dam(actor, "sale", "agree", "accept", path, "--yes", "--json")).json


async def refused(world, actor, path):
    with pytest.raises(CommandFailed) as caught:
        await accept(world, actor, path)
    return " ".join(caught.value.stderr.split())


async def holdings(world, shop, buyer, arbitrator):
    """Credits of the three, and the seller's free stake."""
    people = (buyer, shop.seller, arbitrator)
    owed = [await world.market.credits(one.address) for one in people]
    return (*owed, await world.market.seller_stake(shop.seller.address))


async def check_money(world, shop, buyer, arbitrator, before, told):
    after = await holdings(world, shop, buyer, arbitrator)
    gained = [now - then for now, then in zip(after, before, strict=True)]
    wei = {key: int(value) for key, value in told.items() if value.isdecimal()}
    assert gained == [
        wei["toBuyer"] + wei["penalty"] + wei["buyerBond"],
        wei["toSeller"],
        wei["toArbitrator"],
        wei["sellerStake"],
    ]
    return wei


async def record(world, sale) -> SaleRecord:
    return (await read_history(world.market)).state.sales[sale.copy_id]


async def test_an_agreement_before_a_dispute_pays_what_it_showed(world):
    shop, buyer, arbitrator, sale = await disputable(world)
    path, told = await offer(
        world, buyer, sale, "buyer", "--to-buyer", "30%", "--penalty", "5 gwei"
    )
    before = await holdings(world, shop, buyer, arbitrator)
    done = await accept(world, shop.seller, path)
    assert {key: done[key] for key in told if key in done} == {
        key: value for key, value in told.items() if key in done
    }
    money = {key: value for key, value in done.items() if isinstance(value, str)}
    wei = await check_money(world, shop, buyer, arbitrator, before, money)
    assert wei["toBuyer"] == 3 * sale.terms.price // 10
    assert (wei["penalty"], wei["toArbitrator"], wei["buyerBond"]) == (5 * 10**9, 0, 0)
    assert (await record(world, sale)).status == Status.AGREED
    assert "the sale has ended" in await refused(world, shop.seller, path)


async def test_an_offer_dies_with_a_dispute_and_a_late_one_pays_the_arbitrator(world):
    shop, buyer, arbitrator, sale = await disputable(world)
    old, _ = await offer(world, shop.seller, sale, "seller", "--to-buyer", "100%")
    await dispute(world, buyer, sale)
    text = await refused(world, buyer, old)
    assert "was complete since" in text
    assert "it is disputed since" in text

    early, told = await offer(world, shop.seller, sale, "seller", "--to-buyer", "1 wei")
    assert told["toArbitrator"] == "0"
    await world.pass_time(world.deployment.windows.arbitration_seconds // 3)
    assert "the offer held until" in await refused(world, buyer, early)

    late, told = await offer(world, shop.seller, sale, "seller", "--to-buyer", "1 wei")
    assert told["toArbitrator"] == str(BOND)
    before = await holdings(world, shop, buyer, arbitrator)
    done = await accept(world, buyer, late)
    money = {key: value for key, value in done.items() if isinstance(value, str)}
    wei = await check_money(world, shop, buyer, arbitrator, before, money)
    # The odd wei is the seller's.
    assert (wei["toBuyer"], wei["buyerBond"]) == (1, BOND - BOND // 2)


async def test_an_offer_takes_no_files_place_and_a_forged_one_is_not_sent(world):
    shop, buyer, _, sale = await disputable(world)
    path, _ = await offer(world, buyer, sale, "buyer", "--to-buyer", "10%")
    first = path.read_bytes()
    # Looked at before anything else of it: nothing is signed that no file holds.
    command = ("sale", "agree", "offer", "0x" + sale.copy_id.hex(), "--as", "buyer", "--yes")
    for taken, text in ((path, "is there already"), (path / "x", "there is no folder")):
        with pytest.raises(CommandFailed) as caught:
            await world.dam(buyer, *command, "--out", taken, "--to-buyer", "more than all")
        assert text in " ".join(caught.value.stderr.split())
    assert path.read_bytes() == first
    tenth = str(sale.terms.price // 10)
    path.write_text(path.read_text().replace(f'"{tenth}"', '"0"'))
    assert "is not signed by the buyer" in await refused(world, shop.seller, path)
    path.write_text("{}")
    assert "the offer lacks" in await refused(world, shop.seller, path)


async def test_a_watchdog_closes_many_sales_in_one_transaction(world, check_nonces):
    """Some of which nobody delivered in time, so that they are refunded."""
    shop = await open_shop(world)
    daemons = await shop.daemons()
    settled = [await shop.buy() for _ in range(6)]
    for bought in settled:
        await trade.deliveries(world, bought.sale.copy_id, 3)
    for daemon in daemons:
        await daemon.stop()
    refunded = [await shop.buy() for _ in range(3)]
    # The watchdog waits for the next full hour, so that sales share a transaction.
    windows = world.deployment.windows
    await world.pass_time(max(windows.refund_seconds, windows.dispute_seconds) + 2 * 3600)
    watchdog = shop.watchdog()
    watchdog.start()
    wanted = {one.sale.copy_id: Status.SETTLED for one in settled}
    wanted |= {one.sale.copy_id: Status.REFUNDED for one in refunded}
    for _ in range(150):
        logs = await world.logs()
        closed = [x for x in logs if isinstance(x, SaleClosed) and x.copy_id in wanted]
        if len(closed) == len(wanted):
            break
        await asyncio.sleep(0.2)
    assert {log.copy_id: log.status for log in closed} == wanted, watchdog.tail()
    shared = Counter(log.at.tx_hash for log in closed)
    assert max(shared.values()) > 1, "each sale had a transaction of its own"
    assert len(shared) <= 3
    assert await check_nonces(shop.operator.address) == len(shared)
