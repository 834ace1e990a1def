// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    JunkEvidence,
    SignedList,
    Status
} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice Proofs of junk against deliverers: who is fined, what is cleared, what comes after.
contract JunkTest is MarketTest {
    function test_junkIsFinedAndCleared() public {
        Order memory order = _sold();
        _deliver(_junk(order, 0), three[0]);
        _deliver(order, 1);
        _is(order, Status.Complete);

        vm.expectEmit(address(market));
        emit IMarketplace.JunkProved(
            order.copyId, three[0], 0, FRESH_KEY, 0.05 ether, 0.01 ether, true
        );
        _prove(order, _junk(order, 0));

        _is(order, Status.Purchased);
        vm.assertEq(market.delivererStakes(three[0]), MIN_STAKE - 0.05 ether);
        vm.assertEq(market.credits(buyer, address(0)), 0.01 ether);
        vm.assertEq(market.burnt(), 0.04 ether);
        _balanced();
    }

    function test_aReplacementOpensTheSaleAgain() public {
        Order memory order = _sold();
        _deliver(_junk(order, 0), three[0]);
        _deliver(order, 1);
        _prove(order, _junk(order, 0));
        _pastFallback();
        _deliver(_replacement(order, 0), seller);
        _is(order, Status.Complete);
        vm.assertEq(market.credits(buyer, address(0)), 0.01 ether);
        _balanced();
        _emptied(address(0));
    }

    function test_aGoodPartIsNoJunk() public {
        Order memory order = _sold();
        _deliver(order, 0);
        (JunkEvidence[] memory evidence, SignedList[] memory lists) =
            _evidence(_delivery(order, 0), three[0]);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingProved.selector, order.copyId));
        vm.prank(buyer);
        market.proveJunk(
            order.copyId, order.sale, order.escrow, _keys(3), FRESH_KEY, evidence, lists
        );
    }

    function test_theSellersJunkEndsTheSale() public {
        Order memory order = _sold();
        _pastFallback();
        Delivery memory junk = _junk(order, 0);
        _deliver(junk, seller);
        _proveSellers(order, junk);
        _is(order, Status.Refunded);
        _balanced();
    }
}
