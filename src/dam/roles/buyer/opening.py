"""Opening: telling good fragments from junk, joining k of them to the key, reading the good.

A buyer trusts neither the store (every byte is checked against the chain) nor the fragments: what
does not open, or opens to something else than the part's commitment, is junk and skipped; any k
good shares whose key has the right hash will do.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dam.catalog.payload import InlinePayload, Payload, open_payload, save_payload
from dam.crypto import shamir
from dam.crypto.derivation import BuyerSeed
from dam.crypto.hashing import domain, keccak
from dam.crypto.sealing import open_fragment
from dam.errors import Malformed, Permanent, Retryable
from dam.ipfs.blocks import BlockStore
from dam.market.log_history import read_history
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.purchases import OwnPurchase, find_purchase, rebuild_record
from dam.roles.notice import Notice, silent
from dam.roles.sales import actions_text
from dam.types import Deployment, FragmentDelivered, Purchase, Status, Windows

_MAX_JOINS = 5_000
"""Combinations of shares that are tried when a seller's shares do not add up."""
_MAX_VARIANTS = 4
"""Different shares of one index that are looked at; more are a seller's games."""


# ------------------------------------------------------------------------------------------ parts


@dataclass(frozen=True, slots=True)
class GoodShare:
    """A fragment that opened to what the part's leaf commits to."""

    fragment: FragmentDelivered
    share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Junk:
    """A fragment that is of no use, and why."""

    fragment: FragmentDelivered
    reason: str


@dataclass(frozen=True, slots=True)
class Sifted:
    """The fragments of a sale, told apart."""

    good: tuple[GoodShare, ...]
    junk: tuple[Junk, ...]

    @property
    def indices(self) -> set[int]:
        """Parts of which a good share is there."""
        return {share.fragment.index for share in self.good}


def sift(
    seed: BuyerSeed,
    deployment: Deployment,
    purchase: Purchase,
    attempt: int,
    fragments: Iterable[FragmentDelivered],
) -> Sifted:
    """Opens each fragment with the one-time key of its index, and compares with its commitment.

    Args:
        seed: The buyer's.
        deployment: Chain and market.
        purchase: Whose fragments.
        attempt: Which attempt the purchase was.
        fragments: Delivered and supplied ones, in the order in which they came.
    """
    good: dict[tuple[int, bytes, bytes], GoodShare] = {}
    junk: list[Junk] = []
    for fragment in fragments:
        secret = seed.part_secret(
            deployment.chain_id, deployment.market, purchase.copy_id, attempt, fragment.index
        )
        try:
            share = open_fragment(fragment.fragment, secret)
        except Malformed:
            junk.append(Junk(fragment, "it does not open"))
            continue
        if keccak(share) != fragment.commitment:
            junk.append(Junk(fragment, "it opens to something else than the part committed to"))
        elif not shamir.is_element(share):
            junk.append(Junk(fragment, "its share is out of range (the seller's fault)"))
        else:
            place = (fragment.index, share, fragment.secret_hash)
            good.setdefault(place, GoodShare(fragment, share))
    return Sifted(tuple(good.values()), tuple(junk))


@dataclass(frozen=True, slots=True)
class ContentKey:
    """The key of the good, and whose shares gave it."""

    key: bytes = field(repr=False)
    used: tuple[FragmentDelivered, ...]


def recover_key(sifted: Sifted, threshold: int) -> ContentKey | None:
    """The content key from any k good shares; None if too few are there.

    Shares that match their commitments may still not add up, if the seller made them so; then all
    combinations are tried, up to a limit.

    Raises:
        Permanent: There are k, and no combination gives the key that they promise.
    """
    groups: dict[bytes, dict[int, list[GoodShare]]] = {}
    for share in sifted.good:
        group = groups.setdefault(share.fragment.secret_hash, {})
        group.setdefault(share.fragment.index, []).append(share)
    tried = False
    for secret_hash, group in groups.items():
        for combination in itertools.islice(_combinations(group, threshold), _MAX_JOINS):
            tried = True
            key = shamir.join({s.fragment.index: s.share for s in combination}, threshold)
            if keccak(key) == secret_hash:
                return ContentKey(key, tuple(s.fragment for s in combination))
    if tried or len(sifted.indices) >= threshold:
        raise Permanent(
            "enough parts are there and each is what it was committed to, but they do not give "
            "the key: the seller made them so. Dispute it: `dam buyer dispute`"
        )
    return None


