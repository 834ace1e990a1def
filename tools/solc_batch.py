"""Many standard inputs for the Solidity compiler, in few processes: loading it takes longest."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_COMPILER = r"""
const fs = require("fs"), path = require("path"), solc = require("solc");
const read = (name) => {
  const file = path.resolve(name);
  return fs.existsSync(file) ? { contents: fs.readFileSync(file, "utf8") } : { error: "not found" };
};
for (const file of process.argv.slice(1)) {
  fs.writeFileSync(file + ".out", solc.compile(fs.readFileSync(file, "utf8"), { import: read }));
}
"""


def compile_files(paths: Sequence[Path], jobs: int) -> None:
    """Compiles each file, a standard input, into ``<file>.out``, in ``jobs`` processes.

    Raises:
        subprocess.CalledProcessError: The compiler itself failed; what it has to say of a contract
            stands in the output.
    """

    def compile_some(some: Sequence[Path]) -> None:
        if some:
            command = ["node", "--stack-size=8000", "-e", _COMPILER, "--", *map(str, some)]
            subprocess.run(command, cwd=ROOT, check=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(compile_some, [paths[i::jobs] for i in range(jobs)]))
