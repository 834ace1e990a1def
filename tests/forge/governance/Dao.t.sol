// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {IMarketplace, Setup, Slash} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";
import {Dao, VoteToken} from "./Dao.sol";

/// @notice OpenZeppelin's own timelock and governor as the market's `GOVERNOR`.
contract DaoTest is MarketTest {
    uint256 private constant TIMELOCK = 2 days;
    /// Longer than a vote and the timelock, so that the same vote can take a slash back.
    uint64 private constant DELAY = 4 days;
    bytes32 private constant REASON = keccak256("the case");

    TimelockController private _timelock;
    Dao private _dao;
    address private _voter;
    address private _minority;
    address private _victim;

    function setUp() public override {
        super.setUp();
        delete three;
        _voter = _someone("voter");
        _minority = _someone("minority");
        _victim = _someone("victim");
        VoteToken token = new VoteToken();
        token.mint(_voter, 60 ether);
        token.mint(_minority, 9 ether);
        token.mint(stranger, 31 ether);
        vm.prank(_voter);
        token.delegate(_voter);
        vm.prank(_minority);
        token.delegate(_minority);
        _skip(1);

        // Anyone executes what the timelock has let through; only the governor proposes to it.
        _timelock =
            new TimelockController(TIMELOCK, new address[](0), new address[](1), address(this));
        _dao = new Dao(token, _timelock);
        _timelock.grantRole(_timelock.PROPOSER_ROLE(), address(_dao));
        _timelock.grantRole(_timelock.CANCELLER_ROLE(), address(_dao));
        _timelock.renounceRole(_timelock.DEFAULT_ADMIN_ROLE(), address(this));
        _deployFor(address(_timelock));
        three.push(_deliverer("mallory"));
    }

    function _deployFor(address owner) private {
        Setup memory setup = _setup(owner);
        setup.windows.slashDelay = DELAY;
        setup.windows.exit += DELAY;
        market = IMarketplace(_deployed(setup));
    }

    // ---------------------------------------------------------------------------- timelock

    /// @dev A timelock with an account that proposes, and no governor.
    function test_timelockAlone() external {
        TimelockController timelock =
            new TimelockController(TIMELOCK, _one(governor), _one(governor), address(0));
        _deployFor(address(timelock));
        address mallory = _deliverer("mallory");
        bytes memory call =
            abi.encodeCall(IMarketplace.proposeSlashing, (mallory, 0.1 ether, _victim, REASON));
        vm.prank(governor);
        timelock.schedule(address(market), 0, call, 0, 0, TIMELOCK);
        _wait(TIMELOCK - 1);
        vm.prank(governor);
        (bool good,) = address(timelock)
            .call(abi.encodeCall(TimelockController.execute, (address(market), 0, call, 0, 0)));
        vm.assertFalse(good);
        _wait(1);
        vm.prank(governor);
        timelock.execute(address(market), 0, call, 0, 0);
        vm.assertTrue(market.frozenUntil(mallory) != 0);
        // Whoever proposes to the timelock is nobody to the market.
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, governor));
        vm.prank(governor);
        market.cancelSlashing(1);
        _wait(DELAY);
        market.executeSlashing(1);
        vm.assertEq(market.credits(_victim, address(0)), 0.1 ether);
        _balanced();
    }

    // ---------------------------------------------------------------------------- governor

    function _propose(bytes memory call)
        private
        returns (address[] memory, uint256[] memory, bytes[] memory, uint256 id)
    {
        address[] memory targets = _one(address(market));
        uint256[] memory values = new uint256[](1);
        bytes[] memory calls = new bytes[](1);
        calls[0] = call;
        vm.prank(_minority);
        id = _dao.propose(targets, values, calls, "slash");
        return (targets, values, calls, id);
    }

    /// @dev Propose, vote, queue, wait, execute; and then the market's own delay.
    function test_votedSlash() external {
        address mallory = three[0];
        (address[] memory to, uint256[] memory values, bytes[] memory calls, uint256 id) = _propose(
            abi.encodeCall(IMarketplace.proposeSlashing, (mallory, 0.07 ether, _victim, REASON))
        );
        bytes32 text = keccak256("slash");
        _skip(2);
        vm.prank(_voter);
        _dao.castVote(id, 1);
        vm.prank(_minority);
        _dao.castVote(id, 0);
        _skip(50);
        vm.assertEq(uint256(_dao.state(id)), uint256(IGovernor.ProposalState.Succeeded));
        vm.assertEq(market.frozenUntil(mallory), 0);
        _dao.queue(to, values, calls, text);
        _wait(TIMELOCK);
        vm.expectEmit(address(market));
        emit IMarketplace.SlashProposed(
            1, mallory, _victim, 0.07 ether, REASON, _time() + DELAY, _time() + DELAY + SLASH_LAPSE
        );
        vm.prank(stranger);
        _dao.execute(to, values, calls, text);

        Slash memory slash = market.slashes(1);
        vm.assertEq(slash.beneficiary, _victim);
        vm.assertEq(market.frozenUntil(mallory), _time() + DELAY + SLASH_LAPSE);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.SlashTooEarly.selector, 1, _time() + DELAY)
        );
        market.executeSlashing(1);
        _wait(DELAY);
        vm.prank(stranger);
        market.executeSlashing(1);
        vm.assertEq(market.credits(_victim, address(0)), 0.07 ether);
        vm.assertEq(market.delivererStakes(mallory), 0.03 ether);
        vm.prank(_victim);
        market.withdraw(address(0), _victim);
        vm.assertEq(_victim.balance, 1_000_000 ether + 0.07 ether);
        _balanced();
    }

    /// @dev A minority below the quorum moves nothing.
    function test_votedDown() external {
        (address[] memory to, uint256[] memory values, bytes[] memory calls, uint256 id) = _propose(
            abi.encodeCall(IMarketplace.proposeSlashing, (three[0], 0.07 ether, _victim, REASON))
        );
        _skip(2);
        vm.prank(_minority);
        _dao.castVote(id, 1);
        _skip(50);
        vm.assertEq(uint256(_dao.state(id)), uint256(IGovernor.ProposalState.Defeated));
        (bool good,) = address(_dao)
            .call(abi.encodeCall(IGovernor.queue, (to, values, calls, keccak256("slash"))));
        vm.assertFalse(good);
        vm.assertEq(market.frozenUntil(three[0]), 0);
    }

    /// @dev The DAO takes its slash back by another vote, while the market's delay still runs.
    function test_votedCancel() external {
        address mallory = three[0];
        vm.prank(address(_timelock));
        market.proposeSlashing(mallory, 0.07 ether, _victim, REASON);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls, uint256 id) =
            _propose(abi.encodeCall(IMarketplace.cancelSlashing, (1)));
        _skip(2);
        vm.prank(_voter);
        _dao.castVote(id, 1);
        _skip(50);
        _dao.queue(targets, values, calls, keccak256("slash"));
        _wait(TIMELOCK);
        _dao.execute(targets, values, calls, keccak256("slash"));
        vm.assertEq(market.frozenUntil(mallory), 0);
        _wait(1 days);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NoSlash.selector, 1));
        market.executeSlashing(1);
    }

    /// @dev Neither the governor contract nor who votes there is the market's governor.
    function test_onlyTheTimelockProposes() external {
        address[4] memory others = [address(_dao), _voter, governor, address(0)];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.proposeSlashing(three[0], 1, _victim, REASON);
        }
    }
}
