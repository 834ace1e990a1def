"""Rules of slashes and of purchases that chance seldom meets exactly."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import pytest
from reference import Item, Sale
from world import ETHER, GOOD_KEY, RULES, World

from dam.crypto.hashing import keccak, terms_leaf
from dam.crypto.merkle import MerkleTree
from dam.types import ZERO_ADDRESS

STAKE = ETHER // 10
# What one sale of `item` binds: two fees of 5, the penalty and the bond.
RESERVE = 2 * 5 + 6 + 7


@pytest.fixture(autouse=True)
def fresh(world: World) -> None:
    world.reset()


def do(world: World, who: str, function: str, *args: Any, value: int = 0, block: int = 0) -> int:
    """Sends a call that must succeed; the block that has it."""
    if block:
        world.chain.reach(block)
    world.send(who, world.market, world.contract.call(function, *args), value)
    return world.chain.head


def said(world: World, who: str, function: str, *args: Any, value: int = 0, block: int = 0) -> Any:
    """The error with which a call would be refused in a block; None: it would succeed."""
    if block:
        world.chain.reach(block)
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


def propose(world: World, amount: int = 7, block: int = 0) -> tuple[int, int]:
    """First and last block in which the new proposal can be executed."""
    args = (world.at["dan"], amount, world.at["ben"], bytes(32))
    first = do(world, "gov", "proposeSlashing", *args, block=block) + RULES.slash_delay
    return first, first + RULES.slash_lapse


def test_a_slash_has_a_first_and_a_last_block_and_happens_once(world: World) -> None:
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    first, last = propose(world)
    assert said(world, "ben", "executeSlashing", 1, block=first - 1) == "SlashTooEarly"
    assert said(world, "ben", "executeSlashing", 1, block=first) is None
    assert said(world, "ben", "executeSlashing", 1, block=last) is None
    assert said(world, "gov", "cancelSlashing", 1, block=last) is None
    assert said(world, "gov", "cancelSlashing", 1, block=last + 1) == "NoSlash"
    assert said(world, "ben", "executeSlashing", 1, block=last + 1) == "NoSlash"
    first, _ = propose(world)
    do(world, "ben", "executeSlashing", 2, block=first)
    assert said(world, "ben", "executeSlashing", 2) == "NoSlash"
    assert said(world, "gov", "cancelSlashing", 2) == "NoSlash"
    assert view(world, "credits", world.at["ben"], ZERO_ADDRESS) == 7
    assert view(world, "delivererStakes", world.at["dan"]) == STAKE - 7


def test_a_cancelled_slash_is_gone(world: World) -> None:
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    first, _ = propose(world)
    do(world, "gov", "cancelSlashing", 1)
    assert said(world, "gov", "cancelSlashing", 1) == "NoSlash"
    assert said(world, "ben", "executeSlashing", 1, block=first) == "NoSlash"
    assert said(world, "ben", "executeSlashing", 2, block=first) == "NoSlash"


@pytest.mark.parametrize("end", ["executeSlashing", "cancelSlashing"])
def test_the_last_open_slash_ends_the_freeze(world: World, end: str) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    exit_block = do(world, "dan", "requestExit", dan) + RULES.exit
    first, last = propose(world, block=exit_block - RULES.slash_delay)
    _, second = propose(world)
    assert second == last + 1
    leave = ("withdrawDelivererStake", dan, dan)
    do(world, "gov", end, 1, block=first)
    assert view(world, "frozenUntil", dan) == second
    assert said(world, "dan", *leave, block=exit_block + 9) == "StakeFrozen"
    do(world, "gov", end, 2)
    assert view(world, "frozenUntil", dan) == 0
    assert said(world, "dan", *leave) is None


def test_a_freeze_that_lapses_frees_the_stake_and_counts_no_more(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    exit_block = do(world, "dan", "requestExit", dan) + RULES.exit
    _, last = propose(world, block=exit_block)
    leave = ("withdrawDelivererStake", dan, dan)
    assert said(world, "dan", *leave, block=last) == "StakeFrozen"
    assert said(world, "dan", *leave, block=last + 1) is None
    # One that lapsed does not hold up the end of the next.
    first, _ = propose(world)
    do(world, "gov", "executeSlashing", 2, block=first)
    assert view(world, "frozenUntil", dan) == 0


def test_a_proposal_in_the_last_block_of_another_freezes_with_it(world: World) -> None:
    """Both count: the end of the first, in that very block, leaves the second's freeze."""
    dan, chain = world.at["dan"], world.chain
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    _, last = propose(world)
    chain.reach(last)
    args = (dan, 7, world.at["ben"], bytes(32))
    both = [
        world.contract.call("proposeSlashing", *args),
        world.contract.call("executeSlashing", 1),
    ]
    chain.together([(world.at["gov"], world.market, data) for data in both])
    assert chain.head == last
    assert view(world, "frozenUntil", dan) == last + RULES.slash_delay + RULES.slash_lapse


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
    dan, register = world.at["dan"], ("stakeAsDeliverer", GOOD_KEY)
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
    assert said(world, "dan", "stakeAsDelivererFor", nobody, GOOD_KEY, value=STAKE) == "ZeroAddress"
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    exit_block = do(world, "dan", "requestExit", dan) + RULES.exit
    leave = ("withdrawDelivererStake", dan)
    assert said(world, "dan", *leave, nobody, block=exit_block) == "ZeroAddress"
    assert said(world, "dan", *leave, dan, block=exit_block) is None


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
    do(world, "dan", "stakeAsDelivererFor", dan, GOOD_KEY, value=STAKE)
    assert named not in topics(world)
    do(world, "dee", "stakeAsDelivererFor", dan, GOOD_KEY, value=STAKE)
    assert named in topics(world)
    assert said(world, "dan", "requestExit", dan) is None
    assert said(world, "dan", "requestExit", dee) is None
    assert said(world, "dee", "requestExit", dee) == "NotAllowed"


