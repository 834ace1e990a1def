"""Trees against OpenZeppelin's own JavaScript library, run by node."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from dam.crypto.hashing import keccak
from dam.crypto.merkle import MerkleTree, verify
from dam.errors import Malformed

SCRIPT = """
const { StandardMerkleTree } = require('@openzeppelin/merkle-tree');
const lists = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(lists.map(values => {
  const tree = StandardMerkleTree.of(values.map(v => [v]), ['bytes32']);
  return { root: tree.root, proofs: values.map((_, i) => tree.getProof(i)) };
})));
"""


def double_hash(value: bytes) -> bytes:
    return keccak(keccak(encode(["bytes32"], [value])))


@pytest.fixture(scope="module")
def node(pytestconfig: pytest.Config) -> tuple[str, Path]:
    root = pytestconfig.rootpath
    path = os.pathsep.join([str(root / ".tools" / "bin"), os.environ.get("PATH", "")])
    found = shutil.which("node", path=path)
    if not found or not (root / "node_modules/@openzeppelin/merkle-tree").is_dir():
        pytest.skip("node or @openzeppelin/merkle-tree is not installed; run: make setup")
    return found, root


def test_same_roots_and_proofs_as_openzeppelin(node: tuple[str, Path]) -> None:
    rng = random.Random(1)
    sizes = [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 64, 1000, *(rng.randint(1, 300) for _ in range(9))]
    lists = [[rng.randbytes(32) for _ in range(size)] for size in sizes]
    text = json.dumps([["0x" + v.hex() for v in values] for values in lists])
    done = subprocess.run(
        [node[0], "-e", SCRIPT], cwd=node[1], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for values, theirs in zip(lists, json.loads(done.stdout), strict=True):
        leaves = [double_hash(value) for value in values]
        tree = MerkleTree(leaves)
        assert "0x" + tree.root.hex() == theirs["root"]
        for leaf, proof in zip(leaves, theirs["proofs"], strict=True):
            assert ["0x" + step.hex() for step in tree.proof(leaf)] == proof


hashes = st.binary(min_size=32, max_size=32)


@given(st.lists(hashes, min_size=1, max_size=40), st.randoms())
def test_every_leaf_proves_in_any_order(leaves: list[bytes], rng: random.Random) -> None:
    tree = MerkleTree(leaves)
    shuffled = leaves[:]
    rng.shuffle(shuffled)
    assert MerkleTree(shuffled).root == tree.root
    assert len(tree) == len(leaves)
    for leaf in leaves:
        assert leaf in tree
        assert verify(tree.root, leaf, tree.proof(leaf))


@given(st.lists(hashes, min_size=1, max_size=20, unique=True), hashes)
def test_nothing_else_proves(leaves: list[bytes], stranger: bytes) -> None:
    tree = MerkleTree(leaves)
    if stranger in leaves:
        return
    assert stranger not in tree
    with pytest.raises(Malformed):
        tree.proof(stranger)
    assert not verify(tree.root, stranger, tree.proof(leaves[0]))
    assert not verify(tree.root, leaves[0], (*tree.proof(leaves[0]), stranger))


def test_an_empty_tree_proves_nothing() -> None:
    tree = MerkleTree([])
    assert tree.root == bytes(32)
    assert len(tree) == 0
    assert bytes(32) not in tree


def test_a_leaf_is_32_bytes() -> None:
    with pytest.raises(Malformed):
        MerkleTree([bytes(31)])
