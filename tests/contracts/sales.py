"""An item, a purchase and its later calls, and the books of the market, without pytest.

Blocks are a second apart. What a sale's parts hold by default is junk; `Order.good` is not.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from typing import Any

from coincurve import PrivateKey
from eth_abi.abi import decode

from dam.crypto.hashing import (
    agreement_digest,
    domain_separator,
    entry,
    fragments_digest,
    keccak,
    part_leaf,
    sale_hash,
)
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import public_key, seal_fragment
from dam.crypto.shamir import PRIME
from dam.ethereum.compact_signature import sign_digest
from dam.proofs.hints import make_hint
from dam.types import (
    ZERO32,
    Address,
    CopyId,
    Delivery,
    Escrow,
    JunkEvidence,
    Leaf,
    Marks,
    PartLeaf,
    Sale,
    SaleState,
    Signature,
    SignedList,
    Split,
    Status,
    Terms,
)

ETHER = 10**18
# All different, so that no window can stand in for another unseen. In seconds.
REFUND, DISPUTE, ARBITRATION = 7200, 5000, 86_460
SLASH_DELAY, SLASH_LAPSE, EXIT = 3620, 3670, 107_400
DELIVERY, PROOF, WORKED = REFUND // 3, 2 * REFUND // 3, ARBITRATION // 3
MIN_DELIVERER_STAKE, MIN_SELLER_STAKE, JUNK_FINE = ETHER // 10, 2 * ETHER, ETHER // 200
POSSESSION = (b"\x11" * 32, b"\x22" * 32)
"""Of which the contract believes nothing."""


def key_of(number: int) -> bytes:
    """A good X25519 public key, another for each number."""
    return keccak(b"key%d" % number)[:31] + b"\x42"


@lru_cache(maxsize=256)
def secret_of(number: int) -> bytes:
    """An X25519 secret key, another for each number."""
    return keccak(b"secret key %d" % number)


def shares_of(number: int, copy: int, parts: int, threshold: int) -> list[bytes]:
    """Shares of a polynomial over the protocol's field, the value at index + 1 each."""
    factors = [keccak(b"secret%d-%d" % (number, copy))]
    factors += [keccak(b"factor%d-%d-%d" % (number, copy, i)) for i in range(1, threshold)]
    return [
        (sum(int.from_bytes(a, "big") * x**i for i, a in enumerate(factors)) % PRIME).to_bytes(32)
        for x in range(1, parts + 1)
    ]


class Clock:
    """Blocks and seconds, asked and moved by plain JSON-RPC: Ape's way is ten times as slow."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def rpc(self, method: str, *params: Any) -> Any:
        return self._provider.make_request(method, list(params))

    @property
    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    @property
    def now(self) -> int:
        """Seconds, of the newest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def mine(self, blocks: int) -> None:
        if blocks:
            self.rpc("anvil_mine", hex(blocks), hex(1))

    def at(self, second: int) -> None:
        """The next transaction will be in a block of this time."""
        assert second > self.now, f"second {second} has passed: it is {self.now}"
        self.rpc("evm_setNextBlockTimestamp", second)

    def wait(self, seconds: int) -> None:
        """The next transaction will be so much later than the newest block."""
        self.at(self.now + seconds)

    def reach(self, block: int) -> None:
        """The next transaction will be in `block`."""
        missing = block - 1 - self.head
        assert missing >= 0, f"block {block} has passed: the head is {self.head}"
        self.mine(missing)


def plain(value: Any) -> Any:
    """Accounts as addresses, addresses in lower case, so that both sides of a comparison agree."""
    value = getattr(value, "address", value)
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, list | tuple):
        return tuple(plain(one) for one in value)
    return value


