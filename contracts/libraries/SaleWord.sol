// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LibBit} from "solady/utils/LibBit.sol";

import {Status} from "../interfaces/IMarketplace.sol";

/// @notice The one storage word of a sale.
///
/// | bits   | what                                                                        |
/// |--------|-----------------------------------------------------------------------------|
/// | 64-255 | commitment: the first 192 bits of the hash of the `Sale`                     |
/// | 32-63  | delivered parts, bit 32 + index                                              |
/// | 26-31  | number of parts that deliverers delivered, 0 to 32                           |
/// | 6-25   | since: blocks after the purchase at which the present state began, saturated |
/// | 3-5    | status                                                                      |
/// | 2      | rated                                                                       |
/// | 0-1    | spare                                                                       |
library SaleWord {
    uint256 private constant SINCE_MAX = (1 << 20) - 1;
    uint256 private constant RATED = 1 << 2;
    uint256 private constant COMMITMENT = ~uint256(type(uint64).max);

    /// @notice The word of a sale just made.
    function purchased(bytes32 saleHash) internal pure returns (uint256) {
        return (uint256(saleHash) & COMMITMENT) | (uint256(Status.Purchased) << 3);
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
        return Status((word >> 3) & 7);
    }

    function since(uint256 word) internal pure returns (uint256) {
        return (word >> 6) & SINCE_MAX;
    }

    function byDeliverers(uint256 word) internal pure returns (uint256) {
        return (word >> 26) & 63;
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

    /// @notice The word in another state, which begins `offset` blocks after the purchase.
    function enter(uint256 word, Status next, uint256 offset) internal pure returns (uint256) {
        if (offset > SINCE_MAX) offset = SINCE_MAX;
        word &= ~((SINCE_MAX << 6) | (7 << 3));
        return word | (offset << 6) | (uint256(next) << 3);
    }

    function isRated(uint256 word) internal pure returns (bool) {
        return word & RATED != 0;
    }

    function withRating(uint256 word) internal pure returns (uint256) {
        return word | RATED;
    }

    /// @notice The word with one more part. `index` must not be there yet.
    function add(uint256 word, uint256 index, bool byDeliverer) internal pure returns (uint256) {
        unchecked {
            // At most 32 parts, so the 6-bit counter never overflows.
            return word + (1 << (32 + index)) + (byDeliverer ? 1 << 26 : 0);
        }
    }
}
