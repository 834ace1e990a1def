"""What the contract is built with, what its views answer, and what its errors name."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from cases import BOND, Case, sell
from eth_abi.abi import decode
from reference_stakes import Rules
from world import DAY, ETHER, HOUR, KEY, NO_POSSESSION, RULES, World, entry_of, key_of

from dam.crypto.hashing import keccak
from dam.ipfs.cid import Cid
from dam.testing.rules import deadlines
from dam.types import ZERO_ADDRESS, BlockRef, Deadlines, LogRef, Purchase, Status, Wei, Windows

STAKE = ETHER // 10
# Least and greatest of each window; the exit's least depends on the others, that to dispute on the
# refund's: it is never shorter than the time for proofs.
BOUNDS = {
    "refund": (HOUR, 1 << 24),
    "dispute": (2 * HOUR // 3, 1 << 24),
    "arbitration": (DAY, 1 << 25),
    "exit": (None, 1 << 27),
    "slash_delay": (HOUR, 1 << 24),
    "slash_lapse": (HOUR, 1 << 24),
}


@pytest.fixture(autouse=True)
def fresh(world: World) -> None:
    world.reset()


def build(world: World, *, proofs: str = "", **changes: int) -> str | None:
    """The error of a construction, or None; windows not named are the least there are."""
    windows = {name: least or 0 for name, (least, _) in BOUNDS.items()}
    windows |= {name: value for name, value in changes.items() if name in BOUNDS}
    if "exit" not in changes:
        windows["exit"] = sum(windows.values()) - windows["exit"]
    amounts = {"min_deliverer": STAKE, "min_seller": 0, "junk_fine": 0, "governor": ""}
    amounts |= {name: value for name, value in changes.items() if name in amounts}
    return world.refusal_of_construction(world.setup(Rules(**windows, **amounts), proofs))


@pytest.mark.parametrize("name", [name for name in BOUNDS if name != "exit"])
def test_each_window_has_a_least_and_a_greatest(world: World, name: str) -> None:
    least, most = BOUNDS[name]
    others = {"dispute": 1 << 24} if name == "refund" else {}
    assert build(world, **others | {name: least}) is None
    assert build(world, **others | {name: least - 1}) == "InvalidWindow"
    assert build(world, **others | {name: most}) is None
    assert build(world, **others | {name: most + 1}) == "InvalidWindow"


def test_the_time_to_dispute_is_not_shorter_than_that_for_proofs(world: World) -> None:
    for refund in (HOUR, 5000, 1 << 23):
        proofs = 2 * refund // 3
        assert build(world, refund=refund, dispute=proofs) is None
        assert build(world, refund=refund, dispute=proofs - 1) == "InvalidWindow"


def test_an_exit_outlasts_the_longest_sale_and_a_slash(world: World) -> None:
    windows = {
        "refund": 3611, "dispute": 2527, "arbitration": 86431, "slash_delay": 3637,
        "slash_lapse": 3643,
    }  # fmt: skip
    longest = sum(windows.values())
    assert build(world, **windows, exit=longest - 1) == "InvalidWindow"
    assert build(world, **windows, exit=longest) is None
    assert build(world, **windows, exit=1 << 27) is None
    assert build(world, **windows, exit=(1 << 27) + 1) == "InvalidWindow"


def test_least_stakes_have_bounds(world: World) -> None:
    assert build(world, min_deliverer=0) == "StakeTooLow"
    assert build(world, min_deliverer=1) is None
    assert build(world, min_deliverer=2**88 - 1) is None
    assert build(world, min_deliverer=2**88) == "AmountTooLarge"
    assert build(world, min_seller=2**96 - 1) is None
    assert build(world, min_seller=2**96) == "AmountTooLarge"


def test_the_fine_is_no_more_than_the_least_stake_and_somebody_verifies(world: World) -> None:
    assert build(world, junk_fine=STAKE) is None
    assert build(world, junk_fine=STAKE + 1) == "JunkFineTooHigh"
    assert build(world, proofs=world.at["ben"]) == "NoProofs"


def test_constants_are_what_the_constructor_was_given(world: World) -> None:
    names = [
        *("REFUND_SECONDS", "DISPUTE_SECONDS", "ARBITRATION_SECONDS", "EXIT_SECONDS"),
        *("SLASH_DELAY_SECONDS", "SLASH_LAPSE_SECONDS", "MIN_DELIVERER_STAKE"),
        *("MIN_SELLER_STAKE", "JUNK_FINE"),
    ]
    assert [view(world, name) for name in names] == list(RULES[:9])
    assert view(world, "GOVERNOR") == world.at["gov"].lower()
    assert view(world, "PROOFS") == world.proofs.lower()
    assert view(world, "FALLBACK_BLOCKS") == 100
    assert view(world, "DELIVERY_SECONDS") == RULES.refund // 3
    assert view(world, "PROOF_SECONDS") == 2 * RULES.refund // 3
    assert view(world, "DOMAIN_SEPARATOR") == world.separator
    assert view(world, "clock") == (world.chain.head, world.chain.now)


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
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)
    assert view(world, "delivererStakes", dan) == STAKE
    assert view(world, "frozenUntil", dan) == 0
    do(world, "gov", "proposeSlashing", dan, 7, world.at["ben"], bytes(32))
    first = world.chain.now + RULES.slash_delay
    last = first + RULES.slash_lapse
    slash = (dan.lower(), first, last, world.at["ben"].lower(), 7, STAKE, 0)
    assert view(world, "slashes", 1) == slash
    assert view(world, "frozenUntil", dan) == last
    # A view answers for the block that has it.
    world.chain.reach_time(last)
    world.chain.mine(1)
    assert view(world, "frozenUntil", dan) == last
    world.chain.mine(1)
    assert view(world, "frozenUntil", dan) == 0


def test_a_slash_needs_a_beneficiary_and_something_to_take(world: World) -> None:
    dan, ben = world.at["dan"], world.at["ben"]
    do(world, "dan", "stakeAsDeliverer", KEY, NO_POSSESSION, value=STAKE)

    def said(operator: str, amount: int, to: str) -> str | None:
        call = world.contract.call("proposeSlashing", operator, amount, to, bytes(32))
        return world.attempt("gov", world.market, call)

    assert said(dan, 7, ZERO_ADDRESS) == "ZeroAddress"
    assert said(dan, 0, ben) == "NothingToSlash"
    assert said(ben, 7, ben) == "NotRegistered"
    # More than there is counts as all that is there now.
    do(world, "gov", "proposeSlashing", dan, 2**256 - 1, ben, bytes(32))
    assert view(world, "slashes", 1)[4:6] == (STAKE, STAKE)


def test_errors_name_the_second_from_which_it_would_do(world: World) -> None:
    """Tools wait for what an error names."""
    case = sell(world)
    dan, sam, cid = world.at["dan"], world.at["sam"], case.one.copy_id
    do(world, "gov", "proposeSlashing", dan, 7, sam, bytes(32))
    first = world.chain.now + RULES.slash_delay
    call = world.contract.call("executeSlashing", 1)
    assert refusal(world, "ben", call, ["uint256", "uint256"]) == (1, first)
    last = case.time + RULES.refund
    refund = case.call("refund")
    assert refusal(world, "bea", refund, ["bytes32", "uint256"]) == (cid, last + 1)
    last = case.do("ben", case.part(0)) + RULES.dispute
    world.chain.reach(case.gate)
    settle = case.call("settle")
    assert refusal(world, "bea", settle, ["bytes32", "uint256"]) == (cid, last + 1)
    do(world, "dan", "requestExit", dan)
    leave = world.contract.call("withdrawDelivererStake", dan, sam)
    exit_time = world.chain.now + RULES.exit
    assert exit_time in refusal(world, "dan", leave, ["address", "uint256"])


def test_a_fallback_that_is_too_early_is_told_when(world: World) -> None:
    case = sell(world)
    fallback = case.part(0, "sam")
    assert case.gate in refusal(world, "sam", fallback, ["bytes32", "uint256"])


# ----------------------------------------------------------------------------------- deadlines


def purchase(case: Case) -> Purchase:
    """As the log tells it."""
    sale, escrow = case.one.sale, case.one.escrow
    at = LogRef(BlockRef(sale.purchase_block, bytes(32)), bytes(32), 0)
    when = (sale.copy, sale.purchase_block, sale.purchase_time)
    who = (sale.seller, sale.buyer, escrow.store_digest)
    return Purchase(case.one.copy_id, *who, *when, case.one.goods.terms, case.one.keys, at)


def check_deadlines(case: Case) -> Deadlines:
    """The view's and the package's, which every client shows: they must be the same."""
    world = case.world
    told = view(world, "deadlines", case.one.copy_id, astuple(case.one.sale))
    amounts = (Wei(RULES.min_deliverer), Wei(RULES.min_seller), Wei(RULES.junk_fine))
    windows = Windows(*RULES[:6], *amounts)
    status, _, since, *_ = view(world, "sales", case.one.copy_id)
    ours = deadlines(purchase(case), Status(status), since, windows)
    assert told == astuple(ours)
    return ours


def test_deadlines_of_every_state(world: World) -> None:
    case = sell(world)
    start = case.time
    now = check_deadlines(case)
    assert (now.fallback_block, now.deliver) == (case.gate, start + RULES.refund // 3)
    assert (now.proof, now.refund_from) == (start + 2 * RULES.refund // 3, start + RULES.refund + 1)
    case.do("ben", case.part(0, good=False))
    assert check_deadlines(case).dispute == world.chain.now + RULES.dispute
    case.do("bea", case.proof(0), time=start + 900)
    assert check_deadlines(case).refund_from == start + RULES.refund + 1
    case.do("ben", case.part(1))
    assert check_deadlines(case).settle_from == world.chain.now + RULES.dispute + 1
    opened = case.do("bea", case.call("openDispute", bytes(32)), value=BOND, block=case.gate)
    now = check_deadlines(case)
    assert now.ruling == opened + RULES.arbitration
    assert now.arbitrator_paid_from == opened + RULES.arbitration // 3
    assert (now.proof, now.dispute) == (0, 0)
    case.do("sam", case.call("concede"))
    assert astuple(check_deadlines(case)) == (0,) * 9


def test_marks_and_entries(world: World) -> None:
    case = sell(world)
    case.do("ben", case.part(0, good=False))
    case.do("bea", case.proof(0))
    key = keccak(key_of("fresh"))[:24]
    assert view(world, "marks", case.one.copy_id) == (1, 1, key)
    assert view(world, "burnt") == (RULES.junk_fine - RULES.junk_fine // 5)
    part = case.delivery(0, fresh="fresh")
    case.do("ben", case.part(0, "sam", fresh="fresh"), block=case.gate)
    assert view(world, "sellerEntries", case.one.copy_id, 0) == entry_of(part)
    assert view(world, "sellerEntries", case.one.copy_id, 1) == bytes(32)


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
