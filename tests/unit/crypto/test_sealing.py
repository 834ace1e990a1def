"""Sealed parts, plain ones, fragments, and the keys that none of them accepts."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import Box, PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from dam.crypto import sealing
from dam.crypto.curve25519 import P as FIELD_PRIME
from dam.crypto.sealing import LOW_ORDER_KEYS
from dam.errors import Malformed, NotForMe
from dam.types import Part

word = st.binary(min_size=32, max_size=32)
parts = st.builds(Part, word, st.integers(0, 255), word, word, word)
A, B, C = (hashlib.sha256(bytes([i])).digest() for i in range(3))
PART = Part(b"d" * 32, 2, b"s" * 32, b"h" * 32, b"t" * 32)

# The list of RFC 7748's security section and libsodium's blacklist, spelled out on its own.
ALL_LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
NOT_CANONICAL = [
    u.to_bytes(32, "little")
    for u in (FIELD_PRIME, FIELD_PRIME + 9, 2**255 - 1, 2**255, 2**255 + 9, 2**256 - 1)
]


def ladder(u: int, k: int) -> tuple[int, int]:
    """X25519's Montgomery ladder in projective coordinates, unclamped (RFC 7748, section 5)."""
    p = FIELD_PRIME
    x2, z2, x3, z3 = 1, 0, u, 1
    for t in reversed(range(256)):
        if k >> t & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % p, u * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
        if k >> t & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return x2, z2


@pytest.mark.parametrize("key", ALL_LOW_ORDER)
def test_every_low_order_key_is_refused(key: str) -> None:
    raw = bytes.fromhex(key)
    with pytest.raises(Malformed):
        sealing.check_public_key(raw)
    for call in (
        lambda: sealing.shared_key(A, raw),
        lambda: sealing.seal_fragment(b"s" * 32, raw),
        lambda: sealing.seal_plain(raw, PART),
    ):
        with pytest.raises(Malformed):
            call()


@pytest.mark.parametrize("key", NOT_CANONICAL)
def test_keys_that_are_not_canonical_are_refused(key: bytes) -> None:
    with pytest.raises(Malformed, match="not canonical"):
        sealing.check_public_key(key)


