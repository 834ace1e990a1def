// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {
    Escrow,
    IMarketplace,
    Leaf,
    Permit,
    Sale,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Tree} from "../Base.sol";
import {Signing} from "../Signing.sol";
import {Cast, Party} from "./Cast.sol";
import {Box} from "./StubProofs.sol";
import {Table} from "./Table.sol";

/// @notice Items of every kind, and a model of every sale: what state it is in, what may happen to
/// it now, and what each end owes. The model keeps times, the market offsets; neither is computed
/// from the other.
abstract contract World is Cast {
    /// What is wrong with an item's parts, by its seller.
    enum Fault {
        None,
        /// Share 0 is of another secret.
        OddShare,
        /// Share 0 is not below p.
        HighShare,
        /// A second leaf of index 0, for another deliverer.
        TwoLeaves,
        /// The last part's leaf has another hash of the secret.
        TwoSecrets
    }

    struct Item {
        address seller;
        Terms terms;
        address[] deliverers;
        /// Whom a second leaf of index 0 names.
        address second;
        Fault fault;
        /// Copies tried so far: each is bought once.
        uint64 next;
    }

    /// A part as somebody sealed it.
    struct Pack {
        uint32 id;
        uint8 index;
        /// Of the second leaf of index 0.
        bool second;
        /// 0: good. 1: another share. 2: a bad ephemeral key. 3: sealed to another key.
        uint8 kind;
        bytes32 freshKey;
    }

    /// A sale, and the model of it.
    struct Deal {
        bytes32 copyId;
        Sale sale;
        Escrow escrow;
        uint256 item;
        Status status;
        uint32 parts;
        uint32 bySeller;
        uint32 punished;
        uint32 cleared;
        bytes32 freshKey;
        bool rated;
        /// When the state began; of a Complete sale, when its dispute window did.
        uint256 since;
        uint256 closings;
    }

    /// An invariant, by name, did not hold.
    error EscrowLeftTwice(bytes32 copyId);
    error ClosedSaleMoved(bytes32 copyId);
    error StateWentBack(bytes32 copyId, Status from, Status to);
    error ReserveTooSmall(bytes32 copyId);
    error Insolvent(address token, uint256 balance, uint256 owed);

    uint256 private constant MAX_OPEN = 12;

    Item[] internal items;
    /// The items in each seller's catalogue: the last two.
    mapping(address seller => uint256[]) internal catalogue;
    mapping(address seller => bytes32) internal digests;
    Deal[] internal deals;
    uint256[] internal open;
    mapping(uint256 id => mapping(uint256 index => Pack)) internal sellerPacks;

    // -------------------------------------------------------------------------------- items

    /// @dev Terms of every kind: free, native, in a token; k of n to 32; with and without
    /// arbitrator; sealed; amounts that divide badly; now and then with faults in their parts.
    function _draw(uint256 seed, address seller, uint256 kinds) internal returns (uint256 id) {
        id = items.length;
        Item storage item = items.push();
        Terms memory terms;
        terms.itemId = bytes32(id + 1);
        if (_random(seed, "coins", 2) == 0) terms.token = tokens[_random(seed, "token", kinds)];
        terms.price = uint128(_random(seed, "price", 3 ether));
        if (_random(seed, "free", 10) == 0) terms.price = 0;
        uint256 parts = 1 + _random(seed, "parts", 4);
        if (_random(seed, "many", 60) == 0) parts = 32;
        terms.parts = uint8(parts);
        terms.threshold = uint8(1 + _random(seed, "threshold", parts));
        uint256 most = (_random(seed, "dear", 4) == 0 ? 10 * MAX_FEE : MAX_FEE) * parts;
        if (terms.token == address(0) && most > terms.price) most = terms.price;
        terms.commission = uint128(_random(seed, "commission", most + 1));
        terms.penalty = uint128(_random(seed, "penalty", 0.5 ether));
        terms.bond = uint128(_random(seed, "bond", 0.2 ether));
        uint256 judge = _random(seed, "judge", 3);
        if (judge < arbitrators.length) terms.arbitrator = arbitrators[judge];
        terms.stock = _random(seed, "stock", 2) == 0;
        terms.supply = uint64(1 + _random(seed, "supply", 3));
        // The lower 64 bits, zero, are the one copy that the offer is for.
        if (_random(seed, "sealed", 8) == 0) terms.salt = keccak256(abi.encode(seed)) << 64;
        if (_random(seed, "fault", 3) == 0) item.fault = Fault(1 + _random(seed, "which", 4));
        if (parts == 1 && item.fault == Fault.TwoSecrets) item.fault = Fault.OddShare;
        _name(seed, item, seller, parts);
        item.seller = seller;
        item.terms = terms;
        terms.partsRoot = Tree.root(_leaves(id));
        item.terms = terms;
    }

    function _name(uint256 seed, Item storage item, address seller, uint256 parts) private {
        for (uint256 i; i < parts; ++i) {
            uint256 who = _random(seed, string(abi.encode("deliverer", i)), 20);
            // Now and then the leaf names the seller, or somebody without stake.
            address named = who == 0 ? seller : who == 1 ? stranger : deliverers[who % 4];
            item.deliverers.push(named);
        }
        item.second = deliverers[_random(seed, "second", 4)];
    }

    /// @dev The copy whose parts a copy has.
    function _place(uint256 item, uint64 copy) internal view returns (uint64) {
        return items[item].terms.stock ? copy : 0;
    }

    function _group(uint256 item, uint64 place) internal pure returns (bytes32) {
        return keccak256(abi.encode("group", item, place)) >> 8 << 8 & ~(bytes32(bytes1(0xff)));
    }

    function _share(uint256 item, uint64 place, uint256 index) internal view returns (bytes32) {
        bytes32 group = _group(item, place);
        Fault fault = items[item].fault;
        if (index == 0 && fault == Fault.OddShare) group ^= bytes32(uint256(1 << 100));
        bytes32 share = Box.share(group, index);
        if (index == 0 && fault == Fault.HighShare) share |= bytes32(bytes1(0xff));
        return share;
    }

    /// @dev One leaf, without its proof.
    function _leaf(uint256 item, uint64 place, uint256 index, bool second)
        internal
        view
        returns (Leaf memory leaf)
    {
        Item storage of_ = items[item];
        leaf.index = uint8(index);
        leaf.deliverer = second ? of_.second : of_.deliverers[index];
        leaf.commitment = keccak256(abi.encode(_share(item, place, index)));
        leaf.secretHash = keccak256(abi.encode(Box.secretOf(_group(item, place))));
        if (of_.fault == Fault.TwoSecrets && index + 1 == of_.terms.parts) leaf.secretHash = KEY;
        leaf.salt = keccak256(abi.encode(item, place, index, second));
    }

    function _leaves(uint256 id) private view returns (bytes32[] memory leaves) {
        Item storage item = items[id];
        uint256 parts = item.terms.parts;
        uint256 copies = item.terms.stock ? item.terms.supply : 1;
        uint256 each = parts + (item.fault == Fault.TwoLeaves ? 1 : 0);
        leaves = new bytes32[](each * copies);
        for (uint256 i; i < leaves.length; ++i) {
            uint64 place = uint64(i / each);
            bool second = i % each == parts;
            leaves[i] = Signing.hash(_leaf(id, place, second ? 0 : i % each, second), place);
        }
    }

    /// @dev A leaf of a sale, with its proof.
    function _leafOf(uint256 id, uint256 index, bool second) internal view returns (Leaf memory) {
        uint256 item = deals[id].item;
        uint64 place = _place(item, deals[id].sale.copy);
        Leaf memory leaf = _leaf(item, place, index, second);
        uint256 each = items[item].terms.parts + (items[item].fault == Fault.TwoLeaves ? 1 : 0);
        uint256 at = second ? items[item].terms.parts : index;
        leaf.proof = Tree.proof(_leaves(item), place * each + at);
        return leaf;
    }

    function _publish(uint256 id) internal {
        Item storage item = items[id];
        uint256[] storage listed = catalogue[item.seller];
        if (listed.length == 2) {
            listed[0] = listed[1];
            listed[1] = id;
        } else {
            listed.push(id);
        }
        _update(
            item.seller, keccak256(abi.encode("document", id)), Tree.root(_listed(item.seller))
        );
    }

    function _update(address seller, bytes32 digest, bytes32 root) internal {
        bool first = digests[seller] == 0;
        digests[seller] = digest;
        vm.prank(seller);
        if (first) market.createStore(digest, root);
        else market.updateStore(digest, root);
    }

    function _listed(address seller) internal view returns (bytes32[] memory leaves) {
        uint256[] storage listed = catalogue[seller];
        leaves = new bytes32[](listed.length);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = keccak256(bytes.concat(keccak256(abi.encode(items[listed[i]].terms))));
        }
    }

    // ------------------------------------------------------------------------------- buying

    function _room() internal view returns (bool) {
        return open.length < MAX_OPEN;
    }

    function _copyId(uint256 id) internal view returns (bytes32) {
        Item storage item = items[id];
        return keccak256(abi.encode(item.seller, item.terms.itemId, item.next));
    }

    /// @dev The secret of a buyer's key; the keys follow from it.
    function _secret(bytes32 copyId, uint256 index) internal pure returns (bytes32) {
        return keccak256(abi.encode("buyer's key", copyId, index));
    }

    function _keys(bytes32 copyId, uint256 parts) internal pure returns (bytes32[] memory keys) {
        keys = new bytes32[](parts);
        for (uint256 i; i < parts; ++i) {
            keys[i] = Box.key(_secret(copyId, i));
        }
    }

    /// @dev Buys the next copy; the caller has checked what must hold. Records the deal if it is
    /// one.
    function _buy(uint256 id, uint256 place, address buyer, uint256 extra)
        internal
        returns (bool good)
    {
        Item storage item = items[id];
        bytes memory data = abi.encodeCall(
            IMarketplace.buyItem,
            (
                item.seller,
                item.terms,
                Tree.proof(_listed(item.seller), place),
                digests[item.seller],
                item.next,
                _keys(_copyId(id), item.terms.parts)
            )
        );
        bool native = item.terms.token == address(0);
        uint256 value = native ? item.terms.price + extra : 0;
        vm.prank(buyer);
        (good,) = address(market).call{value: value}(data);
        if (!good) return false;
        if (native) credit[buyer][address(0)] += extra;
        _record(id, buyer);
    }

    /// @dev As `_buy`, with a permit that is worth nothing.
    function _buyByPermit(uint256 id, uint256 place, address buyer) internal returns (bool good) {
        Item storage item = items[id];
        Permit memory permit;
        permit.value = type(uint256).max;
        bytes memory data = abi.encodeCall(
            IMarketplace.buyItemByPermit,
            (
                item.seller,
                item.terms,
                Tree.proof(_listed(item.seller), place),
                digests[item.seller],
                item.next,
                _keys(_copyId(id), item.terms.parts),
                permit
            )
        );
        vm.prank(buyer);
        (good,) = address(market).call(data);
        if (good) _record(id, buyer);
    }

    function _record(uint256 id, address buyer) private {
        Item storage item = items[id];
        Terms memory terms = item.terms;
        bytes32 copyId = _copyId(id);
        uint64 copy = item.next++;
        ++times["bought"];
        Deal storage deal = deals.push();
        open.push(deals.length - 1);
        deal.item = id;
        deal.copyId = copyId;
        deal.escrow = Escrow(
            digests[item.seller],
            keccak256(abi.encodePacked(_keys(copyId, terms.parts))),
            terms.token,
            terms.price,
            terms.penalty,
            terms.arbitrator == address(0) ? 0 : terms.bond,
            terms.arbitrator
        );
        deal.sale = Sale(
            item.seller,
            buyer,
            uint64(_block()),
            uint64(_time()),
            copy,
            terms.stock,
            terms.parts,
            terms.threshold,
            terms.commission / terms.parts,
            terms.partsRoot,
            keccak256(abi.encode(deal.escrow))
        );
        deal.status = Status.Purchased;
        deal.since = _time();
        free[item.seller] -= Table.reserve(deal.sale, deal.escrow);
        _matches(deals.length - 1);
    }

    // --------------------------------------------------------------------- what a sale is now

    function _isOpen(Deal storage deal) internal view returns (bool) {
        return deal.status >= Status.Purchased && deal.status <= Status.Disputed;
    }

    function _has(uint256 parts, uint256 index) internal pure returns (bool) {
        return (parts >> index) & 1 != 0;
    }

    function _count(uint256 parts) internal pure returns (uint256 number) {
        for (; parts != 0; parts &= parts - 1) {
            ++number;
        }
    }

    /// @dev Fees paid.
    function _fees(Deal storage deal) internal view returns (uint256) {
        return _count(deal.parts | deal.cleared);
    }

    function _gateIsOpen(Deal storage deal) internal view returns (bool) {
        return _block() > deal.sale.purchaseBlock + 100 || _fees(deal) == deal.sale.parts;
    }

    /// @dev When a third of the arbitration has passed.
    function _isLate(Deal storage deal) internal view returns (bool) {
        return _time() >= deal.since + ARBITRATION / 3;
    }

    function _mayBeRuled(Deal storage deal) internal view returns (bool) {
        return deal.status == Status.Disputed && _time() <= deal.since + ARBITRATION;
    }

    // ------------------------------------------------------------------------- the invariants

    /// @dev The market knows of a sale what the model knows.
    function _matches(uint256 id) internal view {
        Deal storage deal = deals[id];
        (Status status, uint32 parts, uint32 since, bool rated, bool marked, bytes24 commitment) =
            market.sales(deal.copyId);
        _same("status", uint256(status), uint256(deal.status));
        _same("parts", parts, deal.parts);
        _same("since", since, deal.since - deal.sale.purchaseTime);
        _same("rated", rated ? 1 : 0, deal.rated ? 1 : 0);
        _same("marked", marked ? 1 : 0, deal.punished != 0 ? 1 : 0);
        bytes24 known = bytes24(keccak256(abi.encode(deal.sale)));
        _same("commitment", uint192(commitment), uint192(known));
        if (!marked) return;
        (uint32 punished, uint32 cleared, bytes24 freshKey) = market.marks(deal.copyId);
        _same("punished", punished, deal.punished);
        _same("cleared", cleared, deal.cleared);
        known = deal.freshKey == 0 ? bytes24(0) : bytes24(keccak256(abi.encode(deal.freshKey)));
        _same("fresh key", uint192(freshKey), uint192(known));
    }

    /// @notice No state goes back but by a proof, and a sale that has ended stays as it ended: every
    /// sale is as its model, which only moves by what the protocol knows.
    function statesAgree() public view {
        for (uint256 i; i < deals.length; ++i) {
            Deal storage deal = deals[i];
            (Status status, uint32 parts,,,,) = market.sales(deal.copyId);
            if (status != deal.status) revert StateWentBack(deal.copyId, deal.status, status);
            if (parts != deal.parts) revert ClosedSaleMoved(deal.copyId);
            if ((deal.closings == 1) != (status >= Status.Settled)) {
                revert EscrowLeftTwice(deal.copyId);
            }
        }
    }

    /// @notice For each honest token, always: everybody's money is what the model says, and the
    /// market has it all, with the price of every open sale; in the native coin also R without the
    /// fees paid, and what is burnt. To the wei: what is beyond was forced in.
    function solvent() public view {
        for (uint256 i; i < honest; ++i) {
            address token = tokens[i];
            uint256 balance = token == address(0)
                ? address(market).balance
                : IERC20(token).balanceOf(address(market));
            uint256 owed = forced[token] + _ledgerMatches(token);
            if (token == address(0)) owed += _stakesMatch();
            for (uint256 j; j < open.length; ++j) {
                Deal storage deal = deals[open[j]];
                if (deal.escrow.token == token) owed += deal.escrow.price;
                if (token == address(0)) owed += _held(deal);
            }
            if (balance != owed) revert Insolvent(token, balance, owed);
        }
    }

    /// @dev R without the fees paid, and the buyer's bond.
    function _held(Deal storage deal) private view returns (uint256 held) {
        held = Table.reserve(deal.sale, deal.escrow) - _fees(deal) * deal.sale.fee;
        if (deal.status == Status.Disputed) held += deal.escrow.bond;
    }

    /// @notice What a sale moved out of the stake covers all that it can owe: every end that the
    /// state allows hands out what the sale holds, no more and no less.
    function reserveCovers() public view {
        for (uint256 i; i < open.length; ++i) {
            Deal storage deal = deals[open[i]];
            (Sale memory sale, Escrow memory escrow) = (deal.sale, deal.escrow);
            bool disputed = deal.status == Status.Disputed;
            (uint256 all, uint256 fees) = (_held(deal) + escrow.price, _fees(deal));
            for (uint256 number; number <= uint256(type(Table.End).max); ++number) {
                Table.End end = Table.End(number);
                bool whole = end == Table.End.Settled || end == Table.End.Refunded;
                if (end != Table.End.Agreed && whole == disputed) continue;
                if (!_covers(sale, escrow, fees, end, disputed, all)) {
                    revert ReserveTooSmall(deal.copyId);
                }
            }
        }
    }

    function _covers(
        Sale memory sale,
        Escrow memory escrow,
        uint256 fees,
        Table.End end,
        bool disputed,
        uint256 all
    ) private pure returns (bool) {
        for (uint256 kind; kind < 4; ++kind) {
            Table.Parts memory parts = Table.Parts({
                b: kind & 1 == 0 ? 0 : escrow.price,
                w: kind & 2 == 0 ? escrow.penalty : 0,
                a: disputed ? (kind == 3 ? 2 * uint256(escrow.bond) : escrow.bond) : 0
            });
            Table.Due memory due = Table.due(sale, escrow, fees, end, parts, disputed);
            if (Table.sum(due) != all) return false;
            if (end != Table.End.Ruled && end != Table.End.Agreed) break;
        }
        return true;
    }

    /// @notice Nobody entered the market while it was paying them.
    function neverEntered() public view {
        for (uint256 i; i < cast.length; ++i) {
            if (_isParty(cast[i]) && Party(payable(cast[i])).entered()) revert Reentered(cast[i]);
        }
    }
}
