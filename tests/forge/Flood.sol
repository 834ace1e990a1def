// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace} from "../../contracts/interfaces/IMarketplace.sol";

/// @notice Fills blocks with the market's own logs, for as little gas as there is: `make flood`.
contract Flood {
    IMarketplace private immutable MARKET;

    constructor(IMarketplace market) {
        MARKET = market;
    }

    /// @notice Opens a store of this contract, with the coins sent as its stake.
    function open() external payable {
        MARKET.stakeAsSeller{value: msg.value}();
        MARKET.createStore(bytes32(uint256(1)), bytes32(uint256(1)));
    }

    /// @notice Announces `times` keys of an operator that this contract owns.
    function rotate(address operator, uint256 first, uint256 times) external {
        address market = address(MARKET);
        bytes4 selector = IMarketplace.rotateDelivererKey.selector;
        assembly {
            mstore(0, selector)
            mstore(4, operator)
            for { let i := 0 } lt(i, times) { i := add(i, 1) } {
                mstore(36, shl(8, add(add(first, i), 0x10000)))
                if iszero(call(gas(), market, 0, 0, 132, 0, 0)) { revert(0, 0) }
            }
        }
    }

    /// @notice Points this contract's store to `times` documents that nobody has.
    function update(uint256 first, uint256 times) external {
        address market = address(MARKET);
        bytes4 selector = IMarketplace.updateStore.selector;
        assembly {
            mstore(0, selector)
            mstore(36, 1)
            for { let i := 0 } lt(i, times) { i := add(i, 1) } {
                mstore(4, add(add(first, i), 2))
                if iszero(call(gas(), market, 0, 0, 68, 0, 0)) { revert(0, 0) }
            }
        }
    }
}
