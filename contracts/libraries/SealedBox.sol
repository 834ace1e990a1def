// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IProofs} from "../interfaces/IProofs.sol";
import {Field25519} from "./Field25519.sol";

/// @notice Opens sealed boxes of 32 bytes as libsodium's `crypto_box_seal_open` does, given the
/// shared point: XSalsa20-Poly1305 under HSalsa20(point, 0), with the nonce BLAKE2b-24(ephemeral
/// key || key). One Salsa20 block is enough: its first half is the key of Poly1305, its second half
/// covers the 32 bytes.
/// @dev Salsa20's state of 16 words lies in 4 variables of 4 lanes of 64 bits, whose lower 32 bits
/// count: the words 0 5 10 15, 4 9 14 3, 8 13 2 7, 12 1 6 11, the first in the highest lane. So a
/// quarter of a round works on all columns at once, and rows become columns by moving whole lanes.
library SealedBox {
    /// The lower halves of the lanes.
    uint256 private constant LANES =
        0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant WORD = 0xffffffff;
    /// "expand 32-byte k", its four words.
    uint256 private constant SIGMA =
        0x0000000061707865000000003320646e0000000079622d32000000006b206574;

    /// @notice Opens a box.
    /// @param point The shared point's u coordinate, below 2^255 - 19.
    /// @param key Whose box it is, as the sealer saw it.
    /// @param ephemeral The first 32 bytes of the box.
    /// @param tag The 16 after them.
    /// @param body The last 32.
    /// @return opened Whether the tag is right; `plain` is meaningless if not.
    function open(uint256 point, bytes32 key, bytes32 ephemeral, bytes16 tag, bytes32 body)
        internal
        view
        returns (bool opened, bytes32 plain)
    {
        bytes32 nonce = _nonce(ephemeral, key);
        bytes32 boxKey = _hsalsa20(bytes32(Field25519.reverse(point)), 0);
        bytes32 subKey = _hsalsa20(boxKey, nonce);
        // The last 8 bytes of the nonce, and the block's number 0.
        bytes32 rest = bytes32(uint256(nonce) << 128) & bytes32(bytes8(type(uint64).max));
        (uint256 macKey, uint256 stream) = _block(subKey, rest);
        uint256 theirs = Field25519.reverse(uint256(bytes32(tag)));
        return (_poly1305(uint256(body), macKey) == theirs, bytes32(uint256(body) ^ stream));
    }

    /// BLAKE2b with 24 bytes of output over 64 bytes, by EIP-152: rounds (12) || state (the IV with
    /// the parameters 24 bytes, no key, xored in) || block of 128 bytes || offset 64 || final. Only
    /// the first 24 bytes of the answer count.
    function _nonce(bytes32 ephemeral, bytes32 key) private view returns (bytes32 nonce) {
        bool answered;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, 12)
            mstore(
                add(free, 32),
                0x10c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5
            )
            mstore(
                add(free, 64),
                0xd182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b
            )
            mstore(add(free, 96), ephemeral)
            mstore(add(free, 128), key)
            mstore(add(free, 160), 0)
            mstore(add(free, 192), 0)
            mstore(
                add(free, 224),
                0x4000000000000000000000000000000001000000000000000000000000000000
            )
            answered := staticcall(gas(), 9, add(free, 28), 213, free, 64)
            // An address without code answers nothing, and successfully.
            answered := and(answered, eq(returndatasize(), 64))
            nonce := mload(free)
        }
        if (!answered) revert IProofs.NoBlake2b();
    }

    /// HSalsa20 of the first 16 bytes of `input`: the words 0 5 10 15 6 7 8 9 after 20 rounds.
    function _hsalsa20(bytes32 key, bytes32 input) private pure returns (bytes32) {
        (uint256 a, uint256 b, uint256 c, uint256 d) = _setUp(key, input);
        (a, b, c, d) = _rounds(a, b, c, d);
        uint256 z = (a & WORD << 192) << 32 | (a & WORD << 128) << 64 | (a & WORD << 64) << 96
            | (a & WORD) << 128 | (d & WORD << 64) << 32 | (c & WORD) << 64 | (c & WORD << 192)
            >> 160 | (b & WORD << 128) >> 128;
        return bytes32(Field25519.swapEach4(z));
    }

    /// One Salsa20 block of 64 bytes, in two words.
    /// @param input 8 bytes of nonce and 8 of the block's number, in the upper half.
    function _block(bytes32 key, bytes32 input)
        private
        pure
        returns (uint256 first, uint256 second)
    {
        (uint256 a0, uint256 b0, uint256 c0, uint256 d0) = _setUp(key, input);
        (uint256 a, uint256 b, uint256 c, uint256 d) = _rounds(a0, b0, c0, d0);
        assembly ("memory-safe") {
            a := and(add(a, a0), LANES)
            b := and(add(b, b0), LANES)
            c := and(add(c, c0), LANES)
            d := and(add(d, d0), LANES)
            // Pairs that stand side by side in the block, in side by side lanes: 0 1 10 11,
            // 8 9 2 3, 4 5 14 15, 12 13 6 7. Then each pair into one lane.
            let m := 0x00000000ffffffff000000000000000000000000ffffffff0000000000000000
            let e := xor(d, and(xor(a, d), m))
            let f := xor(b, and(xor(c, b), m))
            let g := xor(a, and(xor(b, a), m))
            let h := xor(c, and(xor(d, c), m))
            m := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            e := and(or(e, shr(32, e)), m)
            f := and(or(f, shr(32, f)), m)
            g := and(or(g, shr(32, g)), m)
            h := and(or(h, shr(32, h)), m)
            // 0 1, 2 3, 4 5, 6 7, and 8 9, 10 11, 12 13, 14 15.
            m := 0xffffffffffffffff00000000000000000000000000000000ffffffffffffffff
            first := or(or(and(or(shl(64, e), h), m), shl(128, f)), shr(64, g))
            second := or(or(and(or(shl(64, f), g), m), shl(128, e)), shr(64, h))
        }
        first = Field25519.swapEach4(first);
        second = Field25519.swapEach4(second);
    }

    /// Salsa20's state: the words 0, 5, 10, 15 are constants, 1 to 4 and 11 to 14 the key, 6 to 9
    /// the input; all little-endian.
    function _setUp(bytes32 key, bytes32 input)
        private
        pure
        returns (uint256 a, uint256 b, uint256 c, uint256 d)
    {
        // k0 .. k7 from the highest 32 bits to the lowest; n0 .. n3 in the lower half.
        uint256 k = Field25519.swapEach4(uint256(key));
        uint256 n = Field25519.swapEach4(uint256(input)) >> 128;
        a = SIGMA;
        // k3 n3 k7 k2
        b = k << 64 & WORD << 192 | (n & WORD) << 128 | (k & WORD) << 64 | k >> 160 & WORD;
        // n2 k6 k1 n1
        c = n << 160 & WORD << 192 | k << 96 & WORD << 128 | k >> 128 & WORD << 64 | n >> 64 & WORD;
        // k5 k0 n0 k4
        d = k << 128 & WORD << 192 | k >> 96 & WORD << 128 | n >> 32 & WORD << 64 | k >> 96 & WORD;
    }

    /// 20 rounds. A word times 2^32 + 1 stands in its lane twice, so that shifting it right by
    /// 32 - r rotates it left by r.
    function _rounds(uint256 a, uint256 b, uint256 c, uint256 d)
        private
        pure
        returns (uint256, uint256, uint256, uint256)
    {
        assembly ("memory-safe") {
            for { let i := 20 } i { i := sub(i, 1) } {
                b := xor(b, and(shr(25, mul(and(add(a, d), LANES), 0x100000001)), LANES))
                c := xor(c, and(shr(23, mul(and(add(b, a), LANES), 0x100000001)), LANES))
                d := xor(d, and(shr(19, mul(and(add(c, b), LANES), 0x100000001)), LANES))
                a := xor(a, and(shr(14, mul(and(add(d, c), LANES), 0x100000001)), LANES))
                // Rows become columns: b and d change places, b by three lanes, d by one, c by two.
                let t := or(shl(192, b), shr(64, b))
                b := or(shl(64, d), shr(192, d))
                d := t
                c := or(shl(128, c), shr(128, c))
            }
        }
        return (a, b, c, d);
    }

    /// Poly1305 (RFC 8439, section 2.5) of 32 bytes.
    function _poly1305(uint256 message, uint256 key) private pure returns (uint256 tag) {
        // Little-endian, so the first 16 bytes are in the lower half.
        uint256 rs = Field25519.reverse(key);
        uint256 blocks = Field25519.reverse(message);
        assembly ("memory-safe") {
            let p := 0x3fffffffffffffffffffffffffffffffb
            let low := 0xffffffffffffffffffffffffffffffff
            let top := 0x100000000000000000000000000000000
            let r := and(rs, 0x0ffffffc0ffffffc0ffffffc0fffffff)
            tag := mulmod(or(and(blocks, low), top), r, p)
            tag := mulmod(add(tag, or(shr(128, blocks), top)), r, p)
            tag := and(add(tag, shr(128, rs)), low)
        }
    }
}
