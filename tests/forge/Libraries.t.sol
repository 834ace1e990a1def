// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {
    Delivery,
    Escrow,
    IMarketplace,
    JunkEvidence,
    Leaf,
    Sale,
    Signature,
    Status,
    Terms
} from "../../contracts/interfaces/IMarketplace.sol";
import {Events} from "../../contracts/libraries/Events.sol";
import {Hashes} from "../../contracts/libraries/Hashes.sol";
import {Marks} from "../../contracts/libraries/Marks.sol";
import {Merkle} from "../../contracts/libraries/Merkle.sol";
import {SaleWord} from "../../contracts/libraries/SaleWord.sol";
import {Signatures} from "../../contracts/libraries/Signatures.sol";
import {StoreCid} from "../../contracts/libraries/StoreCid.sol";
import {X25519Key} from "../../contracts/libraries/X25519Key.sol";
import {Vm} from "./Base.sol";

contract SaleWordTest {
    using SaleWord for uint256;

    bool public constant IS_TEST = true;
    uint256 private constant SINCE_MAX = (1 << 27) - 1;

    function test_purchased(bytes32 hash) external pure {
        uint256 word = SaleWord.purchased(hash);
        assert(word.commitsTo(hash));
        assert(word.commitment() == bytes24(hash));
        assert(word.status() == Status.Purchased);
        assert(word.since() == 0 && !word.isRated() && !word.isMarked());
        assert(word.delivered() == 0 && word.count() == 0);
    }

    function test_commitsToNoOther(bytes32 hash, uint8 bit) external pure {
        uint256 word = SaleWord.purchased(hash);
        bytes32 other = hash ^ bytes32(uint256(1) << bit);
        // The lowest 64 bits are not kept.
        assert(word.commitsTo(other) == (bit < 64));
        assert(!SaleWord.commitsTo(0, hash));
    }

    function test_emptyCommitsToNothing() external pure {
        assert(!SaleWord.commitsTo(0, 0));
        assert(SaleWord.status(0) == Status.None);
    }

    /// @dev Each field is set and read without a trace in another, whatever the word holds.
    function test_enter(uint256 word, uint8 status, uint256 offset) external pure {
        Status next = Status(status % 8);
        uint256 entered = word.enter(next, offset);
        assert(entered.status() == next);
        assert(entered.since() == (offset > SINCE_MAX ? SINCE_MAX : offset));
        uint256 fields = (SINCE_MAX << 5) | (7 << 2);
        assert(entered & ~fields == word & ~fields);
    }

    function test_add(bytes32 hash, uint32 parts) external pure {
        uint256 word = SaleWord.purchased(hash).enter(Status.Disputed, 77);
        uint256 number;
        for (uint256 i; i < 32; ++i) {
            if ((parts >> i) & 1 == 0) continue;
            assert(!word.has(i));
            word = word.add(i);
            assert(word.has(i));
            ++number;
        }
        assert(word.delivered() == parts);
        assert(word.count() == number && SaleWord.countBits(parts) == number);
        assert(word.commitsTo(hash));
        assert(word.status() == Status.Disputed && word.since() == 77);
        for (uint256 i; i < 32; ++i) {
            assert(word.remove(i) == (word.has(i) ? word ^ (1 << (32 + i)) : word));
        }
    }

    function test_flags(uint256 word) external pure {
        assert(word.withRating() == word | 2 && word.withMark() == word | 1);
        assert(word.isRated() == (word & 2 != 0) && word.isMarked() == (word & 1 != 0));
    }

    /// @dev As the three questions that it answers at once.
    function test_lacks(uint256 word, bytes32 hash, uint8 index, bool right) external pure {
        if (right) {
            hash = bytes32(word.commitment()) | (hash & bytes32(uint256(type(uint64).max)));
        }
        Status status = word.status();
        bool open = status >= Status.Purchased && status <= Status.Disputed;
        assert(word.lacks(hash, index) == (word.commitsTo(hash) && open && !word.has(index)));
    }

    function test_hasIsFalseBeyondTheParts(uint256 word, uint8 index) external pure {
        uint256 place = 32 + uint256(index) % 224;
        assert(!word.has(place));
    }
}

