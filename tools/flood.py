"""Fills one block with the market's own logs, and sees whether daemons read on and deliver.

    make flood FLOODS="announced uncapped stores"
    python tools/flood.py stores

``announced``: 48,000 key announcements, where a node gives 10,000 logs at once; ``uncapped``:
200,000 of them, where it gives all; ``stores``: 48,000 new versions of a store, which daemons keep,
where a node gives 10,000. A contract makes them (`tests/forge/Flood.sol`), in transactions under
2^24 gas. Three deliverers and the watchdog run as processes, each behind the proxy of the fault
tests. One copy is bought before the flood, one in its block, one after it; then blocks
come every two seconds, six times as fast as Ethereum's.

Prints seconds and the most memory of each daemon. Exit code 1 if a part was not delivered within
the 100 blocks of a deliverer, if a daemon ended or read no further, or held over 200 MB, or if a
command that reads the whole history failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import soak  # noqa: E402, F401 - finds our folder of tests
from dam.crypto.hashing import keccak  # noqa: E402
from dam.crypto.sealing import new_secret_key, public_key  # noqa: E402
from dam.testing.market import transact  # noqa: E402
from dam.types import FALLBACK_BLOCKS, FragmentDelivered, Purchase  # noqa: E402
from demo import ledgers, trade  # noqa: E402
from demo.actors import Actor  # noqa: E402
from demo.processes import Daemon  # noqa: E402
from demo.shop import ETHER, ITEM, Shop, open_shop  # noqa: E402
from demo.world import CommandFailed, World  # noqa: E402
from tests.faults.rpc_faults import AnswerCap  # noqa: E402
from tests.faults.rpc_proxy import RpcProxy  # noqa: E402

MOST_BYTES = 200_000_000
_GAS = 16_700_000
"""Of a transaction: under 2^24 (EIP-7825)."""
_PER_TRANSACTION = 5_500
"""Logs: of 2,750 gas each, with room for a dearer first one."""
_BLOCK_SECONDS = 2
_LATER_BLOCKS = 70
"""After the deliveries: the last blocks are read once more, twice, the flood with them."""
_SECONDS = 300.0
_LOOK_SECONDS = 0.2
_PARTS = 3


@dataclass(frozen=True)
class Kind:
    """One kind of flood."""

    logs: int
    cap: int | None
    """Logs that the node gives at once."""
    kept: bool
    """Whether daemons keep its events."""


KINDS = {
    "announced": Kind(48_000, 10_000, False),
    "uncapped": Kind(200_000, None, False),
    "stores": Kind(48_000, 10_000, True),
}


class FloodWorld(World):
    """A market whose blocks may be as large as they like."""

    def __init__(self) -> None:
        super().__init__(kubo=False)
        self.shop: Shop
        self.watched: list[tuple[Daemon, str, Path]] = []
        """Each daemon, its name and its ledger."""
        self.capped = ""
        """Address of a node that gives no more at once than those of the daemons."""

    async def _start(self) -> None:
        await self._start_nodes(
            "--hardfork", "cancun", "--prune-history", "128", "--gas-limit", "4000000000"
        )
        self._stack.push_async_callback(self._stop_daemons)
        await self._deploy_directly()
        self.shop = await open_shop(self)

    async def contract(self, kind: Kind) -> Any:
        """Deploys the flood; a function that posts the call of one transaction."""
        node = self.chain
        built = json.loads((ROOT / ".build/forge/Flood.sol/Flood.json").read_bytes())
        code = bytes.fromhex(built["bytecode"]["object"][2:])
        me, operator = node.request("eth_accounts")[:2]
        market = self.deployment.market
        word = bytes.fromhex(market[2:]).rjust(32, b"\0")
        made = await asyncio.to_thread(transact, node, me, None, code + word)
        flood = made["contractAddress"]
        if kind.kept:
            await asyncio.to_thread(transact, node, me, flood, _call("open()"), ETHER)
        else:
            data = self.market.encode(
                "stakeAsDelivererFor", flood, public_key(new_secret_key()), bytes(64)
            )
            await asyncio.to_thread(transact, node, operator, market, data, ETHER // 20)

        async def post(first: int, count: int) -> str:
            data = (
                _call("update(uint256,uint256)", first, count)
                if kind.kept
                else _call("rotate(address,uint256,uint256)", int(operator, 16), first, count)
            )
            call = {"from": me, "to": flood, "gas": hex(_GAS), "data": "0x" + data.hex()}
            return str(await self.rpc.call("eth_sendTransaction", call))

        return post

    async def daemons(self, kind: Kind, stack: AsyncExitStack) -> None:
        """Three deliverers and the watchdog, each behind a proxy; ready when this returns."""
        for number in range(_PARTS + 1):
            proxy = await stack.enter_async_context(
                RpcProxy(self.chain.url, counted=Counter(), seed=number)
            )
            if kind.cap is not None:
                proxy.inject(AnswerCap(kind.cap))
            env = {"DAM_RPC_URL": proxy.url}
            self.capped = proxy.url
            if number < _PARTS:
                daemon, role = self.shop.deliverer(number, env=env), "deliverer"
            else:
                daemon, role = self.shop.watchdog(env=env), "watchdog"
            daemon.start()
            await daemon.event("ready")
            home = Path(daemon.env["DAM_HOME"])
            self.watched.append((daemon, daemon.name, ledgers.ledger_of(home, role)))

    async def post_purchase(self, copy: int) -> Actor:
        """Puts a purchase into the pool."""
        buyer = await self.actor("buyer")
        order = await trade.order(self, self.shop.seller, ITEM, copy)
        await self.rpc.call("anvil_impersonateAccount", buyer.address)
        call = {
            "from": buyer.address,
            "to": self.deployment.market,
            "value": hex(order.terms.price),
            "gas": hex(1_000_000),
            "data": "0x" + order.data.hex(),
        }
        await self.rpc.call("eth_sendTransaction", call)
        return buyer

    def cursors(self) -> list[int]:
        """The last block that each daemon has read."""
        found = [ledgers.rows(path, "SELECT number FROM cursor") for _, _, path in self.watched]
        return [int(rows[0][0]) if rows else -1 for rows in found]


def _call(signature: str, *words: int) -> bytes:
    return keccak(signature.encode())[:4] + b"".join(word.to_bytes(32, "big") for word in words)


async def flood(name: str, kind: Kind) -> bool:
    """One flood; whether all went as it should."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(FloodWorld())
        post = await world.contract(kind)
        await world.daemons(kind, stack)
        opening = max(_peak(daemon) for daemon, _, _ in world.watched)
        for daemon, _, _ in world.watched:
            _forget_peak(daemon)
        await world.rpc.call("evm_setAutomine", False)
        await world.post_purchase(0)
        await world.mine(1)
        await world.post_purchase(1)
        posted = [
            await post(first, min(_PER_TRANSACTION, kind.logs - first))
            for first in range(0, kind.logs, _PER_TRANSACTION)
        ]
        flooded = await world.mine(1)
        receipts = [await world.rpc.call("eth_getTransactionReceipt", tx) for tx in posted]
        assert {(r["status"], int(r["blockNumber"], 16)) for r in receipts} == {("0x1", flooded)}
        gas = [int(r["gasUsed"], 16) for r in receipts]
        print(
            f"== {name}: {kind.logs:,} logs in block {flooded}, {len(posted)} transactions, "
            f"{sum(gas) / 1e6:.0f} million gas, at most {max(gas) / 1e6:.1f} in one; "
            f"the node gives {f'{kind.cap:,}' if kind.cap else 'any number of'} at once",
            flush=True,
        )
        began = time.monotonic()
        await world.post_purchase(2)
        await world.mine(1)
        await world.rpc.call("evm_setIntervalMining", _BLOCK_SECONDS)
        good = await _delivered(world, flooded, began)
        good &= await _read_on(world, began)
        good &= await _commands(world)
        for daemon, who, _ in world.watched:
            peak = _peak(daemon) if daemon.running else 0
            fits = 0 < peak < MOST_BYTES
            good &= fits
            over = "" if fits else "  OVER, or ended"
            print(f"  {who:14} most memory {peak / 1e6:6.1f} MB, with the flood{over}")
        print(f"  (at most {opening / 1e6:.1f} MB at the start, for Argon2id of key files)")
        if not good:
            for daemon, who, _ in world.watched:
                print(f"--- {who}\n{daemon.log.read_text('utf-8', 'replace')[-1500:]}")
    return good


