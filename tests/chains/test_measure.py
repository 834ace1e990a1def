"""`dam doctor --measure` against geth itself, with limits that geth has flags for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dam.config.settings import Settings
from dam.crypto.hashing import checksum
from dam.diagnostics.node_measures import measure_nodes
from dam.market.deployment import save_deployment
from dam.testing.market import SHORT_WINDOWS
from dam.testing.nodes import NodeMissingError
from dam.types import ZERO_ADDRESS, Deployment
from tests.chains.nodes import GethNode

pytestmark = pytest.mark.slow
PLACE = checksum(b"\x11" * 20)


async def test_the_limits_of_geth(tmp_path: Path) -> None:
    limits = ("--rpc.batch-request-limit=10", "--rpc.rangelimit=50")
    node = GethNode(tmp_path / "geth", *limits, keep=True)
    record = tmp_path / "record.json"
    save_deployment(
        Deployment(1337, PLACE, 1, bytes(32), PLACE, PLACE, SHORT_WINDOWS, ZERO_ADDRESS), record
    )
    try:
        node.start()
    except NodeMissingError as error:
        pytest.skip(str(error))
    try:
        node.skip(100)
        settings = Settings.load({
            "DAM_HOME": str(tmp_path),
            "DAM_DEPLOYMENT": str(record),
            "DAM_RPC_URL": node.url,
        })  # fmt: skip
        found = await measure_nodes(settings)
    finally:
        node.stop()
    texts = {finding.text for finding in found if finding.check == "keep"}
    assert {"rpc_batch = 10"} <= texts, found
    [blocks] = [text for text in texts if text.startswith("max_logs_blocks")]
    # geth counts from the first to the last: 50 apart are 51 blocks.
    assert int(blocks.split()[-1]) in (50, 51)
