"""Deploys the market to a local Anvil chain from a checkout's own sources, in a second.

For tests and experiments; for anything else there is ``ape run deploy``.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from dam.crypto.hashing import keccak, parse_address
from dam.market.abi import decode_result, encode
from dam.market.code import shipped_build, source_hash
from dam.market.compiling import standard_input
from dam.market.creation import setup_words
from dam.testing.nodes import AnvilNode, NodeFailedError, find_program
from dam.types import ZERO_ADDRESS, Address, Deployment, Wei, Windows

SHORT_WINDOWS = Windows(
    3600, 2400, 86_400, 99_600, 3600, 3600, Wei(10**16), Wei(10**16), Wei(5 * 10**15)
)
"""The shortest windows that the contract takes: time is moved, not waited for."""
_RECEIPT_SECONDS = 20.0
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class MarketCode:
    """Creation code of the market and of its verifier of evidence."""

    proofs: bytes
    market: bytes


def market_code(root: Path = _ROOT) -> MarketCode:
    """The creation code of a checkout's sources.

    While they are those that the package was made of, it is what ships; else forge builds it.
    """
    shipped = shipped_build()
    if source_hash(standard_input(root)) == shipped.source_hash:
        names = ("Proofs", "Marketplace")
        return MarketCode(*(shipped.contracts[name].creation for name in names))
    return forge_code(root)


def forge_code(root: Path = _ROOT) -> MarketCode:
    """The creation code as forge builds it, if the sources changed since it did."""
    forge = find_program("forge", "run `make setup` in the checkout, or install Foundry")
    done = subprocess.run(
        [forge, "build", "contracts"], cwd=root, capture_output=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise NodeFailedError("forge build: " + done.stderr.decode("utf-8", "replace")[-800:])
    return MarketCode(_artifact(root, "Proofs"), _artifact(root, "Marketplace"))


def _artifact(root: Path, name: str) -> bytes:
    artifact = root / ".build" / "forge" / f"{name}.sol" / f"{name}.json"
    code: str = json.loads(artifact.read_bytes())["bytecode"]["object"]
    return bytes.fromhex(code.removeprefix("0x"))


def deploy_market(
    node: AnvilNode,
    windows: Windows = SHORT_WINDOWS,
    *,
    governor: Address = ZERO_ADDRESS,
    code: MarketCode | None = None,
) -> Deployment:
    """Deploys the verifier of evidence and the market, from the node's first account.

    Args:
        node: A running chain.
        windows: The deployment's immutables.
        governor: Who may propose slashes.
        code: `market_code`, where it is at hand already.
    """
    code = code or market_code()
    sender = node.request("eth_accounts")[0]
    proofs = parse_address(transact(node, sender, None, code.proofs)["contractAddress"])
    data = code.market + setup_words(windows, governor, proofs)
    receipt = transact(node, sender, None, data)
    market = parse_address(receipt["contractAddress"])
    runtime = bytes.fromhex(node.request("eth_getCode", market, "latest")[2:])
    call = {"to": market, "data": "0x" + encode("CLOSING").hex()}
    told = bytes.fromhex(node.request("eth_call", call, "latest")[2:])
    (closing,) = decode_result("CLOSING", told)
    return Deployment(
        chain_id=node.chain_id,
        market=market,
        first_block=int(receipt["blockNumber"], 16),
        code_hash=keccak(runtime),
        proofs=proofs,
        closing=closing,
        windows=windows,
        governor=governor,
    )


def transact(
    node: AnvilNode, sender: str, to: str | None, data: bytes, value: int = 0
) -> dict[str, str]:
    """Sends from one of the node's own accounts, mines, and returns the receipt.

    Raises:
        NodeFailedError: the transaction reverted, or was not mined.
    """
    call = {"from": sender, "data": "0x" + data.hex(), "value": hex(value)}
    if to is not None:
        call["to"] = to
    # An exact estimate fails when the call runs a block later than estimated, for the last write to
    # storage wants 2,300 gas to be left (EIP-2200).
    call["gas"] = hex(int(node.request("eth_estimateGas", call), 16) * 5 // 4)
    tx_hash = node.request("eth_sendTransaction", call)
    if not node.request("anvil_getAutomine"):
        node.mine()
    deadline = time.monotonic() + _RECEIPT_SECONDS
    while time.monotonic() < deadline:
        receipt: dict[str, str] | None = node.request("eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            if receipt["status"] != "0x1":
                raise NodeFailedError(f"transaction {tx_hash} reverted")
            return receipt
        time.sleep(0.005)
    raise NodeFailedError(f"transaction {tx_hash} was not mined")
