"""Deployment records, and lists of them that somebody signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coincurve import PrivateKey

from dam.crypto.hashing import checksum, keccak
from dam.ethereum.compact_signature import sign_digest
from dam.market.deployment import UNKNOWN_ORIGIN, Record, Timelock
from dam.market.market_list import sign_list
from dam.types import Address, Deployment, Signature, Wei, Windows

NOW = 1_800_000_000
DAY = 86_400


class Signer:
    """An account with a key that everybody knows."""

    def __init__(self, number: int = 1) -> None:
        self.key = PrivateKey.from_int(number)
        self.address: Address = checksum(
            keccak(self.key.public_key.format(compressed=False)[1:])[12:]
        )

    def sign_digest(self, digest: bytes) -> Signature:
        return sign_digest(self.key, digest)


def record_of(chain_id: int, number: int = 1) -> Record:
    """A record with nothing behind it."""
    at = [checksum(bytes([number + i]) * 20) for i in range(4)]
    windows = Windows(86400, 259200, 604800, 2246400, 3600, 7200, Wei(10**16), Wei(0), Wei(5))
    deployment = Deployment(chain_id, at[0], 7, bytes(range(32)), at[1], at[2], windows, at[3])
    return Record(deployment, replace(UNKNOWN_ORIGIN, timelock=Timelock(5, (at[1], at[2]))))


def signed(records: dict[str, Record], signer: Signer | None = None, **changed: Any) -> str:
    """The text of a list that holds for a year."""
    said = {"name": "Ada's", "serial": 3, "issued": NOW, "expires": NOW + 365 * DAY} | changed
    return sign_list(signer or Signer(), records, **said)
