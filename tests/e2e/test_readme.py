"""The README's fenced commands, word for word, by somebody with an empty HOME."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.world import ROOT

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
KEPT = "make demo KEEP=1\n"


def environment(home):
    """The base system and Python alone: what the first page of the README asks for."""
    python = Path(sys.base_prefix) / "bin"
    kept = {name: os.environ[name] for name in ("SSL_CERT_FILE", "TMPDIR") if name in os.environ}
    return {"HOME": str(home), "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin", **kept}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The demo with KEEP=1, up: its process and what it printed so far."""
    home = tmp_path_factory.mktemp("home")
    log = home.with_suffix(".log")
    with log.open("wb") as out:
        # The scenes have tests of their own; here the world that they leave is wanted.
        process = subprocess.Popen(
            ["bash", "-ec", KEPT],
            cwd=ROOT,
            env=environment(home) | {"DEMO_SCENES": "e"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 700
        while "In another terminal" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield home
    finally:
        # As Ctrl-C does: the whole foreground group.
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    assert "nothing is left running" in log.read_text()
    assert not (ROOT / ".build" / "demo").exists()


def test_the_first_block_is_the_two_commands(tmp_path):
    """`make demo` is run as it is. `make test` runs this test, so only its recipe is looked at."""
    assert BLOCKS[0] == "make demo\nmake test\n"
    done = subprocess.run(
        ["make", "demo"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ checks in \d+ s: all as the rules say$", done.stdout, re.MULTILINE)
    for letter in "abcdefgh":
        assert f"\n({letter}) " in done.stdout
    recipe = subprocess.run(
        ["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "tools/run_tests.py" in recipe.stdout


def test_everything_by_hand_from_publishing_to_the_money(kept):
    assert BLOCKS[1] == KEPT
    script = "".join(BLOCKS[2:])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment(kept),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert re.search(r"SUMMER-(4711|0815)", done.stdout), told
    assert "settled" in done.stdout, told
    # 0.05 ether, less 6 %, which is the deliverers'.
    assert "Credit 0.047 ether in block" in done.stdout, told


def test_the_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
