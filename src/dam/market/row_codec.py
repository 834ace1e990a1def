"""The ledger's own text form of records: compact JSON arrays in field order, bytes as hex.

It is private to one ledger file and versioned with its schema, so nothing outside reads it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from dam.types import Address, CopyId, Delivery, Sale, Terms, Wei


def _dump(values: list[Any]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _terms_values(terms: Terms) -> list[Any]:
    return [
        terms.item_id.hex(),
        terms.token,
        terms.price,
        terms.commission,
        terms.penalty,
        terms.bond,
        terms.supply,
        terms.stock,
        terms.parts,
        terms.threshold,
        terms.arbitrator,
        terms.parts_root.hex(),
    ]


def dump_terms(terms: Terms) -> str:
    """`Terms` as text."""
    return _dump(_terms_values(terms))


@lru_cache(maxsize=64)  # the same for every sale of an item
def load_terms(text: str) -> Terms:
    """Undoes `dump_terms`."""
    v = json.loads(text)
    return Terms(
        item_id=bytes.fromhex(v[0]),
        token=Address(v[1]),
        price=v[2],
        commission=Wei(v[3]),
        penalty=Wei(v[4]),
        bond=Wei(v[5]),
        supply=v[6],
        stock=v[7],
        parts=v[8],
        threshold=v[9],
        arbitrator=Address(v[10]),
        parts_root=bytes.fromhex(v[11]),
    )


def dump_keys(keys: tuple[bytes, ...]) -> bytes:
    """The buyer's keys, 32 bytes each, one after another."""
    return b"".join(keys)


def load_keys(data: bytes) -> tuple[bytes, ...]:
    """Undoes `dump_keys`."""
    return tuple([data[i : i + 32] for i in range(0, len(data), 32)])


def dump_proof(proof: tuple[bytes, ...]) -> bytes:
    """A Merkle proof, 32 bytes a step."""
    return b"".join(proof)


load_proof = load_keys


def dump_delivery(delivery: Delivery) -> str:
    """`Delivery` as text; it holds the sealed fragment, never the share."""
    sale = delivery.sale
    return _dump(
        [
            delivery.copy_id.hex(),
            [
                sale.seller,
                sale.buyer,
                sale.purchase_block,
                sale.copy,
                sale.stock,
                sale.parts,
                sale.threshold,
                sale.fee,
                sale.parts_root.hex(),
                sale.escrow_hash.hex(),
            ],
            delivery.index,
            delivery.deliverer,
            delivery.commitment.hex(),
            delivery.secret_hash.hex(),
            delivery.salt.hex(),
            dump_proof(delivery.proof).hex(),
            delivery.fragment.hex(),
        ]
    )


def load_delivery(text: str) -> Delivery:
    """Undoes `dump_delivery`."""
    v = json.loads(text)
    s = v[1]
    return Delivery(
        copy_id=CopyId(bytes.fromhex(v[0])),
        sale=Sale(
            seller=Address(s[0]),
            buyer=Address(s[1]),
            purchase_block=s[2],
            copy=s[3],
            stock=s[4],
            parts=s[5],
            threshold=s[6],
            fee=Wei(s[7]),
            parts_root=bytes.fromhex(s[8]),
            escrow_hash=bytes.fromhex(s[9]),
        ),
        index=v[2],
        deliverer=Address(v[3]),
        commitment=bytes.fromhex(v[4]),
        secret_hash=bytes.fromhex(v[5]),
        salt=bytes.fromhex(v[6]),
        proof=load_proof(bytes.fromhex(v[7])),
        fragment=bytes.fromhex(v[8]),
    )
