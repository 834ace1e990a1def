// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title What an arbitrator of ERC-792 offers
/// @notice As in https://eips.ethereum.org/EIPS/eip-792; Kleros is one.
interface IArbitrator {
    /// @notice How far a dispute is: no ruling in force, a ruling that may be appealed, or the end.
    enum DisputeStatus {
        Waiting,
        Appealable,
        Solved
    }

    /// @notice A dispute began.
    event DisputeCreation(uint256 indexed _disputeID, IArbitrable indexed _arbitrable);
    /// @notice The current ruling may be appealed.
    event AppealPossible(uint256 indexed _disputeID, IArbitrable indexed _arbitrable);
    /// @notice The current ruling was appealed.
    event AppealDecision(uint256 indexed _disputeID, IArbitrable indexed _arbitrable);

    /// @notice Begins a dispute; the caller is the arbitrable contract and pays the cost.
    /// @param _choices Number of rulings beside 0, the refusal to rule.
    function createDispute(uint256 _choices, bytes calldata _extraData)
        external
        payable
        returns (uint256 disputeID);

    /// @notice Appeals the current ruling; the caller pays the cost.
    function appeal(uint256 _disputeID, bytes calldata _extraData) external payable;

    /// @notice What `createDispute` costs, in wei.
    function arbitrationCost(bytes calldata _extraData) external view returns (uint256 cost);

    /// @notice What `appeal` costs, in wei.
    function appealCost(uint256 _disputeID, bytes calldata _extraData)
        external
        view
        returns (uint256 cost);

    /// @notice From when until when the current ruling may be appealed; zeros: it may not.
    function appealPeriod(uint256 _disputeID) external view returns (uint256 start, uint256 end);

    /// @notice How far the dispute is.
    function disputeStatus(uint256 _disputeID) external view returns (DisputeStatus status);

    /// @notice The ruling in force, or the one that would be given now.
    function currentRuling(uint256 _disputeID) external view returns (uint256 ruling);
}

/// @title What an arbitrator of ERC-792 calls
interface IArbitrable {
    /// @notice The arbitrator ruled.
    event Ruling(IArbitrator indexed _arbitrator, uint256 indexed _disputeID, uint256 _ruling);

    /// @notice Takes the final ruling; from the dispute's arbitrator alone.
    function rule(uint256 _disputeID, uint256 _ruling) external;
}

/// @title The events by which jurors find a case, as in ERC-1497
interface IEvidence {
    /// @notice What a kind of dispute is about, and what each ruling means.
    event MetaEvidence(uint256 indexed _metaEvidenceID, string _evidence);
    /// @notice A party's evidence: a URI of its JSON.
    event Evidence(
        IArbitrator indexed _arbitrator,
        uint256 indexed _evidenceGroupID,
        address indexed _party,
        string _evidence
    );
    /// @notice A dispute began: its meta-evidence, and the group of its evidence.
    event Dispute(
        IArbitrator indexed _arbitrator,
        uint256 indexed _disputeID,
        uint256 _metaEvidenceID,
        uint256 _evidenceGroupID
    );
}
