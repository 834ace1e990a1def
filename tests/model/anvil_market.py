"""The real market on a private Anvil, fast: plain JSON-RPC over one connection.

A call is first tried (`eth_call` in the block in which it would be mined), which gives the name of
the error; only what would succeed is sent. Reading everything that a test compares is one call.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode

from dam.crypto.hashing import keccak
from dam.testing.nodes import AnvilNode, find_program

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
GAS = hex(29_000_000)
RICH = 1 << 86


class Contract:
    """Creation code and ABI."""

    def __init__(self, abi: list[dict[str, Any]], code: str) -> None:
        self.code = bytes.fromhex(code.removeprefix("0x"))
        self.functions = {e["name"]: e for e in abi if e["type"] == "function"}
        self._calls = {
            name: (keccak(f"{name}{_tuple(entry['inputs'])}".encode())[:4], _types(entry["inputs"]))
            for name, entry in self.functions.items()
        }
        self.errors = {
            keccak(f"{entry['name']}{_tuple(entry['inputs'])}".encode())[:4]: entry["name"]
            for entry in abi
            if entry["type"] == "error"
        }

    def call(self, function: str, *args: Any) -> bytes:
        """Calldata."""
        selector, types = self._calls[function]
        return selector + encode(types, args)

    def result(self, function: str, data: bytes) -> Any:
        """What it returned: a value, or a tuple of several."""
        values = decode(_types(self.functions[function]["outputs"]), data)
        return values[0] if len(values) == 1 else values


def _types(params: Iterable[dict[str, Any]]) -> list[str]:
    return [_type(param) for param in params]


def _tuple(params: Iterable[dict[str, Any]]) -> str:
    return f"({','.join(_types(params))})"


def _type(param: dict[str, Any]) -> str:
    if not param["type"].startswith("tuple"):
        return str(param["type"])
    return _tuple(param["components"]) + param["type"].removeprefix("tuple")


@lru_cache(maxsize=1)
def market_contract() -> Contract:
    """The marketplace, built from the sources as they are; or a mutant that somebody named."""
    return _built("Marketplace", os.environ.get("DAM_MARKET_ARTIFACT"))


@lru_cache(maxsize=1)
def proofs_contract() -> Contract:
    """The verifier of evidence, or a mutant of it."""
    return _built("Proofs", os.environ.get("DAM_PROOFS_ARTIFACT"))


def _built(name: str, mutant: str | None) -> Contract:
    if mutant:
        built = json.loads(Path(mutant).read_bytes())
        return Contract(built["abi"], built["bytecode"]["object"])
    command = [find_program("forge", "run `make setup`"), "build", f"contracts/{name}.sol"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"forge build: {done.stdout[-800:]}{done.stderr[-800:]}")
    built = json.loads((BUILD / f"forge/{name}.sol/{name}.json").read_bytes())
    return Contract(built["abi"], built["bytecode"]["object"])


@lru_cache(maxsize=1)
def helper_contracts() -> dict[str, Contract]:
    """What `Helpers.sol` has: `Token`, `Wallet`, `Reader` and `StubProofs`."""
    source = Path(__file__).with_name("Helpers.sol").read_bytes()
    kept = BUILD / "model" / f"{hashlib.sha256(source).hexdigest()[:16]}.json"
    if not kept.exists():
        wanted = {
            "language": "Solidity",
            "sources": {"Helpers.sol": {"content": source.decode()}},
            "settings": {"outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}}},
        }
        command = [ROOT / ".tools/solc/solc-v0.8.30", "--standard-json"]
        done = subprocess.run(command, input=json.dumps(wanted).encode(), capture_output=True)
        built = json.loads(done.stdout)
        if "contracts" not in built:
            raise RuntimeError(f"solc: {built.get('errors')}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(built["contracts"]["Helpers.sol"]))
    return {
        name: Contract(one["abi"], one["evm"]["bytecode"]["object"])
        for name, one in json.loads(kept.read_bytes()).items()
    }


# Prague writes a block's hash into the state, and Anvil copies the state for every block: there a
# thousand blocks take seconds. The contract is compiled for Cancun. (Mutants are compiled without
# much optimising, and are larger than a contract may be.)
QUICK_BLOCKS = ("--hardfork", "cancun", "--prune-history", "--disable-code-size-limit")


class Chain:
    """One Anvil; time stands still but for what is sent and mined here, a second a block."""

    def __init__(self, node: AnvilNode) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
        self.id = int(self.rpc("eth_chainId"), 16)
        self.accounts: list[str] = self.rpc("eth_accounts")
        self.rpc("anvil_autoImpersonateAccount", True)
        self.head = int(self.rpc("eth_blockNumber"), 16)
        self.now = self._timestamp()
        self.next_time = self.now + 1
        self.reader = self.deploy(helper_contracts()["Reader"])
        self._read = helper_contracts()["Reader"]

    def close(self) -> None:
        self._http.close()

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _post(self, request: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        self._http.request("POST", "/", json.dumps(request), headers)
        answer: dict[str, Any] = json.loads(self._http.getresponse().read())
        return answer

    def mine(self, blocks: int) -> None:
        """That many blocks, the first of them at the time of the next one."""
        if blocks > 0:
            self.rpc("evm_setNextBlockTimestamp", hex(self.next_time))
            self.rpc("anvil_mine", hex(1))
            if blocks > 1:
                self.rpc("anvil_mine", hex(blocks - 1), hex(1))
            self.head += blocks
            self._mined(self._timestamp())

    def reach(self, block: int) -> None:
        """The next transaction will be in `block`."""
        self.mine(block - 1 - self.head)

    def reach_time(self, seconds: int) -> None:
        """The next transaction will be in a block of this time."""
        self.next_time = max(self.next_time, seconds)

    def _timestamp(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def _mined(self, now: int) -> None:
        self.now, self.next_time = now, now + 1

    def snapshot(self) -> tuple[str, int, int]:
        return self.rpc("evm_snapshot"), self.head, self.now

    def revert(self, snapshot: tuple[str, int, int]) -> tuple[str, int, int]:
        """Back to a snapshot; returns a new one of the same state."""
        assert self.rpc("evm_revert", snapshot[0])
        self.head = snapshot[1]
        self._mined(snapshot[2])
        return self.snapshot()

    def deploy(self, contract: Contract, arguments: bytes = b"", sender: str = "") -> str:
        receipt = self._send(
            {
                "from": sender or self.accounts[0],
                "data": "0x" + (contract.code + arguments).hex(),
                "gas": GAS,
            }
        )
        return str(receipt["contractAddress"])

    def attempt_to_deploy(self, contract: Contract, arguments: bytes) -> bytes | None:
        """What a construction would revert with; None if it would not."""
        call = {"data": "0x" + (contract.code + arguments).hex(), "gas": GAS}
        request = {"method": "eth_call", "params": [call, "latest"]}
        return _reverted(self._post({"jsonrpc": "2.0", "id": 1, **request}))

    def attempt(self, sender: str, to: str, data: bytes, value: int = 0) -> bytes | None:
        """What the call would revert with, if it were mined next; None if it would not."""
        call = self._call(sender, to, data, value)
        number = {"number": hex(self.head + 1), "time": hex(self.next_time)}
        request = {"method": "eth_call", "params": [call, "latest", {}, number]}
        return _reverted(self._post({"jsonrpc": "2.0", "id": 1, **request}))

    def send(self, sender: str, to: str, data: bytes, value: int = 0) -> None:
        """Mines a call that must succeed."""
        self._send(self._call(sender, to, data, value))

    def together(self, calls: Sequence[tuple[str, str, bytes]]) -> None:
        """Mines calls that must succeed, by (sender, to, data), in one block and in this order."""
        self.rpc("evm_setAutomine", False)
        try:
            hashes = [
                self.rpc("eth_sendTransaction", self._call(*call, 0) | {"gas": hex(2_000_000)})
                for call in calls
            ]
            self.mine(1)
        finally:
            self.rpc("evm_setAutomine", True)
        for hash_ in hashes:
            if self.rpc("eth_getTransactionReceipt", hash_)["status"] != "0x1":
                raise RuntimeError("a transaction reverted")

    def read(self, account: str, views: Sequence[tuple[str, bytes]]) -> tuple[int, list[bytes]]:
        """Balance of an account, and what many views return."""
        call = {"to": self.reader, "data": "0x" + self._read.call("read", account, views).hex()}
        answer = bytes.fromhex(self.rpc("eth_call", call, "latest")[2:])
        balance, results = decode(["uint256", "bytes[]"], self._read.result("read", answer))
        return balance, list(results)

    def _call(self, sender: str, to: str, data: bytes, value: int) -> dict[str, str]:
        return {
            "from": sender,
            "to": to,
            "data": "0x" + data.hex(),
            "value": hex(value),
            "gas": GAS,
        }

    def _send(self, call: dict[str, str]) -> dict[str, Any]:
        self.rpc("evm_setNextBlockTimestamp", hex(self.next_time))
        receipt: dict[str, Any] = self.rpc("eth_sendTransactionSync", call)
        if receipt["status"] != "0x1":
            raise RuntimeError("a transaction reverted that would not have when it was tried")
        self.head += 1
        self._mined(self.next_time)
        if int(receipt["blockNumber"], 16) != self.head:
            raise RuntimeError("a transaction was not mined in the next block")
        return receipt


def _reverted(answer: dict[str, Any]) -> bytes | None:
    if "error" not in answer:
        return None
    data = answer["error"].get("data")
    if data is None:
        raise RuntimeError(answer["error"])
    return bytes.fromhex(data[2:])
