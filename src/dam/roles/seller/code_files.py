"""Codes from files as people's tools write them, each of which can be seen and told from others.

What a code is must be certain, since each is sold once and for good: whatever could be read in two
ways is refused with the line, and with the setting that decides it. No code is ever in a message.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from dam.atomic_file import open_regular
from dam.console import printable
from dam.errors import Malformed

MAX_BYTES = 16 << 20
WHOLE_LINES = "*"
"""A ``column`` that says: the whole line is the code, whatever it looks like."""
NumberedCode = tuple[int, str]
"""A code, and the number of its line from 1."""
_Row = tuple[int, list[str]]

_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_MARK = re.compile(r"(^|[\r\n])\ufeff+")
_END_OF_FILE = re.compile(r"\x1a[\x1a\s]*\Z")
"""Ctrl-Z: what DOS and CP/M put at the end, and their ``copy`` still does."""
_SPACES = " \t\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_FORMULA = re.compile(r'\A="([^"]*)"\Z')
"""How tables keep Excel from taking a text for a number: ``="0012"`` is 0012."""
_QUOTED = re.compile(r'\A=?"(.*)"\Z')
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format marks, surrogates, private use, line ends; and what this Python's Unicode does
not know yet: another one may know it as invisible, or as equal to something else."""
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffc\ufffd\U0001d159"
) | frozenset(chr(c) for c in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
"""Default_Ignorable_Code_Point of other categories; blanks; what stands for a lost character."""
_WORDS = """
account activation at card chave clave cle clé code codes codigo código count coupon created
currency customer date description email expired expires expiry game gift gutschein gutscheincode
id index item key keys licence license lizenz lizenzschlüssel login name no notes number of order
password pin platform price product promo quantity redeem region schlüssel serial sku status steam
title token type url used user username value voucher ключ код キー コード 激活码 序列号 密钥
"""
_HEADER_WORDS = frozenset(_WORDS.split())


def strip(text: str) -> str:
    """Without the white space around it, of any script; not without what is invisible."""
    return text.strip(_SPACES)


def flaw(code: str, allowed: str = "") -> str:
    """Why a code could not be seen whole; empty if it can.

    Args:
        code: The code.
        allowed: Controls that may stand in it.
    """
    if code.isascii() and code.isprintable():
        return ""
    for c in code:
        if (c in _BLANK or unicodedata.category(c) in _UNSEEN) and c not in allowed:
            name = unicodedata.name(c, "a control or unknown character").lower()
            return f"the code holds U+{ord(c):04X} ({name}), which nobody sees or can type"
    return ""


def look(code: str) -> str:
    """What two codes that look the same have in common: letters composed, spaces alike."""
    if code.isascii() and code.isprintable():
        return code
    return unicodedata.normalize("NFKC", re.sub(f"[{_SPACES}]", " ", code))


def bare(code: str) -> str:
    """A code without quotes around it and what nobody sees: the same however it was read."""
    seen = "".join(c for c in code if not flaw(c))
    return look(strip(_QUOTED.sub(r"\1", strip(seen))))


def bare_pieces(code: str) -> set[str]:
    """The code itself, bare; and its lines and columns, for what was sold as one code and is none.

    Earlier versions sold files with CR line ends, quotes or several columns like that.
    """
    pieces = {bare(code), *map(bare, re.split(r"[,;\t]", _LINE_END.sub(",", code)))}
    return pieces - {""}


def read_code_file(path: Path, column: object = None) -> list[NumberedCode]:
    """The codes of a file, without empty lines; each still to be tried by `flaw`.

    Args:
        path: Text of one code a line, or CSV if it is called so or a column is named.
        column: Of CSV, its name in the header, or its number from 1 where there is no header;
            `WHOLE_LINES`; None: the file has one column and no header.

    Raises:
        Malformed: It cannot be read, or could be read in two ways; the message names the line.
    """
    if not (column is None or (type(column) is int and column > 0) or isinstance(column, str)):
        raise Malformed("column is the name of a column, or its number from 1")
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Malformed(f"{printable(str(path))} cannot be read: {error.strerror}") from None
    try:
        if len(data) > MAX_BYTES:
            raise Malformed(f"it is over {MAX_BYTES} bytes")
        text = _END_OF_FILE.sub("", _decode(data))
        is_table = column is not None or path.suffix.lower() in (".csv", ".tsv")
        if is_table and column != WHOLE_LINES:
            return _read_table(_MARK.sub(r"\1", text), column)
        return _read_lines(text, whole=column == WHOLE_LINES)
    except Malformed as error:
        raise Malformed(f"{printable(path.name)}: {error}") from None


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise Malformed("it is UTF-32: save it as UTF-8")
    codec = "utf-8"
    if data.startswith(codecs.BOM_UTF16_LE):
        codec = "utf-16-le"
    elif data.startswith(codecs.BOM_UTF16_BE):
        codec = "utf-16-be"
    elif any(4 * data[i::2].count(0) > len(data) for i in (0, 1)):
        raise Malformed("it is UTF-16 without the mark (BOM) that says so: save it as UTF-8")
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        number = len(_LINE_END.split(data[: error.start].decode(codec)))
        raise Malformed(f"line {number} is not {codec.upper()}: save the file as UTF-8") from None


def _read_lines(text: str, *, whole: bool) -> list[NumberedCode]:
    lines = enumerate((line.lstrip("\ufeff") for line in _LINE_END.split(text)), start=1)
    codes = [(number, code) for number, line in lines if (code := strip(line))]
    if codes and not whole:
        _check_plain([code for _, code in codes])
        _check_no_header(codes, f'column = "{WHOLE_LINES}"')
    return codes


def _check_plain(codes: Sequence[str]) -> None:
    for delimiter, what in _DELIMITERS.items():
        if all(delimiter in code for code in codes):
            raise Malformed(f"every line has several columns, divided by {what}: {_WHICH}")
    if all(len(code) > 1 and code[0] == code[-1] == '"' for code in codes):
        raise Malformed(f"every line is in quotes: call the file .csv, or {_WHOLE}")


_WHOLE = f'write column = "{WHOLE_LINES}" if the whole line is the code'
_WHICH = (
    'write column = "..." with the name in the header of the one that holds the code, column = 2 '
    f"for the second of a file without a header, or {_WHOLE[6:]}"
)


def _is_words(text: str) -> bool:
    """Whether it is made of words that head columns of codes; then it is none."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text))
    known = all(word.casefold() in _HEADER_WORDS for word in words)
    return bool(words) and known and not re.search(r"\d", text)


def _check_no_header(codes: Sequence[NumberedCode], otherwise: str) -> None:
    (number, first), *rest = codes
    # In a language we do not know: no digit, while all others have some, and another length.
    digits = [re.search(r"\d", code) is not None for _, code in codes]
    odd = not digits[0] and all(digits[1:]) and all(len(code) != len(first) for _, code in rest)
    if _is_words(first) or (odd and len(rest) > 1):
        name = first if _is_words(first) and '"' not in first else "..."
        raise Malformed(
            f'line {number} looks like a header: write column = "{name}" with its words, or if it '
            f"is a code, {otherwise}"
        )


# ------------------------------------------------------------------------------------------- CSV


def _read_table(text: str, column: object) -> list[NumberedCode]:
    delimiters, skipped = list(_DELIMITERS), 0
    if named := re.match(r"sep=([^\w\s\"]|\t)(\r\n|\r|\n)", text):  # Excel's own first line
        delimiters, skipped, text = [named[1]], 1, text[named.end() :]
    tables, trouble = [], Malformed("it holds no code")
    for delimiter in delimiters:
        try:
            tables.append(_parse(text, delimiter, skipped))
        except Malformed as error:
            trouble = error
    tables = [table for table in tables if table]
    if not tables:
        raise trouble
    if isinstance(column, str):
        tables = [table for table in tables if column in table[0][1]]
        if not tables:
            raise Malformed(f"its first line names no column {column!a}: {_WHICH}")
    # Of all ways to divide the lines, the one that divides them alike, and into the most columns.
    table = min(tables, key=lambda rows: (len(_ragged(rows)), -len(rows[0][1])))
    others = [rows for rows in tables if not _ragged(rows) and len(rows[0][1]) > 1]
    if len(others) > 1 and column is not None:
        # KEY;9,99 is a key and a price, or a key with a semicolon in it and another number.
        raise Malformed(
            "its lines can be divided in several ways: say which by a first line sep=; (or sep=,)"
        )
    width = len(table[0][1])
    if ragged := _ragged(table):
        number, row = ragged[0]
        raise Malformed(
            f"line {number} has {len(row)} columns, and the first line {width}: put what holds a "
            f"comma or semicolon into quotes, or {_WHOLE}"
        )
    if column is None and width > 1:
        names = table[0][1]
        known = f" (there are {', '.join(names)})" if _is_words(" ".join(names)) else ""
        raise Malformed(f"it has {width} columns{known}: {_WHICH}")
    return _column(table, column)


def _parse(text: str, delimiter: str, skipped: int) -> list[_Row]:
    """The rows that are not empty, without empty fields at their ends."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    rows: list[_Row] = []
    before = skipped
    try:
        for fields in reader:
            row = [_FORMULA.sub(r"\1", strip(field)) for field in fields]
            while row and not row[-1]:
                row.pop()
            if row:
                rows.append((before + 1, row))
            before = skipped + reader.line_num
    except csv.Error as error:
        raise Malformed(f"line {skipped + reader.line_num} is not CSV: {error}") from None
    return rows


def _ragged(rows: Sequence[_Row]) -> list[_Row]:
    return [row for row in rows if len(row[1]) > len(rows[0][1])]


def _column(table: list[_Row], column: object) -> list[NumberedCode]:
    place = 0
    if isinstance(column, str):
        header = table.pop(0)[1]
        if header.count(column) > 1:
            raise Malformed(f"its first line names the column {column!a} twice")
        place = header.index(column)
    elif isinstance(column, int):
        place = column - 1
    codes = []
    for number, row in table:
        if place >= len(row) or not row[place]:
            raise Malformed(f"line {number} has no code in column {place + 1}")
        codes.append((number, row[place]))
    if codes and not isinstance(column, str):
        # Whole lines would be sold with their quotes and their other columns.
        _check_no_header(codes, "put a header above it, and write column with the name in it")
    return codes
