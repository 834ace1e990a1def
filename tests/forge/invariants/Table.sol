// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Escrow, Sale} from "../../../contracts/interfaces/IMarketplace.sol";

/// @notice The money table, written from the protocol and not from the contract: what each end of a
/// sale gives to whom.
library Table {
    enum End {
        /// Confirmed, or settled after time.
        Settled,
        /// A dispute without a ruling.
        Silence,
        /// By timeout; or conceded by the seller, or proved against them, without a dispute.
        Refunded,
        /// The same in a dispute.
        SellerGivesIn,
        /// The same from a third of the arbitration on.
        SellerGivesInLate,
        BuyerConcedes,
        BuyerConcedesLate,
        Agreed,
        Ruled
    }

    struct Due {
        /// In the price's currency.
        uint256 buyerPrice;
        uint256 sellerPrice;
        /// In the native coin, from here on.
        uint256 buyerCoins;
        uint256 sellerCoins;
        uint256 stake;
        uint256 arbitrator;
    }

    /// @notice What an end is by: of the price, and of the penalty, to the buyer; from both bonds,
    /// to the arbitrator.
    struct Parts {
        uint256 b;
        uint256 w;
        uint256 a;
    }

    /// @notice R: what the purchase moved out of the stake.
    function reserve(Sale memory sale, Escrow memory escrow) internal pure returns (uint256) {
        return uint256(sale.parts) * sale.fee + escrow.penalty + escrow.bond;
    }

    /// @param fees Number of parts that are there or were cleared.
    /// @param disputed Whether the buyer's bond is there, too.
    function due(
        Sale memory sale,
        Escrow memory escrow,
        uint256 fees,
        End end,
        Parts memory parts,
        bool disputed
    ) internal pure returns (Due memory result) {
        uint256 paid = fees * sale.fee;
        uint256 left = reserve(sale, escrow) - paid;
        uint256 bond = escrow.bond;
        if (end == End.Refunded || end == End.SellerGivesIn || end == End.SellerGivesInLate) {
            result.buyerPrice = escrow.price;
            result.buyerCoins = escrow.penalty;
            result.stake = left - escrow.penalty;
            if (end != End.Refunded) {
                result.stake -= bond;
                result.buyerCoins += bond;
                if (end == End.SellerGivesIn) result.buyerCoins += bond;
                else result.arbitrator = bond;
            }
            return result;
        }
        if (end != End.Ruled && end != End.Agreed) parts = Parts(0, 0, 0);
        uint256 back;
        if (escrow.token == address(0)) {
            back = escrow.price - parts.b < paid ? escrow.price - parts.b : paid;
        }
        result.buyerPrice = parts.b;
        result.sellerPrice = escrow.price - parts.b - back;
        result.stake = left + back;
        if (end == End.Silence) result.buyerCoins = bond;
        if (end == End.BuyerConcedes) result.sellerCoins = bond;
        if (end == End.BuyerConcedesLate) result.arbitrator = bond;
        if (end == End.Agreed) {
            result.arbitrator = parts.a;
            result.buyerCoins = parts.w + (disputed ? bond : 0) - parts.a / 2;
            result.stake -= parts.w + (parts.a + 1) / 2;
        }
        if (end == End.Ruled) {
            result.arbitrator = bond;
            if (parts.b != 0 || parts.w != 0) {
                result.buyerCoins = parts.w + bond;
                result.stake -= parts.w + bond;
            }
        }
    }

    function sum(Due memory d) internal pure returns (uint256) {
        return d.buyerPrice + d.sellerPrice + d.buyerCoins + d.sellerCoins + d.stake + d.arbitrator;
    }
}
