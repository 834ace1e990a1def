"""Opens the block store that the settings name."""

from __future__ import annotations

from dam.ipfs.blocks import BlockStore


def open_store(address: str, *, auth: str = "", timeout: float = 30.0) -> BlockStore:
    """The store that a setting names.

    Args:
        address: ``dir:/path`` for a directory of blocks, or where the RPC API of a Kubo node is;
            `dam.ipfs.api_address` has the forms.
        auth: Secret of that API; empty: it asks for none.
        timeout: Seconds for one call, where the caller names no deadline.

    Raises:
        ConfigError: It is neither.
    """
    if address.startswith("dir:") and address != "dir:":
        from dam.ipfs.directory import DirectoryStore

        return DirectoryStore(address[4:])
    from dam.ipfs.kubo import KuboStore

    return KuboStore(address, auth=auth, timeout=timeout)
