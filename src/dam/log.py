"""Logging of the daemons: structlog on standard error, readable on a terminal, JSON otherwise.

Standard output stays free for results. Every line has ``event``, ``level`` and ``timestamp`` (UTC,
ISO 8601). Raw bytes are written as 0x-hex, so that a log line can be pasted into any explorer. From
level warning on, a line says what to do, as ``next_step`` (see `advice`). What libraries have to
say comes as event ``library``, without any URL in it: that may hold an API key.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from dam.advice import NEXT_STEP

Log = FilteringBoundLogger
Alerts = Callable[[str, str], None]
"""Takes event and level of a line of level warning or above."""
_ALERTS = "_alerts"
_LOUD = ("warning", "error", "critical")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


def configure_logging(*, level: str = "INFO", stream: TextIO | None = None) -> None:
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
        _advise,
        _count,
    ]
    if not pretty:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Library)]:
        root.removeHandler(handler)
    root.addHandler(_Library(logging.WARNING))


def get_logger(name: str) -> Log:
    """A logger whose lines carry ``logger=name``."""
    return cast(Log, structlog.get_logger().bind(logger=name))


def _hex_bytes(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = "0x" + value.hex()
    return event


def with_alerts(log: Log, alerts: Alerts) -> Log:
    """The same logger, whose lines of level warning and above are told to ``alerts``, too."""
    return log.bind(**{_ALERTS: alerts})


def _advise(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.get("level") in _LOUD:
        step = NEXT_STEP.get(str(event.get("event")))
        if step is not None:
            event.setdefault("next_step", step)
    return event


def _count(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    alerts = event.pop(_ALERTS, None)
    if alerts is not None and event.get("level") in _LOUD:
        alerts(str(event.get("event")), event["level"])
    return event


class _Library(logging.Handler):
    """Passes on what libraries log with the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                text = f"{text}: {record.exc_info[0].__name__}"
        except Exception:  # noqa: BLE001 - a bad format string of theirs is no fault of ours
            text = str(record.msg)
        told = ascii(_URL.sub("<url>", text)[:500])[1:-1]
        level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(get_logger(record.name), level)("library", text=told)
