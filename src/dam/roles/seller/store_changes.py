"""The catalogue brought in line with a store file: what would change, and the change itself.

`plan_changes` compares a store file with the catalogue folder and says what would change, or all
that cannot; nothing is made yet. `apply_changes` encrypts new goods, seals, publishes the blocks,
and leaves the last step, one transaction, to `dam.roles.seller.publishing`. What did not change is
published again byte for byte; copies that are sold keep their lots, and so their keys, shares and
ciphertext.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dam.atomic_file import held, open_regular
from dam.catalog.payload import MAX_INLINE_BYTES, InlinePayload, decrypt_inline
from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import item_id
from dam.errors import IpfsError, Permanent
from dam.ipfs.blocks import BlockStore
from dam.market.deliverers import Deliverer
from dam.market.sale_history import SaleHistory
from dam.roles.seller.code_files import bare, bare_pieces
from dam.roles.seller.deliverer_choice import Choice
from dam.roles.seller.drafted import ItemDraft, StoreDraft
from dam.roles.seller.goods import Good, add_goods, assign_anew, lost_blocks, restore_goods
from dam.roles.seller.listings import Catalogue, Listing, check_same_store
from dam.roles.seller.store_builder import BuiltStore, build_store, publish_store
from dam.types import Address, Deployment, Wei


@dataclass(frozen=True)
class Shop:
    """Whose store, where."""

    deployment: Deployment
    seller: Address
    seed: SellerSeed
    catalogue: Catalogue


@dataclass(frozen=True)
class Change:
    """What happens to one item."""

    what: str
    """``new``, ``unchanged``, ``terms``, ``more codes``, ``new good``, ``other deliverers``,
    ``opened``, ``closed`` or ``withdrawn``; several with commas."""
    old: Listing | None
    draft: ItemDraft | None
    """None: the item is withdrawn, or stays so."""
    goods: tuple[Good, ...] = field(default=(), repr=False)
    """To be encrypted and added."""
    assign: bool = False
    """All parts go to other deliverers."""
    source: str = ""

    @property
    def name(self) -> str:
        """The item's id."""
        if self.draft is not None:
            return self.draft.name
        return self.old.name if self.old is not None else ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a seller asks for by name, beside what is written in the file."""

    assign: Collection[str] = ()
    """Ids of items whose parts go to other deliverers."""
    reopen: Collection[str] = ()
    """Ids of items that are off sale, and are listed again."""
    one_part_is_enough: bool = False
    """Items may have parts each of which gives the whole key."""


class _Impossible(Exception):
    """Something that cannot be done, for the list of all of them."""


@contextlib.contextmanager
def catalogue_lock(folder: Path) -> Iterator[None]:
    """One process at a time changes a catalogue.

    Raises:
        Permanent: Another one does.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder / "lock"))
        except BlockingIOError:
            raise Permanent("another command changes this catalogue; wait for its end") from None
        yield


# -------------------------------------------------------------------------------------- planning


async def plan_changes(
    shop: Shop, store: StoreDraft, history: SaleHistory, wishes: Wishes | None = None
) -> list[Change]:
    """What has to happen so that the catalogue is what the seller wrote.

    Args:
        shop: The seller's.
        store: What the seller wrote.
        history: Which copies are sold.
        wishes: What is asked for by name.

    Raises:
        Permanent: Something cannot be done; all such things are in the message.
    """
    deployment, seller = shop.deployment, shop.seller
    wishes = wishes or Wishes()
    old = {listing.name: listing for listing in shop.catalogue.all()}
    check_same_store(list(old.values()), deployment.chain_id, deployment.market, seller)
    there = {draft.name for draft in store.items} & set(old)
    faults = [f"there is no item {name!r} to assign anew" for name in set(wishes.assign) - there]
    faults += [f"there is no item {name!r} to open" for name in set(wishes.reopen) - there]
    elsewhere = _sold_codes(shop, old.values(), history)
    changes = []
    for draft in store.items:
        try:
            if draft.arbitrator == seller:
                raise _Impossible("the seller cannot be the arbitrator of their own item")
            sold = history.taken(seller, item_id(draft.name))
            listing = old.get(draft.name)
            change = await _change(shop, draft, listing, sold, wishes)
            _check_codes(change, sold, elsewhere)
            changes.append(change)
        except _Impossible as error:
            faults.append(f"{draft.where}: {error}")
    kept = {draft.name for draft in store.items}
    gone = [listing for name, listing in old.items() if name not in kept and listing.listed]
    changes += [Change("withdrawn", listing, None) for listing in gone]
    if not faults and not any(change.draft for change in changes):
        named = " ".join(f"--open {change.name}" for change in changes if change.what == "closed")
        faults.append(f"every item is off sale; to list one again: {named}")
    if faults:
        raise Permanent("nothing was published:" + "".join(f"\n  - {f}" for f in faults))
    return changes


