// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    JunkEvidence,
    Signature,
    SignedList,
    Status
} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";

/// @notice Junk in a list so long that no transaction holds its proof. The same part may stand in
/// it thousands of times: calldata has it once, and a contract that relays pays for no calldata.
contract ListAttacksTest is MarketTest {
    uint256 private constant MOST = 50;

    function _repeated(Delivery memory part, uint256 times)
        private
        pure
        returns (Delivery[] memory batch)
    {
        batch = new Delivery[](times);
        for (uint256 i; i < times; ++i) {
            batch[i] = part;
        }
    }

    function _tooLong(uint256 length) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IMarketplace.ListTooLong.selector, length, MOST);
    }

    function test_junkInAListTooLongToProve() external {
        Order memory order = _sold();
        Delivery[] memory batch = _repeated(_junk(order, 0), MOST + 1);
        Signature memory signature = _signed(batch, three[0]);
        vm.expectRevert(_tooLong(MOST + 1));
        market.deliverFragments(batch, signature);
        _is(order, Status.Purchased);
        (,, uint256 earned,,) = market.deliverers(three[0]);
        vm.assertEq(earned, 0);
    }

    function test_junkInTheLongestListIsProved() external {
        Order memory order = _sold();
        Delivery[] memory batch = _repeated(_junk(order, 0), MOST);
        Signature memory signature = _signed(batch, three[0]);
        market.deliverFragments(batch, signature);
        (JunkEvidence[] memory evidence, SignedList[] memory lists) = _evidence(batch[0], three[0]);
        lists[0] = SignedList(_list(batch), signature, MOST - 1);
        vm.prank(buyer);
        market.proveJunk(
            order.copyId, order.sale, order.escrow, _keys(3), FRESH_KEY, evidence, lists
        );
        vm.assertEq(market.delivererStakes(three[0]), MIN_STAKE - 10 * order.sale.fee);
        _balanced();
    }

    function test_suppliesHaveTheSameBound() external {
        Order memory order = _complete();
        Delivery[] memory batch = _repeated(_delivery(order, 0), MOST + 1);
        Signature memory signature = _signed(batch, seller);
        vm.expectRevert(_tooLong(MOST + 1));
        market.supplyFragments(batch, signature);
    }
}
