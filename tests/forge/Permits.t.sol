// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Permit, Terms} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";
import {PlainToken} from "./tokens/PlainToken.sol";

/// @notice A purchase with a signed allowance (ERC-2612), in one transaction.
contract PermitsTest is MarketTest {
    uint128 private constant PRICE = 5 ether;
    bytes32 private constant PERMIT = keccak256(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    );

    PlainToken private _token;
    Terms private _kept;
    bytes32 private _document;

    function setUp() public override {
        super.setUp();
        _token = new PlainToken();
        _token.mint(buyer, 2 * PRICE);
        Terms memory terms = _terms(three, 2, arbitrator);
        terms.token = address(_token);
        terms.price = PRICE;
        terms.supply = 2;
        _document = _publish(seller, terms);
        _kept = terms;
    }

    function _permit(string memory signer, uint256 value, uint256 deadline)
        private
        view
        returns (Permit memory permit)
    {
        bytes32 hash = keccak256(
            abi.encode(PERMIT, buyer, address(market), value, _token.nonces(buyer), deadline)
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", _token.DOMAIN_SEPARATOR(), hash));
        (permit.v, permit.r, permit.s) = vm.sign(_secret(signer), digest);
        (permit.value, permit.deadline) = (value, deadline);
    }

    function _buyBy(Permit memory permit, uint64 copy) private {
        bytes32[] memory keys = _keys(3);
        vm.prank(buyer);
        market.buyItemByPermit(seller, _kept, new bytes32[](0), _document, copy, keys, permit);
        Order memory order = _order(seller, buyer, _kept, _document, keys, three);
        order.copyId = keccak256(abi.encode(seller, _kept.itemId, copy));
        orders.push(order);
    }

    function _refused() private view returns (bytes memory) {
        return abi.encodeWithSelector(IMarketplace.TokenTransferFailed.selector, address(_token));
    }

    function test_oneTransaction() external {
        _buyBy(_permit("buyer", PRICE, 1_800_000_000), 0);
        vm.assertEq(_token.balanceOf(address(market)), PRICE);
        vm.assertEq(_token.balanceOf(buyer), PRICE);
        vm.assertEq(_token.allowance(buyer, address(market)), 0);
        _balanced(address(_token));
    }

    /// @dev The attack: somebody sees the permit in the mempool and uses it up.
    function test_attackPermitUsedBefore() external {
        Permit memory permit = _permit("buyer", PRICE, 1_800_000_000);
        vm.prank(stranger);
        _token.permit(
            buyer, address(market), permit.value, permit.deadline, permit.v, permit.r, permit.s
        );
        _buyBy(permit, 0);
        vm.assertEq(_token.balanceOf(address(market)), PRICE);
        // Once more, it is worth nothing.
        vm.expectRevert(_refused());
        this.buyAgain(permit);
    }

    function buyAgain(Permit calldata permit) external {
        _buyBy(permit, 1);
    }

    function test_permitOfAnother() external {
        Permit memory permit = _permit("stranger", PRICE, 1_800_000_000);
        vm.expectRevert(_refused());
        this.buyAgain(permit);
    }

    function test_permitTooOld() external {
        Permit memory permit = _permit("buyer", PRICE, 1_799_999_999);
        vm.expectRevert(_refused());
        this.buyAgain(permit);
    }

    function test_permitOfLess() external {
        Permit memory permit = _permit("buyer", PRICE - 1, 1_800_000_000);
        vm.expectRevert(_refused());
        this.buyAgain(permit);
    }

    /// @dev An allowance that is there serves without any permit.
    function test_allowanceWithoutAPermit() external {
        vm.prank(buyer);
        _token.approve(address(market), PRICE);
        Permit memory permit;
        _buyBy(permit, 1);
        _balanced(address(_token));
    }

    /// @dev A permit is of the caller: nobody spends another's allowance.
    function test_attackSpendAnothersAllowance() external {
        vm.prank(buyer);
        _token.approve(address(market), PRICE);
        Permit memory permit = _permit("buyer", PRICE, 1_800_000_000);
        bytes32[] memory keys = _keys(3);
        vm.expectRevert(_refused());
        vm.prank(stranger);
        market.buyItemByPermit(seller, _kept, new bytes32[](0), _document, 0, keys, permit);
        vm.assertEq(_token.balanceOf(buyer), 2 * PRICE);
    }

    /// @dev An item in the native coin is paid with coins, which this call does not take.
    function test_nativeItem() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        bytes32 digest = _publish(seller, terms);
        bytes32[] memory keys = _keys(3);
        Permit memory permit;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.Underpaid.selector, 0, 1 ether));
        vm.prank(buyer);
        market.buyItemByPermit(seller, terms, new bytes32[](0), digest, 0, keys, permit);
    }
}
