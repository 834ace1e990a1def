"""A withdrawal that breaks off says what it had taken out before."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from dam.cli import money
from dam.ethereum.erc20 import NATIVE
from dam.market.wallet import Receipt, TransactionPendingError
from dam.roles.accounts import Due, Withdrawn
from dam.types import Address

ME = Address("0x" + "11" * 20)


@pytest.mark.parametrize(
    "end", [TransactionPendingError(b"\x22" * 32, "not known"), KeyboardInterrupt()]
)
def test_what_was_taken_before_is_told(monkeypatch: pytest.MonkeyPatch, end: BaseException) -> None:
    plan = [Due(NATIVE, 5), Due(NATIVE, 7, ME)]

    async def planned(*_: Any) -> list[Due]:
        return plan

    async def taken(*_: Any) -> AsyncIterator[Withdrawn]:
        yield Withdrawn(plan[0], Receipt(b"\x33" * 32, 9, 1, 21_000, 1, ()))
        raise end

    @contextlib.asynccontextmanager
    async def connected(_: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(market=None, wallet=lambda _: None)

    monkeypatch.setattr(money.Settings, "load", lambda: None)
    monkeypatch.setattr(money, "open_signer", lambda *_: SimpleNamespace(address=ME))
    monkeypatch.setattr(money, "connect", connected)
    monkeypatch.setattr(money.accounts, "plan_withdrawal", planned)
    monkeypatch.setattr(money.accounts, "withdraw", taken)
    done = CliRunner().invoke(money.withdraw, ["--yes"])
    assert done.exit_code != 0
    assert f"Credit 5 wei in block 9, transaction 0x{'33' * 32}" in done.output
