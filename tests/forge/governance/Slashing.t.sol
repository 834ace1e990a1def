// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Slash} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";

/// @notice The governor is a plain account here; see `DaoTest` for the others.
contract SlashingTest is MarketTest {
    uint256 private constant DELAY = SLASH_DELAY;
    uint256 private constant LAPSE = SLASH_LAPSE;
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
        uint256 first = _time() + DELAY;
        vm.expectEmit(address(market));
        emit IMarketplace.SlashProposed(
            1, _mallory, _victim, 0.04 ether, REASON, first, first + LAPSE
        );
        vm.assertEq(_propose(0.04 ether), 1);
        Slash memory slash = market.slashes(1);
        vm.assertEq(slash.operator, _mallory);
        vm.assertEq(slash.beneficiary, _victim);
        vm.assertEq(slash.amount, 0.04 ether);
        vm.assertEq(slash.firstTime, first);
        vm.assertEq(slash.lastTime, first + LAPSE);
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
        bytes memory nothing =
            abi.encodeWithSelector(IMarketplace.NothingToSlash.selector, _mallory);
        vm.expectRevert(nothing);
        _propose(0);
        // However much is asked for: what stands there.
        _propose(type(uint256).max);
        vm.assertEq(market.slashes(1).amount, MIN_STAKE);
        vm.assertEq(market.slashes(1).stake, MIN_STAKE);
        _wait(DELAY);
        market.executeSlashing(1);
        Order memory order = _sold();
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotRegistered.selector, _mallory));
        _propose(1);
        _deliver(order, 1);
        _balanced();
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
        uint256 first = _time() + DELAY;
        _propose(0.04 ether);
        _propose(0.03 ether);
        vm.warp(first - 1);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.SlashTooEarly.selector, 1, first));
        market.executeSlashing(1);
        vm.warp(first);
        vm.expectEmit(address(market));
        emit IMarketplace.SlashExecuted(1, _mallory, _victim, 0.04 ether);
        vm.prank(stranger);
        market.executeSlashing(1);
        _got(0.04 ether);
        vm.warp(first + LAPSE);
        market.executeSlashing(2);
        _got(0.07 ether);
        vm.assertEq(market.delivererStakes(_mallory), 0.03 ether);
        _balanced();
    }

    function test_executeTwice() external {
        _propose(0.04 ether);
        _wait(DELAY);
        market.executeSlashing(1);
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
        vm.expectRevert(_gone(1));
        _cancel(1);
        _got(0.04 ether);
        vm.assertEq(market.slashes(1).lastTime, 0);
    }

    function test_executeAfterItLapsed() external {
        _propose(0.04 ether);
        _wait(DELAY + LAPSE + 1);
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
        _wait(DELAY);
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
        _wait(DELAY);
        market.executeSlashing(1);
        Order memory order = _sold();
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotEligible.selector, _mallory));
        _deliver(order, 0);
        market.addDelivererStake{value: 1}(_mallory);
        _deliver(order, 0);
    }

    function test_beneficiaryAsProposed() external {
        _propose(0.04 ether);
        _wait(DELAY);
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
        _wait(DELAY);
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
        _wait(EXIT);
        uint256 last = _time() + DELAY + LAPSE;
        _propose(0.04 ether);
        vm.expectRevert(_frozen(last));
        _leave();
        _wait(DELAY);
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
        _wait(EXIT);
        uint256 last = _time() + DELAY + LAPSE;
        _propose(0.04 ether);
        vm.warp(last);
        vm.expectRevert(_frozen(last));
        _leave();
        vm.warp(last + 1);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether);
    }

    function test_freezeEndsWithTheCancel() external {
        _requestExit();
        _wait(EXIT);
        _propose(0.04 ether);
        _cancel(1);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether);
    }

    /// @dev With several proposals the last one open keeps the stake in.
    function test_freezeOfSeveral() external {
        _requestExit();
        _propose(0.01 ether);
        _wait(50);
        _propose(0.02 ether);
        _wait(EXIT - 50 - 1);
        uint256 last = _time() + DELAY + LAPSE;
        _propose(0.03 ether);
        // The first two have lapsed with their freeze: only the third counts.
        _wait(1);
        vm.expectRevert(_frozen(last));
        _leave();
        _cancel(3);
        _leave();
    }

    function test_freezeUntilEveryOneIsDone() external {
        _requestExit();
        _wait(EXIT);
        _propose(0.01 ether);
        _propose(0.02 ether);
        _propose(0.03 ether);
        uint256 last = _time() + DELAY + LAPSE;
        _wait(DELAY);
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
        _wait(LAPSE);
        _propose(0.02 ether);
        uint256 last = _time() + DELAY + LAPSE;
        // The first one lapses, the second one can be executed.
        _wait(DELAY + 1);
        vm.expectRevert(_gone(1));
        market.executeSlashing(1);
        market.executeSlashing(2);
        vm.assertEq(market.frozenUntil(_mallory), last);
        vm.warp(last + 1);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _wait(EXIT);
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether - 0.02 ether);
    }

    /// @dev Proposals of long ago do not count when a new one ends.
    function test_freezeForgetsTheLapsed() external {
        _requestExit();
        _propose(0.01 ether);
        _wait(EXIT);
        _propose(0.02 ether);
        _cancel(2);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _leave();
    }

    /// @dev Each deliverer has a freeze of its own.
    function test_freezeOfAnother() external {
        _requestExit();
        _wait(EXIT);
        _propose(three[1], 1, _victim);
        _leave();
        vm.assertTrue(market.frozenUntil(three[1]) != 0);
    }

    /// @dev While its exit runs a deliverer is slashable, to the last second.
    function test_slashedDuringTheExit() external {
        _requestExit();
        _wait(EXIT - DELAY);
        _propose(MIN_STAKE);
        _wait(DELAY);
        vm.expectRevert(_frozen(_time() + LAPSE));
        _leave();
        market.executeSlashing(1);
        _got(MIN_STAKE);
        // The request is answered with nothing: the stake is gone.
        _leave();
        vm.assertEq(_mallory.balance, 1_000_000 ether - MIN_STAKE);
        _balanced();
    }

    /// @dev A proposal outlives the stake it was made against, and takes nothing of the next.
    function test_registersAnewUnderAProposal() external {
        _propose(MIN_STAKE);
        _propose(0.04 ether);
        _wait(DELAY);
        market.executeSlashing(1);
        // Stake and record are empty, so it registers anew; the open proposal still stands.
        vm.prank(_mallory);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession());
        vm.assertTrue(market.frozenUntil(_mallory) != 0);
        market.executeSlashing(2);
        vm.assertEq(market.delivererStakes(_mallory), MIN_STAKE);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _got(MIN_STAKE);
        _balanced();
    }

    /// @dev What joins the stake later is not there to be taken, but what is taken comes out of it.
    function test_laterStakeIsNotSlashed() external {
        _propose(MIN_STAKE);
        _propose(MIN_STAKE);
        market.addDelivererStake{value: 1 ether}(_mallory);
        _wait(DELAY);
        market.executeSlashing(1);
        market.executeSlashing(2);
        _got(MIN_STAKE);
        vm.assertEq(market.delivererStakes(_mallory), 1 ether);
        _balanced();
    }

    /// @dev A fine counts as gone of the stake that stood there.
    function test_finedUnderAProposal() external {
        Order memory order = _sold();
        _deliver(_junk(order, 0), _mallory);
        _propose(MIN_STAKE);
        _prove(order, _junk(order, 0));
        market.addDelivererStake{value: 1 ether}(_mallory);
        _wait(DELAY);
        market.executeSlashing(1);
        _got(MIN_STAKE - 0.05 ether);
        vm.assertEq(market.delivererStakes(_mallory), 1 ether);
        _balanced();
    }

    /// @dev A governor who proposes again and again holds a stake for one delay and lapse.
    function test_noFreezeForEver() external {
        _requestExit();
        uint256 cap = _time() + EXIT + DELAY + LAPSE;
        _wait(EXIT);
        for (uint256 i; i < 3; ++i) {
            _propose(1);
            vm.assertEq(market.frozenUntil(_mallory), cap);
            if (i != 2) _wait(DELAY);
        }
        vm.warp(cap);
        vm.expectRevert(_frozen(cap));
        _leave();
        vm.warp(cap + 1);
        vm.assertEq(market.frozenUntil(_mallory), 0);
        _leave();
        // What was proposed last can be executed, and takes nothing of what is staked anew.
        vm.prank(_mallory);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession());
        vm.assertTrue(market.frozenUntil(_mallory) != 0);
        _wait(DELAY);
        market.executeSlashing(3);
        vm.assertEq(market.delivererStakes(_mallory), MIN_STAKE);
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
        _wait(1);
        _propose(_mallory, MIN_STAKE, stranger);
        _wait(DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.SlashTooEarly.selector, 2, _time() + 1)
        );
        vm.prank(_mallory);
        market.executeSlashing(2);
        market.executeSlashing(1);
        _wait(1);
        market.executeSlashing(2);
        _got(MIN_STAKE);
        vm.assertEq(market.credits(stranger, address(0)), 0);
    }

    /// @dev A self-slash ends neither the request's delay nor the freeze of another proposal.
    function test_attackSelfSlashDuringTheExit() external {
        market.addDelivererStake{value: 1 ether}(_mallory);
        _requestExit();
        uint256 available = _time() + EXIT;
        _propose(_mallory, 1, _mallory);
        _wait(DELAY);
        _propose(1 ether);
        uint256 last = _time() + DELAY + LAPSE;
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
            _propose(1 + amounts[i] % (0.05 ether));
        }
        _wait(DELAY);
        uint256 taken;
        for (uint256 i; i < amounts.length; ++i) {
            uint256 id = (order % amounts.length + i) % amounts.length + 1;
            uint256 amount = 1 + amounts[id - 1] % (0.05 ether);
            market.executeSlashing(id);
            taken += amount < state - taken ? amount : state - taken;
            _got(taken);
            vm.assertEq(market.delivererStakes(_mallory), state - taken);
            vm.assertTrue((market.frozenUntil(_mallory) == 0) == (i + 1 == amounts.length));
        }
        _balanced();
    }
}
