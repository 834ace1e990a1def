"""Every kind of fault that the soak injects, each as a coroutine that says whether it did.

A kind is done once: a kill and the new start, a rule of a proxy until it is spent, a
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
from demo.actors import Actor
from soak.buyer import Buyer
from soak.junk import send_junk
from soak.rules import IPFS_RULES, RPC_RULES, Rule
from soak.supervisor import Supervisor
from soak.world import SoakWorld
from tests.faults.rpc_faults import BadGateway, wrong_chain
from tests.faults.transactions import pool_transactions

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
class Targets:
    """What injectors act on."""

    world: SoakWorld
    buyer: Buyer
    chance: random.Random
    thief: Actor
    """Sends what is signed with stolen keys."""


Inject = Callable[[Targets], Coroutine[Any, Any, bool]]


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault."""

    name: str
    act: Inject
    group: str
    """For the table: ``process``, ``chain``, ``node`` (RPC) or ``ipfs``."""


def kinds() -> list[FaultKind]:
    """All of them."""
    found = [
        FaultKind("SIGKILL", _kill, "process"),
        FaultKind("SIGTERM", _terminate, "process"),
        FaultKind("SIGSTOP", _stop, "process"),
        FaultKind("SIGSTOP beyond 100 blocks", _stop_long, "process"),
        *(FaultKind(f"SIGKILL at F{n}", _crash(n), "process") for n in range(1, 9)),
        FaultKind("reorganisation, forgotten", _reorganise("forget"), "chain"),
        FaultKind("reorganisation, mined again", _reorganise("again"), "chain"),
        FaultKind("reorganisation, other buyer", _reorganise("swap"), "chain"),
        FaultKind("dropped transaction", _drop, "chain"),
        FaultKind("foreign transaction", _foreign, "chain"),
        FaultKind("base fee jump", _jump, "chain"),
        FaultKind("no balance", _drain, "chain"),
        FaultKind("burst of purchases", _burst, "chain"),
        FaultKind("junk part, proved", _junk, "chain"),
        FaultKind("rpc: wrong chain id", _wrong_chain, "node"),
        FaultKind("ipfs: refused", _refuse, "ipfs"),
    ]
    found += [FaultKind(f"rpc: {name}", _rpc(rule), "node") for name, rule in RPC_RULES.items()]
    found += [FaultKind(f"ipfs: {name}", _ipfs(rule), "ipfs") for name, rule in IPFS_RULES.items()]
    return found


# --------------------------------------------------------------------------------------- processes


def _anybody(targets: Targets) -> Supervisor:
    return targets.chance.choice(targets.world.supervisors)


def _killable(targets: Targets, *, role: str | None = None) -> Supervisor:
    killable = [
        k for k in targets.world.supervisors if k.killable and role in (None, k.daemon.role)
    ]
    free = [supervisor for supervisor in killable if not supervisor.lock.locked()]
    return targets.chance.choice(free or killable)


async def _kill(targets: Targets) -> bool:
    supervisor = _killable(targets)
    async with supervisor.lock:
        return await supervisor.kill()


async def _terminate(targets: Targets) -> bool:
    supervisor = _killable(targets)
    async with supervisor.lock:
        return await supervisor.terminate()


async def _stop(targets: Targets) -> bool:
    supervisor = _anybody(targets)
    async with supervisor.lock:
        return await supervisor.pause(targets.chance.uniform(*_SHORT_STOP))


async def _stop_long(targets: Targets) -> bool:
    supervisor = _killable(targets, role="deliverer")
    async with supervisor.lock:
        return await supervisor.pause(targets.chance.uniform(*_LONG_STOP))


def _crash(number: int) -> Inject:
    async def act(targets: Targets) -> bool:
        roles = [role for role, places in _PLACES.items() if number in places]
        # Every third that may be killed is a watchdog, which reads no document and opens no part.
        role = targets.chance.choice(roles)
        supervisor = _killable(targets, role=role)
        visit = 1 if number == 3 else targets.chance.randint(1, 3)
        async with supervisor.lock:
            return await supervisor.crash_at(f"F{number}:{visit}", _CRASH_SECONDS)

    return act


# ------------------------------------------------------------------------------------------- chain


def _reorganise(how: str) -> Inject:
    async def act(targets: Targets) -> bool:
        async with targets.world.no_mining():
            await _replace_blocks(targets, with_their_transactions=how == "again")
        # What was given by the node's own call is forgotten with its block, too.
        await targets.world.pay_all()
        if how == "swap":
            await targets.buyer.swap()
        await targets.buyer.remind()
        return True

    return act


async def _replace_blocks(targets: Targets, *, with_their_transactions: bool) -> None:
    rpc = targets.world.rpc
    head = int(await rpc.call("eth_blockNumber"), 16)
    # Not below the opening of the shop: without stakes there is nothing to soak.
    depth = targets.chance.randint(1, max(1, min(DEEPEST, head - targets.world.opened - 1)))
    again = await _fallen(targets, depth) if with_their_transactions else []
    try:
        await rpc.call("anvil_reorg", depth, again)
    except RpcError:
        # One of those transactions does not fit there any more: then without them.
        if not again:
            raise
        await rpc.call("anvil_reorg", depth, [])


