"""agree: see test_agree.tree."""

from dataclasses import astuple, replace

import pytest

from dam.types import ZERO_ADDRESS, Split, Status
from tests.contracts.sales import ARBITRATION, ETHER, WORKED, key_of

FEE = 10**16
FOREVER = 2**40
NOTHING = Split(0, 0, 0, FOREVER)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# A contract that answers every static call as ERC-1271 wants: returns isValidSignature's selector.
SAYS_YES = "0x631626ba7e60e01b60005260206000f3"
SAYS_NO = "0x60206000f3"


@pytest.fixture
def agree(market, stranger):
    """Carries an end out, signed by both of the sale as it is, unless told otherwise."""

    def call(order, split, *, buyer=None, seller=None, sender=stranger):
        by_buyer = order.consent(order.buyer, split) if buyer is None else buyer
        by_seller = order.consent(order.item.seller, split) if seller is None else seller
        return market.agree(*order.args, astuple(split), by_buyer, by_seller, sender=sender)

    return call


@pytest.mark.parametrize("state", ["purchased", "complete", "disputed", "late"])
@pytest.mark.parametrize("share", [0, 1, ETHER // 2, ETHER - FEE, ETHER])
def test_splits(
    create_sale, agree, market, buyer, seller, arbitrator, holdings, logged, event, state, share
):
    order = create_sale(threshold=2)
    count = 1 if state == "purchased" else 3
    order.deliver(*range(count))
    order.reach(101)
    if state in ("disputed", "late"):
        order.dispute()
    if state == "late":
        order.clock.wait(WORKED)
    bond, penalty = order.escrow.bond, order.escrow.penalty
    a = {"disputed": 7, "late": bond + 4}.get(state, 0)
    split = Split(share, penalty - 1, a, FOREVER)
    receipt = agree(order, split)
    assert order.status == Status.AGREED
    assert logged(receipt) == [
        event(
            "SaleAgreed",
            copyId=order.copy_id,
            toBuyer=share,
            penalty=penalty - 1,
            toArbitrator=a,
        )
    ]
    paid = count * FEE
    back = min(ETHER - share, paid)
    own = bond - a // 2 if state in ("disputed", "late") else 0
    assert holdings(buyer).credit == share + penalty - 1 + own
    assert holdings(seller).credit == ETHER - share - back
    assert holdings(seller).stake == 100 * ETHER - paid + back - (penalty - 1) - (a - a // 2)
    assert market.credits(arbitrator, ZERO_ADDRESS) == a


def test_both_bonds_may_be_the_arbitrators(create_disputed_sale, agree, market, arbitrator):
    order = create_disputed_sale()
    agree(order, replace(NOTHING, to_arbitrator=2 * order.escrow.bond))
    assert market.credits(arbitrator, ZERO_ADDRESS) == 2 * order.escrow.bond


@pytest.mark.parametrize("name", ["buyer", "seller"])
def test_who_calls_need_not_sign(create_complete_sale, agree, request, name):
    order = create_complete_sale()
    agree(order, NOTHING, sender=request.getfixturevalue(name), **{name: b""})
    assert order.status == Status.AGREED


def test_of_a_sale_whose_refund_is_open(create_sale, agree):
    order = create_sale()
    order.wait_long(9000)
    agree(order, Split(ETHER, 0, 0, FOREVER))


@pytest.mark.parametrize("end", ["settled", "refunded", "agreed"])
def test_once(create_complete_sale, agree, market, buyer, seller, reverts, end):
    order = create_complete_sale()
    if end == "settled":
        market.confirm(*order.args, sender=buyer)
    elif end == "refunded":
        market.concede(*order.args, sender=seller)
    else:
        agree(order, NOTHING)
    with reverts("WrongStatus", copyId=order.copy_id, status=Status[end.upper()]):
        agree(order, NOTHING)


def test_not_before_the_gate(create_sale, agree, reverts):
    order = create_sale()
    order.deliver(0, 1)
    order.reach(100)
    with reverts("BeforeGate", copyId=order.copy_id, gateBlock=order.block + 101):
        agree(order, NOTHING)
    agree(order, NOTHING)


def test_until_the_deadline(create_complete_sale, agree, clock, reverts):
    order = create_complete_sale()
    last = clock.now + 500
    split = replace(NOTHING, deadline=last)
    clock.at(last + 1)
    with reverts("TooLate", copyId=order.copy_id, lastTime=last):
        agree(order, split)
    last = clock.now + 500
    clock.at(last)
    agree(order, replace(NOTHING, deadline=last))


@pytest.mark.parametrize("late", [False, True])
def test_until_the_rulings_last_second(create_disputed_sale, agree, reverts, late):
    order = create_disputed_sale()
    split = replace(NOTHING, to_arbitrator=order.escrow.bond)
    last = order.time + order.state.since + ARBITRATION
    order.clock.at(last + late)
    if late:
        with reverts("TooLate", copyId=order.copy_id, lastTime=last):
            agree(order, split)
    else:
        agree(order, split)


@pytest.mark.parametrize(
    "changes", [{"to_buyer": ETHER + 1}, {"penalty": ETHER // 2 + 2}, {"to_arbitrator": 1}], ids=str
)
def test_no_more_than_there_is(create_complete_sale, agree, reverts, changes):
    order = create_complete_sale()
    with reverts("InvalidSplit", copyId=order.copy_id):
        agree(order, replace(NOTHING, **changes))


@pytest.mark.parametrize("worked", [False, True])
def test_what_the_arbitrator_gets(create_disputed_sale, agree, reverts, worked):
    """Nothing must be theirs at first; from a third of their time on, at least a bond."""
    order = create_disputed_sale()
    bond = order.escrow.bond
    order.clock.wait(WORKED - 9)
    with reverts("InvalidSplit", copyId=order.copy_id):
        agree(order, replace(NOTHING, to_arbitrator=2 * bond + 1))
    if worked:
        order.clock.at(order.time + order.state.since + WORKED)
        with reverts("InvalidSplit", copyId=order.copy_id):
            agree(order, replace(NOTHING, to_arbitrator=bond - 1))
        agree(order, replace(NOTHING, to_arbitrator=bond))
    else:
        order.clock.at(order.time + order.state.since + WORKED - 1)
        agree(order, NOTHING)


@pytest.mark.parametrize("party", ["buyer", "seller"])
@pytest.mark.parametrize("odd", ["nothing", "another split", "status", "since", "stranger", "sale"])
def test_each_party_agrees_to_this_very_end(
    create_complete_sale, agree, request, stranger, reverts, party, odd
):
    order, who = create_complete_sale(), request.getfixturevalue(party)
    state = order.state
    wrong = {
        "nothing": b"",
        "another split": order.consent(who, replace(NOTHING, to_buyer=1)),
        "status": order.consent(who, NOTHING, status=Status.PURCHASED),
        "since": order.consent(who, NOTHING, since=state.since - 1),
        "stranger": order.consent(stranger, NOTHING),
        "sale": create_complete_sale().consent(who, NOTHING),
    }[odd]
    with reverts("NotAgreed", party=who):
        agree(order, NOTHING, **{party: wrong})
    agree(order, NOTHING)


def test_attack_old_agreement_used_as_an_option(create_sale, agree, market, buyer, seller, reverts):
    """What was signed for one state is worth nothing in the next, or when that began anew."""
    order = create_sale()
    order.deliver(0, 1)
    order.reach(101)
    split = Split(ETHER // 2, 0, 0, FOREVER)
    old = {"buyer": order.consent(buyer, split), "seller": order.consent(seller, split)}
    order.send(order.good(2), by=seller)
    with reverts("NotAgreed", party=buyer):
        agree(order, split, **old)
    old = {"buyer": order.consent(buyer, split), "seller": order.consent(seller, split)}
    order.dispute()
    with reverts("NotAgreed", party=buyer):
        agree(order, split, **old)


def test_attack_proof_that_follows_an_agreement(create_sale, agree, buyer, seller, reverts):
    order = create_sale()
    order.deliver_all()
    old = {"buyer": order.consent(buyer, NOTHING), "seller": order.consent(seller, NOTHING)}
    order.prove(order.delivery(0), order.delivery(1), fresh_key=key_of(3))
    assert order.status == Status.PURCHASED
    with reverts("NotAgreed", party=buyer):
        agree(order, NOTHING, **old)


def test_the_sellers_operator_cannot(create_complete_sale, agree, watchdog, seller, reverts):
    order = create_complete_sale()
    with reverts("NotAgreed", party=seller):
        agree(order, NOTHING, seller=order.consent(watchdog, NOTHING))
    with reverts("NotAgreed", party=seller):
        agree(order, NOTHING, seller=b"", sender=watchdog)


@pytest.mark.parametrize("form", ["high s", "short", "long", "v"])
def test_signatures_have_one_form(create_complete_sale, agree, buyer, reverts, form):
    order = create_complete_sale()
    good = order.consent(buyer, NOTHING)
    s, v = int.from_bytes(good[32:64], "big"), good[64]
    bad = {
        "high s": good[:32] + (ORDER - s).to_bytes(32, "big") + bytes((55 - v,)),
        "short": good[:63],
        "long": good + b"\0",
        "v": good[:64] + bytes((v - 27,)),
    }[form]
    with reverts("NotAgreed", party=buyer):
        agree(order, NOTHING, buyer=bad)


@pytest.mark.parametrize("code", [SAYS_YES, SAYS_NO])
def test_a_contract_is_asked(create_complete_sale, agree, seller, clock, reverts, code):
    order = create_complete_sale()
    clock.rpc("anvil_setCode", seller.address, code)
    if code == SAYS_YES:
        agree(order, NOTHING, seller=b"whatever")
        assert order.status == Status.AGREED
    else:
        with reverts("NotAgreed", party=seller):
            agree(order, NOTHING, seller=b"whatever")
    clock.rpc("anvil_setCode", seller.address, "0x")


def test_a_contracts_own_key_first(create_complete_sale, agree, seller, clock):
    """An account that delegated its code still signs by its key."""
    order = create_complete_sale()
    clock.rpc("anvil_setCode", seller.address, SAYS_NO)
    agree(order, NOTHING)
    clock.rpc("anvil_setCode", seller.address, "0x")


def test_wrong_sale_or_escrow(create_complete_sale, market, agree, buyer, seller, reverts):
    order = create_complete_sale()
    by = [order.consent(who, NOTHING) for who in (buyer, seller)]
    copy_id, sale, escrow = order.args
    wrong = astuple(replace(order.sale, buyer=seller.address))
    with reverts("WrongSale", copyId=copy_id):
        market.agree(copy_id, wrong, escrow, astuple(NOTHING), *by, sender=buyer)
    wrong = astuple(replace(order.escrow, price=50 * ETHER))
    with reverts("WrongEscrow", copyId=copy_id):
        market.agree(copy_id, sale, wrong, astuple(NOTHING), *by, sender=buyer)
