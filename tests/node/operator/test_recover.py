"""`dam deliverer recover`, and the watchdog's commands where there is no shop."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from dam.daemon import locks
from tests.node.operator.commands import ALIAS, Operator, daemon_once, open_ledger, spoil


def test_recover(operator: Operator) -> None:
    """Refuses beside a daemon, leaves a sound ledger alone, reads the chain into a new one."""
    assert "nothing to recover" in operator("deliverer", "recover", code=1).stderr
    open_ledger(operator).close()
    assert "is sound" in operator("deliverer", "recover", code=0).stdout
    lock = operator.ledger.with_name("deliverer.sqlite.lock")
    spoil(operator.ledger)
    bytes_before = operator.ledger.read_bytes()
    with locks.exclusive(lock, "ledger"):
        done = operator("deliverer", "recover", "--yes", code=2)
        assert f"process {os.getpid()} already runs" in done.stderr
    # Nobody is there to ask.
    assert "--yes" in operator("deliverer", "recover", code=1).stderr
    assert operator.ledger.read_bytes() == bytes_before
    value = operator("deliverer", "recover", "--json", code=0, parse=True)
    assert Path(value["aside"]).read_bytes() == bytes_before
    assert value["read"].startswith("read to block ")
    with closing(sqlite3.connect(operator.ledger)) as db:
        [[cursor]] = db.execute("SELECT number FROM cursor")
    assert cursor == int(operator.chain.request("eth_blockNumber"), 16) - 2
    open_ledger(operator).close()


def test_a_lost_ledger_is_not_replaced_in_silence(operator: Operator) -> None:
    """An older file knows to whom parts were sealed, which the chain does not tell."""
    open_ledger(operator).close()
    lost = operator.ledger.rename(operator.ledger.with_name("deliverer.sqlite.aside-20250101T0Z"))
    code, said = daemon_once(operator)
    assert code == 2
    assert f"{operator.ledger} is gone, and {lost.name} is there" in said
    assert "dam deliverer recover" in said
    assert not operator.ledger.exists()
    operator("deliverer", "recover", "--yes", code=0)
    code, said = daemon_once(operator)
    assert code == 0, said


def test_recover_without_a_node(operator: Operator) -> None:
    open_ledger(operator).close()
    operator.ledger.write_bytes(b"no ledger at all, but of some length" * 1000)
    done = operator("deliverer", "recover", "--yes", DAM_RPC_URL="http://127.0.0.1:1", code=0)
    assert "the daemon does that when it starts" in done.stdout
    assert "file is not a database" in done.stdout
    open_ledger(operator).close()


def test_looking_again_at_what_an_internal_error_refused(operator: Operator) -> None:
    with closing(open_ledger(operator)) as ledger:
        ledger.db.execute(
            "INSERT INTO documents (seller, digest, root, state, reason) "
            "VALUES ('s', x'00', x'00', 'refused', 'internal error: ZeroDivisionError')"
        )
    done = operator("deliverer", "recover", "--retry", "--json", code=0, parse=True)
    assert done == {"lookedAtAgain": 1}
    done = operator("deliverer", "recover", "--retry", "--json", code=0, parse=True)
    assert done == {"lookedAtAgain": 0}


def test_a_watchdog_without_a_shop(operator: Operator) -> None:
    for command in ("doctor", "status", "recover"):
        done = operator("watchdog", command, "--account", ALIAS)
        text = done.stdout + done.stderr
        assert done.exit_code == {"doctor": 1, "recover": 2, "status": 0}[command], text
