"""People of the demo: each with a home folder, an encrypted Ape keyfile and passphrases of its own.

The keyfiles are what ``ape accounts generate`` writes (Web3 secret storage), only with a lighter
key derivation: the demo makes a dozen of them, and they guard nothing.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from eth_account import Account

from dam.types import Address

_SCRYPT_N = 1 << 12


@dataclass(frozen=True)
class Actor:
    """A party: its account, its home, and the environment in which its commands run."""

    name: str
    """For people, such as ``deliverer 1``."""
    alias: str
    """Of its Ape account: letters, digits and underscores."""
    address: Address
    home: Path
    passphrase: str = field(repr=False)
    private_key: str = field(repr=False)

    @property
    def dam_home(self) -> Path:
        """Where its ``dam`` keeps settings, keys and ledgers."""
        return self.home / "dam"

    def env(self) -> dict[str, str]:
        """The variables that are its own."""
        return {
            "HOME": str(self.home),
            "DAM_HOME": str(self.dam_home),
            "DAM_ACCOUNT": self.alias,
            "DAM_KEY_PASSPHRASE": self.passphrase,
            f"APE_ACCOUNTS_{self.alias}_PASSPHRASE": self.passphrase,
        }


def make_actor(name: str, folder: Path) -> Actor:
    """Makes a home with a fresh account in it.

    Args:
        name: Such as ``deliverer 1``.
        folder: The home is made in here.
    """
    alias = name.replace(" ", "_")
    home = folder / alias
    accounts = home / ".ape" / "accounts"
    accounts.mkdir(parents=True, mode=0o700)
    account = Account.create()
    passphrase = secrets.token_urlsafe(18)
    encrypted = Account.encrypt(account.key, passphrase, kdf="scrypt", iterations=_SCRYPT_N)
    path = accounts / f"{alias}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(encrypted), "utf-8")
    return Actor(
        name, alias, Address(account.address), home, passphrase, "0x" + bytes(account.key).hex()
    )
