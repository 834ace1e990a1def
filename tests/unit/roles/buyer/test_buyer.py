"""The buyer's side: choosing, records, and telling good fragments from junk."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dam.catalog.payload import InlinePayload
from dam.catalog.store import Item
from dam.crypto import shamir
from dam.crypto.derivation import BuyerSeed, new_seed
from dam.crypto.hashing import keccak
from dam.crypto.sealing import public_key, seal_fragment
from dam.errors import Malformed, Permanent
from dam.roles.buyer.buying import check_offer, choose_copy
from dam.roles.buyer.opening import Sifted, recover_key, sift
from dam.roles.buyer.records import (
    Record,
    Records,
    find_attempt,
    from_json,
    one_time_keys,
    record_of,
    to_json,
    unpaid,
)
from dam.roles.storefront import free_copies
from dam.types import (
    ZERO_ADDRESS,
    Deployment,
    FragmentDelivered,
    Purchase,
    StoreVersion,
)
from tests.unit.helpers.attempts import check_attempts

K, N = 3, 5
SECRET = keccak(b"content key")
SHARES = shamir.split(SECRET, K, N, [keccak(b"1"), keccak(b"2")])


@pytest.fixture
def seed() -> BuyerSeed:
    return BuyerSeed(new_seed())


@pytest.fixture
def purchase(seed: BuyerSeed, deployment: Deployment, make: Any) -> Purchase:
    blank = make.purchase(parts=N, threshold=K)
    keys = one_time_keys(seed, deployment, blank.copy_id, 2, N)
    return replace(blank, keys=keys)


class Sale:
    """Fragments of one purchase, good and bad."""

    def __init__(self, make: Any, purchase: Purchase, seed: BuyerSeed, place: Deployment) -> None:
        self._make, self._purchase, self._seed, self._place = make, purchase, seed, place

    def fragment(
        self,
        index: int,
        *,
        share: bytes | None = None,
        sealed: bytes | None = None,
        secret: bytes = SECRET,
        supplied: bool = False,
        commitment: bytes | None = None,
    ) -> FragmentDelivered:
        share = SHARES[index] if share is None else share
        found: FragmentDelivered = self._make.delivery(
            self._purchase,
            index,
            1010 + index + 50 * supplied,
            commitment=keccak(share) if commitment is None else commitment,
            secret_hash=keccak(secret),
            fragment=sealed or seal_fragment(share, self._purchase.keys[index]),
            supplied=supplied,
        )
        return found

    def sift(self, *fragments: FragmentDelivered) -> Sifted:
        return sift(self._seed, self._place, self._purchase, 2, fragments)


@pytest.fixture
def sale(make: Any, purchase: Purchase, seed: BuyerSeed, deployment: Deployment) -> Sale:
    return Sale(make, purchase, seed, deployment)


def test_any_k_good_parts_give_the_key(sale: Sale) -> None:
    for chosen in ((0, 1, 2), (4, 2, 0), (1, 3, 4), (0, 1, 2, 3, 4)):
        found = recover_key(sale.sift(*(sale.fragment(i) for i in chosen)), K)
        assert found is not None
        assert found.key == SECRET
        assert len(found.used) == K
    assert recover_key(sale.sift(sale.fragment(0), sale.fragment(4)), K) is None


def test_junk_is_skipped_and_named(sale: Sale) -> None:
    noise = sale.fragment(1, sealed=bytes(80))
    lie = sale.fragment(3, commitment=keccak(b"another"))
    sifted = sale.sift(sale.fragment(0), noise, sale.fragment(2), lie, sale.fragment(4))
    assert [(j.fragment.index, j.reason[:12]) for j in sifted.junk] == [
        (1, "its ephemera"),
        (3, "it opens to "),
    ]
    assert sifted.indices == {0, 2, 4}
    found = recover_key(sifted, K)
    assert found is not None
    assert {f.index for f in found.used} == {0, 2, 4}


def test_a_replacement_opens_with_the_fresh_key(
    sale: Sale, seed: BuyerSeed, purchase: Purchase, deployment: Deployment
) -> None:
    place = deployment.chain_id, deployment.market, purchase.copy_id, 2
    fresh = public_key(seed.fresh_secret(*place))
    replaced = sale.fragment(1, sealed=seal_fragment(SHARES[1], fresh))
    sifted = sale.sift(sale.fragment(1, sealed=bytes(31) + b"\x09" * 49), replaced)
    assert sifted.indices == {1}
    assert len(sifted.junk) == 1
    other = seed.fresh_secret(*place[:3], 3)
    assert not sale.sift(sale.fragment(1, sealed=seal_fragment(SHARES[1], public_key(other)))).good


def test_a_share_out_of_range_is_kept_as_evidence(sale: Sale) -> None:
    share = b"\xff" * 32
    [found] = sale.sift(sale.fragment(1, share=share)).junk
    assert found.share == share
    assert "ffff" not in repr(found)


def test_a_supplied_part_stands_in_for_a_junk_one(sale: Sale) -> None:
    junk = sale.fragment(1, sealed=b"\x07" * 80)
    few = [sale.fragment(0), junk, sale.fragment(2)]
    assert recover_key(sale.sift(*few), K) is None
    found = recover_key(sale.sift(*few, sale.fragment(1, supplied=True)), K)
    assert found is not None
    assert any(f.supplied for f in found.used)


def test_the_same_part_twice_counts_once(sale: Sale) -> None:
    again = sale.fragment(0, supplied=True)
    assert recover_key(sale.sift(sale.fragment(0), again, sale.fragment(1)), K) is None


def test_one_bad_share_of_the_sellers_does_not_hide_the_good(sale: Sale) -> None:
    bad = sale.fragment(1, share=keccak(b"not on the polynomial"))
    sifted = sale.sift(sale.fragment(0), bad, sale.fragment(2), sale.fragment(3))
    assert not sifted.junk
    found = recover_key(sifted, K)
    assert found is not None
    assert {f.index for f in found.used} == {0, 2, 3}


def test_shares_that_do_not_add_up_are_the_sellers_fault(sale: Sale) -> None:
    bad = sale.fragment(1, share=keccak(b"not on the polynomial"))
    with pytest.raises(Permanent, match="the seller made them so"):
        recover_key(sale.sift(sale.fragment(0), bad, sale.fragment(2)), K)
    other = sale.fragment(2, secret=keccak(b"another key"))
    with pytest.raises(Permanent, match="the seller made them so"):
        recover_key(sale.sift(sale.fragment(0), sale.fragment(1), other), K)


def test_a_flood_of_variants_does_not_hang_the_buyer(sale: Sale) -> None:
    flood = [sale.fragment(0, share=keccak(i.to_bytes(2, "big"))) for i in range(300)]
    assert recover_key(sale.sift(*flood, sale.fragment(1)), K) is None
    honest = [sale.fragment(i) for i in range(K)]
    found = recover_key(sale.sift(*honest, *flood), K)
    assert found is not None
    assert found.key == SECRET


def test_a_share_out_of_range_is_junk(sale: Sale) -> None:
    sifted = sale.sift(sale.fragment(0, share=b"\xff" * 32))
    assert "out of range" in sifted.junk[0].reason
    assert not sifted.good


def test_the_key_is_in_no_text_form(sale: Sale) -> None:
    sifted = sale.sift(*(sale.fragment(i) for i in range(K)))
    found = recover_key(sifted, K)
    text = repr(found) + repr(sifted)
    assert repr(SECRET) not in text
    assert SECRET.hex() not in text
    assert all(repr(share) not in text for share in SHARES)


# --------------------------------------------------------------------------------------- choosing


def item(make: Any, **terms: Any) -> Item:
    return Item("thing", "A thing", make.terms(**terms), {}, ())


def test_free_copies_are_chosen_evenly_and_taken_ones_never(make: Any) -> None:
    source, thing = random.Random(3), item(make, supply=6)
    counts = Counter(choose_copy(thing, {0, 2, 5, 99}, source) for _ in range(3000))
    assert set(counts) == {1, 3, 4}
    assert all(count == pytest.approx(1000, abs=120) for count in counts.values())
    assert free_copies(thing, {0, 2, 5, 99}) == 3


def test_withdrawn_copies_are_neither_counted_nor_chosen(make: Any) -> None:
    thing = replace(item(make, supply=9), withdrawn=(range(1, 3), range(7, 9)))
    taken = {0, 2, 8, 99}
    assert {choose_copy(thing, taken, random.Random(n)) for n in range(200)} == {3, 4, 5, 6}
    assert free_copies(thing, taken) == 4
    with pytest.raises(Permanent, match="sold or withdrawn"):
        choose_copy(thing, {0, 3, 4, 5, 6}, random.Random(1))
    most = replace(item(make, supply=2**64 - 1), withdrawn=(range(2**53 - 1),))
    assert choose_copy(most, {5}, random.Random(1)) >= 2**53 - 1


def test_sold_out(make: Any) -> None:
    with pytest.raises(Permanent, match="sold out"):
        choose_copy(item(make, supply=2), {0, 1}, random.Random(1))
    assert 0 <= choose_copy(item(make, supply=2**64 - 1), {5}, random.Random(1)) < 2**64 - 1


def test_an_item_without_arbitrator_needs_the_flag(make: Any) -> None:
    offer = {"seller": make.seller, "buyer": make.buyer}
    bare = item(make, arbitrator=ZERO_ADDRESS)
    with pytest.raises(Permanent, match="--no-arbitrator"):
        check_offer(bare, **offer, without_arbitrator=False)
    check_offer(bare, **offer, without_arbitrator=True)
    check_offer(item(make), **offer, without_arbitrator=False)


@pytest.mark.parametrize("who", ["seller", "buyer"])
def test_a_party_cannot_arbitrate(make: Any, who: str) -> None:
    with pytest.raises(Permanent, match="party"):
        check_offer(
            item(make, arbitrator=getattr(make, who)),
            seller=make.seller,
            buyer=make.buyer,
            without_arbitrator=False,
        )


# ---------------------------------------------------------------------------------------- records


def record(purchase: Purchase, deployment: Deployment, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "chain_id": deployment.chain_id,
        "market": deployment.market,
        "copy_id": purchase.copy_id,
        "attempt": 2,
        "seller": purchase.seller,
        "buyer": purchase.buyer,
        "item": "thing",
        "title": "A thing",
        "store_digest": purchase.store_digest,
        "root": keccak(b"root"),
        "keys": purchase.keys,
        "payload": InlinePayload(bytes(296)),
        "part_proofs": ((keccak(b"a"), keccak(b"b")),) * N,
        "made": "2026-01-01T00:00:00Z",
    }
    return Record(**(values | changes))


def test_records_keep_everything_and_no_secret(
    tmp_path: Path, purchase: Purchase, deployment: Deployment, seed: BuyerSeed
) -> None:
    records, one = Records(tmp_path / "purchases"), record(purchase, deployment)
    assert records.all() == []
    records.add(one)
    assert records.all() == [one]
    [path] = (tmp_path / "purchases").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert seed.seed.hex() not in path.read_text()
    with pytest.raises(Permanent):
        records.add(one)
    records.save(replace(one, block=5, tx=bytes(32)))
    assert records.all()[0].block == 5
    assert records.next_attempt(purchase.copy_id) == 3
    assert from_json(to_json(one)) == one
    assert from_json(to_json(replace(one, payload=None))).payload is None
    assert from_json(to_json(replace(one, part_proofs=()))).part_proofs == ()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "0x00-0.json").write_text("{}")
    with pytest.raises(Permanent, match="0x00-0"):
        Records(tmp_path).all()
    with pytest.raises(Malformed):
        from_json(b"[]")


def test_an_attempt_is_found_again_from_the_seed_alone(
    purchase: Purchase, deployment: Deployment, seed: BuyerSeed
) -> None:
    assert find_attempt(seed, deployment, purchase) == 2
    assert find_attempt(BuyerSeed(new_seed()), deployment, purchase) is None
    mixed = replace(purchase, keys=(*purchase.keys[:-1], keccak(b"x")))
    assert find_attempt(seed, deployment, mixed) is None
    assert find_attempt(seed, replace(deployment, chain_id=1), purchase) is None


def test_attempts_that_were_never_paid_are_told_apart(
    purchase: Purchase, deployment: Deployment, seed: BuyerSeed
) -> None:
    paid = record(purchase, deployment)
    other = one_time_keys(seed, deployment, purchase.copy_id, 1, N)
    failed = record(purchase, deployment, attempt=1, keys=other)
    assert record_of([failed, paid], purchase) == paid
    assert unpaid([failed, paid], [purchase]) == [failed]
    assert unpaid([replace(failed, failed=True), paid], [purchase]) == []


def test_nobody_pays_twice_for_one_undecided_attempt(
    tmp_path: Path, purchase: Purchase, deployment: Deployment, make: Any
) -> None:
    records = Records(tmp_path / "purchases")
    undecided = record(purchase, deployment)
    records.add(undecided)
    version = StoreVersion(make.seller, purchase.store_digest, keccak(b"root"), make.at(1))

    def check(*logs: Any) -> None:
        check_attempts(records.of_item(make.seller, "thing"), logs)

    with pytest.raises(Permanent, match="--again"):
        check(version)
    # It arrived, and the command that paid did not live to say so.
    with pytest.raises(Permanent, match=f"dam buyer wait 0x{purchase.copy_id.hex()[:16]}"):
        check(version, purchase)
    # It arrived, and we know; somebody else has the copy; the store changed: it can never be mined.
    records.save(replace(undecided, block=9))
    check(version, purchase)
    records.save(undecided)
    check(version, replace(purchase, keys=()))
    check(replace(version, digest=keccak(b"newer")))
    records.save(replace(undecided, tx=b"\x11" * 32))
    with pytest.raises(Permanent, match="0x1111"):
        check(version)
    records.save(replace(undecided, failed=True))
    check(version)


def test_an_index_that_lies_of_an_undecided_attempt_is_not_believed(
    tmp_path: Path, purchase: Purchase, deployment: Deployment, make: Any
) -> None:
    records = [record(purchase, deployment)]
    version = StoreVersion(make.seller, purchase.store_digest, keccak(b"root"), make.at(1))
    chain = [version, purchase]
    lies = (
        [version],
        [version, replace(purchase, keys=tuple(reversed(purchase.keys)))],
        [version, replace(purchase, buyer=make.seller)],
        [version, replace(purchase, terms=replace(purchase.terms, price=1))],
        [version, replace(purchase, purchase_time=1)],
    )
    for index in lies:
        with pytest.raises(Permanent, match="cannot tell whether to you"):
            check_attempts(records, chain, index)
    with pytest.raises(Permanent, match="went through"):
        check_attempts(records, chain, chain)
    # What the index alone knows of was not bought.
    with pytest.raises(Permanent, match="may still be mined"):
        check_attempts(records, [version], chain)
