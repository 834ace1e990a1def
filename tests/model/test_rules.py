"""Rules of slashes and of purchases that chance seldom meets exactly."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import pytest
from cases import Case, sell
from eth_abi.abi import encode
from reference import Item, Leaf
from world import ETHER, KEY, NO_POSSESSION, RULES, World, catalogue

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS

STAKE = ETHER // 10
# What one sale of `item` binds: two fees of 5, the penalty and the bond.
RESERVE = 2 * 5 + 6 + 7


@pytest.fixture(autouse=True)
def fresh(world: World) -> None:
    world.reset()


def do(world: World, who: str, function: str, *args: Any, value: int = 0, time: int = 0) -> int:
    """Sends a call that must succeed; the second that has it."""
    world.chain.reach_time(time)
    world.send(who, world.market, world.contract.call(function, *args), value)
    return world.chain.now


def said(world: World, who: str, function: str, *args: Any, value: int = 0, time: int = 0) -> Any:
    """The error with which a call would be refused in a second; None: it would succeed."""
    world.chain.reach_time(time)
    return world.attempt(who, world.market, world.contract.call(function, *args), value)


def view(world: World, name: str, *args: Any) -> Any:
    data = world.contract.call(name, *args)
    _, [answer] = world.chain.read(world.market, [(world.market, data)])
    return world.contract.result(name, answer)


def topics(world: World) -> list[bytes]:
    """What the market's logs of the newest block are called."""
    at = hex(world.chain.head)
    wanted = {"fromBlock": at, "toBlock": at, "address": world.market}
    return [bytes.fromhex(log["topics"][0][2:]) for log in world.chain.rpc("eth_getLogs", wanted)]


# ------------------------------------------------------------------------------------- slashes


def propose(world: World, amount: int = 7, time: int = 0) -> tuple[int, int]:
    """First and last second in which the new proposal can be executed."""
    args = (world.at["dan"], amount, world.at["ben"], bytes(32))
    first = do(world, "gov", "proposeSlashing", *args, time=time) + RULES.slash_delay
    return first, first + RULES.slash_lapse


def test_a_slash_has_a_first_and_a_last_second_and_happens_once(world: World) -> None:
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    first, last = propose(world)
    assert said(world, "ben", "executeSlashing", 1, time=first - 1) == "SlashTooEarly"
    assert said(world, "ben", "executeSlashing", 1, time=first) is None
    assert said(world, "ben", "executeSlashing", 1, time=last) is None
    assert said(world, "gov", "cancelSlashing", 1, time=last) is None
    assert said(world, "gov", "cancelSlashing", 1, time=last + 1) == "NoSlash"
    assert said(world, "ben", "executeSlashing", 1, time=last + 1) == "NoSlash"
    first, _ = propose(world)
    do(world, "ben", "executeSlashing", 2, time=first)
    assert said(world, "ben", "executeSlashing", 2) == "NoSlash"
    assert said(world, "gov", "cancelSlashing", 2) == "NoSlash"
    assert view(world, "credits", world.at["ben"], ZERO_ADDRESS) == 7
    assert view(world, "delivererStakes", world.at["dan"]) == STAKE - 7


def test_a_cancelled_slash_is_gone(world: World) -> None:
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    first, _ = propose(world)
    do(world, "gov", "cancelSlashing", 1)
    assert said(world, "gov", "cancelSlashing", 1) == "NoSlash"
    assert said(world, "ben", "executeSlashing", 1, time=first) == "NoSlash"
    assert said(world, "ben", "executeSlashing", 2, time=first) == "NoSlash"


@pytest.mark.parametrize("end", ["executeSlashing", "cancelSlashing"])
def test_the_last_open_slash_ends_the_freeze(world: World, end: str) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    exit_time = do(world, "dan", "requestExit", dan) + RULES.exit
    first, last = propose(world, time=exit_time - RULES.slash_delay)
    _, second = propose(world)
    assert second == last + 1
    leave = ("withdrawDelivererStake", dan, dan)
    do(world, "gov", end, 1, time=first)
    assert view(world, "frozenUntil", dan) == second
    assert said(world, "dan", *leave, time=exit_time + 9) == "StakeFrozen"
    do(world, "gov", end, 2)
    assert view(world, "frozenUntil", dan) == 0
    assert said(world, "dan", *leave) is None


