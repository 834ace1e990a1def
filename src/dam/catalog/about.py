"""What an item says of itself, beside its terms and goods. All of it is a stranger's word.

Every field may be missing; then its key is, too, so that one content has one form. The rules stand
in docs/protocol.md, section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dam import validation
from dam.catalog.payload import CHUNK_BYTES, MAX_CHUNKS
from dam.errors import Malformed
from dam.ipfs.dag_json import MAX_INTEGER

KINDS = ("code", "text", "file")
MAX_SUMMARY_BYTES = 512
MAX_TAGS = 16
MAX_TAG_BYTES = 48
MAX_DESCRIPTION_BYTES = 4096
MAX_LICENCE_BYTES = 128
MAX_FILE_NAME_BYTES = 255
MAX_RANGES = 4096
"""Of withdrawn copies."""
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?", re.ASCII)
_MEDIA_WORD = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}"
_MEDIA_TYPE = re.compile(f"{_MEDIA_WORD}/{_MEDIA_WORD}", re.ASCII)
_NO_FILE = re.compile(r'[/\\:*?"<>|]|^\.|[. ]$')
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class About:
    """The fields; empty where the seller said nothing."""

    kind: str = ""
    """One of `KINDS`: a code is printed exactly, a file written under its name."""
    summary: str = ""
    """One line."""
    tags: tuple[str, ...] = ()
    language: str = ""
    """Of the good: BCP 47, without variants and extensions: ``pt-BR``."""
    description: str = ""
    """Plain text of several lines."""
    licence: str = ""
    """One line: a name, or an SPDX identifier."""
    file_name: str = ""
    """A name that every system can hold; no path."""
    media_type: str = ""
    size: int | None = None
    """Bytes of the good, by the seller's word."""


def _one_of(value: Any, what: str) -> str:
    if value not in KINDS:
        raise Malformed(f"{what} is none of {', '.join(KINDS)}")
    return str(value)


def _matching(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Malformed(f"{what} does not have its form")
    return value


def _tags(value: Any, what: str) -> tuple[str, ...]:
    tags = validation.array(
        value, what, MAX_TAGS, lambda tag, _: validation.identifier(tag, "a tag", MAX_TAG_BYTES)
    )
    if not tags or len(set(tags)) != len(tags):
        raise Malformed(f"{what} are none, or one comes twice")
    return tags


def _file_name(value: Any, what: str) -> str:
    name = validation.title(value, what, MAX_FILE_NAME_BYTES)
    if _NO_FILE.search(name) or _DEVICE.fullmatch(name):
        raise Malformed(f"{what} is a path, hidden, or no name on some systems")
    return name


def _description(value: Any, what: str) -> str:
    text = validation.text(value, what, MAX_DESCRIPTION_BYTES)
    if not text:
        raise Malformed(f"{what} is empty")
    return text


_FIELDS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "kind": ("kind", _one_of),
    "summary": ("summary", lambda v, w: validation.title(v, w, MAX_SUMMARY_BYTES)),
    "tags": ("tags", _tags),
    "language": ("language", lambda v, w: _matching(_LANGUAGE, v, w)),
    "description": ("description", _description),
    "licence": ("licence", lambda v, w: validation.title(v, w, MAX_LICENCE_BYTES)),
    "fileName": ("file_name", _file_name),
    "mediaType": ("media_type", lambda v, w: _matching(_MEDIA_TYPE, v, w)),
    "size": ("size", lambda v, w: validation.integer(v, w, 0, MAX_CHUNKS * CHUNK_BYTES)),
}
KEYS = tuple(_FIELDS)
ITEM_KEYS = ("kind", "summary", "tags", "language")
"""Those that stand on a page, where lists see them."""
DETAIL_KEYS = tuple(key for key in KEYS if key not in ITEM_KEYS)
NOTHING = About()


def from_json(value: dict[str, Any], known: About = NOTHING) -> About:
    """What is known of an item, and those of an object's keys that are fields.

    Raises:
        Malformed: One breaks its rule.
    """
    found: dict[str, Any] = {
        name: read(value[key], key) for key, (name, read) in _FIELDS.items() if key in value
    }
    return replace(known, **found)


def to_json(about: About) -> dict[str, Any]:
    """The keys of the fields that say something."""
    values = {key: getattr(about, name) for key, (name, _) in _FIELDS.items()}
    values = {key: value for key, value in values.items() if value not in ("", (), None)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def ranges_from_json(value: Any, what: str, supply: int) -> tuple[range, ...]:
    """Ranges of copies, written ``[first, last]``: ascending, apart, below the supply.

    Raises:
        Malformed: They are not.
    """
    found: list[range] = []

    def read(pair: Any, what: str) -> None:
        low = found[-1].stop + 1 if found else 0
        ends = validation.array(
            pair, what, 2, lambda v, w: validation.integer(v, w, 0, MAX_INTEGER)
        )
        if len(ends) != 2 or not low <= ends[0] <= ends[1] < supply:
            raise Malformed(f"{what} are not ascending ranges of copies with gaps between them")
        found.append(range(ends[0], ends[1] + 1))

    validation.array(value, what, MAX_RANGES, read)
    if not found:
        raise Malformed(f"{what} are no ranges: the key is left out then")
    return tuple(found)


def withdrawn_from_json(value: dict[str, Any], supply: int) -> tuple[range, ...]:
    """The withdrawn copies that an object names, as `ranges_from_json`; none without the key."""
    if "withdrawn" not in value:
        return ()
    return ranges_from_json(value["withdrawn"], "withdrawn", supply)


def ranges_to_json(ranges: Sequence[range]) -> list[list[int]]:
    """As `ranges_from_json` reads them."""
    return [[one.start, one.stop - 1] for one in ranges]