@dataclass(frozen=True)
class Item:
    """An item on sale: its terms, the leaves of its parts, and its place in the catalogue."""

    seller: Any
    terms: Terms
    leaves: tuple[PartLeaf, ...]
    parts: MerkleTree
    root: bytes
    digest: bytes
    proof: tuple[bytes, ...]
    shares: dict[tuple[int, int], bytes]
    """By copy and index."""

    def leaf(self, copy: int, index: int) -> PartLeaf:
        wanted = copy if self.terms.stock else 0
        return next(x for x in self.leaves if (x.copy, x.index) == (wanted, index))


@dataclass(frozen=True)
class Order:
    """A purchase: what later calls bring along, and shorthands for those calls."""

    market: Any
    clock: Clock
    item: Item
    buyer: Any
    copy_id: CopyId
    sale: Sale
    escrow: Escrow
    receipt: Any
    people: dict[str, Any]
    secrets: tuple[bytes, ...]

    @property
    def block(self) -> int:
        return self.sale.purchase_block

    @property
    def time(self) -> int:
        return self.sale.purchase_time

    @property
    def keys(self) -> list[bytes]:
        return [public_key(secret) for secret in self.secrets]

    @property
    def args(self) -> tuple[Any, ...]:
        """The first three arguments of whatever closes a sale."""
        return self.copy_id, astuple(self.sale), astuple(self.escrow)

    @property
    def state(self) -> SaleState:
        status, *words, commitment = self.market.sales(self.copy_id)
        return SaleState(Status(status), *words, bytes(commitment))

    @property
    def marks(self) -> Marks:
        punished, cleared, fresh_key = self.market.marks(self.copy_id)
        return Marks(punished, cleared, bytes(fresh_key))

    @property
    def status(self) -> Status:
        return self.state.status

    def reach(self, offset: int) -> None:
        """The next transaction will be `offset` blocks after the purchase."""
        self.clock.reach(self.block + offset)

    def wait(self, seconds: int) -> None:
        """The next transaction will be so many seconds after the purchase."""
        self.clock.at(self.time + seconds)

    def wait_long(self, seconds: int) -> None:
        """The same, and the gate is open by its block."""
        self.clock.mine(max(0, self.block + 101 - self.clock.head))
        self.wait(seconds)

    def delivery(self, index: int, **changes: Any) -> Delivery:
        """A good delivery of this part, or one with some fields changed."""
        leaf = self.item.leaf(self.sale.copy, index)
        good = Delivery(
            copy_id=self.copy_id,
            sale=self.sale,
            index=index,
            deliverer=leaf.deliverer,
            commitment=leaf.commitment,
            secret_hash=leaf.secret_hash,
            salt=leaf.salt,
            fresh_key=ZERO32,
            proof=self.item.parts.proof(part_leaf(leaf)),
            fragment=keccak(b"fragment%d" % index) * 2 + bytes(16),
        )
        return replace(good, **changes)

    def good(self, index: int, fresh_key: bytes = ZERO32, **changes: Any) -> Delivery:
        """A delivery that the buyer can open, by the first key of its index or the fresh one."""
        leaf_copy = self.sale.copy if self.sale.stock else 0
        key = self.keys[index] if fresh_key == ZERO32 else fresh_key
        fragment = seal_fragment(self.item.shares[leaf_copy, index], key)
        return self.delivery(index, fresh_key=fresh_key, fragment=fragment, **changes)

    def deliver(self, *indexes: int, by: Any = None) -> Any:
        """Delivers parts one by one, each signed by the deliverer whom its leaf names."""
        receipt = None
        for index in indexes:
            receipt = self.send(self.delivery(index), by=by)
        return receipt

    def send(self, delivery: Delivery, by: Any = None, sender: Any = None) -> Any:
        """One part, signed by `by` and sent by the same, or by somebody else."""
        by = by or self.people[delivery.deliverer]
        signature = signed(self.market, by, [delivery])
        return self.market.deliverFragment(astuple(delivery), signature, sender=sender or by)

    def deliver_all(self) -> Any:
        return self.deliver(*range(self.sale.parts))

    def dispute(self, evidence: bytes = bytes(32), sender: Any = None) -> Any:
        return self.market.openDispute(
            *self.args, evidence, sender=sender or self.buyer, value=self.escrow.bond
        )

    # --------------------------------------------------------------------------------- proofs

    def evidence(self, delivery: Delivery, secret: bytes = b"") -> JunkEvidence:
        """What shows that a part is junk; `secret` is the fresh key's, where it names one."""
        secret = secret or self.secrets[min(delivery.index, len(self.secrets) - 1)]
        leaf = (delivery.index, delivery.deliverer, delivery.commitment, delivery.secret_hash)
        proved = (*leaf, delivery.salt, delivery.proof, delivery.fresh_key, delivery.fragment)
        return JunkEvidence(*proved, secret, make_hint(delivery.fragment, secret))

    def prove(self, *deliveries: Delivery, fresh_key: bytes, sender: Any = None) -> Any:
        """Proves each, from a list of its own that its deliverer signed."""
        lists = [listed(self.market, self.people[one.deliverer], [one]) for one in deliveries]
        return self.prove_lists(list(deliveries), lists, fresh_key=fresh_key, sender=sender)

    def prove_lists(
        self,
        deliveries: list[Delivery],
        lists: list[SignedList],
        *,
        fresh_key: bytes,
        sender: Any = None,
        keys: list[bytes] | None = None,
    ) -> Any:
        return self.market.proveJunk(
            *self.args,
            keys or self.keys,
            fresh_key,
            [astuple(self.evidence(one)) for one in deliveries],
            [astuple(one) for one in lists],
            sender=sender or self.buyer,
        )

    def prove_seller(self, delivery: Delivery, secret: bytes = b"", sender: Any = None) -> Any:
        evidence = astuple(self.evidence(delivery, secret))
        sender = sender or self.buyer
        return self.market.proveSellerJunk(*self.args, self.keys, evidence, sender=sender)

    def open_leaf(self, index: int, **changes: Any) -> Leaf:
        """A leaf with its proof."""
        leaf = self.item.leaf(self.sale.copy, index)
        words = (leaf.index, leaf.deliverer, leaf.commitment, leaf.secret_hash, leaf.salt)
        return replace(Leaf(*words, self.item.parts.proof(part_leaf(leaf))), **changes)

    def share(self, index: int) -> bytes:
        return self.item.shares[self.sale.copy if self.sale.stock else 0, index]

    # ----------------------------------------------------------------------------- agreements

    def consent(self, account: Any, split: Split, **changes: Any) -> bytes:
        """An account's signature of an end, of the state as it is or as `changes` say."""
        state = self.state
        words = {"status": state.status, "since": state.since} | changes
        digest = agreement_digest(
            separator(self.market), self.copy_id, sale_hash(self.sale), split=split, **words
        )
        raw = key_of_account(account).sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes((27 + raw[64],))


