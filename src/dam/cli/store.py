"""``dam store``: a store's document, as everybody reads it."""

from __future__ import annotations

from typing import Any

import click

from dam.cli.failures import Failure
from dam.cli.session import asynchronous, connect, json_option, print_result
from dam.console import printable
from dam.crypto.hashing import parse_address
from dam.index.index import Index
from dam.ipfs.cid import Cid
from dam.roles.store_check import StoreReport, check_document, check_seller


@click.group()
def store() -> None:
    """A store's document, as everybody reads it."""


@store.command()
@click.argument("which", metavar="CID|SELLER")
@json_option
@asynchronous
async def verify(which: str, as_json: bool) -> None:
    """Reads a whole store document and says what is wrong with it.

    It is read as buyers and deliverers do before anything is bought or served, and each fault comes
    with its place. Of a SELLER, that is the document which the chain names; a CID may be any: of
    one that the chain does not name, the catalogue root is compared with nothing. Ends with 1 where
    a rule is broken.
    """

    async def work(index: Index) -> StoreReport:
        if which.startswith("0x"):
            seller = parse_address(which)
            return await check_seller(index, session.market, session.blocks, seller)
        return await check_document(index, session.market, session.blocks, Cid.parse(which))

    async with connect() as session:
        report = await session.indexed(work)
    print_result(_json(report), as_json, "\n".join(_lines(report)))
    if report.faults:
        raise Failure(_verdict(report), printed=True)


def _verdict(report: StoreReport) -> str:
    if report.store is None:
        return "everybody refuses this store"
    return f"{len(report.faults)} sections are broken: nobody buys or serves their copies"


def _lines(report: StoreReport) -> list[str]:
    lines = [f"{printable(fault.where)}: {printable(fault.what)}" for fault in report.faults]
    named = "names" if report.in_force else "does not name (now): nothing vouches for its root"
    lines.append(f"The document {report.cid} of {report.seller}, which the chain {named}")
    if report.faults:
        return [*lines, f"Refused: {_verdict(report)}."]
    assert report.store is not None
    sections = [section for item in report.store.items for section in item.sections]
    parts = sum(len(section.part_leaves) for section in sections)
    return [*lines, f"Sound: {len(report.store.items)} items, {parts} parts."]


def _json(report: StoreReport) -> dict[str, Any]:
    return {
        "cid": str(report.cid),
        "seller": report.seller,
        "inForce": report.in_force,
        "root": report.store and report.store.root,
        "items": report.store and len(report.store.items),
        "sound": not report.faults,
        "faults": [
            {"what": fault.what, "where": fault.where, "wholeStore": fault.whole}
            for fault in report.faults
        ],
    }
