"""What the benches of sending stand on: the real contract on Anvil, and real deliverers.

Store documents come from nowhere: our parts are put into each ledger as `DocumentSync` would
have found them, so that IPFS has no part in what is measured. All else is the daemon's own:
`Service`, `ChainReader`, `Deliverer`, `Sender`, a ledger on disk, JSON-RPC over HTTP.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from eth_account import Account

from dam.crypto.hashing import (
    copy_id,
    domain,
    domain_separator,
    item_id,
    keccak,
    part_leaf,
    sale_of,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import new_secret_key, public_key, seal_part, shared_key
from dam.daemon.chain_reader import ChainReader
from dam.daemon.service import Service, Stop
from dam.ethereum.node_pool import NodePool
from dam.ethereum.rpc import JsonRpc
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyRing
from dam.ledger.documents import Documents, Scan
from dam.ledger.ledger import Binding, Ledger
from dam.ledger.sales import KeptPart
from dam.log import get_logger
from dam.market.abi import encode, market_abi
from dam.market.calldata import signed_digest
from dam.market.client import Market
from dam.market.log_rows import dump_terms
from dam.roles.deliverer.deliverer import Deliverer
from dam.sending.sender import Sender, SendPolicy
from dam.testing.market import deploy_market, transact
from dam.testing.nodes import AnvilNode
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Delivery,
    Deployment,
    LogRef,
    Part,
    PartLeaf,
    Purchase,
    Terms,
    Wei,
)

ETHER = 10**18
CHAIN = 31337
ANVIL = ("--hardfork", "cancun", "--prune-history", "1000000", "--no-request-size-limit")


@dataclass
class LocalMarket:
    """One item with a part for each deliverer, on a chain whose blocks come when told.

    Args:
        deliverers: How many; at most 32.
        gas_limit: Of a block.
    """

    deliverers: int = 3
    gas_limit: int = 30_000_000
    daemons: list[Daemon] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        self.node = await self._stack.enter_async_context(AnvilNode(args=ANVIL))
        self.rpc = await self._stack.enter_async_context(JsonRpc(self.node.url, timeout=120))
        self.deployment: Deployment = await asyncio.to_thread(deploy_market, self.node)
        self.dice = random.Random(11)
        self._open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _open(self) -> None:
        market, dice = self.deployment.market, self.dice
        self.seller, self.buyer = self._account("seller"), self._account("buyer")
        accounts = [Account.from_key(keccak(b"deliverer %d" % i)) for i in range(self.deliverers)]
        shares = [dice.randbytes(32) for _ in accounts]
        secret, salts = dice.randbytes(32), [dice.randbytes(32) for _ in accounts]
        leaves = [
            PartLeaf(0, i, Address(account.address), keccak(shares[i]), secret, salts[i])
            for i, account in enumerate(accounts)
        ]
        tree = MerkleTree([part_leaf(leaf) for leaf in leaves])
        count = len(leaves)
        self.leaves, self.tree = leaves, tree
        self.terms = Terms(
            item_id("song"), ZERO_ADDRESS, ETHER // 50, Wei(count * ETHER // 2000), Wei(1), Wei(0),
            10**6, False, count, 1, ZERO_ADDRESS, tree.root,
        )  # fmt: skip
        self.catalogue = MerkleTree([terms_leaf(self.terms)])
        self.digest = dice.randbytes(32)
        self._call(self.seller, "stakeAsSeller", value=10**5 * ETHER)
        self._call(self.seller, "createStore", self.digest, self.catalogue.root)
        place = domain(CHAIN, market, self.seller, self.terms.item_id, False, 0)
        for i, account in enumerate(accounts):
            self._fund(account.address)
            ring = KeyRing.generate()
            me, pair = Address(account.address), ring.current
            self._impersonate(me)
            possession = pair.prove_possession(CHAIN, market, me)
            self._call(me, "stakeAsDeliverer", pair.announced, possession, value=ETHER)
            page = new_secret_key()
            part = Part(place, i, shares[i], secret, salts[i])
            sealed = seal_part(shared_key(page, pair.public), part)
            kept = KeptPart(
                self.terms.item_id, 0, i, dump_terms(self.terms), public_key(page), sealed,
                b"".join(tree.proof(part_leaf(leaves[i]))),
            )  # fmt: skip
            self.daemons.append(Daemon(self, account, ring, kept))

    def _account(self, name: str) -> Address:
        address = Address(Account.from_key(keccak(name.encode())).address)
        self._fund(address)
        self._impersonate(address)
        return address

    def _fund(self, address: str) -> None:
        self.node.request("anvil_setBalance", address, hex(10**6 * ETHER))

    def _impersonate(self, address: str) -> None:
        self.node.request("anvil_impersonateAccount", address)

    def _call(self, sender: Address, function: str, *args: Any, value: int = 0) -> None:
        transact(self.node, sender, self.deployment.market, encode(function, *args), value)

    # ------------------------------------------------------------------------------------ the chain

    async def by_hand(self) -> None:
        """From now on blocks come with `mine`, or with `interval`."""
        await self.rpc.call("evm_setAutomine", False)

    async def mine(self, blocks: int = 1) -> None:
        """Mines."""
        await self.rpc.call("anvil_mine", hex(blocks))

    async def interval(self, seconds: int) -> None:
        """A block every so many seconds from now on; 0: none."""
        await self.rpc.call("evm_setIntervalMining", seconds)

    async def height(self) -> int:
        """Number of the newest block."""
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def buy(self, first: int, count: int) -> None:
        """Buys copies ``first``, ... with fresh keys; in large blocks of their own."""
        await self.rpc.call("evm_setBlockGasLimit", hex(10**9))
        proof = self.catalogue.proof(terms_leaf(self.terms))
        for start in range(first, first + count, 100):
            calls = []
            for copy in range(start, min(start + 100, first + count)):
                keys = [public_key(self.dice.randbytes(32)) for _ in range(self.terms.parts)]
                data = encode("buyItem", self.seller, self.terms, proof, self.digest, copy, keys)
                calls.append(
                    {
                        "from": self.buyer,
                        "to": self.deployment.market,
                        "value": hex(self.terms.price),
                        "data": "0x" + data.hex(),
                        "gas": hex(90_000 + 4_000 * len(keys)),
                    }
                )
            await self.rpc.batch([("eth_sendTransaction", (call,)) for call in calls])
        await self.mine()
        await self.rpc.call("evm_setBlockGasLimit", hex(self.gas_limit))

    async def buy_one(self, copy: int, keys: list[bytes]) -> str:
        """Sends one purchase, for the next block; its hash."""
        proof = self.catalogue.proof(terms_leaf(self.terms))
        data = encode("buyItem", self.seller, self.terms, proof, self.digest, copy, keys)
        call = {
            "from": self.buyer,
            "to": self.deployment.market,
            "value": hex(self.terms.price),
            "data": "0x" + data.hex(),
            "gas": hex(300_000),
        }
        return str(await self.rpc.call("eth_sendTransaction", call))

    def delivery(self, purchase: Purchase, index: int) -> Delivery:
        """A part, with any 80 bytes as its fragment."""
        leaf = self.leaves[index]
        return Delivery(
            purchase.copy_id, sale_of(purchase), index, leaf.deliverer, leaf.commitment,
            leaf.secret_hash, leaf.salt, ZERO32, self.tree.proof(part_leaf(leaf)),
            self.dice.randbytes(80),
        )  # fmt: skip

    def deliver_call(self, daemon: Daemon, *deliveries: Delivery) -> bytes:
        """Calldata of parts that a deliverer signed."""
        separator = domain_separator(CHAIN, self.deployment.market)
        signer = Signer(daemon.address, daemon.account)
        signature = signer.sign_digest(signed_digest(separator, deliveries))
        if len(deliveries) == 1:
            return encode("deliverFragment", deliveries[0], signature)
        return encode("deliverFragments", deliveries, signature)

    def purchase(self, copy: int, block: int, time: int, keys: list[bytes]) -> Purchase:
        """As the market will emit it in the block of this number and timestamp."""
        sold = copy_id(self.seller, self.terms.item_id, copy)
        at = LogRef(BlockRef(block, bytes(32)), bytes(32), 0)
        return Purchase(
            sold, self.seller, self.buyer, self.digest, copy, block, time, self.terms, tuple(keys),
            at,
        )  # fmt: skip

    async def deliveries(self, block: int) -> list[dict[str, Any]]:
        """The logs of the parts delivered in a block."""
        query = {"fromBlock": hex(block), "toBlock": hex(block), "topics": [DELIVERED]}
        found: list[dict[str, Any]] = await self.rpc.call("eth_getLogs", query)
        return found

    async def delivered(self, block: int) -> int:
        """Parts delivered in a block."""
        return len(await self.deliveries(block))


@dataclass
class Daemon:
    """A deliverer of this market."""

    local: LocalMarket
    account: Any
    ring: KeyRing
    kept: KeptPart

    @property
    def address(self) -> Address:
        """Of the operator."""
        return Address(self.account.address)

    async def run(
        self,
        path: Path,
        stop: Stop,
        *,
        poll: float,
        confirmations: int,
        ready: asyncio.Event,
        policy: SendPolicy | None = None,
    ) -> list[bytes]:
        """Runs until told to stop; returns what was signed, in the order of the nonces.

        ``ready`` is set once the chain was read up to its head, and before anything is decided.
        """
        local, log = self.local, get_logger("deliverer")
        deployment = local.deployment
        ledger = Ledger.open(path, Binding(CHAIN, deployment.market, self.address, "deliverer"))
        async with NodePool([local.node.url], log=log) as rpc:
            market = Market(rpc, deployment)
            role = Deliverer(market, ledger, self.ring, self.address, log=log)
            sender = Sender(
                rpc,
                market,
                Signer(self.address, self.account),
                ledger,
                operator=Signer(self.address, self.account),
                log=log,
                policy=policy or SendPolicy(confirmations=confirmations),
            )
            reader = ChainReader(
                market,
                ledger,
                log=log,
                confirmations=confirmations,
            )
            service = Service(
                ledger, reader, role, sender, log=log, check=market.check_deployment, poll=poll
            )
            while not (await reader.advance()).caught_up:
                pass
            documents = Documents(ledger)
            [document] = documents.wanted(())
            documents.save_scan(document, Scan([self.kept]))
            ready.set()
            await service.run(stop)
        rows = ledger.db.execute(
            "SELECT raw FROM attempts JOIN nonce_slots ON nonce_slots.id = nonce_slot "
            "ORDER BY nonce, attempts.id"
        )
        raw = [row["raw"] for row in rows]
        ledger.close()
        return raw


DELIVERED = "0x" + market_abi().topic("FragmentDelivered").hex()
