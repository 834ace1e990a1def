// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Base} from "../Base.sol";
import {EntryPoints} from "../EntryPoints.sol";

/// @notice A contract in any of the roles that calls back while it is being paid.
contract Reentrant {
    IMarketplace private immutable MARKET;
    bytes private _callback;
    bool public paid;
    bool public succeeded;
    bytes public reason;

    constructor(IMarketplace market) {
        MARKET = market;
    }

    function prepare(bytes calldata callback) external {
        (_callback, paid, succeeded, reason) = (callback, false, false, "");
    }

    function call(bytes calldata data) external payable {
        (bool good, bytes memory result) = address(MARKET).call{value: msg.value}(data);
        if (good) return;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    receive() external payable {
        paid = true;
        if (_callback.length != 0) (succeeded, reason) = address(MARKET).call(_callback);
    }
}

/// @notice A payee that burns all the gas it is given.
contract Glutton {
    receive() external payable {
        while (true) {}
    }
}

contract PayeesTest is Base {
    address private _seller;
    address private _buyer;
    address private _arbitrator;
    address[] private _three;
    Reentrant private _hostile;

    function setUp() public {
        _deploy();
        _seller = _someone("seller");
        _buyer = _someone("buyer");
        _arbitrator = _someone("arbitrator");
        for (uint256 i; i < 3; ++i) {
            _three.push(_deliverer(["alice", "bob", "carol"][i]));
        }
        vm.prank(_seller);
        market.stakeAsSeller{value: 10 ether}();
        _hostile = new Reentrant(market);
        vm.deal(address(_hostile), 100 ether);
    }

    // ----------------------------------------------------------------------------- re-entrancy

    function test_reentrantBuyerWithdrawing() external {
        Terms memory terms = _terms(_three, 2, _arbitrator);
        Order memory order = _buy(_seller, address(_hostile), terms, _three);
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        uint256 credit = market.credits(address(_hostile), address(0));
        assert(credit == 1.5 ether);
        _everyCallIsLocked(
            abi.encodeCall(IMarketplace.withdraw, (address(0), address(_hostile))), credit
        );
        assert(market.credits(address(_hostile), address(0)) == 0);
    }

    function test_reentrantSellerWithdrawing() external {
        _hostile.call{value: 5 ether}(abi.encodeCall(IMarketplace.stakeAsSeller, ()));
        _everyCallIsLocked(
            abi.encodeCall(IMarketplace.withdrawSellerStake, (2 ether, address(_hostile))), 2 ether
        );
        assert(market.sellerStakes(address(_hostile)) == 3 ether);
    }

    function test_reentrantOwnerOfADeliverer() external {
        address operator = _someone("operator");
        vm.prank(operator);
        market.stakeAsDelivererFor{value: 1 ether}(address(_hostile), KEY, _possession());
        address[] memory one = new address[](1);
        one[0] = operator;
        Order memory order = _buy(_seller, _buyer, _terms(one, 1, _arbitrator), one);
        Delivery memory part = _delivery(order, 0);
        market.deliverFragment(part, _signed(part, operator));
        _everyCallIsLocked(
            abi.encodeCall(IMarketplace.withdrawEarnings, (operator, address(_hostile))),
            order.sale.fee
        );
        _hostile.call(abi.encodeCall(IMarketplace.requestExit, (operator)));
        _wait(EXIT);
        _everyCallIsLocked(
            abi.encodeCall(IMarketplace.withdrawDelivererStake, (operator, address(_hostile))),
            1 ether
        );
        assert(market.delivererStakes(operator) == 0);
    }

    /// @dev Lets `data` pay the hostile contract `amount`, once for each entry point that it then
    /// tries to enter. All but the last payment are undone.
    function _everyCallIsLocked(bytes memory data, uint256 amount) private {
        bytes[] memory entries = EntryPoints.all(address(_hostile));
        for (uint256 i; i < entries.length; ++i) {
            try this.attempt(data, entries[i], amount) {
                assert(false);
            } catch (bytes memory done) {
                assert(keccak256(done) == keccak256("attempted"));
            }
        }
        _hostile.prepare("");
        _hostile.call(data);
        assert(_hostile.paid());
    }

    function attempt(bytes calldata data, bytes calldata entry, uint256 amount) external {
        _hostile.prepare(entry);
        uint256 before = address(_hostile).balance;
        _hostile.call(data);
        assert(_hostile.paid() && !_hostile.succeeded());
        assert(bytes4(_hostile.reason()) == IMarketplace.Reentered.selector);
        assert(_hostile.reason().length == 4);
        assert(address(_hostile).balance == before + amount);
        bytes memory done = "attempted";
        assembly ("memory-safe") {
            revert(add(done, 32), mload(done))
        }
    }

    /// @dev The lock opens again, within one transaction as well.
    function test_lockOpensAgain() external {
        vm.prank(_seller);
        market.withdrawSellerStake(1, _seller);
        vm.prank(_seller);
        market.withdrawSellerStake(1, _seller);
        vm.prank(_seller);
        market.stakeAsSeller{value: 2}();
        assert(market.sellerStakes(_seller) == 10 ether);
    }

    // ------------------------------------------------------------------------ hostile payees

    function test_payeeThatBurnsAllGas() external {
        address glutton = address(new Glutton());
        vm.prank(_seller);
        try market.withdrawSellerStake{gas: 1_000_000}(1 ether, glutton) {
            assert(false);
        } catch {}
        assert(market.sellerStakes(_seller) == 10 ether);
        vm.prank(_seller);
        market.withdrawSellerStake(1 ether, _seller);
    }

    // -------------------------------------------------------------------------------- far times

    function test_exitTimeFitsItsField() external {
        vm.warp(uint256(type(uint32).max) - EXIT + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.AmountTooLarge.selector, uint256(type(uint32).max) + 1
            )
        );
        vm.prank(_three[0]);
        market.requestExit(_three[0]);
        vm.warp(uint256(type(uint32).max) - EXIT);
        vm.prank(_three[0]);
        market.requestExit(_three[0]);
        (,,,, uint256 exitTime) = market.deliverers(_three[0]);
        assert(exitTime == type(uint32).max);
    }

    /// @dev Years of neglect change nothing: times saturate only where nothing reads them.
    function test_saleLeftForYears() external {
        Order memory order = _buy(_seller, _buyer, _terms(_three, 2, _arbitrator), _three);
        for (uint256 i; i < 2; ++i) {
            Delivery memory part = _delivery(order, i);
            market.deliverFragment(part, _signed(part, _three[i]));
        }
        _wait(10 * 365 days);
        market.settle(order.copyId, order.sale, order.escrow);
        (Status status,, uint32 since,,,) = market.sales(order.copyId);
        assert(status == Status.Settled && since == (1 << 27) - 1);
        assert(market.sellerStakes(_seller) == 10 ether);
    }
}
