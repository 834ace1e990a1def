"""Which versions of the store a catalogue folder has published: it must hold the one in force.

A new version is made from the folder. Made from a folder that lacks something, it sells the same
codes again under other copies, and the watchdog cannot deliver what was sold. So a folder keeps the
digest of every document that was built from it (``versions.json``), and no new version is made
while the chain has one that the folder does not know, or lacks the one that it announced last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dam import validation
from dam.atomic_file import read_regular, write_atomic
from dam.errors import Malformed, Permanent
from dam.ipfs import dag_json
from dam.ipfs.cid import Cid
from dam.market.sale_history import SaleHistory
from dam.roles.seller.listings import Catalogue, parts_tree
from dam.roles.seller.store_changes import Shop
from dam.types import StoreVersion

_MAX_VERSIONS = 1_000_000
_FILE_BYTES = 128 << 20
_PUT_BACK = (
    "put the whole folder back as it was after the last `dam seller publish`, `update` or "
    "`close-item`, from a backup or the machine that ran it, and repeat the command. If it is lost "
    "for good: `dam seller publish --start-over` goes on without it, and says what that costs"
)
_WAIT = (
    "if the node is behind, wait and repeat the command. If the chain was begun anew, or is "
    "another one of the same number: `dam seller publish --start-over`"
)


@dataclass(frozen=True, slots=True)
class Versions:
    """What a folder knows of its own versions."""

    known: tuple[bytes, ...] = ()
    """Digests of the documents built from it, 32 bytes each, in no order."""
    announced: bytes | None = None
    """The one that the chain took last."""
    pending: bool = False
    """Changes are in the folder that the chain has not taken yet."""

    def with_known(self, digests: Sequence[bytes]) -> Versions:
        """The same, and these as well."""
        return replace(self, known=tuple(dict.fromkeys((*self.known, *digests))))


def _path(catalogue: Catalogue) -> Path:
    return catalogue.folder / "versions.json"


def read_versions(catalogue: Catalogue) -> Versions | None:
    """The folder's versions; None where it has no record of them: a new folder, or an older one.

    Raises:
        Permanent: The record is damaged.
    """
    path = _path(catalogue)
    try:
        value = dag_json.loads(read_regular(path, _FILE_BYTES))
        validation.record(value, "versions", ("version", "known", "announced", "pending"))
        validation.integer(value["version"], "version", 1, 1)
        announced = value["announced"]
        return Versions(
            validation.array(value["known"], "known", _MAX_VERSIONS, validation.bytes32),
            None if announced is None else validation.bytes32(announced, "announced"),
            validation.boolean(value["pending"], "pending"),
        )
    except FileNotFoundError:
        return None
    except (Malformed, OSError) as error:
        why = error if isinstance(error, Malformed) else error.strerror
        raise Permanent(f"{path} is damaged ({why}); put it back from a backup") from None


def save_versions(catalogue: Catalogue, versions: Versions) -> None:
    """Writes the folder's record."""
    value: dict[str, Any] = {
        "version": 1,
        "known": ["0x" + digest.hex() for digest in versions.known],
        "announced": None if versions.announced is None else "0x" + versions.announced.hex(),
        "pending": versions.pending,
    }
    write_atomic(_path(catalogue), dag_json.dumps(value))


def stored_name(catalogue: Catalogue, digest: bytes) -> str:
    """The store's name in a document (32-byte digest), as far as the folder still has that one."""
    try:
        document = dag_json.decode(_block(catalogue, digest).read_bytes())
    except (FileNotFoundError, Malformed):
        return ""
    name = document.get("storeName") if isinstance(document, dict) else None
    return name if isinstance(name, str) else ""


def _block(catalogue: Catalogue, digest: bytes) -> Path:
    return catalogue.folder / "blocks" / str(Cid("dag-json", digest))


