// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Which 32 bytes are good X25519 public keys (RFC 7748, little-endian).
/// @dev The five canonical encodings of points of low order are those of libsodium's blocklist
/// (`crypto_scalarmult_curve25519`): 0, 1, p - 1 and the two of order 8, where p = 2^255 - 19.
library X25519Key {
    /// The 32 bytes read as a big-endian word: the first byte of the key is the highest.
    uint256 private constant TOP_BIT = 0x80;
    uint256 private constant TAIL = ~uint256(0xff << 248);
    /// Bytes 1 to 31 of p, the first byte being 0xed.
    uint256 private constant P_TAIL =
        0x00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f;
    uint256 private constant ORDER_8_A =
        0xe0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800;
    uint256 private constant ORDER_8_B =
        0x5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157;

    /// @notice Whether `key` is canonical (below p) and not of low order.
    function isValid(bytes32 key) internal pure returns (bool) {
        uint256 word = uint256(key);
        if (word & TOP_BIT != 0) return false;
        uint256 tail = word & TAIL;
        // p - 1 = ec ff .. 7f is of order 2 (its twist), p = ed ff .. 7f and up are not canonical.
        if (tail == P_TAIL && word >> 248 >= 0xec) return false;
        if (tail == 0 && word >> 248 <= 1) return false;
        return word != ORDER_8_A && word != ORDER_8_B;
    }
}
