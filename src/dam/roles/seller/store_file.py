"""A store as its seller writes it, a TOML file or a folder of files. All mistakes come together.

    [store]
    name = "Ada's codes"

    [defaults]            # for every item that does not say otherwise
    commission = "5%"     # of the price, or an amount: what all deliverers of a copy earn together

    [[items]]
    id = "game-key"
    title = "A key for the game"
    price = "0.05 ether"
    codes_file = "codes.txt"   # one code per line, each sold once; or a .csv and its `column`

    [[items]]
    id = "handbook"
    price = "0.1 ether"
    file = "handbook.pdf"      # everybody gets the same file
    supply = 500

    [[items]]
    id = "poster"
    token = "0x..."            # an ERC-20 token; its decimals are read, or written as `decimals`
    price = "5.25"             # in whole tokens; the other amounts stay in the native coin
    commission = "0.001 ether"
    penalty = "0.002 ether"
    file = "poster.png"

Paths are relative to the TOML file. Nothing here touches the chain.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dam import validation
from dam.atomic_file import open_regular
from dam.catalog import about
from dam.catalog.about import About
from dam.catalog.document import MAX_SUPPLY
from dam.catalog.payload import CHUNK_BYTES, MAX_CHUNKS, MAX_INLINE_BYTES
from dam.console import printable
from dam.crypto.hashing import parse_address
from dam.errors import Malformed, Permanent
from dam.ethereum.erc20 import MAX_DECIMALS, NATIVE, Token, Tokens
from dam.roles.seller import code_files
from dam.roles.seller.drafted import ItemDraft, StoreDraft
from dam.roles.seller.goods_folder import read_goods_folder
from dam.roles.seller.toml_file import Lines, load
from dam.types import MAX_PARTS, ZERO_ADDRESS, Address
from dam.units import parse_amount

DEFAULT_SUPPLY = 1_000
"""Copies of a file, unless the seller says otherwise."""
MAX_CODES = 100_000
_MONEY = ("price", "token", "decimals", "commission", "penalty", "bond")
_TERMS = (*_MONEY, "parts", "threshold", "arbitrator")
_SAYS = {
    "summary": "summary",
    "tags": "tags",
    "language": "language",
    "description": "description",
    "licence": "licence",
    "media_type": "mediaType",
}
"""What an item may say of itself: the key here, and the one in the document."""
_DEFAULTS = (*_TERMS, "supply", "deliverers", "metadata", "tags", "language", "licence")
_GOODS = ("codes_file", "codes", "file", "text")
_ITEM = ("id", "title", *dict.fromkeys((*_SAYS, *_DEFAULTS)), "column", *_GOODS)
_MAX_FAULTS = 20
"""Of one list of codes; more are counted."""
T = TypeVar("T")
_Where = Callable[[str], str]
"""The place of an item's key in the file, for messages."""


