// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @notice Checks of what a prover claims about points of Curve25519, v^2 = u^3 + A u^2 + u.
/// @dev Computed on the curve's Edwards form -x^2 + y^2 = 1 + d x^2 y^2 (x = c u / v, y = (u - 1) /
/// (u + 1), c^2 = -(A + 2)), whose addition has no exceptions, in extended coordinates (x = X / Z,
/// y = Y / Z, x y = T / Z). Sums are left below 2 P, and products reduced. Its group has 8 L
/// elements, L prime. A clamped scalar k is 8 k', with 2^251 <= k' < 2^252 < L.
///
/// The long loops take P as an argument `p` that the compiler does not know, such as an immutable: a
/// constant it computes anew at each use, from shorter ones. 113,500 gas a proof instead of 132,900.
library Curve25519 {
    uint256 private constant P =
        0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;
    uint256 private constant L =
        0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed;
    uint256 private constant A = 486662;
    /// 2 d and c of the Edwards form.
    uint256 private constant D2 =
        0x2406d9dc56dffce7198e80f2eef3d13000e0149a8283b156ebd69b9426b2f159;
    uint256 private constant C =
        0x0f26edf460a006bbd27b08dc03fc4f7ec5a1d3d14b7d1a82cc6e04aaff457e06;
    uint256 private constant TABLE_BYTES = 128 * 96;
    /// Bits 0, 36, .. 216, and a factor that takes bit 36 j to bit 216 + j: no two of the products'
    /// bits meet, so nothing carries.
    uint256 private constant TEETH =
        0x0000000001000000001000000001000000001000000001000000001000000001;
    uint256 private constant GATHER =
        0x0000000001000000002000000004000000008000000010000000020000000040;

    /// @notice Whether `u` is no point's coordinate, by a witness: 2 w^2 = u^3 + A u^2 + u, not 0.
    /// @dev 2 is not a square modulo P; so neither is 2 w^2.
    function isOffCurve(uint256 u, uint256 w) internal pure returns (bool) {
        uint256 right = _right(u);
        return right != 0 && mulmod(mulmod(w, w, P), 2, P) == right;
    }

    /// @notice Whether (u, v) is a point with u canonical, other than the one of order 2.
    function isPoint(uint256 u, uint256 v) internal pure returns (bool) {
        return u < P && mulmod(v, v, P) == _right(u) && mulmod(v, u + 1, P) != 0;
    }

    function _right(uint256 u) private pure returns (uint256) {
        return mulmod(u, addmod(mulmod(u, addmod(u, A, P), P), 1, P), P);
    }

    /// @notice Whether `u` is the canonical coordinate of k times the base point.
    /// @dev k' times 8 B: 36 doublings, and in each of the 36 columns of k', written as 7 rows, one
    /// addition of a table's entry. The sum is never the point at infinity (8 L > k > 0, and k is a
    /// multiple of 8), so that u = (Z + Y) / (Z - Y).
    /// @param p P.
    /// @param table Contract that `CombTable.create` made.
    /// @param k Clamped scalar.
    function isPublicKey(uint256 p, address table, uint256 k, uint256 u)
        internal
        view
        returns (bool found)
    {
        assembly ("memory-safe") {
            let entries := mload(0x40)
            extcodecopy(table, entries, 1, TABLE_BYTES)
            k := shr(3, k)
            let x := 0
            let y := 1
            let z := 1
            for { let column := 36 } column {} {
                column := sub(column, 1)
                // Double. All four come out negated, which is the same point.
                let g := mulmod(add(x, y), add(y, sub(p, x)), p)
                let h := add(g, mulmod(add(x, x), x, p))
                let e := mulmod(add(x, x), y, p)
                let f := add(mulmod(add(z, z), z, p), sub(p, g))
                let t := mulmod(e, h, p)
                x := mulmod(e, f, p)
                y := mulmod(g, h, p)
                z := mulmod(f, g, p)
                // Add the entry of this column's 7 bits: (y + x) / 2, (y - x) / 2, d x y.
                let digits := shr(216, mul(and(shr(column, k), TEETH), GATHER))
                let entry := add(entries, mul(and(digits, 0x7f), 96))
                let a := mulmod(add(y, sub(p, x)), mload(add(entry, 32)), p)
                let b := mulmod(add(y, x), mload(entry), p)
                t := mulmod(t, mload(add(entry, 64)), p)
                f := add(z, sub(p, t))
                x := mulmod(add(b, sub(p, a)), f, p)
                y := mulmod(add(z, t), add(b, a), p)
                z := mulmod(add(z, t), f, p)
            }
            found := and(lt(u, p), eq(mulmod(u, add(z, sub(p, y)), p), addmod(z, y, p)))
        }
    }

    /// @notice Whether `uQ` is the canonical coordinate of k times the point (uE, vE), shown by two
    /// scalars of half the size: a E8 + b Q = 0, where E8 = 8 (uE, vE) and a = -+b k' mod L.
    /// @dev That a E8 + b Q = 0 makes b (Q -+ k' E8) = 0; b is odd and, below 2^128, no multiple of
    /// L: no element but 0 vanishes times b, so Q = +-k' E8 = +-k (uE, vE). The two have one u. An
    /// even b would leave Q free by a point of low order; b = 0, altogether.
    /// @param p P.
    /// @param k Clamped scalar.
    /// @param w 64 digits of 4 bits: two bits of a, below two bits of b.
    function isMultiple(
        uint256 p,
        uint256 k,
        uint256 uE,
        uint256 vE,
        uint256 uQ,
        uint256 vQ,
        uint256 w
    ) internal pure returns (bool) {
        if (!isPoint(uE, vE) || !isPoint(uQ, vQ)) return false;
        uint256 a = _everySecondPair(w);
        uint256 b = _everySecondPair(w >> 2);
        uint256 m = mulmod(b, k >> 3, L);
        if (b & 1 == 0 || (m != a && m + a != L)) return false;
        return _sumIsZero(p, _multiples(uE, vE, uQ, vQ), w);
    }

    /// The pairs of bits 0-1, 4-5, 8-9, .. put together.
    function _everySecondPair(uint256 x) private pure returns (uint256 y) {
        y = x & 0x3333333333333333333333333333333333333333333333333333333333333333;
        y = (y | y >> 2) & 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f;
        y = (y | y >> 4) & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        y = (y | y >> 8) & 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        y = (y | y >> 16) & 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
        y = (y | y >> 32) & 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
        y = (y | y >> 64) & 0xffffffffffffffffffffffffffffffff;
    }

    /// The 16 sums i E8 + j Q (i, j from 0 to 3), at 128 (i + 4 j), each as Y + X, Y - X, 2 d T,
    /// 2 Z: what `_sumIsZero` adds. The points they are made of stand behind, as X, Y, Z, T.
    function _multiples(uint256 uE, uint256 vE, uint256 uQ, uint256 vQ)
        private
        pure
        returns (uint256 table)
    {
        assembly ("memory-safe") {
            function put(at, x, y, z, t) {
                mstore(at, add(y, x))
                mstore(add(at, 32), add(y, sub(P, x)))
                mstore(add(at, 64), mulmod(t, D2, P))
                mstore(add(at, 96), add(z, z))
            }
            function keep(at, x, y, z, t) {
                mstore(at, x)
                mstore(add(at, 32), y)
                mstore(add(at, 64), z)
                mstore(add(at, 96), t)
            }
            // x = c u / v, y = (u - 1) / (u + 1), over Z = v (u + 1), which is not 0.
            function fromCurve(u, v) -> x, y, z, t {
                let cu := mulmod(u, C, P)
                x := mulmod(cu, add(u, 1), P)
                y := mulmod(add(u, sub(P, 1)), v, P)
                z := mulmod(v, add(u, 1), P)
                t := mulmod(cu, add(u, sub(P, 1)), P)
            }
            function double(x, y, z) -> x2, y2, z2, t2 {
                let g := mulmod(add(x, y), add(y, sub(P, x)), P)
                let h := add(g, mulmod(add(x, x), x, P))
                let e := mulmod(add(x, x), y, P)
                let f := add(mulmod(add(z, z), z, P), sub(P, g))
                x2 := mulmod(e, f, P)
                y2 := mulmod(g, h, P)
                z2 := mulmod(f, g, P)
                t2 := mulmod(e, h, P)
            }
            // The kept point plus the one that was put at `other`.
            function plus(kept, other) -> x, y, z, t {
                let px := mload(kept)
                let py := mload(add(kept, 32))
                let a := mulmod(add(py, sub(P, px)), mload(add(other, 32)), P)
                let b := mulmod(add(py, px), mload(other), P)
                let c := mulmod(mload(add(kept, 96)), mload(add(other, 64)), P)
                let d := mulmod(mload(add(kept, 64)), mload(add(other, 96)), P)
                let e := add(b, sub(P, a))
                let f := add(d, sub(P, c))
                let h := add(b, a)
                let g := add(d, c)
                x := mulmod(e, f, P)
                y := mulmod(g, h, P)
                z := mulmod(f, g, P)
                t := mulmod(e, h, P)
            }
            table := mload(0x40)
            let kept := add(table, 0x800)
            mstore(0x40, add(table, 0xa00))
            put(table, 0, 1, 1, 0)
            {
                let x, y, z, t := fromCurve(uE, vE)
                x, y, z, t := double(x, y, z)
                x, y, z, t := double(x, y, z)
                x, y, z, t := double(x, y, z)
                put(add(table, 0x80), x, y, z, t)
                keep(kept, x, y, z, t)
                x, y, z, t := double(x, y, z)
                put(add(table, 0x100), x, y, z, t)
                keep(add(kept, 0x80), x, y, z, t)
                x, y, z, t := plus(add(kept, 0x80), add(table, 0x80))
                put(add(table, 0x180), x, y, z, t)
                keep(add(kept, 0x100), x, y, z, t)
                x, y, z, t := fromCurve(uQ, vQ)
                put(add(table, 0x200), x, y, z, t)
                x, y, z, t := double(x, y, z)
                put(add(table, 0x400), x, y, z, t)
                keep(add(kept, 0x180), x, y, z, t)
                x, y, z, t := plus(add(kept, 0x180), add(table, 0x200))
                put(add(table, 0x600), x, y, z, t)
            }
            for { let row := add(table, 0x200) } lt(row, kept) { row := add(row, 0x200) } {
                for { let i := 0 } lt(i, 0x180) { i := add(i, 0x80) } {
                    let x, y, z, t := plus(add(kept, i), row)
                    put(add(add(row, 0x80), i), x, y, z, t)
                }
            }
        }
    }

    /// Whether a E8 + b Q is the neutral element (0, 1): four times what was, plus the sum that the
    /// next digit of `w` names, from the highest digit on.
    /// @dev `double` is a function so that few variables live at a time: 12,300 gas less than in
    /// line, where the compiler keeps some in memory.
    function _sumIsZero(uint256 p, uint256 table, uint256 w) private pure returns (bool zero) {
        assembly ("memory-safe") {
            function double(q, x, y, z) -> x2, y2, z2, t2 {
                let g := mulmod(add(x, y), add(y, sub(q, x)), q)
                let h := add(g, mulmod(add(x, x), x, q))
                let e := mulmod(add(x, x), y, q)
                let f := add(mulmod(add(z, z), z, q), sub(q, g))
                x2 := mulmod(e, f, q)
                y2 := mulmod(g, h, q)
                z2 := mulmod(f, g, q)
                t2 := mulmod(e, h, q)
            }
            let x := 0
            let y := 1
            let z := 1
            let t := 0
            for { let i := 64 } i { i := sub(i, 1) } {
                x, y, z, t := double(p, x, y, z)
                x, y, z, t := double(p, x, y, z)
                let entry := add(table, and(shr(245, w), 0x780))
                w := shl(4, w)
                let a := mulmod(add(y, sub(p, x)), mload(add(entry, 32)), p)
                let b := mulmod(add(y, x), mload(entry), p)
                let c := mulmod(t, mload(add(entry, 64)), p)
                let d := mulmod(z, mload(add(entry, 96)), p)
                z := add(d, sub(p, c))
                x := mulmod(add(b, sub(p, a)), z, p)
                y := mulmod(add(d, c), add(b, a), p)
                z := mulmod(add(d, c), z, p)
            }
            zero := and(iszero(x), eq(y, z))
        }
    }
}
