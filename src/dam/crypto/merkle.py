"""Merkle trees, compatible with OpenZeppelin's ``StandardMerkleTree`` and ``MerkleProof``.

Leaves are hashes that are already double-hashed (`hashing.terms_leaf`, `hashing.part_leaf`); they
are sorted, put into a complete binary tree in reverse order, and each pair is sorted before it is
hashed. Source: ``@openzeppelin/merkle-tree`` 1.0, ``src/core.ts``; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dam.crypto.hashing import keccak
from dam.errors import Malformed
from dam.types import ZERO32


def _pair(a: bytes, b: bytes) -> bytes:
    return keccak(a + b) if a < b else keccak(b + a)


class MerkleTree:
    """A tree over 32-byte leaf hashes; the order in which they come does not matter.

    Nodes stand in one list: the root first, the children of node i at 2i + 1 and 2i + 2.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if any(len(leaf) != 32 for leaf in leaves):
            raise Malformed("a Merkle leaf is 32 bytes")
        count = len(leaves)
        nodes = [b""] * (count - 1) + sorted(leaves, reverse=True) if count else []
        for i in range(count - 2, -1, -1):
            nodes[i] = _pair(nodes[2 * i + 1], nodes[2 * i + 2])
        self._nodes = nodes
        # Of equal leaves the first in sorted order stands last: any of them proves as well.
        self._places = {nodes[i]: i for i in range(max(count - 1, 0), len(nodes))}

    @property
    def root(self) -> bytes:
        """32 bytes; zero for a tree without leaves, which proves nothing."""
        return self._nodes[0] if self._nodes else ZERO32

    def __len__(self) -> int:
        return (len(self._nodes) + 1) // 2

    def __contains__(self, leaf: object) -> bool:
        return leaf in self._places

    def proof(self, leaf: bytes) -> tuple[bytes, ...]:
        """The siblings from the leaf up to the root, as ``MerkleProof.verify`` wants them.

        Raises:
            Malformed: The leaf is not in the tree.
        """
        place = self._places.get(leaf)
        if place is None:
            raise Malformed("the leaf is not in the Merkle tree")
        proof = []
        while place:
            proof.append(self._nodes[place - 1 if place % 2 == 0 else place + 1])
            place = (place - 1) // 2
        return tuple(proof)


class SectionedTree:
    """A tree over the roots of sections, each of which is a tree over its own leaves.

    The roots go into the upper tree as they are, so a leaf's proof is the one in its section, then
    the one of the section's root: `verify` and the contract walk through both as through one.

    Raises:
        Malformed: Two sections have the same root.
    """

    def __init__(self, sections: Sequence[MerkleTree]) -> None:
        self._sections = sections
        roots = [section.root for section in sections]
        self._top = section_roots(roots)

    @property
    def root(self) -> bytes:
        """32 bytes; zero for a tree without sections."""
        return self._top.root

    def proof(self, leaf: bytes) -> tuple[bytes, ...]:
        """The siblings from the leaf up to the root.

        Raises:
            Malformed: The leaf is in no section.
        """
        for section in self._sections:
            if leaf in section:
                return (*section.proof(leaf), *self._top.proof(section.root))
        raise Malformed("the leaf is not in the Merkle tree")


def section_roots(roots: Sequence[bytes]) -> MerkleTree:
    """The upper tree of a `SectionedTree`.

    Raises:
        Malformed: Two roots are the same.
    """
    if len(set(roots)) != len(roots):
        raise Malformed("two sections have the same root")
    return MerkleTree(roots)


def verify(root: bytes, leaf: bytes, proof: Iterable[bytes]) -> bool:
    """Whether ``proof`` leads from ``leaf`` to ``root``."""
    node = leaf
    for sibling in proof:
        node = _pair(node, sibling)
    return node == root


class ProofVerifier:
    """Verifies proofs under one root, and caches the upper levels of the tree.

    Proofs of one tree share their upper steps. A proof counts only if every step of it is right,
    the known ones too, for the contract goes through all of them.

    Args:
        root: 32 bytes.
        levels: Steps below the root that are remembered: 2^levels nodes twice, and soon all of
            them, so that what a tree takes does not grow with its sales. What lies below costs a
            hash a step.
    """

    def __init__(self, root: bytes, *, levels: int = 9) -> None:
        self._levels = levels
        self._proved: dict[bytes, bytes] = {root: b""}

    def verify(self, leaf: bytes, proof: bytes) -> bool:
        """Whether ``proof``, 32 bytes a step, leads from ``leaf`` to the root."""
        proved, node, at, end = self._proved, leaf, 0, len(proof)
        path: list[bytes] = []
        while at < end and node not in proved:
            path.append(node)
            sibling = proof[at : at + 32]
            node = keccak(node + sibling if node < sibling else sibling + node)
            at += 32
        if proved.get(node) != proof[at:]:
            return False
        # Not the leaves: each is looked at once.
        for step in range(max(1, end // 32 - self._levels), len(path)):
            at, node = 32 * step, path[step]
            proved[node] = proof[at:]
            proved[proof[at : at + 32]] = node + proof[at + 32 :]
        return True
