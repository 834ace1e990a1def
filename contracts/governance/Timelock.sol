// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title OpenZeppelin's timelock, as the deploy script offers it for the market's governor
/// @notice Whoever holds the proposer role schedules, anyone executes after the delay. Nobody is
/// its administrator but itself.
contract Timelock is TimelockController {
    /// @param minDelay Least delay, in seconds.
    /// @param proposers Who may schedule and cancel: a Governor's contract, or a multisig.
    constructor(uint256 minDelay, address[] memory proposers)
        TimelockController(minDelay, proposers, _anyone(), address(0))
    {}

    /// @dev OpenZeppelin opens a role by granting it to the zero address.
    function _anyone() private pure returns (address[] memory executors) {
        executors = new address[](1);
    }
}