def _sold_codes(
    shop: Shop, listings: Iterable[Listing], history: SaleHistory
) -> dict[str, tuple[str, int]]:
    """Each code that is sold, bare, and of which item it is which copy."""
    found = {}
    for listing in listings:
        if listing.stock:
            sold = history.taken(shop.seller, listing.item_id)
            for copy in (copy for copy in sold if copy < listing.supply):
                code = _open_short(shop.seed, listing, copy)
                if code is not None:
                    for piece in bare_pieces(code.decode("utf-8")):
                        found[piece] = (listing.name, copy)
    return found


def _check_codes(
    change: Change, sold: Collection[int], elsewhere: Mapping[str, tuple[str, int]]
) -> None:
    """Refuses to sell a code a second time, as another copy or under another id."""
    draft, old = change.draft, change.old
    if draft is None or draft.codes is None:
        return
    supply = old.supply if old is not None else 0
    if lost := sorted(copy + 1 for copy in sold if copy >= supply):
        told = ", ".join(map(str, lost[:5])) + (" ..." if len(lost) > 5 else "")
        raise _Impossible(
            f"its copy {told} is sold, and your catalogue folder does not know of it: put back the "
            "folder that does; or list what is not sold yet under another id"
        )
    fresh = set(change.goods)
    for number, text in enumerate(draft.codes, start=1):
        code = text.encode("utf-8")
        name, copy = elsewhere.get(bare(text), (draft.name, 0))
        # What it lists already it must keep; one that comes back is looked at whole.
        if name != draft.name and (code in fresh or (old is not None and not old.listed)):
            raise _Impossible(
                f"its code {number} was sold already, as copy {copy + 1} of {name!r}: list it "
                "without that code" + ("" if code in fresh else ", under another id")
            )


async def _change(
    shop: Shop, draft: ItemDraft, old: Listing | None, sold: Collection[int], wishes: Wishes
) -> Change:
    forced = draft.name in wishes.assign
    if old is not None and not old.listed and draft.name not in wishes.reopen:
        if forced:
            raise _Impossible(f"it is off sale: say --open {draft.name}, too")
        return Change("closed", old, None)
    draft = _as_before(draft, old)
    if draft.threshold == 1 and not wishes.one_part_is_enough and (not old or old.threshold > 1):
        raise _Impossible(
            "with threshold = 1 one part gives the whole key, so each deliverer could open the "
            "good alone: write threshold = 2 or more, or say --one-part-is-enough"
        )
    if old is None:
        goods, source = await _all_goods(draft)
        return Change("new", None, draft, goods, source=source)
    if old.stock != draft.stock:
        raise _Impossible("codes cannot become a file, nor a file codes: take another id")
    kinds: list[str] = []
    if draft.stock:
        goods, source = _new_codes(shop.seed, old, draft, sold), old.source
        if goods:
            kinds.append("more codes")
    else:
        goods, source = await _new_good(shop.seed, old, draft)
        if goods:
            kinds.append("new good")
    chosen = {d.operator for lot in old.lots for d in lot.deliverers}
    counts = (draft.parts, draft.threshold) != (old.parts, old.threshold)
    named_others = bool(draft.deliverers) and chosen != set(draft.deliverers)
    assign = bool(old.lots) and (forced or counts or named_others)
    if assign:
        kinds.append("other deliverers")
    if _terms_of_draft(draft) != _terms_of_listing(old):
        kinds.append("terms")
    if not old.listed:
        kinds.append("opened")
    what = ", ".join(kinds) or "unchanged"
    return Change(what, old, draft, goods, assign, source)


