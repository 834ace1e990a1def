// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {EntryPoints} from "./EntryPoints.sol";

contract EntryPointsTest is Base {
    string private constant ARTIFACT = ".build/forge/Marketplace.sol/Marketplace.json";

    /// @dev What the compiler knows is what the list names, and what is only read.
    function test_listIsComplete() external view {
        string[31] memory views = [
            "ARBITRATION_SECONDS()",
            "CLOSING()",
            "DELIVERY_SECONDS()",
            "DISPUTE_SECONDS()",
            "DOMAIN_SEPARATOR()",
            "EXIT_SECONDS()",
            "FALLBACK_BLOCKS()",
            "GOVERNOR()",
            "JUNK_FINE()",
            "MIN_DELIVERER_STAKE()",
            "MIN_SELLER_STAKE()",
            "PROOFS()",
            "PROOF_SECONDS()",
            "REFUND_SECONDS()",
            "SLASH_DELAY_SECONDS()",
            "SLASH_LAPSE_SECONDS()",
            "burnt()",
            "clock()",
            "credits(address,address)",
            "deadlines(bytes32,(address,address,uint64,uint64,uint64,bool,uint8,uint8,uint1"
            "28,bytes32,bytes32))",
            "delivererStakes(address)",
            "deliverers(address)",
            "frozenUntil(address)",
            "marks(bytes32)",
            "sales(bytes32)",
            "sellerEntries(bytes32,uint256)",
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
