// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Half} from "./Half.sol";
import {IMarketplace, Slash} from "./interfaces/IMarketplace.sol";

/// @title How a governor takes the stake of a deliverer: announced, delayed, in public
/// @notice See `IMarketplace` for every rule.
abstract contract Slashing is Half {
    modifier onlyGovernor() {
        // A governor of zero is nobody: no call comes from the zero address.
        if (msg.sender != _GOVERNOR) revert IMarketplace.NotAllowed(msg.sender);
        _;
    }

    /// @notice See `IMarketplace`, as for all functions here.
    function proposeSlashing(address operator, uint256 amount, address beneficiary, bytes32 reason)
        external
        onMarket
        onlyGovernor
        returns (uint256 id)
    {
        // Check
        Deliverer storage deliverer = _deliverers[operator];
        if (!_isRegistered(deliverer)) revert IMarketplace.NotRegistered(operator);
        if (beneficiary == address(0)) revert IMarketplace.ZeroAddress();
        uint256 stake = deliverer.stake;
        if (amount == 0 || stake == 0) revert IMarketplace.NothingToSlash(operator);
        if (amount > stake) amount = stake;

        // Effect
        uint48 first = uint48(block.timestamp + _SLASH_DELAY_SECONDS);
        uint48 last = first + uint48(_SLASH_LAPSE_SECONDS);
        id = ++_slashCount;
        _slashes[id] = Slash({
            operator: operator,
            firstTime: first,
            lastTime: last,
            beneficiary: beneficiary,
            amount: uint96(amount),
            stake: uint96(stake),
            removed: deliverer.removed
        });
        // A proposal that lapsed with the freeze no longer counts.
        uint48 open = block.timestamp > deliverer.frozenUntil ? 0 : deliverer.openSlashes;
        deliverer.openSlashes = open + 1;
        deliverer.frozenUntil = last;
        emit IMarketplace.SlashProposed(id, operator, beneficiary, amount, reason, first, last);
    }

    function executeSlashing(uint256 id) external onMarket {
        // Check
        Slash memory slash = _open(id);
        if (block.timestamp < slash.firstTime) {
            revert IMarketplace.SlashTooEarly(id, slash.firstTime);
        }

        // Effect: what left since then was of the stake that stood there, what came is not.
        Deliverer storage deliverer = _deliverers[slash.operator];
        uint256 gone = deliverer.removed - slash.removed;
        uint256 left = gone < slash.stake ? slash.stake - gone : 0;
        uint256 taken = slash.amount < left ? slash.amount : left;
        _removeStake(deliverer, taken);
        _forget(id, deliverer);
        _credit(slash.beneficiary, NATIVE, taken);
        emit IMarketplace.SlashExecuted(id, slash.operator, slash.beneficiary, taken);
    }

    function cancelSlashing(uint256 id) external onMarket onlyGovernor {
        Slash memory slash = _open(id);
        _forget(id, _deliverers[slash.operator]);
        emit IMarketplace.SlashCancelled(id, slash.operator);
    }

    function _open(uint256 id) private view returns (Slash memory slash) {
        slash = _slashes[id];
        if (slash.lastTime == 0 || block.timestamp > slash.lastTime) {
            revert IMarketplace.NoSlash(id);
        }
    }

    /// @dev Ends a proposal; the last one of a deliverer ends the freeze. While one that lapsed
    /// stands behind a later one the freeze lasts until the later one lapses: never too short.
    function _forget(uint256 id, Deliverer storage deliverer) private {
        _slashes[id].lastTime = 0;
        if (--deliverer.openSlashes == 0) deliverer.frozenUntil = 0;
    }
}
