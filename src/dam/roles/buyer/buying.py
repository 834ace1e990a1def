"""Buying: a quote that says all that is paid and promised, and the purchase that follows it.

Nothing is paid for what was not checked: the store's document against the chain, the seller's
stake, the encrypted good. The record of an attempt is saved before the money moves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dam.catalog.payload import Payload, StreamPayload
from dam.catalog.store import Item, Store
from dam.crypto.hashing import copy_id as hash_copy
from dam.crypto.hashing import sale_hash, sale_of
from dam.errors import BlockRefused, ContractReverted, IpfsError, IpfsUnreachable, Permanent
from dam.ethereum.erc20 import read_tokens
from dam.ethereum.erc2612 import Permit
from dam.index.index import Index
from dam.index.sale_reader import read_sales
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.market.reputation import ArbiterRecord, SellerRecord
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.payment import Payment, allow, purchase_call, read_payment
from dam.roles.buyer.records import Record, one_time_keys, part_proofs, utc_now
from dam.roles.notice import Notice, silent
from dam.roles.sales import short_id
from dam.roles.storefront import Offer, check_current, free_copies, gone_copies, read_offer
from dam.types import (
    ZERO_ADDRESS,
    Address,
    Clock,
    CopyId,
    Purchase,
    SaleState,
    Status,
    Terms,
    Wei,
)
from dam.units import format_amount

_COPY_TRIES = 3
"""Copies that the index has as free, and the chain as sold, before buying gives up."""
SAMPLED_CHUNKS = 16
"""Blocks of a file (1 MiB each) that are fetched before it is paid for, or all where it has fewer.

A seller who holds back a share s of them gets by with a probability below (1 - s)^16: 0.002 % with
a half, 1 % with a quarter, 19 % with a tenth.
"""


@dataclass(frozen=True)
class Quote:
    """A purchase that could be made now: what is paid, to whom, and what is promised for it."""

    store: Store
    item: Item
    copy: int
    record: Record
    """Of the attempt, with its one-time keys; not saved yet."""
    payment: Payment
    seller_record: SellerRecord
    """The seller's."""
    arbiter: ArbiterRecord
    """What the item's arbitrator did so far; all zero where it names none."""
    free_stake: Wei
    """The seller's; it covers the sale."""
    gas_cost: Wei
    """About, in wei; 0 where a token has to be allowed first, so that nobody can tell."""
    clock: Clock
    """The contract's, in the newest block: the purchase is in the next one at the earliest."""
    arguments: tuple[Any, ...]
    """Of ``buyItem``."""

    @property
    def terms(self) -> Terms:
        """What the item is sold for."""
        return self.item.terms


@dataclass(frozen=True)
class Bought:
    """A purchase that is on the chain."""

    quote: Quote
    record: Record
    """As saved, with transaction and block."""
    receipt: Receipt


async def quote_purchase(
    buyer: Buyer,
    index: Index,
    wallet: Wallet,
    seller: Address,
    item_name: str,
    *,
    copy: int | None = None,
    without_arbitrator: bool = False,
    again: bool = False,
) -> Quote:
    """Looks at everything that a purchase depends on. Nothing is paid or saved.

    Args:
        buyer: Who buys.
        index: Of the market. It is a hint: what counts is asked of the chain.
        wallet: Whose account pays.
        seller: Whose item.
        item_name: Its id, or the 0x-hex of its hash.
        copy: This copy; None: a free one at random.
        without_arbitrator: Accept an item that names no arbitrator.
        again: Buy although an earlier attempt may have paid, or has without a word.

    Raises:
        Permanent: Something speaks against it; the message says what, and what to do.
        ContractReverted: The market would refuse.
        IpfsError, RpcError: The block store or the node could not be asked.
    """
    market, payer = buyer.market, wallet.address
    offer = await read_offer(index, market, buyer.blocks, seller, item_name)
    store, item = offer.store, offer.item
    terms = item.terms
    check_offer(item, seller=seller, buyer=payer, without_arbitrator=without_arbitrator)
    attempts = [] if again else buyer.records.of_item(seller, item.name)
    copy, free_stake = await _prove(index, market, offer, copy, attempts)
    await check_payload(buyer.blocks, item.payload(copy))
    token = (await read_tokens(market.rpc, {terms.token}))[terms.token]
    payment = await read_payment(market, token, terms.price, payer)
    record = new_record(buyer, store, item, copy, payer=payer)
    proof, keys = list(store.terms_proof(item)), list(record.keys)
    arguments = (seller, terms, proof, store.digest, copy, keys)
    return Quote(
        store=store,
        item=item,
        copy=copy,
        record=record,
        payment=payment,
        seller_record=offer.seller_record,
        arbiter=offer.arbiter,
        free_stake=free_stake,
        gas_cost=await _gas_cost(market, wallet, payment, arguments),
        clock=offer.synced.clock,
        arguments=arguments,
    )


