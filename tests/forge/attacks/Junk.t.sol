// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Sale,
    Signature,
    SignedList,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Tree} from "../Base.sol";
import {MarketTest} from "../MarketTest.sol";
import {Signing} from "../Signing.sol";

/// @notice Evidence that frames somebody, that counts twice, or that gives the good away.
contract JunkAttacksTest is MarketTest {
    function _tryToProve(
        Order memory order,
        JunkEvidence[] memory evidence,
        SignedList[] memory lists,
        bytes32 freshKey,
        bytes memory refusal
    ) private {
        bytes32[] memory keys = _keys(order.sale.parts);
        vm.expectRevert(refusal);
        vm.prank(order.sale.buyer);
        market.proveJunk(order.copyId, order.sale, order.escrow, keys, freshKey, evidence, lists);
    }

    /// @dev Tries with a part as `signer` signed it.
    function _cannotProve(
        Order memory order,
        Delivery memory part,
        address signer,
        bytes memory why
    ) private {
        (JunkEvidence[] memory evidence, SignedList[] memory lists) = _evidence(part, signer);
        _tryToProve(order, evidence, lists, FRESH_KEY, why);
    }

    /// @dev A part whose box does not open: one bit of its tag is another.
    function _spoilt(Order memory order, uint256 index)
        private
        pure
        returns (Delivery memory part)
    {
        part = _delivery(order, index);
        part.fragment = bytes.concat(part.fragment);
        part.fragment[40] ^= 0x01;
    }

    // ------------------------------------------------------------- 10: two leaves of one index

    function _secondLeaf() private pure returns (Leaf memory leaf) {
        leaf = _leaf(0, vm.addr(_secret("sybil")));
        leaf.commitment = "another";
    }

    function _twoLeaves() private returns (Order memory order, bytes32[] memory leaves) {
        _deliverer("sybil");
        leaves = new bytes32[](3);
        leaves[0] = Signing.hash(_leaf(0, three[0]), 0);
        leaves[1] = Signing.hash(_secondLeaf(), 0);
        leaves[2] = Signing.hash(_leaf(1, three[1]), 0);
        address[] memory two = new address[](2);
        (two[0], two[1]) = (three[0], three[1]);
        Terms memory terms = _terms(two, 1, arbitrator);
        terms.partsRoot = Tree.root(leaves);
        order = _buy(seller, buyer, terms, two);
        orders.push(order);
    }

    function test_twoLeavesOfOneIndexFrameNobody() external {
        (Order memory order, bytes32[] memory leaves) = _twoLeaves();
        Delivery memory honest = _delivery(order, 0);
        honest.proof = Tree.proof(leaves, 0);
        Signature memory signature = _signed(honest, three[0]);
        market.deliverFragment(honest, signature);
        // To the other leaf's commitment the honest fragment opens wrongly.
        Delivery memory framed = _delivery(order, 0);
        framed.proof = Tree.proof(leaves, 1);
        (framed.deliverer, framed.commitment) = (vm.addr(_secret("sybil")), "another");
        (JunkEvidence[] memory evidence, SignedList[] memory lists) = _evidence(framed, three[0]);
        lists[0] = SignedList(_list(honest), signature, 0);
        _tryToProve(
            order,
            evidence,
            lists,
            FRESH_KEY,
            abi.encodeWithSelector(IMarketplace.EntryNotFound.selector, order.copyId, uint8(0))
        );
        vm.assertEq(market.delivererStakes(three[0]), MIN_STAKE);
    }

    /// @dev Who made two leaves of one index pays for it.
    function test_twoLeavesOfOneIndexEndTheSale() external {
        (Order memory order, bytes32[] memory leaves) = _twoLeaves();
        (Leaf memory one, Leaf memory other) = (_leaf(0, three[0]), _secondLeaf());
        (one.proof, other.proof) = (Tree.proof(leaves, 0), Tree.proof(leaves, 1));
        _pastFallback();
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingProved.selector, order.copyId));
        vm.prank(buyer);
        market.proveBadLeaves(order.copyId, order.sale, order.escrow, one, one);
        vm.prank(buyer);
        market.proveBadLeaves(order.copyId, order.sale, order.escrow, one, other);
        _is(order, Status.Refunded);
        vm.assertEq(market.credits(buyer, address(0)), 1.5 ether);
        _balanced();
    }

    // ------------------------------------------------------------------ 11: a fine to a friend

    function test_aFineIsBurntButForAFifth() external {
        Order memory order = _sold();
        vm.prank(three[0]);
        market.requestExit(three[0]);
        _prove(order, _junk(order, 0));
        uint256 fine = 10 * order.sale.fee;
        vm.assertEq(market.delivererStakes(three[0]), MIN_STAKE - fine);
        vm.assertEq(market.credits(buyer, address(0)), fine / 5);
        vm.assertEq(market.burnt(), fine - fine / 5);
        _balanced();
    }

    /// @dev A stake that is empty pays no fine twice, and what was earned pays the rest.
    function test_aFineTakesWhatIsThere() external {
        address[] memory all = new address[](4);
        for (uint256 i; i < 4; ++i) {
            all[i] = three[0];
        }
        Terms memory terms = _terms(all, 1, arbitrator);
        terms.commission = 0.04 ether; // 0.01 a part, so a fine is the whole least stake
        Order memory order = _buy(seller, buyer, terms, all);
        orders.push(order);
        _deliver(_junk(order, 0), three[0]);
        _deliver(_junk(order, 1), three[0]);
        _prove(order, _junk(order, 0));
        vm.assertEq(market.delivererStakes(three[0]), 0);
        _prove(order, _junk(order, 1));
        (, uint256 stake, uint256 earned,,) = market.deliverers(three[0]);
        vm.assertEq(stake + earned, 0);
        vm.assertEq(market.burnt() + market.credits(buyer, address(0)), 0.12 ether);
        _prove(order, _junk(order, 2)); // stands all the same
        vm.assertEq(market.burnt() + market.credits(buyer, address(0)), 0.12 ether);
        _balanced();
    }

    // ------------------------------------------------------------------------ 12: twice

    function test_noProofCountsTwice() external {
        Order memory order = _sold();
        _deliver(_junk(order, 0), three[0]);
        Delivery memory first = _junk(order, 0);
        Delivery memory other = _spoilt(order, 0);
        bytes memory twice =
            abi.encodeWithSelector(IMarketplace.AlreadyPunished.selector, order.copyId, uint8(0));
        (JunkEvidence[] memory one, SignedList[] memory list) = _evidence(first, three[0]);
        JunkEvidence[] memory evidence = new JunkEvidence[](2);
        SignedList[] memory lists = new SignedList[](2);
        (evidence[0], evidence[1]) = (one[0], one[0]);
        (lists[0], lists[1]) = (list[0], list[0]);
        _tryToProve(order, evidence, lists, FRESH_KEY, twice); // in one call
        _prove(order, first);
        _cannotProve(order, first, three[0], twice);
        _cannotProve(order, other, three[0], twice); // with other junk
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        _cannotProve(order, first, three[0], twice); // after the end
        vm.assertEq(market.delivererStakes(three[0]), MIN_STAKE - 0.05 ether);
        _balanced();
    }

    // ------------------------------------------------- 13: proofs that publish what opens the good

    function test_everyProofNamesTheOneFreshKey() external {
        Order memory order = _sold();
        (JunkEvidence[] memory evidence, SignedList[] memory lists) =
            _evidence(_junk(order, 0), three[0]);
        bytes32 zero;
        _tryToProve(
            order,
            evidence,
            lists,
            zero,
            abi.encodeWithSelector(IMarketplace.InvalidKey.selector, zero)
        );
        _prove(order, _junk(order, 0));
        (evidence, lists) = _evidence(_junk(order, 1), three[1]);
        _tryToProve(
            order,
            evidence,
            lists,
            KEY,
            abi.encodeWithSelector(IMarketplace.WrongFreshKey.selector, order.copyId, KEY)
        );
        _pastFallback();
        Delivery memory other = _replacement(order, 0);
        other.freshKey = KEY;
        Signature memory signature = _signed(other, seller);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.WrongFreshKey.selector, order.copyId, KEY)
        );
        market.deliverFragment(other, signature);
        // An index that was never punished has no fresh key.
        other = _replacement(order, 2);
        signature = _signed(other, seller);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.WrongFreshKey.selector, order.copyId, FRESH_KEY)
        );
        market.deliverFragment(other, signature);
        _deliver(_replacement(order, 0), seller);
    }

    // -------------------------------------------------------------------- 16: junk too late

    function test_junkCannotComeTooLateToBeCleared() external {
        Order memory order = _sold();
        Delivery memory junk = _junk(order, 0);
        Signature memory signature = _signed(junk, three[0]);
        _until(order.sale.purchaseTime + DELIVERY + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.DeliveryClosed.selector,
                order.copyId,
                order.sale.purchaseTime + DELIVERY
            )
        );
        market.deliverFragment(junk, signature);
        vm.warp(order.sale.purchaseTime + DELIVERY);
        market.deliverFragment(junk, signature);
        _deliver(order, 1);
        _until(order.sale.purchaseTime + PROOF);
        _prove(order, junk);
        _is(order, Status.Purchased);
        // A third of the window is left to put it right.
        _deliver(_replacement(order, 0), seller);
        _is(order, Status.Complete);
    }

    function test_afterTheProofWindowOnlyTheFineIsLeft() external {
        Order memory order = _sold();
        _deliver(_junk(order, 0), three[0]);
        _deliver(order, 1);
        _until(order.sale.purchaseTime + PROOF + 1);
        _prove(order, _junk(order, 0));
        _is(order, Status.Complete);
        (uint32 punished, uint32 cleared,) = market.marks(order.copyId);
        vm.assertEq(punished, 1);
        vm.assertEq(cleared, 0);
        vm.assertEq(market.burnt(), 0.04 ether);
    }

    // -------------------------------------------------- 17: a cleared part relayed or signed again

    function test_aClearedPartComesBackFromTheSellerAlone() external {
        Order memory order = _sold();
        vm.deal(address(this), 1 ether);
        Delivery memory junk = _junk(order, 0);
        Signature memory signature = _signed(junk, three[0]);
        market.deliverFragment(junk, signature);
        _deliver(order, 1);
        _prove(order, junk);
        market.addDelivererStake{value: 1 ether}(three[0]);
        bytes memory refused =
            abi.encodeWithSelector(IMarketplace.IndexPunished.selector, order.copyId, uint8(0));
        vm.expectRevert(refused); // relayed
        market.deliverFragment(junk, signature);
        Delivery memory good = _delivery(order, 0);
        signature = _signed(good, three[0]);
        vm.expectRevert(refused); // signed anew, and good
        market.deliverFragment(good, signature);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingDelivered.selector));
        market.deliverFragments(_batch(good), signature);
        (,, uint256 earned,,) = market.deliverers(three[0]);
        vm.assertEq(earned, order.sale.fee);
    }

    // --------------------------------------------------------------- 18: framing an honest seller

    /// @dev By a proof that changes the key: what was sealed to the buyer's first key stays good.
    function test_aProofInFrontOfAFallbackFramesNobody() external {
        Order memory order = _sold();
        _pastFallback();
        Delivery memory fallback_ = _delivery(order, 0);
        Signature memory signature = _signed(fallback_, seller);
        _prove(order, _junk(order, 0)); // never mined, and in front
        market.deliverFragment(fallback_, signature);
        bytes memory nothing =
            abi.encodeWithSelector(IMarketplace.NothingProved.selector, order.copyId);
        JunkEvidence memory evidence = _opened(fallback_);
        bytes32[] memory keys = _keys(3);
        vm.expectRevert(nothing);
        vm.prank(buyer);
        market.proveSellerJunk(order.copyId, order.sale, order.escrow, keys, evidence);
        // With the fresh key instead of the entry's.
        evidence.freshKey = FRESH_KEY;
        evidence.secret = FRESH_SECRET;
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.EntryNotFound.selector, order.copyId, uint8(0))
        );
        vm.prank(buyer);
        market.proveSellerJunk(order.copyId, order.sale, order.escrow, keys, evidence);
    }

    /// @dev By a reorganisation: another block, another time, another entry; and after one that
    /// took the proof along, another fresh key, or none.
    function test_aReorganisationFramesNobody() external {
        Order memory order = _sold();
        _pastFallback();
        uint256 state = vm.snapshotState();
        _prove(order, _junk(order, 0));
        Delivery memory part = _replacement(order, 0);
        Signature memory signature = _signed(part, seller);
        vm.revertToState(state);
        bytes memory wrong =
            abi.encodeWithSelector(IMarketplace.WrongFreshKey.selector, order.copyId, FRESH_KEY);
        vm.expectRevert(wrong);
        market.deliverFragment(part, signature);
        (JunkEvidence[] memory evidence, SignedList[] memory lists) =
            _evidence(_junk(order, 0), three[0]);
        vm.prank(buyer);
        market.proveJunk(order.copyId, order.sale, order.escrow, _keys(3), KEY, evidence, lists);
        vm.expectRevert(wrong);
        market.deliverFragment(part, signature);
        // The purchase in another block.
        Sale memory moved = order.sale;
        moved.purchaseTime += 1;
        part = _delivery(order, 1);
        signature = _signed(part, seller);
        part.sale = moved;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.WrongSale.selector, order.copyId));
        market.deliverFragment(part, signature);
    }

    /// @dev By junk that the seller's side signed and nobody mined: the stored entry alone counts.
    function test_neverMinedJunkOfTheSellersSideIsNoEvidence() external {
        Order memory order = _sold();
        _pastFallback();
        bytes memory none =
            abi.encodeWithSelector(IMarketplace.EntryNotFound.selector, order.copyId, uint8(0));
        vm.expectRevert(none);
        _proveSellers(order, _junk(order, 0));
        _deliver(_delivery(order, 0), seller);
        vm.expectRevert(none);
        _proveSellers(order, _junk(order, 0));
        // Nor against the seller as its own deliverer.
        Order memory own = _buy(seller, buyer, _terms(_one(seller), 1, arbitrator), _one(seller));
        _cannotProve(
            own,
            _junk(own, 0),
            seller,
            abi.encodeWithSelector(IMarketplace.NotTheDeliverers.selector, seller, seller)
        );
    }

    /// @dev Nobody's good part is junk with another key, secret or list.
    function test_anHonestDelivererIsNeverFined() external {
        Order memory order = _sold();
        Delivery memory good = _delivery(order, 0);
        _deliver(order, 0);
        bytes memory nothing =
            abi.encodeWithSelector(IMarketplace.NothingProved.selector, order.copyId);
        _cannotProve(order, good, three[0], nothing);
        _cannotProve(
            order,
            _junk(order, 0),
            three[1],
            abi.encodeWithSelector(IMarketplace.NotTheDeliverers.selector, three[0], three[1])
        );
        (JunkEvidence[] memory evidence, SignedList[] memory lists) = _evidence(good, three[0]);
        bytes32[] memory keys = _keys(3);
        keys[0] = FRESH_KEY;
        evidence[0].secret = FRESH_SECRET;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.WrongKeys.selector, order.copyId));
        vm.prank(buyer);
        market.proveJunk(order.copyId, order.sale, order.escrow, keys, FRESH_KEY, evidence, lists);
        evidence[0].freshKey = FRESH_KEY;
        _tryToProve(
            order,
            evidence,
            lists,
            FRESH_KEY,
            abi.encodeWithSelector(IMarketplace.WrongFreshKey.selector, order.copyId, FRESH_KEY)
        );
        evidence[0].freshKey = 0;
        evidence[0].fragment = new bytes(80);
        _tryToProve(
            order,
            evidence,
            lists,
            FRESH_KEY,
            abi.encodeWithSelector(IMarketplace.EntryNotFound.selector, order.copyId, uint8(0))
        );
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, stranger));
        vm.prank(stranger);
        market.proveJunk(
            order.copyId, order.sale, order.escrow, _keys(3), FRESH_KEY, evidence, lists
        );
    }

    // ------------------------------------- 19: shares proved wrong in front of slow deliverers

    function test_sharesAreProvedWrongFromTheGateOn() external {
        // The shares of every item are one number; this one's last leaf commits to another.
        Leaf[] memory evidence = new Leaf[](2);
        (evidence[0], evidence[1]) = (_leaf(0, three[0]), _leaf(1, three[1]));
        evidence[1].commitment = keccak256(abi.encode(~SHARE));
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) = (Signing.hash(evidence[0], 0), Signing.hash(evidence[1], 0));
        address[] memory two = new address[](2);
        (two[0], two[1]) = (three[0], three[1]);
        Terms memory terms = _terms(two, 2, arbitrator);
        terms.partsRoot = Tree.root(leaves);
        Order memory order = _buy(seller, buyer, terms, two);
        (evidence[0].proof, evidence[1].proof) = (Tree.proof(leaves, 0), Tree.proof(leaves, 1));
        bytes32[] memory shares = new bytes32[](2);
        (shares[0], shares[1]) = (SHARE, ~SHARE);
        _skip(100);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.BeforeGate.selector, order.copyId, order.sale.purchaseBlock + 101
            )
        );
        vm.prank(buyer);
        market.proveBadShares(order.copyId, order.sale, order.escrow, evidence, shares);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.BeforeGate.selector, order.copyId, order.sale.purchaseBlock + 101
            )
        );
        vm.prank(buyer);
        market.proveBadLeaves(order.copyId, order.sale, order.escrow, evidence[0], evidence[1]);
        _skip(1);
        vm.prank(buyer);
        market.proveBadShares(order.copyId, order.sale, order.escrow, evidence, shares);
        _is(order, Status.Refunded);
    }
}
