"""A buyer's purchases: the chain's side and the record's, and records made again from both."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dam.catalog.store import Store
from dam.errors import BlockRefused, IpfsError, Malformed, Permanent
from dam.market.log_history import History, read_history
from dam.market.sale_history import SaleRecord
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.records import Record, find_attempt, part_proofs, record_of, utc_now
from dam.roles.notice import Notice, silent
from dam.roles.sales import match_id, short_id
from dam.roles.storefront import read_version
from dam.types import ZERO32, Address, Clock, CopyId, Deployment, Purchase


@dataclass(frozen=True, slots=True)
class OwnPurchase:
    """A purchase of ours, as of one block."""

    sale: SaleRecord
    record: Record
    clock: Clock
    """The contract's, in the newest block that was read."""
    block: int
    """That block."""

    @property
    def short_id(self) -> str:
        """The beginning of the sale's id: enough to name it in a command."""
        return short_id(self.sale.copy_id)


async def find_purchase(buyer: Buyer, sale_id: str, *, notice: Notice = silent) -> OwnPurchase:
    """A purchase of ours, with what happened to it from its block on.

    Where its record says in which block it is, only the logs from there on are read.

    Args:
        buyer: Whose.
        sale_id: Its id, or the beginning of it.
        notice: Hears when the store of a purchase without a record cannot be read.

    Raises:
        Permanent: There is none; the message says what is known.
        RpcError: The node could not be asked.
    """
    records = buyer.records.all()
    copy = match_id(sale_id, {record.copy_id for record in records})
    if copy is not None:
        blocks = [r.block for r in records if r.copy_id == copy and r.block is not None]
        if blocks:
            found = await _find_from(buyer, records, copy, max(blocks))
            if found is not None:
                return found
    history = await read_history(buyer.market)
    copy = match_id(sale_id, history.state.sales)
    if copy is None:
        raise Permanent(
            f"no sale {sale_id} is on the chain: if you paid a moment ago, wait; if the chain was "
            "rewritten since, nothing was paid (`dam buyer purchases` tells)"
        )
    sale = history.state.sales[copy]
    record = record_of(records, sale.purchase)
    if record is None:
        attempt = find_attempt(buyer.seed, buyer.deployment, sale.purchase)
        if attempt is None:
            raise Permanent(
                f"the sale 0x{copy.hex()} was not bought with this seed: restore the right one "
                "with `dam keys restore buyer FILE`"
            )
        record = await rebuild_record(buyer, history, sale, attempt, notice=notice)
    elif record.block is None:
        # The command that paid could not tell; now its buyer knows.
        record = replace(record, tx=sale.purchase.at.tx_hash, block=sale.purchase.at.block.number)
        buyer.records.save(record)
    return OwnPurchase(sale, record, history.clock, history.head)


async def _find_from(
    buyer: Buyer, records: list[Record], copy: CopyId, first: int
) -> OwnPurchase | None:
    history = await read_history(buyer.market, first=first)
    sale = history.state.sales.get(copy)
    record = record_of(records, sale.purchase) if sale else None
    if sale is None or record is None:
        return None
    return OwnPurchase(sale, record, history.clock, history.head)


def purchases_of(
    history: History, records: list[Record], address: Address | None
) -> list[tuple[SaleRecord, Record | None]]:
    """Sales with a record of ours, or bought by an account of ours."""
    found = []
    for sale in history.state.sales.values():
        record = record_of(records, sale.purchase)
        if record is not None or sale.purchase.buyer == address:
            found.append((sale, record))
    return found


async def rescan_purchases(
    buyer: Buyer, history: History, *, notice: Notice = silent
) -> list[Record]:
    """Makes and saves the records that are lost, from the seed and the chain's logs.

    Args:
        buyer: Whose.
        history: All logs.
        notice: Hears of stores that cannot be read now.

    Returns:
        The new records.
    """
    known = buyer.records.all()
    made = []
    for sale in history.state.sales.values():
        attempt = find_attempt(buyer.seed, buyer.deployment, sale.purchase)
        if attempt is None or record_of(known, sale.purchase):
            continue
        record = await rebuild_record(buyer, history, sale, attempt, notice=notice)
        buyer.records.save(record)
        made.append(record)
    return made


async def rebuild_record(
    buyer: Buyer, history: History, sale: SaleRecord, attempt: int, *, notice: Notice = silent
) -> Record:
    """A record made again, not saved; without the payload if the store cannot be read now.

    Args:
        buyer: Whose.
        history: All logs: they name the store's root.
        sale: The purchase.
        attempt: From `dam.roles.buyer.records.find_attempt`.
        notice: Hears why the store cannot be read.
    """
    purchase = sale.purchase
    version = history.state.version(purchase.seller, purchase.store_digest)
    store = None
    if version is not None:
        try:
            store = await read_version(buyer.blocks, buyer.deployment, version)
            if item := store.item(purchase.terms.item_id):
                item.section(purchase.copy)
        except (IpfsError, BlockRefused, Malformed) as error:
            store = None
            notice(f"The store of the sale 0x{purchase.copy_id.hex()} cannot be read now: {error}")
    root = version.root if version else ZERO32
    return _record_of_purchase(buyer.deployment, purchase, attempt, root, store)


def _record_of_purchase(
    deployment: Deployment, purchase: Purchase, attempt: int, root: bytes, store: Store | None
) -> Record:
    item = store.item(purchase.terms.item_id) if store else None
    return Record(
        chain_id=deployment.chain_id,
        market=deployment.market,
        copy_id=CopyId(purchase.copy_id),
        attempt=attempt,
        seller=purchase.seller,
        buyer=purchase.buyer,
        item=item.name if item else "0x" + purchase.terms.item_id.hex(),
        title=item.title if item else "(store not read)",
        store_digest=purchase.store_digest,
        root=root,
        keys=purchase.keys,
        payload=item.payload(purchase.copy) if item else None,
        part_proofs=part_proofs(item, purchase.copy) if item else (),
        made=utc_now(),
        tx=purchase.at.tx_hash,
        block=purchase.at.block.number,
    )
