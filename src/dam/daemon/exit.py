"""How a daemon ends: its exit code, and one log line with the reason."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from dam.errors import ConfigError, DamError, KeyFileError, LedgerUnusableError
from dam.log import Log


def end_process() -> None:
    """Ends a process whose event loop may never turn again; what is saved is safe."""
    faulthandler.dump_traceback(all_threads=True)
    sys.stderr.flush()
    os._exit(1)


@dataclass
class Exit:
    """How a daemon ended; ``code`` is its exit code."""

    code: int = 0


@contextlib.contextmanager
def report_exit(log: Log) -> Iterator[Exit]:
    """Turns how a daemon ended into its exit code, and logs the reason in one line."""
    result = Exit()
    try:
        yield result
    except (ConfigError, KeyFileError, LedgerUnusableError) as error:
        log.critical("cannot_run", reason=str(error))
        result.code = 2
    except (DamError, sqlite3.DatabaseError, OSError) as error:
        log.critical("stopped_by_fault", reason=str(error), kind=type(error).__name__)
        result.code = 1
    except MemoryError:
        log.critical(
            "stopped_by_fault",
            reason="out of memory",
            kind="MemoryError",
            next_step="give it more (MemoryMax), or look in the log which store or range it read",
        )
        result.code = 1
    except Exception as error:
        log.critical(
            "stopped_by_fault",
            reason=str(error),
            kind=type(error).__name__,
            next_step="report it with the trace; a new start goes on from what is saved",
            exc_info=True,
        )
        result.code = 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        log.warning("stopped_at_once")
        result.code = 1
