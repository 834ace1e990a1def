"""What is packed once for an item is what the records give, byte for byte."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.crypto import merkle
from dam.crypto.hashing import (
    copy_id,
    domain,
    domain_separator,
    entry,
    fragments_digest,
    keccak,
    part_leaf,
    sale_hash,
    sale_of,
)
from dam.crypto.merkle import MerkleTree, ProofVerifier, verify
from dam.market.calldata import DeliveryEncoder, entry_of, pack_delivery, pack_many, signed_digest
from dam.market.log_rows import SaleRow
from dam.testing.pages import rows_of
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Delivery,
    LogRef,
    Part,
    PartLeaf,
    Purchase,
    Signature,
    Terms,
)
from tests.unit.helpers.structs import bytes32, deliveries, signatures, terms, uint64

MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
ME = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
SELLER = Address("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
BUYER = Address("0x90F79bf6EB2c4f870365E785982E1f101E93b906")


@given(
    terms,
    st.sampled_from([ZERO_ADDRESS, BUYER]),
    st.lists(bytes32, min_size=1, max_size=32).map(tuple),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    uint64,
    deliveries,
    bytes32,
)
def test_an_encoder_gives_the_bytes_of_the_records(
    terms: Terms,
    arbitrator: Address,
    keys: tuple[bytes, ...],
    block: int,
    time: int,
    copy: int,
    delivery: Delivery,
    share: bytes,
) -> None:
    terms = replace(terms, arbitrator=arbitrator, parts=len(keys))
    at = LogRef(BlockRef(7, bytes32_of(1)), bytes32_of(2), 3)
    sold = copy_id(SELLER, terms.item_id, copy)
    purchase = Purchase(sold, SELLER, BUYER, bytes32_of(3), copy, block, time, terms, keys, at)
    commitment = keccak(share)
    delivery = replace(
        delivery,
        copy_id=sold,
        sale=sale_of(purchase),
        deliverer=ME,
        commitment=commitment,
        fresh_key=bytes(32),
    )
    secret_hash, salt, index = delivery.secret_hash, delivery.salt, delivery.index
    part = Part(bytes32_of(4), index, share, secret_hash, salt)
    leaf = PartLeaf(purchase.leaf_copy, index, ME, commitment, secret_hash, salt)

    encoder = DeliveryEncoder(31337, MARKET, SELLER, terms, ME)
    sale = SaleRow(1, *rows_of([purchase]).purchases[0], time + 300, "new", "", 0, 0)
    packed = encoder.delivery(sale, part, commitment, b"".join(delivery.proof), delivery.fragment)
    assert packed == pack_delivery(delivery)
    assert sale.purchase == purchase
    assert encoder.leaf(sale.copy, part, commitment) == part_leaf(leaf)
    assert encoder.domain(sale.copy) == domain(
        31337, MARKET, SELLER, terms.item_id, terms.stock, copy
    )


@given(st.lists(deliveries, max_size=3), st.integers(1, 2**64), signatures)
def test_what_is_signed_follows_from_what_is_sent(
    batch: list[Delivery], chain: int, signature: Signature
) -> None:
    entries = [
        entry(
            d.copy_id,
            sale_hash(d.sale),
            part_leaf(
                PartLeaf(
                    d.sale.copy if d.sale.stock else 0,
                    d.index,
                    d.deliverer,
                    d.commitment,
                    d.secret_hash,
                    d.salt,
                )
            ),
            d.fresh_key,
            d.fragment,
        )
        for d in batch
    ]
    packed = list(map(pack_delivery, batch))
    assert list(map(entry_of, batch)) == list(map(entry_of, packed)) == entries
    separator = domain_separator(chain, MARKET)
    assert signed_digest(separator, packed) == fragments_digest(separator, entries)
    assert pack_many(packed, signature) == pack_many(batch, signature)


def bytes32_of(number: int) -> bytes:
    return bytes([number]) * 32


class TestProofs:
    LEAVES = tuple(keccak(bytes([i])) for i in range(45))
    TREE = MerkleTree(LEAVES)

    @pytest.mark.parametrize("levels", [0, 1, 4, 7])
    def test_takes_every_proof_of_the_tree(self, levels: int) -> None:
        proofs = ProofVerifier(self.TREE.root, levels=levels)
        for _ in range(2):
            for leaf in random.Random(levels).sample(self.LEAVES, 45):
                assert proofs.verify(leaf, b"".join(self.TREE.proof(leaf)))

    @pytest.mark.parametrize(("levels", "hashes"), [(0, 10), (4, 6), (7, 3)])
    def test_remembers_the_upper_levels_and_no_more(
        self, monkeypatch: pytest.MonkeyPatch, levels: int, hashes: int
    ) -> None:
        leaves = tuple(keccak(i.to_bytes(2, "big")) for i in range(1024))
        tree = MerkleTree(leaves)
        proofs = ProofVerifier(tree.root, levels=levels)
        for leaf in leaves:
            assert proofs.verify(leaf, b"".join(tree.proof(leaf)))
        assert len(proofs._proved) == 2 ** (levels + 1) - 1
        done: list[bytes] = []
        monkeypatch.setattr(merkle, "keccak", lambda data: done.append(data) or keccak(data))
        assert proofs.verify(leaves[77], b"".join(tree.proof(leaves[77])))
        assert len(done) == hashes

    def test_refuses_whatever_the_whole_proof_would_not_prove(self) -> None:
        """Any step damaged, left out or added, also where all of the tree is known already."""
        dice = random.Random(3)
        fresh, knowing = ProofVerifier(self.TREE.root), ProofVerifier(self.TREE.root)
        for leaf in self.LEAVES:
            assert knowing.verify(leaf, b"".join(self.TREE.proof(leaf)))
        tried = 0
        for leaf in self.LEAVES:
            proof = self.TREE.proof(leaf)
            wrong = [proof[:-1], proof[1:], (*proof, proof[0]), (leaf, *proof), ()]
            for step in range(len(proof)):
                damaged = bytearray(proof[step])
                damaged[dice.randrange(32)] ^= 1 << dice.randrange(8)
                wrong.append((*proof[:step], bytes(damaged), *proof[step + 1 :]))
                other = self.TREE.proof(dice.choice(self.LEAVES))
                wrong.append((*proof[:step], *other[step:]))
            for steps in wrong:
                right = verify(self.TREE.root, leaf, steps)
                tried += not right
                assert knowing.verify(leaf, b"".join(steps)) == right
                assert fresh.verify(leaf, b"".join(steps)) == right
        assert tried > 400

    def test_a_root_without_tree_proves_nothing_but_itself(self) -> None:
        proofs = ProofVerifier(self.TREE.root)
        assert proofs.verify(self.TREE.root, b"")
        assert not proofs.verify(bytes(32), b"")
