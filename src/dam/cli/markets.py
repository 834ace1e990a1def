"""Several markets in one settings file: commands that read show all of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import click

from dam.cli.failures import failure_of
from dam.cli.session import RESULTS, print_note, print_result
from dam.config.settings import MARKET_VARIABLE, unchosen_markets
from dam.errors import ConfigError, DamError

P = ParamSpec("P")


def every_market(function: Callable[P, None]) -> Callable[P, None]:
    """A command that reads: without ``--market`` it runs for each market of the settings.

    With ``--json`` its results are one value, ``markets``, by name. A market that cannot be read
    keeps no other from being shown; the command then ends as that market's reading did.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        names = unchosen_markets(os.environ)
        if not names:
            function(*args, **kwargs)
            return
        if kwargs.get("watch"):  # nobody can look at two at once
            raise ConfigError(
                f"--watch looks at one market, and the settings have {', '.join(names)}: name one, "
                "`dam --market NAME ...`, or leave --watch out to see them all once"
            )
        as_json = bool(kwargs.get("as_json"))
        meta = click.get_current_context().meta
        found: dict[str, object] = {}
        failed = None
        for name in names:
            if not as_json:
                click.echo(f"== Market {name}")
            results: list[object] = []
            meta[RESULTS] = results
            try:
                with _chosen(name):
                    function(*args, **kwargs)
                found[name] = results[0] if results else None
            except DamError as error:
                failed = failure_of(error)
                print_note(f"market {name}: {failed.message}")
                found[name] = {"error": {"kind": failed.kind, "message": failed.message}}
            finally:
                del meta[RESULTS]
        if as_json:
            print_result({"markets": found}, True, "")
        if failed is not None:
            failed.printed = as_json
            raise failed

    return run


@contextmanager
def _chosen(name: str) -> Iterator[None]:
    os.environ[MARKET_VARIABLE] = name
    try:
        yield
    finally:
        del os.environ[MARKET_VARIABLE]
