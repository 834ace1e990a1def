"""What the contract is built with, what its views answer, and what its errors name."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from eth_abi.abi import decode, encode
from reference import Item, Sale
from world import ETHER, GOOD_KEY, RULES, World

from dam.crypto.hashing import keccak, terms_leaf
from dam.crypto.merkle import MerkleTree
from dam.ipfs.cid import Cid
from dam.types import ZERO_ADDRESS

TYPES = ["(uint64,uint64,uint64,uint64,uint64,uint64)", "address", "uint256", "uint256"]
STAKE = ETHER // 10
# Least and greatest of each window; the exit's least depends on the others.
BOUNDS = {
    "refund": (300, 1 << 18),
    "dispute": (100, 1 << 18),
    "arbitration": (100, 1 << 19),
    "exit": (None, 1 << 22),
    "slash_delay": (100, 1 << 20),
    "slash_lapse": (100, 1 << 20),
}


@pytest.fixture(autouse=True)
def fresh(world: World) -> None:
    world.reset()


def build(world: World, *, stake: int = STAKE, seller: int = 0, **windows: int) -> str | None:
    """The error of a construction, or None; windows not named are the least there are."""
    values = {name: least or 0 for name, (least, _) in BOUNDS.items()} | windows
    longest = sum(values[name] for name in ("refund", "dispute", "arbitration", "slash_delay"))
    values["exit"] = windows.get("exit", longest + 1)
    arguments = encode(TYPES, [tuple(values.values()), ZERO_ADDRESS, stake, seller])
    return world.refusal_of_construction(arguments)


@pytest.mark.parametrize("name", [name for name in BOUNDS if name != "exit"])
def test_each_window_has_a_least_and_a_greatest(world: World, name: str) -> None:
    least, most = BOUNDS[name]
    assert build(world, **{name: least}) is None
    assert build(world, **{name: least - 1}) == "InvalidWindow"
    assert build(world, **{name: most}) is None
    assert build(world, **{name: most + 1}) == "InvalidWindow"


def test_an_exit_outlasts_the_longest_sale_and_a_slash(world: World) -> None:
    windows = {"refund": 311, "dispute": 127, "arbitration": 131, "slash_delay": 137}
    longest = sum(windows.values())
    assert build(world, **windows, exit=longest) == "InvalidWindow"
    assert build(world, **windows, exit=longest + 1) is None
    assert build(world, **windows, exit=1 << 22) is None
    assert build(world, **windows, exit=(1 << 22) + 1) == "InvalidWindow"


def test_least_stakes_have_bounds(world: World) -> None:
    assert build(world, stake=0) == "StakeTooLow"
    assert build(world, stake=1) is None
    assert build(world, stake=2**88 - 1) is None
    assert build(world, stake=2**88) == "AmountTooLarge"
    assert build(world, seller=2**96 - 1) is None
    assert build(world, seller=2**96) == "AmountTooLarge"


def test_constants_are_what_the_constructor_was_given(world: World) -> None:
    names = [
        *("REFUND_BLOCKS", "DISPUTE_BLOCKS", "ARBITRATION_BLOCKS", "EXIT_BLOCKS"),
        *("SLASH_DELAY_BLOCKS", "SLASH_LAPSE_BLOCKS", "MIN_DELIVERER_STAKE", "MIN_SELLER_STAKE"),
    ]
    assert [view(world, name) for name in names] == list(RULES[:8])
    assert view(world, "GOVERNOR") == world.at["gov"].lower()
    assert view(world, "FALLBACK_BLOCKS") == 100


def test_views_of_a_seller(world: World) -> None:
    sam, digest, root = world.at["sam"], keccak(b"document"), keccak(b"root")
    assert view(world, "sellerStoreCID", sam) == ""
    assert view(world, "stores", sam) == (bytes(32), bytes(32))
    do(world, "sam", "stakeAsSeller", value=3 * ETHER)
    do(world, "sam", "setSellerOperator", world.at["wes"])
    do(world, "sam", "createStore", digest, root)
    assert view(world, "sellerStakes", sam) == 3 * ETHER
    assert view(world, "sellerOperator", sam) == world.at["wes"].lower()
    assert view(world, "stores", sam) == (digest, keccak(digest + root))
    assert view(world, "sellerStoreCID", sam) == str(Cid("dag-json", digest))


def test_views_of_a_deliverer_and_a_slash(world: World) -> None:
    dan = world.at["dan"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    assert view(world, "delivererStakes", dan) == STAKE
    assert view(world, "frozenUntil", dan) == 0
    do(world, "gov", "proposeSlashing", dan, 7, world.at["ben"], bytes(32))
    first = world.chain.head + RULES.slash_delay
    last = first + RULES.slash_lapse
    slash = (dan.lower(), first, last, world.at["ben"].lower(), 7)
    assert view(world, "slashes", 1) == slash
    assert view(world, "frozenUntil", dan) == last
    # A view answers for the block that has it.
    world.chain.mine(last - world.chain.head)
    assert view(world, "frozenUntil", dan) == last
    world.chain.mine(1)
    assert view(world, "frozenUntil", dan) == 0


def test_a_slash_needs_a_beneficiary_and_an_amount_that_a_stake_can_be(world: World) -> None:
    dan, ben = world.at["dan"], world.at["ben"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    wrong = world.contract.call("proposeSlashing", dan, 7, ZERO_ADDRESS, bytes(32))
    assert world.attempt("gov", world.market, wrong) == "ZeroAddress"
    wrong = world.contract.call("proposeSlashing", dan, 2**96, ben, bytes(32))
    assert world.attempt("gov", world.market, wrong) == "AmountTooLarge"
    do(world, "gov", "proposeSlashing", dan, 2**96 - 1, ben, bytes(32))


def test_errors_name_the_block_from_which_it_would_do(world: World) -> None:
    """Tools wait for the block that an error names."""
    dan, sam = world.at["dan"], world.at["sam"]
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    do(world, "gov", "proposeSlashing", dan, 7, sam, bytes(32))
    first = world.chain.head + RULES.slash_delay
    call = world.contract.call("executeSlashing", 1)
    assert refusal(world, "ben", call, ["uint256", "uint256"]) == (1, first)
    bought = buy(world)
    closing = (bought.copy_id, astuple(bought.sale), astuple(bought.escrow))
    call = world.contract.call("refund", *closing)
    last = bought.sale.purchase_block + RULES.refund
    assert refusal(world, "bea", call, ["bytes32", "uint256"]) == (bought.copy_id, last + 1)
    do(world, "dan", "deliverFragment", astuple(bought.delivery(0)))
    call = world.contract.call("settle", *closing)
    last = world.chain.head + RULES.dispute
    assert refusal(world, "bea", call, ["bytes32", "uint256"]) == (bought.copy_id, last + 1)
    do(world, "dan", "requestExit", dan)
    leave = world.contract.call("withdrawDelivererStake", dan, sam)
    exit_block = world.chain.head + RULES.exit
    assert exit_block in refusal(world, "dan", leave, ["address", "uint256"])


def test_a_fallback_that_is_too_early_is_told_when(world: World) -> None:
    do(world, "dan", "stakeAsDeliverer", GOOD_KEY, value=STAKE)
    bought = buy(world)
    call = world.contract.call("deliverFragment", astuple(bought.delivery(0)))
    first = bought.sale.purchase_block + 101
    assert first in refusal(world, "sam", call, ["bytes32", "uint256"])


# ------------------------------------------------------------------------------------- helpers


def view(world: World, name: str, *args: object) -> object:
    """What a view answers in the newest block."""
    data = world.contract.call(name, *args)
    _, [answer] = world.chain.read(world.market, [(world.market, data)])
    return world.contract.result(name, answer)


def do(world: World, who: str, function: str, *args: object, value: int = 0) -> None:
    world.send(who, world.market, world.contract.call(function, *args), value)


def refusal(world: World, who: str, data: bytes, types: list[str]) -> tuple[object, ...]:
    """The arguments of the error with which the next block would refuse a call."""
    reverted = world.chain.attempt(world.at[who], world.market, data)
    assert reverted is not None, "it would succeed"
    return decode(types, reverted[4:])


def buy(world: World):
    """One sale of an item of one part, by bea from sam, and what later calls bring along."""
    item = Item("a code", "", 100, 10, 5, 1, 1, 1, 1, "art")
    goods = world.goods(item, False, [["dan"]])
    tree, digest = MerkleTree([terms_leaf(goods.terms)]), keccak(b"document")
    do(world, "sam", "stakeAsSeller", value=3 * ETHER)
    do(world, "sam", "createStore", digest, tree.root)
    args = (world.at["sam"], astuple(goods.terms), [], digest, 0, [GOOD_KEY])
    do(world, "bea", "buyItem", *args, value=100)
    sale = Sale(item, "sam", "bea", ("dan",), world.chain.head)
    return world.bought(sale, goods, 0, digest)
