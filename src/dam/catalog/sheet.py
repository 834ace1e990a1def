"""Sheets: sealed parts of many sections under one sealing key, and an index to find them by.

A sheet is a small DAG-JSON block beside raw blocks: one index, and the ciphertexts. The index has
48 bytes a part, ``tag(16) || leaf(32)``, section after section, in no order within a section; the
ciphertexts stand in the same order, 170 bytes a part (`sealing`: a sealed part without its tag),
6,168 to a block. So a deliverer sees from the index alone whether anything in a sheet is its own,
and everybody makes the section's root from it.

What is wrong with a sheet or its index breaks the sections that name it; a ciphertext block, the
parts in it. Nothing here fetches: `Sheet` says which blocks to ask for, and checks what came.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from dam import validation
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import SEALED_BYTES, TAG_BYTES, check_public_key
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.ipfs.cid import Cid
from dam.types import MAX_PARTS

ENTRY_BYTES = TAG_BYTES + 32
CIPHERTEXT_BYTES = SEALED_BYTES - TAG_BYTES
MAX_SHEET_PARTS = MAX_BLOCK_BYTES // ENTRY_BYTES
"""Parts of a sheet, whose index is one block."""
BLOCK_PARTS = MAX_BLOCK_BYTES // CIPHERTEXT_BYTES
"""Parts of a full block of ciphertexts."""
_KEYS = ("sealingKey", "sections", "index", "ciphertexts")


class SheetSection(NamedTuple):
    """Consecutive copies of an item: copies x parts entries of the index."""

    item: str
    """The item's id, in plain."""
    first_copy: int
    copies: int
    parts: int
    """n of the item."""

    @property
    def total(self) -> int:
        """Entries of the index."""
        return self.copies * self.parts


class Place(NamedTuple):
    """Where the ciphertext of a part stands."""

    block: Cid
    offset: int
    """In bytes."""
    size: int
    """Bytes of the whole block."""

    def cut(self, data: bytes) -> bytes:
        """The ciphertext, out of its block.

        Raises:
            Malformed: The block is longer or shorter than its parts: none of them can be used.
        """
        if len(data) != self.size:
            raise Malformed("a block of ciphertexts is not of 170 bytes a part")
        return data[self.offset : self.offset + CIPHERTEXT_BYTES]


@dataclass(frozen=True)
class Sheet:
    """The DAG-JSON block, with every rule checked that needs no other one."""

    sealing_key: bytes
    """X25519, 32 bytes."""
    sections: tuple[SheetSection, ...]
    index: Cid
    ciphertexts: tuple[Cid, ...]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(section.total for section in self.sections))

    @property
    def count(self) -> int:
        """Parts in all sections, also in those that no item names."""
        return self._ends[-1]

    def entries(self, at: int, wanted: SheetSection) -> range:
        """Which entries of the index are those of section ``at``.

        Raises:
            Malformed: The sheet has no such section, or has another one there than ``wanted``.
        """
        if not 0 <= at < len(self.sections):
            raise Malformed("the sheet has fewer sections than that")
        if self.sections[at] != wanted:
            raise Malformed("the section of the sheet is of another item, or of other copies")
        return range(self._ends[at] - wanted.total, self._ends[at])

    def check_index(self, data: bytes) -> bytes:
        """Returns the index block if it has the length that the sections ask for.

        Raises:
            Malformed: It has not.
        """
        if len(data) != ENTRY_BYTES * self.count:
            raise Malformed("the index of the sheet is not of 48 bytes a part")
        return data

    def place(self, entry: int) -> Place:
        """Where the ciphertext of an entry stands."""
        block, left = divmod(entry, BLOCK_PARTS)
        parts = min(BLOCK_PARTS, self.count - block * BLOCK_PARTS)
        return Place(self.ciphertexts[block], left * CIPHERTEXT_BYTES, parts * CIPHERTEXT_BYTES)


@dataclass(frozen=True)
class SectionIndex:
    """A section's entries in the index of a sheet, once they are known to make its root."""

    sheet: Sheet
    entries: range
    """Which ones."""
    data: bytes
    """Tags and leaves of these alone."""

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """In the order of the index, which tells neither copy nor part."""
        data = self.data
        return tuple(
            data[at + TAG_BYTES : at + ENTRY_BYTES] for at in range(0, len(data), ENTRY_BYTES)
        )

    def tags(self) -> Iterator[bytes]:
        """In the order of the index."""
        for at in range(0, len(self.data), ENTRY_BYTES):
            yield self.data[at : at + TAG_BYTES]

    def find(self, tags: Container[bytes]) -> Iterator[tuple[bytes, Place]]:
        """Entries that bear one of some tags: the tag, and where its ciphertext stands.

        Both together are the sealed part.
        """
        for entry, tag in zip(self.entries, self.tags(), strict=True):
            if tag in tags:
                yield tag, self.sheet.place(entry)


