"""Sheets: what is written is read, each rule refuses by itself, and the index finds parts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dam.catalog import sheet as sheets
from dam.catalog.sheet import BLOCK_PARTS, MAX_SHEET_PARTS, BuiltSheet, SheetSection
from dam.crypto import sealing
from dam.crypto.merkle import MerkleTree
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.ipfs.cid import Cid

KEY = bytes([9]) + bytes(31)
FILM, CODES = SheetSection("film", 0, 1, 3), SheetSection("codes", 5, 4, 2)


def part(number: int) -> tuple[bytes, bytes]:
    """Leaf and sealed part; the number stands in tag, leaf and ciphertext."""
    word = number.to_bytes(4, "big")
    return word * 8, word * 4 + word + bytes(sealing.SEALED_BYTES - 20)


def parts(first: int, section: SheetSection) -> list[tuple[bytes, bytes]]:
    return [part(first + i) for i in range(section.total)]


def build(*sections: SheetSection) -> BuiltSheet:
    return sheets.build_sheet(KEY, [(one, parts(100 * i, one)) for i, one in enumerate(sections)])


def root_of(first: int, section: SheetSection) -> bytes:
    return MerkleTree([leaf for leaf, _ in parts(first, section)]).root


def document(built: BuiltSheet) -> dict[str, Any]:
    value: dict[str, Any] = dag_json.decode(built.blocks[-1][1])
    return value


def test_the_numbers_of_the_protocol() -> None:
    sizes = sheets.ENTRY_BYTES, sheets.CIPHERTEXT_BYTES, MAX_SHEET_PARTS, BLOCK_PARTS
    assert sizes == (48, 170, 21_845, 6_168)


def test_what_is_written_is_read() -> None:
    built = build(FILM, CODES)
    *raw, (cid, data) = built.blocks
    assert cid == built.cid == Cid.of("dag-json", data)
    sheet = sheets.parse_sheet(dag_json.decode(data))
    assert sheet == built.sheet
    assert (sheet.sealing_key, sheet.sections, sheet.count) == (KEY, (FILM, CODES), 11)
    assert [one for one, _ in raw] == [sheet.index, *sheet.ciphertexts]
    assert all(one == Cid.of("raw", data) for one, data in raw)


def test_a_part_stands_at_the_same_place_in_both_blocks() -> None:
    built = build(FILM, CODES)
    sheet, index, texts = built.sheet, built.blocks[0][1], built.blocks[1][1]
    assert sheet.check_index(index) == index
    section = sheets.index_section(sheet, index, 1, CODES, root_of(100, CODES))
    assert section.entries == range(3, 11)
    assert sorted(section.leaves) == [leaf for leaf, _ in parts(100, CODES)]
    known = dict(parts(100, CODES))
    found = list(section.find({sealed[:16] for sealed in known.values()}))
    for leaf, (tag, place) in zip(section.leaves, found, strict=True):
        assert tag + place.cut(texts) == known[leaf]
        assert place.block == sheet.ciphertexts[0]


def test_tags_find_entries_of_their_section_alone() -> None:
    built = build(FILM, CODES)
    section = sheets.index_section(built.sheet, built.blocks[0][1], 1, CODES, root_of(100, CODES))
    one, two, *others = (part(number)[1][:16] for number in (101, 107, 0, 999))
    found = dict(section.find({one, two, *others}))
    assert sorted(found) == [one, two]
    assert found[one] != found[two]


def test_the_order_within_a_section_tells_nothing() -> None:
    firsts = Counter(build(FILM).blocks[0][1][:16] for _ in range(200))
    assert len(firsts) == 3
    assert min(firsts.values()) > 30


def test_full_blocks_of_ciphertexts_and_a_shorter_last_one() -> None:
    many = SheetSection("codes", 0, BLOCK_PARTS + 1, 1)
    built = build(many)
    _, (one, full), (two, last), _ = built.blocks
    assert (len(full), len(last)) == (170 * BLOCK_PARTS, 170)
    assert len(full) <= MAX_BLOCK_BYTES < len(full) + 170
    ends = built.sheet.place(BLOCK_PARTS - 1), built.sheet.place(BLOCK_PARTS)
    assert ends == ((one, 170 * (BLOCK_PARTS - 1), len(full)), (two, 0, 170))
    for place, data in zip(ends, (full, last), strict=True):
        assert place.cut(data) == data[-170:]
        for wrong in (data[:-1], data + b"\0", data + bytes(170), data[:-170]):
            with pytest.raises(Malformed, match="170 bytes a part"):
                place.cut(wrong)


@pytest.mark.parametrize("change", [-48, -1, 1, 48])
def test_an_index_of_another_length(change: int) -> None:
    built = build(FILM, CODES)
    index = built.blocks[0][1]
    with pytest.raises(Malformed, match="48 bytes a part"):
        built.sheet.check_index((index + bytes(48))[: len(index) + change])


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (0, CODES),
        (1, CODES._replace(item="other")),
        (1, CODES._replace(first_copy=0)),
        (1, CODES._replace(copies=3)),
        (1, CODES._replace(copies=2, parts=4)),
    ],
)
def test_a_section_is_of_its_item_and_copies(at: int, wanted: SheetSection) -> None:
    with pytest.raises(Malformed, match="another item, or of other copies"):
        build(FILM, CODES).sheet.entries(at, wanted)


@pytest.mark.parametrize("at", [-1, 2])
def test_a_sheet_has_the_section(at: int) -> None:
    with pytest.raises(Malformed, match="fewer sections"):
        build(FILM, CODES).sheet.entries(at, CODES)


def test_a_root_is_of_the_leaves_of_its_section_alone() -> None:
    built = build(FILM, CODES)
    index = built.blocks[0][1]
    bent = index[:-1] + bytes([index[-1] ^ 1])
    # What is wrong in one section is no fault of another.
    assert sheets.index_section(built.sheet, bent, 0, FILM, root_of(0, FILM)).leaves
    with pytest.raises(Malformed, match="not those of its root"):
        sheets.index_section(built.sheet, bent, 1, CODES, root_of(100, CODES))


def section(at: int, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["sections"].__setitem__(at, value)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda d: d.__delitem__(name)


def same_links(count: int) -> list[dict[str, str]]:
    return [{"/": str(Cid.of("raw", b""))}] * count


BENT: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown key": (lambda d: d.update(extra=1), "does not know"),
    **{
        f"no {name}": (drop(name), f"lacks {name}")
        for name in ("sealingKey", "sections", "index", "ciphertexts")
    },
    "key of low order": (lambda d: d.update(sealingKey="0x01" + "00" * 31), "low order"),
    "a short key": (lambda d: d.update(sealingKey="0x09"), "sealingKey"),
    "no sections": (lambda d: d.update(sections=[]), "1 to 21845 parts"),
    "no list of sections": (lambda d: d.update(sections={}), "sections"),
    "five fields": (section(0, ["film", 0, 1, 3, 0]), "is not \\[itemId"),
    "three fields": (section(0, ["film", 0, 1]), "is not \\[itemId"),
    "no list": (section(0, {"itemId": "film"}), "is not \\[itemId"),
    "no id": (section(0, ["", 0, 1, 3]), "itemId"),
    "an id with a blank": (section(0, ["film ", 0, 1, 3]), "itemId"),
    "no integer": (section(0, ["film", "0", 1, 3]), "firstCopy"),
    "true": (section(0, ["film", 0, True, 3]), "copies"),
    "no copies": (section(0, ["film", 0, 0, 3]), "copies"),
    "no parts": (section(0, ["film", 0, 1, 0]), "parts"),
    "33 parts": (section(0, ["film", 0, 1, 33]), "parts"),
    "too many copies to count": (section(0, ["film", 0, 2**53 - 1, 32]), "1 to 21845 parts"),
    "one part too many": (section(0, ["film", 0, 21_845 - 7, 1]), "1 to 21845 parts"),
    "an index in JSON": (
        lambda d: d.update(index={"/": str(Cid.of("dag-json", b""))}),
        "raw block",
    ),
    "ciphertexts in JSON": (
        lambda d: d.update(ciphertexts=[{"/": str(Cid.of("dag-json", b""))}]),
        "raw block",
    ),
    "no ciphertexts": (lambda d: d.update(ciphertexts=[]), "more or fewer blocks"),
    "one block too many": (lambda d: d.update(ciphertexts=same_links(2)), "more or fewer blocks"),
    "five blocks": (lambda d: d.update(ciphertexts=same_links(5)), "ciphertexts"),
}


@pytest.mark.parametrize("name", BENT)
def test_a_bent_sheet_is_refused(name: str) -> None:
    bend, reason = BENT[name]
    value = json.loads(json.dumps(document(build(FILM, CODES))))
    sheets.parse_sheet(value)
    bend(value)
    with pytest.raises(Malformed, match=reason):
        sheets.parse_sheet(value)


def test_as_many_parts_as_an_index_holds() -> None:
    value = document(build(FILM))
    value |= {"sections": [["codes", 0, 21_845, 1]], "ciphertexts": same_links(4)}
    assert sheets.parse_sheet(value).count == MAX_SHEET_PARTS


@pytest.mark.parametrize("value", [None, [], "x"])
def test_no_sheet_at_all(value: Any) -> None:
    with pytest.raises(Malformed, match="not an object"):
        sheets.parse_sheet(value)


def test_the_writer_refuses_what_no_reader_takes() -> None:
    with pytest.raises(Malformed, match="more or fewer parts"):
        sheets.build_sheet(KEY, [(FILM, parts(0, CODES))])
    leaf, sealed = part(0)
    one = SheetSection("film", 0, 1, 1)
    for wrong in ((leaf[1:], sealed), (leaf, sealed[1:])):
        with pytest.raises(Malformed, match="not of its length"):
            sheets.build_sheet(KEY, [(one, [wrong])])
    with pytest.raises(Malformed, match="1 to 21845 parts"):
        sheets.build_sheet(KEY, [])
    # 10,000 long ids: the index would do, the block of the sheet does not.
    long = [(SheetSection("x" * 120 + str(i), 0, 1, 1), [part(i)]) for i in range(10_000)]
    with pytest.raises(Malformed, match="does not fit a block"):
        sheets.build_sheet(KEY, long)
