// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Merkle proofs as OpenZeppelin's StandardMerkleTree makes them: pairs are sorted.
library Merkle {
    /// @notice The root that a leaf and its proof give.
    /// @dev OpenZeppelin's `processProofCalldata` with neither bounds nor allocations to look at:
    /// 70 gas less a level.
    function root(bytes32 leaf, bytes32[] calldata proof) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            result := leaf
            let end := add(proof.offset, shl(5, proof.length))
            for { let at := proof.offset } lt(at, end) { at := add(at, 32) } {
                let sibling := calldataload(at)
                // The smaller of the two goes first.
                let place := shl(5, gt(result, sibling))
                mstore(place, result)
                mstore(xor(place, 32), sibling)
                result := keccak256(0, 64)
            }
        }
    }
}
