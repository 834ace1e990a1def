"""The buyer: reads stores, picks a copy, pays with one-time keys, and opens what arrives.

A buyer trusts neither the store (every byte is checked against the chain) nor the fragments: what
does not open, or opens to something else than the part's commitment, is junk and skipped; any k
good shares whose key has the right hash will do.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dam.catalog.payload import Payload, StreamPayload
from dam.catalog.reader import Item, Store, read_store
from dam.crypto import shamir
from dam.crypto.derivation import BuyerSeed
from dam.crypto.hashing import copy_id as hash_copy
from dam.crypto.hashing import domain, item_id, keccak
from dam.crypto.sealing import open_fragment
from dam.errors import BlockRefused, IpfsError, Malformed, Permanent
from dam.ipfs.blocks import BlockStore
from dam.roles.buyer.records import Record, one_time_keys
from dam.types import (
    ZERO_ADDRESS,
    Address,
    CopyId,
    Deployment,
    FragmentDelivered,
    Purchase,
    StoreVersion,
)

_MAX_JOINS = 5_000
"""Combinations of shares that are tried when a seller's shares do not add up."""
_MAX_VARIANTS = 4
"""Different shares of one index that are looked at; more are a seller's games."""


# ----------------------------------------------------------------------------------------- buying


async def read_version(blocks: BlockStore, deployment: Deployment, version: StoreVersion) -> Store:
    """A store's document as one of its versions named it, every byte checked.

    Raises:
        Malformed: It breaks a rule, or is not what the chain committed to.
        IpfsError: It is not to be had now.
    """
    return await read_store(
        blocks,
        version.digest,
        chain_id=deployment.chain_id,
        market=deployment.market,
        seller=version.seller,
        root=version.root,
    )


def find_item(store: Store, text: str) -> Item:
    """An item by its id, or by the 0x-hex of its hash.

    Raises:
        Permanent: The store has no such item.
    """
    found = store.item(item_id(text))
    if found is None and text.startswith("0x") and len(text) == 66:
        try:
            found = store.item(bytes.fromhex(text[2:]))
        except ValueError:
            found = None
    if found is None:
        raise Permanent(f"the store has no item {text!r}: `dam buyer browse` lists them")
    return found


def free_copies(item: Item, taken: Collection[int]) -> int:
    """How many copies are left."""
    return item.terms.supply - sum(copy < item.terms.supply for copy in taken)


def choose_copy(item: Item, taken: Collection[int], source: random.Random) -> int:
    """A free copy at random: two buyers at once should not want the same one.

    Raises:
        Permanent: None is left.
    """
    left, supply = free_copies(item, taken), item.terms.supply
    if left <= 0:
        raise Permanent(f"{item.name!r} is sold out: all {supply} copies are sold or burned")
    # The place among the free copies, then the copy at that place: exact, whatever the supply is.
    copy = source.randrange(left)
    for sold in sorted(copy for copy in taken if copy < supply):
        if sold <= copy:
            copy += 1
    return copy


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

    Of a file the first and the last block are fetched.

    Raises:
        Permanent: It is not.
    """
    if not isinstance(payload, StreamPayload):
        return
    for cid in {payload.chunks[0], payload.chunks[-1]}:
        try:
            await blocks.get(cid)
        except (IpfsError, BlockRefused) as error:
            raise Permanent(
                f"the encrypted good is not to be had now ({error}): the key alone would be of no "
                "use. Try later; nothing was paid"
            ) from None


def new_record(
    seed: BuyerSeed,
    store: Store,
    item: Item,
    copy: int,
    attempt: int,
    *,
    buyer: Address,
    deployment: Deployment,
) -> Record:
    """The record of an attempt, with fresh one-time keys."""
    name = hash_copy(store.seller, item.terms.item_id, copy)
    return Record(
        chain_id=store.chain_id,
        market=store.market,
        copy_id=name,
        attempt=attempt,
        seller=store.seller,
        buyer=buyer,
        item=item.name,
        title=item.title,
        store_digest=store.digest,
        root=store.root,
        keys=one_time_keys(seed, deployment, name, attempt, item.terms.parts),
        payload=item.payload(copy),
        made=now(),
    )


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------------------------------- opening


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


def recover(sifted: Sifted, threshold: int) -> ContentKey | None:
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


def restored_record(
    deployment: Deployment, purchase: Purchase, attempt: int, root: bytes, store: Store | None
) -> Record:
    """A record made again from the chain, and from the store where it can still be read.

    Args:
        deployment: Chain and market.
        purchase: As the chain has it.
        attempt: From `dam.roles.buyer.records.find_attempt`.
        root: Catalogue root that went with the document.
        store: The document, or None.
    """
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
        made=now(),
        tx=purchase.at.tx_hash,
        block=purchase.block,
    )
