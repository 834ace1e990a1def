// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    JunkEvidence,
    Signature,
    SignedList,
    Split,
    Status
} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";
import {Vm} from "../Base.sol";
import {Signing} from "../Signing.sol";

/// @notice Passes a call on, so that the transaction shows nothing of it.
contract Relay {
    function pass(address to, bytes calldata data) external {
        (bool good, bytes memory answer) = to.call(data);
        if (good) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}

/// @notice Who signs, who sends, and what is left of it as evidence.
contract SignersTest is MarketTest {
    // -------------------------------------------------- 4: a revoked operator in a common batch

    function test_aRevokedOperatorTakesNobodyElseDown() external {
        address watchdog = _someone("watchdog");
        address mallory = _someone("mallory");
        vm.startPrank(mallory, mallory);
        market.stakeAsSeller{value: 10 ether}();
        market.setSellerOperator(watchdog);
        vm.stopPrank();
        vm.prank(seller);
        market.setSellerOperator(watchdog);
        Order memory good = _sold(_terms(three, 3, arbitrator));
        Order memory bad = _buy(mallory, buyer, _terms(three, 3, arbitrator), three);
        orders.push(bad);
        _pastFallback();
        Delivery[] memory batch = new Delivery[](2);
        (batch[0], batch[1]) = (_delivery(bad, 2), _delivery(good, 2));
        Signature memory signature = _signed(batch, watchdog);
        vm.prank(mallory);
        market.setSellerOperator(address(0));
        market.deliverFragments(batch, signature);
        (, uint32 delivered,,,,) = market.sales(good.copyId);
        vm.assertEq(delivered, 4);
        (, delivered,,,,) = market.sales(bad.copyId);
        vm.assertEq(delivered, 0);
        _balanced();
    }

    // ------------------------------------------------------- 5: who has no key delivers nothing

    function test_anAccountWithoutAKeyDeliversNothing() external {
        address alias_ = address(0x1111000000000000000000000000000000c11220);
        vm.deal(alias_, 1 ether);
        vm.prank(alias_, alias_);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession());
        address[] memory who = _one(alias_);
        Order memory order = _buy(seller, buyer, _terms(who, 1, arbitrator), who);
        Delivery memory delivery = _delivery(order, 0);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.InvalidSignature.selector));
        vm.prank(alias_, alias_);
        market.deliverFragment(delivery, Signature(0, 0));
        Signature memory others = _signed(delivery, stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.NotYourPart.selector, alias_, stranger)
        );
        vm.prank(alias_, alias_);
        market.deliverFragment(delivery, others);
    }

    // ----------------------------------------- 6: evidence in the log, whatever carries the call

    function test_aRelayHidesNothing() external {
        Order memory order = _sold();
        _deliver(order, 1);
        Delivery[] memory batch = new Delivery[](2);
        // The second one is skipped: evidence all the same.
        (batch[0], batch[1]) = (_junk(order, 0), _junk(order, 1));
        batch[1].deliverer = three[0];
        Signature memory signature = _signed(batch, three[0]);
        Relay relay = new Relay();
        vm.recordLogs();
        relay.pass(
            address(market), abi.encodeCall(IMarketplace.deliverFragments, (batch, signature))
        );
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs[0].topics[0], IMarketplace.FragmentsSigned.selector);
        vm.assertEq(address(uint160(uint256(logs[0].topics[1]))), three[0]);
        vm.assertEq(logs[0].data, abi.encode(signature.r, signature.vs, _list(batch)));
        vm.assertEq(logs[1].topics[0], IMarketplace.FragmentDelivered.selector);
        Delivery memory d = batch[0];
        _tells(logs[1].data, d);
        // What the log tells is all that a proof needs.
        _proveOfList(order, d, batch, 0, signature);
        vm.assertEq(market.burnt(), 0.04 ether);
    }

    /// @dev Leaf and fragment, and nothing else.
    function _tells(bytes memory data, Delivery memory d) private pure {
        (,,,,, bytes32 ephemeralKey, bytes16 tag, bytes32 ciphertext) = abi.decode(
            data, (uint8, address, bytes32, bytes32, bytes32, bytes32, bytes16, bytes32)
        );
        vm.assertEq(abi.encodePacked(ephemeralKey, tag, ciphertext), d.fragment);
        bytes memory leaf = abi.encode(d.index, d.deliverer, d.commitment, d.secretHash, d.salt);
        vm.assertEq(data, bytes.concat(leaf, abi.encode(ephemeralKey, tag, ciphertext)));
    }

    function _proveOfList(
        Order memory order,
        Delivery memory junk,
        Delivery[] memory batch,
        uint256 position,
        Signature memory signature
    ) private {
        (JunkEvidence[] memory evidence, SignedList[] memory lists) = _evidence(junk, three[0]);
        lists[0] = SignedList(_list(batch), signature, position);
        vm.prank(buyer);
        market.proveJunk(
            order.copyId, order.sale, order.escrow, _keys(3), FRESH_KEY, evidence, lists
        );
    }

    /// @dev Bytes behind a fragment in the calldata are in no log.
    function test_dirtyBytesReachNoLog() external {
        Order memory order = _sold();
        Delivery memory delivery = _delivery(order, 0);
        bytes memory data =
            abi.encodeCall(IMarketplace.deliverFragment, (delivery, _signed(delivery, three[0])));
        for (uint256 i = data.length - 16; i < data.length; ++i) {
            data[i] = 0xff;
        }
        vm.recordLogs();
        (bool good,) = address(market).call(data);
        vm.assertTrue(good);
        bytes memory log = vm.getRecordedLogs()[1].data;
        _tells(log, delivery);
    }

    // --------------------------------------------------------------- forged and moved signatures

    function _isRefused(Delivery memory delivery, Signature memory signature) private {
        try market.deliverFragment(delivery, signature) {
            revert("delivered");
        } catch {}
        try market.deliverFragments(_batch(delivery), signature) {
            revert("delivered in a batch");
        } catch {}
    }

    function test_noSignatureServesTwice() external {
        Order memory order = _sold();
        Delivery memory delivery = _delivery(order, 0);
        Signature memory signature = _signed(delivery, three[0]);
        // On a fork of the chain.
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        _isRefused(delivery, signature);
        vm.chainId(chain);
        // Of every field that an entry is made of, another.
        bytes memory fragment = delivery.fragment;
        delivery.fragment = new bytes(80);
        _isRefused(delivery, signature);
        delivery.fragment = fragment;
        delivery.freshKey = FRESH_KEY;
        _isRefused(delivery, signature);
        delivery.freshKey = 0;
        Order memory second = _sold();
        _isRefused(_delivery(second, 0), signature);
        market.deliverFragment(delivery, signature);
    }

    /// @dev s of 255 bits may still be above half the order, where there are two signatures of one.
    function test_highSIsRefused() external {
        Order memory order = _sold();
        Delivery memory delivery = _delivery(order, 0);
        uint256 half = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
        for (uint256 s = half + 1; s < half + 4; ++s) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.InvalidSignature.selector));
            market.deliverFragment(delivery, Signature(bytes32(uint256(1)), bytes32(s)));
        }
    }

    // ------------------------------------------------------------ 14: a stolen operator's key

    function test_aStolenOperatorReachesMissingPartsOfTheFallbackAlone() external {
        address thief = _someone("thief");
        vm.prank(seller);
        market.setSellerOperator(thief);
        Order memory order = _sold();
        _deliver(order, 0);
        Delivery memory junk = _junk(order, 1);
        Signature memory signature = _signed(junk, thief);
        _skip(100);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.FallbackTooEarly.selector,
                order.copyId,
                order.sale.purchaseBlock + 101
            )
        );
        market.deliverFragment(junk, signature);
        _deliver(order, 1);
        _skip(1);
        _isRefused(junk, signature);
        // A supply is no evidence, and no part.
        _supply(junk, thief);
        _cannotProveSellers(order, junk);
        // The stolen key neither agrees nor concedes.
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, thief));
        vm.prank(thief);
        market.concede(order.copyId, order.sale, order.escrow);
        Split memory split = Split(1 ether, 0.5 ether, 0, _time());
        bytes32 digest = _agreement(order, split);
        (bytes memory b, bytes memory s) = (_signedBy(buyer, digest), _signedBy(thief, digest));
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAgreed.selector, seller));
        vm.prank(thief);
        market.agree(order.copyId, order.sale, order.escrow, split, b, s);
        _is(order, Status.Complete);
    }

    function _cannotProveSellers(Order memory order, Delivery memory junk) private {
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.EntryNotFound.selector, order.copyId, junk.index)
        );
        _proveSellers(order, junk);
    }

    /// @dev What an operator signed for a supply is, relayed as a delivery, a part of the seller's
    /// side like any other; what it signed after it was revoked is nothing.
    function test_aSupplyRelayedAsADelivery() external {
        address watchdog = _someone("watchdog");
        vm.prank(seller);
        market.setSellerOperator(watchdog);
        Order memory order = _sold();
        _pastFallback();
        Delivery memory part = _delivery(order, 0);
        Signature memory signature = _signed(part, watchdog);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingDelivered.selector));
        market.supplyFragments(_batch(part), signature);
        uint256 state = vm.snapshotState();
        market.deliverFragment(part, signature);
        vm.assertEq(market.sellerEntries(order.copyId, 0), Signing.entry(part));
        vm.revertToState(state);
        vm.prank(seller);
        market.setSellerOperator(address(0));
        _isRefused(part, signature);
    }

    /// @dev A seller names a deliverer operator without asking: the fee stays the deliverer's.
    function test_namedOperatorKeepsItsFee() external {
        Order memory order = _sold();
        vm.prank(seller);
        market.setSellerOperator(three[0]);
        _pastFallback();
        _deliver(order, 0);
        (,, uint256 earned,,) = market.deliverers(three[0]);
        vm.assertEq(earned, order.sale.fee);
        vm.assertEq(market.sellerEntries(order.copyId, 0), bytes32(0));
    }

    /// @dev The half that closes has no money and no sales of its own.
    function test_closingIsCodeAlone() external {
        Order memory order = _complete();
        address closing = market.CLOSING();
        bytes memory refused = abi.encodeWithSelector(IMarketplace.NotAllowed.selector, buyer);
        vm.expectRevert(refused);
        vm.prank(buyer);
        IMarketplace(closing).openDispute{value: 0.2 ether}(
            order.copyId, order.sale, order.escrow, 0
        );
        vm.expectRevert(refused);
        vm.prank(buyer);
        IMarketplace(closing).refund(order.copyId, order.sale, order.escrow);
    }
}
