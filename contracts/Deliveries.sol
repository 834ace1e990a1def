// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Sales} from "./Sales.sol";
import {Delivery, IMarketplace, Sale, Signature, Status} from "./interfaces/IMarketplace.sol";
import {Events} from "./libraries/Events.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Marks} from "./libraries/Marks.sol";
import {SaleWord} from "./libraries/SaleWord.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title How parts arrive
/// @notice See `IMarketplace` for every rule.
abstract contract Deliveries is Sales {
    using Hashes for Delivery;
    using Hashes for Sale;
    using Marks for uint256;
    using SaleWord for uint256;

    enum By {
        Nobody,
        Deliverer,
        Seller
    }

    /// What one part hashes to. Computed once, before it is known who signed.
    struct Part {
        bytes32 saleHash;
        bytes32 leaf;
        bytes32 entry;
    }

    // ---------------------------------------------------------------------------- delivering

    /// @inheritdoc IMarketplace
    function deliverFragment(Delivery calldata delivery, Signature calldata signature)
        external
        unlocked
    {
        bytes32[] memory entries = new bytes32[](1);
        Part memory part = _part(delivery);
        entries[0] = part.entry;
        address signer = _signer(entries, signature);
        if (_deliver(delivery, part, signer, true) == By.Deliverer) {
            _earn(signer, delivery.sale.fee, 1);
        }
    }

    /// @inheritdoc IMarketplace
    function deliverFragments(Delivery[] calldata deliveries, Signature calldata signature)
        external
        unlocked
    {
        (Part[] memory parts, address signer) = _open(deliveries, signature);
        uint256 earned;
        uint256 own;
        uint256 done;
        for (uint256 i; i < deliveries.length; ++i) {
            By by = _deliver(deliveries[i], parts[i], signer, false);
            if (by == By.Nobody) continue;
            unchecked {
                ++done;
                if (by == By.Deliverer) {
                    // Each fee came out of a 96-bit stake, so the sum stays far below 256 bits.
                    earned += deliveries[i].sale.fee;
                    ++own;
                }
            }
        }
        if (done == 0) revert NothingDelivered();
        if (own != 0) _earn(signer, earned, own);
    }

    /// @inheritdoc IMarketplace
    function supplyFragments(Delivery[] calldata deliveries, Signature calldata signature)
        external
        unlocked
    {
        (Part[] memory parts, address signer) = _open(deliveries, signature);
        uint256 done;
        for (uint256 i; i < deliveries.length; ++i) {
            if (_supply(deliveries[i], parts[i], signer)) ++done;
        }
        if (done == 0) revert NothingDelivered();
    }

    // -------------------------------------------------------------------------------- inside

    /// @dev The list, and who signed it; logged whole, since it is evidence.
    function _open(Delivery[] calldata deliveries, Signature calldata signature)
        private
        returns (Part[] memory parts, address signer)
    {
        parts = new Part[](deliveries.length);
        bytes32[] memory entries = new bytes32[](deliveries.length);
        for (uint256 i; i < deliveries.length; ++i) {
            parts[i] = _part(deliveries[i]);
            entries[i] = parts[i].entry;
        }
        signer = _signer(entries, signature);
    }

    function _part(Delivery calldata d) private pure returns (Part memory part) {
        if (d.fragment.length != FRAGMENT_BYTES) revert InvalidFragmentLength(d.fragment.length);
        part.saleHash = d.sale.hash();
        part.leaf = d.leaf();
        part.entry = Hashes.entry(d.copyId, part.saleHash, part.leaf, d.freshKey, d.fragment);
    }

    function _signer(bytes32[] memory entries, Signature calldata signature)
        private
        returns (address signer)
    {
        signer = Signatures.signer(Signatures.digest(entries), signature);
        if (signer == address(0)) revert InvalidSignature();
        Events.fragmentsSigned(signer, signature, entries);
    }

    /// @dev One part: pays the buyer for a fallback; the caller pays the deliverer, once a batch.
    /// What may have changed since it was signed reverts if `strict`, and is skipped otherwise.
    function _deliver(Delivery calldata d, Part memory part, address signer, bool strict)
        private
        returns (By)
    {
        uint256 word = _sales[d.copyId];
        if (!word.commitsTo(part.saleHash)) {
            if (strict) revert WrongSale(d.copyId);
            return By.Nobody;
        }
        Status status = word.status();
        if (!_isOpen(status)) {
            if (strict) revert WrongStatus(d.copyId, status);
            return By.Nobody;
        }
        uint256 index = d.index;
        if (word.has(index)) {
            if (strict) revert AlreadyDelivered(d.copyId, d.index);
            return By.Nobody;
        }
        Sale calldata sale = d.sale;
        (address seller, uint256 start, uint256 time, uint256 parts, uint256 threshold) =
            sale.fields();
        uint256 marks_ = _marksOf(d.copyId, word);
        bool own = signer == d.deliverer && signer != seller;
        bool ofSeller = !own || !_mayDeliver(d, time, marks_, signer, false);
        if (ofSeller) {
            if (!_isOfSeller(signer, seller)) {
                if (!strict) return By.Nobody;
                if (own) _mayDeliver(d, time, marks_, signer, true);
                revert NotYourPart(d.deliverer, signer);
            }
            if (!_mayFallBack(d, start, time, strict)) return By.Nobody;
        }
        if (!_fits(d, marks_)) {
            if (strict) revert WrongFreshKey(d.copyId, d.freshKey);
            return By.Nobody;
        }
        _checkPart(d, parts, part.leaf);

        word = word.add(index);
        if (status == Status.Purchased
                ? word.count() == threshold
                : status == Status.Complete && _countPaid(word, marks_) == parts) {
            unchecked {
                // The purchase was mined: its time is not above this one's.
                word = word.enter(Status.Complete, block.timestamp - time);
            }
        }
        _sales[d.copyId] = word;
        Events.fragmentDelivered(d, ofSeller ? seller : signer);
        if (!ofSeller) return By.Deliverer;
        _sellerEntries[d.copyId][index] = part.entry;
        if (!marks_.isCleared(index)) _credit(sale.buyer, NATIVE, sale.fee);
        return By.Seller;
    }

    /// @dev Whether the deliverer whom the leaf names delivers this part now.
    function _mayDeliver(
        Delivery calldata d,
        uint256 time,
        uint256 marks_,
        address signer,
        bool strict
    ) private view returns (bool) {
        uint256 last = time + _DELIVERY_SECONDS;
        if (block.timestamp > last) {
            if (strict) revert DeliveryClosed(d.copyId, last);
            return false;
        }
        Deliverer storage deliverer = _deliverers[signer];
        uint256 stake = deliverer.stake;
        if (
            stake < _MIN_DELIVERER_STAKE || stake < FEES_AT_STAKE * d.sale.fee
                || deliverer.exitTime != 0
        ) {
            if (strict) revert NotEligible(signer);
            return false;
        }
        if (marks_.isPunished(d.index)) {
            if (strict) revert IndexPunished(d.copyId, d.index);
            return false;
        }
        return true;
    }

    /// @dev Whether the seller's side delivers this part now.
    function _mayFallBack(Delivery calldata d, uint256 start, uint256 time, bool strict)
        private
        view
        returns (bool)
    {
        uint256 first = start + _FALLBACK_BLOCKS + 1;
        if (block.number < first) {
            if (strict) revert FallbackTooEarly(d.copyId, first);
            return false;
        }
        uint256 last = time + _REFUND_SECONDS;
        if (block.timestamp > last) {
            if (strict) revert DeliveryClosed(d.copyId, last);
            return false;
        }
        return true;
    }

    /// @dev Whether a part that is there already is published once more.
    function _supply(Delivery calldata d, Part memory part, address signer)
        private
        returns (bool)
    {
        uint256 word = _sales[d.copyId];
        if (!word.commitsTo(part.saleHash) || !_isOpen(word.status()) || !word.has(d.index)) {
            return false;
        }
        address seller = d.sale.seller;
        if (!_isOfSeller(signer, seller)) return false;
        if (!_fits(d, _marksOf(d.copyId, word))) return false;
        _checkPart(d, d.sale.parts, part.leaf);
        emit FragmentSupplied(
            d.copyId, seller, d.index, d.deliverer, d.commitment, d.secretHash, d.salt, d.fragment
        );
        return true;
    }

    /// @dev Whether the key that a fragment is sealed to is one of the sale: the buyer's first key
    /// of its index, or for a punished index the fresh one.
    function _fits(Delivery calldata d, uint256 marks_) private pure returns (bool) {
        bytes32 key = d.freshKey;
        return key == 0 || (marks_.isPunished(d.index) && marks_.hasKey(key));
    }

    function _checkPart(Delivery calldata d, uint256 parts, bytes32 leaf) private pure {
        if (d.index >= parts || !MerkleProof.verifyCalldata(d.proof, d.sale.partsRoot, leaf)) {
            revert PartNotInItem(d.copyId, d.index);
        }
    }

    function _isOfSeller(address signer, address seller) private view returns (bool) {
        return signer == seller || signer == _sellers[seller].operator;
    }

    /// @dev Of a deliverer who is eligible.
    function _earn(address operator, uint256 amount, uint256 parts) private {
        Deliverer storage deliverer = _deliverers[operator];
        uint256 earned = deliverer.earned + amount;
        if (earned > type(uint96).max) revert AmountTooLarge(earned);
        deliverer.earned = uint96(earned);
        unchecked {
            // A mere record: it may wrap after four billion parts.
            deliverer.delivered += uint32(parts);
        }
    }
}
