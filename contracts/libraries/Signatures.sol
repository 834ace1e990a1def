// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {Signature, Split, Status} from "../interfaces/IMarketplace.sol";

/// @notice What is signed (EIP-712), and who signed it.
library Signatures {
    bytes32 private constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant FRAGMENTS_TYPE = keccak256("Fragments(bytes32[] entries)");
    bytes32 private constant AGREEMENT_TYPE = keccak256(
        "Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,"
        "uint256 penalty,uint256 toArbitrator,uint256 deadline)"
    );
    bytes32 private constant NAME = keccak256("DAM");
    bytes32 private constant VERSION = keccak256("2");
    uint256 private constant LOW_255_BITS = type(uint256).max >> 1;

    /// @notice Domain separator of this contract on this chain; both may change under a fork.
    function domain() internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, block.chainid, address(this)));
    }

    /// @notice What a deliverer signs.
    function digest(bytes32[] memory entries) internal view returns (bytes32) {
        bytes32 list;
        assembly ("memory-safe") {
            list := keccak256(add(entries, 32), shl(5, mload(entries)))
        }
        return _typed(keccak256(abi.encode(FRAGMENTS_TYPE, list)));
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
    function signer(bytes32 hash, Signature calldata signature)
        internal
        pure
        returns (address who)
    {
        bytes32 vs = signature.vs;
        uint8 v = uint8(uint256(vs) >> 255) + 27;
        (who,,) = ECDSA.tryRecover(hash, v, signature.r, vs & bytes32(LOW_255_BITS));
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
