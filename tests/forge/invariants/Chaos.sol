// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Escrow,
    IMarketplace,
    Sale,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Tree} from "../Base.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {LyingToken, RebasingToken} from "../tokens/OddTokens.sol";
import {Handler} from "./Handler.sol";

/// @notice Everybody does anything: at any time, in anybody's name, with anything in hand.
/// What the model forbids the market refuses, and what it allows the market does; tokens that lie
/// and rebase are among those sold for.
contract Chaos is Handler {
    function actions() external pure override returns (bytes4[] memory list_) {
        list_ = new bytes4[](32);
        list_[0] = this.mine.selector;
        list_[1] = this.reachTheNextEdge.selector;
        list_[2] = this.list.selector;
        list_[3] = this.buy.selector;
        list_[4] = this.deliver.selector;
        list_[5] = this.deliverBatch.selector;
        list_[6] = this.openDispute.selector;
        list_[7] = this.stakeAsSeller.selector;
        list_[8] = this.addDelivererStake.selector;
        list_[9] = this.requestExit.selector;
        list_[10] = this.leave.selector;
        list_[11] = this.propose.selector;
        list_[12] = this.withdraw.selector;
        list_[13] = this.wildStep.selector;
        list_[14] = this.wildStep2.selector;
        list_[15] = this.wildDelivery.selector;
        list_[16] = this.forgedStep.selector;
        list_[17] = this.forgedDelivery.selector;
        list_[18] = this.wrongAmount.selector;
        list_[19] = this.wrongPurchase.selector;
        list_[20] = this.stolenStake.selector;
        list_[21] = this.wildSlash.selector;
        list_[22] = this.emptyPurse.selector;
        list_[23] = this.odd.selector;
        list_[24] = this.withdrawOdd.selector;
        list_[25] = this.noise.selector;
        list_[26] = this.closeStore.selector;
        list_[27] = this.resolve.selector;
        list_[28] = this.refund.selector;
        list_[29] = this.settle.selector;
        list_[30] = this.confirm.selector;
        list_[31] = this.concede.selector;
    }

    function _kinds() internal view override returns (uint256) {
        return tokens.length;
    }

    function _anybody(uint256 seed) private view returns (address) {
        return cast[_random(seed, "anybody", cast.length)];
    }

    function _anyDeal(uint256 seed) private view returns (uint256) {
        // Half of the time one that has not ended.
        if (open.length != 0 && _random(seed, "ended", 2) == 0) {
            return open[_random(seed, "open", open.length)];
        }
        return _random(seed, "deal", deals.length);
    }

    /// @dev A call that must be refused.
    function _refused(address who, uint256 value, bytes memory data, string memory what) private {
        vm.prank(who, who);
        (bool good,) = address(market).call{value: value}(data);
        if (good) revert Allowed(what, true, false);
        ++times[what];
    }

    // -------------------------------------------------------------------------------- sales

    /// @notice Any step of any sale, by anybody.
    function wildStep(uint256 seed) external {
        if (deals.length == 0) return;
        _take(Step(_random(seed, "step", 8)), _anyDeal(seed), _anybody(seed), seed);
    }

    /// @notice Any step of any sale, by one of its parties.
    function wildStep2(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 id = _anyDeal(seed);
        uint256 who = _random(seed, "party", 3);
        address caller = who == 0 ? deals[id].sale.buyer : deals[id].sale.seller;
        if (who == 2 && deals[id].escrow.arbitrator != address(0)) {
            caller = deals[id].escrow.arbitrator;
        }
        _take(Step(_random(seed, "step", 8)), id, caller, seed);
    }

    /// @notice Any part of any sale, by anybody.
    function wildDelivery(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 id = _anyDeal(seed);
        uint256 index = _random(seed, "part", deals[id].sale.parts);
        uint256 who = _random(seed, "who", 3);
        address by = _anybody(seed);
        if (who == 1) by = items[deals[id].item].deliverers[index];
        if (who == 2) by = market.sellerOperator(deals[id].sale.seller);
        if (by == address(0)) by = stranger;
        _deliver(id, index, by);
    }

    /// @notice A step that is allowed, with one word of the sale or the escrow changed.
    function forgedStep(uint256 seed) external {
        if (open.length == 0) return;
        uint256 id = open[_random(seed, "open", open.length)];
        Step step = Step(_random(seed, "step", 8));
        address caller = deals[id].sale.buyer;
        if (step == Step.Concede) caller = deals[id].sale.seller;
        if (step == Step.Resolve || step == Step.Evidence) caller = deals[id].escrow.arbitrator;
        if (caller == address(0) || !_may(step, id, caller)) return;
        (Sale memory sale, Escrow memory escrow) = (deals[id].sale, deals[id].escrow);
        uint256 word = _random(seed, "word", 17);
        if (step == Step.Rate) word %= 10;
        if (word < 10) _forgeSale(sale, word, seed);
        else _forgeEscrow(escrow, word - 10);
        // The forger brings a matching hash along, now and then.
        if (_random(seed, "match", 3) == 0) sale.escrowHash = keccak256(abi.encode(escrow));
        // It is only a forgery if something differs.
        if (
            keccak256(abi.encode(sale)) == keccak256(abi.encode(deals[id].sale))
                && (step == Step.Rate
                    || keccak256(abi.encode(escrow)) == keccak256(abi.encode(deals[id].escrow)))
        ) return;
        _refused(
            caller,
            step == Step.Dispute ? escrow.bond : 0,
            _call(step, deals[id].copyId, sale, escrow),
            "forged steps"
        );
        _agree(id);
    }

    function _forgeSale(Sale memory sale, uint256 word, uint256 seed) private view {
        if (word == 0) sale.seller = _anybody(seed);
        if (word == 1) sale.buyer = _anybody(seed);
        if (word == 2) sale.purchaseBlock -= 1;
        if (word == 3) sale.copy += 1;
        if (word == 4) sale.stock = !sale.stock;
        if (word == 5) sale.parts += 1;
        if (word == 6) sale.threshold -= 1;
        if (word == 7) sale.fee += 1;
        if (word == 8) sale.partsRoot ^= bytes32(uint256(1));
        if (word == 9) sale.escrowHash ^= bytes32(uint256(1));
    }

    function _forgeEscrow(Escrow memory escrow, uint256 word) private view {
        if (word == 0) escrow.storeDigest ^= bytes32(uint256(1));
        if (word == 1) escrow.keysHash ^= bytes32(uint256(1));
        if (word == 2) escrow.token = tokens[escrow.token == address(0) ? 1 : 0];
        if (word == 3) escrow.price += 1;
        if (word == 4) escrow.penalty += 1;
        if (word == 5) escrow.bond += 1;
        if (word == 6) escrow.arbitrator = stranger;
    }

    function _call(Step step, bytes32 copyId, Sale memory sale, Escrow memory escrow)
        private
        pure
        returns (bytes memory)
    {
        if (step == Step.Rate) {
            return abi.encodeCall(IMarketplace.rateSale, (copyId, sale, 5));
        }
        if (step == Step.Dispute) {
            return abi.encodeCall(IMarketplace.openDispute, (copyId, sale, escrow, 0));
        }
        if (step == Step.Resolve) {
            return abi.encodeCall(IMarketplace.resolveDispute, (copyId, sale, escrow, 0, true));
        }
        if (step == Step.Evidence) {
            return abi.encodeCall(IMarketplace.submitEvidence, (copyId, sale, escrow, ""));
        }
        bytes4[4] memory selectors = [
            IMarketplace.confirm.selector,
            IMarketplace.settle.selector,
            IMarketplace.refund.selector,
            IMarketplace.concede.selector
        ];
        return abi.encodeWithSelector(selectors[uint256(step)], copyId, sale, escrow);
    }

    /// @notice A delivery that is allowed, with one thing changed.
    function forgedDelivery(uint256 seed) external {
        (bool found, uint256 id, uint256 index, address by) =
            _deliverable(seed, _random(seed, "who", 3));
        if (!found) return;
        Delivery memory delivery = _delivery(id, index);
        uint256 kind = _random(seed, "kind", 10);
        if (kind == 0) delivery.fragment = new bytes(79);
        if (kind == 1) delivery.fragment = new bytes(81);
        if (kind == 2) delivery.commitment ^= bytes32(uint256(1));
        if (kind == 3) delivery.secretHash ^= bytes32(uint256(1));
        if (kind == 4) delivery.salt ^= bytes32(uint256(1));
        if (kind == 5) delivery.index = uint8(deals[id].sale.parts + _random(seed, "index", 200));
        if (kind == 6) delivery.copyId = bytes32(seed);
        if (kind == 7) delivery.deliverer = stranger == delivery.deliverer ? by : stranger;
        if (kind == 8) _forgeSale(delivery.sale, 2 + _random(seed, "word", 8), seed);
        if (kind == 9) {
            // The proof of another leaf, or none where one is needed.
            if (delivery.proof.length == 0) delivery.proof = new bytes32[](1);
            else delivery.proof = new bytes32[](0);
        }
        bool batch = _random(seed, "batch", 2) == 0;
        Delivery[] memory one = new Delivery[](1);
        one[0] = delivery;
        _refused(
            by,
            0,
            batch
                ? abi.encodeCall(IMarketplace.deliverFragments, (one))
                : abi.encodeCall(IMarketplace.deliverFragment, (delivery)),
            "forged deliveries"
        );
        _agree(id);
    }

    /// @notice A dispute with another bond, a ruling beyond the price, six stars.
    function wrongAmount(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 kind = _random(seed, "kind", 3);
        uint256 id = _anyDeal(seed);
        for (uint256 i; i < open.length && kind != 2; ++i) {
            id = open[i];
            if (kind == 0 && _may(Step.Dispute, id, deals[id].sale.buyer)) break;
            if (kind == 1 && _may(Step.Resolve, id, deals[id].escrow.arbitrator)) break;
        }
        Deal storage deal = deals[id];
        if (kind == 0) {
            if (!_may(Step.Dispute, id, deal.sale.buyer)) return;
            uint256 bond = deal.escrow.bond;
            uint256 other = _random(seed, "less", 2) == 0 ? bond + 1 : bond / 2;
            if (other == bond) return;
            _refused(
                deal.sale.buyer,
                other,
                _call(Step.Dispute, deal.copyId, deal.sale, deal.escrow),
                "wrong bonds"
            );
        } else if (kind == 1) {
            if (!_may(Step.Resolve, id, deal.escrow.arbitrator)) return;
            _refused(
                deal.escrow.arbitrator,
                0,
                abi.encodeCall(
                    IMarketplace.resolveDispute,
                    (deal.copyId, deal.sale, deal.escrow, uint256(deal.escrow.price) + 1, true)
                ),
                "high rulings"
            );
        } else {
            uint8 stars = uint8(6 + _random(seed, "stars", 250));
            _refused(
                deal.sale.buyer,
                0,
                abi.encodeCall(IMarketplace.rateSale, (deal.copyId, deal.sale, stars)),
                "wrong stars"
            );
        }
    }

    /// @notice A purchase with one thing wrong.
    function wrongPurchase(uint256 seed) external {
        (bool found, uint256 id, uint256 place) = _offered(seed);
        if (!found) return;
        Terms memory terms = items[id].terms;
        address seller = items[id].seller;
        address buyer = buyers[_random(seed, "buyer", 4)];
        bytes32[] memory proof = Tree.proof(_listed(seller), place);
        bytes32[] memory keys = _keys(terms.parts);
        bytes32 digest = digests[seller];
        uint64 copy = items[id].next;
        uint256 value = terms.token == address(0) ? terms.price : 0;
        uint256 kind = _random(seed, "kind", 12);
        if (kind == 0) digest ^= bytes32(uint256(1));
        if (kind == 1) terms.price /= 2;
        if (kind == 2) terms.partsRoot = 0;
        if (kind == 3) terms.commission += 1;
        if (kind == 4) copy = terms.supply;
        if (kind == 5) keys = _keys(terms.parts + 1);
        if (kind == 6) keys[_random(seed, "key", keys.length)] = 0;
        if (kind == 7) keys[0] = bytes32(uint256(0x80));
        if (kind == 8) seller = stranger;
        if (kind == 9) proof = new bytes32[](3);
        if (kind == 10) value = terms.token == address(0) ? value - (value == 0 ? 0 : 1) : 1;
        if (kind == 11) {
            if (copy == 0) return;
            copy -= 1;
        }
        // Half of nothing, or one less than nothing, is the price all the same.
        if (items[id].terms.price == 0 && (kind == 1 || (kind == 10 && value == 0))) return;
        _refused(
            buyer,
            value,
            abi.encodeCall(IMarketplace.buyItem, (seller, terms, proof, digest, copy, keys)),
            "wrong purchases"
        );
    }

    // ------------------------------------------------------------------------------- stakes

    /// @notice Anybody reaches for a deliverer's stake and earnings.
    function stolenStake(uint256 seed) external {
        uint256 i = _random(seed, "deliverer", deliverers.length);
        address operator = deliverers[i];
        (address owner,,,,) = market.deliverers(operator);
        address thief = _random(seed, "operator", 2) == 0 ? operator : _anybody(seed);
        // Where nobody is registered the operator is asked for; it owns nothing there.
        if (thief == owner || (owner == address(0) && thief == operator)) return;
        bytes[4] memory calls = [
            abi.encodeCall(IMarketplace.requestExit, (operator)),
            abi.encodeCall(IMarketplace.cancelExit, (operator)),
            abi.encodeCall(IMarketplace.withdrawDelivererStake, (operator, thief)),
            abi.encodeCall(IMarketplace.withdrawEarnings, (operator, thief))
        ];
        _refused(thief, 0, calls[_random(seed, "call", 4)], "stolen stakes");
    }

    /// @notice Slashes by anybody, of any number, at any time.
    function wildSlash(uint256 seed) external {
        address who = _anybody(seed);
        uint256 kind = _random(seed, "kind", 3);
        if (kind == 0 && who != governor) {
            address operator = deliverers[_random(seed, "deliverer", deliverers.length)];
            _refused(
                who,
                0,
                abi.encodeCall(IMarketplace.proposeSlashing, (operator, 1 ether, who, "loot")),
                "slashes by strangers"
            );
            return;
        }
        if (kind == 1 && who != governor) {
            uint256 any = _random(seed, "slash", proposals.length + 2);
            _refused(
                who, 0, abi.encodeCall(IMarketplace.cancelSlashing, (any)), "cancels by strangers"
            );
            return;
        }
        uint256 id = _random(seed, "slash", proposals.length + 2);
        bool known = id != 0 && id <= proposals.length;
        if (known) {
            Proposal storage p = proposals[id - 1];
            if (_isOpenSlash(p) && _block() >= p.firstBlock) {
                p.ended = true;
                vm.prank(who);
                market.executeSlashing(id);
                return;
            }
        }
        _refused(who, 0, abi.encodeCall(IMarketplace.executeSlashing, (id)), "slashes untimely");
    }

    /// @notice Who has nothing gets nothing.
    function emptyPurse(uint256 seed) external {
        address who = _anybody(seed);
        address token = tokens[_random(seed, "token", tokens.length)];
        if (market.credits(who, token) == 0) {
            _refused(who, 0, abi.encodeCall(IMarketplace.withdraw, (token, who)), "empty purses");
        }
        uint256 free = market.sellerStakes(who);
        _refused(
            who,
            0,
            abi.encodeCall(IMarketplace.withdrawSellerStake, (free + 1, who)),
            "stakes beyond what is free"
        );
    }

    // ----------------------------------------------------------------------------- odd tokens

    /// @notice One token rebases, another lies about what just arrived.
    function odd(uint256 seed) external {
        uint256[3] memory percents = [uint256(50), 100, 170];
        RebasingToken(tokens[4]).rebase(percents[_random(seed, "percent", 3)]);
        uint256 price = _random(seed, "price", 1 ether);
        for (uint256 i = items.length; i != 0; --i) {
            if (items[i - 1].terms.token != tokens[5]) continue;
            price = items[i - 1].terms.price;
            break;
        }
        LyingToken(tokens[5]).lie(_random(seed, "lie", 1 ether), price);
    }

    /// @notice They pay whom they like; the other tokens are whole.
    function withdrawOdd(uint256 seed) external {
        address token = tokens[honest + _random(seed, "token", tokens.length - honest)];
        address who = _anybody(seed);
        vm.prank(who);
        (bool good,) = address(market).call(abi.encodeCall(IMarketplace.withdraw, (token, who)));
        if (good) ++times["odd withdrawals"];
    }

    // ------------------------------------------------------------------------------------ noise

    /// @notice A well-formed call of any entry point that fits nothing, or bytes behind its
    /// selector.
    function noise(uint256 seed, bytes calldata data) external {
        address who = _anybody(seed);
        for (uint256 i; i < sellers.length; ++i) {
            // A seller's own store and operator are theirs to break.
            if (who == sellers[i]) return;
        }
        bytes[] memory entries = EntryPoints.all(who);
        bytes memory entry = entries[_random(seed, "entry", entries.length)];
        if (_random(seed, "bytes", 2) == 0) entry = bytes.concat(bytes4(entry), data);
        bytes4 selector = bytes4(entry);
        // These succeed for those whose they are; the other actions know them.
        if (
            selector == IMarketplace.withdraw.selector
                || selector == IMarketplace.cancelSlashing.selector
                || selector == IMarketplace.executeSlashing.selector
                || selector == IMarketplace.proposeSlashing.selector
                || selector == IMarketplace.stakeAsDeliverer.selector
                || selector == IMarketplace.stakeAsDelivererFor.selector
        ) return;
        vm.prank(who, who);
        (bool good,) = address(market).call(entry);
        if (good) ++times["noise that passed"];
    }
}