contract MarksTest {
    using Marks for uint256;

    bool public constant IS_TEST = true;

    function test_oneKey(uint64 masks, bytes32 key, bytes32 other) external pure {
        uint256 marks = uint256(masks).withKey(key);
        assert(uint64(marks) == masks && marks.hasKey(key));
        assert(marks.freshKey() == bytes24(keccak256(abi.encode(key))));
        assert(marks.hasKey(other) == (key == other) && !uint256(masks).hasKey(key));
    }

    function test_masks(uint256 marks, uint8 place) external pure {
        uint256 index = place % 32;
        uint256 punished = marks.punish(index);
        assert(punished.punished() == marks.punished() | uint32(1 << index));
        assert(punished & ~uint256(1 << (32 + index)) == marks & ~uint256(1 << (32 + index)));
        assert(marks.isPunished(index) == ((marks.punished() >> index) & 1 == 1));
        uint256 cleared = marks.clear(index);
        assert(cleared.cleared() == marks.cleared() | uint32(1 << index));
        assert(cleared & ~uint256(1 << index) == marks & ~uint256(1 << index));
        assert(marks.isCleared(index) == ((marks.cleared() >> index) & 1 == 1));
    }
}

contract MerkleTest {
    bool public constant IS_TEST = true;

    function test_asOpenZeppelins(bytes32 leaf, bytes32[] calldata proof) external pure {
        assert(Merkle.root(leaf, proof) == MerkleProof.processProof(proof, leaf));
    }
}

/// @notice Constants and hashes of EIP-712, and what ERC-2098 leaves open.
contract SignaturesTest {
    bool public constant IS_TEST = true;
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant ORDER =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function test_domainAndList(bytes32[] memory entries) external view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,"
                    "address verifyingContract)"
                ),
                keccak256("DAM"),
                keccak256("2"),
                block.chainid,
                address(this)
            )
        );
        assert(Signatures.domain() == domain);
        bytes32 list = keccak256(
            abi.encode(
                keccak256("Fragments(bytes32[] entries)"), keccak256(abi.encodePacked(entries))
            )
        );
        assert(Signatures.digest(entries) == keccak256(abi.encodePacked(hex"1901", domain, list)));
    }

    function test_signer(bytes32 digest, uint256 secret) external view {
        secret = 1 + secret % (ORDER - 1);
        (bytes32 r, bytes32 vs) = vm.signCompact(secret, digest);
        assert(this.signer(digest, Signature(r, vs)) == vm.addr(secret));
        // The same signature, spelled with the other s: nobody's.
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        uint256 parity = (uint256(vs) >> 255) ^ 1;
        uint256 high = ORDER - s;
        if (high >> 255 == 0) {
            bytes32 other = bytes32((parity << 255) | high);
            assert(this.signer(digest, Signature(r, other)) == address(0));
        }
        assert(this.signer(digest, Signature(0, vs)) == address(0));
        assert(this.signer(digest, Signature(r, 0)) == address(0));
    }

    function test_anySIsLow(bytes32 digest, bytes32 r, uint256 s) external view {
        s = ORDER / 2 + 1 + s % ((1 << 255) - ORDER / 2 - 1);
        for (uint256 parity; parity < 2; ++parity) {
            bytes32 vs = bytes32((parity << 255) | s);
            assert(this.signer(digest, Signature(r, vs)) == address(0));
        }
    }

    function signer(bytes32 digest, Signature calldata signature) external pure returns (address) {
        return Signatures.signer(digest, signature);
    }
}

