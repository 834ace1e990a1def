// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Closure,
    Delivery,
    Escrow,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Permit,
    Sale,
    Signature,
    SignedList,
    Split,
    Terms
} from "../../contracts/interfaces/IMarketplace.sol";

/// @notice A well-formed call of every function of the market that changes state.
/// @dev `EntryPointsTest` compares the list with the compiler's.
library EntryPoints {
    bytes32 private constant KEY = bytes32(uint256(0x42 << 248));
    uint256 internal constant COUNT = 37;

    /// @param who Any address that the calls name.
    function all(address who) internal pure returns (bytes[] memory entries) {
        entries = new bytes[](COUNT);
        _ofStakes(entries, who);
        _ofParts(entries, who);
        _ofEnds(entries);
        _ofProofs(entries);
    }

    function _ofStakes(bytes[] memory entries, address who) private pure {
        bytes32[2] memory possession;
        entries[0] = abi.encodeCall(IMarketplace.stakeAsSeller, ());
        entries[1] = abi.encodeCall(IMarketplace.withdrawSellerStake, (1, who));
        entries[2] = abi.encodeCall(IMarketplace.setSellerOperator, (who));
        entries[3] = abi.encodeCall(IMarketplace.stakeAsDeliverer, (KEY, possession));
        entries[4] = abi.encodeCall(IMarketplace.stakeAsDelivererFor, (who, KEY, possession));
        entries[5] = abi.encodeCall(IMarketplace.addDelivererStake, (who));
        entries[6] = abi.encodeCall(IMarketplace.rotateDelivererKey, (who, KEY, possession));
        entries[7] = abi.encodeCall(IMarketplace.requestExit, (who));
        entries[8] = abi.encodeCall(IMarketplace.cancelExit, (who));
        entries[9] = abi.encodeCall(IMarketplace.withdrawDelivererStake, (who, who));
        entries[10] = abi.encodeCall(IMarketplace.withdrawEarnings, (who, who));
        entries[11] = abi.encodeCall(IMarketplace.createStore, (KEY, KEY));
        entries[12] = abi.encodeCall(IMarketplace.updateStore, (KEY, KEY));
        entries[13] = abi.encodeCall(IMarketplace.withdraw, (address(0), who));
        entries[14] = abi.encodeCall(IMarketplace.postTerms, (who, 1, true));
        entries[15] = abi.encodeCall(IMarketplace.proposeSlashing, (who, 1, who, KEY));
        entries[16] = abi.encodeCall(IMarketplace.executeSlashing, (1));
        entries[17] = abi.encodeCall(IMarketplace.cancelSlashing, (1));
    }

    function _ofParts(bytes[] memory entries, address who) private pure {
        Terms memory terms;
        Permit memory permit;
        Signature memory signature;
        Delivery[] memory deliveries = new Delivery[](1);
        deliveries[0].fragment = new bytes(80);
        bytes32[] memory none = new bytes32[](0);
        entries[18] = abi.encodeCall(IMarketplace.buyItem, (who, terms, none, KEY, 0, none));
        entries[19] =
            abi.encodeCall(IMarketplace.buyItemByPermit, (who, terms, none, KEY, 0, none, permit));
        entries[20] = abi.encodeCall(IMarketplace.deliverFragment, (deliveries[0], signature));
        entries[21] = abi.encodeCall(IMarketplace.deliverFragments, (deliveries, signature));
        entries[22] = abi.encodeCall(IMarketplace.supplyFragments, (deliveries, signature));
    }

    function _ofEnds(bytes[] memory entries) private pure {
        Sale memory sale;
        Escrow memory escrow;
        Split memory split;
        entries[23] = abi.encodeCall(IMarketplace.confirm, (KEY, sale, escrow));
        entries[24] = abi.encodeCall(IMarketplace.settle, (KEY, sale, escrow));
        entries[25] = abi.encodeCall(IMarketplace.refund, (KEY, sale, escrow));
        entries[26] = abi.encodeCall(IMarketplace.concede, (KEY, sale, escrow));
        entries[27] = abi.encodeCall(IMarketplace.openDispute, (KEY, sale, escrow, KEY));
        entries[28] = abi.encodeCall(IMarketplace.resolveDispute, (KEY, sale, escrow, 0, true));
        entries[29] = abi.encodeCall(IMarketplace.submitEvidence, (KEY, sale, escrow, "uri"));
        entries[30] = abi.encodeCall(IMarketplace.rateSale, (KEY, sale, 5));
        entries[31] = abi.encodeCall(IMarketplace.closeMany, (new Closure[](1)));
        entries[32] = abi.encodeCall(IMarketplace.agree, (KEY, sale, escrow, split, "", ""));
    }

    function _ofProofs(bytes[] memory entries) private pure {
        Sale memory sale;
        Escrow memory escrow;
        Leaf memory leaf;
        JunkEvidence[] memory evidence = new JunkEvidence[](1);
        evidence[0].fragment = new bytes(80);
        SignedList[] memory lists = new SignedList[](1);
        bytes32[] memory none = new bytes32[](0);
        entries[33] = abi.encodeCall(
            IMarketplace.proveJunk, (KEY, sale, escrow, none, KEY, evidence, lists)
        );
        entries[34] =
            abi.encodeCall(IMarketplace.proveSellerJunk, (KEY, sale, escrow, none, evidence[0]));
        entries[35] =
            abi.encodeCall(IMarketplace.proveBadShares, (KEY, sale, escrow, new Leaf[](1), none));
        entries[36] = abi.encodeCall(IMarketplace.proveBadLeaves, (KEY, sale, escrow, leaf, leaf));
    }
}
