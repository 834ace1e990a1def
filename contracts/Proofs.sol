// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Hint} from "./interfaces/IMarketplace.sol";
import {IProofs} from "./interfaces/IProofs.sol";
import {CombTable} from "./libraries/CombTable.sol";
import {Curve25519} from "./libraries/Curve25519.sol";
import {Field25519} from "./libraries/Field25519.sol";
import {SealedBox} from "./libraries/SealedBox.sol";
import {X25519Key} from "./libraries/X25519Key.sol";
import {X25519Ladder} from "./libraries/X25519Ladder.sol";

/// @title Verifier of evidence
/// @dev Hints make it cheap: instead of walking a ladder it checks what the prover claims. None is
/// trusted; see `Curve25519`.
contract Proofs is IProofs {
    uint256 private constant FRAGMENT_BYTES = 80;
    uint8 private constant HALF_SIZE = 0;
    uint8 private constant OFF_CURVE = 1;
    uint8 private constant LADDER = 2;
    /// 2^256 - 189, the prime of the shares.
    uint256 private constant SHARE_P = type(uint256).max - 188;

    /// RFC 7748, section 5: the last three bits off, and bit 254 as the highest.
    uint256 private constant CLAMP_AND = 2 ** 254 - 8;
    uint256 private constant CLAMP_OR = 2 ** 254;

    /// Holds the multiples of the base point as its code.
    address private immutable TABLE;
    /// No constant, so that the compiler does not compute it anew; see `Curve25519`.
    uint256 private immutable P = Field25519.P;

    /// A fragment, taken apart.
    struct Box {
        bytes32 ephemeral;
        bytes16 tag;
        bytes32 body;
    }

    /// @notice Makes the table, opens one good box and refuses one bad one.
    constructor() {
        TABLE = CombTable.create();
        _checkChain();
    }

    /// @inheritdoc IProofs
    function isJunk(
        bytes32 key,
        bytes32 secret,
        bytes calldata fragment,
        bytes32 commitment,
        Hint calldata hint
    ) external view returns (bool) {
        // No signature over anything else than 80 bytes is an honest deliverer's.
        if (fragment.length != FRAGMENT_BYTES) return true;
        Box memory box =
            Box(bytes32(fragment[0:32]), bytes16(fragment[32:48]), bytes32(fragment[48:80]));
        return _isJunk(key, secret, box, commitment, hint);
    }

    /// @inheritdoc IProofs
    /// @dev At 0 the polynomial is the sum of share_i x product of x_j / (x_j - x_i) over j != i.
    /// The sum is kept as one fraction, and divided once, by Fermat and without the precompile for
    /// powers: a chain may lack it, or answer nothing.
    function combine(uint8[] calldata indexes, bytes32[] calldata shares)
        external
        pure
        returns (bool found, bytes32 secret)
    {
        if (indexes.length != shares.length) revert MalformedShares();
        uint256 numerator;
        uint256 denominator = 1;
        for (uint256 i; i < shares.length; i++) {
            uint256 above = uint256(shares[i]);
            if (above >= SHARE_P) return (false, 0);
            uint256 below = 1;
            uint256 x = uint256(indexes[i]) + 1;
            for (uint256 j; j < shares.length; j++) {
                if (i == j) continue;
                uint256 other = uint256(indexes[j]) + 1;
                if (other == x) revert MalformedShares();
                above = mulmod(above, other, SHARE_P);
                below = mulmod(below, other > x ? other - x : SHARE_P - (x - other), SHARE_P);
            }
            numerator = addmod(
                mulmod(numerator, below, SHARE_P), mulmod(above, denominator, SHARE_P), SHARE_P
            );
            denominator = mulmod(denominator, below, SHARE_P);
        }
        return (true, bytes32(mulmod(numerator, _invert(denominator), SHARE_P)));
    }

    function _isJunk(
        bytes32 key,
        bytes32 secret,
        Box memory box,
        bytes32 commitment,
        Hint memory hint
    ) private view returns (bool) {
        if (!X25519Key.isValid(box.ephemeral)) return true;
        uint256 u = Field25519.reverse(uint256(box.ephemeral));
        if (hint.kind == OFF_CURVE) {
            if (!Curve25519.isOffCurve(u, hint.vE)) revert WrongHint();
            return true;
        }
        uint256 k = Field25519.reverse(uint256(secret)) & CLAMP_AND | CLAMP_OR;
        if (!Curve25519.isPublicKey(P, TABLE, k, Field25519.reverse(uint256(key)))) {
            revert WrongSecret();
        }
        uint256 point = hint.uQ;
        if (hint.kind == HALF_SIZE) {
            if (!Curve25519.isMultiple(P, k, u, hint.vE, point, hint.vQ, hint.w)) {
                revert WrongHint();
            }
        } else if (hint.kind == LADDER) {
            point = X25519Ladder.multiply(P, k, u);
        } else {
            revert WrongHint();
        }
        (bool opened, bytes32 share) = SealedBox.open(point, key, box.ephemeral, box.tag, box.body);
        return !opened || keccak256(abi.encode(share)) != commitment;
    }

    /// One box that libsodium sealed, and the same with one bit of its tag changed: the chain has
    /// what it takes, and no accident makes junk of a good box. (The secret is the bytes 1 to 32,
    /// the ephemeral one 33 to 64, the share 65 to 96.)
    function _checkChain() private view {
        bytes32 key = 0x07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c;
        bytes32 secret = 0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20;
        Box memory box = Box(
            0x5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b,
            0x608c56e7dd5e0b1099938adc966b2eff,
            0x039add4fc5180b3f219eb1a161838b1b0477c56abf42719d9efe8ffb36749f45
        );
        bytes32 share = 0x4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60;
        Hint memory hint = Hint(
            HALF_SIZE,
            0x483aec02cc5dc8140e2d260895728c3add8bf35c2408b7017fe443a23d2642b8,
            0x779e1521c41f39e3cd64956a8bf887790adcb5e9d14cdcb2b158f0c8c3c74da8,
            0x6be48ef429119f0e079167f4fc3842fe9ccdf2e8f35097f8d94cabe9b85aecf1,
            0x5a8846ccd8f69edf5aa7e99031e32f5aa3217cf705ba562379b0e8a7634860e7
        );
        bytes32 commitment = keccak256(abi.encode(share));
        if (_isJunk(key, secret, box, commitment, hint)) revert NoBlake2b();
        box.tag ^= bytes16(uint128(1));
        if (!_isJunk(key, secret, box, commitment, hint)) revert NoBlake2b();
    }

    /// x^(SHARE_P - 2).
    function _invert(uint256 x) private pure returns (uint256 result) {
        result = 1;
        for (uint256 bit = 1 << 255; bit != 0; bit >>= 1) {
            result = mulmod(result, result, SHARE_P);
            if ((SHARE_P - 2) & bit != 0) result = mulmod(result, x, SHARE_P);
        }
    }
}
