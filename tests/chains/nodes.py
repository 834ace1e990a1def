"""geth's and Hardhat's development chains, with a block a second."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dam.testing.nodes import LocalNode, NodeMissingError

_TOOLS = Path(__file__).resolve().parents[2] / ".tools"
_HINT = "run `scripts/bootstrap --chains` in the checkout (minutes, once)"


class GethNode(LocalNode):
    """``geth --dev``: chain id 1337; nobody has coins but an account of its own.

    Args:
        folder: Where its log is.
        args: More command-line arguments.
        period: Seconds between blocks; 0 makes one for each transaction, and none besides.
        port: A fixed one, to start again where another was stopped; 0 takes a free one.
    """

    chain_id = 1337

    def __init__(
        self,
        folder: Path,
        *args: str,
        period: int = 1,
        port: int = 0,
    ) -> None:
        super().__init__(folder)
        self._args = ["--dev", "--dev.period", str(period), *args]
        self.port = port

    def _launch(self) -> None:
        geth = _TOOLS / "bin" / "geth"
        if not geth.exists():
            raise NodeMissingError(f"geth is not in .tools: {_HINT}")
        alone = "--nodiscover --maxpeers 0 --nat none --ipcdisable --authrpc.port 0"
        http = f"--http --http.addr 127.0.0.1 --http.port {self.port}"
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


class HardhatNode(LocalNode):
    """``hardhat node``: chain id 31337; a block for each transaction, and one a second.

    Its accounts are Anvil's (`dam.testing.nodes.ANVIL_MNEMONIC`).
    """

    chain_id = 31337

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
