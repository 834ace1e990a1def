"""Names on disk for whatever a seller called the item."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.cli.buyer import open as open_command
from dam.errors import Malformed, Permanent
from dam.roles.file_names import file_name
from dam.validation import identifier


@pytest.mark.parametrize(
    "item",
    [
        "handbook.pdf",
        "\u65e5\u672c\u8a9e\u306e\u672c.epub",
        "\u65e5\u672c\u306e\u6b4c.mp3",
        "\u0421\u043b\u043e\u0432\u0430\u0440\u044c 2.pdf",
        "\u0939\u093f\u0928\u094d\u0926\u0940.txt",
        "My Book (2nd edition), v1.0.tar.gz",
        "\u5b57" * 41 + ".html",
    ],
)
def test_good_names_stay_as_they_are(item: str) -> None:
    assert file_name(item) == item


@pytest.mark.parametrize(
    ("item", "begins", "ends"),
    [
        ("--force.pdf", "force-", ".pdf"),
        (".bashrc", "bashrc-", ""),
        ("../../etc/passwd", "_.._etc_passwd-", ""),
        ("a/b.pdf", "a_b-", ".pdf"),
        ("a:b.pdf", "a_b-", ".pdf"),
        ("$(reboot).sh", "_(reboot)-", ".sh"),
        ("CON", "_CON-", ""),
        ("con.txt", "_con-", ".txt"),
        ("Lpt1.tar.gz", "_Lpt1.tar-", ".gz"),
        ("book.", "book-", ""),
        ("...", "good-", ""),
        ("---", "good-", ""),
        ("???", "___-", ""),
        ("?.pdf", "_-", ".pdf"),
        ("\u65e5?.epub", "\u65e5_-", ".epub"),
        ("\U0001f4d6.pdf", "_-", ".pdf"),
    ],
)
def test_odd_names_are_mended_and_marked(item: str, begins: str, ends: str) -> None:
    name = file_name(item)
    assert name.startswith(begins)
    assert name.endswith(ends)
    assert len(name) == len(begins) + 8 + len(ends)


def test_what_is_mended_alike_is_not_named_alike() -> None:
    items = ["a/b.pdf", "a?b.pdf", "a_b.pdf", "-a_b.pdf", ".a_b.pdf", "a//b.pdf", "a:b.pdf"]
    assert len({file_name(item) for item in items}) == len(items)


def identifiers(text: str) -> bool:
    try:
        return bool(identifier(text, "id"))
    except Malformed:
        return False


@given(st.text(min_size=1, max_size=128).filter(identifiers))
def test_any_id_has_a_name_that_every_system_holds(item: str) -> None:
    name = file_name(item)
    assert 0 < len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert name[0] not in "-. "
    assert name[-1] not in ". "
    assert unicodedata.is_normalized("NFC", name)


def test_what_is_there_is_written_over_by_force_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = open_command._check_target
    path = tmp_path / "book.pdf"
    check(path, False)
    path.write_bytes(b"x")
    with pytest.raises(Permanent, match="is there already"):
        check(path, False)
    check(path, True)
    monkeypatch.chdir(tmp_path)
    check(Path("book.pdf"), True)
    Path("nowhere").symlink_to("none")
    with pytest.raises(Permanent, match="is there already"):
        check(Path("nowhere"), False)
    with pytest.raises(Permanent, match="no folder"):
        check(tmp_path / "none" / "book.pdf", False)


@pytest.mark.parametrize("force", [True, False])
def test_no_device_or_pipe_is_an_output(tmp_path: Path, force: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(Permanent, match="- for standard output"):
            open_command._check_target(path, force)


def test_the_command_has_these_options() -> None:
    assert isinstance(open_command.open_good, click.Command)