def parse_sheet(value: Any) -> Sheet:
    """Reads the DAG-JSON block of a sheet.

    Raises:
        Malformed: A rule is broken, which breaks the sections that name the sheet.
    """
    validation.record(value, "sheet", _KEYS)
    key = validation.bytes32(value["sealingKey"], "sealingKey")
    check_public_key(key)
    sections = validation.array(
        value["sections"], "the sections of a sheet", MAX_SHEET_PARTS, _parse_section
    )
    count = sum(section.total for section in sections)
    if not 1 <= count <= MAX_SHEET_PARTS:
        raise Malformed(f"a sheet has 1 to {MAX_SHEET_PARTS} parts")
    ciphertexts = validation.array(
        value["ciphertexts"],
        "ciphertexts",
        MAX_SHEET_PARTS // BLOCK_PARTS + 1,
        lambda one, what: validation.link(one, f"one of {what}", "raw"),
    )
    if len(ciphertexts) != -(-count // BLOCK_PARTS):
        raise Malformed("a sheet names more or fewer blocks of ciphertexts than its parts fill")
    return Sheet(key, sections, validation.link(value["index"], "index", "raw"), ciphertexts)


def _parse_section(value: Any, what: str) -> SheetSection:
    if not isinstance(value, list) or len(value) != 4:
        raise Malformed(f"one of {what} is not [itemId, firstCopy, copies, parts]")
    return SheetSection(
        validation.identifier(value[0], "itemId"),
        validation.integer(value[1], "firstCopy", 0, dag_json.MAX_INTEGER),
        validation.integer(value[2], "copies", 1, dag_json.MAX_INTEGER),
        validation.integer(value[3], "parts", 1, MAX_PARTS),
    )


def index_section(
    sheet: Sheet, index: bytes, at: int, wanted: SheetSection, root: bytes
) -> SectionIndex:
    """A section of a sheet, as an item's goods name it.

    Args:
        sheet: The sheet.
        index: Its index block, after `Sheet.check_index`.
        at: Number of the section.
        wanted: What the item makes of it.
        root: Of the tree over the section's leaves, as the item has it.

    Raises:
        Malformed: The section is broken.
    """
    entries = sheet.entries(at, wanted)
    section = SectionIndex(
        sheet, entries, index[entries.start * ENTRY_BYTES : entries.stop * ENTRY_BYTES]
    )
    if MerkleTree(section.leaves).root != root:
        raise Malformed("the leaves of the section are not those of its root")
    return section


@dataclass(frozen=True, slots=True)
class BuiltSheet:
    """A sheet ready to be put."""

    sheet: Sheet
    cid: Cid
    blocks: tuple[tuple[Cid, bytes], ...]
    """The raw blocks first, the sheet last."""


def build_sheet(
    sealing_key: bytes,
    sections: Iterable[tuple[SheetSection, Sequence[tuple[bytes, bytes]]]],
) -> BuiltSheet:
    """Makes a sheet of sealed parts.

    Args:
        sealing_key: Public key of the secret one that they are sealed with, and which is forgotten.
        sections: Each with its parts in any order: 32-byte leaf and sealed part, tag and all.

    Raises:
        Malformed: No reader would take it: it has too many parts, say.
    """
    index, ciphertexts, named = bytearray(), bytearray(), []
    for section, parts in sections:
        if len(parts) != section.total:
            raise Malformed("a section of a sheet has more or fewer parts than its copies need")
        # The order must not tell which deliverer has which part.
        for leaf, sealed in secrets.SystemRandom().sample(parts, len(parts)):
            if len(leaf) != 32 or len(sealed) != SEALED_BYTES:
                raise Malformed("a leaf or a sealed part is not of its length")
            index += sealed[:TAG_BYTES] + leaf
            ciphertexts += sealed[TAG_BYTES:]
        named.append(list(section))
    step = BLOCK_PARTS * CIPHERTEXT_BYTES
    raw = [bytes(index)]
    raw += [bytes(ciphertexts[at : at + step]) for at in range(0, len(ciphertexts), step)]
    blocks = [(Cid.of("raw", data), data) for data in raw]
    links = [{"/": str(cid)} for cid, _ in blocks]
    value = {
        "sealingKey": "0x" + sealing_key.hex(),
        "sections": named,
        "index": links[0],
        "ciphertexts": links[1:],
    }
    sheet, data = parse_sheet(value), dag_json.dumps(value)
    if len(data) > MAX_BLOCK_BYTES:
        raise Malformed(f"a sheet of {len(data)} bytes does not fit a block")
    cid = Cid.of("dag-json", data)
    return BuiltSheet(sheet, cid, (*blocks, (cid, data)))
