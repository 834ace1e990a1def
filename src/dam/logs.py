"""Logging of the daemons: structlog on standard error, readable on a terminal, JSON otherwise.

Standard output stays free for results. Every line has ``event``, ``level`` and ``timestamp`` (UTC,
ISO 8601). Raw bytes are written as 0x-hex, so that a log line can be pasted into any explorer.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

Log = FilteringBoundLogger


def configure(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sets structlog up for this process. ``level`` is a name of the standard library's logging."""
    out = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    pretty = out.isatty()
    # Tracebacks without local variables, on a terminal as in JSON: they may hold shares and keys.
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hex_bytes,
    ]
    if not pretty:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Log:
    """A logger whose lines carry ``logger=name``."""
    return cast(Log, structlog.get_logger().bind(logger=name))


def _hex_bytes(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = "0x" + value.hex()
    return event
