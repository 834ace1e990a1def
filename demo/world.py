"""A small world of real parts: a chain, a block store, the market, and people who run commands.

Everything lives in one folder and ends with the world: nodes and daemons are processes of their
own, each ended by its id. The demo plays its scenes here, and the end-to-end tests are built on it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eth_account import Account

from dam.crypto.hashing import keccak
from dam.errors import ContractReverted
from dam.ethereum.rpc import JsonRpc
from dam.ipfs.blocks import BlockStore
from dam.ipfs.open import open_store
from dam.keystore.ape_accounts import Signer
from dam.market.client import Market
from dam.market.deployment import load_deployment, save_deployment
from dam.market.wallet import Receipt
from dam.sending.transactions import broadcast, suggest_fees, transaction
from dam.sending.wallet import KeyWallet, wait_receipt
from dam.testing.market import MarketCode, deploy_market
from dam.testing.nodes import AnvilNode, KuboNode, NodeMissingError
from dam.types import (
    Address,
    Deployment,
    MarketLog,
    StoreVersion,
)
from demo.actors import Actor, make_actor
from demo.processes import Daemon, Reaper, Start, base_env, ended

ROOT = Path(__file__).resolve().parents[1]
_COMMAND_SECONDS = 120
_COMPILE_SECONDS = 600
"""The contracts are compiled before they are deployed: a minute, on a busy machine several."""
DAM = (sys.executable, "-m", "dam")


class CommandFailed(Exception):
    """A ``dam`` command ended with another code than 0."""

    def __init__(self, command: Sequence[str], code: int, stdout: str, stderr: str) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr
        words = ["dam", *command[len(DAM) :]] if tuple(command[: len(DAM)]) == DAM else command
        said = (stderr or stdout).strip().splitlines() or ["nothing"]
        # What a command found wrong is its last line; what stands before is progress.
        super().__init__(f"`{' '.join(words)}` ended with {code}: {said[-1]}")


@dataclass(frozen=True)
class Output:
    """What a command printed."""

    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, which is one JSON value under ``--json``."""
        return json.loads(self.stdout)


