"""``dam keys``: the encrypted key files, which are not the signing accounts (those are Ape's)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from dam.cli.session import (
    Group,
    ask_hidden,
    json_option,
    key_passphrase,
    print_note,
    print_result,
    to_hex,
)
from dam.config.settings import home_folder, key_paths
from dam.errors import KeyFileError
from dam.keystore import key_files

KINDS = ("deliverer", "seller", "buyer")
_WHAT = {
    "deliverer": "key ring",
    "seller": "seed of content keys and shares",
    "buyer": "seed of purchase secrets",
}


@click.group(cls=Group)
def keys() -> None:
    """Key files: a deliverer's key ring, a seller's seed, a buyer's seed.

    Each is encrypted with a passphrase (DAM_KEY_PASSPHRASE, or asked for) and of mode 0600. They
    sign nothing: accounts that sign are Ape's (`ape accounts list`).
    """


def _path(kind: str) -> Path:
    path: Path = getattr(key_paths(home_folder()), kind)
    return path


def _new_passphrase() -> str:
    """The passphrase of a new file; typed twice where it is typed."""

    def twice(question: str) -> str:
        first = ask_hidden(question)
        if first != ask_hidden("Once more"):
            raise KeyFileError("the two passphrases differ; nothing was made")
        return first

    return key_files.find_passphrase(os.environ, twice if sys.stdin.isatty() else None)


@keys.command()
@click.argument("kinds", nargs=-1, required=True, type=click.Choice([*KINDS, "all"]))
@json_option
def new(kinds: tuple[str, ...], as_json: bool) -> None:
    """Makes key files: deliverer, seller, buyer, or all of them."""
    wanted = KINDS if "all" in kinds else tuple(dict.fromkeys(kinds))
    for kind in wanted:
        if _path(kind).exists():
            raise KeyFileError(
                f"{_path(kind)} is there already, and is kept; nothing was made. If it is yours, "
                "go on with it"
            )
    if sys.stdin.isatty():
        for kind in wanted:
            print_note(f"Makes {_path(kind)}: the {_WHAT[kind]}, encrypted.")
    passphrase = _new_passphrase()
    made = []
    for kind in wanted:
        path = _path(kind)
        entry = {"kind": kind, "path": str(path)}
        if kind == "deliverer":
            entry["publicKey"] = to_hex(key_files.new_ring(path, passphrase).current.public)
        else:
            key_files.new_seed_file(
                path, "seller-seed" if kind == "seller" else "buyer-seed", passphrase
            )
        made.append(entry)
    lines = [f"Made {entry['path']}: the {_WHAT[entry['kind']]}, encrypted." for entry in made]
    lines += [f"Back it up now: dam keys backup {entry['kind']} FILE" for entry in made]
    lines.append("Nobody can restore a lost one.")
    print_result({"made": made}, as_json, "\n".join(lines))


@keys.command()
@json_option
def rotate(as_json: bool) -> None:
    """Gives the deliverer's ring a new key; the old ones stay, for the parts sealed to them.

    Sellers use the new key once `dam deliverer rotate` has announced it.
    """
    ring = key_files.rotate_ring(_path("deliverer"), key_passphrase())
    public = to_hex(ring.current.public)
    print_result(
        {"publicKey": public, "keys": len(ring.keys)},
        as_json,
        f"New key {public}, the ring has {len(ring.keys)}.\n"
        "Next: restart the daemon with it, then announce it: dam deliverer rotate",
    )


@keys.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def backup(kind: str, target: Path, as_json: bool) -> None:
    """Copies a key file, still encrypted, once the passphrase has opened it."""
    key_files.backup(_path(kind), target, key_passphrase())
    more = {"seller": " Back up the catalogue folder, too: both together restore a store."}
    text = f"{target} holds the {_WHAT[kind]}, encrypted.{more.get(kind, '')}"
    print_result({"kind": kind, "path": str(target)}, as_json, text)


@keys.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("source", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@json_option
def restore(kind: str, source: Path, as_json: bool) -> None:
    """Puts a backup back. A file that is there already is never replaced."""
    path, passphrase = _path(kind), key_passphrase()
    key_files.restore(source, path, passphrase)
    try:
        if kind == "deliverer":
            key_files.load_ring(path, passphrase)
        else:
            key_files.load_seed(
                path, "seller-seed" if kind == "seller" else "buyer-seed", passphrase
            )
    except KeyFileError:
        path.unlink()  # ours, made a moment ago: a backup of another kind
        raise KeyFileError(f"{source} is a backup, but not of a {_WHAT[kind]}") from None
    hint = " Then: dam buyer purchases --rescan" if kind == "buyer" else ""
    print_result({"kind": kind, "path": str(path)}, as_json, f"Restored to {path}.{hint}")
