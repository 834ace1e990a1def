// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice CIDs of store documents, whose codec and hash are fixed.
library StoreCid {
    bytes32 private constant ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
    /// CIDv1, codec 0x0129 (DAG-JSON) as a varint, multihash SHA2-256 of 32 bytes.
    uint256 private constant PREFIX = 0x01a9021220;

    /// @notice CIDv1 in base32 (multibase `b`, lower case, no padding), 61 characters.
    function toString(bytes32 digest) internal pure returns (string memory) {
        bytes memory text = new bytes(61);
        text[0] = "b";
        // 5 + 32 bytes are 296 bits: 59 groups of five and one of a single bit, padded with zeros.
        for (uint256 i; i < 60; ++i) {
            uint256 group;
            for (uint256 bit = 5 * i; bit < 5 * i + 5; ++bit) {
                group = (group << 1) | _bit(digest, bit);
            }
            text[i + 1] = ALPHABET[group];
        }
        return string(text);
    }

    function _bit(bytes32 digest, uint256 position) private pure returns (uint256) {
        if (position < 40) return (PREFIX >> (39 - position)) & 1;
        if (position < 296) return (uint256(digest) >> (295 - position)) & 1;
        return 0;
    }
}
