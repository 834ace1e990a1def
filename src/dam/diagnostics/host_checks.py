"""What an operator wants to know before leaving a daemon alone: findings, each with its fix.

Nothing is changed and nothing signed; the node is asked a few dozen cheap questions. A check that
breaks off is a finding itself. `Examination` holds the checks of both daemons that need no chain;
`dam.diagnostics.chain_checks` has those that do.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import stat
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dam.config.settings import Settings
from dam.config.values import masked_ipfs
from dam.daemon import locks
from dam.errors import BlockRefused, DamError, IpfsError, KeyFileError, LedgerError
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.ipfs.cid import Cid
from dam.ipfs.open import open_store
from dam.keystore.ape_accounts import keyfile_path, load_account
from dam.keystore.key_files import KeyRing, find_passphrase, load_ring, load_seed, read_private
from dam.ledger import recovery
from dam.ledger.ledger import Binding
from dam.ledger.status import DaemonStatus, read_status
from dam.types import Address

Level = Literal["ok", "warn", "fail"]
Prompt = Callable[[str], str]
LOST_ACCOUNT = (
    "put its keyfile back, or make it from its words (ape accounts import ALIAS --use-mnemonic); "
    "is APE_DATA_FOLDER the daemon's? --account names another"
)
"""What to do where a signing account is not there: a new one of the same name has no stake."""
CHECK_SECONDS = 90.0
"""Most that one check may take."""
_MIB, _GIB = 1 << 20, 1 << 30
_STEP_SECONDS = 1.0
_SLOW_BYTES = 1 << 20
"""A block store that gives fewer bytes a second is slow."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    level: Level
    text: str
    fix: str = ""
    """What to do, where something is not as it should be."""


Check = Callable[[], Awaitable[list[Finding]]]


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, fix: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(check, "warn", text, fix)


def fail(check: str, text: str, fix: str) -> Finding:
    """The daemon would not do its work."""
    return Finding(check, "fail", text, fix)


async def guarded(name: str, check: Check, seconds: float = CHECK_SECONDS) -> list[Finding]:
    """A check with a deadline, whose failure is a finding."""
    try:
        async with asyncio.timeout(seconds):
            return await check()
    except TimeoutError:
        return [fail(name, f"no answer in {seconds:g} s", "look at node, IPFS and disk: one hangs")]
    except (DamError, OSError) as error:
        return [fail(name, str(error) or type(error).__name__, "mend what is named, then again")]


