// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Books} from "./Books.sol";
import {Closing} from "./Closing.sol";
import {Deliveries} from "./Deliveries.sol";
import {Ends} from "./Ends.sol";
import {
    Closure,
    Escrow,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Sale,
    Setup,
    SignedList,
    Split,
    Status,
    Windows
} from "./interfaces/IMarketplace.sol";

/// @title DAM marketplace
/// @notice See `IMarketplace` for every rule. The rarer ends, and whatever punishes, are code of
/// `CLOSING`, which runs on this contract's storage: one contract would be too large.
contract Marketplace is Deliveries, Ends {
    uint256 private constant HOUR = 1 hours;
    uint256 private constant DAY = 1 days;

    /// @inheritdoc IMarketplace
    address public immutable CLOSING;

    constructor(Setup memory setup) Books(setup) {
        _checkWindows(setup.windows);
        if (setup.minDelivererStake == 0) revert StakeTooLow(0, 1);
        if (setup.minDelivererStake > type(uint88).max) {
            revert AmountTooLarge(setup.minDelivererStake);
        }
        if (setup.minSellerStake > type(uint96).max) revert AmountTooLarge(setup.minSellerStake);
        if (setup.junkFine > setup.minDelivererStake) {
            revert JunkFineTooHigh(setup.junkFine, setup.minDelivererStake);
        }
        if (address(setup.proofs).code.length == 0) revert NoProofs(address(setup.proofs));
        CLOSING = address(new Closing(setup));
    }

    // ------------------------------------------------------------------------------- slashing

    /// @inheritdoc IMarketplace
    function proposeSlashing(address, uint256, address, bytes32) external returns (uint256) {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function executeSlashing(uint256) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function cancelSlashing(uint256) external {
        _forward();
    }

    // -------------------------------------------------------------------------------- closing

    /// @inheritdoc IMarketplace
    /// @dev Here, as `settle`, since nearly every sale ends so: 3,000 gas less than by `CLOSING`.
    function confirm(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        external
        unlocked
    {
        (uint256 word, Status status) = _load(copyId, sale);
        if (msg.sender != sale.buyer) revert NotAllowed(msg.sender);
        if (status != Status.Complete) revert WrongStatus(copyId, status);
        _requireGate(copyId, sale, word);
        _settle(copyId, word, status, sale, escrow);
    }

    /// @inheritdoc IMarketplace
    function settle(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external unlocked {
        (uint256 word, Status status) = _load(copyId, sale);
        if (status != Status.Complete && status != Status.Disputed) {
            revert WrongStatus(copyId, status);
        }
        _requireGate(copyId, sale, word);
        _requireAfter(copyId, _lastSecondOf(sale, word, status));
        _settle(copyId, word, status, sale, escrow);
    }

    /// @inheritdoc IMarketplace
    function refund(bytes32, Sale calldata, Escrow calldata) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function closeMany(Closure[] calldata) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function concede(bytes32, Sale calldata, Escrow calldata) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function agree(
        bytes32,
        Sale calldata,
        Escrow calldata,
        Split calldata,
        bytes calldata,
        bytes calldata
    ) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function openDispute(bytes32, Sale calldata, Escrow calldata, bytes32) external payable {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function resolveDispute(bytes32, Sale calldata, Escrow calldata, uint256, bool) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function submitEvidence(bytes32, Sale calldata, Escrow calldata, string calldata) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function rateSale(bytes32, Sale calldata, uint8) external {
        _forward();
    }

    // --------------------------------------------------------------------------------- proofs

    /// @inheritdoc IMarketplace
    function proveJunk(
        bytes32,
        Sale calldata,
        Escrow calldata,
        bytes32[] calldata,
        bytes32,
        JunkEvidence[] calldata,
        SignedList[] calldata
    ) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function proveSellerJunk(
        bytes32,
        Sale calldata,
        Escrow calldata,
        bytes32[] calldata,
        JunkEvidence calldata
    ) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function proveBadShares(
        bytes32,
        Sale calldata,
        Escrow calldata,
        Leaf[] calldata,
        bytes32[] calldata
    ) external {
        _forward();
    }

    /// @inheritdoc IMarketplace
    function proveBadLeaves(bytes32, Sale calldata, Escrow calldata, Leaf calldata, Leaf calldata)
        external
    {
        _forward();
    }

    // --------------------------------------------------------------------------------- inside

    /// @dev Runs `Closing` on this contract's storage with the whole calldata, and ends the call
    /// with its answer.
    function _forward() private {
        address closing = CLOSING;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let done := delegatecall(gas(), closing, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if iszero(done) { revert(free, returndatasize()) }
            return(free, returndatasize())
        }
    }

    /// @dev The upper bounds keep every number of seconds that decides something within 27 bits.
    function _checkWindows(Windows memory windows) private pure {
        uint256 refund_ = windows.refund;
        _checkWindow("refund", refund_, HOUR, 1 << 24);
        // Not shorter than the time for proofs.
        _checkWindow("dispute", windows.dispute, refund_ * 2 / 3, 1 << 24);
        _checkWindow("arbitration", windows.arbitration, DAY, 1 << 25);
        _checkWindow("slashDelay", windows.slashDelay, HOUR, 1 << 24);
        _checkWindow("slashLapse", windows.slashLapse, HOUR, 1 << 24);
        // Whoever delivered is still slashable when the sale has ended and a governor has spoken.
        uint256 longest = refund_ + windows.dispute + windows.arbitration + windows.slashDelay
            + windows.slashLapse;
        _checkWindow("exit", windows.exit, longest, 1 << 27);
    }

    function _checkWindow(bytes32 name, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert InvalidWindow(name, value, min, max);
    }
}
