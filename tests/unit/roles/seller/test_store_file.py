"""A seller's own words into drafts; all mistakes at once, with their lines, and no code in any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dam.errors import Permanent
from dam.roles.seller.store_file import Faults, read_folder, read_store_file
from dam.types import ZERO_ADDRESS

GOOD = """
[store]
name = "Ada's codes"

[defaults]
commission = "10%"
penalty = "0.001 ether"

[[items]]
id = "key"
title = "A key"
price = "0.05 ether"
codes_file = "codes.txt"

[[items]]
id = "book"
price = "1 ether"
file = "book.pdf"
supply = 7
parts = 5
commission = 0
arbitrator = "{arbiter}"
metadata = {{ language = "en" }}

[[items]]
id = "note"
price = 0
text = "hello"
parts = 1
penalty = 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "codes.txt").write_bytes(b"\xef\xbb\xbfAAA\r\n\r\nBBB \nCCC")
    (tmp_path / "book.pdf").write_bytes(b"%PDF")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "store.toml"
    path.write_text(text, "utf-8")
    return path


def faults(path: Path, **options: Any) -> list[str]:
    with pytest.raises(Faults) as caught:
        read_store_file(path, **options)
    return caught.value.faults


def test_reads_three_kinds_of_goods(folder: Path, make: Any) -> None:
    store = read_store_file(write(folder, GOOD.format(arbiter=make.arbiter)))
    key, book, text = store.items
    assert store.name == "Ada's codes"
    assert key.codes == ("AAA", "BBB", "CCC")
    assert (key.stock, key.supply, key.parts, key.threshold) == (True, 3, 3, 2)
    assert (key.price, key.commission, key.penalty) == (5 * 10**16, 5 * 10**15, 10**15)
    assert (key.bond, key.arbitrator) == (0, ZERO_ADDRESS)
    assert (book.file, book.stock, book.supply) == (folder / "book.pdf", False, 7)
    assert (book.parts, book.threshold, book.commission) == (5, 4, 0)
    assert (book.arbitrator, book.bond) == (make.arbiter, 10**17)
    assert book.title == "book"
    assert book.metadata == {"language": "en"}
    assert (text.text, text.parts, text.threshold, text.price) == (b"hello", 1, 1, 0)


def test_items_say_what_they_are(folder: Path, make: Any) -> None:
    said = """
summary = "A book of one page"
tags = ["books", "short"]
language = "en"
description = '''
Two
lines'''
licence = "CC0-1.0"
media_type = "application/pdf"
"""
    text = '[store]\nname = "x"\n[[items]]\nid = "a"\nprice = 1\nfile = "book.pdf"\n' + said
    about = read_store_file(write(folder, text)).items[0].about
    assert (about.kind, about.file_name, about.size) == ("file", "book.pdf", 4)
    assert (about.summary, about.tags) == ("A book of one page", ("books", "short"))
    assert (about.language, about.description) == ("en", "Two\nlines")
    assert (about.licence, about.media_type) == ("CC0-1.0", "application/pdf")
    key, _, good = read_store_file(write(folder, GOOD.format(arbiter=make.arbiter))).items
    assert (key.about.kind, good.about.kind) == ("code", "text")


def test_a_file_name_that_some_systems_cannot_hold_is_left_out(folder: Path) -> None:
    (folder / "a:b.pdf").write_bytes(b"x")
    text = '[store]\nname = "x"\n[[items]]\nid = "a"\nprice = 1\nfile = "a:b.pdf"\n'
    assert read_store_file(write(folder, text)).items[0].about.file_name == ""


def test_what_items_say_wrongly_is_told_with_its_line(folder: Path) -> None:
    text = '[store]\nname = "x"\n[[items]]\nid = "a"\nprice = 1\ntext = "x"\n'
    text += 'tags = ["a", "a"]\nlanguage = "English"\nsummary = " x"\nmedia_type = "pdf"\n'
    found = faults(write(folder, text))
    assert [fault.split(",")[0] for fault in found] == ["line 7", "line 8", "line 9", "line 10"]


@pytest.mark.parametrize(("penalty", "bond", "wrong"), [(0, 1, True), (1, 1, False), (0, 0, False)])
def test_a_dispute_must_have_something_to_win(
    folder: Path, make: Any, penalty: int, bond: int, wrong: bool
) -> None:
    path = write(
        folder,
        f'[store]\nname = "x"\n[[items]]\nid = "a"\nprice = 0\ntext = "x"\n'
        f'arbitrator = "{make.arbiter}"\n'
        f"penalty = {penalty}\nbond = {bond}\n",
    )
    if wrong:
        assert "nothing to win: write bond = 0" in " ".join(faults(path))
    else:
        assert read_store_file(path).items[0].bond == bond


