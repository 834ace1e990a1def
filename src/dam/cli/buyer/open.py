"""``dam buyer wait`` and ``dam buyer open``."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dam.catalog.payload import InlinePayload, Payload, open_payload, save_payload
from dam.cli.buyer.buy import open_seed
from dam.cli.sale_views import doable, match_id
from dam.cli.session import (
    Session,
    asynchronous,
    connect,
    emit,
    hexed,
    json_option,
    note,
)
from dam.config.settings import Settings
from dam.crypto.derivation import BuyerSeed
from dam.errors import BlockRefused, IpfsError, Malformed, Permanent, Retryable
from dam.market.log_history import History, read_history
from dam.market.sale_history import SaleRecord
from dam.roles.buyer import buyer as role
from dam.roles.buyer.records import Record, Records, find_attempt, record_of
from dam.types import ZERO_ADDRESS, CopyId, FragmentDelivered, Status, Windows


@dataclass(frozen=True)
class Bought:
    """A purchase of ours: the chain's side and the record's."""

    history: History
    sale: SaleRecord
    record: Record


async def find_bought(session: Session, seed: BuyerSeed, records: Records, text: str) -> Bought:
    """A purchase of ours by its id, with the logs from its block on.

    Raises:
        Permanent: There is none; the message says what is known.
    """
    known = records.all()
    name = match_id(text, {record.copy_id for record in known})
    if name is not None:
        blocks = [r.block for r in known if r.copy_id == name and r.block is not None]
        if blocks:
            bought = await _look(session, known, name, max(blocks))
            if bought is not None:
                return bought
    history = await read_history(session.market)
    name = match_id(text, history.book.sales)
    if name is None:
        raise Permanent(
            f"no sale {text} is on the chain: if you paid a moment ago, wait; if the chain was "
            "rewritten since, nothing was paid (`dam buyer purchases` tells)"
        )
    sale = history.book.sales[name]
    record = record_of(known, sale.purchase) or await _restore(session, seed, history, sale)
    if record is None:
        raise Permanent(
            f"the sale {hexed(name)} was not bought with this seed: restore the right one with "
            "`dam keys restore buyer FILE`"
        )
    return Bought(history, sale, record)


async def _look(session: Session, known: list[Record], name: CopyId, block: int) -> Bought | None:
    """The purchase where its record says that it is."""
    history = await read_history(session.market, first=block)
    sale = history.book.sales.get(name)
    record = record_of(known, sale.purchase) if sale else None
    return Bought(history, sale, record) if sale and record else None


async def _restore(
    session: Session, seed: BuyerSeed, history: History, sale: SaleRecord
) -> Record | None:
    deployment = session.settings.deployment
    attempt = find_attempt(seed, deployment, sale.purchase)
    if attempt is None:
        return None
    return await restore_record(session, history, sale, attempt)


async def restore_record(
    session: Session, history: History, sale: SaleRecord, attempt: int
) -> Record:
    """A record made again; without the payload if the store cannot be read now."""
    deployment, purchase = session.settings.deployment, sale.purchase
    version = history.book.version(purchase.seller, purchase.store_digest)
    store = None
    if version is not None:
        try:
            store = await role.read_version(session.blocks, deployment, version)
        except (IpfsError, BlockRefused, Malformed) as error:
            note(f"The store of the sale {hexed(purchase.copy_id)} cannot be read now: {error}")
    root = version.root if version else bytes(32)
    return role.restored_record(deployment, purchase, attempt, root, store)


def _sifted(session: Session, seed: BuyerSeed, bought: Bought) -> role.Sifted:
    return role.sift(
        seed,
        session.settings.deployment,
        bought.sale.purchase,
        bought.record.attempt,
        bought.sale.fragments,
    )


# ------------------------------------------------------------------------------------------- wait


@click.command()
@click.argument("sale_id", metavar="ID")
@click.option("--timeout", type=click.FloatRange(0), help="Give up after so many seconds.")
@json_option
@asynchronous
async def wait(sale_id: str, timeout: float | None, as_json: bool) -> None:
    """Waits until enough good parts are there, or the money can be had back.

    Ends with 0 only if the good can be opened.
    """
    settings = Settings.load()
    seed, records = open_seed(settings), Records(settings.purchases)
    windows = settings.deployment.windows
    end = None if timeout is None else time.monotonic() + timeout
    told: set[tuple[int, int]] = set()
    async with connect(settings) as session:
        while True:
            try:
                bought = await find_bought(session, seed, records, sale_id)
            except Retryable as error:
                note(f"({error}; trying again)")
            else:
                sifted = _sifted(session, seed, bought)
                _tell(bought, sifted, told)
                if _enough(bought, sifted, windows):
                    break
                _check_hope(bought, windows)
            if end is not None and time.monotonic() >= end:
                raise Permanent("time is up; `dam buyer wait` goes on waiting, any time")
            await asyncio.sleep(min(settings.poll_seconds, 1.0))
    value = {
        "id": hexed(bought.sale.copy_id),
        "block": bought.history.head,
        "needed": bought.sale.purchase.terms.threshold,
        "valid": [_fragment_json(share.fragment) for share in sifted.good],
        "junk": [_junk_json(junk) for junk in sifted.junk],
        "status": bought.sale.status.name.lower(),
    }
    name = hexed(bought.sale.copy_id)[:18]
    emit(value, as_json, f"Enough parts are there. Next: dam buyer open {name} -o FILE")


def _fragment_json(fragment: FragmentDelivered) -> dict[str, Any]:
    return {
        "index": fragment.index,
        "by": fragment.by,
        "block": fragment.at.block.number,
        "supplied": fragment.supplied,
    }


def _junk_json(junk: role.Junk) -> dict[str, Any]:
    return {**_fragment_json(junk.fragment), "reason": junk.reason}


def _tell(bought: Bought, sifted: role.Sifted, told: set[tuple[int, int]]) -> None:
    """Says what arrived since the last look."""
    fresh = False
    reasons = {id(junk.fragment): junk.reason for junk in sifted.junk}
    for fragment in bought.sale.fragments:
        place = (fragment.at.block.number, fragment.at.log_index)
        if place in told:
            continue
        told.add(place)
        fresh = True
        verdict = f"JUNK: {reasons[id(fragment)]}" if id(fragment) in reasons else "good"
        what = "supplied" if fragment.supplied else "delivered"
        by = "the seller" if fragment.by == bought.sale.purchase.seller else fragment.by
        note(f"block {place[0]}: part {fragment.index} {what} by {by}: {verdict}")
    if fresh:
        terms = bought.sale.purchase.terms
        note(f"Good parts: {len(sifted.indices)} of {terms.parts}; {terms.threshold} are needed.")


def _enough(bought: Bought, sifted: role.Sifted, windows: Windows) -> bool:
    """Whether the good can be opened now.

    Raises:
        Permanent: It cannot, nor will it be: the seller's shares do not add up.
    """
    sale = bought.sale
    try:
        return role.recover(sifted, sale.purchase.terms.threshold) is not None
    except Permanent:
        # Another part may still make a choice of k that does.
        more = sale.whole_at is None and bought.history.head < sale.last_delivery(windows)
        if sale.status.final or not more:
            raise
        return False


def _check_hope(bought: Bought, windows: Windows) -> None:
    """Ends the wait where nothing can come any more, or only after a step of the buyer's."""
    sale, head = bought.sale, bought.history.head
    name = hexed(sale.copy_id)[:18]
    can = "; ".join(doable(sale, windows, head, ("buyer", "anyone"))) or "nothing"
    if sale.status.final:
        raise Permanent(f"the sale is over: {sale.status.name.lower()}")
    if head + 1 > sale.last_delivery(windows):
        if sale.status == Status.PURCHASED:
            raise Permanent(f"too few parts came in time. Next: dam buyer refund {name}")
        raise Permanent(
            f"the sale counts as complete, but too many parts are junk. You can: {can}. "
            f"Next: dam buyer dispute {name}"
        )
    if sale.whole_at is not None and sale.status == Status.COMPLETE:
        raise Permanent(
            "all parts are there, but too many are junk. The seller may supply them once more; "
            f"you can: {can}. Next: dam buyer dispute {name}"
        )


