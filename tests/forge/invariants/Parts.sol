// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Signature,
    SignedList,
    Status
} from "../../../contracts/interfaces/IMarketplace.sol";
import {Signing} from "../Signing.sol";
import {Box} from "./StubProofs.sol";
import {World} from "./World.sol";

/// @notice What is signed, sent, relayed and proved, and what the model says of it.
abstract contract Parts is World {
    enum Role {
        None,
        Deliverer,
        SellerSide
    }

    /// What somebody signed, mined or not.
    struct List {
        address signer;
        Signature signature;
        Pack[] packs;
    }

    List[] internal lists;

    // ------------------------------------------------------------------------------ signing

    function _keyOf(Pack memory pack) internal view returns (bytes32) {
        if (pack.freshKey != 0) return pack.freshKey;
        return Box.key(_secret(deals[pack.id].copyId, pack.index));
    }

    function _fragment(Pack memory pack) internal view returns (bytes memory) {
        bytes32 key = _keyOf(pack);
        if (pack.kind == 1 || pack.kind == 2) return Box.junk(key, pack.kind - 1);
        if (pack.kind == 3) key = ~key;
        uint256 item = deals[pack.id].item;
        uint64 place = _place(item, deals[pack.id].sale.copy);
        return Box.seal(key, _leaf(item, place, pack.index, pack.second).commitment);
    }

    function _entry(Pack memory pack) internal view returns (bytes32) {
        Deal storage deal = deals[pack.id];
        uint64 place = _place(deal.item, deal.sale.copy);
        bytes32 leaf = Signing.hash(_leaf(deal.item, place, pack.index, pack.second), place);
        return Signing.entry(deal.copyId, deal.sale, leaf, pack.freshKey, _fragment(pack));
    }

    function _entries(Pack[] memory packs) internal view returns (bytes32[] memory entries) {
        entries = new bytes32[](packs.length);
        for (uint256 i; i < entries.length; ++i) {
            entries[i] = _entry(packs[i]);
        }
    }

    function _signEntries(address signer, bytes32[] memory entries)
        internal
        view
        returns (Signature memory signature)
    {
        (signature.r, signature.vs) =
            vm.signCompact(secrets[signer], Signing.digest(market, entries));
    }

    /// @dev Signs a list, which is mined now, or later, or never.
    function _sign(address signer, Pack[] memory packs) internal returns (uint256 list) {
        list = lists.length;
        List storage signed = lists.push();
        signed.signer = signer;
        signed.signature = _signEntries(signer, _entries(packs));
        for (uint256 i; i < packs.length; ++i) {
            signed.packs.push(packs[i]);
        }
    }

    function _named(Pack memory pack) internal view returns (address) {
        Item storage item = items[deals[pack.id].item];
        return pack.second ? item.second : item.deliverers[pack.index];
    }

    // ---------------------------------------------------------------------------- delivering

    function _delivery(Pack memory pack) internal view returns (Delivery memory delivery) {
        Leaf memory leaf = _leafOf(pack.id, pack.index, pack.second);
        delivery.copyId = deals[pack.id].copyId;
        delivery.sale = deals[pack.id].sale;
        delivery.index = pack.index;
        delivery.deliverer = leaf.deliverer;
        (delivery.commitment, delivery.secretHash, delivery.salt) =
        (leaf.commitment, leaf.secretHash, leaf.salt);
        delivery.freshKey = pack.freshKey;
        delivery.proof = leaf.proof;
        delivery.fragment = _fragment(pack);
    }

    function _deliveries(Pack[] memory packs) internal view returns (Delivery[] memory batch) {
        batch = new Delivery[](packs.length);
        for (uint256 i; i < packs.length; ++i) {
            batch[i] = _delivery(packs[i]);
        }
    }

    function _actsForSeller(Deal storage deal, address who) internal view returns (bool) {
        return who == deal.sale.seller || who == operatorOf[deal.sale.seller];
    }

    function _isItsFreshKey(Deal storage deal, Pack memory pack) private view returns (bool) {
        if (pack.freshKey == 0) return true;
        return _has(deal.punished, pack.index) && pack.freshKey == deal.freshKey;
    }

    /// @dev As what somebody delivers a part now, if at all.
    function _role(Pack memory pack, address signer) internal view returns (Role) {
        Deal storage deal = deals[pack.id];
        if (!_isOpen(deal) || _has(deal.parts, pack.index)) return Role.None;
        if (_time() > deal.sale.purchaseTime + REFUND) return Role.None;
        if (!_isItsFreshKey(deal, pack)) return Role.None;
        if (
            signer == _named(pack) && signer != deal.sale.seller
                && !_has(deal.punished, pack.index) && _time() <= deal.sale.purchaseTime + DELIVERY
                && _stakeIsEnough(signer, deal.sale.fee)
        ) return Role.Deliverer;
        if (!_actsForSeller(deal, signer)) return Role.None;
        return _block() > deal.sale.purchaseBlock + 100 ? Role.SellerSide : Role.None;
    }

    /// @dev A part in the model.
    function _arrive(Pack memory pack, address signer, Role role) private {
        Deal storage deal = deals[pack.id];
        uint32 bit = uint32(1) << pack.index;
        if (role == Role.Deliverer) {
            workers[signer].earned += deal.sale.fee;
            ++workers[signer].number;
            ++times["delivered"];
        } else {
            ++times[_has(deal.punished, pack.index) ? "replaced" : "delivered by the seller"];
            if (!_has(deal.cleared, pack.index)) {
                credit[deal.sale.buyer][address(0)] += deal.sale.fee;
            }
            deal.bySeller |= bit;
            sellerPacks[pack.id][pack.index] = pack;
        }
        deal.parts |= bit;
        if (deal.status == Status.Purchased && _count(deal.parts) >= deal.sale.threshold) {
            deal.status = Status.Complete;
            deal.since = _time();
        }
        if (deal.status == Status.Complete && _fees(deal) == deal.sale.parts) {
            deal.since = _time();
        }
    }

    /// @dev Sends a list, as anybody may.
    function _send(uint256 list, address relayer) internal returns (bool good) {
        List storage signed = lists[list];
        Pack[] memory packs = signed.packs;
        bool single = packs.length == 1 && list % 2 == 0;
        bytes memory data = single
            ? abi.encodeCall(IMarketplace.deliverFragment, (_delivery(packs[0]), signed.signature))
            : abi.encodeCall(IMarketplace.deliverFragments, (_deliveries(packs), signed.signature));
        uint256 done;
        for (uint256 i; i < packs.length; ++i) {
            Role role = _role(packs[i], signed.signer);
            if (role == Role.None) continue;
            ++done;
            _arrive(packs[i], signed.signer, role);
        }
        vm.prank(relayer);
        (good,) = address(market).call(data);
        if (good != (done != 0)) revert Allowed("delivery", good, done != 0);
        if (done > 1) ++times["batches"];
        if (good && done < packs.length) ++times["skipped"];
        for (uint256 i; i < packs.length; ++i) {
            _matches(packs[i].id);
            _entryKept(packs[i]);
        }
    }

    /// @dev The contract keeps the entry of a part of the seller's side, and of no other.
    function _entryKept(Pack memory pack) private view {
        bytes32 expected;
        if (_has(deals[pack.id].bySeller, pack.index)) {
            expected = _entry(sellerPacks[pack.id][pack.index]);
        }
        bytes32 kept = market.sellerEntries(deals[pack.id].copyId, pack.index);
        _same("seller's entry", uint256(kept), uint256(expected));
    }

    function _maySupply(Pack memory pack, address signer) internal view returns (bool) {
        Deal storage deal = deals[pack.id];
        return _isOpen(deal) && _has(deal.parts, pack.index) && _isItsFreshKey(deal, pack)
            && _actsForSeller(deal, signer);
    }

    function _sendSupply(uint256 list, address relayer) internal returns (bool good) {
        List storage signed = lists[list];
        Pack[] memory packs = signed.packs;
        bool expected;
        for (uint256 i; i < packs.length; ++i) {
            expected = expected || _maySupply(packs[i], signed.signer);
        }
        bytes memory data =
            abi.encodeCall(IMarketplace.supplyFragments, (_deliveries(packs), signed.signature));
        vm.prank(relayer);
        (good,) = address(market).call(data);
        if (good != expected) revert Allowed("supplyFragments", good, expected);
        if (good) ++times["supplied"];
        for (uint256 i; i < packs.length; ++i) {
            _matches(packs[i].id);
            _entryKept(packs[i]);
        }
    }

    // -------------------------------------------------------------------------------- proving

    function _evidence(Pack memory pack) internal view returns (JunkEvidence memory evidence) {
        Leaf memory leaf = _leafOf(pack.id, pack.index, pack.second);
        evidence.index = pack.index;
        evidence.deliverer = leaf.deliverer;
        (evidence.commitment, evidence.secretHash, evidence.salt) =
        (leaf.commitment, leaf.secretHash, leaf.salt);
        evidence.proof = leaf.proof;
        evidence.freshKey = pack.freshKey;
        evidence.fragment = _fragment(pack);
        evidence.secret = pack.freshKey == 0
            ? _secret(deals[pack.id].copyId, pack.index)
            : _freshSecret(pack.id, pack.freshKey);
    }

    function _signedList(uint256 list, uint256 position)
        internal
        view
        returns (SignedList memory)
    {
        List storage signed = lists[list];
        return SignedList(_entries(signed.packs), signed.signature, position);
    }

    /// @dev A sale has three fresh keys to choose from; 0 where it is none of them.
    function _freshSecret(uint256 id, bytes32 key) internal view returns (bytes32) {
        for (uint256 i; i < 3; ++i) {
            bytes32 secret = keccak256(abi.encode("fresh", deals[id].copyId, i));
            if (Box.key(secret) == key) return secret;
        }
        return 0;
    }

    function _freshKey(uint256 id, uint256 i) internal view returns (bytes32) {
        return Box.key(keccak256(abi.encode("fresh", deals[id].copyId, i % 3)));
    }

    /// @dev Whether this part of this list proves something against its signer now.
    function _isProvable(uint256 list, uint256 position) internal view returns (bool) {
        Pack memory pack = lists[list].packs[position];
        Deal storage deal = deals[pack.id];
        address signer = lists[list].signer;
        return pack.kind != 0 && signer == _named(pack) && signer != deal.sale.seller
            && !_has(deal.punished, pack.index);
    }

    function _mayName(Deal storage deal, bytes32 freshKey) internal view returns (bool) {
        if (!_isOpen(deal)) return true;
        return freshKey != 0 && (deal.freshKey == 0 || deal.freshKey == freshKey);
    }

    /// @dev A proof in the model.
    function _punish(uint256 list, uint256 position, bytes32 freshKey) internal {
        Pack memory pack = lists[list].packs[position];
        Deal storage deal = deals[pack.id];
        uint32 bit = uint32(1) << pack.index;
        deal.punished |= bit;
        if (_isOpen(deal)) deal.freshKey = freshKey;
        _fine(lists[list].signer, deal.sale.fee, deal.sale.buyer);
        ++times[_isOpen(deal) ? "junk proved" : "junk proved after the end"];
        if (deal.status != Status.Purchased && deal.status != Status.Complete) return;
        if (_time() > deal.sale.purchaseTime + PROOF) return;
        if (!_has(deal.parts, pack.index)) {
            ++times["never-mined junk proved"];
            return;
        }
        if (_has(deal.bySeller, pack.index)) return;
        deal.cleared |= bit;
        deal.parts &= ~bit;
        ++times["cleared"];
        if (deal.status == Status.Complete && _count(deal.parts) < deal.sale.threshold) {
            deal.status = Status.Purchased;
            deal.since = _time();
            ++times["purchased again"];
        }
    }

    /// @dev Calls `proveJunk` with these parts, all of one sale.
    function _prove(
        uint256 id,
        address caller,
        bytes32 freshKey,
        uint256[] memory of_,
        uint256[] memory positions
    ) internal returns (bool good) {
        Deal storage deal = deals[id];
        JunkEvidence[] memory evidence = new JunkEvidence[](of_.length);
        SignedList[] memory signed = new SignedList[](of_.length);
        bool expected = caller == deal.sale.buyer && _mayName(deal, freshKey);
        uint256 seen;
        for (uint256 i; i < of_.length; ++i) {
            evidence[i] = _evidence(lists[of_[i]].packs[positions[i]]);
            signed[i] = _signedList(of_[i], positions[i]);
            expected = expected && _isProvable(of_[i], positions[i]);
            // Once for each index, in one call as well.
            expected = expected && !_has(seen, evidence[i].index);
            seen |= 1 << evidence[i].index;
        }
        bytes memory data = abi.encodeCall(
            IMarketplace.proveJunk,
            (
                deal.copyId,
                deal.sale,
                deal.escrow,
                _keys(deal.copyId, deal.sale.parts),
                freshKey,
                evidence,
                signed
            )
        );
        vm.prank(caller);
        (good,) = address(market).call(data);
        if (good != expected) revert Allowed("proveJunk", good, expected);
        if (!good) return false;
        for (uint256 i; i < of_.length; ++i) {
            _punish(of_[i], positions[i], freshKey);
        }
        _matches(id);
    }
}