@dataclass
class Examination:
    """The checks that need no chain.

    Args:
        settings: What the daemon is told.
        role: ``deliverer`` or ``watchdog``.
        alias: Its Ape account; None where only an address is given.
        account: Its address.
        binding: What its ledger is bound to.
        environ: Usually ``os.environ``.
        prompt: Asks a person for a passphrase; None: nobody is asked.
        payer: Who sends and pays for gas, where that is another account.
    """

    settings: Settings
    role: str
    alias: str | None
    account: Address
    binding: Binding
    environ: Mapping[str, str]
    prompt: Prompt | None = None
    payer: Address | None = None
    ring: KeyRing | None = field(default=None, repr=False)
    """The X25519 keys, once `keys` has opened them."""
    _started: tuple[float, float] = field(
        default_factory=lambda: (time.time(), time.monotonic()), repr=False
    )

    # ------------------------------------------------------------------------------- the machine

    async def machine(self) -> list[Finding]:
        """Disk, open files, and a clock that runs evenly."""
        return [*self._disk(), self._files(), self._clock_runs()]

    def _disk(self) -> list[Finding]:
        found = []
        folder = _existing(self.settings.state)
        free = shutil.disk_usage(folder).free
        room = f"{free / _GIB:.1f} GiB" if free >= _GIB else f"{free // _MIB} MiB"
        text = f"{room} free for {folder}"
        if free < 200 * _MIB:
            found.append(fail("disk", text, "make room: the ledger cannot be written without it"))
        elif free < 2 * _GIB:
            found.append(warn("disk", text, "make room, or watch it: a market's year takes some"))
        else:
            found.append(ok("disk", text))
        if not os.access(folder, os.W_OK):
            fix = f"chown or chmod {folder}; or is the disk mounted read-only (mount, dmesg)?"
            found.append(fail("disk", f"{folder} is not writable", fix))
        if os.statvfs(folder).f_favail in range(1, 1000):
            found.append(warn("disk", "few inodes are left", "delete small files (df -i)"))
        kind, _, place = self.settings.ipfs.partition(":")
        if kind == "dir" and self.role == "deliverer":
            free = shutil.disk_usage(_existing(Path(place))).free
            if free < self.settings.pin_bytes:
                wanted = f"{self.settings.pin_bytes / _GIB:.1f} GiB"
                found.append(
                    warn(
                        "disk",
                        f"{free / _GIB:.1f} GiB free for blocks, and pin_bytes allows {wanted}",
                        "make room, or lower pin_bytes",
                    )
                )
        return found

    def _files(self) -> Finding:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 <= limit < 256:
            return warn("files", f"{limit} open files allowed", "ulimit -n 4096, or LimitNOFILE=")
        return ok("files", f"{limit} open files allowed")

    def _clock_runs(self) -> Finding:
        """Between the start of the examination and now, both clocks must have gone as far."""
        wall, steady = (now - then for now, then in zip(_clocks(), self._started, strict=True))
        if abs(wall - steady) > _STEP_SECONDS:
            return warn(
                "clock",
                f"the clock jumped by {wall - steady:+.1f} s while this ran",
                "use one time service (timedatectl set-ntp true)",
            )
        return ok("clock", "runs evenly")

    # ----------------------------------------------------------------------------------- the keys

    async def keys(self) -> list[Finding]:
        """Files with secrets: whose they are, who can read them, whether they open."""
        found = [self._folder()]
        if self.role == "deliverer":
            path = self.settings.keys.deliverer
            make = "dam keys restore deliverer FILE; if there never was one: dam keys new deliverer"
        else:
            path = self.settings.keys.seller
            make = "dam keys restore seller FILE: the seed with which the store was published"
        if not path.exists() and not path.is_symlink():
            found.append(fail("keys", f"{path} does not exist", make))
        else:
            found.append(await asyncio.to_thread(self._open_keys, path))
        if self.alias is not None:
            found.append(await asyncio.to_thread(self._open_account, self.alias, self.account))
        if self.payer is not None and self.settings.sender_account is not None:
            sender = self.settings.sender_account
            found.append(await asyncio.to_thread(self._open_account, sender, self.payer))
        return found

    def _folder(self) -> Finding:
        folder = self.settings.keys.deliverer.parent
        try:
            status = folder.stat()
        except FileNotFoundError:
            return warn("keys", f"{folder} does not exist yet", "dam keys new, or keys restore")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o022:
            return fail("keys", f"others may write in {folder}", f"chmod 700 {folder}")
        if mode & 0o055:
            return warn("keys", f"others may look into {folder}", f"chmod 700 {folder}")
        return ok("keys", f"{folder} is closed to others")

    def _open_keys(self, path: Path) -> Finding:
        try:
            read_private(path)
        except KeyFileError as error:
            return fail("keys", str(error), "the sentence before says how")
        try:
            passphrase = find_passphrase(self.environ, self.prompt)
        except KeyFileError:
            return warn(
                "keys",
                f"{path} is safe; not opened, for want of its passphrase",
                "a daemon without a terminal needs it: set DAM_KEY_PASSPHRASE, or the credential "
                "dam-key-passphrase",
            )
        try:
            if self.role == "deliverer":
                self.ring = load_ring(path, passphrase)
            else:
                load_seed(path, "seller-seed", passphrase)
        except KeyFileError as error:
            return fail("keys", str(error), "use the passphrase that the file was made with")
        return ok("keys", f"{path} is safe, and opens")

    def _open_account(self, alias: str, address: Address) -> Finding:
        path = keyfile_path(alias, self.environ)
        if not path.exists() and not path.is_symlink():
            return fail("account", f"there is no account {alias} in {path.parent}", LOST_ACCOUNT)
        try:
            read_private(path)
        except KeyFileError as error:
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                return fail("account", str(error), "the sentence before says how")
            return warn("account", str(error), f"chmod 600 {path} (the daemon does so, too)")
        try:
            # No prompt: the question is whether the daemon gets it without one.
            load_account(alias, environ=self.environ)
        except KeyFileError as error:
            if "no passphrase" in str(error):
                return warn(
                    "account",
                    f"{path} is safe; not opened, for want of its passphrase",
                    f"a daemon without a terminal needs it: systemd credential {alias}",
                )
            return fail("account", str(error), "use the passphrase of this account")
        return ok("account", f"{alias} ({address}) opens")

    # ------------------------------------------------------------------------------- block store

    async def ipfs(self) -> list[Finding]:
        """Reachable, how fast, how full."""
        fix = "start the node (ipfs daemon), or mend the setting ipfs"
        # Always the same bytes, so that looking often leaves one block.
        data = b"dam doctor ".ljust(MAX_BLOCK_BYTES // 4, b".")
        try:
            store = open_store(self.settings.ipfs, auth=self.settings.ipfs_auth)
        except DamError as error:
            return [fail("ipfs", str(error), "mend the setting ipfs")]
        try:
            began = time.monotonic()
            cid = await store.put("raw", data)
            await store.get(cid, deadline=20.0)
            seconds = time.monotonic() - began
        except (IpfsError, BlockRefused, OSError) as error:
            where, told = masked_ipfs(self.settings.ipfs), _short(error)
            return [fail("ipfs", told if where in told else f"{where}: {told}", fix)]
        finally:
            await store.close()
        assert cid == Cid.of("raw", data)
        speed = 2 * len(data) / max(seconds, 1e-6)
        text = f"{masked_ipfs(self.settings.ipfs)} answers, {speed / _MIB:,.0f} MiB/s"
        found = [ok("ipfs", text)]
        if speed < _SLOW_BYTES:
            found = [warn("ipfs", text, "look at its disk and load: documents come late this way")]
        status = self.status()
        if status is not None:
            share = status.pinned_bytes / max(1, self.settings.pin_bytes)
            pinned = f"{status.pinned_bytes / _GIB:.2f} GiB of others' stores pinned, {share:.0%}"
            full = warn("ipfs", pinned, "raise pin_bytes, or accept that payloads are let go")
            found.append(full if share > 0.9 else ok("ipfs", pinned))
        return found

    # ------------------------------------------------------------------------------------ ledger

    async def ledger(self) -> list[Finding]:
        """Integrity, lock, what it has to say."""
        path = self.settings.ledger(self.role)
        holder = locks.holder(path.with_name(path.name + ".lock"))
        runs = f"process {holder} runs with it" if holder else "no daemon runs"
        if not path.exists():
            old = recovery.older(path)
            if old:
                return [
                    fail(
                        "ledger",
                        f"{path} is gone, and {old[0].name} is there",
                        f"dam {self.role} recover",
                    )
                ]
            return [ok("ledger", f"{path} does not exist yet: the daemon makes it; {runs}")]
        try:
            reason = await asyncio.to_thread(recovery.examine, path, self.binding)
        except LedgerError as error:
            fix = "--account names that account; another one needs a home of its own (DAM_HOME)"
            return [fail("ledger", str(error), fix)]
        if reason:
            return [fail("ledger", f"{path}: {reason}", f"stop it, then dam {self.role} recover")]
        found = [ok("ledger", f"{path} is sound ({path.stat().st_size / _MIB:.1f} MiB); {runs}")]
        status = self.status()
        failed = 0 if status is None else status.jobs.get("failed", 0)
        if failed:
            found.append(
                warn("ledger", f"{failed} duties failed", f"dam {self.role} status tells which")
            )
        return found

    def status(self) -> DaemonStatus | None:
        """What the ledger says, if there is one to read."""
        try:
            return read_status(self.settings.ledger(self.role), newest=20)
        except DamError:
            return None


def _clocks() -> tuple[float, float]:
    return time.time(), time.monotonic()


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _short(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__
