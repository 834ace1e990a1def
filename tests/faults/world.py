"""The market of the fault tests: one chain for the session, whose blocks are mined on demand.

    async def test_f18_...(world, injected):
        proxy = await world.proxy(injected)
        daemon = await world.deliverer(0, rpc=proxy.url).start()
        proxy.inject(TooMany(), times=3)
        [bought] = await world.buy()
        await world.until_delivered(daemon)
        await oracle(world)

`FaultWorld` is a `demo.world.World` whose Anvil mines only when told to, with one shop of three
deliverers, and directories for blocks. Every test begins at the same snapshot of the chain, with
new ledgers. Before each block the pool is searched: a part that stands in two waiting transactions
of its deliverer is recorded, and the oracle fails the test for it.

Without pytest: ``async with FaultWorld() as world: await world.reset(tmp)``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eth_account import Account

import dam
from dam.config.settings import Settings
from dam.keystore.ape_accounts import Signer, load_account
from dam.keystore.key_files import KeyRing, load_ring
from dam.log import configure_logging
from dam.market.wallet import Receipt
from dam.roles.seller.listings import copy_parts
from dam.sending.transactions import Fees, suggest_fees, transaction
from dam.testing.market import market_code
from dam.types import Address, FragmentDelivered, Purchase
from demo import trade
from demo.actors import Actor
from demo.shop import ITEM, Shop, open_shop
from demo.trade import Bought
from demo.world import ROOT, World, python
from tests.faults.daemons import SECONDS, Deliverer, LogCapture, Process
from tests.faults.rpc_proxy import RpcProxy
from tests.faults.transactions import Part, parts_in, pool_transactions

_BLOCK_SECONDS = 0.15
"""Between two blocks: three looks of a daemon that polls as often as it may."""
_PEOPLE = 12
# Under Cancun, blocks stay cheap however many there are. All states stay in memory: those that
# Anvil puts on disk come back without any contract's code.
_ANVIL = ("--hardfork", "cancun", "--prune-history", "1000000")
_GAS = 1_500_000


class FaultWorld(World):
    """See the module. ``shop`` is open, ``sold`` holds what was bought since the last `reset`."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder=folder, kubo=False)
        self.shop: Shop
        self.sold: list[Bought] = []
        self.people: list[Actor] = []
        self.daemons: list[Deliverer | Process] = []
        self.proxies: list[RpcProxy] = []
        self.doubles: list[tuple[Part, list[int]]] = []
        """Parts that stood in more than one waiting transaction, with their nonces."""
        self.log = LogCapture()
        self.secrets: dict[str, bytes] = {}
        """What must stand in no log: name to bytes. `remember` adds to it."""
        self._next_copy = 0
        self.base_fee: int | None = None
        """Of every block that is mined, in wei per gas; None: as the chain has it."""
        self.scratch = Path()
        self.first = 0
        """First block that belongs to the present test."""
        self._snapshot = ""
        self._spare: list[Actor] = []
        self._keys: dict[str, tuple[Signer, KeyRing]] = {}
        self._handler = logging.StreamHandler(self.log)

    async def _start(self) -> None:
        stack = self._stack
        await self._start_nodes(*_ANVIL)
        stack.push_async_callback(self.clear)
        # The checkout's contract, also where the sources are a copy with a line taken out.
        await self._deploy_directly(await asyncio.to_thread(market_code, ROOT))
        logging.getLogger().addHandler(self._handler)
        stack.callback(logging.getLogger().removeHandler, self._handler)
        self.shop = await open_shop(self)
        self._spare = [await self.actor("buyer") for _ in range(_PEOPLE)]
        for actor in self.shop.deliverers:
            settings = Settings.load(self.env(actor))
            ring = load_ring(settings.keys.deliverer, actor.passphrase)
            self._keys[actor.address] = (load_account(actor.alias, environ=_environ(actor)), ring)
        await self.rpc.call("evm_setAutomine", False)
        await self.rpc.call("anvil_mine", "0x4")
        self._snapshot = await self.rpc.call("evm_snapshot")
        self.first = await self.block() + 1

    def env(self, actor: Actor) -> dict[str, str]:
        """As in the demo, with the quickest look at the chain that there is."""
        state = {"XDG_STATE_HOME": str(self.folder / "state"), "DAM_POLL": "0.05"}
        return super().env(actor) | state

    # -------------------------------------------------------------------------- between the tests

    async def reset(self, scratch: Path) -> None:
        """Ends all daemons and goes back to the snapshot; ledgers and logs begin anew."""
        await self.clear()
        await self.rpc.call("anvil_dropAllTransactions")
        assert await self.rpc.call("evm_revert", self._snapshot)
        # What a block costs is not part of Anvil's snapshot.
        await self.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
        self._snapshot = await self.rpc.call("evm_snapshot")
        self.first = await self.block() + 1
        self.scratch = scratch
        self.sold, self.people, self.doubles = [], self._spare[:-1], []
        self.base_fee, self._next_copy = None, 0
        self.log.seek(0)
        self.log.truncate()
        configure_logging(stream=self.log)
        os.environ["XDG_STATE_HOME"] = str(self.folder / "state")
        self.secrets = {}
        for actor in (*self.shop.deliverers, self.shop.seller, self.shop.operator, *self._spare):
            self.remember(f"key of {actor.name}", bytes.fromhex(actor.private_key[2:]))
            self.remember(f"passphrase of {actor.name}", actor.passphrase.encode())
        for name, (_, ring) in self._keys.items():
            for pair in ring.keys:
                self.remember(f"X25519 key of {name}", pair.secret)
        for name, value in _secrets_of(self.shop).items():
            self.remember(name, value)

    async def clear(self) -> None:
        """Ends all daemons at once, and closes the proxies."""
        for daemon in self.daemons:
            await daemon.kill()
        self.daemons = []
        for proxy in self.proxies:
            await proxy.__aexit__(None, None, None)
        self.proxies = []
        await self.kill_daemons()
        self._daemons.clear()

    def remember(self, name: str, value: bytes) -> None:
        """A secret more, for the oracle to look for."""
        self.secrets[name] = value

    # ------------------------------------------------------------------------------------- people

    async def proxy(self, counted: Counter[str], *, seed: int = 0) -> RpcProxy:
        """A proxy before the chain; it is closed with the test."""
        proxy = await RpcProxy(self.chain.url, counted=counted, seed=seed).__aenter__()
        self.proxies.append(proxy)
        self.remember("key in the node's address", proxy.secret.encode())
        return proxy

    def deliverer(
        self,
        number: int = 0,
        *,
        rpc: str | None = None,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> Deliverer:
        """A deliverer of the shop, to run in this process; not started yet.

        Args:
            number: Which; its part has the same index.
            rpc: Its node, such as a proxy's ``url``; the chain itself unless given.
            env: Further variables, such as ``DAM_CONFIRMATIONS``.
            home: Its state folder; a second one of the same deliverer needs another.
        """
        actor = self.shop.deliverers[number]
        home = home or self.scratch / f"home {number}"
        values = self.env(actor) | {"DAM_RPC_URL": rpc or self.chain.url, "DAM_HOME": str(home)}
        signer, ring = self._keys[actor.address]
        daemon = Deliverer(
            actor,
            number,
            {**values, **(env or {})},
            signer,
            ring,
            self.log,
            run=len(self.daemons),
        )
        self.daemons.append(daemon)
        return daemon

    def process(
        self,
        number: int = 0,
        *,
        rpc: str | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> Process:
        """The same as a process of its own: `dam deliverer run`, or another command."""
        actor = self.shop.deliverers[number]
        home = self.scratch / f"process {number}"
        home.mkdir(parents=True, exist_ok=True)
        keys = home / "keys"
        if not keys.exists():
            shutil.copytree(actor.dam_home / "keys", keys)
        values = {"DAM_RPC_URL": rpc or self.chain.url, "DAM_HOME": str(home)}
        # The sources that this process runs, which may be a copy with a line taken out.
        values["PYTHONPATH"] = str(Path(dam.__file__).parents[1])
        script = python(ROOT / "daemons" / "deliverer.py")
        inner = self.daemon(
            actor, "deliverer", command=command or script, env={**values, **(env or {})}
        )
        inner.log = self.scratch / f"process {number}.log"
        daemon = Process(actor, number, inner)
        self.daemons.append(daemon)
        return daemon

    # ------------------------------------------------------------------------------------ the chain

    async def mine(self, blocks: int = 1) -> int:
        """Mines; before the first block, looks for parts in two waiting transactions."""
        await self.look_for_doubles()
        if self.base_fee is None:
            await self.rpc.call("anvil_mine", hex(blocks))
            return await self.block()
        for _ in range(blocks):
            await self.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(self.base_fee))
            await self.rpc.call("anvil_mine", "0x1")
        return await self.block()

    async def look_for_doubles(self) -> None:
        """Puts on record what part stands in two transactions of the pool."""
        ours = {actor.address.lower() for actor in self.shop.deliverers}
        carried: dict[Part, list[int]] = {}
        for tx in pool_transactions(await self.rpc.call("txpool_content"), ours):
            for part in parts_in(tx["input"]):
                carried.setdefault(part, []).append(int(tx["nonce"], 16))
        self.doubles += [(part, nonces) for part, nonces in carried.items() if len(nonces) > 1]

    async def reorganise(self, depth: int, again: Sequence[tuple[str, int]] = ()) -> None:
        """Replaces the newest blocks by as many others.

        Args:
            depth: How many.
            again: Raw transactions (0x-hex) of the new blocks, and each one's place, from 0.
        """
        # A transfer that the old branch lacks: Anvil could make the very same blocks again.
        sender = self._spare[-1]
        fork = hex(await self.block() - depth)
        nonce = int(await self.rpc.call("eth_getTransactionCount", sender.address, fork), 16)
        other = await self.signed(sender, b"", value=depth, to=sender.address, nonce=nonce)
        await self.rpc.call("anvil_reorg", depth, [list(pair) for pair in (*again, (other, 0))])

    async def send_data(self, actor: Actor, data: bytes, *, value: int = 0) -> Receipt:
        """Sends a call of the market from an actor and mines a block with it."""
        if await self.rpc.call("anvil_getAutomine"):
            return await super().send_data(actor, data, value=value)
        tx_hash = await self.post(actor, data, value=value)
        await self.mine()
        found = await self.rpc.call("eth_getTransactionReceipt", tx_hash)
        assert found is not None, "a block was mined without it"
        assert found["status"] == "0x1", f"transaction {tx_hash} reverted"
        used, price = int(found["gasUsed"], 16), int(found["effectiveGasPrice"], 16)
        block = int(found["blockNumber"], 16)
        return Receipt(bytes.fromhex(tx_hash[2:]), block, 1, used, price, tuple(found["logs"]))

    async def post(self, actor: Actor, data: bytes, *, value: int = 0, to: str = "") -> str:
        """Sends a transaction without waiting for a block; its hash."""
        raw = await self.signed(actor, data, value=value, to=to)
        return str(await self.rpc.call("eth_sendRawTransaction", raw))

    async def signed(
        self, actor: Actor, data: bytes, *, value: int = 0, to: str = "", nonce: int | None = None
    ) -> str:
        """A signed transaction, 0x-hex; the next nonce, and more gas than any call takes."""
        signer = Signer(actor.address, Account.from_key(actor.private_key))
        if nonce is None:
            count = await self.rpc.call("eth_getTransactionCount", actor.address, "pending")
            nonce = int(count, 16)
        fees = await suggest_fees(self.rpc, 10**9)
        if self.base_fee is not None:
            fees = Fees(2 * self.base_fee + fees.tip, fees.tip, self.base_fee)
        receiver = Address(to or self.deployment.market)
        chain_id = self.deployment.chain_id
        raw = signer.sign(transaction(chain_id, nonce, receiver, data, _GAS, fees, value))
        return "0x" + raw.hex()

    async def buy(self, copies: int = 1, *, buyer: Actor | None = None) -> list[Bought]:
        """Sells so many copies in one block, to different buyers where there are enough."""
        ready, before = [], await self.block()
        for number in range(copies):
            actor = buyer or self.people[number % len(self.people)]
            order = await trade.order(self, self.shop.seller, ITEM, self._next_copy)
            self._next_copy += 1
            await self.post(actor, order.data, value=order.terms.price)
            ready.append(order)
        block = await self.mine()
        # Whoever mines meanwhile may have taken it into an earlier block.
        logs = await self.market.logs(before + 1, block)
        found = {log.copy: log for log in logs if isinstance(log, Purchase)}
        bought = [Bought(found[order.copy], order.secrets) for order in ready]
        self.sold += bought
        for one in bought:
            for index, secret in enumerate(one.secrets):
                # Not the daemon's, and still nothing that it should ever come to know.
                self.remember(f"one-time key {index} of a buyer", secret)
        return bought

    async def recount(self) -> None:
        """After a reorganisation: ``sold`` is what the chain has now, wherever it stands there."""
        newest = await self.block()
        logs = await self.market.logs(min(self.first, newest), newest)
        found = {(log.copy_id, log.keys): log for log in logs if isinstance(log, Purchase)}
        self.sold = [
            Bought(found[one.sale.copy_id, one.sale.keys], one.secrets)
            for one in self.sold
            if (one.sale.copy_id, one.sale.keys) in found
        ]

    async def raw(self, tx_hash: bytes) -> str:
        """A mined transaction's raw bytes, 0x-hex."""
        return str(await self.rpc.call("eth_getRawTransactionByHash", "0x" + tx_hash.hex()))

    async def delivered(self, *, by: Address | None = None) -> list[FragmentDelivered]:
        """All parts on the chain that were delivered since `reset`."""
        newest = await self.block()
        return [
            log
            for log in await self.market.logs(min(self.first, newest), newest)
            if isinstance(log, FragmentDelivered)
            and not log.supplied
            and (by is None or log.by == by)
        ]

    async def until(
        self,
        condition: Callable[[], Awaitable[bool]] | Callable[[], bool],
        what: str,
        *,
        blocks: int = 60,
        seconds: float = SECONDS,
    ) -> None:
        """Mines a block now and then until something is true.

        Args:
            condition: Asked before each block.
            what: For the failure's text.
            blocks: How many to mine at the usual pace; after them only one a second.
            seconds: When to give up.
        """
        deadline = time.monotonic() + seconds
        mined = 0
        while True:
            answer = condition()
            if await answer if not isinstance(answer, bool) else answer:
                return
            if time.monotonic() > deadline:
                tails = "\n".join(f"{daemon}: {daemon.tail()}" for daemon in self.daemons)
                raise AssertionError(f"{what}: not after {seconds} s and {mined} blocks\n{tails}")
            await self.mine()
            mined += 1
            await asyncio.sleep(_BLOCK_SECONDS if mined < blocks else 1.0)

    async def wait(
        self, condition: Callable[[], bool], what: str, seconds: float = SECONDS
    ) -> None:
        """Waits until something is true, without a new block."""
        deadline = time.monotonic() + seconds
        while not condition():
            tails = "\n".join(f"{daemon}: {daemon.tail()}" for daemon in self.daemons)
            assert time.monotonic() < deadline, f"{what}: not after {seconds} s\n{tails}"
            await asyncio.sleep(0.02)

    async def until_delivered(
        self, *daemons: Deliverer | Process, sales: Sequence[Bought] = (), **more: Any
    ) -> None:
        """Mines until these daemons (all) have their part of these sales (all) on the chain."""
        who = daemons or tuple(self.daemons)
        # The same deliverer may have run more than once.
        wanted = {
            (one.sale.copy_id, daemon.actor.address) for one in sales or self.sold for daemon in who
        }

        async def there() -> bool:
            return wanted <= {(log.copy_id, log.by) for log in await self.delivered()}

        names = ", ".join(map(str, who))
        await self.until(there, f"{len(wanted)} parts of {names}", **more)

    async def looks(self, proxy: RpcProxy, requests: int = 8) -> None:
        """Waits until a daemon has asked its node so often more, without a new block."""
        wanted = proxy.requests + requests
        deadline = time.monotonic() + SECONDS
        while proxy.requests < wanted:
            assert time.monotonic() < deadline, "the daemon asks its node nothing any more"
            await asyncio.sleep(0.02)

    async def settle_down(self, blocks: int = 4) -> None:
        """A few blocks more, so that all that was sent is final and what is wrong shows."""
        for _ in range(blocks):
            await self.mine()
            await asyncio.sleep(_BLOCK_SECONDS)


def _environ(actor: Actor) -> dict[str, str]:
    return {**actor.env(), "APE_DATA_FOLDER": str(actor.home / ".ape")}


def _secrets_of(shop: Shop) -> dict[str, bytes]:
    """The seller's seed, and every content key and share of the goods."""
    found: dict[str, bytes] = {"seed of the seller": shop.seed.seed}
    for lot in shop.listing.lots:
        for copy in range(lot.first_copy, lot.first_copy + lot.copies):
            place = shop.listing.place(copy)
            found[f"content key of copy {copy}"] = shop.seed.content_key(place)
            for leaf, share in copy_parts(shop.seed, shop.listing, copy):
                found[f"share {leaf.index} of copy {copy}"] = share
    for number, good in enumerate(shop.goods):
        found[f"good {number}"] = good
    return found
