// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Views} from "./Views.sol";
import {IMarketplace} from "./interfaces/IMarketplace.sol";
import {Hashes} from "./libraries/Hashes.sol";

/// @title What the marketplace's parties put in and take out: stakes, stores, credits
/// @notice See `IMarketplace` for every rule.
abstract contract Stakes is Views {
    // ------------------------------------------------------------------------------- sellers

    /// @inheritdoc IMarketplace
    function stakeAsSeller() external payable unlocked {
        Seller storage seller = _sellers[msg.sender];
        uint256 free = seller.stake + msg.value;
        if (free > type(uint96).max) revert AmountTooLarge(free);
        seller.stake = uint96(free);
        emit SellerStaked(msg.sender, msg.value, free);
    }

    /// @inheritdoc IMarketplace
    function withdrawSellerStake(uint256 amount, address to) external lock {
        // Check
        Seller storage seller = _sellers[msg.sender];
        uint256 free = seller.stake;
        if (amount == 0) revert NothingToWithdraw();
        if (amount > free) revert SellerStakeTooLow(msg.sender, free, amount);

        // Effect
        unchecked {
            free -= amount;
        }
        seller.stake = uint96(free);
        emit SellerStakeWithdrawn(msg.sender, to, amount, free);

        // Interaction
        _send(to, amount);
    }

    /// @inheritdoc IMarketplace
    function setSellerOperator(address operator) external unlocked {
        _sellers[msg.sender].operator = operator;
        emit SellerOperatorSet(msg.sender, operator);
    }

    /// @inheritdoc IMarketplace
    function createStore(bytes32 digest, bytes32 root) external unlocked {
        Seller storage seller = _sellers[msg.sender];
        if (digest == 0) revert EmptyStore();
        if (seller.digest != 0) revert StoreExists(msg.sender);
        uint256 free = seller.stake;
        if (free < _MIN_SELLER_STAKE) {
            revert SellerStakeTooLow(msg.sender, free, _MIN_SELLER_STAKE);
        }
        seller.digest = digest;
        seller.catalogue = Hashes.catalogue(digest, root);
        emit StoreCreated(msg.sender, digest, root);
    }

    /// @inheritdoc IMarketplace
    function updateStore(bytes32 digest, bytes32 root) external unlocked {
        Seller storage seller = _sellers[msg.sender];
        if (digest == 0) revert EmptyStore();
        if (seller.digest == 0) revert NoStore(msg.sender);
        seller.digest = digest;
        seller.catalogue = Hashes.catalogue(digest, root);
        emit StoreUpdated(msg.sender, digest, root);
    }

    // ---------------------------------------------------------------------------- deliverers

    /// @inheritdoc IMarketplace
    function stakeAsDeliverer(bytes32 key, bytes32[2] calldata possession)
        external
        payable
        unlocked
    {
        _register();
        emit DelivererStaked(msg.sender, key, possession, msg.value);
    }

    /// @inheritdoc IMarketplace
    function stakeAsDelivererFor(address owner, bytes32 key, bytes32[2] calldata possession)
        external
        payable
        unlocked
    {
        if (owner == address(0)) revert ZeroAddress();
        Deliverer storage deliverer = _register();
        if (owner != msg.sender) {
            deliverer.owned = true;
            deliverer.owner = owner;
            emit DelivererOwnerSet(msg.sender, owner);
        }
        emit DelivererStaked(msg.sender, key, possession, msg.value);
    }

    /// @inheritdoc IMarketplace
    function addDelivererStake(address operator) external payable unlocked {
        Deliverer storage deliverer = _deliverers[operator];
        if (!_isRegistered(deliverer)) revert NotRegistered(operator);
        if (deliverer.exitTime != 0) revert ExitRequested(operator);
        uint256 stake = deliverer.stake + msg.value;
        if (stake > type(uint88).max) revert AmountTooLarge(stake);
        deliverer.stake = uint88(stake);
        emit DelivererStakeAdded(operator, msg.value, stake);
    }

    /// @inheritdoc IMarketplace
    function rotateDelivererKey(address operator, bytes32 key, bytes32[2] calldata possession)
        external
        unlocked
    {
        _requireOperatorOrOwner(operator);
        emit DelivererKeyRotated(operator, key, possession);
    }

    /// @inheritdoc IMarketplace
    function postTerms(address operator, uint256 minFee, bool open) external unlocked {
        _requireOperatorOrOwner(operator);
        emit DelivererTermsPosted(operator, minFee, open);
    }

    /// @inheritdoc IMarketplace
    function requestExit(address operator) external unlocked {
        Deliverer storage deliverer = _asOwner(operator);
        if (!_isRegistered(deliverer)) revert NotRegistered(operator);
        if (deliverer.exitTime != 0) revert ExitRequested(operator);
        uint256 available = block.timestamp + _EXIT_SECONDS;
        if (available > type(uint32).max) revert AmountTooLarge(available);
        deliverer.exitTime = uint32(available);
        emit DelivererExitRequested(operator, available);
    }

    /// @inheritdoc IMarketplace
    function cancelExit(address operator) external unlocked {
        Deliverer storage deliverer = _asOwner(operator);
        if (deliverer.exitTime == 0) revert ExitNotRequested(operator);
        deliverer.exitTime = 0;
        emit DelivererExitCancelled(operator);
    }

    /// @inheritdoc IMarketplace
    function withdrawDelivererStake(address operator, address to) external lock {
        // Check
        Deliverer storage deliverer = _asOwner(operator);
        uint256 available = deliverer.exitTime;
        if (available == 0) revert ExitNotRequested(operator);
        if (block.timestamp < available) revert ExitPending(operator, available);
        uint256 frozen = _frozenUntil(deliverer);
        if (frozen != 0) revert StakeFrozen(operator, frozen);
        uint256 stake = deliverer.stake;

        // Effect
        _removeStake(deliverer, stake);
        deliverer.exitTime = 0;
        emit DelivererStakeWithdrawn(operator, to, stake);

        // Interaction
        _send(to, stake);
    }

    /// @inheritdoc IMarketplace
    function withdrawEarnings(address operator, address to) external lock {
        // Check
        Deliverer storage deliverer = _asOwner(operator);
        uint256 earned = deliverer.earned;
        if (earned == 0) revert NothingToWithdraw();

        // Effect
        deliverer.earned = 0;
        emit Withdrawn(operator, NATIVE, to, earned);

        // Interaction
        _send(to, earned);
    }

    // ------------------------------------------------------------------------------- credits

    /// @inheritdoc IMarketplace
    function withdraw(address token, address to) external lock {
        // Check
        uint256 amount = _credits[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw();

        // Effect
        _credits[msg.sender][token] = 0;
        emit Withdrawn(msg.sender, token, to, amount);

        // Interaction
        if (token == NATIVE) {
            _send(to, amount);
        } else {
            if (to == address(0)) revert ZeroAddress();
            if (!SafeERC20.trySafeTransfer(IERC20(token), to, amount)) {
                revert TokenTransferFailed(token);
            }
        }
    }

    // -------------------------------------------------------------------------------- inside

    function _register() private returns (Deliverer storage deliverer) {
        uint256 least = _MIN_DELIVERER_STAKE;
        if (msg.value < least) revert StakeTooLow(msg.value, least);
        if (msg.value > type(uint88).max) revert AmountTooLarge(msg.value);
        deliverer = _deliverers[msg.sender];
        if (_isRegistered(deliverer)) revert AlreadyRegistered(msg.sender);
        assembly ("memory-safe") {
            // The stake is the lowest field of a slot known to be empty.
            sstore(deliverer.slot, callvalue())
        }
    }

    function _requireOperatorOrOwner(address operator) private view {
        Deliverer storage deliverer = _deliverers[operator];
        if (!_isRegistered(deliverer)) revert NotRegistered(operator);
        if (msg.sender != operator && msg.sender != _ownerOf(deliverer, operator)) {
            revert NotAllowed(msg.sender);
        }
    }

    function _asOwner(address operator) internal view returns (Deliverer storage deliverer) {
        deliverer = _deliverers[operator];
        if (msg.sender != _ownerOf(deliverer, operator)) revert NotAllowed(msg.sender);
    }

    /// @dev Last in every call, under the lock.
    function _send(address to, uint256 amount) internal {
        if (to == address(0)) revert ZeroAddress();
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed(to, amount);
    }
}
