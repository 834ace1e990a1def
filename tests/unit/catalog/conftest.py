"""Stores whose documents the tests change before they are read."""

from __future__ import annotations

import pytest

from tests.unit.helpers.documents import Documents


@pytest.fixture
async def documents(shop) -> Documents:
    await shop.add(shop.draft("coupon", metadata={"a": 1}), b"COUPON-1")
    await shop.stock("codes", [b"A", b"B"])
    return Documents(shop, shop.build())


@pytest.fixture
async def big(shop) -> Documents:
    """A stock item on pages of its own."""
    await shop.stock("codes", [b"%d" % i for i in range(700)], parts=3)
    return Documents(shop, shop.build())
