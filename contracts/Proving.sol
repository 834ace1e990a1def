// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Slashing} from "./Slashing.sol";
import {
    Escrow,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Sale,
    SignedList,
    Status
} from "./interfaces/IMarketplace.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Marks} from "./libraries/Marks.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {SaleWord} from "./libraries/SaleWord.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {X25519Key} from "./libraries/X25519Key.sol";

/// @title Proofs that parts are junk, or that shares do not add up
/// @notice See `IMarketplace` for every rule.
abstract contract Proving is Slashing {
    using Hashes for JunkEvidence;
    using Hashes for Leaf;
    using Hashes for Sale;
    using Hashes for bytes32[];
    using Marks for uint256;
    using SaleWord for uint256;
    using X25519Key for bytes32;

    /// What a fine gives to the buyer: one part in five.
    uint256 private constant BOUNTY_DIVISOR = 5;

    /// @notice See `IMarketplace`, as for all functions here.
    function proveJunk(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32[] calldata keys,
        bytes32 freshKey,
        JunkEvidence[] calldata evidence,
        SignedList[] calldata lists
    ) external onMarket {
        (uint256 word, Status status) = _asBuyer(copyId, sale, escrow);
        _checkKeys(copyId, escrow, keys);
        if (evidence.length == 0 || evidence.length != lists.length) {
            revert IMarketplace.NothingProved(copyId);
        }
        uint256 marks = _marks[copyId];
        if (_isOpen(status)) marks = _withFreshKey(copyId, marks, freshKey);
        else freshKey = 0;
        bool clears = (status == Status.Purchased || status == Status.Complete)
            && block.timestamp <= _lastSecond(sale, 0, _PROOF_SECONDS);
        for (uint256 i; i < evidence.length; ++i) {
            uint256 index = evidence[i].index;
            _checkDeliverersJunk(copyId, sale, keys, marks, evidence[i], lists[i]);
            marks = marks.punish(index);
            bool cleared = clears && word.has(index) && _sellerEntries[copyId][index] == bytes32(0);
            if (cleared) {
                marks = marks.clear(index);
                word = word.remove(index);
            }
            _fine(copyId, sale, evidence[i], freshKey, cleared);
        }
        if (status == Status.Complete && word.count() < sale.threshold) {
            word = word.enter(Status.Purchased, block.timestamp - sale.purchaseTime);
        }
        _marks[copyId] = marks;
        _sales[copyId].value = word.withMark();
    }

    function proveSellerJunk(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32[] calldata keys,
        JunkEvidence calldata evidence
    ) external onMarket {
        (uint256 word, Status status) = _asBuyer(copyId, sale, escrow);
        if (!_isOpen(status)) revert IMarketplace.WrongStatus(copyId, status);
        _checkKeys(copyId, escrow, keys);
        bytes32 entry = _entry(copyId, sale, evidence);
        if (_sellerEntries[copyId][evidence.index] != entry) {
            revert IMarketplace.EntryNotFound(copyId, evidence.index);
        }
        _checkJunk(copyId, keys, evidence);
        _sellerFailed(copyId, word, status, sale, escrow);
    }

    function proveBadShares(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Leaf[] calldata leaves,
        bytes32[] calldata shares
    ) external onMarket {
        (uint256 word, Status status) = _asBuyerFromGate(copyId, sale, escrow);
        uint256 needed = sale.threshold;
        if (leaves.length != needed || shares.length != needed) {
            revert IMarketplace.WrongShares(copyId);
        }
        uint8[] memory indexes = new uint8[](needed);
        uint256 seen;
        for (uint256 i; i < needed; ++i) {
            Leaf calldata leaf = leaves[i];
            _checkLeaf(copyId, sale, leaf);
            uint256 bit = 1 << leaf.index;
            if (
                seen & bit != 0 || leaf.secretHash != leaves[0].secretHash
                    || keccak256(abi.encode(shares[i])) != leaf.commitment
            ) {
                revert IMarketplace.WrongShares(copyId);
            }
            seen |= bit;
            indexes[i] = leaf.index;
        }
        (bool found, bytes32 secret) = _PROOFS.combine(indexes, shares);
        if (found && keccak256(abi.encode(secret)) == leaves[0].secretHash) {
            revert IMarketplace.NothingProved(copyId);
        }
        _sellerFailed(copyId, word, status, sale, escrow);
    }

    function proveBadLeaves(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Leaf calldata one,
        Leaf calldata other
    ) external onMarket {
        (uint256 word, Status status) = _asBuyerFromGate(copyId, sale, escrow);
        bytes32 first = _checkLeaf(copyId, sale, one);
        bytes32 second = _checkLeaf(copyId, sale, other);
        if (first == second || (one.index != other.index && one.secretHash == other.secretHash)) {
            revert IMarketplace.NothingProved(copyId);
        }
        _sellerFailed(copyId, word, status, sale, escrow);
    }

    // --------------------------------------------------------------------------------- inside

    function _asBuyer(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        private
        view
        returns (uint256 word, Status status)
    {
        (word, status) = _load(copyId, sale);
        _checkEscrow(copyId, sale, escrow);
        if (msg.sender != sale.buyer) revert IMarketplace.NotAllowed(msg.sender);
    }

    function _asBuyerFromGate(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        private
        view
        returns (uint256 word, Status status)
    {
        (word, status) = _asBuyer(copyId, sale, escrow);
        if (!_isOpen(status)) revert IMarketplace.WrongStatus(copyId, status);
        // Not earlier: the buyer may hold shares while slow deliverers are still at work.
        _requireGate(copyId, sale, word);
    }

    function _checkKeys(bytes32 copyId, Escrow calldata escrow, bytes32[] calldata keys)
        private
        pure
    {
        if (keys.hash() != escrow.keysHash) revert IMarketplace.WrongKeys(copyId);
    }

    /// @dev The first proof of an open sale names its fresh key, every later one the same.
    function _withFreshKey(bytes32 copyId, uint256 marks, bytes32 freshKey)
        private
        pure
        returns (uint256)
    {
        if (!freshKey.isValid()) revert IMarketplace.InvalidKey(freshKey);
        if (marks.freshKey() == 0) return marks.withKey(freshKey);
        if (!marks.hasKey(freshKey)) revert IMarketplace.WrongFreshKey(copyId, freshKey);
        return marks;
    }

    /// @dev Reverts unless the leaf's deliverer signed this part, and it is junk.
    function _checkDeliverersJunk(
        bytes32 copyId,
        Sale calldata sale,
        bytes32[] calldata keys,
        uint256 marks,
        JunkEvidence calldata evidence,
        SignedList calldata list
    ) private view {
        bytes32 entry = _entry(copyId, sale, evidence);
        uint8 index = evidence.index;
        if (marks.isPunished(index)) revert IMarketplace.AlreadyPunished(copyId, index);
        // No deliverer ever delivers to a fresh key.
        if (evidence.freshKey != 0) {
            revert IMarketplace.WrongFreshKey(copyId, evidence.freshKey);
        }
        if (list.position >= list.entries.length || list.entries[list.position] != entry) {
            revert IMarketplace.EntryNotFound(copyId, index);
        }
        address signer = Signatures.signer(Signatures.digest(list.entries), list.signature);
        address deliverer = evidence.deliverer;
        if (signer == address(0)) revert IMarketplace.InvalidSignature();
        if (signer != deliverer || signer == sale.seller) {
            revert IMarketplace.NotTheDeliverers(deliverer, signer);
        }
        _checkJunk(copyId, keys, evidence);
    }

    /// @dev The entry of a part of this sale; reverts if it is none.
    function _entry(bytes32 copyId, Sale calldata sale, JunkEvidence calldata evidence)
        private
        pure
        returns (bytes32)
    {
        uint256 length = evidence.fragment.length;
        if (length != FRAGMENT_BYTES) revert IMarketplace.InvalidFragmentLength(length);
        bytes32 leaf = evidence.leaf(sale);
        _checkProof(copyId, sale, evidence.index, evidence.proof, leaf);
        return Hashes.entry(copyId, sale.hash(), leaf, evidence.freshKey, evidence.fragment);
    }

    function _checkLeaf(bytes32 copyId, Sale calldata sale, Leaf calldata part)
        private
        pure
        returns (bytes32 leaf)
    {
        leaf = part.leaf(sale);
        _checkProof(copyId, sale, part.index, part.proof, leaf);
    }

    function _checkProof(
        bytes32 copyId,
        Sale calldata sale,
        uint8 index,
        bytes32[] calldata proof,
        bytes32 leaf
    ) private pure {
        if (index >= sale.parts || Merkle.root(leaf, proof) != sale.partsRoot) {
            revert IMarketplace.PartNotInItem(copyId, index);
        }
    }

    function _checkJunk(bytes32 copyId, bytes32[] calldata keys, JunkEvidence calldata evidence)
        private
        view
    {
        bytes32 key = evidence.freshKey;
        if (key == 0) key = keys[evidence.index];
        bool junk = _PROOFS.isJunk(
            key, evidence.secret, evidence.fragment, evidence.commitment, evidence.hint
        );
        if (!junk) revert IMarketplace.NothingProved(copyId);
    }

    /// @dev Takes the fine, as far as stake and earnings go. The rest of it is burnt, so that
    /// nobody moves stake to a friend.
    function _fine(
        bytes32 copyId,
        Sale calldata sale,
        JunkEvidence calldata evidence,
        bytes32 freshKey,
        bool cleared
    ) private {
        Deliverer storage deliverer = _deliverers[evidence.deliverer];
        uint256 fine = FEES_AT_STAKE * sale.fee;
        if (fine < _JUNK_FINE) fine = _JUNK_FINE;
        uint256 ofStake = deliverer.stake < fine ? deliverer.stake : fine;
        _removeStake(deliverer, ofStake);
        uint256 ofEarnings = fine - ofStake;
        if (deliverer.earned < ofEarnings) ofEarnings = deliverer.earned;
        deliverer.earned -= uint96(ofEarnings);
        uint256 taken = ofStake + ofEarnings;
        uint256 bounty = taken / BOUNTY_DIVISOR;
        _burnt += taken - bounty;
        _credit(sale.buyer, NATIVE, bounty);
        emit IMarketplace.JunkProved(
            copyId, evidence.deliverer, evidence.index, freshKey, taken, bounty, cleared
        );
    }

    function _sellerFailed(
        bytes32 copyId,
        uint256 word,
        Status status,
        Sale calldata sale,
        Escrow calldata escrow
    ) private {
        emit IMarketplace.SellerFaultProved(copyId, sale.seller);
        _refund(copyId, word, status, sale, escrow);
    }
}
