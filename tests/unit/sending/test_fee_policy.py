"""The rules of sending as they are written down: fees by the time left, profit, batches."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from dam.ledger.outbox import ALONE, BLOCK_SECONDS, NO_DEADLINE, Now
from dam.sending.batching import depth_class, group, halves
from dam.sending.fee_policy import (
    RAMP_BLOCKS,
    SendPolicy,
    cap_to_earnings,
    gas_of,
    initial_fees,
    offers_max_tip,
    profitable,
    profitable_batch,
    replace_after,
    replacement_fees,
)
from dam.sending.transactions import Price
from dam.types import FALLBACK_BLOCKS, Clock
from tests.unit.helpers.jobs import HEAD, NOW, TIME, job

GWEI = 10**9
ROOT = Path(__file__).parents[3]
POLICY = SendPolicy()


def after(blocks: int, seconds: int = 0) -> Now:
    return Now(NOW.head + blocks, Clock(HEAD + blocks, TIME + seconds))


class TestFees:
    def test_what_they_are_with_time_and_without(self) -> None:
        price = Price(base=10 * GWEI, tip=2 * GWEI)
        calm, last = initial_fees(price, RAMP_BLOCKS, POLICY), initial_fees(price, 0, POLICY)
        assert calm is not None
        assert (calm.tip, calm.max_fee) == (2 * GWEI, 22 * GWEI)
        assert last is not None
        assert (last.tip, last.max_fee) == (10 * GWEI, 50 * GWEI)
        assert (replace_after(RAMP_BLOCKS, POLICY), replace_after(0, POLICY)) == (3, 1)

    @pytest.mark.parametrize("base", [0, 1, GWEI, 150 * GWEI])
    def test_the_closer_the_bolder(self, base: int) -> None:
        price, before = Price(base, GWEI), [(GWEI, GWEI)]
        for left in range(-3, 3 * RAMP_BLOCKS):
            near, far = initial_fees(price, left, POLICY), initial_fees(price, left + 1, POLICY)
            assert near is not None
            assert far is not None
            assert near.max_fee >= far.max_fee
            assert near.tip >= far.tip
            assert replace_after(left, POLICY) <= replace_after(left + 1, POLICY)
            bold, calm = (
                replacement_fees(price, before, left, POLICY),
                replacement_fees(price, before, left + 1, POLICY),
            )
            assert bold is not None
            assert calm is not None
            assert bold.max_fee >= calm.max_fee
            assert bold.tip >= calm.tip

    def test_a_replacement_is_one_that_nodes_take(self) -> None:
        """At least an eighth more of both fees than any attempt, whatever the market says."""
        dice = random.Random(1)
        for _ in range(2_000):
            attempts = [
                (fee, dice.randrange(fee + 1))
                for fee in (dice.randrange(1, 300 * GWEI) for _ in range(dice.randrange(1, 4)))
            ]
            price = Price(dice.randrange(300 * GWEI), dice.randrange(40 * GWEI))
            fees = replacement_fees(price, attempts, dice.randrange(-5, 200), POLICY)
            if fees is None:
                continue
            assert fees.max_fee <= POLICY.max_fee
            assert fees.tip <= fees.max_fee
            for fee, tip in attempts:
                # The last step below the cap may be geth's tenth.
                assert fees.max_fee * 8 > fee * 9 or (
                    fees.max_fee == POLICY.max_fee and fees.max_fee * 10 >= fee * 11
                )
                assert fees.tip * 8 > tip * 9

    def test_a_first_offer_leaves_room_for_a_replacement(self) -> None:
        for base in range(GWEI, 440 * GWEI, 7 * GWEI):
            for left in (0, RAMP_BLOCKS):
                price = Price(base, GWEI)
                fees = initial_fees(price, left, POLICY)
                assert fees is not None
                assert fees.max_fee >= base + GWEI
                assert replacement_fees(price, [(fees.max_fee, fees.tip)], left, POLICY) is not None

    def test_no_step_ends_where_no_other_fits(self) -> None:
        """Just below the cap a transaction could be stuck; the cap itself costs no more."""
        for base in range(GWEI, 490 * GWEI, 3 * GWEI):
            price = Price(base, GWEI)
            first = initial_fees(price, RAMP_BLOCKS, POLICY)
            assert first is not None
            steps = [first]
            while more := replacement_fees(
                price, [(f.max_fee, f.tip) for f in steps], RAMP_BLOCKS, POLICY
            ):
                steps.append(more)
            assert steps[-1].max_fee == POLICY.max_fee

    def test_enough_is_the_highest_tip_in_the_next_block(self) -> None:
        price, most = Price(10 * GWEI, GWEI), POLICY.max_tip
        assert offers_max_tip(price, 10 * GWEI + most, most, POLICY)
        assert not offers_max_tip(price, 10 * GWEI + most - 1, most, POLICY)
        assert not offers_max_tip(price, 100 * GWEI, most - 1, POLICY)

    def test_the_caps_hold(self) -> None:
        """F34: an absurd tip, an absurd base fee."""
        fees = initial_fees(Price(GWEI, 10**24), 0, POLICY)
        assert fees is not None
        assert fees.tip == POLICY.max_tip
        assert initial_fees(Price(POLICY.max_fee, GWEI), 0, POLICY) is None
        assert initial_fees(Price(10**24, GWEI), 0, POLICY) is None
        nearly = Price(POLICY.max_fee - GWEI, GWEI)
        top = initial_fees(nearly, 0, POLICY)
        assert top is not None
        assert (top.max_fee, top.tip) == (POLICY.max_fee, GWEI)
        assert replacement_fees(Price(1, 1), [(POLICY.max_fee, 1)], 0, POLICY) is None

    def test_time_is_left_until_block_100_and_then_until_the_last_second(self) -> None:
        part = job(block=HEAD)
        assert part.left(NOW) == FALLBACK_BLOCKS
        assert part.left(after(FALLBACK_BLOCKS - 1, 1200)) == 1
        assert part.left(after(FALLBACK_BLOCKS, 1200)) == (28_800 - 1200) // BLOCK_SECONDS
        short = job(block=HEAD, last_time=TIME + 50 * BLOCK_SECONDS + 5)
        assert short.left(NOW) == 50
        assert short.left(after(3, 49 * BLOCK_SECONDS)) == 1
        watchdogs = job(block=HEAD, first_block=HEAD + FALLBACK_BLOCKS + 1)
        assert watchdogs.left(NOW) == 28_800 // BLOCK_SECONDS
        # A replacement earns nothing that anybody else could take.
        assert job(kind="replace", block=HEAD).left(NOW) == 28_800 // BLOCK_SECONDS
        assert job(kind="close", body=b"", last_time=NO_DEADLINE).left(NOW) > 10**15

    def test_late_is_what_the_next_second_is_too_late_for(self) -> None:
        part = job(last_time=TIME + 5)
        assert not part.late(after(100, 4))
        assert part.late(after(1, 5))


class TestProfit:
    def test_a_part_pays_its_share_or_not(self) -> None:
        price = 20 * GWEI
        alone, shared = gas_of(1, 2), gas_of(32, 64) // 32
        assert shared < alone // 2
        assert profitable([job(fee=price * alone)], price, 1)
        assert not profitable([job(fee=price * alone - 1)], price, 1)
        assert profitable([job(fee=price * (shared + 1))], price, 32)
        assert not profitable([job(fee=price * (shared - 1))], price, 32)

    @pytest.mark.parametrize(("shape", "steps"), [("1 item", 2), ("64 items, stock of 1,000", 12)])
    def test_gas_is_what_the_bench_of_gas_measured(self, shape: str, steps: int) -> None:
        lines = json.loads((ROOT / "bench" / "gas.json").read_bytes())[shape]
        names = {"deliverFragment": 1}
        names |= {f"deliverFragments of {n}, a part": n for n in (10, 50)}
        for name, parts in names.items():
            assert gas_of(parts, parts * steps) / parts == pytest.approx(lines[name], rel=0.02)

    def test_longer_proofs_cost_more(self) -> None:
        price = GWEI
        fee = price * gas_of(32, 64) // 32 + 1
        assert profitable([job(fee=fee, steps=2)], price, 32)
        assert not profitable([job(fee=fee, steps=12)], price, 32)

    def test_other_duties_have_no_fee_and_are_done(self) -> None:
        for kind in ("supply", "replace"):
            assert profitable([job(kind=kind)], 10**18, 1)
        assert profitable([job(kind="close", body=b"")], 10**18, 1)

    def test_the_fewer_share_the_more_each_bears(self) -> None:
        """Two good parts cannot carry one that only a large batch would."""
        price = GWEI
        rich = [job(i, fee=price * 100_000) for i in range(2)]
        poor = [job(9, fee=price * (gas_of(32, 64) // 32 + 10))]
        assert profitable_batch(rich + poor, price) == rich
        many = [job(i, fee=price * (gas_of(32, 64) // 32 + 10)) for i in range(32)]
        assert profitable_batch(many, price) == many
        assert profitable_batch(many[:31], price) == []
        assert profitable_batch([], price) == []

    def test_a_transaction_costs_no_more_than_its_parts_earn(self) -> None:
        parts = [job(i, fee=10**14 * (i + 1), steps=i) for i in range(5)]
        cap = cap_to_earnings(POLICY, parts).max_fee
        gas = gas_of(5, sum(range(5)))
        assert cap * gas <= sum(part.fee for part in parts) < (cap + 1) * gas
        assert (
            cap_to_earnings(replace(POLICY, unprofitable="send"), parts).max_fee == POLICY.max_fee
        )
        assert cap_to_earnings(POLICY, [job(kind="supply")]) == POLICY
        assert cap_to_earnings(POLICY, []) == POLICY
        assert cap_to_earnings(POLICY, [job(fee=10**20)]) == POLICY

    def test_what_pays_its_share_can_be_offered(self) -> None:
        """What `profitable_batch` lets pass has a cap above the price that it was judged by."""
        dice = random.Random(5)
        for _ in range(500):
            price = Price(dice.randrange(1, 200 * GWEI), dice.randrange(3 * GWEI))
            parts = [
                job(i, fee=dice.randrange(10**15, 10**16), steps=dice.randrange(30))
                for i in range(dice.randrange(1, 25))
            ]
            good = profitable_batch(parts, price.base + price.tip)
            if good:
                assert initial_fees(price, RAMP_BLOCKS, cap_to_earnings(POLICY, good)) is not None
                assert initial_fees(price, 0, cap_to_earnings(POLICY, good)) is not None


class TestBatches:
    def test_a_batch_has_so_many_parts_of_one_kind_and_depth(self) -> None:
        dice = random.Random(2)
        jobs = [
            job(
                i,
                block=HEAD - dice.randrange(80),
                kind=dice.choice(["deliver", "supply", "replace"]),
            )
            for i in range(400)
        ]
        groups = group(jobs, NOW, 100, POLICY)
        assert sorted(j.id for g in groups for j in g) == list(range(400))
        for one in groups:
            assert len(one) <= POLICY.batch <= 32
            assert len({(j.kind, depth_class(j, NOW)) for j in one}) == 1
        sizes = sorted(len(g) for g in groups)
        assert sizes[len(sizes) // 2] >= 7, "most of them are worth being batches"

    def test_depths_that_a_reorganisation_takes_together(self) -> None:
        """A fork of d blocks splits one class at most: all shallower ones are gone as a whole."""
        classes = [depth_class(job(block=HEAD - depth), NOW) for depth in range(70)]
        assert classes == sorted(classes)
        assert classes[:9] == [0, 1, 2, 2, 3, 3, 3, 3, 4]
        assert len(set(classes[32:])) == 1

    def test_what_is_near_its_end_goes_alone_and_first(self) -> None:
        calm = [job(i) for i in range(5)]
        near = [job(10 + i, block=HEAD - 95 + i) for i in range(5)]
        groups = group([*calm, *near], NOW, 48, POLICY)
        assert [[j.id for j in g] for g in groups] == [
            [10],
            [11],
            [12],
            [13],
            [14],
            [0, 1, 2, 3, 4],
        ]

    def test_more_urgent_parts_than_places_are_spread(self) -> None:
        """F44, F45: a hundred purchases of one block, with three blocks left."""
        near = [job(i, block=HEAD - 97) for i in range(100)]
        groups = group(near, NOW, 48, POLICY)
        assert sorted(j.id for g in groups for j in g) == list(range(100))
        assert {len(g) for g in groups} <= {1, 2, 3}
        assert len(groups) <= 48

    def test_an_urgent_part_that_pays_only_together_is_not_left_alone(self) -> None:
        near = [job(i, block=HEAD - 95) for i in range(4)]
        groups = group(near, NOW, 48, POLICY, lambda j: j.id == 0)
        assert [[j.id for j in g] for g in groups] == [[0], [1, 2, 3]]

    def test_what_reverted_goes_alone_and_sales_are_closed_together(self) -> None:
        closing = {"kind": "close", "body": b"", "last_time": NO_DEADLINE}
        jobs = [job(0), job(1, reason=ALONE), job(2, **closing), job(3), job(4, **closing)]
        jobs.append(job(5, reason=ALONE, **closing))
        groups = group(jobs, NOW, 48, POLICY)
        assert sorted([j.id for j in g] for g in groups) == [[0, 3], [1], [2, 4], [5]]
        many = [job(i, **closing) for i in range(120)]
        assert [len(g) for g in group(many, NOW, 48, POLICY)] == [50, 50, 20]

    def test_room_is_kept(self) -> None:
        jobs = [job(i, block=HEAD - 3 * i) for i in range(30)]
        assert len(group(jobs, NOW, 2, POLICY)) == 2

    def test_halves(self) -> None:
        jobs = [job(i) for i in range(5)]
        first, second = halves(jobs)
        assert [*first, *second] == jobs
        assert first
        assert second
