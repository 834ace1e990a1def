"""A command that is forked says and does what the same command says as a new interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import Start, ended
from demo.world import DAM, CommandFailed, run
from tests.fork_server import Fork, ForkServer


async def _said(start: Start, words: list[str], home: Path) -> tuple[int, str, str]:
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "DAM_RPC_URL": "http://127.0.0.1:1"}
    try:
        output = await run([*DAM, *words], env, cwd=home, start=start)
    except CommandFailed as error:
        return error.code, error.stdout, error.stderr
    return 0, output.stdout, output.stderr


@pytest.mark.parametrize("words", ["--version", "buyer show", "market", "no-such-thing"])
async def test_says_the_same(forks: ForkServer, words: str, tmp_path: Path) -> None:
    forked = await _said(forks.start, words.split(), tmp_path)
    assert forked == await _said(subprocess.Popen, words.split(), tmp_path)
    assert any(forked[1:])


async def test_has_its_own_environment_and_folder(forks: ForkServer, tmp_path: Path) -> None:
    for home in (tmp_path / "one", tmp_path / "two"):
        home.mkdir()
        env = {"HOME": str(home), "DAM_KEY_PASSPHRASE": f"of {home.name}"}
        await run([*DAM, "keys", "new", "deliverer"], env, cwd=home, start=forks.start)
        assert list(home.rglob("*.json"))
    # The variable of the last one is not there any more.
    code, _, said = await _said(forks.start, ["keys", "new", "seller"], tmp_path)
    assert code
    assert "DAM_KEY_PASSPHRASE" in said


async def test_ends_by_signals_and_is_waited_for(forks: ForkServer, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "DAM_KEY_PASSPHRASE": "x"}
    with (tmp_path / "log").open("wb") as log:
        child = forks.start(
            [*DAM, "keys", "--help"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            cwd=tmp_path,
            start_new_session=True,
        )
    if sys.platform == "linux":
        assert isinstance(child, Fork)
    child.send_signal(signal.SIGKILL)
    assert await ended(child) in (-signal.SIGKILL, 0)
    child.send_signal(signal.SIGTERM)  # Nobody else's process is hit.
