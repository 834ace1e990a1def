"""Two who take markets of lists into one file of settings, at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from dam.config.market_lists import load_seen, settings_lock
from tests.unit.helpers.markets import DAY, Signer, record_of, signed


def adding(folder: Path, name: str, chain_id: int, issued: int) -> subprocess.Popen[str]:
    """A list of one market, and the command that takes it, as far as the lock."""
    times = {"issued": issued, "expires": issued + DAY}
    file = folder / f"{name}.json"
    file.write_text(signed({name: record_of(chain_id)}, name=f"{name}'s", **times))
    command = ["market", "list", "add", file, "--yes", "--signer", Signer().address]
    process = subprocess.Popen(
        [sys.executable, "-m", "dam", *map(str, command)],
        env={"DAM_HOME": str(folder / "home")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    # What it shows before it asks: from here on it knows what the settings are.
    assert any(line.startswith(name) for line in process.stderr)
    return process


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    now, home = int(time.time()), tmp_path / "home"
    with settings_lock(home):
        both = [adding(tmp_path, name, chain_id, now) for name, chain_id in (("a", 1), ("b", 2))]
        with pytest.raises(subprocess.TimeoutExpired):
            both[0].wait(1)
    for process in both:
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 0, said
    tables = tomllib.loads((home / "config.toml").read_text())["markets"]
    assert tables.keys() == {"a", "b"}
    assert len(load_seen(home)) == 2


def test_what_somebody_else_took_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    now, home = int(time.time()), tmp_path / "home"
    with settings_lock(home):
        process = adding(tmp_path, "a", 1, now)
        (home / "config.toml").write_text('[markets.a]\ndeployment = "mine.json"\n')
    said = process.communicate(timeout=300)[1]
    assert process.returncode != 0
    assert "the settings have another market a" in said
