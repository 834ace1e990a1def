"""Code files as people's tools write them: read right, or refused with the line; never guessed."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.errors import Malformed
from dam.roles.seller import code_files
from dam.roles.seller.code_files import read_code_file
from dam.roles.seller.store_file import Faults, read_store_file

THREE = ("KEY-AAAA-0001", "KEY-AAAA-0002", "KEY-AAAA-0003")
FOREIGN = ("clé-é1", "ключ-2", "鍵-3")


def codes_of(folder: Path, data: bytes, name: str = "c.txt", column: object = None) -> list[str]:
    (folder / name).write_bytes(data)
    return [code for _, code in read_code_file(folder / name, column)]


def store(folder: Path, data: bytes, name: str = "c.txt", more: str = "") -> tuple[str, ...] | None:
    (folder / name).write_bytes(data)
    (folder / "s.toml").write_text(
        '[store]\nname = "T"\n[[items]]\nid = "x"\nprice = "1 ether"\n'
        f'codes_file = "{name}"\n{more}'
    )
    return read_store_file(folder / "s.toml").items[0].codes


def refusal(folder: Path, data: bytes, name: str = "c.txt", more: str = "") -> str:
    with pytest.raises(Faults) as caught:
        store(folder, data, name, more)
    text = str(caught.value)
    assert "KEY" not in text.replace("c.txt", "")
    return text


# --------------------------------------------------------------------------------------- C1: lines


@pytest.mark.parametrize(
    "end", ["\n", "\r\n", "\r", "\f", "\v", "\x85", "\u2028", "\u2029", "\n\n", "\r\r\n", " \t\r\n"]
)
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("codes", [THREE, FOREIGN])
def test_line_ends(tmp_path: Path, end: str, last: bool, codes: tuple[str, ...]) -> None:
    data = (end.join(codes) + (end if last else "")).encode()
    assert tuple(codes_of(tmp_path, data)) == codes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_csv(tmp_path: Path, end: str) -> None:
    assert tuple(codes_of(tmp_path, end.join(THREE).encode(), "c.csv")) == THREE


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["c.txt", "c.csv"])
def test_files_that_were_put_together(tmp_path: Path, end: str, name: str) -> None:
    """``cat a b`` of files with byte order marks, and a mark put twice."""
    text = f"\ufeff{THREE[0]}{end}\ufeff\ufeff{THREE[1]}{end}\ufeff{end}{THREE[2]}{end}"
    assert tuple(codes_of(tmp_path, text.encode(), name)) == THREE


def test_put_together_without_a_line_end_between(tmp_path: Path) -> None:
    assert "line 1: the code holds U+FEFF" in refusal(tmp_path, "KEY-1\ufeffKEY-2\n".encode())


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("codes", [THREE, FOREIGN])
def test_utf_16(tmp_path: Path, codec: str, codes: tuple[str, ...]) -> None:
    data = ("\ufeff" + "\r\n".join(codes) + "\r\n").encode(codec)
    assert tuple(codes_of(tmp_path, data)) == codes
    assert tuple(codes_of(tmp_path, data, "c.csv")) == codes


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        ("\r\n".join(THREE).encode("utf-16-le"), "UTF-16 without the mark"),
        ("\n".join(THREE).encode("utf-16-be"), "UTF-16 without the mark"),
        ("\n".join(THREE).encode("utf-32"), "UTF-32"),
        (("\ufeff" + "\n".join(THREE)).encode("utf-32-be"), "UTF-32"),
        ("KEY-1\nKEY-ä\n".encode("latin-1"), "line 2 is not UTF-8"),
        (b"KEY-1\r\nKEY-2\rKEY-\xff\xfe\n", "line 3 is not UTF-8"),
        (b"\xff\xfeK\0E\0Y\0\n\0K", "line 2 is not UTF-16-LE"),
        ("ключ\nклюя\n".encode("utf-16-le"), "line 1: the code holds U+0004"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, data: bytes, piece: str) -> None:
    assert piece in refusal(tmp_path, data)


@pytest.mark.parametrize(
    "tail", ["\x1a", "\x1a\x1a\x1a", "\r\n\x1a", "\r\n\x1a\r\n", "\n\x1a\0"[:2]]
)
def test_ctrl_z_at_the_end(tmp_path: Path, tail: str) -> None:
    data = ("\r\n".join(THREE) + tail).encode()
    assert tuple(codes_of(tmp_path, data)) == THREE
    assert tuple(codes_of(tmp_path, data, "c.csv")) == THREE


@pytest.mark.parametrize("data", [b"\x1a", b"\xef\xbb\xbf", b"", b"\n\r\n \t\n", b"\x1a\n"])
@pytest.mark.parametrize("name", ["c.txt", "c.csv"])
def test_nothing_is_no_code(tmp_path: Path, data: bytes, name: str) -> None:
    assert "holds no code" in refusal(tmp_path, data, name)


def every_unseen() -> list[str]:
    """One of each category that nobody sees, and the marks that people's tools really leave."""
    known = (
        "\0\x01\x08\x1a\x1b\x1c\x1d\x1e\x1f\x7f\x80\x9f\xad\u061c\u200b\u200c\u200d\u200e\u200f\u202a"
        "\u202e\u2060\u2066\u2069\ufeff\ufff9\U000e0001\U000e0041\ue000\uf8ff\U0010fffd\u0378\uffff"
        "\ufdd0\U000323b0\u034f\u115f\u3164\uffa0\u180e\u17b4\u2800\ufe0f\U000e0100\ufffd"
    )
    return list(known)


