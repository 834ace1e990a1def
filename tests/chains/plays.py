"""What `make nodes` plays on a chain: the demo's scenes, and what befalls the node itself."""

from __future__ import annotations

import asyncio
import time

from eth_account import Account

from dam.crypto.hashing import copy_id, item_id
from dam.keystore.ape_accounts import Signer
from dam.sending.transactions import suggest_fees, transaction
from dam.types import CopyId, FragmentDelivered, Purchase, Status
from demo import documents, trade
from demo.balances import BalanceTracker
from demo.participants import Participants
from demo.report import Report, Scene, coins
from demo.scenes import coupon
from demo.world import CommandFailed
from tests.chains.world import OtherWorld

BUY_GAS = 300_000
PURCHASES = 200
_PARTS_SECONDS = 240.0
_AWAY_SECONDS = 4.0
_HALT_SECONDS = 90.0
STOPPING = ("cannot_run", "stopped_by_fault", "deep_reorganisation")


async def dispute(people: Participants, report: Report, scene: Scene) -> None:
    """The buyer disputes a delivered sale, and the arbitrator gives a quarter and the penalty."""
    world, deal = people.world, people.goods.coupon_deal
    await people.daemons_up(report)
    tracker = BalanceTracker(world.rpc, people.accounts())
    parties = (people.buyer, people.seller, people.arbitrator)
    stake = await world.market.seller_stake(people.seller.address)
    earlier = [await world.market.credits(party.address) for party in parties]
    await tracker.open()
    sale = await people.buy(people.buyer, people.seller, deal.item)
    copy = "0x" + sale.copy_id.hex()
    parts = await trade.deliveries(world, sale.copy_id, deal.parts)
    report.require(len(parts) == deal.parts, "all parts came", f"only {len(parts)}")
    text = "It is not what was listed."
    await world.dam(people.buyer, "buyer", "dispute", copy, "--text", text, "--yes", "--json")
    cases = await world.dam(people.arbitrator, "arbiter", "cases", "--json")
    told = [case["evidence"] for case in cases.json["cases"]]
    report.equal(told, [text], "the arbitrator reads the case")
    ruling = ("rule", copy, "--to-buyer", "25%", "--penalty", "--yes", "--json")
    await world.dam(people.arbitrator, "arbiter", *ruling)
    state = await world.market.sale_state(sale.copy_id)
    report.equal(state.status, Status.RESOLVED, "the sale is ruled on")
    for actor, block in await people.withdraw(*parties):
        report.step(f"{actor.name} withdraws", block)
    count = await tracker.count()
    # The table of protocol.md, section 5.1, with b a quarter and w the penalty.
    quarter, fees = deal.price // 4, deal.parts * deal.fee
    back = min(fees, deal.price - quarter)
    rules = (quarter + deal.penalty - deal.price, deal.price - quarter - back, deal.bond)
    for actor, before, wei in zip(parties, earlier, rules, strict=True):
        earned = count.row(actor.name).earned - before
        report.equal(earned, wei, f"the {actor.name} has {coins(wei)} of it, to the wei")
    report.equal(
        stake - await world.market.seller_stake(people.seller.address),
        deal.penalty + deal.bond + fees - back,
        "the seller's stake is short of penalty and bond",
    )
    report.equal(count.total, -count.burnt, "the balances add up to the base fees burnt")
    scene.outcome = "a quarter, and the penalty"


async def throughput(people: Participants, report: Report, scene: Scene) -> None:
    """Two hundred purchases at once; every part of every sale comes from its own deliverer."""
    world, deal = people.world, people.goods.file_deal
    await people.daemons_up(report)
    await asyncio.gather(
        world.fund(people.buyer.address, PURCHASES * deal.price + 10**18),
        world.fund(people.seller.address, PURCHASES * deal.reserve + 10**18),
    )
    stake = f"{PURCHASES * deal.reserve} wei"
    await world.dam(people.seller, "seller", "stake", stake, "--yes")
    first = await world.block()
    began = time.monotonic()
    await _buy_many(people)
    parts: set[tuple[CopyId, int]] = set()
    wanted, by = PURCHASES * deal.parts, set()
    bought = 0
    while len(parts) < wanted and time.monotonic() - began < _PARTS_SECONDS:
        await asyncio.sleep(0.5)
        logs = await world.market.logs(first, await world.block())
        bought = sum(isinstance(log, Purchase) for log in logs)
        parts = {(x.copy_id, x.index) for x in logs if isinstance(x, FragmentDelivered)}
        by = {x.by for x in logs if isinstance(x, FragmentDelivered)}
    seconds = time.monotonic() - began
    report.equal(bought, PURCHASES, f"{PURCHASES} purchases stand on the chain")
    report.equal(len(parts), wanted, f"all of their {wanted} parts came")
    report.equal(by, {d.address for d in people.deliverers}, "from the three deliverers alone")
    states = await world.market.sale_states(sorted({copy for copy, _ in parts}))
    report.equal({state.status for state in states}, {Status.COMPLETE}, "every sale is complete")
    scene.outcome = f"{wanted} parts in {seconds:.0f} s, {wanted / seconds:.0f} a second"


