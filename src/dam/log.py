"""Logging of the daemons: structlog on standard error, readable on a terminal, JSON otherwise.

Standard output stays free for results. Every line has ``event``, ``level`` and ``timestamp`` (UTC,
ISO 8601). Raw bytes are written as 0x-hex, so that a log line can be pasted into any explorer. From
level warning on, a line says what to do, as ``next_step`` (see `NEXT_STEP`). Messages of libraries
come as event ``library``, without their URLs: these may hold an API key.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from dam.console import break_words, is_plain, printable, shorten, width_of

Log = FilteringBoundLogger
Alerts = Callable[[str, str], None]
"""Called with event and level of each line of level warning or above."""
_ALERTS = "_alerts"
_LOUD = ("warning", "error", "critical")
_HASH = re.compile(r"\b0x[0-9a-fA-F]{64}\b")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)

NEXT_STEP: Mapping[str, str] = {
    # -- needs a person
    "cannot_run": "mend what `reason` names, then start again; `dam deliverer doctor` checks all",
    "stopped_by_fault": "read `reason`; if it starts again and stays up, do nothing else",
    "stuck": "starts again if supervised; repeated: look at disk and memory, report it",
    "loop_blocked": "look at disk and load of the machine; the process ends itself if it lasts",
    "no_balance": "send coins to `account`; it goes on by itself",
    "fee_over_cap": "wait for cheaper gas; if deadlines come near, raise max_fee_gwei and restart",
    "unprofitable": 'wait for cheaper gas; or set unprofitable = "send" and restart',
    "not_eligible": "top the stake up, or cancel the exit: `dam deliverer status`",
    "announced_key_missing": "dam keys restore deliverer FILE; if lost: dam deliverer rotate",
    "own_part_junk": "stop it, and find who else has the operator's key: docs/operating.md",
    "not_operator": "make this account the seller's operator: `dam seller operator ADDRESS`",
    "foreign_transaction": "find who else has this key; unknown: move earnings, exit, new operator",
    "transaction_reverted": "nothing at once, it is tried again; repeated: look at the node",
    "refused_by_contract": "look `error` up in docs/calls.md; report it if the part is yours",
    "too_late": "find what held it up: look above for tick_failed, no_balance, fee_over_cap",
    "purchase_late": "find what held it up: was the daemon down, or the node behind?",
    "endpoints_disagree": "find the node that is wrong; take it out of `rpc` and restart",
    "endpoints_too_few": "mend the nodes that `error` names, or add one to `rpc` and restart",
    "internal_error": "report it with the trace; restart if the sale matters",
    "nonce_gap": "nothing, it is filled; repeated: somebody else sends with this key",
    "nonces_too_high": "look at your node: it miscounted this account's transactions",
    "transaction_refused": "`error` is the nodes' word; if only one says so, use another node",
    "nobody_sent": "look at the daemon that should have: this one is a dry run and sends nothing",
    # -- goes by itself, unless it stays
    "tick_failed": "nothing once; repeated: look at node and disk",
    "background_failed": "nothing once; repeated: look at IPFS node and disk",
    "node_behind": "nothing if it catches up; else look at that node, or use another: setting rpc",
    "node_unreachable": "start the node, or mend its address: setting rpc",
    "endpoint_set_aside": "nothing, the others answer; look at that node when there is time",
    "key_check_failed": "nothing, it is asked for again twenty blocks later",
    "large_block": "nothing, it is read in pieces, which takes longer",
    "recheck_failed": "nothing, the last blocks are read once more with the next one",
    "reorganisation": "nothing, it is handled; often: raise `confirmations`",
    "ipfs_down": "start the IPFS node, or mend the address `ipfs` in the settings and restart",
    "store_unavailable": "one store: nothing; all stores: look at your IPFS node",
    "store_refused": "nothing: the seller must publish a proper document",
    "part_refused": "read `reason` in docs/operating.md; often nothing: the seller's mistake",
    "purchase_refused": "read `reason` in docs/operating.md",
    "pin_unavailable": "nothing, it is tried again; all stores: look at your IPFS node",
    "pin_refused": "raise pin_bytes if the store is worth it; parts are delivered all the same",
    "unknown_transactions": "nothing after a recovery; else find who else has this key",
    "node_refused": "nothing once; repeated: `error` is the node's word",
    "receipt_unknown": "nothing, it is looked up again; for hours: `error` is the node's word",
    "drain_timeout": "nothing: it goes on from there at the next start",
    "stopped_at_once": "nothing: what was saved goes on at the next start",
    "keyfile-tightened": "nothing: the file's mode is right now",
    "library": "nothing once; repeated: report it",
}
"""What to do about an event, in one sentence, for an operator woken by it at 3 a.m.

