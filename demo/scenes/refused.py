"""Scene e: an underpaid purchase, and one after a swapped document; the contract refuses both."""

from __future__ import annotations

from dam.crypto.hashing import copy_id
from dam.errors import ContractReverted
from dam.types import Status
from demo import documents, trade
from demo.actors import Actor
from demo.participants import Participants
from demo.report import Report, Scene, coins, said
from demo.trade import Order


async def run(people: Participants, report: Report, scene: Scene) -> None:
    """Plays the scene."""
    world, deal = people.world, people.goods.silent_deal
    customer = await world.actor("sly customer")
    order = await trade.order(world, people.seller, deal.item)

    error, block = await _try(people, customer, order, deal.price - 1)
    report.step(f"a customer pays 1 wei less than {coins(deal.price)}: the chain reverts it", block)
    report.check(
        error.error == "Underpaid"
        and error.arguments == {"paid": deal.price - 1, "price": deal.price},
        f"the contract says {said(error)}",
        "expected Underpaid",
    )

    document = await documents.read_document(world.blocks, order.digest)
    document["items"][0]["title"] = "Something else, sorry"
    digest, root = await documents.put_document(world.blocks, document)
    receipt = await world.send(people.seller, "updateStore", digest, root)
    report.step("the seller swaps the document after the customer has read it", receipt.block)
    error, block = await _try(people, customer, order, deal.price)
    report.step("the customer's purchase names the document that was read: reverted", block)
    report.check(
        error.error == "StoreChanged"
        and error.arguments.get("read") == "0x" + order.digest.hex()
        and error.arguments.get("current") == "0x" + digest.hex(),
        f"the contract says {said(error)}",
        "expected StoreChanged",
    )
    state = await world.market.sale_state(
        copy_id(people.seller.address, order.terms.item_id, order.copy)
    )
    report.equal(state.status, Status.NONE, "no copy was sold")
    report.equal(
        await world.market.credits(customer.address),
        0,
        "none of the customer's coins stayed behind",
    )
    scene.outcome = "both reverted"


async def _try(
    people: Participants, customer: Actor, order: Order, value: int
) -> tuple[ContractReverted, int]:
    """What the contract says, and the block in which the transaction, sent anyway, reverted."""
    try:
        await people.world.market.simulate(order.data, sender=customer.address, value=value)
    except ContractReverted as error:
        return error, await people.world.send_anyway(customer, order.data, value=value)
    return ContractReverted("nothing"), 0
