// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IMarketplace, Setup, Windows} from "../../../contracts/interfaces/IMarketplace.sol";
import {Vm} from "../Base.sol";
import {EntryPoints} from "../EntryPoints.sol";
import {LyingToken, RebasingToken, SilentToken} from "../tokens/OddTokens.sol";
import {PlainToken} from "../tokens/PlainToken.sol";
import {ReentrantToken} from "../tokens/ReentrantToken.sol";
import {StubProofs} from "./StubProofs.sol";

/// @notice A party without a key: takes no coins, or enters the market while it is paid; and signs by
/// ERC-1271 whatever comes with the hash of what it signs.
contract Party {
    address private immutable MARKET;
    bool private immutable REFUSES;
    uint256 private _next;
    /// Whether the market ever let it in.
    bool public entered;

    constructor(address market, bool refuses) {
        (MARKET, REFUSES) = (market, refuses);
    }

    receive() external payable {
        require(!REFUSES, "no coins");
        bytes[] memory entries = EntryPoints.all(address(this));
        bytes memory entry = entries[_next++ % entries.length];
        (bool good, bytes memory answer) = MARKET.call(entry);
        entered = entered || good || bytes4(answer) != IMarketplace.Reentered.selector;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        bool good =
            keccak256(signature) == keccak256(abi.encode("signed", address(this), hash));
        return good ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @notice A market with everybody in it, and what the model knows of everybody's money.
abstract contract Cast {
    /// What the model knows of a deliverer.
    struct Worker {
        address owner;
        /// By another than itself.
        bool owned;
        uint256 stake;
        uint256 earned;
        uint256 number;
        /// 0: no exit requested.
        uint256 exitTime;
        /// What ever left the stake.
        uint256 removed;
    }

    struct Proposal {
        address operator;
        address beneficiary;
        uint256 amount;
        uint256 stake;
        uint256 removed;
        uint256 firstTime;
        uint256 lastTime;
        bool ended;
    }

    /// The market allowed what the model forbids, or the other way round.
    error Allowed(string what, bool good, bool expected);
    error Differs(string what, uint256 market, uint256 model);
    error Reentered(address party);

    uint256 internal constant REFUND = 86_400;
    uint256 internal constant DELIVERY = 28_800;
    uint256 internal constant PROOF = 57_600;
    uint256 internal constant DISPUTE = 60_000;
    uint256 internal constant ARBITRATION = 90_000;
    uint256 internal constant DELAY = 20_000;
    uint256 internal constant LAPSE = 30_000;
    uint256 internal constant EXIT = 290_000;
    uint256 internal constant MIN_STAKE = 0.1 ether;
    uint256 internal constant JUNK_FINE = 0.005 ether;
    bytes32 internal constant KEY = bytes32(uint256(0x42 << 248));
    address internal constant SINK = address(0xbeef);
    /// As much as a part may pay at all: ten times that is a deliverer's first stake.
    uint256 internal constant MAX_FEE = 0.012 ether;

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    IMarketplace internal market;
    address internal governor;
    address internal stranger;
    address[] internal sellers;
    address[] internal operators;
    address[] internal buyers;
    address[] internal deliverers;
    address[] internal owners;
    address[] internal arbitrators;
    address[] internal cast;
    mapping(address => uint256) internal secrets;
    /// Native, two honest ones, one that enters the market; then those excepted from solvency.
    address[] internal tokens;
    uint256 internal honest;

    mapping(address account => mapping(address token => uint256)) internal credit;
    mapping(address seller => uint256) internal free;
    mapping(address seller => address) internal operatorOf;
    mapping(address operator => Worker) internal workers;
    uint256 internal burnt;
    Proposal[] internal proposals;
    /// What came without a call: it belongs to nobody.
    mapping(address token => uint256) internal forced;
    /// How often what happened: a run that reaches nothing proves nothing.
    mapping(string what => uint256) public times;

    constructor() {
        vm.roll(1000);
        vm.warp(1_800_000_000);
        governor = _account("governor");
        stranger = _account("stranger");
        _deploy();
        tokens.push(address(0));
        tokens.push(address(new PlainToken()));
        tokens.push(address(new SilentToken()));
        tokens.push(address(new ReentrantToken()));
        honest = tokens.length;
        tokens.push(address(new RebasingToken()));
        tokens.push(address(new LyingToken()));
        _castPeople();
    }

    function _deploy() private {
        Windows memory windows = Windows({
            refund: uint64(REFUND),
            dispute: uint64(DISPUTE),
            arbitration: uint64(ARBITRATION),
            exit: uint64(EXIT),
            slashDelay: uint64(DELAY),
            slashLapse: uint64(LAPSE)
        });
        Setup memory setup = Setup(windows, governor, MIN_STAKE, 0, JUNK_FINE, new StubProofs());
        market = IMarketplace(vm.deployCode("Marketplace.sol:Marketplace", abi.encode(setup)));
    }

    function _castPeople() private {
        sellers.push(_account("seller 0"));
        sellers.push(_account("seller 1"));
        sellers.push(_party(true));
        sellers.push(_party(false));
        buyers.push(_account("buyer 0"));
        buyers.push(_account("buyer 1"));
        buyers.push(_party(true));
        buyers.push(_party(false));
        // A seller may buy, even from itself.
        buyers.push(sellers[0]);
        arbitrators.push(_account("arbitrator"));
        arbitrators.push(_party(false));
        // The last one is named in no leaf: after an exit nothing is left of it.
        string[5] memory names = ["alice", "bob", "carol", "dave", "erin"];
        for (uint256 i; i < names.length; ++i) {
            deliverers.push(_account(names[i]));
            owners.push(
                i == 1 ? _party(false) : i == 2 || i == 3 ? _account("owner") : deliverers[i]
            );
            _register(i);
        }
        // One operator for two sellers, and one that is a deliverer, too.
        string[3] memory watchdogs = ["watchdog 0", "watchdog 1", "watchdog 1"];
        for (uint256 i; i < sellers.length; ++i) {
            operators.push(i == 3 ? deliverers[3] : _account(watchdogs[i]));
            _appoint(sellers[i], operators[i]);
            vm.prank(sellers[i]);
            market.stakeAsSeller{value: 20 ether}();
            free[sellers[i]] = 20 ether;
        }
    }

    function _account(string memory name) private returns (address who) {
        uint256 secret = uint256(keccak256(bytes(name)));
        who = vm.addr(secret);
        secrets[who] = secret;
        _join(who);
    }

    function _party(bool refuses) private returns (address who) {
        who = address(new Party(address(market), refuses));
        _join(who);
    }

    function _join(address who) private {
        for (uint256 i; i < cast.length; ++i) {
            if (cast[i] == who) return;
        }
        cast.push(who);
        vm.deal(who, 1e9 ether);
    }

    function _register(uint256 i) internal {
        bytes32[2] memory possession;
        vm.startPrank(deliverers[i], deliverers[i]);
        if (owners[i] == deliverers[i]) {
            market.stakeAsDeliverer{value: MIN_STAKE}(KEY, possession);
        } else {
            market.stakeAsDelivererFor{value: MIN_STAKE}(owners[i], KEY, possession);
        }
        vm.stopPrank();
        workers[deliverers[i]].owner = owners[i];
        workers[deliverers[i]].owned = owners[i] != deliverers[i];
        workers[deliverers[i]].stake += MIN_STAKE;
    }

    function _appoint(address seller, address operator) internal {
        vm.prank(seller);
        market.setSellerOperator(operator);
        operatorOf[seller] = operator;
    }

    function _isParty(address who) internal view returns (bool) {
        return who.code.length != 0;
    }

    // -------------------------------------------------------------------------------- clocks

    function _block() internal view returns (uint256) {
        return vm.getBlockNumber();
    }

    function _time() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    /// @dev Some blocks, which last from no second at all to minutes.
    function _mine(uint256 blocks, uint256 secondsEach) internal {
        vm.roll(_block() + blocks);
        vm.warp(_time() + blocks * secondsEach);
    }

    /// @dev To a second, through as many blocks as 200 seconds each make.
    function _reach(uint256 time) internal {
        if (time <= _time()) return;
        vm.roll(_block() + 1 + (time - _time()) / 200);
        vm.warp(time);
    }

    function _random(uint256 seed, string memory what, uint256 below)
        internal
        pure
        returns (uint256)
    {
        return uint256(keccak256(abi.encode(seed, what))) % below;
    }

    function _same(string memory what, uint256 inMarket, uint256 inModel) internal pure {
        if (inMarket != inModel) revert Differs(what, inMarket, inModel);
    }

    // ---------------------------------------------------------------------------- the model

    function _stakeIsEnough(address who, uint256 fee) internal view returns (bool) {
        Worker storage worker = workers[who];
        uint256 least = 10 * fee > MIN_STAKE ? 10 * fee : MIN_STAKE;
        return worker.stake >= least && worker.exitTime == 0;
    }

    /// @dev Who owns itself, and has neither stake nor earnings nor a record, is nobody.
    function _isRegistered(Worker storage worker) internal view returns (bool) {
        return worker.owned || worker.stake + worker.earned + worker.number + worker.exitTime != 0;
    }

    /// @dev A fine in the model: from the stake, then from what was earned.
    function _fine(address who, uint256 fee, address buyer) internal {
        Worker storage worker = workers[who];
        uint256 fine = 10 * fee > JUNK_FINE ? 10 * fee : JUNK_FINE;
        uint256 fromStake = fine < worker.stake ? fine : worker.stake;
        uint256 rest = fine - fromStake;
        uint256 fromEarned = rest < worker.earned ? rest : worker.earned;
        worker.stake -= fromStake;
        worker.removed += fromStake;
        worker.earned -= fromEarned;
        uint256 bounty = (fromStake + fromEarned) / 5;
        credit[buyer][address(0)] += bounty;
        burnt += fromStake + fromEarned - bounty;
        if (fromStake + fromEarned < fine) ++times["fines beyond the stake"];
        if (fromEarned != 0) ++times["fines from earnings"];
    }

    /// @dev Everybody's money is what the model says, in an honest token.
    function _ledgerMatches(address token) internal view returns (uint256 owed) {
        for (uint256 i; i < cast.length; ++i) {
            uint256 has = market.credits(cast[i], token);
            _same("credit", has, credit[cast[i]][token]);
            owed += has;
        }
    }

    function _stakesMatch() internal view returns (uint256 owed) {
        for (uint256 i; i < sellers.length; ++i) {
            uint256 stake = market.sellerStakes(sellers[i]);
            _same("seller's stake", stake, free[sellers[i]]);
            owed += stake;
        }
        for (uint256 i; i < deliverers.length; ++i) {
            Worker storage worker = workers[deliverers[i]];
            (address owner, uint256 stake, uint256 earned, uint256 number, uint256 exitTime) =
                market.deliverers(deliverers[i]);
            address known = _isRegistered(worker) ? worker.owner : address(0);
            _same("owner", uint160(owner), uint160(known));
            _same("stake", stake, worker.stake);
            _same("earned", earned, worker.earned);
            _same("delivered", number, worker.number);
            _same("exit", exitTime, worker.exitTime);
            owed += stake + earned;
        }
        _same("burnt", market.burnt(), burnt);
        owed += burnt;
    }

    // ------------------------------------------------------------------------------ slashes

    function _isOpenSlash(Proposal storage p) internal view returns (bool) {
        return !p.ended && _time() <= p.lastTime;
    }

    /// @dev What an open proposal would take: of what stood when it was made, never of what came
    /// later.
    function _takes(Proposal storage p) internal view returns (uint256) {
        uint256 gone = workers[p.operator].removed - p.removed;
        uint256 left = gone < p.stake ? p.stake - gone : 0;
        return p.amount < left ? p.amount : left;
    }
}
