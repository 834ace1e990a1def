"""A `BlockStore` on the RPC API of a Kubo node (https://docs.ipfs.tech/reference/kubo/rpc/).

aioipfs 0.7.1 takes an error's body for content, follows redirects, ignores deadlines and buffers
without limit; its ``block.put`` fails on files. So only its session and address handling are used
here, and every call has: POST, one total deadline, no redirects, status 200 only, a byte cap while
streaming, and a check of the answer against the CID. (aiohttp drops the ``X-Stream-Error`` trailer,
by which Kubo reports an error after the first byte, so no answer is trusted to be complete: a block
must hash to its CID, and other answers must be whole JSON that names it.)
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from typing import Any

import aiohttp

from dam.errors import BlockMismatch, BlockRefused, IpfsError, IpfsUnreachable
from dam.ipfs.api_address import authorization, parse_api_address
from dam.ipfs.blocks import MAX_BLOCK_BYTES, PinLimits, PinSize, check_size, measure
from dam.ipfs.cid import Cid, Codec

_MAX_ANSWER_BYTES = 64 << 10
_MAX_CONNECTIONS = 16
_PIN_SECONDS = 600.0


class KuboStore:
    """Blocks of a Kubo node.

    Args:
        api: Address of its RPC API; see `dam.ipfs.api_address`.
        auth: Secret of its ``API.Authorizations``, ``bearer:TOKEN`` or ``basic:USER:PASSWORD``;
            empty: it asks for none.
        timeout: Seconds for one call, where the caller names no deadline.
    """

    def __init__(self, api: str, *, auth: str = "", timeout: float = 30.0) -> None:
        self._api = parse_api_address(api)
        self._headers = {"Authorization": authorization(auth)} if auth else {}
        self._timeout = timeout
        self._client: Any = None

    async def get(
        self, cid: Cid, *, max_bytes: int = MAX_BLOCK_BYTES, deadline: float | None = None
    ) -> bytes:
        """See `BlockStore.get`. A node that is online looks for the block until the deadline."""
        data = await self._post("block/get", {"arg": str(cid)}, max_bytes, deadline, of=cid)
        return cid.check(data)

    async def put(self, codec: Codec, data: bytes) -> Cid:
        """See `BlockStore.put`."""
        cid = Cid.of(codec, data)
        check_size(cid, len(data), MAX_BLOCK_BYTES)
        query = {"cid-codec": codec, "mhtype": "sha2-256", "mhlen": "-1", "pin": "false"}
        form = aiohttp.FormData()
        form.add_field("file", data, filename="block", content_type="application/octet-stream")
        answer = await self._json("block/put", query, None, of=cid, form=form)
        if answer.get("Key") != str(cid):
            raise BlockMismatch(f"{cid}: the node stored the block under another CID")
        return cid

    async def has(self, cid: Cid) -> bool:
        """See `BlockStore.has`."""
        try:
            await self._json("block/stat", {"arg": str(cid), "offline": "true"}, None, of=cid)
        except _NotThereError:
            return False
        return True

    async def pin(
        self, cid: Cid, *, limits: PinLimits | None = None, deadline: float | None = None
    ) -> PinSize:
        """See `BlockStore.pin`. The default deadline is ten minutes.

        The walk that keeps to the limits comes first, since the node's own pin knows none.
        """

        async def size_of(raw: Cid) -> int:
            answer = await self._json("block/stat", {"arg": str(raw)}, deadline, of=raw)
            size = answer.get("Size")
            if answer.get("Key") != str(raw) or type(size) is not int or size < 0:
                raise IpfsError(f"{raw}: block/stat answered for something else")
            check_size(raw, size, MAX_BLOCK_BYTES)
            return size

        seconds = _PIN_SECONDS if deadline is None else deadline
        try:
            async with asyncio.timeout(seconds):
                size = await measure(cid, limits or PinLimits(), self.get, size_of)
                query = {"arg": str(cid), "recursive": "true", "progress": "false"}
                answer = await self._json("pin/add", query, seconds, of=cid)
        except TimeoutError:
            raise IpfsError(f"{cid}: not pinned within {seconds:g} s") from None
        if answer.get("Pins") != [str(cid)]:
            raise IpfsError(f"{cid}: pin/add answered for something else")
        return size

    async def unpin(self, cid: Cid) -> None:
        """See `BlockStore.unpin`."""
        try:
            await self._json("pin/rm", {"arg": str(cid), "recursive": "true"}, None, of=cid)
        except _NotPinnedError:
            return

    async def close(self) -> None:
        """Closes the connections; the node runs on."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _json(
        self,
        command: str,
        query: dict[str, str],
        deadline: float | None,
        *,
        of: Cid,
        form: aiohttp.FormData | None = None,
    ) -> dict[str, Any]:
        data = await self._post(command, query, _MAX_ANSWER_BYTES, deadline, of=of, form=form)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise IpfsError(f"{of}: {command} gave no JSON object")
        return answer

    async def _post(
        self,
        command: str,
        query: dict[str, str],
        max_bytes: int,
        deadline: float | None,
        *,
        of: Cid,
        form: aiohttp.FormData | None = None,
    ) -> bytes:
        seconds = self._timeout if deadline is None else deadline
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(command, query, max_bytes, of, form)
        except TimeoutError:
            raise IpfsError(f"{of}: {command} took over {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                # Nobody listens, no such host, no TLS; one that breaks may be a request's fault.
                number = getattr(getattr(error, "os_error", None), "errno", None) or 0
                why = os.strerror(number) if number > 0 else type(error).__name__
                raise IpfsUnreachable(f"no connection to {self._api.place}: {why}") from None
            raise IpfsError(f"{of}: {command}: {type(error).__name__}") from None

    async def _exchange(
        self,
        command: str,
        query: dict[str, str],
        max_bytes: int,
        of: Cid,
        form: aiohttp.FormData | None,
    ) -> bytes:
        client = self._open()
        url, headers = self._api.endpoint(command), self._headers
        async with client.session.post(
            url, params=query, data=form, allow_redirects=False, headers=headers
        ) as response:
            if response.status in (401, 403):
                asked = "does not take our secret" if self._headers else "asks for a secret"
                raise IpfsUnreachable(
                    f"{self._api.place} {asked} (HTTP {response.status}): setting ipfs_auth, "
                    "DAM_IPFS_AUTH"
                )
            if response.status != 200 or "X-Stream-Error" in response.headers:
                said = await _read(response, _MAX_ANSWER_BYTES)
                raise _failure(of, command, response.status, said or b"")
            data = await _read(response, max_bytes)
            if data is None:
                raise BlockRefused(f"{of}: {command} gave more than {max_bytes} bytes")
            return data

    def _open(self) -> Any:
        # Made at the first call, for aiohttp wants the running loop.
        if self._client is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # it imports distutils
                import aioipfs
            self._client = aioipfs.AsyncIPFS(
                host=self._api.host,
                port=self._api.port,
                scheme=self._api.scheme,
                conns_max=_MAX_CONNECTIONS,
            )
        return self._client


class _NotPinnedError(IpfsError):
    """pin/rm of what is not pinned."""


class _NotThereError(IpfsError):
    """The node does not have the block."""


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | None:
    """The body, or None as soon as it is over the cap."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            response.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _failure(of: Cid, command: str, status: int, said: bytes) -> IpfsError:
    message = ""
    try:
        answer = json.loads(said)
        if isinstance(answer, dict) and isinstance(answer.get("Message"), str):
            # What a node says goes to logs: printable, and not much of it.
            message = ": " + ascii(answer["Message"][:160])[1:-1]
    except (ValueError, RecursionError):
        pass
    kind = IpfsError
    if "not pinned" in message:
        kind = _NotPinnedError
    elif "not found" in message or "could not find" in message:
        kind = _NotThereError
    return kind(f"{of}: {command} gave HTTP {status}{message}")
