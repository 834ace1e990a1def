"""Key files: nobody else reads them, nothing replaces them, and what they hold comes back (F53)."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from dam.atomic_file import write_atomic
from dam.crypto import sealing
from dam.errors import KeyFileError
from dam.keystore import key_files

PW = "correct horse"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Least work for the key derivation, but for the test of its real cost."""
    if "real_cost" not in request.node.name:
        monkeypatch.setattr(key_files, "KDF_MEMORY_BYTES", 8 << 10)
        monkeypatch.setattr(key_files, "KDF_PASSES", 1)


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "deliverer.json"
    key_files.new_ring(path, PW)
    return path


def test_rings_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "deliverer.json"
    made = key_files.new_ring(path, PW)
    assert key_files.load_ring(path, PW) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    sealing.check_public_key(made.current.public)
    assert made.current.public == sealing.public_key(made.current.secret)


def test_rotation_keeps_the_old_keys(ring_file: Path) -> None:
    first = key_files.load_ring(ring_file, PW)
    second = key_files.rotate_ring(ring_file, PW)
    third = key_files.rotate_ring(ring_file, PW)
    assert second.keys[1:] == first.keys
    assert third.keys[1:] == second.keys
    assert key_files.load_ring(ring_file, PW) == third
    assert third.current.public not in {k.public for k in second.keys}
    assert stat.S_IMODE(ring_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["seller-seed", "buyer-seed"])
def test_seeds_round_trip(tmp_path: Path, kind: key_files.SeedKind) -> None:
    path = tmp_path / "seed.json"
    seed = key_files.new_seed_file(path, kind, PW)
    assert len(seed) == 32
    assert key_files.load_seed(path, kind, PW) == seed


def test_a_file_of_another_kind(tmp_path: Path, ring_file: Path) -> None:
    path = tmp_path / "seed.json"
    key_files.new_seed_file(path, "seller-seed", PW)
    with pytest.raises(KeyFileError, match="buyer-seed"):
        key_files.load_seed(path, "buyer-seed", PW)
    with pytest.raises(KeyFileError):
        key_files.load_ring(path, PW)
    with pytest.raises(KeyFileError):
        key_files.load_seed(ring_file, "seller-seed", PW)
    value = json.loads(path.read_bytes())
    value["kind"] = "buyer-seed"
    path.write_text(json.dumps(value))
    with pytest.raises(KeyFileError, match="another kind"):
        key_files.load_seed(path, "buyer-seed", PW)


def test_wrong_passphrase(ring_file: Path) -> None:
    with pytest.raises(KeyFileError, match="passphrase does not open") as caught:
        key_files.load_ring(ring_file, "wrong horse")
    assert "wrong horse" not in str(caught.value)


def test_no_empty_passphrase(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        key_files.new_ring(tmp_path / "a.json", "")
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601, 0o610, 0o666, 0o777])
def test_open_files_are_refused_with_the_command_that_mends_them(
    ring_file: Path, mode: int
) -> None:
    ring_file.chmod(mode)
    with pytest.raises(KeyFileError) as caught:
        key_files.load_ring(ring_file, PW)
    assert f"chmod 600 {ring_file}" in str(caught.value)
    assert f"{mode:04o}" in str(caught.value)
    with pytest.raises(KeyFileError):
        key_files.rotate_ring(ring_file, PW)
    ring_file.chmod(0o600)
    key_files.load_ring(ring_file, PW)


def test_the_command_is_quoted_for_a_shell(tmp_path: Path) -> None:
    path = tmp_path / "it's; rm -rf x"
    key_files.new_ring(path, PW)
    path.chmod(0o644)
    with pytest.raises(KeyFileError) as caught:
        key_files.load_ring(path, PW)
    command = str(caught.value).rpartition("run: ")[2]
    assert os.system(command) == 0  # the very command the message names
    key_files.load_ring(path, PW)


def test_symbolic_links_are_refused(ring_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(ring_file)
    with pytest.raises(KeyFileError, match="symbolic link"):
        key_files.load_ring(link, PW)
    dangling = tmp_path / "dangling.json"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError):
        key_files.load_ring(dangling, PW)
    with pytest.raises(KeyFileError):
        key_files.new_ring(dangling, PW)
    assert not (tmp_path / "nowhere").exists()


def test_files_of_another_owner_are_refused(
    ring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.chown(ring_file, 12345, -1)
        expected = rf"belongs to user 12345.*chown {os.geteuid()} .*chmod 600"
    else:  # only root can give a file away: be another instead
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        expected = r"belongs to user .*chown 54321 .*chmod 600"
    with pytest.raises(KeyFileError, match=expected):
        key_files.load_ring(ring_file, PW)


@pytest.mark.parametrize("make", ["folder", "pipe", "nothing"])
def test_what_is_no_file(tmp_path: Path, make: str) -> None:
    path = tmp_path / "x"
    if make == "folder":
        path.mkdir()
    elif make == "pipe":
        os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileError):
        key_files.load_ring(path, PW)


