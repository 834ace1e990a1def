"""`Proofs.sol` against libsodium, and against those who would make junk of a good part.

DAM_BOXES is the number of boxes of the differential test: a few hundred here, 10,000 in the audit.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from typing import Any

import pytest
from anvil_market import QUICK_BLOCKS, Contract, proofs_contract
from boxes import (
    BASE,
    KINDS,
    Case,
    L,
    P,
    a_case,
    add,
    comb_table,
    from_edwards,
    on_curve,
    root,
    sealed_from,
    times,
    to_edwards,
)
from nacl import bindings as sodium

from dam.crypto import curve25519, sealing, shamir
from dam.crypto.hashing import keccak
from dam.proofs.hints import HALF_SIZE, LADDER, OFF_CURVE, make_hint
from dam.proofs.judging import is_junk
from dam.testing.nodes import AnvilNode, NodeFailedError
from dam.types import Hint

BATCH = 100
GAS_OF_A_PROOF, GAS_BY_LADDER = 112_000, 190_000
"""Execution of `isJunk`; a call costs 2,600 more, and what it sends."""


class Verifier:
    """`Proofs` on a chain of its own."""

    def __init__(self, node: AnvilNode, contract: Contract) -> None:
        self.node = node
        self.contract = contract
        self.sender = node.request("eth_accounts")[0]
        self.address = self.deploy(contract.code)["contractAddress"]

    def deploy(self, code: bytes) -> Any:
        transaction = {"from": self.sender, "data": "0x" + code.hex(), "gas": hex(16_000_000)}
        sent = self.node.request("eth_sendTransaction", transaction)
        while not (receipt := self.node.request("eth_getTransactionReceipt", sent)):
            time.sleep(0.01)
        return receipt

    def ask(self, calls: Sequence[bytes], address: str | None = None) -> list[Any]:
        """What calls return, decoded words; or the name of the error."""
        address, answers = address or self.address, []
        for start in range(0, len(calls), BATCH):
            batch = [
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "eth_call",
                    "params": [
                        {"to": address or self.address, "data": "0x" + data.hex()},
                        "latest",
                    ],
                }
                for number, data in enumerate(calls[start : start + BATCH])
            ]
            connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
            head = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(batch), head)
            found = json.loads(connection.getresponse().read())
            connection.close()
            answers += sorted(found, key=lambda answer: answer["id"])
        return [self._result(answer) for answer in answers]

    def _result(self, answer: dict[str, Any]) -> Any:
        if "result" in answer:
            return bytes.fromhex(answer["result"][2:])
        data = bytes.fromhex(answer["error"]["data"][2:])
        return self.contract.errors[data[:4]]

    def verdict(self, case: Case, hint: Hint | None = None, address: str | None = None) -> Any:
        """True, False, or the name of the error."""
        [found] = self.ask([self.call(case, hint)], address)
        return found if isinstance(found, str) else bool(int.from_bytes(found, "big"))

    def call(self, case: Case, hint: Hint | None = None) -> bytes:
        hint = hint or make_hint(case.fragment, case.secret)
        return self.contract.call(
            "isJunk", case.key, case.secret, case.fragment, case.commitment, astuple(hint)
        )

    def combine(self, indexes: Sequence[int], shares: Sequence[bytes]) -> Any:
        [found] = self.ask([self.contract.call("combine", list(indexes), list(shares))])
        return found if isinstance(found, str) else self.contract.result("combine", found)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with AnvilNode(args=QUICK_BLOCKS) as node:
        yield Verifier(node, proofs_contract())


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.node.name)


@pytest.fixture
def good(dice: random.Random) -> Case:
    """A good part whose key has a half-size pair small enough to be doubled."""
    while True:
        case = a_case(dice, "good")
        pair = curve25519.half_size_pair(case.secret)
        if pair is not None and max(pair[0], abs(pair[1])) < 2**127:
            return case


# ----------------------------------------------------------------------------- against libsodium


def test_every_box_as_libsodium_and_our_clients_see_it(verifier: Verifier) -> None:
    dice = random.Random(os.environ.get("DAM_SEED", "boxes"))
    number = int(os.environ.get("DAM_BOXES", "280"))
    cases = [a_case(dice, KINDS[i % len(KINDS)]) for i in range(number)]
    hints = [make_hint(case.fragment, case.secret) for case in cases]
    answers = verifier.ask([verifier.call(c, h) for c, h in zip(cases, hints, strict=True)])
    for case, hint, answer in zip(cases, hints, answers, strict=True):
        assert answer == int(case.junk).to_bytes(32, "big"), (case, hint)
        assert is_junk(case.fragment, case.secret, case.commitment) == case.junk, case
    assert {case.kind for case in cases if not case.junk} == {"good", "any point"}
    assert {hint.kind for hint in hints} <= {HALF_SIZE, LADDER}
    print(f"{number} boxes, {sum(case.junk for case in cases)} of them junk")


def test_the_ladder_sees_the_same(verifier: Verifier, dice: random.Random) -> None:
    """For keys without a half-size pair, which clients of ours never draw."""
    cases = [a_case(dice, kind) for kind in KINDS for _ in range(4)]
    answers = verifier.ask([verifier.call(case, Hint(LADDER, 0, 0, 0, 0)) for case in cases])
    assert answers == [int(case.junk).to_bytes(32, "big") for case in cases]


def test_a_key_without_a_half_size_pair(verifier: Verifier, dice: random.Random) -> None:
    case = a_case(dice, "good")
    while curve25519.half_size_pair(case.secret) is not None:
        case = a_case(dice, "good")
    assert make_hint(case.fragment, case.secret).kind == LADDER
    assert verifier.verdict(case) is False
    assert verifier.verdict(replace(case, commitment=bytes(32))) is True


@pytest.mark.parametrize("size", [0, 31, 32, 47, 48, 79, 81, 112])
def test_another_length_is_junk(verifier: Verifier, good: Case, size: int) -> None:
    fragment = (good.fragment + bytes(32))[:size]
    assert verifier.verdict(replace(good, fragment=fragment, secret=bytes(32))) is True
    assert is_junk(fragment, good.secret, good.commitment)


# --------------------------------------------------------------- ephemeral keys that are junk


def test_improper_ephemeral_keys_are_junk_whoever_proves(verifier: Verifier, good: Case) -> None:
    low_order = list(sealing.LOW_ORDER_KEYS)
    not_canonical = [(P + u).to_bytes(32, "little") for u in range(19)]
    top_bit = [good.fragment[:31] + bytes([good.fragment[31] | 0x80])]
    for key in (*low_order, *not_canonical, *top_bit):
        case = replace(good, fragment=key + good.fragment[32:], secret=bytes(32))
        for kind in (HALF_SIZE, OFF_CURVE, LADDER, 9):
            assert verifier.verdict(case, Hint(kind, 0, 0, 0, 0)) is True
        assert is_junk(case.fragment, good.secret, good.commitment)


def test_a_box_that_libsodium_opens_may_be_junk(verifier: Verifier, good: Case) -> None:
    """A key that is not canonical and one off the curve: libraries differ on these."""
    share = b"s" * 32
    not_canonical = next(P + u for u in range(2, 19) if on_curve(u))
    twisted = next(u for u in range(2, 99) if not on_curve(u))
    for u in (not_canonical, twisted):
        fragment = sealed_from(u.to_bytes(32, "little"), good.key, good.secret, share)
        case = replace(good, fragment=fragment, commitment=keccak(share))
        assert not case.junk
        assert verifier.verdict(case) is True
        assert is_junk(case.fragment, case.secret, case.commitment)


def test_off_the_curve_needs_a_witness(verifier: Verifier, dice: random.Random) -> None:
    for _ in range(20):
        case = a_case(dice, "good")
        u = dice.randrange(2, P - 1)
        while on_curve(u):
            u = dice.randrange(2, P - 1)
        twisted = replace(case, fragment=u.to_bytes(32, "little") + case.fragment[32:])
        hint = make_hint(twisted.fragment, twisted.secret)
        assert hint.kind == OFF_CURVE
        assert verifier.verdict(replace(twisted, secret=bytes(32))) is True
        assert verifier.verdict(replace(twisted), replace(hint, v_e=hint.v_e + 1)) == "WrongHint"
        assert verifier.verdict(replace(twisted), replace(hint, kind=HALF_SIZE)) == "WrongHint"


def test_no_witness_takes_a_good_key_off_the_curve(verifier: Verifier, good: Case) -> None:
    u = int.from_bytes(good.fragment[:32], "little")
    right = curve25519.right_side(u)
    for w in (0, root(right), root(right * pow(4, -1, P)), 1):
        assert verifier.verdict(good, Hint(OFF_CURVE, w, 0, 0, 0)) == "WrongHint"


# ----------------------------------------------------------------------------------------- attacks


def test_the_secret_must_be_the_keys(verifier: Verifier, good: Case, dice: random.Random) -> None:
    for secret in (dice.randbytes(32), bytes(32), good.secret[:31] + bytes([good.secret[31] ^ 1])):
        for kind in (HALF_SIZE, LADDER):
            hint = replace(make_hint(good.fragment, secret), kind=kind)
            assert verifier.verdict(replace(good, secret=secret), hint) == "WrongSecret"
    # What X25519 does not look at may differ.
    unclamped = bytes([good.secret[0] ^ 7]) + good.secret[1:31] + bytes([good.secret[31] ^ 0xC0])
    for hint in (make_hint(good.fragment, good.secret), Hint(LADDER, 0, 0, 0, 0)):
        assert verifier.verdict(replace(good, secret=unclamped), hint) is False


def test_the_key_must_be_the_secrets(verifier: Verifier, good: Case) -> None:
    for bit in (0, 100, 254, 255):
        key = (int.from_bytes(good.key, "little") ^ 1 << bit).to_bytes(32, "little")
        assert verifier.verdict(replace(good, key=key)) == "WrongSecret"


def test_an_unknown_kind_of_hint(verifier: Verifier, good: Case) -> None:
    hint = make_hint(good.fragment, good.secret)
    for kind in (3, 4, 255):
        assert verifier.verdict(good, replace(hint, kind=kind)) == "WrongHint"


def test_every_number_of_a_hint_counts(verifier: Verifier, good: Case, dice: random.Random) -> None:
    hint = make_hint(good.fragment, good.secret)
    for name in ("v_e", "u_q", "v_q", "w"):
        for bit in (0, 1, 2, dice.randrange(256), 255):
            wrong = replace(hint, **{name: getattr(hint, name) ^ 1 << bit})
            assert verifier.verdict(good, wrong) == "WrongHint"
    # Either v is right, as long as both fit each other: libsodium knows u alone.
    assert verifier.verdict(good, replace(hint, v_e=P - hint.v_e, v_q=P - hint.v_q)) is False
    assert verifier.verdict(good, replace(hint, v_e=P - hint.v_e)) == "WrongHint"


def scalars(case: Case) -> tuple[int, int]:
    pair = curve25519.half_size_pair(case.secret)
    assert pair is not None
    return pair


def digits(a: int, b: int) -> int:
    return sum((a >> 2 * i & 3) << 4 * i | (b >> 2 * i & 3) << 4 * i + 2 for i in range(64))


def test_a_shared_point_moved_by_a_point_of_low_order(verifier: Verifier, good: Case) -> None:
    """With an even b the other point would do as well: what opens no box would be "junk"."""
    hint = make_hint(good.fragment, good.secret)
    a, b = scalars(good)
    for torsion in ((0, P - 1), (root(P - 1), 0)):
        u, v = from_edwards(add(to_edwards(hint.u_q, hint.v_q), torsion))
        assert v * v % P == curve25519.right_side(u)
        for w in (hint.w, digits(2 * a, 2 * abs(b))):
            moved = replace(hint, u_q=u, v_q=v, w=w)
            assert verifier.verdict(good, moved) == "WrongHint"
    doubled = replace(hint, w=digits(2 * a, 2 * abs(b)))
    assert verifier.verdict(good, doubled) == "WrongHint"


def test_an_odd_multiple_of_the_pair_changes_nothing(
    verifier: Verifier, dice: random.Random
) -> None:
    while True:
        case = a_case(dice, "good")
        pair = curve25519.half_size_pair(case.secret)
        if pair is not None and max(pair[0], abs(pair[1])) * 3 < 2**128:
            break
    a, b = pair
    hint = make_hint(case.fragment, case.secret)
    assert verifier.verdict(case, replace(hint, w=digits(3 * a, 3 * abs(b)))) is False


def test_no_scalars_at_all(verifier: Verifier, good: Case, dice: random.Random) -> None:
    """0 E + 0 Q = 0 for any Q."""
    hint = make_hint(good.fragment, good.secret)
    u, v = from_edwards(times(dice.randrange(L), to_edwards(hint.u_q, hint.v_q)))
    for w in (0, digits(1, 0), digits(0, 1)):
        assert verifier.verdict(good, replace(hint, u_q=u, v_q=v, w=w)) == "WrongHint"


def test_scalars_of_another_secret(verifier: Verifier, good: Case, dice: random.Random) -> None:
    """a E8 + b Q = 0 holds, but for another multiple of the ephemeral key."""
    other = a_case(dice, "good").secret
    while curve25519.half_size_pair(other) is None:
        other = a_case(dice, "good").secret
    assert verifier.verdict(good, make_hint(good.fragment, other)) == "WrongHint"


def test_the_point_of_order_two(verifier: Verifier, good: Case) -> None:
    """u = v = 0 is on the curve, and has no Edwards form: all coordinates would be 0."""
    hint = make_hint(good.fragment, good.secret)
    for u, v in ((0, 0), (0, P), (0, 1), (1, 0), (1, root(curve25519.right_side(1))), (P - 1, 0)):
        assert verifier.verdict(good, replace(hint, u_q=u, v_q=v)) == "WrongHint"
    for v in (0, P):
        assert verifier.verdict(good, replace(hint, v_e=v)) == "WrongHint"


def test_a_shared_point_that_is_not_canonical(verifier: Verifier, good: Case) -> None:
    """u + P is the same point, and another key."""
    hint = make_hint(good.fragment, good.secret)
    assert verifier.verdict(good, replace(hint, u_q=hint.u_q + P)) == "WrongHint"
    # With a small u no sum overflows on the way: the base point's, 9, and the key that leads to it.
    u, _ = from_edwards(times(pow(curve25519.clamp(good.secret), -1, L), BASE))
    fragment = sealed_from(u.to_bytes(32, "little"), good.key, good.secret, b"s" * 32)
    case = replace(good, fragment=fragment, commitment=keccak(b"s" * 32))
    hint = make_hint(fragment, good.secret)
    assert hint.u_q == 9
    assert verifier.verdict(case, hint) is False
    assert verifier.verdict(case, replace(hint, u_q=9 + P)) == "WrongHint"
    hint = make_hint(good.fragment, good.secret)
    # v is no part of a key.
    assert verifier.verdict(good, replace(hint, v_e=hint.v_e + P, v_q=hint.v_q + P)) is False


def test_an_ephemeral_point_off_the_curve(verifier: Verifier) -> None:
    """Doubling does not look at d. 8 times this point is one of order 4, whatever its u was: so
    would the shared point be, which opens no box."""
    ephemeral, share = sodium.crypto_scalarmult_base(bytes([1]) * 32), b"s" * 32
    v = 0x8109C20EE9C675670452548D14623BCFD06C8C0DB0681893C15093C9F72F5E6
    dice = random.Random(5)
    case = a_case(dice, "good")
    while not (pair := curve25519.half_size_pair(case.secret)) or pair[0] % 2 == 0:
        case = a_case(dice, "good")
    fragment = sealed_from(ephemeral, case.key, case.secret, share)
    case = replace(case, fragment=fragment, commitment=keccak(share))
    assert verifier.verdict(case) is False
    x, y = to_edwards(int.from_bytes(ephemeral, "little"), v)
    for _ in range(3):
        g = (y * y - x * x) % P
        x, y = 2 * x * y * pow(g, -1, P) % P, (y * y + x * x) * pow(2 - g, -1, P) % P
    assert (x * x % P, y) == (P - 1, 0)
    a, b = pair[0], abs(pair[1])
    x, y = times(-a * pow(b, -1, 4) % 4, (x, y))
    forged = Hint(HALF_SIZE, v, *from_edwards((x, y)), digits(a, b))
    assert verifier.verdict(case, forged) == "WrongHint"


# ------------------------------------------------------------------------------------------ shares


@pytest.mark.parametrize("k", [1, 2, 3, 10, 32])
def test_shares_give_the_key_that_our_clients_find(
    verifier: Verifier, dice: random.Random, k: int
) -> None:
    shares = {i: dice.randbytes(31).rjust(32, b"\1") for i in dice.sample(range(32), k)}
    found, secret = verifier.combine(list(shares), list(shares.values()))
    assert found
    assert secret == shamir.join(shares, k)
    largest = [(2**256 - 190).to_bytes(32, "big")] * k
    found, secret = verifier.combine(list(shares), largest)
    assert (found, secret) == (True, largest[0])


def test_a_share_out_of_range_never_adds_up(verifier: Verifier) -> None:
    for value in (2**256 - 189, 2**256 - 1):
        shares = [bytes(32), value.to_bytes(32, "big"), bytes(32)]
        assert verifier.combine([3, 1, 2], shares) == (False, bytes(32))


def test_shares_that_are_no_set(verifier: Verifier) -> None:
    for indexes, size in (([1, 1], 2), ([0, 7, 3, 7], 4), ([1, 2], 1), ([1], 2), ([], 1)):
        assert verifier.combine(indexes, [bytes(32)] * size) == "MalformedShares"


# ----------------------------------------------------------------------------------------- chains


def test_the_table_is_what_it_should_be(verifier: Verifier) -> None:
    creator = bytes.fromhex(verifier.address[2:])
    made = keccak(b"\xd6\x94" + creator + b"\x01")[12:]
    code = verifier.node.request("eth_getCode", "0x" + made.hex(), "latest")
    assert bytes.fromhex(code[2:]) == b"\0" + comb_table()


BLAKE2B = bytes.fromhex("60095afa")
"""PUSH1 9, GAS, STATICCALL."""
NOBODY, SHORT, ODD = 0xA1, 0xA2, 0xA3


def test_a_chain_without_blake2b_is_refused(verifier: Verifier) -> None:
    """Nobody there, 32 bytes, or 64 of something else: no verifier is made."""
    code = verifier.contract.code
    for number, size in ((SHORT, 32), (ODD, 64)):
        returns = bytes([0x60, size, 0x5F, 0xF3])
        verifier.node.request("anvil_setCode", f"0x{number:040x}", "0x" + returns.hex())
    assert BLAKE2B in code
    for number in (NOBODY, SHORT, ODD):
        moved = code.replace(BLAKE2B, bytes([0x60, number]) + BLAKE2B[2:])
        assert verifier.deploy(moved)["status"] == "0x0"
    assert verifier.deploy(code)["status"] == "0x1"


def test_a_chain_that_loses_blake2b_makes_no_junk(verifier: Verifier, good: Case) -> None:
    runtime = bytes.fromhex(verifier.node.request("eth_getCode", verifier.address, "latest")[2:])
    for number in (NOBODY, SHORT):
        moved = runtime.replace(BLAKE2B, bytes([0x60, number]) + BLAKE2B[2:])
        place = f"0x{0xB0 + number:040x}"
        verifier.node.request("anvil_setCode", place, "0x" + moved.hex())
        assert verifier.verdict(good, address=place) == "NoBlake2b"


def test_too_little_gas_makes_no_junk(verifier: Verifier, good: Case) -> None:
    """At any gas at which it does not fail, a good part is good."""
    data = "0x" + verifier.call(good).hex()
    answers = []
    for gas in range(30_000, 170_000, 1_000):
        call = {"to": verifier.address, "data": data, "gas": hex(gas)}
        try:
            answers.append(int(verifier.node.request("eth_call", call, "latest"), 16))
        except NodeFailedError:
            answers.append(-1)
    assert set(answers) == {-1, 0}


def test_gas(verifier: Verifier, good: Case) -> None:
    hint = make_hint(good.fragment, good.secret)
    for one, bar in ((hint, GAS_OF_A_PROOF), (replace(hint, kind=LADDER), GAS_BY_LADDER)):
        data = verifier.call(good, one)
        call = {"to": verifier.address, "data": "0x" + data.hex()}
        used = int(verifier.node.request("eth_estimateGas", call, "latest"), 16)
        used -= 21_000 + sum(16 if byte else 4 for byte in data)
        print(f"isJunk with a hint of kind {one.kind}: {used} gas")
        assert used <= bar
