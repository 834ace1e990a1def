"""Opens nodes: the one place outside `dam.ethereum` and the diagnostics that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dam.ethereum.node_pool import NodePool
from dam.ethereum.rpc import MAX_LOGS_BYTES, JsonRpc
from dam.log import Log


def open_node(url: str, *, max_logs_bytes: int = MAX_LOGS_BYTES) -> JsonRpc:
    """One node, for a command typed by hand. Nothing is asked yet.

    Args:
        url: Its address.
        max_logs_bytes: Most bytes of an answer with logs.

    Raises:
        ConfigError: The address is no http:// or https:// URL.
    """
    return JsonRpc(url, max_logs_bytes=max_logs_bytes)


class NodeSettings(Protocol):
    """What is set of the nodes; see the fields of `dam.config.settings.Settings`."""

    @property
    def rpc_urls(self) -> Sequence[str]: ...

    @property
    def rpc_agree(self) -> int: ...

    @property
    def max_logs_bytes(self) -> int: ...


def open_nodes(settings: NodeSettings, *, log: Log | None = None) -> NodePool:
    """Several nodes as one, of which ``rpc_agree`` must say the same. Nothing is asked yet.

    Raises:
        ConfigError: One of them is no http:// or https:// URL, or ``rpc_agree`` is out of range.
    """
    return NodePool(
        settings.rpc_urls,
        agree=settings.rpc_agree,
        max_logs_bytes=settings.max_logs_bytes,
        log=log,
    )
