// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Slash} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";

/// @notice The governor is a plain account here; see `DaoTest` for the others.
contract SlashingTest is MarketTest {
    uint256 private constant DELAY = 105;
    uint256 private constant LAPSE = 130;
    bytes32 private constant REASON = keccak256("the case");

    address private _mallory;
    address private _victim;

    function setUp() public override {
        super.setUp();
        _mallory = three[0];
        _victim = _someone("victim");
    }

    // ------------------------------------------------------------------------------- steps

    function _propose(uint256 amount) private returns (uint256) {
        return _propose(_mallory, amount, _victim);
    }

    function _propose(address operator, uint256 amount, address beneficiary)
        private
        returns (uint256)
    {
        vm.prank(governor);
        return market.proposeSlashing(operator, amount, beneficiary, REASON);
    }

    function _cancel(uint256 id) private {
        vm.prank(governor);
        market.cancelSlashing(id);
    }

    function _requestExit() private {
        vm.prank(_mallory);
        market.requestExit(_mallory);
    }

    function _leave() private {
        vm.prank(_mallory);
        market.withdrawDelivererStake(_mallory, _mallory);
    }

    function _frozen(uint256 last) private view returns (bytes memory) {
        return abi.encodeWithSelector(IMarketplace.StakeFrozen.selector, _mallory, last);
    }

    function _gone(uint256 id) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IMarketplace.NoSlash.selector, id);
    }

    function _got(uint256 amount) private view {
        vm.assertEq(market.credits(_victim, address(0)), amount);
    }

    // --------------------------------------------------------------------------- governors

    function test_noGovernor() external {
        _deploy(address(0));
        address mallory = _deliverer("mallory");
        address[3] memory others = [address(0), governor, mallory];
        for (uint256 i; i < others.length; ++i) {
            // No transaction comes from the zero address, and no other is asked.
            if (others[i] == address(0)) continue;
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.proposeSlashing(mallory, 1, _victim, REASON);
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.cancelSlashing(1);
        }
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
    }

    function test_onlyTheGovernor() external {
        _propose(1);
        address[5] memory others = [_mallory, seller, buyer, arbitrator, _victim];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.proposeSlashing(_mallory, 1, others[i], REASON);
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.cancelSlashing(1);
        }
    }

    // ----------------------------------------------------------------------------- proposing

    function test_propose() external {
        uint256 first = _block() + DELAY;
        vm.expectEmit(address(market));
        emit IMarketplace.SlashProposed(
            1, _mallory, _victim, 0.04 ether, REASON, first, first + LAPSE
        );
        vm.assertEq(_propose(0.04 ether), 1);
        Slash memory slash = market.slashes(1);
        vm.assertEq(slash.operator, _mallory);
        vm.assertEq(slash.beneficiary, _victim);
        vm.assertEq(slash.amount, 0.04 ether);
        vm.assertEq(slash.firstBlock, first);
        vm.assertEq(slash.lastBlock, first + LAPSE);
        vm.assertEq(market.frozenUntil(_mallory), first + LAPSE);
        vm.assertEq(_propose(1), 2);
        // Nothing has moved.
        vm.assertEq(market.delivererStakes(_mallory), MIN_STAKE);
        _got(0);
    }

    function test_proposeNonsense() external {
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotRegistered.selector, stranger));
        _propose(stranger, 1, _victim);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.ZeroAddress.selector));
        _propose(_mallory, 1, address(0));
        uint256 much = uint256(type(uint96).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.AmountTooLarge.selector, much));
        _propose(_mallory, much, _victim);
        _propose(_mallory, much - 1, _victim);
    }

    /// @dev A proposal alone does not end the right to deliver.
    function test_deliversWhileProposed() external {
        _propose(MIN_STAKE);
        Order memory order = _sold();
        _deliver(order, 0);
        (,, uint256 earned,,) = market.deliverers(_mallory);
        vm.assertEq(earned, order.sale.fee);
    }

    // ----------------------------------------------------------------------------- executing

    function test_executeAtTheEdges() external {
        uint256 first = _block() + DELAY;
        _propose(0.04 ether);
        _propose(0.03 ether);
        vm.roll(first - 1);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.SlashTooEarly.selector, 1, first));
        market.executeSlashing(1);
        vm.roll(first);
        vm.expectEmit(address(market));
        emit IMarketplace.SlashExecuted(1, _mallory, _victim, 0.04 ether);
        vm.prank(stranger);
        market.executeSlashing(1);
        _got(0.04 ether);
        vm.roll(first + LAPSE);
        market.executeSlashing(2);
        _got(0.07 ether);
        vm.assertEq(market.delivererStakes(_mallory), 0.03 ether);
        _balanced();
    }

    function test_executeTwice() external {
        _propose(0.04 ether);
        _skip(DELAY);
        market.executeSlashing(1);
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
        vm.expectRevert(_gone(1));
        _cancel(1);
        _got(0.04 ether);
        vm.assertEq(market.slashes(1).lastBlock, 0);
    }

    function test_executeAfterItLapsed() external {
        _propose(0.04 ether);
        _skip(DELAY + LAPSE + 1);
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
        vm.expectRevert(_gone(1));
        _cancel(1);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _got(0);
    }

    /// @dev What is left of the stake, and no more: not of another's, not of what was earned.
    function test_executeBeyondTheStake() external {
        Order memory order = _sold();
        _deliver(order, 0);
        _propose(type(uint96).max);
        _skip(DELAY);
        vm.expectEmit(address(market));
        emit IMarketplace.SlashExecuted(1, _mallory, _victim, MIN_STAKE);
        market.executeSlashing(1);
        _got(MIN_STAKE);
        vm.assertEq(market.delivererStakes(_mallory), 0);
        vm.assertEq(market.delivererStakes(three[1]), MIN_STAKE);
        (,, uint256 earned,,) = market.deliverers(_mallory);
        vm.assertEq(earned, order.sale.fee);
        _balanced();
    }

    /// @dev Below the minimum it delivers no more, until it has stake again.
    function test_slashedBelowTheMinimum() external {
        _propose(1);
        _skip(DELAY);
        market.executeSlashing(1);
        Order memory order = _sold();
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotEligible.selector, _mallory));
        _deliver(order, 0);
        market.addDelivererStake{value: 1}(_mallory);
        _deliver(order, 0);
    }

    function test_beneficiaryAsProposed() external {
        _propose(0.04 ether);
        _skip(DELAY);
        address[3] memory callers = [_mallory, stranger, governor];
        uint256 state = vm.snapshotState();
        for (uint256 i; i < callers.length; ++i) {
            vm.prank(callers[i]);
            market.executeSlashing(1);
            _got(0.04 ether);
            vm.assertEq(market.credits(callers[i], address(0)), 0);
            vm.revertToState(state);
            state = vm.snapshotState();
        }
    }

    function test_cancel() external {
        _propose(0.04 ether);
        vm.expectEmit(address(market));
        emit IMarketplace.SlashCancelled(1, _mallory);
        _cancel(1);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _skip(DELAY);
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
        vm.expectRevert(_gone(1));
        _cancel(1);
        vm.expectRevert(_gone(2));
        _cancel(2);
        vm.assertEq(market.delivererStakes(_mallory), MIN_STAKE);
    }

    // ------------------------------------------------------------------------------- the exit

    /// @dev The stake stays until the proposal is executed, and what is left leaves then.
    function test_freezesAMaturedExit() external {
        _requestExit();
        _skip(EXIT);
        uint256 last = _block() + DELAY + LAPSE;
        _propose(0.04 ether);
        vm.expectRevert(_frozen(last));
        _leave();
        _skip(DELAY);
        vm.expectRevert(_frozen(last));
        _leave();
        market.executeSlashing(1);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether - 0.04 ether);
        _got(0.04 ether);
        _balanced();
    }

    function test_freezeEndsWithTheLapse() external {
        _requestExit();
        _skip(EXIT);
        uint256 last = _block() + DELAY + LAPSE;
        _propose(0.04 ether);
        vm.roll(last);
        vm.expectRevert(_frozen(last));
        _leave();
        vm.roll(last + 1);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether);
    }

    function test_freezeEndsWithTheCancel() external {
        _requestExit();
        _skip(EXIT);
        _propose(0.04 ether);
        _cancel(1);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether);
    }

    /// @dev With several proposals the last one open keeps the stake in.
    function test_freezeOfSeveral() external {
        _requestExit();
        _propose(0.01 ether);
        _skip(50);
        _propose(0.02 ether);
        _skip(EXIT - 50 - 1);
        uint256 last = _block() + DELAY + LAPSE;
        _propose(0.03 ether);
        // The first two have lapsed with their freeze: only the third counts.
        _skip(1);
        vm.expectRevert(_frozen(last));
        _leave();
        _cancel(3);
        _leave();
    }

    function test_freezeUntilEveryOneIsDone() external {
        _requestExit();
        _skip(EXIT);
        _propose(0.01 ether);
        _propose(0.02 ether);
        _propose(0.03 ether);
        uint256 last = _block() + DELAY + LAPSE;
        _skip(DELAY);
        market.executeSlashing(2);
        vm.expectRevert(_frozen(last));
        _leave();
        _cancel(1);
        vm.expectRevert(_frozen(last));
        _leave();
        market.executeSlashing(3);
        _leave();
        _got(0.05 ether);
        vm.assertEq(_mallory.balance, 1_000_000 ether - 0.05 ether);
        _balanced();
    }

    /// @dev One that lapsed behind a later one: the freeze lasts until the later one lapses, never
    /// shorter.
    function test_freezeWithOneLapsed() external {
        _requestExit();
        _propose(0.01 ether);
        _skip(LAPSE);
        _propose(0.02 ether);
        uint256 last = _block() + DELAY + LAPSE;
        // The first one lapses, the second one can be executed.
        _skip(DELAY + 1);
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
        market.executeSlashing(2);
        vm.assertEq(market.frozenUntil(_mallory), last);
        vm.roll(last + 1);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _skip(EXIT);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether - 0.02 ether);
    }

    /// @dev Proposals of long ago do not count when a new one ends.
    function test_freezeForgetsTheLapsed() external {
        _requestExit();
        _propose(0.01 ether);
        _skip(EXIT);
        _propose(0.02 ether);
        _cancel(2);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _leave();
    }

    /// @dev Each deliverer has a freeze of its own.
    function test_freezeOfAnother() external {
        _requestExit();
        _skip(EXIT);
        _propose(three[1], 1, _victim);
        _leave();
        vm.assertTrue(market.frozenUntil(three[1]) != 0);
    }

    /// @dev While its exit runs a deliverer is slashable, to the last block.
    function test_slashedDuringTheExit() external {
        _requestExit();
        _skip(EXIT - DELAY);
        _propose(MIN_STAKE);
        _skip(DELAY);
        vm.expectRevert(_frozen(_block() + LAPSE));
        _leave();
        market.executeSlashing(1);
        _got(MIN_STAKE);
        // The request is answered with nothing: the stake is gone.
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether - MIN_STAKE);
        _balanced();
    }

    /// @dev A proposal outlives the stake it was made against, and takes from the next.
    function test_registersAnewUnderAProposal() external {
        _propose(MIN_STAKE);
        _propose(0.04 ether);
        _skip(DELAY);
        market.executeSlashing(1);
        // Stake and record are empty, so it registers anew; the open proposal still stands.
        vm.prank(_mallory, _mallory);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY);
        vm.assertTrue(market.frozenUntil(_mallory) != 0);
        market.executeSlashing(2);
        vm.assertEq(market.delivererStakes(_mallory), 0.06 ether);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _got(0.14 ether);
        _balanced();
    }

    // ------------------------------------------------------------------------- the self-slash

    /// @dev The attack: leave before the exit's delay by a slash to oneself. Whoever is not the
    /// governor cannot propose one.
    function test_attackSelfSlashByTheDeliverer() external {
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, _mallory));
        vm.prank(_mallory);
        market.proposeSlashing(_mallory, MIN_STAKE, _mallory, REASON);
    }

    /// @dev And if a governor was talked into it: not before the slash delay, in public, and what
    /// was proposed before can be executed first, by anybody.
    function test_attackSelfSlashBehindAnother() external {
        _propose(MIN_STAKE);
        _skip(1);
        _propose(_mallory, MIN_STAKE, stranger);
        _skip(DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.SlashTooEarly.selector, 2, _block() + 1)
        );
        vm.prank(_mallory);
        market.executeSlashing(2);
        market.executeSlashing(1);
        _skip(1);
        market.executeSlashing(2);
        _got(MIN_STAKE);
        vm.assertEq(market.credits(stranger, address(0)), 0);
    }

    /// @dev A self-slash ends neither the request's delay nor the freeze of another proposal.
    function test_attackSelfSlashDuringTheExit() external {
        market.addDelivererStake{value: 1 ether}(_mallory);
        _requestExit();
        uint256 available = _block() + EXIT;
        _propose(_mallory, 1, _mallory);
        _skip(DELAY);
        _propose(1 ether);
        uint256 last = _block() + DELAY + LAPSE;
        market.executeSlashing(1);
        vm.assertEq(market.frozenUntil(_mallory), last);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.ExitPending.selector, _mallory, available)
        );
        _leave();
    }

    /// @dev Takes all that is allowed in any order: the books hold, and no stake is taken twice.
    function testFuzz_manySlashes(uint96[6] calldata amounts, uint256 order) external {
        uint256 state = market.delivererStakes(_mallory);
        for (uint256 i; i < amounts.length; ++i) {
            _propose(amounts[i] % (0.05 ether));
        }
        _skip(DELAY);
        uint256 taken;
        for (uint256 i; i < amounts.length; ++i) {
            uint256 id = (order % amounts.length + i) % amounts.length + 1;
            uint256 amount = amounts[id - 1] % (0.05 ether);
            market.executeSlashing(id);
            taken += amount < state - taken ? amount : state - taken;
            _got(taken);
            vm.assertEq(market.delivererStakes(_mallory), state - taken);
            vm.assertTrue((market.frozenUntil(_mallory) == 0) == (i + 1 == amounts.length));
        }
        _balanced();
    }
}
