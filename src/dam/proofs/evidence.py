"""Evidence for the contract: the whole leaf of a part, what was signed of it, and what opens it.

All of it comes from logs (`FragmentDelivered` has the leaf, `FragmentsSigned` the list), from the
store document (the Merkle proof) and from the buyer (the secret): never from calldata, which
whoever relays can hide.
"""

from __future__ import annotations

from collections.abc import Iterable

from dam.crypto.hashing import entry, part_leaf, sale_hash, sale_of
from dam.proofs.hints import make_hint
from dam.types import (
    ZERO32,
    FragmentDelivered,
    FragmentsSigned,
    JunkEvidence,
    Leaf,
    PartLeaf,
    Purchase,
    Signature,
    SignedList,
)


def leaf_of(purchase: Purchase, part: FragmentDelivered) -> bytes:
    """The hash of the leaf that a part opened, 32 bytes; the contract checked its proof."""
    return part_leaf(
        PartLeaf(
            purchase.leaf_copy,
            part.index,
            part.deliverer,
            part.commitment,
            part.secret_hash,
            part.salt,
        )
    )


def entry_of_part(purchase: Purchase, part: FragmentDelivered, fresh_key: bytes = ZERO32) -> bytes:
    """What was signed of a part, 32 bytes.

    Args:
        purchase: Whose part.
        part: From its log.
        fresh_key: As in the delivery; a log does not tell. Deliverers' is always zero.
    """
    return entry(
        purchase.copy_id,
        sale_hash(sale_of(purchase)),
        leaf_of(purchase, part),
        fresh_key,
        part.fragment,
    )


def find_list(
    signed: Iterable[FragmentsSigned], part: FragmentDelivered, wanted: bytes
) -> SignedList | None:
    """The list in which the leaf's deliverer signed an entry; None: it is in none of these.

    Args:
        signed: Lists from the logs, of whomever.
        part: The part.
        wanted: Its entry, from `entry_of_part`.
    """
    for one in signed:
        if one.signer == part.deliverer and wanted in one.entries:
            position = one.entries.index(wanted)
            return SignedList(one.entries, Signature(one.r, one.vs), position)
    return None


def leaf_evidence(part: FragmentDelivered, proof: tuple[bytes, ...]) -> Leaf:
    """A part's leaf with its Merkle proof under the sale's ``parts_root``."""
    return Leaf(part.index, part.deliverer, part.commitment, part.secret_hash, part.salt, proof)


def junk_evidence(
    part: FragmentDelivered, proof: tuple[bytes, ...], secret: bytes, fresh_key: bytes = ZERO32
) -> JunkEvidence:
    """Evidence that a part is junk.

    Args:
        part: From its log.
        proof: Merkle proof of its leaf.
        secret: Of the key that its entry names: from here on everybody may know it.
        fresh_key: As in the entry.
    """
    leaf = leaf_evidence(part, proof)
    return JunkEvidence(
        leaf.index,
        leaf.deliverer,
        leaf.commitment,
        leaf.secret_hash,
        leaf.salt,
        leaf.proof,
        fresh_key,
        part.fragment,
        secret,
        make_hint(part.fragment, secret),
    )
