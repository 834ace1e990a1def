"""Opening: telling good fragments from junk, joining k of them to the key, reading the good.

A buyer trusts neither the store (every byte is checked against the chain) nor the fragments: what
does not open, or opens to something else than the part's commitment, is junk and skipped; any k
good shares whose key has the right hash will do.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from dam.errors import Malformed, Permanent, Retryable
from dam.ipfs.blocks import BlockStore
from dam.market.log_history import read_history
from dam.proofs.judging import open_share
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.purchases import OwnPurchase, find_purchase, rebuild_record
from dam.roles.notice import Notice, silent
from dam.roles.sales import actions_text
from dam.types import Deadlines, Deployment, FragmentDelivered, Purchase, Status

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
    share: bytes | None = field(default=None, repr=False)
    """Where it opens to what the leaf commits to, which is out of range: the seller's fault."""


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
    """Opens each fragment with the one-time key of its index, then with the sale's fresh key, and
    compares with its commitment.

    Args:
        seed: The buyer's.
        deployment: Chain and market.
        purchase: Whose fragments.
        attempt: Which attempt the purchase was.
        fragments: Delivered and supplied ones, in the order in which they came.
    """
    place = deployment.chain_id, deployment.market, purchase.copy_id, attempt
    fresh = seed.fresh_secret(*place)
    good: dict[tuple[int, bytes, bytes], GoodShare] = {}
    junk: list[Junk] = []
    for fragment in fragments:
        first = seed.part_secret(*place, fragment.index)
        try:
            share = _open_share(fragment, first, fresh)
        except Malformed as error:
            junk.append(Junk(fragment, str(error)))
            continue
        if not shamir.is_element(share):
            junk.append(Junk(fragment, "its share is out of range (the seller's fault)", share))
        else:
            found = (fragment.index, share, fragment.secret_hash)
            good.setdefault(found, GoodShare(fragment, share))
    return Sifted(tuple(good.values()), tuple(junk))


def _open_share(fragment: FragmentDelivered, first: bytes, fresh: bytes) -> bytes:
    """The share; raises `Malformed` for junk, with what is wrong by the index's first key."""
    try:
        return open_share(fragment.fragment, first, fragment.commitment)
    except Malformed:
        with contextlib.suppress(Malformed):
            return open_share(fragment.fragment, fresh, fragment.commitment)
        raise


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
            "the key: the seller made them so. Next: `dam buyer prove`, which gives the price back"
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
    deadlines: Deadlines | None
    """What the contract says of the sale; None where it has ended."""

    @property
    def provable(self) -> tuple[Junk, ...]:
        """Junk whose proof would help: no good part of that index is there, and it was not proved.

        The seller's supplies are no evidence, nor is a share that is out of range.
        """
        sale, good = self.purchase.sale, self.parts.indices
        seller, punished = sale.purchase.seller, sale.punished
        return tuple(
            junk
            for junk in self.parts.junk
            if junk.share is None
            and not junk.fragment.supplied
            and junk.fragment.index not in good
            and (junk.fragment.by == seller or junk.fragment.index not in punished)
        )


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
    sale = found.sale
    parts = sift(buyer.seed, buyer.deployment, sale.purchase, found.record.attempt, sale.fragments)
    deadlines = None
    if not sale.status.final:
        [deadlines] = await buyer.market.deadlines([sale.purchase], block=found.block)
    return ArrivedParts(found, parts, deadlines)


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
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            arrived = await read_parts(buyer, sale_id, notice=notice)
        except Retryable as error:
            notice(f"({error}; trying again)")
        else:
            on_look(arrived)
            if _can_be_opened(arrived):
                return arrived
            _check_hope(arrived)
        if end is not None and time.monotonic() >= end:
            raise Permanent("time is up; `dam buyer wait` goes on waiting, any time")
        await asyncio.sleep(poll_seconds)


def _can_be_opened(arrived: ArrivedParts) -> bool:
    """Whether the good can be opened now.

    Raises:
        Permanent: It cannot, nor will it be: the seller's shares do not add up.
    """
    threshold = arrived.purchase.sale.purchase.terms.threshold
    try:
        return recover_key(arrived.parts, threshold) is not None
    except Permanent:
        # Another part may still make a choice of k that does.
        if not _missing(arrived):
            raise
        return False


def _missing(arrived: ArrivedParts) -> set[int]:
    """Parts that are not there and may still come."""
    sale, deadlines = arrived.purchase.sale, arrived.deadlines
    if deadlines is None or arrived.purchase.clock.time >= deadlines.fallback_delivery:
        return set()
    return set(range(sale.purchase.terms.parts)) - set(sale.delivered)


def _check_hope(arrived: ArrivedParts) -> None:
    """Ends the wait where nothing can come any more, or only after a step of the buyer's."""
    purchase, deadlines = arrived.purchase, arrived.deadlines
    sale, name, clock = purchase.sale, purchase.short_id, purchase.clock
    if sale.status.final or deadlines is None:
        raise Permanent(f"the sale is over: {sale.status.name.lower()}")
    threshold = sale.purchase.terms.threshold
    missing = _missing(arrived)
    if len(arrived.parts.indices | missing) >= threshold:
        return
    if arrived.provable:
        raise Permanent(
            f"too many parts are junk, which you can prove: see what it gives with "
            f"`dam buyer prove {name}`"
        )
    if sale.status == Status.PURCHASED:
        if clock.time < deadlines.fallback_delivery:
            return
        raise Permanent(f"too few parts came in time. Next: dam buyer refund {name}")
    if sale.status == Status.DISPUTED:
        return
    can = "; ".join(actions_text(sale, deadlines, clock, ("buyer", "anyone"))) or "nothing"
    raise Permanent(
        f"the sale counts as complete, but too many parts are junk. You can: {can}. "
        f"Next: dam buyer dispute {name}"
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
            f"run `dam buyer {'prove' if arrived.provable else 'wait'} {purchase.short_id}`"
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
