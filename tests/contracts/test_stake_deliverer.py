"""Registering, exit and earnings of deliverers: see test_stake_deliverer.tree."""

import pytest

from dam.crypto.hashing import keccak
from dam.types import ZERO_ADDRESS
from tests.contracts.sales import ETHER, EXIT, POSSESSION
from tests.contracts.sales import MIN_DELIVERER_STAKE as MIN

UINT88 = 2**88
KEY = keccak(b"some key")[:31] + b"\x01"
ANNOUNCED = {"key": KEY, "possession": POSSESSION}


# -------------------------------------------------------------------------- stakeAsDeliverer


def test_registers_the_caller(market, dave, logged, event):
    receipt = market.stakeAsDeliverer(KEY, POSSESSION, sender=dave, value=MIN + 1)
    assert logged(receipt) == [event("DelivererStaked", operator=dave, stake=MIN + 1, **ANNOUNCED)]
    assert tuple(market.deliverers(dave)) == (dave.address, MIN + 1, 0, 0, 0)
    assert market.delivererStakes(dave) == MIN + 1


def test_registers_the_caller_for_an_owner(market, dave, stranger, logged, event):
    receipt = market.stakeAsDelivererFor(stranger, KEY, POSSESSION, sender=dave, value=MIN)
    assert logged(receipt) == [
        event("DelivererOwnerSet", operator=dave, owner=stranger),
        event("DelivererStaked", operator=dave, stake=MIN, **ANNOUNCED),
    ]
    assert tuple(market.deliverers(dave)) == (stranger.address, MIN, 0, 0, 0)
    assert tuple(market.deliverers(stranger)) == (ZERO_ADDRESS, 0, 0, 0, 0)


def test_an_owner_may_be_the_operator_itself(market, dave, logged, event):
    receipt = market.stakeAsDelivererFor(dave, KEY, POSSESSION, sender=dave, value=MIN)
    assert logged(receipt) == [event("DelivererStaked", operator=dave, stake=MIN, **ANNOUNCED)]
    assert tuple(market.deliverers(dave)) == (dave.address, MIN, 0, 0, 0)


def test_owner_must_be_somebody(market, dave, reverts):
    with reverts("ZeroAddress"):
        market.stakeAsDelivererFor(ZERO_ADDRESS, KEY, POSSESSION, sender=dave, value=MIN)


def test_attack_nobody_registers_anothers_operator(market, dave, stranger):
    """A thief who names dave as anything registers only the thief."""
    market.stakeAsDelivererFor(dave, KEY, POSSESSION, sender=stranger, value=MIN)
    assert tuple(market.deliverers(dave)) == (ZERO_ADDRESS, 0, 0, 0, 0)
    market.stakeAsDeliverer(KEY, POSSESSION, sender=dave, value=MIN)
    assert market.deliverers(dave).owner == dave


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32])
def test_any_key_is_announced(market, dave, logged, key):
    """Whether it is one, and whose, only its possession tells, which clients check."""
    (_, values) = logged(market.stakeAsDeliverer(key, POSSESSION, sender=dave, value=MIN))[0]
    assert (values["key"], values["possession"]) == (key, POSSESSION)


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_registers_once(market, request, reverts, name):
    operator = request.getfixturevalue(name)
    with reverts("AlreadyRegistered", operator=operator):
        market.stakeAsDeliverer(KEY, POSSESSION, sender=operator, value=MIN)


def test_minimum_stake(market, dave, reverts):
    with reverts("StakeTooLow", stake=MIN - 1, minimum=MIN):
        market.stakeAsDeliverer(KEY, POSSESSION, sender=dave, value=MIN - 1)
    market.stakeAsDeliverer(KEY, POSSESSION, sender=dave, value=MIN)


def test_stake_fits_88_bits_and_no_more(market, dave, reverts, fund):
    fund(dave, UINT88 + ETHER)
    with reverts("AmountTooLarge", amount=UINT88):
        market.stakeAsDeliverer(KEY, POSSESSION, sender=dave, value=UINT88)
    market.stakeAsDeliverer(KEY, POSSESSION, sender=dave, value=UINT88 - 1)
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
    receipt = market.rotateDelivererKey(bob, KEY, POSSESSION, sender=request.getfixturevalue(name))
    assert logged(receipt) == [event("DelivererKeyRotated", operator=bob, **ANNOUNCED)]


@pytest.mark.parametrize("name", ["stranger", "alice"])
def test_rotates_by_nobody_else(market, request, bob, reverts, name):
    caller = request.getfixturevalue(name)
    with reverts("NotAllowed", caller=caller):
        market.rotateDelivererKey(bob, KEY, POSSESSION, sender=caller)


def test_rotates_only_who_is_there(market, stranger, reverts):
    with reverts("NotRegistered", operator=stranger):
        market.rotateDelivererKey(stranger, KEY, POSSESSION, sender=stranger)


