"""Key files: a deliverer's keys, a seller's seed, a buyer's seed; encrypted, mode 0600.

Form: JSON with ``version`` 1, ``kind``, ``kdf`` (argon2id13: ``passes``, ``memory`` in bytes,
``salt`` of 16 bytes), ``nonce`` and ``box``; the box is libsodium's secretbox over strict JSON that
names the kind once more. Hex is ``0x`` and lower case. Writing is atomic; a file that others can
read or replace, or a symbolic link, is refused.

The passphrase is asked for in this order: ``DAM_KEY_PASSPHRASE``, the systemd credential
``dam-key-passphrase``, a prompt.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.utils import random

from dam import validation
from dam.atomic_file import read_regular, write_atomic
from dam.crypto import possession
from dam.crypto.derivation import new_seed
from dam.crypto.sealing import public_key
from dam.errors import KeyFileError, Malformed
from dam.ipfs import dag_json
from dam.types import Address

Kind = Literal["deliverer-keys", "seller-seed", "buyer-seed"]
SeedKind = Literal["seller-seed", "buyer-seed"]

KEY_VARIABLE = "DAM_KEY_PASSPHRASE"
KEY_CREDENTIAL = "dam-key-passphrase"
MAX_FILE_BYTES = 1 << 20
_CREDENTIAL_BYTES = 64 << 10
KDF_PASSES = 3
KDF_MEMORY_BYTES = 128 << 20
"""Bytes; with three passes about 0.2 s on one core (RFC 9106 asks for 64 MiB at least)."""
_SALT_BYTES = 16
_NONCE_BYTES = 24


def read_private(path: Path, *, tighten: bool = False) -> tuple[bytes, bool]:
    """Reads a file with a secret, unless others could have read or replaced it.

    Args:
        path: A regular file of ours; a symbolic link is refused.
        tighten: Set a too open mode to 0600 instead of refusing it.

    Returns:
        Its bytes (at most 1 MiB), and whether its mode had to be changed.

    Raises:
        KeyFileError: The message names the command that mends it.
    """
    quoted = shlex.quote(str(path))
    try:
        # NONBLOCK: a pipe in the file's place must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(f"{path} does not exist") from None
    except OSError as error:
        if path.is_symlink():
            raise KeyFileError(f"{path} is a symbolic link; name the file itself") from None
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path} is not a regular file")
        if status.st_uid != os.geteuid():
            raise KeyFileError(
                f"{path} belongs to user {status.st_uid}, not to the one who runs this; run: "
                f"sudo chown {os.geteuid()} {quoted} && chmod 600 {quoted}"
            )
        if mode & 0o077:
            if not tighten:
                raise KeyFileError(
                    f"{path} is open to other users (mode {mode:04o}); run: chmod 600 {quoted}"
                )
            try:
                os.fchmod(descriptor, 0o600)
            except OSError as error:
                raise KeyFileError(
                    f"{path} is open to other users, and cannot be closed to them "
                    f"({error.strerror}): move it to a file system that has permissions"
                ) from None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError(f"{path} is no key file: over {MAX_FILE_BYTES} bytes")
    return data, bool(mode & 0o077)


def systemd_credential(environ: Mapping[str, str], name: str) -> str | None:
    """A systemd credential (``$CREDENTIALS_DIRECTORY/name``), without its last newline, or None."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder) / name
    try:
        # systemd guards this folder by other means (mode 0400, a mount of its own).
        text = read_regular(path, _CREDENTIAL_BYTES).decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise KeyFileError(f"{path} cannot be read: {why}") from None
    return text.removesuffix("\n").removesuffix("\r")


def find_passphrase(environ: Mapping[str, str], prompt: Callable[[str], str] | None = None) -> str:
    """The passphrase of key files.

    Args:
        environ: Usually ``os.environ``.
        prompt: Asks a person, given the text of the question; None where there is nobody to ask.

    Raises:
        KeyFileError: Nobody gave one, or it is empty.
    """
    found = environ.get(KEY_VARIABLE)
    if found is None:
        found = systemd_credential(environ, KEY_CREDENTIAL)
    if found is None and prompt is not None:
        found = prompt("Passphrase of the key file")
    if not found:
        raise KeyFileError(
            f"no passphrase for the key file: set {KEY_VARIABLE}, or give the systemd "
            f"credential {KEY_CREDENTIAL}"
        )
    return found


