"""While the market pays somebody, that somebody can call nothing of it that changes anything."""

from __future__ import annotations

from typing import Any

from world import ETHER, World

from dam.crypto.hashing import keccak


def nothing(param: dict[str, Any]) -> Any:
    """Zero, in the shape of a type."""
    kind: str = param["type"]
    if kind.endswith("[]"):
        return []
    if kind == "bytes32[2]":
        return (bytes(32), bytes(32))
    if kind == "tuple":
        return tuple(nothing(one) for one in param["components"])
    if kind == "address":
        return "0x" + "00" * 20
    if kind == "bool":
        return False
    if kind == "string":
        return ""
    return bytes(int(kind.removeprefix("bytes") or 0)) if kind.startswith("bytes") else 0


def test_no_call_that_changes_anything_gets_in_while_the_market_pays(world: World) -> None:
    world.reset()
    stake = world.contract.call("stakeAsSeller")
    world.send("wal", world.market, stake, 2 * ETHER)
    wal, heard = world.at["wal"], {}
    changing = {
        name: entry
        for name, entry in world.contract.functions.items()
        if entry["stateMutability"] in ("nonpayable", "payable")
    }
    for name, entry in changing.items():
        data = world.contract.call(name, *(nothing(param) for param in entry["inputs"]))
        plan = world.wallet.call("plan", world.market, data)
        world.chain.send(world.chain.accounts[0], wal, plan)
        pay = world.contract.call("withdrawSellerStake", 1, wal)
        world.send("wal", world.market, pay)
        _, [answer] = world.chain.read(world.market, [(wal, world.wallet.call("heard"))])
        heard[name] = world.wallet.result("heard", answer)
    assert len(heard) > 20
    reentered = keccak(b"Reentered()")[:4]
    assert {name: said for name, said in heard.items() if said != reentered} == {}


def test_the_half_that_closes_does_nothing_by_itself(world: World) -> None:
    """It is code that the market runs on its own storage: called directly, it refuses."""
    world.reset()
    _, [answer] = world.chain.read(world.market, [(world.market, world.contract.call("CLOSING"))])
    closing, refused = world.contract.result("CLOSING", answer), 0
    for name, entry in world.contract.functions.items():
        data = world.contract.call(name, *(nothing(param) for param in entry["inputs"]))
        said = world.attempt("sam", closing, data)
        # What it has not reverts without a word.
        assert said in ("NotAllowed", "revert 0x"), f"{name}: {said}"
        refused += said == "NotAllowed"
    assert refused >= 15