class World:
    """Use it as ``async with``.

    Args:
        folder: Where everything is kept; None for a temporary folder that is removed at the end.
        kubo: True: the real IPFS node, or `NodeMissingError`. False: a directory of blocks. None:
            the node where there is one.
        confirmations: How deep a block is before the daemons act on it.
        deploy: Arguments for the deploy script, such as windows.
        start: Starts commands and daemons.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        kubo: bool | None = None,
        confirmations: int = 1,
        deploy: Sequence[str] = (),
        start: Start = subprocess.Popen,
    ) -> None:
        self._start_process = start
        self._given = folder
        self._kubo = kubo
        self.confirmations = confirmations
        self._deploy_args = tuple(deploy)
        self._stack = AsyncExitStack()
        self._daemons: list[Daemon] = []
        self._locks: dict[str, asyncio.Lock] = {}
        self._people: Counter[str] = Counter()
        self.folder = Path()
        self.kubo_node: KuboNode | None = None
        """The IPFS node, or None where blocks are in a directory."""
        self.ipfs = ""
        """Address of the block store, as `dam.ipfs.open.open_store` takes it."""
        self.chain: AnvilNode
        self.reaper: Reaper
        self.rpc: JsonRpc
        self.blocks: BlockStore
        self.market: Market
        self.deployment: Deployment

    # ------------------------------------------------------------------------- start and end

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        # A block per transaction, and one a second besides: time passes without anybody's doing.
        await self._start_nodes("--mixed-mining", "--block-time", "1")
        self._stack.push_async_callback(self._stop_daemons)
        self.deployment = await self._deploy()
        self.market = Market(self.rpc, self.deployment)
        await self.market.check_deployment()

    async def _start_nodes(self, *anvil: str) -> None:
        """Makes the folder, and starts the chain with these options and the block store."""
        stack = self._stack
        self.folder = self._given or Path(tempfile.mkdtemp(prefix="dam-world-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._given is None:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.reaper = Reaper()
        stack.callback(self.reaper.close)
        if self._given is None:
            self.reaper.remove(self.folder)
        self.chain = await stack.enter_async_context(self._make_chain(*anvil))
        self._guard(self.chain.pid)
        await self._start_blocks()
        self.rpc = await stack.enter_async_context(JsonRpc(self.chain.url))

    def _make_chain(self, *options: str) -> AnvilNode:
        """The chain, not started yet."""
        return AnvilNode(args=options, folder=self.folder / "anvil")

    def _guard(self, pid: int) -> None:
        """The reaper kills it if we cannot; forgotten before it is stopped, as ids are reused."""
        self.reaper.watch(pid)
        self._stack.callback(self.reaper.forget, pid)

    async def _start_blocks(self) -> None:
        if self._kubo is not False:
            try:
                node = await self._stack.enter_async_context(KuboNode(folder=self.folder / "ipfs"))
                self._guard(node.pid)
                self.kubo_node, self.ipfs = node, node.url
            except NodeMissingError:
                if self._kubo:
                    raise
        if not self.ipfs:
            self.ipfs = f"dir:{self.folder / 'blocks'}"
        self.blocks = open_store(self.ipfs)
        self._stack.push_async_callback(self.blocks.close)

    async def _deploy(self) -> Deployment:
        """Deploys with the script that everybody uses; Anvil's first account pays."""
        command = ["ape", "run", "deploy", "--network", self.chain.url, "--account", "TEST::0"]
        command += ["--out", str(self.record), *self._deploy_args]
        env = base_env() | {"HOME": str(self.folder)}
        if "SOLCX_BINARY_PATH" in os.environ:
            env["SOLCX_BINARY_PATH"] = os.environ["SOLCX_BINARY_PATH"]
        await run(command, env, cwd=ROOT, seconds=_COMPILE_SECONDS)
        return load_deployment(self.record)

    async def _deploy_directly(self, code: MarketCode | None = None) -> None:
        """Deploys without the script, which takes seconds; ``code`` unless the sources' own."""
        self.deployment = await asyncio.to_thread(deploy_market, self.chain, code=code)
        save_deployment(self.deployment, self.record)
        self.market = Market(self.rpc, self.deployment)

    async def _stop_daemons(self) -> None:
        await asyncio.gather(*(daemon.stop() for daemon in self._daemons if daemon.running))

    async def kill_daemons(self) -> None:
        """Ends all daemons at once, without a chance to drain."""
        await asyncio.gather(*(daemon.kill() for daemon in self._daemons if daemon.running))

    @property
    def record(self) -> Path:
        """File of the deployment record."""
        return self.folder / "deployment.json"

    # --------------------------------------------------------------------------------- people

    async def actor(self, name: str, wei: int = 10 * 10**18) -> Actor:
        """A new party with coins out of nowhere."""
        self._people[name] += 1
        number = self._people[name]
        folder = self.folder / ("people" if number == 1 else f"people {number}")
        actor = make_actor(name, folder)
        await self.fund(actor.address, wei)
        return actor

    async def fund(self, address: Address, wei: int) -> None:
        """Coins out of nowhere."""
        await self.rpc.call("anvil_setBalance", address, hex(wei))

    def env(self, actor: Actor) -> dict[str, str]:
        """The whole environment of the actor's commands and daemons."""
        return (
            base_env()
            | actor.env()
            | {
                "DAM_RPC_URL": self.chain.url,
                "DAM_DEPLOYMENT": str(self.record),
                "DAM_IPFS": self.ipfs,
                "DAM_CONFIRMATIONS": str(self.confirmations),
                "DAM_POLL": "0.3",
            }
        )

    async def dam(
        self, actor: Actor, *arguments: str | int | Path, env: Mapping[str, str] | None = None
    ) -> Output:
        """Runs a ``dam`` command as the actor would type it.

        Raises:
            CommandFailed: It ended with another code than 0.
        """
        command = [*DAM, *(str(argument) for argument in arguments)]
        # One command of a person at a time: they share a nonce.
        async with self._locks.setdefault(actor.address, asyncio.Lock()):
            return await run(
                command,
                {**self.env(actor), **(env or {})},
                cwd=actor.home,
                start=self._start_process,
            )

    async def send(self, actor: Actor, function: str, *arguments: Any, value: int = 0) -> Receipt:
        """Sends a call to the market straight from the actor, without any tool between."""
        return await self.send_data(actor, self.market.encode(function, *arguments), value=value)

    async def send_data(self, actor: Actor, data: bytes, *, value: int = 0) -> Receipt:
        """As `send`, with the calldata made elsewhere."""
        signer = Signer(actor.address, Account.from_key(actor.private_key))
        wallet = KeyWallet(self.rpc, signer, self.deployment.chain_id, poll_seconds=0.05)
        async with self._locks.setdefault(actor.address, asyncio.Lock()):
            return await wallet.send(self.deployment.market, data, value)

    async def send_anyway(self, actor: Actor, data: bytes, *, value: int = 0) -> int:
        """Sends a call that no tool would, since it reverts; returns the block that has it."""
        signer = Signer(actor.address, Account.from_key(actor.private_key))
        nonce = int(await self.rpc.call("eth_getTransactionCount", actor.address, "pending"), 16)
        fees = await suggest_fees(self.rpc, 10**9)
        to = self.deployment.market
        raw = signer.sign(
            transaction(self.deployment.chain_id, nonce, to, data, 500_000, fees, value)
        )
        await broadcast(self.rpc, raw)
        try:
            await wait_receipt(self.rpc, keccak(raw), poll_seconds=0.05)
        except ContractReverted as error:
            return int(str(error.arguments["block"]))
        raise AssertionError("the contract took what it should refuse")

    # --------------------------------------------------------------------- what the chain says

    async def logs(self) -> list[MarketLog]:
        """All events of the market so far."""
        return await self.market.logs(self.deployment.first_block, await self.block())

    async def store_versions(self, seller: Address) -> list[StoreVersion]:
        """All versions of a seller's store, the oldest first."""
        logs = await self.logs()
        return [log for log in logs if isinstance(log, StoreVersion) and log.seller == seller]

    async def store_version(self, seller: Address) -> StoreVersion:
        """The newest version of a seller's store."""
        return (await self.store_versions(seller))[-1]

    async def deliverer_key(self, operator: Address) -> bytes:
        """The X25519 key of a deliverer, of what it last announced and showed that it has."""
        first, head = self.deployment.first_block, await self.block()
        key, _ = await self.market.announced_key(operator, first, head)
        assert key is not None, f"{operator} never announced a key"
        return key

    # -------------------------------------------------------------------------------- daemons

    def daemon(
        self, actor: Actor, role: str, *, command: Sequence[str] = (), env: Mapping[str, str] = {}
    ) -> Daemon:
        """One of the actor's daemons, not started yet.

        Args:
            actor: Whose.
            role: ``deliverer`` or ``watchdog``.
            command: What to run instead of ``dam <role> run``.
            env: Further variables.
        """
        daemon = Daemon(
            actor.name,
            role,
            command or [*DAM, role, "run"],
            {**self.env(actor), **env},
            actor.home / f"{role}.log",
            self.reaper,
            self._start_process,
        )
        self._daemons.append(daemon)
        return daemon

    # ----------------------------------------------------------------------------------- time

    async def block(self) -> int:
        """Number of the newest block."""
        return int(await self.rpc.call("eth_blockNumber"), 16)

    async def time(self) -> int:
        """Timestamp of the newest block, in seconds."""
        return (await self.market.block(await self.block())).timestamp

    async def pass_time(self, seconds: int) -> int:
        """Moves the chain's clock on, in one block; returns that block's number."""
        await self.rpc.call("evm_increaseTime", hex(seconds))
        return await self.mine(1)

    async def pass_to(self, time: int) -> int:
        """Moves the chain's clock to a time, unless it is past that; the newest block's number."""
        missing = time - await self.time()
        return await self.pass_time(missing) if missing > 0 else await self.block()

    async def mine(self, blocks: int) -> int:
        """Mines empty blocks at once; returns the newest block's number."""
        await self.rpc.call("anvil_mine", hex(blocks))
        return await self.block()

    async def mine_to(self, number: int) -> int:
        """Mines until block ``number`` is there."""
        missing = number - await self.block()
        return await self.mine(missing) if missing > 0 else await self.block()


def python(script: Path) -> list[str]:
    """The command that runs a script of ours."""
    return [sys.executable, str(script)]


async def run(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path,
    seconds: float = _COMMAND_SECONDS,
    start: Start = subprocess.Popen,
) -> Output:
    """Runs a command to its end.

    Raises:
        CommandFailed: It ended with another code than 0.
        TimeoutError: It did not end in so many seconds.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                await ended(process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await ended(process)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode("utf-8", "replace"))
    output = Output(*said)
    if process.returncode:
        raise CommandFailed(command, process.returncode, output.stdout, output.stderr)
    return output