async def _fallen(targets: Targets, depth: int) -> list[list[Any]]:
    """Raw transactions of the blocks that go, each with a place in the new ones.

    An account's own keep their order; a fifth is left out, and with each all that follows it.
    """
    rpc = targets.world.rpc
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
        if sender in gone or targets.chance.random() < 0.2:
            gone.add(sender)
            continue
        earliest[sender] = max(place, earliest.get(sender, 0))
        if targets.chance.random() < 0.5:
            earliest[sender] = targets.chance.randint(earliest[sender], depth - 1)
        again.append([raw, earliest[sender]])
    return again


async def _drop(targets: Targets) -> bool:
    """Takes one waiting transaction of a daemon out of the node's pool."""
    world = targets.world
    ours = {supervisor.actor.address.lower() for supervisor in world.supervisors}
    end = world.seconds() + _POOL_SECONDS
    while world.seconds() < end:
        pool = await world.rpc.call("txpool_content")
        waiting = pool_transactions(pool, ours, ["pending"])
        if waiting:
            chosen = targets.chance.choice(waiting)["hash"]
            return bool(await world.rpc.call("anvil_dropTransaction", chosen))
        await asyncio.sleep(0.05)
    return False


async def _foreign(targets: Targets) -> bool:
    """A transaction of the daemon's own account that the daemon did not sign."""
    supervisor = _anybody(targets)
    async with supervisor.lock:
        actor, world = supervisor.actor, targets.world
        nonce = int(await world.rpc.call("eth_getTransactionCount", actor.address, "pending"), 16)
        fields = {
            "type": 2,
            "chainId": world.deployment.chain_id,
            "nonce": nonce,
            "to": actor.address,
            "value": 0,
            "gas": 21_000,
            "maxFeePerGas": 5_000 * 10**9,
            "maxPriorityFeePerGas": 3 * 10**9,
        }
        raw = Account.sign_transaction(fields, actor.private_key).raw_transaction
        try:
            await world.rpc.call("eth_sendRawTransaction", "0x" + bytes(raw).hex())
        except RpcError:
            return False
        return True


async def _jump(targets: Targets) -> bool:
    """The next block's base fee; it falls by an eighth with each block after that."""
    gwei = targets.chance.choice((20, 50, 100, 200, 700))
    await targets.world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(gwei * 10**9))
    return True


async def _drain(targets: Targets) -> bool:
    """Takes an account's coins, and gives them back later."""
    supervisor = _anybody(targets)
    rpc = targets.world.rpc
    async with supervisor.lock:
        outage = supervisor.begin_outage("no balance")
        supervisor.drained = True
        await rpc.call(
            "anvil_setBalance", supervisor.actor.address, hex(targets.chance.choice((0, 7)))
        )
        try:
            await asyncio.sleep(targets.chance.uniform(4, 15))
        finally:
            supervisor.drained = False
            await targets.world.pay_all()
            outage.ended = targets.world.seconds()
    return True


async def _junk(targets: Targets) -> bool:
    """Noise in a deliverer's name; the buyer proves it, and the watchdog replaces it."""
    number = targets.chance.randrange(len(targets.world.shop.deliverers))
    return await send_junk(targets.world, targets.buyer, number, targets.thief)


async def _burst(targets: Targets) -> bool:
    targets.buyer.burst(targets.chance.randint(10, 30))
    return True


# ----------------------------------------------------------------------------------------- proxies


def _rpc(rule: Rule) -> Inject:
    async def act(targets: Targets) -> bool:
        supervisor = _anybody(targets)
        head = int(await targets.world.rpc.call("eth_blockNumber"), 16)
        return await rule.follow(supervisor, supervisor.proxy, targets.chance, head)

    return act


def _ipfs(rule: Rule) -> Inject:
    async def act(targets: Targets) -> bool:
        # The watchdog needs no document.
        supervisor = targets.chance.choice(targets.world.supervisors[:-1])
        return await rule.follow(supervisor, supervisor.ipfs, targets.chance, 0)

    return act


async def _refuse(targets: Targets) -> bool:
    """Nobody listens at the IPFS node's port."""
    supervisor = targets.chance.choice(targets.world.supervisors[:-1])
    async with supervisor.lock:
        outage = supervisor.begin_outage("IPFS refused")
        await supervisor.ipfs.refuse()
        try:
            await asyncio.sleep(_REFUSED_SECONDS)
        finally:
            await supervisor.ipfs.accept()
            outage.ended = targets.world.seconds()
    return True


async def _wrong_chain(targets: Targets) -> bool:
    """The node is another one: the daemon has to leave with 2, and comes back to the right one."""
    supervisor = _killable(targets)
    async with supervisor.lock:
        life = supervisor.lives[-1]
        supervisor.may_exit = True
        # A failure first: it has the daemon ask which chain this is.
        rules = [
            supervisor.proxy.inject(wrong_chain(), "eth_chainId"),
            supervisor.proxy.inject(BadGateway(), "eth_getBlockByNumber", times=1),
        ]
        try:
            await asyncio.wait_for(life.over.wait(), 30)
        except TimeoutError:
            return False
        finally:
            for rule in rules:
                rule.stop()
                supervisor.proxy.rules.remove(rule)
            await supervisor.ready()
            supervisor.may_exit = False
    return life.why == "wrong chain"
