"""Catching up with the logs of geth, beside raw eth_getLogs: `bench/reading.py` on that chain."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dam.crypto.hashing import parse_address
from dam.types import Deployment
from tests.chains.nodes import GethNode, block_attributes

LOGS = 100_000
BLOCK_LOGS = 100
RUNS = 3
_GAS = 16_000_000
_RETURN_RUNTIME = "60{size:02x}80600b6000396000f3"
"""Creation code that returns what follows it."""


def measure(say: Callable[[str], None], count: int = LOGS) -> tuple[str, float]:
    """The chain's name, and the reader's speed as a share of the raw one's."""
    import reading  # in bench/, which is no package

    with tempfile.TemporaryDirectory() as folder:
        node = GethNode(Path(folder) / "chain", "--dev.gaslimit=60000000")
        with node:
            deployment, saved = _fill(node, count)
            ratio = reading.compare(node.url, deployment, saved, count, RUNS, say)
            return f"geth {node.version}", ratio


def _fill(node: GethNode, count: int) -> tuple[Deployment, int]:
    """Has the logs written, a hundred a block; where they are, and how many a ledger keeps."""
    import reading

    trade, bank = reading.Trade(seed=5), node.request("eth_accounts")[-1]
    runtime = reading.helper_code()
    creation = bytes.fromhex(_RETURN_RUNTIME.format(size=len(runtime))) + runtime
    moment = int(time.time()) + 2

    def mined(**call: str) -> str:
        nonlocal moment
        sent = {"from": bank, "gas": hex(_GAS), **call}
        tx_hash: str = node.request("eth_sendTransaction", sent)
        moment += 1
        node.request("testing_commitBlockV1", block_attributes(moment), None, None)
        return tx_hash

    receipt = node.request("eth_getTransactionReceipt", mined(data="0x" + creation.hex()))
    market = parse_address(receipt["contractAddress"])
    for start in range(0, count, BLOCK_LOGS):
        data = b"".join(trade.next() for _ in range(min(BLOCK_LOGS, count - start)))
        mined(to=market, data="0x" + data.hex())
    place = replace(reading.DEPLOYMENT, chain_id=node.chain_id, market=market)
    return place, trade.saved
