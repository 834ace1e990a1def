"""An item, a purchase and its later calls, and the books of the market, without pytest."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

from eth_abi.abi import decode

from dam.crypto.hashing import keccak, part_leaf
from dam.crypto.merkle import MerkleTree
from dam.types import CopyId, Delivery, Escrow, PartLeaf, Sale, SaleState, Status, Terms

ETHER = 10**18


def key_of(number: int) -> bytes:
    """A good X25519 public key, another for each number."""
    return keccak(b"key%d" % number)[:31] + b"\x42"


class Clock:
    """Block numbers, asked and moved by plain JSON-RPC: Ape's way is ten times as slow."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def rpc(self, method: str, *params: Any) -> Any:
        return self._provider.make_request(method, list(params))

    @property
    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def mine(self, blocks: int) -> None:
        if blocks:
            self.rpc("anvil_mine", hex(blocks))

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

    @property
    def block(self) -> int:
        return self.sale.purchase_block

    @property
    def args(self) -> tuple[Any, ...]:
        """The first three arguments of whatever closes a sale."""
        return self.copy_id, astuple(self.sale), astuple(self.escrow)

    @property
    def state(self) -> SaleState:
        status, delivered, by_deliverers, since, commitment = self.market.sales(self.copy_id)
        return SaleState(Status(status), delivered, by_deliverers, since, bytes(commitment))

    @property
    def status(self) -> Status:
        return self.state.status

    def reach(self, offset: int) -> None:
        """The next transaction will be `offset` blocks after the purchase."""
        self.clock.reach(self.block + offset)

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
            proof=self.item.parts.proof(part_leaf(leaf)),
            fragment=keccak(b"fragment%d" % index) * 2 + bytes(16),
        )
        return replace(good, **changes)

    def deliver(self, *indexes: int, sender: Any = None) -> Any:
        """Delivers parts one by one, each by the deliverer whom its leaf names."""
        receipt = None
        for index in indexes:
            delivery = self.delivery(index)
            by = sender or self.people[delivery.deliverer]
            receipt = self.market.deliverFragment(astuple(delivery), sender=by)
        return receipt

    def deliver_all(self) -> Any:
        return self.deliver(*range(self.sale.parts))

    def dispute(self, evidence: bytes = bytes(32), sender: Any = None) -> Any:
        return self.market.openDispute(
            *self.args, evidence, sender=sender or self.buyer, value=self.escrow.bond
        )


@dataclass(frozen=True)
class Holdings:
    """What a party has in the market, in wei."""

    credit: int
    stake: int
    earned: int


class Books:
    """What the market owes, by its views and by its events alone."""

    PURCHASED = "(bytes32,uint64,(bytes32,address,uint128,uint128,uint128,uint128,uint64,bool,uint8,uint8,address,bytes32),bytes32[])"  # noqa: E501

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
        """Stakes, earnings, credits, bonds and what open sales hold, in wei."""
        logs = self._clock.rpc("eth_getLogs", {"address": self._market.address, "fromBlock": "0x0"})
        purchased = keccak(self._market.ItemPurchased.abi.selector.encode()).hex()
        accounts: set[bytes] = set()
        total = 0
        for log in logs:
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            accounts |= {topic for topic in topics[1:] if not any(topic[:12])}
            if topics[0].hex() == purchased:
                raw = bytes.fromhex(log["data"][2:])
                _, _, terms, _ = decode([self.PURCHASED], bytes.fromhex("20".zfill(64)) + raw)[0]
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