# ------------------------------------------------------------------------------------------- open


@click.command("open")
@click.argument("sale_id", metavar="ID")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File to write, or - for standard output. [default: a code is shown, a file keeps a "
    "name like the item's]",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@json_option
@asynchronous
async def open_good(sale_id: str, output: Path | None, force: bool, as_json: bool) -> None:
    """Opens the good: any k good parts give its key, and junk is named and skipped."""
    settings = Settings.load()
    seed, records = open_seed(settings), Records(settings.purchases)
    async with connect(settings) as session:
        bought = await find_bought(session, seed, records, sale_id)
        sifted = _sifted(session, seed, bought)
        terms = bought.sale.purchase.terms
        for junk in sifted.junk:
            note(f"Part {junk.fragment.index} by {junk.fragment.by} is junk: {junk.reason}")
        found = role.recover(sifted, terms.threshold)
        if found is None:
            raise Permanent(
                f"{len(sifted.indices)} good parts are there, {terms.threshold} are needed: "
                f"run `dam buyer wait {hexed(bought.sale.copy_id)[:18]}`"
            )
        payload = await _payload(session, bought, records)
        target = _target(output, payload, bought.record)
        if target is not None and target.exists() and not force:
            raise Permanent(f"{target} is there already: use -o, or --force to replace it")
        good = _Good(session, bought, payload, found.key)
        written = await good.write(target, force=force, keep=as_json)
    value = {
        "id": hexed(bought.sale.copy_id),
        "item": bought.record.item,
        "size": written.size,
        "sha256": written.sha256,
        "path": str(target) if target else None,
        "used": sorted(fragment.index for fragment in found.used),
        "skipped": [_junk_json(junk) for junk in sifted.junk],
        **written.content,
    }
    name = hexed(bought.sale.copy_id)[:18]
    if as_json:
        emit(value, as_json, "")
        return
    where = f" in {target}" if target else ""
    note(f"{written.size} bytes{where}, SHA-256 {written.sha256}.")
    if bought.sale.status == Status.COMPLETE:
        note(f"If it is what was promised: dam buyer confirm {name}")
        if terms.arbitrator != ZERO_ADDRESS:
            note(f"If it is not:               dam buyer dispute {name}")


async def _payload(session: Session, bought: Bought, records: Records) -> Payload:
    if bought.record.payload is not None:
        return bought.record.payload
    history = await read_history(session.market)
    record = await restore_record(session, history, bought.sale, bought.record.attempt)
    if record.payload is None:
        raise Permanent("the store's document is not to be had now, and it names the good: later")
    records.save(record)
    return record.payload


def _target(output: Path | None, payload: Payload, record: Record) -> Path | None:
    """Where the good goes; None: standard output."""
    if output is not None:
        return None if str(output) == "-" else output
    if isinstance(payload, InlinePayload):
        return None
    # A seller's text never names a path: no slashes, no leading dot, nothing odd.
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", record.item).lstrip(".") or "good"
    return Path(safe[:100])


@dataclass(frozen=True)
class _Written:
    size: int
    sha256: str
    content: dict[str, str]
    """``text`` or ``hex`` of a short good that no file took."""


class _Good:
    """The good on its way out."""

    def __init__(self, session: Session, bought: Bought, payload: Payload, key: bytes) -> None:
        self._blocks = session.blocks
        self._payload = payload
        self._key = key
        self._domain = role.good_domain(session.settings.deployment, bought.sale.purchase)

    async def write(self, target: Path | None, *, force: bool, keep: bool) -> _Written:
        """Writes it to a file, whole or not at all; or to standard output.

        Args:
            target: The file; None for standard output.
            force: Replace a file.
            keep: Give a short good back instead of writing it to standard output.
        """
        if target is not None:
            return await self._to_file(target, force)
        if isinstance(self._payload, InlinePayload):
            pieces = open_payload(self._blocks, self._payload, self._key, self._domain)
            data = b"".join([piece async for piece in pieces])
            if not keep:
                _print_good(data)
            return _Written(len(data), hashlib.sha256(data).hexdigest(), _content(data))
        # Nothing of a file is shown before all of it is known to be right.
        with tempfile.TemporaryDirectory(prefix="dam-") as folder:
            path = Path(folder) / "good"
            written = await self._to_file(path, force=False)
            if not keep:
                await asyncio.to_thread(_pour, path)
        return written

    async def _to_file(self, path: Path, force: bool) -> _Written:
        await save_payload(
            self._blocks, self._payload, self._key, self._domain, path, overwrite=force
        )
        return await asyncio.to_thread(_measure, path)


def _measure(path: Path) -> _Written:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return _Written(file.seek(0, os.SEEK_END), digest, {})


def _pour(path: Path) -> None:
    with path.open("rb") as file, contextlib.suppress(BrokenPipeError):
        while piece := file.read(1 << 20):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"hex": data.hex()}


def _print_good(data: bytes) -> None:
    """Bytes as they are into a pipe; on a terminal nothing that a seller could steer it with."""
    if sys.stdout.isatty():
        text = data.decode("utf-8", "backslashreplace")
        shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        click.echo(shown)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
