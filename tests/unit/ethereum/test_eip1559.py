"""Transactions packed by hand, against eth_account's own."""

from __future__ import annotations

import random
from typing import Any

import pytest
from coincurve import PrivateKey
from eth_account import Account

from dam.crypto.hashing import keccak
from dam.errors import Malformed
from dam.ethereum.eip1559 import calldata_of, sign_transaction

KEY = keccak(b"a key")


def transactions() -> list[dict[str, Any]]:
    """Every field at its edges, and calldata of every kind of RLP length."""
    dice = random.Random(7)
    sizes = (0, 1, 2, 54, 55, 56, 57, 255, 256, 257, 65_535, 65_536, 70_001)
    found = [
        {
            "type": 2,
            "chainId": dice.choice([1, 31337, 2**40]),
            "nonce": number,
            "to": Account.from_key(keccak(bytes([size % 256]))).address,
            "data": bytes(dice.randrange(256) for _ in range(size)),
            "value": number * 10**9,
            "gas": 21_000 + number,
            "maxFeePerGas": 3 * number + 2,
            "maxPriorityFeePerGas": number,
        }
        for size in sizes
        for number in (0, 1, 127, 128, 255, 256, 2**64 - 1)
    ]
    # One byte below 128 is its own RLP.
    found += [{**found[0], "data": bytes([byte])} for byte in (0, 1, 127, 128, 255)]
    return found


def test_the_bytes_are_those_of_eth_account() -> None:
    key, account = PrivateKey(KEY), Account.from_key(KEY)
    for transaction in transactions():
        theirs = bytes(account.sign_transaction(dict(transaction)).raw_transaction)
        assert sign_transaction(key, transaction) == theirs
        assert calldata_of(theirs) == transaction["data"]


def test_the_bytes_of_a_chain_without_a_base_fee_are_those_of_eth_account() -> None:
    key, account = PrivateKey(KEY), Account.from_key(KEY)
    for transaction in transactions():
        legacy = {name: value for name, value in transaction.items() if "Fee" not in name}
        legacy["gasPrice"] = transaction["maxFeePerGas"]
        del legacy["type"]  # as eth_account wants it
        theirs = bytes(account.sign_transaction(legacy).raw_transaction)
        assert sign_transaction(key, {**legacy, "type": 0}) == theirs
        assert calldata_of(theirs) == transaction["data"]


def test_hex_is_as_good() -> None:
    key = PrivateKey(KEY)
    transaction = transactions()[-1]
    written = {k: hex(v) if isinstance(v, int) else v for k, v in transaction.items()}
    written["data"] = "0x" + transaction["data"].hex()
    assert sign_transaction(key, written) == sign_transaction(key, transaction)


@pytest.mark.parametrize(
    "change",
    [
        {"type": 1},
        {"type": 0},
        {"type": 0, "gasPrice": 1, "chainId": 0},
        {"accessList": [{"address": "0x" + "11" * 20, "storageKeys": []}]},
        {"to": "0x" + "11" * 19},
        {"to": ""},
        {"nonce": -1},
        {"nonce": None},
        {"gas": 2**256},
        {"value": True},
        {"maxFeePerGas": "x"},
    ],
)
def test_refuses_what_it_does_not_know(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        sign_transaction(PrivateKey(KEY), {**transactions()[0], **change})


def test_calldata_of_what_is_cut_off_is_refused() -> None:
    raw = sign_transaction(PrivateKey(KEY), transactions()[-1] | {"data": b"calldata" * 9})
    for size in range(len(raw) - 120):
        with pytest.raises(Malformed):
            calldata_of(raw[:size])
    with pytest.raises(Malformed):
        calldata_of(b"\x01" + raw[1:])