async def _buy_many(people: Participants) -> None:
    """Signs the purchases with consecutive nonces and sends them in few requests."""
    world, deal, buyer = people.world, people.goods.file_deal, people.buyer
    store = await trade.store_of(world, people.seller)
    item = store.item(item_id(deal.item))
    assert item is not None
    copies = range(item.terms.supply)
    ids = [copy_id(people.seller.address, item.terms.item_id, copy) for copy in copies]
    states = await world.market.sale_states(ids)
    free = [n for n, state in zip(copies, states, strict=True) if state.status == Status.NONE]
    fees = await suggest_fees(world.rpc, 10**9)
    nonce = int(await world.rpc.call("eth_getTransactionCount", buyer.address, "pending"), 16)
    signer = Signer(buyer.address, Account.from_key(buyer.private_key))
    calls = []
    for number, free_copy in enumerate(free[:PURCHASES]):
        _, keys = documents.one_time_keys(deal.parts)
        data = world.market.encode(
            "buyItem", people.seller.address, item.terms, store.terms_proof(item), store.digest,
            free_copy, keys,
        )  # fmt: skip
        chain, market = world.deployment.chain_id, world.deployment.market
        call = transaction(chain, nonce + number, market, data, BUY_GAS, fees, deal.price)
        calls.append(("eth_sendRawTransaction", ["0x" + signer.sign(call).hex()]))
    await world.rpc.batch(calls)


async def restart(people: Participants, report: Report, scene: Scene) -> None:
    """The node is away for some seconds in the middle of a sale."""
    world: OtherWorld = people.world
    daemons = [*await people.daemons_up(report), people.watchdog]
    pids = [daemon.pid for daemon in daemons]
    sale = await people.buy(people.buyer, people.seller, people.goods.coupon_deal.item)

    def away() -> None:
        world.chain.stop()
        time.sleep(_AWAY_SECONDS)
        world.chain.start()

    await world.change(away)
    report.step(f"the node was away for {_AWAY_SECONDS:.0f} s", await world.block())
    await _finish(people, report, sale)
    report.equal([d.pid for d in daemons if d.running], pids, "no daemon ended meanwhile")
    scene.outcome = "the sale went on"


async def batch_limit(people: Participants, report: Report, scene: Scene) -> None:
    """The node takes ten calls in one request, where the daemons asked a hundred before."""
    world: OtherWorld = people.world
    await people.daemons_up(report)
    await world.change(lambda: world.chain.restart("--rpc.batch-request-limit", "10"))
    await world.rpc.batch([("eth_chainId", ())] * 50)
    report.equal(world.rpc.batch_calls, 10, "our client found out that it takes ten")
    await coupon.run(people, report, scene)


async def _finish(people: Participants, report: Report, sale: Purchase) -> None:
    """The sale is delivered, opened, confirmed and paid out as any other."""
    parts = await trade.deliveries(people.world, sale.copy_id, sale.terms.parts)
    report.require(len(parts) == sale.terms.parts, "all parts came", f"only {len(parts)}")
    good = await people.open(people.buyer, sale)
    report.require(good == people.coupon(sale.copy), "the code is the one that was listed")
    report.step("the buyer confirms", await people.confirm(people.buyer, sale))
    for actor, block in await people.withdraw(people.seller, *people.deliverers):
        report.step(f"{actor.name} withdraws", block)


