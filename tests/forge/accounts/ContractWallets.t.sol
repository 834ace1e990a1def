// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

import {
    Delivery,
    IMarketplace,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";
import {PlainToken} from "../tokens/PlainToken.sol";
import {SmartAccount} from "./SmartAccount.sol";

/// @notice Everybody but a delivering operator may be a contract wallet (ERC-1271).
contract ContractWalletsTest is MarketTest {
    uint256 private constant SECRET = uint256(keccak256("owner of the wallets"));

    SmartAccount private _shop;
    SmartAccount private _customer;
    SmartAccount private _judge;

    function setUp() public override {
        super.setUp();
        _shop = _wallet();
        _customer = _wallet();
        _judge = _wallet();
    }

    // ------------------------------------------------------------------------------- steps

    function _wallet() private returns (SmartAccount wallet) {
        wallet = new SmartAccount(vm.addr(SECRET));
        vm.deal(address(wallet), 100 ether);
        cast.push(address(wallet));
    }

    function _sign(SmartAccount wallet, SmartAccount.Call[] memory calls, uint256 secret)
        private
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, wallet.digest(calls));
        return abi.encodePacked(r, s, v);
    }

    function _calls(address to, uint256 value, bytes memory data)
        private
        pure
        returns (SmartAccount.Call[] memory calls)
    {
        calls = new SmartAccount.Call[](1);
        calls[0] = SmartAccount.Call(to, value, data);
    }

    /// @dev A stranger brings along what the owner signed.
    function _act(SmartAccount wallet, uint256 value, bytes memory data) private {
        SmartAccount.Call[] memory calls = _calls(address(market), value, data);
        bytes memory signature = _sign(wallet, calls, SECRET);
        vm.prank(stranger, stranger);
        wallet.execute(calls, signature);
    }

    /// @dev The shop sells, the customer buys, three deliverers deliver.
    function _bought() private returns (Order memory order) {
        _act(_shop, 10 ether, abi.encodeCall(IMarketplace.stakeAsSeller, ()));
        Terms memory terms = _terms(three, 2, address(_judge));
        bytes32 digest = keccak256("document");
        bytes32 root = keccak256(bytes.concat(keccak256(abi.encode(terms))));
        _act(_shop, 0, abi.encodeCall(IMarketplace.createStore, (digest, root)));
        bytes32[] memory keys = _keys(3);
        _act(
            _customer,
            1 ether,
            abi.encodeCall(
                IMarketplace.buyItem, (address(_shop), terms, new bytes32[](0), digest, 0, keys)
            )
        );
        order = _order(address(_shop), address(_customer), terms, digest, keys, three);
        orders.push(order);
        _deliverAll(order);
        _balanced();
    }

    // ------------------------------------------------------------------------------- tests

    function test_confirmRateAndWithdraw() external {
        Order memory order = _bought();
        _act(
            _customer,
            0,
            abi.encodeCall(IMarketplace.confirm, (order.copyId, order.sale, order.escrow))
        );
        _act(_customer, 0, abi.encodeCall(IMarketplace.rateSale, (order.copyId, order.sale, 4)));
        vm.assertTrue(market.rated(order.copyId));
        _act(_shop, 0, abi.encodeCall(IMarketplace.withdraw, (address(0), address(_shop))));
        _act(
            _shop, 0, abi.encodeCall(IMarketplace.withdrawSellerStake, (10 ether, address(_shop)))
        );
        vm.assertEq(address(_shop).balance, 100 ether + 1 ether - 0.03 ether);
        vm.assertEq(address(_customer).balance, 100 ether - 1 ether);
        _balanced();
    }

    function test_disputeEvidenceAndRuling() external {
        Order memory order = _bought();
        _act(
            _customer,
            0.2 ether,
            abi.encodeCall(
                IMarketplace.openDispute, (order.copyId, order.sale, order.escrow, "evidence")
            )
        );
        SmartAccount[3] memory parties = [_customer, _shop, _judge];
        for (uint256 i; i < parties.length; ++i) {
            _act(
                parties[i],
                0,
                abi.encodeCall(
                    IMarketplace.submitEvidence, (order.copyId, order.sale, order.escrow, "uri")
                )
            );
        }
        _act(
            _judge,
            0,
            abi.encodeCall(
                IMarketplace.resolveDispute,
                (order.copyId, order.sale, order.escrow, 1 ether, true)
            )
        );
        _act(_customer, 0, abi.encodeCall(IMarketplace.withdraw, (address(0), address(_customer))));
        _act(_judge, 0, abi.encodeCall(IMarketplace.withdraw, (address(0), address(_judge))));
        vm.assertEq(address(_customer).balance, 100 ether + 0.5 ether);
        vm.assertEq(address(_judge).balance, 100 ether + 0.2 ether);
        _balanced();
    }

    function test_concede() external {
        Order memory order = _bought();
        _act(
            _shop,
            0,
            abi.encodeCall(IMarketplace.concede, (order.copyId, order.sale, order.escrow))
        );
        _is(order, Status.Refunded);
        _act(_customer, 0, abi.encodeCall(IMarketplace.withdraw, (address(0), address(_customer))));
        vm.assertEq(address(_customer).balance, 100 ether);
    }

    /// @dev Allowance and purchase in one transaction, without a permit.
    function test_buyWithATokenInOneBatch() external {
        PlainToken token = new PlainToken();
        token.mint(address(_customer), 3 ether);
        Terms memory terms = _terms(three, 2, arbitrator);
        terms.token = address(token);
        terms.price = 3 ether;
        bytes32 digest = _publish(seller, terms);
        SmartAccount.Call[] memory calls = new SmartAccount.Call[](2);
        calls[0] = SmartAccount.Call(
            address(token), 0, abi.encodeCall(token.approve, (address(market), 3 ether))
        );
        calls[1] = SmartAccount.Call(
            address(market),
            0,
            abi.encodeCall(
                IMarketplace.buyItem, (seller, terms, new bytes32[](0), digest, 0, _keys(3))
            )
        );
        bytes memory signature = _sign(_customer, calls, SECRET);
        vm.prank(stranger, stranger);
        _customer.execute(calls, signature);
        orders.push(_order(seller, address(_customer), terms, digest, _keys(3), three));
        _balanced(address(token));
    }

    /// @dev The owner's signature, once, for this wallet and these calls.
    function test_signatures() external {
        SmartAccount.Call[] memory calls =
            _calls(address(market), 1 ether, abi.encodeCall(IMarketplace.stakeAsSeller, ()));
        bytes memory wrong = _sign(_shop, calls, SECRET + 1);
        vm.expectRevert(abi.encodeWithSelector(SmartAccount.BadSignature.selector));
        _shop.execute(calls, wrong);
        bytes memory right = _sign(_shop, calls, SECRET);
        vm.expectRevert(abi.encodeWithSelector(SmartAccount.BadSignature.selector));
        _customer.execute(calls, right);
        _shop.execute(calls, right);
        vm.assertEq(market.sellerStakes(address(_shop)), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(SmartAccount.BadSignature.selector));
        _shop.execute(calls, right);
        vm.assertEq(
            bytes32(_shop.isValidSignature(keccak256("other"), right)), bytes32(bytes4(0xffffffff))
        );
        vm.assertTrue(
            IERC1271.isValidSignature.selector
                == _shop.isValidSignature(_shop.digest(calls), _sign(_shop, calls, SECRET))
        );
    }

    /// @dev As the owner of a deliverer whose operator is a plain account.
    function test_ownsADeliverer() external {
        address operator = _someone("operator");
        vm.prank(operator, operator);
        market.stakeAsDelivererFor{value: 1 ether}(address(_shop), KEY);
        _act(_shop, 0, abi.encodeCall(IMarketplace.postTerms, (operator, 1, true)));
        _act(_shop, 0, abi.encodeCall(IMarketplace.rotateDelivererKey, (operator, KEY)));
        _act(_shop, 0, abi.encodeCall(IMarketplace.requestExit, (operator)));
        _skip(EXIT);
        _act(
            _shop,
            0,
            abi.encodeCall(IMarketplace.withdrawDelivererStake, (operator, address(_shop)))
        );
        vm.assertEq(address(_shop).balance, 101 ether);
        _balanced();
    }

    // ---------------------------------------------------------------- but none delivers

    function test_doesNotDeliver() external {
        Order memory order = _sold(_terms(_one(address(_shop)), 1, arbitrator), address(_shop));
        // Named in the leaf, and as the seller's operator.
        vm.prank(seller);
        market.setSellerOperator(address(_shop));
        _skip(101);
        Delivery memory delivery = _delivery(order, 0);
        bytes[5] memory entries = [
            abi.encodeCall(IMarketplace.stakeAsDeliverer, (KEY)),
            abi.encodeCall(IMarketplace.stakeAsDelivererFor, (seller, KEY)),
            abi.encodeCall(IMarketplace.deliverFragment, (delivery)),
            abi.encodeCall(IMarketplace.deliverFragments, (_batch(delivery))),
            abi.encodeCall(IMarketplace.supplyFragments, (_batch(delivery)))
        ];
        for (uint256 i; i < entries.length; ++i) {
            SmartAccount.Call[] memory calls =
                _calls(address(market), i < 2 ? 1 ether : 0, entries[i]);
            bytes memory signature = _sign(_shop, calls, SECRET);
            vm.expectRevert(
                abi.encodeWithSelector(IMarketplace.NotPlainAccount.selector, address(_shop))
            );
            vm.prank(stranger, stranger);
            _shop.execute(calls, signature);
        }
    }

    /// @dev Nor an account that lent its address to code (EIP-7702), whoever calls.
    function test_delegatedAccountDoesNotDeliver() external {
        Order memory order = _sold();
        vm.etch(three[0], abi.encodePacked(hex"ef0100", address(_shop)));
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NotPlainAccount.selector, three[0]));
        _deliver(order, 0);
        vm.etch(three[0], "");
        _deliver(order, 0);
    }

    function _sold(Terms memory terms, address deliverer) private returns (Order memory order) {
        order = _buy(seller, buyer, terms, _one(deliverer));
        orders.push(order);
    }
}
