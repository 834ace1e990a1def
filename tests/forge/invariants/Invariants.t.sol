// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Chaos} from "./Chaos.sol";
import {Handler} from "./Handler.sol";

struct FuzzSelector {
    address addr;
    bytes4[] selectors;
}

/// @notice The invariants of protocol section 9 after every call of a run, and at its end that
/// everything leaves. What fails names itself: `Insolvent`, `EscrowLeftTwice`, `ClosedSaleMoved`,
/// `StateWentBack`, `ReserveTooSmall`, `Stuck`, `LeftOver`.
abstract contract Section9 {
    bool public constant IS_TEST = true;

    Handler internal handler;

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), handler.actions());
    }

    function invariant_section9() external view {
        handler.solvent();
        handler.reserveCovers();
        handler.neverEntered();
    }

    function afterInvariant() external {
        handler.everythingLeaves();
    }

    /// @dev A long run of the same actions, so that it is known that they reach what they are for.
    function _run(uint256 calls) internal {
        bytes4[] memory actions = handler.actions();
        for (uint256 i; i < calls; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(calls, i)));
            (bool good, bytes memory reason) = address(handler)
                .call(abi.encodeWithSelector(actions[seed % actions.length], seed, 64, 0));
            if (good) continue;
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
        handler.solvent();
        handler.everythingLeaves();
    }

    function _reached(string memory what) internal view {
        require(handler.times(what) != 0, what);
    }
}

/// @notice Everybody does what they may.
contract InvariantsTest is Section9 {
    function setUp() external {
        handler = new Handler();
    }

    function test_everythingIsReached() external {
        _run(6500);
        string[42] memory whats = [
            "bought",
            "bought by permit",
            "delivered",
            "delivered by the seller",
            "replaced",
            "batches",
            "skipped",
            "supplied",
            "confirm",
            "settle",
            "refund",
            "concede",
            "openDispute",
            "resolveDispute",
            "submitEvidence",
            "rateSale",
            "closed together",
            "closings skipped",
            "junk proved",
            "junk proved after the end",
            "never-mined junk proved",
            "several proved together",
            "cleared",
            "purchased again",
            "the seller's junk proved",
            "bad shares proved",
            "bad leaves proved",
            "fines beyond the stake",
            "fines from earnings",
            "exits",
            "exits cancelled",
            "registered anew",
            "earnings",
            "slashes",
            "slashes cancelled",
            "withdrawals",
            "withdrawals refused",
            "seller's stake taken",
            "agreed, coins",
            "agreed, tokens",
            "buyer conceded late, coins",
            "seller gave in late, coins"
        ];
        for (uint256 i; i < whats.length; ++i) {
            _reached(whats[i]);
        }
        string[6] memory ends =
            ["settled", "silence", "refunded", "seller gave in", "buyer conceded", "ruled"];
        // In coins or tokens, early or late: each of the four by itself is rare.
        string[4] memory kinds = [", coins", ", tokens", " late, coins", " late, tokens"];
        for (uint256 i; i < ends.length; ++i) {
            uint256 number;
            for (uint256 j; j < kinds.length; ++j) {
                number += handler.times(string.concat(ends[i], kinds[j]));
            }
            require(number != 0, ends[i]);
        }
    }
}

/// @notice Everybody does anything.
contract ChaosTest is Section9 {
    function setUp() external {
        handler = new Chaos();
    }

    function test_everythingIsReached() external {
        _run(6500);
        string[25] memory whats = [
            "bought",
            "delivered",
            "delivered by the seller",
            "replaced",
            "confirm",
            "settle",
            "refund",
            "concede",
            "openDispute",
            "resolveDispute",
            "forged steps",
            "forged deliveries",
            "wild proofs refused",
            "framed deliverers",
            "framed sellers",
            "framed shares",
            "old offers refused",
            "forged offers",
            "wrong bonds",
            "high rulings",
            "wrong purchases",
            "stolen stakes",
            "slashes by strangers",
            "empty purses",
            "odd withdrawals"
        ];
        for (uint256 i; i < whats.length; ++i) {
            _reached(whats[i]);
        }
    }
}
