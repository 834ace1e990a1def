"""Registering, exit and earnings of deliverers: see test_stake_deliverer.tree."""

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS

ETHER = 10**18
MIN = ETHER // 10
EXIT = 640
UINT88 = 2**88
KEY = keccak(b"some key")[:31] + b"\x01"
P = 2**255 - 19
ORDER_8 = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
BAD_KEYS = {
    "zero": bytes(32),
    "one": (1).to_bytes(32, "little"),
    "p-1": (P - 1).to_bytes(32, "little"),
    "p": P.to_bytes(32, "little"),
    "p+1": (P + 1).to_bytes(32, "little"),
    "last-not-canonical": (2**255 - 1).to_bytes(32, "little"),
    "top-bit": KEY[:31] + b"\x81",
    "all-ones": b"\xff" * 32,
    "order-8-a": bytes.fromhex(ORDER_8[0]),
    "order-8-b": bytes.fromhex(ORDER_8[1]),
}
bad_keys = pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())


# -------------------------------------------------------------------------- stakeAsDeliverer


def test_registers_the_caller(market, dave, logged, event):
    receipt = market.stakeAsDeliverer(KEY, sender=dave, value=MIN + 1)
    assert logged(receipt) == [event("DelivererStaked", operator=dave, key=KEY, stake=MIN + 1)]
    assert tuple(market.deliverers(dave)) == (dave.address, MIN + 1, 0, 0, 0)
    assert market.delivererStakes(dave) == MIN + 1


def test_registers_the_caller_for_an_owner(market, dave, stranger, logged, event):
    receipt = market.stakeAsDelivererFor(stranger, KEY, sender=dave, value=MIN)
    assert logged(receipt) == [
        event("DelivererOwnerSet", operator=dave, owner=stranger),
        event("DelivererStaked", operator=dave, key=KEY, stake=MIN),
    ]
    assert tuple(market.deliverers(dave)) == (stranger.address, MIN, 0, 0, 0)
    assert tuple(market.deliverers(stranger)) == (ZERO_ADDRESS, 0, 0, 0, 0)


def test_an_owner_may_be_the_operator_itself(market, dave, logged, event):
    receipt = market.stakeAsDelivererFor(dave, KEY, sender=dave, value=MIN)
    assert logged(receipt) == [event("DelivererStaked", operator=dave, key=KEY, stake=MIN)]
    assert tuple(market.deliverers(dave)) == (dave.address, MIN, 0, 0, 0)


def test_owner_must_be_somebody(market, dave, reverts):
    with reverts("ZeroAddress"):
        market.stakeAsDelivererFor(ZERO_ADDRESS, KEY, sender=dave, value=MIN)


def test_attack_nobody_registers_anothers_operator(market, dave, stranger):
    """A thief who names dave as anything registers only the thief."""
    market.stakeAsDelivererFor(dave, KEY, sender=stranger, value=MIN)
    assert tuple(market.deliverers(dave)) == (ZERO_ADDRESS, 0, 0, 0, 0)
    market.stakeAsDeliverer(KEY, sender=dave, value=MIN)
    assert market.deliverers(dave).owner == dave


@bad_keys
def test_bad_key_does_not_register(market, dave, stranger, reverts, key):
    with reverts("InvalidKey", key=key):
        market.stakeAsDeliverer(key, sender=dave, value=MIN)
    with reverts("InvalidKey", key=key):
        market.stakeAsDelivererFor(stranger, key, sender=dave, value=MIN)


def test_smallest_and_largest_good_keys(market, dave, newcomer):
    market.stakeAsDeliverer((2).to_bytes(32, "little"), sender=dave, value=MIN)
    largest = (P - 2).to_bytes(32, "little")
    market.stakeAsDeliverer(largest, sender=newcomer, value=MIN)


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_registers_once(market, request, reverts, name):
    operator = request.getfixturevalue(name)
    with reverts("AlreadyRegistered", operator=operator):
        market.stakeAsDeliverer(KEY, sender=operator, value=MIN)


def test_minimum_stake(market, dave, reverts):
    with reverts("StakeTooLow", stake=MIN - 1, minimum=MIN):
        market.stakeAsDeliverer(KEY, sender=dave, value=MIN - 1)
    market.stakeAsDeliverer(KEY, sender=dave, value=MIN)


def test_stake_fits_88_bits_and_no_more(market, dave, reverts, fund):
    fund(dave, UINT88 + ETHER)
    with reverts("AmountTooLarge", amount=UINT88):
        market.stakeAsDeliverer(KEY, sender=dave, value=UINT88)
    market.stakeAsDeliverer(KEY, sender=dave, value=UINT88 - 1)
    assert market.delivererStakes(dave) == UINT88 - 1


# ------------------------------------------------------------------------- addDelivererStake


