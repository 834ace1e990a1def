// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Permit, Status, Terms} from "../../../contracts/interfaces/IMarketplace.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {MarketTest} from "../MarketTest.sol";
import {
    BabblingToken,
    BlockingToken,
    BonusToken,
    FalseToken,
    FeeToken,
    IdleToken,
    LyingToken,
    PermitToken,
    RebasingToken,
    RevertingToken,
    SilentToken,
    UniqueToken
} from "./OddTokens.sol";
import {PlainToken} from "./PlainToken.sol";
import {HookedToken, IHooks, ReentrantToken} from "./ReentrantToken.sol";
import {TestToken} from "./TestToken.sol";

/// @notice A wallet that calls the market whenever a token tells it something.
contract HookedWallet is IHooks {
    address private immutable MARKET;
    bytes private _calls;
    bytes4[] public answers;

    constructor(address market) {
        MARKET = market;
    }

    function prepare(HookedToken token, bytes[] calldata calls) external {
        token.register();
        _calls = abi.encode(calls);
    }

    function call(address to, bytes calldata data) external {
        (bool good,) = to.call(data);
        require(good, "call");
    }

    function answered() external view returns (uint256) {
        return answers.length;
    }

    function tokensToSend(uint256) external {
        _callBack();
    }

    function tokensReceived(uint256) external {
        _callBack();
    }

    function _callBack() private {
        if (_calls.length == 0) return;
        bytes[] memory calls = abi.decode(_calls, (bytes[]));
        for (uint256 i; i < calls.length; ++i) {
            (bool good, bytes memory answer) = MARKET.call(calls[i]);
            answers.push(good ? bytes4(0) : bytes4(answer));
        }
    }
}

