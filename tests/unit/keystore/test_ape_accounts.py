"""Ape's keyfiles opened without Ape: the same account, made safe, and signatures for one chain."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from dam.errors import KeyFileError
from dam.keystore import ape_accounts
from dam.keystore.ape_accounts import Signer, load_account

KEY = bytes(range(1, 33))
ADDRESS = Account.from_key(KEY).address
PW = "correct horse"


@pytest.fixture(scope="module")
def keyfile() -> str:
    return json.dumps(Account.encrypt(KEY, PW, kdf="scrypt", iterations=2))


@pytest.fixture
def home(tmp_path: Path, keyfile: str) -> Path:
    """An Ape data folder with two accounts, as Ape writes them: 0644."""
    (tmp_path / "accounts").mkdir()
    for alias in ("bot", "my-bot.2"):
        path = tmp_path / "accounts" / f"{alias}.json"
        path.write_text(keyfile)
        path.chmod(0o644)
    return tmp_path


def env(home: Path, **more: str) -> dict[str, str]:
    return {"APE_DATA_FOLDER": str(home), **more}


def test_an_account_by_apes_own_variable(home: Path) -> None:
    notices: list[str] = []
    environ = env(home, APE_ACCOUNTS_bot_PASSPHRASE=PW)
    signer = load_account("bot", environ=environ, notice=notices.append)
    assert signer.address == ADDRESS
    path = home / "accounts" / "bot.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(notices) == 1
    assert str(path) in notices[0]
    assert "0600" in notices[0]
    load_account("bot", environ=environ, notice=notices.append)
    assert len(notices) == 1


def test_tightening_is_logged_where_nobody_takes_the_notice(home: Path) -> None:
    from structlog.testing import capture_logs

    with capture_logs() as logs:
        load_account("bot", environ=env(home, APE_ACCOUNTS_bot_PASSPHRASE=PW))
    assert [entry["event"] for entry in logs] == ["keyfile-tightened"]
    assert PW not in str(logs)


def test_aliases_that_a_shell_cannot_name(home: Path) -> None:
    for name in ("my-bot.2", "my_bot_2"):
        environ = env(home, **{f"APE_ACCOUNTS_{name}_PASSPHRASE": PW})
        assert load_account("my-bot.2", environ=environ, notice=print).address == ADDRESS


def test_systemd_credential_and_prompt(home: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    environ = env(home, CREDENTIALS_DIRECTORY=str(credentials))
    asked: list[str] = []
    signer = load_account("bot", environ=environ, prompt=lambda q: asked.append(q) or PW)
    assert signer.address == ADDRESS
    assert asked == ["Passphrase of the account bot"]
    (credentials / "bot").write_text(PW + "\n")
    assert load_account("bot", environ=environ).address == ADDRESS


def test_ape_reads_the_same_variable() -> None:
    """Ape's own source names it; a new version that renames it should be noticed here."""
    package = importlib.util.find_spec("ape_accounts")
    assert package
    assert package.origin
    source = Path(package.origin).with_name("accounts.py").read_text()
    assert 'f"APE_ACCOUNTS_{self.alias}_PASSPHRASE"' in source


@pytest.mark.parametrize("environ", [{}, {"APE_ACCOUNTS_bot_PASSPHRASE": "wrong horse"}])
def test_no_or_wrong_passphrase(home: Path, environ: dict[str, str]) -> None:
    with pytest.raises(KeyFileError) as caught:
        load_account("bot", environ=env(home, **environ), notice=print)
    assert "wrong horse" not in str(caught.value)
    assert "passphrase" in str(caught.value)


def test_no_such_account(home: Path) -> None:
    with pytest.raises(KeyFileError, match="ape accounts generate nobody"):
        load_account("nobody", environ=env(home))


@pytest.mark.parametrize("alias", ["", "..", "../x", "a/b", "-x", "a\nb", ".hidden", "x" * 65])
def test_aliases_that_are_no_names(home: Path, alias: str) -> None:
    with pytest.raises(KeyFileError):
        load_account(alias, environ=env(home))


def test_links_and_strangers_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = env(home, APE_ACCOUNTS_link_PASSPHRASE=PW, APE_ACCOUNTS_bot_PASSPHRASE=PW)
    (home / "accounts" / "link.json").symlink_to(home / "accounts" / "bot.json")
    with pytest.raises(KeyFileError, match="symbolic link"):
        load_account("link", environ=environ)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(KeyFileError, match="chown"):
        load_account("bot", environ=environ)
    assert stat.S_IMODE((home / "accounts" / "bot.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"version": 3}', "not json", "5"])
def test_files_that_are_no_keyfiles(home: Path, data: str) -> None:
    (home / "accounts" / "bot.json").write_text(data)
    with pytest.raises(KeyFileError):
        load_account("bot", environ=env(home, APE_ACCOUNTS_bot_PASSPHRASE=PW), notice=print)


def test_where_ape_keeps_them(tmp_path: Path) -> None:
    assert ape_accounts.accounts_folder({"APE_DATA_FOLDER": "/x"}) == Path("/x/accounts")
    assert ape_accounts.accounts_folder({}) == Path.home() / ".ape" / "accounts"


TX = {
    "chainId": 31337,
    "nonce": 7,
    "to": "0x" + "11" * 20,
    "value": 0,
    "data": "0x1234",
    "gas": 21_000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
}


SIGNER = Signer(ADDRESS, Account.from_key(KEY))


def test_signatures() -> None:
    signer = SIGNER
    assert signer.address == ADDRESS
    raw = signer.sign(TX)
    assert raw == signer.sign(TX), "deterministic (RFC 6979): the same bytes after a restart"
    assert raw[0] == 2
    assert Account.recover_transaction(raw) == ADDRESS
    assert TypedTransaction.from_bytes(HexBytes(raw)).as_dict()["chainId"] == 31337


def test_no_signature_for_every_chain() -> None:
    without = {name: value for name, value in TX.items() if name != "chainId"}
    with pytest.raises(ValueError, match="chainId"):
        SIGNER.sign(without)


def test_signers_print_no_key() -> None:
    signer = SIGNER
    for text in (repr(signer), str(signer)):
        assert KEY.hex() not in text
        assert ADDRESS in text


def test_a_new_account_is_one_of_apes(tmp_path: Path) -> None:
    """The words give the same key again, the file opens, and no name is taken twice."""
    environ = env(tmp_path, APE_ACCOUNTS_fresh_PASSPHRASE=PW)
    address, words = ape_accounts.new_account("fresh", PW, environ)
    path = tmp_path / "accounts" / "fresh.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_account("fresh", environ=environ).address == address
    assert len(words.split()) == 12
    assert Account.from_mnemonic(words).address == address
    text = path.read_text()
    assert words not in text
    # "salt" and "address" are words of the list, and names of the file's fields.
    names = set(re.findall(r'"(\w+)": ', text))
    assert not (set(words.split()) - names) & set(text.split('"'))
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="there already"):
        ape_accounts.new_account("fresh", PW, environ)
    assert path.read_bytes() == before
    with pytest.raises(KeyFileError, match="not empty"):
        ape_accounts.new_account("other", "", environ)
    with pytest.raises(KeyFileError):
        ape_accounts.new_account("../other", PW, environ)
