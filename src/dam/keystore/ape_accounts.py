"""Signing accounts: the encrypted keyfiles that Ape keeps, opened without Ape.

Ape writes its keyfiles with the mode that the umask gives, 0644 on most machines; `load_account`
sets that to 0600 and says so. The passphrase comes from Ape's own variable
``APE_ACCOUNTS_<alias>_PASSPHRASE`` (for an alias with hyphens also with underscores in their place,
since a shell cannot set the other), from the systemd credential ``<alias>``, or from a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount

from dam.atomic_file import read_regular, write_atomic
from dam.crypto.hashing import parse_address
from dam.errors import KeyFileError, Malformed
from dam.ethereum.compact_signature import sign_digest
from dam.ethereum.eip1559 import sign_transaction
from dam.ipfs import dag_json
from dam.keystore.key_files import MAX_FILE_BYTES, read_private, systemd_credential
from dam.types import Address, Signature

_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Signer:
    """An account that signs transactions; its key is nowhere in its text forms."""

    address: Address
    _account: LocalAccount = field(repr=False)
    _key: PrivateKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", PrivateKey(bytes(self._account.key)))

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """The raw signed transaction, ready for ``eth_sendRawTransaction``.

        Args:
            transaction: Names as in JSON-RPC (``chainId``, ``nonce``, ``to``, ``data``, ``value``,
                ``gas``, ``maxFeePerGas``, ``maxPriorityFeePerGas``); integers or 0x-hex, ``data``
                also as bytes.

        Raises:
            ValueError: No chain id: such a signature would hold on every chain. Or it is neither
                of EIP-1559's kind nor of EIP-155's.
        """
        if "chainId" not in transaction:
            raise ValueError("a transaction is signed for one chain alone: chainId is missing")
        return sign_transaction(self._key, transaction)

    def sign_digest(self, digest: bytes) -> Signature:
        """The signature of an EIP-712 digest that `dam.crypto.hashing` made."""
        return sign_digest(self._key, digest)

    def sign_typed(self, message: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """v, r and s over EIP-712 data; its domain names chain and contract.

        Raises:
            ValueError: The domain names no chain or no contract.
        """
        if not {"chainId", "verifyingContract"} <= set(message["domain"]):
            raise ValueError("typed data is signed for one chain and contract alone")
        signed = self._account.sign_typed_data(full_message=message)
        return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def _signer(account: LocalAccount) -> Signer:
    return Signer(Address(account.address), account)


def accounts_folder(environ: Mapping[str, str]) -> Path:
    """Where Ape keeps its keyfiles: ``$APE_DATA_FOLDER/accounts`` or ``~/.ape/accounts``."""
    folder = environ.get("APE_DATA_FOLDER")
    return (Path(folder) if folder else Path.home() / ".ape") / "accounts"


def keyfile_path(alias: str, environ: Mapping[str, str]) -> Path:
    """The keyfile of an Ape account.

    Raises:
        KeyFileError: The alias could not be the name of one.
    """
    if not _ALIAS.fullmatch(alias):
        raise KeyFileError("the alias of an account is letters, digits, '_', '-' and '.'")
    return accounts_folder(environ) / f"{alias}.json"


def address_of(alias: str, environ: Mapping[str, str]) -> Address:
    """The address of an account, which its keyfile names in plain: no passphrase is needed.

    Raises:
        KeyFileError: There is no such account, or its file does not name its address.
    """
    path = keyfile_path(alias, environ)
    try:
        value = dag_json.loads(read_regular(path, MAX_FILE_BYTES))["address"]
        return parse_address("0x" + str(value).lower().removeprefix("0x"))
    except FileNotFoundError:
        raise KeyFileError(
            f"there is no account {alias} in {path.parent}; make one with: "
            f"ape accounts generate {alias}"
        ) from None
    except (OSError, KeyError, TypeError, Malformed):
        raise KeyFileError(f"{path} does not name its address; use --address") from None


def account_passphrase(
    alias: str, environ: Mapping[str, str], prompt: Callable[[str], str] | None
) -> str:
    """The passphrase of an account, from where this module says.

    Raises:
        KeyFileError: Nobody gave one.
    """
    names = dict.fromkeys(
        f"APE_ACCOUNTS_{name}_PASSPHRASE" for name in (alias, re.sub("[-.]", "_", alias))
    )
    for name in names:
        if name in environ:
            return environ[name]
    found = systemd_credential(environ, alias)
    if found is None and prompt is not None:
        found = prompt(f"Passphrase of the account {alias}")
    if found is None:
        raise KeyFileError(
            f"no passphrase for the account {alias}: set {list(names)[-1]}, or give the systemd "
            f"credential {alias}"
        )
    return found


def load_account(
    alias: str,
    *,
    environ: Mapping[str, str],
    prompt: Callable[[str], str] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Signer:
    """Opens an Ape account (about a second: its key derivation is meant to be slow).

    Args:
        alias: Ape's name for it.
        environ: Usually ``os.environ``.
        prompt: Asks a person for the passphrase; None where there is nobody to ask.
        notice: Takes the sentence that says that the keyfile's mode was changed; it is logged
            otherwise.

    Raises:
        KeyFileError: There is no such account, its file is unsafe, or the passphrase is wrong.
    """
    path = keyfile_path(alias, environ)
    if not path.exists() and not path.is_symlink():
        raise KeyFileError(
            f"there is no account {alias} in {path.parent}; make one with: "
            f"ape accounts generate {alias}"
        )
    data, tightened = read_private(path, tighten=True)
    if tightened:
        text = f"{path} was open to other users; its mode is 0600 now"
        if notice is None:
            structlog.get_logger().warning("keyfile-tightened", path=str(path), detail=text)
        else:
            notice(text)
    passphrase = account_passphrase(alias, environ, prompt)
    try:
        keyfile = dag_json.loads(data)
        _check_work(keyfile)
        account = Account.from_key(Account.decrypt(keyfile, passphrase))
    except Malformed as error:
        raise KeyFileError(f"{path} is no keyfile of Ape: {error}") from None
    except (
        ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError,
        MemoryError,
    ) as error:  # fmt: skip
        # eth_keyfile raises ValueError("MAC mismatch") for a wrong passphrase.
        wrong = isinstance(error, ValueError) and "MAC" in str(error)
        why = "the passphrase is wrong" if wrong else "it is no keyfile of Ape"
        raise KeyFileError(f"{path} does not open: {why}") from None
    return _signer(account)


def _check_work(keyfile: Any) -> None:
    """A file must not make its reader work for hours, or take all of the memory.

    Raises:
        Malformed: Its key derivation asks for over a gigabyte, or ten million rounds.
    """
    crypto = keyfile.get("crypto", keyfile.get("Crypto")) if isinstance(keyfile, dict) else None
    params = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(params, dict):
        raise Malformed("it has no crypto.kdfparams")
    rounds, n, r, p = (params.get(name, 1) for name in ("c", "n", "r", "p"))
    for value in (rounds, n, r, p):
        if type(value) is not int or not 1 <= value <= 10_000_000:
            raise Malformed("its kdfparams are out of bounds")
    if 128 * n * r > 1 << 30 or p > 16:
        raise Malformed("its kdfparams are out of bounds")


def new_account(alias: str, passphrase: str, environ: Mapping[str, str]) -> tuple[Address, str]:
    """Makes an Ape account: a keyfile that `ape accounts list` shows.

    Returns:
        Its address, and the twelve words from which its key can be made again (at Ethereum's
        usual path, m/44'/60'/0'/0/0). They are in no file: show them once, to a person.

    Raises:
        KeyFileError: The name is taken, or could not be one.
    """
    if not passphrase:
        raise KeyFileError("the passphrase of an account is not empty")
    path = keyfile_path(alias, environ)
    Account.enable_unaudited_hdwallet_features()
    account, words = Account.create_with_mnemonic()
    keyfile = Account.encrypt(account.key, passphrase)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        write_atomic(path, json.dumps(keyfile).encode(), overwrite=False)
    except FileExistsError:
        raise KeyFileError(f"{path} is there already") from None
    return Address(account.address), words
