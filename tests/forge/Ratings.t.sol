// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Split, Status} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice 1 to 5 stars, once, by the buyer of a sale that ended, however.
contract RatingsTest is MarketTest {
    function _rate(Order memory order, address who, uint8 stars) private {
        vm.prank(who);
        market.rateSale(order.copyId, order.sale, stars);
    }

    function _rated(Order memory order) private view returns (bool rated) {
        (,,, rated,,) = market.sales(order.copyId);
    }

    function _settled() private returns (Order memory order) {
        order = _complete();
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
    }

    function test_everyStar() external {
        for (uint8 stars = 1; stars <= 5; ++stars) {
            Order memory order = _settled();
            vm.assertFalse(_rated(order));
            vm.expectEmit(address(market));
            emit IMarketplace.SaleRated(order.copyId, seller, buyer, stars);
            _rate(order, buyer, stars);
            vm.assertTrue(_rated(order));
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

    function test_notBeforeTheEnd() external {
        Order memory order = _sold();
        _cannotRate(order);
        _deliverAll(order);
        _cannotRate(order);
        _dispute(order);
        _cannotRate(order);
    }

    function test_afterARuling() external {
        Order memory order = _complete();
        _dispute(order);
        vm.prank(arbitrator);
        market.resolveDispute(order.copyId, order.sale, order.escrow, 0, false);
        _is(order, Status.Resolved);
        _rate(order, buyer, 1);
    }

    function test_afterARefundAndAConcession() external {
        Order memory order = _sold();
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        _rate(order, buyer, 1);
        order = _complete();
        vm.prank(seller);
        market.concede(order.copyId, order.sale, order.escrow);
        _is(order, Status.Refunded);
        _rate(order, buyer, 4);
    }

    function test_afterAnAgreement() external {
        Order memory order = _complete();
        _agree(order, Split(0.3 ether, 0, 0, _time()));
        _is(order, Status.Agreed);
        _rate(order, buyer, 3);
    }

    /// @dev Settled by silence, or by the buyer's own concession: settled all the same.
    function test_settledByOtherWays() external {
        Order memory order = _complete();
        _dispute(order);
        _wait(ARBITRATION + 1);
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
        (Status status, uint32 parts, uint32 since,, bool marked, bytes24 commitment) =
            market.sales(order.copyId);
        _rate(order, buyer, 5);
        (Status s, uint32 p, uint32 b,, bool m, bytes24 c) = market.sales(order.copyId);
        vm.assertTrue(s == status && p == parts && b == since && m == marked && c == commitment);
        _balanced();
    }
}
