"""The buyer's records: one file per attempt to buy, written before the money moves.

No secret is in them: with the buyer's seed, the attempt's number gives the one-time keys and the
fresh key again. A record also keeps what the store said at the time (root, encrypted payload, and
the Merkle proofs of the copy's parts), so that the good can be opened, and junk be proved, when the
store's documents are gone. A lost folder is rebuilt from the seed, the chain and the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dam import validation
from dam.atomic_file import read_regular, write_atomic
from dam.catalog.payload import Payload, payload_from_json, payload_to_json
from dam.catalog.store import Item
from dam.crypto.derivation import BuyerSeed
from dam.crypto.sealing import public_key
from dam.errors import Malformed, Permanent
from dam.ipfs import dag_json
from dam.types import MAX_PARTS, Address, CopyId, Deployment, Purchase

_KEYS = (
    "version",
    "chainId",
    "market",
    "copyId",
    "attempt",
    "seller",
    "buyer",
    "item",
    "title",
    "storeDigest",
    "root",
    "keys",
    "payload",
    "partProofs",
    "made",
    "tx",
    "block",
    "failed",
)
_FILE_BYTES = 64 << 20
_MAX_PROOF_STEPS = 64
MAX_ATTEMPTS = 16
"""How many attempts at one copy a rescan tries; each is another copyId's in practice."""


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt to buy one copy."""

    chain_id: int
    market: Address
    copy_id: CopyId
    attempt: int
    seller: Address
    buyer: Address
    item: str
    """The item's id, as the store has it."""
    title: str
    store_digest: bytes
    root: bytes
    """Catalogue root at the time."""
    keys: tuple[bytes, ...]
    """Public one-time keys, by index."""
    payload: Payload | None
    """Ciphertext of the good; None where a rescan could not read the store."""
    part_proofs: tuple[tuple[bytes, ...], ...]
    """Merkle proofs of the copy's leaves, by index; empty where the store could not be read."""
    made: str
    """UTC, ISO 8601."""
    tx: bytes | None = None
    """Hash of its transaction, from its signing on, before any node sees it."""
    block: int | None = None
    """That the purchase is in, once we know that it is mined."""
    failed: bool = False
    """The market or the node refused it: nothing was paid, nor will be."""

    def is_of(self, purchase: Purchase) -> bool:
        """Whether this attempt became that purchase."""
        return self.copy_id == purchase.copy_id and self.keys == purchase.keys


def one_time_keys(
    seed: BuyerSeed, deployment: Deployment, copy_id: CopyId, attempt: int, parts: int
) -> tuple[bytes, ...]:
    """The public keys of an attempt, by index."""
    return tuple(
        public_key(seed.part_secret(deployment.chain_id, deployment.market, copy_id, attempt, i))
        for i in range(parts)
    )


def find_attempt(seed: BuyerSeed, deployment: Deployment, purchase: Purchase) -> int | None:
    """Which attempt of this seed a purchase is; None: it is not ours."""
    for attempt in range(MAX_ATTEMPTS):
        [first] = one_time_keys(seed, deployment, purchase.copy_id, attempt, 1)
        if purchase.keys and purchase.keys[0] == first:
            keys = one_time_keys(seed, deployment, purchase.copy_id, attempt, len(purchase.keys))
            return attempt if keys == purchase.keys else None
    return None


def part_proofs(item: Item, copy: int) -> tuple[tuple[bytes, ...], ...]:
    """Merkle proofs of a copy's part leaves, by index: what a proof of junk opens a leaf with."""
    section, parts = item.section(copy), item.terms.parts
    first = (item.leaf_copy(copy) - section.first_copy) * parts
    leaves = section.part_leaves[first : first + parts]
    return tuple(item.proof(leaf, section) for leaf in leaves)


def to_json(record: Record) -> bytes:
    """The bytes of a record's file."""
    return dag_json.dumps(
        {
            "version": 2,
            "chainId": record.chain_id,
            "market": record.market,
            "copyId": "0x" + record.copy_id.hex(),
            "attempt": record.attempt,
            "seller": record.seller,
            "buyer": record.buyer,
            "item": record.item,
            "title": record.title,
            "storeDigest": "0x" + record.store_digest.hex(),
            "root": "0x" + record.root.hex(),
            "keys": ["0x" + key.hex() for key in record.keys],
            "payload": None if record.payload is None else payload_to_json(record.payload),
            "partProofs": [["0x" + step.hex() for step in one] for one in record.part_proofs],
            "made": record.made,
            "tx": None if record.tx is None else "0x" + record.tx.hex(),
            "block": record.block,
            "failed": record.failed,
        }
    )


