"""Every file of the user's own, with nonsense inside: its documented error, and no hanging."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from dam.catalog.payload import InlinePayload
from dam.cli.session import role_address
from dam.config.settings import Settings
from dam.config.table import SETTINGS
from dam.errors import ConfigError, DamError, KeyFileError, Permanent
from dam.keystore import key_files
from dam.keystore.ape_accounts import load_account
from dam.market.deployment import load_deployment, save_deployment
from dam.roles.buyer import records
from dam.roles.buyer.records import Record, Records
from dam.roles.seller.listings import Catalogue, to_json
from dam.types import CopyId, Deployment

SECONDS = 20
PASSPHRASE = "correct horse"

CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 16,
    "NUL": b"\0" * 4096,
    "Latin-1": 'name = "Grüße"'.encode("latin-1"),
    "UTF-16": '{"version": 1}'.encode("utf-16"),
    "huge": b'"' + b"x" * (2 << 20) + b'"',
    "deep arrays": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep TOML": b"a = " + b"[" * 30_000,
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"7",
    "null": b"null",
    "an empty object": b"{}",
    "a key twice": b'{"version":1,"version":1}',
    "a TOML key twice": b'rpc = "http://x"\nrpc = "http://x"\n',
    "negative": b'{"version":-1}',
    "a number of 400 digits": b'{"version":1' + b"0" * 400 + b"}",
    "a number of 5000 digits": b'{"version":1' + b"0" * 5000 + b"}",
    "infinite": b'{"version":1e999}',
    "NaN": b'{"version":NaN}',
    "a lone surrogate": b'{"version":"\\ud800"}',
    "cut off": b'{"version":1,"chain',
}
VALUES: list[Any] = [
    None, True, -1, 0, 2**63, 2**200, 1.5, "", "x", "\0", "\ud800", "é" * 9999, "0x",
    "0x" + "g" * 64, [], [[]], {}, {"a": {}}, ["x"] * 9,
]  # fmt: skip


def special(path: Path) -> dict[str, Callable[[], object]]:
    """What is no file, put in a file's place."""
    return {
        "a FIFO": lambda: os.mkfifo(path),
        "a folder": path.mkdir,
        "a device": lambda: path.symlink_to("/dev/zero"),
        "a ring of links": lambda: path.symlink_to(path),
        "a socket's place": lambda: path.symlink_to("/dev/full"),
    }


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"took over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_files, "KDF_PASSES", 1)
    monkeypatch.setattr(key_files, "KDF_MEMORY_BYTES", 8 << 10)


def _told(read: Callable[[], object], error: type[Exception], what: str) -> str | None:
    """What the documented error says; None where there is none."""
    try:
        read()
    except error as found:
        told = str(found)
    except Exception as found:
        raise AssertionError(f"{what}: {found!r}") from found
    else:
        return None
    assert told, what
    assert len(told) < 4000, what
    return told