def _stretch(passphrase: str, salt: bytes, passes: int, memory: int) -> bytes:
    return sodium.crypto_pwhash_alg(
        32,
        passphrase.encode("utf-8", "surrogateescape"),
        salt,
        passes,
        memory,
        sodium.crypto_pwhash_ALG_ARGON2ID13,
    )


def _encrypt(kind: Kind, body: dict[str, Any], passphrase: str) -> bytes:
    if not passphrase:
        raise KeyFileError("the passphrase of a key file is not empty")
    salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
    key = _stretch(passphrase, salt, KDF_PASSES, KDF_MEMORY_BYTES)
    box = sodium.crypto_secretbox(dag_json.dumps({**body, "kind": kind}), nonce, key)
    return dag_json.dumps(
        {
            "version": 1,
            "kind": kind,
            "kdf": {
                "algorithm": "argon2id13",
                "passes": KDF_PASSES,
                "memory": KDF_MEMORY_BYTES,
                "salt": "0x" + salt.hex(),
            },
            "nonce": "0x" + nonce.hex(),
            "box": "0x" + box.hex(),
        }
    )


def _decrypt(data: bytes, path: Path, kind: Kind | None, passphrase: str) -> dict[str, Any]:
    try:
        file = validation.record(
            dag_json.loads(data), "file", ("version", "kind", "kdf", "nonce", "box")
        )
        validation.integer(file["version"], "version", 1, 1)
        kdf = validation.record(file["kdf"], "kdf", ("algorithm", "passes", "memory", "salt"))
        if kdf["algorithm"] != "argon2id13":
            raise Malformed("kdf is not argon2id13")
        # Bounds: a file from a stranger's backup must not eat the machine.
        passes = validation.integer(kdf["passes"], "passes", 1, 16)
        memory = validation.integer(kdf["memory"], "memory", 8 << 10, 1 << 30)
        salt = validation.hexadecimal(kdf["salt"], "salt", _SALT_BYTES)
        nonce = validation.hexadecimal(file["nonce"], "nonce", _NONCE_BYTES)
        box = validation.hexadecimal(file["box"], "box", 16, MAX_FILE_BYTES)
    except Malformed as error:
        raise KeyFileError(f"{path} is no key file of DAM: {error}") from None
    if kind is not None and file["kind"] != kind:
        raise KeyFileError(f"{path} is not a file of kind {kind}")
    try:
        plain = sodium.crypto_secretbox_open(box, nonce, _stretch(passphrase, salt, passes, memory))
    except CryptoError:
        raise KeyFileError(f"the passphrase does not open {path}") from None
    try:
        body = dag_json.loads(plain)
    except Malformed as error:
        raise KeyFileError(f"{path} opens, but holds no keys: {error}") from None
    if not isinstance(body, dict) or body.get("kind") != file["kind"]:
        raise KeyFileError(f"{path} says it is of another kind than it is")
    return body


