// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Field25519} from "./Field25519.sol";

/// @notice Makes the table of multiples of the base point that `Curve25519.isPublicKey` adds up.
/// @dev Only constructors use this. Entry i (0 to 127) is the sum of 8 x 2^(36 j) x B over the bits
/// j of i, in Edwards coordinates: (y + x) / 2, (y - x) / 2, d x y, each a big-endian word.
library CombTable {
    uint256 private constant P =
        0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;
    /// The base point of edwards25519 (RFC 8032), and d of its equation -x^2 + y^2 = 1 + d x^2 y^2.
    uint256 private constant BASE_X =
        0x216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a;
    uint256 private constant BASE_Y =
        0x6666666666666666666666666666666666666666666666666666666666666658;
    uint256 private constant D =
        0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3;
    uint256 private constant HALF =
        0x3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7;
    uint256 private constant ENTRIES = 128;
    uint256 private constant TEETH = 7;
    uint256 private constant SPACING = 36;

    /// Extended coordinates: x = X / Z, y = Y / Z, x y = T / Z.
    struct Point {
        uint256 x;
        uint256 y;
        uint256 z;
        uint256 t;
    }

    error TableNotMade();

    /// @notice Creates a contract whose code is a zero byte (which stops whoever calls it) and the
    /// table.
    function create() internal returns (address made) {
        bytes memory table = _encode(_points());
        // PUSH2 size, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN: returns what follows it.
        bytes memory code = abi.encodePacked(
            hex"61", uint16(table.length + 1), hex"80600a5f395ff3", hex"00", table
        );
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        if (made == address(0)) revert TableNotMade();
    }

    function _points() private pure returns (Point[] memory points) {
        points = new Point[](ENTRIES);
        points[0] = Point(0, 1, 1, 0);
        Point memory tooth = Point(BASE_X, BASE_Y, 1, mulmod(BASE_X, BASE_Y, P));
        for (uint256 i; i < 3; i++) {
            tooth = _add(tooth, tooth);
        }
        for (uint256 j; j < TEETH; j++) {
            uint256 size = 1 << j;
            for (uint256 i; i < size; i++) {
                points[size + i] = _add(points[i], tooth);
            }
            for (uint256 i; i < SPACING; i++) {
                tooth = _add(tooth, tooth);
            }
        }
    }

    /// The complete addition of RFC 8032, section 5.1.4; it doubles, too.
    function _add(Point memory a, Point memory b) private pure returns (Point memory) {
        uint256 low = mulmod(a.y + P - a.x, b.y + P - b.x, P);
        uint256 high = mulmod(a.y + a.x, b.y + b.x, P);
        uint256 c = mulmod(mulmod(a.t, b.t, P), 2 * D, P);
        uint256 d = mulmod(a.z, 2 * b.z, P);
        uint256 e = high + P - low;
        uint256 f = d + P - c;
        return Point(
            mulmod(e, f, P),
            mulmod(d + c, high + low, P),
            mulmod(f, d + c, P),
            mulmod(e, high + low, P)
        );
    }

    /// Divides all by their Z with one inversion (Montgomery's trick).
    function _encode(Point[] memory points) private pure returns (bytes memory table) {
        uint256[] memory products = new uint256[](ENTRIES);
        uint256 product = 1;
        for (uint256 i; i < ENTRIES; i++) {
            products[i] = product;
            product = mulmod(product, points[i].z, P);
        }
        uint256 inverse = Field25519.invert(product);
        table = new bytes(96 * ENTRIES);
        for (uint256 i = ENTRIES; i > 0;) {
            Point memory point = points[--i];
            uint256 perZ = mulmod(inverse, products[i], P);
            inverse = mulmod(inverse, point.z, P);
            uint256 x = mulmod(point.x, perZ, P);
            uint256 y = mulmod(point.y, perZ, P);
            uint256 sum = mulmod(y + x, HALF, P);
            uint256 difference = mulmod(y + P - x, HALF, P);
            uint256 product2 = mulmod(mulmod(x, y, P), D, P);
            assembly ("memory-safe") {
                let entry := add(add(table, 32), mul(i, 96))
                mstore(entry, sum)
                mstore(add(entry, 32), difference)
                mstore(add(entry, 64), product2)
            }
        }
    }
}
