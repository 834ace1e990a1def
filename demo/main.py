"""The demo from start to end: a world, eight scenes, a summary, and no orphans."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping

from demo import interactive
from demo.goods import draw
from demo.participants import BREAKS, Participants
from demo.report import Report, Scene, coins
from demo.scenes import agreement, album, coupon, junk, refused, silence, thieves, tokens
from demo.world import World

SceneFunction = Callable[[Participants, Report, Scene], Awaitable[None]]
SCENES: dict[str, tuple[str, SceneFunction]] = {
    "a": ("a coupon code, 2-of-3; all deliver, everybody is paid", coupon.run),
    "b": ("a 5 MB file, 3-of-3; one deliverer is dead", album.run),
    "c": ("nobody delivers, the seller is silent", silence.run),
    "d": ("three thieves, each with a store for 1 wei", thieves.run),
    "e": ("an underpaid purchase, and a swapped document", refused.run),
    "f": ("three tickets of a stock, paid in an ERC-20 token", tokens.run),
    "g": ("junk, proved on chain: the deliverer pays, the part is replaced", junk.run),
    "h": ("an honest mistake: buyer and seller agree, by two signatures", agreement.run),
}


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Runs the demo; returns the exit code: 0 only if everything was as the rules say.

    Variables: ``DEMO_SEED`` replays a run, ``DEMO_SCENES`` (such as ``ad``) plays some scenes only,
    ``DEMO_BREAK`` breaks one thing (see `demo.participants.BREAKS`), ``DEMO_IPFS=dir`` takes a
    directory of blocks even where Kubo is, ``KEEP=1`` leaves all running after.
    """
    broken = environ.get("DEMO_BREAK", "")
    letters = environ.get("DEMO_SCENES", "") or "".join(SCENES)
    if broken and broken not in BREAKS:
        print(f"DEMO_BREAK is one of {', '.join(BREAKS)}; not {broken!r}")
        return 2
    if set(letters) - set(SCENES):
        print(f"DEMO_SCENES is letters of {''.join(SCENES)}; not {letters!r}")
        return 2
    seed = environ.get("DEMO_SEED") or secrets.token_hex(4)
    kubo = False if environ.get("DEMO_IPFS") == "dir" else None
    demo = _demo(seed, letters, broken, kubo, keep_running=bool(environ.get("KEEP")))
    try:
        return asyncio.run(_until_signal(demo))
    except KeyboardInterrupt:
        return 130


async def _until_signal(demo: Awaitable[int]) -> int:
    """Runs the demo; SIGINT or SIGTERM end it as any error would: everything is stopped."""
    task = asyncio.ensure_future(demo)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        print("\nstopped; nothing is left running")
        return 130


async def _demo(seed: str, letters: str, broken: str, kubo: bool | None, keep_running: bool) -> int:
    report = Report()
    report.text(f"DAM demo, seed {seed} (DEMO_SEED={seed} plays the same goods and prices again)")
    if broken:
        report.text(f"DEMO_BREAK={broken}: {BREAKS[broken]}")
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(interactive.fixed_folder()) if keep_running else None
        except BlockingIOError:
            report.text("another demo with KEEP=1 runs in this checkout: stop that one first")
            return 2
        report.text("\nA chain and a block store start; the market is compiled and deployed ...")
        async with World(folder=folder, kubo=kubo) as world:
            people = Participants(world, draw(seed), broken)
            await _scenes(people, report, letters)
            good = report.summary()
            if keep_running:
                with contextlib.suppress(asyncio.CancelledError):
                    await interactive.open_house(people, report)
                report.text("\nstopped; nothing is left running")
    return 0 if good else 1


async def _scenes(people: Participants, report: Report, letters: str) -> None:
    if not await _set_up(people, report):
        return
    for letter in letters:
        title, run = SCENES[letter]
        with report.scene(letter, title) as scene:
            if letter == letters[0]:
                await people.before_selling(report)
            await run(people, report, scene)


async def _set_up(people: Participants, report: Report) -> bool:
    """Brings up nodes, market, people and daemons; false if that already fails."""
    world = people.world
    with report.scene("0", "a chain, a block store, a market, and people") as scene:
        report.step(f"Anvil: chain {world.deployment.chain_id} at {world.chain.url}")
        if world.kubo_node:
            report.step(f"IPFS: Kubo at {world.ipfs}, offline")
        else:
            report.step("IPFS: a directory of blocks, without Kubo (`make kubo` builds that)")
        report.step(f"market {world.deployment.market}", world.deployment.first_block)
        await people.enter()
        report.step("three deliverers and a seller have staked", await world.block())
        block = await people.publish()
        report.step("the seller published five items", block)
        people.raise_daemons()
        await people.ready(*people.daemons, people.watchdog)
        for daemon in (*people.daemons, people.watchdog):
            report.step(f"{daemon.name} runs as process {daemon.pid}")
        report.check(True, "all four daemons have caught up with the chain")
        deal = people.goods.coupon_deal
        report.detail(f"coupon: price {coins(deal.price)}, fee of a part {coins(deal.fee)}")
        scene.outcome = "up"
    return report.scenes[-1].good
