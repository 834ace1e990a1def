// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    Delivery,
    IMarketplace,
    Signature,
    Split,
    Status,
    Terms
} from "../../contracts/interfaces/IMarketplace.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice Drives a market at random, by people who try what they may not do as well.
/// @dev Calls that revert are swallowed; what must never happen is noted in `broken`.
contract Crowd is MarketTest {
    uint256 private constant MAX_ORDERS = 100;

    Order[] private _orders;
    /// Status last seen of each order.
    Status[] private _seen;
    address[] private _sellers;
    address[] private _buyers;
    address[] private _operators;
    address[] private _everybody;
    address private _arbitrator;
    address private _watchdog;
    string public broken;
    /// How many sales ended in each status.
    uint256[8] public ends;
    uint256 public deliveries;
    uint256 public proofsMade;

    constructor() {
        _deploy();
        _arbitrator = _someone("arbitrator");
        _watchdog = _someone("watchdog");
        relayer = _someone("relayer");
        stranger = _someone("stranger");
        for (uint256 i; i < 2; ++i) {
            address shop = _someone(["one", "two"][i]);
            _sellers.push(shop);
            vm.prank(shop);
            market.stakeAsSeller{value: 20 ether}();
            vm.prank(shop);
            market.setSellerOperator(_watchdog);
            _buyers.push(_someone(["buyer", "customer"][i]));
        }
        for (uint256 i; i < 3; ++i) {
            _operators.push(_deliverer(["alice", "bob", "carol"][i]));
        }
        _everybody.push(_arbitrator);
        _everybody.push(_watchdog);
        for (uint256 i; i < 2; ++i) {
            _everybody.push(_sellers[i]);
            _everybody.push(_buyers[i]);
        }
        for (uint256 i; i < 3; ++i) {
            _everybody.push(_operators[i]);
        }
    }

    function theMarket() external view returns (IMarketplace) {
        return market;
    }

    // ------------------------------------------------------------------------------- actions

    function buy(uint256 seed, uint128 price, uint128 penalty, uint128 bond) external {
        if (_orders.length == MAX_ORDERS) return;
        address shop = _sellers[seed % 2];
        // A seller may buy from itself.
        address customer = seed % 11 == 0 ? shop : _buyers[(seed >> 8) % 2];
        address[] memory deliverers = new address[](1 + (seed >> 16) % 5);
        for (uint256 i; i < deliverers.length; ++i) {
            deliverers[i] = _operators[(seed >> (24 + i)) % 3];
        }
        uint8 threshold = uint8(1 + (seed >> 40) % deliverers.length);
        address judge = (seed >> 48) % 4 == 0 ? address(0) : _arbitrator;
        Terms memory terms = _terms(deliverers, threshold, judge);
        terms.price = price % 3 ether;
        terms.commission = (seed >> 56) % 3 == 0 ? terms.price : terms.price / 7;
        terms.penalty = penalty % 2 ether;
        terms.bond = bond % 2 ether;
        try this.purchase(shop, customer, terms, deliverers) returns (Order memory order) {
            _orders.push(order);
            _seen.push(Status.Purchased);
        } catch {}
    }

    function purchase(address shop, address customer, Terms memory terms, address[] memory who)
        external
        returns (Order memory)
    {
        return _buy(shop, customer, terms, who);
    }

    function deliver(uint256 seed) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        uint256 index = (seed >> 8) % order.sale.parts;
        address by = order.deliverers[index];
        if ((seed >> 16) % 4 == 0) by = _watchdog;
        if ((seed >> 16) % 16 == 1) by = order.sale.seller;
        if ((seed >> 16) % 16 == 2) by = order.sale.buyer;
        uint256 offset = _block() - order.sale.purchaseBlock;
        uint256 age = _time() - order.sale.purchaseTime;
        Delivery memory delivery =
            (seed >> 24) % 3 == 0 ? _junk(order, index) : _delivery(order, index);
        if ((seed >> 32) % 3 == 0) delivery = _replacement(order, index);
        Signature memory signature = _signed(delivery, by);
        try market.deliverFragment(delivery, signature) {
            ++deliveries;
            if (by != order.deliverers[index] && offset <= 100) broken = "fallback before 101";
            if (age > REFUND) broken = "delivery after the last second";
            if (by == order.deliverers[index] && by != _watchdog && age > DELIVERY) {
                broken = "a deliverer after their time";
            }
            if (by == order.sale.buyer && by != order.sale.seller) {
                broken = "a stranger delivered";
            }
        } catch {}
        _watch(place);
    }

    function deliverBatch(uint256 seed) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        uint256 parts = order.sale.parts;
        Delivery[] memory batch = new Delivery[](parts + 1);
        for (uint256 i; i <= parts; ++i) {
            batch[i] = _delivery(order, i % parts);
        }
        address by = (seed >> 8) % 2 == 0 ? _watchdog : order.deliverers[0];
        Signature memory signature = _signed(batch, by);
        try market.deliverFragments(batch, signature) {
            ++deliveries;
        } catch {}
        _watch(place);
    }

    function close(uint256 seed) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        address by = _everybody[(seed >> 8) % _everybody.length];
        if ((seed >> 16) % 2 == 0) by = order.sale.buyer;
        uint256 what = (seed >> 24) % 4;
        (Status status, uint32 delivered,,,,) = market.sales(order.copyId);
        (, uint32 cleared,) = market.marks(order.copyId);
        vm.prank(by);
        if (what == 0) {
            try market.confirm(order.copyId, order.sale, order.escrow) {
                if (by != order.sale.buyer) broken = "confirmed by another";
                _closedWell(order, delivered | cleared);
            } catch {}
        } else if (what == 1) {
            try market.settle(order.copyId, order.sale, order.escrow) {
                _closedWell(order, delivered | cleared);
            } catch {}
        } else if (what == 2) {
            try market.refund(order.copyId, order.sale, order.escrow) {
                if (_time() <= order.sale.purchaseTime + REFUND) broken = "refunded early";
            } catch {}
        } else {
            try market.concede(order.copyId, order.sale, order.escrow) {
                if (by != order.sale.seller && by != order.sale.buyer) {
                    broken = "conceded by another";
                }
                if (status == Status.Complete) _closedWell(order, delivered | cleared);
            } catch {}
        }
        _watch(place);
    }

    /// @dev Nothing but a refund closes a sale before its gate.
    function _closedWell(Order memory order, uint32 delivered) private {
        bool all = delivered == (uint256(1) << order.sale.parts) - 1;
        if (!all && _block() <= order.sale.purchaseBlock + 100) broken = "closed before gate";
    }

    function dispute(uint256 seed) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        // Often as soon as it can be: the buyer's time is short beside the crowd's pauses.
        if (_parts(order) >= order.sale.threshold && (seed >> 16) % 4 != 0) _skip(101);
        vm.prank(order.sale.buyer);
        try market.openDispute{value: order.escrow.bond}(
            order.copyId, order.sale, order.escrow, 0
        ) {}
            catch {}
        _watch(place);
    }

    function rule(uint256 seed, uint256 toBuyer) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        if (order.escrow.price != 0) toBuyer %= uint256(order.escrow.price) + 1;
        vm.prank(_arbitrator);
        try market.resolveDispute(
            order.copyId, order.sale, order.escrow, toBuyer, (seed >> 8) % 2 == 0
        ) {}
            catch {}
        _watch(place);
    }

    function wait_(uint256 seed) external {
        _skip(1 + seed % ((seed >> 8) % 4 == 0 ? 150 : 10));
        if ((seed >> 16) % 24 == 0) _wait(1 + (seed >> 24) % ARBITRATION);
    }

    /// @dev The buyer proves what was delivered or only signed, by deliverers or by the seller.
    function prove(uint256 seed) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        uint256 index = (seed >> 8) % order.sale.parts;
        Delivery memory part =
            (seed >> 16) % 4 == 0 ? _delivery(order, index) : _junk(order, index);
        bool sellers = (seed >> 24) % 3 == 0;
        uint256 before = market.burnt();
        try this.proveIt(order, part, sellers) {
            if (keccak256(part.fragment) == keccak256(FRAGMENT)) broken = "a good part punished";
            if (!sellers && market.burnt() < before) broken = "burnt less";
            ++proofsMade;
        } catch {}
        _watch(place);
    }

    function proveIt(Order memory order, Delivery memory part, bool sellers) external {
        if (sellers) _proveSellers(order, part);
        else _prove(order, part);
    }

    function agree(uint256 seed, uint256 toBuyer, uint256 penalty, uint256 toArbitrator) external {
        if (_orders.length == 0) return;
        (uint256 place, Order memory order) = _pick(seed);
        Split memory split = Split(
            toBuyer % (uint256(order.escrow.price) + 2),
            penalty % (uint256(order.escrow.penalty) + 2),
            (seed >> 16) % 2 == 0 ? 0 : toArbitrator % (2 * uint256(order.escrow.bond) + 2),
            _time()
        );
        try this.agreeIt(order, split) {} catch {}
        _watch(place);
    }

    function agreeIt(Order memory order, Split memory split) external {
        _agree(order, split);
    }

    function restake(uint256 seed, uint96 amount) external {
        address shop = _sellers[seed % 2];
        amount %= 30 ether;
        vm.prank(shop);
        if ((seed >> 8) % 2 == 0) {
            try market.stakeAsSeller{value: amount}() {} catch {}
        } else {
            try market.withdrawSellerStake(amount, shop) {} catch {}
        }
    }

    function moveDeliverer(uint256 seed) external {
        address operator = _operators[seed % 3];
        uint256 what = (seed >> 8) % 6;
        vm.prank(operator);
        if (what == 0) {
            try market.requestExit(operator) {} catch {}
        } else if (what == 1) {
            try market.cancelExit(operator) {} catch {}
        } else if (what == 2) {
            try market.withdrawDelivererStake(operator, operator) {} catch {}
        } else if (what == 3) {
            try market.withdrawEarnings(operator, operator) {} catch {}
        } else if (what == 4) {
            try market.addDelivererStake{value: MIN_STAKE}(operator) {} catch {}
        } else {
            try market.stakeAsDeliverer{value: MIN_STAKE}(KEY, _possession()) {} catch {}
        }
    }

    function withdraw(uint256 seed) external {
        address who = _everybody[seed % _everybody.length];
        vm.prank(who);
        try market.withdraw(address(0), who) {} catch {}
    }

    function _parts(Order memory order) private view returns (uint256) {
        (, uint32 delivered,,,,) = market.sales(order.copyId);
        return _count(delivered);
    }

    // ----------------------------------------------------------------------------- judgement

    function _pick(uint256 seed) private view returns (uint256 place, Order memory order) {
        // Mostly a late one: the old ones are closed.
        uint256 late = _orders.length < 6 || seed % 13 == 0 ? _orders.length : 6;
        place = _orders.length - 1 - seed % late;
        return (place, _orders[place]);
    }

    /// @dev No state goes back, and a final one never changes.
    function _watch(uint256 place) private {
        Status before = _seen[place];
        (Status status,,,,,) = market.sales(_orders[place].copyId);
        if (status == before) return;
        if (before >= Status.Settled) broken = "a final state changed";
        bool cleared = before == Status.Complete && status == Status.Purchased;
        if (status < before && !cleared) broken = "a state went back";
        if (status == Status.Resolved && before != Status.Disputed) broken = "ruled undisputed";
        _seen[place] = status;
        ++ends[uint256(status)];
    }

    /// @notice Stakes, earnings, credits, and what open sales hold.
    function owed() external view returns (uint256 total) {
        for (uint256 i; i < _everybody.length; ++i) {
            address who = _everybody[i];
            (, uint256 stake, uint256 earned,,) = market.deliverers(who);
            total += stake + earned + market.sellerStakes(who) + market.credits(who, address(0));
        }
        for (uint256 i; i < _orders.length; ++i) {
            Order memory order = _orders[i];
            (Status status, uint32 delivered,,,,) = market.sales(order.copyId);
            if (status < Status.Purchased || status > Status.Disputed) continue;
            uint256 missing = order.sale.parts;
            (, uint32 cleared,) = market.marks(order.copyId);
            for (uint32 bits = delivered | cleared; bits != 0; bits &= bits - 1) {
                --missing;
            }
            total += order.escrow.price + missing * order.sale.fee + order.escrow.penalty
            + order.escrow.bond;
            if (status == Status.Disputed) total += order.escrow.bond;
        }
    }

    /// @notice Every state can be left, and every coin taken out, by its own people alone.
    function everybodyLeaves() external {
        _wait(200_000);
        for (uint256 i; i < _orders.length; ++i) {
            Order memory order = _orders[i];
            (Status status,,,,,) = market.sales(order.copyId);
            if (status == Status.Purchased) {
                market.refund(order.copyId, order.sale, order.escrow);
            } else if (status < Status.Settled) {
                market.settle(order.copyId, order.sale, order.escrow);
            }
        }
        for (uint256 i; i < _everybody.length; ++i) {
            address who = _everybody[i];
            (, uint256 stake, uint256 earned,, uint256 exitTime) = market.deliverers(who);
            uint256 free = market.sellerStakes(who);
            if (free != 0) {
                vm.prank(who);
                market.withdrawSellerStake(free, who);
            }
            if (market.credits(who, address(0)) != 0) {
                vm.prank(who);
                market.withdraw(address(0), who);
            }
            if (earned != 0) {
                vm.prank(who);
                market.withdrawEarnings(who, who);
            }
            if (stake != 0 && exitTime == 0) {
                vm.prank(who);
                market.requestExit(who);
            }
        }
        _wait(EXIT);
        for (uint256 i; i < _operators.length; ++i) {
            address who = _operators[i];
            if (market.delivererStakes(who) == 0) continue;
            vm.prank(who);
            market.withdrawDelivererStake(who, who);
        }
    }
}