def roots(a: int) -> set[int]:
    """Square roots in the field (p = 5 mod 8)."""
    p = FIELD_PRIME
    found = set()
    for root in (pow(a, (p + 3) // 8, p), pow(a, (p + 3) // 8, p) * pow(2, (p - 1) // 4, p) % p):
        if root * root % p == a % p:
            found |= {root, -root % p}
    return found


def test_the_list_of_low_order_keys_is_right_and_whole() -> None:
    """Halves of the point at infinity, again and again, on curve and twist alike.

    Doubling is u -> (u^2 - 1)^2 / 4u(u^2 + Au + 1), A = 486662 (RFC 7748). It gives infinity for
    u = 0 alone, as u^2 + Au + 1 has no root; 0 for u = 1 and -1; and c = 1 or -1 where, with
    y = u + 1/u, (y - 2c)^2 = 4(2 + cA). The cofactors are 8 and 4, so that is all.
    """
    p, a = FIELD_PRIME, 486662
    assert not roots(a * a - 4)
    found = {0, 1, p - 1}
    for c in (1, -1):
        for root in roots(2 + c * a):
            y = 2 * c + 2 * root
            found |= {(y + s) * pow(2, -1, p) % p for s in roots(y * y - 4)}
    assert found == {int.from_bytes(key, "little") for key in LOW_ORDER_KEYS}
    assert {bytes.fromhex(k) for k in ALL_LOW_ORDER[:5]} == set(LOW_ORDER_KEYS)
    for key in LOW_ORDER_KEYS:
        assert ladder(int.from_bytes(key, "little"), 8)[1] == 0
    assert ladder(9, 8)[1] != 0


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_is_32_bytes(size: int) -> None:
    with pytest.raises(Malformed):
        sealing.check_public_key(b"\x09" * size)


@given(word)
def test_keys_that_libsodium_makes_pass(secret: bytes) -> None:
    key = sealing.public_key(secret)
    sealing.check_public_key(key)
    assert key == bytes(PrivateKey(secret).public_key)


def test_shared_key_is_libsodiums_box_key() -> None:
    public = sealing.public_key(B)
    shared = sealing.shared_key(A, public)
    assert shared == Box(PrivateKey(A), PublicKey(public)).shared_key()
    assert shared == sealing.shared_key(B, sealing.public_key(A))


@given(parts)
def test_a_sealed_part_opens_for_its_deliverer_alone(part: Part) -> None:
    page, mine = sealing.public_key(A), sealing.public_key(B)
    sealed = sealing.seal_part(sealing.shared_key(A, mine), part)
    assert len(sealed) == sealing.SEALED_BYTES == 186
    shared = sealing.shared_key(B, page)
    assert sealed[:16] == sealing.part_tag(shared, part.domain)
    assert sealing.open_part(shared, sealed) == part
    # As the document says it: an ordinary secretbox with K.
    plain = SecretBox(shared).decrypt(sealed[40:], sealed[16:40])
    assert plain == (
        b"\1" + part.domain + bytes([part.index]) + part.share + part.secret_hash + part.salt
    )
    with pytest.raises(NotForMe):
        sealing.open_part(sealing.shared_key(C, page), sealed)


def test_tag_is_keyed_blake2b() -> None:
    shared = sealing.shared_key(A, sealing.public_key(B))
    assert sealing.part_tag(shared, b"d" * 32) == (
        hashlib.blake2b(b"d" * 32, key=shared, digest_size=16).digest()
    )
    assert sealing.part_tag(shared, b"e" * 32) != sealing.part_tag(shared, b"d" * 32)


def test_sealing_twice_gives_different_bytes_and_the_same_tag() -> None:
    shared = sealing.shared_key(A, sealing.public_key(B))
    one, two = sealing.seal_part(shared, PART), sealing.seal_part(shared, PART)
    assert one[:16] == two[:16]
    assert one[16:40] != two[16:40]
    assert one[40:] != two[40:]


@given(st.integers(16, sealing.SEALED_BYTES - 1), st.integers(1, 255))
def test_no_byte_of_a_sealed_part_can_change(position: int, change: int) -> None:
    shared = sealing.shared_key(A, sealing.public_key(B))
    sealed = bytearray(sealing.seal_part(shared, PART))
    sealed[position] ^= change
    with pytest.raises(NotForMe):
        sealing.open_part(shared, bytes(sealed))


@pytest.mark.parametrize("size", [0, 16, 40, 185, 187, 10_000])
def test_a_sealed_part_has_one_length(size: int) -> None:
    with pytest.raises(Malformed):
        sealing.open_part(sealing.shared_key(A, sealing.public_key(B)), bytes(size))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_of_the_plaintext_are_refused(version: int) -> None:
    shared, nonce = sealing.shared_key(A, sealing.public_key(B)), bytes(24)
    box = SecretBox(shared).encrypt(bytes([version]) + bytes(129), nonce).ciphertext
    with pytest.raises(Malformed):
        sealing.open_part(shared, bytes(16) + nonce + box)


@pytest.mark.parametrize("field", ["domain", "share", "secret_hash", "salt"])
def test_only_whole_parts_are_sealed(field: str) -> None:
    values = dict.fromkeys(("domain", "share", "secret_hash", "salt"), b"x" * 32)
    short = Part(index=0, **{**values, field: b"x" * 31})
    shared = sealing.shared_key(A, sealing.public_key(B))
    with pytest.raises(Malformed):
        sealing.seal_part(shared, short)
    with pytest.raises(Malformed):
        sealing.seal_part(shared, Part(index=256, **values))


@given(parts)
def test_plain_parts_are_libsodium_sealed_boxes(part: Part) -> None:
    public = sealing.public_key(B)
    sealed = sealing.seal_plain(public, part)
    assert len(sealed) == sealing.PLAIN_SEALED_BYTES == 178
    assert sealing.open_plain(B, sealed) == part
    assert sealing.open_plain(B, sealed, public=public) == part
    assert SealedBox(PrivateKey(B)).decrypt(sealed)[1:33] == part.domain
    with pytest.raises(NotForMe):
        sealing.open_plain(A, sealed)


@pytest.mark.parametrize("ephemeral", [bytes.fromhex(k) for k in ALL_LOW_ORDER[:5]])
def test_a_box_from_a_low_order_key_is_no_crash(ephemeral: bytes) -> None:
    with pytest.raises(NotForMe):
        sealing.open_plain(B, ephemeral + bytes(146))
    with pytest.raises(Malformed):
        sealing.open_fragment(ephemeral + bytes(48), B)


@given(word)
def test_a_fragment_opens_with_its_one_time_key(share: bytes) -> None:
    fragment = sealing.seal_fragment(share, sealing.public_key(A))
    assert len(fragment) == 80
    assert sealing.open_fragment(fragment, A) == share
    with pytest.raises(Malformed):
        sealing.open_fragment(fragment, B)


@pytest.mark.parametrize("size", [0, 79, 81, 160])
def test_a_fragment_is_80_bytes(size: int) -> None:
    with pytest.raises(Malformed, match="80 bytes"):
        sealing.open_fragment(bytes(size), A)


@given(st.integers(0, 79), st.integers(1, 255))
def test_junk_fragments_do_not_open(position: int, change: int) -> None:
    fragment = bytearray(sealing.seal_fragment(b"s" * 32, sealing.public_key(A)))
    fragment[position] ^= change
    with pytest.raises(Malformed):
        sealing.open_fragment(bytes(fragment), A)


def test_only_shares_are_sealed_to_buyers() -> None:
    for size in (0, 31, 33):
        with pytest.raises(Malformed):
            sealing.seal_fragment(bytes(size), sealing.public_key(A))


def test_a_part_does_not_print_its_share() -> None:
    assert "s" * 32 not in repr(PART)
    assert "share" not in repr(PART)
