"""Hashes against an independent ABI encoder and published values."""

import re
import subprocess
import sys
from dataclasses import astuple, fields

import pytest
from eth_abi import encode
from eth_account.messages import encode_typed_data
from eth_utils import keccak as other_keccak
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from dam.crypto import hashing
from dam.errors import Malformed
from dam.types import (
    ZERO_ADDRESS,
    BlockRef,
    Escrow,
    LogRef,
    PartLeaf,
    Purchase,
    Sale,
    Split,
    Terms,
)

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(hashing.checksum)
u128, u64, u8 = (st.integers(0, 2**bits - 1) for bits in (128, 64, 8))
TERMS_TYPES = ["bytes32", "address", *["uint128"] * 4, "uint64", "bool", "uint8", "uint8"]
TERMS_TYPES += ["address", "bytes32", "bytes32"]
SALE_TYPES = [
    "address",
    "address",
    "uint64",
    "uint64",
    "uint64",
    "bool",
    "uint8",
    "uint8",
    "uint128",
]
SALE_TYPES += ["bytes32", "bytes32"]
ESCROW_TYPES = ["bytes32", "bytes32", "address", "uint128", "uint128", "uint128", "address"]
LEAF_TYPES = ["uint64", "uint8", "address", "bytes32", "bytes32", "bytes32"]
by_type = {
    "bytes32": words,
    "address": addresses,
    "uint128": u128,
    "uint64": u64,
    "uint8": u8,
    "bool": st.booleans(),
}


def records(kind: type, types: list[str]) -> st.SearchStrategy:
    return st.tuples(*(by_type[t] for t in types)).map(lambda values: kind(*values))


def test_keccak_of_nothing() -> None:
    # The well-known hash of empty input (that of SHA3-256 is another).
    expected = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert hashing.keccak(b"").hex() == expected


def test_structs_have_the_fields_of_the_interface(pytestconfig: pytest.Config) -> None:
    """Types and order above are those of the contract's interface."""
    source = (pytestconfig.rootpath / "contracts/interfaces/IMarketplace.sol").read_text()
    for kind, types in ((Terms, TERMS_TYPES), (Sale, SALE_TYPES), (Escrow, ESCROW_TYPES)):
        body = re.search(rf"struct {kind.__name__} \{{(.*?)\n\}}", source, re.DOTALL)
        assert body
        declared = re.findall(r"^ +(\w+) (\w+);", body[1], re.MULTILINE)
        assert [t for t, _ in declared] == types
        camel = [re.sub("_(.)", lambda m: m[1].upper(), f.name) for f in fields(kind)]
        assert [name for _, name in declared] == camel


@given(records(Terms, TERMS_TYPES))
def test_terms_leaf(terms: Terms) -> None:
    expected = other_keccak(other_keccak(encode(TERMS_TYPES, astuple(terms))))
    assert hashing.terms_leaf(terms) == expected


@given(records(PartLeaf, LEAF_TYPES))
def test_part_leaf(leaf: PartLeaf) -> None:
    expected = other_keccak(other_keccak(encode(LEAF_TYPES, astuple(leaf))))
    assert hashing.part_leaf(leaf) == expected


@given(records(Sale, SALE_TYPES))
def test_sale_hash(sale: Sale) -> None:
    assert hashing.sale_hash(sale) == other_keccak(encode(SALE_TYPES, astuple(sale)))


@given(records(Escrow, ESCROW_TYPES))
def test_escrow_hash(escrow: Escrow) -> None:
    assert hashing.escrow_hash(escrow) == other_keccak(encode(ESCROW_TYPES, astuple(escrow)))


@given(addresses, words, u64)
def test_copy_id(seller, item: bytes, copy: int) -> None:
    expected = other_keccak(encode(["address", "bytes32", "uint64"], [seller, item, copy]))
    assert hashing.copy_id(seller, item, copy) == expected


@given(st.integers(0, 2**256 - 1), addresses, addresses, words, st.booleans(), u64)
def test_domain(chain: int, market, seller, item: bytes, stock: bool, copy: int) -> None:
    types = ["uint256", "address", "address", "bytes32", "bool", "uint64"]
    values = [chain, market, seller, item, stock, copy if stock else 0]
    expected = other_keccak(encode(types, values))
    assert hashing.domain(chain, market, seller, item, stock, copy) == expected


def typed(primary: str, fields: list[tuple[str, str]], message: dict, chain: int, market) -> bytes:
    """An EIP-712 digest as eth_account computes it."""
    domain = [("name", "string"), ("version", "string"), ("chainId", "uint256")]
    domain.append(("verifyingContract", "address"))
    types = {"EIP712Domain": domain, primary: fields}
    full = {
        "types": {t: [{"name": n, "type": k} for n, k in fs] for t, fs in types.items()},
        "primaryType": primary,
        "domain": {"name": "DAM", "version": "2", "chainId": chain, "verifyingContract": market},
        "message": message,
    }
    signable = encode_typed_data(full_message=full)
    return other_keccak(b"\x19" + signable.version + signable.header + signable.body)


