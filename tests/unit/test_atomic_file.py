"""Files whole or not at all, on file systems that lack half of what Unix has."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from dam.atomic_file import atomic, keep_as, open_regular, write_atomic
from dam.ipfs.directory import DirectoryStore
from dam.keystore import key_files

UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


@pytest.fixture(params=UNSUPPORTED, ids=errno.errorcode.get)
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links, modes or syncs of folders."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    real = os.fsync

    def fsync(descriptor: int) -> None:
        refuse() if stat.S_ISDIR(os.fstat(descriptor).st_mode) else real(descriptor)

    for name in ("link", "fchmod", "chmod"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("bare")
def test_a_bare_file_system_takes_files_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"1", overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"2", overwrite=False)
    assert path.read_bytes() == b"1"
    write_atomic(path, b"3")
    assert path.read_bytes() == b"3"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.usefixtures("bare")
def test_a_name_taken_meanwhile_stays_anothers(tmp_path: Path) -> None:
    path = tmp_path / "a"
    context = atomic(path, overwrite=False)
    context.__enter__().write(b"ours")
    path.write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        context.__exit__(None, None, None)
    assert path.read_bytes() == b"another's"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.usefixtures("bare")
def test_a_failed_rename_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="full"):
        write_atomic(tmp_path / "a", b"1", overwrite=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("bare")
def test_keys_are_backed_up_to_such_a_stick(tmp_path: Path) -> None:
    seed = key_files.new_seed_file(tmp_path / "seed", "buyer-seed", "horse")
    key_files.backup(tmp_path / "seed", tmp_path / "stick" / "copy", "horse")
    assert key_files.load_seed(tmp_path / "stick" / "copy", "buyer-seed", "horse") == seed


@pytest.mark.usefixtures("bare")
def test_a_second_name_is_a_copy_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    keep_as(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"1"


@pytest.mark.usefixtures("bare")
async def test_blocks_in_a_folder_there(tmp_path: Path) -> None:
    blocks = DirectoryStore(tmp_path)
    assert await blocks.get(await blocks.put("raw", b"x")) == b"x"


def test_a_mode_that_cannot_be_set_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seed"
    key_files.new_seed_file(path, "buyer-seed", "horse")
    path.chmod(0o644)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(key_files.KeyFileError, match="a file system that has permissions"):
        key_files.read_private(path, tighten=True)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("name", ["link", "fchmod", "fsync"])
def test_what_is_really_wrong_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_atomic(tmp_path / "a", b"1", overwrite=False)
    assert not list(tmp_path.iterdir())


def specials(folder: Path) -> list[Path]:
    """What is no file: a pipe, a socket, a folder, a device, and links to them."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    (folder / "link").symlink_to("/dev/zero")
    # Never the device itself: run as root, a mistake of ours would put a file into its place.
    return [folder / name for name in ("pipe", "folder", "socket", "link")]


def test_devices_and_pipes_are_never_written_over(tmp_path: Path) -> None:
    for path in specials(tmp_path):
        before = path.lstat()
        for overwrite in (True, False):
            with pytest.raises(OSError, match=r"not a file|[Dd]irectory"):
                write_atomic(path, b"1", overwrite=overwrite)
        assert path.lstat() == before


def test_devices_and_pipes_are_never_read(tmp_path: Path) -> None:
    for path in specials(tmp_path):
        with pytest.raises(OSError, match=r"not a file|[Dd]irectory"):
            open_regular(path)
    with pytest.raises(OSError, match="No file has such a name"):
        open_regular(Path("a\0b"))
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "to file").symlink_to("file")
    with open_regular(tmp_path / "to file") as file:
        assert file.read() == b"x"


def test_a_pipe_put_in_the_files_place_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    real: Any = os.stat

    def swapped(name: Any, **options: Any) -> os.stat_result:
        found: os.stat_result = real(name, **options)
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "stat", swapped)
    with pytest.raises(OSError, match="not a file"):
        open_regular(path)


def test_names_as_long_as_names_can_be(tmp_path: Path) -> None:
    for size, overwrite in ((255, True), (254, False)):
        path = tmp_path / ("a" * size)
        write_atomic(path, b"1", overwrite=overwrite)
        assert path.read_bytes() == b"1"
