"""What became of every purchase, read from the node's raw logs: no code of the daemons is used.

The events are decoded here from their signatures, and the fragments opened with PyNaCl, so that a
fault of the reader or the sealing cannot hide itself. For calldata and the rebuilding of goods the
checker takes the project's own functions, which are compared with the chain's hashes anyway.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

_TERMS = (
    "(bytes32,address,uint128,uint128,uint128,uint128,uint64,bool,uint8,uint8,address,bytes32,"
    "bytes32)"
)
_BOUGHT = f"ItemPurchased(bytes32,address,address,bytes32,uint64,uint64,uint64,{_TERMS},bytes32[])"
_DELIVERED = (
    "FragmentDelivered(bytes32,address,uint8,address,bytes32,bytes32,bytes32,bytes32,bytes16,"
    "bytes32)"
)
_PROVED = "JunkProved(bytes32,address,uint8,bytes32,uint256,uint256,bool)"
_SETTLED = "SaleSettled(bytes32,address)"
_RANGE = 400
FALLBACK_BLOCKS = 100


@dataclass(frozen=True)
class Sold:
    """A purchase on the canonical chain."""

    copy_id: bytes
    block: int
    time: int
    """Of the purchase, in seconds."""
    buyer: str
    digest: bytes
    item_id: bytes
    copy: int
    parts: int
    threshold: int
    stock: bool
    keys: tuple[bytes, ...]


@dataclass(frozen=True)
class Arrived:
    """A part on the canonical chain."""

    copy_id: bytes
    index: int
    by: str
    block: int
    log_index: int
    commitment: bytes
    secret_hash: bytes
    fragment: bytes
    key: bytes = b""
    """What it was found to be sealed to, if that is the sale's fresh key."""


@dataclass(frozen=True)
class Proved:
    """A part that was proved to be junk, on the canonical chain."""

    copy_id: bytes
    index: int
    block: int
    log_index: int
    fresh_key: bytes
    cleared: bool


@dataclass
class Seen:
    """The events of some blocks."""

    sold: list[Sold] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    proved: list[Proved] = field(default_factory=list)
    settled: list[tuple[bytes, str]] = field(default_factory=list)
    """Copy, and by whom."""

    def there(self) -> Counter[bytes]:
        """How many parts of each copy are there: those that came, less those that were cleared."""
        found = Counter(part.copy_id for part in self.arrived)
        found.subtract(Counter(proof.copy_id for proof in self.proved if proof.cleared))
        return found


@dataclass
class Verdict:
    """The whole chain, judged."""

    purchases: int = 0
    parts: int = 0
    delivered: int = 0
    """In time, by its deliverer."""
    late: list[tuple[Sold, Arrived]] = field(default_factory=list)
    """More than 100 blocks after the purchase, by whomever; the sale was saved all the same."""
    lost: list[tuple[Sold, int]] = field(default_factory=list)
    """Never, or after the refund was possible: purchase and index."""
    doubled: list[tuple[Sold, int]] = field(default_factory=list)
    junk: list[tuple[Sold, int]] = field(default_factory=list)
    """Does not open with a key of the buyer to what the part committed to, and was not proved."""
    proved: int = 0
    """Parts that were proved to be junk."""
    replaced: int = 0
    """Of these, cleared and delivered anew by the seller's side."""
    stray: int = 0
    """Parts of no purchase."""
    confirmed: int = 0
    """Sales that their buyers ended."""
    settled: int = 0
    """Sales that the seller's side ended, after their time."""
    waits: Counter[int] = field(default_factory=Counter)
    """Blocks from purchase to delivery, of the parts that came in time."""
    shares: dict[tuple[bytes, int], dict[int, Arrived]] = field(default_factory=dict)
    """By copy and purchase block: each index's part, to rebuild goods from."""
    sold: list[Sold] = field(default_factory=list)