class Faults(Permanent):
    """A seller's mistakes, all of them, each with its place."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        faults = self.faults = sorted(faults, key=_line_of)
        count = "one mistake" if len(faults) == 1 else f"{len(faults)} mistakes"
        listed = "".join(f"\n  - {fault}" for fault in faults)
        super().__init__(f"{path}: {count}; nothing was published:{listed}")


def _line_of(fault: str) -> int:
    match = re.match(r"line (\d+), ", fault)
    return int(match[1]) if match else 0


def read_store_file(
    path: Path, *, overrides: Mapping[str, Any] | None = None, tokens: Tokens | None = None
) -> StoreDraft:
    """Reads a store from a TOML file.

    Args:
        path: The file.
        overrides: Defaults from the command line, which go before those of the file.
        tokens: What is known of the tokens in it.

    Raises:
        Faults: With every mistake found.
    """
    try:
        text, document = load(path)
    except Malformed as error:
        raise Faults(path, [str(error)]) from None
    reader = _StoreReader(path.parent, Lines(text, document), tokens)
    store = reader.read(document, dict(overrides or {}))
    if reader.faults or store is None:
        raise Faults(path, reader.faults)
    return store


def read_folder(
    folder: Path, *, name: str, overrides: Mapping[str, Any], tokens: Tokens | None = None
) -> StoreDraft:
    """Reads a store from a folder: each file in it is an item, shared by all copies.

    The id of an item is the name of its file in NFC, and its title the same without the ending.
    The draft's notes name what is left out: folders, links, hidden files, litter, devices.

    Args:
        folder: Its files are not changed.
        name: Of the store.
        overrides: The terms of all items; a price must be among them.
        tokens: What is known of the tokens in it.

    Raises:
        Faults: With every mistake found.
    """
    try:
        found = read_goods_folder(folder)
    except OSError as error:
        raise Permanent(f"{folder} cannot be read: {error.strerror}") from None
    items = [
        {"id": item, "title": Path(item).stem or item, "file": name}
        for item, name in found.files.items()
    ]
    reader = _StoreReader(folder, Lines("", {}), tokens)
    reader.faults += found.faults
    for item in items:
        if _is_store_file(folder / item["file"]):  # its codes would be next to it, for everybody
            reader.faults.append(f"{item['id']} is a store file: publish it, not its folder")
    if not items:
        reader.faults.append("there is no file to sell in this folder")
    if "price" not in overrides:
        raise Faults(folder, [*reader.faults, "name a price for its files: --price '0.05 ether'"])
    store = reader.read({"store": {"name": name}, "items": items}, dict(overrides))
    if reader.faults or store is None:
        raise Faults(folder, reader.faults)
    return replace(store, notes=found.notes)


def _is_store_file(path: Path) -> bool:
    try:
        return path.suffix.lower() == ".toml" and "items" in load(path)[1]
    except Permanent:
        return False


class _StoreReader:
    """Reads one store, and goes on after each mistake."""

    def __init__(self, folder: Path, lines: Lines, tokens: Tokens | None) -> None:
        self._tokens = tokens or Tokens()
        self._folder = folder
        self._lines = lines
        self._codes: dict[str, tuple[str, str]] = {}
        """By look: the code, and where it stands."""
        self.faults: list[str] = []

    def read(self, document: dict[str, Any], overrides: dict[str, Any]) -> StoreDraft | None:
        for key in sorted(set(document) - {"store", "defaults", "items"}):
            self._fault("", f"{key!a} is not understood; there are [store], [defaults], [[items]]")
        store = self._table(document, "store")
        defaults = self._table(document, "defaults")
        for key in sorted(set(store) - {"name"}):
            self._fault("[store] ", f"{key!a} is not understood; there is `name`")
        for key in sorted(set(defaults) - set(_DEFAULTS)):
            self._fault("[defaults] ", f"{key!a} is not understood ({', '.join(_DEFAULTS)})")
        name = None
        if "name" not in store:
            self._fault("[store] ", 'the store has no name: write name = "..."')
        else:
            name = self._try("[store] ", lambda: validation.title(store["name"], "name"))
        items = document.get("items", [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            self._fault("", "items are written as [[items]]")
            return None
        if not items:
            self._fault("", "there is no item: write [[items]] and what you sell")
        known = {key: value for key, value in defaults.items() if key in _DEFAULTS}
        drafts = []
        for index, item in enumerate(items):
            said = {**known, **overrides, **item}
            draft = self._item(index, said, set(item))
            drafts.append(draft and replace(draft, said=frozenset(said)))
        names = [draft.name for draft in drafts if draft]
        for twice in sorted({n for n in names if names.count(n) > 1}):
            self._fault("", f"two items have the id {twice!r}")
        return StoreDraft(name or "", tuple(draft for draft in drafts if draft))

    def _table(self, document: dict[str, Any], key: str) -> dict[str, Any]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            self._fault("", f"{key} is written as [{key}]")
            return {}
        return value

    def _fault(self, where: str, text: str) -> None:
        self.faults.append(f"{where}{text}")

    def _try(self, where: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (Malformed, Permanent) as error:
            self._fault(where, str(error))
            return None

    # ------------------------------------------------------------------------------ an item

    def _item(self, index: int, item: dict[str, Any], own: set[str]) -> ItemDraft | None:
        before = len(self.faults)
        label = f"item {item['id']!a}" if isinstance(item.get("id"), str) else f"item {index + 1}"

        def where(key: str) -> str:
            return f"{self._lines.item(index, key)}{label}: "

        for key in sorted(own - set(_ITEM)):
            self._fault(where(key), f"{key!a} is not understood ({', '.join(_ITEM)})")
        name = self._try(where("id"), lambda: validation.identifier(item.get("id"), "id"))
        title = self._try(
            where("title"), lambda: validation.title(item.get("title", name or "-"), "title")
        )
        token = self._token(where, item)
        paid = self._try(where("price"), lambda: self._price(item, token))
        price = paid or 0
        parts, threshold = self._counts(where, item)
        arbitrator = self._arbitrator(where, item)
        # What is a share of the price in the native coin is an amount of its own beside a token.
        of = price if token.native else None
        commission = self._amount(where, item, "commission", of and "5%", of)
        penalty = self._amount(where, item, "penalty", None if of is None else "10%", of)
        if token.native and commission > price:
            self._fault(where("commission"), "the commission is over the price")
        bond = self._bond(where, item, of, arbitrator, free=paid == 0 and not penalty)
        deliverers = self._deliverers(where, item, parts)
        metadata = self._try(
            where("metadata"), lambda: validation.metadata(item.get("metadata", {}), "metadata")
        )
        codes, file, text = self._good(where, item)
        said = self._about(where, item, "code" if codes else "text" if text else "file", file)
        supply = self._supply(where, item, codes, own)
        if len(self.faults) > before:
            return None
        assert name is not None
        assert title is not None
        assert metadata is not None
        return ItemDraft(
            name=name,
            title=title,
            price=price,
            commission=commission,
            penalty=penalty,
            bond=bond,
            parts=parts,
            threshold=threshold,
            arbitrator=arbitrator,
            supply=supply,
            codes=codes,
            file=file,
            text=text,
            deliverers=deliverers,
            metadata=metadata,
            where=f"{self._lines.item(index, '')}{label}",
            token=token.address,
            about=said,
        )

    def _about(self, where: _Where, item: dict[str, Any], kind: str, file: Path | None) -> About:
        """What the item says of itself: the seller's words, and what its good is."""
        said = about.from_json({"kind": kind})
        for key, name in _SAYS.items():
            if key in item:
                read = partial(about.from_json, {name: item[key]}, said)
                said = self._try(where(key), read) or said
        if file is not None:
            said = about.from_json({"size": file.stat().st_size}, said)
            # A name that some systems cannot hold is left out: buyers' tools make one of the id.
            with contextlib.suppress(Malformed):
                name = unicodedata.normalize("NFC", file.name)
                said = about.from_json({"fileName": name}, said)
        return said

    def _amount(
        self,
        where: _Where,
        item: dict[str, Any],
        key: str,
        default: str | int | None,
        of: int | None,
    ) -> int:
        value = item.get(key, default)
        if value is None:
            self._fault(where(key), f'{key} is missing: write {key} = "0.05 ether"')
            return 0
        return self._try(f"{where(key)}{key}: ", lambda: parse_amount(value, of=of)) or 0

    def _bond(
        self,
        where: _Where,
        item: dict[str, Any],
        of: int | None,
        arbitrator: Address,
        *,
        free: bool,
    ) -> int:
        share = None if of is None else "10%"
        bond = self._amount(where, item, "bond", share if arbitrator != ZERO_ADDRESS else 0, of)
        if bond and free:
            # Protocol, section 5: with nothing to win, whoever disputes can only lose.
            reason = "a free item without penalty gives a dispute nothing to win: write bond = 0"
            self._fault(where("bond"), reason)
        return bond

    def _price(self, item: dict[str, Any], token: Token) -> int:
        if "price" not in item:
            hint = "0.05 ether" if token.native else "5.25"
            raise Malformed(f'price is missing: write price = "{hint}"')
        try:
            return token.parse(item["price"])
        except Malformed as error:
            raise Malformed(f"price: {error}") from None

    def _token(self, where: _Where, item: dict[str, Any]) -> Token:
        value = item.get("token", "none")
        if value in ("none", ""):
            return NATIVE
        found = self._try(where("token"), lambda: validation.address(value, "the token"))
        if found in (None, ZERO_ADDRESS):
            return NATIVE
        token = self._tokens[found]
        if "decimals" not in item:
            return token
        read = validation.integer
        given = self._try(
            where("decimals"), lambda: read(item["decimals"], "decimals", 0, MAX_DECIMALS)
        )
        if token.decimals is not None and given not in (None, token.decimals):
            self._fault(where("decimals"), f"the token itself says {token.decimals} decimals")
        return replace(token, decimals=given)

    def _counts(self, where: _Where, item: dict[str, Any]) -> tuple[int, int]:
        read = validation.integer
        parts = self._try(where("parts"), lambda: read(item.get("parts", 3), "parts", 1, MAX_PARTS))
        if parts is None:
            return 1, 1
        fallback = max(1, parts - 1)
        threshold = self._try(
            where("threshold"),
            lambda: read(item.get("threshold", fallback), "threshold", 1, parts),
        )
        return parts, threshold or 1

    def _arbitrator(self, where: _Where, item: dict[str, Any]) -> Address:
        value = item.get("arbitrator", "none")
        if value in ("none", ""):
            return ZERO_ADDRESS
        found = self._try(where("arbitrator"), lambda: validation.address(value, "the arbitrator"))
        return found or ZERO_ADDRESS

    def _deliverers(self, where: _Where, item: dict[str, Any], parts: int) -> tuple[Address, ...]:
        value = item.get("deliverers", [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self._fault(where("deliverers"), "deliverers is a list of addresses")
            return ()
        found = [self._try(where("deliverers"), partial(parse_address, v)) for v in value]
        named = tuple(address for address in found if address is not None)
        if value and len(named) == len(value) and len(set(named)) != parts:
            self._fault(
                where("deliverers"), f"{parts} parts take {parts} deliverers, all different"
            )
        return named

    def _supply(
        self, where: _Where, item: dict[str, Any], codes: tuple[str, ...] | None, own: set[str]
    ) -> int:
        if codes is not None:
            if "supply" in own:
                self._fault(where("supply"), "supply is the number of codes: leave it away")
            return len(codes)
        value = item.get("supply", DEFAULT_SUPPLY)
        read = validation.integer
        return self._try(where("supply"), lambda: read(value, "supply", 0, MAX_SUPPLY)) or 0

    # ------------------------------------------------------------------------------ its good

    def _good(
        self, where: _Where, item: dict[str, Any]
    ) -> tuple[tuple[str, ...] | None, Path | None, bytes | None]:
        given = [key for key in _GOODS if key in item]
        if len(given) != 1:
            problem = f"not {' and '.join(given)} together" if given else "there is none"
            self._fault(
                where(given[-1] if given else ""), f"one good, {' or '.join(_GOODS)}: {problem}"
            )
            return None, None, None
        key, value = given[0], item[given[0]]
        place = where(key)
        if "column" in item and key != "codes_file":
            self._fault(where("column"), "column goes with codes_file")
        if key == "codes":
            codes = self._try(place, lambda: self._check_codes(_listed(value), place, "codes"))
            return codes, None, None
        if not isinstance(value, str) or not value:
            self._fault(place, f"{key} is a text")
            return None, None, None
        if key == "text":
            return None, None, value.encode("utf-8")
        if key == "codes_file":
            path, column = self._folder / value, item.get("column")
            return self._try(place, lambda: self._codes_of(path, column, place)), None, None
        return None, self._try(place, lambda: _check_file(self._folder / value)), None

    def _codes_of(self, path: Path, column: object, place: str) -> tuple[str, ...] | None:
        numbered = code_files.read_code_file(path, column)
        allowed = "\t" if column == code_files.WHOLE_LINES else ""
        return self._check_codes(numbered, place, printable(path.name), allowed)

    def _check_codes(
        self,
        numbered: Sequence[code_files.NumberedCode],
        place: str,
        source: str,
        allowed: str = "\n\t",
    ) -> tuple[str, ...] | None:
        """The codes. None of them is ever in a message: it is the good."""
        if not numbered:
            raise Malformed(f"{source} holds no code")
        if len(numbered) > MAX_CODES:
            raise Malformed(f"{source} holds over {MAX_CODES} codes")
        faults = []
        for number, code in numbered:
            spot = f"{source}, line {number}"
            flaw = code_files.flaw(code, allowed)
            known, first = self._codes.setdefault(code_files.look(code), (code, spot))
            if flaw:
                faults.append(f"{spot}: {flaw}")
            elif len(code.encode("utf-8")) >= MAX_INLINE_BYTES:
                faults.append(f"{spot}: a code is shorter than {MAX_INLINE_BYTES} bytes")
            elif first != spot:
                same = "the same code as" if known == code else "this code looks just like that of"
                faults.append(f"{spot}: {same} {first}")
        for fault in faults[:_MAX_FAULTS]:
            self._fault(place, fault)
        if len(faults) > _MAX_FAULTS:
            self._fault(place, f"{source}: {len(faults) - _MAX_FAULTS} more codes like these")
        return None if faults else tuple(code for _, code in numbered)


def _listed(value: Any) -> list[code_files.NumberedCode]:
    """Codes that stand in the store file itself."""
    if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
        raise Malformed("codes is a list of texts")
    for number, code in enumerate(value, start=1):
        if not code or code_files.strip(code).strip("\n") != code:
            raise Malformed(f"codes, line {number}: the code is empty, or has spaces around it")
    return list(enumerate(value, start=1))


def _check_file(path: Path) -> Path:
    name = printable(str(path))
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
    except IsADirectoryError:
        raise Malformed(f"{name} is a folder: pack it into one file to sell it") from None
    except OSError as error:
        raise Malformed(f"{name} cannot be read: {error.strerror}") from None
    if size > MAX_CHUNKS * CHUNK_BYTES:
        raise Malformed(f"{name} is over the limit of {MAX_CHUNKS} MiB")
    if not size:
        raise Malformed(f"{name} is empty")
    return path
