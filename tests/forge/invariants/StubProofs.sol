// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IProofs} from "../../../contracts/interfaces/IProofs.sol";
import {Hint} from "../../../contracts/interfaces/IMarketplace.sol";

/// @notice Sealed boxes and shares that cost nothing to make, with the rules of the real ones: a box
/// opens with one key to one commitment; whose ephemeral key is junk is junk to every key; and k
/// shares of one secret give that secret.
library Box {
    bytes1 private constant BAD_EPHEMERAL = 0xff;

    /// @notice A canonical key, of no low order, that only this secret gives.
    function key(bytes32 secret) internal pure returns (bytes32) {
        // The last byte holds the number's top bits: far below 2^255 - 19.
        return
            (keccak256(abi.encode("key", secret)) & ~bytes32(uint256(0xff))) | bytes32(uint256(1));
    }

    function seal(bytes32 toKey, bytes32 commitment) internal pure returns (bytes memory) {
        return abi.encodePacked(_tag(toKey, commitment), bytes32(0), bytes16(0));
    }

    /// @notice Junk to everybody: 0 of a wrong share, 1 of a bad ephemeral key.
    function junk(bytes32 toKey, uint256 kind) internal pure returns (bytes memory) {
        bytes32 tag = _tag(toKey, "another share");
        return abi.encodePacked(tag, kind == 1 ? bytes32(BAD_EPHEMERAL) : bytes32(0), bytes16(0));
    }

    function opens(bytes32 toKey, bytes32 commitment, bytes calldata fragment)
        internal
        pure
        returns (bool)
    {
        return bytes32(fragment[:32]) == _tag(toKey, commitment) && !isBad(fragment);
    }

    function isBad(bytes calldata fragment) internal pure returns (bool) {
        return fragment[32] == BAD_EPHEMERAL;
    }

    function share(bytes32 group, uint256 index) internal pure returns (bytes32) {
        return ((group >> 8) << 8) | bytes32(index);
    }

    /// @notice The secret of a group of shares.
    function secretOf(bytes32 group) internal pure returns (bytes32) {
        return keccak256(abi.encode("secret", (group >> 8) << 8));
    }

    function _tag(bytes32 toKey, bytes32 commitment) private pure returns (bytes32) {
        return keccak256(abi.encode("box", toKey, commitment));
    }
}

/// @notice A verifier of such boxes and shares.
contract StubProofs is IProofs {
    /// @inheritdoc IProofs
    function isJunk(
        bytes32 key,
        bytes32 secret,
        bytes calldata fragment,
        bytes32 commitment,
        Hint calldata hint
    ) external pure returns (bool) {
        require(fragment.length == 80, "length");
        if (hint.kind > 2) revert WrongHint();
        if (Box.isBad(fragment)) return true;
        if (Box.key(secret) != key) revert WrongSecret();
        return !Box.opens(key, commitment, fragment);
    }

    /// @inheritdoc IProofs
    function combine(uint8[] calldata indexes, bytes32[] calldata shares)
        external
        pure
        returns (bool found, bytes32 secret)
    {
        require(indexes.length == shares.length, "lengths");
        bytes32 group = (shares[0] >> 8) << 8;
        secret = Box.secretOf(group);
        for (uint256 i; i < shares.length; ++i) {
            if (bytes1(shares[i]) == 0xff) return (false, 0);
            if (shares[i] != Box.share(group, indexes[i])) secret = keccak256(abi.encode(shares));
        }
        return (true, secret);
    }
}