def separator(market: Any) -> bytes:
    return domain_separator(int(market.provider.chain_id), Address(market.address))


def key_of_account(account: Any) -> PrivateKey:
    return PrivateKey(bytes.fromhex(account.private_key[2:]))


def entry_of(delivery: Delivery) -> bytes:
    """What is signed of a delivery, whatever the length of its fragment."""
    copy = delivery.sale.copy if delivery.sale.stock else 0
    words = (delivery.index, delivery.deliverer, delivery.commitment, delivery.secret_hash)
    leaf = part_leaf(PartLeaf(copy, *words, delivery.salt))
    hashes = (sale_hash(delivery.sale), leaf, delivery.fresh_key, delivery.fragment)
    return entry(delivery.copy_id, *hashes)


def boxed(fragment: bytes) -> dict[str, bytes]:
    """A fragment as the events have it."""
    return {"ephemeralKey": fragment[:32], "tag": fragment[32:48], "ciphertext": fragment[48:]}


def signed(market: Any, account: Any, deliveries: list[Delivery]) -> tuple[bytes, bytes]:
    """The signature of a list, as the contract takes it."""
    digest = fragments_digest(separator(market), map(entry_of, deliveries))
    return astuple(sign_digest(key_of_account(account), digest))


def listed(market: Any, account: Any, deliveries: list[Delivery], position: int = 0) -> SignedList:
    """A list as evidence."""
    entries = tuple(map(entry_of, deliveries))
    return SignedList(entries, Signature(*signed(market, account, deliveries)), position)


