// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Status, Terms} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice Stores and items that their seller closes, copies that run out, and what deliverers
/// post.
contract SupplyTest is MarketTest {
    function _tryBuy(Terms memory terms, bytes32 digest, uint64 copy) private {
        bytes32[] memory keys = _keys(3);
        vm.prank(buyer);
        market.buyItem{value: 1 ether}(seller, terms, new bytes32[](0), digest, copy, keys);
    }

    // ------------------------------------------------------------------------ closed stores

    function test_closedStore() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        bytes32 digest = _publish(seller, terms);
        vm.prank(seller);
        market.updateStore(digest, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.StoreClosed.selector, seller));
        _tryBuy(terms, digest, 0);
        // And opened again.
        _publish(seller, terms);
        _tryBuy(terms, digest, 0);
    }

    function test_closedWithANewDocument() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        bytes32 digest = _publish(seller, terms);
        vm.prank(seller);
        market.updateStore("closed", 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.StoreChanged.selector, seller, digest, bytes32("closed")
            )
        );
        _tryBuy(terms, digest, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.StoreClosed.selector, seller));
        _tryBuy(terms, "closed", 0);
    }

    function test_openedClosed() external {
        vm.prank(seller);
        market.createStore("document", 0);
        Terms memory terms = _terms(three, 2, arbitrator);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.StoreClosed.selector, seller));
        _tryBuy(terms, "document", 0);
    }

    /// @dev No leaf and no proof makes a root of zero: a closed store sells nothing, not even to
    /// one who brings own terms.
    function test_nothingProvesAClosedStore() external {
        vm.prank(seller);
        market.createStore("document", 0);
        Terms memory terms;
        bytes32[] memory proof = new bytes32[](1);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.StoreClosed.selector, seller));
        vm.prank(buyer);
        market.buyItem(seller, terms, proof, "document", 0, new bytes32[](0));
    }

    function test_closedItem() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        _publish(seller, terms);
        bytes32 digest = _publish(seller, _terms(three, 2, arbitrator));
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.TermsNotInCatalogue.selector, seller, terms.itemId)
        );
        _tryBuy(terms, digest, 0);
    }

    /// @dev Sales made before a closing keep their terms, to the end.
    function test_closingLeavesSalesAlone() external {
        Order memory order = _sold();
        vm.prank(seller);
        market.updateStore("closed", 0);
        _deliverAll(order);
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
        vm.assertEq(market.credits(seller, address(0)), 0.985 ether);
        _balanced();
    }

    function test_noStoreAtAll() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        bytes32[] memory keys = _keys(3);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.TermsNotInCatalogue.selector, stranger, terms.itemId
            )
        );
        vm.prank(buyer);
        market.buyItem{value: 1 ether}(stranger, terms, new bytes32[](0), 0, 0, keys);
    }

    // -------------------------------------------------------------------------------- copies

    /// @dev Three copies to three buyers; then no fourth, and none twice.
    function test_soldOut() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        terms.supply = 3;
        bytes32 digest = _publish(seller, terms);
        for (uint64 copy; copy < 3; ++copy) {
            _tryBuy(terms, digest, copy);
            vm.expectRevert(
                abi.encodeWithSelector(IMarketplace.CopyTaken.selector, terms.itemId, copy)
            );
            _tryBuy(terms, digest, copy);
        }
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.CopyBeyondSupply.selector, 3, 3));
        _tryBuy(terms, digest, 3);
        // A restocked item is another leaf; copies sold stay sold.
        terms.supply = 4;
        digest = _publish(seller, terms);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.CopyTaken.selector, terms.itemId, 0));
        _tryBuy(terms, digest, 0);
        _tryBuy(terms, digest, 3);
    }

    /// @dev A copy that was refunded is burned.
    function test_refundedCopyIsBurned() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        Order memory order = _sold(terms);
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        bytes32 digest = _publish(seller, terms);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.CopyTaken.selector, terms.itemId, 0));
        _tryBuy(terms, digest, 0);
        _is(order, Status.Refunded);
    }

    // ------------------------------------------------------------------------- sealed offers

    /// @dev The lower half of a salt names the one copy; whoever sees its purchase buys no other.
    function test_sealedForOneCopy() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        terms.supply = 5;
        terms.salt = bytes32(uint256(keccak256("salt")) << 64 | 3);
        bytes32 digest = _publish(seller, terms);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.SealedForAnotherCopy.selector, 2, 3));
        _tryBuy(terms, digest, 2);
        _tryBuy(terms, digest, 3);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.SealedForAnotherCopy.selector, 4, 3));
        _tryBuy(terms, digest, 4);
    }

    /// @dev A salt of any bit seals: copy 0, too.
    function test_sealedForCopyZero() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        terms.supply = 2;
        terms.salt = bytes32(uint256(1) << 64);
        bytes32 digest = _publish(seller, terms);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.SealedForAnotherCopy.selector, 1, 0));
        _tryBuy(terms, digest, 1);
        _tryBuy(terms, digest, 0);
    }

    // -------------------------------------------------------------------------- posted terms

    function test_postTerms() external {
        address owner = _someone("owner");
        address operator = _someone("operator");
        vm.prank(operator);
        market.stakeAsDelivererFor{value: MIN_STAKE}(owner, KEY, _possession());
        address[2] memory callers = [owner, operator];
        for (uint256 i; i < callers.length; ++i) {
            vm.expectEmit(address(market));
            emit IMarketplace.DelivererTermsPosted(operator, 5 gwei, i == 0);
            vm.prank(callers[i]);
            market.postTerms(operator, 5 gwei, i == 0);
        }
        address[3] memory others = [stranger, seller, three[0]];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.postTerms(operator, 0, true);
        }
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotRegistered.selector, stranger));
        vm.prank(stranger);
        market.postTerms(stranger, 0, true);
    }
}
