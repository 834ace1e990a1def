// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Stakes} from "./Stakes.sol";
import {IMarketplace, Slash} from "./interfaces/IMarketplace.sol";

/// @title How a governor takes the stake of a deliverer: announced, delayed, in public
/// @notice See `IMarketplace` for every rule.
abstract contract Slashing is Stakes {
    /// @inheritdoc IMarketplace
    address public immutable GOVERNOR;
    /// @inheritdoc IMarketplace
    uint64 public immutable SLASH_DELAY_BLOCKS;
    /// @inheritdoc IMarketplace
    uint64 public immutable SLASH_LAPSE_BLOCKS;

    uint256 private _slashCount;
    mapping(uint256 id => Slash) private _slashes;

    constructor(address governor, uint64 slashDelayBlocks, uint64 slashLapseBlocks) {
        GOVERNOR = governor;
        SLASH_DELAY_BLOCKS = slashDelayBlocks;
        SLASH_LAPSE_BLOCKS = slashLapseBlocks;
    }

    modifier onlyGovernor() {
        // A governor of zero is nobody: no call comes from the zero address.
        if (msg.sender != GOVERNOR) revert NotAllowed(msg.sender);
        _;
    }

    /// @inheritdoc IMarketplace
    function proposeSlashing(address operator, uint256 amount, address beneficiary, bytes32 reason)
        external
        unlocked
        onlyGovernor
        returns (uint256 id)
    {
        // Check
        Deliverer storage deliverer = _deliverers[operator];
        if (!_isRegistered(deliverer)) revert NotRegistered(operator);
        if (beneficiary == address(0)) revert ZeroAddress();
        if (amount > type(uint96).max) revert AmountTooLarge(amount);

        // Effect
        uint48 first = uint48(block.number + SLASH_DELAY_BLOCKS);
        uint48 last = first + uint48(SLASH_LAPSE_BLOCKS);
        id = ++_slashCount;
        _slashes[id] = Slash(operator, first, last, beneficiary, uint96(amount));
        // A proposal that lapsed with the freeze no longer counts.
        uint48 open = block.number > deliverer.frozenUntil ? 0 : deliverer.openSlashes;
        deliverer.openSlashes = open + 1;
        deliverer.frozenUntil = last;
        emit SlashProposed(id, operator, beneficiary, amount, reason, first, last);
    }

    /// @inheritdoc IMarketplace
    function executeSlashing(uint256 id) external unlocked {
        // Check
        Slash memory slash = _open(id);
        if (block.number < slash.firstBlock) revert SlashTooEarly(id, slash.firstBlock);

        // Effect
        Deliverer storage deliverer = _deliverers[slash.operator];
        uint256 taken = slash.amount < deliverer.stake ? slash.amount : deliverer.stake;
        _forget(id, deliverer);
        // No more than the 88-bit stake.
        deliverer.stake -= uint88(taken);
        _credit(slash.beneficiary, NATIVE, taken);
        emit SlashExecuted(id, slash.operator, slash.beneficiary, taken);
    }

    /// @inheritdoc IMarketplace
    function cancelSlashing(uint256 id) external unlocked onlyGovernor {
        Slash memory slash = _open(id);
        _forget(id, _deliverers[slash.operator]);
        emit SlashCancelled(id, slash.operator);
    }

    /// @inheritdoc IMarketplace
    function slashes(uint256 id) external view returns (Slash memory) {
        return _slashes[id];
    }

    /// @inheritdoc IMarketplace
    function frozenUntil(address operator) external view returns (uint256) {
        uint256 frozen = _deliverers[operator].frozenUntil;
        return block.number > frozen ? 0 : frozen;
    }

    function _open(uint256 id) private view returns (Slash memory slash) {
        slash = _slashes[id];
        if (slash.lastBlock == 0 || block.number > slash.lastBlock) revert NoSlash(id);
    }

    /// @dev Ends a proposal; the last one of a deliverer ends the freeze. While one that lapsed
    /// stands behind a later one the freeze lasts until the later one lapses: never too short.
    function _forget(uint256 id, Deliverer storage deliverer) private {
        _slashes[id].lastBlock = 0;
        if (--deliverer.openSlashes == 0) deliverer.frozenUntil = 0;
    }
}
