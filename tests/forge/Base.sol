// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Escrow,
    IMarketplace,
    Sale,
    Status,
    Terms,
    Windows
} from "../../contracts/interfaces/IMarketplace.sol";

/// @notice The few of Foundry's cheatcodes that these tests use.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 secret) external pure returns (address);
    function assertEq(address left, address right) external pure;
    function assertEq(bytes32 left, bytes32 right) external pure;
    function assertEq(bytes calldata left, bytes calldata right) external pure;
    function assertEq(uint256 left, uint256 right) external pure;
    function assertFalse(bool condition) external pure;
    function assertTrue(bool condition) external pure;
    function assume(bool condition) external pure;
    function deal(address who, uint256 balance) external;
    function deployCode(string calldata artifact, bytes calldata arguments)
        external
        returns (address deployed);
    function etch(address where, bytes calldata code) external;
    function expectEmit(address emitter) external;
    function expectRevert(bytes calldata reason) external;
    function getBlockNumber() external view returns (uint256);
    function getRecordedLogs() external returns (Log[] memory);
    function parseJsonKeys(string calldata json, string calldata key)
        external
        pure
        returns (string[] memory);
    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function readFile(string calldata path) external view returns (string memory);
    function recordLogs() external;
    function revertToState(uint256 id) external returns (bool);
    function roll(uint256 block_) external;
    function sign(uint256 secret, bytes32 digest)
        external
        pure
        returns (uint8 v, bytes32 r, bytes32 s);
    function snapshotState() external returns (uint256 id);
    function startPrank(address sender, address origin) external;
    function stopPrank() external;
    function warp(uint256 time) external;
}

/// @notice Merkle trees of a few leaves, as OpenZeppelin proves them: pairs are sorted. A lone node
/// of a level rises as it is.
library Tree {
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        while (leaves.length > 1) leaves = _above(leaves);
        return leaves[0];
    }

    function proof(bytes32[] memory leaves, uint256 place)
        internal
        pure
        returns (bytes32[] memory)
    {
        bytes32[] memory found = new bytes32[](8);
        uint256 length;
        while (leaves.length > 1) {
            uint256 sibling = place ^ 1;
            if (sibling < leaves.length) found[length++] = leaves[sibling];
            leaves = _above(leaves);
            place /= 2;
        }
        bytes32[] memory result = new bytes32[](length);
        for (uint256 i; i < length; ++i) {
            result[i] = found[i];
        }
        return result;
    }

    function _above(bytes32[] memory leaves) private pure returns (bytes32[] memory next) {
        next = new bytes32[]((leaves.length + 1) / 2);
        for (uint256 i; i < next.length; ++i) {
            if (2 * i + 1 == leaves.length) next[i] = leaves[2 * i];
            else next[i] = _pair(leaves[2 * i], leaves[2 * i + 1]);
        }
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }
}

