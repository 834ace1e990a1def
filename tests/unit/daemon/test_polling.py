"""How often the chain is looked at: a block is seen soon, and the node is not asked for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dam.daemon.service import Polling
from dam.types import BlockRef


class Chain:
    """Blocks at given seconds; a clock that only the looks move."""

    def __init__(self, *times: float, stamps: Sequence[float] = ()) -> None:
        self.times = times
        self.stamps = stamps or times
        self.now = 0.0
        self.looks = 0
        self.delays: dict[int, float] = {}

    def watch(self, polling: Polling, until: float) -> None:
        while self.now < until:
            number = sum(time <= self.now for time in self.times)
            self.looks += 1
            if number and number not in self.delays:
                self.delays[number] = self.now - self.times[number - 1]
            stamp = int(self.stamps[number - 1]) if number else 0
            polling.saw(BlockRef(number, number.to_bytes(32), 1_000_000 + stamp))
            pause = polling.pause()
            assert 0 < pause <= 2.0
            self.now += pause

    def polling(self, poll: float = 2.0) -> Polling:
        return Polling(poll, clock=lambda: self.now)


def every(interval: float, blocks: int, first: float = 3.7) -> list[float]:
    return [first + interval * number for number in range(blocks)]


def test_a_rhythm_of_twelve_seconds_is_learnt() -> None:
    chain = Chain(*every(12.0, 50))
    polling = chain.polling()
    chain.watch(polling, 600.0)
    assert polling.interval == pytest.approx(12)
    assert len(chain.delays) == 50
    learnt = [delay for number, delay in chain.delays.items() if number > 10]
    assert max(learnt) <= polling.fast
    # A look at least every two seconds would be 6 a block, one every quarter of a second 48.
    assert chain.looks / 50 < 14


@pytest.mark.parametrize("late", [0.0, 0.7], ids=["early", "late"])
def test_blocks_that_come_a_little_off_are_seen_soon_too(late: float) -> None:
    """Nodes tell of a block when it has reached them, some tenths of a second sooner or later."""
    slots = every(12.0, 50)
    times = [slot + (late if number % 4 == 3 else 0.7 - late) for number, slot in enumerate(slots)]
    chain = Chain(*times, stamps=slots)
    polling = chain.polling()
    chain.watch(polling, 600.0)
    learnt = [delay for number, delay in chain.delays.items() if number > 10]
    assert max(learnt) <= 1.1 * polling.fast


def test_an_empty_slot_does_not_put_it_out_of_step() -> None:
    times = every(12.0, 30)
    chain = Chain(*times[:10], *times[12:])
    polling = chain.polling()
    chain.watch(polling, 360.0)
    assert chain.delays[15] <= 2.0
    assert max(chain.delays[number] for number in range(22, 28)) <= 2 * polling.fast
    assert chain.looks / 30 < 16


def test_blocks_every_second_are_seen_at_once() -> None:
    chain = Chain(*every(1.0, 100))
    polling = chain.polling()
    chain.watch(polling, 100.0)
    assert max(delay for number, delay in chain.delays.items() if number > 5) <= polling.fast
    assert chain.looks < 450


def test_a_chain_that_stands_still_is_left_alone() -> None:
    """A developer's node that mines when it is told to: fast at first, then seldom."""
    chain = Chain(*every(1.0, 10))
    polling = chain.polling()
    chain.watch(polling, 30.0)
    chain.looks = 0
    chain.watch(polling, 630.0)
    assert chain.looks <= 301


def test_what_is_not_known_yet_is_polled() -> None:
    polling = Polling(2.0, clock=lambda: 5.0)
    assert polling.pause() == 2.0
    polling.saw(BlockRef(7, bytes(32), 1000))
    assert polling.pause() == 2.0


def test_a_reorganisation_teaches_no_rhythm() -> None:
    polling = Polling(2.0, clock=lambda: 5.0)
    polling.saw(BlockRef(7, bytes(32), 1000))
    polling.saw(BlockRef(6, b"\1" * 32, 1012))
    assert polling.interval is None
    polling.saw(BlockRef(7, b"\2" * 32, 1012))
    assert polling.interval is None
    polling.saw(BlockRef(8, b"\3" * 32, 1024))
    assert polling.interval == pytest.approx(12)


@pytest.mark.parametrize(("poll", "fast"), [(2.0, 0.25), (0.05, 0.05), (0.1, 0.05), (600.0, 75.0)])
def test_never_less_than_a_twentieth_of_a_second(poll: float, fast: float) -> None:
    assert Polling(poll).fast == fast