/// @notice Each odd token is refused when it is paid with, or harms nobody but those who took it.
/// @dev Two honest sales stand beside it in every test, one in the native coin and one in a token;
/// at its end both pay everybody in full.
contract HostileTokensTest is MarketTest {
    uint128 private constant PRICE = 5 ether;

    PlainToken private _plain;

    function setUp() public override {
        super.setUp();
        _plain = new PlainToken();
        _plain.mint(buyer, PRICE);
        vm.prank(buyer);
        _plain.approve(address(market), PRICE);
        _deliverAll(_sold());
        Order memory order = _sold(_priced(address(_plain)));
        _deliverAll(order);
        _balanced();
        _balanced(address(_plain));
    }

    /// @dev Every test ends with it.
    modifier harmless() {
        _;
        _balanced();
        _balanced(address(_plain));
        uint256 coins = seller.balance;
        _emptied(address(0));
        _balanced();
        vm.assertEq(seller.balance, coins);
        _emptied(address(_plain));
        vm.assertEq(_plain.balanceOf(address(market)), 0);
        vm.assertEq(_plain.balanceOf(address(0xbeef)), PRICE);
        vm.assertTrue(market.sellerStakes(seller) <= SELLER_STAKE);
    }

    // ------------------------------------------------------------------------------- steps

    function _priced(address token) private returns (Terms memory terms) {
        terms = _terms(three, 2, arbitrator);
        terms.token = token;
        terms.price = PRICE;
    }

    /// @dev A buyer with two prices of the token, and its allowance.
    function _ready(TestToken token) private returns (Terms memory) {
        token.mint(buyer, 2 * PRICE);
        vm.prank(buyer);
        token.approve(address(market), 2 * PRICE);
        return _priced(address(token));
    }

    function _refused(Terms memory terms, bytes memory reason) private {
        bytes32 digest = _publish(seller, terms);
        uint256 stake = market.sellerStakes(seller);
        bytes32[] memory keys = _keys(3);
        vm.expectRevert(reason);
        vm.prank(buyer);
        market.buyItem(seller, terms, new bytes32[](0), digest, 0, keys);
        vm.assertEq(market.sellerStakes(seller), stake);
        (Status status,,,,,) = market.sales(keccak256(abi.encode(seller, terms.itemId, uint64(0))));
        vm.assertEq(uint256(status), uint256(Status.None));
    }

    function _wrong(address token, uint256 received) private pure returns (bytes memory) {
        return
            abi.encodeWithSelector(IMarketplace.TokenAmountWrong.selector, token, received, PRICE);
    }

    function _failed(address token) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IMarketplace.TokenTransferFailed.selector, token);
    }

    /// @dev Bought and refunded: the buyer has the price as a credit.
    function _credited(Terms memory terms) private returns (Order memory order) {
        order = _sold(terms);
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        vm.assertEq(market.credits(buyer, terms.token), PRICE);
    }

    function _take(address token, address to) private {
        vm.prank(buyer);
        market.withdraw(token, to);
    }

    // ------------------------------------------------------- tokens that move another amount

    function test_feeOnTransfer() external harmless {
        FeeToken token = new FeeToken();
        Terms memory terms = _ready(token);
        _refused(terms, _wrong(address(token), PRICE - PRICE / 100));
    }

    /// @dev A token may begin to charge later: the payee bears it, and nothing is missing.
    function test_feeOnTransferBegunLater() external harmless {
        FeeToken token = new FeeToken();
        token.charge(false);
        _credited(_ready(token));
        token.charge(true);
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE - PRICE / 100);
        vm.assertEq(token.balanceOf(address(market)), 0);
    }

    function test_bonusOnTransfer() external harmless {
        BonusToken token = new BonusToken();
        Terms memory terms = _ready(token);
        _refused(terms, _wrong(address(token), PRICE + PRICE / 100));
    }

    function test_movesNothing() external harmless {
        IdleToken token = new IdleToken();
        Terms memory terms = _ready(token);
        _refused(terms, _wrong(address(token), 0));
    }

    function test_rebasedUp() external harmless {
        RebasingToken token = new RebasingToken();
        _credited(_ready(token));
        token.rebase(200);
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE);
        // The growth belongs to nobody.
        vm.assertEq(token.balanceOf(address(market)), PRICE);
    }

    /// @dev Whoever comes first is paid; the other keeps the credit until there is something again.
    function test_rebasedDown() external harmless {
        RebasingToken token = new RebasingToken();
        Terms memory terms = _ready(token);
        _credited(terms);
        Order memory second = _sold(_priced(address(token)));
        _deliverAll(second);
        vm.prank(buyer);
        market.confirm(second.copyId, second.sale, second.escrow);
        token.rebase(50);
        _take(address(token), stranger);
        vm.expectRevert(_failed(address(token)));
        vm.prank(seller);
        market.withdraw(address(token), seller);
        vm.assertEq(market.credits(seller, address(token)), PRICE);
        token.rebase(100);
        token.mint(address(market), PRICE);
        vm.prank(seller);
        market.withdraw(address(token), seller);
        vm.assertEq(token.balanceOf(seller), PRICE);
    }

    // ---------------------------------------------------------------- tokens that say odd things

    function test_returnsNothing() external harmless {
        SilentToken token = new SilentToken();
        token.mint(buyer, PRICE);
        vm.prank(buyer);
        token.approve(address(market), PRICE);
        _credited(_priced(address(token)));
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE);
        vm.assertEq(token.balanceOf(address(market)), 0);
    }

    function test_returnsFalse() external harmless {
        FalseToken token = new FalseToken();
        Terms memory terms = _ready(token);
        token.be(FalseToken.Mood.Refuses);
        _refused(terms, _failed(address(token)));
    }

    function test_returnsFalseAndMoves() external harmless {
        FalseToken token = new FalseToken();
        Terms memory terms = _ready(token);
        token.be(FalseToken.Mood.MovesAndRefuses);
        _refused(terms, _failed(address(token)));
    }

    /// @dev The credit stays until the token moves.
    function test_returnsFalseLater() external harmless {
        FalseToken token = new FalseToken();
        _credited(_ready(token));
        for (uint256 mood = 1; mood < 3; ++mood) {
            token.be(FalseToken.Mood(mood));
            vm.expectRevert(_failed(address(token)));
            _take(address(token), stranger);
            vm.assertEq(market.credits(buyer, address(token)), PRICE);
            vm.assertEq(token.balanceOf(stranger), 0);
        }
        token.be(FalseToken.Mood.Honest);
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE);
    }

    function test_returnsNoBoolean() external harmless {
        BabblingToken token = new BabblingToken();
        token.mint(buyer, PRICE);
        Terms memory terms = _priced(address(token));
        _refused(terms, _failed(address(token)));
    }

    /// @dev 3 MB behind the boolean are never copied.
    function test_returnsTooMuch() external harmless {
        BabblingToken token = new BabblingToken();
        token.mint(buyer, PRICE);
        token.say(1, 100_000);
        Terms memory terms = _priced(address(token));
        bytes32 digest = _publish(seller, terms);
        Permit memory permit;
        bytes32[] memory keys = _keys(3);
        vm.prank(buyer);
        market.buyItemByPermit(seller, terms, new bytes32[](0), digest, 0, keys, permit);
        orders.push(_order(seller, buyer, terms, digest, keys, three));
        _emptied(address(token));
        vm.assertEq(token.balanceOf(address(0xbeef)), PRICE);
    }

    function test_lies() external harmless {
        LyingToken token = new LyingToken();
        Terms memory terms = _ready(token);
        // A constant lie adds nothing.
        token.lie(type(uint128).max, 0);
        _refused(terms, _wrong(address(token), 0));
        // Too small a lie, or too big a one.
        token.lie(0, PRICE - 1);
        _refused(terms, _wrong(address(token), PRICE - 1));
        token.lie(0, PRICE + 1);
        _refused(terms, _wrong(address(token), PRICE + 1));
        // The right one buys, and credits what the token says it is worth: nothing.
        token.lie(0, PRICE);
        _credited(terms);
        vm.assertEq(market.credits(buyer, address(_plain)), 0);
        _take(address(token), stranger);
        vm.assertEq(market.credits(buyer, address(token)), 0);
    }

    /// @dev A balance that falls while it is paid has received nothing.
    function test_balanceFallsWithThePayment() external harmless {
        LyingToken token = new LyingToken();
        Terms memory terms = _ready(token);
        token.lie(PRICE, type(uint256).max);
        _refused(terms, _wrong(address(token), 0));
    }

    // ------------------------------------------------------------------------- tokens that revert

    function test_revertsInBalanceOf() external harmless {
        RevertingToken token = new RevertingToken();
        Terms memory terms = _ready(token);
        token.refuse(1);
        _refused(terms, abi.encodeWithSelector(RevertingToken.Refused.selector));
    }

    function test_revertsInTransferFrom() external harmless {
        RevertingToken token = new RevertingToken();
        Terms memory terms = _ready(token);
        token.refuse(4);
        _refused(terms, _failed(address(token)));
    }

    function test_revertsInTransfer() external harmless {
        RevertingToken token = new RevertingToken();
        _credited(_ready(token));
        token.refuse(2);
        vm.expectRevert(_failed(address(token)));
        _take(address(token), stranger);
        vm.assertEq(market.credits(buyer, address(token)), PRICE);
        token.refuse(0);
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE);
    }

    function test_burnsGas() external harmless {
        RevertingToken token = new RevertingToken();
        _credited(_ready(token));
        token.refuse(2 + 8);
        vm.prank(buyer);
        (bool good,) = address(market).call{gas: 3_000_000}(
            abi.encodeCall(IMarketplace.withdraw, (address(token), stranger))
        );
        vm.assertFalse(good);
        vm.assertEq(market.credits(buyer, address(token)), PRICE);
    }

    // ---------------------------------------------------------------------------- tokens without

    function test_noCode() external harmless {
        Terms memory terms = _priced(address(0xc0de));
        _refused(terms, _failed(address(0xc0de)));
        bytes32 digest = _publish(seller, terms);
        Permit memory permit;
        bytes32[] memory keys = _keys(3);
        vm.expectRevert(_failed(address(0xc0de)));
        vm.prank(buyer);
        market.buyItemByPermit(seller, terms, new bytes32[](0), digest, 0, keys, permit);
    }

    /// @dev A token that destroyed itself pays nobody, and says so.
    function test_codeGoneLater() external harmless {
        FeeToken token = new FeeToken();
        token.charge(false);
        _credited(_ready(token));
        vm.etch(address(token), "");
        vm.expectRevert(_failed(address(token)));
        _take(address(token), stranger);
        vm.assertEq(market.credits(buyer, address(token)), PRICE);
    }

    /// @dev The market itself, or a precompile, is no token.
    function test_marketAsToken() external harmless {
        _refused(_priced(address(market)), "");
        _refused(_priced(address(4)), _failed(address(4)));
    }

    /// @dev A number, not an amount: whoever pays with it loses it, and nobody else anything.
    function test_nonFungible() external harmless {
        UniqueToken token = new UniqueToken();
        token.mint(buyer, 1);
        Terms memory terms = _priced(address(token));
        terms.price = 1;
        Order memory order = _sold(terms);
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        vm.expectRevert(_failed(address(token)));
        _take(address(token), buyer);
        token.mint(buyer, 2);
        terms = _priced(address(token));
        terms.price = 2;
        _refused(
            terms,
            abi.encodeWithSelector(IMarketplace.TokenAmountWrong.selector, address(token), 1, 2)
        );
    }

    // ------------------------------------------------------------------------------ native coins

    function test_coinsWithAToken() external harmless {
        FeeToken token = new FeeToken();
        Terms memory terms = _ready(token);
        bytes32 digest = _publish(seller, terms);
        bytes32[] memory keys = _keys(3);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.CoinsWithToken.selector, 1));
        vm.prank(buyer);
        market.buyItem{value: 1}(seller, terms, new bytes32[](0), digest, 0, keys);
    }

    /// @dev For nothing, the token is never called.
    function test_priceOfZero() external harmless {
        Terms memory terms = _priced(address(0xc0de));
        terms.price = 0;
        Order memory order = _sold(terms);
        _deliverAll(order);
        vm.prank(buyer);
        market.confirm(order.copyId, order.sale, order.escrow);
        vm.assertEq(market.credits(seller, address(0xc0de)), 0);
        // The fees came out of the stake: no price paid them back.
        vm.assertEq(market.sellerStakes(seller), SELLER_STAKE - 2 * 0.715 ether - 0.015 ether);
    }

    function test_notEnough() external harmless {
        PlainToken token = new PlainToken();
        Terms memory terms = _priced(address(token));
        token.mint(buyer, PRICE - 1);
        vm.prank(buyer);
        token.approve(address(market), PRICE);
        _refused(terms, _failed(address(token)));
        token.mint(buyer, 1);
        vm.prank(buyer);
        token.approve(address(market), PRICE - 1);
        _refused(terms, _failed(address(token)));
    }

    // -------------------------------------------------------------------------------- re-entrancy

    function _allReentered(ReentrantToken token) private view {
        bytes[] memory answers = token.answers();
        vm.assertEq(answers.length, EntryPoints.all(address(token)).length);
        for (uint256 i; i < answers.length; ++i) {
            vm.assertEq(answers[i], abi.encodeWithSelector(IMarketplace.Reentered.selector));
        }
    }

    function test_reentersFromTransferFrom() external harmless {
        ReentrantToken token = new ReentrantToken();
        Terms memory terms = _ready(token);
        token.prepare(
            ReentrantToken.From.TransferFrom, address(market), EntryPoints.all(address(token))
        );
        _credited(terms);
        _allReentered(token);
        _balanced(address(token));
    }

    function test_reentersFromTransfer() external harmless {
        ReentrantToken token = new ReentrantToken();
        _credited(_ready(token));
        token.prepare(
            ReentrantToken.From.Transfer, address(market), EntryPoints.all(address(token))
        );
        _take(address(token), stranger);
        _allReentered(token);
        _balanced(address(token));
    }

    function test_reentersFromPermit() external harmless {
        ReentrantToken token = new ReentrantToken();
        token.mint(buyer, PRICE);
        Terms memory terms = _priced(address(token));
        token.prepare(ReentrantToken.From.Permit, address(market), EntryPoints.all(address(token)));
        bytes32 digest = _publish(seller, terms);
        Permit memory permit;
        permit.value = PRICE;
        bytes32[] memory keys = _keys(3);
        vm.prank(buyer);
        market.buyItemByPermit(seller, terms, new bytes32[](0), digest, 0, keys, permit);
        orders.push(_order(seller, buyer, terms, digest, keys, three));
        _allReentered(token);
        _balanced(address(token));
    }

    /// @dev The lock opens again behind each of them, in the same transaction.
    function test_leavesTheLockOpen() external harmless {
        ReentrantToken token = new ReentrantToken();
        _credited(_ready(token));
        _take(address(token), stranger);
        _sold(_priced(address(token)));
        vm.prank(stranger);
        market.stakeAsSeller{value: 1}();
    }

    function test_hooksOfTheBuyer() external harmless {
        HookedToken token = new HookedToken();
        HookedWallet wallet = new HookedWallet(address(market));
        cast.push(address(wallet));
        token.mint(address(wallet), PRICE);
        wallet.prepare(token, EntryPoints.all(address(wallet)));
        Terms memory terms = _priced(address(token));
        bytes32 digest = _publish(seller, terms);
        bytes32[] memory keys = _keys(3);
        wallet.call(address(token), abi.encodeCall(token.approve, (address(market), PRICE)));
        wallet.call(
            address(market),
            abi.encodeCall(
                IMarketplace.buyItem, (seller, terms, new bytes32[](0), digest, 0, keys)
            )
        );
        orders.push(_order(seller, address(wallet), terms, digest, keys, three));
        uint256 entries = EntryPoints.all(address(0)).length;
        vm.assertEq(wallet.answered(), entries);
        _balanced(address(token));

        // As a payee, too.
        Order memory order = orders[orders.length - 1];
        _wait(REFUND + 1);
        market.refund(order.copyId, order.sale, order.escrow);
        wallet.call(
            address(market),
            abi.encodeCall(IMarketplace.withdraw, (address(token), address(wallet)))
        );
        vm.assertEq(wallet.answered(), 2 * entries);
        for (uint256 i; i < 2 * entries; ++i) {
            vm.assertEq(bytes32(wallet.answers(i)), bytes32(IMarketplace.Reentered.selector));
        }
        vm.assertEq(token.balanceOf(address(wallet)), PRICE);
        _balanced(address(token));
    }

    // ------------------------------------------------------------------------------------ permits

    /// @dev Whatever a permit does, the allowance decides.
    function test_permitThatFails() external harmless {
        for (uint256 kind; kind < 3; ++kind) {
            PermitToken token = new PermitToken();
            token.change(PermitToken.Permits(kind));
            token.mint(buyer, PRICE);
            Terms memory terms = _priced(address(token));
            bytes32 digest = _publish(seller, terms);
            Permit memory permit;
            permit.value = PRICE;
            bytes32[] memory keys = _keys(3);
            vm.expectRevert(_failed(address(token)));
            vm.prank(buyer);
            market.buyItemByPermit{gas: 20_000_000}(
                seller, terms, new bytes32[](0), digest, 0, keys, permit
            );
            vm.prank(buyer);
            token.approve(address(market), PRICE);
            vm.prank(buyer);
            market.buyItemByPermit{gas: 20_000_000}(
                seller, terms, new bytes32[](0), digest, 0, keys, permit
            );
            orders.push(_order(seller, buyer, terms, digest, keys, three));
            _balanced(address(token));
        }
    }

    // ---------------------------------------------------------------------------------- blocklists

    function test_blockedPayeeNamesAnother() external harmless {
        BlockingToken token = new BlockingToken();
        _credited(_ready(token));
        token.block_(buyer, true);
        vm.expectRevert(_failed(address(token)));
        _take(address(token), buyer);
        vm.assertEq(market.credits(buyer, address(token)), PRICE);
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE);
    }

    function test_blockedMarket() external harmless {
        BlockingToken token = new BlockingToken();
        _credited(_ready(token));
        token.block_(address(market), true);
        vm.expectRevert(_failed(address(token)));
        _take(address(token), stranger);
        _refused(_priced(address(token)), _failed(address(token)));
        token.block_(address(market), false);
        _take(address(token), stranger);
        vm.assertEq(token.balanceOf(stranger), PRICE);
    }

    function test_payeeOfZero() external harmless {
        PlainToken token = new PlainToken();
        token.mint(buyer, PRICE);
        vm.prank(buyer);
        token.approve(address(market), PRICE);
        _credited(_priced(address(token)));
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.ZeroAddress.selector));
        _take(address(token), address(0));
        _take(address(token), buyer);
    }

    /// @dev A credit in one token opens no other, however it came to be.
    function test_creditInOneTokenIsNoOther() external harmless {
        LyingToken token = new LyingToken();
        Terms memory terms = _ready(token);
        token.lie(0, PRICE);
        _credited(terms);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.NothingToWithdraw.selector));
        _take(address(_plain), stranger);
    }
}
