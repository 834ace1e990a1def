"""What waits for a buyer is said with the command that takes it out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dam.cli.buyer import credit
from dam.cli.buyer.credit import Credit, look_for_credit, withdrawal_command
from dam.errors import KeyFileError, RpcError
from dam.ethereum.erc20 import NATIVE, Token
from dam.roles.accounts import Due
from dam.types import Address

ME, OTHER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
COIN = Token(Address("0x" + "33" * 20), "USDX", 6)


class Accounts:
    """Settings with some aliases."""

    def __init__(self, **accounts: str) -> None:
        self._accounts = accounts

    def account(self, role: str) -> str | None:
        return self._accounts.get(role) or self._accounts.get("default")


def of_alias(settings: Any, role: str, account: str | None) -> Address:
    alias = account or settings.account(role)
    if alias not in ("me", "mine"):
        raise KeyFileError("no such account")
    return ME


@pytest.mark.parametrize(
    ("accounts", "account", "command"),
    [
        ({"default": "me"}, None, "dam withdraw"),
        ({"default": "me", "buyer": "me"}, None, "dam withdraw"),
        ({"default": "shop", "buyer": "me"}, None, "dam withdraw --account me"),
        ({"buyer": "me"}, None, "dam withdraw --account me"),
        ({"default": "shop"}, "mine", "dam withdraw --account mine"),
        ({"default": "shop"}, None, f"dam withdraw --account ALIAS (that of {ME})"),
        ({}, None, f"dam withdraw --account ALIAS (that of {ME})"),
    ],
)
def test_the_command_names_the_account(
    monkeypatch: pytest.MonkeyPatch, accounts: dict[str, str], account: str | None, command: str
) -> None:
    monkeypatch.setattr(credit, "role_address", of_alias)
    settings: Any = Accounts(**accounts)
    assert withdrawal_command(settings, ME, account) == command
    assert "ALIAS (that of" in withdrawal_command(settings, OTHER, account)


async def test_it_says_how_much_of_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit, "role_address", of_alias)
    asked = []

    async def waiting(market: Any, account: Address, tokens: Any) -> list[Due]:
        asked.append((account, list(tokens)))
        if account == OTHER:
            raise RpcError("the node is away")
        return [Due(NATIVE, 11 * 10**15), Due(COIN, 2_500_000)]

    monkeypatch.setattr(credit, "waiting_credits", waiting)
    session: Any = SimpleNamespace(market=None, settings=Accounts(default="me"))
    found = await look_for_credit(session, [ME, OTHER, ME], [COIN.address], None)
    # A node that fails is no news, and least of all after money has moved.
    assert asked == [(ME, [COIN.address]), (OTHER, [COIN.address])]
    amounts = f"0.011 ether, {COIN.text(2_500_000)}"
    assert found.text == f"Waiting for you in the market: {amounts}. Take it out: dam withdraw"
    assert found.json == [
        {"account": ME, "token": NATIVE.address, "amount": "11000000000000000"},
        {"account": ME, "token": COIN.address, "amount": "2500000"},
    ]


def test_nothing_is_said_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Credit([], "").show(as_json=False)
    Credit([], "something").show(as_json=True)
    assert capsys.readouterr() == ("", "")
    Credit([], "something").show(as_json=False)
    assert capsys.readouterr() == ("", "something\n")
