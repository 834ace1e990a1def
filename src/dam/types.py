"""What flows through DAM: ids, amounts and records, free of any library's types.

Amounts are in the smallest unit (wei for the native coin); times are seconds of
``block.timestamp``, and block numbers only for the fallback, both as the contract sees them;
hashes, keys and digests are raw ``bytes``; addresses are EIP-55 strings.

The contract's structs are one table: the order of their fields is that of ``IMarketplace.sol``, and
each field's annotation is its ABI type. Hashes, calldata and the decoding of logs follow from it
(`dam.crypto.abi_words`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any, NewType

Address = NewType("Address", str)
"""EIP-55 checksummed, 42 characters."""
Wei = NewType("Wei", int)
Bytes32 = Annotated[bytes, "bytes32"]
Uint8 = Annotated[int, "uint8"]
Uint64 = Annotated[int, "uint64"]
Uint128 = Annotated[int, "uint128"]
Uint256 = Annotated[int, "uint256"]
Wei128 = Annotated[Wei, "uint128"]
CopyId = NewType("CopyId", bytes)
"""keccak256(abi.encode(seller, itemId, copy)), 32 bytes."""

ZERO_ADDRESS = Address("0x" + "00" * 20)
ZERO32 = bytes(32)
FALLBACK_BLOCKS = 100
"""Blocks after the purchase in which only deliverers deliver (hard-coded in the contract)."""
STAKED_FEES = 10
"""So many times the fee of a part is a deliverer's stake at least, and a fine for junk."""
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
    AGREED = 7

    @property
    def final(self) -> bool:
        return self >= Status.SETTLED


@dataclass(frozen=True, slots=True)
class Terms:
    """One leaf of a catalogue: what an item is sold for (see ``IMarketplace.Terms``)."""

    item_id: Bytes32
    token: Address
    price: Uint128
    commission: Wei128
    penalty: Wei128
    bond: Wei128
    supply: Uint64
    stock: bool
    parts: Uint8
    threshold: Uint8
    arbitrator: Address
    parts_root: Bytes32
    salt: Bytes32 = ZERO32

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

    copy: Uint64
    index: Uint8
    deliverer: Address
    commitment: Bytes32
    secret_hash: Bytes32
    salt: Bytes32


@dataclass(frozen=True, slots=True)
class Sale:
    """What a delivery needs to know of a sale (see ``IMarketplace.Sale``)."""

    seller: Address
    buyer: Address
    purchase_block: Uint64
    purchase_time: Uint64
    copy: Uint64
    stock: bool
    parts: Uint8
    threshold: Uint8
    fee: Wei128
    parts_root: Bytes32
    escrow_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Escrow:
    """What closing a sale needs beyond `Sale` (see ``IMarketplace.Escrow``)."""

    store_digest: Bytes32
    keys_hash: Bytes32
    token: Address
    price: Uint128
    penalty: Wei128
    bond: Wei128
    arbitrator: Address


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by number and hash; ``timestamp`` in seconds UTC where known, else 0."""

    number: int
    hash: bytes
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """``block.number`` and ``block.timestamp`` (seconds) as the contract sees them, of one block.

    On some rollups the former is not the number of the block.
    """

    block: int
    time: int


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
    purchase_block: int
    """``block.number`` as the contract saw it: never the log's own block number."""
    purchase_time: int
    terms: Terms
    keys: tuple[bytes, ...]
    at: LogRef

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
    """``DelivererStaked``. Nobody checked ``possession`` yet."""

    operator: Address
    owner: Address
    key: bytes  # Ed25519 public key
    possession: bytes  # Ed25519 signature, 64 bytes (`dam.crypto.possession`)
    stake: Wei
    at: LogRef


@dataclass(frozen=True, slots=True)
class DelivererKeyRotated:
    """``DelivererKeyRotated``. Nobody checked ``possession`` yet."""

    operator: Address
    key: bytes
    possession: bytes
    at: LogRef


@dataclass(frozen=True, slots=True)
class FragmentDelivered:
    """``FragmentDelivered`` or, with ``supplied``, ``FragmentSupplied``."""

    copy_id: CopyId
    by: Address
    index: int
    deliverer: Address  # whom the leaf names
    commitment: bytes
    secret_hash: bytes
    salt: bytes
    fragment: bytes
    supplied: bool
    at: LogRef


@dataclass(frozen=True, slots=True)
class FragmentsSigned:
    """``FragmentsSigned``: the list of entries that a delivering call was signed over."""

    signer: Address
    r: bytes
    vs: bytes
    entries: tuple[bytes, ...]
    at: LogRef


@dataclass(frozen=True, slots=True)
class JunkProved:
    """``JunkProved``: the part of ``deliverer`` was junk; its index is punished from here on."""

    copy_id: CopyId
    deliverer: Address
    index: int
    fresh_key: bytes  # zero after the sale's end
    taken: Wei
    bounty: Wei
    cleared: bool
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
    """``SaleSettled``, ``SaleRefunded``, ``DisputeResolved`` or ``SaleAgreed``, by the status."""

    copy_id: CopyId
    status: Status
    by: Address  # zero for an agreement
    to_buyer: int
    """Of the price, by a ruling or an agreement, in the smallest unit of the token."""
    penalty: Wei
    at: LogRef


@dataclass(frozen=True, slots=True)
class OtherLog:
    """Any other event of the market: its name and decoded arguments."""

    name: str
    args: dict[str, Any]
    at: LogRef


