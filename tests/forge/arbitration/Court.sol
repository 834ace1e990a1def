// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IArbitrable, IArbitrator} from "../../../contracts/interfaces/IERC792.sol";

/// @notice An arbitrator of ERC-792 whose rulings are appealed as Kleros's are: by the arbitrable
/// contract alone, as often as somebody pays, and with a current ruling that follows the votes of
/// the new round while that round is under way.
contract Court is IArbitrator {
    struct Dispute {
        IArbitrable arbitrated;
        bytes extraData;
        uint256 choices;
        uint256 ruling;
        DisputeStatus status;
        uint256 lastAppealBlock;
    }

    uint256 public constant COST = 0.05 ether;
    uint256 public constant APPEAL_COST = 0.15 ether;
    uint256 public constant APPEAL_BLOCKS = 20;

    Dispute[] public disputes;

    function createDispute(uint256 choices, bytes calldata extraData)
        external
        payable
        virtual
        returns (uint256 disputeID)
    {
        require(msg.value == COST, "cost");
        disputeID = disputes.length;
        disputes.push();
        Dispute storage dispute = disputes[disputeID];
        dispute.arbitrated = IArbitrable(msg.sender);
        dispute.choices = choices;
        dispute.extraData = extraData;
        emit DisputeCreation(disputeID, dispute.arbitrated);
    }

    /// @notice The votes of the round under way so far.
    function vote(uint256 disputeID, uint256 ruling) external {
        Dispute storage dispute = disputes[disputeID];
        require(dispute.status == DisputeStatus.Waiting, "status");
        dispute.ruling = ruling;
    }

    /// @notice Ends a round: the ruling may be appealed.
    function giveRuling(uint256 disputeID, uint256 ruling) external {
        Dispute storage dispute = disputes[disputeID];
        require(dispute.status == DisputeStatus.Waiting, "status");
        dispute.ruling = ruling;
        dispute.status = DisputeStatus.Appealable;
        dispute.lastAppealBlock = block.number + APPEAL_BLOCKS;
        emit AppealPossible(disputeID, dispute.arbitrated);
    }

    function appeal(uint256 disputeID, bytes calldata) external payable virtual {
        Dispute storage dispute = disputes[disputeID];
        require(msg.sender == address(dispute.arbitrated), "only the arbitrable contract");
        require(msg.value == APPEAL_COST, "cost");
        require(dispute.status == DisputeStatus.Appealable, "status");
        require(block.number <= dispute.lastAppealBlock, "period");
        dispute.status = DisputeStatus.Waiting;
        // A round without votes is tied.
        dispute.ruling = 0;
        emit AppealDecision(disputeID, dispute.arbitrated);
    }

    /// @notice Once nobody can appeal: the last word.
    function executeRuling(uint256 disputeID) external {
        Dispute storage dispute = disputes[disputeID];
        require(dispute.status == DisputeStatus.Appealable, "status");
        require(block.number > dispute.lastAppealBlock, "period");
        dispute.status = DisputeStatus.Solved;
        dispute.arbitrated.rule(disputeID, dispute.ruling);
    }

    /// @notice Whatever a court should not do.
    function ruleAtOnce(IArbitrable arbitrated, uint256 disputeID, uint256 ruling) external {
        arbitrated.rule(disputeID, ruling);
    }

    function arbitrationCost(bytes calldata) external pure returns (uint256) {
        return COST;
    }

    function appealCost(uint256, bytes calldata) external pure returns (uint256) {
        return APPEAL_COST;
    }

    function appealPeriod(uint256 disputeID) external view returns (uint256 start, uint256 end) {
        Dispute storage dispute = disputes[disputeID];
        if (dispute.status != DisputeStatus.Appealable) return (0, 0);
        return (dispute.lastAppealBlock - APPEAL_BLOCKS, dispute.lastAppealBlock);
    }

    function disputeStatus(uint256 disputeID) external view returns (DisputeStatus) {
        return disputes[disputeID].status;
    }

    function currentRuling(uint256 disputeID) external view returns (uint256) {
        return disputes[disputeID].ruling;
    }
}

/// @notice A court that calls back while it is asked, or gives the same number twice.
contract HostileCourt is Court {
    address private _target;
    bytes private _calls;
    bytes4[] public answers;
    bool public numbersTwice;

    function prepare(address target, bytes[] calldata calls, bool twice) external {
        (_target, _calls, numbersTwice) = (target, abi.encode(calls), twice);
    }

    function answered() external view returns (uint256) {
        return answers.length;
    }

    function createDispute(uint256, bytes calldata)
        external
        payable
        override
        returns (uint256 disputeID)
    {
        _callBack();
        disputeID = disputes.length;
        disputes.push();
        disputes[disputeID].arbitrated = IArbitrable(msg.sender);
        return numbersTwice ? 0 : disputeID;
    }

    function appeal(uint256, bytes calldata) external payable override {
        _callBack();
    }

    function _callBack() private {
        if (_calls.length == 0) return;
        bytes[] memory calls = abi.decode(_calls, (bytes[]));
        for (uint256 i; i < calls.length; ++i) {
            (bool good, bytes memory answer) = _target.call(calls[i]);
            answers.push(good ? bytes4(0) : bytes4(answer));
        }
    }
}
