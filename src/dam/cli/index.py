"""``dam index``: the local index that lists and searches read."""

from __future__ import annotations

import time
from typing import Any

import click

from dam.cli.markets import every_market
from dam.cli.session import (
    Group,
    asynchronous,
    connect,
    json_option,
    print_note,
    print_result,
    to_hex,
)
from dam.config.settings import Settings
from dam.index.index import Documents, Index, Synced, with_index
from dam.index.status import IndexStatus, read_status

_NOTE_SECONDS = 5.0
_ALL_SECONDS = 24 * 3600.0


@click.group(cls=Group)
def index() -> None:
    """The local index of a market, which `buyer browse` and others keep up by themselves."""


@index.command()
@click.option("--anew", is_flag=True, help="Make it anew, from the first block on.")
@json_option
@every_market
@asynchronous
async def sync(anew: bool, as_json: bool) -> None:
    """Reads what is new on the chain, and every store document that was not read yet."""
    settings = Settings.load()
    began = anew

    async def work(opened: Index) -> tuple[Synced, Documents, IndexStatus]:
        nonlocal began
        if began:
            began = False
            opened.rebuild("as you asked")
        synced = await opened.sync(session.market, progress=_Progress("block"))
        documents = await opened.read_documents(
            session.blocks, seconds=_ALL_SECONDS, patient=False, progress=_Progress("store")
        )
        return synced, documents, read_status(opened)

    async with connect(settings) as session:
        synced, documents, status = await session.indexed(work)
    if documents.unreachable is not None:
        raise documents.unreachable
    value = {
        "block": synced.head.number,
        "logs": synced.logs,
        "rolledBack": synced.rolled_back,
        "read": documents.read,
        "failed": documents.failed,
        **_status_json(status),
    }
    human = (
        f"Read {synced.logs} logs up to block {synced.head.number}, and the documents of "
        f"{documents.read} stores.\n{_status_text(status)}"
    )
    print_result(value, as_json, human)


@index.command("status")
@json_option
@every_market
@asynchronous
async def status_command(as_json: bool) -> None:
    """Shows what is in the index; nothing is read from node or block store."""
    settings = Settings.load()

    async def work(opened: Index) -> IndexStatus:
        return read_status(opened)

    status = await with_index(settings.index, settings.deployment, work, print_note)
    print_result(_status_json(status), as_json, _status_text(status))


def _status_json(status: IndexStatus) -> dict[str, Any]:
    cursor = status.cursor
    return {
        "path": str(status.path),
        "cursor": None if cursor is None else {"block": cursor.number, "hash": to_hex(cursor.hash)},
        "sales": status.sales,
        "stores": status.stores,
        "items": status.items,
        "hidden": status.hidden,
        "waiting": status.waiting,
        "unreadable": [
            {"seller": one.seller, "reason": one.reason, "final": one.final}
            for one in status.unread
        ],
        "bytes": status.bytes,
    }


def _status_text(status: IndexStatus) -> str:
    if status.cursor is None:
        return f"{status.path} is empty. Next: dam index sync"
    lines = [
        f"{status.path}: {status.bytes / 1e6:.1f} MB, up to block {status.cursor.number}",
        f"{status.sales} sales, {status.stores} open stores, {status.items} items in them",
    ]
    if status.hidden:
        lines.append(f"{status.hidden} items are over the budget of their stores, and not listed")
    if status.waiting:
        lines.append(f"{status.waiting} stores wait to be read. Next: dam index sync")
    lines += [f"The store of {one.seller} cannot be read: {one.reason}" for one in status.unread]
    return "\n".join(lines)


class _Progress:
    """Says now and then how far something has come."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _NOTE_SECONDS

    def __call__(self, done: int, of: int) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _NOTE_SECONDS
        print_note(f"Read {self._what} {done} of {of}")
