// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Escrow,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Sale,
    Signature,
    SignedList,
    Split,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Tree} from "../Base.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {Signing} from "../Signing.sol";
import {LyingToken, RebasingToken} from "../tokens/OddTokens.sol";
import {Handler} from "./Handler.sol";
import {Box} from "./StubProofs.sol";

/// @notice Everybody does anything: at any time, in anybody's name, with anything in hand.
/// What the model forbids the market refuses, and what it allows the market does; tokens that lie
/// and rebase are among those sold for.
contract Chaos is Handler {
    function actions() external pure override returns (bytes4[] memory list_) {
        list_ = new bytes4[](41);
        bytes4[20] memory usual = [
            this.mine.selector,
            this.reachTheNextEdge.selector,
            this.list.selector,
            this.closeStore.selector,
            this.buy.selector,
            this.deliver.selector,
            this.deliverMissing.selector,
            this.sign.selector,
            this.proveJunk.selector,
            this.openDispute.selector,
            this.resolve.selector,
            this.refund.selector,
            this.settle.selector,
            this.confirm.selector,
            this.concede.selector,
            this.addDelivererStake.selector,
            this.requestExit.selector,
            this.leave.selector,
            this.propose.selector,
            this.withdraw.selector
        ];
        bytes4[21] memory wild = [
            this.wildStep.selector,
            this.wildStep2.selector,
            this.wildDelivery.selector,
            this.wildSupply.selector,
            this.wildProof.selector,
            this.framedDeliverer.selector,
            this.framedSeller.selector,
            this.framedShares.selector,
            this.oldOffer.selector,
            this.forgedOffer.selector,
            this.forgedStep.selector,
            this.forgedDelivery.selector,
            this.wrongAmount.selector,
            this.wrongPurchase.selector,
            this.stolenStake.selector,
            this.wildSlash.selector,
            this.emptyPurse.selector,
            this.odd.selector,
            this.withdrawOdd.selector,
            this.noise.selector,
            this.setOperator.selector
        ];
        for (uint256 i; i < 20; ++i) {
            list_[i] = usual[i];
        }
        for (uint256 i; i < 21; ++i) {
            list_[20 + i] = wild[i];
        }
    }

    function _kinds() internal view override returns (uint256) {
        return tokens.length;
    }

    function _anyDeal(uint256 seed) private view returns (uint256) {
        // Half of the time one that has not ended.
        if (open.length != 0 && _random(seed, "ended", 2) == 0) {
            return open[_random(seed, "open", open.length)];
        }
        return _random(seed, "any deal", deals.length);
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

    // -------------------------------------------------------------------------------- parts

    /// @dev Any part of any sale, sealed to any key that is or was or will be the sale's.
    function _wildPack(uint256 seed) private view returns (Pack memory pack) {
        uint256 id = _anyDeal(seed);
        pack = _pack(seed, id, _random(seed, "part", deals[id].sale.parts));
        if (_random(seed, "odd key", 4) == 0) pack.freshKey = _freshKey(id, seed);
    }

    function _wildSigner(uint256 seed, Pack memory pack) private view returns (address by) {
        uint256 who = _random(seed, "who", 4);
        by = who == 1 ? _named(pack) : _anybody(seed);
        if (who == 2) by = operatorOf[deals[pack.id].sale.seller];
        if (who == 3) by = deals[pack.id].sale.seller;
        if (secrets[by] == 0) by = stranger;
    }

    /// @notice Any part of any sale, by anybody; a revoked operator's, too.
    function wildDelivery(uint256 seed) external {
        if (deals.length == 0) return;
        Pack memory pack = _wildPack(seed);
        Pack[] memory packs = new Pack[](1 + _random(seed, "size", 2));
        packs[0] = pack;
        if (packs.length == 2) packs[1] = _wildPack(seed ^ 1);
        _send(_sign(_wildSigner(seed, pack), packs), _anybody(seed));
    }

    function wildSupply(uint256 seed) external {
        if (deals.length == 0) return;
        Pack memory pack = _wildPack(seed);
        _sendSupply(_sign(_wildSigner(seed, pack), _alone(pack)), _anybody(seed));
    }

    /// @notice A proof of whatever somebody signed, junk or not, by anybody, with any fresh key.
    function wildProof(uint256 seed) external {
        if (lists.length == 0) return;
        uint256 list_ = _list(seed);
        uint256 position = _random(seed, "position", lists[list_].packs.length);
        Pack memory pack = lists[list_].packs[position];
        if (pack.freshKey != 0) return;
        bool buyers_ = _random(seed, "buyer", 4) != 0;
        address caller = buyers_ ? deals[pack.id].sale.buyer : _anybody(seed);
        bytes32 freshKey = _freshKey(pack.id, seed);
        if (_random(seed, "known", 2) == 0) freshKey = deals[pack.id].freshKey;
        uint256 number = _random(seed, "twice", 8) == 0 ? 2 : 1;
        uint256[] memory of_ = new uint256[](number);
        uint256[] memory positions = new uint256[](number);
        for (uint256 i; i < number; ++i) {
            (of_[i], positions[i]) = (list_, position);
        }
        if (!_prove(pack.id, caller, freshKey, of_, positions)) ++times["wild proofs refused"];
    }

    /// @notice A buyer makes junk of what a deliverer signed: with another fragment, key, leaf,
    /// place, list or signature.
    function framedDeliverer(uint256 seed) external {
        if (lists.length == 0) return;
        uint256 list_ = _list(seed);
        uint256 position = _random(seed, "position", lists[list_].packs.length);
        Pack memory pack = lists[list_].packs[position];
        Deal storage deal = deals[pack.id];
        JunkEvidence[] memory evidence = new JunkEvidence[](1);
        SignedList[] memory signed = new SignedList[](1);
        (evidence[0], signed[0]) = (_evidence(pack), _signedList(list_, position));
        bytes32[] memory keys = _keys(deal.copyId, deal.sale.parts);
        _frame(seed, pack, evidence[0], signed[0], keys);
        bytes32 freshKey = deal.freshKey == 0 ? _freshKey(pack.id, seed) : deal.freshKey;
        _refused(
            deal.sale.buyer,
            0,
            abi.encodeCall(
                IMarketplace.proveJunk,
                (deal.copyId, deal.sale, deal.escrow, keys, freshKey, evidence, signed)
            ),
            "framed deliverers"
        );
        _matches(pack.id);
    }

    function _frame(
        uint256 seed,
        Pack memory pack,
        JunkEvidence memory evidence,
        SignedList memory signed,
        bytes32[] memory keys
    ) private view {
        uint256 kind = _random(seed, "kind", 9);
        // Whatever else is odd, the fragment is junk.
        if (kind == 0) {
            evidence.fragment = Box.junk(keys[pack.index], 1);
            // And no such box was ever signed: then it would be no frame.
            evidence.fragment[79] = 0x01;
        }
        if (kind == 1) keys[pack.index] = Box.key("another");
        if (kind == 2) evidence.secret = "another";
        if (kind == 3) evidence.commitment ^= bytes32(uint256(1));
        if (kind == 4) evidence.salt ^= bytes32(uint256(1));
        if (kind == 5) evidence.freshKey = _freshKey(pack.id, 0);
        if (kind == 6) signed.position = signed.entries.length;
        if (kind == 7) signed.entries[signed.position] ^= bytes32(uint256(1));
        if (kind == 8) signed.signature.r ^= bytes32(uint256(1));
        // Without the wrong secret a bad ephemeral key is junk; nobody looks at the secret then.
        if (kind == 2) evidence.fragment = Box.seal(keys[pack.index], evidence.commitment);
    }

    /// @notice A buyer brings against the seller what the seller's side did not deliver.
    function framedSeller(uint256 seed) external {
        if (open.length == 0) return;
        uint256 id = open[_random(seed, "open", open.length)];
        uint256 index = _random(seed, "part", deals[id].sale.parts);
        Pack memory pack = sellerPacks[id][index];
        pack.id = uint32(id);
        pack.index = uint8(index);
        if (_random(seed, "as it is", 3) != 0) pack.kind = uint8(_random(seed, "kind", 4));
        if (_random(seed, "key", 3) == 0) pack.freshKey = _freshKey(id, seed);
        address caller = _random(seed, "buyer", 4) != 0 ? deals[id].sale.buyer : _anybody(seed);
        if (!_proveSeller(id, caller, pack)) ++times["framed sellers"];
    }

    /// @notice Shares and leaves of any sale, at any time.
    function framedShares(uint256 seed) external {
        if (deals.length == 0) return;
        uint256 id = _anyDeal(seed);
        uint256 parts = deals[id].sale.parts;
        address caller = _random(seed, "buyer", 4) != 0 ? deals[id].sale.buyer : _anybody(seed);
        bool good;
        if (_random(seed, "shares", 2) == 0) {
            good = _proveShares(id, caller, _random(seed, "first", parts));
        } else {
            Leaf memory one = _leafOf(id, _random(seed, "one", parts), false);
            good = _proveLeaves(id, caller, one, _leafOf(id, _random(seed, "other", parts), false));
        }
        if (!good) ++times["framed shares"];
    }

    // --------------------------------------------------------------------------- agreements

    /// @notice Somebody tries what was signed once, before or after something changed.
    function oldOffer(uint256 seed) external {
        if (offers.length < 8 || _random(seed, "new", 2) == 0) {
            if (open.length == 0) return;
            uint256 id = open[_random(seed, "open", open.length)];
            _offer(id, _split(seed, id));
        }
        uint256 among = offers.length < 16 ? offers.length : 16;
        uint256 number = offers.length - 1 - _random(seed, "offer", among);
        if (!_carryOut(number, _anybody(seed))) ++times["old offers refused"];
    }

    /// @notice A split that is allowed, with one thing changed after it was signed.
    function forgedOffer(uint256 seed) external {
        if (open.length == 0) return;
        uint256 id = open[_random(seed, "open", open.length)];
        Deal storage deal = deals[id];
        Split memory split = _split(seed, id);
        Offer storage offer = offers[_offer(id, split)];
        (bytes memory ofBuyer, bytes memory ofSeller) =
            (offer.buyerSignature, offer.sellerSignature);
        uint256 kind = _random(seed, "kind", 6);
        if (kind == 0) split.toBuyer += 1;
        if (kind == 1) split.penalty += 1;
        if (kind == 2) split.toArbitrator += 1;
        if (kind == 3) split.deadline += 1;
        if (kind == 4) (ofBuyer, ofSeller) = (ofSeller, ofBuyer);
        if (kind == 5) ofSeller = _signSplit(id, split, stranger);
        if (deal.sale.buyer == deal.sale.seller) return;
        _refused(
            stranger,
            0,
            abi.encodeCall(
                IMarketplace.agree, (deal.copyId, deal.sale, deal.escrow, split, ofBuyer, ofSeller)
            ),
            "forged offers"
        );
        _matches(id);
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
        uint256 word = _random(seed, "word", 18);
        if (step == Step.Rate) word %= 11;
        if (word < 11) _forgeSale(sale, word, seed);
        else _forgeEscrow(escrow, word - 11);
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
            _data(step, deals[id].copyId, sale, escrow, 5, 0, true),
            "forged steps"
        );
        _matches(id);
    }

    function _forgeSale(Sale memory sale, uint256 word, uint256 seed) private view {
        if (word == 0) sale.seller = _anybody(seed);
        if (word == 1) sale.buyer = _anybody(seed);
        if (word == 2) sale.purchaseBlock -= 1;
        if (word == 3) sale.purchaseTime -= 1;
        if (word == 4) sale.copy += 1;
        if (word == 5) sale.stock = !sale.stock;
        if (word == 6) sale.parts += 1;
        if (word == 7) sale.threshold -= 1;
        if (word == 8) sale.fee += 1;
        if (word == 9) sale.partsRoot ^= bytes32(uint256(1));
        if (word == 10) sale.escrowHash ^= bytes32(uint256(1));
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

    /// @notice A delivery that is allowed, with one thing changed after it was signed, or before.
    function forgedDelivery(uint256 seed) external {
        (bool found, Pack memory pack, address by) = _deliverable(seed, _random(seed, "who", 3));
        if (!found) return;
        Delivery memory delivery = _delivery(pack);
        Signature memory signature = lists[_sign(by, _alone(pack))].signature;
        uint256 kind = _random(seed, "kind", 16);
        if (kind == 0) delivery.fragment = new bytes(79);
        if (kind == 1) delivery.fragment = new bytes(81);
        if (kind == 2) delivery.commitment ^= bytes32(uint256(1));
        if (kind == 3) delivery.secretHash ^= bytes32(uint256(1));
        if (kind == 4) delivery.salt ^= bytes32(uint256(1));
        if (kind == 5) delivery.index = uint8(deals[pack.id].sale.parts + seed % 200);
        if (kind == 6) delivery.copyId = bytes32(seed);
        if (kind == 7) delivery.deliverer = stranger == delivery.deliverer ? by : stranger;
        if (kind == 8) _forgeSale(delivery.sale, 2 + _random(seed, "word", 9), seed);
        // The proof of another leaf, or none where one is needed.
        if (kind == 9) delivery.proof = new bytes32[](delivery.proof.length == 0 ? 1 : 0);
        if (kind == 10) delivery.fragment[79] ^= 0x01;
        if (kind == 11) delivery.freshKey = _freshKey(pack.id, seed);
        if (kind == 11 && delivery.freshKey == pack.freshKey) return;
        if (kind == 12) signature.r ^= bytes32(uint256(1));
        if (kind == 13) signature.vs ^= bytes32(uint256(1 << 255));
        if (kind == 14) signature = _highS(signature);
        if (kind == 15) signature = Signature(0, 0);
        // Signed as it is now: not a relay's forgery, but the signer's own.
        if (kind < 12 && kind != 10 && _random(seed, "before", 2) == 0) {
            if (kind == 11 && delivery.freshKey == deals[pack.id].freshKey) return;
            bytes32[] memory entries = new bytes32[](1);
            entries[0] = Signing.entry(delivery);
            signature = _signEntries(by, entries);
        }
        bool batch = _random(seed, "batch", 2) == 0;
        Delivery[] memory one = new Delivery[](1);
        one[0] = delivery;
        _refused(
            _anybody(seed),
            0,
            batch
                ? abi.encodeCall(IMarketplace.deliverFragments, (one, signature))
                : abi.encodeCall(IMarketplace.deliverFragment, (delivery, signature)),
            "forged deliveries"
        );
        _matches(pack.id);
    }

    /// @dev The other signature of the same, whose s is above half the order, and whose R has the
    /// other parity. It fits 255 bits only where s is above the order less 2^255: else it is cut off.
    function _highS(Signature memory signature) private pure returns (Signature memory) {
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        uint256 top = uint256(signature.vs) >> 255;
        uint256 s = uint256(signature.vs) << 1 >> 1;
        return Signature(signature.r, bytes32((order - s) << 1 >> 1 | (1 - top) << 255));
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
                _data(Step.Dispute, deal.copyId, deal.sale, deal.escrow, 5, 0, true),
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
        bytes32[] memory keys = _keys(bytes32(seed), terms.parts);
        bytes32 digest = digests[seller];
        uint64 copy = items[id].next;
        uint256 value = terms.token == address(0) ? terms.price : 0;
        uint256 kind = _random(seed, "kind", 12);
        if (kind == 0) digest ^= bytes32(uint256(1));
        if (kind == 1) terms.price /= 2;
        if (kind == 2) terms.partsRoot = 0;
        if (kind == 3) terms.commission += 1;
        if (kind == 4) copy = terms.supply;
        if (kind == 5) keys = _keys(bytes32(seed), terms.parts + 1);
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
            if (_isOpenSlash(p) && _time() >= p.firstTime) return _execute(id - 1, who);
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
        uint256 mine = market.sellerStakes(who);
        _refused(
            who,
            0,
            abi.encodeCall(IMarketplace.withdrawSellerStake, (mine + 1, who)),
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
                || selector == IMarketplace.requestExit.selector
                || selector == IMarketplace.cancelExit.selector
                || selector == IMarketplace.withdrawDelivererStake.selector
                || selector == IMarketplace.withdrawEarnings.selector
        ) return;
        vm.prank(who, who);
        (bool good,) = address(market).call(entry);
        if (good) ++times["noise that passed"];
    }
}
