// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IMarketplace} from "./interfaces/IMarketplace.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {StoreCid} from "./libraries/StoreCid.sol";
import {X25519Key} from "./libraries/X25519Key.sol";

/// @title What the marketplace's parties put in and take out: stakes, stores, credits
/// @notice See `IMarketplace` for every rule.
abstract contract Stakes is IMarketplace {
    using X25519Key for bytes32;

    struct Seller {
        uint96 stake;
        address operator;
        bytes32 digest;
        /// keccak256(abi.encode(digest, root)), so that a purchase reads one slot for both.
        bytes32 catalogue;
    }

    struct Deliverer {
        uint88 stake;
        uint96 earned;
        uint32 delivered;
        /// First block in which the stake may leave; 0 without a request.
        uint32 exitBlock;
        /// False: the operator is its own owner, and the second slot is never touched.
        bool owned;
        address owner;
        /// Last block in which a proposed slash keeps the stake in.
        uint48 frozenUntil;
        /// Slashes proposed and neither executed nor cancelled since the stake was last free.
        uint48 openSlashes;
    }

    address internal constant NATIVE = address(0);

    /// @inheritdoc IMarketplace
    uint64 public immutable EXIT_BLOCKS;
    /// @inheritdoc IMarketplace
    uint256 public immutable MIN_DELIVERER_STAKE;
    /// @inheritdoc IMarketplace
    uint256 public immutable MIN_SELLER_STAKE;

    bool private transient _entered;
    mapping(address seller => Seller) internal _sellers;
    mapping(address operator => Deliverer) internal _deliverers;
    /// @inheritdoc IMarketplace
    mapping(address account => mapping(address token => uint256)) public credits;

    /// @dev On every entry point: nothing runs while a call to somebody else's code is under way.
    modifier unlocked() {
        if (_entered) revert Reentered();
        _;
    }

    /// @dev On the entry points that call somebody else's code, in place of `unlocked`.
    modifier lock() {
        _enter();
        _;
        _leave();
    }

    constructor(uint64 exitBlocks, uint256 minDelivererStake, uint256 minSellerStake) {
        if (minDelivererStake == 0) revert StakeTooLow(0, 1);
        if (minDelivererStake > type(uint88).max) revert AmountTooLarge(minDelivererStake);
        if (minSellerStake > type(uint96).max) revert AmountTooLarge(minSellerStake);
        EXIT_BLOCKS = exitBlocks;
        MIN_DELIVERER_STAKE = minDelivererStake;
        MIN_SELLER_STAKE = minSellerStake;
    }

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
        if (free < MIN_SELLER_STAKE) revert SellerStakeTooLow(msg.sender, free, MIN_SELLER_STAKE);
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
    function stakeAsDeliverer(bytes32 key) external payable unlocked {
        _register(key);
        emit DelivererStaked(msg.sender, key, msg.value);
    }

    /// @inheritdoc IMarketplace
    function stakeAsDelivererFor(address owner, bytes32 key) external payable unlocked {
        if (owner == address(0)) revert ZeroAddress();
        Deliverer storage deliverer = _register(key);
        if (owner != msg.sender) {
            deliverer.owned = true;
            deliverer.owner = owner;
            emit DelivererOwnerSet(msg.sender, owner);
        }
        emit DelivererStaked(msg.sender, key, msg.value);
    }

    /// @inheritdoc IMarketplace
    function addDelivererStake(address operator) external payable unlocked {
        Deliverer storage deliverer = _deliverers[operator];
        if (!_isRegistered(deliverer)) revert NotRegistered(operator);
        if (deliverer.exitBlock != 0) revert ExitRequested(operator);
        uint256 stake = deliverer.stake + msg.value;
        if (stake > type(uint88).max) revert AmountTooLarge(stake);
        deliverer.stake = uint88(stake);
        emit DelivererStakeAdded(operator, msg.value, stake);
    }

    /// @inheritdoc IMarketplace
    function rotateDelivererKey(address operator, bytes32 key) external unlocked {
        _requireOperatorOrOwner(operator);
        if (!key.isValid()) revert InvalidKey(key);
        emit DelivererKeyRotated(operator, key);
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
        if (deliverer.exitBlock != 0) revert ExitRequested(operator);
        uint256 available = block.number + EXIT_BLOCKS;
        if (available > type(uint32).max) revert AmountTooLarge(available);
        deliverer.exitBlock = uint32(available);
        emit DelivererExitRequested(operator, available);
    }

    /// @inheritdoc IMarketplace
    function cancelExit(address operator) external unlocked {
        Deliverer storage deliverer = _asOwner(operator);
        if (deliverer.exitBlock == 0) revert ExitNotRequested(operator);
        deliverer.exitBlock = 0;
        emit DelivererExitCancelled(operator);
    }

    /// @inheritdoc IMarketplace
    function withdrawDelivererStake(address operator, address to) external lock {
        // Check
        Deliverer storage deliverer = _asOwner(operator);
        uint256 available = deliverer.exitBlock;
        if (available == 0) revert ExitNotRequested(operator);
        if (block.number < available) revert ExitPending(operator, available);
        uint256 frozen = deliverer.frozenUntil;
        if (block.number <= frozen) revert StakeFrozen(operator, frozen);
        uint256 stake = deliverer.stake;

        // Effect
        deliverer.stake = 0;
        deliverer.exitBlock = 0;
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
        uint256 amount = credits[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw();

        // Effect
        credits[msg.sender][token] = 0;
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

    // --------------------------------------------------------------------------------- views

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
        returns (
            address owner,
            uint256 stake,
            uint256 earned,
            uint256 delivered,
            uint256 exitBlock
        )
    {
        Deliverer storage deliverer = _deliverers[operator];
        if (_isRegistered(deliverer)) owner = _ownerOf(deliverer, operator);
        return (owner, deliverer.stake, deliverer.earned, deliverer.delivered, deliverer.exitBlock);
    }

    // -------------------------------------------------------------------------------- inside

    /// @dev Neither a contract nor an account with delegated code (EIP-7702): a delivery is then
    /// always a transaction straight to this contract, whose signature is evidence.
    function _requirePlainAccount() internal view {
        if (msg.sender != tx.origin || msg.sender.code.length != 0) {
            revert NotPlainAccount(msg.sender);
        }
    }

    function _register(bytes32 key) private returns (Deliverer storage deliverer) {
        // A contract could never deliver, so it is refused here already.
        if (msg.sender != tx.origin) revert NotPlainAccount(msg.sender);
        if (!key.isValid()) revert InvalidKey(key);
        if (msg.value < MIN_DELIVERER_STAKE) revert StakeTooLow(msg.value, MIN_DELIVERER_STAKE);
        if (msg.value > type(uint88).max) revert AmountTooLarge(msg.value);
        deliverer = _deliverers[msg.sender];
        if (_isRegistered(deliverer)) revert AlreadyRegistered(msg.sender);
        assembly ("memory-safe") {
            // The stake is the lowest field of a slot known to be empty.
            sstore(deliverer.slot, callvalue())
        }
    }

    /// @dev Whether the first slot holds anything: stake, earnings, a record or an owner.
    function _isRegistered(Deliverer storage deliverer) internal view returns (bool registered) {
        assembly ("memory-safe") {
            registered := iszero(iszero(sload(deliverer.slot)))
        }
    }

    function _ownerOf(Deliverer storage deliverer, address operator)
        internal
        view
        returns (address)
    {
        return deliverer.owned ? deliverer.owner : operator;
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

    /// @dev Where a coin's supply is beyond 96 bits a seller could fill his stake to the brim; what
    /// does not fit becomes a credit, so that no sale is kept open by it.
    function _restake(address account, uint256 amount) internal {
        Seller storage seller = _sellers[account];
        uint256 free = seller.stake + amount;
        if (free > type(uint96).max) {
            _credit(account, NATIVE, free - type(uint96).max);
            free = type(uint96).max;
        }
        seller.stake = uint96(free);
    }

    function _credit(address account, address token, uint256 amount) internal {
        if (amount != 0) credits[account][token] += amount;
    }

    function _enter() internal {
        if (_entered) revert Reentered();
        _entered = true;
    }

    function _leave() internal {
        _entered = false;
    }

    /// @dev Last in every call, under the lock.
    function _send(address to, uint256 amount) internal {
        if (to == address(0)) revert ZeroAddress();
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed(to, amount);
    }

    /// @dev Credits the caller, a deliverer, who must be one in good standing.
    function _earn(uint256 amount, uint256 parts) internal {
        Deliverer storage deliverer = _deliverers[msg.sender];
        if (deliverer.stake < MIN_DELIVERER_STAKE || deliverer.exitBlock != 0) {
            revert NotEligible(msg.sender);
        }
        uint256 earned = deliverer.earned + amount;
        if (earned > type(uint96).max) revert AmountTooLarge(earned);
        deliverer.earned = uint96(earned);
        unchecked {
            // A mere record: it may wrap after four billion parts.
            deliverer.delivered += uint32(parts);
        }
    }
}
