"""geth's and Hardhat's development chains, with a block a second."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from dam.testing.nodes import LocalNode, NodeFailedError, NodeMissingError

_TOOLS = Path(__file__).resolve().parents[2] / ".tools"
_HINT = "run `scripts/bootstrap --chains` in the checkout (minutes, once)"
_BLOCK_SECONDS = 30.0
_APIS = "eth,net,web3,debug,testing"


class GethNode(LocalNode):
    """``geth --dev``: chain id 1337; nobody has coins but an account of its own.

    Args:
        folder: Where its log is.
        args: More command-line arguments.
        keep: Whether its chain is kept in the folder while it is stopped.
    """

    chain_id = 1337

    def __init__(self, folder: Path, *args: str, keep: bool = False) -> None:
        super().__init__(folder)
        self._args = ["--dev", "--dev.period", "1", *args]
        self._data = folder / "data"
        if keep:
            self._args += ["--datadir", str(self._data)]
        self.port = 0
        """A free one; kept once it is found, to start again there."""

    @property
    def version(self) -> str:
        """Of geth, such as 1.17.10."""
        return str(self.request("web3_clientVersion")).split("/")[1].split("-")[0].removeprefix("v")

    def restart(self, *args: str) -> None:
        """Stops it and starts it again at the same port, with more arguments from now on."""
        self.stop()
        self._args += args
        self.start()

    def wipe(self) -> None:
        """Starts it again at the same port, its chain forgotten."""
        self.stop()
        shutil.rmtree(self._data)
        self.start()

    def skip(self, blocks: int, seconds: int = 0) -> None:
        """Makes blocks at once, a second apart, the first of them ``seconds`` later.

        It is started again: what makes its blocks would go on by the machine's clock.
        """
        seen = self._head()
        deadline = time.monotonic() + _BLOCK_SECONDS
        # Right after a block of its own, so that the two do not compete for one number.
        while (head := self._head())[0] == seen[0]:
            if time.monotonic() > deadline:
                raise NodeFailedError("geth makes no blocks")
            time.sleep(0.02)
        moment = max(head[1], int(time.time())) + seconds
        for number in range(blocks):
            self.request("testing_commitBlockV1", block_attributes(moment + 1 + number), None, None)
        self.restart()

    def rewind(self, number: int) -> None:
        """Forgets all blocks above this one, and their transactions."""
        self.request("debug_setHead", hex(number))

    def _head(self) -> tuple[int, int]:
        block = self.request("eth_getBlockByNumber", "latest", False)
        return int(block["number"], 16), int(block["timestamp"], 16)

    def _launch(self) -> None:
        geth = _TOOLS / "bin" / "geth"
        if not geth.exists():
            raise NodeMissingError(f"geth is not in .tools: {_HINT}")
        alone = "--nodiscover --maxpeers 0 --nat none --ipcdisable --authrpc.port 0"
        http = f"--http --http.addr 127.0.0.1 --http.port {self.port} --http.api {_APIS}"
        command = [str(geth), *self._args, *alone.split(), *http.split()]
        self._spawn(command, {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)})

    def _address(self) -> tuple[int, str] | None:
        found = re.search(
            rb"HTTP server started +endpoint=127\.0\.0\.1:(\d+) auth=false", self.log.read_bytes()
        )
        if found is None:
            return None
        self.port = int(found[1])
        return self.port, f"http://127.0.0.1:{self.port}"


def block_attributes(timestamp: int) -> dict[str, object]:
    """Of a block as geth's own beacon makes them."""
    return {
        "timestamp": hex(timestamp),
        "prevRandao": "0x" + os.urandom(32).hex(),
        "suggestedFeeRecipient": "0x" + "00" * 20,
        "withdrawals": [],
        "parentBeaconBlockRoot": "0x" + "00" * 32,
    }


class HardhatNode(LocalNode):
    """``hardhat node``: chain id 31337; a block for each transaction, and one a second.

    Its accounts are Anvil's (`dam.testing.nodes.ANVIL_MNEMONIC`).
    """

    chain_id = 31337

    @property
    def version(self) -> str:
        """Of Hardhat, such as 2.29.1."""
        return str(self.request("web3_clientVersion")).split("/")[1]

    def skip(self, blocks: int, seconds: int = 0) -> None:
        """Makes blocks at once, the first of them ``seconds`` later."""
        if seconds:
            self.request("evm_increaseTime", hex(seconds))
        self.request("hardhat_mine", hex(blocks))

    def _launch(self) -> None:
        project = _TOOLS / "hardhat"
        program = project / "node_modules" / "hardhat" / "internal" / "cli" / "bootstrap.js"
        if not program.exists():
            raise NodeMissingError(f"Hardhat is not in .tools: {_HINT}")
        # It takes its project from where it is started.
        node = 'cd "$1" && exec "$2" "$3" node --hostname 127.0.0.1 --port 0'
        command = ["sh", "-c", node, "sh", project, _TOOLS / "bin" / "node", program]
        env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true",
        }
        self._spawn([str(part) for part in command], env)

    def _address(self) -> tuple[int, str] | None:
        found = re.search(rb"JSON-RPC server at http://127\.0\.0\.1:(\d+)", self.log.read_bytes())
        return None if found is None else (int(found[1]), f"http://127.0.0.1:{int(found[1])}")


def geth(folder: Path) -> GethNode:
    return GethNode(folder)


def next_geth(folder: Path) -> GethNode:
    """By the rules of the fork to come: new storage and code cost many times as much."""
    return GethNode(folder, "--dev.gaslimit=200000000", "--rpc.gascap=0", "--override.amsterdam=0")


def hardhat(folder: Path) -> HardhatNode:
    return HardhatNode(folder)


KINDS = (geth, next_geth, hardhat)
