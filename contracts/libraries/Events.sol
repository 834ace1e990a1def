// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Delivery, IMarketplace, Terms} from "../interfaces/IMarketplace.sol";

/// @notice The two large events of every sale, copied from the calldata in one piece each.
/// @dev Byte for byte what `emit` writes (a test compares them), for 1,500 gas less a sale.
library Events {
    uint256 private constant TERMS_BYTES = 12 * 32;
    /// Where `index` stands in `Delivery`: after copyId and the sale.
    uint256 private constant DELIVERY_INDEX = 11 * 32;
    /// Where `commitment` stands in `Delivery`, followed by `secretHash`.
    uint256 private constant DELIVERY_COMMITMENT = 13 * 32;

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
            mcopy(add(free, 64), terms, TERMS_BYTES)
            // The offset of the keys: right behind the 15 words of the head.
            mstore(add(free, 448), 480)
            mstore(add(free, 480), keys.length)
            let size := shl(5, keys.length)
            calldatacopy(add(free, 512), keys.offset, size)
            log4(free, add(512, size), topic, copyId, seller, caller())
        }
    }

    /// @notice Emits `IMarketplace.FragmentDelivered`.
    /// @dev The fragment must have 80 bytes, and `index` must have been read before.
    function fragmentDelivered(Delivery calldata d, address by) internal {
        bytes32 topic = IMarketplace.FragmentDelivered.selector;
        bytes32 copyId = d.copyId;
        bytes calldata fragment = d.fragment;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, calldataload(add(d, DELIVERY_INDEX)))
            calldatacopy(add(free, 32), add(d, DELIVERY_COMMITMENT), 64)
            // The offset of the fragment: right behind the 4 words of the head.
            mstore(add(free, 96), 128)
            mstore(add(free, 128), 80)
            // Its last word ends in 16 bytes of padding.
            mstore(add(free, 224), 0)
            calldatacopy(add(free, 160), fragment.offset, 80)
            log3(free, 256, topic, copyId, by)
        }
    }
}
