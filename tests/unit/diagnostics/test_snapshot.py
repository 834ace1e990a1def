"""What a status says of time, and what it never shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dam.cli.deliverer.status import rows, snapshot_json
from dam.config.values import masked
from dam.daemon import locks
from dam.diagnostics.snapshot import Chain, Snapshot
from dam.errors import ConfigError
from dam.ledger.status import DaemonStatus, NextDeadline
from dam.types import Address, BlockRef, Windows

ME = Address("0x" + "11" * 20)
LEDGER = DaemonStatus(
    role="deliverer", account=ME, cursor=990, purchases={"serving": 1, "done": 0}, jobs={"due": 1},
    stores={}, parts=4, pinned_bytes=3 << 20, delivered=2, earned=5, gas_paid=7, transactions=1,
    next_deadline=NextDeadline(b"\x01" * 32, 1200), refused=[], alerts=[],
)  # fmt: skip
SNAPSHOT = Snapshot(
    role="deliverer",
    account=ME,
    chain=Chain(BlockRef(1000, b"h" * 32, 0), 12.0, 10**18, None, []),
    node_error="",
    ledger=LEDGER,
    ledger_error="",
    process="77",
    confirmations=2,
    refund_blocks=300,
)


def test_the_nearest_deadline_in_blocks_and_seconds(windows: Windows) -> None:
    """P = 900: alone until block 1000, deliveries count until 1200."""
    deadline = SNAPSHOT.deadline
    assert deadline is not None
    assert (deadline.block, deadline.alone) == (1200, 1000)
    assert (deadline.blocks, deadline.seconds) == (200, 2400)
    told = {label: text for label, text, _ in rows(SNAPSHOT, windows)}["Deadline"]
    assert "200 blocks, 40 min 00 s; ours alone until block 1000" in told
    value = snapshot_json(SNAPSHOT, windows)["daemon"]["ledger"]["nextDeadline"]
    assert (value["blocks"], value["seconds"], value["aloneUntil"]) == (200, 2400, 1000)
    # Past it, time is not negative; without a node it is not known.
    past = replace(SNAPSHOT, chain=replace(SNAPSHOT.chain, head=BlockRef(1300, b"", 0)))  # type: ignore[type-var]
    assert past.deadline is not None
    assert (past.deadline.blocks, past.deadline.seconds) == (-100, 0)
    blind = replace(SNAPSHOT, chain=None, node_error="gone").deadline
    assert blind is not None
    assert (blind.block, blind.blocks, blind.seconds) == (1200, None, None)


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
