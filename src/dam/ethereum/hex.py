"""Hex of the JSON-RPC: quantities and data (https://ethereum.org/developers/docs/apis/json-rpc)."""

from __future__ import annotations

import re

from dam.ethereum.node_errors import RpcBadReplyError

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")


def quantity(value: object, what: str) -> int:
    """A JSON-RPC quantity ("0x1f") as an integer of at most 256 bits.

    Raises:
        RpcBadReplyError: it is none; ``what`` says what was asked.
    """
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise RpcBadReplyError(f"{what}: not a quantity")


def hex_data(value: object, what: str, size: int | None = None) -> bytes:
    """JSON-RPC data ("0x...") as bytes, of ``size`` bytes if given.

    Raises:
        RpcBadReplyError: it is none; ``what`` says what was asked.
    """
    if isinstance(value, str) and value.startswith("0x"):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            pass
        else:
            if len(value) == 2 + 2 * len(data) and size in (None, len(data)):
                return data
    raise RpcBadReplyError(f"{what}: not hex data of the right size")
