"""Store files with anything in them: a fault of the file, with the right line; no traceback."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.errors import Permanent
from dam.ethereum.erc20 import Token, Tokens
from dam.roles.seller.drafts import named_tokens, read_draft
from dam.roles.seller.store_file import Faults, read_store_file
from dam.types import Address

START = '[store]\nname = "s"\n[[items]]\nid = "a"\n'
TOKEN = Address("0x" + "11" * 20)


def faults(folder: Path, data: bytes | str) -> list[str]:
    path = folder / "store.toml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert isinstance(named_tokens(path, {}), set)  # asked first, and never an error
    with pytest.raises(Faults) as caught:
        read_store_file(path)
    return caught.value.faults


GOOD = START + 'price = 1\ntext = "x"\n'


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), "byte order mark"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (GOOD.encode("utf-16-le"), "UTF-16"),
        (GOOD.encode("utf-16-be"), "UTF-16"),
        (GOOD.encode("utf-32"), "UTF-16 or UTF-32"),
        (GOOD.encode() + b"# \xe4\n", "line 7 is not UTF-8"),
        (GOOD.encode() + b"\x1a", "not valid TOML"),
        (GOOD.encode() + b"\0", "not valid TOML"),
        (GOOD + "metadata = " + "{a=" * 5000 + "1" + "}" * 5000, "nested deeper"),
        (GOOD + "metadata = {a = 9223372036854775808}", "line 7, item 'a': metadata"),
        (GOOD + "metadata = {a = [-1]}", "from 0 to 9007199254740991"),
        (GOOD + "metadata = " + "[" * 100_000, "nested deeper"),
        (GOOD + "metadata = " + "[" * 65 + "]" * 65, "nested deeper"),
        (GOOD + "[items.metadata" + ".a" * 2_000 + "]\n", "nested deeper"),
        (START + "price" + ".a" * 2_000 + ' = 1\ntext = "x"\n', "nested deeper"),
        (START + 'price = 1\ntext = "x"\nparts = 0x' + "f" * 20_000, "parts is not an integer"),
        (START + 'text = "x"\nprice = 0x' + "f" * 20_000, "line 6, item 'a'"),
        (START + 'text = "x"\nprice = ' + "9" * 20_000, "not valid TOML"),
        (START + 'price = 1\nfile = "a\\u0000b"\n', "line 6, item 'a'"),
        (START + 'price = 1\ncodes_file = "a\\u0000b"\n', "line 6, item 'a'"),
        (START + 'price = 1\nfile = "' + "x" * 5000 + '"\n', "line 6, item 'a'"),
        (START + 'price = 1\nfile = "pipe"\n', "not a file"),
        (START + 'price = 1\ncodes_file = "pipe"\n', "not a file"),
        (START + 'price = 1\nfile = "/dev/zero"\n', "not a file"),
        (START + 'price = 1\ncodes_file = "/dev/zero"\n', "not a file"),
        (START + 'price = 1\nfile = "."\n', "is a folder: pack it"),
        (b"#" * ((16 << 20) + 1), "over 16777216 bytes"),
    ],
    ids=range(27),
)
def test_a_clear_fault_of_the_file(tmp_path: Path, data: bytes | str, piece: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    [fault] = faults(tmp_path, data)
    assert piece in fault


def test_a_price_in_a_token_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "store.toml"
    path.write_text(
        f'{START}text = "x"\ntoken = "{TOKEN}"\ncommission = 0\npenalty = 0\nprice = 0x'
        + "f" * 20_000
    )
    tokens = Tokens({TOKEN: Token(TOKEN, "T", 2)})
    with pytest.raises(Faults, match="line 9, item 'a': price"):
        read_store_file(path, tokens=tokens)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "a\0b", "none"])
def test_what_is_no_file_is_none(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / name
    assert named_tokens(path, {}) == set()
    with pytest.raises(Permanent, match="cannot be read"):
        read_draft(path, overrides={}, tokens=Tokens())


@pytest.mark.parametrize(
    "odd", ["\u2028", "\u2029", "\x85", "\u2028\u2028\x85", "\r\n", "\t"], ids=ascii
)
def test_lines_are_counted_as_editors_count_them(tmp_path: Path, odd: str) -> None:
    text = f'# a{odd}# b\n{START}title = "x"\nprice = "y"\ntext = "z"\n'
    [fault] = faults(tmp_path, text)
    line = 8 if "\n" in odd else 7
    assert fault.startswith(f"line {line}, item 'a': price")


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ('text = """\n[[items]]\nprice = 3\n"""\n', 9),
        ("text = '''\n[[items]]\nprice = 3\n'''\n", 9),
        ('text = """a""\\""\nprice = 3 """""\n', 7),
        ("text = \"# \\\" ''' \"\n", 6),
        ('text = \'a """ b\'\n', 6),
        ('text = "x" # """\n', 6),
        ("text = \"x\" # '''\n# price = 3\n", 7),
        ('metadata = {a = ["b]"]}\ntext = "x"\n', 7),
    ],
)
def test_keys_inside_of_texts_are_none(tmp_path: Path, before: str, line: int) -> None:
    [fault] = faults(tmp_path, START + before + 'price = "y"\n')
    assert fault.startswith(f"line {line}, item 'a': price")


def test_keys_of_other_tables_are_none(tmp_path: Path) -> None:
    text = START + 'text = "x"\n[items.metadata]\nprice = 3\n'
    [fault] = faults(tmp_path, text)
    assert fault.startswith("line 3, item 'a': price is missing")
    text = START + 'price = 1\ntext = "x"\n[items.metadata]\nparts = 1.5\n'
    [fault] = faults(tmp_path, text)
    assert fault.startswith("line 7, item 'a': metadata")


@pytest.mark.parametrize("head", ['[["items"]]', "[[ 'items' ]]", "[[items]] # [["])
def test_other_ways_to_write_the_header(tmp_path: Path, head: str) -> None:
    text = START + f'price = 1\ntext = "x"\n{head}\nid = "b"\ntext = "x"\nprice = "y"\n'
    [fault] = faults(tmp_path, text)
    assert fault.startswith("line 10, item 'b': price")


INNER = st.integers() | st.floats() | st.booleans() | st.text(max_size=5) | st.dates()
KEYS = (
    "id", "title", "price", "token", "decimals", "commission", "penalty", "bond", "parts",
    "threshold", "arbitrator", "supply", "deliverers", "metadata", "codes_file", "codes", "file",
    "text", "column",
)  # fmt: skip


@given(
    INNER | st.lists(INNER, max_size=2) | st.dictionaries(st.text(max_size=3), INNER, max_size=2),
    st.sampled_from(KEYS),
)
def test_any_value_is_read_or_a_fault(value: object, key: str) -> None:
    """What TOML can hold under each key, as tomllib gives it."""
    item = {"id": "a", "price": 1, "text": "x", key: value}
    document = {"store": {"name": "s"}, "items": [item]}
    with (
        patch("dam.roles.seller.store_file.load", return_value=("", document)),
        contextlib.suppress(Faults),
    ):
        read_store_file(Path("any.toml"))
