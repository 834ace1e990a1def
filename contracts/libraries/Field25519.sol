// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice The field of Curve25519, and the byte order of its keys.
library Field25519 {
    /// 2^255 - 19.
    uint256 internal constant P =
        0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;

    /// @notice 1 / x, or 0 for 0: x^(P - 2).
    /// @dev By squaring, without the precompile for powers: a chain may lack it, or answer nothing.
    function invert(uint256 x) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            result := 1
            for { let bit := shl(254, 1) } bit { bit := shr(1, bit) } {
                result := mulmod(result, result, P)
                if and(sub(P, 2), bit) { result := mulmod(result, x, P) }
            }
        }
    }

    /// @notice The 32 bytes in the other order: keys and scalars are little-endian (RFC 7748).
    function reverse(uint256 x) internal pure returns (uint256 y) {
        y = swapEach4(x);
        assembly ("memory-safe") {
            let m := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
            y := or(and(shr(32, y), m), shl(32, and(y, m)))
            m := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            y := or(and(shr(64, y), m), shl(64, and(y, m)))
            y := or(shr(128, y), shl(128, y))
        }
    }

    /// @notice Each of the eight groups of 4 bytes in the other order; the groups stay.
    function swapEach4(uint256 x) internal pure returns (uint256 y) {
        assembly ("memory-safe") {
            let m := 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff
            y := or(and(shr(8, x), m), shl(8, and(x, m)))
            m := 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff
            y := or(and(shr(16, y), m), shl(16, and(y, m)))
        }
    }
}
