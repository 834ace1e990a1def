// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Status} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice 1 to 5 stars, once, by the buyer of a settled sale.
contract RatingsTest is MarketTest {
    function _rate(Order memory order, address who, uint8 stars) private {
        vm.prank(who);
        market.rateSale(order.copyId, order.sale, stars);
    }

    function _settled() private returns (Order memory order) {
        order = _complete();
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
    }

    function test_everyStar() external {
        for (uint8 stars = 1; stars <= 5; ++stars) {
            Order memory order = _settled();
            vm.assertFalse(market.rated(order.copyId));
            vm.expectEmit(address(market));
            emit IMarketplace.SaleRated(order.copyId, seller, buyer, stars);
            _rate(order, buyer, stars);
            vm.assertTrue(market.rated(order.copyId));
        }
    }

    function test_noOtherNumber() external {
        Order memory order = _settled();
        uint8[3] memory wrong = [0, 6, 255];
        for (uint256 i; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.InvalidRating.selector, wrong[i]));
            _rate(order, buyer, wrong[i]);
        }
    }

    function test_once() external {
        Order memory order = _settled();
        _rate(order, buyer, 1);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.AlreadyRated.selector, order.copyId));
        _rate(order, buyer, 5);
    }

    function test_onlyByTheBuyer() external {
        Order memory order = _settled();
        address[4] memory others = [seller, arbitrator, stranger, three[0]];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            _rate(order, others[i], 5);
        }
    }

    function _cannotRate(Order memory order) private {
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.WrongStatus.selector, order.copyId, _status(order))
        );
        _rate(order, buyer, 5);
    }

    function test_onlyWhenSettled() external {
        Order memory order = _sold();
        _cannotRate(order);
        _deliverAll(order);
        _cannotRate(order);
        _dispute(order);
        _cannotRate(order);
        vm.prank(arbitrator);
        market.resolveDispute(order.copyId, order.sale, order.escrow, 0, false);
        _is(order, Status.Resolved);
        _cannotRate(order);
        Order memory other = _complete();
        vm.prank(seller);
        market.concede(other.copyId, other.sale, other.escrow);
        _is(other, Status.Refunded);
        _cannotRate(other);
    }

    /// @dev Settled by silence, or by the buyer's own concession: settled all the same.
    function test_settledByOtherWays() external {
        Order memory order = _complete();
        _dispute(order);
        _skip(121);
        market.settle(order.copyId, order.sale, order.escrow);
        _rate(order, buyer, 2);
        order = _complete();
        _dispute(order);
        vm.prank(buyer);
        market.concede(order.copyId, order.sale, order.escrow);
        _rate(order, buyer, 3);
    }

    function test_anotherSale() external {
        Order memory order = _settled();
        order.sale.buyer = stranger;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.WrongSale.selector, order.copyId));
        _rate(order, stranger, 5);
    }

    /// @dev A rating moves no money and leaves the rest of the sale's word as it is.
    function test_changesNothingElse() external {
        Order memory order = _settled();
        (Status status, uint32 parts, uint8 number, uint32 since, bytes24 commitment) =
            market.sales(order.copyId);
        _rate(order, buyer, 5);
        (Status s, uint32 p, uint8 n, uint32 b, bytes24 c) = market.sales(order.copyId);
        vm.assertTrue(s == status && p == parts && n == number && b == since && c == commitment);
        _balanced();
    }
}
