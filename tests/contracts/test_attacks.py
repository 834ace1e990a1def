"""Attacks of the protocol's section 8 that cross several actions: see test_attacks.tree."""

from dataclasses import astuple, replace

import pytest

from dam.types import ZERO_ADDRESS, Split, Status
from tests.contracts.sales import DISPUTE, ETHER, EXIT, POSSESSION, key_of, signed

FEE = 10**16

# A contract wallet as short as can be. Calldata: the target's word, then what to send it; the value
# goes along, a failure's reason comes back, and plain coins are taken.
WALLET = "".join(
    (
        "3615603057",  # jumpi(done, iszero(calldatasize))
        "602036036020600037",  # calldatacopy(0, 32, calldatasize - 32)
        "6000600060203603600034600035",  # target, callvalue, 0, calldatasize - 32, 0, 0
        "5af1",  # call with all the gas
        "3d600060003e",  # returndatacopy(0, 0, returndatasize)
        "602b573d6000fd",  # jumpi(good), else revert(0, returndatasize)
        "5b3d6000f3",  # good: return(0, returndatasize)
        "5b00",  # done: stop
    )
)


@pytest.fixture
def wallet(clock, accounts):
    """The address of a contract that forwards what it is told to, by anybody."""
    clock.rpc("anvil_setCode", accounts[15].address, "0x" + WALLET)
    return accounts[15]


@pytest.fixture
def through(market, wallet, stranger):
    """Calls the market through the wallet; the coins come from the stranger who pokes it."""

    def call(data, value=0):
        target = bytes(12) + bytes.fromhex(market.address[2:])
        return stranger.transfer(wallet, value, data=target + bytes(data), gas=3_000_000)

    return call


# ---------------------------------------------------------------------------------- silence


def test_attack_buyer_and_one_silent_deliverer(
    create_sale, market, watchdog, buyer, seller, holdings
):
    """n = k and one in league with the buyer: the fallback saves price and penalty."""
    order = create_sale(threshold=3)
    order.deliver(0, 1)
    order.reach(101)
    order.deliver(2, by=watchdog)
    market.confirm(*order.args, sender=buyer)
    assert holdings(seller).stake == 100 * ETHER
    assert holdings(seller).credit == ETHER - 3 * FEE
    assert holdings(buyer).credit == FEE


def test_attack_last_share_ransom(create_sale, market, carol, seller, reverts):
    """Who waits for more than the fee finds the part delivered by the seller."""
    order = create_sale(threshold=3)
    order.deliver(0, 1)
    order.reach(101)
    order.deliver(2, by=seller)
    with reverts("AlreadyDelivered", copyId=order.copy_id, index=2):
        order.deliver(2)
    assert market.deliverers(carol).earned == 0


# ----------------------------------------------------------------------------------- replay


def test_attack_sale_replayed_on_another_market(
    create_complete_sale, create_market, buyer, seller, alice, reverts
):
    order = create_complete_sale()
    other = create_market()
    wrong = {"copyId": order.copy_id}
    with reverts("WrongSale", **wrong):
        part = order.delivery(0)
        other.deliverFragment(astuple(part), signed(other, alice, [part]), sender=alice)
    with reverts("WrongSale", **wrong):
        other.confirm(*order.args, sender=buyer)
    with reverts("WrongSale", **wrong):
        other.refund(*order.args, sender=buyer)


def test_attack_sale_closed_under_another_copy_id(
    create_item, create_sale, market, buyer, seller, reverts
):
    """Two copies, one cheap to close: neither closes in the other's name."""
    item = create_item()
    one, two = create_sale(item, copy=0), create_sale(item, copy=1)
    one.deliver_all()
    with reverts("WrongSale", copyId=two.copy_id):
        market.confirm(two.copy_id, *one.args[1:], sender=buyer)
    with reverts("WrongSale", copyId=two.copy_id):
        market.concede(two.copy_id, *one.args[1:], sender=seller)
    # Nor with the sale of one and the escrow of the other.
    with reverts("WrongEscrow", copyId=one.copy_id):
        market.confirm(one.copy_id, one.args[1], two.args[2], sender=buyer)


