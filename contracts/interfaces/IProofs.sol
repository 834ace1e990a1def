// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Hint} from "./IMarketplace.sol";

/// @title Verifier of evidence
/// @notice Opens sealed boxes as libsodium does (`crypto_box_seal_open`: X25519, BLAKE2b,
/// XSalsa20-Poly1305), and interpolates shares. It keeps no state and no money. A failed inner step
/// (a wrong hint, a chain without the BLAKE2b precompile) reverts and never counts as junk.
interface IProofs {
    /// @notice The secret is not that of the key.
    error WrongSecret();
    /// @notice The hint does not fit the key and the fragment.
    error WrongHint();
    /// @notice Precompile 0x09 (BLAKE2b, EIP-152) is missing or answers something else.
    error NoBlake2b();
    /// @notice An index twice, or another number of shares than of indexes.
    error MalformedShares();

    /// @notice Whether a fragment is junk: its ephemeral key is not canonical, of low order or off
    /// the curve; or it does not open with the secret; or what opens is not 32 bytes whose
    /// keccak256 is the commitment.
    /// @param key X25519 public key that it should be sealed to, little-endian.
    /// @param secret Its secret key, 32 bytes little-endian as in RFC 7748. Not looked at where the
    /// ephemeral key alone is junk.
    /// @param fragment 80 bytes; any other number is junk.
    function isJunk(
        bytes32 key,
        bytes32 secret,
        bytes calldata fragment,
        bytes32 commitment,
        Hint calldata hint
    ) external view returns (bool);

    /// @notice The secret that shares give: Lagrange interpolation at 0 over p = 2^256 - 189.
    /// @param indexes Of the shares: x = index + 1. Distinct.
    /// @return found False where a share is not below p.
    function combine(uint8[] calldata indexes, bytes32[] calldata shares)
        external
        pure
        returns (bool found, bytes32 secret);
}
