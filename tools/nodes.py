"""Plays whole sales on real nodes and on rollups, and prints a table: chain, what, result.

    make nodes NODES="geth hardhat"
    python tools/nodes.py --write geth

``geth``: the main sale, a dead deliverer, a refund, a dispute, a proof of junk, 200 purchases, the
node restarted, rewound, held to ten calls a request, and wiped; ``hardhat``: as much of it as
Hardhat can; ``logs``: catching up with 100,000 logs of geth, beside raw eth_getLogs; ``rollups``:
the cases of tests/rollups. Daemons and commands are processes, as people run them.

The rows of each part go to .build/nodes/PART.json; ``--write`` renews the table of docs/chains.md
with the rows that are there, of earlier runs, too. Exit code 1 if one failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))

import soak  # noqa: E402, F401 - finds our folder of tests
from demo.goods import draw  # noqa: E402
from demo.participants import Participants  # noqa: E402
from demo.report import Report, Scene  # noqa: E402
from demo.scenes import album, coupon, junk, silence  # noqa: E402
from tests.chains import catch_up, plays  # noqa: E402
from tests.chains.nodes import GethNode, HardhatNode  # noqa: E402
from tests.chains.world import OtherWorld  # noqa: E402

ROWS = ROOT / ".build" / "nodes"
PAGE = ROOT / "docs" / "chains.md"
BEGIN, END = "<!-- table: made by make nodes -->", "<!-- /table -->"
WINDOWS = ("--refund-seconds", "3600", "--dispute-seconds", "2400")
GAS_LIMIT = "--dev.gaslimit=60000000"
SUPPLY = 40
SEED = "nodes"
Play = Callable[[Participants, Report, Scene], Awaitable[None]]
EVERYWHERE: dict[str, Play] = {
    "main sale": coupon.run,
    "dead deliverer, fallback": album.run,
    "refund": silence.run,
    "dispute": plays.dispute,
    "proof of junk": junk.run,
}
ON_GETH: dict[str, Play] = {
    f"{plays.PURCHASES} purchases": plays.throughput,
    "restart": plays.restart,
    "ten calls a request": plays.batch_limit,
    "rewind": plays.rewind,
    "wipe": plays.wipe,
}
ON_HARDHAT: dict[str, Play] = {"rewind": plays.rewind}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    chain: str
    played: str
    result: str
    """Begins with ``ok`` or ``FAILED``."""
    seconds: float

    @property
    def good(self) -> bool:
        return self.result.startswith("ok")


async def play(chain: Callable[[Path], GethNode | HardhatNode], more: dict[str, Play]) -> list[Row]:
    """All of it on one chain."""
    report = Report()
    goods = draw(SEED)
    goods = replace(goods, coupon_deal=replace(goods.coupon_deal, supply=SUPPLY))
    async with OtherWorld(chain, WINDOWS) as world:
        kind = "geth" if world.can_set_head else "Hardhat"
        name = f"{kind} {await asyncio.to_thread(lambda: world.chain.version)}"
        people = Participants(world, goods)
        with report.scene("set-up", f"{name}: stakes, store, daemons") as scene:
            await people.enter()
            await people.publish()
            people.raise_daemons()
            await people.ready(*people.daemons, people.watchdog)
            report.check(True, "all four daemons have caught up with the chain")
        if scene.good:
            for played, run in (EVERYWHERE | more).items():
                with report.scene(played, name) as scene:
                    await run(people, report, scene)
    return [
        Row(name, scene.letter, _result(scene), round(scene.seconds, 1)) for scene in report.scenes
    ]


def _result(scene: Scene) -> str:
    if not scene.good:
        return "FAILED: " + " ".join("; ".join(scene.differed or ["nothing was checked"]).split())
    return f"ok: {scene.outcome}" if scene.outcome else "ok"


def geth() -> list[Row]:
    return asyncio.run(play(lambda folder: GethNode(folder, GAS_LIMIT, keep=True), ON_GETH))


def hardhat() -> list[Row]:
    return asyncio.run(play(HardhatNode, ON_HARDHAT))


def logs() -> list[Row]:
    began = time.monotonic()
    name, ratio = catch_up.measure(print)
    played = f"catching up with {catch_up.LOGS:,} logs"
    result = f"ok: {ratio:.2f} of the speed of raw eth_getLogs"
    return [Row(name, played, result, round(time.monotonic() - began, 1))]


def rollups() -> list[Row]:
    """A row for each test: its kind of rollup stands in brackets behind its name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:ape_test", "tests/rollups"]
        code = subprocess.run(
            [*command, f"--junitxml={report}"],
            cwd=ROOT,
            env=os.environ | {"DAM_ROLLUPS": "all"},
            check=False,
        ).returncode
        # Written by the pytest just run, so the standard parser may be trusted with it.
        cases = ET.parse(report).iter("testcase") if report.exists() else ()
        rows = [_row_of(case) for case in cases]
    if not rows or (code and all(row.good for row in rows)):
        rows.append(Row("rollups", "all", f"FAILED: exit code {code}", 0))
    return rows


def _row_of(case: ET.Element) -> Row:
    name, _, kind = case.get("name", "").removeprefix("test_").partition("[")
    result = "ok"
    for outcome in case:
        if outcome.tag in ("failure", "error", "skipped"):
            text = (outcome.get("message") or "no reason given").splitlines()
            result = f"FAILED: {outcome.tag}: {text[0][:200] if text else ''}"
    chain = f"rollup: {kind.removesuffix(']') or 'any'}"
    return Row(chain, name.replace("_", " "), result, round(float(case.get("time", 0)), 1))


def play_part(part: str) -> list[Row]:
    """Its rows; one of failure where it could not even begin."""
    try:
        return PARTS[part]()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the other parts are played, too
        return [Row(part, "all", f"FAILED: {type(error).__name__}: {error}", 0)]


PARTS = {"geth": geth, "hardhat": hardhat, "logs": logs, "rollups": rollups}


def table(rows: list[Row]) -> list[str]:
    """For people."""
    widths = [max(len(getattr(row, key)) for row in rows) for key in ("chain", "played")]
    return [
        f"{row.chain:{widths[0]}}  {row.played:{widths[1]}}  {row.seconds:6.0f} s  {row.result}"
        for row in rows
    ]


def read_rows(part: str) -> list[Row]:
    """What the last run of a part left."""
    path = ROWS / f"{part}.json"
    return [Row(**row) for row in json.loads(path.read_bytes())] if path.exists() else []


def write_page() -> None:
    """Puts the rows that are there into the page; each chain's name once."""
    lines, last = ["| chain | what was played | seconds | result |", "|---|---|---:|---|"], ""
    for row in [row for part in PARTS for row in read_rows(part)]:
        chain = row.chain if row.chain != last else ""
        lines.append(f"| {chain} | {row.played} | {row.seconds:.0f} | {row.result} |")
        last = row.chain
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"])
    PAGE.write_text(text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--write", action="store_true", help="renew the table of docs/chains.md")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    ROWS.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for part in given.parts or PARTS:
        path = ROWS / f"{part}.json"
        path.unlink(missing_ok=True)
        found = play_part(part)
        path.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", "utf-8")
        rows += found
    if given.write:
        write_page()
    print("\n" + "\n".join(table(rows)))
    bad = sum(not row.good for row in rows)
    print(f"{len(rows) - bad} as they should be, {bad} failed")
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