@pytest.mark.parametrize("same_block", [False, True])
def test_attack_reorganisation_to_another_buyer(
    create_item, create_sale, market, clock, alice, stranger, reverts, same_block
):
    """A delivery signed for an orphaned purchase is worth nothing in the new one."""
    item = create_item()
    snapshot = clock.rpc("evm_snapshot")
    orphan = create_sale(item)
    stale = orphan.delivery(0)
    clock.rpc("evm_revert", snapshot)
    clock.mine(0 if same_block else 2)
    order = create_sale(item, by=stranger)
    assert (order.block == orphan.block) == same_block
    assert order.copy_id == orphan.copy_id
    with reverts("WrongSale", copyId=order.copy_id):
        order.send(stale, by=alice)
    with reverts("NothingDelivered"):
        signature = signed(market, alice, [stale])
        market.deliverFragments([astuple(stale)], signature, sender=alice)
    order.deliver(0)


# ----------------------------------------------------------------------------------- hot keys


def test_attack_stolen_watchdog_key(create_complete_sale, market, seller, watchdog, reverts):
    """May deliver, supply, settle and refund; nothing that moves money to itself, nor agree."""
    order = create_complete_sale()
    digest = market.stores(seller).digest
    stake = market.sellerStakes(seller)
    with reverts("NotAllowed", caller=watchdog):
        market.concede(*order.args, sender=watchdog)
    split = Split(ETHER, 0, 0, 2**64)
    consent = order.consent(watchdog, split)
    with reverts("NotAgreed", party=seller):
        market.agree(*order.args, astuple(split), b"", consent, sender=order.buyer)
    with reverts("NotAllowed", caller=watchdog):
        market.confirm(*order.args, sender=watchdog)
    with reverts("SellerStakeTooLow", seller=watchdog, free=0, needed=1):
        market.withdrawSellerStake(1, watchdog, sender=watchdog)
    with reverts("NoStore", seller=watchdog):
        market.updateStore(digest, bytes(32), sender=watchdog)
    order.wait_long(2 * DISPUTE)
    market.settle(*order.args, sender=watchdog)
    with reverts("NothingToWithdraw"):
        market.withdraw(ZERO_ADDRESS, watchdog, sender=watchdog)
    market.setSellerOperator(watchdog, sender=watchdog)
    assert market.sellerOperator(seller) == watchdog
    assert market.stores(seller).digest == digest
    assert market.sellerStakes(seller) == stake + order.item.terms.reserve


# ---------------------------------------------------------------------------- contract wallets


def test_contract_wallet_as_buyer(create_sale, market, wallet, through, arbitrator, stranger):
    order = create_sale(by=wallet, send=through, value=ETHER + 4)
    assert market.credits(wallet, ZERO_ADDRESS) == 4
    order.deliver_all()
    through(market.openDispute.encode_input(*order.args, bytes(32)), order.escrow.bond)
    market.resolveDispute(*order.args, ETHER, True, sender=arbitrator)
    won = ETHER + order.escrow.penalty + order.escrow.bond
    assert market.credits(wallet, ZERO_ADDRESS) == won + 4
    before = wallet.balance
    through(market.withdraw.encode_input(ZERO_ADDRESS, wallet))
    assert wallet.balance == before + won + 4


def test_contract_wallet_as_buyer_confirms(create_sale, market, wallet, through):
    order = create_sale(by=wallet, send=through)
    order.deliver_all()
    through(market.confirm.encode_input(*order.args))
    assert order.status == Status.SETTLED


