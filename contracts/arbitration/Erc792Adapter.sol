// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IArbitrable, IArbitrator, IEvidence} from "../interfaces/IERC792.sol";
import {Escrow, IMarketplace, Sale, Status} from "../interfaces/IMarketplace.sol";
import {Hashes} from "../libraries/Hashes.sol";

/// @title An arbitrator of ERC-792, such as Kleros, as the arbitrator of items
/// @notice An item whose terms name this contract as its `arbitrator` is judged by `ARBITRATOR`.
/// When the buyer has opened a dispute in the marketplace, anyone pays the arbitration cost here;
/// when there is a ruling, anyone carries it to the marketplace.
///
/// | ruling | the marketplace is told                                                    |
/// |--------|----------------------------------------------------------------------------|
/// | 0      | nothing: the arbitrator refused, and the dispute ends by silence           |
/// | 1      | the seller wins                                                            |
/// | 2      | the buyer gets the price back                                              |
/// | 3      | the buyer gets the price back and the penalty                              |
///
/// Any other ruling counts as 0. Out of the loser's bond, which the marketplace pays to its
/// arbitrator, the arbitration cost goes back to whoever paid it, as far as the bond reaches; the
/// rest goes to the winner. So a frivolous dispute costs its loser the whole bond, whoever paid: if
/// all of it went to the payer, a loser who pays for it would have their own bond back.
///
/// The marketplace waits `ARBITRATION_SECONDS` for a ruling, an arbitrator with appeals may take
/// longer. So in the last `SUBMIT_SECONDS` of that time the ruling in force is carried over although
/// it is not final; and a ruling under appeal stays in force until the appeal has another, or else
/// a loser would appeal just before the deadline and win by silence. An appeal goes through
/// `appeal`, which keeps the ruling; where the arbitrator takes appeals from others, the winner
/// calls `keepRuling` first.
///
/// Warning: choose a marketplace whose `ARBITRATION_SECONDS` leaves the arbitrator time for a first
/// ruling. Without one the sale settles, both bonds return, and the arbitration cost is spent.
///
/// Immutable: no owner. One contract serves one arbitrator with one `extraData` (court, jurors).
contract Erc792Adapter is IArbitrable, IEvidence {
    using Hashes for Escrow;
    using Hashes for Sale;

    /// @notice The dispute of one sale before `ARBITRATOR`.
    struct Case {
        /// Who paid the arbitration cost; zero: there is no case.
        address payer;
        /// The ruling in force when last seen; means nothing unless `ruled`.
        uint8 ruling;
        /// Whether any ruling was seen.
        bool ruled;
        /// Whether the arbitrator gave its last ruling.
        bool closed;
        /// The arbitrator's number of the dispute.
        uint256 disputeID;
        /// What the payer paid the arbitrator, in wei.
        uint256 cost;
        /// Last second in which the marketplace takes a ruling.
        uint64 lastTime;
        /// Whether the bond was shared that the marketplace pays without a ruling.
        bool collected;
    }

    /// @notice The call re-entered the adapter.
    error Reentered();
    /// @notice An address that must be somebody is zero.
    error ZeroAddress();
    /// @notice A deadline must be within the marketplace's time to rule: from 1 to `max` seconds.
    error InvalidSubmitSeconds(uint256 value, uint256 max);
    /// @notice The sale brought along is not the one that the marketplace holds.
    error WrongSale(bytes32 copyId);
    /// @notice The escrow brought along is not the sale's.
    error WrongEscrow(bytes32 copyId);
    /// @notice The sale is not in dispute.
    error NotDisputed(bytes32 copyId, Status status);
    /// @notice The item names another arbitrator.
    error NotArbitrator(bytes32 copyId, address arbitrator);
    /// @notice The marketplace took rulings until `lastTime` (seconds).
    error TooLate(bytes32 copyId, uint256 lastTime);
    /// @notice A ruling that is not final is carried over from `firstTime` (seconds) on.
    error TooEarly(bytes32 copyId, uint256 firstTime);
    /// @notice The case exists: its cost is paid.
    error CaseExists(bytes32 copyId);
    /// @notice Nobody has paid for a case of this sale.
    error NoCase(bytes32 copyId);
    /// @notice The arbitrator gave its last ruling in this case.
    error CaseClosed(bytes32 copyId);
    /// @notice Less was sent than the arbitrator asks for.
    error Underpaid(uint256 paid, uint256 cost);
    /// @notice The arbitrator gave a number that it had given before.
    error DisputeIdTaken(uint256 disputeID);
    /// @notice This adapter has no such dispute.
    error UnknownDispute(uint256 disputeID);
    /// @notice `caller` may not do this.
    error NotAllowed(address caller);
    /// @notice There is no ruling that could be carried over or kept.
    error NoRuling(bytes32 copyId);
    /// @notice The sale has not ended, or its end paid its arbitrator nothing but by a ruling, or
    /// that was shared before.
    error NothingToCollect(bytes32 copyId);
    /// @notice There is nothing to withdraw.
    error NothingToWithdraw();
    /// @notice The recipient did not take the coins; nothing changed. Name another recipient.
    error TransferFailed(address to, uint256 amount);

    /// @notice Somebody paid the arbitration cost of a sale's dispute.
    event CaseOpened(
        bytes32 indexed copyId, uint256 indexed disputeID, address indexed payer, uint256 cost
    );
    /// @notice The ruling in force was seen, and stays so until another is.
    event RulingKept(bytes32 indexed copyId, uint256 indexed disputeID, uint8 ruling);
    /// @notice Somebody paid for an appeal.
    event CaseAppealed(
        bytes32 indexed copyId, uint256 indexed disputeID, address indexed payer, uint256 cost
    );
    /// @notice The ruling reached the marketplace. Of the loser's bond `repaid` wei became a credit
    /// of the payer, and `rest` wei one of the winner.
    event RulingCarried(
        bytes32 indexed copyId,
        uint256 indexed disputeID,
        uint8 ruling,
        uint256 repaid,
        address winner,
        uint256 rest
    );
    /// @notice The sale ended by its parties after a third of the time to rule. Of the bond that
    /// this paid `repaid` wei became a credit of the payer, `toBuyer` and `toSeller` one of theirs.
    event BondCollected(bytes32 indexed copyId, uint256 repaid, uint256 toBuyer, uint256 toSeller);
    /// @notice A credit left to `to`.
    event Withdrawn(address indexed account, address to, uint256 amount);

    /// @notice The marketplace whose disputes are judged.
    IMarketplace public immutable MARKET;
    /// @notice Who judges them.
    IArbitrator public immutable ARBITRATOR;
    /// @notice Seconds at the end of the time to rule in which a ruling that is not final will do.
    uint64 public immutable SUBMIT_SECONDS;
    /// @notice Number of rulings beside the refusal.
    uint256 public constant CHOICES = 3;
    /// @notice Number of the one meta-evidence.
    uint256 public constant META_EVIDENCE = 0;

    uint8 private constant REFUSED = 0;
    uint8 private constant SELLER_WINS = 1;
    uint8 private constant PENALTY = 3;

    bool private transient _entered;
    /// @notice What the arbitrator is told with every dispute. Never changes.
    bytes public extraData;
    /// @notice The case of each sale.
    mapping(bytes32 copyId => Case) public cases;
    /// @notice The sale of each dispute.
    mapping(uint256 disputeID => bytes32) public copyOf;
    /// @notice What `account` may withdraw, in wei.
    mapping(address account => uint256) public credits;

    modifier lock() {
        if (_entered) revert Reentered();
        _entered = true;
        _;
        _entered = false;
    }

    /// @param extraData_ What the arbitrator is told with every dispute: for Kleros, the court and
    /// the number of jurors.
    /// @param metaEvidence URI of the JSON that tells jurors what the rulings mean (ERC-1497).
    constructor(
        IMarketplace market,
        IArbitrator arbitrator,
        bytes memory extraData_,
        uint64 submitSeconds,
        string memory metaEvidence
    ) {
        if (address(market) == address(0) || address(arbitrator) == address(0)) {
            revert ZeroAddress();
        }
        uint256 max = market.ARBITRATION_SECONDS();
        if (submitSeconds == 0 || submitSeconds > max) {
            revert InvalidSubmitSeconds(submitSeconds, max);
        }
        MARKET = market;
        ARBITRATOR = arbitrator;
        SUBMIT_SECONDS = submitSeconds;
        extraData = extraData_;
        emit MetaEvidence(META_EVIDENCE, metaEvidence);
    }

    /// @notice Takes the bonds that the marketplace pays, and no other coins.
    receive() external payable {
        if (msg.sender != address(MARKET)) revert NotAllowed(msg.sender);
    }

    /// @notice Brings a disputed sale before the arbitrator; by anyone, who pays
    /// `arbitrationCost()`. What is sent beyond it becomes a credit. One case per sale.
    /// @return disputeID The arbitrator's number of the dispute.
    function createDispute(bytes32 copyId, Sale calldata sale, Escrow calldata escrow)
        external
        payable
        lock
        returns (uint256 disputeID)
    {
        // Check
        uint256 last = _lastRulingSecond(copyId, sale);
        if (escrow.hash() != sale.escrowHash) revert WrongEscrow(copyId);
        if (escrow.arbitrator != address(this)) revert NotArbitrator(copyId, escrow.arbitrator);
        if (block.timestamp > last) revert TooLate(copyId, last);
        Case storage opened = cases[copyId];
        if (opened.payer != address(0)) revert CaseExists(copyId);
        uint256 cost = arbitrationCost();
        if (msg.value < cost) revert Underpaid(msg.value, cost);

        // Effect
        opened.payer = msg.sender;
        opened.cost = cost;
        opened.lastTime = uint64(last);
        credits[msg.sender] += msg.value - cost;

        // Interaction
        disputeID = ARBITRATOR.createDispute{value: cost}(CHOICES, extraData);

        // Effect: the number was not known before. A ruling out of that very call finds no case.
        if (copyOf[disputeID] != 0) revert DisputeIdTaken(disputeID);
        copyOf[disputeID] = copyId;
        opened.disputeID = disputeID;
        emit CaseOpened(copyId, disputeID, msg.sender, cost);
        emit Dispute(ARBITRATOR, disputeID, META_EVIDENCE, uint256(copyId));
    }

    /// @notice Publishes evidence in a case that is not closed; by anyone.
    /// @param evidence URI of its JSON (ERC-1497).
    function submitEvidence(bytes32 copyId, string calldata evidence) external {
        _requireOpen(copyId);
        emit Evidence(ARBITRATOR, uint256(copyId), msg.sender, evidence);
    }

    /// @notice Appeals the ruling in force; by anyone, who pays `appealCost(copyId)`. What is sent
    /// beyond it becomes a credit. The ruling stays in force until the appeal has another.
    function appeal(bytes32 copyId) external payable lock {
        // Check
        Case storage opened = _requireOpen(copyId);
        uint256 disputeID = opened.disputeID;
        uint256 cost = ARBITRATOR.appealCost(disputeID, extraData);
        if (msg.value < cost) revert Underpaid(msg.value, cost);

        // Effect
        _see(copyId, opened);
        credits[msg.sender] += msg.value - cost;
        emit CaseAppealed(copyId, disputeID, msg.sender, cost);

        // Interaction
        ARBITRATOR.appeal{value: cost}(disputeID, extraData);
    }

    /// @notice Keeps the ruling in force, before an appeal hides it; by anyone.
    function keepRuling(bytes32 copyId) external lock {
        if (!_see(copyId, _requireOpen(copyId))) revert NoRuling(copyId);
    }

    /// @inheritdoc IArbitrable
    /// @dev However late: a ruling that can no longer be carried over must not block the
    /// arbitrator.
    function rule(uint256 _disputeID, uint256 _ruling) external {
        if (msg.sender != address(ARBITRATOR)) revert NotAllowed(msg.sender);
        bytes32 copyId = copyOf[_disputeID];
        if (copyId == 0) revert UnknownDispute(_disputeID);
        Case storage opened = _requireOpen(copyId);
        opened.ruling = _known(_ruling);
        opened.ruled = true;
        opened.closed = true;
        emit Ruling(ARBITRATOR, _disputeID, _ruling);
    }

    /// @notice Carries the ruling to the marketplace; by anyone. The last one at any time, the one
    /// in force within the last `SUBMIT_SECONDS` seconds in which the marketplace takes a ruling.
    function execute(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external lock {
        // Check
        Case storage opened = cases[copyId];
        if (opened.payer == address(0)) revert NoCase(copyId);
        if (!opened.closed) {
            uint256 first = _lastRulingSecond(copyId, sale) + 1 - SUBMIT_SECONDS;
            if (block.timestamp < first) revert TooEarly(copyId, first);
            _see(copyId, opened);
        }
        uint8 ruling = opened.ruling;
        if (!opened.ruled || ruling == REFUSED) revert NoRuling(copyId);

        // Effect
        uint256 bond = escrow.bond;
        uint256 repaid = opened.cost < bond ? opened.cost : bond;
        address winner = ruling == SELLER_WINS ? sale.seller : sale.buyer;
        credits[opened.payer] += repaid;
        credits[winner] += bond - repaid;
        emit RulingCarried(copyId, opened.disputeID, ruling, repaid, winner, bond - repaid);

        // Interaction: the marketplace checks sale, escrow and time, and takes each ruling once.
        MARKET.resolveDispute(
            copyId, sale, escrow, ruling == SELLER_WINS ? 0 : escrow.price, ruling == PENALTY
        );
        if (bond != 0) MARKET.withdraw(address(0), address(this));
    }

    /// @notice Shares the bond that the marketplace paid without a ruling: where a party conceded,
    /// a proof beat the seller, or both agreed, from a third of the time to rule on. By anyone, once
    /// a case. As with a ruling the payer has the cost back, and the rest is the winner's; after an
    /// agreement it is halved. What an agreement gives beyond one bond, or before that third, and a
    /// bond of a dispute that never was a case here, stay with nobody: parties who agree ask for
    /// one bond, or for none.
    function collect(bytes32 copyId, Sale calldata sale, Escrow calldata escrow) external lock {
        // Check
        Case storage opened = cases[copyId];
        if (opened.payer == address(0)) revert NoCase(copyId);
        if (escrow.hash() != sale.escrowHash) revert WrongEscrow(copyId);
        (Status status, uint256 ended) = _state(copyId, sale);
        uint256 window = MARKET.ARBITRATION_SECONDS();
        bool bySilence = status == Status.Settled && ended > opened.lastTime;
        if (
            opened.collected || status < Status.Settled || status == Status.Resolved || bySilence
                || ended < opened.lastTime - window + window / 3
        ) {
            revert NothingToCollect(copyId);
        }

        // Effect
        opened.collected = true;
        uint256 bond = escrow.bond;
        uint256 repaid = opened.cost < bond ? opened.cost : bond;
        uint256 toBuyer = bond - repaid;
        if (status == Status.Settled) toBuyer = 0;
        else if (status == Status.Agreed) toBuyer /= 2;
        credits[opened.payer] += repaid;
        credits[sale.buyer] += toBuyer;
        credits[sale.seller] += bond - repaid - toBuyer;
        emit BondCollected(copyId, repaid, toBuyer, bond - repaid - toBuyer);

        // Interaction: it may have come already with the bond of another sale.
        if (MARKET.credits(address(this), address(0)) != 0) {
            MARKET.withdraw(address(0), address(this));
        }
    }

    /// @notice Takes the caller's credit to `to`.
    function withdraw(address to) external lock {
        // Check
        uint256 amount = credits[msg.sender];
        if (amount == 0) revert NothingToWithdraw();
        if (to == address(0)) revert ZeroAddress();

        // Effect
        credits[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amount);

        // Interaction
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed(to, amount);
    }

    /// @notice What a case costs now, in wei.
    function arbitrationCost() public view returns (uint256) {
        return ARBITRATOR.arbitrationCost(extraData);
    }

    /// @notice What an appeal of a case costs now, in wei.
    function appealCost(bytes32 copyId) external view returns (uint256) {
        return ARBITRATOR.appealCost(_requireOpen(copyId).disputeID, extraData);
    }

    /// @dev Keeps the ruling in force, if there is one. While a round waits for its ruling there is
    /// none, whatever `currentRuling` says: the one before it, if any, remains.
    function _see(bytes32 copyId, Case storage opened) private returns (bool seen) {
        uint256 disputeID = opened.disputeID;
        if (ARBITRATOR.disputeStatus(disputeID) == IArbitrator.DisputeStatus.Waiting) {
            return false;
        }
        uint8 ruling = _known(ARBITRATOR.currentRuling(disputeID));
        opened.ruling = ruling;
        opened.ruled = true;
        emit RulingKept(copyId, disputeID, ruling);
        return true;
    }

    /// @dev Reverts unless there is a case, and its last ruling is still to come.
    function _requireOpen(bytes32 copyId) private view returns (Case storage opened) {
        opened = cases[copyId];
        if (opened.payer == address(0)) revert NoCase(copyId);
        if (opened.closed) revert CaseClosed(copyId);
    }

    /// @dev Last second in which the marketplace takes a ruling. Reverts unless the sale is the one
    /// that the marketplace holds, and in dispute.
    function _lastRulingSecond(bytes32 copyId, Sale calldata sale) private view returns (uint256) {
        (Status status, uint256 began) = _state(copyId, sale);
        if (status != Status.Disputed) revert NotDisputed(copyId, status);
        return began + MARKET.ARBITRATION_SECONDS();
    }

    /// @dev The sale's state in the marketplace, and the second in which that began. Reverts unless
    /// the sale is the one that the marketplace holds.
    function _state(bytes32 copyId, Sale calldata sale)
        private
        view
        returns (Status status, uint256 began)
    {
        uint32 since;
        bytes24 commitment;
        (status,, since,,, commitment) = MARKET.sales(copyId);
        if (commitment != bytes24(sale.hash())) revert WrongSale(copyId);
        began = uint256(sale.purchaseTime) + since;
    }

    function _known(uint256 ruling) private pure returns (uint8) {
        return ruling > CHOICES ? REFUSED : uint8(ruling);
    }
}
