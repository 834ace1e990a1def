"""The address of a Kubo node's RPC API, in the forms in which people have it.

* ``http://127.0.0.1:5001``, ``https://ipfs.example/prefix``; ``/api/v0`` at the end may be there.
* a multiaddr (https://github.com/multiformats/multiaddr), as Kubo's own settings have it:
  ``/ip4/127.0.0.1/tcp/5001``, ``/ip6/::1/tcp/5001``, ``/dns4/ipfs.example/tcp/443/https`` (also
  ``dns``, ``dns6``, and ``tls/http`` for ``https``).

Who reaches the API can do anything to the node. So an address without TLS is one of this machine.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dam.errors import ConfigError

FORMS = (
    "http://127.0.0.1:5001, https://ipfs.example/prefix, /ip4/127.0.0.1/tcp/5001 or "
    "/dns4/ipfs.example/tcp/443/https"
)
_PORT = 5001
"""Kubo's own, where a plain address names none."""
_API = "/api/v0"
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_MULTIADDR = re.compile(
    r"/(ip4|ip6|dns|dns4|dns6)/([^/]{1,253})/tcp/([0-9]{1,5})(/http|/https|/tls/http)?/?"
)
_SECRET = re.compile(r"(bearer):([\x21-\x7e]+)|(basic):([\x21-\x39\x3b-\x7e]+:[\x20-\x7e]+)")


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where the RPC API is."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """A name, or an IP address without brackets."""
    port: int
    prefix: str = ""
    """Path before ``/api/v0``, such as ``/prefix``; without a slash at its end."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def place(self) -> str:
        """The address for people and logs: a path may hold a secret."""
        whole = str(self)
        return whole.removesuffix(self.prefix) + "/***" if self.prefix else whole

    def endpoint(self, command: str) -> str:
        """URL of a command of the API, such as ``block/get``."""
        return f"{self}{_API}/{command}"


def parse_api_address(text: str) -> ApiAddress:
    """Reads an address in any of the forms that this module names.

    Raises:
        ConfigError: It is none, or a plain one of another machine. The text does not repeat it.
    """
    found = _from_multiaddr(text) if text.startswith("/") else _from_url(text)
    if found is None:
        raise ConfigError(f"not the address of a Kubo RPC API, such as {FORMS}")
    if found.scheme == "http" and not _is_loopback(found.host):
        raise ConfigError(
            "the Kubo RPC API without TLS is a loopback address such as http://127.0.0.1:5001; "
            "reach a node on another machine by https, or through an SSH tunnel"
        )
    return found


def _from_url(text: str) -> ApiAddress | None:
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "?" in text or "#" in text:
        return None
    if "@" in parts.netloc:
        raise ConfigError(
            "the address holds a user or a password: give it as the setting ipfs_auth instead"
        )
    prefix = parts.path.rstrip("/").removesuffix(_API)
    if not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")):
        return None
    default = _PORT if parts.scheme == "http" else 443
    return _checked(parts.scheme, parts.hostname or "", default if port is None else port, prefix)


def _from_multiaddr(text: str) -> ApiAddress | None:
    found = _MULTIADDR.fullmatch(text)
    if found is None:
        return None
    kind, host, port, web = found.groups()
    if kind in ("ip4", "ip6"):
        try:
            if ipaddress.ip_address(host).version != int(kind[2]):
                return None
        except ValueError:
            return None
    scheme = "https" if web in ("/https", "/tls/http") else "http"
    return _checked(scheme, host.lower(), int(port), "")


def _checked(scheme: str, host: str, port: int, prefix: str) -> ApiAddress | None:
    try:
        named = ":" in host and ipaddress.ip_address(host).version == 6 and "%" not in host
    except ValueError:
        named = False
    if not (named or _HOST.fullmatch(host)) or not 1 <= port <= 65_535:
        return None
    return ApiAddress(scheme, host, port, prefix)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def authorization(secret: str) -> str:
    """The ``Authorization`` header of a secret, as Kubo's ``API.Authorizations`` writes it.

    Args:
        secret: ``bearer:TOKEN``, or ``basic:USER:PASSWORD``.

    Raises:
        ConfigError: It is neither. The text does not repeat it.
    """
    found = _SECRET.fullmatch(secret)
    if found is None:
        raise ConfigError(
            "not 'bearer:TOKEN' or 'basic:USER:PASSWORD', as AuthSecret in Kubo's "
            "API.Authorizations"
        )
    if found[1]:
        return f"Bearer {found[2]}"
    from base64 import b64encode

    return f"Basic {b64encode(found[4].encode()).decode()}"