def _combinations(
    group: Mapping[int, Sequence[GoodShare]], k: int
) -> Iterator[tuple[GoodShare, ...]]:
    """Choices of one share each of k indices, the first arrived first.

    Every choice is one that may be right, so a cap on their number caps the work.
    """
    for indices in itertools.combinations(group, k):
        yield from itertools.product(*(group[index][:_MAX_VARIANTS] for index in indices))


def good_domain(deployment: Deployment, purchase: Purchase) -> bytes:
    """What the payload of a purchase is bound to, 32 bytes."""
    terms = purchase.terms
    return domain(
        deployment.chain_id,
        deployment.market,
        purchase.seller,
        terms.item_id,
        terms.stock,
        purchase.copy,
    )


# ------------------------------------------------------------------------------------------- wait


@dataclass(frozen=True, slots=True)
class ArrivedParts:
    """A purchase of ours, and the parts of it that have arrived."""

    purchase: OwnPurchase
    parts: Sifted


async def read_parts(buyer: Buyer, sale_id: str, *, notice: Notice = silent) -> ArrivedParts:
    """The parts of a purchase that are on the chain now.

    Args:
        buyer: Whose purchase.
        sale_id: Its id, or the beginning of it.
        notice: Hears when the store of a purchase without a record cannot be read.

    Raises:
        Permanent: There is no such purchase of this buyer.
        RpcError: The node could not be asked.
    """
    found = await find_purchase(buyer, sale_id, notice=notice)
    parts = sift(
        buyer.seed,
        buyer.deployment,
        found.sale.purchase,
        found.record.attempt,
        found.sale.fragments,
    )
    return ArrivedParts(found, parts)


async def wait_for_parts(
    buyer: Buyer,
    sale_id: str,
    *,
    timeout: float | None = None,
    poll_seconds: float = 1.0,
    on_look: Callable[[ArrivedParts], None] = lambda _: None,
    notice: Notice = silent,
) -> ArrivedParts:
    """Waits until the good of a purchase can be opened.

    Args:
        buyer: Whose purchase.
        sale_id: Its id, or the beginning of it.
        timeout: Seconds; None: as long as there is hope.
        poll_seconds: Between two looks at the chain.
        on_look: Takes what each look found.
        notice: Hears of trouble that may pass: a node that does not answer.

    Raises:
        Permanent: Time is up, or no more parts can help; the message says what can be done.
    """
    windows = buyer.deployment.windows
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            arrived = await read_parts(buyer, sale_id, notice=notice)
        except Retryable as error:
            notice(f"({error}; trying again)")
        else:
            on_look(arrived)
            if _can_be_opened(arrived, windows):
                return arrived
            _check_hope(arrived.purchase, windows)
        if end is not None and time.monotonic() >= end:
            raise Permanent("time is up; `dam buyer wait` goes on waiting, any time")
        await asyncio.sleep(poll_seconds)


def _can_be_opened(arrived: ArrivedParts, windows: Windows) -> bool:
    """Whether the good can be opened now.

    Raises:
        Permanent: It cannot, nor will it be: the seller's shares do not add up.
    """
    sale = arrived.purchase.sale
    try:
        return recover_key(arrived.parts, sale.purchase.terms.threshold) is not None
    except Permanent:
        # Another part may still make a choice of k that does.
        more = sale.whole_at is None and arrived.purchase.block < sale.last_delivery(windows)
        if sale.status.final or not more:
            raise
        return False


