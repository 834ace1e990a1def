"""``dam buyer wait`` and ``dam buyer open``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from dam.cli.buyer.buy import open_buyer, open_seed
from dam.cli.buyer.credit import Credit, look_for_credit
from dam.cli.session import (
    Session,
    asynchronous,
    connect,
    json_option,
    print_note,
    print_result,
    to_hex,
)
from dam.cli.terminal import output, write_result
from dam.config.settings import Settings
from dam.errors import Permanent
from dam.roles.buyer import opening
from dam.roles.buyer.opening import ArrivedParts, Junk, OpenedGood, SavedGood
from dam.roles.file_names import file_name
from dam.types import ZERO_ADDRESS, FragmentDelivered, Status
from dam.units import format_time

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
    seed = open_seed(settings)
    async with connect(settings) as session:
        arrived = await opening.wait_for_parts(
            open_buyer(session, seed),
            sale_id,
            timeout=timeout,
            poll_seconds=min(settings.poll_seconds, 1.0),
            on_look=_News().show,
            notice=print_note,
        )
        credit = await _credit(session, arrived)
    purchase, parts = arrived.purchase, arrived.parts
    value = {
        "id": to_hex(purchase.sale.copy_id),
        "block": purchase.block,
        "needed": purchase.sale.purchase.terms.threshold,
        "valid": [_fragment_json(share.fragment) for share in parts.good],
        "junk": [_junk_json(junk) for junk in parts.junk],
        "provable": [junk.fragment.index for junk in arrived.provable],
        "status": purchase.sale.status.name.lower(),
        "credits": credit.json,
    }
    text = f"Enough parts are there. Next: dam buyer open {purchase.short_id} -o FILE"
    print_result(value, as_json, text)
    credit.show(as_json)


async def _credit(session: Session, arrived: ArrivedParts) -> Credit:
    purchase = arrived.purchase.sale.purchase
    return await look_for_credit(session, [purchase.buyer], [purchase.terms.token], None)


def _fragment_json(fragment: FragmentDelivered) -> dict[str, Any]:
    return {
        "index": fragment.index,
        "by": fragment.by,
        "block": fragment.at.block.number,
        "supplied": fragment.supplied,
    }


def _junk_json(junk: Junk) -> dict[str, Any]:
    return {**_fragment_json(junk.fragment), "reason": junk.reason}


class _News:
    """Says what arrived since the last look."""

    def __init__(self) -> None:
        self._shown: set[tuple[int, int]] = set()
        self._waiting = False

    def show(self, arrived: ArrivedParts) -> None:
        """Prints a line for each new part, and then how many are good."""
        sale, parts = arrived.purchase.sale, arrived.parts
        fresh = False
        reasons = {id(junk.fragment): junk.reason for junk in parts.junk}
        for fragment in sale.fragments:
            place = (fragment.at.block.number, fragment.at.log_index)
            if place in self._shown:
                continue
            self._shown.add(place)
            fresh = True
            verdict = f"JUNK: {reasons[id(fragment)]}" if id(fragment) in reasons else "good"
            what = "supplied" if fragment.supplied else "delivered"
            by = "the seller" if fragment.by == sale.purchase.seller else fragment.by
            number = fragment.index + 1
            print_note(f"block {place[0]}: part {number} {what} by {by}: {verdict}")
        if fresh:
            terms = sale.purchase.terms
            print_note(
                f"Good parts: {len(parts.indices)} of {terms.parts}; {terms.threshold} are needed."
            )
        few = len(parts.indices) < sale.purchase.terms.threshold
        if few and sale.status == Status.PURCHASED and arrived.deadlines and not self._waiting:
            self._waiting = True
            print_note(
                f"Waiting for parts until {format_time(arrived.deadlines.refund_from)}, when the "
                "money can be had back. Ctrl-C ends this command alone."
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
    seed = open_seed(settings)
    async with connect(settings) as session:
        buyer = open_buyer(session, seed)
        arrived = await opening.read_parts(buyer, sale_id, notice=print_note)
        _show_junk(arrived)
        good = await opening.open_good(buyer, arrived, notice=print_note)
        target = _target(output, good)
        if target is not None:
            _check_target(target, force)
        credit = await _credit(session, arrived)
        saved, content = await _write(good, target, force=force, keep=as_json)
    sale = arrived.purchase.sale
    value = {
        "id": to_hex(sale.copy_id),
        "item": arrived.purchase.record.item,
        "size": saved.size,
        "sha256": saved.sha256,
        "path": str(target) if target else None,
        "used": sorted(fragment.index for fragment in good.used),
        "skipped": [_junk_json(junk) for junk in arrived.parts.junk],
        "provable": [junk.fragment.index for junk in arrived.provable],
        "credits": credit.json,
        **content,
    }
    if as_json:
        print_result(value, as_json, "")
        return
    where = f" in {target}" if target else ""
    print_note(f"{saved.size} bytes{where}, SHA-256 {saved.sha256}.")
    if sale.status == Status.COMPLETE:
        name = arrived.purchase.short_id
        print_note(f"If it is what was promised: dam buyer confirm {name}")
        if sale.purchase.terms.arbitrator != ZERO_ADDRESS:
            print_note(f"If it is not:               dam buyer dispute {name}")
    credit.show(as_json)


def _show_junk(arrived: ArrivedParts) -> None:
    """Names what is junk, and whether a proof of it would help."""
    provable = {id(junk) for junk in arrived.provable}
    for junk in arrived.parts.junk:
        part = junk.fragment
        print_note(f"Part {part.index + 1} by {part.by} is junk: {junk.reason}")
        if id(junk) in provable:
            print_note(f"  It can be proved: dam buyer prove {arrived.purchase.short_id}")


def _target(output: Path | None, good: OpenedGood) -> Path | None:
    """Where the good goes; None: standard output."""
    if output is not None:
        return None if str(output) == "-" else output
    if good.is_short:
        return None
    return Path(file_name(good.purchase.record.item))


def _check_target(target: Path, force: bool) -> None:
    """Refuses before the good is fetched what would be refused after it."""
    if not os.path.lexists(target):
        if not target.parent.is_dir():
            raise Permanent(f"there is no folder {target.parent} to write {target.name} into")
    elif target.exists() and not target.is_file():
        raise Permanent(
            f"{target} is a folder or a device, which is never written over: name a file with -o, "
            "or - for standard output"
        )
    elif not force:
        raise Permanent(f"{target} is there already: use -o, or --force to replace it")


async def _write(
    good: OpenedGood, target: Path | None, *, force: bool, keep: bool
) -> tuple[SavedGood, dict[str, str]]:
    """Writes the good to a file, whole or not at all; or to standard output.

    Args:
        good: What was opened.
        target: The file; None for standard output.
        force: Replace a file.
        keep: Give a short good back instead of writing it to standard output.

    Returns:
        Its size and hash, and ``text`` or ``hex`` of a short good that no file took.
    """
    if target is not None:
        return await good.save(target, overwrite=force), {}
    if good.is_short:
        data = await good.read()
        if not keep:
            _print_good(data)
        return SavedGood(len(data), hashlib.sha256(data).hexdigest()), _content(data)
    # Nothing of a file is shown before all of it is known to be right.
    with tempfile.TemporaryDirectory(prefix="dam-") as folder:
        path = Path(folder) / "good"
        saved = await good.save(path)
        if not keep:
            await asyncio.to_thread(_pour, path)
    return saved, {}


def _pour(path: Path) -> None:
    with path.open("rb") as file, output():
        while piece := file.read(1 << 20):
            sys.stdout.buffer.write(piece)


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
        write_result(shown)
    else:
        with output():
            sys.stdout.buffer.write(data)
