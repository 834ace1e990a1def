"""A folder as people have it: what is sold, and what is left out aloud."""

from __future__ import annotations

import os
import socket
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from dam.console import printable
from dam.roles.seller.drafted import StoreDraft
from dam.roles.seller.goods_folder import read_goods_folder
from dam.roles.seller.store_file import Faults, read_folder

NFC, NFD = (unicodedata.normalize(form, "Übung é.pdf") for form in ("NFC", "NFD"))


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x" * 1500)


def read(folder: Path, **changes: Any) -> StoreDraft:
    return read_folder(folder, name="shelf", overrides={"price": "1 gwei", **changes})


LITTER = (
    ".DS_Store", "._book.pdf", ".gitignore", "Thumbs.db", "THUMBS.DB", "desktop.ini", "Icon\r",
    "~$book.docx", "book.pdf~", "#book#", "book.pdf.part", "film.crdownload", "a.tmp", ".book.swp",
    "book.swp", "Game.lnk", "ehthumbs.db",
)  # fmt: skip


def test_litter_links_folders_and_devices_are_left_out_by_name(tmp_path: Path) -> None:
    put(tmp_path, "book.pdf", *LITTER)
    (tmp_path / "secret").symlink_to("/etc/passwd")
    (tmp_path / "folder link").symlink_to("/etc")
    (tmp_path / "broken").symlink_to("none")
    for folder in (".git", "__MACOSX", "chapters"):
        (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    store = read(tmp_path)
    assert [item.name for item in store.items] == ["book.pdf"]
    told = "\n".join(store.notes)
    others = ("secret", "folder link", "broken", ".git", "__MACOSX", "chapters", "pipe", "socket")
    assert len(store.notes) == len(LITTER) + len(others)
    for name in (*LITTER, *others):
        assert f"left out: {printable(name)} (" in told, name
    assert "secret (a symbolic link)" in told
    assert "pipe (a device, a pipe or a socket)" in told
    assert told.replace("\n", "").isprintable()


def test_names_are_normalised(tmp_path: Path) -> None:
    put(tmp_path, NFD)
    [item] = read(tmp_path).items
    assert (item.name, item.title) == (NFC, NFC.removesuffix(".pdf"))
    assert item.file == tmp_path / NFD
    put(tmp_path, NFC)
    with pytest.raises(Faults, match=r"two files are called Übung é\.pdf"):
        read(tmp_path)


def test_names_that_not_every_system_holds_are_told(tmp_path: Path) -> None:
    put(tmp_path, "con.txt", "a:b.pdf", "Book.pdf", "book.pdf", "fine (1).pdf")
    notes = read(tmp_path).notes
    assert len(notes) == 4
    assert any(note.startswith("con.txt: a buyer's file is called _con-") for note in notes)
    assert any(note.startswith("a:b.pdf: a buyer's file is called a_b-") for note in notes)
    assert [n.partition(":")[0] for n in notes if "capital" in n] == ["Book.pdf", "book.pdf"]


@pytest.mark.parametrize(
    "name", [b"a\xff.pdf", b"a\x1b[31m.pdf", b" a.pdf", b"a\n.pdf", "a\u200b".encode()]
)
def test_names_that_no_item_can_have_are_faults(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"x")
    with pytest.raises(Faults) as caught:
        read(tmp_path)
    text = str(caught.value)
    assert text.encode()
    assert text.replace("\n", "").isprintable()


def test_the_folder_of_a_store_file_is_no_store(tmp_path: Path) -> None:
    """Its file of codes would be sold to everybody, whole."""
    put(tmp_path, "codes.txt", "broken.toml")
    (tmp_path / "goods.toml").write_text("[tool]\nname = 'x'\n")
    assert len(read(tmp_path).items) == 3
    (tmp_path / "store.toml").write_text('[store]\nname="T"\n[[items]]\nid="x"\n')
    with pytest.raises(Faults, match=r"store\.toml is a store file: publish it"):
        read(tmp_path)


def test_nothing_but_litter(tmp_path: Path) -> None:
    put(tmp_path, ".DS_Store")
    with pytest.raises(Faults, match="no file to sell"):
        read(tmp_path)


def test_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a")
    (tmp_path / "zero").symlink_to("/dev/zero")
    monkeypatch.setattr(os, "open", None)
    assert read_goods_folder(tmp_path).files == {"a": "a"}
