"""The constructor, and what the deployed code is: see test_deployment.tree."""

import pytest
from ape.exceptions import ContractLogicError

from tests.contracts.sales import (
    ARBITRATION,
    DELIVERY,
    DISPUTE,
    ETHER,
    EXIT,
    JUNK_FINE,
    PROOF,
    REFUND,
    SLASH_DELAY,
    SLASH_LAPSE,
)

HOUR, DAY = 3600, 86_400


def name(text):
    return text.encode().ljust(32, b"\0")


def test_keeps_its_values(market, proofs):
    assert market.FALLBACK_BLOCKS() == 100
    assert market.REFUND_SECONDS() == REFUND
    assert market.DELIVERY_SECONDS() == DELIVERY
    assert market.PROOF_SECONDS() == PROOF
    assert market.DISPUTE_SECONDS() == DISPUTE
    assert market.ARBITRATION_SECONDS() == ARBITRATION
    assert market.EXIT_SECONDS() == EXIT
    assert market.SLASH_DELAY_SECONDS() == SLASH_DELAY
    assert market.SLASH_LAPSE_SECONDS() == SLASH_LAPSE
    assert market.JUNK_FINE() == JUNK_FINE
    assert market.PROOFS() == proofs.address
    assert market.burnt() == 0
    assert market.GOVERNOR() == "0x" + "00" * 20
    assert market.MIN_DELIVERER_STAKE() == ETHER // 10
    assert market.MIN_SELLER_STAKE() == 2 * ETHER


@pytest.mark.parametrize(
    ("window", "low", "high", "exit_"),
    [
        ("refund", HOUR, 2**24, 2**27),
        ("dispute", 2 * REFUND // 3, 2**24, 2**27),
        ("arbitration", DAY, 2**25, 2**27),
        ("slash_delay", HOUR, 2**24, 2**27),
        ("slash_lapse", HOUR, 2**24, 2**27),
    ],
)
def test_window_bounds(create_market, reverts, window, low, high, exit_):
    known_as = {"slash_delay": "slashDelay", "slash_lapse": "slashLapse"}.get(window, window)
    bounds = {"name": name(known_as), "min": low, "max": high}
    # The time to dispute is never shorter than that for proofs.
    dispute = {"dispute": 2**24} if window == "refund" else {}
    # Twice the time to refund is computed before its bounds are looked at, in 64 bits.
    for value in (0, low - 1, high + 1, 2**63 - 1):
        with reverts("InvalidWindow", value=value, **bounds):
            create_market(**dispute | {window: value, "exit_": exit_})
    for value in (low, high):
        market = create_market(**dispute | {window: value, "exit_": exit_})
        assert getattr(market, window.upper() + "_SECONDS")() == value


def test_exit_outlasts_the_longest_sale_and_a_slash(create_market, reverts):
    least = REFUND + DISPUTE + ARBITRATION + SLASH_DELAY + SLASH_LAPSE
    for value in (0, least - 1, 2**27 + 1, 2**64 - 1):
        with reverts("InvalidWindow", name=name("exit"), value=value, min=least, max=2**27):
            create_market(exit_=value)
    assert create_market(exit_=least).EXIT_SECONDS() == least
    assert create_market(exit_=2**27).EXIT_SECONDS() == 2**27


def test_minimum_stakes(create_market, reverts):
    with reverts("StakeTooLow", stake=0, minimum=1):
        create_market(deliverer_stake=0)
    with reverts("AmountTooLarge", amount=2**88):
        create_market(deliverer_stake=2**88)
    with reverts("AmountTooLarge", amount=2**96):
        create_market(seller_stake=2**96)
    market = create_market(deliverer_stake=2**88 - 1, seller_stake=2**96 - 1)
    assert market.MIN_DELIVERER_STAKE() == 2**88 - 1
    assert market.MIN_SELLER_STAKE() == 2**96 - 1
    market = create_market(deliverer_stake=1, seller_stake=0, junk_fine=1)
    assert (market.MIN_DELIVERER_STAKE(), market.MIN_SELLER_STAKE()) == (1, 0)


def test_the_fine_is_at_most_the_least_stake(create_market, reverts):
    least = ETHER // 10
    with reverts("JunkFineTooHigh", fine=least + 1, minDelivererStake=least):
        create_market(junk_fine=least + 1)
    assert create_market(junk_fine=least).JUNK_FINE() == least
    assert create_market(junk_fine=0).JUNK_FINE() == 0


def test_the_verifier_is_a_contract(create_market, stranger, reverts):
    with reverts("NoProofs", proofs=stranger):
        create_market(verifier=stranger)


def test_fits_the_size_limit_with_room(market, proofs, chain):
    for address in (market.address, market.CLOSING(), proofs.address):
        assert 0 < len(chain.provider.get_code(address)) < 24_576 - 1_000


def test_the_half_that_closes_works_for_the_market_alone(
    market, project, create_complete_sale, buyer, reverts
):
    """It is code: called directly it would work on a storage of its own."""
    order = create_complete_sale()
    closing = project.Closing.at(market.CLOSING())
    with reverts("NotAllowed", caller=buyer):
        closing.refund(*order.args, sender=buyer)
    with reverts("NotAllowed", caller=buyer):
        closing.proposeSlashing(buyer, 1, buyer, bytes(32), sender=buyer)


def test_nobody_rules_it(market):
    """Immutable: every call there is, and none of them an owner's."""
    assert {method.name for method in market.contract_type.mutable_methods} == {
        "addDelivererStake",
        "agree",
        "buyItem",
        "buyItemByPermit",
        "cancelExit",
        "cancelSlashing",
        "closeMany",
        "concede",
        "confirm",
        "createStore",
        "deliverFragment",
        "deliverFragments",
        "executeSlashing",
        "openDispute",
        "postTerms",
        "proposeSlashing",
        "proveBadLeaves",
        "proveBadShares",
        "proveJunk",
        "proveSellerJunk",
        "rateSale",
        "refund",
        "requestExit",
        "resolveDispute",
        "rotateDelivererKey",
        "setSellerOperator",
        "settle",
        "stakeAsDeliverer",
        "stakeAsDelivererFor",
        "stakeAsSeller",
        "submitEvidence",
        "supplyFragments",
        "updateStore",
        "withdraw",
        "withdrawDelivererStake",
        "withdrawEarnings",
        "withdrawSellerStake",
    }


def test_takes_no_plain_coins(market, stranger):
    with pytest.raises(ContractLogicError):
        stranger.transfer(market, 1)
