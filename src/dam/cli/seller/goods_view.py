"""What is about to be sold, so that a seller sees a wrong file before it is for sale."""

from __future__ import annotations

from dam.console import printable
from dam.roles.seller.drafted import ItemDraft


def goods_text(draft: ItemDraft) -> str:
    """One line: how many codes, how long, which; or the file and its size.

    Raises:
        OSError: The file is gone.
    """
    if draft.codes is not None:
        sizes = sorted({len(code) for code in draft.codes})
        long = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
        count = "1 code" if len(draft.codes) == 1 else f"{len(draft.codes):,} codes"
        first, last = masked(draft.codes[0]), masked(draft.codes[-1])
        which = first if len(draft.codes) == 1 else f"the first {first}, the last {last}"
        return f"{draft.name}: {count} of {long} characters, {which}"
    if draft.file is not None:
        return f"{draft.name}: {printable(draft.file.name)}, {_size(draft.file.stat().st_size)}"
    return f"{draft.name}: a text of {_size(len(draft.text or b''))}"


def masked(code: str) -> str:
    """The ends of a code: enough to know one's own, too little to use. Terminals are recorded."""
    ends = min(3, len(code) // 5)
    return printable(f"{code[:ends]}…{code[len(code) - ends :]}")


def _size(count: int) -> str:
    if count == 1:
        return "1 byte"
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} bytes"