async def _delivered(world: FloodWorld, flooded: int, began: float) -> bool:
    """Waits for the parts of all three sales."""
    parts: dict[bytes, list[int]] = {}
    sold: dict[bytes, int] = {}
    events = ("ItemPurchased", "FragmentDelivered")
    while time.monotonic() < began + _SECONDS:
        newest = await world.block()
        logs = await world.market.logs(flooded - 1, newest, events=events)
        sold = {log.copy_id: log.at.block.number for log in logs if isinstance(log, Purchase)}
        parts = {copy: [] for copy in sold}
        for log in logs:
            if isinstance(log, FragmentDelivered) and not log.supplied:
                parts[log.copy_id].append(log.at.block.number)
        if len(parts) == 3 and all(len(blocks) == _PARTS for blocks in parts.values()):
            break
        await asyncio.sleep(0.5)
    good = len(sold) == 3
    for (copy, bought), when in zip(sold.items(), ("before", "in", "after"), strict=False):
        waited = [block - bought for block in parts[copy]]
        intime = len(waited) == _PARTS and max(waited) <= FALLBACK_BLOCKS
        good &= intime
        print(
            f"  bought {when:6} the flood: parts delivered {', '.join(map(str, waited))} blocks "
            f"later{'' if intime else '  LATE, or missing'}"
        )
    print(f"  all parts there after {time.monotonic() - began:.1f} s", flush=True)
    return good


