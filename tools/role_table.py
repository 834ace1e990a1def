"""Who may call what, when: found out by calling everything as everybody, and kept in docs/roles.md.

    tools/role_table.py [--write]

Every state-changing function of the contract's ABI is tried on a private Anvil as each of nine
roles, in every state of a sale (or of what else the function is about), and what it answers is the
table: `yes`, or the name of the error. Without --write the table is compared with the page's.
"""

# ruff: noqa: ARG001, ARG005 - every entry of the table is called alike, whatever it needs
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "model"))

from anvil_market import QUICK_BLOCKS  # noqa: E402
from cases import Case  # noqa: E402
from reference import Agreement, Item, Leaf, Sale, Split  # noqa: E402
from world import (  # noqa: E402
    ETHER,
    KEY,
    NO_POSSESSION,
    PEOPLE,
    RULES,
    Bought,
    World,
    catalogue,
)

from dam.crypto.hashing import keccak, terms_leaf  # noqa: E402
from dam.testing.nodes import AnvilNode  # noqa: E402
from dam.types import Status  # noqa: E402

PAGE = ROOT / "docs" / "roles.md"
START, END = "<!-- table: made by tools/role_table.py -->\n", "\n<!-- /table -->\n"
ROLES = {
    "seller": "sam",
    "seller's operator": "wes",
    "buyer": "bea",
    "arbitrator": "art",
    "deliverer (operator)": "dan",
    "deliverer's owner": "dot",
    "governor": "gov",
    "stranger": "ben",
    "contract": "wal",
}
ITEM = Item("item", "", ETHER, ETHER // 10, ETHER // 2, ETHER // 5, 9, 3, 2, "art")
IN_USD = ITEM._replace(name="in usd", token="usd")
DIGEST = keccak(b"document")
# Three parts, of which one does not add up; and the last index has a second leaf.
LEAVES = (
    Leaf(0, "dan", "key", "key"),
    Leaf(1, "dan", "key", "key"),
    Leaf(2, "dan", "another", "key"),
    Leaf(2, "dan", "a third", "key"),
)


class Stage:
    """A world with a seller, a deliverer and two items on sale; functions move it on."""

    def __init__(self, world: World) -> None:
        self.world, self.chain = world, world.chain
        world.reset()
        at = world.at
        self.items = {item: world.goods(item, False, [LEAVES]) for item in (ITEM, IN_USD)}
        self.tree = catalogue(self.items.values())
        self.do("sam", "stakeAsSeller", value=9 * ETHER)
        self.do("sam", "setSellerOperator", at["wes"])
        self.do("sam", "createStore", DIGEST, self.tree.root)
        self.do("dan", "stakeAsDelivererFor", at["dot"], KEY, NO_POSSESSION, value=ETHER)
        self.sold(Sale(ITEM, "sam", "bea", LEAVES, 0, 0), copy=1)

    def do(self, who: str, function: str, *args: Any, value: int = 0) -> None:
        data = self.world.contract.call(function, *args)
        refused = self.world.attempt(who, self.world.market, data, value)
        if refused:
            raise RuntimeError(f"{function} by {who}: {refused}")
        self.world.send(who, self.world.market, data, value)

    def ask(self, who: str, function: str, *args: Any, value: int = 0) -> str:
        # Calls that are signed come ready.
        ready = len(args) == 1 and isinstance(args[0], bytes)
        data = args[0] if ready else self.world.contract.call(function, *args)
        return self.world.attempt(who, self.world.market, data, value) or "yes"

    def sold(self, sale: Sale, copy: int = 0) -> None:
        self.sale: Bought = self.world.bought(sale, self.items[ITEM], copy, DIGEST)
        self.case = Case(self.world, self.sale, LEAVES)

    @property
    def closing(self) -> tuple[Any, ...]:
        one = self.sale
        return one.copy_id, astuple(one.sale), astuple(one.escrow)

    @property
    def word(self) -> tuple[Status, int]:
        """Status of the sale, and since when."""
        view = self.world.contract.call("sales", self.sale.copy_id)
        _, [answer] = self.chain.read(self.world.market, [(self.world.market, view)])
        status, _, since, *_ = self.world.contract.result("sales", answer)
        return Status(status), since

    def order(self, item: Item, copy: int) -> tuple[Any, ...]:
        """Arguments of a purchase."""
        terms = self.items[item].terms
        proof = list(self.tree.proof(terms_leaf(terms)))
        keys = self.world.buyers_keys(ITEM, copy)
        return self.world.at["sam"], astuple(terms), proof, DIGEST, copy, keys

    # -------------------------------------------------------------------------------- states

    def part(self, index: int, by: str = "dan") -> None:
        """Junk: so that there is something to prove."""
        self.case.do("ben", self.case.part(index, by, good=False))

    def to(self, block: int = 0, time: int = 0) -> None:
        """The next call stands so many blocks, and seconds, after the purchase."""
        self.chain.reach(self.born + block)
        self.chain.reach_time(self.case.time + time)

    def purchased(self, block: int = 0, time: int = 0) -> None:
        """One of three parts is there."""
        self.do("bea", "buyItem", *self.order(ITEM, 0), value=ITEM.price)
        self.born = self.chain.head
        self.sold(Sale(ITEM, "sam", "bea", LEAVES, self.born, self.chain.now))
        self.part(0)
        self.to(block, time)

    def complete(self, block: int = 0, time: int = 0) -> None:
        """Two of three are there, which is enough."""
        self.purchased()
        self.part(1)
        self.to(block, time)

    def by_seller(self) -> None:
        """The second part came from the seller's side, so that there is a proof against it."""
        self.purchased(101)
        self.part(1, "wes")

    def punished(self) -> None:
        """Both parts were proved to be junk."""
        self.complete()
        self.case.do("bea", self.case.proof(0, 1))
        self.to(101)

    def disputed(self, after: int = 0) -> None:
        self.complete(101)
        self.do("bea", "openDispute", *self.closing, bytes(32), value=ITEM.bond)
        self.chain.reach_time(self.chain.now + after)

    def settled(self) -> None:
        self.complete(101)
        self.do("bea", "confirm", *self.closing)

    def refunded(self) -> None:
        self.complete(101)
        self.do("sam", "concede", *self.closing)

    def resolved(self) -> None:
        self.disputed()
        self.do("art", "resolveDispute", *self.closing, 1, True)

    def agreed(self) -> None:
        self.complete(101)
        self.do("sam", "agree", *agreement(self, "sam")[0])

    def exiting(self, after: int = 0) -> None:
        self.do("dot", "requestExit", self.world.at["dan"])
        self.chain.reach_time(self.chain.now + after)

    def proposed(self, after: int = 0) -> None:
        at = self.world.at
        self.do("gov", "proposeSlashing", at["dan"], 1, at["ben"], bytes(32))
        self.chain.reach_time(self.chain.now + after)

    def frozen(self) -> None:
        self.exiting(RULES.exit)
        self.proposed(3)


SALE_STATES: dict[str, Callable[[Stage], None]] = {
    "None": lambda stage: None,
    "Purchased, to P + 100": lambda stage: stage.purchased(100),
    "Purchased, from P + 101": lambda stage: stage.purchased(101),
    "Purchased, deliverers' time over": lambda stage: stage.purchased(101, RULES.refund // 3 + 1),
    "Purchased, refund open": lambda stage: stage.purchased(101, RULES.refund + 1),
    "Purchased again, both parts junk": lambda stage: stage.punished(),
    "Complete, before the gate": lambda stage: stage.complete(100),
    "Complete, from the gate": lambda stage: stage.complete(101),
    "Complete, one part by the seller's side": lambda stage: stage.by_seller(),
    "Complete, too late to dispute": lambda stage: stage.complete(101, 9 + RULES.dispute),
    "Disputed": lambda stage: stage.disputed(),
    "Disputed, from a third on": lambda stage: stage.disputed(RULES.arbitration // 3),
    "Disputed, too late to rule": lambda stage: stage.disputed(RULES.arbitration + 1),
    "Settled": lambda stage: stage.settled(),
    "Refunded": lambda stage: stage.refunded(),
    "Resolved": lambda stage: stage.resolved(),
    "Agreed": lambda stage: stage.agreed(),
}
DELIVERER_STATES: dict[str, Callable[[Stage], None]] = {
    "in service, nothing earned": lambda stage: None,
    "in service, with earnings": lambda stage: stage.purchased(),
    "exit requested": lambda stage: stage.exiting(),
    "exit's delay over": lambda stage: stage.exiting(RULES.exit),
    "delay over, a slash proposed": lambda stage: stage.frozen(),
}
SLASH_STATES: dict[str, Callable[[Stage], None]] = {
    "none proposed": lambda stage: None,
    "proposed": lambda stage: stage.proposed(),
    "delay over": lambda stage: stage.proposed(RULES.slash_delay),
    "lapsed": lambda stage: stage.proposed(RULES.slash_delay + RULES.slash_lapse + 1),
}
OWN_STATES: dict[str, Callable[[Stage], None]] = {"always": lambda stage: stage.resolved()}

Call = Callable[[Stage, str], tuple[tuple[Any, ...], int]]


def plain(*args: Any, value: int = 0) -> Call:
    """Arguments that are the same for everybody."""
    return lambda stage, who: (args, value)


def to(*args: Any, value: int = 0) -> Call:
    """The deliverer first, and then these."""
    return lambda stage, who: ((stage.world.at["dan"], *args), value)


def closing(*args: Any, value: int = 0) -> Call:
    """Sale and escrow first, and then these."""
    return lambda stage, who: ((*stage.closing, *args), value)


def permit(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
    good = (IN_USD.price, 0, 27, bytes(32), bytes(32))
    # The same item is sold where the other one is, so that the state means the same.
    copy = 0 if stage.sale.sale.copy == 0 else 1
    item = ITEM if copy == 0 else IN_USD
    return (*stage.order(item, copy), good), 0


def parts(index: int, function: str) -> Call:
    """A part that whoever calls has signed: who is on the seller's side, to the fresh key if need
    be. A contract signs nothing, and brings what the deliverer signed.
    """

    def made(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
        signer = "dan" if who == "wal" else who
        delivery = stage.case.delivery(index)
        data = stage.world.parts(signer, [delivery], function)
        return (data,), 0

    return made


def proof(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
    """Of part 0, which was never proved but in one state."""
    return (stage.case.proof(0),), 0


def seller_proof(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
    evidence = astuple(stage.sale.evidence(stage.case.entry(1, good=False)))
    return (*stage.closing, stage.sale.keys, evidence), 0


def shares(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
    """Two that do not add up."""
    leaves = [LEAVES[0], LEAVES[2]]
    records = [astuple(stage.sale.open_leaf(leaf)) for leaf in leaves]
    given = [stage.sale.goods.share(leaf) for leaf in leaves]
    return (*stage.closing, records, given), 0


def contradiction(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
    """Two leaves of index 2."""
    records = [astuple(stage.sale.open_leaf(leaf)) for leaf in LEAVES[2:]]
    return (*stage.closing, *records), 0


def agreement(stage: Stage, who: str) -> tuple[tuple[Any, ...], int]:
    """Of the state as it is; signed by both, but who calls need not sign."""
    status, since = stage.word
    disputed = status == Status.DISPUTED
    split = Split(1, 1, ITEM.bond if disputed else 0, 2**40)
    one = Agreement(None, status.name, since, split)
    signatures = [stage.world.agreement(party, stage.sale, one) for party in ("bea", "sam")]
    return (*stage.closing, tuple(split), *signatures), 0


GROUPS: list[tuple[str, dict[str, Callable[[Stage], None]], dict[str, Call]]] = [
    (
        "Sales",
        SALE_STATES,
        {
            "buyItem": lambda stage, who: (
                stage.order(ITEM, stage.sale.sale.copy),
                ITEM.price,
            ),
            "buyItemByPermit": permit,
            "deliverFragment": parts(2, ""),
            "deliverFragments": parts(2, "deliverFragments"),
            "supplyFragments": parts(0, "supplyFragments"),
            "confirm": closing(),
            "settle": closing(),
            "refund": closing(),
            "closeMany": lambda stage, who: (([stage.closing],), 0),
            "concede": closing(),
            "agree": agreement,
            "openDispute": closing(bytes(32), value=ITEM.bond),
            "resolveDispute": closing(1, True),
            "submitEvidence": closing("/ipfs/evidence"),
            "rateSale": lambda stage, who: ((*stage.closing[:2], 5), 0),
            "proveJunk": proof,
            "proveSellerJunk": seller_proof,
            "proveBadShares": shares,
            "proveBadLeaves": contradiction,
        },
    ),
    (
        "Deliverers",
        DELIVERER_STATES,
        {
            "addDelivererStake": to(value=1),
            "rotateDelivererKey": to(KEY, NO_POSSESSION),
            "postTerms": to(1, True),
            "requestExit": to(),
            "cancelExit": to(),
            "withdrawDelivererStake": lambda stage, who: (
                (stage.world.at["dan"], stage.world.at["ben"]),
                0,
            ),
            "withdrawEarnings": lambda stage, who: (
                (stage.world.at["dan"], stage.world.at["ben"]),
                0,
            ),
        },
    ),
    (
        "Slashing",
        SLASH_STATES,
        {
            "proposeSlashing": lambda stage, who: (
                (stage.world.at["dan"], 1, stage.world.at["ben"], bytes(32)),
                0,
            ),
            "executeSlashing": plain(1),
            "cancelSlashing": plain(1),
        },
    ),
    (
        "Everybody, for themselves",
        OWN_STATES,
        {
            "stakeAsSeller": plain(value=1),
            "withdrawSellerStake": lambda stage, who: ((1, stage.world.at["ben"]), 0),
            "setSellerOperator": lambda stage, who: ((stage.world.at["ben"],), 0),
            "createStore": plain(DIGEST, bytes(32)),
            "updateStore": plain(DIGEST, bytes(32)),
            "stakeAsDeliverer": plain(KEY, NO_POSSESSION, value=RULES.min_deliverer),
            "stakeAsDelivererFor": lambda stage, who: (
                (stage.world.at["dot"], KEY, NO_POSSESSION),
                RULES.min_deliverer,
            ),
            "withdraw": lambda stage, who: ((stage.world.at[""], stage.world.at["ben"]), 0),
        },
    ),
]


def answers(world: World) -> dict[str, dict[str, dict[str, str]]]:
    """For each function, state and role: `yes`, or an error."""
    named = {name for _, _, calls in GROUPS for name in calls}
    changing = {
        name
        for name, entry in world.contract.functions.items()
        if entry["stateMutability"] in ("nonpayable", "payable")
    }
    if named != changing:
        raise RuntimeError(f"not in the table, or not in the contract: {named ^ changing}")
    found: dict[str, dict[str, dict[str, str]]] = {name: {} for name in named}
    for _, states, calls in GROUPS:
        for state, reach in states.items():
            stage = Stage(world)
            reach(stage)
            for name, call in calls.items():
                row = found[name][state] = {}
                for role, who in ROLES.items():
                    args, value = call(stage, who)
                    row[role] = stage.ask(who, name, *args, value=value)
    return found


def table(world: World) -> str:
    """The section of the page: a table a function, where roles answered alike share a column."""
    found = answers(world)
    lines: list[str] = []
    for title, states, calls in GROUPS:
        lines += ["", f"## {title}"]
        for name in calls:
            columns: dict[tuple[str, ...], list[str]] = {}
            for role in ROLES:
                answer = tuple(found[name][state][role] for state in states)
                columns.setdefault(answer, []).append(role)
            # The most common answer is what everybody else gets.
            rest = max(columns, key=lambda answer: len(columns[answer]))
            heads = {
                answer: "everybody else"
                if answer == rest and len(columns) > 1
                else "everybody"
                if answer == rest
                else ", ".join(roles)
                for answer, roles in columns.items()
            }
            order = [*(answer for answer in columns if answer != rest), rest]
            lines += ["", f"### `{name}`", ""]
            lines.append("| state | " + " | ".join(heads[answer] for answer in order) + " |")
            lines.append("|---|" + "---|" * len(order))
            for i, state in enumerate(states):
                cells = [f"**{a[i]}**" if a[i] == "yes" else a[i] for a in order]
                lines.append(f"| {state} | " + " | ".join(cells) + " |")
    return "\n".join(lines).strip()


def committed() -> str:
    return PAGE.read_text("utf-8").split(START)[1].split(END)[0]


def fresh() -> str:
    with AnvilNode(accounts=len(PEOPLE), args=QUICK_BLOCKS) as node:
        return table(World(node))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="renew docs/roles.md")
    options = parser.parse_args()
    now = fresh()
    if options.write:
        before, rest = PAGE.read_text("utf-8").split(START)
        PAGE.write_text(before + START + now + END + rest.split(END)[1], "utf-8")
    elif now != committed():
        print("docs/roles.md is not what the contract does: run tools/role_table.py --write")
        return 1
    print(f"{now.count('###')} functions, {len(ROLES)} roles: docs/roles.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
