"""Scene e: an underpaid purchase, and one after a swapped document; the contract refuses both."""

from __future__ import annotations

from dam.crypto.hashing import copy_id
from dam.errors import ContractReverted
from dam.types import Status
from demo import byhand, trade
from demo.actors import Actor
from demo.cast import Cast
from demo.report import Report, Scene, coins, said
from demo.trade import Order


async def play(cast: Cast, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = cast.world, cast.goods.silent_deal
    customer = await world.actor("sly customer")
    order = await trade.order(world, cast.seller, deal.item)

    error, block = await _try(cast, customer, order, deal.price - 1)
    report.step(f"a customer pays 1 wei less than {coins(deal.price)}: the chain reverts it", block)
    report.check(
        error.error == "Underpaid"
        and error.arguments == {"paid": deal.price - 1, "price": deal.price},
        f"the contract says {said(error)}",
        "expected Underpaid",
    )

    document = await byhand.read_document(world.blocks, order.digest)
    document["items"][0]["title"] = "Something else, sorry"
    digest, root = await byhand.put_document(world.blocks, document)
    receipt = await world.send(cast.seller, "updateStore", digest, root)
    report.step("the seller swaps the document after the customer has read it", receipt.block)
    error, block = await _try(cast, customer, order, deal.price)
    report.step("the customer's purchase names the document that he read: reverted", block)
    report.check(
        error.error == "StoreChanged"
        and error.arguments.get("read") == "0x" + order.digest.hex()
        and error.arguments.get("current") == "0x" + digest.hex(),
        f"the contract says {said(error)}",
        "expected StoreChanged",
    )
    state = await world.market.sale_state(
        copy_id(cast.seller.address, order.terms.item_id, order.copy)
    )
    report.equal(state.status, Status.NONE, "no copy was sold")
    report.equal(await world.market.credits(customer.address), 0, "no coin of his stayed behind")
    scene.outcome = "both reverted"


async def _try(
    cast: Cast, customer: Actor, order: Order, value: int
) -> tuple[ContractReverted, int]:
    """What the contract says, and the block in which the transaction, sent anyway, reverted."""
    try:
        await cast.world.market.simulate(order.data, sender=customer.address, value=value)
    except ContractReverted as error:
        return error, await cast.world.send_anyway(customer, order.data, value=value)
    return ContractReverted("nothing"), 0
