"""Buyers without any tool: they sign `buyItem`, and proofs of junk, themselves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from eth_account import Account

from dam.catalog.store import Item
from dam.crypto.hashing import item_id
from dam.errors import RpcError
from dam.keystore.ape_accounts import Signer
from dam.sending.transactions import Fees, transaction
from dam.types import Address
from demo import documents
from demo.shop import ITEM
from soak.publisher import Publisher, Version
from soak.world import SoakWorld

ACCOUNTS = 20
_GAS = 700_000
_PROOF_GAS = 1_500_000
_FEES = Fees(max_fee=5_000 * 10**9, tip=2 * 10**9, base=10**9)
"""A buyer pays any price: what is soaked is the delivery."""
_PATIENCE = 3.0
"""Seconds before a purchase that is not mined is sent once more."""


@dataclass
class Order:
    """A purchase as it was signed last."""

    raw: str
    nonce: int
    at: float
    """When it was sent last, in seconds of the soak."""
    item: Item | None = None
    """None: no purchase, but a proof."""
    copy: int = 0


@dataclass
class _Account:
    signer: Signer
    nonce: int = 0
    open: dict[int, Order] = field(default_factory=dict)
    """By nonce: what may yet have to be sent again."""


class Buyer:
    """Twenty accounts that buy from one shop.

    Args:
        world: Where.
        publisher: Whose store.
        chance: Decides what is bought, and when.
        rate: Purchases a second, on average; they come at random moments.
    """

    def __init__(
        self, world: SoakWorld, publisher: Publisher, chance: random.Random, *, rate: float
    ) -> None:
        self._world = world
        self._publisher = publisher
        self._chance = chance
        self._rate = rate
        self._accounts: list[_Account] = []
        self._next: Counter[str] = Counter()
        self._burst = 0
        self.secrets: dict[bytes, bytes] = {}
        """Secret keys by their public keys: one-time keys of everything that was ever signed, and
        the fresh keys of proofs."""
        self.signed = 0
        self.sent_again = 0
        self.swapped = 0

    async def open(self) -> None:
        """Makes the accounts."""
        for number in range(ACCOUNTS):
            actor = await self._world.actor(f"buyer {number}")
            account = Account.from_key(actor.private_key)
            self._accounts.append(_Account(Signer(Address(actor.address), account)))

    async def run(self, enough: asyncio.Event) -> None:
        """Buys until it is told that it is enough."""
        world = self._world
        due = world.seconds()
        looked = due
        while not enough.is_set():
            version = await self._version()
            while version and (due <= world.seconds() or self._burst):
                if self._burst:
                    self._burst -= 1
                else:
                    due += self._chance.expovariate(self._rate)
                await self._buy(version)
            if world.seconds() > looked + 2:
                await self.remind()
                looked = world.seconds()
            await asyncio.sleep(0.2)

    def burst(self, purchases: int) -> None:
        """So many at once, besides the usual ones."""
        self._burst += purchases

    async def _version(self) -> Version | None:
        try:
            return await self._publisher.current()
        except RpcError:
            return None

    async def _buy(self, version: Version) -> None:
        chosen = self._choose(version)
        if chosen is None:
            return
        item, copy = chosen
        account = self._accounts[self.signed % len(self._accounts)]
        order = self._sign(account, account.nonce, version, item, copy)
        account.open[account.nonce] = order
        account.nonce += 1
        self.signed += 1
        await self._send([order])

    def _choose(self, version: Version) -> tuple[Item, int] | None:
        """An item and its next copy: half of the sales have parts of their own."""
        editions = [
            name
            for name in version.items
            if name != ITEM and self._next[name] < len(self._publisher.goods[name])
        ]
        name = ITEM
        if editions and self._chance.random() < 0.5:
            name = self._chance.choice(editions)
        item = version.store.item(item_id(name))
        if item is None:
            return None
        copy = self._next[name]
        self._next[name] += 1
        return item, copy

    def _sign(
        self, account: _Account, nonce: int, version: Version, item: Item, copy: int
    ) -> Order:
        secrets, keys = documents.one_time_keys(item.terms.parts)
        self.secrets.update(zip(keys, secrets, strict=True))
        store, world = version.store, self._world
        data = world.market.encode(
            "buyItem",
            store.seller,
            item.terms,
            store.terms_proof(item),
            store.digest,
            copy,
            keys,
        )
        chain_id, market = world.deployment.chain_id, world.deployment.market
        fields = transaction(chain_id, nonce, market, data, _GAS, _FEES, item.terms.price)
        raw = "0x" + account.signer.sign(fields).hex()
        return Order(raw, nonce, world.seconds(), item, copy)

    async def call(self, buyer: str, data: bytes) -> bool:
        """Sends a call of one of the accounts, until it is mined; False if it has no such one."""
        found = [a for a in self._accounts if a.signer.address.lower() == buyer.lower()]
        if not found:
            return False
        [account], world = found, self._world
        nonce, chain_id = account.nonce, world.deployment.chain_id
        fields = transaction(chain_id, nonce, world.deployment.market, data, _PROOF_GAS, _FEES)
        order = Order("0x" + account.signer.sign(fields).hex(), nonce, world.seconds())
        account.open[nonce] = order
        account.nonce += 1
        await self._send([order])
        return True

    async def _send(self, orders: list[Order]) -> None:
        # An answer such as "already known" or "nonce too low" is fine, and so is none.
        calls = [("eth_sendRawTransaction", [order.raw]) for order in orders]
        try:
            await self._world.rpc.batch(calls, errors=True)
        except RpcError:
            return

    async def remind(self) -> None:
        """Sends again what was signed and is on no block: reorganisations forget it."""
        again: list[Order] = []
        now = self._world.seconds()
        for account, mined in zip(self._accounts, await self._mined(), strict=True):
            waiting = [order for nonce, order in account.open.items() if nonce >= mined]
            if waiting and now - min(order.at for order in waiting) > _PATIENCE:
                again += sorted(waiting, key=lambda order: order.nonce)
            # What lies deeper than any reorganisation goes.
            for nonce in [n for n in account.open if n < mined - 200]:
                del account.open[nonce]
        for order in again:
            order.at = now
        self.sent_again += len(again)
        if again:
            await self._send(again)

    async def swap(self) -> int:
        """Gives copies that fell out of the chain to other buyers; returns how many."""
        version = await self._version()
        if version is None:
            return 0
        lost: dict[str, list[tuple[_Account, Order]]] = {}
        for account, mined in zip(self._accounts, await self._mined(), strict=True):
            for nonce, order in account.open.items():
                if nonce >= mined and order.item is not None:
                    lost.setdefault(order.item.name, []).append((account, order))
        done = 0
        for name, orders in lost.items():
            item = version.store.item(item_id(name))
            if item is None or len(orders) < 2:
                continue
            copies = [order.copy for _, order in orders]
            for (account, order), copy in zip(orders, copies[1:] + copies[:1], strict=True):
                account.open[order.nonce] = self._sign(account, order.nonce, version, item, copy)
                done += 1
        self.swapped += done
        return done

    async def _mined(self) -> list[int]:
        calls = [
            ("eth_getTransactionCount", [account.signer.address, "latest"])
            for account in self._accounts
        ]
        return [int(count, 16) for count in await self._world.rpc.batch(calls)]
