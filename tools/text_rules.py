"""Writes src/dam/text_rules.json: which characters may stand where in texts of strangers.

Usage: python tools/text_rules.py [path]

The table is made from Unicode 14.0, once and for all: runtimes know different versions, and two
readers must come to the same verdict. What 14.0 leaves unassigned is in no text, so that newer
runtimes normalise the rest as 14.0 does (https://unicode.org/policies/stability_policy.html).
It needs a Python whose `unicodedata` is of 14.0 (3.11); tests/unit/test_text_rules.py compares.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "dam" / "text_rules.json"
UNICODE = "14.0.0"
_JOINERS = "\u200c\u200d"
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Fillers and the empty Braille pattern: letters and symbols by category, and nothing to see."""
ABOUT = (
    "Characters of ids, lines and texts in store documents, as ranges of code points in hex "
    "(docs/protocol.md, section 4.1). nowhere: categories Cc, Cf, Cs, Zl, Zp, Cn of Unicode 14.0 "
    "but for U+000A and the joiners. texts_only: in texts, not in lines or ids. not_in_ids: in "
    "lines and texts. not_at_ends: neither the first nor the last character of an id or a line. "
    "Ids are in NFC besides. Written by tools/text_rules.py."
)


def ranges(holds: Callable[[str], bool]) -> list[str]:
    """The code points of which something holds."""
    found: list[list[int]] = []
    for code in range(0x110000):
        if not holds(chr(code)):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return [f"{low:04X}-{high:04X}" for low, high in found]


def table() -> dict[str, object]:
    """The table's lists."""
    category = unicodedata.category

    def nowhere(c: str) -> bool:
        return category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"} and c not in _JOINERS + "\n"

    return {
        "about": ABOUT,
        "unicode": UNICODE,
        "nowhere": ranges(nowhere),
        "texts_only": ranges(lambda c: c == "\n"),
        "not_in_ids": ranges(lambda c: c in _JOINERS or (category(c) == "Zs" and c != " ")),
        "not_at_ends": ranges(lambda c: category(c) == "Zs" or c in _JOINERS + _BLANK_LETTERS),
    }


def build() -> bytes:
    """The file's bytes, with a few ranges a line."""
    lines = []
    for key, value in table().items():
        if not isinstance(value, list):
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
            continue
        texts = [json.dumps(one) for one in value]
        rows = [", ".join(texts[at : at + 7]) for at in range(0, len(texts), 7)]
        lines.append(f" {json.dumps(key)}: [\n  " + ",\n  ".join(rows) + "\n ]")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def main() -> None:
    """Writes it."""
    if unicodedata.unidata_version != UNICODE:
        raise SystemExit(f"this Python has Unicode {unicodedata.unidata_version}, not {UNICODE}")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_bytes(build())
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
