// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Which 32 bytes are good X25519 public keys (RFC 7748, little-endian).
/// @dev The five canonical encodings of points of low order are those of libsodium's blocklist
/// (`crypto_scalarmult_curve25519`): 0, 1, p - 1 and the two of order 8, where p = 2^255 - 19.
library X25519Key {
    /// The 32 bytes read as a big-endian word: the first byte of the key is the highest.
    uint256 private constant TOP_BIT = 0x80;
    uint256 private constant TAIL =
        0x00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff;
    /// Bytes 1 to 31 of p, the first byte being 0xed.
    uint256 private constant P_TAIL =
        0x00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f;
    uint256 private constant ORDER_8_A =
        0xe0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800;
    uint256 private constant ORDER_8_B =
        0x5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157;

    /// @notice Whether `key` is canonical (below p) and not of low order.
    /// @dev Without branches: a purchase checks a key per part.
    function isValid(bytes32 key) internal pure returns (bool valid) {
        assembly ("memory-safe") {
            let tail := and(key, TAIL)
            let first := byte(0, key)
            // p - 1 = ec ff .. 7f is of low order; p = ed ff .. 7f and up are not canonical.
            let bad := and(eq(tail, P_TAIL), gt(first, 0xeb))
            bad := or(bad, and(iszero(tail), lt(first, 2)))
            bad := or(bad, or(eq(key, ORDER_8_A), eq(key, ORDER_8_B)))
            valid := iszero(or(bad, and(key, TOP_BIT)))
        }
    }
}
