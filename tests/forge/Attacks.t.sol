// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Escrow,
    IMarketplace,
    Sale,
    Status,
    Terms
} from "../../contracts/interfaces/IMarketplace.sol";
import {Base} from "./Base.sol";

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

contract AttacksTest is Base {
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
        vm.roll(order.sale.purchaseBlock + 301);
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
        vm.prank(operator, operator);
        market.stakeAsDelivererFor{value: 1 ether}(address(_hostile), KEY);
        address[] memory one = new address[](1);
        one[0] = operator;
        Order memory order = _buy(_seller, _buyer, _terms(one, 1, _arbitrator), one);
        vm.prank(operator, operator);
        market.deliverFragment(_delivery(order, 0));
        _everyCallIsLocked(
            abi.encodeCall(IMarketplace.withdrawEarnings, (operator, address(_hostile))),
            order.sale.fee
        );
        _hostile.call(abi.encodeCall(IMarketplace.requestExit, (operator)));
        _skip(EXIT);
        _everyCallIsLocked(
            abi.encodeCall(IMarketplace.withdrawDelivererStake, (operator, address(_hostile))),
            1 ether
        );
        assert(market.delivererStakes(operator) == 0);
    }

    /// @dev Lets `data` pay the hostile contract `amount`, once for each entry point that it then
    /// tries to enter. All but the last payment are undone.
    function _everyCallIsLocked(bytes memory data, uint256 amount) private {
        bytes[] memory entries = _entryPoints();
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

    /// @dev Well-formed calls of every function that changes state.
    function _entryPoints() private view returns (bytes[] memory entries) {
        address self = address(_hostile);
        Terms memory terms;
        Sale memory sale;
        Escrow memory escrow;
        Delivery memory delivery;
        delivery.fragment = new bytes(80);
        Delivery[] memory deliveries = new Delivery[](1);
        deliveries[0] = delivery;
        bytes32[] memory none = new bytes32[](0);
        entries = new bytes[](24);
        entries[0] = abi.encodeCall(IMarketplace.stakeAsSeller, ());
        entries[1] = abi.encodeCall(IMarketplace.withdrawSellerStake, (1, self));
        entries[2] = abi.encodeCall(IMarketplace.setSellerOperator, (self));
        entries[3] = abi.encodeCall(IMarketplace.stakeAsDeliverer, (KEY));
        entries[4] = abi.encodeCall(IMarketplace.stakeAsDelivererFor, (self, KEY));
        entries[5] = abi.encodeCall(IMarketplace.addDelivererStake, (_three[0]));
        entries[6] = abi.encodeCall(IMarketplace.rotateDelivererKey, (_three[0], KEY));
        entries[7] = abi.encodeCall(IMarketplace.requestExit, (_three[0]));
        entries[8] = abi.encodeCall(IMarketplace.cancelExit, (_three[0]));
        entries[9] = abi.encodeCall(IMarketplace.withdrawDelivererStake, (_three[0], self));
        entries[10] = abi.encodeCall(IMarketplace.withdrawEarnings, (_three[0], self));
        entries[11] = abi.encodeCall(IMarketplace.createStore, (KEY, KEY));
        entries[12] = abi.encodeCall(IMarketplace.updateStore, (KEY, KEY));
        entries[13] = abi.encodeCall(IMarketplace.buyItem, (_seller, terms, none, KEY, 0, none));
        entries[14] = abi.encodeCall(IMarketplace.deliverFragment, (delivery));
        entries[15] = abi.encodeCall(IMarketplace.deliverFragments, (deliveries));
        entries[16] = abi.encodeCall(IMarketplace.supplyFragments, (deliveries));
        entries[17] = abi.encodeCall(IMarketplace.confirm, (KEY, sale, escrow));
        entries[18] = abi.encodeCall(IMarketplace.settle, (KEY, sale, escrow));
        entries[19] = abi.encodeCall(IMarketplace.refund, (KEY, sale, escrow));
        entries[20] = abi.encodeCall(IMarketplace.concede, (KEY, sale, escrow));
        entries[21] = abi.encodeCall(IMarketplace.openDispute, (KEY, sale, escrow, KEY));
        entries[22] = abi.encodeCall(IMarketplace.resolveDispute, (KEY, sale, escrow, 0, true));
        entries[23] = abi.encodeCall(IMarketplace.withdraw, (address(0), self));
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

    // ----------------------------------------------------------------------- plain accounts

    function test_contractIsNoDeliverer() external {
        bytes memory refused =
            abi.encodeWithSelector(IMarketplace.NotPlainAccount.selector, address(_hostile));
        vm.deal(address(this), 1 ether);
        vm.expectRevert(refused);
        _hostile.call{value: 1 ether}(abi.encodeCall(IMarketplace.stakeAsDeliverer, (KEY)));
        vm.expectRevert(refused);
        _hostile.call{value: 1 ether}(
            abi.encodeCall(IMarketplace.stakeAsDelivererFor, (_seller, KEY))
        );
    }

    /// @dev Whatever a leaf, or a seller, says: neither a contract nor delegated code delivers.
    function test_contractDeliversNothing() external {
        address[] memory self = new address[](1);
        self[0] = address(_hostile);
        Order memory order = _buy(_seller, _buyer, _terms(self, 1, _arbitrator), self);
        vm.prank(_seller);
        market.setSellerOperator(address(_hostile));
        _skip(101);
        Delivery[] memory batch = new Delivery[](1);
        batch[0] = _delivery(order, 0);
        bytes[3] memory calls = [
            abi.encodeCall(IMarketplace.deliverFragment, (batch[0])),
            abi.encodeCall(IMarketplace.deliverFragments, (batch)),
            abi.encodeCall(IMarketplace.supplyFragments, (batch))
        ];
        bytes memory refused =
            abi.encodeWithSelector(IMarketplace.NotPlainAccount.selector, address(_hostile));
        for (uint256 i; i < calls.length; ++i) {
            vm.expectRevert(refused);
            _hostile.call(calls[i]);
        }
        // Code at the address, though the call is straight from the transaction (EIP-7702).
        vm.etch(_three[0], abi.encodePacked(hex"ef0100", address(market)));
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotPlainAccount.selector, _three[0]));
        vm.prank(_three[0], _three[0]);
        market.deliverFragment(batch[0]);
    }

    // ------------------------------------------------------------------------------- far blocks

    function test_exitBlockFitsItsField() external {
        vm.roll(uint256(type(uint32).max) - EXIT + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.AmountTooLarge.selector, uint256(type(uint32).max) + 1
            )
        );
        vm.prank(_three[0]);
        market.requestExit(_three[0]);
        vm.roll(uint256(type(uint32).max) - EXIT);
        vm.prank(_three[0]);
        market.requestExit(_three[0]);
        (,,,, uint256 exitBlock) = market.deliverers(_three[0]);
        assert(exitBlock == type(uint32).max);
    }

    /// @dev Years of neglect change nothing: offsets saturate only where nothing reads them.
    function test_saleLeftForYears() external {
        Order memory order = _buy(_seller, _buyer, _terms(_three, 2, _arbitrator), _three);
        for (uint256 i; i < 2; ++i) {
            vm.prank(_three[i], _three[i]);
            market.deliverFragment(_delivery(order, i));
        }
        _skip(100_000_000);
        market.settle(order.copyId, order.sale, order.escrow);
        (Status status,,, uint32 since,) = market.sales(order.copyId);
        assert(status == Status.Settled && since == (1 << 20) - 1);
        assert(market.sellerStakes(_seller) == 10 ether);
    }
}