class Reader:
    """A file, what reads it, and the error that it is documented to raise."""

    def __init__(self, path: Path, valid: bytes, read: Callable[[], object], error: type) -> None:
        self.path, self.valid, self.error = path, valid, error
        self._read = read

    def read(self, what: str) -> None:
        told = _told(self._read, self.error, f"{self.path.name}, {what}")
        assert told is None or self.path.name in told or "credential" in told, (what, told)

    def put(self, data: bytes) -> None:
        self.remove()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.write_bytes(data)
        self.path.chmod(0o600)

    def remove(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rmdir()
        self.path.unlink(missing_ok=True)


def _records_of(home: Path, deployment: Deployment, make: Any) -> bytes:
    one = Record(
        deployment.chain_id, deployment.market, CopyId(b"\1" * 32), 0, make.seller, make.buyer,
        "item", "Title", b"\2" * 32, b"\3" * 32, (b"\4" * 32,),
        InlinePayload(b"\5" * 80), (), "2026-01-01T00:00:00Z",
    )  # fmt: skip
    return records.to_json(one)


def _fresh(folder: Path) -> Path:
    return folder / "new" / os.urandom(8).hex()


NAMES = [
    "config", "deployment", "ring", "seed", "backup", "account", "address", "record", "listing",
    "past", "credential",
]  # fmt: skip


@pytest.fixture
def reader(request: Any, tmp_path: Path, deployment: Deployment, make: Any, shop: Any) -> Reader:
    name: str = request.param
    home = tmp_path / "home"
    if name in ("config", "deployment"):
        home.mkdir()
        save_deployment(deployment, home / "deployment.json")
        config = home / "config.toml"
        config.write_text('rpc = "http://x"\ndeployment = "deployment.json"\n')
        if name == "deployment":
            path = home / "deployment.json"
            return Reader(path, path.read_bytes(), lambda: load_deployment(path), ConfigError)
        env = {"DAM_HOME": str(home)}
        return Reader(config, config.read_bytes(), lambda: Settings.load(env), ConfigError)
    path = home / f"{name}.json"
    if name in ("ring", "seed", "backup"):
        key_files.new_ring(path, PASSPHRASE) if name == "ring" else key_files.new_seed_file(
            path, "buyer-seed", PASSPHRASE
        )
        reads: dict[str, Callable[[], object]] = {
            "ring": lambda: key_files.load_ring(path, PASSPHRASE),
            "seed": lambda: key_files.load_seed(path, "buyer-seed", PASSPHRASE),
            "backup": lambda: key_files.restore(path, _fresh(tmp_path), PASSPHRASE),
        }  # fmt: skip
        return Reader(path, path.read_bytes(), reads[name], KeyFileError)
    if name in ("account", "address"):
        path = tmp_path / "ape" / "accounts" / "ada.json"
        path.parent.mkdir(parents=True)
        key = Account.create()
        data = json.dumps(Account.encrypt(key.key, PASSPHRASE, iterations=2)).encode()
        env = {"APE_DATA_FOLDER": str(tmp_path / "ape"), "APE_ACCOUNTS_ada_PASSPHRASE": PASSPHRASE}
        if name == "account":
            return Reader(path, data, lambda: load_account("ada", environ=env), KeyFileError)
        save_deployment(deployment, tmp_path / "deployment.json")
        env |= {"DAM_HOME": str(home), "DAM_RPC_URL": "http://x", "DAM_ACCOUNT": "ada"}
        settings = Settings.load(env | {"DAM_DEPLOYMENT": str(tmp_path / "deployment.json")})
        request.getfixturevalue("monkeypatch").setenv("APE_DATA_FOLDER", str(tmp_path / "ape"))
        return Reader(path, data, lambda: role_address(settings, "buyer"), KeyFileError)
    if name == "record":
        path = home / "0x01-0.json"
        data = _records_of(home, deployment, make)
        return Reader(path, data, lambda: Records(home).all(), Permanent)
    if name in ("listing", "past"):
        catalogue = Catalogue(home)
        root = b"\7" * 32
        if name == "listing":
            path = home / "items" / "coupon.json"
            return Reader(path, to_json(shop.draft()), lambda: list(catalogue.all()), Permanent)
        path = home / "past" / f"{root.hex()}.json"
        return Reader(path, to_json(shop.draft()), lambda: catalogue.recall(root), Permanent)
    path = home / "dam-key-passphrase"
    env = {"CREDENTIALS_DIRECTORY": str(home)}
    return Reader(path, b"x", lambda: key_files.find_passphrase(env), KeyFileError)


@pytest.mark.parametrize("reader", NAMES, indirect=True)
def test_any_contents(reader: Reader) -> None:
    for what, data in CONTENTS.items():
        reader.put(data)
        reader.read(what)


@pytest.mark.parametrize("reader", NAMES, indirect=True)
def test_what_is_no_file(reader: Reader) -> None:
    for what, make_special in special(reader.path).items():
        reader.remove()
        reader.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_special()
        reader.read(what)


@pytest.mark.parametrize("reader", [n for n in NAMES if n not in ("config", "credential")],
                         indirect=True)  # fmt: skip
def test_any_value_in_any_place(reader: Reader) -> None:
    """A valid file, each of its values replaced by each that it is not."""
    reader.put(reader.valid)
    reader.read("valid")
    whole = json.loads(reader.valid)
    for place in list(_places(whole)):
        for value in VALUES:
            changed = json.loads(reader.valid)
            _set(changed, place, value)
            reader.put(json.dumps(changed).encode())
            reader.read(f"{place} = {ascii(value)[:40]}")


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*above, key)
        if isinstance(one, dict | list):
            yield from _places(one, (*above, key))


def _set(value: Any, place: tuple[Any, ...], new: Any) -> None:
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = new


TOML = [
    "true", "-1", "0", "9223372036854775807", "99999999999999999999999999", "1.5", "inf", "nan",
    '""', '"x"', '"~nobody-of-this-name/x"', '"a\\u0000b"', '"http://[::1"', '"dir:~nobody-here"',
    '"http://user:pass@127.0.0.1"', '"dir:a\\u0000b"', '"/ip4/1/tcp/1"', "[]", "[[1]]", "{}",
    '{ a = "b" }', '["http://x", 1]', "1979-05-27", "07:32:00", '"' + "x" * 2000 + '"',
    '"9e9 ether"',
]  # fmt: skip


@pytest.mark.parametrize("reader", ["config"], indirect=True)
def test_any_value_of_any_setting(reader: Reader) -> None:
    for setting in SETTINGS:
        for value in TOML:
            lines = [line for line in reader.valid.decode().splitlines()
                     if not line.startswith(f"{setting.key} ")]  # fmt: skip
            reader.put("\n".join([f"{setting.key} = {value}", *lines, ""]).encode())
            reader.read(f"{setting.key} = {value[:40]}")
            text = value.strip('"')
            home = {"DAM_HOME": str(reader.path.parent)}
            reader.put(reader.valid)
            _told(lambda env=home | {setting.variable: text}: Settings.load(env), ConfigError, text)
    # Values of the environment may be no text at all.
    for setting in SETTINGS:
        for odd in ("\udcff\udcfe", "\x1b[2J", "\uff19", "-0", "1e400", "+1", " 1"):
            env = {"DAM_HOME": str(reader.path.parent), setting.variable: odd}
            _told(lambda env=env: Settings.load(env), DamError, setting.key)
