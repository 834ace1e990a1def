// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {EntryPoints} from "./EntryPoints.sol";

contract EntryPointsTest is Base {
    string private constant ARTIFACT = ".build/forge/Marketplace.sol/Marketplace.json";

    /// @dev What the compiler knows is what the list names, and what is only read.
    function test_listIsComplete() external view {
        string[21] memory views = [
            "ARBITRATION_BLOCKS()",
            "DISPUTE_BLOCKS()",
            "EXIT_BLOCKS()",
            "FALLBACK_BLOCKS()",
            "GOVERNOR()",
            "MIN_DELIVERER_STAKE()",
            "MIN_SELLER_STAKE()",
            "REFUND_BLOCKS()",
            "SLASH_DELAY_BLOCKS()",
            "SLASH_LAPSE_BLOCKS()",
            "credits(address,address)",
            "delivererStakes(address)",
            "deliverers(address)",
            "frozenUntil(address)",
            "rated(bytes32)",
            "sales(bytes32)",
            "sellerOperator(address)",
            "sellerStakes(address)",
            "sellerStoreCID(address)",
            "slashes(uint256)",
            "stores(address)"
        ];
        bytes[] memory entries = EntryPoints.all(address(1));
        string[] memory known = vm.parseJsonKeys(vm.readFile(ARTIFACT), ".methodIdentifiers");
        uint256 found;
        for (uint256 i; i < known.length; ++i) {
            bytes4 selector = bytes4(keccak256(bytes(known[i])));
            bool listed;
            for (uint256 j; j < entries.length; ++j) {
                listed = listed || bytes4(entries[j]) == selector;
            }
            bool read;
            for (uint256 j; j < views.length; ++j) {
                read = read || bytes4(keccak256(bytes(views[j]))) == selector;
            }
            require(listed != read, known[i]);
            if (listed) ++found;
        }
        vm.assertEq(found, entries.length);
    }
}