def _as_before(draft: ItemDraft, old: Listing | None) -> ItemDraft:
    """Parts and threshold that the seller did not write stay: a default is no wish to change."""
    if old is None or not old.lots or {"parts", "deliverers"} & draft.said:
        return draft
    threshold = draft.threshold if "threshold" in draft.said else old.threshold
    if threshold > old.parts:
        return draft
    return replace(draft, parts=old.parts, threshold=threshold)


def _terms_of_draft(draft: ItemDraft) -> tuple[object, ...]:
    return (
        draft.title,
        draft.token,
        draft.price,
        draft.commission,
        draft.penalty,
        draft.bond,
        draft.arbitrator,
        None if draft.stock else draft.supply,
        dict(draft.metadata),
        draft.about,
    )


def _terms_of_listing(old: Listing) -> tuple[object, ...]:
    return (
        old.title,
        old.token,
        old.price,
        old.commission,
        old.penalty,
        old.bond,
        old.arbitrator,
        None if old.stock else old.supply,
        old.metadata,
        old.about,
    )


async def _all_goods(draft: ItemDraft) -> tuple[tuple[Good, ...], str]:
    if draft.codes is not None:
        return tuple(code.encode("utf-8") for code in draft.codes), ""
    if draft.file is not None:
        return (draft.file,), await _fingerprint(draft.file)
    assert draft.text is not None
    long = len(draft.text) >= MAX_INLINE_BYTES
    return (draft.text,), f"sha256:{hashlib.sha256(draft.text).hexdigest()}" if long else ""


async def _fingerprint(path: Path) -> str:
    """What tells later whether a long file is still the same; nothing for a short one.

    The hash of a short good could be guessed from; it is compared with its ciphertext instead.
    """

    def look() -> str:
        with open_regular(path) as file:
            if file.seek(0, 2) < MAX_INLINE_BYTES:
                return ""
            file.seek(0)
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    return await asyncio.to_thread(look)


def _open_short(seed: SellerSeed, old: Listing, copy: int) -> bytes | None:
    """A short good, from its own ciphertext; None for a long one."""
    payload = old.payload(copy)
    if not isinstance(payload, InlinePayload):
        return None
    return decrypt_inline(seed.content_key(old.place(copy)), old.domain(copy), payload)


def _new_codes(
    seed: SellerSeed, old: Listing, draft: ItemDraft, sold: Collection[int]
) -> tuple[Good, ...]:
    assert draft.codes is not None
    wanted = [code.encode("utf-8") for code in draft.codes]
    have = [_open_short(seed, old, copy) for copy in range(old.supply)]
    there = set(wanted)
    missing = [copy for copy, code in enumerate(have) if code is not None and code not in there]
    if missing:
        copies = [f"{copy + 1} ({'sold' if copy in sold else 'for sale'})" for copy in missing[:5]]
        listed = ", ".join(copies) + (" ..." if len(missing) > 5 else "")
        raise _Impossible(
            f"no code of yours is that of copy {listed} any more, and a code once listed stays: "
            "put it back. To stop selling it, take the whole item away and list what is left under "
            "another id"
        )
    known = set(have)
    return tuple(code for code in wanted if code not in known)


async def _new_good(
    seed: SellerSeed, old: Listing, draft: ItemDraft
) -> tuple[tuple[Good, ...], str]:
    goods, source = await _all_goods(draft)
    if not old.lots:
        return goods, source
    have = _open_short(seed, old, 0)
    if have is None:
        same = bool(source) and source == old.source
    else:
        [good] = goods
        if isinstance(good, Path):
            short = not source
            good = await asyncio.to_thread(good.read_bytes) if short else b""
            same = short and good == have
        else:
            same = good == have
    return ((), old.source) if same else (goods, source)


