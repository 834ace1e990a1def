"""What flows through DAM: ids, amounts and records, free of any library's types.

Amounts are integers in the smallest unit (wei for the native coin); times are block numbers;
hashes, keys and digests are raw ``bytes``; addresses are EIP-55 strings. Field order of `Terms`,
`PartLeaf`, `Sale` and `Escrow` is the order of the structs in ``IMarketplace.sol``: it is what the
hashes are taken over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NewType

Address = NewType("Address", str)
"""EIP-55 checksummed, 42 characters."""
Wei = NewType("Wei", int)
Bytes32 = bytes
CopyId = NewType("CopyId", bytes)
"""keccak256(abi.encode(seller, itemId, copy)), 32 bytes."""
BlockNumber = NewType("BlockNumber", int)

ZERO_ADDRESS = Address("0x" + "00" * 20)
ZERO32 = bytes(32)
FALLBACK_BLOCKS = 100
"""Blocks after the purchase in which only deliverers deliver (hard-coded in the contract)."""
FRAGMENT_BYTES = 80
MAX_PARTS = 32
MAX_AMOUNT = 2**128 - 1


class Status(IntEnum):
    """State of a sale; the numbers are the contract's."""

    NONE = 0
    PURCHASED = 1
    COMPLETE = 2
    DISPUTED = 3
    SETTLED = 4
    REFUNDED = 5
    RESOLVED = 6

    @property
    def final(self) -> bool:
        return self >= Status.SETTLED


@dataclass(frozen=True, slots=True)
class Terms:
    """One leaf of a catalogue: what an item is sold for (see ``IMarketplace.Terms``)."""

    item_id: bytes
    token: Address
    price: int
    commission: Wei
    penalty: Wei
    bond: Wei
    supply: int
    stock: bool
    parts: int
    threshold: int
    arbitrator: Address
    parts_root: bytes

    @property
    def fee(self) -> Wei:
        """What one part earns, in wei, rounded down."""
        return Wei(self.commission // self.parts)

    @property
    def effective_bond(self) -> Wei:
        """The bond that counts: 0 where nobody arbitrates."""
        return Wei(0) if self.arbitrator == ZERO_ADDRESS else self.bond

    @property
    def reserve(self) -> Wei:
        """R: what a purchase moves out of the seller's free stake, in wei."""
        return Wei(self.parts * self.fee + self.penalty + self.effective_bond)


@dataclass(frozen=True, slots=True)
class PartLeaf:
    """One leaf under ``parts_root``: who delivers which part of which copy."""

    copy: int
    index: int
    deliverer: Address
    commitment: bytes
    secret_hash: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Sale:
    """What a delivery needs to know of a sale (see ``IMarketplace.Sale``)."""

    seller: Address
    buyer: Address
    purchase_block: int
    copy: int
    stock: bool
    parts: int
    threshold: int
    fee: Wei
    parts_root: bytes
    escrow_hash: bytes


@dataclass(frozen=True, slots=True)
class Escrow:
    """What closing a sale needs beyond `Sale` (see ``IMarketplace.Escrow``)."""

    store_digest: bytes
    keys_hash: bytes
    token: Address
    price: int
    penalty: Wei
    bond: Wei
    arbitrator: Address


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by number and hash; ``timestamp`` in seconds UTC where known, else 0."""

    number: int
    hash: bytes
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class LogRef:
    """Where a log stands on the chain."""

    block: BlockRef
    tx_hash: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """``ItemPurchased``: carries no type of the chain's library, so another rail can make one."""

    copy_id: CopyId
    seller: Address
    buyer: Address
    store_digest: bytes
    copy: int
    terms: Terms
    keys: tuple[bytes, ...]
    at: LogRef

    @property
    def block(self) -> int:
        return self.at.block.number

    @property
    def leaf_copy(self) -> int:
        """The copy that the part leaves of this sale bear."""
        return self.copy if self.terms.stock else 0


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """``StoreCreated`` or ``StoreUpdated``: a seller's store from this block on."""

    seller: Address
    digest: bytes
    root: bytes
    at: LogRef


@dataclass(frozen=True, slots=True)
class DelivererRegistered:
    """``DelivererStaked``."""

    operator: Address
    owner: Address
    key: bytes
    stake: Wei
    at: LogRef


@dataclass(frozen=True, slots=True)
class DelivererKeyRotated:
    operator: Address
    key: bytes
    at: LogRef


@dataclass(frozen=True, slots=True)
class FragmentDelivered:
    """``FragmentDelivered`` or, with ``supplied``, ``FragmentSupplied``."""

    copy_id: CopyId
    by: Address
    index: int
    commitment: bytes
    secret_hash: bytes
    fragment: bytes
    supplied: bool
    at: LogRef


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    copy_id: CopyId
    buyer: Address
    arbitrator: Address
    evidence: bytes
    at: LogRef


@dataclass(frozen=True, slots=True)
class SaleClosed:
    """``SaleSettled``, ``SaleRefunded`` or ``DisputeResolved``, by the status it led to."""

    copy_id: CopyId
    status: Status
    by: Address
    to_buyer: int
    """Of the price, by a ruling, in the smallest unit of the token."""
    penalty: Wei
    at: LogRef


@dataclass(frozen=True, slots=True)
class OtherLog:
    """An event of the market that carries no duty: its name and decoded arguments."""

    name: str
    args: dict[str, Any]
    at: LogRef


MarketLog = (
    Purchase
    | StoreVersion
    | DelivererRegistered
    | DelivererKeyRotated
    | FragmentDelivered
    | DisputeOpened
    | SaleClosed
    | OtherLog
)


@dataclass(frozen=True, slots=True)
class Part:
    """What a deliverer finds in its sealed part (the plaintext, protocol section 3)."""

    domain: bytes
    index: int
    share: bytes = field(repr=False)
    secret_hash: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """The argument of ``deliverFragment`` (see ``IMarketplace.Delivery``)."""

    copy_id: CopyId
    sale: Sale
    index: int
    deliverer: Address
    commitment: bytes
    secret_hash: bytes
    salt: bytes
    proof: tuple[bytes, ...]
    fragment: bytes


@dataclass(frozen=True, slots=True)
class SaleState:
    """The sale of a copy as its storage word has it (view ``sales``)."""

    status: Status
    delivered: int
    """Bit i: part i is there."""
    by_deliverers: int
    since: int
    """Blocks after the purchase at which the present state began."""
    commitment: bytes

    def has(self, index: int) -> bool:
        return bool(self.delivered >> index & 1)

    @property
    def count(self) -> int:
        return self.delivered.bit_count()


@dataclass(frozen=True, slots=True)
class Windows:
    """A deployment's immutables: blocks, and amounts in wei."""

    refund_blocks: int
    dispute_blocks: int
    arbitration_blocks: int
    exit_blocks: int
    min_deliverer_stake: Wei
    min_seller_stake: Wei
    slash_delay_blocks: int
    """Between the proposal of a slash and its first execution."""
    slash_lapse_blocks: int
    """In which a slash can be executed."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The record that ``scripts/deploy.py`` writes and every tool reads."""

    chain_id: int
    market: Address
    first_block: int
    code_hash: bytes
    """keccak256 of the runtime code."""
    windows: Windows
    governor: Address
    """Who may propose slashes; zero: nobody."""
