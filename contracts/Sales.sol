// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Stakes} from "./Stakes.sol";
import {IMarketplace, Permit, Terms} from "./interfaces/IMarketplace.sol";
import {Events} from "./libraries/Events.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {SaleWord} from "./libraries/SaleWord.sol";
import {X25519Key} from "./libraries/X25519Key.sol";

/// @title How a sale begins
/// @notice See `IMarketplace` for every rule.
abstract contract Sales is Stakes {
    using Hashes for Terms;
    using Hashes for bytes32[];
    using X25519Key for bytes32;

    uint256 private constant MAX_PARTS = 32;

    // -------------------------------------------------------------------------------- buying

    /// @inheritdoc IMarketplace
    function buyItem(
        address seller,
        Terms memory terms,
        bytes32[] calldata proof,
        bytes32 storeDigest,
        uint64 copy,
        bytes32[] calldata keys
    ) external payable unlocked {
        _buy(seller, terms, proof, storeDigest, copy, keys);
    }

    /// @inheritdoc IMarketplace
    function buyItemByPermit(
        address seller,
        Terms memory terms,
        bytes32[] calldata proof,
        bytes32 storeDigest,
        uint64 copy,
        bytes32[] calldata keys,
        Permit calldata permit
    ) external {
        _enter();
        // Somebody may have used the permit before us; then the allowance is there all the same.
        if (terms.token.code.length != 0) {
            try IERC20Permit(terms.token)
                .permit(
                    msg.sender,
                    address(this),
                    permit.value,
                    permit.deadline,
                    permit.v,
                    permit.r,
                    permit.s
                ) {}
                catch {}
        }
        _leave();
        _buy(seller, terms, proof, storeDigest, copy, keys);
    }

    // -------------------------------------------------------------------------------- inside

    function _buy(
        address seller,
        Terms memory terms,
        bytes32[] calldata proof,
        bytes32 storeDigest,
        uint64 copy,
        bytes32[] calldata keys
    ) private {
        // Check: the terms
        Seller storage record = _sellers[seller];
        bytes32 root = Merkle.root(terms.leaf(), proof);
        if (record.catalogue != Hashes.catalogue(storeDigest, root)) {
            bytes32 digest = record.digest;
            if (digest != storeDigest) revert StoreChanged(seller, storeDigest, digest);
            if (record.catalogue == Hashes.catalogue(digest, 0)) revert StoreClosed(seller);
            revert TermsNotInCatalogue(seller, terms.itemId);
        }
        _checkTerms(seller, terms);
        if (copy >= terms.supply) revert CopyBeyondSupply(copy, terms.supply);
        if (terms.salt != 0 && uint64(uint256(terms.salt)) != copy) {
            revert SealedForAnotherCopy(copy, uint64(uint256(terms.salt)));
        }
        bytes32 copyId = Hashes.copyId(seller, terms.itemId, copy);
        if (_sales[copyId].value != 0) revert CopyTaken(terms.itemId, copy);

        // Check: what the buyer brings
        uint256 price = terms.price;
        bool native = terms.token == NATIVE;
        if (native) {
            if (msg.value < price) revert Underpaid(msg.value, price);
        } else if (msg.value != 0) {
            revert CoinsWithToken(msg.value);
        }
        uint256 parts = terms.parts;
        if (keys.length != parts) revert WrongKeyCount(keys.length, parts);
        for (uint256 i; i < parts; ++i) {
            bytes32 key = keys[i];
            if (!key.isValid()) revert InvalidKey(key);
        }

        // Effect
        uint256 fee = terms.commission / parts;
        uint256 bond = terms.arbitrator == address(0) ? 0 : terms.bond;
        uint256 reserve = _reserve(parts, fee, terms.penalty, bond);
        uint256 free = record.stake;
        if (free < reserve) revert SellerStakeTooLow(seller, free, reserve);
        unchecked {
            record.stake = uint96(free - reserve);
        }
        bytes32 escrowHash = keccak256(
            abi.encode(
                storeDigest, keys.hash(), terms.token, price, terms.penalty, bond, terms.arbitrator
            )
        );
        bytes32 saleHash = keccak256(
            abi.encode(
                seller,
                msg.sender,
                block.number,
                block.timestamp,
                copy,
                terms.stock,
                parts,
                terms.threshold,
                fee,
                terms.partsRoot,
                escrowHash
            )
        );
        _sales[copyId].value = SaleWord.purchased(saleHash);
        Events.itemPurchased(copyId, seller, storeDigest, copy, terms, keys);
        if (native) {
            if (msg.value != price) {
                unchecked {
                    _credit(msg.sender, NATIVE, msg.value - price);
                }
            }
            return;
        }

        // Interaction
        _take(terms.token, price);
    }

    /// @dev Takes exactly `amount` of a token from the caller, under the lock.
    function _take(address token, uint256 amount) private {
        if (amount == 0) return;
        if (token.code.length == 0) revert TokenTransferFailed(token);
        _enter();
        uint256 before = IERC20(token).balanceOf(address(this));
        if (!SafeERC20.trySafeTransferFrom(IERC20(token), msg.sender, address(this), amount)) {
            revert TokenTransferFailed(token);
        }
        uint256 afterwards = IERC20(token).balanceOf(address(this));
        uint256 received = afterwards > before ? afterwards - before : 0;
        if (received != amount) revert TokenAmountWrong(token, received, amount);
        _leave();
    }

    function _checkTerms(address seller, Terms memory terms) private view {
        uint256 parts = terms.parts;
        uint256 threshold = terms.threshold;
        if (
            threshold == 0 || threshold > parts || parts > MAX_PARTS
                || (terms.token == NATIVE && terms.commission > terms.price)
        ) {
            revert InvalidTerms(terms.itemId);
        }
        address arbitrator = terms.arbitrator;
        if (arbitrator != address(0) && (arbitrator == seller || arbitrator == msg.sender)) {
            revert InvalidArbitrator(arbitrator);
        }
    }
}
