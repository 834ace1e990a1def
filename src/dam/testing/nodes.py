"""Starts a private Anvil chain or Kubo node as a subprocess, and stops exactly that one.

Both listen on a free loopback port, keep their files in a temporary folder, and work as ``with``
and as ``async with``. ``url`` is their JSON-RPC or RPC API address while they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

ANVIL_MNEMONIC = "test test test test test test test test test test test junk"
"""Anvil's well-known accounts; keys derive at m/44'/60'/0'/0/i. Worth nothing, never use them."""
_START_SECONDS = 60.0


class NodeMissingError(Exception):
    """The program is not on this machine; the text says how to get it."""


class NodeFailedError(Exception):
    """The program did not start, or stopped; the text ends with the last lines of its log."""


def find_program(name: str, hint: str) -> str:
    """Path of a program: the checkout's ``.tools/bin`` first, then ``PATH``."""
    local = Path(__file__).resolve().parents[3] / ".tools" / "bin" / name
    found = str(local) if os.access(local, os.X_OK) else shutil.which(name)
    if not found:
        raise NodeMissingError(f"{name} is not on this machine: {hint}")
    return found


class LocalNode:
    """A subprocess with a folder and a log of its own; what it runs is a subclass's business."""

    def __init__(self, folder: Path | None) -> None:
        self._given = folder
        self.folder = Path()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id, while it runs."""
        if self._process is None:
            raise NodeFailedError("not started")
        return self._process.pid

    @property
    def log(self) -> Path:
        """What the program printed."""
        return self.folder / "output.log"

    def start(self) -> Self:
        """Starts the node and returns once it answers."""
        self.folder = self._given or Path(tempfile.mkdtemp(prefix="dam-node-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._launch()
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the process (politely, then not) and removes its folder unless one was given."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            # Its own group: a wrapper script's child goes with it, and nothing else does.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        if self._given is None and self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def request(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call, blocking: for set-up and calls such as ``anvil_mine``."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
            connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise NodeFailedError(f"{method}: {answer['error']}")
        return answer["result"]

    def _launch(self) -> None:
        raise NotImplementedError

    def _address(self) -> tuple[int, str] | None:
        """Port and URL once the program says them."""
        raise NotImplementedError

    def _spawn(self, command: list[str], env: dict[str, str]) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=self.folder,
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            address = self._address()
            if address is not None and _listens(address[0]):
                self.url = address[1]
                return
            time.sleep(0.02)
        tail = self.log.read_text("utf-8", "replace")[-800:]
        raise NodeFailedError(f"{type(self).__name__} did not start; its log ends:\n{tail}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


class AnvilNode(LocalNode):
    """A local chain with ten funded accounts (`ANVIL_MNEMONIC`).

    Args:
        chain_id: Chain id.
        block_time: Seconds between blocks; None mines a block per transaction. Anvil slows and can
            hang on bursts of thousands of transactions without a block time.
        accounts: How many funded accounts.
        port: A fixed port, to start again where a node was killed; 0 takes a free one.
        args: More command-line arguments.
        folder: Where to keep its files, kept afterwards; None for a temporary folder.
    """

    def __init__(
        self,
        *,
        chain_id: int = 31337,
        block_time: int | None = None,
        accounts: int = 10,
        port: int = 0,
        args: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self.chain_id = chain_id
        self.port = port
        self._args = ["--chain-id", str(chain_id), "--accounts", str(accounts), *args]
        if block_time is not None:
            self._args += ["--block-time", str(block_time)]

    def mine(self, blocks: int = 1) -> None:
        """Mines empty blocks."""
        self.request("anvil_mine", hex(blocks))

    def _launch(self) -> None:
        anvil = find_program("anvil", "run `make setup` in the checkout, or install Foundry")
        env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}
        command = [anvil, "--host", "127.0.0.1", "--port", str(self.port), *self._args]
        self._spawn(command, env)

    def _address(self) -> tuple[int, str] | None:
        found = re.search(rb"Listening on 127\.0\.0\.1:(\d+)", self.log.read_bytes())
        if found is None:
            return None
        self.port = int(found[1])
        return self.port, f"http://127.0.0.1:{self.port}"


class KuboNode(LocalNode):
    """A private, offline IPFS node: no swarm, no bootstrap, no telemetry.

    Args:
        folder: Where to keep its repository, kept afterwards; None for a temporary folder.
        secrets: What its API asks for, such as ``bearer:TOKEN`` or ``basic:USER:PASSWORD``; one of
            them is enough. None: nothing.
    """

    def __init__(self, *, folder: Path | None = None, secrets: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self._secrets = secrets

    def _launch(self) -> None:
        ipfs = find_program("ipfs", "run `make kubo` in the checkout (minutes, once)")
        repo = self.folder / "repo"
        env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "IPFS_PATH": str(repo),
            "IPFS_TELEMETRY": "off",
        }
        if not (repo / "config").exists():
            done = subprocess.run(
                [ipfs, "init", "--profile=server"], env=env, capture_output=True, timeout=60
            )
            if done.returncode != 0:
                raise NodeFailedError(f"ipfs init: {done.stderr.decode('utf-8', 'replace')[-400:]}")
            _make_private(repo / "config", self._secrets)
        (repo / "api").unlink(missing_ok=True)
        self._spawn([ipfs, "daemon", "--offline"], env)

    def _address(self) -> tuple[int, str] | None:
        try:
            text = (self.folder / "repo" / "api").read_text("ascii").strip()
        except FileNotFoundError:
            return None
        found = re.fullmatch(r"/ip4/127\.0\.0\.1/tcp/(\d+)", text)
        if found is None:
            return None
        return int(found[1]), f"http://127.0.0.1:{found[1]}"


def _make_private(path: Path, secrets: Sequence[str]) -> None:
    """Loopback ports that the system picks, and nobody to talk to."""
    config = json.loads(path.read_bytes())
    config["Addresses"] |= {
        "API": "/ip4/127.0.0.1/tcp/0",
        "Gateway": "/ip4/127.0.0.1/tcp/0",
        "Swarm": [],
    }
    config["API"]["Authorizations"] = {
        f"user{number}": {"AuthSecret": secret, "AllowedPaths": ["/api/v0"]}
        for number, secret in enumerate(secrets)
    }
    config["Bootstrap"] = []
    # AutoConf would fetch the public network's settings; what it fills in must then be spelled out.
    config["AutoConf"] = {"Enabled": False}
    config["DNS"] = {"Resolvers": {}}
    config["Ipns"] = {**config.get("Ipns", {}), "DelegatedPublishers": []}
    config["Routing"] = {**config.get("Routing", {}), "DelegatedRouters": []}
    path.write_text(json.dumps(config, indent=1), "utf-8")


def _listens(port: int) -> bool:
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