class Checker:
    """Reads one market's logs from a node.

    Args:
        url: The node itself, no proxy.
        market: Address.
        first: Block of the market's deployment.
        refund_seconds: The market's window.
    """

    def __init__(self, url: str, market: str, first: int, refund_seconds: int) -> None:
        self._url = url
        self._market = market
        self._first = first
        self._refund_seconds = refund_seconds

    async def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call."""
        [answer] = await self.batch([(method, params)])
        return answer

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Several calls in one request."""
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls)
        ]
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._url, json=body) as response,
        ):
            answers = json.loads(await response.read())
        return [one["result"] for one in sorted(answers, key=lambda one: int(one["id"]))]

    async def head(self) -> int:
        """The newest block."""
        return int(await self.call("eth_blockNumber"), 16)

    async def events(self, first: int | None = None, last: int | None = None) -> Seen:
        """Purchases, parts, proofs, and the sales that were settled, in these blocks (all)."""
        seen = Seen()
        topics = {keccak(text=text): text for text in (_BOUGHT, _DELIVERED, _PROVED, _SETTLED)}
        end = await self.head() if last is None else last
        start = self._first if first is None else max(first, self._first)
        for number in range(start, end + 1, _RANGE):
            query = {
                "address": self._market,
                "fromBlock": hex(number),
                "toBlock": hex(min(number + _RANGE - 1, end)),
            }
            for log in await self.call("eth_getLogs", query):
                kind = topics.get(bytes.fromhex(log["topics"][0][2:]))
                if kind == _BOUGHT:
                    seen.sold.append(_sold(log))
                elif kind == _DELIVERED:
                    seen.arrived.append(_arrived(log))
                elif kind == _PROVED:
                    seen.proved.append(_proof(log))
                elif kind == _SETTLED:
                    seen.settled.append((_topic(log, 1), "0x" + _topic(log, 2)[12:].hex()))
        return seen

    async def judge(self, deliverers: Sequence[str], secrets: Mapping[bytes, bytes]) -> Verdict:
        """Looks at every part of every purchase.

        Args:
            deliverers: Whose part has which index.
            secrets: Buyers' one-time secret keys, by public key.
        """
        seen = await self.events()
        verdict = Verdict(purchases=len(seen.sold), sold=seen.sold)
        buyers = {(sale.copy_id, sale.buyer) for sale in seen.sold}
        verdict.confirmed = sum(end in buyers for end in seen.settled)
        verdict.settled = len(seen.settled) - verdict.confirmed
        by_part: dict[tuple[bytes, int], list[Arrived]] = defaultdict(list)
        for part in seen.arrived:
            by_part[part.copy_id, part.index].append(part)
        proofs = {(proof.copy_id, proof.index): proof for proof in seen.proved}
        for sale in seen.sold:
            verdict.parts += sale.parts
            for index in range(sale.parts):
                mine = by_part.pop((sale.copy_id, index), [])
                proof = proofs.get((sale.copy_id, index))
                if proof is not None:
                    mine = self._punished(verdict, proof, mine)
                self._part(verdict, sale, index, mine, deliverers[index], secrets, proof)
        verdict.stray = sum(map(len, by_part.values()))
        return verdict

    def _punished(self, verdict: Verdict, proof: Proved, arrived: list[Arrived]) -> list[Arrived]:
        """What counts of an index that was proved: without what the proof cleared."""
        verdict.proved += 1
        at = proof.block, proof.log_index
        left = [p for p in arrived if not proof.cleared or (p.block, p.log_index) > at]
        verdict.replaced += bool(left)
        return left

    def _part(
        self,
        verdict: Verdict,
        sale: Sold,
        index: int,
        arrived: list[Arrived],
        deliverer: str,
        secrets: Mapping[bytes, bytes],
        proof: Proved | None,
    ) -> None:
        if len(arrived) > 1:
            verdict.doubled.append((sale, index))
        # A block is a second.
        if not arrived or arrived[0].block > sale.block + self._refund_seconds:
            verdict.lost.append((sale, index))
            return
        part = arrived[0]
        keys = [sale.keys[index], *([proof.fresh_key] if proof else [])]
        fits = [key for key in keys if opened(part, secrets[key]) is not None]
        if not fits:
            verdict.junk.append((sale, index))
        elif fits[0] != sale.keys[index]:
            part = replace(part, key=fits[0])
        verdict.shares.setdefault((sale.copy_id, sale.block), {})[index] = part
        if proof is not None:
            return  # Neither in time nor late: the watchdog's, once it was proved.
        wait = part.block - sale.block
        if wait > FALLBACK_BLOCKS or part.by.lower() != deliverer.lower():
            verdict.late.append((sale, part))
        else:
            verdict.delivered += 1
            verdict.waits[wait] += 1

    async def transactions(self, accounts: Iterable[str]) -> MinedTransactions:
        """Everything that some accounts have on the canonical chain."""
        ours = {account.lower() for account in accounts}
        found = MinedTransactions()
        end = await self.head()
        for number in range(self._first, end + 1, 50):
            blocks = await self.batch(
                [
                    ("eth_getBlockByNumber", (hex(block), True))
                    for block in range(number, min(number + 50, end + 1))
                ]
            )
            mined = [tx for block in blocks for tx in block["transactions"]]
            mined = [tx for tx in mined if tx["from"].lower() in ours]
            if not mined:
                continue
            receipts = await self.batch(
                [("eth_getTransactionReceipt", (tx["hash"],)) for tx in mined]
            )
            for tx, receipt in zip(mined, receipts, strict=True):
                found.add(tx, receipt)
        return found