@given(st.integers(0, 2**256 - 1), addresses, st.lists(words, max_size=4))
def test_fragments_digest(chain: int, market, entries: list[bytes]) -> None:
    separator = hashing.domain_separator(chain, market)
    expected = typed("Fragments", [("entries", "bytes32[]")], {"entries": entries}, chain, market)
    assert hashing.fragments_digest(separator, entries) == expected


@given(st.integers(0, 2**256 - 1), addresses, words, words, u8, st.integers(0, 2**32 - 1), u128)
def test_agreement_digest(chain, market, copy, sale, status, since, amount) -> None:
    split = Split(amount, amount // 2, amount // 3, amount // 5)
    fields = [("copyId", "bytes32"), ("saleHash", "bytes32"), ("status", "uint8")]
    fields += [("since", "uint32"), ("toBuyer", "uint256"), ("penalty", "uint256")]
    fields += [("toArbitrator", "uint256"), ("deadline", "uint256")]
    values = (copy, sale, status, since, *astuple(split))
    message = dict(zip([name for name, _ in fields], values, strict=True))
    separator = hashing.domain_separator(chain, market)
    assert hashing.agreement_digest(separator, copy, sale, status, since, split) == typed(
        "Agreement", fields, message, chain, market
    )


@given(words, words, words, words, st.binary(min_size=80, max_size=80))
def test_entry(copy, sale, leaf, fresh_key, fragment) -> None:
    expected = encode(["bytes32"] * 5, [copy, sale, leaf, fresh_key, other_keccak(fragment)])
    assert hashing.entry(copy, sale, leaf, fresh_key, fragment) == other_keccak(expected)


@given(words, words)
def test_catalogue_commitment(digest: bytes, root: bytes) -> None:
    expected = other_keccak(encode(["bytes32", "bytes32"], [digest, root]))
    assert hashing.catalogue_commitment(digest, root) == expected


def test_every_part_of_a_domain_matters() -> None:
    a, b = (hashing.checksum(bytes([i]) * 20) for i in (1, 2))
    item = hashing.item_id("x")
    variants = [
        (1, a, b, item, True, 1),
        (2, a, b, item, True, 1),
        (1, b, b, item, True, 1),
        (1, a, a, item, True, 1),
        (1, a, b, hashing.item_id("y"), True, 1),
        (1, a, b, item, False, 1),
        (1, a, b, item, True, 2),
    ]
    assert len({hashing.domain(*v) for v in variants}) == len(variants)
    assert hashing.domain(1, a, b, item, False, 5) == hashing.domain(1, a, b, item, False, 0)


@given(records(Terms, TERMS_TYPES), st.lists(words, max_size=4), u64, u64, u64)
def test_a_purchase_names_its_sale_and_escrow(
    terms: Terms, keys: list[bytes], copy: int, block: int, time: int
) -> None:
    if terms.parts == 0:
        return
    a, b = (hashing.checksum(bytes([i]) * 20) for i in (1, 2))
    at = LogRef(BlockRef(7, bytes(32)), bytes(32), 0)
    purchase = Purchase(
        hashing.CopyId(bytes(32)), a, b, bytes(32), copy, block, time, terms, tuple(keys), at
    )
    escrow, sale = hashing.escrow_of(purchase), hashing.sale_of(purchase)
    assert (sale.copy, sale.purchase_block, sale.purchase_time) == (copy, block, time)
    assert sale.fee == terms.commission // terms.parts
    assert sale.escrow_hash == hashing.escrow_hash(escrow)
    assert escrow.keys_hash == other_keccak(b"".join(keys))
    assert escrow.bond == (0 if terms.arbitrator == ZERO_ADDRESS else terms.bond)


@given(st.binary(min_size=20, max_size=20))
def test_addresses(raw: bytes) -> None:
    address = hashing.checksum(raw)
    assert address == to_checksum_address(raw)
    assert hashing.address_bytes(address) == raw
    assert hashing.parse_address(address) == address
    assert hashing.parse_address(address.lower()) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "0x" + "1" * 39,
        "0x" + "1" * 41,
        "0X" + "1" * 40,
        "0x" + "g" * 40,
        "0x " + "1" * 39,
        "0x" + "\uff11" * 40,
        "0xD8dA6BF26964aF9D7eEd9e03E53415D37aA96045",
        "0x" + "AB" * 20,
        " 0x" + "1" * 40,
        "0x" + "1" * 40 + "\n",
    ],
)
def test_bad_addresses(text: str) -> None:
    with pytest.raises(Malformed):
        hashing.parse_address(text)


def test_bad_address_length() -> None:
    with pytest.raises(Malformed):
        hashing.checksum(bytes(19))


@given(st.binary(min_size=20, max_size=20), st.binary(max_size=300))
def test_addresses_and_hashes_of_any_bytes(address: bytes, data: bytes) -> None:
    assert hashing.checksum(address) == to_checksum_address(address)
    assert hashing.keccak(data) == other_keccak(data)


def test_keccak_without_the_extension() -> None:
    """Where it is not built, pycryptodome gives the same."""
    code = (
        "import sys; sys.modules['sha3'] = None\n"
        "from dam.crypto import hashing\n"
        "print(hashing.keccak(b'dam').hex(), hashing.checksum(b'd' * 20))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashing.keccak(b"dam").hex(), hashing.checksum(b"d" * 20)]