It is added to every line of level warning or above that brings no ``next_step`` of its own.
``docs/operating.md`` has the same events with more words.
"""


def configure_logging(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sets structlog up for this process. ``level`` is a name of the standard library's logging."""
    out = stream or sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - for good
    number = logging.getLevelNamesMapping()[level.upper()]
    pretty = out.isatty()
    renderer: Any = _for_people(out) if pretty else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hex_bytes,
        _add_next_step,
        _report_alert,
        # Tracebacks without local variables: they may hold shares and keys.
        structlog.processors.format_exc_info,
    ]
    if pretty:
        processors.append(_count_from_one)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Lines(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Library)]:
        root.removeHandler(handler)
    root.addHandler(_Library(logging.WARNING))


def silent_logger() -> Log:
    """A logger that writes nothing."""

    def drop(*_: Any) -> Any:
        raise structlog.DropEvent

    return cast(Log, structlog.wrap_logger(None, processors=[drop]))


def get_logger(name: str) -> Log:
    """A logger whose lines carry ``logger=name``."""
    return cast(Log, structlog.get_logger().bind(logger=name))


class _Lines:
    """Writes lines to a stream; one that nobody takes (a full disk, a closed pipe) is let go."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Writes one line."""
        with contextlib.suppress(OSError, ValueError):
            try:
                print(message, file=self._stream, flush=True)
            except UnicodeEncodeError:
                print(ascii(message), file=self._stream, flush=True)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


_COLORS = {"warning": "33", "error": "31", "critical": "31;1"}
_HANG = 10
"""Columns by which the lines below the first are moved to the right."""


def _for_people(stream: TextIO) -> Any:
    """Lines for a terminal, broken between words at its width.

    ``21:30:05 warning event key=value ...``, then the next step and a trace on lines of their own.
    Hashes are shortened to what names a sale to `dam`; addresses as well, where no one has to act.
    """
    plain = is_plain()

    def paint(text: str, code: str) -> str:
        return text if plain or not code else f"\x1b[{code}m{text}\x1b[0m"

    def render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
        at, level = str(event.pop("timestamp", ""))[11:19], str(event.pop("level", ""))
        name, trace = str(event.pop("event", "")), event.pop("exception", None)
        step = event.pop("next_step", None)
        event.pop("logger", None)
        loud = level in _LOUD
        fields = [f"{key}={_value(value, whole=loud)}" for key, value in event.items()]
        width = width_of(stream)
        words = " ".join([at, *([paint(level, _COLORS.get(level, ""))] if loud else []), ""])
        line = " ".join([words + paint(name, "1"), *fields])
        lines = [_hanging(line, width)]
        if step:
            lines.append(_hanging(" " * _HANG + f"-> {step}", width))
        return "\n".join([*lines, *([str(trace)] if trace else [])])

    return render


def _hanging(line: str, width: int | None) -> str:
    if width is None:
        return line
    first, *rest = break_words(line, width)
    below = break_words(" ".join(rest), width - _HANG) if rest else []
    return "\n".join([first, *(" " * _HANG + one for one in below)])


def _value(value: Any, *, whole: bool) -> str:
    text = printable(str(value).replace("\n", " "))
    text = _HASH.sub(lambda match: f"{match[0][:18]}..", text)
    return text if whole else shorten(text)


def _hex_bytes(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = "0x" + value.hex()
    return event


def _count_from_one(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Parts and copies as people count them. In JSON they keep the protocol's indexes, from 0."""
    if isinstance(event.get("index"), int):
        event["part"] = event.pop("index") + 1
    if isinstance(copy := event.get("copy"), int):
        event["copy"] = copy + 1
    if isinstance(parts := event.get("parts"), list):
        event["parts"] = [index + 1 for index in parts]
    return event


def with_alerts(log: Log, alerts: Alerts) -> Log:
    """The same logger, which also reports lines of level warning and above to ``alerts``."""
    return log.bind(**{_ALERTS: alerts})


def _add_next_step(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.get("level") in _LOUD:
        step = NEXT_STEP.get(str(event.get("event")))
        if step is not None:
            event.setdefault("next_step", step)
    return event


def _report_alert(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
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
