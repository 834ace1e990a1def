"""Every kind of trouble that the soak makes, each as a coroutine that says whether it struck.

A kind is done once: a kill and the new start, a rule of a proxy until it has struck, a
reorganisation. What lasts is noted as an outage of the daemon, so that a late part has a reason or
has none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from eth_account import Account

from dam.errors import RpcError
from soak.buyer import Buyer
from soak.keeper import Keeper
from soak.rules import IPFS_RULES, RPC_RULES, Rule
from soak.stage import Stage
from tests.faults.rpc_faults import BadGateway, wrong_chain

DEEPEST = 20
"""Blocks of the deepest reorganisation, as in the table of faults."""
_POOL_SECONDS = 6.0
_CRASH_SECONDS = 70.0
_SHORT_STOP = (2.0, 25.0)
_LONG_STOP = (105.0, 125.0)
"""Longer than the 100 blocks in which deliverers have the sale to themselves."""
_REFUSED_SECONDS = 35.0
"""At least one document is published in that time."""
_PLACES = {"deliverer": range(1, 9), "watchdog": (1, 2, 6, 7, 8)}


@dataclass
class Theatre:
    """What injectors act on."""

    stage: Stage
    buyer: Buyer
    chance: random.Random


Act = Callable[[Theatre], Coroutine[Any, Any, bool]]


@dataclass(frozen=True)
class Kind:
    """One kind of trouble."""

    name: str
    act: Act
    group: str
    """For the table: ``process``, ``chain``, ``node`` (RPC) or ``ipfs``."""


def kinds() -> list[Kind]:
    """All of them."""
    found = [
        Kind("SIGKILL", _kill, "process"),
        Kind("SIGTERM", _terminate, "process"),
        Kind("SIGSTOP", _stop, "process"),
        Kind("SIGSTOP beyond 100 blocks", _stop_long, "process"),
        *(Kind(f"SIGKILL at F{n}", _crash(n), "process") for n in range(1, 9)),
        Kind("reorganisation, forgotten", _reorganise("forget"), "chain"),
        Kind("reorganisation, mined again", _reorganise("again"), "chain"),
        Kind("reorganisation, other buyer", _reorganise("swap"), "chain"),
        Kind("dropped transaction", _drop, "chain"),
        Kind("foreign transaction", _foreign, "chain"),
        Kind("base fee jump", _jump, "chain"),
        Kind("no balance", _drain, "chain"),
        Kind("burst of purchases", _burst, "chain"),
        Kind("rpc: wrong chain id", _wrong_chain, "node"),
        Kind("ipfs: refused", _refuse, "ipfs"),
    ]
    found += [Kind(f"rpc: {name}", _rpc(rule), "node") for name, rule in RPC_RULES.items()]
    found += [Kind(f"ipfs: {name}", _ipfs(rule), "ipfs") for name, rule in IPFS_RULES.items()]
    return found


# --------------------------------------------------------------------------------------- processes


def _anybody(theatre: Theatre) -> Keeper:
    return theatre.chance.choice(theatre.stage.keepers)


def _mortal(theatre: Theatre, *, role: str | None = None) -> Keeper:
    mortals = [k for k in theatre.stage.keepers if k.mortal and role in (None, k.daemon.role)]
    free = [keeper for keeper in mortals if not keeper.hand.locked()]
    return theatre.chance.choice(free or mortals)


async def _kill(theatre: Theatre) -> bool:
    keeper = _mortal(theatre)
    async with keeper.hand:
        return await keeper.kill()


async def _terminate(theatre: Theatre) -> bool:
    keeper = _mortal(theatre)
    async with keeper.hand:
        return await keeper.terminate()


async def _stop(theatre: Theatre) -> bool:
    keeper = _anybody(theatre)
    async with keeper.hand:
        return await keeper.pause(theatre.chance.uniform(*_SHORT_STOP))


async def _stop_long(theatre: Theatre) -> bool:
    keeper = _mortal(theatre, role="deliverer")
    async with keeper.hand:
        return await keeper.pause(theatre.chance.uniform(*_LONG_STOP))


def _crash(number: int) -> Act:
    async def act(theatre: Theatre) -> bool:
        roles = [role for role, places in _PLACES.items() if number in places]
        # A third of the mortals is a watchdog; it has no documents to read and no parts to open.
        role = theatre.chance.choice(roles)
        keeper = _mortal(theatre, role=role)
        visit = 1 if number == 3 else theatre.chance.randint(1, 3)
        async with keeper.hand:
            return await keeper.crash_at(f"F{number}:{visit}", _CRASH_SECONDS)

    return act


# ------------------------------------------------------------------------------------------- chain


def _reorganise(how: str) -> Act:
    async def act(theatre: Theatre) -> bool:
        async with theatre.stage.no_mining():
            await _replace_blocks(theatre, with_their_transactions=how == "again")
        # What was given by the node's own call is forgotten with its block, too.
        await theatre.stage.pay_all()
        if how == "swap":
            await theatre.buyer.swap()
        await theatre.buyer.remind()
        return True

    return act


async def _replace_blocks(theatre: Theatre, *, with_their_transactions: bool) -> None:
    rpc = theatre.stage.rpc
    head = int(await rpc.call("eth_blockNumber"), 16)
    # Not below the opening of the shop: without stakes there is nothing to soak.
    depth = theatre.chance.randint(1, max(1, min(DEEPEST, head - theatre.stage.opened - 1)))
    again = await _fallen(theatre, depth) if with_their_transactions else []
    try:
        await rpc.call("anvil_reorg", depth, again)
    except RpcError:
        # One of those transactions does not fit there any more: then without them.
        if not again:
            raise
        await rpc.call("anvil_reorg", depth, [])


async def _fallen(theatre: Theatre, depth: int) -> list[list[Any]]:
    """Raw transactions of the blocks that go, each with a place in the new ones.

    An account's own keep their order; a fifth is left out, and with each all that follows it.
    """
    rpc = theatre.stage.rpc
    head = int(await rpc.call("eth_blockNumber"), 16)
    numbers = range(head - depth + 1, head + 1)
    blocks = await rpc.batch([("eth_getBlockByNumber", [hex(number), True]) for number in numbers])
    mined = [(place, tx) for place, block in enumerate(blocks) for tx in block["transactions"]]
    raws = await rpc.batch([("eth_getRawTransactionByHash", [tx["hash"]]) for _, tx in mined])
    gone: set[str] = set()
    earliest: dict[str, int] = {}
    again: list[list[Any]] = []
    for (place, tx), raw in zip(mined, raws, strict=True):
        sender = tx["from"]
        if sender in gone or theatre.chance.random() < 0.2:
            gone.add(sender)
            continue
        earliest[sender] = max(place, earliest.get(sender, 0))
        if theatre.chance.random() < 0.5:
            earliest[sender] = theatre.chance.randint(earliest[sender], depth - 1)
        again.append([raw, earliest[sender]])
    return again


async def _drop(theatre: Theatre) -> bool:
    """Takes one waiting transaction of a daemon out of the node's pool."""
    stage = theatre.stage
    ours = {keeper.actor.address.lower() for keeper in stage.keepers}
    end = stage.seconds() + _POOL_SECONDS
    while stage.seconds() < end:
        pool = (await stage.rpc.call("txpool_content")).get("pending", {})
        waiting = [
            tx["hash"]
            for account, queue in sorted(pool.items())
            if account.lower() in ours
            for tx in queue.values()
        ]
        if waiting:
            chosen = theatre.chance.choice(waiting)
            return bool(await stage.rpc.call("anvil_dropTransaction", chosen))
        await asyncio.sleep(0.05)
    return False


