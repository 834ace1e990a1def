"""A market in memory, a seller with a catalogue, and daemons that can be killed and restarted.

Everything but the chain is real: store documents, sealing, SQLite files, signed transactions. A
"kill" is an exception out of a checkpoint: what was not committed is gone, as after a SIGKILL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from eth_account import Account

from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import keccak
from dam.crypto.sealing import new_secret_key, open_fragment, public_key
from dam.daemon.chain_reader import ChainReader
from dam.daemon.document_sync import DocumentSync
from dam.daemon.service import Service
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyRing
from dam.ledger.documents import Document, Documents
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.outbox import Outbox
from dam.ledger.sales import Sales
from dam.market.deliverers import Deliverer as KnownDeliverer
from dam.roles.deliverer.deliverer import Deliverer
from dam.roles.seller.goods import Good, add_goods
from dam.roles.seller.listings import Catalogue, Listing
from dam.roles.seller.store_builder import BuiltStore, build_store, publish_store
from dam.roles.watchdog import Watchdog
from dam.sending.sender import Sender, SendPolicy
from dam.testing.blocks import MemoryStore
from dam.testing.memory import GWEI, MemoryChain
from dam.types import Address, CopyId, Wei
from tests.unit.helpers.ledger import document_of, journal_of

DEAR_FEE = 59_000 * 2 * GWEI
"""What a part of "dear" earns, in wei; see `dear`."""


class Killed(BaseException):
    """The process died here; nothing catches this but the test."""


class Checkpoints:
    """Dies at the n-th hit of a place."""

    def __init__(self) -> None:
        self.hits: dict[str, int] = {}
        self.kill_at: tuple[str, int] | None = None

    def __call__(self, place: str) -> None:
        self.hits[place] = self.hits.get(place, 0) + 1
        if self.kill_at == (place, self.hits[place]):
            self.kill_at = None
            raise Killed(place)


def account(name: str) -> Signer:
    local = Account.from_key(keccak(name.encode()))
    return Signer(Address(local.address), local)


def address(name: str) -> Address:
    return account(name).address


SELLER, THIEF, BUYER, OTHER_BUYER = map(address, ("seller", "thief", "buyer", "other buyer"))


@dataclass
class Shop:
    """A seller: catalogue folder, seed, and a store document in the world's blocks."""

    world: World
    seller: Address
    folder: Path

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.folder)
        self.seed = SellerSeed(keccak(b"seed of " + self.seller.encode()))

    async def add(self, name: str, *goods: Good, **changes: Any) -> Listing:
        values: dict[str, Any] = {
            "chain_id": 31337,
            "market": self.world.chain.address,
            "seller": self.seller,
            "name": name,
            "title": name,
            "price": 1000,
            "commission": Wei(30),
            "penalty": Wei(500),
            "parts": 3,
            "threshold": 2,
            "stock": False,
            "supply": 1000,
        }
        draft = Listing(**{**values, **changes})
        known = [daemon.known for daemon in self.world.deliverers[: draft.parts]]
        listing = await add_goods(
            self.world.blocks, self.seed, draft, goods or (b"the good of " + name.encode(),), known
        )
        self.catalogue.save(listing)
        return listing

    async def publish(self) -> BuiltStore:
        built = build_store(
            self.seed,
            self.catalogue,
            name="Shop",
            chain_id=31337,
            market=self.world.chain.address,
            seller=self.seller,
        )
        await publish_store(self.world.blocks, built)
        self.world.chain.publish(self.seller, built.digest, built.root)
        return built


