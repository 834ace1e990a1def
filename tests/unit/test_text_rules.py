"""The table of characters: made from Unicode 14.0, and the same for every reader."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from dam import validation
from dam.errors import Malformed
from tests.unit.helpers.tools import tool

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "src/dam/text_rules.json").read_text("utf-8"))


@pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0", reason="Python 3.11 alone has Unicode 14.0"
)
def test_the_table_is_what_the_tool_makes() -> None:
    assert tool("text_rules").build() == (ROOT / "src/dam/text_rules.json").read_bytes()


def listed(*names: str) -> set[int]:
    found: set[int] = set()
    for name in names:
        for pair in TABLE[name]:
            low, high = (int(end, 16) for end in pair.split("-"))
            found.update(range(low, high + 1))
    return found


EDGES = sorted(
    {
        code
        for name in ("nowhere", "texts_only", "not_in_ids")
        for pair in TABLE[name]
        for end in pair.split("-")
        for code in (int(end, 16) - 1, int(end, 16), int(end, 16) + 1)
        if 0 <= code < 0x110000
    }
)
NOWHERE, SURROGATES = listed("nowhere"), set(range(0xD800, 0xE000))


@pytest.mark.parametrize(
    ("read", "refused"),
    [
        (lambda text: validation.text(text, "x", 100), NOWHERE),
        (lambda text: validation.title(text, "x"), NOWHERE | listed("texts_only")),
        (
            lambda text: validation.identifier(text, "x"),
            NOWHERE | listed("texts_only", "not_in_ids"),
        ),
    ],
)
def test_every_character_has_its_places(read: Any, refused: set[int]) -> None:
    """Between two letters; what would be normalised away is no question of the table."""
    refused = refused | SURROGATES
    for code in EDGES:
        try:
            read(f"a{chr(code)}b")
            taken = True
        except Malformed as error:
            taken = "normal form" in str(error)
        assert taken is (code not in refused), hex(code)


def test_every_blank_is_off_both_ends() -> None:
    for code in sorted(listed("not_at_ends")):
        for text in (f"a{chr(code)}", f"{chr(code)}a", chr(code)):
            for read in (validation.title, validation.identifier):
                with pytest.raises(Malformed):
                    read(text, "x")


def test_what_a_later_unicode_assigned_is_refused_by_all() -> None:
    """U+1FAE8 came with 15.0, U+0897 with 16.0; U+1FAE7 with 14.0."""
    assert validation.title("\U0001fae7", "x") == "\U0001fae7"
    for text in ("\U0001fae8", "\u0897", "\ufdd0", "\U0010ffff"):
        with pytest.raises(Malformed, match="unassigned"):
            validation.title(text, "x")
