// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Hint,
    IMarketplace,
    Signature,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {IProofs} from "../../../contracts/interfaces/IProofs.sol";
import {MarketTest} from "../MarketTest.sol";

interface VmMore {
    function clearMockedCalls() external;
    function mockCall(address callee, bytes calldata data, bytes calldata answer) external;
    function mockCallRevert(address callee, bytes calldata data, bytes calldata answer) external;
}

/// @notice A proof beside every other step, in both orders; and a chain without its precompile.
contract RacesTest is MarketTest {
    // ------------------------------------------------------------- 15: a proof and another step

    /// @dev Complete, two of three, one of them junk.
    function _spoilt() private returns (Order memory order, Delivery memory junk) {
        order = _sold();
        junk = _junk(order, 0);
        _deliver(junk, three[0]);
        _deliver(order, 1);
        _pastFallback();
    }

    function _isFineAlone(Order memory order, Status status) private view {
        _is(order, status);
        (uint32 punished, uint32 cleared,) = market.marks(order.copyId);
        vm.assertEq(punished, 1);
        vm.assertEq(cleared, 0);
        vm.assertEq(market.burnt(), 0.04 ether);
        _balanced();
    }

    function _isClosed(Order memory order, bytes memory data, address by) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.WrongStatus.selector, order.copyId, Status.Purchased
            )
        );
        vm.prank(by);
        (bool good,) = address(market).call(data);
        good;
    }

    function test_aProofAndAConfirmation() external {
        (Order memory order, Delivery memory junk) = _spoilt();
        bytes memory confirm =
            abi.encodeCall(IMarketplace.confirm, (order.copyId, order.sale, order.escrow));
        uint256 state = vm.snapshotState();
        _prove(order, junk);
        _isClosed(order, confirm, buyer);
        vm.revertToState(state);
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
        _prove(order, junk);
        _isFineAlone(order, Status.Settled);
        (,, bytes24 freshKey) = market.marks(order.copyId);
        vm.assertEq(bytes32(freshKey), bytes32(0)); // no key is named after the end
    }

    function test_aProofAndASettlement() external {
        (Order memory order, Delivery memory junk) = _spoilt();
        // The last second of proofs: nobody can have settled before.
        _until(order.sale.purchaseTime + PROOF);
        bytes memory settle =
            abi.encodeCall(IMarketplace.settle, (order.copyId, order.sale, order.escrow));
        (bool good,) = address(market).call(settle);
        vm.assertFalse(good);
        uint256 state = vm.snapshotState();
        _prove(order, junk);
        _is(order, Status.Purchased);
        _wait(DISPUTE);
        _isClosed(order, settle, stranger);
        market.refund(order.copyId, order.sale, order.escrow);
        vm.revertToState(state);
        _wait(DISPUTE);
        market.settle(order.copyId, order.sale, order.escrow);
        _prove(order, junk);
        _isFineAlone(order, Status.Settled);
    }

    function test_aProofAndARefund() external {
        Order memory order = _sold();
        Delivery memory junk = _junk(order, 0);
        _deliver(junk, three[0]);
        _wait(REFUND + 1);
        uint256 state = vm.snapshotState();
        _prove(order, junk);
        _isFineAlone(order, Status.Purchased);
        market.refund(order.copyId, order.sale, order.escrow);
        uint256 paid = market.credits(buyer, address(0));
        vm.revertToState(state);
        market.refund(order.copyId, order.sale, order.escrow);
        _prove(order, junk);
        _isFineAlone(order, Status.Refunded);
        vm.assertEq(market.credits(buyer, address(0)), paid);
    }

    function test_aProofAndARuling() external {
        (Order memory order, Delivery memory junk) = _spoilt();
        _dispute(order);
        uint256 state = vm.snapshotState();
        _prove(order, junk);
        _isFineAlone(order, Status.Disputed);
        vm.prank(arbitrator);
        market.resolveDispute(order.copyId, order.sale, order.escrow, 0, true);
        uint256 paid = market.credits(buyer, address(0));
        vm.revertToState(state);
        vm.prank(arbitrator);
        market.resolveDispute(order.copyId, order.sale, order.escrow, 0, true);
        _prove(order, junk);
        _isFineAlone(order, Status.Resolved);
        vm.assertEq(market.credits(buyer, address(0)), paid);
    }

    /// @dev A last-minute fallback is not knocked out by a proof in front of it, nor cleared by one
    /// behind it; and the fee of a part is paid once.
    function test_aProofAndAFallback() external {
        Order memory order = _sold();
        _deliver(order, 1);
        _pastFallback();
        Delivery memory part = _delivery(order, 0);
        Signature memory signature = _signed(part, seller);
        uint256 state = vm.snapshotState();
        for (uint256 before; before < 2; ++before) {
            if (before == 1) _prove(order, _junk(order, 0));
            market.deliverFragments(_batch(part), signature);
            if (before == 0) _prove(order, _junk(order, 0));
            _isFineAlone(order, Status.Complete);
            vm.assertEq(market.credits(buyer, address(0)), 0.01 ether + order.sale.fee);
            vm.revertToState(state);
        }
    }

    function test_noFeeForAPartThatWasCleared() external {
        (Order memory order, Delivery memory junk) = _spoilt();
        _prove(order, junk);
        _deliver(_replacement(order, 0), seller);
        vm.assertEq(market.credits(buyer, address(0)), 0.01 ether);
        _deliver(order, 2);
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
        // Three fees went out, and came back out of the price.
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE);
        vm.assertEq(market.credits(seller, address(0)), 1 ether - 0.015 ether);
        _balanced();
    }

    // ---------------------------------------------------------- 21: a chain without precompile 9

    function test_aChainWithoutBlake2bProvesNothing() external {
        VmMore more = VmMore(address(vm));
        Order memory order = _sold();
        Delivery memory good = _delivery(order, 0);
        bytes32 commitment = good.commitment;
        Hint memory hint;
        hint.kind = 2;
        bytes[3] memory answers = [bytes(""), new bytes(32), new bytes(65)];
        for (uint256 i; i < 4; ++i) {
            if (i == 3) more.mockCallRevert(address(9), "", "");
            else more.mockCall(address(9), "", answers[i]);
            vm.expectRevert(abi.encodeWithSelector(IProofs.NoBlake2b.selector));
            proofs.isJunk(KEY, KEY_SECRET, FRAGMENT, commitment, hint);
            try this.newProofs() {
                revert("deployed");
            } catch {}
            more.clearMockedCalls();
        }
        // One that answers something else makes no verifier.
        more.mockCall(address(9), "", new bytes(64));
        try this.newProofs() {
            revert("deployed");
        } catch {}
    }

    function newProofs() external returns (address) {
        return vm.deployCode("Proofs.sol:Proofs", "");
    }

    // ------------------------------------------------------------------------- 7: slashes

    function test_noProposalOfNothing() external {
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingToSlash.selector, three[0]));
        vm.prank(governor);
        market.proposeSlashing(three[0], 0, stranger, 0);
    }

    function test_noProposalTakesLaterStake() external {
        address operator = three[0];
        vm.prank(governor);
        uint256 one = market.proposeSlashing(operator, MIN_STAKE, stranger, 0);
        vm.prank(governor);
        uint256 two = market.proposeSlashing(operator, 5 * MIN_STAKE, stranger, 0);
        _wait(SLASH_DELAY);
        market.executeSlashing(one);
        vm.deal(operator, 1 ether);
        vm.prank(operator);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession());
        market.executeSlashing(two);
        vm.assertEq(market.delivererStakes(operator), MIN_STAKE);
        vm.assertEq(market.credits(stranger, address(0)), MIN_STAKE);
    }

    /// @dev A fine counts as part of what stood there: it makes no room for later stake.
    function test_aFineMakesNoRoomForASlash() external {
        Order memory order = _sold();
        vm.prank(governor);
        uint256 id = market.proposeSlashing(three[0], MIN_STAKE, stranger, 0);
        _prove(order, _junk(order, 0));
        vm.deal(address(this), 1 ether);
        market.addDelivererStake{value: 1 ether}(three[0]);
        _wait(SLASH_DELAY);
        market.executeSlashing(id);
        vm.assertEq(market.delivererStakes(three[0]), 1 ether);
        vm.assertEq(market.credits(stranger, address(0)), 0.05 ether);
    }

    function test_noFreezeForEver() external {
        address operator = three[0];
        vm.prank(operator);
        market.requestExit(operator);
        uint256 out = _time() + EXIT;
        uint256 cap = out + SLASH_DELAY + SLASH_LAPSE;
        while (_time() <= cap) {
            vm.prank(governor);
            market.proposeSlashing(operator, 1, stranger, 0);
            vm.assertTrue(market.frozenUntil(operator) <= cap);
            _wait(SLASH_DELAY);
        }
        vm.assertEq(market.frozenUntil(operator), 0);
        vm.prank(operator);
        market.withdrawDelivererStake(operator, operator);
        // What is still proposed takes nothing of what comes next.
        vm.prank(operator);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession());
        for (uint256 id = 1; id < 100; ++id) {
            try market.executeSlashing(id) {} catch {}
        }
        vm.assertEq(market.delivererStakes(operator), MIN_STAKE);
    }

    // ------------------------------------------------------ 9: a key announced ahead of its owner

    /// @dev The contract takes any key from anybody and tells the possession; clients believe none
    /// without it. So nobody keeps another from a key by being first.
    function test_anAnnouncedKeyIsNobodysAlone() external {
        bytes32[2] memory possession = [bytes32("r"), bytes32("s")];
        address[2] memory who = [_someone("thief"), _someone("owner")];
        for (uint256 i; i < 2; ++i) {
            vm.expectEmit(address(market));
            emit IMarketplace.DelivererStaked(who[i], KEY, possession, MIN_STAKE);
            vm.prank(who[i]);
            market.stakeAsDeliverer{value: MIN_STAKE}(KEY, possession);
        }
    }

    // -------------------------------------------------------------------- a stake of ten fees

    function test_aPartAsksForTenFeesAtStake() external {
        Terms memory terms = _terms(three, 2, arbitrator);
        terms.commission = 0.030_000_000_000_000_003 ether; // a fee of a tenth of the stake, and 1 wei
        Order memory order = _sold(terms);
        Delivery memory part = _delivery(order, 0);
        Signature memory signature = _signed(part, three[0]);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotEligible.selector, three[0]));
        market.deliverFragment(part, signature);
        vm.deal(address(this), 1 ether);
        market.addDelivererStake{value: 10}(three[0]);
        market.deliverFragment(part, signature);
    }
}