@pytest.mark.parametrize("unseen", every_unseen(), ids=lambda c: f"U+{ord(c):04X}")
@pytest.mark.parametrize("place", ["{}KEY-1", "KE{}Y-1", "KEY-1{}", "{}"])
def test_what_nobody_sees_is_refused_with_its_line(tmp_path: Path, unseen: str, place: str) -> None:
    if unseen == "\ufeff" and place[0] == "{":
        return  # a mark at the beginning of a line, which is dropped
    if unseen == "\x1a" and place[-1] == "}":
        place += "\nKEY-3"  # at the end of the file it is dropped
    text = refusal(tmp_path, f"KEY-0\n{place.format(unseen)}\nKEY-2".encode())
    assert f"c.txt, line 2: the code holds U+{ord(unseen):04X}" in text


@pytest.mark.parametrize(
    "blank", [c for c in map(chr, range(0x3001)) if unicodedata.category(c) == "Zs"]
)
def test_white_space_around_a_code_is_none_of_it(tmp_path: Path, blank: str) -> None:
    lines = f"{blank}KEY-1\n\tKEY-2{blank}\t\n{blank}\n".encode()
    assert store(tmp_path, lines) == ("KEY-1", "KEY-2")
    assert "line 2: the same code as c.txt, line 1" in refusal(
        tmp_path, f"KEY-1\nKEY-1{blank}\n".encode()
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("É-1", "E\u0301-1"),
        ("한-1", "\u1112\u1161\u11ab-1"),
        ("Å-1", "\u212b-1"),
        ("Ω-1", "\u2126-1"),
        ("A 1", "A\u00a01"),
        ("A 1", "A\u20091"),
        ("A\u00a01", "A\u30001"),
        ("A-1", "\uff21-1"),
        ("ệ-1", "e\u0323\u0302-1"),
        ("ệ-1", "e\u0302\u0323-1"),
    ],
)
def test_twins_are_refused(tmp_path: Path, one: str, other: str) -> None:
    text = refusal(tmp_path, f"{one}\nB-2\n{other}\n".encode())
    assert "c.txt, line 3: this code looks just like that of c.txt, line 1" in text
    assert "looks just like" in refusal(tmp_path, f"{other}\nB-2\n{one}\n".encode())
    for alone in (one, other):
        assert store(tmp_path, f"{alone}\nB-2".encode()) == (alone, "B-2")


def test_every_ignorable_character_is_refused() -> None:
    """Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt), all of it."""
    ranges = """00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164
    FE00-FE0F FEFF FFA0 FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF""".split()  # noqa: SIM905
    for first, _, last in (text.partition("-") for text in ranges):
        for number in range(int(first, 16), int(last or first, 16) + 1):
            assert code_files.flaw(f"A{chr(number)}"), hex(number)


@given(st.text(min_size=1, max_size=12))
def test_any_text_is_seen_whole_or_refused(text: str) -> None:
    """By category, whatever this Python's Unicode knows: nothing that could be two things."""
    if code_files.flaw(text):
        assert not (text.isascii() and text.isprintable())
        return
    assert {unicodedata.category(c) for c in text}.isdisjoint({"Cc", "Cf", "Cn", "Co", "Cs"})
    assert text.encode()


def test_many_faults_are_counted(tmp_path: Path) -> None:
    text = refusal(tmp_path, b"KEY-1\0\n" * 500)
    assert text.count("U+0000") == 20
    assert "480 more" in text


