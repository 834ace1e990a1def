// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Erc792Adapter} from "../../../contracts/arbitration/Erc792Adapter.sol";
import {IArbitrator, IEvidence, IArbitrable} from "../../../contracts/interfaces/IERC792.sol";
import {IMarketplace, Split, Status, Terms} from "../../../contracts/interfaces/IMarketplace.sol";
import {Vm} from "../Base.sol";
import {MarketTest} from "../MarketTest.sol";
import {PlainToken} from "../tokens/PlainToken.sol";
import {Court, HostileCourt} from "./Court.sol";

/// @notice Enters the adapter again while it is being paid; or refuses the coins.
contract Payee {
    Erc792Adapter private immutable ADAPTER;
    bool public refuses;
    bytes4 public answer;

    constructor(Erc792Adapter adapter) {
        ADAPTER = adapter;
    }

    function refuse(bool yes) external {
        refuses = yes;
    }

    function take(address to) external {
        ADAPTER.withdraw(to);
    }

    receive() external payable {
        require(!refuses, "no coins");
        try ADAPTER.withdraw(address(this)) {
            answer = 0x00000001;
        } catch (bytes memory reason) {
            answer = bytes4(reason);
        }
    }
}

contract Erc792AdapterTest is MarketTest {
    uint64 private constant SUBMIT_SECONDS = 3_600;
    uint256 private constant COST = 0.05 ether;
    uint256 private constant APPEAL_COST = 0.15 ether;
    bytes private constant COURT_DATA = hex"0007000000000003";

    Court private _court;
    Erc792Adapter private _adapter;
    address private _payer;

    function setUp() public override {
        super.setUp();
        _court = new Court();
        _adapter = _newAdapter(_court, SUBMIT_SECONDS);
        _payer = _someone("payer");
    }

    function _newAdapter(Court court, uint64 submitSeconds)
        private
        returns (Erc792Adapter adapter)
    {
        adapter = _newAdapter(market, court, submitSeconds);
        cast.push(address(adapter));
    }

    /// @dev As it is shipped, not as tests are compiled.
    function _newAdapter(IMarketplace market_, IArbitrator court, uint64 submitSeconds)
        private
        returns (Erc792Adapter)
    {
        bytes memory arguments =
            abi.encode(market_, court, COURT_DATA, submitSeconds, string("/ipfs/meta"));
        string memory artifact = ".build/forge/Erc792Adapter.sol/Erc792Adapter.json";
        return Erc792Adapter(payable(vm.deployCode(artifact, arguments)));
    }

    // ------------------------------------------------------------------------------- steps

    /// @dev A sale in dispute whose arbitrator is the adapter.
    function _disputed() private returns (Order memory order) {
        order = _sold(_terms(three, 2, address(_adapter)));
        _deliverAll(order);
        _dispute(order);
    }

    /// @dev As `_disputed`, with the cost paid.
    function _case() private returns (Order memory order, uint256 id) {
        order = _disputed();
        vm.prank(_payer);
        id = _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
    }

    function _ruled(uint256 ruling) private returns (Order memory order) {
        uint256 id;
        (order, id) = _case();
        _court.giveRuling(id, ruling);
        _skip(21);
        _court.executeRuling(id);
    }

    function _execute(Order memory order) private {
        vm.prank(stranger);
        _adapter.execute(order.copyId, order.sale, order.escrow);
    }

    function _lastRulingSecond(Order memory order) private view returns (uint256) {
        (,, uint32 since,,,) = market.sales(order.copyId);
        return order.sale.purchaseTime + since + ARBITRATION;
    }

    /// @dev The loser's bond pays the cost back, and the rest is the winner's.
    function _shared(address winner) private view {
        vm.assertEq(_adapter.credits(_payer), COST);
        vm.assertEq(_adapter.credits(winner), 0.2 ether - COST);
    }

    /// @dev The adapter owns what it owes.
    function _whole() private view {
        uint256 owed;
        for (uint256 i; i < cast.length; ++i) {
            owed += _adapter.credits(cast[i]);
        }
        vm.assertEq(address(_adapter).balance, owed);
        _balanced();
    }

    function _error(bytes4 selector, bytes32 a, uint256 b) private pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, a, b);
    }

    // ----------------------------------------------------------------------- construction

    function test_constructionNamesTheMetaEvidence() external {
        vm.recordLogs();
        Erc792Adapter adapter = _newAdapter(_court, ARBITRATION);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1);
        vm.assertEq(logs[0].topics[0], IEvidence.MetaEvidence.selector);
        vm.assertEq(logs[0].topics[1], bytes32(0));
        vm.assertEq(logs[0].data, abi.encode("/ipfs/meta"));
        vm.assertEq(address(adapter.MARKET()), address(market));
        vm.assertEq(address(adapter.ARBITRATOR()), address(_court));
        vm.assertEq(adapter.extraData(), COURT_DATA);
        vm.assertEq(adapter.SUBMIT_SECONDS(), ARBITRATION);
    }

    /// @dev A call of its own, or no revert would be expected of it.
    function create(IMarketplace market_, IArbitrator court, uint64 submitSeconds) external {
        _newAdapter(market_, court, submitSeconds);
    }

    function test_constructionRefusesNobody() external {
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.ZeroAddress.selector));
        this.create(IMarketplace(address(0)), _court, SUBMIT_SECONDS);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.ZeroAddress.selector));
        this.create(market, IArbitrator(address(0)), SUBMIT_SECONDS);
    }

    function test_constructionRefusesAnotherDeadline() external {
        bytes4 selector = Erc792Adapter.InvalidSubmitSeconds.selector;
        vm.expectRevert(abi.encodeWithSelector(selector, 0, ARBITRATION));
        this.create(market, _court, 0);
        vm.expectRevert(abi.encodeWithSelector(selector, ARBITRATION + 1, ARBITRATION));
        this.create(market, _court, ARBITRATION + 1);
    }

    // ---------------------------------------------------------------------- createDispute

    function test_createDispute() external {
        Order memory order = _disputed();
        vm.recordLogs();
        vm.prank(_payer);
        uint256 id =
            _adapter.createDispute{value: COST + 7}(order.copyId, order.sale, order.escrow);
        Vm.Log[] memory logs = vm.getRecordedLogs();

        vm.assertEq(address(_court).balance, COST);
        (IArbitrable arbitrated, bytes memory data, uint256 choices,,,) = _court.disputes(id);
        vm.assertEq(address(arbitrated), address(_adapter));
        vm.assertEq(data, COURT_DATA);
        vm.assertEq(choices, 3);
        vm.assertEq(_adapter.copyOf(id), order.copyId);
        (address payer,, bool ruled, bool closed, uint256 known, uint256 cost,,) =
            _adapter.cases(order.copyId);
        vm.assertEq(payer, _payer);
        vm.assertEq(known, id);
        vm.assertEq(cost, COST);
        vm.assertFalse(ruled);
        vm.assertFalse(closed);

        vm.assertEq(logs.length, 3);
        vm.assertEq(logs[1].topics[0], Erc792Adapter.CaseOpened.selector);
        vm.assertEq(logs[1].topics[1], order.copyId);
        vm.assertEq(logs[1].topics[2], bytes32(id));
        vm.assertEq(logs[1].topics[3], bytes32(uint256(uint160(_payer))));
        vm.assertEq(logs[1].data, abi.encode(COST));
        vm.assertEq(logs[2].topics[0], IEvidence.Dispute.selector);
        vm.assertEq(logs[2].topics[1], bytes32(uint256(uint160(address(_court)))));
        vm.assertEq(logs[2].topics[2], bytes32(id));
        vm.assertEq(logs[2].data, abi.encode(0, uint256(order.copyId)));

        // What was sent beyond the cost comes back, and nothing else is there.
        vm.assertEq(_adapter.credits(_payer), 7);
        _whole();
        vm.prank(_payer);
        _adapter.withdraw(stranger);
        vm.assertEq(stranger.balance, 1_000_000 ether + 7);
        _whole();
    }

    function test_createDisputeForLess() external {
        Order memory order = _disputed();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.Underpaid.selector, COST - 1, COST));
        vm.prank(_payer);
        _adapter.createDispute{value: COST - 1}(order.copyId, order.sale, order.escrow);
    }

    function test_createDisputeTwice() external {
        (Order memory order,) = _case();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.CaseExists.selector, order.copyId));
        vm.prank(stranger);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
    }

    function test_createDisputeOfAnotherState() external {
        Order memory order = _sold(_terms(three, 2, address(_adapter)));
        _deliverAll(order);
        vm.expectRevert(
            _error(Erc792Adapter.NotDisputed.selector, order.copyId, uint256(Status.Complete))
        );
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
    }

    function test_createDisputeWithAnotherSale() external {
        Order memory order = _disputed();
        order.sale.purchaseBlock += 1;
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.WrongSale.selector, order.copyId));
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        order.sale.purchaseBlock -= 1;
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.WrongSale.selector, bytes32("none")));
        vm.prank(_payer);
        _adapter.createDispute{value: COST}("none", order.sale, order.escrow);
    }

    function test_createDisputeWithAnotherEscrow() external {
        Order memory order = _disputed();
        order.escrow.bond += 1;
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.WrongEscrow.selector, order.copyId));
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
    }

    function test_createDisputeOfAnotherArbitrator() external {
        Order memory order = _complete();
        _dispute(order);
        vm.expectRevert(
            abi.encodeWithSelector(Erc792Adapter.NotArbitrator.selector, order.copyId, arbitrator)
        );
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
    }

    function test_createDisputeUntilTheLastSecond() external {
        Order memory order = _disputed();
        uint256 last = _lastRulingSecond(order);
        vm.warp(last + 1);
        vm.expectRevert(_error(Erc792Adapter.TooLate.selector, order.copyId, last));
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        vm.warp(last);
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
    }

    // --------------------------------------------------------------------- submitEvidence

    function test_submitEvidence() external {
        (Order memory order,) = _case();
        vm.expectEmit(address(_adapter));
        emit IEvidence.Evidence(_court, uint256(order.copyId), stranger, "/ipfs/seen");
        vm.prank(stranger);
        _adapter.submitEvidence(order.copyId, "/ipfs/seen");
    }

    function test_submitEvidenceWithoutACase() external {
        Order memory order = _disputed();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoCase.selector, order.copyId));
        _adapter.submitEvidence(order.copyId, "/ipfs/seen");
    }

    function test_submitEvidenceTooLate() external {
        Order memory order = _ruled(2);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.CaseClosed.selector, order.copyId));
        _adapter.submitEvidence(order.copyId, "/ipfs/seen");
    }

    // ------------------------------------------------------------------------------- rule

    function test_ruleByAnybodyElse() external {
        (Order memory order, uint256 id) = _case();
        address[3] memory others = [buyer, seller, order.escrow.arbitrator];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            _adapter.rule(id, 3);
        }
    }

    function test_ruleOfNoDispute() external {
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.UnknownDispute.selector, 5));
        _court.ruleAtOnce(_adapter, 5, 3);
    }

    function test_ruleTwice() external {
        Order memory order = _ruled(1);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.CaseClosed.selector, order.copyId));
        _court.ruleAtOnce(_adapter, 0, 3);
    }

    function test_ruleTellsIt() external {
        (Order memory order, uint256 id) = _case();
        vm.expectEmit(address(_adapter));
        emit IArbitrable.Ruling(_court, id, 3);
        _court.ruleAtOnce(_adapter, id, 3);
        (, uint8 ruling, bool ruled, bool closed,,,,) = _adapter.cases(order.copyId);
        vm.assertEq(ruling, 3);
        vm.assertTrue(ruled && closed);
    }

    /// @dev However late, and whatever became of the sale: the court is never blocked.
    function test_ruleAfterTheEnd() external {
        (Order memory order, uint256 id) = _case();
        _wait(ARBITRATION + 1);
        market.settle(order.copyId, order.sale, order.escrow);
        _court.ruleAtOnce(_adapter, id, 3);
        vm.expectRevert(
            _error(IMarketplace.WrongStatus.selector, order.copyId, uint256(Status.Settled))
        );
        _execute(order);
        _whole();
    }

    function test_ruleInTimeCarriedTooLate() external {
        Order memory order = _ruled(3);
        uint256 last = _lastRulingSecond(order);
        vm.warp(last + 1);
        vm.expectRevert(_error(IMarketplace.TooLate.selector, order.copyId, last));
        _execute(order);
        vm.warp(last);
        _execute(order);
        _is(order, Status.Resolved);
    }

    // ---------------------------------------------------------------------------- execute

    function test_executeForTheSeller() external {
        Order memory order = _ruled(1);
        _execute(order);
        _is(order, Status.Resolved);
        // The buyer's bond pays; three fees of the price went back to the stake.
        vm.assertEq(market.credits(buyer, address(0)), 0);
        vm.assertEq(market.credits(seller, address(0)), 1 ether - 0.015 ether);
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE);
        _shared(seller);
        _whole();
    }

    function test_executeForTheBuyer() external {
        Order memory order = _ruled(2);
        _execute(order);
        vm.assertEq(market.credits(buyer, address(0)), 1 ether + 0.2 ether);
        vm.assertEq(market.credits(seller, address(0)), 0);
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE - 0.015 ether - 0.2 ether);
        _shared(buyer);
        _whole();
    }

    function test_executeWithThePenalty() external {
        Order memory order = _ruled(3);
        vm.expectEmit(address(_adapter));
        emit Erc792Adapter.RulingCarried(order.copyId, 0, 3, COST, buyer, 0.2 ether - COST);
        _execute(order);
        vm.assertEq(market.credits(buyer, address(0)), 1 ether + 0.2 ether + 0.5 ether);
        vm.assertEq(
            market.sellerStakes(seller), SELLER_STAKE - 0.015 ether - 0.2 ether - 0.5 ether
        );
        _shared(buyer);
        _whole();
        // The bond leaves, and nothing stays.
        vm.prank(_payer);
        _adapter.withdraw(_payer);
        vm.assertEq(_payer.balance, 1_000_000 ether);
        vm.prank(buyer);
        _adapter.withdraw(buyer);
        vm.assertEq(address(_adapter).balance, 0);
    }

    /// @dev The attack: pay the cost oneself, so that a frivolous dispute costs no bond.
    function test_attackLoserPaysTheCost() external {
        Order memory order = _disputed();
        uint256 before = buyer.balance + 0.2 ether;
        vm.prank(buyer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        _court.ruleAtOnce(_adapter, 0, 1);
        _execute(order);
        vm.prank(buyer);
        _adapter.withdraw(buyer);
        vm.assertEq(buyer.balance, before - 0.2 ether);
        vm.assertEq(_adapter.credits(seller), 0.2 ether - COST);
        _whole();
    }

    /// @dev A bond below the cost pays back what it can; the winner has none of it.
    function test_executeWithASmallBond() external {
        Terms memory terms = _terms(three, 2, address(_adapter));
        terms.bond = 0.01 ether;
        Order memory order = _sold(terms);
        _deliverAll(order);
        _dispute(order);
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        _court.ruleAtOnce(_adapter, 0, 2);
        _execute(order);
        vm.assertEq(_adapter.credits(_payer), 0.01 ether);
        vm.assertEq(_adapter.credits(buyer), 0);
        _whole();
    }

    /// @dev 0 and whatever is no choice: nothing is submitted, the dispute ends by silence.
    function test_executeOfARefusal() external {
        uint256[3] memory refusals = [uint256(0), 4, 256 + 3];
        for (uint256 i; i < refusals.length; ++i) {
            Order memory order = _ruled(refusals[i]);
            vm.warp(_lastRulingSecond(order));
            vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoRuling.selector, order.copyId));
            _execute(order);
            _skip(1);
            uint256 before = market.credits(buyer, address(0));
            market.settle(order.copyId, order.sale, order.escrow);
            vm.assertEq(market.credits(buyer, address(0)) - before, 0.2 ether);
            _whole();
        }
    }

    function test_executeWithoutACase() external {
        Order memory order = _disputed();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoCase.selector, order.copyId));
        _execute(order);
    }

    function test_executeTwice() external {
        Order memory order = _ruled(3);
        _execute(order);
        vm.expectRevert(
            _error(IMarketplace.WrongStatus.selector, order.copyId, uint256(Status.Resolved))
        );
        _execute(order);
        _whole();
    }

    /// @dev Nobody names another bond or price: the marketplace compares, and all is undone.
    function test_executeWithAnotherEscrow() external {
        Order memory order = _ruled(3);
        order.escrow.bond = 100 ether;
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.WrongEscrow.selector, order.copyId));
        _execute(order);
        vm.assertEq(_adapter.credits(_payer), 0);
    }

    function test_executeWithAnotherSale() external {
        (Order memory order,) = _case();
        order.sale.purchaseBlock -= 1;
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.WrongSale.selector, order.copyId));
        _execute(order);
    }

    function test_executeWithoutABond() external {
        Terms memory terms = _terms(three, 2, address(_adapter));
        terms.bond = 0;
        Order memory order = _sold(terms);
        _deliverAll(order);
        _dispute(order);
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        _court.ruleAtOnce(_adapter, 0, 2);
        _execute(order);
        _is(order, Status.Resolved);
        vm.assertEq(_adapter.credits(_payer), 0);
        _whole();
    }

    function test_executeInAToken() external {
        PlainToken token = new PlainToken();
        token.mint(buyer, 5 ether);
        vm.prank(buyer);
        token.approve(address(market), 5 ether);
        Terms memory terms = _terms(three, 2, address(_adapter));
        terms.token = address(token);
        terms.price = 5 ether;
        Order memory order = _sold(terms);
        _deliverAll(order);
        _dispute(order);
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        _court.ruleAtOnce(_adapter, 0, 3);
        _execute(order);
        vm.assertEq(market.credits(buyer, address(token)), 5 ether);
        vm.assertEq(market.credits(buyer, address(0)), 0.2 ether + 0.5 ether);
        _shared(buyer);
        _whole();
        _balanced(address(token));
    }

    // ------------------------------------------------------------- bonds without a ruling

    function _collect(Order memory order) private {
        vm.prank(stranger);
        _adapter.collect(order.copyId, order.sale, order.escrow);
    }

    function _collectsNothing(Order memory order) private {
        vm.expectRevert(
            abi.encodeWithSelector(Erc792Adapter.NothingToCollect.selector, order.copyId)
        );
        _collect(order);
    }

    function _third(Order memory order) private view returns (uint256) {
        return _lastRulingSecond(order) - ARBITRATION + ARBITRATION / 3;
    }

    function _concede(Order memory order, address party) private {
        vm.prank(party);
        market.concede(order.copyId, order.sale, order.escrow);
    }

    function test_collectAfterTheSellerConceded() external {
        (Order memory order,) = _case();
        _collectsNothing(order);
        vm.warp(_third(order));
        _concede(order, seller);
        _collect(order);
        _shared(buyer);
        _collectsNothing(order);
        _whole();
    }

    function test_collectAfterTheBuyerConceded() external {
        (Order memory order,) = _case();
        vm.warp(_lastRulingSecond(order));
        _concede(order, buyer);
        _collect(order);
        _shared(seller);
        _whole();
    }

    /// @dev A second earlier nobody has paid the arbitrator.
    function test_collectAfterAnEarlyConcession() external {
        (Order memory order,) = _case();
        vm.warp(_third(order) - 1);
        _concede(order, seller);
        _collectsNothing(order);
        _whole();
    }

    function test_collectAfterSilenceOrARuling() external {
        (Order memory order,) = _case();
        vm.warp(_lastRulingSecond(order) + 1);
        market.settle(order.copyId, order.sale, order.escrow);
        _collectsNothing(order);
        order = _ruled(2);
        _execute(order);
        _collectsNothing(order);
        _whole();
    }

    function test_collectAfterAnAgreement() external {
        (Order memory order,) = _case();
        vm.warp(_third(order));
        _agree(order, Split(0.5 ether, 0, 0.2 ether, _time()));
        _collect(order);
        vm.assertEq(_adapter.credits(_payer), COST);
        vm.assertEq(_adapter.credits(buyer), (0.2 ether - COST) / 2);
        vm.assertEq(_adapter.credits(seller), (0.2 ether - COST) / 2);
        _whole();
    }

    /// @dev The bond of one sale came along when another one's ruling was carried.
    function test_collectWhatCameBefore() external {
        (Order memory order,) = _case();
        vm.warp(_third(order));
        _concede(order, seller);
        _execute(_ruled(3));
        _collect(order);
        _whole();
    }

    function test_collectWithAnotherSale() external {
        (Order memory order,) = _case();
        vm.warp(_third(order));
        _concede(order, seller);
        order.sale.purchaseTime -= 1;
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.WrongSale.selector, order.copyId));
        _collect(order);
        order.sale.purchaseTime += 1;
        order.escrow.bond += 1;
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.WrongEscrow.selector, order.copyId));
        _collect(order);
        order = _disputed();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoCase.selector, order.copyId));
        _collect(order);
    }

    // ----------------------------------------------------------------- the ruling in force

    function test_executeOfTheRulingInForce() external {
        (Order memory order, uint256 id) = _case();
        uint256 first = _lastRulingSecond(order) - SUBMIT_SECONDS + 1;
        vm.warp(first - 1);
        _court.giveRuling(id, 2);
        vm.expectRevert(_error(Erc792Adapter.TooEarly.selector, order.copyId, first));
        _execute(order);
        vm.warp(first);
        _execute(order);
        _is(order, Status.Resolved);
        vm.assertEq(market.credits(buyer, address(0)), 1.2 ether);
        _whole();
    }

    function test_executeOfTheRulingInForceInTheLastSecond() external {
        (Order memory order, uint256 id) = _case();
        uint256 last = _lastRulingSecond(order);
        vm.warp(last);
        _court.giveRuling(id, 2);
        vm.warp(last + 1);
        vm.expectRevert(_error(IMarketplace.TooLate.selector, order.copyId, last));
        _execute(order);
        vm.warp(last);
        _execute(order);
        _is(order, Status.Resolved);
    }

    /// @dev Votes of a round under way are no ruling.
    function test_executeWhileTheCourtDeliberates() external {
        (Order memory order, uint256 id) = _case();
        _court.vote(id, 3);
        vm.warp(_lastRulingSecond(order));
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoRuling.selector, order.copyId));
        _execute(order);
    }

    /// @dev The attack: the loser appeals so late that the clock runs out before another ruling.
    function test_attackAppealToBeatTheClock() external {
        (Order memory order, uint256 id) = _case();
        uint256 first = _lastRulingSecond(order) - SUBMIT_SECONDS + 1;
        vm.warp(first - 1);
        _court.giveRuling(id, 3);
        vm.prank(seller);
        _adapter.appeal{value: APPEAL_COST}(order.copyId);
        // The new round is tied, or leans to the seller: it is not over.
        _court.vote(id, 1);
        vm.warp(first);
        _execute(order);
        vm.assertEq(market.credits(buyer, address(0)), 1 ether + 0.2 ether + 0.5 ether);
        _shared(buyer);
        // The court finishes long after, unhindered; it changes nothing.
        vm.warp(first + 1000);
        _court.giveRuling(id, 1);
        _skip(21);
        _court.executeRuling(id);
        _is(order, Status.Resolved);
        _whole();
    }

    /// @dev As above, where appeals are not made through the adapter.
    function test_attackAppealBehindTheAdapter() external {
        (Order memory order, uint256 id) = _case();
        _court.giveRuling(id, 3);
        vm.expectEmit(address(_adapter));
        emit Erc792Adapter.RulingKept(order.copyId, id, 3);
        vm.prank(stranger);
        _adapter.keepRuling(order.copyId);
        vm.deal(address(_adapter), address(_adapter).balance + APPEAL_COST);
        vm.prank(address(_adapter));
        _court.appeal{value: APPEAL_COST}(id, "");
        vm.warp(_lastRulingSecond(order));
        _execute(order);
        vm.assertEq(market.credits(buyer, address(0)), 1 ether + 0.2 ether + 0.5 ether);
    }

    function test_appealThatChangesTheRuling() external {
        (Order memory order, uint256 id) = _case();
        _court.giveRuling(id, 3);
        vm.prank(seller);
        _adapter.appeal{value: APPEAL_COST}(order.copyId);
        _court.giveRuling(id, 1);
        vm.warp(_lastRulingSecond(order));
        _execute(order);
        vm.assertEq(market.credits(buyer, address(0)), 0);
        vm.assertEq(market.credits(seller, address(0)), 1 ether - 0.015 ether);
        _whole();
    }

    function test_lastRulingReplacesTheKeptOne() external {
        (Order memory order, uint256 id) = _case();
        _court.giveRuling(id, 3);
        vm.prank(seller);
        _adapter.appeal{value: APPEAL_COST}(order.copyId);
        _court.giveRuling(id, 0);
        _skip(21);
        _court.executeRuling(id);
        vm.warp(_lastRulingSecond(order));
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoRuling.selector, order.copyId));
        _execute(order);
    }

    function test_keepRulingWhileThereIsNone() external {
        (Order memory order,) = _case();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoRuling.selector, order.copyId));
        _adapter.keepRuling(order.copyId);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoCase.selector, bytes32("none")));
        _adapter.keepRuling("none");
    }

    function test_keepRulingOfAClosedCase() external {
        Order memory order = _ruled(3);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.CaseClosed.selector, order.copyId));
        _adapter.keepRuling(order.copyId);
    }

    function test_appeal() external {
        (Order memory order, uint256 id) = _case();
        _court.giveRuling(id, 2);
        vm.assertEq(_adapter.appealCost(order.copyId), APPEAL_COST);
        vm.expectRevert(
            abi.encodeWithSelector(Erc792Adapter.Underpaid.selector, APPEAL_COST - 1, APPEAL_COST)
        );
        vm.prank(seller);
        _adapter.appeal{value: APPEAL_COST - 1}(order.copyId);
        vm.expectEmit(address(_adapter));
        emit Erc792Adapter.RulingKept(order.copyId, id, 2);
        vm.expectEmit(address(_adapter));
        emit Erc792Adapter.CaseAppealed(order.copyId, id, seller, APPEAL_COST);
        vm.prank(seller);
        _adapter.appeal{value: APPEAL_COST + 3}(order.copyId);
        vm.assertEq(_adapter.credits(seller), 3);
        vm.assertEq(address(_court).balance, COST + APPEAL_COST);
        vm.assertEq(uint256(_court.disputeStatus(id)), uint256(IArbitrator.DisputeStatus.Waiting));
        _whole();
    }

    function test_appealWithoutACase() external {
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NoCase.selector, bytes32("none")));
        _adapter.appeal("none");
        Order memory order = _ruled(3);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.CaseClosed.selector, order.copyId));
        _adapter.appeal(order.copyId);
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.CaseClosed.selector, order.copyId));
        _adapter.appealCost(order.copyId);
    }

    // --------------------------------------------------------------------- hostile courts

    function test_courtThatGivesANumberTwice() external {
        HostileCourt court = _hostile();
        court.prepare(address(0), new bytes[](0), true);
        (Order memory order,) = _case();
        order = _disputed();
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.DisputeIdTaken.selector, 0));
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(order.copyId, order.sale, order.escrow);
        vm.assertEq(_adapter.copyOf(0), orders[0].copyId);
    }

    /// @dev From `createDispute` and from `appeal`, into everything.
    function test_courtThatCallsBack() external {
        HostileCourt court = _hostile();
        (Order memory order,) = _case();
        Order memory other = _disputed();
        bytes[] memory calls = new bytes[](6);
        calls[0] =
            abi.encodeCall(Erc792Adapter.createDispute, (order.copyId, order.sale, order.escrow));
        calls[1] = abi.encodeCall(Erc792Adapter.appeal, (order.copyId));
        calls[2] = abi.encodeCall(Erc792Adapter.keepRuling, (order.copyId));
        calls[3] = abi.encodeCall(Erc792Adapter.execute, (order.copyId, order.sale, order.escrow));
        calls[4] = abi.encodeCall(Erc792Adapter.withdraw, (address(court)));
        // A ruling needs no lock: it finds only disputes whose number is known.
        calls[5] = abi.encodeCall(Erc792Adapter.rule, (1, 3));
        court.prepare(address(_adapter), calls, false);
        vm.prank(_payer);
        _adapter.createDispute{value: COST}(other.copyId, other.sale, other.escrow);
        vm.prank(_payer);
        _adapter.appeal{value: APPEAL_COST}(order.copyId);
        vm.assertEq(court.answered(), 12);
        for (uint256 i; i < 11; ++i) {
            bytes4 expected =
                i == 5 ? Erc792Adapter.UnknownDispute.selector : Erc792Adapter.Reentered.selector;
            vm.assertEq(bytes32(court.answers(i)), bytes32(expected));
        }
        // By the appeal the other case is known, so the court's last word in it counts.
        vm.assertEq(bytes32(court.answers(11)), bytes32(0));
        _whole();
    }

    function _hostile() private returns (HostileCourt court) {
        court = new HostileCourt();
        _court = court;
        _adapter = _newAdapter(court, SUBMIT_SECONDS);
    }

    // ------------------------------------------------------------------------------ coins

    function test_coinsFromAnybodyElse() external {
        vm.prank(stranger);
        (bool taken, bytes memory reason) = address(_adapter).call{value: 1}("");
        vm.assertFalse(taken);
        vm.assertEq(reason, abi.encodeWithSelector(Erc792Adapter.NotAllowed.selector, stranger));
    }

    function test_withdrawNothing() external {
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.NothingToWithdraw.selector));
        _adapter.withdraw(stranger);
    }

    function test_withdrawByAHostilePayee() external {
        Payee payee = new Payee(_adapter);
        vm.deal(address(payee), 1 ether);
        cast.push(address(payee));
        Order memory order = _disputed();
        vm.prank(address(payee));
        _adapter.createDispute{value: COST + 9}(order.copyId, order.sale, order.escrow);
        _court.ruleAtOnce(_adapter, 0, 1);
        _execute(order);
        uint256 owed = COST + 9;

        payee.refuse(true);
        vm.expectRevert(
            abi.encodeWithSelector(Erc792Adapter.TransferFailed.selector, address(payee), owed)
        );
        payee.take(address(payee));
        vm.expectRevert(abi.encodeWithSelector(Erc792Adapter.ZeroAddress.selector));
        payee.take(address(0));
        vm.assertEq(_adapter.credits(address(payee)), owed);

        payee.refuse(false);
        payee.take(address(payee));
        vm.assertEq(bytes32(payee.answer()), bytes32(Erc792Adapter.Reentered.selector));
        vm.assertEq(address(payee).balance, 1 ether - COST - 9 + owed);
        vm.assertEq(_adapter.credits(address(payee)), 0);
        _whole();
    }
}
