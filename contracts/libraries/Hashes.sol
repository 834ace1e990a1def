// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Delivery, Escrow, JunkEvidence, Leaf, Sale, Terms} from "../interfaces/IMarketplace.sol";

/// @notice Hashes of structs of static fields, taken where they lie.
/// @dev ABI encoding lays such a struct out as its fields, one word each; calldata and memory do,
/// too. Fields with dirty high bits hash to something no honest encoder produces.
library Hashes {
    uint256 private constant TERMS_BYTES = 13 * 32;
    uint256 private constant SALE_BYTES = 11 * 32;
    uint256 private constant ESCROW_BYTES = 7 * 32;
    /// Where `index` stands in `Delivery`: after copyId and the sale.
    uint256 private constant DELIVERY_INDEX = 12 * 32;

    /// @notice keccak256(keccak256(abi.encode(terms))): the leaf of a catalogue tree.
    function leaf(Terms memory terms) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            mstore(0, keccak256(terms, TERMS_BYTES))
            result := keccak256(0, 32)
        }
    }

    /// @notice keccak256(abi.encode(seller, itemId, copy)): the key of a sale.
    function copyId(address seller, bytes32 itemId, uint64 copy)
        internal
        pure
        returns (bytes32 result)
    {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, seller)
            mstore(add(free, 32), itemId)
            mstore(add(free, 64), copy)
            result := keccak256(free, 96)
        }
    }

    /// @notice keccak256(abi.encode(digest, root)): what a store keeps of its catalogue.
    function catalogue(bytes32 digest, bytes32 root) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            mstore(0, digest)
            mstore(32, root)
            result := keccak256(0, 64)
        }
    }

    /// @notice keccak256(abi.encode(sale)).
    function hash(Sale calldata sale) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, sale, SALE_BYTES)
            result := keccak256(free, SALE_BYTES)
        }
    }

    /// @notice keccak256(abi.encode(escrow)).
    function hash(Escrow calldata escrow) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, escrow, ESCROW_BYTES)
            result := keccak256(free, ESCROW_BYTES)
        }
    }

    /// @notice keccak256 of the keys, concatenated.
    function hash(bytes32[] calldata keys) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, keys.length)
            calldatacopy(free, keys.offset, size)
            result := keccak256(free, size)
        }
    }

    /// @notice What a delivery reads of a sale, without the checks of clean high bits.
    /// @dev Only for a sale whose hash was found in its word: such a sale is clean.
    function fields(Sale calldata sale)
        internal
        pure
        returns (
            address seller,
            uint256 purchaseBlock,
            uint256 purchaseTime,
            uint256 parts,
            uint256 threshold
        )
    {
        assembly ("memory-safe") {
            seller := calldataload(sale)
            purchaseBlock := calldataload(add(sale, 64))
            purchaseTime := calldataload(add(sale, 96))
            parts := calldataload(add(sale, 192))
            threshold := calldataload(add(sale, 224))
        }
    }

    /// @notice The leaf of a part: keccak256(keccak256(abi.encode(copy, index, deliverer,
    /// commitment, secretHash, salt))), with copy 0 where all copies share their parts.
    /// @dev Clean only for a sale whose hash was found in its word. Others have no entry in any
    /// evidence, and no part.
    function leaf(Delivery calldata d) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            // sale.copy times sale.stock.
            mstore(free, mul(calldataload(add(d, 160)), calldataload(add(d, 192))))
            // index, deliverer, commitment, secretHash and salt stand together in `Delivery`.
            calldatacopy(add(free, 32), add(d, DELIVERY_INDEX), 160)
            mstore(0, keccak256(free, 192))
            result := keccak256(0, 32)
        }
    }

    /// @notice As above, of evidence.
    function leaf(JunkEvidence calldata evidence, Sale calldata sale)
        internal
        pure
        returns (bytes32)
    {
        return _leaf(
            sale,
            evidence.index,
            evidence.deliverer,
            evidence.commitment,
            evidence.secretHash,
            evidence.salt
        );
    }

    /// @notice As above, of a leaf alone.
    function leaf(Leaf calldata part, Sale calldata sale) internal pure returns (bytes32) {
        return _leaf(sale, part.index, part.deliverer, part.commitment, part.secretHash, part.salt);
    }

    /// @notice What is signed of one part: keccak256(abi.encode(copyId, saleHash, part leaf,
    /// freshKey, keccak256(fragment))).
    function entry(
        bytes32 id,
        bytes32 saleHash,
        bytes32 partLeaf,
        bytes32 freshKey,
        bytes calldata fragment
    ) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, fragment.offset, fragment.length)
            let last := keccak256(free, fragment.length)
            mstore(free, id)
            mstore(add(free, 32), saleHash)
            mstore(add(free, 64), partLeaf)
            mstore(add(free, 96), freshKey)
            mstore(add(free, 128), last)
            result := keccak256(free, 160)
        }
    }

    function _leaf(
        Sale calldata sale,
        uint8 index,
        address deliverer,
        bytes32 commitment,
        bytes32 secretHash,
        bytes32 salt
    ) private pure returns (bytes32) {
        uint256 copy = sale.stock ? sale.copy : 0;
        bytes32 inner = keccak256(abi.encode(copy, index, deliverer, commitment, secretHash, salt));
        return keccak256(abi.encode(inner));
    }
}
