"""The table of structs is the compiler's, and its words are eth_abi's."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from eth_abi.abi import encode as reference
from hypothesis import given
from hypothesis import strategies as st

from dam.crypto.abi_words import (
    abi_fields,
    abi_type,
    address_word,
    encode_struct,
    uint_word,
    word_encoder,
)
from dam.ethereum.erc2612 import Permit
from dam.types import Delivery, Escrow, PartLeaf, Sale, Terms
from tests.unit.helpers.structs import escrows, leaves, plain, sales, terms


def compiled(name: str, place: Any) -> list[dict[str, Any]]:
    """The fields of the input of this name of some function."""
    if isinstance(place, list):
        return next(filter(None, (compiled(name, one) for one in place)), [])
    if place.get("name") == name and "components" in place:
        found: list[dict[str, Any]] = place["components"]
        return found
    return compiled(name, place.get("inputs", []) + place.get("components", []))


@pytest.mark.parametrize(
    ("struct", "argument"),
    [
        (Terms, "terms"),
        (Sale, "sale"),
        (Escrow, "escrow"),
        (Delivery, "delivery"),
        (Permit, "permit"),
    ],
)
def test_the_table_is_the_compiler_s(struct: type, argument: str) -> None:
    abi = json.loads(files("dam").joinpath("abi", "Marketplace.json").read_bytes())
    declared = compiled(argument, abi)
    camel = [re.sub("_(.)", lambda m: m[1].upper(), name) for name in abi_fields(struct)]
    assert [one["name"] for one in declared] == camel
    assert [one["type"] for one in declared] == [
        "tuple" if kind.startswith("(") else kind for kind in abi_fields(struct).values()
    ]


@given(st.one_of(terms, sales, escrows, leaves))
def test_words_of_a_struct(record: object) -> None:
    assert encode_struct(record) == reference([abi_type(type(record))], [plain(record)])


@given(leaves, st.sampled_from(list(abi_fields(PartLeaf))), st.sampled_from([-1, 2**64, b"", "0x"]))
def test_a_field_that_does_not_fit(leaf: PartLeaf, name: str, value: object) -> None:
    values = {field: getattr(leaf, field) for field in abi_fields(PartLeaf)}
    with pytest.raises((ValueError, TypeError)):
        encode_struct(PartLeaf(**values | {name: value}))


def test_single_words() -> None:
    assert uint_word(2**256 - 1) == b"\xff" * 32
    for value in (-1, 2**256):
        with pytest.raises(OverflowError):
            uint_word(value)
    for wrong in (-1, 2**256, True, "1"):
        with pytest.raises(ValueError, match="not a uint256"):
            word_encoder("uint256")(wrong)
    with pytest.raises(ValueError, match="not an address"):
        address_word("0x12")  # type: ignore[arg-type]
