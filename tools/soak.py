"""Runs three deliverers, a watchdog, Kubo and Anvil for a while, under every fault at random.

    make soak MINUTES=60 RATE=1 SEED=1
    python tools/soak.py --minutes 3

Prints what became of every part of every purchase, how often each kind of fault was injected,
and how memory, open files and CPU went; leaves the same in ``.build/soak``, and with ``--write`` in
``docs/soak.md`` and ``docs/soak.svg``. Exit code 1 if anything that must hold does not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from soak import page, report  # noqa: E402
from soak.run import Options, run_soak, say_now  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1.0, help="purchases a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--faults", type=float, default=Options.faults_per_hour, help="of each kind, an hour"
    )
    parser.add_argument("--folder", type=Path, help="keep all files here, to look at afterwards")
    parser.add_argument("--write", action="store_true", help="renew docs/soak.md and docs/soak.svg")
    given = parser.parse_args()
    options = Options(
        given.minutes, given.rate, given.seed, given.folder, faults_per_hour=given.faults
    )
    result = asyncio.run(run_soak(options, say_now))
    folder = ROOT / ".build" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    for target in [folder, ROOT / "docs"] if given.write else [folder]:
        (target / "soak.md").write_text(page.page(result), "utf-8")
        (target / "soak.svg").write_text(report.drawing(result), "utf-8")
    print("\n" + report.summary(result))
    print(report.faults(result), file=sys.stderr)
    return 0 if all(holds for _, holds in report.verdicts(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
