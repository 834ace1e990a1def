// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    Setup,
    Split,
    Status
} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";

/// @notice A seller who is its own deliverers, or who gives in before the arbitrator is paid.
contract OwnDeliverersTest is MarketTest {
    address[] private _own;

    function _ownSale(uint256 parts, uint8 threshold) private returns (Order memory order) {
        for (uint256 i = _own.length; i < parts; ++i) {
            _own.push(_deliverer(string(abi.encode("own", i))));
        }
        order = _buy(seller, buyer, _terms(_own, threshold, arbitrator), _own);
        orders.push(order);
    }

    // ------------------------------------------------- 1: called off in the block of the purchase

    function test_callingASaleOffCostsTheWholePenalty() external {
        Order memory order = _ownSale(3, 3);
        uint256 block_ = _block();
        _deliverAll(order);
        vm.prank(seller);
        market.concede(order.copyId, order.sale, order.escrow);
        vm.assertEq(_block(), block_);
        vm.assertEq(market.credits(buyer, address(0)), 1.5 ether);
        vm.prank(buyer);
        market.rateSale(order.copyId, order.sale, 1);
        _balanced();
    }

    // -------------------------------------------------------- 2: k - 1 own parts, and then silence

    function test_partsOfOwnDeliverersShrinkNoPenalty() external {
        for (uint256 parts; parts < 5; ++parts) {
            Order memory order = _ownSale(5, 5);
            uint256 before = market.credits(buyer, address(0));
            for (uint256 i; i < parts; ++i) {
                _deliver(order, i);
            }
            _wait(REFUND + 1);
            market.refund(order.copyId, order.sale, order.escrow);
            vm.assertEq(market.credits(buyer, address(0)), before + 1.5 ether);
            _balanced();
        }
    }

    // -------------------------------------------------------------- 3: in front of the ruling

    function test_whoConcedesInFrontOfARulingPaysTheArbitrator() external {
        address[2] memory losers = [seller, buyer];
        for (uint256 i; i < 2; ++i) {
            Order memory order = _complete();
            _dispute(order);
            uint256 paid = market.credits(arbitrator, address(0));
            _wait(ARBITRATION / 3 - 1);
            uint256 state = vm.snapshotState();
            vm.prank(losers[i]);
            market.concede(order.copyId, order.sale, order.escrow);
            vm.assertEq(market.credits(arbitrator, address(0)), paid);
            vm.revertToState(state);
            _wait(1);
            vm.prank(losers[i]);
            market.concede(order.copyId, order.sale, order.escrow);
            vm.assertEq(market.credits(arbitrator, address(0)), paid + 0.2 ether);
            _balanced();
        }
    }

    function test_whoAgreesInFrontOfARulingPaysTheArbitrator() external {
        Order memory order = _complete();
        _dispute(order);
        _wait(ARBITRATION / 3);
        Split memory split = Split(0.5 ether, 0, 0.2 ether - 1, _time());
        bytes32 digest = _agreement(order, split);
        (bytes memory ofBuyer, bytes memory ofSeller) =
            (_signedBy(buyer, digest), _signedBy(seller, digest));
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.InvalidSplit.selector, order.copyId));
        market.agree(order.copyId, order.sale, order.escrow, split, ofBuyer, ofSeller);
        split.toArbitrator = 0.2 ether;
        _agree(order, split);
        vm.assertEq(market.credits(arbitrator, address(0)), 0.2 ether);
        _balanced();
    }

    /// @dev Nor by a proof of one's own junk.
    function test_aProofInFrontOfARulingPaysTheArbitrator() external {
        Order memory order = _sold(_terms(three, 1, arbitrator));
        _pastFallback();
        Delivery memory junk = _junk(order, 0);
        _deliver(junk, seller);
        _dispute(order);
        _wait(ARBITRATION / 3);
        _proveSellers(order, junk);
        vm.assertEq(market.credits(arbitrator, address(0)), 0.2 ether);
        vm.assertEq(market.credits(buyer, address(0)), 1.7 ether + order.sale.fee);
        _balanced();
    }

    // -------------------------------------------------------- 20: an old agreement as an option

    function _refused(Order memory order, Split memory split, bytes memory b, bytes memory s)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAgreed.selector, buyer));
        market.agree(order.copyId, order.sale, order.escrow, split, b, s);
    }

    function test_anAgreementEndsWithTheStateItWasMadeIn() external {
        Order memory order = _sold();
        _pastFallback();
        Split memory split = Split(0.9 ether, 0, 0, _time() + 1_000_000);
        bytes32 digest = _agreement(order, split);
        (bytes memory b, bytes memory s) = (_signedBy(buyer, digest), _signedBy(seller, digest));
        _deliver(order, 1);
        _deliver(_junk(order, 0), three[0]);
        _refused(order, split, b, s); // Complete
        digest = _agreement(order, split);
        (bytes memory b2, bytes memory s2) = (_signedBy(buyer, digest), _signedBy(seller, digest));
        _wait(60);
        _prove(order, _junk(order, 0));
        _refused(order, split, b, s); // Purchased again, by a proof: not as it was
        _refused(order, split, b2, s2);
        _wait(60);
        _deliver(_replacement(order, 0), seller);
        _refused(order, split, b2, s2); // Complete again
        _dispute(order);
        _refused(order, split, b2, s2);
    }

    function test_anAgreementEndsWithItsDeadline() external {
        Order memory order = _complete();
        Split memory split = Split(0.9 ether, 0, 0, _time() + 10);
        bytes32 digest = _agreement(order, split);
        (bytes memory b, bytes memory s) = (_signedBy(buyer, digest), _signedBy(seller, digest));
        _wait(11);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.TooLate.selector, order.copyId, split.deadline)
        );
        market.agree(order.copyId, order.sale, order.escrow, split, b, s);
        vm.warp(_time() - 1);
        market.agree(order.copyId, order.sale, order.escrow, split, b, s);
        _is(order, Status.Agreed);
    }

    /// @dev Before the gate deliverers are at work whom it would not pay.
    function test_noAgreementBeforeTheGate() external {
        Order memory order = _sold();
        Split memory split = Split(1 ether, 0, 0, _time() + 10_000);
        bytes32 digest = _agreement(order, split);
        (bytes memory b, bytes memory s) = (_signedBy(buyer, digest), _signedBy(seller, digest));
        bytes memory early = abi.encodeWithSelector(
            IMarketplace.BeforeGate.selector, order.copyId, order.sale.purchaseBlock + 101
        );
        _skip(100);
        vm.expectRevert(early);
        market.agree(order.copyId, order.sale, order.escrow, split, b, s);
        _skip(1);
        market.agree(order.copyId, order.sale, order.escrow, split, b, s);
    }

    // ------------------------------------------------------------- 16: the order of the windows

    function test_noDeploymentClosesBeforeProofs() external {
        Setup memory setup = _setup(governor);
        setup.windows.dispute = PROOF - 1;
        try this.deployed(setup) {
            revert("deployed");
        } catch {}
        setup.windows.dispute = PROOF;
        this.deployed(setup);
    }

    /// @dev Twice as long no longer fits in 64 bits.
    function test_aRefundWindowOfAnyLengthIsRefusedAsOne() external {
        uint64[2] memory lengths = [uint64(1 << 63), type(uint64).max];
        for (uint256 i; i < lengths.length; ++i) {
            Setup memory setup = _setup(governor);
            setup.windows.refund = lengths[i];
            bytes memory code =
                bytes.concat(vm.getCode("Marketplace.sol:Marketplace"), abi.encode(setup));
            vm.expectRevert(
                abi.encodeWithSelector(
                    IMarketplace.InvalidWindow.selector,
                    bytes32("refund"),
                    uint256(lengths[i]),
                    3_600,
                    1 << 24
                )
            );
            this.created(code);
        }
    }

    /// @dev Fails as the constructor does.
    function created(bytes memory code) external {
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 32), mload(code))) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    function deployed(Setup memory setup) external returns (address) {
        return _deployed(setup);
    }
}
