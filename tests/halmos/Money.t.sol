// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Marketplace} from "../../contracts/Marketplace.sol";
import {IProofs} from "../../contracts/interfaces/IProofs.sol";
import {
    Closure,
    Escrow,
    Sale,
    Setup,
    Split,
    Status,
    Windows
} from "../../contracts/interfaces/IMarketplace.sol";
import {SaleWord} from "../../contracts/libraries/SaleWord.sol";

interface Vm {
    function prank(address sender) external;
    function roll(uint256 block_) external;
    function warp(uint256 time) external;
}

/// @notice The market, with a door to put a sale into any state.
contract OpenMarket is Marketplace {
    using SaleWord for uint256;

    constructor(Setup memory setup) Marketplace(setup) {}

    /// @param since Seconds after the purchase.
    function put(
        bytes32 copyId,
        Sale calldata sale,
        Status status,
        uint256 since,
        uint32 parts,
        uint32 cleared
    ) external {
        uint256 word = SaleWord.purchased(keccak256(abi.encode(sale))).enter(status, since);
        _sales[copyId].value = (word | uint256(parts) << 32).withMark();
        _marks[copyId] = uint256(cleared) << 32 | cleared;
    }
}

/// @notice Whatever the amounts, an end of a sale gives out what the sale holds: not a wei more, not
/// a wei less; and it ends the sale.
contract MoneyCheck {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant BUYER = address(0xb0e4);
    address private constant ARBITRATOR = address(0xa4b1);
    address private constant TOKEN = address(0x70ce);
    bytes32 private constant COPY = keccak256("copy");
    uint64 private constant START = 1_000;
    uint64 private constant REFUND = 3_600;
    uint64 private constant DISPUTE = 2_400;
    uint64 private constant ARBITRATION = 90_000;
    /// When the state began.
    uint64 private constant SINCE = 150;

    OpenMarket private market;

    /// Of 24 bits: what is proved is who gets what. With fields of 128 bits a proof was not done in
    /// an hour. How wide amounts may be is for the fuzz and differential tests.
    struct Amounts {
        uint24 price;
        uint24 fee;
        uint24 penalty;
        uint24 bond;
    }

    function setUp() public {
        Windows memory windows = Windows(REFUND, DISPUTE, ARBITRATION, 110_000, 3_600, 3_600);
        // Any code will do: nothing here asks the verifier.
        market = new OpenMarket(Setup(windows, address(0), 1, 0, 1, IProofs(address(this))));
    }

    /// @dev This contract is the seller, and signs everything.
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return this.isValidSignature.selector;
    }

    function _sale(Amounts memory a, address token)
        private
        view
        returns (Sale memory sale, Escrow memory escrow)
    {
        escrow = Escrow(bytes32(0), bytes32(0), token, a.price, a.penalty, a.bond, ARBITRATOR);
        bytes32 hash = keccak256(abi.encode(escrow));
        sale = Sale({
            seller: address(this),
            buyer: BUYER,
            purchaseBlock: START,
            purchaseTime: START,
            copy: 0,
            stock: false,
            parts: 3,
            threshold: 1,
            fee: a.fee,
            partsRoot: bytes32(0),
            escrowHash: hash
        });
    }

    /// @dev Of three parts one is there, one was cleared, and one never came: two fees are paid.
    function _open(Amounts memory a, address token, Status status, uint256 later)
        private
        returns (Sale memory sale, Escrow memory escrow)
    {
        (sale, escrow) = _sale(a, token);
        market.put(COPY, sale, status, SINCE, 1, 2);
        VM.roll(START + 200);
        VM.warp(START + SINCE + later);
    }

    /// @dev What is left of price and R, and the bond of a dispute, is all somebody's.
    function _conserved(Amounts memory a, address token, bool disputed) private view {
        uint256 coins = uint256(a.fee) + a.penalty + a.bond + (disputed ? a.bond : 0);
        uint256 given = market.sellerStakes(address(this)) + market.credits(BUYER, address(0))
            + market.credits(address(this), address(0)) + market.credits(ARBITRATOR, address(0));
        if (token == address(0)) {
            assert(given == coins + a.price);
        } else {
            assert(given == coins);
            assert(market.credits(BUYER, token) + market.credits(address(this), token) == a.price);
        }
        (Status status,,,,,) = market.sales(COPY);
        assert(status >= Status.Settled);
    }

    // --------------------------------------------------------------------------------- rulings

    function _rule(Amounts memory a, address token, uint256 toBuyer, bool awarded) private {
        (Sale memory sale, Escrow memory escrow) = _open(a, token, Status.Disputed, 50);
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

    // ------------------------------------------------------------------- ends without a ruling

    function check_confirmNative(Amounts memory a) external {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Complete, 50);
        VM.prank(BUYER);
        market.confirm(COPY, sale, escrow);
        _conserved(a, address(0), false);
    }

    function check_silenceNative(Amounts memory a) external {
        (Sale memory sale, Escrow memory escrow) =
            _open(a, address(0), Status.Disputed, ARBITRATION + 1);
        market.settle(COPY, sale, escrow);
        _conserved(a, address(0), true);
    }

    /// @notice By time, alone or in a list: price and the whole penalty to the buyer.
    function check_refundNative(Amounts memory a, bool list) external {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Purchased, REFUND);
        if (list) {
            Closure[] memory closures = new Closure[](1);
            closures[0] = Closure(COPY, sale, escrow);
            market.closeMany(closures);
        } else {
            market.refund(COPY, sale, escrow);
        }
        assert(market.credits(BUYER, address(0)) == uint256(a.price) + a.penalty);
        _conserved(a, address(0), false);
    }

    function check_concedeCompleteNative(Amounts memory a) external {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Complete, 50);
        market.concede(COPY, sale, escrow);
        assert(market.credits(BUYER, address(0)) == uint256(a.price) + a.penalty);
        _conserved(a, address(0), false);
    }

    function _concede(Amounts memory a, address who, uint256 later) private {
        (Sale memory sale, Escrow memory escrow) = _open(a, address(0), Status.Disputed, later);
        VM.prank(who);
        market.concede(COPY, sale, escrow);
        _conserved(a, address(0), true);
        uint256 worked = later < ARBITRATION / 3 ? 0 : a.bond;
        assert(market.credits(ARBITRATOR, address(0)) == worked);
    }

    function check_sellerConcedesNative(Amounts memory a) external {
        _concede(a, address(this), ARBITRATION / 3 - 1);
    }

    function check_sellerConcedesLateNative(Amounts memory a) external {
        _concede(a, address(this), ARBITRATION / 3);
    }

    function check_buyerConcedesNative(Amounts memory a) external {
        _concede(a, BUYER, ARBITRATION / 3 - 1);
    }

    function check_buyerConcedesLateNative(Amounts memory a) external {
        _concede(a, BUYER, ARBITRATION / 3);
    }

    // ------------------------------------------------------------------------------ agreements

    function _agree(Amounts memory a, address token, Split memory split, Status status) private {
        (Sale memory sale, Escrow memory escrow) = _open(a, token, status, 50);
        split.deadline = type(uint256).max;
        VM.prank(BUYER);
        market.agree(COPY, sale, escrow, split, "", "");
        _conserved(a, token, status == Status.Disputed);
    }

    function check_agreementNative(Amounts memory a, uint24 toBuyer, uint24 penalty) external {
        _agree(a, address(0), Split(toBuyer, penalty, 0, 0), Status.Complete);
    }

    function check_agreementInADispute(Amounts memory a, uint24 penalty, uint24 toArbitrator)
        external
    {
        _agree(a, address(0), Split(0, penalty, toArbitrator, 0), Status.Disputed);
        assert(market.credits(ARBITRATOR, address(0)) == toArbitrator);
    }

    function check_agreementToken(Amounts memory a, uint24 toBuyer, uint24 toArbitrator) external {
        _agree(a, TOKEN, Split(toBuyer, 0, toArbitrator, 0), Status.Disputed);
    }

    // ----------------------------------------------------------------------------------- after

    /// @notice A sale that has ended takes no call that would give out anything again.
    function check_finalIsFinal(
        Amounts memory a,
        uint8 final_,
        uint8 call,
        address who,
        uint32 seconds_
    ) external {
        require(final_ >= uint8(Status.Settled) && final_ <= uint8(Status.Agreed));
        (Sale memory sale, Escrow memory escrow) = _sale(a, address(0));
        market.put(COPY, sale, Status(final_), SINCE, 1, 2);
        VM.roll(uint256(START) + 200);
        VM.warp(uint256(START) + seconds_);
        Closure[] memory closures = new Closure[](1);
        closures[0] = Closure(COPY, sale, escrow);
        Split memory split;
        bytes memory data;
        if (call == 0) {
            data = abi.encodeCall(market.confirm, (COPY, sale, escrow));
        } else if (call == 1) {
            data = abi.encodeCall(market.settle, (COPY, sale, escrow));
        } else if (call == 2) {
            data = abi.encodeCall(market.refund, (COPY, sale, escrow));
        } else if (call == 3) {
            data = abi.encodeCall(market.concede, (COPY, sale, escrow));
        } else if (call == 4) {
            data = abi.encodeCall(market.closeMany, (closures));
        } else if (call == 5) {
            data = abi.encodeCall(market.agree, (COPY, sale, escrow, split, "", ""));
        } else if (call == 6) {
            data = abi.encodeCall(market.openDispute, (COPY, sale, escrow, 0));
        } else {
            data = abi.encodeCall(market.resolveDispute, (COPY, sale, escrow, 1, true));
        }
        VM.prank(who);
        (bool good,) = address(market).call(data);
        assert(!good);
    }
}