/// @notice The market owes exactly what it has, whatever the crowd does.
contract SolvencyTest {
    /// The luck of the test does not reach this end of a sale.
    error NeverReached(uint256 status, uint256 times);

    bool public constant IS_TEST = true;
    Crowd private _crowd;
    IMarketplace private _market;
    uint256[8] private _reached;

    function setUp() public {
        _crowd = new Crowd();
        _market = _crowd.theMarket();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_crowd);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev Only the crowd's actions: not its readers, not `purchase`, not the great leave-taking.
    function targetSelectors() public view returns (FuzzSelector[] memory selectors) {
        bytes4[14] memory actions = [
            Crowd.buy.selector,
            Crowd.deliver.selector,
            Crowd.deliver.selector,
            Crowd.deliverBatch.selector,
            Crowd.close.selector,
            Crowd.dispute.selector,
            Crowd.rule.selector,
            Crowd.prove.selector,
            Crowd.prove.selector,
            Crowd.agree.selector,
            Crowd.wait_.selector,
            Crowd.restake.selector,
            Crowd.moveDeliverer.selector,
            Crowd.withdraw.selector
        ];
        selectors = new FuzzSelector[](1);
        selectors[0].addr = address(_crowd);
        selectors[0].selectors = new bytes4[](actions.length);
        for (uint256 i; i < actions.length; ++i) {
            selectors[0].selectors[i] = actions[i];
        }
    }

    /// @dev That the crowd is not idle: with luck fixed, every end of a sale is reached.
    function test_crowdReachesEveryEnd() external {
        bytes4[] memory actions = targetSelectors()[0].selectors;
        for (uint256 i; i < 4000; ++i) {
            uint256 luck = uint256(keccak256(abi.encode("luck", i)));
            bytes4 action = actions[luck % actions.length];
            (bool good,) = address(_crowd)
                .call(
                    abi.encodePacked(
                        action,
                        luck,
                        uint256(uint80(luck >> 8)),
                        uint256(uint64(luck >> 16)),
                        uint256(uint64(luck >> 24))
                    )
                );
            assert(good);
            if (i % 50 == 0) invariant_balanceIsWhatIsOwed();
            // A new crowd now and then, as each buys only so much.
            if (i % 1000 == 999) {
                for (uint256 status = uint256(Status.Complete); status < 8; ++status) {
                    _reached[status] += _crowd.ends(status);
                }
                afterInvariant();
                setUp();
            }
        }
        for (uint256 status = uint256(Status.Complete); status < 8; ++status) {
            if (_reached[status] == 0) revert NeverReached(status, _reached[status]);
        }
    }

    /// forge-config: default.invariant.runs = 48
    /// forge-config: default.invariant.depth = 150
    function invariant_balanceIsWhatIsOwed() public view {
        assert(address(_market).balance == _crowd.owed() + _market.burnt());
        assert(bytes(_crowd.broken()).length == 0);
    }

    /// @dev After each run: nothing is stuck, and nothing is left.
    function afterInvariant() public {
        _crowd.everybodyLeaves();
        assert(address(_market).balance == _market.burnt());
    }
}
