"""What waits for a buyer in the market, said where they look: nobody sends it to them.

Refunds, penalties, bonds, fees of parts that the seller's side delivered, coins above a price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dam.cli.session import Session, print_note, role_address
from dam.config.settings import Settings
from dam.errors import ConfigError, KeyFileError, RpcError
from dam.roles.accounts import waiting_credits
from dam.types import Address


@dataclass(frozen=True)
class Credit:
    """What the market owes a buyer."""

    json: list[dict[str, str]]
    text: str
    """A sentence with the command that takes it out; empty where nothing is owed."""

    def show(self, as_json: bool) -> None:
        """Tells a person, on standard error; programs have it in the result."""
        if self.text and not as_json:
            print_note(self.text)


async def look_for_credit(
    session: Session, buyers: Iterable[Address], tokens: Iterable[Address], account: str | None
) -> Credit:
    """What waits for buyers: nothing is said where the node fails, for that is no news.

    Args:
        session: The market's.
        buyers: Whose credits.
        tokens: What their sales are priced in.
        account: ``--account``, if it was given.
    """
    value: list[dict[str, Any]] = []
    lines = []
    for buyer in sorted(set(buyers)):
        try:
            found = await waiting_credits(session.market, buyer, tokens)
        except RpcError:
            continue
        value += [
            {"account": buyer, "token": due.token.address, "amount": str(due.amount)}
            for due in found
        ]
        if found:
            amounts = ", ".join(due.token.text(due.amount) for due in found)
            command = withdrawal_command(session.settings, buyer, account)
            lines.append(f"Waiting for you in the market: {amounts}. Take it out: {command}")
    return Credit(value, "\n".join(lines))


def withdrawal_command(settings: Settings, buyer: Address, account: str | None) -> str:
    """The command that takes out what waits for a buyer: of their account, by its alias."""
    alias = account or settings.account("buyer")
    try:
        known = role_address(settings, "buyer", account) == buyer
    except (ConfigError, KeyFileError):
        known = False
    if not known:
        return f"dam withdraw --account ALIAS (that of {buyer})"
    own = "" if alias == settings.account("default") else f" --account {alias}"
    return "dam withdraw" + own
