// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    Permit,
    Slash,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {PlainToken} from "../tokens/PlainToken.sol";
import {ReentrantToken} from "../tokens/ReentrantToken.sol";
import {TestToken} from "../tokens/TestToken.sol";
import {World} from "./World.sol";

/// @notice Every action of everybody, with inputs for which the model says that it works: if the
/// market refuses one of them the run fails (`fail_on_revert`).
contract Handler is World {
    constructor() {
        for (uint256 i = 1; i < tokens.length; ++i) {
            for (uint256 j; j < buyers.length; ++j) {
                TestToken(tokens[i]).mint(buyers[j], 1e9 ether);
                vm.prank(buyers[j]);
                // A silent token returns nothing, so it is called without a type.
                (bool good,) = tokens[i].call(
                    abi.encodeCall(TestToken.approve, (address(market), type(uint256).max))
                );
                require(good, "approve");
            }
        }
        for (uint256 i; i < sellers.length; ++i) {
            list(i);
        }
    }

    /// @notice What the fuzzer may call.
    function actions() external pure virtual returns (bytes4[] memory list_) {
        list_ = new bytes4[](32);
        list_[0] = this.mine.selector;
        list_[1] = this.reachTheNextEdge.selector;
        list_[2] = this.list.selector;
        list_[3] = this.closeStore.selector;
        list_[4] = this.buy.selector;
        list_[5] = this.buyByPermit.selector;
        list_[6] = this.deliver.selector;
        list_[7] = this.deliverBatch.selector;
        list_[8] = this.deliverMissing.selector;
        list_[9] = this.supply.selector;
        list_[10] = this.confirm.selector;
        list_[11] = this.settle.selector;
        list_[12] = this.refund.selector;
        list_[13] = this.concede.selector;
        list_[14] = this.openDispute.selector;
        list_[15] = this.resolve.selector;
        list_[16] = this.submitEvidence.selector;
        list_[17] = this.rate.selector;
        list_[18] = this.stakeAsSeller.selector;
        list_[19] = this.withdrawSellerStake.selector;
        list_[20] = this.setOperator.selector;
        list_[21] = this.addDelivererStake.selector;
        list_[22] = this.requestExit.selector;
        list_[23] = this.cancelExit.selector;
        list_[24] = this.leave.selector;
        list_[25] = this.announce.selector;
        list_[26] = this.withdrawEarnings.selector;
        list_[27] = this.withdraw.selector;
        list_[28] = this.propose.selector;
        list_[29] = this.executeSlash.selector;
        list_[30] = this.cancelSlash.selector;
        list_[31] = this.forceIn.selector;
    }

    // ------------------------------------------------------------------------------- blocks

    function mine(uint256 seed) external {
        vm.roll(_block() + 1 + _random(seed, "blocks", 20));
    }

    /// @notice To the block before, at or after something begins or ends for some sale.
    function reachTheNextEdge(uint256 seed) external {
        if (open.length == 0) return;
        Deal storage deal = deals[open[_random(seed, "deal", open.length)]];
        uint256 edge = deal.sale.purchaseBlock + 100;
        if (deal.status == Status.Purchased && _random(seed, "late", 8) == 0) {
            edge = deal.sale.purchaseBlock + REFUND;
        }
        if (deal.status == Status.Complete && _block() >= _gate(deal)) {
            edge = _lastDisputeBlock(deal);
        }
        if (deal.status == Status.Disputed) edge = deal.disputedAt + ARBITRATION;
        edge = edge - 1 + _random(seed, "side", 3);
        if (edge > _block()) vm.roll(edge);
    }

    // ------------------------------------------------------------------------------- sellers

    function list(uint256 seed) public {
        _publish(_draw(seed, sellers[_random(seed, "seller", sellers.length)], _kinds()));
    }

    /// @dev How many of the tokens items are sold for.
    function _kinds() internal view virtual returns (uint256) {
        return honest;
    }

    /// @dev Whether the model says nothing of purchases in a token.
    function _isOdd(address token) internal view returns (bool) {
        for (uint256 i = honest; i < tokens.length; ++i) {
            if (tokens[i] == token) return true;
        }
        return false;
    }

    function closeStore(uint256 seed) external {
        address seller = sellers[_random(seed, "seller", sellers.length)];
        if (digests[seller] == 0 || _random(seed, "really", 4) != 0) return;
        delete catalogue[seller];
        _update(seller, keccak256("closed"), 0);
    }

    function stakeAsSeller(uint256 seed) external {
        address seller = sellers[_random(seed, "seller", sellers.length)];
        uint256 amount = _random(seed, "amount", 2 ether);
        uint256 before = market.sellerStakes(seller);
        vm.prank(seller);
        market.stakeAsSeller{value: amount}();
        _same("seller's stake", market.sellerStakes(seller), before + amount);
    }

    function withdrawSellerStake(uint256 seed) external {
        address seller = sellers[_random(seed, "seller", sellers.length)];
        uint256 free = market.sellerStakes(seller);
        if (free == 0) return;
        uint256 amount = 1 + _random(seed, "amount", free < 2 ether ? free : 2 ether);
        if (amount > free) amount = free;
        uint256 before = SINK.balance;
        vm.prank(seller);
        market.withdrawSellerStake(amount, SINK);
        ++times["seller's stake taken"];
        _same("sink", SINK.balance, before + amount);
        _same("seller's stake", market.sellerStakes(seller), free - amount);
    }

    function setOperator(uint256 seed) external {
        uint256 i = _random(seed, "seller", sellers.length);
        vm.prank(sellers[i]);
        market.setSellerOperator(_random(seed, "none", 4) == 0 ? address(0) : operators[i]);
    }

    // -------------------------------------------------------------------------------- buyers

    /// @dev An item in a catalogue with a copy left, whose seller has the stake for it.
    function _offered(uint256 seed) internal returns (bool found, uint256 id, uint256 place) {
        if (!_room()) return (false, 0, 0);
        uint256 first = _random(seed, "seller", sellers.length);
        address seller;
        for (uint256 i; i < 2 * sellers.length && !found; ++i) {
            seller = sellers[(first + i) % sellers.length];
            place = i / sellers.length;
            if (place >= catalogue[seller].length) continue;
            id = catalogue[seller][place];
            found = items[id].next < items[id].terms.supply;
        }
        if (!found) return (false, 0, 0);
        uint256 reserve = _reserveOf(items[id].terms);
        uint256 free = market.sellerStakes(seller);
        if (free < reserve) {
            vm.prank(seller);
            market.stakeAsSeller{value: reserve - free}();
        }
        return (true, id, place);
    }

    function _reserveOf(Terms memory terms) internal pure returns (uint256) {
        uint256 fees = terms.commission / terms.parts * uint256(terms.parts);
        return fees + terms.penalty + (terms.arbitrator == address(0) ? 0 : terms.bond);
    }

    function buy(uint256 seed) external {
        (bool found, uint256 id, uint256 place) = _offered(seed);
        if (!found) return;
        address buyer = buyers[_random(seed, "buyer", buyers.length)];
        Terms memory terms = items[id].terms;
        if (terms.arbitrator == buyer) return;
        if (terms.token == tokens[3]) _arm(seed, ReentrantToken.From.TransferFrom);
        uint256 extra = _random(seed, "extra", 3);
        uint256 credit = market.credits(buyer, address(0));
        uint256 stake = market.sellerStakes(items[id].seller);
        if (!_buy(id, place, buyer, extra)) {
            require(_isOdd(terms.token), "buyItem");
            return;
        }
        if (terms.token == tokens[3]) _disarm();
        if (terms.token != address(0)) extra = 0;
        _same("change", market.credits(buyer, address(0)), credit + extra);
        _same("R", stake - market.sellerStakes(items[id].seller), _reserveOf(terms));
    }

    /// @dev A permit that is worth nothing, before a purchase that the allowance covers.
    function buyByPermit(uint256 seed) external {
        (bool found, uint256 id, uint256 place) = _offered(seed);
        if (!found || items[id].terms.token == address(0)) return;
        address buyer = buyers[_random(seed, "buyer", buyers.length)];
        if (items[id].terms.arbitrator == buyer) return;
        if (items[id].terms.token == tokens[3]) _arm(seed, ReentrantToken.From.Permit);
        if (!_buyByPermit(id, place, buyer)) {
            require(_isOdd(items[id].terms.token), "buyItemByPermit");
            return;
        }
        ++times["bought by permit"];
        if (items[id].terms.token == tokens[3]) _disarm();
    }

    /// @dev Three entry points, another three each time.
    function _arm(uint256 seed, ReentrantToken.From from) internal {
        bytes[] memory entries = EntryPoints.all(tokens[3]);
        bytes[] memory calls = new bytes[](3);
        uint256 first = _random(seed, "entry", entries.length);
        for (uint256 i; i < calls.length; ++i) {
            calls[i] = entries[(first + i) % entries.length];
        }
        ReentrantToken(tokens[3]).prepare(from, address(market), calls);
    }

    function _disarm() internal {
        bytes[] memory answers = ReentrantToken(tokens[3]).answers();
        for (uint256 i; i < answers.length; ++i) {
            if (bytes4(answers[i]) != IMarketplace.Reentered.selector) {
                revert Reentered(tokens[3]);
            }
        }
        ReentrantToken(tokens[3]).prepare(ReentrantToken.From.Nowhere, address(0), new bytes[](0));
    }

    // ---------------------------------------------------------------------------- deliveries

    /// @dev An open deal, a part, and who may deliver it now.
    function _deliverable(uint256 seed, uint256 who)
        internal
        view
        returns (bool found, uint256 id, uint256 index, address by)
    {
        uint256 first = _random(seed, "deal", open.length + 1);
        for (uint256 i; i < open.length; ++i) {
            id = open[(first + i) % open.length];
            uint256 parts = deals[id].sale.parts;
            uint256 start = _random(seed, "part", parts);
            for (uint256 j; j < parts; ++j) {
                index = (start + j) % parts;
                address seller = deals[id].sale.seller;
                if (who == 0) by = items[deals[id].item].deliverers[index];
                else by = who == 1 ? seller : market.sellerOperator(seller);
                if (_mayDeliver(id, index, by)) return (true, id, index, by);
            }
        }
        return (false, 0, 0, address(0));
    }

    function deliver(uint256 seed) external {
        for (uint256 i; i < 6; ++i) {
            (bool found, uint256 id, uint256 index, address by) = _deliverable(seed ^ i, 0);
            if (found) _deliver(id, index, by);
        }
    }

    /// @notice The seller or the operator delivers what is missing.
    function deliverMissing(uint256 seed) external {
        uint256 who = 1 + _random(seed, "who", 2);
        (bool found, uint256 id, uint256 index, address by) = _deliverable(seed, who);
        if (found) _deliver(id, index, by);
    }

    /// @notice One deliverer hands in all that it has for up to three sales, some of it twice.
    function deliverBatch(uint256 seed) external {
        address who = deliverers[_random(seed, "deliverer", deliverers.length)];
        if (open.length == 0) return;
        Delivery[] memory batch = new Delivery[](12);
        uint256 size;
        uint256 done;
        uint256 fees;
        for (uint256 i; i < 3 && i < open.length; ++i) {
            uint256 id = open[(_random(seed, "deal", open.length) + i) % open.length];
            for (uint256 index; index < deals[id].sale.parts && size < 11; ++index) {
                if (!_isOwn(deals[id], index, who)) continue;
                batch[size++] = _delivery(id, index);
                if (!_mayDeliver(id, index, who)) continue;
                if (_random(seed, "twice", 3) == 0) batch[size++] = _delivery(id, index);
                ++done;
                fees += deals[id].sale.fee;
                _arrived(id, index, true);
            }
        }
        if (done == 0) return;
        assembly ("memory-safe") {
            mstore(batch, size)
        }
        (,, uint256 earned,,) = market.deliverers(who);
        vm.prank(who, who);
        market.deliverFragments(batch);
        ++times["batches"];
        (,, uint256 earnedNow,,) = market.deliverers(who);
        _same("earned", earnedNow, earned + fees);
        for (uint256 i; i < open.length; ++i) {
            _agree(open[i]);
        }
    }

    function supply(uint256 seed) external {
        for (uint256 i; i < open.length; ++i) {
            uint256 id = open[(_random(seed, "deal", open.length) + i) % open.length];
            address by = market.sellerOperator(deals[id].sale.seller);
            if (deals[id].parts == 0 || by == address(0)) continue;
            uint256 index;
            while (!_has(deals[id], index)) ++index;
            Delivery[] memory batch = new Delivery[](1);
            batch[0] = _delivery(id, index);
            vm.prank(by, by);
            market.supplyFragments(batch);
            ++times["supplied"];
            _agree(id);
            return;
        }
    }

    // --------------------------------------------------------------------------------- steps

    /// @dev Some deal and one of its parties, or a stranger, for whom a step is allowed now.
    function _step(Step step, uint256 seed) internal {
        // A sale that ends at once is seen in no other state.
        bool ends = step == Step.Confirm || step == Step.Concede || step == Step.Settle;
        bool inDispute = step == Step.Concede && _random(seed, "in dispute", 2) == 0;
        if (ends && !inDispute && _random(seed, "really", 3) != 0) return;
        if (step == Step.Resolve && _random(seed, "really", 2) != 0) return;
        // Rates what has ended, and takes every other step with what has not.
        uint256 number = step == Step.Rate ? deals.length : open.length;
        uint256 first = _random(seed, "deal", number + 1);
        for (uint256 i; i < number && i < 40; ++i) {
            uint256 id = (first + i) % number;
            if (step != Step.Rate) id = open[id];
            if (inDispute && deals[id].status != Status.Disputed) continue;
            address[4] memory callers = [
                deals[id].sale.buyer, deals[id].sale.seller, deals[id].escrow.arbitrator, stranger
            ];
            uint256 start = _random(seed, "caller", 4);
            for (uint256 j; j < 4; ++j) {
                address caller = callers[(start + j) % 4];
                if (caller == address(0) || !_may(step, id, caller)) continue;
                _take(step, id, caller, seed);
                return;
            }
        }
    }

    function confirm(uint256 seed) external {
        _step(Step.Confirm, seed);
    }

    function settle(uint256 seed) external {
        _step(Step.Settle, seed);
    }

    function refund(uint256 seed) external {
        _step(Step.Refund, seed);
    }

    function concede(uint256 seed) external {
        _step(Step.Concede, seed);
    }

    function openDispute(uint256 seed) external {
        _step(Step.Dispute, seed);
    }

    function resolve(uint256 seed) external {
        _step(Step.Resolve, seed);
    }

    function submitEvidence(uint256 seed) external {
        _step(Step.Evidence, seed);
    }

    function rate(uint256 seed) external {
        _step(Step.Rate, seed);
    }

    // ---------------------------------------------------------------------------- deliverers

    function addDelivererStake(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        (address owner, uint256 stake,,, uint256 exitBlock) = market.deliverers(deliverers[i]);
        // After a whole exit without a record it comes anew; otherwise anybody adds to it.
        if (owner == address(0)) {
            ++times["registered anew"];
            return _register(i);
        }
        if (exitBlock != 0) return;
        uint256 amount = _random(seed, "amount", 0.3 ether);
        vm.prank(stranger);
        market.addDelivererStake{value: amount}(deliverers[i]);
        _same("stake", market.delivererStakes(deliverers[i]), stake + amount);
    }

    function announce(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        (address owner,,,,) = market.deliverers(deliverers[i]);
        if (owner == address(0)) return;
        _same("owner", uint160(owner), uint160(owners[i]));
        vm.prank(_random(seed, "who", 2) == 0 ? owner : deliverers[i]);
        market.postTerms(deliverers[i], seed, true);
        vm.prank(_random(seed, "who", 2) == 0 ? owner : deliverers[i]);
        market.rotateDelivererKey(deliverers[i], KEY);
    }

    function requestExit(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        (address owner,,,, uint256 exitBlock) = market.deliverers(deliverers[i]);
        if (owner == address(0) || exitBlock != 0 || _random(seed, "really", 6) != 0) return;
        vm.prank(owner);
        market.requestExit(deliverers[i]);
        (,,,, exitBlock) = market.deliverers(deliverers[i]);
        _same("exit", exitBlock, _block() + EXIT);
    }

    function cancelExit(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        (,,,, uint256 exitBlock) = market.deliverers(deliverers[i]);
        if (exitBlock == 0 || _random(seed, "really", 3) != 0) return;
        vm.prank(owners[i]);
        market.cancelExit(deliverers[i]);
        ++times["exits cancelled"];
    }

    /// @notice Waits for the end of an exit, if nothing freezes the stake, and takes it.
    function leave(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        (, uint256 stake,,, uint256 exitBlock) = market.deliverers(deliverers[i]);
        if (exitBlock == 0) return;
        if (exitBlock > _block()) {
            if (_random(seed, "patient", 2) != 0) return;
            vm.roll(exitBlock);
        }
        if (market.frozenUntil(deliverers[i]) != 0) return;
        _same("open slashes", _openSlashes(deliverers[i]), 0);
        uint256 before = SINK.balance;
        vm.prank(owners[i]);
        market.withdrawDelivererStake(deliverers[i], SINK);
        ++times["exits"];
        _same("sink", SINK.balance, before + stake);
    }

    function withdrawEarnings(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        (,, uint256 earned,,) = market.deliverers(deliverers[i]);
        if (earned == 0) return;
        uint256 before = SINK.balance;
        vm.prank(owners[i]);
        market.withdrawEarnings(deliverers[i], SINK);
        ++times["earnings"];
        _same("sink", SINK.balance, before + earned);
    }

    // ------------------------------------------------------------------------------- credits

    /// @notice To the account itself where it takes coins, and else to another.
    function withdraw(uint256 seed) external {
        address token = tokens[_random(seed, "token", honest)];
        uint256 first = _random(seed, "who", cast.length);
        for (uint256 i; i < cast.length; ++i) {
            address who = cast[(first + i) % cast.length];
            uint256 credit = market.credits(who, token);
            if (credit == 0) continue;
            if (token == tokens[3]) _arm(seed, ReentrantToken.From.Transfer);
            vm.prank(who);
            (bool good,) =
                address(market).call(abi.encodeCall(IMarketplace.withdraw, (token, who)));
            if (!good) {
                _same("credit after a refusal", market.credits(who, token), credit);
                vm.prank(who);
                market.withdraw(token, SINK);
            }
            if (token == tokens[3]) _disarm();
            _same("credit", market.credits(who, token), 0);
            ++times[good ? "withdrawals" : "withdrawals refused"];
            return;
        }
    }

    // ------------------------------------------------------------------------------ governor

    function _isOpenSlash(Proposal storage p) internal view returns (bool) {
        return !p.ended && _block() <= p.lastBlock;
    }

    function _openSlashes(address operator) internal view returns (uint256 number) {
        for (uint256 i; i < proposals.length; ++i) {
            if (proposals[i].operator == operator && _isOpenSlash(proposals[i])) ++number;
        }
    }

    function propose(uint256 seed) external {
        address operator = deliverers[_random(seed, "deliverer", deliverers.length)];
        (address owner,,,,) = market.deliverers(operator);
        if (owner == address(0) || _random(seed, "really", 3) != 0) return;
        address beneficiary = cast[_random(seed, "beneficiary", cast.length)];
        uint256 amount = _random(seed, "amount", 0.15 ether);
        vm.prank(governor);
        uint256 id = market.proposeSlashing(operator, amount, beneficiary, "reason");
        uint256 first = _block() + DELAY;
        proposals.push(Proposal(operator, beneficiary, amount, first, first + LAPSE, false));
        _same("slash", id, proposals.length);
        Slash memory slash = market.slashes(id);
        _same("first", slash.firstBlock, first);
        _same("last", slash.lastBlock, first + LAPSE);
    }

    function executeSlash(uint256 seed) external {
        uint256 number = proposals.length;
        for (uint256 i; i < number; ++i) {
            uint256 id = (_random(seed, "slash", number) + i) % number;
            Proposal storage p = proposals[id];
            if (!_isOpenSlash(p)) continue;
            if (_block() < p.firstBlock) {
                if (_random(seed, "patient", 3) != 0) continue;
                vm.roll(p.firstBlock);
            }
            uint256 stake = market.delivererStakes(p.operator);
            uint256 credit = market.credits(p.beneficiary, address(0));
            p.ended = true;
            vm.prank(stranger);
            market.executeSlashing(id + 1);
            ++times["slashes"];
            uint256 taken = p.amount < stake ? p.amount : stake;
            _same("stake", market.delivererStakes(p.operator), stake - taken);
            _same("beneficiary", market.credits(p.beneficiary, address(0)), credit + taken);
            if (_openSlashes(p.operator) != 0 && market.frozenUntil(p.operator) == 0) {
                revert Differs("freeze", 0, 1);
            }
            return;
        }
    }

    function cancelSlash(uint256 seed) external {
        uint256 number = proposals.length;
        for (uint256 i; i < number; ++i) {
            uint256 id = (_random(seed, "slash", number) + i) % number;
            if (!_isOpenSlash(proposals[id])) continue;
            if (_random(seed, "really", 3) != 0) return;
            proposals[id].ended = true;
            vm.prank(governor);
            market.cancelSlashing(id + 1);
            ++times["slashes cancelled"];
            return;
        }
    }

    // -------------------------------------------------------------------------------- gifts

    /// @notice Coins and tokens that come without a call belong to nobody.
    function forceIn(uint256 seed) external {
        address token = tokens[_random(seed, "token", honest)];
        uint256 amount = _random(seed, "amount", 1 ether);
        forced[token] += amount;
        if (token == address(0)) vm.deal(address(market), address(market).balance + amount);
        else TestToken(token).mint(address(market), amount);
    }
}
