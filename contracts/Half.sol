// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Books} from "./Books.sol";
import {Ends} from "./Ends.sol";
import {IMarketplace, Setup} from "./interfaces/IMarketplace.sol";

/// @title Code that runs on the market's storage alone
/// @notice The market calls it by delegatecall with what it was called with.
abstract contract Half is Ends {
    address private immutable _SELF;

    /// @dev On every entry point: not by a direct call, and not while the market calls somebody
    /// else.
    modifier onMarket() {
        if (address(this) == _SELF) revert IMarketplace.NotAllowed(msg.sender);
        _requireUnlocked();
        _;
    }

    constructor(Setup memory setup) Books(setup) {
        _SELF = address(this);
    }
}
