"""Golden vectors of a document's bytes and texts: what every reader refuses, and why."""

from __future__ import annotations

from typing import Any

from dam.ipfs import dag_json
from dam.ipfs.cid import Cid


def _spare(cid: str) -> str:
    """The same digest in another text: its last letter with a bit set that means nothing."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return cid[:-1] + letters[letters.index(cid[-1]) + 1]


_RAW = str(Cid.of("raw", b"DAM"))
_PAGE = str(Cid.of("dag-json", b"{}"))
_DEEP = dag_json.MAX_DEPTH

_TAKEN: dict[str, bytes] = {
    "an empty object": b"{}",
    "every kind of value": b'[null,true,false,0,"",[],{"a":1}]',
    "the largest integer": b"[9007199254740991]",
    "the three escapes": rb'["\"","\\","\n","\\n","\\\"\\"]',
    "keys by code point": '{"Z":1,"a":2,"\ufffd":3,"\U0001f600":4}'.encode(),
    "what JSON may escape and we must not": '["/é\x7f\u2028"]'.encode(),
    "both kinds of links": b'[{"/":"%s"},{"/":"%s"}]' % (_RAW.encode(), _PAGE.encode()),
    "the deepest nesting": b"[" * _DEEP + b"]" * _DEEP,
}

_REFUSED: dict[str, bytes] = {
    "no bytes": b"",
    "no JSON": b"{",
    "two values": b"{}{}",
    "a trailing comma": b"[1,]",
    "white space": b'{"a": 1}',
    "a newline at the end": b"{}\n",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "bytes that are no UTF-8": b'["\xff"]',
    "an overlong form": b'["\xc0\x80"]',
    "a surrogate as UTF-8": b'["\xed\xa0\x80"]',
    "UTF-16": "{}".encode("utf-16-le"),
    "a key twice": b'{"a":1,"a":1}',
    "keys out of order": b'{"b":1,"a":2}',
    "keys by UTF-16 units": '{"\U0001f600":4,"\ufffd":3}'.encode(),
    "an escaped letter": rb'["\u0061"]',
    "an escaped slash": rb'["\/"]',
    "an escaped tab": rb'["\t"]',
    "an escaped control": rb'["\u0001"]',
    "a lone surrogate": rb'["\ud800"]',
    "an escape after an escaped backslash": rb'["\\\t"]',
    "a newline as it is": b'["\n"]',
    "a tab as it is": b'["\t"]',
    "a float": b"[1.0]",
    "an exponent": b"[1e3]",
    "a minus": b"[-1]",
    "minus zero": b"[-0]",
    "a leading zero": b"[01]",
    "NaN": b"[NaN]",
    "2^53": b"[9007199254740992]",
    "2^53 under an unknown key": b'{"x":{"y":[9007199254740992]}}',
    "nesting one too deep": b"[" * (_DEEP + 1) + b"]" * (_DEEP + 1),
    "a link with a second key": b'{"/":"%s","a":1}' % _RAW.encode(),
    "a key before the link": b'{"+":1,"/":"%s"}' % _RAW.encode(),
    "bytes of DAG-JSON": b'{"/":{"bytes":"aGk"}}',
    "a link in a link": b'{"/":{"/":"%s"}}' % _RAW.encode(),
    "a link that is a number": b'{"/":1}',
    "a CIDv0": b'{"/":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"}',
    "an identity CID": b'{"/":"bafkqaaa"}',
    "a CID in upper case": b'{"/":"%s"}' % _RAW.upper().encode(),
    "a CID with spare bits set": b'{"/":"%s"}' % _spare(_RAW).encode(),
    "a DAG-JSON CID with spare bits set": b'{"/":"%s"}' % _spare(_PAGE).encode(),
    "a path": b'{"/":"%s/x"}' % _RAW.encode(),
}

_TEXTS: list[tuple[str, str, bool]] = [
    ("id", "coupon-2026", True),
    ("id", "licença nº 7 ✓", True),
    ("id", "日本", True),
    ("id", "x" * 128, True),
    ("id", "x" * 129, False),
    ("id", "é" * 65, False),
    ("id", "", False),
    ("id", "e\u0301", False),
    ("id", "a\u200db", False),
    ("id", "a\u00a0b", False),
    ("id", "\u1112\u1161\u11ab", False),
    ("id", "a\nb", False),
    ("line", "e\u0301", True),
    ("line", "👩\u200d💻", True),
    ("line", "a\u00a0b", True),
    ("line", "\U0001fae7", True),
    ("line", "\U0001fae8", False),
    ("line", "\u0897", False),
    ("line", "\ufdd0", False),
    ("line", "\U0010ffff", False),
    ("line", "", False),
    ("line", " a", False),
    ("line", "a ", False),
    ("line", "\u3000a", False),
    ("line", "a\u3164", False),
    ("line", "\u2800", False),
    ("line", "\u200d", False),
    ("line", "a\nb", False),
    ("line", "a\tb", False),
    ("line", "a\x85b", False),
    ("line", "a\x1cb", False),
    ("line", "a\x7fb", False),
    ("line", "a\u2028b", False),
    ("line", "a\u202eb", False),
    ("line", "a\u00adb", False),
    ("line", "a\ufeffb", False),
    ("line", "a\U000e0041b", False),
    ("line", "x" * 512, True),
    ("line", "x" * 513, False),
    ("text", "", True),
    ("text", " two\n\nlines \n", True),
    ("text", "a\r\nb", False),
    ("text", "a\u2029b", False),
]


def blocks() -> list[dict[str, Any]]:
    """Blocks that a reader takes, with their CIDs, and blocks that it refuses."""
    rows = [(name, data, True) for name, data in _TAKEN.items()]
    rows += [(name, data, False) for name, data in _REFUSED.items()]
    return [
        {"name": name, "data": data, "cid": str(Cid.of("dag-json", data)), "taken": taken}
        for name, data, taken in rows
    ]


def texts() -> list[dict[str, Any]]:
    """Texts of the three kinds, and whether they stand."""
    return [{"kind": kind, "value": value, "taken": taken} for kind, value, taken in _TEXTS]
