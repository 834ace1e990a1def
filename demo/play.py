"""The demo from curtain to curtain: a world, six scenes, a summary, and no orphans."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping

from demo import keep
from demo.cast import BREAKS, Cast
from demo.goods import draw
from demo.report import Report, Scene, coins
from demo.scenes import album, coupon, refused, silence, thieves, tokens
from demo.world import World

Play = Callable[[Cast, Report, Scene], Awaitable[None]]
SCENES: dict[str, tuple[str, Play]] = {
    "a": ("a coupon code, 2-of-3; all deliver, everybody is paid", coupon.play),
    "b": ("a 5 MB file, 3-of-3; one deliverer is dead", album.play),
    "c": ("nobody delivers, the seller is silent", silence.play),
    "d": ("three thieves, each with a store for 1 wei", thieves.play),
    "e": ("an underpaid purchase, and a swapped document", refused.play),
    "f": ("three tickets of a stock, paid in an ERC-20 token", tokens.play),
}


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Runs the demo; returns the exit code: 0 only if everything was as the rules say.

    Variables: ``DEMO_SEED`` replays a run, ``DEMO_SCENES`` (such as ``ad``) plays some scenes only,
    ``DEMO_BREAK`` breaks one thing (see `demo.cast.BREAKS`), ``DEMO_IPFS=dir`` takes a directory of
    blocks even where Kubo is, ``KEEP=1`` leaves all running after.
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
    play = _play(seed, letters, broken, kubo, keep_running=bool(environ.get("KEEP")))
    try:
        return asyncio.run(_until_signal(play))
    except KeyboardInterrupt:
        return 130


async def _until_signal(play: Awaitable[int]) -> int:
    """Runs the play; SIGINT or SIGTERM end it as any error would: everything is stopped."""
    task = asyncio.ensure_future(play)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        print("\nstopped; nothing is left running")
        return 130


async def _play(seed: str, letters: str, broken: str, kubo: bool | None, keep_running: bool) -> int:
    report = Report()
    report.text(f"DAM demo, seed {seed} (DEMO_SEED={seed} plays the same goods and prices again)")
    if broken:
        report.text(f"DEMO_BREAK={broken}: {BREAKS[broken]}")
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(keep.fixed_folder()) if keep_running else None
        except BlockingIOError:
            report.text("another demo with KEEP=1 runs in this checkout: stop that one first")
            return 2
        report.text("\nA chain and a block store start; the market is compiled and deployed ...")
        async with World(folder=folder, kubo=kubo) as world:
            cast = Cast(world, draw(seed), broken)
            await _scenes(cast, report, letters)
            good = report.summary()
            if keep_running:
                with contextlib.suppress(asyncio.CancelledError):
                    await keep.open_house(cast, report)
                report.text("\nstopped; nothing is left running")
    return 0 if good else 1


async def _scenes(cast: Cast, report: Report, letters: str) -> None:
    if not await _set_up(cast, report):
        return
    for letter in letters:
        title, play = SCENES[letter]
        with report.scene(letter, title) as scene:
            if letter == letters[0]:
                await cast.before_selling(report)
            await play(cast, report, scene)


async def _set_up(cast: Cast, report: Report) -> bool:
    """Brings up nodes, market, people and daemons; false if that already fails."""
    world = cast.world
    with report.scene("0", "a chain, a block store, a market, and people") as scene:
        report.step(f"Anvil: chain {world.deployment.chain_id} at {world.chain.url}")
        if world.kubo_node:
            report.step(f"IPFS: Kubo at {world.ipfs}, offline")
        else:
            report.step("IPFS: a directory of blocks, without Kubo (`make kubo` builds that)")
        report.step(f"market {world.deployment.market}", world.deployment.first_block)
        await cast.enter()
        report.step("three deliverers and a seller have staked", await world.block())
        block = await cast.publish()
        report.step("the seller published four items", block)
        cast.raise_daemons()
        await cast.ready(*cast.daemons, cast.watchdog)
        for daemon in (*cast.daemons, cast.watchdog):
            report.step(f"{daemon.name} runs as process {daemon.pid}")
        report.check(True, "all four daemons have caught up with the chain")
        deal = cast.goods.coupon_deal
        report.detail(f"coupon: price {coins(deal.price)}, fee of a part {coins(deal.fee)}")
        scene.outcome = "up"
    return report.scenes[-1].good
