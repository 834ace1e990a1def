"""Documents and blocks that lie: ignored, and the daemon lives to serve the honest ones."""

import json

import pytest

from dam.errors import ContractReverted, Malformed
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from demo import documents, ledgers, trade
from demo.shop import ITEM, open_shop

pytestmark = [pytest.mark.kubo, pytest.mark.asyncio(loop_scope="session")]


async def test_a_document_with_another_price_than_the_root_is_ignored(world):
    shop = await open_shop(world, parts=1, threshold=1)
    [daemon] = await shop.daemons()
    order = await trade.order(world, shop.seller, ITEM)
    version = await world.store_version(shop.seller.address)
    document = await documents.read_document(world.blocks, version.digest)
    document["items"][0]["price"] = str(order.terms.price - 1)
    cheap, _ = await documents.put_document(world.blocks, document)
    await world.send(shop.seller, "updateStore", cheap, version.root)

    refused = await daemon.event("store_refused")
    assert "catalogue root" in refused["reason"]
    with pytest.raises(Malformed, match="catalogue root"):
        await documents.checked(
            world.blocks, world.deployment, shop.seller.address, cheap, version.root
        )
    # Whoever buys all the same names the new document: the deliverer does not serve that sale.
    buyer = await world.actor("buyer")
    data = world.market.encode(
        "buyItem",
        shop.seller.address,
        order.terms,
        [],
        cheap,
        order.copy,
        documents.one_time_keys(1)[1],
    )
    receipt = await world.send_data(buyer, data, value=order.terms.price)
    [sale] = await world.market.logs(receipt.block, receipt.block)
    assert await ledgers.decided(daemon, sale) == "refused"
    assert await trade.delivered(world, sale.copy_id) == []
    assert daemon.running


async def test_the_root_s_price_binds_whoever_pays_the_document_s(world):
    """Price 1 in the terms: not in the catalogue. The right terms and 1 wei: underpaid."""
    shop = await open_shop(world, parts=1, threshold=1)
    order = await trade.order(world, shop.seller, ITEM)
    with pytest.raises(ContractReverted) as caught:
        await world.market.simulate(order.data, sender=shop.operator.address, value=1)
    assert caught.value.error == "Underpaid"
    assert caught.value.arguments == {"paid": 1, "price": order.terms.price}


async def test_a_block_whose_bytes_are_not_its_cid_s_is_ignored_and_the_daemon_lives(world):
    """F59, with a real node that lies: a block is changed in Kubo's own files."""
    assert world.kubo_node is not None
    bad = await open_shop(world, parts=1, threshold=1)
    version = await world.store_version(bad.seller.address)
    order = await trade.order(world, bad.seller, ITEM)
    path, honest = _corrupt(world.kubo_node.folder, version.digest)
    daemon = bad.deliverer(0)
    try:
        daemon.start()
        told = await daemon.event("store_unavailable")
        assert str(Cid("dag-json", version.digest)) in told["reason"]
        buyer = await world.actor("buyer")
        receipt = await world.send_data(buyer, order.data, value=order.terms.price)
        [sale] = await world.market.logs(receipt.block, receipt.block)
        good = await open_shop(world, deliverers=bad.deliverers, parts=1, threshold=1)
        other = await good.buy()
        assert await trade.deliveries(world, other.sale.copy_id, 1)
        assert await trade.delivered(world, sale.copy_id) == []
        assert daemon.running
    finally:
        path.write_bytes(honest)
    # The right bytes are back, and the daemon tries again by itself.
    assert len(await trade.deliveries(world, sale.copy_id, 1, seconds=40)) == 1


def _corrupt(folder, digest):
    """Changes one byte of a block where Kubo's flatfs keeps it."""
    for path in (folder / "repo" / "blocks").glob("*/*.data"):
        data = path.read_bytes()
        if Cid.of("dag-json", data).digest == digest:
            document = json.loads(data)
            assert document["storeName"]
            path.write_bytes(dag_json.dumps(document | {"storeName": "Another"}))
            return path, data
    raise AssertionError("Kubo keeps its blocks elsewhere")
