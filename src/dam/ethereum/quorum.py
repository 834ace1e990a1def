"""What must be the same of two nodes' answers, and how to say in what they differ."""

from __future__ import annotations

from collections.abc import Sequence

from dam.ethereum.hex import quantity
from dam.ethereum.node_errors import RpcBadReplyError
from dam.ethereum.rpc import RawBlock, RawLog


def print_of(logs: Sequence[RawLog], end: RawBlock | None) -> object:
    """What must be the same of two nodes' answers."""
    return (end and end.hash.lower(), frozenset(map(_key, logs)))


def _key(log: RawLog) -> tuple[object, ...]:
    return (
        log.block_hash,
        log.log_index,
        log.address.lower(),
        log.data,
        *log.topics,
        log.block_number,
        log.transaction_hash,
        bool(log.removed),
    )


def difference(a: Sequence[RawLog], b: Sequence[RawLog]) -> str:
    """Numbers of logs, and the first block in which they differ; the hash of the end if none."""
    odd = frozenset(map(_key, a)) ^ frozenset(map(_key, b))
    places = []
    for key in odd:
        try:
            places.append(quantity(key[-3], "block"))
        except RpcBadReplyError:
            continue
    where = f"first in block {min(places)}" if places else "not in the logs, but in the last block"
    return f"{len(a)} logs against {len(b)}, {where}"
