"""What is wrong with a store's document, and where: for its seller, or whoever wonders."""

from __future__ import annotations

from dataclasses import dataclass

from dam.catalog.document import parse_root
from dam.catalog.reader import read_store
from dam.catalog.store import Store
from dam.errors import Malformed, Permanent
from dam.index.index import Index
from dam.index.sale_reader import read_version
from dam.ipfs import dag_json
from dam.ipfs.blocks import BlockStore
from dam.ipfs.cid import Cid
from dam.market.client import Market
from dam.types import ZERO32, Address


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule that is broken."""

    what: str
    where: str
    whole: bool
    """Whether it refuses the store; else one section."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """A document, and what readers make of it."""

    cid: Cid
    seller: Address
    in_force: bool
    """Whether the chain names it now: only then its root is the chain's."""
    store: Store | None
    """None: refused."""
    faults: tuple[Fault, ...]


async def check_seller(
    index: Index, market: Market, blocks: BlockStore, seller: Address
) -> StoreReport:
    """Checks the document that the chain names for a seller.

    Raises:
        Permanent: The seller has no store, or closed it.
        IpfsError, RpcError: Block store or node could not be asked.
    """
    await index.sync(market)
    version = read_version(index.db, seller)
    if version is None or version.root == ZERO32:
        raise Permanent(f"{seller} has no open store in this market")
    return await _check(market, blocks, Cid("dag-json", version.digest), seller, version.root)


async def check_document(index: Index, market: Market, blocks: BlockStore, cid: Cid) -> StoreReport:
    """Checks a document, whether the chain names it or not.

    Raises:
        Malformed: It is no root of a store of this market at all.
        IpfsError, RpcError: Block store or node could not be asked.
    """
    await index.sync(market)
    document = parse_root(dag_json.decode(cid.check(await blocks.get(cid))))
    version = read_version(index.db, document["seller"])
    in_force = version is not None and version.digest == cid.digest
    root = version.root if version and in_force else None
    return await _check(market, blocks, cid, document["seller"], root)


async def _check(
    market: Market, blocks: BlockStore, cid: Cid, seller: Address, root: bytes | None
) -> StoreReport:
    at = market.deployment
    try:
        store = await read_store(
            blocks, cid.digest, chain_id=at.chain_id, market=at.market, seller=seller, root=root
        )
    except Malformed as error:
        where = ", ".join(getattr(error, "__notes__", ())) or "the document"
        return StoreReport(cid, seller, root is not None, None, (Fault(str(error), where, True),))
    faults = tuple(
        Fault(section.fault, f"item {item.name!r}, the section from copy {first + 1} on", False)
        for item in store.items
        for section in item.sections
        if section.fault
        for first in (section.first_copy,)
    )
    return StoreReport(cid, seller, root is not None, store, faults)