MarketLog = (
    Purchase
    | StoreVersion
    | DelivererRegistered
    | DelivererKeyRotated
    | FragmentDelivered
    | FragmentsSigned
    | JunkProved
    | DisputeOpened
    | SaleClosed
    | OtherLog
)


@dataclass(frozen=True, slots=True)
class Part:
    """The plaintext of a sealed part (protocol, section 3.2)."""

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
    index: Uint8
    deliverer: Address
    commitment: Bytes32
    secret_hash: Bytes32
    salt: Bytes32
    fresh_key: Bytes32
    """Zero: sealed to the buyer's first key of the index; else the sale's fresh key."""
    proof: tuple[Bytes32, ...]
    fragment: Annotated[bytes, "bytes"]


@dataclass(frozen=True, slots=True)
class Signature:
    """An EIP-712 signature in the form of ERC-2098 (see ``IMarketplace.Signature``)."""

    r: Bytes32
    vs: Bytes32


@dataclass(frozen=True, slots=True)
class Closure:
    """One sale of ``closeMany``."""

    copy_id: CopyId
    sale: Sale
    escrow: Escrow


@dataclass(frozen=True, slots=True)
class Split:
    """How buyer and seller end a sale together (see ``IMarketplace.Split``)."""

    to_buyer: Uint256
    penalty: Uint256
    to_arbitrator: Uint256
    deadline: Uint256  # last second in which it can be carried out


@dataclass(frozen=True, slots=True)
class Hint:
    """What makes opening a box cheap to check (see ``IMarketplace.Hint``)."""

    kind: Uint8
    v_e: Uint256
    # The shared point, and what gives the secret.
    u_q: Uint256 = field(repr=False)
    v_q: Uint256 = field(repr=False)
    w: Uint256 = field(repr=False)


@dataclass(frozen=True, slots=True)
class JunkEvidence:
    """One delivered part and what opens it (see ``IMarketplace.JunkEvidence``)."""

    index: Uint8
    deliverer: Address
    commitment: Bytes32
    secret_hash: Bytes32
    salt: Bytes32
    proof: tuple[Bytes32, ...]
    fresh_key: Bytes32
    fragment: Annotated[bytes, "bytes"]
    secret: Bytes32 = field(repr=False)
    hint: Hint


@dataclass(frozen=True, slots=True)
class SignedList:
    """The list that a deliverer signed, mined or not."""

    entries: tuple[Bytes32, ...]
    signature: Signature
    position: Uint256  # of the entry of the evidence


@dataclass(frozen=True, slots=True)
class Leaf:
    """One part leaf under a sale's parts_root, with its proof (see ``IMarketplace.Leaf``)."""

    index: Uint8
    deliverer: Address
    commitment: Bytes32
    secret_hash: Bytes32
    salt: Bytes32
    proof: tuple[Bytes32, ...]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When a sale's calls are possible; see ``IMarketplace.Deadlines``. 0: its state has none."""

    fallback_block: Uint64
    deliver: Uint64
    proof: Uint64
    fallback_delivery: Uint64
    refund_from: Uint64
    dispute: Uint64
    ruling: Uint64
    arbitrator_paid_from: Uint64
    settle_from: Uint64


@dataclass(frozen=True, slots=True)
class SaleState:
    """The sale of a copy as its storage word has it (view ``sales``)."""

    status: Status
    delivered: int
    """Bit i: part i is there."""
    since: int
    """Seconds after the purchase at which the present state began."""
    rated: bool
    marked: bool
    """Whether a part was proved to be junk: then `Marks` says which."""
    commitment: bytes

    def has(self, index: int) -> bool:
        return bool(self.delivered >> index & 1)

    @property
    def count(self) -> int:
        return self.delivered.bit_count()


@dataclass(frozen=True, slots=True)
class Marks:
    """The second word of a sale with junk (view ``marks``)."""

    punished: int
    """Bit i: the seller's side alone delivers part i."""
    cleared: int
    """Bit i: its fee is paid, and the part counts as never delivered."""
    fresh_key: bytes
    """First 24 bytes of keccak256 of the sale's fresh key."""


@dataclass(frozen=True, slots=True)
class Windows:
    """A deployment's immutables: seconds, and amounts in wei."""

    refund_seconds: int
    dispute_seconds: int
    arbitration_seconds: int
    exit_seconds: int
    slash_delay_seconds: int
    """Between the proposal of a slash and its first execution."""
    slash_lapse_seconds: int
    """In which a proposed slash can be executed, after the delay."""
    min_deliverer_stake: Wei
    min_seller_stake: Wei
    junk_fine: Wei

    @property
    def delivery_seconds(self) -> int:
        """Until when after a purchase deliverers deliver."""
        return self.refund_seconds // 3

    def fine(self, fee: int) -> int:
        """What junk costs a deliverer whose part earned ``fee`` wei, as far as there is so much."""
        return max(self.junk_fine, STAKED_FEES * fee)

    @property
    def proof_seconds(self) -> int:
        """Until when after a purchase a proof of junk clears a part."""
        return 2 * self.refund_seconds // 3


@dataclass(frozen=True, slots=True)
class Deployment:
    """The record that ``scripts/deploy.py`` writes and every tool reads."""

    chain_id: int
    market: Address
    first_block: int
    code_hash: bytes
    """keccak256 of the runtime code."""
    proofs: Address
    closing: Address
    windows: Windows
    governor: Address
    """Who may propose slashes; zero: nobody."""
