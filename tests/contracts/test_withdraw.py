"""withdraw: see test_withdraw.tree."""

from dam.types import ZERO_ADDRESS

ETHER = 10**18
REVERTING = "0x60006000fd"


def test_pays_once(create_sale, market, buyer, stranger, reverts, logged, event):
    create_sale(value=ETHER + 9)
    before = stranger.balance
    receipt = market.withdraw(ZERO_ADDRESS, stranger, sender=buyer)
    assert stranger.balance == before + 9
    assert market.credits(buyer, ZERO_ADDRESS) == 0
    assert logged(receipt) == [
        event("Withdrawn", account=buyer, token=ZERO_ADDRESS, to=stranger, amount=9)
    ]
    with reverts("NothingToWithdraw"):
        market.withdraw(ZERO_ADDRESS, stranger, sender=buyer)


def test_credits_add_up(create_sale, market, buyer, seller, stranger, holdings):
    create_sale(value=ETHER + 9)
    create_sale(value=ETHER + 5)
    create_sale(by=stranger, value=ETHER + 3)
    market.withdraw(ZERO_ADDRESS, buyer, sender=buyer)
    assert holdings(stranger).credit == 3


def test_only_the_callers_own_credit(create_sale, market, stranger, reverts):
    create_sale(value=ETHER + 9)
    with reverts("NothingToWithdraw"):
        market.withdraw(ZERO_ADDRESS, stranger, sender=stranger)


def test_only_the_tokens_own_credit(create_sale, market, buyer, stranger, reverts):
    create_sale(value=ETHER + 9)
    with reverts("NothingToWithdraw"):
        market.withdraw(stranger, buyer, sender=buyer)


def test_needs_a_taker(create_sale, market, buyer, reverts):
    create_sale(value=ETHER + 9)
    with reverts("ZeroAddress"):
        market.withdraw(ZERO_ADDRESS, ZERO_ADDRESS, sender=buyer)


def test_attack_payee_that_reverts(create_sale, market, buyer, stranger, clock, reverts):
    """Only the call of that payee fails; the credit stays, and goes elsewhere."""
    create_sale(value=ETHER + 9)
    clock.rpc("anvil_setCode", stranger.address, REVERTING)
    with reverts("TransferFailed", to=stranger, amount=9):
        market.withdraw(ZERO_ADDRESS, stranger, sender=buyer)
    assert market.credits(buyer, ZERO_ADDRESS) == 9
    market.withdraw(ZERO_ADDRESS, buyer, sender=buyer)


def test_arbitrator_is_paid_by_credit(create_disputed_sale, market, arbitrator, stranger):
    order = create_disputed_sale()
    market.resolveDispute(*order.args, 0, False, sender=arbitrator)
    before = stranger.balance
    market.withdraw(ZERO_ADDRESS, stranger, sender=arbitrator)
    assert stranger.balance == before + order.escrow.bond
