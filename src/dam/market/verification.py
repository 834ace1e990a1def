"""Compares a deployment record with its chain: is this the market that our sources make?

Two things together prove it. The code on the chain must be, to the byte, what this version's
sources give under the record's windows, governor and addresses. And what a market has in storage
from its creation on, which no code shows, must come from our creation code: of CREATE2 the address
proves that, of a plain deployment its transaction does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dam.crypto.hashing import keccak, parse_address
from dam.errors import Malformed, RpcError
from dam.ethereum.create2 import DEPLOYER, DEPLOYER_CODE, create_address
from dam.ethereum.node import Node, chain_id_of, hex_data, quantity
from dam.ethereum.node_errors import RpcPrunedError, RpcRejectedError
from dam.market.code import Build
from dam.market.creation import Made, contracts_of, wrong_addresses
from dam.market.deployment import PLAIN, Record
from dam.types import Address


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was compared."""

    ok: bool | None
    """None: it could not be looked at."""
    what: str
    """A word for programs."""
    text: str


async def verify_market(node: Node, record: Record, build: Build) -> list[Finding]:
    """Compares the record with the chain, and both with the code of ``build``.

    Raises:
        RpcError: The node cannot be asked.
    """
    at = record.deployment
    chain_id = await chain_id_of(node)
    if chain_id != at.chain_id:
        text = f"the node is of chain {chain_id}, the record of chain {at.chain_id}"
        return [Finding(False, "chain", text)]
    findings = [
        Finding(True, "chain", f"the node is of the record's chain, {chain_id}"),
        _compare_source(record, build),
    ]
    made = contracts_of(build, record)
    codes = await _codes(node, [one.address for one in made])
    findings += [_compare_code(one, code) for one, code in zip(made, codes, strict=True)]
    market = next(one for one in made if one.name == "Marketplace")
    same = market.code_hash == at.code_hash
    text = "has" if same else "has not"
    findings.append(Finding(same, "code_hash", f"the record {text} the hash of that code"))
    findings += await _compare_creation(node, record, made)
    findings += await _compare_block(node, record)
    return findings


def _compare_source(record: Record, build: Build) -> Finding:
    origin = record.origin
    ours = f"solc {build.compiler}, sources {build.source_hash.hex()[:16]}..."
    if not origin.compiler:
        text = f"the record does not say from what; it is compared with ours ({ours})"
        return Finding(None, "source", text)
    if (origin.compiler, origin.source_hash) == (build.compiler, build.source_hash):
        return Finding(True, "source", f"made from the sources of this DAM: {ours}")
    theirs = f"solc {origin.compiler}, sources {origin.source_hash.hex()[:16]}..."
    text = f"made from {theirs}, and this DAM has {ours}: compare with the DAM that deployed it"
    return Finding(False, "source", text)


def _compare_code(one: Made, code: bytes) -> Finding:
    what = f"code of {one.name}"
    where = f"{one.name} {one.address}"
    if not code:
        return Finding(False, what, f"{where} has no code on this chain")
    if keccak(code) == one.code_hash:
        text = f"{where}: its {len(code)} bytes of code are those of our sources, setup included"
        return Finding(True, what, text)
    text = f"{where} has other code than our sources give under the record's setup"
    return Finding(False, what, text)


async def _codes(node: Node, addresses: Sequence[Address]) -> list[bytes]:
    answers = await node.batch([("eth_getCode", [one, "latest"]) for one in addresses])
    return [hex_data(answer, "eth_getCode") for answer in answers]


async def _compare_creation(node: Node, record: Record, made: Sequence[Made]) -> list[Finding]:
    wrong = wrong_addresses(record, made)
    findings = [
        Finding(False, f"address of {one.name}", f"{one.name} {one.address}: our code, arguments "
        "and the record's salt give another address") for one in wrong
    ]  # fmt: skip
    if record.origin.method == PLAIN:
        return [*findings, await _compare_transaction(node, record, made)]
    origin = record.origin
    if origin.deployer != DEPLOYER:
        text = f"{origin.deployer} is not the deployer that we know ({DEPLOYER})"
        return [*findings, Finding(False, "deployer", text)]
    (code,) = await _codes(node, [DEPLOYER])
    if code != DEPLOYER_CODE:
        text = f"the deployer {DEPLOYER} has other code here than on other chains"
        return [*findings, Finding(False, "deployer", text)]
    if not findings:
        text = "code, arguments and salt give these very addresses: nothing else could be there"
        findings.append(Finding(True, "addresses", text))
    return findings


async def _compare_transaction(node: Node, record: Record, made: Sequence[Made]) -> Finding:
    """Of a plain deployment: what the market was made from, in the block of its creation."""
    at, what = record.deployment, "creation"
    told = "a plain deployment, whose address proves nothing"
    creation = next(one.creation for one in made if one.name == "Marketplace")
    try:
        block = await node.call("eth_getBlockByNumber", hex(at.first_block), True)
        sent = block.get("transactions") if isinstance(block, dict) else None
        data = next((_input(tx) for tx in sent or () if _makes(tx, at.market)), None)
    except (RpcRejectedError, RpcPrunedError) as error:
        return Finding(None, what, f"{told}: the node does not give its block ({error})")
    if data is None:
        text = f"{told}: no transaction of block {at.first_block} made the market"
        return Finding(False, what, text)
    if data != creation:
        text = f"{told}: it was made by other creation code, which may have put anything in storage"
        return Finding(False, what, text)
    return Finding(True, what, f"{told}; the transaction in block {at.first_block} has our code")


def _makes(tx: Any, market: Address) -> bool:
    """Whether a node's transaction makes the contract at this address."""
    if not isinstance(tx, dict) or tx.get("to") is not None:
        return False
    try:
        sender = parse_address(str(tx.get("from")).lower())
        return create_address(sender, quantity(tx.get("nonce"), "nonce")) == market
    except (Malformed, RpcError):
        return False


def _input(tx: dict[str, Any]) -> bytes:
    return hex_data(tx.get("input", tx.get("data")), "input")


async def _compare_block(node: Node, record: Record) -> list[Finding]:
    """Whether the market began in the record's block: earlier logs would be missed."""
    at, first = record.deployment, record.deployment.first_block
    block = await node.call("eth_getBlockByNumber", hex(first), False)
    if not isinstance(block, dict):
        return [Finding(False, "block", f"the node has no block {first}, in which it was deployed")]
    time = quantity(block.get("timestamp"), "timestamp")
    same = time == record.origin.first_time
    text = f"block {first} is of the second {time}"
    text += ", as the record says" if same else f", and not {record.origin.first_time}"
    findings = [Finding(same, "time", text)]
    try:
        before = await node.call("eth_getCode", at.market, hex(max(first - 1, 0)))
        after = await node.call("eth_getCode", at.market, hex(first))
    except (RpcRejectedError, RpcPrunedError):
        text = f"the node keeps no state of block {first}: whether the market began there is open"
        return [*findings, Finding(None, "block", text)]
    begins = not hex_data(before, "eth_getCode") and bool(hex_data(after, "eth_getCode"))
    word = "began" if begins else "did not begin"
    return [*findings, Finding(begins, "block", f"the market {word} in block {first}")]
