// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

import {
    Delivery,
    IMarketplace,
    Signature,
    Split,
    Status,
    Terms
} from "../../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "../MarketTest.sol";
import {PlainToken} from "../tokens/PlainToken.sol";
import {SmartAccount} from "./SmartAccount.sol";

/// @notice Everybody but who signs deliveries may be a contract wallet (ERC-1271), and that one may
/// let a wallet send them.
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
        (,,, bool rated,,) = market.sales(order.copyId);
        vm.assertTrue(rated);
        _act(_shop, 0, abi.encodeCall(IMarketplace.withdraw, (address(0), address(_shop))));
        _act(
            _shop, 0, abi.encodeCall(IMarketplace.withdrawSellerStake, (10 ether, address(_shop)))
        );
        vm.assertEq(address(_shop).balance, 100 ether + 1 ether - 0.015 ether);
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
        vm.assertEq(address(_customer).balance, 100 ether + 0.5 ether);
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
        market.stakeAsDelivererFor{value: 1 ether}(address(_shop), KEY, _possession());
        _act(_shop, 0, abi.encodeCall(IMarketplace.postTerms, (operator, 1, true)));
        _act(
            _shop,
            0,
            abi.encodeCall(IMarketplace.rotateDelivererKey, (operator, KEY, _possession()))
        );
        _act(_shop, 0, abi.encodeCall(IMarketplace.requestExit, (operator)));
        _wait(EXIT);
        _act(
            _shop,
            0,
            abi.encodeCall(IMarketplace.withdrawDelivererStake, (operator, address(_shop)))
        );
        vm.assertEq(address(_shop).balance, 101 ether);
        _balanced();
    }

    // ------------------------------------------------------------------- and agrees, and sends

    function _split() private view returns (Split memory) {
        return Split(0.4 ether, 0.1 ether, 0, _time());
    }

    /// @dev Both are wallets: their owner's signature of the agreement itself, by ERC-1271.
    function test_walletsAgree() external {
        Order memory order = _bought();
        Split memory split = _split();
        bytes32 digest = _agreement(order, split);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SECRET, digest);
        bytes memory signature = abi.encodePacked(r, s, v);
        vm.prank(stranger);
        market.agree(order.copyId, order.sale, order.escrow, split, signature, signature);
        _is(order, Status.Agreed);
        vm.assertEq(market.credits(address(_customer), address(0)), 0.5 ether);
        _balanced();
    }

    /// @dev Neither a signature of somebody else, nor none, nor that of another state.
    function test_walletsDoNotAgreeByAnother() external {
        Order memory order = _bought();
        Split memory split = _split();
        bytes memory wrong = _signedBy(stranger, _agreement(order, split));
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.NotAgreed.selector, address(_customer))
        );
        market.agree(order.copyId, order.sale, order.escrow, split, wrong, wrong);
        vm.expectRevert(
            abi.encodeWithSelector(IMarketplace.NotAgreed.selector, address(_customer))
        );
        market.agree(order.copyId, order.sale, order.escrow, split, "", "");
        _balanced();
    }

    /// @dev Who delivers signs with a key; who sends it may be any contract.
    function test_walletRelays() external {
        Order memory order = _sold();
        Delivery memory delivery = _delivery(order, 0);
        Signature memory signature = _signed(delivery, three[0]);
        _act(_shop, 0, abi.encodeCall(IMarketplace.deliverFragment, (delivery, signature)));
        (,, uint256 earned,,) = market.deliverers(three[0]);
        vm.assertEq(earned, order.sale.fee);
        _balanced();
    }

    /// @dev A wallet that is named in a leaf, and as the operator, has no key to sign with: its
    /// owner's signature is its owner's.
    function test_walletDoesNotSign() external {
        Order memory order =
            _buy(seller, buyer, _terms(_one(address(_shop)), 1, arbitrator), _one(address(_shop)));
        orders.push(order);
        vm.prank(seller);
        market.setSellerOperator(address(_shop));
        _pastFallback();
        Delivery memory delivery = _delivery(order, 0);
        secrets[vm.addr(SECRET)] = SECRET;
        Signature memory signature = _signed(delivery, vm.addr(SECRET));
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarketplace.NotYourPart.selector, address(_shop), vm.addr(SECRET)
            )
        );
        market.deliverFragment(delivery, signature);
    }
}
