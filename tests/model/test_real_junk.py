"""Real boxes through the market and the real verifier: what is junk off chain is junk on chain.

The model test has a stand-in for the verifier, since the rules need no cryptography. Here good,
changed and odd fragments are proved with `dam.proofs`, as a buyer's client does, and the contract
must say the same as `dam.proofs.judging`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import astuple, replace

import pytest
from anvil_market import QUICK_BLOCKS, proofs_contract
from cases import Case, sell
from world import NO_HINT, PEOPLE, World, entry_of, key_of

from dam.crypto.hashing import keccak
from dam.crypto.sealing import public_key, seal_fragment
from dam.proofs.hints import LADDER, make_hint
from dam.proofs.judging import is_junk
from dam.testing.nodes import AnvilNode
from dam.types import Hint, JunkEvidence

SECRETS = (keccak(b"the buyer's first secret"), keccak(b"the second"))
ODD_KEYS = {
    "zero": bytes(32),
    "one": b"\x01" + bytes(31),
    "p": b"\xed" + b"\xff" * 30 + b"\x7f",
    "top bit": key_of("any")[:31] + b"\xc2",
    "order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
}


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    with AnvilNode(accounts=len(PEOPLE), args=QUICK_BLOCKS) as node:
        world = World(node, verifier=proofs_contract())
        keys = tuple(map(public_key, SECRETS))
        world.buyers_keys = lambda item, copy: keys  # type: ignore[method-assign]
        yield sell(world)


def proof(case: Case, fragment: bytes, secret: bytes = SECRETS[0], hint: Hint | None = None) -> str:
    """What the market says to a proof of part 0; "junk": it takes it."""
    made = replace(case.delivery(0), fragment=fragment)
    leaf = (made.index, made.deliverer, made.commitment, made.secret_hash, made.salt)
    hint = hint or make_hint(fragment, secret)
    evidence = JunkEvidence(*leaf, made.proof, made.fresh_key, fragment, secret, hint)
    list_ = case.world.listed("dan", [entry_of(made)], 0)
    args = (case.one.keys, key_of("fresh"), [astuple(evidence)], [astuple(list_)])
    return case.said("bea", case.call("proveJunk", *args)) or "junk"


def fragments(rng: random.Random, share: bytes) -> Iterator[bytes]:
    """Good, sealed to another key, of another share, changed in a bit, and noise."""
    good = seal_fragment(share, public_key(SECRETS[0]))
    yield good
    yield seal_fragment(share, public_key(SECRETS[1]))
    yield seal_fragment(keccak(share), public_key(SECRETS[0]))
    changed = int.from_bytes(good, "big") ^ 1 << rng.randrange(640)
    yield changed.to_bytes(80, "big")
    yield rng.randbytes(80)


@pytest.mark.parametrize("seed", range(12))
def test_the_market_says_what_the_buyers_client_says(case: Case, seed: int) -> None:
    share, commitment = case.one.goods.share(case.leaves[0]), case.delivery(0).commitment
    verdicts = set()
    for fragment in fragments(random.Random(seed), share):
        expected = "junk" if is_junk(fragment, SECRETS[0], commitment) else "NothingProved"
        assert proof(case, fragment) == expected
        # The plain ladder says the same as the hint.
        assert proof(case, fragment, hint=Hint(LADDER, 0, 0, 0, 0)) == expected
        verdicts.add(expected)
    assert verdicts == {"junk", "NothingProved"}


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_an_odd_ephemeral_key_is_junk_whoever_opens_it(case: Case, key: bytes) -> None:
    share = case.one.goods.share(case.leaves[0])
    odd = key + seal_fragment(share, public_key(SECRETS[0]))[32:]
    assert is_junk(odd, SECRETS[0], case.delivery(0).commitment)
    assert proof(case, odd) == "junk"


def test_a_failed_step_is_never_junk(case: Case) -> None:
    """A secret of another key, a hint of another box: it reverts, and nobody is fined."""
    share = case.one.goods.share(case.leaves[0])
    good = seal_fragment(share, public_key(SECRETS[0]))
    other = seal_fragment(share, public_key(SECRETS[0]))
    for secret, hint in (
        (SECRETS[1], None),
        (SECRETS[0], make_hint(other, SECRETS[0])),
        (SECRETS[0], replace(make_hint(good, SECRETS[0]), u_q=1)),
        (SECRETS[0], replace(NO_HINT, kind=1)),
        (SECRETS[0], replace(NO_HINT, kind=3)),
    ):
        said = proof(case, good, secret, hint)
        assert said.startswith("revert 0x") or said == "NothingProved", said
