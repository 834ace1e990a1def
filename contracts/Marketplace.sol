// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {MerkleProofLib} from "solady/utils/MerkleProofLib.sol";

import {Sales} from "./Sales.sol";
import {Stakes} from "./Stakes.sol";
import {
    Delivery,
    Escrow,
    IMarketplace,
    Sale,
    Status,
    Windows
} from "./interfaces/IMarketplace.sol";
import {Events} from "./libraries/Events.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {SaleWord} from "./libraries/SaleWord.sol";

/// @title DAM marketplace
/// @notice See `IMarketplace` for every rule.
contract Marketplace is Sales {
    using Hashes for Delivery;
    using Hashes for Sale;
    using SaleWord for uint256;

    /// What closing a sale gives to whom; see the table in `IMarketplace`.
    struct Outcome {
        Status status;
        /// Of the price, in its own currency; the rest goes to the seller.
        uint256 toBuyer;
        /// In the native coin, from here on.
        uint256 buyerCoins;
        uint256 sellerCoins;
        uint256 arbitratorCoins;
        /// What of R goes to the buyer or the arbitrator.
        uint256 lost;
    }

    enum Delivered {
        Skipped,
        ByDeliverer,
        BySeller
    }

    uint256 private constant FRAGMENT_BYTES = 80;

    constructor(
        Windows memory windows,
        address governor,
        uint256 minDelivererStake,
        uint256 minSellerStake
    ) Stakes(windows.exitBlocks, minDelivererStake, minSellerStake) Sales(windows, governor) {}

    // ---------------------------------------------------------------------------- delivering

    /// @inheritdoc IMarketplace
    function deliverFragment(Delivery calldata delivery) external unlocked {
        _requirePlainAccount();
        if (_deliver(delivery, true) == Delivered.ByDeliverer) _earn(delivery.sale.fee, 1);
    }

    /// @inheritdoc IMarketplace
    function deliverFragments(Delivery[] calldata deliveries) external unlocked {
        _requirePlainAccount();
        uint256 earned;
        uint256 own;
        uint256 done;
        for (uint256 i; i < deliveries.length; ++i) {
            Delivered result = _deliver(deliveries[i], false);
            if (result == Delivered.Skipped) continue;
            unchecked {
                ++done;
                if (result == Delivered.ByDeliverer) {
                    // Each fee came out of a 96-bit stake, so the sum stays far below 256 bits.
                    earned += deliveries[i].sale.fee;
                    ++own;
                }
            }
        }
        if (done == 0) revert NothingDelivered();
        if (own != 0) _earn(earned, own);
    }

    /// @inheritdoc IMarketplace
    function supplyFragments(Delivery[] calldata deliveries) external unlocked {
        _requirePlainAccount();
        for (uint256 i; i < deliveries.length; ++i) {
            Delivery calldata d = deliveries[i];
            (uint256 word, Status status) = _load(d.copyId, d.sale);
            if (!_isOpen(status)) revert WrongStatus(d.copyId, status);
            if (!_actsForSeller(d.sale.seller)) revert NotAllowed(msg.sender);
            _checkPart(d, d.sale.parts);
            if (!word.has(d.index)) revert NotDelivered(d.copyId, d.index);
            emit FragmentSupplied(
                d.copyId, d.sale.seller, d.index, d.commitment, d.secretHash, d.fragment
            );
        }
    }

    // ------------------------------------------------------------------------------- closing

    /// @inheritdoc IMarketplace
    function confirm(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        external
        unlocked
    {
        (uint256 word, Status status) = _load(copyId, sale);
        if (msg.sender != sale.buyer) revert NotAllowed(msg.sender);
        if (status != Status.Complete) revert WrongStatus(copyId, status);
        _requireGate(copyId, sale, word);
        Outcome memory outcome;
        outcome.status = Status.Settled;
        _close(copyId, word, sale, escrow, outcome);
        emit SaleSettled(copyId, msg.sender);
    }

    /// @inheritdoc IMarketplace
    function settle(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external unlocked {
        (uint256 word, Status status) = _load(copyId, sale);
        Outcome memory outcome;
        uint256 last;
        if (status == Status.Complete) {
            last = _lastDisputeBlock(sale, word);
        } else if (status == Status.Disputed) {
            last = _lastRulingBlock(sale, word);
            // Silence: nobody won, so the buyer's bond goes back.
            outcome.buyerCoins = escrow.bond;
        } else {
            revert WrongStatus(copyId, status);
        }
        if (block.number <= last) revert TooEarly(copyId, last + 1);
        outcome.status = Status.Settled;
        _close(copyId, word, sale, escrow, outcome);
        emit SaleSettled(copyId, msg.sender);
    }

    /// @inheritdoc IMarketplace
    function refund(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external unlocked {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status != Status.Purchased) revert WrongStatus(copyId, status);
        uint256 last = sale.purchaseBlock + REFUND_BLOCKS;
        if (block.number <= last) revert TooEarly(copyId, last + 1);
        _refund(copyId, word, sale, escrow);
    }

    /// @inheritdoc IMarketplace
    function concede(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        external
        unlocked
    {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status == Status.Complete) {
            if (msg.sender != sale.seller) revert NotAllowed(msg.sender);
            _requireGate(copyId, sale, word);
            _refund(copyId, word, sale, escrow);
            return;
        }
        if (status != Status.Disputed) revert WrongStatus(copyId, status);
        uint256 last = _lastRulingBlock(sale, word);
        if (block.number > last) revert TooLate(copyId, last);
        Outcome memory outcome;
        uint256 bond = escrow.bond;
        if (msg.sender == sale.seller) {
            outcome.status = Status.Refunded;
            outcome.toBuyer = escrow.price;
            outcome.lost = escrow.penalty + bond;
            outcome.buyerCoins = outcome.lost + bond;
            _close(copyId, word, sale, escrow, outcome);
            emit SaleRefunded(copyId, msg.sender, escrow.penalty);
        } else if (msg.sender == sale.buyer) {
            outcome.status = Status.Settled;
            outcome.sellerCoins = bond;
            _close(copyId, word, sale, escrow, outcome);
            emit SaleSettled(copyId, msg.sender);
        } else {
            revert NotAllowed(msg.sender);
        }
    }

    // ------------------------------------------------------------------------------ disputes

    /// @inheritdoc IMarketplace
    function openDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32 evidence
    ) external payable unlocked {
        (uint256 word, Status status) = _load(copyId, sale);
        _checkEscrow(copyId, sale, escrow);
        if (msg.sender != sale.buyer) revert NotAllowed(msg.sender);
        if (status != Status.Complete) revert WrongStatus(copyId, status);
        if (escrow.arbitrator == address(0)) revert NoArbitrator(copyId);
        if (msg.value != escrow.bond) revert WrongBond(msg.value, escrow.bond);
        _requireGate(copyId, sale, word);
        uint256 last = _lastDisputeBlock(sale, word);
        if (block.number > last) revert TooLate(copyId, last);
        _sales[copyId] = word.enter(Status.Disputed, block.number - sale.purchaseBlock);
        emit DisputeOpened(copyId, msg.sender, escrow.arbitrator, evidence);
    }

    /// @inheritdoc IMarketplace
    function resolveDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        uint256 toBuyer,
        bool penaltyAwarded
    ) external unlocked {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status != Status.Disputed) revert WrongStatus(copyId, status);
        if (msg.sender != escrow.arbitrator) revert NotAllowed(msg.sender);
        uint256 last = _lastRulingBlock(sale, word);
        if (block.number > last) revert TooLate(copyId, last);
        if (toBuyer > escrow.price) revert RulingTooHigh(toBuyer, escrow.price);
        uint256 penalty = penaltyAwarded ? escrow.penalty : 0;
        Outcome memory outcome;
        outcome.status = Status.Resolved;
        outcome.toBuyer = toBuyer;
        outcome.arbitratorCoins = escrow.bond;
        if (toBuyer != 0 || penalty != 0) {
            // The seller lost: his bond pays the arbitrator, the buyer has his own back.
            outcome.lost = penalty + escrow.bond;
            outcome.buyerCoins = penalty + escrow.bond;
        }
        _close(copyId, word, sale, escrow, outcome);
        emit DisputeResolved(copyId, msg.sender, toBuyer, penalty);
    }

    /// @inheritdoc IMarketplace
    function submitEvidence(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        string calldata evidence
    ) external unlocked {
        (, Status status) = _load(copyId, sale);
        _checkEscrow(copyId, sale, escrow);
        if (status != Status.Disputed) revert WrongStatus(copyId, status);
        if (
            msg.sender != sale.buyer && msg.sender != sale.seller
                && msg.sender != escrow.arbitrator
        ) {
            revert NotAllowed(msg.sender);
        }
        emit Evidence(escrow.arbitrator, uint256(copyId), msg.sender, evidence);
    }

    /// @inheritdoc IMarketplace
    function rateSale(bytes32 copyId, Sale calldata sale, uint8 stars) external unlocked {
        (uint256 word, Status status) = _load(copyId, sale);
        if (msg.sender != sale.buyer) revert NotAllowed(msg.sender);
        if (status != Status.Settled) revert WrongStatus(copyId, status);
        if (stars == 0 || stars > 5) revert InvalidRating(stars);
        if (word.isRated()) revert AlreadyRated(copyId);
        _sales[copyId] = word.withRating();
        emit SaleRated(copyId, sale.seller, msg.sender, stars);
    }

    // ------------------------------------------------------------------- inside: delivering

    /// @dev One part: pays the buyer for a fallback; the caller pays the deliverer, once a batch.
    /// What may have changed since it was signed reverts if `strict`, and is skipped otherwise.
    function _deliver(Delivery calldata d, bool strict) private returns (Delivered) {
        Sale calldata sale = d.sale;
        uint256 word = _sales[d.copyId];
        if (!word.commitsTo(sale.hash())) {
            if (strict) revert WrongSale(d.copyId);
            return Delivered.Skipped;
        }
        Status status = word.status();
        if (!_isOpen(status)) {
            if (strict) revert WrongStatus(d.copyId, status);
            return Delivered.Skipped;
        }
        (address seller, uint256 start, uint256 parts, uint256 threshold) = sale.fields();
        uint256 offset;
        unchecked {
            // The purchase was mined: its block is not above this one.
            offset = block.number - start;
        }
        if (offset > REFUND_BLOCKS) {
            if (strict) revert DeliveryClosed(d.copyId, start + REFUND_BLOCKS);
            return Delivered.Skipped;
        }
        uint256 index = d.index;
        if (word.has(index)) {
            if (strict) revert AlreadyDelivered(d.copyId, d.index);
            return Delivered.Skipped;
        }
        bool own = msg.sender == d.deliverer && msg.sender != seller;
        if (!own) {
            if (!_actsForSeller(seller)) revert NotYourPart(d.deliverer, msg.sender);
            if (offset <= FALLBACK_BLOCKS) {
                if (strict) revert FallbackTooEarly(d.copyId, start + FALLBACK_BLOCKS + 1);
                return Delivered.Skipped;
            }
        }
        _checkPart(d, parts);

        word = word.add(index, own);
        uint256 count = word.count();
        if (status == Status.Purchased && count == threshold) {
            status = Status.Complete;
            word = word.enter(Status.Complete, offset);
        }
        if (status == Status.Complete && count == parts) {
            // The gate opens with the last part, or has opened by itself at offset 101.
            uint256 gate = offset <= FALLBACK_BLOCKS ? offset : FALLBACK_BLOCKS + 1;
            if (gate > word.since()) word = word.enter(Status.Complete, gate);
        }
        _sales[d.copyId] = word;
        if (!own) _credit(sale.buyer, NATIVE, sale.fee);
        Events.fragmentDelivered(d, own ? msg.sender : seller);
        return own ? Delivered.ByDeliverer : Delivered.BySeller;
    }

    /// @dev Reverts unless the fragment has its size and the part is in the item.
    function _checkPart(Delivery calldata d, uint256 parts) private pure {
        if (d.fragment.length != FRAGMENT_BYTES) revert InvalidFragmentLength(d.fragment.length);
        if (
            d.index >= parts || !MerkleProofLib.verifyCalldata(d.proof, d.sale.partsRoot, d.leaf())
        ) {
            revert PartNotInItem(d.copyId, d.index);
        }
    }

    // ---------------------------------------------------------------------- inside: closing

    function _refund(bytes32 copyId, uint256 word, Sale calldata sale, Escrow calldata escrow)
        private
    {
        Outcome memory outcome;
        outcome.status = Status.Refunded;
        outcome.toBuyer = escrow.price;
        uint256 paid = word.byDeliverers();
        uint256 needed = sale.threshold;
        uint256 missing = paid < needed ? needed - paid : 0;
        outcome.lost = escrow.penalty * missing / needed;
        outcome.buyerCoins = outcome.lost;
        _close(copyId, word, sale, escrow, outcome);
        emit SaleRefunded(copyId, msg.sender, outcome.lost);
    }

    /// @dev The only way out of escrow: writes the final state, then credits everybody.
    function _close(
        bytes32 copyId,
        uint256 word,
        Sale calldata sale,
        Escrow calldata escrow,
        Outcome memory outcome
    ) private {
        _checkEscrow(copyId, sale, escrow);
        _sales[copyId] = word.enter(outcome.status, block.number - sale.purchaseBlock);

        uint256 paid = word.count() * sale.fee;
        uint256 toSeller = escrow.price - outcome.toBuyer;
        uint256 back;
        if (escrow.token == NATIVE) back = toSeller < paid ? toSeller : paid;
        uint256 stake = _reserve(sale.parts, sale.fee, escrow.penalty, escrow.bond) - paid
            - outcome.lost + back;
        _restake(sale.seller, stake);

        if (escrow.token == NATIVE) {
            _credit(sale.buyer, NATIVE, outcome.toBuyer + outcome.buyerCoins);
            _credit(sale.seller, NATIVE, toSeller - back + outcome.sellerCoins);
        } else {
            _credit(sale.buyer, escrow.token, outcome.toBuyer);
            _credit(sale.buyer, NATIVE, outcome.buyerCoins);
            _credit(sale.seller, escrow.token, toSeller);
            _credit(sale.seller, NATIVE, outcome.sellerCoins);
        }
        _credit(escrow.arbitrator, NATIVE, outcome.arbitratorCoins);
    }

    function _requireGate(bytes32 copyId, Sale calldata sale, uint256 word) private view {
        if (word.count() == sale.parts) return;
        uint256 gate = sale.purchaseBlock + FALLBACK_BLOCKS + 1;
        if (block.number < gate) revert BeforeGate(copyId, gate);
    }

    /// @dev Of a Complete sale.
    function _lastDisputeBlock(Sale calldata sale, uint256 word) private view returns (uint256) {
        uint256 start = word.since();
        if (word.count() != sale.parts && start <= FALLBACK_BLOCKS) start = FALLBACK_BLOCKS + 1;
        return sale.purchaseBlock + start + DISPUTE_BLOCKS;
    }

    /// @dev Of a Disputed sale.
    function _lastRulingBlock(Sale calldata sale, uint256 word) private view returns (uint256) {
        return sale.purchaseBlock + word.since() + ARBITRATION_BLOCKS;
    }

    // ----------------------------------------------------------------------- inside: helpers

    function _isOpen(Status status) private pure returns (bool) {
        return status >= Status.Purchased && status <= Status.Disputed;
    }

    function _actsForSeller(address seller) private view returns (bool) {
        return msg.sender == seller || msg.sender == _sellers[seller].operator;
    }
}