def test_all_mistakes_come_together_in_the_order_of_lines(folder: Path) -> None:
    path = write(
        folder,
        """[store]
title = "x"
[[items]]
id = " key"
price = "cheap"
codes_file = "none.txt"
threshold = 4
arbitrator = "0x12"
[[items]]
id = "b"
price = "1 gwei"
commission = "2 gwei"
file = "book.pdf"
text = "both"
metadata = { when = 2026-01-01 }
colour = 3
supply = -1
deliverers = ["0x0000000000000000000000000000000000000001"]
[[items]]
id = "c"
""",
    )
    found = faults(path)
    numbers = [int(f[5 : f.index(",")]) for f in found if f.startswith("line ")]
    assert numbers == sorted(numbers)
    text = "\n".join(found)
    for piece in (
        "[store] the store has no name", "'title' is not understood",
        "line 4, item ' key': id", "line 5, item ' key': price: 'cheap'",
        "line 6, item ' key': ", "none.txt cannot be read", "line 7, item ' key': threshold",
        "line 8, item ' key': the arbitrator",
        "line 12, item 'b': the commission is over the price", "not file and text together",
        "line 15, item 'b': metadata", "line 16, item 'b': 'colour' is not understood",
        "line 17, item 'b': supply", "line 18, item 'b': 3 parts take 3 deliverers",
        "item 'c': price is missing", "item 'c': one good",
    ):  # fmt: skip
        assert piece in text, piece


def test_codes_are_unique_and_never_in_a_message(folder: Path) -> None:
    (folder / "codes.txt").write_text("SECRET-1\nSECRET-2\nSECRET-1\n" + "x" * 4096 + "\n")
    found = faults(
        write(
            folder,
            '[store]\nname = "s"\n[[items]]\nid = "a"\nprice = 1\ncodes_file = "codes.txt"\n'
            '[[items]]\nid = "b"\nprice = 1\ncodes = ["SECRET-2"]\n',
        )
    )
    assert len(found) == 3
    assert "codes.txt, line 3: the same code as codes.txt, line 1" in found[0] + found[1]
    assert "shorter than 4096" in found[0] + found[1]
    assert "codes, line 1: the same code as codes.txt, line 2" in found[2]
    assert "SECRET" not in "".join(found)


def test_two_items_with_one_id(folder: Path) -> None:
    text = '[store]\nname = "s"\n' + '[[items]]\nid = "a"\nprice = 1\ntext = "x"\n' * 2
    assert faults(write(folder, text)) == ["two items have the id 'a'"]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("", "no item"),
        ("[store", "not valid TOML"),
        ('items = 3\n[store]\nname = "s"', "[[items]]"),
        ('store = "x"', "[store]"),
        ('[shop]\nname = "s"', "'shop'"),
        ('[store]\nname = "s"\n[defaults]\ncolor = 1\n', "[defaults] 'color'"),
    ],
)
def test_what_is_no_store(folder: Path, text: str, piece: str) -> None:
    assert piece in "\n".join(faults(write(folder, text)))


def test_a_header_inside_a_text_is_none(folder: Path) -> None:
    start = '[store]\nname = "s"\n[[items]]\nid = "a"\nprice = "x"\n'
    text = start + 'text = """\n[[items]]\nid = 3\n"""\n'
    [fault] = faults(write(folder, text))
    assert fault.startswith("line 5, item 'a': price")


def test_options_go_before_defaults_and_behind_the_item(folder: Path) -> None:
    path = write(
        folder,
        '[store]\nname = "s"\n[defaults]\nprice = 5\npenalty = 1\n'
        '[[items]]\nid = "a"\ntext = "x"\n[[items]]\nid = "b"\ntext = "x"\nprice = 9\n',
    )
    one, two = read_store_file(path, overrides={"price": "7"}).items
    assert (one.price, two.price, one.penalty) == (7, 9, 1)


def test_a_folder_is_a_store(folder: Path) -> None:
    (folder / ".hidden").write_text("x")
    (folder / "more").mkdir()
    store = read_folder(folder, name="shelf", overrides={"price": "1 gwei", "supply": 4})
    assert [(item.name, item.title) for item in store.items] == [
        ("book.pdf", "book"),
        ("codes.txt", "codes"),
    ]
    assert all(item.supply == 4 and item.price == 10**9 for item in store.items)


def test_a_folder_needs_a_price_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(Faults) as caught:
        read_folder(tmp_path, name="shelf", overrides={})
    assert "--price" in str(caught.value)
    with pytest.raises(Faults, match="is empty"):
        read_folder(tmp_path, name="shelf", overrides={"price": 1})
    (tmp_path / "a").unlink()
    with pytest.raises(Faults, match="no file"):
        read_folder(tmp_path, name="shelf", overrides={"price": 1})


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="cannot be read"):
        read_store_file(tmp_path / "none.toml")