def from_json(data: bytes) -> Record:
    """Reads a record's file.

    Raises:
        Malformed: It is none.
    """
    v: dict[str, Any] = validation.record(dag_json.loads(data), "record", _KEYS)
    validation.integer(v["version"], "version", 2, 2)
    block = v["block"]
    return Record(
        chain_id=validation.integer(v["chainId"], "chainId", 1, dag_json.MAX_INTEGER),
        market=validation.address(v["market"], "market"),
        copy_id=CopyId(validation.bytes32(v["copyId"], "copyId")),
        attempt=validation.integer(v["attempt"], "attempt", 0, 2**32 - 1),
        seller=validation.address(v["seller"], "seller"),
        buyer=validation.address(v["buyer"], "buyer"),
        item=validation.identifier(v["item"], "item"),
        title=validation.title(v["title"], "title"),
        store_digest=validation.bytes32(v["storeDigest"], "storeDigest"),
        root=validation.bytes32(v["root"], "root"),
        keys=validation.array(v["keys"], "keys", MAX_PARTS, validation.bytes32),
        payload=None if v["payload"] is None else payload_from_json(v["payload"]),
        part_proofs=validation.array(v["partProofs"], "partProofs", MAX_PARTS, _part_proof),
        made=validation.title(v["made"], "made"),
        tx=None if v["tx"] is None else validation.bytes32(v["tx"], "tx"),
        block=None
        if block is None
        else validation.integer(block, "block", 0, dag_json.MAX_INTEGER),
        failed=validation.boolean(v["failed"], "failed"),
    )


def _part_proof(value: object, where: str) -> tuple[bytes, ...]:
    return validation.array(value, where, _MAX_PROOF_STEPS, validation.bytes32)


class Records:
    """The folder of records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Record]:
        """Every record, the oldest first.

        Raises:
            Permanent: One is damaged; the message names it.
        """
        found = []
        for path in self.folder.glob("0x*.json"):
            try:
                found.append(from_json(read_regular(path, _FILE_BYTES)))
            except (Malformed, OSError) as error:
                why = error if isinstance(error, Malformed) else error.strerror
                raise Permanent(
                    f"{path} is damaged ({why}): move it away, then run "
                    "`dam buyer purchases --rescan`"
                ) from None
        return sorted(found, key=lambda record: (record.made, record.attempt))

    def of_item(self, seller: Address, item: str) -> list[Record]:
        """Every attempt to buy an item of a seller's, the oldest first; raises as `all` does."""
        return [r for r in self.all() if (r.seller, r.item) == (seller, item)]

    def save(self, record: Record) -> None:
        """Writes a record, in place of its earlier state."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._path(record), to_json(record))

    def add(self, record: Record) -> None:
        """Writes a new record; no attempt's keys are ever used for another.

        Raises:
            Permanent: This attempt is there already.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            write_atomic(self._path(record), to_json(record), overwrite=False)
        except FileExistsError:
            raise Permanent("another command is buying this copy just now; try again") from None

    def next_attempt(self, copy_id: CopyId) -> int:
        """Number of the next attempt at a copy."""
        used = [record.attempt for record in self.all() if record.copy_id == copy_id]
        return max(used, default=-1) + 1

    def _path(self, record: Record) -> Path:
        return self.folder / f"0x{record.copy_id.hex()}-{record.attempt}.json"


def record_of(records: Iterable[Record], purchase: Purchase) -> Record | None:
    """The record that became a purchase."""
    return next((record for record in records if record.is_of(purchase)), None)


def unpaid(records: Sequence[Record], purchases: Iterable[Purchase]) -> list[Record]:
    """Attempts that are not on the chain and were not refused either.

    Their transaction may still be on its way, or the branch that held it was replaced.
    """
    paid = {(purchase.copy_id, purchase.keys) for purchase in purchases}
    return [r for r in records if not r.failed and (r.copy_id, r.keys) not in paid]


def utc_now() -> str:
    """UTC, ISO 8601, seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
