"""EIP-1559 transactions by hand: packed, signed, and the calldata read back.

RLP (Ethereum Yellow Paper, appendix B) of the twelve fields of EIP-1559, without an access list;
of the nine of EIP-155 for chains without a base fee.
libsecp256k1 signs in 0.02 ms what eth_account does in 0.35; a test compares the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coincurve import PrivateKey

from dam.crypto.hashing import keccak
from dam.errors import Malformed

_TYPE = b"\x02"
_LIST, _STRING = 0xC0, 0x80
"""First bytes of RLP's two kinds of items, if they are empty."""
_CALLDATA_FIELD, _LEGACY_CALLDATA_FIELD = 7, 5
"""Place of the calldata among the fields."""
_CUT_OFF = "a transaction that is cut off"


def sign_transaction(key: PrivateKey, transaction: Mapping[str, Any]) -> bytes:
    """The raw signed bytes of a transaction, ready for ``eth_sendRawTransaction``.

    Args:
        key: The account's.
        transaction: Of type 2, or 0; names as in JSON-RPC; integers or 0x-hex, ``data`` may be
            bytes.

    Raises:
        ValueError: A field is missing or no such value, or it is a transaction of another kind.
    """
    kind = _integer(transaction, "type", 2)
    if kind not in (0, 2) or transaction.get("accessList"):
        raise ValueError("only transactions of type 2 without an access list are signed, or 0")
    data = transaction.get("data", b"")
    to = transaction.get("to", "")
    receiver = bytes.fromhex(to[2:])
    if len(receiver) != 20 or len(to) != 42:
        raise ValueError("the receiver is not an address")
    numbers: tuple[str, ...] = ("nonce", "gasPrice", "gas")
    if kind == 2:
        numbers = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")
    fields = b"".join(
        (
            *(rlp_number(_integer(transaction, name)) for name in numbers),
            rlp_string(receiver),
            rlp_number(_integer(transaction, "value", 0)),
            rlp_string(data if isinstance(data, bytes) else bytes.fromhex(data[2:])),
        )
    )
    if kind == 0:
        return _signed_legacy(key, fields, _integer(transaction, "chainId"))
    fields += bytes((_LIST,))  # the access list
    signature = key.sign_recoverable(keccak(_TYPE + rlp_list(fields)), hasher=None)
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    fields += rlp_number(signature[64]) + rlp_number(r) + rlp_number(s)
    return _TYPE + rlp_list(fields)


def _signed_legacy(key: PrivateKey, fields: bytes, chain_id: int) -> bytes:
    """The six fields signed for one chain (EIP-155)."""
    if not chain_id:
        raise ValueError("such a signature would hold on every chain")
    digest = keccak(rlp_list(fields + rlp_number(chain_id) + 2 * rlp_number(0)))
    signature = key.sign_recoverable(digest, hasher=None)
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    v = 2 * chain_id + 35 + signature[64]
    return rlp_list(fields + rlp_number(v) + rlp_number(r) + rlp_number(s))


def calldata_of(raw: bytes) -> bytes:
    """The calldata of signed bytes that `sign_transaction` made.

    Raises:
        Malformed: They are none.
    """
    legacy = raw[:1] >= bytes((_LIST,))
    if not legacy and raw[:1] != _TYPE:
        raise Malformed("no transaction of type 2, or 0")
    field = _LEGACY_CALLDATA_FIELD if legacy else _CALLDATA_FIELD
    at, end = _span(raw, 0 if legacy else 1, _LIST)
    for place in range(field + 1):
        if at >= end:
            break
        start, at = _span(raw, at, _STRING)
        if place == field:
            return raw[start:at]
    raise Malformed(_CUT_OFF)


def _span(raw: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where the content of the item at ``at`` begins and ends."""
    first = raw[at] if at < len(raw) else -1
    if kind == _STRING and 0 <= first < _STRING:
        return at, at + 1
    short = first - kind
    if not 0 <= short <= 63:
        raise Malformed(_CUT_OFF)
    start = at + 1 + max(0, short - 55)
    size = short if short <= 55 else int.from_bytes(raw[at + 1 : start], "big")
    if start + size > len(raw):
        raise Malformed(_CUT_OFF)
    return start, start + size


def _integer(transaction: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = transaction.get(name, default)
    if isinstance(value, str):
        value = int(value, 16)
    if type(value) is not int or value < 0 or value >> 256:
        raise ValueError(f"{name} of the transaction is not a number of at most 256 bits")
    return value


def rlp_number(value: int) -> bytes:
    """A whole number from 0 as an item of RLP."""
    return rlp_string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rlp_string(data: bytes) -> bytes:
    """Bytes as an item of RLP."""
    if len(data) == 1 and data[0] < _STRING:
        return data
    return _head(len(data), _STRING) + data


def rlp_list(items: bytes) -> bytes:
    """A list of items of RLP, which are joined already."""
    return _head(len(items), _LIST) + items


def _head(size: int, kind: int) -> bytes:
    if size <= 55:
        return bytes((kind + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind + 55 + len(length),)) + length
