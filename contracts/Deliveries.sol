// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Sales} from "./Sales.sol";
import {Delivery, IMarketplace, Sale, Signature, Status} from "./interfaces/IMarketplace.sol";
import {Events} from "./libraries/Events.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Marks} from "./libraries/Marks.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {SaleWord} from "./libraries/SaleWord.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title How parts arrive
/// @notice See `IMarketplace` for every rule.
abstract contract Deliveries is Sales {
    using Hashes for Delivery;
    using Hashes for Sale;
    using Marks for uint256;
    using SaleWord for uint256;

    /// One call that delivers: who signed, and what it comes to. All parts of a call have one signer,
    /// so a deliverer's word is read and written once.
    struct Run {
        address signer;
        /// First slot of the signer as a deliverer, and where it is; 0: not read yet.
        uint256 deliverer;
        uint256 slot;
        /// What the signer earned, in wei, and by how many parts.
        uint256 earned;
        uint256 own;
        /// Parts that were not skipped.
        uint256 done;
    }

    // Where the fields of a deliverer's first slot begin, in bits.
    uint256 private constant EARNED_BIT = 88;
    uint256 private constant DELIVERED_BIT = 184;
    uint256 private constant EXIT_BIT = 216;

    /// Entries of one list. Evidence brings the whole list along: among thousands, which a contract
    /// makes out of one part, junk is beyond what a transaction holds.
    uint256 private constant MAX_ENTRIES = 50;

    // ---------------------------------------------------------------------------- delivering

    /// @inheritdoc IMarketplace
    function deliverFragment(Delivery calldata delivery, Signature calldata signature)
        external
        unlocked
    {
        bytes32[] memory entries = new bytes32[](1);
        (bytes32 saleHash, bytes32 leaf, bytes32 entry) = _part(delivery);
        entries[0] = entry;
        Run memory run;
        run.signer = _signer(entries, signature);
        _deliver(delivery, saleHash, leaf, entry, run, true);
        _earn(run);
    }

    /// @inheritdoc IMarketplace
    function deliverFragments(Delivery[] calldata deliveries, Signature calldata signature)
        external
        unlocked
    {
        (bytes32[] memory entries, bytes32[] memory hashes) = _parts(deliveries);
        Run memory run;
        run.signer = _signer(entries, signature);
        for (uint256 i; i < deliveries.length; ++i) {
            (bytes32 saleHash, bytes32 leaf) = Hashes.pair(hashes, i);
            _deliver(deliveries[i], saleHash, leaf, entries[i], run, false);
        }
        if (run.done == 0) revert NothingDelivered();
        _earn(run);
    }

    /// @inheritdoc IMarketplace
    function supplyFragments(Delivery[] calldata deliveries, Signature calldata signature)
        external
        unlocked
    {
        (bytes32[] memory entries, bytes32[] memory hashes) = _parts(deliveries);
        address signer = _signer(entries, signature);
        uint256 done;
        for (uint256 i; i < deliveries.length; ++i) {
            (bytes32 saleHash, bytes32 leaf) = Hashes.pair(hashes, i);
            if (_supply(deliveries[i], saleHash, leaf, signer)) ++done;
        }
        if (done == 0) revert NothingDelivered();
    }

    // -------------------------------------------------------------------------------- inside

    /// @dev The entries of a list; and of each part the sale's hash and the leaf, in pairs.
    function _parts(Delivery[] calldata deliveries)
        private
        pure
        returns (bytes32[] memory entries, bytes32[] memory hashes)
    {
        if (deliveries.length > MAX_ENTRIES) {
            revert ListTooLong(deliveries.length, MAX_ENTRIES);
        }
        entries = new bytes32[](deliveries.length);
        hashes = new bytes32[](2 * deliveries.length);
        for (uint256 i; i < deliveries.length; ++i) {
            (bytes32 saleHash, bytes32 leaf, bytes32 entry) = _part(deliveries[i]);
            entries[i] = entry;
            Hashes.setPair(hashes, i, saleHash, leaf);
        }
    }

    function _part(Delivery calldata d)
        private
        pure
        returns (bytes32 saleHash, bytes32 leaf, bytes32 entry)
    {
        bytes calldata fragment = d.fragment;
        if (fragment.length != FRAGMENT_BYTES) revert InvalidFragmentLength(fragment.length);
        return d.part(fragment);
    }

    /// @dev Who signed the list; logged whole, since it is evidence.
    function _signer(bytes32[] memory entries, Signature calldata signature)
        private
        returns (address signer)
    {
        signer = Signatures.signer(Signatures.digest(entries), signature);
        if (signer == address(0)) revert InvalidSignature();
        Events.fragmentsSigned(signer, signature, entries);
    }

    /// @dev One part: pays the buyer for a fallback; the deliverer is paid once, at the end.
    /// What may have changed since it was signed reverts if `strict`, and is skipped otherwise.
    function _deliver(
        Delivery calldata d,
        bytes32 saleHash,
        bytes32 leaf,
        bytes32 entry,
        Run memory run,
        bool strict
    ) private {
        bytes32 copyId = d.copyId;
        Word storage stored = _sales[copyId];
        uint256 word = stored.value;
        uint256 index = d.index;
        if (!word.lacks(saleHash, index)) {
            if (strict) _refusePart(d, word, saleHash);
            return;
        }
        (address seller, uint256 time, uint256 parts, uint256 threshold, uint256 fee) =
            d.sale.fields();
        uint256 marks_ = _marksOf(copyId, word);
        bool own = _isOwn(d.deliverer, seller, index, time, fee, marks_, run);
        if (!own && !_mayFallBack(d, run.signer, strict)) {
            if (strict) _refuseSigner(d, run);
            return;
        }
        if (!_fits(d.freshKey, index, marks_)) {
            if (strict) revert WrongFreshKey(copyId, d.freshKey);
            return;
        }
        _checkPart(d, index, parts, leaf);

        word = word.add(index);
        Status status = word.status();
        if (status == Status.Purchased
                ? word.count() == threshold
                : status == Status.Complete && _countPaid(word, marks_) == parts) {
            unchecked {
                // The purchase was mined: its time is not above this one's.
                word = word.enter(Status.Complete, block.timestamp - time);
            }
        }
        stored.value = word;
        unchecked {
            ++run.done;
            if (own) {
                // Each fee came out of a 96-bit stake, so the sum stays far below 256 bits.
                run.earned += fee;
                ++run.own;
            }
        }
        Events.fragmentDelivered(d, copyId, own ? run.signer : seller);
        if (own) return;
        _sellerEntries[copyId][index] = entry;
        if (!marks_.isCleared(index)) _credit(d.sale.buyer, NATIVE, fee);
    }

    /// @dev Whether the signer is the deliverer whom the leaf names, and may deliver this part now.
    function _isOwn(
        address deliverer,
        address seller,
        uint256 index,
        uint256 time,
        uint256 fee,
        uint256 marks_,
        Run memory run
    ) private view returns (bool) {
        if (run.signer != deliverer || deliverer == seller) return false;
        unchecked {
            return block.timestamp - time <= _DELIVERY_SECONDS && _isEligible(run, fee)
                && !marks_.isPunished(index);
        }
    }

    /// @dev Whether the signer's stake stands for this part.
    function _isEligible(Run memory run, uint256 fee) private view returns (bool) {
        uint256 word = run.deliverer;
        if (run.slot == 0) {
            Deliverer storage deliverer = _deliverers[run.signer];
            uint256 slot;
            assembly ("memory-safe") {
                slot := deliverer.slot
                word := sload(slot)
            }
            run.slot = slot;
            run.deliverer = word;
        }
        uint256 stake = uint88(word);
        unchecked {
            // A fee has 128 bits.
            return stake >= _MIN_DELIVERER_STAKE && stake >= FEES_AT_STAKE * fee
                && uint32(word >> EXIT_BIT) == 0;
        }
    }

    /// @dev Whether the signer may deliver for the seller now. Not for who is neither.
    function _mayFallBack(Delivery calldata d, address signer, bool strict)
        private
        view
        returns (bool)
    {
        if (!_isOfSeller(signer, d.sale.seller)) return false;
        uint256 first = uint256(d.sale.purchaseBlock) + _FALLBACK_BLOCKS + 1;
        if (block.number < first) {
            if (strict) revert FallbackTooEarly(d.copyId, first);
            return false;
        }
        uint256 last = uint256(d.sale.purchaseTime) + _REFUND_SECONDS;
        if (block.timestamp > last) {
            if (strict) revert DeliveryClosed(d.copyId, last);
            return false;
        }
        return true;
    }

    /// @dev Why no part of this index can be delivered in this sale.
    function _refusePart(Delivery calldata d, uint256 word, bytes32 saleHash) private pure {
        if (!word.commitsTo(saleHash)) revert WrongSale(d.copyId);
        Status status = word.status();
        if (!_isOpen(status)) revert WrongStatus(d.copyId, status);
        revert AlreadyDelivered(d.copyId, d.index);
    }

    /// @dev Why this signer, who is not of the seller's side, cannot deliver this part.
    function _refuseSigner(Delivery calldata d, Run memory run) private view {
        if (run.signer != d.deliverer || run.signer == d.sale.seller) {
            revert NotYourPart(d.deliverer, run.signer);
        }
        uint256 last = uint256(d.sale.purchaseTime) + _DELIVERY_SECONDS;
        if (block.timestamp > last) revert DeliveryClosed(d.copyId, last);
        if (!_isEligible(run, d.sale.fee)) revert NotEligible(run.signer);
        revert IndexPunished(d.copyId, d.index);
    }

    /// @dev Whether a part that is there already is published once more.
    function _supply(Delivery calldata d, bytes32 saleHash, bytes32 leaf, address signer)
        private
        returns (bool)
    {
        uint256 word = _sales[d.copyId].value;
        if (!word.commitsTo(saleHash) || !_isOpen(word.status()) || !word.has(d.index)) {
            return false;
        }
        address seller = d.sale.seller;
        if (!_isOfSeller(signer, seller)) return false;
        if (!_fits(d.freshKey, d.index, _marksOf(d.copyId, word))) return false;
        _checkPart(d, d.index, d.sale.parts, leaf);
        bytes calldata fragment = d.fragment;
        emit FragmentSupplied(
            d.copyId,
            seller,
            d.index,
            d.deliverer,
            d.commitment,
            d.secretHash,
            d.salt,
            bytes32(fragment[0:32]),
            bytes16(fragment[32:48]),
            bytes32(fragment[48:80])
        );
        return true;
    }

    /// @dev Whether the key that a fragment is sealed to is one of the sale: the buyer's first key
    /// of its index, or for a punished index the fresh one.
    function _fits(bytes32 key, uint256 index, uint256 marks_) private pure returns (bool) {
        return key == 0 || (marks_.isPunished(index) && marks_.hasKey(key));
    }

    function _checkPart(Delivery calldata d, uint256 index, uint256 parts, bytes32 leaf)
        private
        pure
    {
        if (index >= parts || Merkle.root(leaf, d.proof) != d.sale.partsRoot) {
            revert PartNotInItem(d.copyId, d.index);
        }
    }

    function _isOfSeller(address signer, address seller) private view returns (bool) {
        return signer == seller || signer == _sellers[seller].operator;
    }

    /// @dev Pays the signer, who was eligible when the slot was read; nothing of it changed since.
    function _earn(Run memory run) private {
        if (run.own == 0) return;
        uint256 word = run.deliverer;
        uint256 earned = uint96(word >> EARNED_BIT) + run.earned;
        if (earned > type(uint96).max) revert AmountTooLarge(earned);
        uint256 slot = run.slot;
        unchecked {
            word += run.earned << EARNED_BIT;
            // A mere record: it may wrap after four billion parts.
            uint256 delivered = uint32((word >> DELIVERED_BIT) + run.own);
            word &= ~(uint256(type(uint32).max) << DELIVERED_BIT);
            word |= delivered << DELIVERED_BIT;
        }
        assembly ("memory-safe") {
            // One write in place of two: 300 gas.
            sstore(slot, word)
        }
    }
}
