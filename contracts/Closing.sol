// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Half} from "./Half.sol";
import {Proving} from "./Proving.sol";
import {
    Closure,
    Escrow,
    IMarketplace,
    Sale,
    Setup,
    Split,
    Status
} from "./interfaces/IMarketplace.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {SaleWord} from "./libraries/SaleWord.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title The half of the market that ends sales and punishes
/// @notice See `IMarketplace` for every rule. It is code alone: the market runs it on its own
/// storage by delegatecall, and a direct call is refused.
contract Closing is Proving {
    using Hashes for Escrow;
    using Hashes for Sale;
    using SaleWord for uint256;

    constructor(Setup memory setup) Half(setup) {}

    // -------------------------------------------------------------------------------- closing

    /// @notice See `IMarketplace`, as for all functions here.
    function refund(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external onMarket {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status != Status.Purchased) revert IMarketplace.WrongStatus(copyId, status);
        _requireAfter(copyId, _lastSecondOf(sale, word, status));
        _refund(copyId, word, status, sale, escrow);
    }

    function closeMany(Closure[] calldata closures) external onMarket {
        uint256 closed;
        for (uint256 i; i < closures.length; ++i) {
            if (_closeIfDue(closures[i].copyId, closures[i].sale, closures[i].escrow)) ++closed;
        }
        if (closed == 0) revert IMarketplace.NothingClosed();
    }

    function concede(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        external
        onMarket
    {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status == Status.Complete) {
            if (msg.sender != sale.seller) revert IMarketplace.NotAllowed(msg.sender);
            _requireGate(copyId, sale, word);
            _refund(copyId, word, status, sale, escrow);
            return;
        }
        if (status != Status.Disputed) revert IMarketplace.WrongStatus(copyId, status);
        _requireUntil(copyId, _lastSecondOf(sale, word, status));
        if (msg.sender == sale.seller) {
            _refund(copyId, word, status, sale, escrow);
        } else if (msg.sender == sale.buyer) {
            Outcome memory outcome;
            outcome.status = Status.Settled;
            if (_arbitratorWorked(sale, word)) outcome.arbitratorCoins = escrow.bond;
            else outcome.sellerCoins = escrow.bond;
            _close(copyId, word, sale, escrow, outcome);
            emit IMarketplace.SaleSettled(copyId, msg.sender);
        } else {
            revert IMarketplace.NotAllowed(msg.sender);
        }
    }

    function agree(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Split calldata split,
        bytes calldata buyerSignature,
        bytes calldata sellerSignature
    ) external onMarket {
        // Check
        (uint256 word, Status status) = _load(copyId, sale);
        _checkEscrow(copyId, sale, escrow);
        if (!_isOpen(status)) revert IMarketplace.WrongStatus(copyId, status);
        _requireGate(copyId, sale, word);
        _requireUntil(copyId, split.deadline);
        bool disputed = status == Status.Disputed;
        if (disputed) _requireUntil(copyId, _lastSecondOf(sale, word, status));
        _checkSplit(copyId, sale, escrow, split, word, disputed);
        bytes32 digest = Signatures.digest(copyId, sale.hash(), status, word.since(), split);
        _enter();
        _requireAgreed(sale.buyer, digest, buyerSignature);
        _requireAgreed(sale.seller, digest, sellerSignature);
        _leave();

        // Effect
        Outcome memory outcome;
        uint256 half = split.toArbitrator / 2;
        outcome.status = Status.Agreed;
        outcome.toBuyer = split.toBuyer;
        outcome.buyerCoins = split.penalty;
        if (disputed) outcome.buyerCoins += escrow.bond - half;
        outcome.arbitratorCoins = split.toArbitrator;
        outcome.lost = split.penalty + split.toArbitrator - half;
        _close(copyId, word, sale, escrow, outcome);
        emit IMarketplace.SaleAgreed(copyId, split.toBuyer, split.penalty, split.toArbitrator);
    }

    // ------------------------------------------------------------------------------- disputes

    function openDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        bytes32 evidence
    ) external payable onMarket {
        (uint256 word, Status status) = _load(copyId, sale);
        _checkEscrow(copyId, sale, escrow);
        if (msg.sender != sale.buyer) revert IMarketplace.NotAllowed(msg.sender);
        if (status != Status.Complete) revert IMarketplace.WrongStatus(copyId, status);
        if (escrow.arbitrator == address(0)) revert IMarketplace.NoArbitrator(copyId);
        if (msg.value != escrow.bond) revert IMarketplace.WrongBond(msg.value, escrow.bond);
        _requireGate(copyId, sale, word);
        _requireUntil(copyId, _lastSecondOf(sale, word, status));
        _sales[copyId].value = word.enter(Status.Disputed, block.timestamp - sale.purchaseTime);
        emit IMarketplace.DisputeOpened(copyId, msg.sender, escrow.arbitrator, evidence);
    }

    function resolveDispute(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        uint256 toBuyer,
        bool penaltyAwarded
    ) external onMarket {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status != Status.Disputed) revert IMarketplace.WrongStatus(copyId, status);
        if (msg.sender != escrow.arbitrator) revert IMarketplace.NotAllowed(msg.sender);
        _requireUntil(copyId, _lastSecondOf(sale, word, status));
        if (toBuyer > escrow.price) revert IMarketplace.RulingTooHigh(toBuyer, escrow.price);
        uint256 penalty = penaltyAwarded ? escrow.penalty : 0;
        Outcome memory outcome;
        outcome.status = Status.Resolved;
        outcome.toBuyer = toBuyer;
        outcome.arbitratorCoins = escrow.bond;
        if (toBuyer != 0 || penalty != 0) {
            // The seller lost: their bond pays the arbitrator, the buyer has their own back.
            outcome.lost = penalty + escrow.bond;
            outcome.buyerCoins = penalty + escrow.bond;
        }
        _close(copyId, word, sale, escrow, outcome);
        emit IMarketplace.DisputeResolved(copyId, msg.sender, toBuyer, penalty);
    }

    function submitEvidence(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        string calldata evidence
    ) external onMarket {
        (, Status status) = _load(copyId, sale);
        _checkEscrow(copyId, sale, escrow);
        if (status != Status.Disputed) revert IMarketplace.WrongStatus(copyId, status);
        if (
            msg.sender != sale.buyer && msg.sender != sale.seller
                && msg.sender != escrow.arbitrator
        ) {
            revert IMarketplace.NotAllowed(msg.sender);
        }
        emit IMarketplace.Evidence(escrow.arbitrator, uint256(copyId), msg.sender, evidence);
    }

    function rateSale(bytes32 copyId, Sale calldata sale, uint8 stars) external onMarket {
        (uint256 word, Status status) = _load(copyId, sale);
        if (msg.sender != sale.buyer) revert IMarketplace.NotAllowed(msg.sender);
        if (_isOpen(status)) revert IMarketplace.WrongStatus(copyId, status);
        if (stars == 0 || stars > 5) revert IMarketplace.InvalidRating(stars);
        if (word.isRated()) revert IMarketplace.AlreadyRated(copyId);
        _sales[copyId].value = word.withRating();
        emit IMarketplace.SaleRated(copyId, sale.seller, msg.sender, stars);
    }

    // --------------------------------------------------------------------------------- inside

    /// @dev What `settle` or `refund` would do, where it would do it.
    function _closeIfDue(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        private
        returns (bool)
    {
        uint256 word = _sales[copyId].value;
        if (!word.commitsTo(sale.hash()) || escrow.hash() != sale.escrowHash) return false;
        Status status = word.status();
        if (!_isOpen(status) || block.timestamp <= _lastSecondOf(sale, word, status)) {
            return false;
        }
        if (status == Status.Purchased) {
            _refund(copyId, word, status, sale, escrow);
            return true;
        }
        if (!_isGateOpen(copyId, sale, word)) return false;
        _settle(copyId, word, status, sale, escrow);
        return true;
    }

    function _requireUntil(bytes32 copyId, uint256 last) private view {
        if (block.timestamp > last) revert IMarketplace.TooLate(copyId, last);
    }

    function _checkSplit(
        bytes32 copyId,
        Sale calldata sale,
        Escrow calldata escrow,
        Split calldata split,
        uint256 word,
        bool disputed
    ) private view {
        uint256 most = disputed ? 2 * uint256(escrow.bond) : 0;
        uint256 least = disputed && _arbitratorWorked(sale, word) ? escrow.bond : 0;
        if (
            split.toBuyer > escrow.price || split.penalty > escrow.penalty
                || split.toArbitrator > most || split.toArbitrator < least
        ) {
            revert IMarketplace.InvalidSplit(copyId);
        }
    }

    function _requireAgreed(address party, bytes32 digest, bytes calldata signature) private view {
        if (msg.sender == party || Signatures.isSignedBy(party, digest, signature)) return;
        revert IMarketplace.NotAgreed(party);
    }
}
