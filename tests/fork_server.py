"""Starts ``dam`` commands and daemons as forks of a process that has imported all of DAM.

Most of what a short command costs is imports, and the end-to-end tests run hundreds of them. Each
fork is a process of its own, with its own session, environment and folder, and ends as an
interpreter does; only what it imports is there already. `ForkServer.start` takes the arguments of
`subprocess.Popen`; any other program than ``python -m dam`` is started by that.

The forks become children of the tests' own process, which waits for them: its server forks twice,
and the tests' process is a subreaper (prctl(2)). Linux alone has that; elsewhere `ForkServer.start`
is `subprocess.Popen`.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DAM = (sys.executable, "-m", "dam")
_PR_SET_CHILD_SUBREAPER = 36
_LARGEST = 1 << 20
"""Bytes of a request: arguments and environment."""


class Fork:
    """A child that was forked for us: what is used of a `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class ForkServer:
    """Use it as ``with``."""

    def __enter__(self) -> Self:
        self._ours: socket.socket | None = None
        if sys.platform != "linux":
            return self
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ours is not None:
            self._ours.close()
            self._server.wait(60)

    def start(self, command: Sequence[str], **options: Any) -> Fork | subprocess.Popen[bytes]:
        """As `subprocess.Popen`; of its options, a fork takes those that the tests' worlds give."""
        if self._ours is None or tuple(command[: len(DAM)]) != DAM:
            return subprocess.Popen(command, **options)
        assert options.pop("stdin") == subprocess.DEVNULL
        assert options.pop("start_new_session")
        outputs = [options.pop("stdout"), options.pop("stderr")]
        request = {"arguments": command[len(DAM) :]}
        request |= {"env": dict(options.pop("env")), "cwd": str(options.pop("cwd"))}
        assert not options
        files = array.array("i", [output.fileno() for output in outputs])
        sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
        self._ours.sendmsg([json.dumps(request).encode()], sent)
        return Fork(int(self._ours.recv(64)))


# ----------------------------------------------------------------------------------- the server


def _import_all() -> None:
    import dam  # of the server alone

    for module in pkgutil.walk_packages(dam.__path__, "dam."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _serve(server: socket.socket) -> list[str] | None:
    """Forks what it is asked for; returns the arguments in a fork, and None at the end."""
    while True:
        message, files, _, _ = socket.recv_fds(server, _LARGEST, 2)
        if not message:
            return None
        request = json.loads(message)
        reading, writing = os.pipe()
        between = os.fork()
        if not between:
            # Its parent ends at once, so the tests' own process becomes its parent.
            if pid := os.fork():
                os.write(writing, str(pid).encode())
                os._exit(0)
            for fd in (reading, writing):
                os.close(fd)
            server.close()
            _become(request, files)
            return [str(word) for word in request["arguments"]]
        os.close(writing)
        pid_text = os.read(reading, 64)
        os.waitpid(between, 0)
        for fd in (reading, *files):
            os.close(fd)
        server.send(pid_text)


def _become(request: Mapping[str, Any], files: Sequence[int]) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, number in zip((null, *files), range(3), strict=True):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _main() -> None:
    # Ctrl-C is for the tests; the server ends with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.pop(0)
    _import_all()
    gc.freeze()
    with contextlib.closing(socket.socket(fileno=int(sys.argv[1]))) as server:
        arguments = _serve(server)
    if arguments is not None:
        # As `python -m dam` has it.
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = ["dam", *arguments]
        runpy.run_module("dam", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
