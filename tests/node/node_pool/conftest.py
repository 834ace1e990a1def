"""A maker of node pools, whose logs must never name a secret."""

from __future__ import annotations

import pytest

from tests.node.node_pool.nodes import Pools


@pytest.fixture
async def pools(serve):
    made = Pools(serve)
    yield made
    for endpoints in made.opened:
        await endpoints.close()
    assert "SECRETKEY" not in repr(made.events)
