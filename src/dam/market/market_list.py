"""Lists of markets: deployment records under names, signed by an account that vouches for them.

A JSON file of one signature (EIP-712, decision 35); its format is in
docs/reference/market-list.md, made from ``schema/market-list.schema.json``. The signature says who
named these markets. What each one is, the chain says: see `dam.market.verification`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dam import validation
from dam.crypto.abi_words import uint_word
from dam.crypto.hashing import keccak, typed_digest
from dam.errors import ConfigError, Malformed
from dam.ethereum.compact_signature import long_form, recover_long
from dam.ipfs import dag_json
from dam.market.deployment import Record, parse_record, record_json
from dam.types import Address, Signature
from dam.units import format_time

MAX_LIST_BYTES = 1 << 20
MAX_MARKETS = 64
MAX_SERIAL = dag_json.MAX_INTEGER
_KIND = "DAM market list 1"
_MAX_DEPTH = 5  # the list, its markets, a record, its timelock, the proposers
_MAX_FAULT_CHARACTERS = 400
_FUTURE_SECONDS = 86_400
"""So far may the signer's clock be before ours."""
_FIELDS = ("kind", "name", "serial", "issued", "expires", "markets", "signer", "signature")
_SEPARATOR = keccak(
    keccak(b"EIP712Domain(string name,string version)") + keccak(b"DAM market list") + keccak(b"1")
)
_TYPE = keccak(
    b"MarketList(string name,uint64 serial,uint64 issued,uint64 expires,bytes32 markets)"
)


class DigestSigner(Protocol):
    """An account (`dam.keystore.ape_accounts.Signer`)."""

    @property
    def address(self) -> Address: ...

    def sign_digest(self, digest: bytes) -> Signature: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest list of a signer and name that was taken."""

    serial: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class MarketList:
    """A list, read and not yet trusted."""

    name: str
    serial: int
    """Each list of one name has a higher one than the list before."""
    issued: int
    """Seconds UTC, as `expires`."""
    expires: int
    markets: Mapping[str, Record]
    """Those whose records are in order."""
    signer: Address
    """Who is said to have signed it; true if there is no fault."""
    digest: bytes
    """What was signed."""
    faults: tuple[str, ...]
    """What is wrong whoever reads it, and whenever."""

    def faults_at(self, now: float, seen: Seen | None) -> list[str]:
        """What is wrong with it, for somebody who has taken the list `seen` before."""
        found = list(self.faults)
        if self.expires <= now:
            found.append(f"it held until {format_time(self.expires)}: get a newer one")
        if self.issued > now + _FUTURE_SECONDS:
            found.append(f"it is of {format_time(self.issued)}, a time to come: look at the clock")
        if seen is not None and self.serial < seen.serial:
            found.append(f"serial {self.serial} is older than {seen.serial}, taken before")
        if seen is not None and self.serial == seen.serial and self.digest != seen.digest:
            found.append(
                f"another list with serial {self.serial} was taken before: ask its signer which "
                "one holds"
            )
        return found


def sign_list(
    signer: DigestSigner,
    records: Mapping[str, Record],
    *,
    name: str,
    serial: int,
    issued: int,
    expires: int,
) -> str:
    """The text of a list, signed.

    Raises:
        Malformed: What is wrong with it, by which nobody would take it.
    """
    markets = {key: record_json(record) for key, record in records.items()}
    value = {
        "kind": _KIND,
        "name": name,
        "serial": serial,
        "issued": issued,
        "expires": expires,
        "markets": markets,
        "signer": signer.address,
    }
    signature = long_form(signer.sign_digest(_digest(value)))
    text = json.dumps({**value, "signature": "0x" + signature.hex()}, indent=2) + "\n"
    found = parse_list(text.encode())
    if faults := found.faults_at(issued, None):
        raise Malformed("; ".join(faults))
    return text


def parse_list(data: bytes) -> MarketList:
    """Reads a list. What is wrong with single markets, or the signature, is among its faults.

    Raises:
        Malformed: It is no list.
    """
    if len(data) > MAX_LIST_BYTES:
        raise Malformed(f"a list of markets has at most {MAX_LIST_BYTES} bytes")
    value = validation.record(dag_json.loads(data, max_depth=_MAX_DEPTH), "the list", _FIELDS)
    if value["kind"] != _KIND:
        raise Malformed(f'the list is no "{_KIND}"')
    signature = validation.hexadecimal(value["signature"], "the signature", 65)
    signer = validation.address(value["signer"], "the signer")
    issued = validation.integer(value["issued"], "issued", 0, MAX_SERIAL)
    name = validation.title(value["name"], "the name")
    serial = validation.integer(value["serial"], "the serial number", 1, MAX_SERIAL)
    expires = validation.integer(value["expires"], "expires", issued + 1, MAX_SERIAL)
    markets, faults = _read_markets(value["markets"])
    digest = _digest(value)
    if not _signed_by(signer, digest, signature):
        faults.insert(
            0, f"{signer} did not sign this: it was changed, or is another's. Do not trust it"
        )
    return MarketList(name, serial, issued, expires, markets, signer, digest, tuple(faults))


def _read_markets(value: Any) -> tuple[dict[str, Record], list[str]]:
    """The markets that are in order, and what is wrong with the others."""
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_MARKETS:
        raise Malformed(f"markets is not an object of 1 to {MAX_MARKETS} records by name")
    markets: dict[str, Record] = {}
    faults: list[str] = []
    names: dict[tuple[int, Address], str] = {}
    for name, record in value.items():
        if not validation.MARKET_NAME.fullmatch(name):
            faults.append(
                f"{ascii(name)[:40]} is no name of a market: up to 32 small letters, digits and "
                "hyphens"
            )
            continue
        try:
            found = parse_record(record if isinstance(record, dict) else {}, name)
        except ConfigError as error:
            faults.append(str(error)[:_MAX_FAULT_CHARACTERS])
            continue
        at = found.deployment
        first = names.setdefault((at.chain_id, at.market), name)
        if first != name:
            faults.append(f"market {name} is {first} once more")
        markets[name] = found
    return markets, faults


def _digest(value: Mapping[str, Any]) -> bytes:
    """What is signed. The records count as they stand there, in the canonical form of DAG-JSON."""
    return typed_digest(
        _SEPARATOR,
        _TYPE
        + keccak(value["name"].encode())
        + uint_word(value["serial"])
        + uint_word(value["issued"])
        + uint_word(value["expires"])
        + keccak(dag_json.dumps(value["markets"])),
    )


def _signed_by(signer: Address, digest: bytes, signature: bytes) -> bool:
    try:
        return recover_long(digest, signature) == signer
    except Malformed:
        return False
