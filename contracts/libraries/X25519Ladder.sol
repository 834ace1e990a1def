// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Field25519} from "./Field25519.sol";

/// @notice X25519 by the Montgomery ladder, as RFC 7748, section 5, writes it.
library X25519Ladder {
    /// @notice The u coordinate of k times a point; 0 for the point at infinity.
    /// @param p P, as in `Curve25519`.
    /// @param k Clamped scalar.
    /// @param u Coordinate of the point, below P.
    function multiply(uint256 p, uint256 k, uint256 u) internal pure returns (uint256) {
        uint256 x2 = 1;
        uint256 z2;
        assembly ("memory-safe") {
            let x3 := u
            let z3 := 1
            let swapped := 0
            // A clamped scalar is a multiple of 8: its last bit is 0, so the last swap is undone.
            for { let i := 255 } i {} {
                i := sub(i, 1)
                let bit := and(shr(i, k), 1)
                if xor(swapped, bit) {
                    let t := x2
                    x2 := x3
                    x3 := t
                    t := z2
                    z2 := z3
                    z3 := t
                }
                swapped := bit
                // Sums stay below 2 P; only products are reduced.
                let a := add(x2, z2)
                let b := add(x2, sub(p, z2))
                let cb := mulmod(add(x3, z3), b, p)
                let da := mulmod(add(x3, sub(p, z3)), a, p)
                let aa := mulmod(a, a, p)
                let bb := mulmod(b, b, p)
                let e := add(aa, sub(p, bb))
                x2 := mulmod(aa, bb, p)
                z2 := mulmod(e, add(aa, mulmod(e, 121665, p)), p)
                x3 := add(da, cb)
                x3 := mulmod(x3, x3, p)
                z3 := add(da, sub(p, cb))
                z3 := mulmod(u, mulmod(z3, z3, p), p)
            }
        }
        return mulmod(x2, Field25519.invert(z2), p);
    }
}