async def _gas_cost(
    market: Market, wallet: Wallet, payment: Payment, arguments: tuple[Any, ...]
) -> Wei:
    if payment.needs_allowance:
        return Wei(0)
    data = market.encode("buyItem", *arguments)
    return await wallet.gas_cost(market.address, data, payment.coins)


async def buy(
    buyer: Buyer,
    wallet: Wallet,
    quote: Quote,
    *,
    by_permit: bool = False,
    notice: Notice = silent,
) -> Bought:
    """Pays what a quote says, and waits until the purchase is mined.

    Args:
        buyer: As for the quote.
        wallet: As for the quote.
        quote: From `quote_purchase`.
        by_permit: Allow a token by a signature, where it takes one.
        notice: Hears of approvals.

    Raises:
        ContractReverted: The market refused: the copy is taken, say. Nothing was paid.
        Permanent: The token or the account could not pay. Nothing was paid.
        RpcError: The node failed; whether the purchase is mined, the chain will tell.
    """
    permit = await allow(buyer.market, wallet, quote.payment, by_permit=by_permit, notice=notice)
    record = quote.record
    buyer.records.add(record)

    def signed(tx_hash: bytes) -> None:
        nonlocal record
        record = replace(record, tx=tx_hash)
        buyer.records.save(record)

    try:
        receipt = await _pay(buyer.market, wallet, quote, permit, notice, signed)
    except BaseException as error:
        if record.tx is None or isinstance(error, Permanent):
            # Nothing was sent, or it was mined and did nothing.
            buyer.records.save(replace(record, failed=True))
        else:
            # A node can report an error and keep the transaction all the same.
            notice(f"If it is mined, this is the sale {short_id(record.copy_id)}.")
        raise
    # Mined; the deadline counts from the block that holds it.
    record = replace(record, tx=receipt.tx_hash, block=receipt.block)
    buyer.records.save(record)
    return Bought(quote, record, receipt)


async def _pay(
    market: Market,
    wallet: Wallet,
    quote: Quote,
    permit: Permit | None,
    notice: Notice,
    signed: Callable[[bytes], None],
) -> Receipt:
    """Sends the purchase; a permit that the token does not take gives way to an approval."""
    coins = quote.payment.coins
    function, arguments = purchase_call(list(quote.arguments), permit)
    try:
        return await send_call(wallet, market, function, *arguments, value=coins, signed=signed)
    except ContractReverted as error:
        if permit is None or error.error != "TokenTransferFailed":
            raise
    notice("The token did not take the permit. Its `approve` is used instead.")
    await allow(market, wallet, quote.payment, by_permit=False, notice=notice)
    return await send_call(wallet, market, "buyItem", *quote.arguments, value=coins, signed=signed)


# ----------------------------------------------------------------------------------------- checks


def check_undecided(
    attempts: Sequence[Record],
    states: Sequence[SaleState],
    sales: Mapping[CopyId, SaleRecord],
    digest: bytes,
) -> None:
    """Refuses to pay a second time for what a first payment may have bought, or has.

    Args:
        attempts: The buyer's, at this item.
        states: What the chain says of their copies, in this order.
        sales: What the index says of them: believed as far as the chain's word commits to it.
        digest: The store's document that is in force.

    Raises:
        Permanent: An attempt to buy this item is neither on the chain nor refused; or it is on the
            chain, and the command that paid ended before it could say so.
    """
    for record, state in zip(attempts, states, strict=False):
        sale = short_id(record.copy_id)
        if state.status == Status.NONE:
            # The market refuses a document that is not in force any more.
            if record.failed or record.store_digest != digest:
                continue
            tx = f"its transaction 0x{record.tx.hex()}" if record.tx else "its transaction"
            raise Permanent(
                f"your attempt of {record.made} to buy {record.item!r} is not on the chain, and "
                f"was not refused: {tx} may still be mined. Look with `dam buyer purchases`; to "
                "buy one more (or if you know that it is lost), add --again"
            )
        if record.block is not None:
            continue  # known to be bought, and said so
        found = sales.get(record.copy_id)
        if found is None or not _is_committed(found.purchase, state):
            raise Permanent(
                f"the copy of your attempt of {record.made} to buy {record.item!r} is sold, and "
                "the index cannot tell whether to you: `dam index sync --anew`, then look with "
                "`dam buyer purchases`; to buy one more, add --again"
            )
        if record.is_of(found.purchase):
            raise Permanent(
                f"your attempt of {record.made} to buy {record.item!r} went through: the sale "
                f"{sale} is paid for. Next: dam buyer wait {sale}. To buy one more, add --again"
            )


def _is_committed(purchase: Purchase, state: SaleState) -> bool:
    """Whether a purchase is what the contract keeps a hash of, keys and all."""
    return sale_hash(sale_of(purchase))[: len(state.commitment)] == state.commitment


