// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {
    Delivery,
    Escrow,
    IMarketplace,
    Permit,
    Sale,
    Status,
    Terms,
    Windows
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Tree, Vm} from "../Base.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {LyingToken, RebasingToken, SilentToken} from "../tokens/OddTokens.sol";
import {PlainToken} from "../tokens/PlainToken.sol";
import {ReentrantToken} from "../tokens/ReentrantToken.sol";
import {Table} from "./Table.sol";

/// @notice A party without a plain account: takes no coins, or enters the market while it is paid.
contract Party {
    address private immutable MARKET;
    bool private immutable REFUSES;
    uint256 private _next;
    /// Whether the market ever let it in.
    bool public entered;

    constructor(address market, bool refuses) {
        (MARKET, REFUSES) = (market, refuses);
    }

    receive() external payable {
        require(!REFUSES, "no coins");
        bytes[] memory entries = EntryPoints.all(address(this));
        bytes memory entry = entries[_next++ % entries.length];
        (bool good, bytes memory answer) = MARKET.call(entry);
        entered = entered || good || bytes4(answer) != IMarketplace.Reentered.selector;
    }
}

/// @notice A market with everybody in it, and a model of every sale: what state it is in, what may
/// happen to it in this block, and what each end owes. The model keeps blocks, the market offsets;
/// neither is computed from the other.
abstract contract World {
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

    struct Item {
        address seller;
        Terms terms;
        address[] deliverers;
        /// Copies tried so far: each is bought once.
        uint64 next;
    }

    /// A sale, and the model of it.
    struct Deal {
        bytes32 copyId;
        Sale sale;
        Escrow escrow;
        uint256 item;
        Status status;
        uint32 parts;
        uint8 byDeliverers;
        uint8 bySeller;
        bool rated;
        uint256 completedAt;
        uint256 allAt;
        uint256 disputedAt;
        uint256 closings;
    }

    struct Proposal {
        address operator;
        address beneficiary;
        uint256 amount;
        uint256 firstBlock;
        uint256 lastBlock;
        bool ended;
    }

    /// A section 9 invariant, by name, did not hold.
    error EscrowLeftTwice(bytes32 copyId);
    error WrongEnd(bytes32 copyId, Table.End end);
    error ClosedSaleMoved(bytes32 copyId);
    error StateWentBack(bytes32 copyId, Status from, Status to);
    error ReserveTooSmall(bytes32 copyId);
    error Insolvent(address token, uint256 balance, uint256 owed);
    error Stuck(bytes32 copyId);
    error LeftOver(address token, uint256 amount);
    /// The market allowed what the model forbids, or the other way round.
    error Allowed(string what, bool good, bool expected);
    error Differs(string what, uint256 market, uint256 model);
    error Reentered(address party);

    uint256 internal constant REFUND = 300;
    uint256 internal constant DISPUTE = 110;
    uint256 internal constant ARBITRATION = 120;
    uint256 internal constant EXIT = 640;
    uint256 internal constant DELAY = 105;
    uint256 internal constant LAPSE = 130;
    uint256 internal constant MIN_STAKE = 0.1 ether;
    uint256 private constant MAX_OPEN = 12;
    bytes32 internal constant KEY = bytes32(uint256(0x42 << 248));
    address internal constant SINK = address(0xbeef);

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    IMarketplace internal market;
    address internal governor;
    address internal stranger;
    address[] internal sellers;
    address[] internal operators;
    address[] internal buyers;
    address[] internal deliverers;
    address[] internal owners;
    address[] internal arbitrators;
    address[] internal cast;
    /// Native, two honest ones, one that enters the market; then those excepted from solvency.
    address[] internal tokens;
    uint256 internal honest;

    Item[] internal items;
    /// The items in each seller's catalogue: the last two.
    mapping(address seller => uint256[]) internal catalogue;
    mapping(address seller => bytes32) internal digests;
    Deal[] internal deals;
    uint256[] internal open;
    Proposal[] internal proposals;
    /// How often what happened: a run that reaches nothing proves nothing.
    mapping(string what => uint256) public times;
    /// What came without a call: it belongs to nobody.
    mapping(address token => uint256) internal forced;

    constructor() {
        vm.roll(1000);
        governor = _account("governor");
        stranger = _account("stranger");
        Windows memory windows = Windows(300, 110, 120, 640, 105, 130);
        market = IMarketplace(
            vm.deployCode(
                "Marketplace.sol:Marketplace", abi.encode(windows, governor, MIN_STAKE, 0)
            )
        );
        tokens.push(address(0));
        tokens.push(address(new PlainToken()));
        tokens.push(address(new SilentToken()));
        tokens.push(address(new ReentrantToken()));
        honest = tokens.length;
        tokens.push(address(new RebasingToken()));
        tokens.push(address(new LyingToken()));

        sellers.push(_account("seller 0"));
        sellers.push(_account("seller 1"));
        sellers.push(_party(true));
        sellers.push(_party(false));
        buyers.push(_account("buyer 0"));
        buyers.push(_account("buyer 1"));
        buyers.push(_party(true));
        buyers.push(_party(false));
        // A seller may buy, even from itself.
        buyers.push(sellers[0]);
        arbitrators.push(_account("arbitrator"));
        arbitrators.push(_party(false));
        for (uint256 i; i < sellers.length; ++i) {
            operators.push(_account(i == 0 ? "watchdog 0" : i == 1 ? "watchdog 1" : "watchdog 2"));
            vm.prank(sellers[i]);
            market.setSellerOperator(operators[i]);
            vm.prank(sellers[i]);
            market.stakeAsSeller{value: 20 ether}();
        }
        // The last one is named in no leaf: after an exit nothing is left of it.
        string[5] memory names = ["alice", "bob", "carol", "dave", "erin"];
        for (uint256 i; i < names.length; ++i) {
            deliverers.push(_account(names[i]));
            owners.push(
                i == 1 ? _party(false) : i == 2 || i == 3 ? _account("owner") : deliverers[i]
            );
            _register(i);
        }
    }

    // ------------------------------------------------------------------------------- people

    function _account(string memory name) private returns (address who) {
        who = vm.addr(uint256(keccak256(bytes(name))));
        _join(who);
    }

    function _party(bool refuses) private returns (address who) {
        who = address(new Party(address(market), refuses));
        _join(who);
    }

    function _join(address who) private {
        for (uint256 i; i < cast.length; ++i) {
            if (cast[i] == who) return;
        }
        cast.push(who);
        vm.deal(who, 1e9 ether);
    }

    function _register(uint256 i) internal {
        vm.startPrank(deliverers[i], deliverers[i]);
        if (owners[i] == deliverers[i]) market.stakeAsDeliverer{value: MIN_STAKE}(KEY);
        else market.stakeAsDelivererFor{value: MIN_STAKE}(owners[i], KEY);
        vm.stopPrank();
    }

    function _isParty(address who) internal view returns (bool) {
        return who.code.length != 0;
    }

    function _block() internal view returns (uint256) {
        return vm.getBlockNumber();
    }

    function _random(uint256 seed, string memory what, uint256 below)
        internal
        pure
        returns (uint256)
    {
        return uint256(keccak256(abi.encode(seed, what))) % below;
    }

    // -------------------------------------------------------------------------------- items

    /// @dev Terms of every kind: free, native, in a token; k of n to 32; with and without
    /// arbitrator; amounts that divide badly.
    function _draw(uint256 seed, address seller, uint256 kinds) internal returns (uint256 id) {
        id = items.length;
        Item storage item = items.push();
        Terms memory terms;
        terms.itemId = bytes32(id + 1);
        if (_random(seed, "coins", 2) == 0) terms.token = tokens[_random(seed, "token", kinds)];
        terms.price = uint128(_random(seed, "price", 3 ether));
        if (_random(seed, "free", 10) == 0) terms.price = 0;
        uint256 parts = 1 + _random(seed, "parts", 4);
        if (_random(seed, "many", 40) == 0) parts = 32;
        terms.parts = uint8(parts);
        terms.threshold = uint8(1 + _random(seed, "threshold", parts));
        uint256 most = terms.token == address(0) ? uint256(terms.price) + 1 : 0.1 ether;
        terms.commission = uint128(_random(seed, "commission", most));
        terms.penalty = uint128(_random(seed, "penalty", 0.5 ether));
        terms.bond = uint128(_random(seed, "bond", 0.2 ether));
        uint256 judge = _random(seed, "judge", 3);
        if (judge < arbitrators.length) terms.arbitrator = arbitrators[judge];
        terms.stock = _random(seed, "stock", 2) == 0;
        terms.supply = uint64(1 + _random(seed, "supply", 3));
        for (uint256 i; i < parts; ++i) {
            uint256 who = _random(seed, string(abi.encode("deliverer", i)), 20);
            // Now and then the leaf names the seller, or somebody without stake.
            address named = who == 0 ? seller : who == 1 ? stranger : deliverers[who % 4];
            item.deliverers.push(named);
        }
        item.seller = seller;
        item.terms = terms;
        terms.partsRoot = Tree.root(_leaves(id));
        item.terms = terms;
    }

    function _leaves(uint256 id) private view returns (bytes32[] memory leaves) {
        Item storage item = items[id];
        uint256 parts = item.terms.parts;
        uint256 copies = item.terms.stock ? item.terms.supply : 1;
        leaves = new bytes32[](parts * copies);
        for (uint256 i; i < leaves.length; ++i) {
            bytes32 known = keccak256(abi.encode(id, i));
            leaves[i] = keccak256(
                bytes.concat(
                    keccak256(
                        abi.encode(
                            i / parts, i % parts, item.deliverers[i % parts], known, known, known
                        )
                    )
                )
            );
        }
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
                _keys(item.terms.parts)
            )
        );
        uint256 value = item.terms.token == address(0) ? item.terms.price + extra : 0;
        vm.prank(buyer);
        (good,) = address(market).call{value: value}(data);
        if (good) _record(id, buyer);
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
                _keys(item.terms.parts),
                permit
            )
        );
        vm.prank(buyer);
        (good,) = address(market).call(data);
        if (good) _record(id, buyer);
    }

    function _keys(uint256 parts) internal pure returns (bytes32[] memory keys) {
        keys = new bytes32[](parts);
        for (uint256 i; i < parts; ++i) {
            keys[i] = KEY;
        }
    }

    function _record(uint256 id, address buyer) private {
        Item storage item = items[id];
        Terms memory terms = item.terms;
        uint64 copy = item.next++;
        ++times["bought"];
        Deal storage deal = deals.push();
        open.push(deals.length - 1);
        deal.item = id;
        deal.copyId = keccak256(abi.encode(item.seller, terms.itemId, copy));
        deal.escrow = Escrow(
            digests[item.seller],
            keccak256(abi.encodePacked(_keys(terms.parts))),
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
            copy,
            terms.stock,
            terms.parts,
            terms.threshold,
            terms.commission / terms.parts,
            terms.partsRoot,
            keccak256(abi.encode(deal.escrow))
        );
        deal.status = Status.Purchased;
        _agree(deals.length - 1);
    }

    function _room() internal view returns (bool) {
        return open.length < MAX_OPEN;
    }

    // ------------------------------------------------------------------- what may happen, when

    function _isOpen(Deal storage deal) internal view returns (bool) {
        return deal.status >= Status.Purchased && deal.status <= Status.Disputed;
    }

    /// @dev First block in which a Complete sale may close.
    function _gate(Deal storage deal) internal view returns (uint256 gate) {
        gate = deal.sale.purchaseBlock + 101;
        if (deal.allAt != 0 && deal.allAt < gate) gate = deal.allAt;
    }

    function _lastDisputeBlock(Deal storage deal) internal view returns (uint256) {
        uint256 gate = _gate(deal);
        return (deal.completedAt > gate ? deal.completedAt : gate) + DISPUTE;
    }

    function _may(Step step, uint256 id, address caller) internal view returns (bool) {
        Deal storage deal = deals[id];
        Status status = deal.status;
        uint256 now_ = _block();
        bool byBuyer = caller == deal.sale.buyer;
        bool bySeller = caller == deal.sale.seller;
        bool byJudge = caller == deal.escrow.arbitrator;
        if (step == Step.Rate) return status == Status.Settled && byBuyer && !deal.rated;
        if (step == Step.Refund) {
            return status == Status.Purchased && now_ > deal.sale.purchaseBlock + REFUND;
        }
        if (status == Status.Complete) {
            if (now_ < _gate(deal)) return false;
            if (step == Step.Confirm) return byBuyer;
            if (step == Step.Settle) return now_ > _lastDisputeBlock(deal);
            if (step == Step.Concede) return bySeller;
            return step == Step.Dispute && byBuyer && deal.escrow.arbitrator != address(0)
                && now_ <= _lastDisputeBlock(deal);
        }
        if (status != Status.Disputed) return false;
        if (step == Step.Evidence) return byBuyer || bySeller || byJudge;
        bool inTime = now_ <= deal.disputedAt + ARBITRATION;
        if (step == Step.Settle) return !inTime;
        if (step == Step.Concede) return inTime && (byBuyer || bySeller);
        return step == Step.Resolve && inTime && byJudge;
    }

    // --------------------------------------------------------------------------- taking steps

    struct Purse {
        uint256 coins;
        uint256 tokens;
    }

    struct Purses {
        Purse buyer;
        Purse seller;
        Purse arbitrator;
        uint256 stake;
    }

    function _purse(address who, address token) private view returns (Purse memory) {
        return Purse(market.credits(who, address(0)), market.credits(who, token));
    }

    function _purses(Deal storage deal) private view returns (Purses memory purses) {
        address token = deal.escrow.token;
        purses.buyer = _purse(deal.sale.buyer, token);
        purses.seller = _purse(deal.sale.seller, token);
        purses.arbitrator = _purse(deal.escrow.arbitrator, token);
        purses.stake = market.sellerStakes(deal.sale.seller);
    }

    /// @dev Tries a step with what the deal's own sale and escrow are, and holds the market to the
    /// model: allowed or not, and every wei of an end.
    function _take(Step step, uint256 id, address caller, uint256 seed)
        internal
        returns (bool good)
    {
        Deal storage deal = deals[id];
        bool expected = _may(step, id, caller);
        Status status = deal.status;
        Purses memory before = _purses(deal);
        uint256 toBuyer = _ruling(seed, deal.escrow.price);
        bool awarded = _random(seed, "awarded", 2) == 0;
        uint256 value = step == Step.Dispute ? deal.escrow.bond : 0;
        bytes memory data = _data(step, deal, seed, toBuyer, awarded);
        vm.prank(caller);
        (good,) = address(market).call{value: value}(data);
        if (good != expected) revert Allowed(_name(step), good, expected);
        if (!good) return false;
        ++times[_name(step)];

        if (step == Step.Rate) deal.rated = true;
        if (step == Step.Dispute) {
            deal.status = Status.Disputed;
            deal.disputedAt = _block();
        }
        if (step != Step.Rate && step != Step.Dispute && step != Step.Evidence) {
            Table.End end = _end(step, status, caller == deal.sale.seller);
            _close(id, end);
            Table.Due memory due = Table.due(
                deal.sale, deal.escrow, deal.byDeliverers, deal.bySeller, end, toBuyer, awarded
            );
            if (!_isPaid(deal, before, due)) revert WrongEnd(deal.copyId, end);
        } else if (!_isPaid(deal, before, _nothing())) {
            revert ClosedSaleMoved(deal.copyId);
        }
        _agree(id);
    }

    function _nothing() private pure returns (Table.Due memory) {}

    /// @dev 0, all, or something between.
    function _ruling(uint256 seed, uint256 price) private pure returns (uint256) {
        uint256 kind = _random(seed, "ruling", 3);
        return kind == 0 ? 0 : kind == 1 ? price : _random(seed, "share", price + 1);
    }

    function _data(Step step, Deal storage deal, uint256 seed, uint256 toBuyer, bool awarded)
        private
        view
        returns (bytes memory)
    {
        (bytes32 copyId, Sale memory sale, Escrow memory escrow) =
            (deal.copyId, deal.sale, deal.escrow);
        if (step == Step.Rate) {
            uint8 stars = uint8(1 + _random(seed, "stars", 5));
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
        string[6] memory names =
            ["settled", "silence", "refunded", "seller conceded", "buyer conceded", "ruled"];
        return string.concat(names[uint256(end)], native ? ", coins" : ", tokens");
    }

    function _end(Step step, Status status, bool bySeller) private pure returns (Table.End) {
        if (step == Step.Refund) return Table.End.Refunded;
        if (step == Step.Resolve) return Table.End.Ruled;
        if (step == Step.Concede) {
            if (status == Status.Complete) return Table.End.Refunded;
            return bySeller ? Table.End.SellerConcedes : Table.End.BuyerConcedes;
        }
        return status == Status.Disputed ? Table.End.Silence : Table.End.Settled;
    }

    /// @dev The end in the model. Escrow leaves once: a second end is a fault of the market.
    function _close(uint256 id, Table.End end) private {
        Deal storage deal = deals[id];
        if (++deal.closings != 1) revert EscrowLeftTwice(deal.copyId);
        ++times[_endName(end, deal.escrow.token == address(0))];
        deal.status = Status.Settled;
        if (end == Table.End.Refunded || end == Table.End.SellerConcedes) {
            deal.status = Status.Refunded;
        }
        if (end == Table.End.Ruled) deal.status = Status.Resolved;
        for (uint256 i; i < open.length; ++i) {
            if (open[i] != id) continue;
            open[i] = open[open.length - 1];
            open.pop();
            break;
        }
    }

    /// @dev Whether everybody has exactly what is due, and nobody else's purse is among theirs.
    function _isPaid(Deal storage deal, Purses memory before, Table.Due memory due)
        private
        view
        returns (bool)
    {
        Purses memory now_ = _purses(deal);
        address[3] memory who = [deal.sale.buyer, deal.sale.seller, deal.escrow.arbitrator];
        uint256[3] memory prices = [due.buyerPrice, due.sellerPrice, 0];
        uint256[3] memory coins = [due.buyerCoins, due.sellerCoins, due.arbitrator];
        Purse[3] memory old = [before.buyer, before.seller, before.arbitrator];
        Purse[3] memory now3 = [now_.buyer, now_.seller, now_.arbitrator];
        bool native = deal.escrow.token == address(0);
        for (uint256 i; i < 3; ++i) {
            (uint256 price, uint256 coin) = (0, 0);
            // One account in two roles has the sum of both.
            for (uint256 j; j < 3; ++j) {
                if (who[j] == who[i]) (price, coin) = (price + prices[j], coin + coins[j]);
            }
            if (native) coin += price;
            if (now3[i].coins != old[i].coins + coin) return false;
            if (!native && now3[i].tokens != old[i].tokens + price) return false;
        }
        return now_.stake == before.stake + due.stake;
    }

    // ------------------------------------------------------------------------------ delivering

    function _delivery(uint256 id, uint256 index)
        internal
        view
        returns (Delivery memory delivery)
    {
        Deal storage deal = deals[id];
        Item storage item = items[deal.item];
        uint256 place = index;
        if (item.terms.stock) place += uint256(deal.sale.copy) * item.terms.parts;
        delivery.copyId = deal.copyId;
        delivery.sale = deal.sale;
        delivery.index = uint8(index);
        delivery.deliverer = item.deliverers[index];
        bytes32 known = keccak256(abi.encode(deal.item, place));
        (delivery.commitment, delivery.secretHash, delivery.salt) = (known, known, known);
        delivery.proof = Tree.proof(_leaves(deal.item), place);
        delivery.fragment = new bytes(80);
    }

    function _has(Deal storage deal, uint256 index) internal view returns (bool) {
        return (deal.parts >> index) & 1 != 0;
    }

    function _isEligible(address who) internal view returns (bool) {
        (, uint256 stake,,, uint256 exitBlock) = market.deliverers(who);
        return stake >= MIN_STAKE && exitBlock == 0;
    }

    function _actsForSeller(Deal storage deal, address who) internal view returns (bool) {
        return who == deal.sale.seller || who == market.sellerOperator(deal.sale.seller);
    }

    function _isOwn(Deal storage deal, uint256 index, address who) internal view returns (bool) {
        return who == items[deal.item].deliverers[index] && who != deal.sale.seller;
    }

    function _mayDeliver(uint256 id, uint256 index, address who) internal view returns (bool) {
        Deal storage deal = deals[id];
        uint256 start = deal.sale.purchaseBlock;
        if (_isParty(who) || !_isOpen(deal) || _block() > start + REFUND) return false;
        if (_has(deal, index)) return false;
        if (_isOwn(deal, index, who)) return _isEligible(who);
        return _actsForSeller(deal, who) && _block() > start + 100;
    }

    function _deliver(uint256 id, uint256 index, address who) internal returns (bool good) {
        Deal storage deal = deals[id];
        bool expected = _mayDeliver(id, index, who);
        bool own = _isOwn(deal, index, who);
        (,, uint256 earned, uint256 number,) = market.deliverers(who);
        uint256 credit = market.credits(deal.sale.buyer, address(0));
        bytes memory data = abi.encodeCall(IMarketplace.deliverFragment, (_delivery(id, index)));
        vm.prank(who, who);
        (good,) = address(market).call(data);
        if (good != expected) revert Allowed("deliverFragment", good, expected);
        if (!good) return false;
        ++times[own ? "delivered" : "delivered by the seller"];
        _arrived(id, index, own);
        (,, uint256 earnedNow, uint256 numberNow,) = market.deliverers(who);
        _same("earned", earnedNow, earned + (own ? deal.sale.fee : 0));
        _same("delivered", numberNow, number + (own ? 1 : 0));
        uint256 creditNow = market.credits(deal.sale.buyer, address(0));
        _same("fee to the buyer", creditNow, credit + (own ? 0 : deal.sale.fee));
        _agree(id);
    }

    /// @dev A part in the model.
    function _arrived(uint256 id, uint256 index, bool own) internal {
        Deal storage deal = deals[id];
        deal.parts |= uint32(1 << index);
        if (own) ++deal.byDeliverers;
        else ++deal.bySeller;
        uint256 number = uint256(deal.byDeliverers) + deal.bySeller;
        if (number == deal.sale.threshold && deal.status == Status.Purchased) {
            deal.status = Status.Complete;
            deal.completedAt = _block();
        }
        if (number == deal.sale.parts) deal.allAt = _block();
    }

    // ------------------------------------------------------------------------- the invariants

    /// @dev The market knows of a sale what the model knows.
    function _agree(uint256 id) internal view {
        Deal storage deal = deals[id];
        (Status status, uint32 parts, uint8 byDeliverers,, bytes24 commitment) =
            market.sales(deal.copyId);
        _same("status", uint256(status), uint256(deal.status));
        _same("parts", parts, deal.parts);
        _same("byDeliverers", byDeliverers, deal.byDeliverers);
        _same("rated", market.rated(deal.copyId) ? 1 : 0, deal.rated ? 1 : 0);
        bytes24 known = bytes24(keccak256(abi.encode(deal.sale)));
        _same("commitment", uint192(commitment), uint192(known));
    }

    function _same(string memory what, uint256 inMarket, uint256 inModel) internal pure {
        if (inMarket != inModel) revert Differs(what, inMarket, inModel);
    }

    /// @notice No state goes back, and a sale that has ended stays as it ended: the model only goes
    /// forward, and every sale is as its model.
    function statesAgree() public view {
        for (uint256 i; i < deals.length; ++i) {
            Deal storage deal = deals[i];
            (Status status, uint32 parts,,,) = market.sales(deal.copyId);
            if (status != deal.status) revert StateWentBack(deal.copyId, deal.status, status);
            if (parts != deal.parts) revert ClosedSaleMoved(deal.copyId);
            if ((deal.closings == 1) != (status >= Status.Settled)) {
                revert EscrowLeftTwice(deal.copyId);
            }
        }
    }

    /// @notice For each honest token, always: the market has stakes, credits, bonds and the price
    /// of every open sale; in the native coin also R without the fees paid. To the wei: what is
    /// beyond was forced in.
    function solvent() public view {
        for (uint256 i; i < honest; ++i) {
            address token = tokens[i];
            uint256 balance = token == address(0)
                ? address(market).balance
                : IERC20(token).balanceOf(address(market));
            uint256 owed = forced[token] + _owed(token);
            if (balance != owed) revert Insolvent(token, balance, owed);
        }
    }

    function _owed(address token) private view returns (uint256 owed) {
        for (uint256 i; i < cast.length; ++i) {
            owed += market.credits(cast[i], token);
        }
        for (uint256 i; i < open.length; ++i) {
            Deal storage deal = deals[open[i]];
            if (deal.escrow.token == token) owed += deal.escrow.price;
            if (token == address(0)) owed += _held(deal);
        }
        if (token != address(0)) return owed;
        for (uint256 i; i < cast.length; ++i) {
            owed += market.sellerStakes(cast[i]);
        }
        for (uint256 i; i < deliverers.length; ++i) {
            (, uint256 stake, uint256 earned,,) = market.deliverers(deliverers[i]);
            owed += stake + earned;
        }
    }

    /// @dev R without the fees paid, and the buyer's bond.
    function _held(Deal storage deal) private view returns (uint256 held) {
        (Status status, uint32 parts,,,) = market.sales(deal.copyId);
        held = Table.reserve(deal.sale, deal.escrow);
        for (uint256 bits = parts; bits != 0; bits &= bits - 1) {
            held -= deal.sale.fee;
        }
        if (status == Status.Disputed) held += deal.escrow.bond;
    }

    /// @notice What a sale moved out of the stake covers all that it can owe: every end that the
    /// state allows hands out what the sale holds, no more and no less.
    function reserveCovers() public view {
        for (uint256 i; i < open.length; ++i) {
            Deal storage deal = deals[open[i]];
            uint256 all = _held(deal) + deal.escrow.price;
            bool disputed = deal.status == Status.Disputed;
            for (uint256 end; end <= uint256(type(Table.End).max); ++end) {
                bool whole =
                    Table.End(end) == Table.End.Settled || Table.End(end) == Table.End.Refunded;
                if (disputed == whole) continue;
                for (uint256 ruling; ruling < 4; ++ruling) {
                    Table.Due memory due = Table.due(
                        deal.sale,
                        deal.escrow,
                        deal.byDeliverers,
                        deal.bySeller,
                        Table.End(end),
                        ruling & 1 == 0 ? 0 : deal.escrow.price,
                        ruling & 2 == 0
                    );
                    uint256 out = due.buyerPrice + due.sellerPrice + due.buyerCoins
                        + due.sellerCoins + due.stake + due.arbitrator;
                    if (out != all) revert ReserveTooSmall(deal.copyId);
                    if (Table.End(end) != Table.End.Ruled) break;
                }
            }
        }
    }

    /// @notice Nobody entered the market while it was paying them.
    function neverEntered() public view {
        for (uint256 i; i < cast.length; ++i) {
            if (_isParty(cast[i]) && Party(payable(cast[i])).entered()) revert Reentered(cast[i]);
        }
    }

    /// @notice Every state can be left after a known block, by a stranger; then everybody takes
    /// what is theirs, without anybody's help, and only what was forced in stays.
    function everythingLeaves() public {
        statesAgree();
        vm.roll(_block() + REFUND + DISPUTE + ARBITRATION + EXIT + DELAY + LAPSE);
        while (open.length != 0) {
            uint256 id = open[open.length - 1];
            Step step = deals[id].status == Status.Purchased ? Step.Refund : Step.Settle;
            if (!_may(step, id, stranger)) revert Stuck(deals[id].copyId);
            if (!_take(step, id, stranger, 0)) revert Stuck(deals[id].copyId);
        }
        solvent();
        for (uint256 i; i < deliverers.length; ++i) {
            _exit(deliverers[i], owners[i]);
        }
        for (uint256 i; i < cast.length; ++i) {
            uint256 free = market.sellerStakes(cast[i]);
            if (free == 0) continue;
            vm.prank(cast[i]);
            market.withdrawSellerStake(free, SINK);
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
            if (left != forced[token]) revert LeftOver(token, left);
        }
        statesAgree();
    }

    function _exit(address operator, address owner) private {
        (, uint256 stake, uint256 earned,, uint256 exitBlock) = market.deliverers(operator);
        vm.startPrank(owner, owner);
        if (earned != 0) market.withdrawEarnings(operator, SINK);
        if (stake != 0) {
            if (exitBlock == 0) {
                market.requestExit(operator);
                vm.roll(_block() + EXIT);
            }
            market.withdrawDelivererStake(operator, SINK);
        }
        vm.stopPrank();
    }
}
