// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Marketplace} from "../../contracts/Marketplace.sol";
import {Escrow, Sale, Status, Windows} from "../../contracts/interfaces/IMarketplace.sol";
import {SaleWord} from "../../contracts/libraries/SaleWord.sol";

interface Vm {
    function prank(address sender) external;
    function roll(uint256 block_) external;
}

/// @notice The market, with a door to put a sale into any state.
contract OpenMarket is Marketplace {
    using SaleWord for uint256;

    constructor(Windows memory windows) Marketplace(windows, address(0), 1, 0) {}

    function put(bytes32 copyId, Sale calldata sale, Status status, uint32 parts, uint8 paid)
        external
    {
        uint256 word = SaleWord.purchased(keccak256(abi.encode(sale))).enter(status, 150);
        _sales[copyId] = word | uint256(parts) << 32 | uint256(paid) << 26;
    }
}

/// @notice Whatever the amounts, an end of a sale gives out what the sale holds: not a wei more, not
/// a wei less; and it ends the sale.
contract MoneyCheck {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant SELLER = address(0x5e11e4);
    address private constant BUYER = address(0xb0e4);
    address private constant ARBITRATOR = address(0xa4b1);
    address private constant TOKEN = address(0x70ce);
    bytes32 private constant COPY = keccak256("copy");
    uint64 private constant START = 1_000;

    OpenMarket private market;

    /// Of 24 bits: what is proved is who gets what, and a solver takes hours to see through sums of
    /// wider numbers. How wide they may be is for the fuzz and differential tests.
    struct Amounts {
        uint24 price;
        uint24 fee;
        uint24 penalty;
        uint24 bond;
    }

    function setUp() public {
        market = new OpenMarket(Windows(300, 100, 100, 1_000, 100, 100));
    }

    function _sale(Amounts memory a, address token)
        private
        pure
        returns (Sale memory sale, Escrow memory escrow)
    {
        escrow = Escrow(bytes32(0), bytes32(0), token, a.price, a.penalty, a.bond, ARBITRATOR);
        bytes32 hash = keccak256(abi.encode(escrow));
        sale = Sale(SELLER, BUYER, START, 0, false, 3, 2, a.fee, bytes32(0), hash);
    }

    /// @dev Of three parts two are there: one by a deliverer, one by the seller.
    function _open(Amounts memory a, address token, Status status)
        private
        returns (Sale memory sale, Escrow memory escrow)
    {
        (sale, escrow) = _sale(a, token);
        market.put(COPY, sale, status, 3, 1);
        VM.roll(START + 200);
    }

    /// @dev What is left of price and R, and the bond of a dispute, is all somebody's.
    function _conserved(Amounts memory a, address token, bool disputed) private view {
        uint256 coins = uint256(a.fee) + a.penalty + a.bond + (disputed ? a.bond : 0);
        uint256 given = market.sellerStakes(SELLER) + market.credits(BUYER, address(0))
            + market.credits(SELLER, address(0)) + market.credits(ARBITRATOR, address(0));
        if (token == address(0)) {
            assert(given == coins + a.price);
        } else {
            assert(given == coins);
            assert(market.credits(BUYER, token) + market.credits(SELLER, token) == a.price);
        }
        (Status status,,,,) = market.sales(COPY);
        assert(status >= Status.Settled);
    }

    function _rule(Amounts memory a, address token, uint256 toBuyer, bool awarded) private {
        (Sale memory sale, Escrow memory escrow) = _open(a, token, Status.Disputed);
        VM.prank(ARBITRATOR);
        market.resolveDispute(COPY, sale, escrow, toBuyer, awarded);
        _conserved(a, token, true);
    }

    function check_rulingForTheSellerNative(Amounts memory a) external {
        _rule(a, address(0), 0, false);
    }

    function check_rulingForTheBuyerNative(Amounts memory a, uint24 toBuyer) external {
        require(toBuyer != 0);
        _rule(a, address(0), toBuyer, false);
    }

    function check_rulingNativeWithPenalty(Amounts memory a, uint24 toBuyer) external {
        _rule(a, address(0), toBuyer, true);
    }

    function check_rulingToken(Amounts memory a, uint256 toBuyer, bool awarded) external {
        _rule(a, TOKEN, toBuyer, awarded);
    }

    function check_confirmNative(Amounts memory a) external {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Complete);
        VM.prank(BUYER);
        market.confirm(COPY, sale, escrow);
        _conserved(a, address(0), false);
    }

    function check_silenceNative(Amounts memory a) external {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Disputed);
        VM.roll(START + 251);
        market.settle(COPY, sale, escrow);
        _conserved(a, address(0), true);
    }

    function check_concedeCompleteNative(Amounts memory a) external {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Complete);
        VM.prank(SELLER);
        market.concede(COPY, sale, escrow);
        _conserved(a, address(0), false);
    }

    function _concede(Amounts memory a, address who) private {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Disputed);
        VM.prank(who);
        market.concede(COPY, sale, escrow);
        _conserved(a, address(0), true);
    }

    function check_sellerConcedesNative(Amounts memory a) external {
        _concede(a, SELLER);
    }

    function check_buyerConcedesNative(Amounts memory a) external {
        _concede(a, BUYER);
    }

    /// @notice A sale that has ended takes no call that would give out anything again.
    function check_finalIsFinal(
        Amounts memory a,
        uint8 final_,
        uint8 call,
        address who,
        uint32 block_
    ) external {
        require(final_ >= uint8(Status.Settled) && final_ <= uint8(Status.Resolved));
        (Sale memory sale, Escrow memory escrow) = _sale(a, address(0));
        market.put(COPY, sale, Status(final_), 3, 1);
        VM.roll(uint256(START) + block_);
        bytes memory data = call == 0
            ? abi.encodeCall(market.confirm, (COPY, sale, escrow))
            : call == 1
                ? abi.encodeCall(market.settle, (COPY, sale, escrow))
                : call == 2
                    ? abi.encodeCall(market.refund, (COPY, sale, escrow))
                    : call == 3
                        ? abi.encodeCall(market.concede, (COPY, sale, escrow))
                        : call == 4
                            ? abi.encodeCall(market.openDispute, (COPY, sale, escrow, bytes32(0)))
                            : abi.encodeCall(market.resolveDispute, (COPY, sale, escrow, 1, true));
        VM.prank(who);
        (bool good,) = address(market).call(data);
        assert(!good);
    }
}
