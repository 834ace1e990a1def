// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    Signature,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";

/// @notice A thief holds the key of a daemon, may do its work, and takes neither stake nor
/// earnings: whatever is called, nothing that belongs to the owner moves to another.
contract StolenKeysTest is MarketTest {
    address private _owner;
    address private _operator;
    address private _watchdog;
    address private _thief;

    function setUp() public override {
        super.setUp();
        _owner = _someone("owner");
        _operator = _someone("operator");
        _watchdog = _someone("watchdog");
        _thief = _someone("thief");
        vm.prank(_operator, _operator);
        market.stakeAsDelivererFor{value: 1 ether}(_owner, KEY, _possession());
        vm.prank(seller);
        market.setSellerOperator(_watchdog);
    }

    function _refusedTo(address key, bytes memory data) private {
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, key));
        vm.prank(key, key);
        (bool good,) = address(market).call(data);
        vm.assertTrue(good);
    }

    // ------------------------------------------------------------------ a deliverer's operator

    function test_operatorTakesNoStake() external {
        _refusedTo(_operator, abi.encodeCall(IMarketplace.requestExit, (_operator)));
        vm.prank(_owner);
        market.requestExit(_operator);
        _refusedTo(_operator, abi.encodeCall(IMarketplace.cancelExit, (_operator)));
        _wait(EXIT);
        _refusedTo(
            _operator, abi.encodeCall(IMarketplace.withdrawDelivererStake, (_operator, _thief))
        );
        vm.prank(_owner);
        market.withdrawDelivererStake(_operator, _owner);
        vm.assertEq(_owner.balance, 1_000_001 ether);
    }

    function test_operatorTakesNoEarnings() external {
        Order memory order =
            _buy(seller, buyer, _terms(_one(_operator), 1, arbitrator), _one(_operator));
        orders.push(order);
        _deliver(order, 0);
        _refusedTo(_operator, abi.encodeCall(IMarketplace.withdrawEarnings, (_operator, _thief)));
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingToWithdraw.selector));
        vm.prank(_operator, _operator);
        market.withdraw(address(0), _thief);
        vm.prank(_owner);
        market.withdrawEarnings(_operator, _owner);
        vm.assertEq(_owner.balance, 1_000_000.015 ether);
        _balanced();
    }

    /// @dev No other owner can be named, by registering anew or after an exit with a record left.
    function test_operatorNamesNoOtherOwner() external {
        bytes memory taken =
            abi.encodeWithSelector(IMarketplace.AlreadyRegistered.selector, _operator);
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(taken);
            vm.prank(_operator, _operator);
            market.stakeAsDelivererFor{value: 1 ether}(_thief, KEY, _possession());
            vm.expectRevert(taken);
            vm.prank(_operator, _operator);
            market.stakeAsDeliverer{value: 1 ether}(KEY, _possession());
            if (i == 1) break;
            vm.prank(_owner);
            market.requestExit(_operator);
            _wait(EXIT);
            vm.prank(_owner);
            market.withdrawDelivererStake(_operator, _owner);
        }
        (address owner,,,,) = market.deliverers(_operator);
        vm.assertEq(owner, _owner);
        // Whatever is staked there later is the owner's again.
        market.addDelivererStake{value: 1 ether}(_operator);
        _refusedTo(_operator, abi.encodeCall(IMarketplace.requestExit, (_operator)));
    }

    /// @dev Nobody claims another's operator: it registers itself.
    function test_strangerClaimsNoOperator() external {
        _refusedTo(_thief, abi.encodeCall(IMarketplace.requestExit, (_operator)));
        _refusedTo(
            _thief,
            abi.encodeCall(IMarketplace.rotateDelivererKey, (_operator, KEY, _possession()))
        );
        _refusedTo(_thief, abi.encodeCall(IMarketplace.postTerms, (_operator, 0, true)));
        _refusedTo(_thief, abi.encodeCall(IMarketplace.withdrawEarnings, (_operator, _thief)));
    }

    // --------------------------------------------------------------------- a seller's operator

    function test_watchdogTakesNoStake() external {
        vm.startPrank(_watchdog, _watchdog);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.SellerStakeTooLow.selector, _watchdog, 0, 1 ether)
        );
        market.withdrawSellerStake(1 ether, _thief);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingToWithdraw.selector));
        market.withdraw(address(0), _thief);
        vm.stopPrank();
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE);
    }

    /// @dev Nothing is published in the seller's name: a worthless item with a fat commission would
    /// drain the stake through fees or a penalty.
    function test_watchdogPublishesNothing() external {
        Terms memory terms = _terms(_one(_operator), 1, address(0));
        _publish(seller, terms);
        (bytes32 digest, bytes32 catalogue) = market.stores(seller);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NoStore.selector, _watchdog));
        vm.prank(_watchdog);
        market.updateStore("theft", "theft");
        (bytes32 after_, bytes32 same) = market.stores(seller);
        vm.assertEq(digest, after_);
        vm.assertEq(catalogue, same);
        vm.prank(_watchdog);
        market.setSellerOperator(_thief);
        vm.assertEq(market.sellerOperator(seller), _watchdog);
    }

    /// @dev The thief neither concedes nor rules nor disputes nor confirms.
    function test_watchdogConcedesNothing() external {
        Order memory order = _complete();
        _refusedTo(
            _watchdog,
            abi.encodeCall(IMarketplace.concede, (order.copyId, order.sale, order.escrow))
        );
        _refusedTo(
            _watchdog,
            abi.encodeCall(IMarketplace.confirm, (order.copyId, order.sale, order.escrow))
        );
        _refusedTo(
            _watchdog,
            abi.encodeCall(IMarketplace.openDispute, (order.copyId, order.sale, order.escrow, 0))
        );
        _dispute(order);
        _refusedTo(
            _watchdog,
            abi.encodeCall(IMarketplace.concede, (order.copyId, order.sale, order.escrow))
        );
        _refusedTo(
            _watchdog,
            abi.encodeCall(
                IMarketplace.resolveDispute, (order.copyId, order.sale, order.escrow, 0, false)
            )
        );
        _refusedTo(
            _watchdog,
            abi.encodeCall(
                IMarketplace.submitEvidence, (order.copyId, order.sale, order.escrow, "uri")
            )
        );
        _is(order, Status.Disputed);
    }

    /// @dev What the thief may do costs the seller nothing but the fee of a part delivered, which
    /// goes to the buyer as it would have gone to the deliverer.
    function test_watchdogEarnsNothing() external {
        Order memory order = _sold();
        _deliver(order, 0);
        _skip(101);
        _deliver(_delivery(order, 1), _watchdog);
        _supply(_delivery(order, 0), _watchdog);
        _wait(DISPUTE + 1);
        vm.prank(_watchdog, _watchdog);
        market.settle(order.copyId, order.sale, order.escrow);
        vm.assertEq(market.credits(_watchdog, address(0)), 0);
        (,, uint256 earned,,) = market.deliverers(_watchdog);
        vm.assertEq(earned, 0);
        vm.assertEq(market.credits(buyer, address(0)), 0.005 ether);
        vm.assertEq(market.credits(seller, address(0)), 1 ether - 0.01 ether);
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE);
        _balanced();
    }

    /// @dev The seller takes the key out of service at once.
    function test_sellerReplacesTheKey() external {
        Order memory order = _sold();
        vm.prank(seller);
        market.setSellerOperator(address(0));
        _skip(101);
        Delivery memory delivery = _delivery(order, 0);
        Signature memory signature = _signed(delivery, _watchdog);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.NotYourPart.selector, three[0], _watchdog)
        );
        market.deliverFragment(delivery, signature);
    }
}