# ------------------------------------------------------------------------------------- exits


def test_exit_names_its_second(market, bob, owner, logged, event):
    receipt = market.requestExit(bob, sender=owner)
    available = receipt.timestamp + EXIT
    assert logged(receipt) == [
        event("DelivererExitRequested", operator=bob, availableTime=available)
    ]
    assert market.deliverers(bob).exitTime == available


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
    clock.wait(EXIT)
    receipt = market.cancelExit(alice, sender=alice)
    assert logged(receipt) == [event("DelivererExitCancelled", operator=alice)]
    with reverts("ExitNotRequested", operator=alice):
        market.withdrawDelivererStake(alice, alice, sender=alice)
    again = market.requestExit(alice, sender=alice)
    with reverts("ExitPending", operator=alice, availableTime=again.timestamp + EXIT):
        market.withdrawDelivererStake(alice, alice, sender=alice)


def test_stake_leaves_from_the_announced_second_on(
    market, bob, owner, stranger, clock, reverts, logged, event
):
    with reverts("ExitNotRequested", operator=bob):
        market.withdrawDelivererStake(bob, stranger, sender=owner)
    available = market.requestExit(bob, sender=owner).timestamp + EXIT
    clock.at(available - 1)
    with reverts("ExitPending", operator=bob, availableTime=available):
        market.withdrawDelivererStake(bob, stranger, sender=owner)
    before = stranger.balance
    receipt = market.withdrawDelivererStake(bob, stranger, sender=owner)
    assert receipt.timestamp == available
    assert stranger.balance == before + MIN
    assert logged(receipt) == [
        event("DelivererStakeWithdrawn", operator=bob, to=stranger, amount=MIN)
    ]
    # Gone, with the request, but still bob's owner's.
    assert tuple(market.deliverers(bob)) == (owner.address, 0, 0, 0, 0)


def test_fresh_stake_waits_the_whole_delay_anew(market, bob, owner, clock, reverts):
    """No matured request stands open for the stake that comes after a withdrawal."""
    market.requestExit(bob, sender=owner)
    clock.wait(EXIT)
    market.withdrawDelivererStake(bob, owner, sender=owner)
    market.addDelivererStake(bob, sender=owner, value=MIN)
    with reverts("ExitNotRequested", operator=bob):
        market.withdrawDelivererStake(bob, owner, sender=owner)
    available = market.requestExit(bob, sender=owner).timestamp + EXIT
    with reverts("ExitPending", operator=bob, availableTime=available):
        market.withdrawDelivererStake(bob, owner, sender=owner)


def test_one_without_a_record_registers_anew(market, alice, clock):
    market.requestExit(alice, sender=alice)
    clock.wait(EXIT)
    market.withdrawDelivererStake(alice, alice, sender=alice)
    market.stakeAsDeliverer(KEY, POSSESSION, sender=alice, value=MIN)
    assert tuple(market.deliverers(alice)) == (alice.address, MIN, 0, 0, 0)


@pytest.mark.parametrize("call", ["withdrawDelivererStake", "withdrawEarnings"])
def test_money_needs_a_taker(market, call, create_sale, bob, owner, clock, reverts):
    order = create_sale()
    order.deliver(1)
    market.requestExit(bob, sender=owner)
    clock.wait(EXIT)
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
    clock.wait(EXIT)
    market.withdrawDelivererStake(alice, alice, sender=alice)
    assert tuple(market.deliverers(alice)) == (alice.address, 0, order.sale.fee, 1, 0)
    before = stranger.balance
    market.withdrawEarnings(alice, stranger, sender=alice)
    assert stranger.balance == before + order.sale.fee
    market.addDelivererStake(alice, sender=stranger, value=MIN)
    assert market.delivererStakes(alice) == MIN


def test_earnings_fit_96_bits_and_no_more(market, create_sale, alice, clock, books, reverts):
    """Out of reach of all the coins there are; the field's width must hold all the same."""
    order = create_sale()
    fee, most = order.sale.fee, 2**96 - 1
    place = keccak(bytes(12) + bytes.fromhex(alice.address[2:]) + (1).to_bytes(32, "big"))
    word = int(clock.rpc("eth_getStorageAt", market.address, "0x" + place.hex(), "latest"), 16)
    assert word == MIN, "stakes stand elsewhere"

    def earn(amount):
        full = (word | amount << 88).to_bytes(32, "big").hex()
        clock.rpc("anvil_setStorageAt", market.address, "0x" + place.hex(), "0x" + full)
        assert market.deliverers(alice).earned == amount

    earn(most - fee + 1)
    with reverts("AmountTooLarge", amount=most + 1):
        order.deliver(0)
    earn(most - fee)
    order.deliver(0)
    assert market.deliverers(alice).earned == most
    books.forced = fee - most