# ------------------------------------------------------------------------------------- carrying out


async def apply_changes(
    shop: Shop,
    blocks: BlockStore,
    name: str,
    changes: Sequence[Change],
    choices: Sequence[Choice | None],
) -> BuiltStore:
    """Makes the changes in the catalogue, and publishes the store's blocks.

    Nobody sees the new store until the chain names it. Repeated after a crash it goes on where it
    stopped: what is in the catalogue is not made twice.

    Args:
        shop: The seller's.
        blocks: Where to publish.
        name: Of the store.
        changes: From `plan_changes`.
        choices: Who gets the new parts of each change; see `dam.roles.seller.publishing`.
    """
    lost = await _restore(shop, blocks, changes)
    for change, choice in zip(changes, choices, strict=True):
        deliverers = choice.deliverers if choice else ()
        shop.catalogue.save(await _apply(shop, blocks, change, deliverers))
    deployment = shop.deployment
    built = await asyncio.to_thread(
        build_store,
        shop.seed,
        shop.catalogue,
        name=name,
        chain_id=deployment.chain_id,
        market=deployment.market,
        seller=shop.seller,
    )
    try:
        await publish_store(blocks, built)
    except IpfsError as error:
        if not lost:
            raise
        raise IpfsError(
            f"the IPFS node has lost files of {', '.join(lost)} ({error}): `dam seller publish` "
            "with your store file puts them there again"
        ) from None
    return built


async def _restore(shop: Shop, blocks: BlockStore, changes: Sequence[Change]) -> list[str]:
    """Puts files again that the block store lost; names the items whose file is not to hand."""
    lost = []
    by_name = {change.name: change for change in changes}
    for listing in [listing for listing in shop.catalogue.all() if not listing.stock]:
        change = by_name.get(listing.name)
        if change is not None and (change.draft is None or change.goods):
            continue
        if change is not None and change.draft is not None:
            draft = change.draft
            good = draft.text if draft.file is None else draft.file
            assert good is not None
            await restore_goods(blocks, shop.seed, listing, good)
        elif listing.listed and await lost_blocks(blocks, listing):
            lost.append(listing.name)
    return lost


async def _apply(
    shop: Shop, blocks: BlockStore, change: Change, deliverers: Sequence[Deliverer]
) -> Listing:
    draft, old = change.draft, change.old
    if draft is None:
        assert old is not None
        return old.withdrawn()
    if old is None:
        old = _empty(shop, draft)
    elif change.assign and (draft.stock or not change.goods):
        threshold = draft.threshold
        old = await assign_anew(blocks, shop.seed, old, deliverers, threshold=threshold)
    elif not draft.stock and change.goods:
        old = replace(old, lots=(), parts=draft.parts, threshold=draft.threshold)
    listing = replace(
        old,
        title=draft.title,
        token=draft.token,
        price=draft.price,
        commission=Wei(draft.commission),
        penalty=Wei(draft.penalty),
        bond=Wei(draft.bond),
        arbitrator=draft.arbitrator,
        supply=old.supply if draft.stock else draft.supply,
        metadata=dict(draft.metadata),
        about=draft.about,
        listed=True,
        source=change.source,
    )
    if change.goods:
        listing = await add_goods(blocks, shop.seed, listing, change.goods, deliverers)
    return listing


def _empty(shop: Shop, draft: ItemDraft) -> Listing:
    return Listing(
        chain_id=shop.deployment.chain_id,
        market=shop.deployment.market,
        seller=shop.seller,
        name=draft.name,
        title=draft.title,
        token=draft.token,
        price=draft.price,
        commission=Wei(draft.commission),
        penalty=Wei(draft.penalty),
        parts=draft.parts,
        threshold=draft.threshold,
        stock=draft.stock,
        supply=0 if draft.stock else draft.supply,
    )
