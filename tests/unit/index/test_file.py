"""The file: damaged, foreign, half written, on a disk that is none, and killed at any line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from dam.errors import IndexUnusableError
from dam.index import index_file
from dam.index.index import Index, with_index
from dam.index.index_file import FILE_NAME, Binding, IndexFile, refuse_mount
from dam.index.sale_reader import read_seller_sales
from dam.types import StoreVersion
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.index_life import SELLERS, chain_of, check

BINDING = Binding.of(made.DEPLOYMENT)


def edit(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(sql)


def wrong_version(path: Path) -> None:
    edit(path, "PRAGMA user_version = 1")


def other_market(path: Path) -> None:
    edit(path, "UPDATE identity SET chain_id = 1")


def other_documents(path: Path) -> None:
    edit(path, "UPDATE identity SET document_version = document_version + 1")


def foreign(path: Path) -> None:
    path.unlink()
    edit(path, "CREATE TABLE letters (text TEXT)")


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def zeros_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)


def no_table(path: Path) -> None:
    edit(path, "DROP TABLE events")


def lost_events(path: Path) -> None:
    edit(path, "UPDATE events SET kind = 99")


def odd_terms(path: Path) -> None:
    edit(path, "UPDATE terms SET text = '[' || id || ']'")


def odd_record(path: Path) -> None:
    edit(path, "UPDATE sales SET outcome = 'nonsense', bound = 'x'")


BROKEN = [wrong_version, other_market, other_documents, foreign, noise, cut, zeros_inside, no_table,
          lost_events, odd_terms, odd_record]  # fmt: skip


@pytest.mark.parametrize("damage", BROKEN, ids=lambda one: one.__name__)
async def test_what_cannot_be_read_is_made_anew_with_a_line(tmp_path: Path, damage: Any) -> None:
    chain = chain_of(3)
    notes: list[str] = []

    async def work(index: Index) -> None:
        await index.sync(chain)  # type: ignore[arg-type]
        check(index, chain.logs)

    await with_index(tmp_path, made.DEPLOYMENT, work, notes.append)
    assert notes == []
    damage(tmp_path / FILE_NAME)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
    await with_index(tmp_path, made.DEPLOYMENT, work, notes.append)
    assert [note.split(":")[0].endswith("is built anew from the chain") for note in notes] == [True]
    await with_index(tmp_path, made.DEPLOYMENT, work, notes.append)
    assert len(notes) == 1


async def test_an_error_of_the_program_is_no_damage(tmp_path: Path) -> None:
    async def work(_: Index) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await with_index(tmp_path, made.DEPLOYMENT, work, pytest.fail)


async def test_a_lock_that_lasts_is_told_and_nothing_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_file, "_BUSY_SECONDS", 0.05)
    chain = chain_of(3)

    async def work(index: Index) -> None:
        await index.sync(chain)  # type: ignore[arg-type]

    with (
        IndexFile(tmp_path / FILE_NAME, BINDING, pytest.fail) as other,
        other.write(),
        pytest.raises(IndexUnusableError, match="locked"),
    ):
        await with_index(tmp_path, made.DEPLOYMENT, work, pytest.fail)


async def test_nobody_replaces_a_file_that_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_file, "_LOCK_SECONDS", 0.2)
    with (
        Index(tmp_path, made.DEPLOYMENT, pytest.fail),
        Index(tmp_path, made.DEPLOYMENT, pytest.fail) as two,
        pytest.raises(IndexUnusableError, match="another process uses the index"),
    ):
        two.rebuild("to try")


def test_what_another_just_replaced_is_left_as_it_is(tmp_path: Path) -> None:
    notes: list[str] = []
    late = Index(tmp_path, made.DEPLOYMENT, notes.append)
    generation = late._file._generation
    late.close()
    with Index(tmp_path, made.DEPLOYMENT, notes.append) as index:
        index.rebuild("once")
        index._file._generation = generation
        index.rebuild("twice")
    assert len(notes) == 1


def test_mounts_that_cannot_have_a_journal(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    here = str(tmp_path.resolve()).replace(" ", "\\040")
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {here} nfs4 rw 0 0\n")
    with pytest.raises(IndexUnusableError, match=r"network file system \(nfs4\).*DAM_INDEX"):
        refuse_mount(tmp_path, mounts)
    mounts.write_text(f"server:/ / nfs4 rw 0 0\ndisk {here} ext4 rw 0 0\n")
    refuse_mount(tmp_path, mounts)
    refuse_mount(tmp_path, tmp_path / "no such file")


def test_a_disk_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flags:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(index_file.os, "statvfs", lambda _: Flags)
    with pytest.raises(IndexUnusableError, match=r"read-only.*DAM_INDEX"):
        Index(tmp_path, made.DEPLOYMENT, pytest.fail)


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    Index(tmp_path, made.DEPLOYMENT, pytest.fail).close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


# -------------------------------------------------------------------------------------- kills


def killed_at(folder: Path, line: int) -> tuple[int, int]:
    """Syncs in a process of its own, which is killed at some line of the package.

    Returns:
        How it ended, and how many lines were run, where that was not by the kill.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            _sync_until(folder, line, writing)
        os._exit(1)
    os.close(writing)
    told = os.read(reading, 20)
    os.close(reading)
    return os.waitpid(pid, 0)[1], int(told or 0)


def _sync_until(folder: Path, line: int, writing: int) -> None:
    run = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal run
        if "/dam/index/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            run += 1
            if run == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    chain = chain_of(3)
    chain.range_blocks = 4
    sys.settrace(trace)
    with Index(folder, made.DEPLOYMENT, pytest.fail) as index:
        asyncio.run(index.sync(chain))  # type: ignore[arg-type]
    sys.settrace(None)
    os.write(writing, str(run).encode())
    os._exit(0)


def test_a_kill_at_any_line_leaves_a_usable_index(tmp_path: Path) -> None:
    ended, lines = killed_at(tmp_path / "whole", 0)
    assert (ended, lines > 1000) == (0, True)
    chain = chain_of(3)
    for step in range(24):
        folder = tmp_path / str(step)
        assert killed_at(folder, 1 + step * lines // 24) == (signal.SIGKILL, 0)
        notes: list[str] = []
        with Index(folder, made.DEPLOYMENT, notes.append) as index:
            # What is there now is true of some block, and the rest follows.
            cursor = index.cursor()
            known = [] if cursor is None else [
                log for log in chain.logs if log.at.block.number <= cursor.number
            ]  # fmt: skip
            for seller in SELLERS:
                wanted = {log.copy_id for log in known if getattr(log, "seller", "") == seller
                          and not isinstance(log, StoreVersion)}  # fmt: skip
                found = read_seller_sales(index.db, seller)
                assert {sale.copy_id for sale in found.sales} == wanted
            asyncio.run(index.sync(chain))  # type: ignore[arg-type]
            check(index, chain.logs)
        assert notes == []
