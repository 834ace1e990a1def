"""Receipts as no node should write them: read, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.ethereum.node_errors import RpcBadReplyError
from dam.market.wallet import Receipt
from dam.sending.transactions import read_receipt

TX = bytes(range(0xE0, 0x100))
WELL: dict[str, Any] = {
    "transactionHash": "0x" + TX.hex(),
    "blockNumber": "0x10",
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x7",
    "logs": [],
}
odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=70),
    st.lists(st.none(), max_size=2), st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    st.sampled_from(["0x", "0X1", "0x01", "0x1\n", "0xG", WELL["transactionHash"]]),
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"transactionHash": "0x" + TX.hex().upper()},
        {"blockNumber": "0x0010", "type": "0x2", "contractAddress": None, "root": "0x"},
        {"logs": None},
    ],
)
def test_what_is_odd_and_clear_is_read(change: dict[str, Any]) -> None:
    assert read_receipt(TX, {**WELL, **change}) == Receipt(TX, 16, 1, 21_000, 7, ())


@pytest.mark.parametrize("lost", ["effectiveGasPrice", "logs"])
def test_what_can_be_missing(lost: str) -> None:
    found = read_receipt(TX, {name: value for name, value in WELL.items() if name != lost})
    assert found is not None
    assert found.status == 1


@pytest.mark.parametrize("lost", ["status", "gasUsed", "blockNumber", "transactionHash"])
def test_what_must_be_there(lost: str) -> None:
    with pytest.raises(RpcBadReplyError, match="receipt"):
        read_receipt(TX, {name: value for name, value in WELL.items() if name != lost})


@given(st.sampled_from(list(WELL)), odd)
def test_no_field_makes_another_error(name: str, value: Any) -> None:
    try:
        found = read_receipt(TX, {**WELL, name: value})
    except RpcBadReplyError:
        pass  # by name
    else:
        assert found is None or found.tx_hash == TX
