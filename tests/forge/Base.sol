// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    Escrow,
    IMarketplace,
    Leaf,
    Sale,
    Setup,
    Signature,
    Terms,
    Windows
} from "../../contracts/interfaces/IMarketplace.sol";
import {IProofs} from "../../contracts/interfaces/IProofs.sol";
import {Signing} from "./Signing.sol";

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
    function chainId(uint256 id) external;
    function deal(address who, uint256 balance) external;
    function deployCode(string calldata artifact, bytes calldata arguments)
        external
        returns (address deployed);
    function etch(address where, bytes calldata code) external;
    function expectEmit(address emitter) external;
    function expectRevert(bytes calldata reason) external;
    function getBlockNumber() external view returns (uint256);
    function getBlockTimestamp() external view returns (uint256);
    function getCode(string calldata artifact) external view returns (bytes memory code);
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
    function signCompact(uint256 secret, bytes32 digest)
        external
        pure
        returns (bytes32 r, bytes32 vs);
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
    uint256 internal constant JUNK_FINE = 0.005 ether;
    uint256 internal constant SECONDS_PER_BLOCK = 12;
    /// All windows differ, so that none can stand in for another unseen.
    uint64 internal constant REFUND = 5_400;
    uint64 internal constant DELIVERY = 1_800;
    uint64 internal constant PROOF = 3_600;
    uint64 internal constant DISPUTE = 3_700;
    uint64 internal constant ARBITRATION = 86_500;
    uint64 internal constant EXIT = 104_500;
    uint64 internal constant SLASH_DELAY = 4_100;
    uint64 internal constant SLASH_LAPSE = 4_300;
    /// The buyers' one key, its secret, and a fragment that opens with it to `SHARE`; and the same
    /// of the one fresh key.
    bytes32 internal constant KEY =
        0x585b924be22498b0bd596184b8b42658118d73cd11c44cc35901367afb50306e;
    bytes32 internal constant KEY_SECRET =
        0x7721c17ae7f13816e9927377438a5c30344a73ade2db521d1ed4d7d14405180c;
    bytes internal constant FRAGMENT = hex"2a6fabe055da988937c0fea3b5507d68edf46f33ac8507fb8466dc70d0c26b0c"
        hex"4c56d7291bc5b4de28e0008d68abe77f0772e5513ad20f61b1773026f017f849"
        hex"075aa95783eb47e9cb79b766ab1fe2f7";
    bytes32 internal constant FRESH_KEY =
        0xf373a7a04d109bbdd9365fcc4bd2e21772055a9672fb0180973232fa4b9e5255;
    bytes32 internal constant FRESH_SECRET =
        0x87905229f63e76f3f9437699e8e56f3f469e030d6e31e9c4b8911a17bbbaaf39;
    bytes internal constant FRESH_FRAGMENT = hex"aa0cd333ecd33d2e59a7b3792c55fc4c0ebb1a6d21645c59ed40f74f5803f364"
        hex"7bbb70c305e6f2aa67410b5d42bd716b35a0d5fa16f350d04302449c047288bc"
        hex"f80ad00bce353c11de16ba86d7d64be2";
    /// Each share of every item, and so its secret, too: the polynomial is constant.
    bytes32 internal constant SHARE =
        0x78b604933ab24487a18be91cc4190141a8e6ff542fba056aa4f5ba25dd7cab99;

    IMarketplace internal market;
    IProofs internal proofs;
    /// Everybody who may own something in the market.
    address[] internal cast;
    /// What they sign with.
    mapping(address who => uint256) internal secrets;
    uint256 private _items;

    function _deploy() internal {
        _deploy(address(0));
    }

    function _deploy(address governor) internal {
        if (_block() < 1_000_000) {
            vm.warp(1_800_000_000);
            vm.roll(1_000_000);
        }
        proofs = IProofs(vm.deployCode("Proofs.sol:Proofs", ""));
        market = IMarketplace(_deployed(_setup(governor)));
    }

    function _deployed(Setup memory setup) internal returns (address) {
        return vm.deployCode("Marketplace.sol:Marketplace", abi.encode(setup));
    }

    function _setup(address governor) internal view returns (Setup memory) {
        Windows memory windows =
            Windows(REFUND, DISPUTE, ARBITRATION, EXIT, SLASH_DELAY, SLASH_LAPSE);
        return Setup(windows, governor, MIN_STAKE, 0, JUNK_FINE, proofs);
    }

    function _someone(string memory name) internal returns (address who) {
        who = vm.addr(_secret(name));
        secrets[who] = _secret(name);
        vm.deal(who, 1_000_000 ether);
        cast.push(who);
    }

    /// @dev The optimizer takes `block.number` for a constant of the transaction, and it is not
    /// where a test rolls.
    function _block() internal view returns (uint256) {
        return vm.getBlockNumber();
    }

    /// @dev As `_block`, in seconds.
    function _time() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    /// @dev Blocks pass, and the seconds that they take.
    function _skip(uint256 blocks) internal {
        vm.roll(_block() + blocks);
        vm.warp(_time() + blocks * SECONDS_PER_BLOCK);
    }

    /// @dev Seconds pass, and the blocks of that time.
    function _wait(uint256 seconds_) internal {
        vm.warp(_time() + seconds_);
        vm.roll(_block() + seconds_ / SECONDS_PER_BLOCK);
    }

    /// @dev To a second, without a look at blocks.
    function _until(uint256 time) internal {
        if (time > _time()) _wait(time - _time());
        else vm.warp(time);
    }

    function _secret(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name)));
    }

    /// @dev A staked deliverer who owns itself.
    function _deliverer(string memory name) internal returns (address who) {
        who = _someone(name);
        vm.prank(who);
        market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession());
    }

    /// @dev No contract looks at it.
    function _possession() internal pure returns (bytes32[2] memory possession) {
        return [keccak256("possession"), keccak256("of a key")];
    }

    function _terms(address[] memory deliverers, uint8 threshold, address arbitrator)
        internal
        returns (Terms memory terms)
    {
        terms.itemId = keccak256(abi.encode("item", ++_items));
        terms.price = 1 ether;
        terms.commission = 0.015 ether;
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
        order.sale = Sale({
            seller: seller,
            buyer: buyer,
            purchaseBlock: uint64(_block()),
            purchaseTime: uint64(_time()),
            copy: 0,
            stock: terms.stock,
            parts: terms.parts,
            threshold: terms.threshold,
            fee: terms.commission / terms.parts,
            partsRoot: terms.partsRoot,
            escrowHash: keccak256(abi.encode(order.escrow))
        });
        order.deliverers = deliverers;
    }

    // ----------------------------------------------------------------------------- deliveries

    /// @dev A good part, which opens with `KEY`.
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
        delivery.fragment = FRAGMENT;
    }

    /// @dev A good part for a punished index, which opens with `FRESH_KEY`.
    function _replacement(Order memory order, uint256 index)
        internal
        pure
        returns (Delivery memory delivery)
    {
        delivery = _delivery(order, index);
        delivery.freshKey = FRESH_KEY;
        delivery.fragment = FRESH_FRAGMENT;
    }

    /// @dev A part that is junk: its ephemeral key is of low order.
    function _junk(Order memory order, uint256 index)
        internal
        pure
        returns (Delivery memory delivery)
    {
        delivery = _delivery(order, index);
        delivery.fragment = new bytes(80);
    }

    /// @dev Signed by `signer`, whom `_someone` made.
    function _signed(Delivery memory delivery, address signer)
        internal
        view
        returns (Signature memory)
    {
        return _signed(_list(delivery), signer);
    }

    function _signed(Delivery[] memory deliveries, address signer)
        internal
        view
        returns (Signature memory)
    {
        return _signed(_list(deliveries), signer);
    }

    function _signed(bytes32[] memory entries, address signer)
        internal
        view
        returns (Signature memory signature)
    {
        (signature.r, signature.vs) =
            vm.signCompact(secrets[signer], Signing.digest(market, entries));
    }

    function _list(Delivery memory delivery) internal pure returns (bytes32[] memory entries) {
        entries = new bytes32[](1);
        entries[0] = Signing.entry(delivery);
    }

    function _list(Delivery[] memory deliveries) internal pure returns (bytes32[] memory entries) {
        entries = new bytes32[](deliveries.length);
        for (uint256 i; i < entries.length; ++i) {
            entries[i] = Signing.entry(deliveries[i]);
        }
    }

    function _leaves(address[] memory deliverers) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](deliverers.length);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = Signing.hash(_leaf(i, deliverers[i]), 0);
        }
    }

    function _leaf(uint256 index, address deliverer) internal pure returns (Leaf memory leaf) {
        (leaf.index, leaf.deliverer) = (uint8(index), deliverer);
        (leaf.commitment, leaf.secretHash, leaf.salt) = _part(index);
    }

    function _part(uint256 index) internal pure returns (bytes32, bytes32, bytes32) {
        return (
            keccak256(abi.encode(SHARE)),
            keccak256(abi.encode(SHARE)),
            keccak256(abi.encode("salt", index))
        );
    }
}
