// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LibBit} from "solady/utils/LibBit.sol";

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
    uint256 private constant COMMITMENT = ~uint256(type(uint64).max);

    /// @notice The word of a sale just made.
    function purchased(bytes32 saleHash) internal pure returns (uint256) {
        return (uint256(saleHash) & COMMITMENT) | (uint256(Status.Purchased) << 2);
    }

    /// @notice Whether a word is that of the sale with this hash. False for an empty word: a hash
    /// that begins with 192 zero bits is out of reach.
    function commitsTo(uint256 word, bytes32 saleHash) internal pure returns (bool) {
        return word != 0 && (word ^ uint256(saleHash)) & COMMITMENT == 0;
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
        return LibBit.popCount(delivered(word));
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
