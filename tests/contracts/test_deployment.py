"""The constructor, and what the deployed code is: see test_deployment.tree."""

import pytest
from ape.exceptions import ContractLogicError

ETHER = 10**18


def name(text):
    return text.encode().ljust(32, b"\0")


def test_keeps_its_values(market):
    assert market.FALLBACK_BLOCKS() == 100
    assert market.REFUND_BLOCKS() == 300
    assert market.DISPUTE_BLOCKS() == 110
    assert market.ARBITRATION_BLOCKS() == 120
    assert market.EXIT_BLOCKS() == 640
    assert market.SLASH_DELAY_BLOCKS() == 105
    assert market.SLASH_LAPSE_BLOCKS() == 130
    assert market.GOVERNOR() == "0x" + "00" * 20
    assert market.MIN_DELIVERER_STAKE() == ETHER // 10
    assert market.MIN_SELLER_STAKE() == 2 * ETHER


@pytest.mark.parametrize(
    ("window", "low", "high", "exit_"),
    [
        ("refund", 300, 2**18, 2**22),
        ("dispute", 100, 2**18, 2**22),
        ("arbitration", 100, 2**19, 2**22),
        ("slash_delay", 100, 2**20, 2**22),
        ("slash_lapse", 100, 2**20, 2**22),
    ],
)
def test_window_bounds(create_market, reverts, window, low, high, exit_):
    known_as = {"slash_delay": "slashDelay", "slash_lapse": "slashLapse"}.get(window, window)
    bounds = {"name": name(known_as), "min": low, "max": high}
    for value in (0, low - 1, high + 1, 2**64 - 1):
        with reverts("InvalidWindow", value=value, **bounds):
            create_market(**{window: value, "exit_": exit_})
    for value in (low, high):
        market = create_market(**{window: value, "exit_": exit_})
        assert getattr(market, window.upper() + "_BLOCKS")() == value


def test_exit_outlasts_the_longest_sale_and_a_slash(create_market, reverts):
    least = 300 + 110 + 120 + 105 + 1
    for value in (0, least - 1, 2**22 + 1, 2**64 - 1):
        with reverts("InvalidWindow", name=name("exit"), value=value, min=least, max=2**22):
            create_market(exit_=value)
    assert create_market(exit_=least).EXIT_BLOCKS() == least
    assert create_market(exit_=2**22).EXIT_BLOCKS() == 2**22


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
    market = create_market(deliverer_stake=1, seller_stake=0)
    assert (market.MIN_DELIVERER_STAKE(), market.MIN_SELLER_STAKE()) == (1, 0)


def test_fits_the_size_limit_with_room(market, chain):
    assert len(chain.provider.get_code(market.address)) < 24_576 - 2_000


def test_nobody_rules_it(market):
    """Immutable: every call there is, and none of them an owner's."""
    assert {method.name for method in market.contract_type.mutable_methods} == {
        "addDelivererStake",
        "buyItem",
        "buyItemByPermit",
        "cancelExit",
        "cancelSlashing",
        "concede",
        "confirm",
        "createStore",
        "deliverFragment",
        "deliverFragments",
        "executeSlashing",
        "openDispute",
        "postTerms",
        "proposeSlashing",
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
