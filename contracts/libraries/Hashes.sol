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
    /// copyId, the sale, index, deliverer, commitment, secretHash, salt and freshKey.
    uint256 private constant DELIVERY_HEAD_BYTES = 18 * 32;

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
            uint256 purchaseTime,
            uint256 parts,
            uint256 threshold,
            uint256 fee
        )
    {
        assembly ("memory-safe") {
            seller := calldataload(sale)
            purchaseTime := calldataload(add(sale, 96))
            parts := calldataload(add(sale, 192))
            threshold := calldataload(add(sale, 224))
            fee := calldataload(add(sale, 256))
        }
    }

    /// @notice What one delivered part hashes to, as brought: whether there is such a sale is not
    /// known here, and only with it is the leaf a part's.
    /// @dev In one piece, for 900 gas less a part than by `abi.encode`. The head of `Delivery` is
    /// copied once: copyId, the 11 words of the sale, index to salt, freshKey.
    /// @return saleHash keccak256(abi.encode(d.sale)).
    /// @return partLeaf keccak256(keccak256(abi.encode(copy, index, deliverer, commitment, secretHash,
    /// salt))), with copy 0 where all copies share their parts.
    /// @return signedEntry keccak256(abi.encode(copyId, saleHash, leaf, freshKey, keccak256(fragment))).
    function part(Delivery calldata d, bytes calldata fragment)
        internal
        pure
        returns (bytes32 saleHash, bytes32 partLeaf, bytes32 signedEntry)
    {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, d, DELIVERY_HEAD_BYTES)
            saleHash := keccak256(add(free, 32), SALE_BYTES)
            // In front of index stands escrowHash, in its place goes copy x stock.
            mstore(add(free, 352), mul(mload(add(free, 160)), mload(add(free, 192))))
            mstore(0, keccak256(add(free, 352), 192))
            partLeaf := keccak256(0, 32)
            let freshKey := mload(add(free, 544))
            calldatacopy(add(free, 160), fragment.offset, fragment.length)
            mstore(add(free, 128), keccak256(add(free, 160), fragment.length))
            mstore(add(free, 32), saleHash)
            mstore(add(free, 64), partLeaf)
            mstore(add(free, 96), freshKey)
            signedEntry := keccak256(free, 160)
        }
    }

    /// @notice Keeps two hashes at place `i` of a list of pairs, which must be long enough.
    function setPair(bytes32[] memory pairs, uint256 i, bytes32 one, bytes32 other) internal pure {
        assembly ("memory-safe") {
            let at := add(add(pairs, 32), shl(6, i))
            mstore(at, one)
            mstore(add(at, 32), other)
        }
    }

    /// @notice The two hashes at place `i`.
    function pair(bytes32[] memory pairs, uint256 i)
        internal
        pure
        returns (bytes32 one, bytes32 other)
    {
        assembly ("memory-safe") {
            let at := add(add(pairs, 32), shl(6, i))
            one := mload(at)
            other := mload(add(at, 32))
        }
    }

    /// @notice The leaf in a piece of evidence; see `part`.
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

    /// @notice The leaf that was brought alone; see `part`.
    function leaf(Leaf calldata alone, Sale calldata sale) internal pure returns (bytes32) {
        return
            _leaf(
                sale, alone.index, alone.deliverer, alone.commitment, alone.secretHash, alone.salt
            );
    }

    /// @notice The entry of a piece of evidence; see `part`.
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
