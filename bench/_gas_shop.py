"""A market, shops and sales whose every call is measured: what bench/gas.py is made of."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from coincurve import PrivateKey

from dam.crypto.curve25519 import half_size_pair
from dam.crypto.hashing import (
    checksum,
    closing_arguments,
    copy_id,
    domain_separator,
    entry,
    fragments_digest,
    keccak,
    part_leaf,
    sale_hash,
    sale_of,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import public_key, seal_fragment
from dam.ethereum.compact_signature import sign_digest
from dam.ethereum.rpc import JsonRpc
from dam.market.client import Market
from dam.proofs.hints import make_hint
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Delivery,
    JunkEvidence,
    LogRef,
    PartLeaf,
    Purchase,
    Signature,
    SignedList,
    Terms,
    Wei,
    Windows,
)

ETHER = 10**18
HOUR, DAY = 3_600, 86_400
STAKE = Wei(50 * ETHER)
WINDOWS = Windows(
    *(DAY, 3 * DAY, 7 * DAY, 26 * DAY, 7 * DAY, 7 * DAY),
    *(Wei(ETHER // 10), Wei(0), Wei(ETHER // 200)),
)


class Bench:
    """One Anvil, one market, fresh accounts on demand."""

    def __init__(self, rpc: JsonRpc, market: Market, rng: random.Random) -> None:
        self.rpc, self.market, self.rng = rpc, market, rng
        deployment = market.deployment
        self.separator = domain_separator(deployment.chain_id, deployment.market)
        self.keys: dict[Address, PrivateKey] = {}
        self.block = 0

    def dense(self, size: int) -> bytes:
        """Random bytes without a zero among them."""
        return bytes(self.rng.randrange(1, 256) for _ in range(size))

    def secret(self) -> bytes:
        """Of a one-time key, as buyers draw them: its proof is the cheap kind."""
        while True:
            secret = self.dense(32)
            if half_size_pair(secret) is not None:
                return secret

    async def account(self, ether: int = 100) -> Address:
        key = PrivateKey(self.dense(32))
        address = checksum(keccak(key.public_key.format(compressed=False)[1:])[12:])
        self.keys[address] = key
        await self.rpc.call("anvil_impersonateAccount", address)
        await self.rpc.call("anvil_setBalance", address, hex(ether * ETHER))
        return address

    def sign(self, signer: Address, entries: list[bytes]) -> Signature:
        return sign_digest(self.keys[signer], fragments_digest(self.separator, entries))

    async def send(self, sender: Address, value: int, function: str, *args: Any) -> int:
        """Sends one call; returns the gas used. A revert is an error of the bench."""
        data = self.market.encode(function, *args)
        transaction = {
            "from": sender,
            "to": self.market.deployment.market,
            "value": hex(value),
            "data": "0x" + data.hex(),
            "gas": hex(16_000_000),
        }
        receipt = await mined(self.rpc, transaction)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"{function} reverted")
        self.block = int(receipt["blockNumber"], 16)
        return int(receipt["gasUsed"], 16)

    async def time(self) -> int:
        """Of the block of the last call, in seconds."""
        block = await self.rpc.call("eth_getBlockByNumber", hex(self.block), False)
        return int(block["timestamp"], 16)

    async def mine(self, blocks: int) -> None:
        await self.rpc.call("anvil_mine", hex(blocks))

    async def wait(self, seconds: int) -> None:
        await self.rpc.call("evm_increaseTime", hex(seconds))
        await self.mine(1)


async def mined(rpc: JsonRpc, transaction: dict[str, str]) -> dict[str, Any]:
    """Sends from an unlocked account and waits for the receipt."""
    sent = await rpc.call("eth_sendTransaction", transaction)
    while True:
        receipt: dict[str, Any] | None = await rpc.call("eth_getTransactionReceipt", sent)
        if receipt is not None:
            return receipt
        await asyncio.sleep(0.002)


class Shop:
    """A seller with one item among `items`, ready to be bought."""

    def __init__(self, bench: Bench, items: int, copies: int, stock: bool, parts: int = 3) -> None:
        self.bench, self.items, self.copies, self.stock = bench, items, copies, stock
        self.parts = parts
        self.secrets: dict[bytes, bytes] = {}

    async def open(self) -> dict[str, int]:
        bench = self.bench
        self.seller = await bench.account()
        self.arbitrator = await bench.account()
        self.deliverers = [await bench.account() for _ in range(self.parts)]
        gas = {"stakeAsSeller": await bench.send(self.seller, 50 * ETHER, "stakeAsSeller")}
        for one in self.deliverers:
            announced = bench.dense(32), bench.dense(64)
            gas["stakeAsDeliverer"] = await bench.send(one, STAKE, "stakeAsDeliverer", *announced)
        self.leaves = [
            PartLeaf(copy, i, who, bench.dense(32), secret, bench.dense(32))
            for copy in range(self.copies if self.stock else 1)
            for secret in [bench.dense(32)]
            for i, who in enumerate(self.deliverers)
        ]
        self.tree = MerkleTree([part_leaf(leaf) for leaf in self.leaves])
        # The deepest leaf first, so that the lines below name the dearest case.
        depth = [len(self.tree.proof(part_leaf(leaf))) for leaf in self.leaves[: self.parts]]
        self.order = sorted(range(self.parts), key=lambda i: -depth[i])
        price = Wei(int.from_bytes(bench.dense(7), "big"))
        self.terms = Terms(
            item_id=bench.dense(32),
            token=ZERO_ADDRESS,
            price=price,
            commission=Wei(price // 7),
            penalty=Wei(int.from_bytes(bench.dense(6), "big")),
            bond=Wei(int.from_bytes(bench.dense(6), "big")),
            supply=max(self.copies, 60_000),
            stock=self.stock,
            parts=self.parts,
            threshold=2,
            arbitrator=self.arbitrator,
            parts_root=self.tree.root,
        )
        others = [bench.dense(32) for _ in range(self.items - 1)]
        self.catalogue = MerkleTree([terms_leaf(self.terms), *others])
        self.digest = bench.dense(32)
        root = self.catalogue.root
        gas["createStore"] = await bench.send(self.seller, 0, "createStore", bench.dense(32), root)
        gas["updateStore"] = await bench.send(self.seller, 0, "updateStore", self.digest, root)
        return gas

    async def buy(self, copy: int, buyer: Address) -> tuple[int, Purchase]:
        bench = self.bench
        secrets = [bench.secret() for _ in range(self.parts)]
        keys = tuple(public_key(secret) for secret in secrets)
        self.secrets |= dict(zip(keys, secrets, strict=True))
        proof = self.catalogue.proof(terms_leaf(self.terms))
        call = (self.seller, self.terms, proof, self.digest, copy, keys)
        gas = await bench.send(buyer, self.terms.price, "buyItem", *call)
        at = LogRef(BlockRef(bench.block, bytes(32)), bytes(32), 0)
        cid = copy_id(self.seller, self.terms.item_id, copy)
        who = (cid, self.seller, buyer, self.digest, copy, bench.block, await bench.time())
        return gas, Purchase(*who, self.terms, keys, at)

    def delivery(self, purchase: Purchase, index: int, *, fresh_key: bytes = bytes(32)) -> Delivery:
        """A part that opens to something else than was committed to: it costs as any other."""
        leaf = self.leaves[self.parts * purchase.leaf_copy + index]
        key = fresh_key if any(fresh_key) else purchase.keys[index]
        return Delivery(
            purchase.copy_id,
            sale_of(purchase),
            index,
            leaf.deliverer,
            leaf.commitment,
            leaf.secret_hash,
            leaf.salt,
            fresh_key,
            tuple(self.tree.proof(part_leaf(leaf))),
            seal_fragment(self.bench.dense(32), key),
        )

    def entry(self, part: Delivery) -> bytes:
        leaf = self.leaves[self.parts * (part.sale.copy if self.stock else 0) + part.index]
        return entry(
            part.copy_id, sale_hash(part.sale), part_leaf(leaf), part.fresh_key, part.fragment
        )

    async def deliver(self, part: Delivery, signer: Address | None = None) -> int:
        """One part by itself, sent by whoever signed it; by default its deliverer."""
        signer = signer or part.deliverer
        signature = self.bench.sign(signer, [self.entry(part)])
        return await self.bench.send(signer, 0, "deliverFragment", part, signature)

    def opened(self, purchase: Purchase, part: Delivery) -> JunkEvidence:
        secret = self.secrets[purchase.keys[part.index]]
        what = (part.index, part.deliverer, part.commitment, part.secret_hash, part.salt)
        hint = make_hint(part.fragment, secret)
        return JunkEvidence(*what, part.proof, part.fresh_key, part.fragment, secret, hint)

    async def prove(self, purchase: Purchase, part: Delivery, others: int, fresh_key: bytes) -> int:
        """Proves one part junk, by a list of it and `others`."""
        entries = (*(self.bench.dense(32) for _ in range(others)), self.entry(part))
        signature = self.bench.sign(part.deliverer, list(entries))
        evidence = [self.opened(purchase, part)]
        lists = [SignedList(entries, signature, others)]
        call = (*closing_arguments(purchase), purchase.keys, fresh_key, evidence, lists)
        return await self.bench.send(purchase.buyer, 0, "proveJunk", *call)
