"""Proofs of junk: which one helps, what it is made of, and when there is nothing to prove."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dam.crypto import shamir
from dam.crypto.derivation import BuyerSeed
from dam.crypto.hashing import keccak, part_leaf
from dam.crypto.merkle import MerkleTree, verify
from dam.crypto.sealing import public_key, seal_fragment
from dam.errors import Permanent
from dam.market.abi import encode
from dam.market.sale_history import SaleHistory
from dam.proofs.evidence import entry_of_part, leaf_of
from dam.proofs.judging import is_junk
from dam.roles.buyer import proving
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.opening import ArrivedParts, sift
from dam.roles.buyer.proving import ProofPlan, plan_proof, send_proof
from dam.roles.buyer.purchases import OwnPurchase
from dam.roles.buyer.records import one_time_keys
from dam.testing.rules import deadlines
from dam.types import (
    ZERO32,
    Clock,
    Deployment,
    FragmentDelivered,
    FragmentsSigned,
    MarketLog,
    PartLeaf,
    SaleClosed,
    Status,
    Wei,
)

K, N = 2, 3
SECRET = keccak(b"content key")
NOISE = bytes([9]) + bytes(31) + b"\x07" * 48
"""Its ephemeral key, the base point, is a good one."""


class World:
    """A sale of three parts, of which two are needed, and all that a market says of it."""

    def __init__(
        self, make: Any, deployment: Deployment, secret: bytes = SECRET, n: int = N, others: int = 0
    ) -> None:
        self.make, self.deployment = make, deployment
        self.seed = BuyerSeed(b"\x05" * 32)
        self.shares = shamir.split(SECRET, K, n, [keccak(b"1")])
        self.leaves = [
            PartLeaf(0, i, make.person(0xD0 + i), keccak(share), keccak(secret), keccak(bytes([i])))
            for i, share in enumerate(self.shares)
        ]
        self.extra = replace(self.leaves[0], salt=keccak(b"a second leaf of the same index"))
        rest = [keccak(number.to_bytes(4)) for number in range(others)]
        self.tree = MerkleTree([part_leaf(leaf) for leaf in (*self.leaves, self.extra)] + rest)
        blank = make.purchase(parts=n, threshold=K, parts_root=self.tree.root)
        self.place = deployment.chain_id, deployment.market, blank.copy_id, 4
        keys = one_time_keys(self.seed, deployment, blank.copy_id, 4, n)
        self.purchase = replace(blank, keys=keys)
        self.fresh = self.seed.fresh_secret(*self.place)
        self.stakes = {leaf.deliverer: (10**16, 0) for leaf in self.leaves}
        self.logs: list[MarketLog] = [self.purchase]
        self.entries = [ZERO32] * n
        self.signed: list[FragmentsSigned] = []
        self.clock = Clock(1010, make.time_of(1010))

    def part(
        self, index: int, fragment: bytes | None = None, *, leaf: PartLeaf | None = None,
        by: Any = None, fresh: bytes = ZERO32, supplied: bool = False, share: bytes | None = None,
    ) -> FragmentDelivered:  # fmt: skip
        """A part arrives, from its deliverer unless ``by`` is the seller, signed by them."""
        leaf = leaf or self.leaves[index]
        key = self.purchase.keys[index] if fresh == ZERO32 else fresh
        found: FragmentDelivered = self.make.delivery(
            self.purchase,
            index,
            1001 + len(self.logs),
            by=by or leaf.deliverer,
            deliverer=leaf.deliverer,
            commitment=leaf.commitment,
            secret_hash=leaf.secret_hash,
            salt=leaf.salt,
            fragment=fragment or seal_fragment(share or self.shares[index], key),
            supplied=supplied,
        )
        self.logs.append(found)
        entry = entry_of_part(self.purchase, found, fresh)
        if by is None:
            self.signed.append(
                FragmentsSigned(leaf.deliverer, ZERO32, ZERO32, (ZERO32, entry), found.at)
            )
        elif not supplied:
            self.entries[index] = entry
        return found

    def prove(self, index: int, **changes: Any) -> None:
        self.logs.append(
            self.make.junk(self.purchase, index, 1005, fresh_key=public_key(self.fresh), **changes)
        )

    def arrived(self) -> ArrivedParts:
        [sale] = SaleHistory(self.logs).sales.values()
        windows = self.deployment.windows
        proofs = tuple(self.tree.proof(part_leaf(leaf)) for leaf in self.leaves)
        record: Any = SimpleNamespace(attempt=4, part_proofs=proofs)
        times = deadlines(self.purchase, sale.status, sale.since, windows)
        return ArrivedParts(
            OwnPurchase(sale, record, self.clock, 1010),
            sift(self.seed, self.deployment, self.purchase, 4, sale.fragments),
            None if sale.status.final else times,
        )

    async def plan(self) -> ProofPlan:
        market: Any = self
        nobody: Any = None
        return await plan_proof(Buyer(market, nobody, self.seed, nobody), self.arrived())

    # What it asks of the market.

    async def seller_entries(self, _: Any, indexes: list[int]) -> list[bytes]:
        return [self.entries[index] for index in indexes]

    async def signed_lists(self, signers: Any, first: int, last: int) -> list[FragmentsSigned]:
        lists = [one for one in self.signed if first <= one.at.block.number <= last]
        return [one for one in lists if one.signer in signers]

    async def deliverers(self, operators: list[Any]) -> list[Any]:
        found = [self.stakes[operator] for operator in operators]
        return [SimpleNamespace(stake=stake, earned=earned) for stake, earned in found]


@pytest.fixture
def world(make: Any, deployment: Deployment) -> World:
    return World(make, deployment)


# ------------------------------------------------------------------------------------- deliverers


async def test_junk_of_deliverers(world: World) -> None:
    world.part(0)
    world.part(1, NOISE)
    world.part(2, NOISE)
    plan = await world.plan()
    assert plan.function == "proveJunk"
    assert [part.index for part in plan.parts] == [1, 2]
    copy_id, _, _, keys, fresh, evidence, lists = plan.arguments
    assert (copy_id, keys, fresh) == (
        world.purchase.copy_id, world.purchase.keys, public_key(world.fresh)
    )  # fmt: skip
    for part, one, signed in zip(plan.parts, evidence, lists, strict=True):
        assert one.secret == world.seed.part_secret(*world.place, part.index)
        assert verify(world.tree.root, leaf_of(world.purchase, part), one.proof)
        assert signed.entries[signed.position] == entry_of_part(world.purchase, part)
        assert is_junk(one.fragment, one.secret, one.commitment)
    assert plan.clear_until == world.purchase.purchase_time + world.deployment.windows.proof_seconds
    assert not plan.against_seller


async def test_nothing_secret_is_printed(world: World) -> None:
    world.part(1, NOISE)
    plan = await world.plan()
    secret = world.seed.part_secret(*world.place, 1)
    assert repr(secret) not in repr(plan)
    assert repr(secret) not in repr(plan.arguments)
    assert str(plan.arguments[5][0].hint.w) not in repr(plan.arguments)


async def test_the_bounty_is_a_fifth_of_what_is_there(world: World) -> None:
    fine = world.deployment.windows.junk_fine
    for stake, earned, taken in ((fine * 9, 0, fine), (fine // 2, 7, fine // 2 + 7), (0, 0, 0)):
        world.stakes[world.leaves[1].deliverer] = (stake, earned)
        world.logs = [world.purchase]
        world.part(1, NOISE)
        assert (await world.plan()).bounty == taken // 5


@pytest.mark.parametrize("late", [False, True])
async def test_a_late_proof_clears_nothing(world: World, late: bool) -> None:
    world.part(1, NOISE)
    last = world.purchase.purchase_time + world.deployment.windows.proof_seconds
    world.clock = Clock(1010, last if late else last - 1)
    assert (await world.plan()).clear_until == (0 if late else last)


async def test_a_good_part_of_the_index_makes_a_proof_useless(world: World) -> None:
    world.part(0)
    world.part(1, NOISE)
    world.part(1, by=world.purchase.seller, supplied=True)
    with pytest.raises(Permanent, match="nothing that helps"):
        await world.plan()


async def test_what_was_proved_is_not_proved_again(world: World) -> None:
    world.part(1, NOISE)
    world.prove(1)
    with pytest.raises(Permanent, match="proved already: part 2"):
        await world.plan()


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("waits", "Next: wait for its replacement, dam buyer wait"),
        ("too late", "The time to replace it is over. You can: refund now"),
        ("replaced", "It is replaced. Next: dam buyer open"),
        ("not cleared", "too late to have it replaced; the seller may supply it"),
        ("ended", "The sale is over, so nobody replaces it. Next: dam withdraw"),
    ],
)
async def test_a_replacement_is_spoken_of_where_one_can_come(
    world: World, make: Any, case: str, text: str
) -> None:
    world.part(1, NOISE)
    world.prove(1, cleared=case != "not cleared")
    if case == "too late":
        world.clock = Clock(9_999, world.clock.time + world.deployment.windows.refund_seconds)
    elif case == "replaced":
        world.part(1, by=world.purchase.seller, fresh=public_key(world.fresh))
    elif case == "ended":
        copy_id = world.purchase.copy_id
        world.logs.append(SaleClosed(copy_id, Status.AGREED, make.seller, 0, Wei(0), make.at(1020)))
    with pytest.raises(Permanent) as caught:
        await world.plan()
    assert text in str(caught.value)


async def test_without_junk_there_is_nothing_to_prove(world: World) -> None:
    world.part(0)
    with pytest.raises(Permanent, match="no part of this purchase is junk"):
        await world.plan()


async def test_every_later_proof_names_the_same_fresh_key(world: World) -> None:
    world.part(0, NOISE)
    world.prove(0)
    world.part(1, NOISE)
    assert (await world.plan()).arguments[4] == public_key(world.fresh)
    world.fresh = keccak(b"another buyer's program")
    world.logs[2] = replace(world.logs[2], fresh_key=public_key(world.fresh))  # type: ignore[type-var]
    with pytest.raises(Permanent, match="restore the seed"):
        await world.plan()


async def test_a_list_that_the_node_leaves_out(world: World) -> None:
    world.part(1, NOISE)
    world.signed.clear()
    with pytest.raises(Permanent, match="not among the node's logs"):
        await world.plan()


async def test_after_the_end_there_is_the_bounty(world: World, make: Any) -> None:
    world.part(0)
    world.part(1, NOISE)
    ended = SaleClosed(
        world.purchase.copy_id, Status.SETTLED, make.seller, 0, Wei(0), make.at(1008)
    )
    world.logs.append(ended)
    plan = await world.plan()
    assert plan.function == "proveJunk"
    assert (plan.arguments[4], plan.clear_until) == (ZERO32, 0)


async def test_the_buyer_alone_proves(world: World, make: Any) -> None:
    world.part(1, NOISE)
    plan = await world.plan()
    wallet: Any = SimpleNamespace(address=make.seller)
    nobody: Any = None
    with pytest.raises(Permanent, match="not the buyer"):
        await send_proof(nobody, wallet, plan)


# ------------------------------------------------------------------------------------- the seller


@pytest.mark.parametrize("replaced", [False, True])
async def test_junk_of_the_sellers_side(world: World, replaced: bool) -> None:
    """By the entry that the contract keeps: with the first key, or the fresh one."""
    world.part(0, NOISE)
    seller, fresh = world.purchase.seller, ZERO32
    if replaced:
        fresh = public_key(world.fresh)
        world.prove(0)
    index = 0 if replaced else 1
    world.part(index, NOISE, by=seller, fresh=fresh)
    plan = await world.plan()
    assert plan.function == "proveSellerJunk"
    evidence = plan.arguments[4]
    first = world.seed.part_secret(*world.place, index)
    assert (evidence.fresh_key, evidence.secret) == (fresh, world.fresh if replaced else first)
    assert plan.against_seller


async def test_a_part_of_the_sellers_that_is_not_what_the_contract_keeps(world: World) -> None:
    world.part(0, NOISE)
    world.part(1, NOISE, by=world.purchase.seller)
    world.entries[1] = keccak(b"another")
    assert (await world.plan()).function == "proveJunk"


async def test_the_deliverers_are_proved_where_the_good_opens_all_the_same(world: World) -> None:
    for index in (0, 1):
        world.part(index)
    world.part(2, NOISE, by=world.purchase.seller)
    with pytest.raises(Permanent):
        await world.plan()


async def test_shares_that_do_not_add_up(make: Any, deployment: Deployment) -> None:
    world = World(make, deployment, secret=keccak(b"another key"))
    for index in range(N):
        world.part(index)
    plan = await world.plan()
    assert plan.function == "proveBadShares"
    leaves, shares = plan.arguments[3:]
    assert len(leaves) == len(shares) == K
    for leaf, share in zip(leaves, shares, strict=True):
        assert keccak(share) == leaf.commitment
        assert leaf.secret_hash == keccak(keccak(b"another key"))


async def test_a_share_out_of_range(world: World) -> None:
    share = b"\xff" * 32
    world.leaves[1] = replace(world.leaves[1], commitment=keccak(share))
    world.tree = MerkleTree([part_leaf(leaf) for leaf in (*world.leaves, world.extra)])
    terms = replace(world.purchase.terms, parts_root=world.tree.root)
    world.purchase = replace(world.purchase, terms=terms)
    world.logs = [world.purchase]
    world.part(1, share=share)
    world.part(0)
    world.clock = Clock(world.purchase.purchase_block + 100, world.clock.time)
    plan = await world.plan()
    assert plan.function == "proveBadShares"
    assert share in plan.arguments[4]


async def test_two_leaves_of_one_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is in the tree, and in no record: its proof is the store document's."""
    world.part(0, NOISE)
    world.part(0, NOISE, leaf=world.extra, by=world.purchase.seller, supplied=True)
    world.clock = Clock(world.purchase.purchase_block + 100, world.clock.time)
    documents: list[Any] = [None]

    async def history(_: Any) -> Any:
        return SimpleNamespace(state=SimpleNamespace(version=lambda *_: "version"))

    async def store(*_: Any) -> Any:
        return SimpleNamespace(item=lambda _: documents[0])

    monkeypatch.setattr(proving, "read_history", history)
    monkeypatch.setattr(proving, "read_version", store)
    with pytest.raises(Permanent, match="document is needed"):
        await world.plan()
    documents[0] = SimpleNamespace(proof=world.tree.proof)
    plan = await world.plan()
    assert plan.function == "proveBadLeaves"
    for leaf, proof in zip(plan.arguments[3:], plan.parts, strict=True):
        assert verify(world.tree.root, leaf_of(world.purchase, proof), leaf.proof)


