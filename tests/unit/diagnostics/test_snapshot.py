"""What a status says of time, and what it never shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.cli.deliverer.status import rows, snapshot_json
from dam.config.values import masked
from dam.daemon import locks
from dam.diagnostics.snapshot import Chain, Snapshot
from dam.errors import ConfigError
from dam.ledger.status import DaemonStatus, NextDeadline
from dam.market.deliverers import Candidate, Registration
from dam.types import Address, BlockRef, Clock, CopyId, JunkProved, LogRef, Wei, Windows

ME = Address("0x" + "11" * 20)
LEDGER = DaemonStatus(
    role="deliverer", account=ME, cursor=990, cursor_time=11_900,
    purchases={"serving": 1, "done": 0}, jobs={"due": 1}, stores={}, parts=4,
    pinned_bytes=3 << 20, delivered=2, earned=5, gas_paid=7, transactions=1,
    next_deadline=NextDeadline(b"\x01" * 32, 14_400, 5900), refused=[], alerts=[],
)  # fmt: skip
SNAPSHOT = Snapshot(
    role="deliverer",
    account=ME,
    chain=Chain(BlockRef(1000, b"h" * 32, 12_000), Clock(5940, 12_000), 12.0, 10**18, None, []),
    node_error="",
    ledger=LEDGER,
    ledger_error="",
    process="77",
    confirmations=2,
    payer=ME,
)


def test_the_nearest_deadline_in_seconds_and_blocks(windows: Windows) -> None:
    """By the market's clock: alone until its block 6000, deliveries count for 40 minutes."""
    deadline = SNAPSHOT.deadline
    assert deadline is not None
    assert (deadline.last_time, deadline.seconds, deadline.alone_blocks) == (14_400, 2400, 60)
    told = {label: text for label, text, _ in rows(SNAPSHOT, windows)}["Deadline"]
    assert "04:00:00 UTC" in told
    assert "in 40 min; ours alone for 60 blocks" in told
    value = snapshot_json(SNAPSHOT, windows)["daemon"]["ledger"]["nextDeadline"]
    assert (value["lastTime"], value["seconds"], value["aloneBlocks"]) == (14_400, 2400, 60)
    # Past it, time is not negative; without a node it is not known.
    late = Clock(6001, 14_500)
    past = replace(SNAPSHOT, chain=replace(SNAPSHOT.chain, clock=late))  # type: ignore[type-var]
    assert past.deadline is not None
    assert (past.deadline.seconds, past.deadline.alone_blocks) == (0, 0)
    assert "the seller may" in {label: text for label, text, _ in rows(past, windows)}["Deadline"]
    blind = replace(SNAPSHOT, chain=None, node_error="gone").deadline
    assert blind is not None
    assert (blind.last_time, blind.seconds, blind.alone_blocks) == (14_400, None, None)


def registered(stake: int, **changes: Any) -> Snapshot:
    """A deliverer that a node knows."""
    one = Candidate(Registration(ME, ME, b"k" * 32, 1, 1), Wei(stake), 2, Wei(5), 0)
    assert SNAPSHOT.chain is not None
    return replace(SNAPSHOT, chain=replace(SNAPSHOT.chain, candidate=one), **changes)


def test_what_junk_would_cost(windows: Windows) -> None:
    """The stake covers ten fees of the dearest part that is held, or its sales are refused."""
    calm = registered(10**16, highest_fee=10**15)
    [(text, color)] = [
        (text, color) for label, text, color in rows(calm, windows) if label == "Fines"
    ]
    assert text == "junk costs 0.01 ether a part; fees up to 0.001 ether are served"
    assert color == ""
    poor = registered(10**16, highest_fee=10**15 + 1)
    [(text, color)] = [
        (text, color) for label, text, color in rows(poor, windows) if label == "Fines"
    ]
    assert "its sales are refused" in text
    assert color == "red"
    assert snapshot_json(poor, windows)["fine"] == str(10**16 + 10)
    assert snapshot_json(registered(10**16), windows)["fine"] == str(windows.junk_fine)


