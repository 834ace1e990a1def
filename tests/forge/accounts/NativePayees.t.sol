// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace} from "../../../contracts/interfaces/IMarketplace.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {MarketTest} from "../MarketTest.sol";

/// @notice A payee that enters the market again, refuses the coins, or burns all gas.
contract HostilePayee {
    enum Mood {
        Reenters,
        Refuses,
        Burns
    }

    address private immutable MARKET;
    bytes[] private _entries;
    bytes4[] public answers;
    Mood public mood;

    constructor(address market) {
        MARKET = market;
    }

    function be(Mood mood_) external {
        mood = mood_;
    }

    function remember(bytes calldata entry) external {
        _entries.push(entry);
    }

    function answered() external view returns (uint256) {
        return answers.length;
    }

    function call(bytes calldata data) external payable {
        (bool good, bytes memory answer) = MARKET.call{value: msg.value}(data);
        if (good) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    receive() external payable {
        require(mood != Mood.Refuses, "no coins");
        while (mood == Mood.Burns) {}
        for (uint256 i; i < _entries.length; ++i) {
            (bool good, bytes memory answer) = MARKET.call(_entries[i]);
            answers.push(good ? bytes4(0) : bytes4(answer));
        }
    }
}

/// @notice The four ways by which coins leave, each to a payee that tries every entry point. Tokens
/// leave by the fifth: see `HostileTokensTest`.
contract NativePayeesTest is MarketTest {
    HostilePayee private _payee;
    uint256 private _entries;

    function setUp() public override {
        super.setUp();
        _payee = new HostilePayee(address(market));
        cast.push(address(_payee));
        vm.deal(address(_payee), 0);
        bytes[] memory entries = EntryPoints.all(address(_payee));
        _entries = entries.length;
        for (uint256 i; i < _entries; ++i) {
            _payee.remember(entries[i]);
        }
    }

    /// @dev Each way pays once, whatever the payee does; then there is nothing more to take.
    function _paidOnce(bytes memory data, uint256 amount, bytes memory again) private {
        _payee.be(HostilePayee.Mood.Refuses);
        bytes memory failed =
            abi.encodeWithSelector(IMarketplace.TransferFailed.selector, address(_payee), amount);
        vm.expectRevert(failed);
        _payee.call(data);

        _payee.be(HostilePayee.Mood.Burns);
        (bool good,) =
            address(_payee).call{gas: 2_000_000}(abi.encodeCall(HostilePayee.call, (data)));
        vm.assertFalse(good);
        _balanced();

        _payee.be(HostilePayee.Mood.Reenters);
        _payee.call(data);
        vm.assertEq(address(_payee).balance, amount);
        vm.assertEq(_payee.answered(), _entries);
        for (uint256 i; i < _entries; ++i) {
            vm.assertEq(bytes32(_payee.answers(i)), bytes32(IMarketplace.Reentered.selector));
        }
        _balanced();
        vm.expectRevert(again);
        _payee.call(data);
    }

    function test_withdraw() external {
        vm.deal(address(_payee), 1 ether);
        Order memory order = _buy(seller, address(_payee), _terms(three, 2, arbitrator), three);
        orders.push(order);
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        _paidOnce(
            abi.encodeCall(IMarketplace.withdraw, (address(0), address(_payee))),
            1.5 ether,
            abi.encodeWithSelector(IMarketplace.NothingToWithdraw.selector)
        );
    }

    function test_withdrawSellerStake() external {
        _payee.call{value: 5 ether}(abi.encodeCall(IMarketplace.stakeAsSeller, ()));
        _paidOnce(
            abi.encodeCall(IMarketplace.withdrawSellerStake, (5 ether, address(_payee))),
            5 ether,
            abi.encodeWithSelector(
                IMarketplace.SellerStakeTooLow.selector, address(_payee), 0, 5 ether
            )
        );
    }

    function test_withdrawDelivererStake() external {
        address operator = _operator();
        _payee.call(abi.encodeCall(IMarketplace.requestExit, (operator)));
        _wait(EXIT);
        _paidOnce(
            abi.encodeCall(IMarketplace.withdrawDelivererStake, (operator, address(_payee))),
            1 ether,
            abi.encodeWithSelector(IMarketplace.ExitNotRequested.selector, operator)
        );
    }

    function test_withdrawEarnings() external {
        address operator = _operator();
        Order memory order =
            _buy(seller, buyer, _terms(_one(operator), 1, arbitrator), _one(operator));
        orders.push(order);
        _deliver(order, 0);
        _paidOnce(
            abi.encodeCall(IMarketplace.withdrawEarnings, (operator, address(_payee))),
            0.015 ether,
            abi.encodeWithSelector(IMarketplace.NothingToWithdraw.selector)
        );
    }

    /// @dev To nobody, nothing goes; the owner names another.
    function test_payeeOfZero() external {
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.ZeroAddress.selector));
        vm.prank(seller);
        market.withdrawSellerStake(1 ether, address(0));
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE);
    }

    function _operator() private returns (address operator) {
        operator = _someone("operator");
        vm.prank(operator, operator);
        market.stakeAsDelivererFor{value: 1 ether}(address(_payee), KEY, _possession());
    }
}