@dataclass
class MinedTransactions:
    """Transactions of the daemons."""

    mined: Counter[str] = field(default_factory=Counter)
    """By account, lower case."""
    reverted: list[dict[str, Any]] = field(default_factory=list)
    gas: int = 0
    calls: list[str] = field(default_factory=list)
    """Calldata of what succeeded."""

    def add(self, tx: dict[str, Any], receipt: dict[str, Any]) -> None:
        """One transaction and its receipt."""
        self.mined[tx["from"].lower()] += 1
        self.gas += int(receipt["gasUsed"], 16)
        if receipt["status"] == "0x1":
            self.calls.append(tx["input"])
        else:
            self.reverted.append(tx)


def opened(part: Arrived, secret: bytes) -> bytes | None:
    """The share, if the fragment opens with this key to what the part committed to."""
    try:
        share = SealedBox(PrivateKey(secret)).decrypt(part.fragment)
    except CryptoError:
        return None
    return bytes(share) if keccak(share) == part.commitment else None


def _data(log: Mapping[str, Any], types: Sequence[str]) -> tuple[Any, ...]:
    return tuple(decode(list(types), bytes.fromhex(log["data"][2:])))


def _topic(log: Mapping[str, Any], number: int) -> bytes:
    return bytes.fromhex(log["topics"][number][2:])


def _sold(log: Mapping[str, Any]) -> Sold:
    digest, copy, block, at, terms, keys = _data(
        log, ("bytes32", "uint64", "uint64", "uint64", _TERMS, "bytes32[]")
    )
    assert block == int(log["blockNumber"], 16)
    return Sold(
        copy_id=_topic(log, 1),
        block=block,
        time=at,
        buyer="0x" + _topic(log, 3)[12:].hex(),
        digest=digest,
        item_id=terms[0],
        copy=copy,
        parts=terms[8],
        threshold=terms[9],
        stock=terms[7],
        keys=tuple(keys),
    )


def _arrived(log: Mapping[str, Any]) -> Arrived:
    index, _, commitment, secret_hash, _, *fragment = _data(
        log, ("uint8", "address", *["bytes32"] * 4, "bytes16", "bytes32")
    )
    return Arrived(
        copy_id=_topic(log, 1),
        index=index,
        by="0x" + _topic(log, 2)[12:].hex(),
        block=int(log["blockNumber"], 16),
        log_index=int(log["logIndex"], 16),
        commitment=commitment,
        secret_hash=secret_hash,
        fragment=b"".join(fragment),
    )


def _proof(log: Mapping[str, Any]) -> Proved:
    index, fresh_key, _, _, cleared = _data(log, ("uint8", "bytes32", "uint256", "uint256", "bool"))
    return Proved(
        copy_id=_topic(log, 1),
        index=index,
        block=int(log["blockNumber"], 16),
        log_index=int(log["logIndex"], 16),
        fresh_key=fresh_key,
        cleared=cleared,
    )
