// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Delivery, IMarketplace, Signature, Terms} from "../interfaces/IMarketplace.sol";

/// @notice The large events of every sale, copied in one piece each.
/// @dev Byte for byte what `emit` writes (a test compares them), for 1,500 gas less a sale.
library Events {
    uint256 private constant TERMS_BYTES = 13 * 32;
    /// Where `index` stands in `Delivery`: after copyId and the sale.
    uint256 private constant DELIVERY_INDEX = 12 * 32;
    /// Where the offset of `fragment` stands in `Delivery`.
    uint256 private constant DELIVERY_FRAGMENT = 19 * 32;

    /// @notice Emits `IMarketplace.ItemPurchased` with the caller as the buyer.
    function itemPurchased(
        bytes32 copyId,
        address seller,
        bytes32 storeDigest,
        uint64 copy,
        Terms memory terms,
        bytes32[] calldata keys
    ) internal {
        bytes32 topic = IMarketplace.ItemPurchased.selector;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, storeDigest)
            mstore(add(free, 32), copy)
            mstore(add(free, 64), number())
            mstore(add(free, 96), timestamp())
            mcopy(add(free, 128), terms, TERMS_BYTES)
            // The offset of the keys: right behind the 18 words of the head.
            mstore(add(free, 544), 576)
            mstore(add(free, 576), keys.length)
            let size := shl(5, keys.length)
            calldatacopy(add(free, 608), keys.offset, size)
            log4(free, add(608, size), topic, copyId, seller, caller())
        }
    }

    /// @notice Emits `IMarketplace.FragmentsSigned`.
    function fragmentsSigned(
        address signer,
        Signature calldata signature,
        bytes32[] memory entries
    ) internal {
        bytes32 topic = IMarketplace.FragmentsSigned.selector;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, signature, 64)
            // The offset of the entries: right behind the 3 words of the head.
            mstore(add(free, 64), 96)
            let size := add(32, shl(5, mload(entries)))
            mcopy(add(free, 96), entries, size)
            log2(free, add(96, size), topic, signer)
        }
    }

    /// @notice Emits `IMarketplace.FragmentDelivered`.
    /// @dev The fragment must be known to have 80 bytes, and `index` and `deliverer` clean bits.
    function fragmentDelivered(Delivery calldata d, bytes32 copyId, address by) internal {
        bytes32 topic = IMarketplace.FragmentDelivered.selector;
        assembly ("memory-safe") {
            let free := mload(0x40)
            // index, deliverer, commitment, secretHash and salt stand together in `Delivery`.
            calldatacopy(free, add(d, DELIVERY_INDEX), 160)
            let fragment := add(add(d, calldataload(add(d, DELIVERY_FRAGMENT))), 32)
            // ephemeralKey and tag, whose word ends in 16 bytes of padding; then ciphertext.
            mstore(add(free, 192), 0)
            calldatacopy(add(free, 160), fragment, 48)
            calldatacopy(add(free, 224), add(fragment, 48), 32)
            log3(free, 256, topic, copyId, by)
        }
    }
}