def _create(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        write_atomic(path, data, overwrite=False)
    except FileExistsError:
        raise KeyFileError(
            f"{path} is there already; move it away first, and keep it: only it opens what it opens"
        ) from None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A deliverer's key: one seed, the Ed25519 key that is announced, the X25519 key that follows.

    See `dam.crypto.possession`.
    """

    seed: bytes = field(repr=False)
    created: str = ""
    """UTC, ISO 8601."""
    announced: bytes = field(init=False)
    """Ed25519 public key."""
    public: bytes = field(init=False)
    """X25519 public key, that parts are sealed to."""
    secret: bytes = field(init=False, repr=False)
    """X25519 secret key, that opens them."""

    def __post_init__(self) -> None:
        secret = possession.sealing_secret(self.seed)
        object.__setattr__(self, "announced", possession.announced_key(self.seed))
        object.__setattr__(self, "public", public_key(secret))
        object.__setattr__(self, "secret", secret)

    @classmethod
    def generate(cls) -> KeyPair:
        return cls(new_seed(), _now())

    def prove_possession(self, chain_id: int, market: Address, operator: Address) -> bytes:
        """The signature that goes with ``announced``, 64 bytes, for one operator of one market."""
        return possession.prove_possession(self.seed, chain_id, market, operator)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A deliverer's keys, the newest first: old ones still open what was sealed to them."""

    keys: tuple[KeyPair, ...]

    @classmethod
    def generate(cls) -> KeyRing:
        return cls((KeyPair.generate(),))

    @property
    def current(self) -> KeyPair:
        """The key that new parts are sealed to."""
        return self.keys[0]

    def has(self, public: bytes) -> bool:
        """Whether it holds the key pair of a public key."""
        return any(pair.public == public for pair in self.keys)

    def rotated(self) -> KeyRing:
        """A ring with a new current key before all of these."""
        return KeyRing((KeyPair.generate(), *self.keys))

    def _body(self) -> dict[str, Any]:
        return {"keys": [{"seed": "0x" + k.seed.hex(), "created": k.created} for k in self.keys]}

    @classmethod
    def _from_body(cls, body: dict[str, Any]) -> KeyRing:
        keys = []
        for entry in body["keys"]:
            seed = validation.bytes32(entry["seed"], "seed")
            keys.append(KeyPair(seed, str(entry["created"])))
        if not keys:
            raise Malformed("a key ring without keys")
        return cls(tuple(keys))


def new_ring(path: Path, passphrase: str) -> KeyRing:
    """Makes a deliverer's key file; never replaces one."""
    ring = KeyRing.generate()
    _create(path, _encrypt("deliverer-keys", ring._body(), passphrase))
    return ring


def load_ring(path: Path, passphrase: str) -> KeyRing:
    """Opens a deliverer's key file.

    Raises:
        KeyFileError: It cannot be used; the message says why, and how to mend it.
    """
    body = _decrypt(read_private(path)[0], path, "deliverer-keys", passphrase)
    try:
        return KeyRing._from_body(body)
    except (Malformed, KeyError, TypeError):
        raise KeyFileError(f"{path} opens, but holds no deliverer's keys") from None


def rotate_ring(path: Path, passphrase: str) -> KeyRing:
    """Adds a new current key to the file, and keeps the old ones.

    The file is safe on disk when this returns: announce the key on chain only then.
    """
    ring = load_ring(path, passphrase).rotated()
    write_atomic(path, _encrypt("deliverer-keys", ring._body(), passphrase))
    return ring


def new_seed_file(path: Path, kind: SeedKind, passphrase: str) -> bytes:
    """Makes a seed and its file; never replaces one. Returns the 32-byte seed."""
    seed = new_seed()
    _create(path, _encrypt(kind, {"seed": "0x" + seed.hex()}, passphrase))
    return seed


def load_seed(path: Path, kind: SeedKind, passphrase: str) -> bytes:
    """Opens a seed file: 32 bytes.

    Raises:
        KeyFileError: It cannot be used; the message says why, and how to mend it.
    """
    body = _decrypt(read_private(path)[0], path, kind, passphrase)
    try:
        return validation.bytes32(body.get("seed"), "seed")
    except Malformed:
        raise KeyFileError(f"{path} opens, but holds no seed") from None


def backup(path: Path, target: Path, passphrase: str) -> None:
    """Copies a key file, still encrypted, after checking that the passphrase opens it."""
    data, _ = read_private(path)
    _decrypt(data, path, None, passphrase)
    _create(target, data)


def restore(source: Path, path: Path, passphrase: str) -> None:
    """Puts a backup back as a key file; never replaces one.

    The backup may lie on a medium without permissions: it is only ciphertext.
    """
    try:
        data = read_regular(source, MAX_FILE_BYTES)
    except OSError as error:
        raise KeyFileError(f"{source} cannot be read: {error.strerror}") from None
    _decrypt(data, source, None, passphrase)
    _create(path, data)
