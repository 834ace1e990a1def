// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Status} from "../../contracts/interfaces/IMarketplace.sol";
import {SaleWord} from "../../contracts/libraries/SaleWord.sol";
import {X25519Key} from "../../contracts/libraries/X25519Key.sol";

/// @notice What holds for every sale word and every key, not for some: proved by halmos.
contract LibrariesCheck {
    using SaleWord for uint256;
    using X25519Key for bytes32;

    uint256 private constant P =
        0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;

    // ----------------------------------------------------------------------- the sale's word

    /// @dev Some word of a sale, in any state that can be.
    function _word(bytes32 hash, uint8 status, uint256 since, uint32 parts, uint8 paid, bool rated)
        private
        pure
        returns (uint256 word)
    {
        require(status != 0 && status <= uint8(Status.Resolved));
        require(since < 1 << 20 && paid <= 32);
        word = SaleWord.purchased(hash).enter(Status(status), since);
        word |= uint256(parts) << 32 | uint256(paid) << 26;
        if (rated) word = word.withRating();
    }

    /// @notice Every field reads back what was written, whatever the others are.
    function check_fieldsDoNotTouchEachOther(
        bytes32 hash,
        uint8 status,
        uint256 since,
        uint32 parts,
        uint8 paid,
        bool rated
    ) external pure {
        uint256 word = _word(hash, status, since, parts, paid, rated);
        assert(uint8(word.status()) == status);
        assert(word.since() == since);
        assert(word.delivered() == parts);
        assert(word.byDeliverers() == paid);
        assert(word.isRated() == rated);
        assert(word.commitment() == bytes24(hash));
        assert(word.commitsTo(hash));
    }

    /// @notice Entering a state changes the state and its block alone; the block saturates.
    function check_enterKeepsTheRest(
        bytes32 hash,
        uint8 status,
        uint32 parts,
        uint8 paid,
        bool rated,
        uint8 next,
        uint256 offset
    ) external pure {
        require(next <= uint8(Status.Resolved));
        uint256 word = _word(hash, status, 7, parts, paid, rated).enter(Status(next), offset);
        assert(uint8(word.status()) == next);
        assert(word.since() == (offset < 1 << 20 ? offset : (1 << 20) - 1));
        assert(word.delivered() == parts);
        assert(word.byDeliverers() == paid);
        assert(word.isRated() == rated);
        assert(word.commitment() == bytes24(hash));
    }

    /// @notice A part sets its own bit, and counts for the deliverers only if one brought it.
    function check_addSetsOneBit(
        bytes32 hash,
        uint8 status,
        uint256 since,
        uint32 parts,
        uint8 paid,
        uint8 index,
        bool own
    ) external pure {
        uint256 word = _word(hash, status, since, parts, paid, false);
        require(index < 32 && !word.has(index) && paid < 32);
        uint256 next = word.add(index, own);
        assert(next.delivered() == parts | uint32(1) << index);
        assert(next.has(index));
        assert(next.byDeliverers() == uint256(paid) + (own ? 1 : 0));
        assert(next.status() == word.status());
        assert(next.since() == word.since());
        assert(next.commitment() == word.commitment());
        assert(!next.isRated());
    }

    /// @notice No index beyond the 32 parts is ever there.
    function check_noPartBeyond32(uint256 word, uint8 index) external pure {
        require(index >= 32);
        assert(!word.has(index));
    }

    /// @notice An empty word commits to nothing; another commitment is another sale.
    function check_commitment(uint256 word, bytes32 hash) external pure {
        assert(!uint256(0).commitsTo(hash));
        if (word.commitsTo(hash)) assert(bytes24(bytes32(word)) == bytes24(hash));
        else if (word != 0) assert(bytes24(bytes32(word)) != bytes24(hash));
    }

    // ------------------------------------------------------------------------------ the keys

    /// @dev The key as the number that it is, little-endian (RFC 7748).
    function _number(bytes32 key) private pure returns (uint256 number) {
        for (uint256 i; i < 32; ++i) {
            number |= uint256(uint8(key[i])) << (8 * i);
        }
    }

    /// @notice Exactly the canonical numbers below p pass that are no point of low order.
    function check_keys(bytes32 key) external pure {
        uint256 u = _number(key);
        bool low =
            u == 0 || u == 1 || u == P - 1 || u == _number(ORDER_8_A) || u == _number(ORDER_8_B);
        assert(key.isValid() == (u < P && !low));
    }

    // The two of order 8 as libsodium's blocklist has them.
    bytes32 private constant ORDER_8_A =
        hex"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    bytes32 private constant ORDER_8_B =
        hex"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157";
}