contract X25519KeyTest {
    bool public constant IS_TEST = true;
    uint256 private constant P = (1 << 255) - 19;

    function test_edges() external pure {
        assert(!_valid(0) && !_valid(1) && _valid(2));
        assert(_valid(P - 2) && !_valid(P - 1) && !_valid(P) && !_valid(P + 1));
        assert(!_valid(type(uint256).max) && !_valid(1 << 255) && !_valid((1 << 255) | 9));
        assert(_valid(9) && _valid(255) && _valid(256) && _valid(1 << 248));
    }

    /// @dev Every encoding that libsodium's `crypto_scalarmult_curve25519` refuses, top bit aside.
    function test_blocklist() external pure {
        bytes32[7] memory list = [
            bytes32(0),
            0x0100000000000000000000000000000000000000000000000000000000000000,
            0xe0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800,
            0x5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157,
            0xecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f,
            0xedffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f,
            0xeeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
        ];
        for (uint256 i; i < list.length; ++i) {
            assert(!X25519Key.isValid(list[i]));
            assert(!X25519Key.isValid(list[i] | bytes32(uint256(0x80))));
        }
    }

    function test_asTheNumberSays(uint256 number, uint8 from) external pure {
        // A quarter of the runs near zero, a quarter near p, where the rules are.
        if (from < 64) number %= 1024;
        else if (from < 128) number = P - 512 + number % 1024;
        assert(_valid(number) == _rule(number));
    }

    function _valid(uint256 number) private pure returns (bool) {
        return X25519Key.isValid(_reversed(number));
    }

    function _rule(uint256 number) private pure returns (bool) {
        if (number >= P || number <= 1 || number == P - 1) return false;
        // The points of order 8, as numbers: RFC 7748's u, little-endian in their encodings.
        return number != 0x00b8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0
            && number != 0x57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5f;
    }

    function _reversed(uint256 number) private pure returns (bytes32 result) {
        bytes memory key = new bytes(32);
        for (uint256 i; i < 32; ++i) {
            key[i] = bytes1(uint8(number >> (8 * i)));
        }
        return bytes32(key);
    }
}

contract HashesTest {
    bool public constant IS_TEST = true;

    function test_terms(Terms calldata terms) external pure {
        assert(Hashes.leaf(terms) == keccak256(bytes.concat(keccak256(abi.encode(terms)))));
    }

    function test_sale(Sale calldata sale) external pure {
        assert(Hashes.hash(sale) == keccak256(abi.encode(sale)));
    }

    function test_escrow(Escrow calldata escrow) external pure {
        assert(Hashes.hash(escrow) == keccak256(abi.encode(escrow)));
    }

    function test_keys(bytes32[] calldata keys) external pure {
        assert(Hashes.hash(keys) == keccak256(abi.encodePacked(keys)));
    }

    function test_part(Delivery calldata d) external pure {
        uint64 copy = d.sale.stock ? d.sale.copy : 0;
        bytes memory encoded =
            abi.encode(copy, d.index, d.deliverer, d.commitment, d.secretHash, d.salt);
        bytes32 leaf = keccak256(bytes.concat(keccak256(encoded)));
        bytes32 saleHash = keccak256(abi.encode(d.sale));
        bytes32 entry =
            keccak256(abi.encode(d.copyId, saleHash, leaf, d.freshKey, keccak256(d.fragment)));
        (bytes32 s, bytes32 l, bytes32 e) = Hashes.part(d, d.fragment);
        assert(s == saleHash && l == leaf && e == entry);
    }

    /// @dev Evidence hashes to what was delivered.
    function test_evidence(Sale calldata sale, JunkEvidence calldata e, Leaf calldata alone)
        external
        pure
    {
        uint64 copy = sale.stock ? sale.copy : 0;
        bytes memory encoded =
            abi.encode(copy, e.index, e.deliverer, e.commitment, e.secretHash, e.salt);
        assert(Hashes.leaf(e, sale) == keccak256(bytes.concat(keccak256(encoded))));
        encoded = abi.encode(
            copy, alone.index, alone.deliverer, alone.commitment, alone.secretHash, alone.salt
        );
        assert(Hashes.leaf(alone, sale) == keccak256(bytes.concat(keccak256(encoded))));
        bytes32 entry = keccak256(
            abi.encode(e.salt, e.secret, e.commitment, e.freshKey, keccak256(e.fragment))
        );
        assert(Hashes.entry(e.salt, e.secret, e.commitment, e.freshKey, e.fragment) == entry);
    }

    function test_pairs(bytes32[2][] calldata pairs) external pure {
        bytes32[] memory list = new bytes32[](2 * pairs.length);
        for (uint256 i; i < pairs.length; ++i) {
            Hashes.setPair(list, i, pairs[i][0], pairs[i][1]);
        }
        for (uint256 i; i < pairs.length; ++i) {
            (bytes32 one, bytes32 other) = Hashes.pair(list, i);
            assert(one == pairs[i][0] && other == pairs[i][1]);
            assert(list[2 * i] == one && list[2 * i + 1] == other);
        }
    }

    function test_copyId(address seller, bytes32 itemId, uint64 copy) external pure {
        assert(Hashes.copyId(seller, itemId, copy) == keccak256(abi.encode(seller, itemId, copy)));
    }

    function test_catalogue(bytes32 digest, bytes32 root) external pure {
        assert(Hashes.catalogue(digest, root) == keccak256(abi.encode(digest, root)));
    }
}