def test_anyone_adds_stake(market, alice, stranger, logged, event):
    receipt = market.addDelivererStake(alice, sender=stranger, value=7)
    assert market.delivererStakes(alice) == MIN + 7
    assert logged(receipt) == [
        event("DelivererStakeAdded", operator=alice, amount=7, stake=MIN + 7)
    ]


def test_no_stake_for_an_unknown_operator(market, stranger, reverts):
    with reverts("NotRegistered", operator=stranger):
        market.addDelivererStake(stranger, sender=stranger, value=MIN)


def test_no_stake_added_during_an_exit(market, alice, reverts):
    market.requestExit(alice, sender=alice)
    with reverts("ExitRequested", operator=alice):
        market.addDelivererStake(alice, sender=alice, value=1)


def test_added_stake_fits_88_bits_and_no_more(market, alice, stranger, reverts, fund):
    fund(stranger, UINT88 + ETHER)
    with reverts("AmountTooLarge", amount=UINT88):
        market.addDelivererStake(alice, sender=stranger, value=UINT88 - MIN)
    market.addDelivererStake(alice, sender=stranger, value=UINT88 - MIN - 1)
    assert market.delivererStakes(alice) == UINT88 - 1


# ------------------------------------------------------------------------ rotateDelivererKey


@pytest.mark.parametrize("name", ["bob", "owner"])
def test_rotates_by_operator_or_owner(market, request, bob, logged, event, name):
    receipt = market.rotateDelivererKey(bob, KEY, sender=request.getfixturevalue(name))
    assert logged(receipt) == [event("DelivererKeyRotated", operator=bob, key=KEY)]


@pytest.mark.parametrize("name", ["stranger", "alice"])
def test_rotates_by_nobody_else(market, request, bob, reverts, name):
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        market.rotateDelivererKey(bob, KEY, sender=caller)


def test_rotates_only_who_is_there(market, stranger, reverts):
    with reverts("NotRegistered", operator=stranger):
        market.rotateDelivererKey(stranger, KEY, sender=stranger)


@bad_keys
def test_attack_rogue_deliverer_key(market, bob, reverts, key):
    with reverts("InvalidKey", key=key):
        market.rotateDelivererKey(bob, key, sender=bob)


# ------------------------------------------------------------------------------------- exits


def test_exit_names_its_block(market, bob, owner, logged, event):
    receipt = market.requestExit(bob, sender=owner)
    available = receipt.block_number + EXIT
    assert logged(receipt) == [
        event("DelivererExitRequested", operator=bob, availableBlock=available)
    ]
    assert market.deliverers(bob).exitBlock == available


CALLS = {
    "requestExit": (),
    "cancelExit": (),
    "withdrawDelivererStake": ("stranger",),
    "withdrawEarnings": ("stranger",),
}


@pytest.mark.parametrize("name", ["bob", "stranger", "alice"])
@pytest.mark.parametrize("call", CALLS)
def test_attack_stolen_operator_key_takes_nothing(market, request, bob, reverts, call, name):
    """The operator's own hot key is as powerless over the money as a stranger's."""
    caller = request.getfixturevalue(name)
    to = [request.getfixturevalue(one) for one in CALLS[call]]
    with reverts("NotAllowed", caller=caller):
        getattr(market, call)(bob, *to, sender=caller)


def test_exit_is_requested_once(market, alice, reverts):
    market.requestExit(alice, sender=alice)
    with reverts("ExitRequested", operator=alice):
        market.requestExit(alice, sender=alice)


def test_exit_of_one_who_never_came(market, dave, reverts):
    """Else a request could mature before its stake arrives."""
    with reverts("NotRegistered", operator=dave):
        market.requestExit(dave, sender=dave)


def test_cancelled_exit_starts_anew(market, alice, clock, reverts, logged, event):
    with reverts("ExitNotRequested", operator=alice):
        market.cancelExit(alice, sender=alice)
    market.requestExit(alice, sender=alice)
    clock.mine(EXIT)
    receipt = market.cancelExit(alice, sender=alice)
    assert logged(receipt) == [event("DelivererExitCancelled", operator=alice)]
    with reverts("ExitNotRequested", operator=alice):
        market.withdrawDelivererStake(alice, alice, sender=alice)
    again = market.requestExit(alice, sender=alice)
    with reverts("ExitPending", operator=alice, availableBlock=again.block_number + EXIT):
        market.withdrawDelivererStake(alice, alice, sender=alice)