async def rewind(people: Participants, report: Report, scene: Scene) -> None:
    """The node forgets deliveries, and then the purchase; transactions are gone with them."""
    world: OtherWorld = people.world
    daemons = [*await people.daemons_up(report), people.watchdog]
    undo = await _undo_later(world)
    sale = await people.buy(people.buyer, people.seller, people.goods.coupon_deal.item)
    parts = await trade.deliveries(world, sale.copy_id, 3)
    report.require(len(parts) == 3, "all parts came", f"only {len(parts)}")
    if world.can_set_head:
        at = sale.at.block.number
        await world.change(lambda: world.chain.rewind(at))
        report.step(f"debug_setHead {at}: the purchase is the newest block", await world.block())
        parts = await trade.deliveries(world, sale.copy_id, 3, seconds=60)
        report.require(len(parts) == 3, "all parts came once more", f"only {len(parts)}")
    told = await undo(sale)
    report.step(f"{told}: the purchase is gone", await world.block())
    state = await world.market.sale_state(sale.copy_id)
    report.equal(state.status, Status.NONE, "the chain knows no such sale")
    again = await _buy_again(people)
    await _finish(people, report, again)
    seen = [
        daemon.name
        for daemon in daemons
        if any(line.get("event") == "reorganisation" for line in daemon.lines(since_start=True))
    ]
    report.equal(seen, [d.name for d in daemons], "every daemon told of the reorganisation")
    report.equal([d.name for d in daemons if not d.running], [], "and none ended")
    scene.outcome = "parts delivered once more" if world.can_set_head else "sold once more"


async def _buy_again(people: Participants) -> Purchase:
    """As the refusal says that one does, whose earlier purchase is not on the chain any more."""
    item = people.goods.coupon_deal.item
    return await people.buy(people.buyer, people.seller, item, "--again")


async def _undo_later(world: OtherWorld):
    """A way to take back what happens from here on, and what it is called."""
    if world.can_set_head:

        async def set_head(sale: Purchase) -> str:
            at = sale.at.block.number - 1
            await world.change(lambda: world.chain.rewind(at))
            return f"debug_setHead {at}"

        return set_head
    mark = await world.rpc.call("evm_snapshot")

    async def revert(_: Purchase) -> str:
        assert await world.rpc.call("evm_revert", mark)
        return "evm_revert"

    return revert


async def wipe(people: Participants, report: Report, scene: Scene) -> None:
    """The chain is begun anew: what docs/chains.md says of it, step by step."""
    world: OtherWorld = people.world
    await people.daemons_up(report)
    read = await world.block()
    await asyncio.gather(*(daemon.stop() for daemon in people.daemons))
    await world.change(world.chain.wipe)
    report.step("the node's data are deleted; it starts anew", await world.block())
    refusal = await _refusal(people, "buyer", "browse")
    report.check(
        "has no code" in refusal or "was deployed in block" in refusal,
        "a command says that the market is gone",
        refusal,
    )
    await world.deploy_again()
    report.step("the market is deployed anew", world.deployment.first_block)
    # The watchdog ran on, with a ledger of the chain that is gone.
    await world.change(lambda: world.chain.skip(max(1, read + 10 - world.deployment.first_block)))
    code = await people.watchdog.wait(_HALT_SECONDS)
    events = {line.get("event") for line in people.watchdog.lines(since_start=True)}
    report.check(
        code != 0 and bool(events & set(STOPPING)),
        "the watchdog halts: its ledger is of another chain",
        f"code {code}; {people.watchdog.tail()}",
    )
    for actor in (people.seller, *people.deliverers):
        for path in actor.dam_home.glob("markets/*/*.sqlite*"):
            path.unlink()
    await _enter_again(people)
    report.step("stakes are made and the store is published anew", await world.block())
    await people.daemons_up(report)
    await _finish(people, report, await _buy_again(people))
    scene.outcome = "deployed and sold anew"


async def _refusal(people: Participants, *command: str) -> str:
    try:
        await people.world.dam(people.buyer, *command)
    except CommandFailed as error:
        return error.stderr
    return "nothing"


async def _enter_again(people: Participants) -> None:
    world, seller = people.world, people.seller
    for actor in (people.buyer, seller, people.operator, people.arbitrator, *people.deliverers):
        await world.fund(actor.address, 10**19)
    for actor in people.deliverers:
        await world.dam(actor, "deliverer", "stake", "0.5 ether", "--yes")
    await world.dam(seller, "seller", "stake", "3 ether", "--yes")
    await world.dam(seller, "seller", "operator", people.operator.address)
    store = seller.home / "store" / "store.toml"
    await world.dam(seller, "seller", "publish", store, "--start-over", "--yes", "--json")
