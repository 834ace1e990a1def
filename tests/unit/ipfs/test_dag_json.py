"""JSON from strangers: everything hostile is Malformed, and quickly (faults F65 to F70)."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid

MEGABYTE = 1 << 20

HOSTILE = {
    "empty": b"",
    "white space": b"   \n",
    "not JSON": b"{a:1}",
    "trailing comma": b"[1,]",
    "two values": b"{} {}",
    "cut string": b'{"a": "b',
    "cut object": b'{"a": [1, 2',
    "single quotes": b"{'a': 1}",
    "comment": b"[1] // x",
    "key twice": b'{"a": 1, "a": 1}',
    "key twice, deep": b'[[{"x": {"a": 1, "b": 2, "a": 3}}]]',
    "key twice by escape": b'{"a": 1, "\\u0061": 2}',
    "float": b"[1.0]",
    "exponent": b"[1e3]",
    "1e999": b"[1e999]",
    "minus": b"[-1]",
    "minus zero": b"[-0]",
    "minus float": b"[-1.5]",
    "NaN": b"[NaN]",
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "2^53": b"[%d]" % 2**53,
    "2^53 under an unknown key": b'{"x": {"y": [%d]}}' % 2**53,
    "2^128": b"[%d]" % 2**128,
    "10^39": b"[1" + b"0" * 39 + b"]",
    "5,000 digits": b"[" + b"9" * 5_000 + b"]",
    "a million digits": b"[" + b"9" * MEGABYTE + b"]",
    "leading zero": b"[01]",
    "hex": b"[0x10]",
    "33 levels": b"[" * 33 + b"]" * 33,
    "100k nesting": b"[" * 100_000 + b"]" * 100_000,
    "100k open": b"[" * 100_000,
    "100k objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nesting behind a string": b'["[[", ' + b"[" * 100_000,
    "nesting behind an escape": b'["\\"", ' + b"[" * 100_000,
    "half a million quotes": b"[" * 40 + b'"\\"' * (MEGABYTE // 3),
    "a cut string of escapes": b"[" * 40 + b'"' + b'\\"' * (MEGABYTE // 2),
    "closing first": b"]" * 1000 + b"[" * 1033,
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 big": '{"a": 1}'.encode("utf-16-be"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "Latin-1": b'["\xe9"]',
    "overlong": b'["\xc0\x80"]',
    "surrogate as UTF-8": b'["\xed\xa0\x80"]',
    "beyond Unicode": b'["\xf4\x90\x80\x80"]',
    "lone high surrogate": b'["\\ud800"]',
    "lone low surrogate": b'["\\uDC00x"]',
    "surrogates swapped": b'["\\udc00\\ud800"]',
    "surrogate in a key": b'{"\\ud800": 1}',
    "surrogate deep": b'{"a": [{"b": ["\\ud83d"]}]}',
    "control character": b'["a\x01b"]',
    "newline in a string": b'["a\nb"]',
    "NUL": b'["a\x00b"]',
    "bad escape": b'["\\x41"]',
    "null byte after": b"{}\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(name: str) -> None:
    with pytest.raises(Malformed) as caught:
        dag_json.loads(HOSTILE[name])
    assert len(str(caught.value)) < 120


def test_hostile_bytes_do_not_need_a_shallow_stack() -> None:
    """No RecursionError either when the caller is deep in its own stack."""

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            with pytest.raises(Malformed):
                dag_json.loads(b"[" * 100_000)

    deep(700)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, 0, true, false, null, ""]} \n', {"a": [1, 0, True, False, None, ""]}),
        (b"[%d]" % (2**53 - 1), [2**53 - 1]),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
        ('["é ✓ 😀"]'.encode(), ["é ✓ 😀"]),
        (b'["\\ud83d\\ude00", "\\u00e9"]', ["😀", "é"]),
        (b'["' + b"[" * 1000 + b'"]', ["[" * 1000]),
        (b'["' + b'\\"[' * 1000 + b'"]', ['"[' * 1000]),
    ],
)
def test_what_is_taken(data: bytes, value: object) -> None:
    assert dag_json.loads(data) == value


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(values)
def test_canonical_round_trip(value: object) -> None:
    data = dag_json.dumps(value)
    assert dag_json.loads(data) == value
    assert dag_json.dumps(dag_json.loads(data)) == data


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9), min_size=2))
def test_keys_are_sorted_by_their_bytes(value: dict[str, int]) -> None:
    def order(pairs: list[tuple[str, int]]) -> list[bytes]:
        return [key.encode() for key, _ in pairs]

    keys = json.loads(dag_json.dumps(value), object_pairs_hook=order)
    assert keys == sorted(keys)
    assert dag_json.dumps(dict(reversed(value.items()))) == dag_json.dumps(value)


def test_no_white_space_and_no_escapes() -> None:
    assert dag_json.dumps({"b": [1, "é"], "a": {}}) == '{"a":{},"b":[1,"é"]}'.encode()


@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        dag_json.dumps(dag_json.loads(data))


CID = str(Cid.of("raw", b""))

BLOCKS = {
    "keys out of order": b'{"b":1,"a":2}',
    # UTF-16 units would sort U+FFFD after U+1F600, code points do not.
    "keys by their UTF-16 units": '{"\U0001f600":1,"\ufffd":2}'.encode(),
    "white space": b'{"a": 1}',
    "a newline at the end": b"{}\n",
    "an escape that is not needed": b'["\\/"]',
    "an escaped letter": b'["\\u0061"]',
    "an escaped tab": b'["\\t"]',
    "a control character, escaped as it has to be": b'["\\u0001"]',
    "an escape after an escaped backslash": rb'["\\\\\t"]',
    "a raw newline": b'["a\nb"]',
    "a number with a sign": b"[-0]",
    "2^53": b"[9007199254740992]",
    "a key twice": b'{"a":1,"a":1}',
    "a link with a second key": b'{"/":"%s","a":1}' % CID.encode(),
    "a link with a key before it": b'{"+":1,"/":"%s"}' % CID.encode(),
    "bytes": b'{"/":{"bytes":"aGk"}}',
    "a link to a path": b'{"/":"%s/x"}' % CID.encode(),
    "a link with spare bits set": b'{"/":"%s"}' % (CID[:-1] + "r").encode(),
    "a CIDv0": b'{"/":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"}',
    "a link that is a number": b'{"/":1}',
    "a link in a list in a link": b'{"/":[{"/":"%s"}]}' % CID.encode(),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_that_are_not_canonical(name: str) -> None:
    with pytest.raises(Malformed):
        dag_json.decode(BLOCKS[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_blocks_are_no_laxer_than_files(name: str) -> None:
    with pytest.raises(Malformed):
        dag_json.decode(HOSTILE[name])


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b"[9007199254740991,null,true]", [2**53 - 1, None, True]),
        (rb'["\\\\","\"","\n","\\\\n","\\\"\\"]', ["\\\\", '"', "\n", "\\\\n", '\\"\\']),
        (b'{"/":"%s"}' % CID.encode(), {"/": CID}),
        ('{"\ufffd":1,"\U0001f600":"\x7f"}'.encode(), {"\ufffd": 1, "\U0001f600": "\x7f"}),
    ],
)
def test_canonical_blocks(data: bytes, value: object) -> None:
    assert dag_json.decode(data) == value


def _plain(value: object) -> bool:
    """Whether a value has a block: no link that is none, and of the controls newlines alone."""
    text = json.dumps(value, ensure_ascii=False)
    return '"/"' not in text and not set(re.findall(r"\\.", text)) - {r"\"", r"\\", r"\n"}


@given(values.filter(_plain))
def test_blocks_go_round(value: object) -> None:
    assert dag_json.decode(dag_json.dumps(value)) == value


@given(values)
def test_what_is_decoded_is_written_again(value: object) -> None:
    """No block has two values, and no value two blocks."""
    data = dag_json.dumps(value)
    with contextlib.suppress(Malformed):
        assert dag_json.dumps(dag_json.decode(data)) == data
        assert _plain(value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        float("nan"),
        float("inf"),
        "\ud800",
        b"x",
        {("a",): 1},
        [object()],
        -1,
        [2**53],
        {"a": [{"b": 2**53}]},
    ],
)
def test_what_cannot_be_written(value: object) -> None:
    with pytest.raises(Malformed):
        dag_json.dumps(value)
