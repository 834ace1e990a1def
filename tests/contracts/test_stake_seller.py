"""stakeAsSeller, withdrawSellerStake, setSellerOperator: see test_stake_seller.tree."""

from dam.types import ZERO_ADDRESS

ETHER = 10**18
UINT96 = 2**96


def test_stake_adds_up(market, newcomer, logged, event):
    first = market.stakeAsSeller(sender=newcomer, value=5)
    second = market.stakeAsSeller(sender=newcomer, value=7)
    assert market.sellerStakes(newcomer) == 12
    assert logged(first) == [event("SellerStaked", seller=newcomer, amount=5, free=5)]
    assert logged(second) == [event("SellerStaked", seller=newcomer, amount=7, free=12)]


def test_stake_of_nothing_changes_nothing(market, newcomer, logged, event):
    receipt = market.stakeAsSeller(sender=newcomer, value=0)
    assert logged(receipt) == [event("SellerStaked", seller=newcomer, amount=0, free=0)]


def test_stake_fits_96_bits_and_no_more(market, newcomer, reverts, fund):
    fund(newcomer, UINT96 + ETHER)
    market.stakeAsSeller(sender=newcomer, value=UINT96 - 1)
    assert market.sellerStakes(newcomer) == UINT96 - 1
    with reverts("AmountTooLarge", amount=UINT96):
        market.stakeAsSeller(sender=newcomer, value=1)


def test_withdraw_pays_at_once(market, newcomer, stranger, logged, event):
    market.stakeAsSeller(sender=newcomer, value=12)
    before = stranger.balance
    receipt = market.withdrawSellerStake(5, stranger, sender=newcomer)
    assert stranger.balance == before + 5
    assert market.sellerStakes(newcomer) == 7
    assert logged(receipt) == [
        event("SellerStakeWithdrawn", seller=newcomer, to=stranger, amount=5, free=7)
    ]
    market.withdrawSellerStake(7, stranger, sender=newcomer)
    assert market.sellerStakes(newcomer) == 0
    assert stranger.balance == before + 12


def test_withdraw_of_nothing(market, seller, reverts):
    with reverts("NothingToWithdraw"):
        market.withdrawSellerStake(0, seller, sender=seller)


def test_withdraw_of_more_than_is_free(market, newcomer, reverts):
    market.stakeAsSeller(sender=newcomer, value=5)
    with reverts("SellerStakeTooLow", seller=newcomer, free=5, needed=6):
        market.withdrawSellerStake(6, newcomer, sender=newcomer)
    market.withdrawSellerStake(5, newcomer, sender=newcomer)


def test_withdraw_to_nobody(market, seller, reverts):
    with reverts("ZeroAddress"):
        market.withdrawSellerStake(1, ZERO_ADDRESS, sender=seller)


def test_withdraw_to_one_who_refuses(market, seller, reverts):
    # The market itself takes no plain coins.
    with reverts("TransferFailed", to=market, amount=1):
        market.withdrawSellerStake(1, market, sender=seller)
    assert market.sellerStakes(seller) == 100 * ETHER


def test_what_a_sale_has_bound_stays(market, seller, create_sale, reverts):
    order = create_sale()
    free = 100 * ETHER - order.item.terms.reserve
    with reverts("SellerStakeTooLow", seller=seller, free=free, needed=free + 1):
        market.withdrawSellerStake(free + 1, seller, sender=seller)
    market.withdrawSellerStake(free, seller, sender=seller)
    assert market.sellerStakes(seller) == 0


def test_operator_takes_no_stake(market, seller, watchdog, reverts):
    with reverts("SellerStakeTooLow", seller=watchdog, free=0, needed=1):
        market.withdrawSellerStake(1, watchdog, sender=watchdog)
    assert market.sellerStakes(seller) == 100 * ETHER


def test_operator_is_the_callers_own(market, newcomer, seller, watchdog, stranger, logged, event):
    receipt = market.setSellerOperator(stranger, sender=newcomer)
    assert market.sellerOperator(newcomer) == stranger
    assert market.sellerOperator(seller) == watchdog
    assert logged(receipt) == [event("SellerOperatorSet", seller=newcomer, operator=stranger)]


def test_operator_can_be_nobody(market, seller):
    market.setSellerOperator(ZERO_ADDRESS, sender=seller)
    assert market.sellerOperator(seller) == ZERO_ADDRESS
