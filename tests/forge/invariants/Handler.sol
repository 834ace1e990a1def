// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    IMarketplace,
    Leaf,
    Slash,
    Split,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {ReentrantToken} from "../tokens/ReentrantToken.sol";
import {TestToken} from "../tokens/TestToken.sol";
import {Ends} from "./Ends.sol";
import {Table} from "./Table.sol";

/// @notice Every action of everybody on sales, with inputs for which the model says that it works:
/// if the market refuses one of them the run fails (`fail_on_revert`).
abstract contract Trade is Ends {
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

    function _anybody(uint256 seed) internal view returns (address) {
        return cast[_random(seed, "anybody", cast.length)];
    }

    /// @dev Some open deal, or none.
    function _some(uint256 seed) internal view returns (bool found, uint256 id) {
        if (open.length == 0) return (false, 0);
        return (true, open[_random(seed, "deal", open.length)]);
    }

    // ------------------------------------------------------------------------------- clocks

    function mine(uint256 seed) external {
        _mine(1 + _random(seed, "blocks", 20), _random(seed, "seconds", 200));
    }

    /// @notice To the second or block before, at or after something begins or ends for some sale.
    function reachTheNextEdge(uint256 seed) external {
        (bool found, uint256 id) = _some(seed);
        if (!found) return;
        Deal storage deal = deals[id];
        uint256 side = _random(seed, "side", 3);
        uint256 fallback_ = deal.sale.purchaseBlock + 99 + side;
        if (_block() < fallback_ && _random(seed, "fallback", 3) != 0) {
            return _mine(fallback_ - _block(), _random(seed, "seconds", 150));
        }
        uint256 start = deal.sale.purchaseTime;
        uint256[5] memory edges = [
            start + DELIVERY,
            start + PROOF,
            start + REFUND,
            deal.status == Status.Complete ? deal.since + DISPUTE : 0,
            deal.status == Status.Disputed ? deal.since + ARBITRATION : 0
        ];
        if (deal.status == Status.Disputed && !_isLate(deal)) {
            edges[4] = deal.since + ARBITRATION / 3;
        }
        uint256 first = _random(seed, "edge", 5);
        for (uint256 i; i < 5; ++i) {
            uint256 edge = edges[(first + i) % 5];
            if (edge <= _time() + 1) continue;
            // The far ends, which end everything else, less often.
            if (edge > _time() + PROOF && _random(seed, "far", 3) != 0) return;
            return _reach(edge - 1 + side);
        }
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

    function setOperator(uint256 seed) external {
        uint256 i = _random(seed, "seller", sellers.length);
        _appoint(sellers[i], _random(seed, "none", 4) == 0 ? address(0) : operators[i]);
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
            // A sealed offer is for copy 0 alone.
            uint256 copies = items[id].terms.salt == 0 ? items[id].terms.supply : 1;
            found = items[id].next < copies;
        }
        if (!found) return (false, 0, 0);
        uint256 reserve = _reserveOf(items[id].terms);
        if (free[seller] < reserve) {
            uint256 missing = reserve - free[seller];
            vm.prank(seller);
            market.stakeAsSeller{value: missing}();
            free[seller] = reserve;
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
        if (!_buy(id, place, buyer, _random(seed, "extra", 3))) {
            require(_isOdd(terms.token), "buyItem");
            return;
        }
        if (terms.token == tokens[3]) _disarm();
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

    /// @dev A part as this signer would sign it: good, or now and then junk.
    function _pack(uint256 seed, uint256 id, uint256 index) internal view returns (Pack memory p) {
        p.id = uint32(id);
        p.index = uint8(index);
        p.second = index == 0 && items[deals[id].item].fault == Fault.TwoLeaves
            && _random(seed, "second", 3) == 0;
        if (_random(seed, "junk", 3) == 0) p.kind = uint8(1 + _random(seed, "kind", 3));
        if (_has(deals[id].punished, index) && _random(seed, "fresh", 3) != 0) {
            p.freshKey = deals[id].freshKey;
        }
    }

    /// @dev An open deal, a part, and who may deliver it now.
    function _deliverable(uint256 seed, uint256 who)
        internal
        view
        returns (bool found, Pack memory pack, address by)
    {
        uint256 first = _random(seed, "deal", open.length + 1);
        for (uint256 i; i < open.length; ++i) {
            uint256 id = open[(first + i) % open.length];
            uint256 parts = deals[id].sale.parts;
            uint256 start = _random(seed, "part", parts);
            for (uint256 j; j < parts; ++j) {
                uint256 index = (start + j) % parts;
                if (_has(deals[id].parts, index)) continue;
                pack = _pack(seed, id, index);
                address seller = deals[id].sale.seller;
                by = who == 0 ? _named(pack) : who == 1 ? seller : operatorOf[seller];
                if (secrets[by] != 0 && _role(pack, by) != Role.None) return (true, pack, by);
            }
        }
        return (false, pack, address(0));
    }

    function _alone(Pack memory pack) internal pure returns (Pack[] memory packs) {
        packs = new Pack[](1);
        packs[0] = pack;
    }

    function deliver(uint256 seed) external {
        for (uint256 i; i < 6; ++i) {
            (bool found, Pack memory pack, address by) = _deliverable(seed ^ i, 0);
            if (found) _send(_sign(by, _alone(pack)), _anybody(seed));
        }
    }

    /// @notice The seller or the operator delivers what is missing.
    function deliverMissing(uint256 seed) external {
        uint256 who = 1 + _random(seed, "who", 2);
        (bool found, Pack memory pack, address by) = _deliverable(seed, who);
        if (found) _send(_sign(by, _alone(pack)), _anybody(seed));
    }

    /// @dev All that somebody may have for up to three sales, some of it twice.
    function _batch(uint256 seed, address who) internal view returns (Pack[] memory packs) {
        packs = new Pack[](12);
        uint256 size;
        for (uint256 i; i < 3 && i < open.length; ++i) {
            uint256 id = open[(_random(seed, "deal", open.length) + i) % open.length];
            for (uint256 index; index < deals[id].sale.parts && size < 11; ++index) {
                Pack memory pack = _pack(seed ^ index, id, index);
                if (who != _named(pack) && !_actsForSeller(deals[id], who)) continue;
                packs[size++] = pack;
                if (_random(seed, "twice", 6) == 0) packs[size++] = pack;
            }
        }
        assembly ("memory-safe") {
            mstore(packs, size)
        }
    }

    function _signer(uint256 seed) internal view returns (address) {
        uint256 i = _random(seed, "signer", 4);
        return _random(seed, "operator", 3) == 0 ? operators[i] : deliverers[i];
    }

    /// @notice Somebody signs for several sales; it is mined now, or by `relay` later, or never.
    function sign(uint256 seed) external {
        address who = _signer(seed);
        Pack[] memory packs = _batch(seed, who);
        if (packs.length == 0) return;
        uint256 list_ = _sign(who, packs);
        if (_random(seed, "now", 2) == 0) _send(list_, _anybody(seed));
    }

    /// @dev One of the last lists.
    function _list(uint256 seed) internal view returns (uint256) {
        uint256 among = lists.length < 20 ? lists.length : 20;
        return lists.length - 1 - _random(seed, "list", among);
    }

    /// @notice Anybody relays a list, again or for the first time.
    function relay(uint256 seed) external {
        if (lists.length != 0) _send(_list(seed), _anybody(seed));
    }

    function supply(uint256 seed) external {
        (bool found, uint256 id) = _some(seed);
        if (!found || deals[id].parts == 0) return;
        address by = operatorOf[deals[id].sale.seller];
        if (by == address(0)) return;
        uint256 index;
        while (!_has(deals[id].parts, index)) ++index;
        _sendSupply(_sign(by, _alone(_pack(seed, id, index))), _anybody(seed));
    }

    // -------------------------------------------------------------------------------- proofs

    /// @notice A buyer proves the junk of up to three parts of one sale.
    function proveJunk(uint256 seed) external {
        if (lists.length == 0) return;
        uint256 among = lists.length < 40 ? lists.length : 40;
        uint256 first = _random(seed, "first", among);
        uint256[] memory of_ = new uint256[](3);
        uint256[] memory positions = new uint256[](3);
        (uint256 size, uint256 id, uint256 seen) = (0, 0, 0);
        for (uint256 i; i < among && size < 3; ++i) {
            uint256 list_ = lists.length - 1 - (first + i) % among;
            for (uint256 j; j < lists[list_].packs.length && size < 3; ++j) {
                Pack memory pack = lists[list_].packs[j];
                if (size != 0 && (pack.id != id || _has(seen, pack.index))) continue;
                if (pack.freshKey != 0 || !_isProvable(list_, j)) continue;
                id = pack.id;
                seen |= 1 << pack.index;
                (of_[size], positions[size]) = (list_, j);
                ++size;
            }
        }
        if (size == 0) return;
        assembly ("memory-safe") {
            mstore(of_, size)
            mstore(positions, size)
        }
        if (size > 1) ++times["several proved together"];
        bytes32 freshKey = deals[id].freshKey;
        if (freshKey == 0) freshKey = _freshKey(id, seed);
        _prove(id, deals[id].sale.buyer, freshKey, of_, positions);
    }

    function proveSellerJunk(uint256 seed) external {
        uint256 first = _random(seed, "deal", open.length + 1);
        for (uint256 i; i < open.length; ++i) {
            uint256 id = open[(first + i) % open.length];
            for (uint256 index; index < deals[id].sale.parts; ++index) {
                Pack memory pack = sellerPacks[id][index];
                if (!_has(deals[id].bySeller, index) || pack.kind == 0) continue;
                if (_random(seed, "really", 2) == 0) {
                    _proveSeller(id, deals[id].sale.buyer, pack);
                }
                return;
            }
        }
    }

    function proveShares(uint256 seed) external {
        (bool found, uint256 id) = _some(seed);
        for (uint256 i; found && items[deals[id].item].fault == Fault.None && i < 4; ++i) {
            (, id) = _some(seed ^ i);
        }
        if (!found || !_gateIsOpen(deals[id])) return;
        Fault fault = items[deals[id].item].fault;
        address buyer = deals[id].sale.buyer;
        if (fault == Fault.OddShare || fault == Fault.HighShare) {
            _proveShares(id, buyer, 0);
        } else if (fault == Fault.TwoLeaves) {
            _proveLeaves(id, buyer, _leafOf(id, 0, false), _leafOf(id, 0, true));
        } else if (fault == Fault.TwoSecrets) {
            Leaf memory last = _leafOf(id, deals[id].sale.parts - 1, false);
            _proveLeaves(id, buyer, _leafOf(id, 0, false), last);
        }
    }

    // -------------------------------------------------------------------------- agreements

    function _split(uint256 seed, uint256 id) internal view returns (Split memory split) {
        Deal storage deal = deals[id];
        split.toBuyer = _ruling(seed, deal.escrow.price);
        split.penalty = _ruling(seed ^ 1, deal.escrow.penalty);
        split.deadline = _time() + _random(seed, "deadline", PROOF);
        if (deal.status != Status.Disputed) return split;
        uint256 least = _isLate(deal) ? deal.escrow.bond : 0;
        split.toArbitrator = least + _ruling(seed ^ 2, 2 * uint256(deal.escrow.bond) - least);
    }

    /// @notice Buyer and seller sign a split; it is carried out now, or never, or tried later.
    function agree(uint256 seed) external {
        (bool found, uint256 id) = _some(seed);
        if (!found) return;
        bool now_ = _random(seed, "now", 3) == 0;
        uint256 number = _offer(id, _split(seed, id));
        if (!now_ || !_gateIsOpen(deals[id])) return;
        if (deals[id].status == Status.Disputed && !_mayBeRuled(deals[id])) return;
        address[3] memory who = [stranger, deals[id].sale.buyer, deals[id].sale.seller];
        _carryOut(number, who[_random(seed, "who", 3)]);
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

    function closeMany(uint256 seed) external {
        uint256 number = _random(seed, "number", 6);
        if (number == 0 || deals.length == 0) return;
        uint256[] memory ids = new uint256[](number);
        for (uint256 i; i < number; ++i) {
            uint256 any = _random(seed ^ i, "any", deals.length);
            ids[i] = open.length != 0 && i % 3 != 2 ? open[any % open.length] : any;
        }
        _closeMany(ids);
    }
}

/// @notice As `Trade`, with what is done beside sales: stakes, exits, slashes, withdrawals.
contract Handler is Trade {
    /// @notice What the fuzzer may call.
    function actions() external pure virtual returns (bytes4[] memory list_) {
        list_ = new bytes4[](43);
        bytes4[16] memory parts = [
            this.mine.selector,
            this.reachTheNextEdge.selector,
            this.list.selector,
            this.closeStore.selector,
            this.buy.selector,
            this.buyByPermit.selector,
            this.deliver.selector,
            this.deliverMissing.selector,
            this.sign.selector,
            this.relay.selector,
            this.supply.selector,
            this.proveJunk.selector,
            this.proveSellerJunk.selector,
            this.proveShares.selector,
            this.agree.selector,
            this.closeMany.selector
        ];
        bytes4[8] memory ends = [
            this.confirm.selector,
            this.settle.selector,
            this.refund.selector,
            this.concede.selector,
            this.openDispute.selector,
            this.resolve.selector,
            this.submitEvidence.selector,
            this.rate.selector
        ];
        bytes4[14] memory stakes = [
            this.stakeAsSeller.selector,
            this.withdrawSellerStake.selector,
            this.setOperator.selector,
            this.addDelivererStake.selector,
            this.requestExit.selector,
            this.cancelExit.selector,
            this.leave.selector,
            this.announce.selector,
            this.withdrawEarnings.selector,
            this.withdraw.selector,
            this.propose.selector,
            this.executeSlash.selector,
            this.cancelSlash.selector,
            this.forceIn.selector
        ];
        for (uint256 i; i < 16; ++i) {
            list_[i] = parts[i];
        }
        for (uint256 i; i < 8; ++i) {
            list_[16 + i] = ends[i];
        }
        for (uint256 i; i < 14; ++i) {
            list_[24 + i] = stakes[i];
        }
        // Twice: nothing else moves a sale on as much, and disputes are rare.
        (list_[38], list_[39]) = (this.buy.selector, this.deliver.selector);
        (list_[40], list_[41]) = (this.openDispute.selector, this.concede.selector);
        list_[42] = this.deliverMissing.selector;
    }

    // ---------------------------------------------------------------------- sellers' stakes

    function stakeAsSeller(uint256 seed) external {
        address seller = sellers[_random(seed, "seller", sellers.length)];
        uint256 amount = _random(seed, "amount", 2 ether);
        vm.prank(seller);
        market.stakeAsSeller{value: amount}();
        free[seller] += amount;
    }

    function withdrawSellerStake(uint256 seed) external {
        address seller = sellers[_random(seed, "seller", sellers.length)];
        if (free[seller] == 0) return;
        uint256 amount =
            1 + _random(seed, "amount", free[seller] < 2 ether ? free[seller] : 2 ether);
        uint256 before = SINK.balance;
        vm.prank(seller);
        market.withdrawSellerStake(amount, SINK);
        free[seller] -= amount;
        ++times["seller's stake taken"];
        _same("sink", SINK.balance, before + amount);
    }

    // ---------------------------------------------------------------------------- deliverers

    function addDelivererStake(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        Worker storage worker = workers[deliverers[i]];
        // After a whole exit without a record it comes anew; otherwise anybody adds to it.
        if (!_isRegistered(worker)) {
            ++times["registered anew"];
            return _register(i);
        }
        if (worker.exitTime != 0) return;
        uint256 amount = _random(seed, "amount", 0.3 ether);
        vm.prank(stranger);
        market.addDelivererStake{value: amount}(deliverers[i]);
        worker.stake += amount;
    }

    function announce(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        Worker storage worker = workers[deliverers[i]];
        if (!_isRegistered(worker)) return;
        bytes32[2] memory possession;
        vm.prank(_random(seed, "who", 2) == 0 ? worker.owner : deliverers[i]);
        market.postTerms(deliverers[i], seed, true);
        vm.prank(_random(seed, "who", 2) == 0 ? worker.owner : deliverers[i]);
        market.rotateDelivererKey(deliverers[i], KEY, possession);
    }

    function requestExit(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        Worker storage worker = workers[deliverers[i]];
        if (!_isRegistered(worker) || worker.exitTime != 0 || _random(seed, "really", 6) != 0) {
            return;
        }
        vm.prank(worker.owner);
        market.requestExit(deliverers[i]);
        worker.exitTime = _time() + EXIT;
    }

    function cancelExit(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        Worker storage worker = workers[deliverers[i]];
        if (worker.exitTime == 0 || _random(seed, "really", 3) != 0) return;
        vm.prank(owners[i]);
        market.cancelExit(deliverers[i]);
        worker.exitTime = 0;
        ++times["exits cancelled"];
    }

    /// @notice Waits for the end of an exit, if nothing freezes the stake, and takes it.
    function leave(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        Worker storage worker = workers[deliverers[i]];
        if (worker.exitTime == 0) return;
        if (worker.exitTime > _time()) {
            if (_random(seed, "patient", 2) != 0) return;
            _reach(worker.exitTime);
        }
        bool capped = _time() > worker.exitTime + DELAY + LAPSE;
        if (market.frozenUntil(deliverers[i]) != 0) {
            _same("freeze beyond an exit", capped ? 1 : 0, 0);
            return;
        }
        if (!capped) _same("open slashes", _openSlashes(deliverers[i]), 0);
        uint256 before = SINK.balance;
        vm.prank(owners[i]);
        market.withdrawDelivererStake(deliverers[i], SINK);
        ++times["exits"];
        _same("sink", SINK.balance, before + worker.stake);
        worker.removed += worker.stake;
        worker.stake = 0;
        worker.exitTime = 0;
    }

    function withdrawEarnings(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        Worker storage worker = workers[deliverers[i]];
        if (worker.earned == 0) return;
        uint256 before = SINK.balance;
        vm.prank(owners[i]);
        market.withdrawEarnings(deliverers[i], SINK);
        ++times["earnings"];
        _same("sink", SINK.balance, before + worker.earned);
        worker.earned = 0;
    }

    // ------------------------------------------------------------------------------- credits

    /// @notice To the account itself where it takes coins, and else to another.
    function withdraw(uint256 seed) external {
        address token = tokens[_random(seed, "token", honest)];
        uint256 first = _random(seed, "who", cast.length);
        for (uint256 i; i < cast.length; ++i) {
            address who = cast[(first + i) % cast.length];
            if (credit[who][token] == 0) continue;
            if (token == tokens[3]) _arm(seed, ReentrantToken.From.Transfer);
            vm.prank(who);
            (bool good,) =
                address(market).call(abi.encodeCall(IMarketplace.withdraw, (token, who)));
            if (!good) {
                _same("credit after a refusal", market.credits(who, token), credit[who][token]);
                vm.prank(who);
                market.withdraw(token, SINK);
            }
            if (token == tokens[3]) _disarm();
            credit[who][token] = 0;
            ++times[good ? "withdrawals" : "withdrawals refused"];
            return;
        }
    }

    // ------------------------------------------------------------------------------ governor

    function _openSlashes(address operator) internal view returns (uint256 number) {
        for (uint256 i; i < proposals.length; ++i) {
            if (proposals[i].operator == operator && _isOpenSlash(proposals[i])) ++number;
        }
    }

    function propose(uint256 seed) external {
        address operator = deliverers[_random(seed, "deliverer", deliverers.length)];
        uint256 stake = workers[operator].stake;
        if (stake == 0 || _random(seed, "really", 3) != 0) return;
        address beneficiary = cast[_random(seed, "beneficiary", cast.length)];
        uint256 amount = 1 + _random(seed, "amount", 0.15 ether);
        vm.prank(governor);
        uint256 id = market.proposeSlashing(operator, amount, beneficiary, "reason");
        uint256 first = _time() + DELAY;
        if (amount > stake) amount = stake;
        proposals.push(
            Proposal(
                operator,
                beneficiary,
                amount,
                stake,
                workers[operator].removed,
                first,
                first + LAPSE,
                false
            )
        );
        _same("slash", id, proposals.length);
        Slash memory slash = market.slashes(id);
        _same("first", slash.firstTime, first);
        _same("last", slash.lastTime, first + LAPSE);
        _same("amount", slash.amount, amount);
    }

    function executeSlash(uint256 seed) external {
        uint256 number = proposals.length;
        for (uint256 i; i < number; ++i) {
            uint256 id = (_random(seed, "slash", number) + i) % number;
            Proposal storage p = proposals[id];
            if (!_isOpenSlash(p)) continue;
            if (_time() < p.firstTime) {
                if (_random(seed, "patient", 3) != 0) continue;
                _reach(p.firstTime);
            }
            _execute(id, stranger);
            return;
        }
    }

    function _execute(uint256 id, address who) internal {
        Proposal storage p = proposals[id];
        uint256 taken = _takes(p);
        p.ended = true;
        vm.prank(who);
        market.executeSlashing(id + 1);
        ++times["slashes"];
        Worker storage worker = workers[p.operator];
        worker.stake -= taken;
        worker.removed += taken;
        credit[p.beneficiary][address(0)] += taken;
        bool capped = worker.exitTime != 0 && _time() > worker.exitTime + DELAY + LAPSE;
        if (_openSlashes(p.operator) != 0 && !capped && market.frozenUntil(p.operator) == 0) {
            revert Differs("freeze", 0, 1);
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
