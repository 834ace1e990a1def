"""How a role tells a person of its progress: sentences, for whoever wants to show them."""

from __future__ import annotations

from collections.abc import Callable

Notice = Callable[[str], None]
"""Takes one sentence; what a program needs is in results, not here."""


def silent(text: str, /) -> None:
    """A `Notice` that shows nothing."""
