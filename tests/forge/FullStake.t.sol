// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Status} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice On a chain whose coin has more than 2^96 units a seller could fill the stake to the brim
/// while a sale is open; what comes back then becomes a credit, and the sale closes all the same.
contract FullStakeTest is MarketTest {
    uint256 private constant BRIM = type(uint96).max;

    function _fill() private {
        uint256 missing = BRIM - market.sellerStakes(seller);
        vm.deal(seller, missing);
        vm.prank(seller);
        market.stakeAsSeller{value: missing}();
    }

    function test_refundedWithAFullStake() external {
        Order memory order = _sold();
        _fill();
        _wait(REFUND + 1);
        vm.prank(stranger);
        market.refund(order.copyId, order.sale, order.escrow);
        _is(order, Status.Refunded);
        vm.assertEq(market.credits(buyer, address(0)), 1.5 ether);
        // R without the penalty: the fees of three parts and the bond.
        vm.assertEq(market.sellerStakes(seller), BRIM);
        vm.assertEq(market.credits(seller, address(0)), 0.015 ether + 0.2 ether);
        _balanced();
    }

    function test_settledWithAFullStake() external {
        Order memory order = _complete();
        _fill();
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
        vm.assertEq(market.sellerStakes(seller), BRIM);
        // R and what is left of the price: all of the price, the penalty and the bond.
        vm.assertEq(market.credits(seller, address(0)), 1 ether + 0.5 ether + 0.2 ether);
        _balanced();
    }

    /// @dev Just room enough, and one wei less.
    function test_brim() external {
        Order memory order = _sold();
        vm.deal(seller, BRIM);
        uint256 back = 0.215 ether;
        uint256 missing = BRIM - back + 1 - market.sellerStakes(seller);
        vm.prank(seller);
        market.stakeAsSeller{value: missing}();
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        vm.assertEq(market.sellerStakes(seller), BRIM);
        vm.assertEq(market.credits(seller, address(0)), 1);
        _balanced();
    }
}
