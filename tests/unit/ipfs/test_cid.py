"""CIDs: one text form, two codecs, one hash, and nothing else."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.errors import BlockMismatch, BlockRefused
from dam.ipfs.blocks import links
from dam.ipfs.cid import Cid

# Made by Kubo 0.43 (`ipfs block put --cid-codec=raw|dag-json`); tests/node compares afresh.
HELLO = b'{"hello":"world"}'
HELLO_JSON = "baguqeerasords4njcts6vs7qvdjfcvgnume4hqohf65zsfguprqphs3icwea"


def cid_text(prefix: bytes, digest: bytes) -> str:
    return "b" + base64.b32encode(prefix + digest).decode().rstrip("=").lower()


def test_text_of_a_known_block() -> None:
    assert str(Cid.of("dag-json", HELLO)) == HELLO_JSON
    assert str(Cid.of("raw", b"")) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@given(st.sampled_from(["dag-json", "raw"]), st.binary(max_size=100))
def test_text_round_trip(codec, data: bytes) -> None:
    cid = Cid.of(codec, data)
    assert Cid.parse(str(cid)) == cid
    assert cid.check(data) == data


DIGEST = hashlib.sha256(b"x").digest()
GOOD = str(Cid("raw", DIGEST))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        GOOD + "\n",
        " " + GOOD,
        GOOD.upper(),
        "B" + GOOD[1:],
        GOOD[:-1],
        GOOD + "a",
        GOOD + "&arg=" + GOOD,
        GOOD + "/../../x",
        GOOD + "?recursive=true",
        f"/ipfs/{GOOD}",
        "/ipns/example.org",
        f"https://example.org/{GOOD}",
        "../../../etc/passwd",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        cid_text(b"\x01\x70\x12\x20", DIGEST),  # dag-pb: a directory
        cid_text(b"\x01\x55\x00\x20", DIGEST),  # identity: the bytes are in the name
        cid_text(b"\x01\x55\x1b\x20", DIGEST),  # keccak-256
        cid_text(b"\x01\x55\x12\x1f", DIGEST[:31]),
        cid_text(b"\x01\x71\x12\x20", DIGEST),  # dag-cbor
        cid_text(b"\x01\x80\x04\x12\x20", DIGEST),  # json, two bytes of codec
        cid_text(b"\x01\xd5\x00\x12\x20", DIGEST),  # raw, not in its shortest form
        cid_text(b"\x02\x55\x12\x20", DIGEST),
        GOOD[:-1] + "\u0430",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BlockRefused):
        Cid.parse(text)


def test_spare_bits_give_no_second_name() -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    last = alphabet.index(GOOD[-1])
    same_bytes = GOOD[:-1] + alphabet[last | 1 if not last & 1 else last & ~1]
    assert base64.b32decode(same_bytes[1:].upper() + "======") == base64.b32decode(
        GOOD[1:].upper() + "======"
    )
    with pytest.raises(BlockRefused):
        Cid.parse(same_bytes)


def test_refusal_of_hostile_text_is_short_and_printable() -> None:
    with pytest.raises(BlockRefused) as caught:
        Cid.parse("\x1b[31m" + "x" * 5000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_check_refuses_other_bytes() -> None:
    with pytest.raises(BlockMismatch):
        Cid.of("raw", b"a").check(b"b")


A, B = str(Cid.of("raw", b"a")), str(Cid.of("dag-json", b"{}"))


def test_links_in_order_once() -> None:
    data = f'{{"x":[{{"/":"{A}"}},{{"y":{{"/":"{B}"}}}}],"z":{{"/":"{A}"}}}}'.encode()
    assert [str(cid) for cid in links(data)] == [A, B]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\xff",
        f'{{"/":"{A}","/":"{B}"}}',
        f'{{"x":{{"/":"{A}","y":1}}}}',
        '{"/":"/ipns/example.org"}',
        '{"/":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"}',
        '{"/":7}',
        '{"x":{"/":{"bytes":"aGk"}}}',
        '{"/":{"bytes":"aGk","x":1}}',
        "[" * 100_000 + "]" * 100_000,
        "1" * 5_000,
    ],
)
def test_what_parsers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(BlockRefused):
        links(text.encode("latin-1"))