@pytest.mark.parametrize(
    "text", ['["A "]', '["\\u00a0A"]', '[""]', '["A\\u200b"]', '["A", "A\\n"]']
)
def test_codes_in_the_store_file_itself(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'[store]\nname="T"\n[[items]]\nid="x"\nprice=1\ncodes = {text}\n')
    with pytest.raises(Faults, match=r"line 6, item 'x': codes, line \d: the code"):
        read_store_file(path)
    path.write_text('[store]\nname="T"\n[[items]]\nid="x"\nprice=1\ncodes = ["u: a\\n\\tp: b"]\n')
    assert read_store_file(path).items[0].codes == ("u: a\n\tp: b",)
    path.write_text('[store]\nname="T"\n[[items]]\nid="x"\nprice=1\ncodes = ["A B", "A\\tB"]\n')
    with pytest.raises(
        Faults, match="codes, line 2: this code looks just like that of codes, line 1"
    ):
        read_store_file(path)


@pytest.mark.parametrize("name", ["pipe", "folder", "none", "a\0b", "x" * 300])
def test_what_is_no_file_does_not_hang(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(Malformed, match="cannot be read"):
        read_code_file(tmp_path / name)


# ----------------------------------------------------------------------------------------- C2: CSV

ROWS = "id,product_id,license_key,expires_at\n1,77,KEY-1,2026\n2,77,KEY-2,2026\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["c.csv", "c.txt", "c.tsv", "c.CSV"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_column_by_its_name(tmp_path: Path, delimiter: str, name: str, encoding: str) -> None:
    data = ROWS.replace(",", delimiter).encode(encoding)
    assert codes_of(tmp_path, data, name, "license_key") == ["KEY-1", "KEY-2"]
    text = refusal(tmp_path, data, name)
    assert 'write column = "..."' in text
    if name != "c.txt":
        assert "there are id, product_id, license_key, expires_at" in text


@pytest.mark.parametrize(
    ("data", "column", "codes"),
    [
        ('"license_key"\r\n"KEY-1"\r\n"KEY-2"\r\n', "license_key", ["KEY-1", "KEY-2"]),
        ('"KEY-1"\n"KEY-2"\n', None, ["KEY-1", "KEY-2"]),
        ("KEY-1,\nKEY-2,\n", None, ["KEY-1", "KEY-2"]),
        ("KEY-1\nKEY-2\n", 1, ["KEY-1", "KEY-2"]),
        ("1,KEY-1\n2,KEY-2\n", 2, ["KEY-1", "KEY-2"]),
        ('n,key\n1,"a,b;c"\n2, "d ""e"""\n', "key", ["a,b;c", 'd "e"']),
        ("n;key\n1;a,b\n2;c\n", "key", ["a,b", "c"]),
        ("sep=;\nn;key\n1;KEY-1\n", "key", ["KEY-1"]),
        ("sep=|\r\nn|key\r\n1|KEY-1\r\n", "key", ["KEY-1"]),
        ("n,key,\n1, KEY-1 \n\n,,\n2,KEY-2,,\n", "key", ["KEY-1", "KEY-2"]),
        ("Schlüssel,n\nKEY-1,1\n", "Schlüssel", ["KEY-1"]),
        ("key\nKEY;1\nKEY;2\n", "key", ["KEY;1", "KEY;2"]),
        ("a,b\nc,d\n", "*", ["a,b", "c,d"]),
        ("license_key\nx\n", "*", ["license_key", "x"]),
        ('"a"\n"b"\n', "*", ['"a"', '"b"']),
        ('="001"\n"=""002"""\n=x\n=y"z"\n', None, ["001", "002", "=x", '=y"z"']),
        ("sep=;\nKEY-1;9,99\nKEY-2;8,99\n", 1, ["KEY-1", "KEY-2"]),
        ('"KEY-1";9,99\n"KEY-2";8,99\n', 1, ["KEY-1", "KEY-2"]),
    ],
)
def test_csv(tmp_path: Path, data: str, column: object, codes: list[str]) -> None:
    assert codes_of(tmp_path, data.encode(), "c.csv", column) == codes


@pytest.mark.parametrize(
    ("data", "more", "piece"),
    [
        ('"license_key"\n"KEY-1"\n"KEY-2"\n', "", 'write column = "license_key"'),
        ("License Key\nKEY-1\n", "", 'write column = "License Key"'),
        ("licenseKey\nKEY-1\n", "column = 1", "line 1 looks like a header"),
        ("Kennwort\nKEY-1\nKEY-2\n", "", "line 1 looks like a header"),
        ("1,KEY-1\n2,KEY-2\n", "", "2 columns: write column"),
        ("a;KEY-1\nb;KEY-2\n", "", "2 columns: write column"),
        (ROWS, 'column = "key"', "names no column 'key'"),
        ("key,key\nKEY-1,KEY-2\n", 'column = "key"', "'key' twice"),
        ("n,key\n1,KEY-1\n2,KEY,2\n", 'column = "key"', "line 3 has 3 columns"),
        ("KEY-1\nKEY-2,x\nKEY;3\nKEY\t4", "", "line 2 has 2 columns"),
        ("n,key\n1,KEY-1\n2,\n", 'column = "key"', "line 3 has no code in column 2"),
        ("n,key\n1,KEY-1\n2\n", 'column = "key"', "line 3 has no code in column 2"),
        ("KEY-1;9,99\nKEY-2;8,99\n", "column = 1", "a first line sep=;"),
        ("7;KEY-1;9,99\n8;KEY-2;9\n", "column = 2", "a first line sep=;"),
        ('"SUMMER"\n"KEY-1"\n"KEY-2"\n', "", "put a header above it"),
        ("1,SUMMER\n2,KEY-1\n3,KEY-2\n", "column = 2", "put a header above it"),
        ("1,KEY-1\n", "column = 3", "line 1 has no code in column 3"),
        ("1,KEY-1\n", "column = 0", "column is the name"),
        ("1,KEY-1\n", "column = true", "column is the name"),
        ("1,KEY-1\n", "column = 1.5", "column is the name"),
        ('key\n"KEY-1\nKEY-2\n', 'column = "key"', "is not CSV"),
        ('key\n"KEY-1\nKEY-2"\n', 'column = "key"', "line 2: the code holds U+000A"),
        (
            'n,key\n1,KEY-1\n"2\n3",KEY-1\n',
            'column = "key"',
            "line 3: the same code as c.csv, line 2",
        ),
        ("key\nKEY-1\u2028KEY-2\n", 'column = "key"', "line 2: the code holds U+2028"),
        ("key\nKEY-1\fKEY-2\n", 'column = "key"', "line 2: the code holds U+000C"),
        ("key\n" + "K" * 200_000, 'column = "key"', "line 2 is not CSV"),
        ("key\n", 'column = "key"', "holds no code"),
    ],
)
def test_csv_that_could_be_read_in_two_ways(
    tmp_path: Path, data: str, more: str, piece: str
) -> None:
    assert piece in refusal(tmp_path, data.encode(), "c.csv", more)


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        ("license_key\nKEY-1\nKEY-2\n", 'write column = "license_key"'),
        ("Serial Number\nKEY-1\n", 'write column = "Serial Number"'),
        ("Код\nKEY-1\n", "line 1 looks like a header"),
        ("Aktivierungsschlüssel\nKEY-1\nKEY-2\n", "line 1 looks like a header"),
        ("KEY-1,77\nKEY-2,78\n", "divided by commas"),
        ("KEY-1;77\nKEY-2;78\n", "divided by semicolons"),
        ("KEY-1\t77\nKEY-2\t78\n", "divided by tabs"),
        ("KEY-1,77\n", "divided by commas"),
        ('"KEY-1"\n"KEY-2"\n', "every line is in quotes"),
        ("KEY\t1\nKEY-2\n", "line 1: the code holds U+0009"),
    ],
)
def test_text_that_is_no_list_of_codes(tmp_path: Path, data: str, piece: str) -> None:
    text = refusal(tmp_path, data.encode())
    assert piece in text
    if "U+0009" not in text:
        assert re.search('column = "', text)


@pytest.mark.parametrize(
    "data",
    [
        "KEY-ABCDEF\nKEY-ABCDE1\nKEY-ABCDE2",
        "KEY-1,2\nKEY-3",
        "ABCDEFGH\nABCDEFG1\nABCDEFG2",
        "SUMMER\nWINTER\nSPRING",
        "mail@x.org:pass1\nmail@y.org:pass2",
    ],
)
def test_codes_that_only_nearly_look_like_something_else(tmp_path: Path, data: str) -> None:
    assert store(tmp_path, data.encode()) == tuple(data.split("\n"))


def test_whole_rows_are_sold_when_it_says_so(tmp_path: Path) -> None:
    assert store(tmp_path, b"user\tpass1\nuser\tpass2\n", more='column = "*"') == (
        "user\tpass1",
        "user\tpass2",
    )


def test_a_column_is_of_a_file_of_codes(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        '[store]\nname="T"\n[[items]]\nid="x"\nprice=1\ncodes = ["A-1"]\ncolumn = "key"\n'
    )
    with pytest.raises(Faults, match="line 7, item 'x': column goes with codes_file"):
        read_store_file(path)
