"""Opens the block store that the settings name."""

from __future__ import annotations

from dam.errors import ConfigError
from dam.ipfs.blocks import BlockStore


def open_store(url: str, *, timeout: float = 30.0) -> BlockStore:
    """The store that a setting names.

    Args:
        url: ``dir:/path`` for a directory of blocks, or ``http://127.0.0.1:5001`` for the RPC API
            of a Kubo node on this machine.
        timeout: Seconds for one call, where the caller names no deadline.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "dir" and rest:
        from dam.ipfs.directory import DirectoryStore

        return DirectoryStore(rest)
    if scheme in ("http", "https"):
        from dam.ipfs.kubo import KuboStore

        return KuboStore(url, timeout=timeout)
    raise ConfigError(
        "the IPFS setting is 'dir:/path/to/blocks' or the RPC API of a local Kubo node, such as "
        "'http://127.0.0.1:5001'"
    )
