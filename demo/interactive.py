"""`KEEP=1`: the world stays up, with two accounts and commands to try by hand, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from demo.participants import Participants
from demo.report import Report
from demo.world import ROOT

FOLDER = ROOT / ".build" / "demo"
"""Where a kept world lives: a fixed place, so that the README can name it."""
VISITORS = ("ada", "bob")

_COMMANDS = """
The demo stays up until Ctrl-C. In another terminal, in this folder:

  . .build/demo/visit                two new accounts with coins, ada and bob
  dam init --account ada             settings, from what `visit` exported
  dam deliverers                     who delivers, with what stake
  dam buyer browse                   what is for sale
  dam keys new buyer
  dam buyer buy {seller} {item} --account bob
  dam buyer purchases --account bob  what can be done now, and until when

README.md goes on from here: how to sell, to open what you bought, to be paid.
The tutorials in docs/tutorials do, too; each begins with a demo of its own.
Logs of the daemons: {logs}
"""


@contextlib.contextmanager
def fixed_folder() -> Iterator[Path]:
    """The folder of the kept world, empty; gone at the end. One kept demo at a time.

    Raises:
        BlockingIOError: Another kept demo runs.
    """
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_name("demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(FOLDER, ignore_errors=True)
        try:
            yield FOLDER
        finally:
            shutil.rmtree(FOLDER, ignore_errors=True)


async def open_house(people: Participants, report: Report) -> None:
    """Says what to try, and waits for ever: Ctrl-C cancels it."""
    down = [daemon for daemon in (*people.daemons, people.watchdog) if not daemon.running]
    for daemon in down:
        daemon.start()
    await people.ready(*down)
    await _write_visit(people)
    report.text(
        _COMMANDS.format(
            seller=people.seller.address,
            item=people.goods.loot_deal.item,
            logs=FOLDER.relative_to(ROOT) / "people" / "*" / "*.log",
        )
    )
    await asyncio.Event().wait()


async def _write_visit(people: Participants) -> None:
    """A file for the shell: nodes, market, and two accounts that Ape and `dam` find."""
    world = people.world
    home = world.folder / "you"
    accounts = home / "ape" / "accounts"
    accounts.mkdir(parents=True, mode=0o700)
    values = {
        "DAM_RPC_URL": world.chain.url,
        "DAM_DEPLOYMENT": str(world.record),
        "DAM_IPFS": world.ipfs,
        "DAM_CONFIRMATIONS": str(world.confirmations),
        "DAM_HOME": str(home / "dam"),
        "DAM_KEY_PASSPHRASE": secrets.token_urlsafe(18),
        "APE_DATA_FOLDER": str(home / "ape"),
    }
    for name in VISITORS:
        visitor = await world.actor(name)
        source = visitor.home / ".ape" / "accounts" / f"{visitor.alias}.json"
        shutil.move(source, accounts / f"{name}.json")
        values[f"APE_ACCOUNTS_{name}_PASSPHRASE"] = visitor.passphrase
        values[name.upper()] = visitor.address
    lines = ["# Source this in a shell: accounts and addresses of the demo that runs now."]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    tools = ROOT / "scripts" / "env.sh"
    lines.append(f". {shlex.quote(str(tools))}")
    path = world.folder / "visit"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", "utf-8")
