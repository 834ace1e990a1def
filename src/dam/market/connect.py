"""Opens nodes: the one place outside `dam.ethereum` and the diagnostics that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dam.ethereum.node import USUAL_LIMITS, NodeLimits
from dam.ethereum.node_pool import NodePool
from dam.ethereum.rpc import JsonRpc
from dam.log import Log


class NodeSettings(Protocol):
    """What is set of the nodes; see the fields of `dam.config.settings.Settings`."""

    @property
    def rpc_urls(self) -> Sequence[str]: ...

    @property
    def rpc_agree(self) -> int: ...

    @property
    def limits(self) -> NodeLimits: ...

    @property
    def rpc_timeout(self) -> float: ...


def open_node(url: str, *, timeout: float, limits: NodeLimits = USUAL_LIMITS) -> JsonRpc:
    """One node, for a command typed by hand. Nothing is asked yet.

    Args:
        url: Its address.
        timeout: Seconds that it has for an answer.
        limits: How much to ask for at once.

    Raises:
        ConfigError: The address is no http:// or https:// URL.
    """
    return JsonRpc(url, timeout=timeout, limits=limits)


def open_nodes(settings: NodeSettings, *, log: Log | None = None) -> NodePool:
    """Several nodes as one, of which ``rpc_agree`` must say the same. Nothing is asked yet.

    Raises:
        ConfigError: One of them is no http:// or https:// URL, or ``rpc_agree`` is out of range.
    """
    return NodePool(
        settings.rpc_urls,
        agree=settings.rpc_agree,
        timeout=settings.rpc_timeout,
        limits=settings.limits,
        log=log,
    )
