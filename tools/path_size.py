"""Counts the deliverer's main path: the modules that one sale walks through, from log to chain.

Prints each with its lines, and how many of them are code; exits with 1 over the bar. Small modules
that were split from one of the path are counted with it: a split saves nothing.
"""

from __future__ import annotations

import io
import sys
import tokenize
from pathlib import Path

SRC = Path(__file__).parent.parent / "src" / "dam"
PATH = (
    "market/{log_decoder,log_rows,calldata}",
    "ledger/{ledger,sales,documents,outbox}",
    "roles/deliverer/*",
    "sending/*",
    "daemon/{service,chain_reader}",
    "ethereum/{rpc,node,node_errors,node_pool,endpoint,exchange,eip1559}",
)
MOST_LINES, MOST_MODULES = 7_300, 26
"""Raised from 6,000 and 24 for decisions 23 and 24 (floods, absent nodes, chains without fees), and
by 300 lines for 25, 26 and 29: signed lists, two clocks, proofs of junk."""
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


def modules() -> list[Path]:
    """Those of the path that are there; an empty ``__init__.py`` is none."""
    found = []
    for pattern in PATH:
        folder, _, names = pattern.partition("{")
        stems = [folder + name for name in names.rstrip("}").split(",")] if names else [folder]
        for stem in stems:
            found += sorted(path for path in SRC.glob(f"{stem}.py") if path.stat().st_size)
    return found


def code_lines(text: str) -> int:
    """Lines with code: neither blank, nor comment, nor docstring."""
    lines: set[int] = set()
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _NO_CODE:
            if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
                before = token.type
            continue
        # A string that begins a statement documents something.
        if token.type != tokenize.STRING or before == 0:
            lines.update(range(token.start[0], token.end[0] + 1))
        before = 0
    return len(lines)


def main() -> int:
    """Prints the list; 1 if there is too much of it."""
    total = code = 0
    found = modules()
    for path in found:
        text = path.read_text()
        lines, coded = text.count("\n"), code_lines(text)
        total, code = total + lines, code + coded
        print(f"{lines:5} {coded:5}  {path.relative_to(SRC)}")
    print(f"{total:5} {code:5}  lines, and of code, in {len(found)} modules")
    print(f"{MOST_LINES:5}        lines at most, in {MOST_MODULES} modules at most")
    return 1 if total > MOST_LINES or len(found) > MOST_MODULES else 0


if __name__ == "__main__":
    sys.exit(main())