@dataclass(frozen=True)
class Holdings:
    """What a party has in the market, in wei."""

    credit: int
    stake: int
    earned: int


class Books:
    """What the market owes, by its views and by its events alone."""

    PURCHASED = "(bytes32,uint64,uint64,uint64,(bytes32,address,uint128,uint128,uint128,uint128,uint64,bool,uint8,uint8,address,bytes32,bytes32),bytes32[])"  # noqa: E501

    def __init__(self, market: Any, clock: Clock) -> None:
        self._market, self._clock = market, clock
        self.forced = 0
        """Wei that came in by no call of the market's."""

    def _view(self, name: str, *args: bytes) -> bytes:
        method = getattr(self._market, name).abis[0]
        data = keccak(method.selector.encode())[:4] + b"".join(args)
        call = {"to": self._market.address, "data": "0x" + data.hex()}
        return bytes.fromhex(self._clock.rpc("eth_call", call, "latest")[2:])

    def _amounts(self, name: str, *args: bytes) -> list[int]:
        raw = self._view(name, *args)
        return [int.from_bytes(raw[i : i + 32], "big") for i in range(0, len(raw), 32)]

    def owed(self) -> int:
        """Stakes, earnings, credits, bonds, what open sales hold and what is burnt, in wei."""
        logs = self._clock.rpc("eth_getLogs", {"address": self._market.address, "fromBlock": "0x0"})
        purchased = keccak(self._market.ItemPurchased.abi.selector.encode()).hex()
        accounts: set[bytes] = set()
        total = self._amounts("burnt")[0]
        for log in logs:
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            accounts |= {topic for topic in topics[1:] if not any(topic[:12])}
            if topics[0].hex() == purchased:
                raw = bytes.fromhex(log["data"][2:])
                *_, terms, _ = decode([self.PURCHASED], bytes.fromhex("20".zfill(64)) + raw)[0]
                arbitrator = bytes(12) + bytes.fromhex(terms[10][2:])
                accounts.add(arbitrator)
                total += self._open(topics[1], terms)
        for account in accounts:
            total += self._amounts("sellerStakes", account)[0]
            total += sum(self._amounts("deliverers", account)[1:3])
            total += self._amounts("credits", account, bytes(32))[0]
        return total

    def _open(self, key: bytes, terms: Any) -> int:
        price, commission, penalty, bond, parts = (terms[i] for i in (2, 3, 4, 5, 8))
        status, delivered, *_ = self._amounts("sales", key)
        delivered |= self._amounts("marks", key)[1]
        if status not in (Status.PURCHASED, Status.COMPLETE, Status.DISPUTED):
            return 0
        if int(terms[10], 16) == 0:
            bond = 0
        reserve = (parts - delivered.bit_count()) * (commission // parts) + penalty + bond
        return int(price + reserve + (bond if status == Status.DISPUTED else 0))

    @property
    def balance(self) -> int:
        return int(self._clock.rpc("eth_getBalance", self._market.address, "latest"), 16)

    def check(self) -> None:
        """Conservation: every wei in the market belongs to somebody, and none twice."""
        assert self.balance == self.owed() + self.forced


def send_one(market, delivery, by, sender=None):
    """One part, signed by `by`, as a call of its own."""
    signature = signed(market, by, [delivery])
    return market.deliverFragment(astuple(delivery), signature, sender=sender or by)


def state(order):
    """Status, delivered parts, and since when: what a delivery may change."""
    now = order.state
    return now.status, now.delivered, now.since
