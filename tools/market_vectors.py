"""Golden vectors of what the market's contract hashes and what is signed for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vector_inputs import (
    ARBITRATOR,
    BUYER,
    CHAIN_ID,
    MARKET,
    SELLER,
    TOKEN,
    a_key,
    an_address,
    fixed,
)

from dam.crypto import hashing, possession
from dam.market.calldata import entry_of
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    BlockRef,
    Delivery,
    Escrow,
    LogRef,
    PartLeaf,
    Purchase,
    Sale,
    Split,
    Terms,
    Wei,
)


def some_terms() -> list[Terms]:
    small = Terms(
        item_id=hashing.item_id("coupon-2026"),
        token=ZERO_ADDRESS,
        price=10**16,
        commission=Wei(3 * 10**14 + 1),
        penalty=Wei(10**15),
        bond=Wei(0),
        supply=25,
        stock=False,
        parts=3,
        threshold=2,
        arbitrator=ZERO_ADDRESS,
        parts_root=fixed("parts root 1"),
    )
    full = Terms(
        item_id=hashing.item_id("licença nº 7 ✓"),
        token=TOKEN,
        price=2**128 - 1,
        commission=Wei(2**128 - 2),
        penalty=Wei(2**127),
        bond=Wei(12345),
        supply=2**64 - 1,
        stock=True,
        parts=32,
        threshold=32,
        arbitrator=ARBITRATOR,
        parts_root=fixed("parts root 2"),
        salt=fixed("salt of a sealed offer", 24) + (2**64 - 1).to_bytes(8, "big"),
    )
    return [small, full]


def some_part_leaves() -> list[PartLeaf]:
    return [
        PartLeaf(
            copy=copy,
            index=index,
            deliverer=an_address(f"deliverer {index}"),
            commitment=fixed(f"commitment {copy} {index}"),
            secret_hash=fixed(f"secret hash {copy}"),
            salt=fixed(f"salt {copy} {index}"),
        )
        for copy, index in ((0, 0), (0, 1), (0, 2), (7, 31), (2**64 - 1, 5))
    ]


def domains() -> list[dict[str, Any]]:
    rows = []
    for stock, copy in ((False, 0), (False, 9), (True, 0), (True, 9), (True, 2**64 - 1)):
        item_id = hashing.item_id("codes")
        rows.append(
            {
                "chain_id": CHAIN_ID,
                "market": MARKET,
                "seller": SELLER,
                "item_id": item_id,
                "stock": stock,
                "copy": copy,
                "domain": hashing.domain(CHAIN_ID, MARKET, SELLER, item_id, stock, copy),
            }
        )
    return rows


def catalogue_commitment() -> dict[str, Any]:
    digest, root = fixed("store digest"), fixed("catalogue root")
    commitment = hashing.catalogue_commitment(digest, root)
    return {"digest": digest, "root": root, "commitment": commitment}


def purchase() -> dict[str, Any]:
    """A purchase, and what the contract commits to in it."""
    terms = some_terms()[0]
    keys = tuple(a_key(f"buyer key {i}")[1] for i in range(terms.parts))
    bought = Purchase(
        copy_id=hashing.copy_id(SELLER, terms.item_id, 3),
        seller=SELLER,
        buyer=BUYER,
        store_digest=fixed("store digest"),
        copy=3,
        purchase_block=1234,
        purchase_time=1_800_000_000,
        terms=terms,
        keys=keys,
        at=LogRef(BlockRef(77, fixed("block")), fixed("transaction"), 0),
    )
    escrow, sale = hashing.escrow_of(bought), hashing.sale_of(bought)
    return {
        "seller": SELLER,
        "buyer": BUYER,
        "store_digest": bought.store_digest,
        "copy": 3,
        "terms": asdict(terms),
        "keys": keys,
        "purchase_block": 1234,
        "purchase_time": 1_800_000_000,
        "copy_id": bought.copy_id,
        "keys_hash": escrow.keys_hash,
        "escrow": asdict(escrow),
        "escrow_hash": hashing.escrow_hash(escrow),
        "sale": asdict(sale),
        "sale_hash": hashing.sale_hash(sale),
        "commitment": hashing.sale_hash(sale)[:24],
    }


def escrow_and_sale() -> dict[str, Any]:
    escrow = Escrow(
        fixed("digest"), fixed("keys"), TOKEN, 2**128 - 1, Wei(7), Wei(2**128 - 1), ARBITRATOR
    )
    sale = Sale(
        seller=SELLER,
        buyer=BUYER,
        purchase_block=2**64 - 1,
        purchase_time=2**64 - 2,
        copy=2**64 - 1,
        stock=True,
        parts=32,
        threshold=1,
        fee=Wei(2**128 - 1),
        parts_root=fixed("root"),
        escrow_hash=hashing.escrow_hash(escrow),
    )
    return {
        "escrow": asdict(escrow),
        "escrow_hash": hashing.escrow_hash(escrow),
        "sale": asdict(sale),
        "sale_hash": hashing.sale_hash(sale),
    }


def a_sale(stock: bool) -> Sale:
    return Sale(
        seller=SELLER,
        buyer=BUYER,
        purchase_block=1234,
        purchase_time=1_800_000_000,
        copy=7,
        stock=stock,
        parts=3,
        threshold=2,
        fee=Wei(10**14),
        parts_root=fixed("parts root"),
        escrow_hash=fixed("escrow hash"),
    )


def entry(index: int, stock: bool, fresh_key: bytes) -> dict[str, Any]:
    """One entry of a signed list, and what it is made of."""
    sale = a_sale(stock)
    delivery = Delivery(
        copy_id=hashing.copy_id(SELLER, hashing.item_id("codes"), 7),
        sale=sale,
        index=index,
        deliverer=an_address(f"deliverer {index}"),
        commitment=fixed(f"commitment {index}"),
        secret_hash=fixed("secret hash"),
        salt=fixed(f"salt {index}"),
        fresh_key=fresh_key,
        proof=(fixed("step 1"), fixed("step 2")),
        fragment=fixed(f"fragment {index}", 80),
    )
    part = (delivery.deliverer, delivery.commitment, delivery.secret_hash, delivery.salt)
    leaf = PartLeaf(7 if stock else 0, index, *part)
    return {
        "copy_id": delivery.copy_id,
        "sale": asdict(sale),
        "sale_hash": hashing.sale_hash(sale),
        "part": asdict(leaf),
        "leaf": hashing.part_leaf(leaf),
        "fresh_key": fresh_key,
        "fragment": delivery.fragment,
        "entry": entry_of(delivery),
    }


def entries() -> list[dict[str, Any]]:
    fresh = a_key("fresh key")[1]
    return [entry(0, True, ZERO32), entry(1, False, ZERO32), entry(2, True, fresh)]


def fragments_digest(count: int) -> dict[str, Any]:
    separator = hashing.domain_separator(CHAIN_ID, MARKET)
    listed = [fixed(f"entry {number}") for number in range(count)]
    return {
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "domain_separator": separator,
        "entries": listed,
        "digest": hashing.fragments_digest(separator, listed),
    }


def agreement_digest(status: int, split: Split) -> dict[str, Any]:
    separator = hashing.domain_separator(CHAIN_ID, MARKET)
    sale, since = a_sale(stock=True), 3600 * status
    copy_id = hashing.copy_id(SELLER, hashing.item_id("codes"), 7)
    digest = hashing.agreement_digest(
        separator, copy_id, hashing.sale_hash(sale), status, since, split
    )
    return {
        "chain_id": CHAIN_ID,
        "market": MARKET,
        "domain_separator": separator,
        "copy_id": copy_id,
        "sale_hash": hashing.sale_hash(sale),
        "status": status,
        "since": since,
        "split": asdict(split),
        "digest": digest,
    }


def agreements() -> list[dict[str, Any]]:
    return [
        agreement_digest(1, Split(10**16, 0, 0, 1_800_086_400)),
        agreement_digest(3, Split(2**128 - 1, 2**128 - 2, 2**129 - 2, 2**256 - 1)),
    ]


def a_possession(chain_id: int) -> dict[str, Any]:
    """A deliverer's key, as it is announced, and the key that parts are sealed to."""
    seed, operator = fixed("deliverer's seed"), an_address("deliverer 0")
    return {
        "seed": seed,
        "chain_id": chain_id,
        "market": MARKET,
        "operator": operator,
        "message": possession.possession_message(chain_id, MARKET, operator),
        "key": possession.announced_key(seed),
        "possession": possession.prove_possession(seed, chain_id, MARKET, operator),
        "sealing_secret": possession.sealing_secret(seed),
        "sealing_key": possession.sealing_key(
            possession.announced_key(seed),
            possession.prove_possession(seed, chain_id, MARKET, operator),
            chain_id,
            MARKET,
            operator,
        ),
    }