def test_stake_leaves_from_the_announced_block_on(
    market, bob, owner, stranger, clock, reverts, logged, event
):
    with reverts("ExitNotRequested", operator=bob):
        market.withdrawDelivererStake(bob, stranger, sender=owner)
    available = market.requestExit(bob, sender=owner).block_number + EXIT
    clock.reach(available - 1)
    with reverts("ExitPending", operator=bob, availableBlock=available):
        market.withdrawDelivererStake(bob, stranger, sender=owner)
    before = stranger.balance
    receipt = market.withdrawDelivererStake(bob, stranger, sender=owner)
    assert receipt.block_number == available
    assert stranger.balance == before + MIN
    assert logged(receipt) == [
        event("DelivererStakeWithdrawn", operator=bob, to=stranger, amount=MIN)
    ]
    # Gone, with the request, but still bob's owner's.
    assert tuple(market.deliverers(bob)) == (owner.address, 0, 0, 0, 0)


def test_fresh_stake_waits_the_whole_delay_anew(market, bob, owner, clock, reverts):
    """No matured request stands open for the stake that comes after a withdrawal."""
    market.requestExit(bob, sender=owner)
    clock.mine(EXIT)
    market.withdrawDelivererStake(bob, owner, sender=owner)
    market.addDelivererStake(bob, sender=owner, value=MIN)
    with reverts("ExitNotRequested", operator=bob):
        market.withdrawDelivererStake(bob, owner, sender=owner)
    available = market.requestExit(bob, sender=owner).block_number + EXIT
    with reverts("ExitPending", operator=bob, availableBlock=available):
        market.withdrawDelivererStake(bob, owner, sender=owner)


def test_one_without_a_record_registers_anew(market, alice, clock):
    market.requestExit(alice, sender=alice)
    clock.mine(EXIT)
    market.withdrawDelivererStake(alice, alice, sender=alice)
    market.stakeAsDeliverer(KEY, sender=alice, value=MIN)
    assert tuple(market.deliverers(alice)) == (alice.address, MIN, 0, 0, 0)


@pytest.mark.parametrize("call", ["withdrawDelivererStake", "withdrawEarnings"])
def test_money_needs_a_taker(market, call, create_sale, bob, owner, clock, reverts):
    order = create_sale()
    order.deliver(1)
    market.requestExit(bob, sender=owner)
    clock.mine(EXIT)
    amount = MIN if call == "withdrawDelivererStake" else order.sale.fee
    with reverts("ZeroAddress"):
        getattr(market, call)(bob, ZERO_ADDRESS, sender=owner)
    with reverts("TransferFailed", to=market, amount=amount):
        getattr(market, call)(bob, market, sender=owner)
    assert market.delivererStakes(bob) == MIN
    assert market.deliverers(bob).earned == order.sale.fee


# ---------------------------------------------------------------------------------- earnings


def test_earnings_go_to_the_owner(
    market, create_sale, bob, owner, stranger, reverts, logged, event
):
    with reverts("NothingToWithdraw"):
        market.withdrawEarnings(bob, stranger, sender=owner)
    order = create_sale()
    order.deliver(1)
    fee = order.sale.fee
    before = stranger.balance
    receipt = market.withdrawEarnings(bob, stranger, sender=owner)
    assert stranger.balance == before + fee
    assert logged(receipt) == [
        event("Withdrawn", account=bob, token=ZERO_ADDRESS, to=stranger, amount=fee)
    ]
    assert tuple(market.deliverers(bob)) == (owner.address, MIN, 0, 1, 0)
    with reverts("NothingToWithdraw"):
        market.withdrawEarnings(bob, stranger, sender=owner)


def test_earnings_outlive_the_stake(market, create_sale, alice, stranger, clock):
    order = create_sale()
    order.deliver(0)
    market.requestExit(alice, sender=alice)
    clock.mine(EXIT)
    market.withdrawDelivererStake(alice, alice, sender=alice)
    assert tuple(market.deliverers(alice)) == (alice.address, 0, order.sale.fee, 1, 0)
    before = stranger.balance
    market.withdrawEarnings(alice, stranger, sender=alice)
    assert stranger.balance == before + order.sale.fee
    market.addDelivererStake(alice, sender=stranger, value=MIN)
    assert market.delivererStakes(alice) == MIN


def test_earnings_fit_96_bits_and_no_more(market, create_sale, seller, buyer, alice, reverts, fund):
    """Out of reach of all the coins there are; the field's width must hold all the same."""
    half = 2**95
    for account in (seller, buyer):
        fund(account, 2**97)
    market.stakeAsSeller(sender=seller, value=half)
    large = {"parts": 1, "threshold": 1, "price": half, "commission": half}
    first = create_sale(**large)
    first.deliver(0)
    market.confirm(*first.args, sender=buyer)
    second = create_sale(**large)
    with reverts("AmountTooLarge", amount=2 * half):
        second.deliver(0)
    market.withdrawEarnings(alice, alice, sender=alice)
    second.deliver(0)
    assert market.deliverers(alice).earned == half