def check_offer(item: Item, *, seller: Address, buyer: Address, without_arbitrator: bool) -> None:
    """Refuses what a buyer should not pay for, or not without knowing.

    Raises:
        Permanent: With the reason and what to do.
    """
    terms = item.terms
    if buyer == seller:
        raise Permanent("this is your own store: buy with another account")
    if terms.arbitrator in (seller, buyer) and terms.arbitrator != ZERO_ADDRESS:
        raise Permanent(f"the arbitrator {terms.arbitrator} is a party to the sale")
    if terms.arbitrator == ZERO_ADDRESS and not without_arbitrator:
        raise Permanent(
            f"{item.name!r} names no arbitrator: if the good arrives but is worthless, nobody can "
            "give you the money back. If you want it all the same, add --no-arbitrator"
        )


async def check_payload(blocks: BlockStore, payload: Payload) -> None:
    """Looks whether the encrypted good is to be had, before anybody pays for its key.

    Of a file `SAMPLED_CHUNKS` blocks are fetched that nobody can foresee.

    Raises:
        Permanent: It is not.
    """
    if not isinstance(payload, StreamPayload):
        return
    chunks = list(dict.fromkeys(payload.chunks))
    for cid in random.SystemRandom().sample(chunks, min(SAMPLED_CHUNKS, len(chunks))):
        try:
            await blocks.get(cid)
        except IpfsUnreachable:
            raise
        except (IpfsError, BlockRefused) as error:
            raise Permanent(
                f"the encrypted good is not to be had now ({error}): the key alone would be of no "
                "use. Try later; nothing was paid"
            ) from None


async def _prove(
    index: Index, market: Market, offer: Offer, wanted: int | None, attempts: Sequence[Record]
) -> tuple[int, Wei]:
    """Asks the chain, at once, for all that the index only hints at.

    Returns:
        A copy that is free, and the seller's free stake.

    Raises:
        Permanent: Store, stake or copy are not as they should be, or an attempt is undecided.
    """
    seller, item, taken = offer.version.seller, offer.item, set(offer.taken)
    supply, item_id = item.terms.supply, item.terms.item_id
    sales = read_sales(index.db, {record.copy_id for record in attempts})
    asked = [record.copy_id for record in attempts]
    if wanted is not None and item.is_withdrawn(wanted):
        raise Permanent(f"the seller has withdrawn copy {wanted + 1}: leave --copy away")
    for _ in range(_COPY_TRIES):
        copy = wanted
        if copy is None and free_copies(item, taken) > 0:
            copy = choose_copy(item, taken, random.SystemRandom())
        chosen = [] if copy is None or copy >= supply else [hash_copy(seller, item_id, copy)]
        current, free, states = await market.standing(seller, [*asked, *chosen])
        check_current(offer.version, current)
        check_undecided(attempts, states, sales, offer.version.digest)
        _check_stake(free, item.terms)
        if copy is None:
            raise sold_out(item)
        if not chosen:
            raise Permanent(f"there are {supply} copies, so no copy {copy + 1}")
        if states[-1].status == Status.NONE:
            return copy, free
        if wanted is not None:
            raise Permanent(f"copy {copy + 1} is sold, or was just now: leave --copy away")
        taken.add(copy)
    raise Permanent(
        f"{_COPY_TRIES} copies that the index has as free are sold: try again, and if that does "
        "not help, `dam index sync --anew`"
    )


def _check_stake(free: Wei, terms: Terms) -> None:
    if free < terms.reserve:
        raise Permanent(
            f"the seller's free stake is {format_amount(free)}, and this sale needs "
            f"{format_amount(terms.reserve)} of it: the market would refuse. Ask the seller to add "
            "to it, or wait until one of their open sales ends"
        )


def sold_out(item: Item) -> Permanent:
    """The error of an item of which no copy is left."""
    return Permanent(
        f"{item.name!r} is sold out: all {item.terms.supply} copies are sold or withdrawn"
    )


def choose_copy(item: Item, taken: Collection[int], source: random.Random) -> int:
    """A free copy at random: two buyers at once should not want the same one.

    Raises:
        Permanent: None is left.
    """
    left = free_copies(item, taken)
    if left <= 0:
        raise sold_out(item)
    # The place among the free copies, then the copy at that place: exact, whatever the supply is.
    copy = source.randrange(left)
    for gone in gone_copies(item, taken):
        if gone.start <= copy:
            copy += gone.stop - gone.start
    return copy


# ----------------------------------------------------------------------------------------- record


def new_record(buyer: Buyer, store: Store, item: Item, copy: int, *, payer: Address) -> Record:
    """The record of the next attempt at a copy, with fresh one-time keys; not saved yet."""
    copy_id = hash_copy(store.seller, item.terms.item_id, copy)
    attempt = buyer.records.next_attempt(copy_id)
    return Record(
        chain_id=store.chain_id,
        market=store.market,
        copy_id=copy_id,
        attempt=attempt,
        seller=store.seller,
        buyer=payer,
        item=item.name,
        title=item.title,
        store_digest=store.digest,
        root=store.root,
        keys=one_time_keys(buyer.seed, buyer.deployment, copy_id, attempt, item.terms.parts),
        payload=item.payload(copy),
        part_proofs=part_proofs(item, copy),
        made=utc_now(),
    )
