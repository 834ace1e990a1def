"""Standard streams and signals: neither an odd terminal nor a closed pipe breaks a command off.

A result goes to standard output, and to standard error if that takes nothing; a note that nobody
can read is let go. Text for a terminal is broken between words, at its width.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click

from dam.cli.failures import PRINTED, Failure, Stopped
from dam.console import fit, width_of


def prepare_streams() -> None:
    """Gives every stream a file, and a way to write what its encoding does not have.

    A descriptor that came closed would be taken by the next file or socket.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        stream = getattr(sys, name)
        if stream is None:
            # Standard output that was closed fails when it is written to, and this is said then.
            mode = "r" if name == "stdin" else "w"
            stream = os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8")
            setattr(sys, name, stream)
        if name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does, unless they are ignored or handled."""

    def stop(number: int, _: Any) -> None:
        raise Stopped(number)

    numbers = (signal.SIGTERM, signal.SIGHUP) if _in_main_thread() else ()
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Around a question: the first Ctrl-C ends it.

    `asyncio.run` keeps that for the loop's next turn, which comes once the question is answered.
    """
    before = signal.getsignal(signal.SIGINT)
    if not _in_main_thread() or before in (signal.SIG_IGN, None):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


# ------------------------------------------------------------------------------------ writing


@contextlib.contextmanager
def output(text: str = "") -> Iterator[None]:
    """Around what writes to standard output.

    Args:
        text: Goes to standard error if the write fails; a reader who left (``| head``) has seen
            what they wanted.

    Raises:
        Failure: It was not written; kind ``output``, and for a reader who left, as by SIGPIPE.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise Failure("nobody reads", "output", 128 + signal.SIGPIPE) from None
        if text:
            write_note(text)
        raise Failure(
            f"it is done, but standard output did not take the result ({error.strerror})"
            + ("; it stands above" if text else ""),
            "output",
        ) from None


def write_result(text: str, *, fitted: bool = False) -> None:
    """Writes a result.

    Raises:
        Failure: See `output`.
    """
    with output(text):
        click.echo(fit(text, width_of(sys.stdout)) if fitted else text)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[PRINTED] = True


def write_note(text: str, file: Any = None) -> None:
    """Writes a word to the person, on standard error."""
    stream = sys.stderr if file is None else file
    try:
        click.echo(fit(text, width_of(stream)), file=stream)
    except (OSError, ValueError):
        silence(stream)


def silence(stream: Any) -> None:
    """Lets what the stream still holds go, or Python would complain of it at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