def _check_hope(purchase: OwnPurchase, windows: Windows) -> None:
    """Ends the wait where nothing can come any more, or only after a step of the buyer's."""
    sale, newest = purchase.sale, purchase.block
    name = purchase.short_id
    can = "; ".join(actions_text(sale, windows, newest, ("buyer", "anyone"))) or "nothing"
    if sale.status.final:
        raise Permanent(f"the sale is over: {sale.status.name.lower()}")
    if newest + 1 > sale.last_delivery(windows):
        if sale.status == Status.PURCHASED:
            raise Permanent(f"too few parts came in time. Next: dam buyer refund {name}")
        raise Permanent(
            f"the sale counts as complete, but too many parts are junk. You can: {can}. "
            f"Next: dam buyer dispute {name}"
        )
    if sale.whole_at is not None and sale.status == Status.COMPLETE:
        raise Permanent(
            "all parts are there, but too many are junk. The seller may supply them once more; "
            f"you can: {can}. Next: dam buyer dispute {name}"
        )


# ------------------------------------------------------------------------------------------- open


@dataclass(frozen=True, slots=True)
class SavedGood:
    """A good in a file."""

    size: int
    """Bytes."""
    sha256: str
    """Hex."""


@dataclass(frozen=True)
class OpenedGood:
    """A good whose key is there: it can be read, or saved."""

    purchase: OwnPurchase
    used: tuple[FragmentDelivered, ...]
    """Whose shares gave the key."""
    payload: Payload
    blocks: BlockStore = field(repr=False)
    key: bytes = field(repr=False)
    domain: bytes = field(repr=False)

    @property
    def is_short(self) -> bool:
        """Whether it stands in the store's document (a code, say) and not in blocks of its own."""
        return isinstance(self.payload, InlinePayload)

    async def read(self) -> bytes:
        """All of it, in memory: for short goods.

        Raises:
            Malformed: The ciphertext is not what the store named.
            IpfsError: It is not to be had now.
        """
        pieces = open_payload(self.blocks, self.payload, self.key, self.domain)
        return b"".join([piece async for piece in pieces])

    async def save(self, path: Path, *, overwrite: bool = False) -> SavedGood:
        """Writes it to a file, whole or not at all.

        Raises:
            Malformed: The ciphertext is not what the store named.
            IpfsError: It is not to be had now.
        """
        await save_payload(
            self.blocks, self.payload, self.key, self.domain, path, overwrite=overwrite
        )
        return await asyncio.to_thread(_measure, path)


async def open_good(buyer: Buyer, arrived: ArrivedParts, *, notice: Notice = silent) -> OpenedGood:
    """Opens the good with any k good parts. Nothing of it is read yet.

    Args:
        buyer: Whose purchase.
        arrived: From `read_parts` or `wait_for_parts`.
        notice: Hears when the store cannot be read.

    Raises:
        Permanent: Too few good parts are there, they do not give the key, or nobody has the store's
            document any more.
        IpfsError, RpcError: The block store or the node could not be asked.
    """
    purchase = arrived.purchase
    terms = purchase.sale.purchase.terms
    found = recover_key(arrived.parts, terms.threshold)
    if found is None:
        raise Permanent(
            f"{len(arrived.parts.indices)} good parts are there, {terms.threshold} are needed: "
            f"run `dam buyer wait {purchase.short_id}`"
        )
    return OpenedGood(
        purchase,
        found.used,
        await _payload(buyer, purchase, notice),
        buyer.blocks,
        found.key,
        good_domain(buyer.deployment, purchase.sale.purchase),
    )


async def _payload(buyer: Buyer, purchase: OwnPurchase, notice: Notice) -> Payload:
    """The ciphertext, from the record; read anew where a rescan could not read the store."""
    if purchase.record.payload is not None:
        return purchase.record.payload
    history = await read_history(buyer.market)
    attempt = purchase.record.attempt
    record = await rebuild_record(buyer, history, purchase.sale, attempt, notice=notice)
    if record.payload is None:
        raise Permanent("the store's document is not to be had now, and it names the good: later")
    buyer.records.save(record)
    return record.payload


def _measure(path: Path) -> SavedGood:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return SavedGood(file.seek(0, os.SEEK_END), digest)
