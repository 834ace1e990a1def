// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {
    Delivery,
    JunkEvidence,
    Signature,
    SignedList,
    Split,
    Status,
    Terms
} from "../../contracts/interfaces/IMarketplace.sol";
import {Base} from "./Base.sol";
import {Signing} from "./Signing.sol";

/// @notice A market with everybody in it, and what it must own to the wei.
abstract contract MarketTest is Base {
    uint256 internal constant SELLER_STAKE = 10 ether;

    address internal governor;
    address internal seller;
    address internal buyer;
    address internal arbitrator;
    address internal stranger;
    /// Sends what others signed, and pays the gas.
    address internal relayer;
    address[] internal three;
    /// Every sale made, for the books.
    Order[] internal orders;

    function setUp() public virtual {
        governor = _someone("governor");
        _deploy(governor);
        seller = _someone("seller");
        buyer = _someone("buyer");
        arbitrator = _someone("arbitrator");
        stranger = _someone("stranger");
        relayer = _someone("relayer");
        three.push(_deliverer("alice"));
        three.push(_deliverer("bob"));
        three.push(_deliverer("carol"));
        vm.prank(seller);
        market.stakeAsSeller{value: SELLER_STAKE}();
    }

    // ------------------------------------------------------------------------------- steps

    /// @dev 2 of 3 parts, in the native coin.
    function _sold() internal returns (Order memory) {
        return _sold(_terms(three, 2, arbitrator));
    }

    function _sold(Terms memory terms) internal returns (Order memory order) {
        order = _buy(seller, buyer, terms, three);
        orders.push(order);
    }

    /// @dev All three parts are there, so that the gate is open.
    function _complete() internal returns (Order memory order) {
        order = _sold();
        _deliverAll(order);
    }

    function _deliverAll(Order memory order) internal {
        for (uint256 i; i < order.sale.parts; ++i) {
            _deliver(order, i);
        }
    }

    /// @dev A good part from the deliverer whom the leaf names.
    function _deliver(Order memory order, uint256 index) internal {
        _deliver(_delivery(order, index), order.deliverers[index]);
    }

    /// @dev One part by itself, signed by `signer`, sent by nobody in particular.
    function _deliver(Delivery memory delivery, address signer) internal {
        Signature memory signature = _signed(delivery, signer);
        vm.prank(relayer);
        market.deliverFragment(delivery, signature);
    }

    function _supply(Delivery memory delivery, address signer) internal {
        Delivery[] memory batch = _batch(delivery);
        Signature memory signature = _signed(batch, signer);
        vm.prank(relayer);
        market.supplyFragments(batch, signature);
    }

    /// @dev From here on the seller's side may deliver; deliverers may, too.
    function _pastFallback() internal {
        _skip(101);
    }

    /// @dev The buyer proves that a part is junk, by its list of one.
    function _prove(Order memory order, Delivery memory junk) internal {
        (JunkEvidence[] memory evidence, SignedList[] memory lists) =
            _evidence(junk, order.deliverers[junk.index]);
        vm.prank(order.sale.buyer);
        market.proveJunk(
            order.copyId,
            order.sale,
            order.escrow,
            _keys(order.sale.parts),
            FRESH_KEY,
            evidence,
            lists
        );
    }

    /// @dev The seller's part is junk.
    function _proveSellers(Order memory order, Delivery memory junk) internal {
        vm.prank(order.sale.buyer);
        market.proveSellerJunk(
            order.copyId, order.sale, order.escrow, _keys(order.sale.parts), _opened(junk)
        );
    }

    /// @dev A part with its list of one, signed by `signer`.
    function _evidence(Delivery memory part, address signer)
        internal
        view
        returns (JunkEvidence[] memory evidence, SignedList[] memory lists)
    {
        evidence = new JunkEvidence[](1);
        evidence[0] = _opened(part);
        lists = new SignedList[](1);
        lists[0] = SignedList(_list(part), _signed(part, signer), 0);
    }

    /// @dev A part with the secret that opens it. No hint: the plain ladder.
    function _opened(Delivery memory part) internal pure returns (JunkEvidence memory evidence) {
        evidence.index = part.index;
        evidence.deliverer = part.deliverer;
        evidence.commitment = part.commitment;
        evidence.secretHash = part.secretHash;
        evidence.salt = part.salt;
        evidence.proof = part.proof;
        evidence.freshKey = part.freshKey;
        evidence.fragment = part.fragment;
        evidence.secret = part.freshKey == 0 ? KEY_SECRET : FRESH_SECRET;
        evidence.hint.kind = 2;
    }

    /// @dev What both parties of an agreement sign, in the sale's state now.
    function _agreement(Order memory order, Split memory split) internal view returns (bytes32) {
        (Status status,, uint32 since,,,) = market.sales(order.copyId);
        return Signing.digest(market, order.copyId, order.sale, status, since, split);
    }

    /// @dev A signature of 65 bytes.
    function _signedBy(address party, bytes32 digest) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secrets[party], digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev Both sign, a stranger carries it out.
    function _agree(Order memory order, Split memory split) internal {
        bytes32 digest = _agreement(order, split);
        bytes memory ofBuyer = _signedBy(order.sale.buyer, digest);
        bytes memory ofSeller = _signedBy(order.sale.seller, digest);
        vm.prank(stranger);
        market.agree(order.copyId, order.sale, order.escrow, split, ofBuyer, ofSeller);
    }

    function _dispute(Order memory order) internal {
        vm.prank(order.sale.buyer);
        market.openDispute{value: order.escrow.bond}(order.copyId, order.sale, order.escrow, 0);
    }

    function _status(Order memory order) internal view returns (Status status) {
        (status,,,,,) = market.sales(order.copyId);
    }

    function _is(Order memory order, Status expected) internal view {
        vm.assertEq(uint256(_status(order)), uint256(expected));
    }

    // ------------------------------------------------------------------------------- books

    /// @dev The market owns what it owes in the native coin and what it burnt, to the wei.
    function _balanced() internal view {
        vm.assertEq(address(market).balance, _owed(address(0)) + market.burnt());
    }

    /// @dev As `_balanced`, in a token.
    function _balanced(address token) internal view {
        vm.assertEq(IERC20(token).balanceOf(address(market)), _owed(token));
    }

    function _owed(address token) internal view returns (uint256 owed) {
        for (uint256 i; i < cast.length; ++i) {
            owed += market.credits(cast[i], token);
            if (token != address(0)) continue;
            (, uint256 stake, uint256 earned,,) = market.deliverers(cast[i]);
            owed += market.sellerStakes(cast[i]) + stake + earned;
        }
        for (uint256 i; i < orders.length; ++i) {
            owed += _owed(orders[i], token);
        }
    }

    /// @dev What an open sale holds: the price, R without the fees paid, a dispute's bond.
    function _owed(Order memory order, address token) internal view returns (uint256 owed) {
        (Status status, uint32 delivered,,,,) = market.sales(order.copyId);
        if (status < Status.Purchased || status > Status.Disputed) return 0;
        if (order.escrow.token == token) owed += order.escrow.price;
        if (token != address(0)) return owed;
        (, uint32 cleared,) = market.marks(order.copyId);
        uint256 missing = order.sale.parts - _count(delivered | cleared);
        owed += missing * order.sale.fee + order.escrow.penalty + order.escrow.bond;
        if (status == Status.Disputed) owed += order.escrow.bond;
    }

    function _count(uint256 bits) internal pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) {
            ++count;
        }
    }

    /// @dev Closes every open sale and takes everything out. What stays belongs to nobody.
    function _emptied(address token) internal returns (uint256 left) {
        _wait(200_000);
        for (uint256 i; i < orders.length; ++i) {
            Order memory order = orders[i];
            Status status = _status(order);
            if (status == Status.Purchased) {
                market.refund(order.copyId, order.sale, order.escrow);
            } else if (status < Status.Settled) {
                market.settle(order.copyId, order.sale, order.escrow);
            }
        }
        for (uint256 i; i < cast.length; ++i) {
            if (market.credits(cast[i], token) == 0) continue;
            vm.prank(cast[i]);
            market.withdraw(token, address(0xbeef));
        }
        return token == address(0) ? 0 : IERC20(token).balanceOf(address(market));
    }

    // ------------------------------------------------------------------------------- helpers

    function _one(address who) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = who;
    }

    function _batch(Delivery memory delivery) internal pure returns (Delivery[] memory batch) {
        batch = new Delivery[](1);
        batch[0] = delivery;
    }
}
