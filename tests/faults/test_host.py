"""F52: what a host has too little of."""

from __future__ import annotations

import json

import pytest

from tests.faults.ground import Ground
from tests.faults.oracle import oracle
from tests.faults.stranger import Stranger
from tests.faults.table import Injected, fault

pytestmark = pytest.mark.asyncio(loop_scope="session")
STORES = 8


@fault(
    52,
    "memory cap: large hostile stores at once",
    breaks="src/dam/catalog.py:await self._turn.take()",
)
async def test_f52_memory_is_capped(ground: Ground, injected: Injected) -> None:
    """Eight stores of sixty megabytes each, from one block; the oracle looks at the peak."""
    daemon = await ground.process().start()
    stranger = await Stranger.enter(ground)
    document = await stranger.document()
    terms = stranger.terms(document)
    item = {**document["items"][0], "otherMetadata": {"a": "x" * 1_000_000}}
    page = {"sealingKey": document["sealingKey"], "items": [item]}
    cid = await ground.blocks.put("dag-json", json.dumps(page, separators=(",", ":")).encode())
    head = {key: document[key] for key in document if key not in ("items", "sealingKey")}
    for number in range(STORES):
        store = {**head, "storeName": f"Large {number}", "pages": [{"/": str(cid)}] * 62}
        await stranger.publish(json.dumps(store).encode(), [terms])
        injected.add("large store")
    shop = await ground.buy(2)
    await ground.until_delivered(sales=shop)
    await ground.until(lambda: len(daemon.logged("store_refused")) == STORES, "all are refused")
    assert await oracle(ground) == {"delivered": 2}
