"""ERC-20 tokens as prices (EIP-20): names, amounts as text, and calls to them.

Whatever a token says may be hostile: its symbol is cut down to a few plain letters and is always
shown with the token's address, and decimals outside 0 to 36 count as unknown, so that amounts are
shown in the smallest unit. Amounts are exact integers throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dam.crypto.abi_words import address_word, uint_word
from dam.crypto.hashing import keccak
from dam.errors import Malformed, Permanent, RpcError
from dam.ethereum.node import Node, hex_data
from dam.types import ZERO_ADDRESS, Address
from dam.units import UNITS, format_amount, format_units, parse_amount, parse_units

MAX_DECIMALS = 36
_MAX_SYMBOL = 12
_GAS = 300_000
"""Gas limit of a view of a token: an endless one must not hang the node."""
_SYMBOL = re.compile(r"[^A-Za-z0-9$._+-]")


@dataclass(frozen=True, slots=True)
class Token:
    """A token, or the native coin (address zero)."""

    address: Address
    symbol: str = ""
    """Plain letters and digits, at most 12; empty if it has none that could be shown."""
    decimals: int | None = None
    """0 to 36; None: amounts are shown in the smallest unit."""

    @property
    def native(self) -> bool:
        """Whether it is the chain's own coin."""
        return self.address == ZERO_ADDRESS

    @property
    def name(self) -> str:
        """Symbol and the beginning of the address: a symbol alone anybody can take."""
        return f"{self.symbol or 'token'} ({self.address[:10]}..)"

    def text(self, amount: int) -> str:
        """An amount as people read it, exact."""
        if self.native:
            return format_amount(amount)
        if self.decimals is None:
            return f"{amount} smallest units of {self.name}"
        return f"{format_units(amount, self.decimals)} {self.name}"

    def parse(self, value: object, *, of: int | None = None) -> int:
        """Reads an amount: ``5.25`` tokens, or as `dam.units.parse_amount` for the native coin.

        Raises:
            Malformed: It is none.
        """
        if self.native or (isinstance(value, str) and value.strip().endswith("%")):
            return parse_amount(value, of=of)
        if self.decimals is None:
            raise Malformed(
                f"the token {self.address} does not say its decimals: write `decimals` beside it"
            )
        return parse_units(value, self.decimals)


NATIVE = Token(ZERO_ADDRESS, "ether", 18)


class Tokens:
    """Tokens by address, for printing amounts."""

    def __init__(self, known: Mapping[Address, Token] | None = None) -> None:
        self._known = {ZERO_ADDRESS: NATIVE, **(known or {})}

    def __getitem__(self, address: Address) -> Token:
        """The token; one without a name if nobody asked for it."""
        return self._known.get(address) or Token(address)

    def text(self, address: Address, amount: int) -> str:
        """An amount of a token as people read it."""
        return self[address].text(amount)

    def json(self) -> list[dict[str, Any]]:
        """What is known of them, for programs."""
        return [
            {"address": t.address, "symbol": t.symbol or None, "decimals": t.decimals}
            for t in self._known.values()
            if not t.native
        ]


def clean_symbol(text: str) -> str:
    """A symbol that is safe to print, and is not the native coin's."""
    kept = _SYMBOL.sub("", text)[:_MAX_SYMBOL]
    return "" if kept.lower() in UNITS else kept


def selector(signature: str) -> bytes:
    """The 4 bytes that name a function."""
    return keccak(signature.encode("ascii"))[:4]


def decode_text(data: bytes) -> str:
    """A ``string`` (or an old token's ``bytes32``) that a view returned; empty if it is none."""
    if len(data) == 32:
        raw = data.rstrip(b"\0")
    elif len(data) >= 64 and int.from_bytes(data[:32], "big") == 32:
        size = int.from_bytes(data[32:64], "big")
        raw = data[64 : 64 + size] if size <= len(data) - 64 else b""
    else:
        raw = b""
    return raw.decode("utf-8", "replace")


async def views(
    rpc: Node, calls: Iterable[tuple[Address, bytes]], block: str = "latest"
) -> list[bytes]:
    """What views of tokens return, in order; empty where one reverts or is not there.

    Raises:
        RpcError: The node could not be asked.
    """
    asked = [
        ("eth_call", [{"to": to, "data": "0x" + data.hex(), "gas": hex(_GAS)}, block])
        for to, data in calls
    ]
    answers = await rpc.batch(asked, errors=True) if asked else []
    return [b"" if isinstance(a, RpcError) else hex_data(a, "eth_call") for a in answers]


async def read_tokens(rpc: Node, addresses: Iterable[Address]) -> Tokens:
    """Symbol and decimals of tokens, in one request."""
    wanted = sorted(set(addresses) - {ZERO_ADDRESS})
    calls = [(a, selector(f)) for a in wanted for f in ("symbol()", "decimals()")]
    found = await views(rpc, calls)
    known = {}
    for place, address in enumerate(wanted):
        symbol, decimals = found[2 * place : 2 * place + 2]
        number = int.from_bytes(decimals, "big") if len(decimals) == 32 else MAX_DECIMALS + 1
        known[address] = Token(
            address,
            clean_symbol(decode_text(symbol)),
            number if number <= MAX_DECIMALS else None,
        )
    return Tokens(known)


async def balances(rpc: Node, tokens: Iterable[Address], owner: Address) -> dict[Address, int]:
    """What an account has of each token; 0 where the token does not answer."""
    wanted = list(tokens)
    data = selector("balanceOf(address)") + address_word(owner)
    found = await views(rpc, [(token, data) for token in wanted])
    return {
        token: int.from_bytes(answer, "big") if len(answer) == 32 else 0
        for token, answer in zip(wanted, found, strict=True)
    }


async def funds(
    rpc: Node, token: Address, owner: Address, spender: Address, block: str = "latest"
) -> tuple[int, int]:
    """Balance of an owner, and what a spender may take of it.

    Raises:
        Permanent: The token does not answer: it is none.
    """
    data = [
        selector("balanceOf(address)") + address_word(owner),
        selector("allowance(address,address)") + address_word(owner) + address_word(spender),
    ]
    found = await views(rpc, [(token, one) for one in data], block)
    if any(len(answer) != 32 for answer in found):
        raise Permanent(f"{token} does not answer as an ERC-20 token does")
    balance, allowance = (int.from_bytes(answer, "big") for answer in found)
    return balance, allowance


async def check_payable(rpc: Node, tokens: Tokens, addresses: Iterable[Address]) -> None:
    """Refuses what cannot be a price: addresses that are no ERC-20 token (ERC-721, no code).

    Raises:
        Permanent: An address does not answer ``balanceOf`` and ``allowance`` as ERC-20 wants it.
            (A token without ``decimals`` passes: the seller then states them.)
        RpcError: The node could not be asked.
    """
    for address in sorted(set(addresses) - {ZERO_ADDRESS}):
        try:
            await funds(rpc, address, address, address)
        except Permanent as error:
            raise Permanent(
                f"{error}: nothing can be sold for {tokens[address].name}; check the address, and "
                "that the node is on the token's chain"
            ) from None


def approval(spender: Address, amount: int) -> bytes:
    """Calldata of ``approve``."""
    return selector("approve(address,uint256)") + address_word(spender) + uint_word(amount)
