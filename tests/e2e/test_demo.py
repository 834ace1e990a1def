"""The demo tells right from wrong: each thing broken in it makes it fail, for its own reason."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.participants import BREAKS
from demo.world import ROOT

WHY = {
    "fee": r"deliverer 1 earned what the rules say: \d+ wei, by the rules \d+ wei",
    "key": r"`dam buyer wait 0x\w+` ended with 1: Error: .* junk",
    "price": r"`dam buyer buy .*` ended with 1: Error: .*catalogue root",
    "daemon": r"all 3 deliverers delivered.*: only 2 of 3 parts came",
    "domain": r"thief 3 got nothing.*: [23] parts came; the thief holds the key to the good",
}


def demo(**variables):
    return subprocess.Popen(
        [sys.executable, "tools/demo.py"],
        cwd=ROOT,
        env={**os.environ, "DEMO_IPFS": "dir", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_every_break_is_tested():
    assert set(WHY) == set(BREAKS)


@pytest.mark.slow
@pytest.mark.parametrize("broken", sorted(WHY))
def test_broken_it_fails_for_its_own_reason(broken):
    scenes = "d" if broken == "domain" else "a"
    process = demo(DEMO_BREAK=broken, DEMO_SCENES=scenes)
    told, _ = process.communicate(timeout=600)
    assert process.returncode == 1, told
    assert re.search(WHY[broken], told.partition("Summary")[2]), told
    assert "NOT as the rules say" in told


def test_an_unknown_break_or_scene_is_refused_at_once():
    for variables in ({"DEMO_BREAK": "nothing"}, {"DEMO_SCENES": "az"}):
        process = demo(**variables)
        told, _ = process.communicate(timeout=120)
        assert process.returncode == 2
        assert next(iter(variables)) in told


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_it_leaves_no_process_and_no_file_behind(number, tmp_path):
    process = demo(DEMO_SCENES="a", TMPDIR=str(tmp_path))
    pids = []
    for line in process.stdout:
        pids += map(int, re.findall(r"runs as process (\d+)", line))
        if "all four daemons" in line:
            break
    assert len(pids) == 4
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    deadline = time.monotonic() + 60
    while alive := [pid for pid in pids if runs(pid)]:
        assert time.monotonic() < deadline, f"{alive} still run"
        time.sleep(0.1)
    while left := list(tmp_path.glob("dam-*")):
        assert time.monotonic() < deadline, f"{left} are still there"
        time.sleep(0.1)


def runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
