// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A contract wallet: acts on its owner's signature (ERC-1271), in batches, brought along
/// by anyone who pays the gas.
contract SmartAccount is IERC1271 {
    struct Call {
        address to;
        uint256 value;
        bytes data;
    }

    address private immutable OWNER;
    uint256 public nonce;

    error BadSignature();

    constructor(address owner) {
        OWNER = owner;
    }

    receive() external payable {}

    function digest(Call[] calldata calls) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), nonce, calls));
    }

    function execute(Call[] calldata calls, bytes calldata signature) external {
        if (isValidSignature(digest(calls), signature) != IERC1271.isValidSignature.selector) {
            revert BadSignature();
        }
        ++nonce;
        for (uint256 i; i < calls.length; ++i) {
            (bool good, bytes memory answer) =
                calls[i].to.call{value: calls[i].value}(calls[i].data);
            if (good) continue;
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function isValidSignature(bytes32 hash, bytes memory signature) public view returns (bytes4) {
        (address signer, ECDSA.RecoverError problem,) = ECDSA.tryRecover(hash, signature);
        bool good = problem == ECDSA.RecoverError.NoError && signer == OWNER;
        return good ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
