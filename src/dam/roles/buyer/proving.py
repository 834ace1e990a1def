"""Proving that parts are junk, or that the seller's shares do not add up: the buyer alone can.

Junk of a deliverer costs its stake, and in time the part is missing again: the seller's side then
delivers it, sealed to the sale's fresh key. Junk of the seller's side, shares that do not add up
and leaves that contradict each other give price and penalty back. Only what cannot be opened is
worth a proof: each one publishes the secret of the key that a part was sealed to, and no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dam.crypto.hashing import closing_arguments
from dam.crypto.merkle import verify
from dam.crypto.sealing import public_key
from dam.errors import BlockRefused, IpfsError, Malformed, Permanent
from dam.market.log_history import read_history
from dam.market.sale_history import SaleRecord
from dam.market.wallet import Receipt, Wallet, send_call
from dam.proofs.evidence import entry_of_part, find_list, junk_evidence, leaf_evidence, leaf_of
from dam.proofs.judging import is_junk
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.opening import ArrivedParts, recover_key
from dam.roles.sales import actions_text, check_party
from dam.roles.storefront import read_version
from dam.types import (
    ZERO32,
    Address,
    CopyId,
    FragmentDelivered,
    Leaf,
    Purchase,
    SignedList,
)

BOUNTY_DIVISOR = 5
"""One part in so many of a fine is the buyer's."""
MAX_WORDS = 2_850
"""Of the evidence of one proof, 32 bytes each: with the keys under the 95 kB that some nodes take
of a transaction. 32 parts in lists of 50, as long as the contract lets them be, are more where the
proofs of their leaves are long: in a stock of a thousand copies."""
_WORDS_OF_PART = 26
"""Of one part, beside its Merkle proof and its list."""
Function = Literal["proveJunk", "proveSellerJunk", "proveBadShares", "proveBadLeaves"]


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """A proof that could be sent now."""

    function: Function
    arrived: ArrivedParts
    parts: tuple[FragmentDelivered, ...]
    """What it is about."""
    arguments: tuple[Any, ...] = field(repr=False)
    """Of the call: the secrets among them are nobody's until it is sent."""
    bounty: int = 0
    """What the buyer gets of the fines, in wei, as stakes are now."""
    clear_until: int = 0
    """Last second in which it makes the parts missing again; 0: it does not, any more."""
    left: int = 0
    """Parts that another proof after this one can be about: they do not fit into it."""

    @property
    def sale(self) -> SaleRecord:
        """Whose parts they are."""
        return self.arrived.purchase.sale

    @property
    def against_seller(self) -> bool:
        """Whether it ends the sale, with price and penalty to the buyer."""
        return self.function != "proveJunk"


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof that is on the chain."""

    plan: ProofPlan
    receipt: Receipt


async def plan_proof(buyer: Buyer, arrived: ArrivedParts) -> ProofPlan:
    """The proof that helps the buyer most: against the seller, if the good cannot be opened; else
    against the deliverers of junk.

    Args:
        buyer: Whose purchase.
        arrived: Its parts, as of now.

    Raises:
        Permanent: There is nothing to prove, or not yet, or the evidence is not complete.
        RpcError: The node could not be asked.
    """
    if not arrived.purchase.sale.status.final and not _opens(arrived):
        for plan in (_plan_seller_junk, _plan_bad_leaves, _plan_bad_shares):
            found = await plan(buyer, arrived)
            if found is not None:
                return found
    return await _plan_junk(buyer, arrived)


async def send_proof(buyer: Buyer, wallet: Wallet, plan: ProofPlan) -> Proved:
    """Sends what was planned, and waits until it is mined.

    Raises:
        Permanent: The account is not the sale's buyer, or as for `Wallet.send`.
        RpcError: The node could not be asked.
    """
    check_party(plan.sale, wallet.address, "buyer")
    receipt = await send_call(wallet, buyer.market, plan.function, *plan.arguments)
    return Proved(plan, receipt)


# ------------------------------------------------------------------------------------- deliverers


async def _plan_junk(buyer: Buyer, arrived: ArrivedParts) -> ProofPlan:
    sale = arrived.purchase.sale
    seller = sale.purchase.seller
    wanted = [junk.fragment for junk in arrived.provable if junk.fragment.by != seller]
    if not wanted:
        raise Permanent(_nothing(arrived))
    lists = [await _signed_list(buyer, arrived, part) for part in wanted]
    proofs = await _proofs(buyer, arrived, wanted)
    fitting = _fitting(list(zip(wanted, proofs, lists, strict=True)))
    left, wanted = len(wanted) - len(fitting), [part for part, _, _ in fitting]
    lists = [one for _, _, one in fitting]
    evidence = [
        junk_evidence(part, proof, _first_secret(buyer, arrived, part.index))
        for part, proof, _ in fitting
    ]
    fresh = public_key(_fresh_secret(buyer, arrived))
    if sale.fresh_key not in (b"", fresh):
        raise Permanent(
            "an earlier proof named a fresh key that is not this seed's: restore the seed of the "
            "purchase with `dam keys restore buyer FILE`"
        )
    return ProofPlan(
        "proveJunk",
        arrived,
        tuple(wanted),
        (
            *_head(arrived),
            sale.purchase.keys,
            ZERO32 if sale.status.final else fresh,
            evidence,
            lists,
        ),
        bounty=await _bounty(buyer, sale, wanted),
        clear_until=_clear_until(arrived),
        left=left,
    )


_Signed = tuple[FragmentDelivered, tuple[bytes, ...], SignedList]
"""A part, the proof of its leaf, and the list that it was signed in."""


def _fitting(signed: Sequence[_Signed]) -> list[_Signed]:
    """What fits into one transaction, the shortest lists first: who delivers junk chooses how long
    a list it stands in.
    """
    fitting, words = [], 0
    for part, proof, one in sorted(signed, key=lambda each: len(each[2].entries)):
        words += _WORDS_OF_PART + len(proof) + len(one.entries)
        if words > MAX_WORDS:
            break
        fitting.append((part, proof, one))
    return fitting


async def _signed_list(buyer: Buyer, arrived: ArrivedParts, part: FragmentDelivered) -> SignedList:
    """The list in which a deliverer signed a part that is junk as the contract sees it."""
    purchase = arrived.purchase.sale.purchase
    if not is_junk(part.fragment, _first_secret(buyer, arrived, part.index), part.commitment):
        raise Permanent(f"part {part.index + 1} is not junk as the contract sees it")
    signed = await buyer.market.signed_lists(
        [part.deliverer], part.at.block.number, part.at.block.number
    )
    found = find_list(signed, part, entry_of_part(purchase, part))
    if found is None:
        raise Permanent(
            f"the list in which {part.deliverer} signed part {part.index + 1} is not among the "
            "node's logs: try again, or another node (DAM_RPC_URL)"
        )
    return found


async def _bounty(buyer: Buyer, sale: SaleRecord, parts: Sequence[FragmentDelivered]) -> int:
    """What the buyer would get, as far as stakes and earnings go now."""
    fine = buyer.deployment.windows.fine(sale.purchase.terms.fee)
    operators = sorted({part.deliverer for part in parts})
    infos = await buyer.market.deliverers(operators)
    left = {op: info.stake + info.earned for op, info in zip(operators, infos, strict=True)}
    bounty = 0
    for part in parts:
        taken = min(fine, left[part.deliverer])
        left[part.deliverer] -= taken
        bounty += taken // BOUNTY_DIVISOR
    return bounty


def _clear_until(arrived: ArrivedParts) -> int:
    deadlines, time = arrived.deadlines, arrived.purchase.clock.time
    if deadlines is None or time >= deadlines.proof:
        return 0
    return deadlines.proof


def _nothing(arrived: ArrivedParts) -> str:
    sale = arrived.purchase.sale
    if not arrived.parts.junk:
        return "no part of this purchase is junk: there is nothing to prove"
    proved = {junk.fragment.index for junk in arrived.parts.junk} & sale.punished
    if proved:
        numbers = ", ".join(str(index + 1) for index in sorted(proved))
        return f"proved already: part {numbers}. {_after_proof(arrived)}"
    return (
        "nothing that helps can be proved: of each part that is junk a good one is there, too, or "
        "the seller merely supplied it"
    )


def _after_proof(arrived: ArrivedParts) -> str:
    """What comes of proofs that are on the chain."""
    sale, deadlines = arrived.purchase.sale, arrived.deadlines
    if sale.status.final or deadlines is None:
        return "The sale is over, so nobody replaces it. Next: dam withdraw"
    if not sale.cleared:
        return "That was too late to have it replaced; the seller may supply it, if they like"
    if sale.cleared <= sale.delivered.keys():
        return f"It is replaced. Next: dam buyer open {arrived.purchase.short_id}"
    clock = arrived.purchase.clock
    if clock.time < deadlines.fallback_delivery:
        return f"Next: wait for its replacement, dam buyer wait {arrived.purchase.short_id}"
    can = "; ".join(actions_text(sale, deadlines, clock, ("buyer", "anyone"))) or "nothing"
    return f"The time to replace it is over. You can: {can}"


# ----------------------------------------------------------------------------------- the seller


async def _plan_seller_junk(buyer: Buyer, arrived: ArrivedParts) -> ProofPlan | None:
    sale = arrived.purchase.sale
    theirs = [j.fragment for j in arrived.provable if j.fragment.by == sale.purchase.seller]
    entries = await buyer.market.seller_entries(sale.copy_id, [part.index for part in theirs])
    for part, stored in zip(theirs, entries, strict=True):
        keys = {ZERO32: _first_secret(buyer, arrived, part.index)}
        if sale.fresh_key:
            keys[sale.fresh_key] = _fresh_secret(buyer, arrived)
        for key, secret in keys.items():
            matches = entry_of_part(sale.purchase, part, key) == stored
            if matches and is_junk(part.fragment, secret, part.commitment):
                [proof] = await _proofs(buyer, arrived, [part])
                evidence = junk_evidence(part, proof, secret, key)
                arguments = (*_head(arrived), sale.purchase.keys, evidence)
                return ProofPlan("proveSellerJunk", arrived, (part,), arguments)
    return None


async def _plan_bad_leaves(buyer: Buyer, arrived: ArrivedParts) -> ProofPlan | None:
    """Two leaves of one index, or two with different hashes of the key."""
    sale = arrived.purchase.sale
    # Each leaf once: a seller may supply thousands of parts.
    parts: dict[bytes, FragmentDelivered] = {}
    for part in sale.fragments:
        parts.setdefault(leaf_of(sale.purchase, part), part)
    for one, other in itertools.combinations(parts.values(), 2):
        if one.index == other.index or one.secret_hash != other.secret_hash:
            _check_gate(arrived)
            leaves = await _leaves(buyer, arrived, (one, other))
            return ProofPlan("proveBadLeaves", arrived, (one, other), (*_head(arrived), *leaves))
    return None


async def _plan_bad_shares(buyer: Buyer, arrived: ArrivedParts) -> ProofPlan | None:
    """Any k shares that the leaves commit to; none of their choices gives the key."""
    shares: dict[bytes, dict[int, tuple[FragmentDelivered, bytes]]] = {}
    # First those out of range, which never add up.
    for junk in arrived.parts.junk:
        if junk.share is not None:
            group = shares.setdefault(junk.fragment.secret_hash, {})
            group[junk.fragment.index] = junk.fragment, junk.share
    for good in arrived.parts.good:
        group = shares.setdefault(good.fragment.secret_hash, {})
        group.setdefault(good.fragment.index, (good.fragment, good.share))
    threshold = arrived.purchase.sale.purchase.terms.threshold
    for group in shares.values():
        if len(group) >= threshold:
            _check_gate(arrived)
            chosen = list(group.values())[:threshold]
            parts = tuple(part for part, _ in chosen)
            leaves = await _leaves(buyer, arrived, parts)
            arguments = (*_head(arrived), leaves, [share for _, share in chosen])
            return ProofPlan("proveBadShares", arrived, parts, arguments)
    return None


def _check_gate(arrived: ArrivedParts) -> None:
    sale, clock = arrived.purchase.sale, arrived.purchase.clock
    if clock.block + 1 < sale.gate_block:
        raise Permanent(
            f"the seller's shares are wrong, which can be proved from block {sale.gate_block} on; "
            f"the newest is {clock.block}. Until then nothing can be paid out: run this again then"
        )


# ---------------------------------------------------------------------------------------- inside


def _opens(arrived: ArrivedParts) -> bool:
    threshold = arrived.purchase.sale.purchase.terms.threshold
    try:
        return recover_key(arrived.parts, threshold) is not None
    except Permanent:
        return False


def _place(buyer: Buyer, arrived: ArrivedParts) -> tuple[int, Address, CopyId, int]:
    deployment, purchase = buyer.deployment, arrived.purchase
    attempt = purchase.record.attempt
    return deployment.chain_id, deployment.market, purchase.sale.copy_id, attempt


def _first_secret(buyer: Buyer, arrived: ArrivedParts, index: int) -> bytes:
    return buyer.seed.part_secret(*_place(buyer, arrived), index)


def _fresh_secret(buyer: Buyer, arrived: ArrivedParts) -> bytes:
    return buyer.seed.fresh_secret(*_place(buyer, arrived))


def _head(arrived: ArrivedParts) -> tuple[Any, ...]:
    return closing_arguments(arrived.purchase.sale.purchase)


async def _leaves(
    buyer: Buyer, arrived: ArrivedParts, parts: Sequence[FragmentDelivered]
) -> list[Leaf]:
    return list(map(leaf_evidence, parts, await _proofs(buyer, arrived, parts)))


async def _proofs(
    buyer: Buyer, arrived: ArrivedParts, parts: Sequence[FragmentDelivered]
) -> list[tuple[bytes, ...]]:
    """Merkle proofs of the leaves of parts: the record's, or from the store's document."""
    purchase, kept = arrived.purchase.sale.purchase, arrived.purchase.record.part_proofs
    root, leaves = purchase.terms.parts_root, [leaf_of(purchase, part) for part in parts]
    proofs = {
        leaf: kept[part.index]
        for leaf, part in zip(leaves, parts, strict=True)
        if part.index < len(kept) and verify(root, leaf, kept[part.index])
    }
    missing = [leaf for leaf in leaves if leaf not in proofs]
    if missing:
        proofs |= await _read_proofs(buyer, purchase, missing)
    return [proofs[leaf] for leaf in leaves]


async def _read_proofs(
    buyer: Buyer, purchase: Purchase, leaves: Sequence[bytes]
) -> dict[bytes, tuple[bytes, ...]]:
    """Merkle proofs by leaf, from the store's document."""
    history = await read_history(buyer.market)
    version = history.state.version(purchase.seller, purchase.store_digest)
    try:
        store = version and await read_version(buyer.blocks, buyer.deployment, version)
        item = store.item(purchase.terms.item_id) if store else None
        if item is not None:
            return {leaf: item.proof(leaf) for leaf in leaves}
    except (IpfsError, BlockRefused, Malformed) as error:
        raise Permanent(f"the store's document is needed, and cannot be read: {error}") from None
    raise Permanent("the store's document is needed, and it is not on this chain")
