// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Books} from "./Books.sol";
import {Escrow, IMarketplace, Sale, Status} from "./interfaces/IMarketplace.sol";
import {SaleWord} from "./libraries/SaleWord.sol";

/// @title How money leaves a sale
/// @notice See the table in `IMarketplace`.
abstract contract Ends is Books {
    using SaleWord for uint256;

    /// What closing a sale gives to whom.
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

    // ----------------------------------------------------------------------------------- time

    function _requireGate(bytes32 copyId, Sale calldata sale, uint256 word) internal view {
        if (_isGateOpen(copyId, sale, word)) return;
        revert IMarketplace.BeforeGate(copyId, uint256(sale.purchaseBlock) + _FALLBACK_BLOCKS + 1);
    }

    function _isGateOpen(bytes32 copyId, Sale calldata sale, uint256 word)
        internal
        view
        returns (bool)
    {
        return block.number > uint256(sale.purchaseBlock) + _FALLBACK_BLOCKS
            || _countPaid(word, _marksOf(copyId, word)) == sale.parts;
    }

    /// @dev Whether a dispute has gone on for a third of the time to rule: the arbitrator is paid.
    function _arbitratorWorked(Sale calldata sale, uint256 word) internal view returns (bool) {
        return block.timestamp >= _lastSecond(sale, word, _ARBITRATION_SECONDS / 3);
    }

    /// @dev Last second before an open sale of this status can be closed by anyone.
    function _lastSecondOf(Sale calldata sale, uint256 word, Status status)
        internal
        view
        returns (uint256)
    {
        if (status == Status.Purchased) return _lastSecond(sale, 0, _REFUND_SECONDS);
        if (status == Status.Complete) return _lastSecond(sale, word, _DISPUTE_SECONDS);
        return _lastSecond(sale, word, _ARBITRATION_SECONDS);
    }

    function _requireAfter(bytes32 copyId, uint256 last) internal view {
        if (block.timestamp <= last) revert IMarketplace.TooEarly(copyId, last + 1);
    }

    // ----------------------------------------------------------------------------------- ends

    /// @dev Price and penalty to the buyer: by timeout, by the seller's word, or proved.
    function _refund(
        bytes32 copyId,
        uint256 word,
        Status status,
        Sale calldata sale,
        Escrow calldata escrow
    ) internal {
        Outcome memory outcome;
        outcome.status = Status.Refunded;
        outcome.toBuyer = escrow.price;
        outcome.lost = escrow.penalty;
        outcome.buyerCoins = escrow.penalty;
        if (status == Status.Disputed) {
            uint256 bond = escrow.bond;
            outcome.lost += bond;
            // Their own; and the seller's, but for an arbitrator who has worked.
            outcome.buyerCoins += bond;
            if (_arbitratorWorked(sale, word)) outcome.arbitratorCoins = bond;
            else outcome.buyerCoins += bond;
        }
        _close(copyId, word, sale, escrow, outcome);
        emit IMarketplace.SaleRefunded(copyId, msg.sender, escrow.penalty);
    }

    /// @dev Well for the seller: confirmed, or silence. Of a Disputed sale nobody won, so the
    /// buyer's bond goes back.
    function _settle(
        bytes32 copyId,
        uint256 word,
        Status status,
        Sale calldata sale,
        Escrow calldata escrow
    ) internal {
        Outcome memory outcome;
        outcome.status = Status.Settled;
        if (status == Status.Disputed) outcome.buyerCoins = escrow.bond;
        _close(copyId, word, sale, escrow, outcome);
        emit IMarketplace.SaleSettled(copyId, msg.sender);
    }

    /// @dev The only way out of escrow: writes the final state, then credits everybody.
    function _close(
        bytes32 copyId,
        uint256 word,
        Sale calldata sale,
        Escrow calldata escrow,
        Outcome memory outcome
    ) internal {
        _checkEscrow(copyId, sale, escrow);
        _sales[copyId].value = word.enter(outcome.status, block.timestamp - sale.purchaseTime);

        uint256 paid = _countPaid(word, _marksOf(copyId, word)) * sale.fee;
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
}
