"""Tells a service manager how we are: systemd's notify protocol (sd_notify(3)), a datagram each.

Without ``$NOTIFY_SOCKET`` nothing is sent. A manager that does not listen is no reason to stop
delivering: what cannot be sent is left.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Mapping


class Notifier:
    """Sends to the manager that started us.

    Args:
        environ: With ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` as systemd sets
            them. The socket's name is a path, or abstract with ``@`` before it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket: socket.socket | None = None
        name = environ.get("NOTIFY_SOCKET", "")
        if name.startswith(("/", "@")):
            self._address = "\0" + name[1:] if name[0] == "@" else name
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog = _watchdog(environ) if self._socket else None
        """Seconds after which the manager misses us, or None if it does not watch."""

    def ready(self) -> None:
        """The start is over."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for a person, as ``systemctl status`` shows it."""
        self._send("STATUS=" + text.replace("\n", " "))

    def alive(self) -> None:
        """Not stuck: to be sent more often than every `watchdog` seconds."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """The start, or the stop, takes so long yet."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def stopping(self) -> None:
        """The stop has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Says nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(line.encode(), self._address)


def _watchdog(environ: Mapping[str, str]) -> float | None:
    micros, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not re.fullmatch(r"[1-9][0-9]{0,15}", micros) or pid not in (None, "", str(os.getpid())):
        return None
    return int(micros) / 1e6