async def test_shares_are_proved_from_the_gate_on(make: Any, deployment: Deployment) -> None:
    """Earlier the seller's fallback may still come, and others' parts."""
    world = World(make, deployment, secret=keccak(b"another key"))
    for index in range(K):
        world.part(index)
    gate = world.purchase.purchase_block + 101
    for block, open_now in ((gate - 2, False), (gate - 1, True)):
        world.clock = Clock(block, world.clock.time)
        if open_now:
            assert (await world.plan()).function == "proveBadShares"
        else:
            with pytest.raises(Permanent, match=f"from block {gate} on"):
                await world.plan()


async def test_what_nodes_take_of_a_transaction_is_enough(
    make: Any, deployment: Deployment
) -> None:
    """All 32 parts of a copy are junk, in lists as long as the contract takes: two proofs, if the
    copy is one of thousands.
    """
    world = World(make, deployment, n=32, others=1 << 16)
    for index in range(32):
        world.part(index, NOISE)
        one = world.signed[index]
        world.signed[index] = replace(one, entries=one.entries + (b"x" * 32,) * (48 - index % 2))
    plan = await world.plan()
    assert (len(plan.parts) + plan.left, plan.left > 0) == (32, True)
    assert 90_000 < len(encode(plan.function, *plan.arguments)) < 94_500
    # Those in the longest lists are left.
    assert {index for index in range(32) if index % 2} < {part.index for part in plan.parts}
    for part in plan.parts:
        world.prove(part.index)
    rest = await world.plan()
    assert (len(rest.parts), rest.left) == (plan.left, 0)


async def test_thousands_of_supplies_are_looked_at_once_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seller supplies what they like, as often as they like, in front of the proof."""
    world.part(0, NOISE)
    for _ in range(200):
        world.part(0, NOISE, by=world.purchase.seller, supplied=True)
    looks: list[Any] = []
    monkeypatch.setattr(proving, "leaf_of", lambda *args: looks.append(args) or leaf_of(*args))
    plan = await world.plan()
    assert plan.function == "proveJunk"
    assert len(looks) <= 2 * 201