def test_a_new_key_is_a_point(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    assert said(world, "dan", "rotateDelivererKey", dan, bytes(32)) == "InvalidKey"
    assert said(world, "dan", "rotateDelivererKey", dan, GOOD_KEY) is None


def test_an_exit_that_is_cancelled_is_none(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    assert said(world, "dan", "cancelExit", dan) == "ExitNotRequested"
    first = do(world, "dan", "requestExit", dan) + RULES.exit
    assert said(world, "dan", "requestExit", dan) == "ExitRequested"
    do(world, "dan", "cancelExit", dan)
    assert said(world, "dan", "cancelExit", dan) == "ExitNotRequested"
    leave = ("withdrawDelivererStake", dan, dan)
    assert said(world, "dan", *leave, block=first) == "ExitNotRequested"
    assert said(world, "dan", "requestExit", dan) is None


@pytest.mark.usefixtures("richest")
def test_earnings_fit_their_bits(world: World) -> None:
    """Whose earnings are full withdraws them, and goes on."""
    most, left = 2**96 - 1, 100
    fees = (most - left, left, left + 1)
    items = [Item(f"{fee}", "usd", 0, fee, 0, 0, 1, 1, 1, "") for fee in fees]
    goods = [world.goods(item, False, [["dan"]]) for item in items]
    tree = MerkleTree([terms_leaf(one.terms) for one in goods])
    digest = keccak(b"document")
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    do(world, "sam", "stakeAsSeller", value=most)
    do(world, "sam", "createStore", digest, tree.root)
    parts = []
    for item, one in zip(items, goods, strict=True):
        proof = tree.proof(terms_leaf(one.terms))
        do(
            world,
            "bea",
            "buyItem",
            world.at["sam"],
            astuple(one.terms),
            proof,
            digest,
            0,
            [GOOD_KEY],
        )
        sale = Sale(item, "sam", "bea", ("dan",), world.chain.head)
        parts.append(astuple(world.bought(sale, one, 0, digest).delivery(0)))
        if item is items[0]:
            do(world, "dan", "deliverFragment", parts[0])
            do(world, "sam", "stakeAsSeller", value=most - left)
    assert said(world, "dan", "deliverFragment", parts[2]) == "AmountTooLarge"
    do(world, "dan", "deliverFragment", parts[1])
    assert said(world, "dan", "deliverFragment", parts[2]) == "AmountTooLarge"
    do(world, "dan", "withdrawEarnings", world.at["dan"], world.at["dan"])
    assert said(world, "dan", "deliverFragment", parts[2]) is None


# ----------------------------------------------------------------------------------- purchases


def open_shop(world: World, *, stake: int, token: str = "", price: int = 100) -> tuple[Any, ...]:
    """A store with one item of two parts; what `buyItem` wants of it."""
    item = Item("a code", token, price, 10, 6, 7, 3, 2, 1, "art")
    goods = world.goods(item, False, [["dan", "dee"]])
    tree, digest = MerkleTree([terms_leaf(goods.terms)]), keccak(b"document")
    do(world, "sam", "stakeAsSeller", value=2 * ETHER)
    do(world, "sam", "createStore", digest, tree.root)
    do(world, "sam", "withdrawSellerStake", 2 * ETHER - stake, world.at["sam"])
    return world.at["sam"], astuple(goods.terms), [], digest, 0, [GOOD_KEY] * 2


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
        ([*keys, GOOD_KEY], "WrongKeyCount"),
        ([GOOD_KEY, bytes(32)], "InvalidKey"),
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