def test_a_freeze_that_lapses_frees_the_stake_and_counts_no_more(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    exit_time = do(world, "dan", "requestExit", dan) + RULES.exit
    _, last = propose(world, time=exit_time)
    leave = ("withdrawDelivererStake", dan, dan)
    assert said(world, "dan", *leave, time=last) == "StakeFrozen"
    assert said(world, "dan", *leave, time=last + 1) is None
    # One that lapsed does not hold up the end of the next.
    first, _ = propose(world)
    do(world, "gov", "executeSlashing", 2, time=first)
    assert view(world, "frozenUntil", dan) == 0


def test_a_proposal_in_the_last_block_of_another_freezes_with_it(world: World) -> None:
    """Both count: the end of the first, in that very block, leaves the second's freeze."""
    dan, chain = world.at["dan"], world.chain
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    _, last = propose(world)
    chain.reach_time(last)
    args = (dan, 7, world.at["ben"], bytes(32))
    both = [
        world.contract.call("proposeSlashing", *args),
        world.contract.call("executeSlashing", 1),
    ]
    chain.together([(world.at["gov"], world.market, data) for data in both])
    assert chain.now == last
    assert view(world, "frozenUntil", dan) == last + RULES.slash_delay + RULES.slash_lapse


def test_a_row_of_slashes_freezes_no_longer_than_one(world: World) -> None:
    """A governor who proposes again and again holds no stake beyond the exit's delay and one."""
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    exit_time = do(world, "dan", "requestExit", dan) + RULES.exit
    end = exit_time + RULES.slash_delay + RULES.slash_lapse
    propose(world, time=exit_time)
    propose(world, time=end - 9)
    leave = ("withdrawDelivererStake", dan, dan)
    assert view(world, "frozenUntil", dan) == end
    assert said(world, "dan", *leave, time=end) == "StakeFrozen"
    assert said(world, "dan", *leave, time=end + 1) is None


def test_a_slash_takes_what_stood_at_the_proposal(world: World) -> None:
    """Stake that left since is gone, stake that came since is not its: no second proposal on it."""
    dan, dee = world.at["dan"], world.at["dee"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    first, _ = propose(world, STAKE)
    propose(world, STAKE - 3)
    do(world, "dee", "addDelivererStake", dan, value=9)
    do(world, "ben", "executeSlashing", 1, time=first + 1)
    assert view(world, "delivererStakes", dan) == 9
    do(world, "ben", "executeSlashing", 2, time=first + 1)
    assert view(world, "delivererStakes", dan) == 9
    assert view(world, "credits", world.at["ben"], ZERO_ADDRESS) == STAKE
    assert dee


def test_what_a_fine_took_a_slash_does_not(world: World) -> None:
    """Nor does the slash reach into stake that was added after the fine."""
    case = sell(world)
    dan = world.at["dan"]
    first, _ = propose(world, STAKE)
    case.do("bea", case.proof(0))
    left = STAKE - RULES.junk_fine
    assert view(world, "delivererStakes", dan) == left
    do(world, "dee", "addDelivererStake", dan, value=ETHER)
    do(world, "ben", "executeSlashing", 1, time=first)
    assert view(world, "delivererStakes", dan) == ETHER
    assert view(world, "credits", world.at["ben"], ZERO_ADDRESS) == left


def test_what_left_a_stake_before_a_proposal_counts_for_nothing(world: World) -> None:
    case = sell(world)
    case.do("bea", case.proof(0))
    left = STAKE - RULES.junk_fine
    first, _ = propose(world, ETHER)
    do(world, "ben", "executeSlashing", 1, time=first)
    assert view(world, "delivererStakes", world.at["dan"]) == 0
    assert view(world, "credits", world.at["ben"], ZERO_ADDRESS) == left


def test_a_stake_that_left_and_came_anew_is_another(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    exit_time = do(world, "dan", "requestExit", dan) + RULES.exit
    end = exit_time + RULES.slash_delay + RULES.slash_lapse
    propose(world, time=exit_time)
    first, last = propose(world, time=end - 9)
    do(world, "dan", "withdrawDelivererStake", dan, dan, time=end + 1)
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    do(world, "ben", "executeSlashing", 2, time=first)
    assert view(world, "delivererStakes", dan) == STAKE
    assert last > first


# -------------------------------------------------------------------------------------- stakes


@pytest.fixture
def richest(world: World) -> None:
    for who in ("sam", "dan"):
        world.chain.rpc("anvil_setBalance", world.at[who], hex(2**98))


@pytest.mark.usefixtures("richest")
def test_a_sellers_stake_fits_its_bits(world: World) -> None:
    assert said(world, "sam", "stakeAsSeller", value=2**96) == "AmountTooLarge"
    assert said(world, "sam", "stakeAsSeller", value=2**96 - 1) is None
    do(world, "sam", "stakeAsSeller", value=2**96 - 2)
    assert said(world, "sam", "stakeAsSeller", value=2) == "AmountTooLarge"
    do(world, "sam", "stakeAsSeller", value=1)
    assert view(world, "sellerStakes", world.at["sam"]) == 2**96 - 1


@pytest.mark.usefixtures("richest")
def test_a_deliverers_stake_fits_its_bits(world: World) -> None:
    dan, register = world.at["dan"], ("stakeAsDeliverer", KEY, NO_POSSESSION)
    assert said(world, "dan", *register, value=2**88) == "AmountTooLarge"
    assert said(world, "dan", *register, value=2**88 - 1) is None
    do(world, "dan", *register, value=2**88 - 2)
    assert said(world, "dan", "addDelivererStake", dan, value=2) == "AmountTooLarge"
    do(world, "dan", "addDelivererStake", dan, value=1)
    assert view(world, "delivererStakes", dan) == 2**88 - 1


def test_a_store_has_a_document(world: World) -> None:
    do(world, "sam", "stakeAsSeller", value=2 * ETHER)
    assert said(world, "sam", "createStore", bytes(32), keccak(b"root")) == "EmptyStore"
    assert said(world, "sam", "updateStore", keccak(b"a"), keccak(b"root")) == "NoStore"
    do(world, "sam", "createStore", keccak(b"a"), keccak(b"root"))
    assert said(world, "sam", "createStore", keccak(b"b"), keccak(b"root")) == "StoreExists"
    assert said(world, "sam", "updateStore", bytes(32), keccak(b"root")) == "EmptyStore"


def test_nothing_is_sent_to_nobody(world: World) -> None:
    nobody = ZERO_ADDRESS
    dan = world.at["dan"]
    do(world, "sam", "stakeAsSeller", value=2 * ETHER)
    assert said(world, "sam", "withdrawSellerStake", 1, nobody) == "ZeroAddress"
    assert (
        said(world, "dan", "stakeAsDelivererFor", nobody, KEY, NO_POSSESSION, value=STAKE)
        == "ZeroAddress"
    )
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    exit_time = do(world, "dan", "requestExit", dan) + RULES.exit
    leave = ("withdrawDelivererStake", dan)
    assert said(world, "dan", *leave, nobody, time=exit_time) == "ZeroAddress"
    assert said(world, "dan", *leave, dan, time=exit_time) is None


def test_two_withdrawals_of_one_transaction_do_not_lock_each_other_out(world: World) -> None:
    do(world, "wal", "stakeAsSeller", value=2 * ETHER)
    pay = world.contract.call("withdrawSellerStake", 1, world.at["ben"])
    both = world.wallet.call("runBoth", world.market, pay, pay)
    world.chain.send(world.chain.accounts[0], world.at["wal"], both)
    assert view(world, "sellerStakes", world.at["wal"]) == 2 * ETHER - 2


# ---------------------------------------------------------------------------------- deliverers


def test_an_owner_is_named_only_where_it_is_somebody_else(world: World) -> None:
    dan, dee = world.at["dan"], world.at["dee"]
    named = keccak(b"DelivererOwnerSet(address,address)")
    do(world, "dan", "stakeAsDelivererFor", dan, KEY, NO_POSSESSION, value=STAKE)
    assert named not in topics(world)
    do(world, "dee", "stakeAsDelivererFor", dan, KEY, NO_POSSESSION, value=STAKE)
    assert named in topics(world)
    assert said(world, "dan", "requestExit", dan) is None
    assert said(world, "dan", "requestExit", dee) is None
    assert said(world, "dee", "requestExit", dee) == "NotAllowed"


def test_a_new_key_is_announced_by_operator_or_owner(world: World) -> None:
    """What it is, and whose, clients see by its possession."""
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDelivererFor", world.at["dee"], KEY, NO_POSSESSION, value=STAKE)
    rotate = ("rotateDelivererKey", dan, bytes(32), NO_POSSESSION)
    assert said(world, "dan", *rotate) is None
    assert said(world, "dee", *rotate) is None
    assert said(world, "dot", *rotate) == "NotAllowed"


def test_an_exit_that_is_cancelled_is_none(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    assert said(world, "dan", "cancelExit", dan) == "ExitNotRequested"
    first = do(world, "dan", "requestExit", dan) + RULES.exit
    assert said(world, "dan", "requestExit", dan) == "ExitRequested"
    do(world, "dan", "cancelExit", dan)
    assert said(world, "dan", "cancelExit", dan) == "ExitNotRequested"
    leave = ("withdrawDelivererStake", dan, dan)
    assert said(world, "dan", *leave, time=first) == "ExitNotRequested"
    assert said(world, "dan", "requestExit", dan) is None


def test_earnings_fit_their_bits(world: World) -> None:
    """Whose earnings are full withdraws them, and goes on. (Out of reach of all coins: a stake of
    ten fees has fewer bits; so the word is written.)"""
    case = sell(world)
    fee, most = case.one.sale.fee, 2**96 - 1
    place = "0x" + keccak(encode(["address", "uint256"], [world.at["dan"], 1])).hex()
    word = int(world.chain.rpc("eth_getStorageAt", world.market, place, "latest"), 16)
    assert word == STAKE, "stakes stand elsewhere"
    for earned, refusal in ((most - fee + 1, "AmountTooLarge"), (most - fee, None)):
        full = "0x" + (word | earned << 88).to_bytes(32, "big").hex()
        world.chain.rpc("anvil_setStorageAt", world.market, place, full)
        assert view(world, "deliverers", world.at["dan"])[2] == earned
        assert case.said("ben", case.part(0)) == refusal


def test_a_stake_stands_for_ten_fees(world: World) -> None:
    fee = STAKE // 10
    for more, refusal in ((0, None), (1, "NotEligible")):
        case = sell(world, token="usd", commission=2 * (fee + more))
        assert case.said("ben", case.part(0)) == refusal


# --------------------------------------------------------------------------------------- fines


@pytest.mark.parametrize(("fee", "fine"), [(5, RULES.junk_fine), (STAKE // 11, STAKE // 11 * 10)])
def test_a_fine_is_ten_fees_or_the_least_of_which_a_fifth_is_the_buyers(
    world: World, fee: int, fine: int
) -> None:
    case = sell(world, token="usd", commission=2 * fee)
    case.do("ben", case.part(0, good=False))
    case.do("bea", case.proof(0))
    assert view(world, "delivererStakes", world.at["dan"]) == STAKE - fine
    assert view(world, "deliverers", world.at["dan"])[2] == fee
    assert view(world, "credits", world.at["bea"], ZERO_ADDRESS) == fine // 5
    assert view(world, "burnt") == fine - fine // 5


def test_a_fine_goes_as_far_as_stake_and_earnings_go(world: World) -> None:
    fee = STAKE // 11
    case = sell(world, token="usd", commission=4 * fee, n=4, deliverers=("dan",) * 4)
    for index in range(4):
        case.do("ben", case.part(index, good=False))
    taken = []
    for index in range(3):
        before = view(world, "burnt") + view(world, "credits", world.at["bea"], ZERO_ADDRESS)
        case.do("bea", case.proof(index))
        taken.append(
            view(world, "burnt") + view(world, "credits", world.at["bea"], ZERO_ADDRESS) - before
        )
    assert taken == [10 * fee, STAKE - 10 * fee + 4 * fee, 0]
    assert view(world, "deliverers", world.at["dan"])[1:3] == (0, 0)


def test_a_proof_names_the_key_that_every_later_one_names(world: World) -> None:
    case = sell(world)
    case.do("ben", case.part(0, good=False))
    case.do("bea", case.proof(0, fresh="one"))
    assert case.said("bea", case.proof(0, fresh="one")) == "AlreadyPunished"
    assert case.said("bea", case.proof(1, fresh="other")) == "WrongFreshKey"
    assert case.said("bea", case.proof(1, fresh="one")) is None
    assert case.said("ben", case.proof(1, fresh="one")) == "NotAllowed"
    assert case.said("bea", case.proof(1, fresh="one", signer="dan")) == "NotTheDeliverers"


def test_a_replacement_is_sealed_to_the_fresh_key_and_a_fallback_to_the_first(
    world: World,
) -> None:
    case: Case = sell(world, deliverers=("dan", "dee"))
    case.do("ben", case.part(0, good=False))
    case.do("bea", case.proof(0))
    case.until(case.gate, 0)
    assert case.said("ben", case.part(0, "sam", fresh="another")) == "WrongFreshKey"
    assert case.said("ben", case.part(1, "sam", fresh="fresh")) == "WrongFreshKey"
    assert case.said("ben", case.part(0, "sam", fresh="fresh")) is None
    assert case.said("ben", case.part(0, "sam")) is None
    do(world, "ben", "addDelivererStake", world.at["dan"], value=STAKE)
    assert case.said("ben", case.part(0)) == "IndexPunished"


# ----------------------------------------------------------------------------------- purchases


def open_shop(
    world: World, *, stake: int, token: str = "", price: int = 100, salt: bytes = bytes(32)
) -> tuple[Any, ...]:
    """A store with one item of two parts; what `buyItem` wants of it."""
    item = Item("a code", token, price, 10, 6, 7, 3, 2, 1, "art")
    leaves = [Leaf(i, who, "key", "key") for i, who in enumerate(("dan", "dee"))]
    goods = world.goods(item, False, [leaves], salt)
    tree, digest = catalogue([goods]), keccak(b"document")
    do(world, "sam", "stakeAsSeller", value=2 * ETHER)
    do(world, "sam", "createStore", digest, tree.root)
    do(world, "sam", "withdrawSellerStake", 2 * ETHER - stake, world.at["sam"])
    return world.at["sam"], astuple(goods.terms), [], digest, 0, [KEY] * 2


def test_the_price_is_the_least_and_more_comes_back(world: World) -> None:
    args = open_shop(world, stake=RESERVE)
    assert said(world, "bea", "buyItem", *args, value=99) == "Underpaid"
    do(world, "bea", "buyItem", *args, value=103)
    assert view(world, "credits", world.at["bea"], ZERO_ADDRESS) == 3
    assert view(world, "sellerStakes", world.at["sam"]) == 0


def test_a_purchase_binds_what_the_seller_has_and_no_more(world: World) -> None:
    args = open_shop(world, stake=RESERVE - 1)
    assert said(world, "bea", "buyItem", *args, value=100) == "SellerStakeTooLow"
    do(world, "sam", "stakeAsSeller", value=1)
    assert said(world, "bea", "buyItem", *args, value=100) is None


def test_each_part_has_a_key_and_each_key_is_one(world: World) -> None:
    seller, terms, proof, digest, copy, keys = open_shop(world, stake=RESERVE)
    for wrong, name in (
        (keys[:1], "WrongKeyCount"),
        ([*keys, KEY], "WrongKeyCount"),
        ([KEY, bytes(32)], "InvalidKey"),
    ):
        args = (seller, terms, proof, digest, copy, wrong)
        assert said(world, "bea", "buyItem", *args, value=100) == name


def test_a_token_is_looked_at_only_where_there_is_a_price(world: World) -> None:
    # Nobody's address: no code stands there.
    world.token_at["none"] = "0x" + "77" * 20
    args = open_shop(world, stake=RESERVE, token="none", price=0)
    assert said(world, "bea", "buyItem", *args) is None
    assert said(world, "bea", "buyItem", *args, value=1) == "CoinsWithToken"
    world.reset()
    args = open_shop(world, stake=RESERVE, token="none", price=1)
    assert said(world, "bea", "buyItem", *args) == "TokenTransferFailed"


def test_a_token_that_gives_less_than_the_price_is_refused(world: World) -> None:
    args = open_shop(world, stake=RESERVE, token="usd")
    allow = world.token.call("approve", world.market, 99)
    world.send("bea", world.token_at["usd"], allow)
    assert said(world, "bea", "buyItem", *args) == "TokenTransferFailed"
    world.send("bea", world.token_at["usd"], world.token.call("approve", world.market, 100))
    assert said(world, "bea", "buyItem", *args) is None
    world.send("bea", world.token_at["usd"], world.token.call("keep", 1))
    assert said(world, "bea", "buyItem", *args) == "TokenAmountWrong"


def test_two_calls_of_one_transaction_do_not_lock_each_other_out(world: World) -> None:
    """The lock is taken for a token, and given back."""
    args = open_shop(world, stake=2 * RESERVE, token="usd")
    calls = [world.contract.call("buyItem", *args[:4], copy, args[5]) for copy in (0, 1)]
    approve = world.token.call("approve", world.market, 200)
    world.send("wal", world.token_at["usd"], approve)
    both = world.wallet.call("runBoth", world.market, *calls)
    world.chain.send(world.chain.accounts[0], world.at["wal"], both)
    held = world.token.call("balanceOf", world.market)
    _, [answer] = world.chain.read(world.market, [(world.token_at["usd"], held)])
    assert int.from_bytes(answer, "big") == 200


def test_a_sealed_offer_is_for_the_copy_in_its_salt(world: World) -> None:
    salt = keccak(b"random")[:24] + (1).to_bytes(8, "big")
    seller, terms, proof, digest, _, keys = open_shop(world, stake=RESERVE, salt=salt)
    for copy, name in ((0, "SealedForAnotherCopy"), (1, None), (2, "SealedForAnotherCopy")):
        args = (seller, terms, proof, digest, copy, keys)
        assert said(world, "bea", "buyItem", *args, value=100) == name