async def _foreign(theatre: Theatre) -> bool:
    """A transaction of the daemon's own account that the daemon did not sign."""
    keeper = _anybody(theatre)
    async with keeper.hand:
        actor, stage = keeper.actor, theatre.stage
        nonce = int(await stage.rpc.call("eth_getTransactionCount", actor.address, "pending"), 16)
        fields = {
            "type": 2,
            "chainId": stage.deployment.chain_id,
            "nonce": nonce,
            "to": actor.address,
            "value": 0,
            "gas": 21_000,
            "maxFeePerGas": 5_000 * 10**9,
            "maxPriorityFeePerGas": 3 * 10**9,
        }
        raw = Account.sign_transaction(fields, actor.private_key).raw_transaction
        try:
            await stage.rpc.call("eth_sendRawTransaction", "0x" + bytes(raw).hex())
        except RpcError:
            return False
        return True


async def _jump(theatre: Theatre) -> bool:
    """The next block's base fee; it falls by an eighth with each block after that."""
    gwei = theatre.chance.choice((20, 50, 100, 200, 700))
    await theatre.stage.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(gwei * 10**9))
    return True


async def _drain(theatre: Theatre) -> bool:
    """Takes an account's coins, and gives them back later."""
    keeper = _anybody(theatre)
    rpc = theatre.stage.rpc
    async with keeper.hand:
        outage = keeper.hurt("no balance")
        keeper.poor = True
        await rpc.call("anvil_setBalance", keeper.actor.address, hex(theatre.chance.choice((0, 7))))
        try:
            await asyncio.sleep(theatre.chance.uniform(4, 15))
        finally:
            keeper.poor = False
            await theatre.stage.pay_all()
            outage.ended = theatre.stage.seconds()
    return True


async def _burst(theatre: Theatre) -> bool:
    theatre.buyer.burst(theatre.chance.randint(10, 30))
    return True


# ----------------------------------------------------------------------------------------- proxies


def _rpc(rule: Rule) -> Act:
    async def act(theatre: Theatre) -> bool:
        keeper = _anybody(theatre)
        head = int(await theatre.stage.rpc.call("eth_blockNumber"), 16)
        return await rule.strike(keeper, keeper.proxy, theatre.chance, head)

    return act


def _ipfs(rule: Rule) -> Act:
    async def act(theatre: Theatre) -> bool:
        # The watchdog needs no document.
        keeper = theatre.chance.choice(theatre.stage.keepers[:-1])
        return await rule.strike(keeper, keeper.ipfs, theatre.chance, 0)

    return act


async def _refuse(theatre: Theatre) -> bool:
    """Nobody listens at the IPFS node's port."""
    keeper = theatre.chance.choice(theatre.stage.keepers[:-1])
    async with keeper.hand:
        outage = keeper.hurt("IPFS refused")
        await keeper.ipfs.refuse()
        try:
            await asyncio.sleep(_REFUSED_SECONDS)
        finally:
            await keeper.ipfs.accept()
            outage.ended = theatre.stage.seconds()
    return True


async def _wrong_chain(theatre: Theatre) -> bool:
    """The node is another one: the daemon has to leave with 2, and comes back to the right one."""
    keeper = _mortal(theatre)
    async with keeper.hand:
        life = keeper.lives[-1]
        keeper.may_leave = True
        # A failure first: it has the daemon ask which chain this is.
        rules = [
            keeper.proxy.inject(wrong_chain(), "eth_chainId"),
            keeper.proxy.inject(BadGateway(), "eth_getBlockByNumber", times=1),
        ]
        try:
            await asyncio.wait_for(life.over.wait(), 30)
        except TimeoutError:
            return False
        finally:
            for rule in rules:
                rule.stop()
                keeper.proxy.rules.remove(rule)
            await keeper.ready()
            keeper.may_leave = False
    return life.why == "wrong chain"