/// @notice A market, and a shop whose every purchase publishes what it needs.
abstract contract Base {
    /// A purchase, and what later calls bring along.
    struct Order {
        bytes32 copyId;
        Sale sale;
        Escrow escrow;
        address[] deliverers;
    }

    bool public constant IS_TEST = true;
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 internal constant MIN_STAKE = 0.1 ether;
    uint64 internal constant EXIT = 640;
    bytes32 internal constant KEY = bytes32(uint256(0x42 << 248));

    IMarketplace internal market;
    /// Everybody who may own something in the market.
    address[] internal cast;
    uint256 private _items;

    function _deploy() internal {
        _deploy(address(0));
    }

    /// @dev All windows differ, so that none can stand in for another unseen.
    function _deploy(address governor) internal {
        Windows memory windows = Windows(300, 110, 120, EXIT, 105, 130);
        market = IMarketplace(
            vm.deployCode(
                "Marketplace.sol:Marketplace", abi.encode(windows, governor, MIN_STAKE, 0)
            )
        );
    }

    function _someone(string memory name) internal returns (address who) {
        who = vm.addr(_secret(name));
        vm.deal(who, 1_000_000 ether);
        cast.push(who);
    }

    /// @dev The optimizer takes `block.number` for a constant of the transaction, and it is not
    /// where a test rolls.
    function _block() internal view returns (uint256) {
        return vm.getBlockNumber();
    }

    function _skip(uint256 blocks) internal {
        vm.roll(_block() + blocks);
    }

    function _secret(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name)));
    }

    /// @dev A staked deliverer who owns itself.
    function _deliverer(string memory name) internal returns (address who) {
        who = _someone(name);
        vm.prank(who, who);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY);
    }

    function _terms(address[] memory deliverers, uint8 threshold, address arbitrator)
        internal
        returns (Terms memory terms)
    {
        terms.itemId = keccak256(abi.encode("item", ++_items));
        terms.price = 1 ether;
        terms.commission = 0.03 ether;
        terms.penalty = 0.5 ether;
        terms.bond = 0.2 ether;
        terms.supply = 1;
        terms.parts = uint8(deliverers.length);
        terms.threshold = threshold;
        terms.arbitrator = arbitrator;
        terms.partsRoot = Tree.root(_leaves(deliverers));
    }

    /// @dev Publishes the item alone in the seller's store and buys its copy 0.
    function _buy(address seller, address buyer, Terms memory terms, address[] memory deliverers)
        internal
        returns (Order memory)
    {
        bytes32 digest = _publish(seller, terms);
        bytes32[] memory keys = _keys(terms.parts);
        vm.prank(buyer);
        market.buyItem{value: terms.token == address(0) ? terms.price : 0}(
            seller, terms, new bytes32[](0), digest, 0, keys
        );
        return _order(seller, buyer, terms, digest, keys, deliverers);
    }

    /// @dev The item becomes the seller's whole catalogue.
    function _publish(address seller, Terms memory terms) internal returns (bytes32 digest) {
        digest = keccak256(abi.encode("document", terms.itemId));
        bytes32 root = keccak256(bytes.concat(keccak256(abi.encode(terms))));
        (bytes32 before,) = market.stores(seller);
        vm.prank(seller);
        if (before == 0) market.createStore(digest, root);
        else market.updateStore(digest, root);
    }

    function _keys(uint256 parts) internal pure returns (bytes32[] memory keys) {
        keys = new bytes32[](parts);
        for (uint256 i; i < parts; ++i) {
            keys[i] = KEY;
        }
    }

    function _order(
        address seller,
        address buyer,
        Terms memory terms,
        bytes32 digest,
        bytes32[] memory keys,
        address[] memory deliverers
    ) internal view returns (Order memory order) {
        order.copyId = keccak256(abi.encode(seller, terms.itemId, uint64(0)));
        order.escrow = Escrow(
            digest,
            keccak256(abi.encodePacked(keys)),
            terms.token,
            terms.price,
            terms.penalty,
            terms.arbitrator == address(0) ? 0 : terms.bond,
            terms.arbitrator
        );
        order.sale = Sale(
            seller,
            buyer,
            uint64(_block()),
            0,
            terms.stock,
            terms.parts,
            terms.threshold,
            terms.commission / terms.parts,
            terms.partsRoot,
            keccak256(abi.encode(order.escrow))
        );
        order.deliverers = deliverers;
    }

    function _delivery(Order memory order, uint256 index)
        internal
        pure
        returns (Delivery memory delivery)
    {
        delivery.copyId = order.copyId;
        delivery.sale = order.sale;
        delivery.index = uint8(index);
        delivery.deliverer = order.deliverers[index];
        (delivery.commitment, delivery.secretHash, delivery.salt) = _part(index);
        delivery.proof = Tree.proof(_leaves(order.deliverers), index);
        delivery.fragment = new bytes(80);
    }

    function _leaves(address[] memory deliverers) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](deliverers.length);
        for (uint256 i; i < leaves.length; ++i) {
            (bytes32 commitment, bytes32 secretHash, bytes32 salt) = _part(i);
            leaves[i] = keccak256(
                bytes.concat(
                    keccak256(
                        abi.encode(uint64(0), i, deliverers[i], commitment, secretHash, salt)
                    )
                )
            );
        }
    }

    function _part(uint256 index) private pure returns (bytes32, bytes32, bytes32) {
        return (
            keccak256(abi.encode("commitment", index)),
            keccak256("secret"),
            keccak256(abi.encode("salt", index))
        );
    }
}
