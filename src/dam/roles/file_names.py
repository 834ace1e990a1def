"""What a good's file is called on the buyer's disk, whatever the seller called the item."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_ALSO = frozenset(" ._-+,=@()")
_RESERVED = re.compile(
    r"(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE
)
"""Names that Windows keeps for devices, with any ending."""
_ENDING = re.compile(r"\.[^\W_]{1,12}\Z")


def file_name(item: str) -> str:
    """A name that every system can hold, for an item of this id; script and extension stay.

    It is no path, no option of a command and no hidden file. Another id has another name, but for
    what file systems do not tell apart: where something had to be changed, the name says of which
    id it is by eight digits of a hash.

    Args:
        item: An id, at most 128 bytes, as `dam.validation.identifier` takes it.

    Returns:
        At most 255 bytes of UTF-8.
    """
    name = "".join(c if _is_plain(c) else "_" for c in item)
    name = name.lstrip("-. ").rstrip(". ")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    if name == item:
        return name
    ending = _ENDING.search(name, 1)
    stem = name[: ending.start()] if ending else name or "good"
    mark = hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{stem}-{mark}{ending[0] if ending else ''}"


def _is_plain(character: str) -> bool:
    # Letters, marks and digits of any script: no slash, no quote, nothing that a shell reads.
    return unicodedata.category(character)[0] in "LMN" or character in _ALSO
