// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice The second storage word of a sale, from the first proof of junk on.
///
/// | bits   | what                                                                          |
/// |--------|-------------------------------------------------------------------------------|
/// | 64-255 | fresh key: the first 192 bits of its keccak256; zero until one is named        |
/// | 32-63  | punished, bit 32 + index: its deliverer was fined                              |
/// | 0-31   | cleared, bit index: its fee is paid, the part counts as never delivered        |
library Marks {
    uint256 private constant KEY = ~uint256(type(uint64).max);

    function punished(uint256 marks) internal pure returns (uint32) {
        return uint32(marks >> 32);
    }

    function cleared(uint256 marks) internal pure returns (uint32) {
        return uint32(marks);
    }

    function freshKey(uint256 marks) internal pure returns (bytes24) {
        return bytes24(bytes32(marks));
    }

    function isPunished(uint256 marks, uint256 index) internal pure returns (bool) {
        return (marks >> (32 + index)) & 1 != 0;
    }

    function isCleared(uint256 marks, uint256 index) internal pure returns (bool) {
        return (marks >> index) & 1 != 0;
    }

    /// @notice Whether this is the sale's fresh key. False where none was named yet.
    function hasKey(uint256 marks, bytes32 key) internal pure returns (bool) {
        return (marks ^ _commitment(key)) & KEY == 0;
    }

    /// @notice The word with its fresh key; it must have had none.
    function withKey(uint256 marks, bytes32 key) internal pure returns (uint256) {
        return marks | (_commitment(key) & KEY);
    }

    /// @notice The word with one more index punished. `index` must be below 32, as in `clear`.
    function punish(uint256 marks, uint256 index) internal pure returns (uint256) {
        return marks | (1 << (32 + index));
    }

    /// @notice The word with one more part cleared.
    function clear(uint256 marks, uint256 index) internal pure returns (uint256) {
        return marks | (1 << index);
    }

    function _commitment(bytes32 key) private pure returns (uint256 result) {
        assembly ("memory-safe") {
            mstore(0, key)
            result := keccak256(0, 32)
        }
    }
}