DAMAGED = {
    "empty": b"",
    "no JSON": b"hello",
    "a list": b"[]",
    "an Ape keyfile": b'{"version":3,"crypto":{},"address":"00"}',
    "deep": b"[" * 100_000,
    "too long": b" " * (2 << 20),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(ring_file: Path, name: str) -> None:
    ring_file.write_bytes(DAMAGED[name])
    with pytest.raises(KeyFileError):
        key_files.load_ring(ring_file, PW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("kdf", {}),
        ("memory", 1 << 40),
        ("memory", 0),
        ("passes", 10**9),
        ("passes", 0),
        ("salt", "0x00"),
        ("algorithm", "scrypt"),
        ("nonce", "0x00"),
        ("box", "0x"),
        ("box", "0x" + "00" * 60),
    ],
)
def test_damaged_fields(
    ring_file: Path, field: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's backup must not eat the machine, either: nothing is derived from it."""
    content = json.loads(ring_file.read_bytes())
    place = content["kdf"] if field in content["kdf"] else content
    place[field] = value
    ring_file.write_text(json.dumps(content))
    derived: list[object] = []
    stretch = key_files._stretch
    monkeypatch.setattr(key_files, "_stretch", lambda *a: derived.append(a) or stretch(*a))
    opens = value == "0x" + "00" * 60
    with pytest.raises(KeyFileError, match="passphrase" if opens else "no key file of DAM"):
        key_files.load_ring(ring_file, PW)
    assert len(derived) == opens


def test_nothing_replaces_a_key_file(ring_file: Path) -> None:
    before = ring_file.read_bytes()
    with pytest.raises(KeyFileError, match="already"):
        key_files.new_ring(ring_file, PW)
    with pytest.raises(KeyFileError, match="already"):
        key_files.new_seed_file(ring_file, "seller-seed", PW)
    assert ring_file.read_bytes() == before
    assert [path.name for path in ring_file.parent.iterdir()] == [ring_file.name]


def test_backup_and_restore(ring_file: Path, tmp_path: Path) -> None:
    ring = key_files.rotate_ring(ring_file, PW)
    copy = tmp_path / "medium" / "backup.json"
    with pytest.raises(KeyFileError):
        key_files.backup(ring_file, copy, "wrong horse")
    assert not copy.exists()
    key_files.backup(ring_file, copy, PW)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(KeyFileError, match="already"):
        key_files.backup(ring_file, copy, PW)
    copy.chmod(0o644)  # as a stick without permissions gives it back
    with pytest.raises(KeyFileError, match="already"):
        key_files.restore(copy, ring_file, PW)
    ring_file.unlink()
    with pytest.raises(KeyFileError):
        key_files.restore(copy, ring_file, "wrong horse")
    assert not ring_file.exists()
    key_files.restore(copy, ring_file, PW)
    assert key_files.load_ring(ring_file, PW) == ring
    with pytest.raises(KeyFileError):
        key_files.restore(tmp_path / "nowhere", tmp_path / "x", PW)


def test_a_crash_while_rotating_keeps_the_old_file(
    ring_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_files.load_ring(ring_file, PW)

    def power_cut(_: int) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", power_cut)
        with pytest.raises(OSError, match="power cut"):
            key_files.rotate_ring(ring_file, PW)
    assert key_files.load_ring(ring_file, PW) == before
    assert len(list(ring_file.parent.iterdir())) == 1


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        key_files.new_ring(tmp_path / "a.json", PW)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600


def test_no_secret_is_readable(ring_file: Path) -> None:
    ring = key_files.load_ring(ring_file, PW)
    secret = ring.current.secret
    data = ring_file.read_bytes()
    assert secret not in data
    assert secret.hex().encode() not in data
    for text in (repr(ring), str(ring), repr(ring.current)):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text


def test_the_real_cost_of_a_passphrase(tmp_path: Path) -> None:
    key_files.new_ring(tmp_path / "a.json", PW)
    kdf = json.loads((tmp_path / "a.json").read_bytes())["kdf"]
    assert kdf["memory"] >= 64 << 20
    assert kdf["passes"] >= 3


class TestPassphrase:
    def test_variable_first(self, tmp_path: Path) -> None:
        (tmp_path / "dam-key-passphrase").write_text("from systemd\n")
        environ = {"DAM_KEY_PASSPHRASE": "from env", "CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert key_files.find_passphrase(environ) == "from env"

    def test_then_the_credential(self, tmp_path: Path) -> None:
        (tmp_path / "dam-key-passphrase").write_text("from systemd \n")
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert key_files.find_passphrase(environ, lambda _: "typed") == "from systemd "

    def test_then_a_person(self, tmp_path: Path) -> None:
        asked: list[str] = []
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert key_files.find_passphrase(environ, lambda q: asked.append(q) or "typed") == "typed"
        assert len(asked) == 1

    @pytest.mark.parametrize("environ", [{}, {"DAM_KEY_PASSPHRASE": ""}])
    def test_or_an_error_that_says_what_to_do(self, environ: dict[str, str]) -> None:
        with pytest.raises(KeyFileError, match="set DAM_KEY_PASSPHRASE"):
            key_files.find_passphrase(environ)

    def test_an_unreadable_credential(self, tmp_path: Path) -> None:
        (tmp_path / "dam-key-passphrase").write_bytes(b"\xff\xfe")
        with pytest.raises(KeyFileError):
            key_files.find_passphrase({"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_atomic_files_take_their_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"1", mode=0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write_atomic(path, b"2")
    assert path.read_bytes() == b"2"
    with pytest.raises(FileExistsError):
        write_atomic(path, b"3", overwrite=False)
    assert path.read_bytes() == b"2"
    write_atomic(tmp_path / "b", b"4", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
