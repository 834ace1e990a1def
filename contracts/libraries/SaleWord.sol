// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Status} from "../interfaces/IMarketplace.sol";

/// @notice The one storage word of a sale.
///
/// | bits   | what                                                                         |
/// |--------|------------------------------------------------------------------------------|
/// | 64-255 | commitment: the first 192 bits of the hash of the `Sale`                      |
/// | 32-63  | delivered parts, bit 32 + index                                               |
/// | 5-31   | since: seconds after the purchase at which the present state began, saturated |
/// | 2-4    | status                                                                       |
/// | 1      | rated                                                                        |
/// | 0      | marked: there is a second word, see `Marks`                                   |
library SaleWord {
    uint256 private constant SINCE_MAX = (1 << 27) - 1;
    uint256 private constant MARKED = 1;
    uint256 private constant RATED = 1 << 1;
    uint256 private constant COMMITMENT =
        0xffffffffffffffffffffffffffffffffffffffffffffffff0000000000000000;

    /// @notice The word of a sale just made.
    function purchased(bytes32 saleHash) internal pure returns (uint256) {
        return (uint256(saleHash) & COMMITMENT) | (uint256(Status.Purchased) << 2);
    }

    /// @notice Whether a word is that of the sale with this hash. False for an empty word: a hash
    /// that begins with 192 zero bits is out of reach.
    function commitsTo(uint256 word, bytes32 saleHash) internal pure returns (bool) {
        return word != 0 && (word ^ uint256(saleHash)) & COMMITMENT == 0;
    }

    /// @notice Whether the sale with this hash is open, and its part `index` missing.
    /// @dev Without branches: each part of a batch passes here.
    function lacks(uint256 word, bytes32 saleHash, uint256 index)
        internal
        pure
        returns (bool result)
    {
        assembly ("memory-safe") {
            let other := and(xor(word, saleHash), COMMITMENT)
            // Purchased, Complete and Disputed are 1 to 3.
            let open := lt(sub(and(shr(2, word), 7), 1), 3)
            let there := and(shr(add(32, index), and(word, 0xffffffffffffffff)), 1)
            result := and(iszero(or(other, there)), open)
        }
    }

    function commitment(uint256 word) internal pure returns (bytes24) {
        return bytes24(bytes32(word));
    }

    function status(uint256 word) internal pure returns (Status) {
        return Status((word >> 2) & 7);
    }

    function since(uint256 word) internal pure returns (uint256) {
        return (word >> 5) & SINCE_MAX;
    }

    function delivered(uint256 word) internal pure returns (uint32) {
        return uint32(word >> 32);
    }

    function has(uint256 word, uint256 index) internal pure returns (bool) {
        return (uint256(delivered(word)) >> index) & 1 != 0;
    }

    /// @notice Number of parts that are there.
    function count(uint256 word) internal pure returns (uint256) {
        return countBits(delivered(word));
    }

    /// @notice Number of ones: in pairs of bits, in fours, in bytes, and then of all four bytes.
    function countBits(uint256 bits) internal pure returns (uint256) {
        unchecked {
            bits -= (bits >> 1) & 0x55555555;
            bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333);
            bits = (bits + (bits >> 4)) & 0x0f0f0f0f;
            return (bits * 0x01010101 >> 24) & 0xff;
        }
    }

    /// @notice The word in another state, which begins `offset` seconds after the purchase.
    function enter(uint256 word, Status next, uint256 offset) internal pure returns (uint256) {
        if (offset > SINCE_MAX) offset = SINCE_MAX;
        word &= ~((SINCE_MAX << 5) | (7 << 2));
        return word | (offset << 5) | (uint256(next) << 2);
    }

    function isRated(uint256 word) internal pure returns (bool) {
        return word & RATED != 0;
    }

    function withRating(uint256 word) internal pure returns (uint256) {
        return word | RATED;
    }

    function isMarked(uint256 word) internal pure returns (bool) {
        return word & MARKED != 0;
    }

    function withMark(uint256 word) internal pure returns (uint256) {
        return word | MARKED;
    }

    /// @notice The word with one more part. `index` must be below 32.
    function add(uint256 word, uint256 index) internal pure returns (uint256) {
        return word | (1 << (32 + index));
    }

    /// @notice The word without one part.
    function remove(uint256 word, uint256 index) internal pure returns (uint256) {
        return word & ~(1 << (32 + index));
    }
}
