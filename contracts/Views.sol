// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Books} from "./Books.sol";
import {Deadlines, IMarketplace, Sale, Slash, Status} from "./interfaces/IMarketplace.sol";
import {IProofs} from "./interfaces/IProofs.sol";
import {Marks} from "./libraries/Marks.sol";
import {SaleWord} from "./libraries/SaleWord.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {StoreCid} from "./libraries/StoreCid.sol";

/// @title Everything that the market tells without changing anything
/// @notice See `IMarketplace`.
abstract contract Views is Books, IMarketplace {
    using Marks for uint256;
    using SaleWord for uint256;

    // --------------------------------------------------------------------------------- stakes

    /// @inheritdoc IMarketplace
    function sellerStakes(address seller) external view returns (uint256) {
        return _sellers[seller].stake;
    }

    /// @inheritdoc IMarketplace
    function sellerOperator(address seller) external view returns (address) {
        return _sellers[seller].operator;
    }

    /// @inheritdoc IMarketplace
    function sellerStoreCID(address seller) external view returns (string memory) {
        bytes32 digest = _sellers[seller].digest;
        return digest == 0 ? "" : StoreCid.toString(digest);
    }

    /// @inheritdoc IMarketplace
    function stores(address seller) external view returns (bytes32 digest, bytes32 catalogue) {
        return (_sellers[seller].digest, _sellers[seller].catalogue);
    }

    /// @inheritdoc IMarketplace
    function delivererStakes(address operator) external view returns (uint256) {
        return _deliverers[operator].stake;
    }

    /// @inheritdoc IMarketplace
    function deliverers(address operator)
        external
        view
        returns (address owner, uint256 stake, uint256 earned, uint256 delivered, uint256 exitTime)
    {
        Deliverer storage deliverer = _deliverers[operator];
        if (_isRegistered(deliverer)) owner = _ownerOf(deliverer, operator);
        return (owner, deliverer.stake, deliverer.earned, deliverer.delivered, deliverer.exitTime);
    }

    /// @inheritdoc IMarketplace
    function slashes(uint256 id) external view returns (Slash memory) {
        return _slashes[id];
    }

    /// @inheritdoc IMarketplace
    function frozenUntil(address operator) external view returns (uint256) {
        return _frozenUntil(_deliverers[operator]);
    }

    /// @inheritdoc IMarketplace
    function credits(address account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc IMarketplace
    function burnt() external view returns (uint256) {
        return _burnt;
    }

    // ---------------------------------------------------------------------------------- sales

    /// @inheritdoc IMarketplace
    function sales(bytes32 copyId)
        external
        view
        returns (
            Status status,
            uint32 delivered,
            uint32 since,
            bool rated,
            bool marked,
            bytes24 commitment
        )
    {
        uint256 word = _sales[copyId].value;
        return (
            word.status(),
            word.delivered(),
            uint32(word.since()),
            word.isRated(),
            word.isMarked(),
            word.commitment()
        );
    }

    /// @inheritdoc IMarketplace
    function marks(bytes32 copyId)
        external
        view
        returns (uint32 punished, uint32 cleared, bytes24 freshKey)
    {
        uint256 word = _marks[copyId];
        return (word.punished(), word.cleared(), word.freshKey());
    }

    /// @inheritdoc IMarketplace
    function sellerEntries(bytes32 copyId, uint256 index) external view returns (bytes32) {
        return _sellerEntries[copyId][index];
    }

    /// @inheritdoc IMarketplace
    function clock() external view returns (uint256 blockNumber, uint256 timestamp) {
        return (block.number, block.timestamp);
    }

    /// @inheritdoc IMarketplace
    function deadlines(bytes32 copyId, Sale calldata sale)
        external
        view
        returns (Deadlines memory result)
    {
        (uint256 word, Status status) = _load(copyId, sale);
        if (!_isOpen(status)) return result;
        uint64 start = sale.purchaseTime;
        uint64 began = start + uint64(word.since());
        result.fallbackBlock = sale.purchaseBlock + _FALLBACK_BLOCKS + 1;
        result.deliver = start + _DELIVERY_SECONDS;
        result.fallbackDelivery = start + _REFUND_SECONDS;
        if (status == Status.Disputed) {
            result.ruling = began + _ARBITRATION_SECONDS;
            result.arbitratorPaidFrom = began + _ARBITRATION_SECONDS / 3;
            result.settleFrom = result.ruling + 1;
            return result;
        }
        result.proof = start + _PROOF_SECONDS;
        if (status == Status.Purchased) {
            result.refundFrom = result.fallbackDelivery + 1;
        } else {
            result.dispute = began + _DISPUTE_SECONDS;
            result.settleFrom = result.dispute + 1;
        }
    }

    // ----------------------------------------------------------------------------- deployment

    /// @inheritdoc IMarketplace
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return Signatures.domain();
    }

    /// @inheritdoc IMarketplace
    function FALLBACK_BLOCKS() external pure returns (uint64) {
        return _FALLBACK_BLOCKS;
    }

    /// @inheritdoc IMarketplace
    function DELIVERY_SECONDS() external view returns (uint64) {
        return _DELIVERY_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function PROOF_SECONDS() external view returns (uint64) {
        return _PROOF_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function REFUND_SECONDS() external view returns (uint64) {
        return _REFUND_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function DISPUTE_SECONDS() external view returns (uint64) {
        return _DISPUTE_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function ARBITRATION_SECONDS() external view returns (uint64) {
        return _ARBITRATION_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function GOVERNOR() external view returns (address) {
        return _GOVERNOR;
    }

    /// @inheritdoc IMarketplace
    function SLASH_DELAY_SECONDS() external view returns (uint64) {
        return _SLASH_DELAY_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function SLASH_LAPSE_SECONDS() external view returns (uint64) {
        return _SLASH_LAPSE_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function EXIT_SECONDS() external view returns (uint64) {
        return _EXIT_SECONDS;
    }

    /// @inheritdoc IMarketplace
    function JUNK_FINE() external view returns (uint256) {
        return _JUNK_FINE;
    }

    /// @inheritdoc IMarketplace
    function PROOFS() external view returns (IProofs) {
        return _PROOFS;
    }

    /// @inheritdoc IMarketplace
    function MIN_DELIVERER_STAKE() external view returns (uint256) {
        return _MIN_DELIVERER_STAKE;
    }

    /// @inheritdoc IMarketplace
    function MIN_SELLER_STAKE() external view returns (uint256) {
        return _MIN_SELLER_STAKE;
    }

    // -------------------------------------------------------------------------------- inside

    function _ownerOf(Deliverer storage deliverer, address operator)
        internal
        view
        returns (address)
    {
        return deliverer.owned ? deliverer.owner : operator;
    }
}
