"""How long the 100 blocks of the fallback last, as contracts count them: before a deployment.

In `scripts`, so that only those who deploy need it.
"""

from __future__ import annotations

from typing import Any

import click
import pytest

from dam.types import BlockRef, Clock, Windows
from scripts._chain_clock import (
    CLOCK_CODE,
    describe_kind,
    fallback_fault,
    measure,
    read_clock,
)

START = 1_800_000_000


class Provider:
    """A chain with blocks of so many seconds, and how its contracts count them."""

    def __init__(self, blocks: int, seconds: float, *, below: float = 0, archive: int = 128):
        self.blocks, self.seconds, self.below, self.archive = blocks, seconds, below, archive
        self.late = 0
        self.late_looks = 99

    def time(self, number: int) -> int:
        return START + int(number * self.seconds)

    def make_request(self, method: str, params: list[Any]) -> Any:
        tag = params[-1] if method == "eth_call" else params[0]
        number = self.blocks if tag == "latest" else int(tag, 16)
        if method == "eth_getBlockByNumber":
            named = {"number": number, "timestamp": self.time(number)}
            return {k: hex(v) for k, v in named.items()} | {"hash": "0x" + "11" * 32}
        assert (method, params[0]) == ("eth_call", {"data": "0x" + CLOCK_CODE.hex()})
        if number < self.blocks - self.archive:
            raise ValueError("missing trie node")
        counted = int(number * self.seconds / self.below) + 10**7 if self.below else number
        self.late_looks -= 1
        late = self.late if self.late_looks >= 0 else 0
        return f"0x{counted:064x}{self.time(number) + late:064x}"


@pytest.mark.parametrize("seconds", [0.25, 1, 12, 60])
def test_a_chain_that_counts_its_own_blocks(seconds: float) -> None:
    measured, kind, own = measure(Provider(5000, seconds))
    assert measured == pytest.approx(100 * seconds, rel=0.01)
    assert kind == "contracts count the chain's own blocks"
    assert own


@pytest.mark.parametrize("seconds", [2, 0.25])
def test_a_chain_whose_contracts_count_those_below(seconds: float) -> None:
    """As on Arbitrum: the 100 blocks are of the chain below, whatever the node's are."""
    measured, kind, own = measure(Provider(500_000, seconds, below=12))
    assert measured == pytest.approx(1200, rel=0.5)
    assert "blocks of another chain" in kind
    assert "at 500000" in kind
    assert own is False


@pytest.mark.parametrize("provider", [Provider(9, 0.25, below=12), Provider(620, 2, below=1000)])
def test_where_those_below_cannot_be_measured(provider: Provider) -> None:
    assert measure(provider)[0] == 1200


def test_a_node_without_the_state_of_a_hundred_blocks() -> None:
    assert measure(Provider(500_000, 0.25, below=12, archive=5))[0] == 1200


def test_too_few_blocks_to_say() -> None:
    assert measure(Provider(15, 12))[0] is None
    assert measure(Provider(0, 12))[0] is None


def test_a_contract_whose_time_is_another_is_told_before_anything_is_paid() -> None:
    provider = Provider(5000, 12)
    provider.late = 1
    with pytest.raises(click.ClickException, match="could not plan here"):
        measure(provider)


def test_a_block_that_is_just_being_made_is_no_other_clock() -> None:
    provider = Provider(5000, 12)
    provider.late, provider.late_looks = 1, 2
    assert measure(provider)[2]


def test_a_quarter_of_the_shorter_window(windows: Windows) -> None:
    """Deliverers have 1,200 s of the fixture's, buyers 2,400 s to dispute."""
    assert fallback_fault(300, windows) == ""
    assert "a quarter of the 1200 s" in fallback_fault(300.5, windows)


def test_what_is_no_clock() -> None:
    assert read_clock(bytes(64)) == Clock(0, 0)
    assert read_clock(b"") is None
    assert "own blocks" in describe_kind(BlockRef(9, b""), Clock(8, 0))
    assert "another chain" in describe_kind(BlockRef(9, b""), Clock(1000, 0))