async def _read_on(world: FloodWorld, began: float) -> bool:
    """Whether all daemons follow for a while, the blocks that they read once more included."""
    await world.rpc.call("evm_setIntervalMining", 0)
    for _ in range(_LATER_BLOCKS):
        head = await world.mine(1)
        await asyncio.sleep(_LOOK_SECONDS)
    head = await world.mine(4)
    for _ in range(int(_SECONDS / _LOOK_SECONDS)):
        if min(world.cursors()) >= head - world.confirmations:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    behind = [head - world.confirmations - cursor for cursor in world.cursors()]
    good = max(behind) <= 0 and all(daemon.running for daemon, _, _ in world.watched)
    print(
        f"  all read on to block {head} after {time.monotonic() - began:.1f} s"
        if good
        else f"  STOPPED: blocks behind {behind}",
        flush=True,
    )
    return good


async def _commands(world: FloodWorld) -> bool:
    """Whether people's commands, which read the whole history, still give an answer."""
    good = True
    for command in (("seller", "sales"), ("buyer", "browse"), ("deliverers",)):
        began = time.monotonic()
        try:
            await world.dam(world.shop.seller, *command, env={"DAM_RPC_URL": world.capped})
        except CommandFailed as error:
            good = False
            print(f"  {error}")
        print(f"  dam {' '.join(command):15} {time.monotonic() - began:5.1f} s", flush=True)
    return good


def _peak(daemon: Daemon) -> int:
    """The most memory that it ever had resident, in bytes."""
    status = Path(f"/proc/{daemon.pid}/status").read_text("ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def _forget_peak(daemon: Daemon) -> None:
    """Counts from here on: a key file is opened with more memory than any flood takes.

    See clear_refs in proc(5).
    """
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5", "ascii")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    names = parser.parse_args().kinds or list(KINDS)
    if unknown := set(names) - set(KINDS):
        parser.error(f"no such flood: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    good = [asyncio.run(flood(name, KINDS[name])) for name in names]
    print(f"{sum(good)} of {len(good)} floods passed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