def test_what_was_proved_against_us(windows: Windows) -> None:
    at = LogRef(BlockRef(5, b"h" * 32), b"t" * 32, 0)
    proof = JunkProved(CopyId(b"c" * 32), ME, 1, b"f" * 32, Wei(10**16), Wei(1), True, at)
    found = registered(10**16)
    assert found.chain is not None
    found = replace(found, chain=replace(found.chain, proofs=[proof, proof]))
    told = {label: (text, color) for label, text, color in rows(found, windows)}
    assert told["Junk"] == ("2 parts proved to be junk, 0.02 ether taken", "red")
    assert snapshot_json(found, windows)["junkTaken"] == str(2 * 10**16)


def test_who_pays_for_gas(windows: Windows) -> None:
    payer = Address("0x" + "33" * 20)
    told = {label: text for label, text, _ in rows(replace(SNAPSHOT, payer=payer), windows)}
    assert told["Coins"] == f"1 ether for gas, of {payer}, which sends"
    assert snapshot_json(replace(SNAPSHOT, payer=payer), windows)["sender"] == payer


def test_how_far_behind(windows: Windows) -> None:
    """Blocks that are not confirmed yet are not a lag."""
    assert SNAPSHOT.behind == 8
    assert replace(SNAPSHOT, ledger=replace(LEDGER, cursor=998)).behind == 0
    assert replace(SNAPSHOT, ledger=replace(LEDGER, cursor=1000)).behind == 0
    assert replace(SNAPSHOT, chain=None).behind is None
    colors = {
        cursor: next(
            color
            for label, _, color in rows(
                replace(SNAPSHOT, ledger=replace(LEDGER, cursor=cursor)), windows
            )
            if label == "Read to"
        )
        for cursor in (998, 980, 900)
    }
    assert colors == {998: "", 980: "yellow", 900: "red"}


def test_a_node_that_is_behind_what_was_read_is_said_to_be(windows: Windows) -> None:
    found = replace(SNAPSHOT, ledger=replace(LEDGER, cursor=1040))
    told = {label: (text, color) for label, text, color in rows(found, windows)}
    assert told["Read to"] == ("block 1040, 40 more than the node has: it is behind", "red")


def test_a_watchdog_has_a_cost_and_a_deliverer_an_income(windows: Windows) -> None:
    told = {label: text for label, text, _ in rows(SNAPSHOT, windows)}
    assert "Cost" not in told
    assert told["Income"].startswith("5 wei for 2 parts; gas ")
    dog = replace(SNAPSHOT, role="watchdog", ledger=replace(LEDGER, earned=0))
    told = {label: text for label, text, _ in rows(dog, windows)}
    assert "Income" not in told
    assert told["Cost"].endswith(" in 1 transactions; 2 parts delivered for the seller, at no fee")
    # A part whose leaf names the operator is its own, fee and all.
    told = {label: text for label, text, _ in rows(replace(dog, ledger=LEDGER), windows)}
    assert told["Cost"].endswith("earned 5 wei for 2 parts")


def test_what_is_missing_is_said(windows: Windows) -> None:
    bare = replace(
        SNAPSHOT, chain=None, node_error="E1", ledger=None, ledger_error="E2", process=None
    )
    text = " ".join(text for _, text, _ in rows(bare, windows))
    assert "E1" in text
    assert "E2" in text
    assert "is not running" in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545/".rstrip("/")),
        ("https://key@node.example", "https://node.example/***"),
        ("https://node.example/v3/key", "https://node.example/***"),
        ("https://node.example?key=1", "https://node.example/***"),
        ("http://[::1]:5001", "http://[::1]:5001"),
    ],
)
def test_addresses_are_cut_to_their_host(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_a_look_at_a_lock_is_not_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert locks.holder(path) is None
    with locks.exclusive(path, "x"):
        assert locks.holder(path) is not None
        with pytest.raises(ConfigError, match="already runs"), locks.exclusive(path, "x"):
            pass
    # The file stays, and nobody holds it.
    assert path.exists()
    assert locks.holder(path) is None
    with locks.exclusive(path, "x"):
        pass


def test_a_look_just_now_does_not_stop_a_daemon(tmp_path: Path) -> None:
    """Whoever takes the lock waits for a look to end."""
    import fcntl
    import os
    import threading

    path = tmp_path / "a.lock"
    path.touch()
    look = os.open(path, os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    timer = threading.Timer(0.03, os.close, [look])
    timer.start()
    with locks.exclusive(path, "x"):
        pass
    timer.join()