class Daemon:
    """A deliverer (or, below, a watchdog) with a ledger file that outlives it."""

    role_name = "deliverer"

    @property
    def delivery_seconds(self) -> int:
        return self.ledger.delivery_seconds(self.world.chain.deployment.windows)

    def __init__(self, world: World, name: str, path: Path) -> None:
        self.world = world
        self.signer = account(name)
        self.path = path
        self.ring = KeyRing.generate()
        self.checkpoints = Checkpoints()
        # Its items earn less than their gas: see sending/test_batching.py.
        self.policy = SendPolicy(confirmations=world.confirmations, unprofitable="send")
        self.min_fee = 0
        self.logs: list[dict[str, Any]] = []
        self.service: Service | None = None
        self.build()

    @property
    def address(self) -> Address:
        return self.signer.address

    @property
    def known(self) -> KnownDeliverer:
        return KnownDeliverer(self.address, self.ring.current.public)

    def build(self) -> None:
        """Starts the daemon from its ledger file."""
        log = structlog.wrap_logger(None, processors=[self._log])
        chain = self.world.chain
        binding = Binding(31337, chain.address, self.address, self.role_name)
        self.ledger = Ledger.open(self.path, binding)
        self.outbox, self.documents = Outbox(self.ledger), Documents(self.ledger)
        self.sales = Sales(self.ledger)
        self.reader = ChainReader(
            chain,
            self.ledger,
            log=log,
            confirmations=self.world.confirmations,
            checkpoint=self.checkpoints,
        )
        self.sender = Sender(
            chain,
            chain,
            self.signer,
            self.ledger,
            operator=self.signer,
            log=log,
            policy=self.policy,
            checkpoint=self.checkpoints,
        )
        self.role = self.make_role(log)
        self.service = Service(
            self.ledger, self.reader, self.role, self.sender, log=log, check=chain.check_deployment
        )

    def make_role(self, log: Any) -> Any:
        role = Deliverer(
            self.world.chain,
            self.ledger,
            self.ring,
            self.address,
            log=log,
            min_fee=self.min_fee,
            checkpoint=self.checkpoints,
        )
        self.sync = DocumentSync(
            self.world.blocks,
            self.ledger,
            role.scan,
            log=log,
            changed=role.documents_changed,
            checkpoint=self.checkpoints,
        )
        return role

    def journal(self, *events: str) -> list[dict[str, Any]]:
        return journal_of(self.ledger, *events)

    def document(self, seller: Address, digest: bytes, root: bytes) -> Document | None:
        return document_of(self.ledger, seller, digest, root)

    def restart(self) -> None:
        self.ledger.close()
        self.build()

    async def drain(self) -> None:
        """Reads the documents that are wanted, once, and pins them."""
        documents = self.sync._documents
        for document in documents.wanted(()):
            await self.sync._read(document)
        for document in documents.to_pin():
            await self.sync._pin(document)

    async def tick(self) -> None:
        """Reads what there is, keeps up with stores, decides and sends."""
        assert self.service is not None
        while not await self.service.tick():
            pass
        await self.drain()
        while not await self.service.tick():
            pass

    async def tick_to_death(self) -> bool:
        """Ticks; if the daemon is killed, restarts it from its file. True: it was killed."""
        try:
            await self.tick()
        except Killed:
            self.restart()
            return True
        return False

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.logs if line["event"] == name]

    def _log(self, _: Any, method: str, event: dict[str, Any]) -> str:
        self.logs.append({**event, "level": method})
        raise structlog.DropEvent


class WatchdogDaemon(Daemon):
    def __init__(self, world: World, shop: Shop, name: str, path: Path) -> None:
        self.shop = shop
        self.role_name = f"watchdog of {shop.seller}"
        super().__init__(world, name, path)

    def make_role(self, log: Any) -> Any:
        return Watchdog(
            self.world.chain,
            self.ledger,
            self.shop.seed,
            self.shop.catalogue,
            self.shop.seller,
            self.address,
            log=log,
        )

    async def tick(self) -> None:
        assert self.service is not None
        while not await self.service.tick():
            pass


@dataclass
class World:
    """Chain, blocks, one shop, daemons."""

    folder: Path
    confirmations: int = 2
    chain: MemoryChain = field(default_factory=MemoryChain)
    blocks: MemoryStore = field(default_factory=MemoryStore)
    secrets: dict[CopyId, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deliverers = [
            Daemon(self, f"deliverer {i}", self.folder / f"deliverer{i}.sqlite") for i in range(3)
        ]
        self.chain.eligible |= {daemon.address for daemon in self.deliverers}
        self.shop = Shop(self, SELLER, self.folder / "catalogue")

    @property
    def daemon(self) -> Daemon:
        return self.deliverers[0]

    def buy(
        self, built: BuiltStore, name: str, copy: int = 0, buyer: Address = BUYER, **changes: Any
    ) -> CopyId:
        """Queues a purchase with fresh keys."""
        terms = built.terms[name]
        secrets = [new_secret_key() for _ in range(terms.parts)]
        values: dict[str, Any] = {
            "seller": built.seller,
            "buyer": buyer,
            "terms": terms,
            "store_digest": built.digest,
            "copy": copy,
            "keys": tuple(map(public_key, secrets)),
        }
        sold = self.chain.buy(**{**values, **changes})
        self.secrets[sold] = secrets
        return sold

    async def ticks(self, *daemons: Daemon, blocks: int = 6) -> None:
        """Mines blocks, each followed by a tick of the daemons (all deliverers by default)."""
        for _ in range(blocks):
            self.chain.mine()
            for daemon in daemons or self.deliverers:
                await daemon.tick()


PLACES = [f"F{i}" for i in range(1, 9)]


def assert_delivered_once(world: World, *sold: bytes, by: list[Daemon] | None = None) -> None:
    """Each daemon's part is there once, and opens; no nonce was skipped, nothing reverted."""
    daemons = by or world.deliverers
    for copy_id in sold:
        logs = world.chain.delivered(copy_id)  # type: ignore[arg-type]
        assert sorted(log.by for log in logs) == sorted(d.address for d in daemons)
        for log in logs:
            share = open_fragment(log.fragment, world.secrets[log.copy_id][log.index])
            assert keccak(share) == log.commitment
    for daemon in daemons:
        mined = world.chain.mined(daemon.address)
        assert [nonce for nonce, _ in mined] == list(range(len(mined)))
        assert all(status == 1 for _, status in mined)