def test_contract_wallet_as_seller(
    create_item, create_sale, market, wallet, watchdog, through, publish, buyer
):
    """Its fallback is signed by an operator, an account: a contract signs no lists."""
    through(market.stakeAsSeller.encode_input(), 10 * ETHER)
    through(market.setSellerOperator.encode_input(watchdog))
    item = create_item()
    through(market.createStore.encode_input(item.digest, item.root))
    order = create_sale(replace(item, seller=wallet))
    order.deliver(0)
    order.reach(101)
    order.deliver(1, by=watchdog)
    through(market.concede.encode_input(*order.args))
    assert order.status == Status.REFUNDED
    stake = market.sellerStakes(wallet)
    before = wallet.balance
    through(market.withdrawSellerStake.encode_input(stake, wallet))
    assert wallet.balance == before + stake


def test_contract_wallet_delivers_nothing(create_sale, market, wallet, through, alice, reverts):
    """It may register, and relay what others signed; no signature is ever its own."""
    order = create_sale(deliverers=(wallet, alice))
    through(market.stakeAsDeliverer.encode_input(key_of(5), POSSESSION), ETHER)
    with reverts("NotYourPart", deliverer=wallet, signer=alice):
        order.send(order.delivery(0), by=alice)
    part = order.delivery(1)
    signature = signed(market, alice, [part])
    through(market.deliverFragment.encode_input(astuple(part), signature))
    assert order.state.delivered == 0b10
    assert market.deliverers(alice).earned == FEE


# ------------------------------------------------------------------------------- odd coins


def test_attack_coins_forced_in_are_harmless(
    create_complete_sale, market, stranger, buyer, seller, clock, books, holdings
):
    order = create_complete_sale()
    owed = books.owed()
    # Creation code that destroys itself to the market's benefit.
    code = "0x73" + market.address[2:] + "ff"
    transaction = {"from": stranger.address, "data": code, "value": hex(5), "gas": hex(100_000)}
    clock.rpc("eth_sendTransaction", transaction)
    books.forced = 5
    assert books.owed() == owed
    books.check()
    market.confirm(*order.args, sender=buyer)
    assert holdings(seller).credit == ETHER - 3 * FEE
    market.withdraw(ZERO_ADDRESS, seller, sender=seller)


def test_attack_buying_from_oneself(create_sale, market, seller, holdings):
    """Turns free stake into fees and credit of the same sum: nothing is made out of nothing."""
    order = create_sale(by=seller)
    order.deliver_all()
    order.reach(10)
    order.dispute()
    market.concede(*order.args, sender=seller)
    end = holdings(seller)
    bond, penalty = order.escrow.bond, order.escrow.penalty
    assert end.credit == ETHER + penalty + 2 * bond
    assert end.stake == 100 * ETHER - 3 * FEE - penalty - bond
    assert end.credit + end.stake == 100 * ETHER + ETHER + bond - 3 * FEE


def test_attack_buyer_who_delivers_to_himself(create_sale, market, alice, holdings):
    """A buyer who read the part before paying is paid its fee, and no more."""
    order = create_sale(by=alice)
    order.deliver_all()
    market.confirm(*order.args, sender=alice)
    assert holdings(alice).earned == FEE
    assert holdings(alice).credit == 0


def test_everybody_leaves_and_nothing_stays(
    create_disputed_sale, market, seller, buyer, arbitrator, alice, bob, owner, carol, clock, books
):
    """Every coin that came in has a way out that needs nobody else's help."""
    order = create_disputed_sale(value=ETHER + 1)
    market.resolveDispute(*order.args, ETHER // 2, False, sender=arbitrator)
    for account in (seller, buyer, arbitrator):
        market.withdraw(ZERO_ADDRESS, account, sender=account)
    market.withdrawSellerStake(market.sellerStakes(seller), seller, sender=seller)
    owners = ((alice, alice), (bob, owner), (carol, carol))
    for operator, its_owner in owners:
        market.withdrawEarnings(operator, its_owner, sender=its_owner)
        market.requestExit(operator, sender=its_owner)
    clock.wait(EXIT)
    for operator, its_owner in owners:
        market.withdrawDelivererStake(operator, its_owner, sender=its_owner)
    assert books.balance == 0
