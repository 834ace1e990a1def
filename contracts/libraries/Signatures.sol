// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {Signature, Split, Status} from "../interfaces/IMarketplace.sol";

/// @notice What is signed (EIP-712), and who signed it.
library Signatures {
    // Assembly takes literals alone; a test compares each with what it is the hash of.
    /// keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").
    bytes32 private constant DOMAIN_TYPE =
        0x8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f;
    /// keccak256("DAM").
    bytes32 private constant NAME =
        0x8982ab2db93979440b5112083361acdd265c86d0d6e8522389e33a8fc54bb6b1;
    /// keccak256("2").
    bytes32 private constant VERSION =
        0xad7c5bef027816a800da1736444fb58a807ef4c9603b7848673f7e3a68eb14a5;
    /// keccak256("Fragments(bytes32[] entries)").
    bytes32 private constant FRAGMENTS_TYPE =
        0x13e426095eea059799980726eb8cf0a09deb7d92cd6eeeb9359de16676900054;
    bytes32 private constant AGREEMENT_TYPE = keccak256(
        "Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,"
        "uint256 penalty,uint256 toArbitrator,uint256 deadline)"
    );
    uint256 private constant LOW_255_BITS = type(uint256).max >> 1;
    /// Half the order of secp256k1: a higher s is the other spelling of a signature (EIP-2).
    uint256 private constant HALF_ORDER =
        0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice Domain separator of this contract on this chain; both may change under a fork.
    /// @dev As `abi.encode` would, for 150 gas less a delivery.
    function domain() internal view returns (bytes32 separator) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, DOMAIN_TYPE)
            mstore(add(free, 32), NAME)
            mstore(add(free, 64), VERSION)
            mstore(add(free, 96), chainid())
            mstore(add(free, 128), address())
            separator := keccak256(free, 160)
        }
    }

    /// @notice What a deliverer signs.
    function digest(bytes32[] memory entries) internal view returns (bytes32) {
        bytes32 structHash;
        assembly ("memory-safe") {
            mstore(32, keccak256(add(entries, 32), shl(5, mload(entries))))
            mstore(0, FRAGMENTS_TYPE)
            structHash := keccak256(0, 64)
        }
        return _typed(structHash);
    }

    /// @notice What buyer and seller sign.
    function digest(
        bytes32 copyId,
        bytes32 saleHash,
        Status status,
        uint256 since,
        Split calldata split
    ) internal view returns (bytes32) {
        return _typed(
            keccak256(
                abi.encode(
                    AGREEMENT_TYPE,
                    copyId,
                    saleHash,
                    status,
                    since,
                    split.toBuyer,
                    split.penalty,
                    split.toArbitrator,
                    split.deadline
                )
            )
        );
    }

    /// @notice Who signed; zero for a malformed signature, or one with a high s.
    function signer(bytes32 hash, Signature calldata signature) internal pure returns (address) {
        uint256 vs = uint256(signature.vs);
        uint256 s = vs & LOW_255_BITS;
        if (s > HALF_ORDER) return address(0);
        unchecked {
            return ecrecover(hash, uint8(vs >> 255) + 27, signature.r, bytes32(s));
        }
    }

    /// @notice Whether `party` signed: by its key, or else, where it has code, by ERC-1271.
    /// @dev It calls `party`, reading only: under the lock.
    function isSignedBy(address party, bytes32 hash, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        (address recovered, ECDSA.RecoverError error,) = ECDSA.tryRecoverCalldata(hash, signature);
        if (error == ECDSA.RecoverError.NoError && recovered == party) return true;
        return party.code.length != 0
            && SignatureChecker.isValidERC1271SignatureNowCalldata(party, hash, signature);
    }

    function _typed(bytes32 structHash) private view returns (bytes32 result) {
        bytes32 separator = domain();
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, shl(240, 0x1901))
            mstore(add(free, 2), separator)
            mstore(add(free, 34), structHash)
            result := keccak256(free, 66)
        }
    }
}
