// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Status} from "../../contracts/interfaces/IMarketplace.sol";
import {Marks} from "../../contracts/libraries/Marks.sol";
import {SaleWord} from "../../contracts/libraries/SaleWord.sol";
import {X25519Key} from "../../contracts/libraries/X25519Key.sol";

/// @notice What holds for every sale word and every key, not for some: proved by halmos.
contract LibrariesCheck {
    using Marks for uint256;
    using SaleWord for uint256;
    using X25519Key for bytes32;

    uint256 private constant P =
        0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;

    // ----------------------------------------------------------------------- the sale's word

    /// @dev Some word of a sale, in any state that can be.
    function _word(
        bytes32 hash,
        uint8 status,
        uint256 since,
        uint32 parts,
        bool rated,
        bool marked
    ) private pure returns (uint256 word) {
        require(status != 0 && status <= uint8(Status.Agreed));
        require(since < 1 << 27);
        word = SaleWord.purchased(hash).enter(Status(status), since);
        word |= uint256(parts) << 32;
        if (rated) word = word.withRating();
        if (marked) word = word.withMark();
    }

    /// @notice Every field reads back what was written, whatever the others are.
    function check_fieldsDoNotTouchEachOther(
        bytes32 hash,
        uint8 status,
        uint256 since,
        uint32 parts,
        bool rated,
        bool marked
    ) external pure {
        uint256 word = _word(hash, status, since, parts, rated, marked);
        assert(uint8(word.status()) == status);
        assert(word.since() == since);
        assert(word.delivered() == parts);
        assert(word.isRated() == rated);
        assert(word.isMarked() == marked);
        assert(word.commitment() == bytes24(hash));
        assert(word.commitsTo(hash));
    }

    /// @notice Entering a state changes the state and its time alone; the time saturates.
    function check_enterKeepsTheRest(
        bytes32 hash,
        uint8 status,
        uint32 parts,
        bool rated,
        bool marked,
        uint8 next,
        uint256 offset
    ) external pure {
        require(next <= uint8(Status.Agreed));
        uint256 word = _word(hash, status, 7, parts, rated, marked).enter(Status(next), offset);
        assert(uint8(word.status()) == next);
        assert(word.since() == (offset < 1 << 27 ? offset : (1 << 27) - 1));
        assert(word.delivered() == parts);
        assert(word.isRated() == rated);
        assert(word.isMarked() == marked);
        assert(word.commitment() == bytes24(hash));
    }

    /// @notice A part sets its own bit, and a proof takes that bit alone away.
    function check_addAndRemoveTouchOneBit(
        bytes32 hash,
        uint8 status,
        uint256 since,
        uint32 parts,
        bool marked,
        uint8 index
    ) external pure {
        uint256 word = _word(hash, status, since, parts, false, marked);
        require(index < 32);
        uint256 next = word.add(index);
        assert(next.delivered() == parts | uint32(1) << index);
        assert(next.has(index));
        assert(
            next & ~(uint256(type(uint32).max) << 32) == word & ~(uint256(type(uint32).max) << 32)
        );
        next = word.remove(index);
        assert(next.delivered() == parts & ~(uint32(1) << index));
        assert(!next.has(index));
        assert(
            next & ~(uint256(type(uint32).max) << 32) == word & ~(uint256(type(uint32).max) << 32)
        );
    }

    /// @notice The one look of a delivery is what the three are together.
    function check_lacks(uint256 word, bytes32 hash, uint8 index) external pure {
        require(uint8(word >> 2) & 7 <= uint8(Status.Agreed));
        Status status = word.status();
        bool open =
            status == Status.Purchased || status == Status.Complete || status == Status.Disputed;
        assert(word.lacks(hash, index) == (open && word.commitsTo(hash) && !word.has(index)));
    }

    /// @notice None counts nothing, and each set bit counts one more than without the lowest.
    function check_count(uint32 parts) external pure {
        assert(SaleWord.countBits(0) == 0);
        if (parts == 0) return;
        unchecked {
            assert(SaleWord.countBits(parts) == SaleWord.countBits(parts & (parts - 1)) + 1);
        }
    }

    // ------------------------------------------------------------------------ the second word

    /// @notice Punishing and clearing set one bit each, and leave the key; the key leaves the bits.
    function check_marks(uint256 marks, uint8 index, bytes32 key) external pure {
        require(index < 32);
        uint256 next = marks.punish(index);
        assert(next.punished() == marks.punished() | uint32(1) << index);
        assert(next.cleared() == marks.cleared() && next.freshKey() == marks.freshKey());
        assert(next.isPunished(index));
        next = marks.clear(index);
        assert(next.cleared() == marks.cleared() | uint32(1) << index);
        assert(next.punished() == marks.punished() && next.freshKey() == marks.freshKey());
        assert(next.isCleared(index));
        uint256 bare = marks & type(uint64).max;
        next = bare.withKey(key);
        assert(next.punished() == marks.punished() && next.cleared() == marks.cleared());
        assert(next.hasKey(key));
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
