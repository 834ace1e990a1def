// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Delivery, Sale, Status, Terms} from "../../contracts/interfaces/IMarketplace.sol";
import {Base} from "./Base.sol";

/// @notice A market with everybody in it, and what it must own to the wei.
abstract contract MarketTest is Base {
    uint256 internal constant SELLER_STAKE = 10 ether;

    address internal governor;
    address internal seller;
    address internal buyer;
    address internal arbitrator;
    address internal stranger;
    address[] internal three;
    /// Every sale made, for the books.
    Order[] internal orders;

    function setUp() public virtual {
        governor = _someone("governor");
        _deploy(governor);
        seller = _someone("seller");
        buyer = _someone("buyer");
        arbitrator = _someone("arbitrator");
        stranger = _someone("stranger");
        three.push(_deliverer("alice"));
        three.push(_deliverer("bob"));
        three.push(_deliverer("carol"));
        vm.prank(seller);
        market.stakeAsSeller{value: SELLER_STAKE}();
    }

    // ------------------------------------------------------------------------------- steps

    /// @dev 2 of 3 parts, in the native coin.
    function _sold() internal returns (Order memory) {
        return _sold(_terms(three, 2, arbitrator));
    }

    function _sold(Terms memory terms) internal returns (Order memory order) {
        order = _buy(seller, buyer, terms, three);
        orders.push(order);
    }

    /// @dev All three parts are there, so that the gate is open.
    function _complete() internal returns (Order memory order) {
        order = _sold();
        _deliverAll(order);
    }

    function _deliverAll(Order memory order) internal {
        for (uint256 i; i < order.sale.parts; ++i) {
            _deliver(order, i);
        }
    }

    function _deliver(Order memory order, uint256 index) internal {
        address deliverer = order.deliverers[index];
        vm.prank(deliverer, deliverer);
        market.deliverFragment(_delivery(order, index));
    }

    function _dispute(Order memory order) internal {
        vm.prank(order.sale.buyer);
        market.openDispute{value: order.escrow.bond}(order.copyId, order.sale, order.escrow, 0);
    }

    function _status(Order memory order) internal view returns (Status status) {
        (status,,,,) = market.sales(order.copyId);
    }

    function _is(Order memory order, Status expected) internal view {
        vm.assertEq(uint256(_status(order)), uint256(expected));
    }

    // ------------------------------------------------------------------------------- books

    /// @dev The market owns what it owes in the native coin, to the wei.
    function _balanced() internal view {
        vm.assertEq(address(market).balance, _owed(address(0)));
    }

    /// @dev As `_balanced`, in a token.
    function _balanced(address token) internal view {
        vm.assertEq(IERC20(token).balanceOf(address(market)), _owed(token));
    }

    function _owed(address token) internal view returns (uint256 owed) {
        for (uint256 i; i < cast.length; ++i) {
            owed += market.credits(cast[i], token);
            if (token != address(0)) continue;
            (, uint256 stake, uint256 earned,,) = market.deliverers(cast[i]);
            owed += market.sellerStakes(cast[i]) + stake + earned;
        }
        for (uint256 i; i < orders.length; ++i) {
            owed += _owed(orders[i], token);
        }
    }

    /// @dev What an open sale holds: the price, R without the fees paid, a dispute's bond.
    function _owed(Order memory order, address token) internal view returns (uint256 owed) {
        (Status status, uint32 delivered,,,) = market.sales(order.copyId);
        if (status < Status.Purchased || status > Status.Disputed) return 0;
        if (order.escrow.token == token) owed += order.escrow.price;
        if (token != address(0)) return owed;
        uint256 missing = order.sale.parts - _count(delivered);
        owed += missing * order.sale.fee + order.escrow.penalty + order.escrow.bond;
        if (status == Status.Disputed) owed += order.escrow.bond;
    }

    function _count(uint256 bits) internal pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) {
            ++count;
        }
    }

    /// @dev Closes every open sale and takes everything out. What stays belongs to nobody.
    function _emptied(address token) internal returns (uint256 left) {
        _skip(10_000);
        for (uint256 i; i < orders.length; ++i) {
            Order memory order = orders[i];
            Status status = _status(order);
            if (status == Status.Purchased) {
                market.refund(order.copyId, order.sale, order.escrow);
            } else if (status < Status.Settled) {
                market.settle(order.copyId, order.sale, order.escrow);
            }
        }
        for (uint256 i; i < cast.length; ++i) {
            if (market.credits(cast[i], token) == 0) continue;
            vm.prank(cast[i]);
            market.withdraw(token, address(0xbeef));
        }
        return token == address(0) ? 0 : IERC20(token).balanceOf(address(market));
    }

    // ------------------------------------------------------------------------------- helpers

    function _one(address who) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = who;
    }

    function _batch(Delivery memory delivery) internal pure returns (Delivery[] memory batch) {
        batch = new Delivery[](1);
        batch[0] = delivery;
    }
}
