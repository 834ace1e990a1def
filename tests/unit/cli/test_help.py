"""The help of every command, as a terminal of 80 columns shows it."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from dam.cli.main import main

COLUMNS = 80
CODE = re.compile(r"\s+\S|\[+\w+\]+$|\w+ = |#")
"""A line of an example: further in than the text around it, or TOML."""


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


def shown(*path: str) -> list[str]:
    result = CliRunner().invoke(main, [*path, "--help"], terminal_width=COLUMNS)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def written(*path: str) -> str:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return inspect.cleandoc((command.callback.__doc__ if command.callback else "") or "")


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
def test_examples_are_shown_as_written_and_nothing_is_wider_than_a_terminal(
    path: tuple[str, ...],
) -> None:
    lines = shown(*path)
    for line in lines:
        assert len(line) <= COLUMNS, line
        assert "\b" not in line, line
        assert "\\b" not in line, line
    if "Commands:" in lines:
        assert not [x for x in lines[lines.index("Commands:") :] if x.endswith("...")], "cut short"
    for line in written(*path).splitlines():
        if CODE.match(line):
            assert f"  {line.rstrip()}" in lines, f"wrapped: {line}"


def test_the_example_of_a_store_can_be_copied_out_of_the_help() -> None:
    lines = [line.strip() for line in shown("seller", "publish")]
    first, last = (
        lines.index("[store]"),
        lines.index('codes_file = "codes.txt"     # one code a line, each sold once'),
    )
    document = tomllib.loads("\n".join(lines[first : last + 1]))
    assert document["items"][0]["codes_file"] == "codes.txt"
