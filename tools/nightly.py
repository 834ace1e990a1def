"""What takes hours, as stages that can be run alone, and one table of what they showed.

    tools/nightly.py [--minutes 60] [STAGE ...]

The stages are ``audit`` (as `make audit-full`), ``faults`` (the table of faults, then each guarded
line taken out), ``schedules`` (as `make schedules`), ``nodes`` (three of them, in trouble for a
minute), ``chains`` (as `make nodes`), ``flood`` (as `make flood`), ``verdicts`` (20,000 made-up
cases of each kind, read in Python and in Node) and ``soak``. What a stage prints comes at once and
is kept in .build/nightly/STAGE.log. Exit code 1 if one failed; the others run nevertheless.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "nightly"
Commands = list[list[str]]
LONGER = {
    "schedules": ("DAM_SCHEDULES", "200"),
    "nodes": ("DAM_THROTTLED_SECONDS", "60"),
    "verdicts": ("DAM_VERDICTS", "20000"),
}
"""Variables of stages that are shorter in CI; what somebody set stays."""


def stages(minutes: float) -> dict[str, Commands]:
    """The commands of each stage; one that fails does not keep the next from running."""
    python = sys.executable
    pytest = [python, "-m", "pytest", "-p", "no:ape_test"]
    return {
        "audit": [[python, "tools/audit.py", "--full", "--write"]],
        "faults": [
            [python, "tools/fault_table.py"],
            [python, "tools/fault_table.py", "--verify"],
        ],
        "schedules": [[*pytest, "tests/faults/test_schedules.py"]],
        "nodes": [[*pytest, "tests/faults/test_three_nodes.py"]],
        "chains": [["scripts/bootstrap", "--chains"], [python, "tools/nodes.py"]],
        "flood": [[python, "tools/flood.py"]],
        "verdicts": [[*pytest, "tests/unit/test_verdicts.py"]],
        "soak": [[python, "tools/soak.py", "--minutes", str(minutes)]],
    }


def run_stage(name: str, commands: Commands) -> tuple[bool, str]:
    """Whether all commands ended well, and what each said last."""
    env = dict(os.environ)
    if name in LONGER:
        env.setdefault(*LONGER[name])
    good, said = True, []
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("wb") as log:
        for command in commands:
            last = b""
            with subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as process:  # fmt: skip
                assert process.stdout
                for line in process.stdout:
                    log.write(line)
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
                    last = line.strip(b"= \n") or last
            good = good and process.returncode == 0
            said.append(last.decode("utf-8", "replace")[:100])
    return good, "; ".join(said)


def main() -> int:
    names = list(stages(0))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(names))
    parser.add_argument("--minutes", type=float, default=60, help="of the soak")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(names):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    wanted = options.stages or names
    if set(wanted) - {"audit"}:
        # Without an IPFS node some of it would be skipped, which shows nothing.
        subprocess.run(["scripts/bootstrap", "--kubo"], cwd=ROOT, check=True)
    rows, failed = [], 0
    for name in wanted:
        print(f"== {name} ==", flush=True)
        begun = time.monotonic()
        good, said = run_stage(name, stages(options.minutes)[name])
        failed += not good
        rows.append((name, time.monotonic() - begun, "ok" if good else "FAILED", said))
    print(f"\n{'stage':10}{'seconds':>9}  {'result':6}  what it showed")
    for name, seconds, result, said in rows:
        print(f"{name:10}{seconds:9.0f}  {result:6}  {said}")
    print(f"{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
