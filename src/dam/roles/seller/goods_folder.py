"""The files of a folder that are goods, and what is left out of it, by name."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dam.console import printable
from dam.roles.file_names import file_name

_LITTER = re.compile(
    r"thumbs\.db|ehthumbs(_vista)?\.db|desktop\.ini|autorun\.inf|icon\r|__macosx|\$recycle\.bin|"
    r"system volume information|lost\+found|~\$.*|.*~|#.*#|.*\.(tmp|temp|swp|swo|part|partial|"
    r"crdownload|download|lnk)",
    re.IGNORECASE,
)
"""What systems, editors and downloads leave about."""


@dataclass(frozen=True, slots=True)
class GoodsFolder:
    """What is in a folder."""

    files: dict[str, str]
    """Name of the item, in NFC, to the name on disk."""
    notes: tuple[str, ...]
    """What the seller should know before they publish: what is left out, names of a kind."""
    faults: tuple[str, ...]


def read_goods_folder(folder: Path) -> GoodsFolder:
    """Looks at a folder; nothing in it is opened or followed.

    Raises:
        OSError: It cannot be read.
    """
    names, left_out = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if reason := _reason(entry):
                left_out.append(f"{printable(entry.name)} ({reason})")
            else:
                names.append(entry.name)
    files: dict[str, str] = {}
    faults = []
    for name in names:
        item = unicodedata.normalize("NFC", name)
        if item in files:
            faults.append(f"two files are called {printable(item)}, in two spellings of Unicode")
        files.setdefault(item, name)
    notes = [f"left out: {text}" for text in left_out] + _hard_to_hold(files)
    return GoodsFolder(files, tuple(notes), tuple(faults))


def _reason(entry: os.DirEntry[str]) -> str:
    """Why something in the folder is no good; empty if it is one."""
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if entry.name.startswith("."):
        return "hidden"
    if _LITTER.fullmatch(entry.name):
        return "litter of a program"
    if stat.S_ISDIR(mode):
        return "a folder: pack it into one file to sell it"
    return "" if stat.S_ISREG(mode) else "a device, a pipe or a socket"


def _hard_to_hold(names: Iterable[str]) -> list[str]:
    """Names that not every system can hold, or tell apart."""
    names = list(names)
    folded = Counter(name.casefold() for name in names)
    return [
        f"{printable(name)}: a buyer's file is called {file_name(name)}"
        for name in names
        if file_name(name) != name
    ] + [
        f"{printable(name)}: another differs from it in capital letters alone"
        for name in names
        if folded[name.casefold()] > 1
    ]
