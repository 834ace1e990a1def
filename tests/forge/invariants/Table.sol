// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Escrow, Sale} from "../../../contracts/interfaces/IMarketplace.sol";

/// @notice The table of protocol section 5, written from the protocol and not from the contract:
/// what each end of a sale gives to whom.
library Table {
    enum End {
        /// Confirmed, or settled after time.
        Settled,
        /// A dispute without a ruling.
        Silence,
        /// By timeout, or conceded by the seller of a Complete sale.
        Refunded,
        SellerConcedes,
        BuyerConcedes,
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

    /// @notice R: what the purchase moved out of the stake.
    function reserve(Sale memory sale, Escrow memory escrow) internal pure returns (uint256) {
        return uint256(sale.parts) * sale.fee + escrow.penalty + escrow.bond;
    }

    /// @param d Parts from deliverers.
    /// @param f Parts from the seller.
    /// @param b Part of the price ruled to the buyer.
    /// @param awarded Whether the penalty was ruled to the buyer.
    function due(
        Sale memory sale,
        Escrow memory escrow,
        uint256 d,
        uint256 f,
        End end,
        uint256 b,
        bool awarded
    ) internal pure returns (Due memory result) {
        uint256 paid = (d + f) * sale.fee;
        uint256 left = reserve(sale, escrow) - paid;
        if (end == End.Refunded) {
            uint256 k = sale.threshold;
            uint256 q = escrow.penalty * (k - (d < k ? d : k)) / k;
            result.buyerPrice = escrow.price;
            result.buyerCoins = q;
            result.stake = left - q;
            return result;
        }
        if (end == End.SellerConcedes) {
            result.buyerPrice = escrow.price;
            result.buyerCoins = uint256(escrow.penalty) + 2 * uint256(escrow.bond);
            result.stake = left - escrow.penalty - escrow.bond;
            return result;
        }
        if (end != End.Ruled) b = 0;
        uint256 back;
        if (escrow.token == address(0)) {
            back = escrow.price - b < paid ? escrow.price - b : paid;
        }
        result.sellerPrice = escrow.price - b - back;
        result.stake = left + back;
        if (end == End.Silence) result.buyerCoins = escrow.bond;
        if (end == End.BuyerConcedes) result.sellerCoins = escrow.bond;
        if (end == End.Ruled) {
            uint256 w = awarded ? escrow.penalty : 0;
            result.buyerPrice = b;
            result.arbitrator = escrow.bond;
            if (b != 0 || w != 0) {
                result.buyerCoins = w + escrow.bond;
                result.stake -= w + escrow.bond;
            }
        }
    }
}
