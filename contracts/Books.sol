// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Escrow, IMarketplace, Sale, Setup, Slash, Status} from "./interfaces/IMarketplace.sol";
import {IProofs} from "./interfaces/IProofs.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Marks} from "./libraries/Marks.sol";
import {SaleWord} from "./libraries/SaleWord.sol";

/// @title What the two halves of the market share: what a deployment fixes, and every stored word
/// @notice `Marketplace` keeps the words and the money; `Closing` is code that it runs on them. No
/// other contract of either half has storage, so that both lay it out alike.
abstract contract Books {
    using Hashes for Escrow;
    using Hashes for Sale;
    using Marks for uint256;
    using SaleWord for uint256;

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
        /// First second in which the stake may leave; 0 without a request.
        uint32 exitTime;
        /// False: the operator is its own owner, and the second slot is never touched.
        bool owned;
        address owner;
        /// Last second in which a proposed slash keeps the stake in.
        uint48 frozenUntil;
        /// Slashes proposed and neither executed nor cancelled since the stake was last free.
        uint48 openSlashes;
        /// What left the stake while a proposed slash was open, ever, in wei. Only with a proposal
        /// at hand is it asked what is left of a stake, and a new word costs 20,000 gas.
        uint256 removed;
    }

    /// A word whose place in storage is found once for reading and writing.
    struct Word {
        uint256 value;
    }

    address internal constant NATIVE = address(0);
    uint256 internal constant FRAGMENT_BYTES = 80;
    /// A part's deliverer stands for this many fees, and junk costs as many.
    uint256 internal constant FEES_AT_STAKE = 10;
    uint64 internal constant _FALLBACK_BLOCKS = 100;

    uint64 internal immutable _DELIVERY_SECONDS;
    uint64 internal immutable _PROOF_SECONDS;
    uint64 internal immutable _REFUND_SECONDS;
    uint64 internal immutable _DISPUTE_SECONDS;
    uint64 internal immutable _ARBITRATION_SECONDS;
    uint64 internal immutable _EXIT_SECONDS;
    uint64 internal immutable _SLASH_DELAY_SECONDS;
    uint64 internal immutable _SLASH_LAPSE_SECONDS;
    address internal immutable _GOVERNOR;
    uint256 internal immutable _MIN_DELIVERER_STAKE;
    uint256 internal immutable _MIN_SELLER_STAKE;
    uint256 internal immutable _JUNK_FINE;
    IProofs internal immutable _PROOFS;

    bool private transient _entered;
    mapping(address seller => Seller) internal _sellers;
    mapping(address operator => Deliverer) internal _deliverers;
    mapping(address account => mapping(address token => uint256)) internal _credits;
    mapping(bytes32 copyId => Word) internal _sales;
    mapping(bytes32 copyId => uint256 word) internal _marks;
    mapping(bytes32 copyId => mapping(uint256 index => bytes32)) internal _sellerEntries;
    mapping(uint256 id => Slash) internal _slashes;
    uint256 internal _slashCount;
    uint256 internal _burnt;

    /// @dev On every entry point: nothing runs while a call to somebody else's code is under way.
    modifier unlocked() {
        _requireUnlocked();
        _;
    }

    /// @dev On the entry points that call somebody else's code, in place of `unlocked`.
    modifier lock() {
        _enter();
        _;
        _leave();
    }

    constructor(Setup memory setup) {
        _DELIVERY_SECONDS = setup.windows.refund / 3;
        // Wide: no bound is checked yet, and a caller is to see which one they broke.
        _PROOF_SECONDS = uint64(uint256(setup.windows.refund) * 2 / 3);
        _REFUND_SECONDS = setup.windows.refund;
        _DISPUTE_SECONDS = setup.windows.dispute;
        _ARBITRATION_SECONDS = setup.windows.arbitration;
        _EXIT_SECONDS = setup.windows.exit;
        _SLASH_DELAY_SECONDS = setup.windows.slashDelay;
        _SLASH_LAPSE_SECONDS = setup.windows.slashLapse;
        _GOVERNOR = setup.governor;
        _MIN_DELIVERER_STAKE = setup.minDelivererStake;
        _MIN_SELLER_STAKE = setup.minSellerStake;
        _JUNK_FINE = setup.junkFine;
        _PROOFS = setup.proofs;
    }

    // ---------------------------------------------------------------------------------- sales

    function _load(bytes32 copyId, Sale calldata sale)
        internal
        view
        returns (uint256 word, Status status)
    {
        word = _sales[copyId].value;
        if (!word.commitsTo(sale.hash())) revert IMarketplace.WrongSale(copyId);
        status = word.status();
    }

    function _checkEscrow(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        internal
        pure
    {
        if (escrow.hash() != sale.escrowHash) revert IMarketplace.WrongEscrow(copyId);
    }

    function _isOpen(Status status) internal pure returns (bool) {
        return status >= Status.Purchased && status <= Status.Disputed;
    }

    function _marksOf(bytes32 copyId, uint256 word) internal view returns (uint256) {
        return word.isMarked() ? _marks[copyId] : 0;
    }

    /// @dev Number of parts whose fee is paid: those that are there or were cleared.
    function _countPaid(uint256 word, uint256 marks) internal pure returns (uint256) {
        return SaleWord.countBits(word.delivered() | marks.cleared());
    }

    /// @dev Last second of the time to dispute a Complete sale, or to rule on a Disputed one.
    function _lastSecond(Sale calldata sale, uint256 word, uint64 window)
        internal
        pure
        returns (uint256)
    {
        return sale.purchaseTime + word.since() + window;
    }

    /// @dev R: everything that a sale can owe beyond its price, in wei.
    function _reserve(uint256 parts, uint256 fee, uint256 penalty, uint256 bond)
        internal
        pure
        returns (uint256)
    {
        return parts * fee + penalty + bond;
    }

    // ------------------------------------------------------------------------------ deliverers

    /// @dev Whether the first slot holds anything: stake, earnings, a record or an owner.
    function _isRegistered(Deliverer storage deliverer) internal view returns (bool registered) {
        assembly ("memory-safe") {
            registered := iszero(iszero(sload(deliverer.slot)))
        }
    }

    /// @dev Last second in which a proposed slash keeps the stake in; 0: it may leave. A stake that
    /// waits to leave is never held longer than one slash's delay and lapse beyond its own delay.
    function _frozenUntil(Deliverer storage deliverer) internal view returns (uint256 frozen) {
        frozen = deliverer.frozenUntil;
        uint256 exitTime = deliverer.exitTime;
        if (exitTime != 0) {
            uint256 cap = exitTime + _SLASH_DELAY_SECONDS + _SLASH_LAPSE_SECONDS;
            if (frozen > cap) frozen = cap;
        }
        if (block.timestamp > frozen) frozen = 0;
    }

    /// @dev `amount` is at most the stake, which has 88 bits. What leaves under a proposed slash is
    /// counted, so that no slash takes stake that came later in its place.
    function _removeStake(Deliverer storage deliverer, uint256 amount) internal {
        if (amount == 0) return;
        deliverer.stake -= uint88(amount);
        if (deliverer.openSlashes != 0) deliverer.removed += amount;
    }

    // ---------------------------------------------------------------------------------- money

    /// @dev Where a coin's supply is beyond 96 bits a seller could fill their stake to the brim;
    /// what does not fit becomes a credit, so that no sale is kept open by it.
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
        if (amount != 0) _credits[account][token] += amount;
    }

    // ----------------------------------------------------------------------------------- lock

    function _requireUnlocked() internal view {
        if (_entered) revert IMarketplace.Reentered();
    }

    function _enter() internal {
        _requireUnlocked();
        _entered = true;
    }

    function _leave() internal {
        _entered = false;
    }
}
