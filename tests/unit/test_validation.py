"""Fields of documents: what passes, what does not, and that messages do not repeat hostile text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam import validation
from dam.errors import Malformed
from dam.ipfs.cid import Cid

ANSI = "\x1b[31mred\x1b[0m"
BAD_LINES = [
    "",
    None,
    5,
    True,
    ["a"],
    "a\nb",
    "a\r",
    "\ta",
    "a\x00",
    ANSI,
    "a\x7fb",
    "\x9b31m",  # the C1 form of an escape sequence
    "a\u2028b",
    "a\u2029b",
    "a\u202eb",  # right-to-left override
    "a\u2066b",
    "a\u200bb",
    "a\ufeffb",
    "a\u00adb",
    "a\udc00",
    " a",
    "a ",
    "\u3000a",
]


@pytest.mark.parametrize("value", BAD_LINES)
@pytest.mark.parametrize("read", [validation.identifier, validation.title])
def test_ids_and_titles_are_one_plain_line(read, value: object) -> None:
    with pytest.raises(Malformed) as caught:
        read(value, "itemId")
    text = str(caught.value)
    assert text.isprintable()
    assert "itemId" in text


@pytest.mark.parametrize(
    "value", ["cafe\u0301", "a\u200db", "a\u00a0b", "a\u2003b", "x" * 129, "é" * 65]
)
def test_ids_have_one_spelling(value: str) -> None:
    with pytest.raises(Malformed):
        validation.identifier(value, "itemId")


@pytest.mark.parametrize("value", ["a", "caf\u00e9", "a b", "licença nº 7 ✓", "日本", "x" * 128])
def test_good_ids(value: str) -> None:
    assert validation.identifier(value, "itemId") == value


@pytest.mark.parametrize("value", ["A good title", "👩\u200d💻", "cafe\u0301", "x" * 512])
def test_good_titles(value: str) -> None:
    assert validation.title(value, "title") == value


def test_long_titles() -> None:
    with pytest.raises(Malformed):
        validation.title("x" * 513, "title")


@pytest.mark.parametrize("value", [0, 1, 2**128 - 1])
def test_amounts_come_as_strings(value: int) -> None:
    assert validation.amount(str(value), "price") == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "01",
        "+1",
        "-1",
        " 1",
        "1 ",
        "1\n",
        "1.0",
        "1e3",
        "0x1",
        "1_000",
        "\u0661",
        "\uff11",
        "NaN",
        "9" * 5000,
        str(2**128),
        -1,
        0,
        1,
        1.0,
        True,
        False,
        None,
        [],
    ],
)
def test_bad_amounts(value: object) -> None:
    with pytest.raises(Malformed):
        validation.amount(value, "price")


def test_amounts_have_the_limit_of_their_field() -> None:
    assert validation.amount("7", "supply", 7) == 7
    with pytest.raises(Malformed):
        validation.amount("8", "supply", 7)


@pytest.mark.parametrize("value", [True, False, "3", 3.0, 0, 33, None, -1])
def test_bad_integers(value: object) -> None:
    with pytest.raises(Malformed):
        validation.integer(value, "parts", 1, 32)


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_bad_booleans(value: object) -> None:
    with pytest.raises(Malformed):
        validation.boolean(value, "stock")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0x",
        "00" * 33,
        "0x" + "00" * 31,
        "0x" + "00" * 33,
        "0x" + "0" * 63,
        "0x" + "0" * 65,
        "0x" + "AA" * 32,
        "0X" + "aa" * 32,
        "0x" + "zz" * 32,
        "0x" + "aa" * 31 + "a ",
        "0x" + "aa" * 32 + "\n",
        "0x" + "\u0661" * 64,
        None,
        7,
        [0] * 32,
    ],
)
def test_bad_hashes(value: object) -> None:
    with pytest.raises(Malformed):
        validation.bytes32(value, "partsRoot")


@given(st.binary(min_size=32, max_size=32))
def test_good_hashes(value: bytes) -> None:
    assert validation.bytes32("0x" + value.hex(), "partsRoot") == value


GOOD = str(Cid.of("dag-json", b"{}"))


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        {"/": GOOD, "x": 1},
        {},
        {"/": 5},
        {"/": {"bytes": "AA"}},
        {"/": GOOD.upper()},
        {"/": GOOD + "/x"},
        {"/": "/ipfs/" + GOOD},
        {"/": "https://example.org/" + GOOD},
        {"/": "../../../etc/passwd"},
        {"/": GOOD + "&arg=x"},
        {"/": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"},
        {"/": str(Cid.of("raw", b"{}"))},
        {"/": "bafkqaaa"},
    ],
)
def test_bad_links(value: object) -> None:
    with pytest.raises(Malformed):
        validation.link(value, "page", "dag-json")


def test_good_link() -> None:
    assert validation.link({"/": GOOD}, "page", "dag-json") == Cid.of("dag-json", b"{}")


def nested(levels: int) -> object:
    return {"a": nested(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    "value",
    [
        [],
        None,
        {"/": GOOD},
        {"a": {"/": {"bytes": "AA"}}},
        {"a": [{"/": GOOD, "b": 1}]},
        {"a\n": 1},
        {"": 1},
        {"a": ANSI},
        {"a": "x\r\ny"},
        {"a": "\u202e"},
        {"a": 1.5},
        {"a": -1},
        {"a": 2**53},
        nested(9),
    ],
)
def test_bad_metadata(value: object) -> None:
    with pytest.raises(Malformed):
        validation.metadata(value, "otherMetadata")


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": None, "b": True, "c": 2**53 - 1, "d": [], "e": "", "f": "two\nlines"},
        nested(8),
        {"slash / inside": "/"},
    ],
)
def test_good_metadata(value: dict) -> None:
    assert validation.metadata(value, "otherMetadata") == value


def test_records_know_their_keys() -> None:
    assert validation.record({"a": 1, "b": 2}, "x", ("a",), ("b",)) == {"a": 1, "b": 2}
    for value in ({"b": 1}, {"a": 1, "c": 2}, {"a": 1, "b": 2, "c": 3}, [], "a", None):
        with pytest.raises(Malformed):
            validation.record(value, "x", ("a",), ("b",))


def test_arrays_have_a_limit() -> None:
    assert validation.array([1, 2], "x", 2, lambda v, _: v) == (1, 2)
    for value in ([1, 2, 3], {"a": 1}, "ab", None):
        with pytest.raises(Malformed):
            validation.array(value, "x", 2, lambda v, _: v)


@pytest.mark.parametrize("value", [None, 5, "0x12", "0x" + "AB" * 20])
def test_bad_addresses(value: object) -> None:
    with pytest.raises(Malformed, match="seller"):
        validation.address(value, "seller")
