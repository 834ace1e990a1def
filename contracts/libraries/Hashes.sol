// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Delivery, Escrow, Sale, Terms} from "../interfaces/IMarketplace.sol";

/// @notice Hashes of structs of static fields, taken straight from the calldata.
/// @dev ABI encoding lays such a struct out as its fields, one word each, in calldata as in
/// `abi.encode`. Fields with dirty high bits hash to something no honest encoder produces.
library Hashes {
    uint256 private constant TERMS_BYTES = 12 * 32;
    uint256 private constant SALE_BYTES = 10 * 32;
    uint256 private constant ESCROW_BYTES = 7 * 32;

    /// @notice keccak256(keccak256(abi.encode(terms))): the leaf of a catalogue tree.
    function leaf(Terms calldata terms) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, terms, TERMS_BYTES)
            mstore(0, keccak256(free, TERMS_BYTES))
            result := keccak256(0, 32)
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

    /// @notice The leaf of a part: keccak256(keccak256(abi.encode(copy, index, deliverer,
    /// commitment, secretHash, salt))), with copy 0 where all copies share their parts.
    function leaf(Delivery calldata d) internal pure returns (bytes32) {
        uint256 copy = d.sale.stock ? d.sale.copy : 0;
        return keccak256(
            bytes.concat(
                keccak256(
                    abi.encode(copy, d.index, d.deliverer, d.commitment, d.secretHash, d.salt)
                )
            )
        );
    }
}