/// @notice The events written by hand are what `emit` writes.
contract EventsTest {
    bool public constant IS_TEST = true;
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function test_itemPurchased(
        bytes32 copyId,
        address seller,
        bytes32 digest,
        uint64 copy,
        Terms calldata terms,
        bytes32[] calldata keys
    ) external {
        vm.recordLogs();
        _dirty();
        Events.itemPurchased(copyId, seller, digest, copy, terms, keys);
        uint64 at = uint64(block.number);
        uint64 time = uint64(block.timestamp);
        emit IMarketplace.ItemPurchased(
            copyId, seller, msg.sender, digest, copy, at, time, terms, keys
        );
        _same();
    }

    function test_fragmentDelivered(Delivery memory delivery, address by, bytes32[3] calldata text)
        external
    {
        delivery.fragment = bytes.concat(text[0], text[1], bytes16(text[2]));
        this.fragmentDelivered(delivery, by);
    }

    function fragmentDelivered(Delivery calldata d, address by) external {
        vm.recordLogs();
        _dirty();
        Events.fragmentDelivered(d, d.copyId, by);
        bytes calldata text = d.fragment;
        emit IMarketplace.FragmentDelivered(
            d.copyId,
            by,
            d.index,
            d.deliverer,
            d.commitment,
            d.secretHash,
            d.salt,
            bytes32(text[0:32]),
            bytes16(text[32:48]),
            bytes32(text[48:80])
        );
        _same();
    }

    function test_fragmentsSigned(
        address signer,
        Signature calldata signature,
        bytes32[] memory entries
    ) external {
        vm.recordLogs();
        _dirty();
        Events.fragmentsSigned(signer, signature, entries);
        emit IMarketplace.FragmentsSigned(signer, signature.r, signature.vs, entries);
        _same();
    }

    /// @dev Memory past the free pointer holds whatever was hashed before.
    function _dirty() private pure {
        assembly ("memory-safe") {
            let free := mload(0x40)
            for { let i := 0 } lt(i, 2048) { i := add(i, 32) } { mstore(add(free, i), not(0)) }
        }
    }

    function _same() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assert(logs.length == 2);
        assert(keccak256(abi.encode(logs[0].topics)) == keccak256(abi.encode(logs[1].topics)));
        assert(keccak256(logs[0].data) == keccak256(logs[1].data));
    }
}

contract StoreCidTest {
    bool public constant IS_TEST = true;

    /// @dev As `ipfs block put --cid-codec=dag-json` of Kubo 0.43 prints them.
    function test_asKubo() external pure {
        _is(sha256("{}"), "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa");
        _is(
            sha256('{"items":[],"version":1}'),
            "baguqeerahl2cu27lcofysi26esynwpfu4qyu4rnsyl2treojb3cqqzjzsvea"
        );
        _is(sha256("x"), "baguqeerafvyrmqvxe2yeialcpsu7xlbs6xefgd5rsa6mjwycewdrpeq2jcaq");
    }

    function _is(bytes32 digest, string memory cid) private pure {
        assert(keccak256(bytes(StoreCid.toString(digest))) == keccak256(bytes(cid)));
    }
}