def check_catalogue(shop: Shop) -> None:
    """Refuses a folder of another store, or one that was made with another seed.

    Raises:
        Permanent: It is; the message says what to put back.
    """
    place = (shop.deployment.chain_id, shop.deployment.market, shop.seller)
    for listing in shop.catalogue.all():
        found = (listing.chain_id, listing.market, listing.seller)
        if found != place:
            raise Permanent(
                f"{shop.catalogue.folder} is the catalogue folder of seller {listing.seller} on "
                f"chain {listing.chain_id}, market {listing.market}; this is seller {shop.seller} "
                f"on chain {place[0]}, market {place[1]}: name the account that it belongs to "
                "(--account), or put the right folder there"
            )
    _check_seed(shop)


def _check_seed(shop: Shop) -> None:
    """Each past listing was published under the root that names its file: the shortest will do."""
    paths = (shop.catalogue.folder / "past").glob("*.json")
    shortest = min(paths, key=lambda path: path.stat().st_size, default=None)
    if shortest is None:
        return
    try:
        root = bytes.fromhex(shortest.stem)
    except ValueError:
        return
    listing = shop.catalogue.recall(root)
    if listing is not None and parts_tree(shop.seed, listing).root != root:
        raise Permanent(
            f"the goods in {shop.catalogue.folder} were encrypted with another seed than the "
            "seller's key file holds, so no buyer could open them: put that seed back (`dam keys "
            "restore seller FILE`)"
        )


@dataclass(frozen=True, slots=True)
class Base:
    """What a new version starts from."""

    current: tuple[bytes, bytes]
    """Digest and commitment that the chain names now; zeros where there is no store."""
    versions: Versions
    """Of the folder, and of the chain."""
    lost: str = ""
    """What is wrong with the folder, where the seller starts over from it all the same."""


def find_base(
    shop: Shop, history: SaleHistory, current: tuple[bytes, bytes], *, start_over: bool = False
) -> Base:
    """What a new version starts from: the version in force, if the folder has it.

    Args:
        shop: The seller's.
        history: With all versions of the store.
        current: Digest and commitment that the chain names.
        start_over: Start from the folder as it stands.

    Raises:
        Permanent: The folder is of another store or seed; or it lacks a version, and the seller
            does not start over. The message says what to put back.
    """
    check_catalogue(shop)
    on_chain = history.stores.get(shop.seller, [])
    lost, remedy = _compare(shop, on_chain)
    if lost and not start_over:
        raise Permanent(f"{lost}: {remedy}")
    versions = (read_versions(shop.catalogue) if not lost else None) or Versions()
    return Base(current, versions.with_known([version.digest for version in on_chain]), lost)


def _compare(shop: Shop, on_chain: Sequence[StoreVersion]) -> tuple[str, str]:
    """What keeps a new version from being made from this folder, and what to do; else nothing.

    Args:
        shop: The seller's.
        on_chain: All versions of the seller's store, the newest last.
    """
    folder, versions = shop.catalogue.folder, read_versions(shop.catalogue)
    digests = {version.digest for version in on_chain}
    if versions is not None and versions.announced and versions.announced not in digests:
        cid = Cid("dag-json", versions.announced)
        return f"{folder} published document {cid} last, and this chain does not have it", _WAIT
    if not on_chain:
        return "", ""
    newest = on_chain[-1]
    named = f"document {Cid('dag-json', newest.digest)} of block {newest.at.block.number}"
    if versions is None and not any(shop.catalogue.all()):
        lost = (
            f"{shop.seller} has a store already ({named}), and the catalogue folder {folder} is "
            "empty. It says which code is which copy: without it, codes that are sold would be "
            "sold again"
        )
        return lost, _PUT_BACK
    if versions is None:
        kept = _block(shop.catalogue, newest.digest).exists()
    else:
        kept = digests <= set(versions.known)
    if kept:
        return "", ""
    older = f"the catalogue folder {folder} is older than the store, which has {named}"
    return f"{older}. Codes that it does not know would be sold again", _PUT_BACK
