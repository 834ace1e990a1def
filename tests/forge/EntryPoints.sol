// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Escrow,
    IMarketplace,
    Permit,
    Sale,
    Terms
} from "../../contracts/interfaces/IMarketplace.sol";

/// @notice A well-formed call of every function of the market that changes state.
/// @dev `EntryPointsTest` compares the list with the compiler's.
library EntryPoints {
    bytes32 private constant KEY = bytes32(uint256(0x42 << 248));

    /// @param who Any address that the calls name.
    function all(address who) internal pure returns (bytes[] memory entries) {
        Terms memory terms;
        Sale memory sale;
        Escrow memory escrow;
        Permit memory permit;
        Delivery[] memory deliveries = new Delivery[](1);
        deliveries[0].fragment = new bytes(80);
        bytes32[] memory none = new bytes32[](0);
        entries = new bytes[](31);
        entries[0] = abi.encodeCall(IMarketplace.stakeAsSeller, ());
        entries[1] = abi.encodeCall(IMarketplace.withdrawSellerStake, (1, who));
        entries[2] = abi.encodeCall(IMarketplace.setSellerOperator, (who));
        entries[3] = abi.encodeCall(IMarketplace.stakeAsDeliverer, (KEY));
        entries[4] = abi.encodeCall(IMarketplace.stakeAsDelivererFor, (who, KEY));
        entries[5] = abi.encodeCall(IMarketplace.addDelivererStake, (who));
        entries[6] = abi.encodeCall(IMarketplace.rotateDelivererKey, (who, KEY));
        entries[7] = abi.encodeCall(IMarketplace.requestExit, (who));
        entries[8] = abi.encodeCall(IMarketplace.cancelExit, (who));
        entries[9] = abi.encodeCall(IMarketplace.withdrawDelivererStake, (who, who));
        entries[10] = abi.encodeCall(IMarketplace.withdrawEarnings, (who, who));
        entries[11] = abi.encodeCall(IMarketplace.createStore, (KEY, KEY));
        entries[12] = abi.encodeCall(IMarketplace.updateStore, (KEY, KEY));
        entries[13] = abi.encodeCall(IMarketplace.buyItem, (who, terms, none, KEY, 0, none));
        entries[14] =
            abi.encodeCall(IMarketplace.buyItemByPermit, (who, terms, none, KEY, 0, none, permit));
        entries[15] = abi.encodeCall(IMarketplace.deliverFragment, (deliveries[0]));
        entries[16] = abi.encodeCall(IMarketplace.deliverFragments, (deliveries));
        entries[17] = abi.encodeCall(IMarketplace.supplyFragments, (deliveries));
        entries[18] = abi.encodeCall(IMarketplace.confirm, (KEY, sale, escrow));
        entries[19] = abi.encodeCall(IMarketplace.settle, (KEY, sale, escrow));
        entries[20] = abi.encodeCall(IMarketplace.refund, (KEY, sale, escrow));
        entries[21] = abi.encodeCall(IMarketplace.concede, (KEY, sale, escrow));
        entries[22] = abi.encodeCall(IMarketplace.openDispute, (KEY, sale, escrow, KEY));
        entries[23] = abi.encodeCall(IMarketplace.resolveDispute, (KEY, sale, escrow, 0, true));
        entries[24] = abi.encodeCall(IMarketplace.submitEvidence, (KEY, sale, escrow, "uri"));
        entries[25] = abi.encodeCall(IMarketplace.rateSale, (KEY, sale, 5));
        entries[26] = abi.encodeCall(IMarketplace.withdraw, (address(0), who));
        entries[27] = abi.encodeCall(IMarketplace.postTerms, (who, 1, true));
        entries[28] = abi.encodeCall(IMarketplace.proposeSlashing, (who, 1, who, KEY));
        entries[29] = abi.encodeCall(IMarketplace.executeSlashing, (1));
        entries[30] = abi.encodeCall(IMarketplace.cancelSlashing, (1));
    }
}
