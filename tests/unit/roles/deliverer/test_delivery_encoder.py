"""What is packed once for an item is what the records give, byte for byte."""

from __future__ import annotations

import random

import pytest

from dam.crypto import merkle
from dam.crypto.hashing import copy_id, domain, keccak, part_leaf, sale_of
from dam.crypto.merkle import MerkleTree, ProofVerifier, verify
from dam.ledger.sales import SaleRow
from dam.market.calldata import pack_delivery
from dam.market.log_rows import rows_of
from dam.roles.deliverer.delivery_encoder import DeliveryEncoder
from dam.types import (
    ZERO_ADDRESS,
    Address,
    BlockRef,
    Delivery,
    LogRef,
    Part,
    PartLeaf,
    Purchase,
    Terms,
    Wei,
)

MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
ME = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
SELLER = Address("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
BUYER = Address("0x90F79bf6EB2c4f870365E785982E1f101E93b906")


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("arbitrator", [ZERO_ADDRESS, BUYER])
def test_an_encoder_gives_the_bytes_of_the_records(stock: bool, arbitrator: Address) -> None:
    dice = random.Random(f"{stock}{arbitrator}")
    for steps in (0, 1, 7):
        parts = dice.randrange(1, 33)
        item = dice.randbytes(32)
        terms = Terms(
            item, dice.choice([ZERO_ADDRESS, MARKET]), dice.randrange(2**128),
            Wei(dice.randrange(2**128)), Wei(dice.randrange(2**128)), Wei(dice.randrange(2**128)),
            dice.randrange(2**64), stock, parts, dice.randrange(1, parts + 1), arbitrator,
            dice.randbytes(32),
        )  # fmt: skip
        copy, block = dice.randrange(2**64), dice.randrange(2**40)
        keys = tuple(dice.randbytes(32) for _ in range(parts))
        at = LogRef(BlockRef(block, dice.randbytes(32)), dice.randbytes(32), 3)
        sold = copy_id(SELLER, item, copy)
        purchase = Purchase(sold, SELLER, BUYER, dice.randbytes(32), copy, terms, keys, at)
        index = dice.randrange(parts)
        part = Part(
            dice.randbytes(32), index, dice.randbytes(32), dice.randbytes(32), dice.randbytes(32)
        )
        commitment = keccak(part.share)
        proof = tuple(dice.randbytes(32) for _ in range(steps))
        delivery = Delivery(
            sold, sale_of(purchase), index, ME, commitment, part.secret_hash, part.salt, proof,
            dice.randbytes(80),
        )  # fmt: skip
        leaf = PartLeaf(purchase.leaf_copy, index, ME, commitment, part.secret_hash, part.salt)

        encoder = DeliveryEncoder(31337, MARKET, SELLER, terms, ME)
        sale = SaleRow(1, *rows_of([purchase]).purchases[0], block + 300, "new", "", 0)
        packed = encoder.delivery(sale, part, commitment, b"".join(proof), delivery.fragment)
        assert packed == pack_delivery(delivery)
        assert sale.purchase == purchase
        assert encoder.leaf(sale.copy, part, commitment) == part_leaf(leaf)
        assert encoder.domain(sale.copy) == domain(31337, MARKET, SELLER, item, stock, copy)


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
