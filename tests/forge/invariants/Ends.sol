// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {
    Closure,
    Escrow,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Sale,
    Split,
    Status
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Signing} from "../Signing.sol";
import {Parts} from "./Parts.sol";
import {Table} from "./Table.sol";

/// @notice Every step of a sale, who may take it when, and what each end owes.
abstract contract Ends is Parts {
    enum Step {
        Confirm,
        Settle,
        Refund,
        Concede,
        Dispute,
        Resolve,
        Evidence,
        Rate
    }

    /// What buyer and seller signed once.
    struct Offer {
        uint256 id;
        Split split;
        Status status;
        uint256 since;
        bytes buyerSignature;
        bytes sellerSignature;
    }

    error Stuck(bytes32 copyId);
    error LeftOver(address token, uint256 amount);

    Offer[] internal offers;

    // ------------------------------------------------------------------- what may happen, when

    function _may(Step step, uint256 id, address caller) internal view returns (bool) {
        Deal storage deal = deals[id];
        Status status = deal.status;
        bool byBuyer = caller == deal.sale.buyer;
        bool bySeller = caller == deal.sale.seller;
        bool byJudge = caller == deal.escrow.arbitrator;
        if (step == Step.Rate) return status >= Status.Settled && byBuyer && !deal.rated;
        if (step == Step.Refund) {
            return status == Status.Purchased && _time() > deal.sale.purchaseTime + REFUND;
        }
        if (status == Status.Complete) {
            if (!_gateIsOpen(deal)) return false;
            bool over = _time() > deal.since + DISPUTE;
            if (step == Step.Confirm) return byBuyer;
            if (step == Step.Settle) return over;
            if (step == Step.Concede) return bySeller;
            return step == Step.Dispute && byBuyer && deal.escrow.arbitrator != address(0) && !over;
        }
        if (status != Status.Disputed) return false;
        if (step == Step.Evidence) return byBuyer || bySeller || byJudge;
        if (step == Step.Settle) return !_mayBeRuled(deal);
        if (step == Step.Concede) return _mayBeRuled(deal) && (byBuyer || bySeller);
        return step == Step.Resolve && _mayBeRuled(deal) && byJudge;
    }

    // --------------------------------------------------------------------------- taking steps

    /// @dev Tries a step with what the deal's own sale and escrow are, and holds the market to the
    /// model.
    function _take(Step step, uint256 id, address caller, uint256 seed)
        internal
        returns (bool good)
    {
        Deal storage deal = deals[id];
        bool expected = _may(step, id, caller);
        Table.Parts memory parts;
        parts.b = _ruling(seed, deal.escrow.price);
        parts.w = _random(seed, "awarded", 2) == 0 ? deal.escrow.penalty : 0;
        uint256 value = step == Step.Dispute ? deal.escrow.bond : 0;
        uint8 stars = uint8(1 + _random(seed, "stars", 5));
        // A penalty of zero is awarded or not; it comes to the same.
        bytes memory data =
            _data(step, deal.copyId, deal.sale, deal.escrow, stars, parts.b, parts.w != 0);
        vm.prank(caller);
        (good,) = address(market).call{value: value}(data);
        if (good != expected) revert Allowed(_name(step), good, expected);
        if (!good) return false;
        ++times[_name(step)];
        if (step == Step.Rate) {
            deal.rated = true;
        } else if (step == Step.Dispute) {
            deal.status = Status.Disputed;
            deal.since = _time();
        } else if (step != Step.Evidence) {
            _end(id, _endOf(step, deal, caller == deal.sale.seller), parts);
        }
        _matches(id);
    }

    /// @dev 0, all, or something between.
    function _ruling(uint256 seed, uint256 price) internal pure returns (uint256) {
        uint256 kind = _random(seed, "ruling", 3);
        return kind == 0 ? 0 : kind == 1 ? price : _random(seed, "share", price + 1);
    }

    /// @dev The call that takes a step; of the last three arguments each is for one of them.
    function _data(
        Step step,
        bytes32 copyId,
        Sale memory sale,
        Escrow memory escrow,
        uint8 stars,
        uint256 toBuyer,
        bool awarded
    ) internal pure returns (bytes memory) {
        if (step == Step.Rate) {
            return abi.encodeCall(IMarketplace.rateSale, (copyId, sale, stars));
        }
        if (step == Step.Dispute) {
            return abi.encodeCall(IMarketplace.openDispute, (copyId, sale, escrow, "evidence"));
        }
        if (step == Step.Resolve) {
            return
                abi.encodeCall(
                    IMarketplace.resolveDispute, (copyId, sale, escrow, toBuyer, awarded)
                );
        }
        if (step == Step.Evidence) {
            return abi.encodeCall(IMarketplace.submitEvidence, (copyId, sale, escrow, "uri"));
        }
        bytes4 selector = IMarketplace.confirm.selector;
        if (step == Step.Settle) selector = IMarketplace.settle.selector;
        if (step == Step.Refund) selector = IMarketplace.refund.selector;
        if (step == Step.Concede) selector = IMarketplace.concede.selector;
        return abi.encodeWithSelector(selector, copyId, sale, escrow);
    }

    function _name(Step step) internal pure returns (string memory) {
        string[8] memory names = [
            "confirm",
            "settle",
            "refund",
            "concede",
            "openDispute",
            "resolveDispute",
            "submitEvidence",
            "rateSale"
        ];
        return names[uint256(step)];
    }

    function _endName(Table.End end, bool native) internal pure returns (string memory) {
        string[9] memory names = [
            "settled",
            "silence",
            "refunded",
            "seller gave in",
            "seller gave in late",
            "buyer conceded",
            "buyer conceded late",
            "agreed",
            "ruled"
        ];
        return string.concat(names[uint256(end)], native ? ", coins" : ", tokens");
    }

    function _endOf(Step step, Deal storage deal, bool bySeller) private view returns (Table.End) {
        if (step == Step.Refund) return Table.End.Refunded;
        if (step == Step.Resolve) return Table.End.Ruled;
        if (step == Step.Concede) {
            if (deal.status == Status.Complete || bySeller) return _givesIn(deal);
            return _isLate(deal) ? Table.End.BuyerConcedesLate : Table.End.BuyerConcedes;
        }
        return deal.status == Status.Disputed ? Table.End.Silence : Table.End.Settled;
    }

    function _givesIn(Deal storage deal) private view returns (Table.End) {
        if (deal.status != Status.Disputed) return Table.End.Refunded;
        return _isLate(deal) ? Table.End.SellerGivesInLate : Table.End.SellerGivesIn;
    }

    /// @dev The end in the model. Escrow leaves once: a second end is a fault of the market.
    function _end(uint256 id, Table.End end, Table.Parts memory parts) private {
        Deal storage deal = deals[id];
        if (++deal.closings != 1) revert EscrowLeftTwice(deal.copyId);
        bool native = deal.escrow.token == address(0);
        ++times[_endName(end, native)];
        bool disputed = deal.status == Status.Disputed;
        Table.Due memory due = Table.due(deal.sale, deal.escrow, _fees(deal), end, parts, disputed);
        credit[deal.sale.buyer][deal.escrow.token] += due.buyerPrice;
        credit[deal.sale.seller][deal.escrow.token] += due.sellerPrice;
        credit[deal.sale.buyer][address(0)] += due.buyerCoins;
        credit[deal.sale.seller][address(0)] += due.sellerCoins;
        credit[deal.escrow.arbitrator][address(0)] += due.arbitrator;
        free[deal.sale.seller] += due.stake;

        deal.since = _time();
        deal.status = Status.Settled;
        if (end >= Table.End.Refunded && end <= Table.End.SellerGivesInLate) {
            deal.status = Status.Refunded;
        }
        if (end == Table.End.Agreed) deal.status = Status.Agreed;
        if (end == Table.End.Ruled) deal.status = Status.Resolved;
        for (uint256 i; i < open.length; ++i) {
            if (open[i] != id) continue;
            open[i] = open[open.length - 1];
            open.pop();
            break;
        }
    }

    /// @dev Closes some sales in one call; those that are not ripe are skipped.
    function _closeMany(uint256[] memory ids) internal returns (bool good) {
        Closure[] memory closures = new Closure[](ids.length);
        for (uint256 i; i < ids.length; ++i) {
            closures[i] = Closure(deals[ids[i]].copyId, deals[ids[i]].sale, deals[ids[i]].escrow);
        }
        vm.prank(stranger);
        (good,) = address(market).call(abi.encodeCall(IMarketplace.closeMany, (closures)));
        uint256 done;
        Table.Parts memory none;
        for (uint256 i; i < ids.length; ++i) {
            Deal storage deal = deals[ids[i]];
            if (_may(Step.Refund, ids[i], stranger)) _end(ids[i], Table.End.Refunded, none);
            else if (!_may(Step.Settle, ids[i], stranger)) continue;
            else _end(ids[i], _endOf(Step.Settle, deal, false), none);
            ++done;
        }
        if (good != (done != 0)) revert Allowed("closeMany", good, done != 0);
        if (done > 1) ++times["closed together"];
        if (done != 0 && done < ids.length) ++times["closings skipped"];
        for (uint256 i; i < ids.length; ++i) {
            _matches(ids[i]);
        }
    }

    // ------------------------------------------------------------------------------ agreements

    function _signSplit(uint256 id, Split memory split, address who)
        internal
        view
        returns (bytes memory)
    {
        Deal storage deal = deals[id];
        bytes32 digest = Signing.digest(
            market, deal.copyId, deal.sale, deal.status, deal.since - deal.sale.purchaseTime, split
        );
        if (_isParty(who)) return abi.encode("signed", who, digest);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secrets[who], digest);
        return abi.encodePacked(r, s, v);
    }

    function _offer(uint256 id, Split memory split) internal returns (uint256 offer) {
        Deal storage deal = deals[id];
        offer = offers.length;
        offers.push(
            Offer(
                id,
                split,
                deal.status,
                deal.since,
                _signSplit(id, split, deal.sale.buyer),
                _signSplit(id, split, deal.sale.seller)
            )
        );
    }

    function _isAgreeable(Offer storage offer) private view returns (bool) {
        Deal storage deal = deals[offer.id];
        Split storage split = offer.split;
        if (!_isOpen(deal) || !_gateIsOpen(deal) || _time() > split.deadline) return false;
        if (deal.status != offer.status || deal.since != offer.since) return false;
        if (split.toBuyer > deal.escrow.price || split.penalty > deal.escrow.penalty) {
            return false;
        }
        if (deal.status != Status.Disputed) return split.toArbitrator == 0;
        uint256 bond = deal.escrow.bond;
        return _mayBeRuled(deal) && split.toArbitrator <= 2 * bond
            && (!_isLate(deal) || split.toArbitrator >= bond);
    }

    /// @dev Carries out what was signed; whoever calls needs no signature of its own.
    function _carryOut(uint256 number, address caller) internal returns (bool good) {
        Offer storage offer = offers[number];
        uint256 id = offer.id;
        Deal storage deal = deals[id];
        bool expected = _isAgreeable(offer);
        bytes memory data = abi.encodeCall(
            IMarketplace.agree,
            (
                deal.copyId,
                deal.sale,
                deal.escrow,
                offer.split,
                caller == deal.sale.buyer ? bytes("") : offer.buyerSignature,
                caller == deal.sale.seller ? bytes("") : offer.sellerSignature
            )
        );
        vm.prank(caller);
        (good,) = address(market).call(data);
        if (good != expected) revert Allowed("agree", good, expected);
        if (!good) return false;
        Table.Parts memory parts =
            Table.Parts(offer.split.toBuyer, offer.split.penalty, offer.split.toArbitrator);
        _end(id, Table.End.Agreed, parts);
        _matches(id);
    }

    // ------------------------------------------------------------- proofs against the seller

    function _gaveIn(uint256 id) private {
        Table.Parts memory none;
        _end(id, _givesIn(deals[id]), none);
        _matches(id);
    }

    /// @dev With the part that the seller's side delivered, or with another one.
    function _proveSeller(uint256 id, address caller, Pack memory pack)
        internal
        returns (bool good)
    {
        Deal storage deal = deals[id];
        Pack memory kept = sellerPacks[id][pack.index];
        bool expected = caller == deal.sale.buyer && _isOpen(deal) && pack.kind != 0
            && _has(deal.bySeller, pack.index) && _entry(kept) == _entry(pack);
        JunkEvidence memory evidence = _evidence(pack);
        bytes memory data = abi.encodeCall(
            IMarketplace.proveSellerJunk,
            (deal.copyId, deal.sale, deal.escrow, _keys(deal.copyId, deal.sale.parts), evidence)
        );
        vm.prank(caller);
        (good,) = address(market).call(data);
        if (good != expected) revert Allowed("proveSellerJunk", good, expected);
        if (!good) return false;
        ++times["the seller's junk proved"];
        _gaveIn(id);
    }

    /// @dev With the first k indices from some index on.
    function _proveShares(uint256 id, address caller, uint256 first) internal returns (bool good) {
        Deal storage deal = deals[id];
        uint256 k = deal.sale.threshold;
        uint64 place = _place(deal.item, deal.sale.copy);
        Fault fault = items[deal.item].fault;
        Leaf[] memory leaves = new Leaf[](k);
        bytes32[] memory shares = new bytes32[](k);
        bool odd;
        for (uint256 i; i < k; ++i) {
            uint256 index = (first + i) % deal.sale.parts;
            leaves[i] = _leafOf(id, index, false);
            shares[i] = _share(deal.item, place, index);
            if (index == 0 && (fault == Fault.OddShare || fault == Fault.HighShare)) odd = true;
            if (index + 1 == deal.sale.parts && fault == Fault.TwoSecrets) odd = true;
        }
        bool expected = odd && caller == deal.sale.buyer && _isOpen(deal) && _gateIsOpen(deal);
        bytes memory data = abi.encodeCall(
            IMarketplace.proveBadShares, (deal.copyId, deal.sale, deal.escrow, leaves, shares)
        );
        vm.prank(caller);
        (good,) = address(market).call(data);
        // Leaves with two hashes of the secret are evidence of their own, here or there.
        if (fault == Fault.TwoSecrets && odd) expected = expected && good;
        if (good != expected) revert Allowed("proveBadShares", good, expected);
        if (!good) return false;
        ++times["bad shares proved"];
        _gaveIn(id);
    }

    function _proveLeaves(uint256 id, address caller, Leaf memory one, Leaf memory other)
        internal
        returns (bool good)
    {
        Deal storage deal = deals[id];
        bool odd = (one.index == other.index && one.salt != other.salt)
            || one.secretHash != other.secretHash;
        bool expected = odd && caller == deal.sale.buyer && _isOpen(deal) && _gateIsOpen(deal);
        bytes memory data = abi.encodeCall(
            IMarketplace.proveBadLeaves, (deal.copyId, deal.sale, deal.escrow, one, other)
        );
        vm.prank(caller);
        (good,) = address(market).call(data);
        if (good != expected) revert Allowed("proveBadLeaves", good, expected);
        if (!good) return false;
        ++times["bad leaves proved"];
        _gaveIn(id);
    }

    // -------------------------------------------------------------------------------- the end

    /// @notice Every state can be left after a known time, by a stranger; then everybody takes what
    /// is theirs, without anybody's help, and only what was forced in and what is burnt stays.
    function everythingLeaves() public {
        statesAgree();
        _mine(200, 0);
        _reach(_time() + REFUND + DISPUTE + ARBITRATION + EXIT + DELAY + LAPSE);
        while (open.length != 0) {
            uint256 id = open[open.length - 1];
            Step step = deals[id].status == Status.Purchased ? Step.Refund : Step.Settle;
            if (!_may(step, id, stranger)) revert Stuck(deals[id].copyId);
            if (!_take(step, id, stranger, 0)) revert Stuck(deals[id].copyId);
        }
        solvent();
        for (uint256 i; i < deliverers.length; ++i) {
            _leave(deliverers[i]);
        }
        for (uint256 i; i < sellers.length; ++i) {
            if (free[sellers[i]] == 0) continue;
            vm.prank(sellers[i]);
            market.withdrawSellerStake(free[sellers[i]], SINK);
        }
        for (uint256 i; i < honest; ++i) {
            address token = tokens[i];
            for (uint256 j; j < cast.length; ++j) {
                if (market.credits(cast[j], token) == 0) continue;
                vm.prank(cast[j]);
                market.withdraw(token, SINK);
            }
            uint256 left = token == address(0)
                ? address(market).balance
                : IERC20(token).balanceOf(address(market));
            if (left != forced[token] + (token == address(0) ? burnt : 0)) {
                revert LeftOver(token, left);
            }
        }
        statesAgree();
    }

    function _leave(address operator) private {
        Worker storage worker = workers[operator];
        vm.startPrank(worker.owner, worker.owner);
        if (worker.earned != 0) market.withdrawEarnings(operator, SINK);
        if (worker.stake != 0) {
            if (worker.exitTime == 0) market.requestExit(operator);
            _reach(_time() + EXIT);
            market.withdrawDelivererStake(operator, SINK);
        }
        vm.stopPrank();
    }
}
