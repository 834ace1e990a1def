// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    Leaf,
    Sale,
    Split,
    Status
} from "../../contracts/interfaces/IMarketplace.sol";

/// @notice What deliverers and parties sign, written from EIP-712 and the interface.
library Signing {
    bytes32 private constant DOMAIN = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant FRAGMENTS = keccak256("Fragments(bytes32[] entries)");
    bytes32 private constant AGREEMENT = keccak256(
        "Agreement(bytes32 copyId,bytes32 saleHash,uint8 status,uint32 since,uint256 toBuyer,uint256 penalty,uint256 toArbitrator,uint256 deadline)"
    );

    /// @param copy 0 where all copies share their parts.
    function hash(Leaf memory leaf, uint256 copy) internal pure returns (bytes32) {
        bytes32 inner = keccak256(
            abi.encode(
                copy, leaf.index, leaf.deliverer, leaf.commitment, leaf.secretHash, leaf.salt
            )
        );
        return keccak256(bytes.concat(inner));
    }

    function entry(
        bytes32 copyId,
        Sale memory sale,
        bytes32 leaf,
        bytes32 freshKey,
        bytes memory fragment
    ) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(copyId, keccak256(abi.encode(sale)), leaf, freshKey, keccak256(fragment))
        );
    }

    function entry(Delivery memory d) internal pure returns (bytes32) {
        Leaf memory leaf =
            Leaf(d.index, d.deliverer, d.commitment, d.secretHash, d.salt, new bytes32[](0));
        bytes32 hashed = hash(leaf, d.sale.stock ? d.sale.copy : 0);
        return entry(d.copyId, d.sale, hashed, d.freshKey, d.fragment);
    }

    /// @notice What a deliverer signs.
    function digest(IMarketplace market, bytes32[] memory entries)
        internal
        view
        returns (bytes32)
    {
        bytes32 list = keccak256(abi.encodePacked(entries));
        return _typed(market, keccak256(abi.encode(FRAGMENTS, list)));
    }

    /// @notice What both parties of an agreement sign.
    function digest(
        IMarketplace market,
        bytes32 copyId,
        Sale memory sale,
        Status status,
        uint256 since,
        Split memory split
    ) internal view returns (bytes32) {
        bytes32 saleHash = keccak256(abi.encode(sale));
        return
            _typed(
                market, keccak256(abi.encode(AGREEMENT, copyId, saleHash, status, since, split))
            );
    }

    function _typed(IMarketplace market, bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN, keccak256("DAM"), keccak256("2"), block.chainid, address(market))
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }
}
