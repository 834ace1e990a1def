"""A command on a terminal of its own: what a person types, and what they see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

CTRL_C = "\x03"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Use it as ``with``; the command is killed at the end if it still runs."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], *, columns: int = 80
    ) -> None:
        self._main, side = os.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=side,
            stdout=side,
            stderr=side,
            env={"TERM": "xterm", **env},
            start_new_session=True,
            # Its controlling terminal: else Ctrl-C is a letter like others.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(side)
        self.raw = ""

    @property
    def text(self) -> str:
        """What was shown, without colours."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    def expect(self, words: str, seconds: float = 60) -> None:
        """Waits until the words are shown, and then until an answer can be read.

        A signal between a question and the blocking read of its answer is seen only after that.
        """
        end = time.monotonic() + seconds
        while words not in self.text:
            if not self._read(end):
                raise AssertionError(f"{words!r} was not shown:\n{self.text}")
        time.sleep(0.5)

    def type(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def end(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended."""
        limit = time.monotonic() + seconds
        while self._read(limit):
            pass
        return self.process.wait(max(1.0, limit - time.monotonic()))

    def _read(self, end: float) -> bool:
        left = end - time.monotonic()
        if left <= 0 or not select.select([self._main], [], [], left)[0]:
            return False
        try:
            piece = os.read(self._main, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += piece.decode("utf-8", "replace")
        return bool(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(10)
        os.close(self._main)
