"""Each kind of failure has its exit code, and docs/reference/exit-codes.md says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dam.cli.failures import KINDS, failure_of
from dam.errors import (
    BlockMismatch,
    BlockRefused,
    ConfigError,
    ContractReverted,
    DamError,
    IpfsError,
    IpfsUnreachable,
    KeyFileError,
    LedgerError,
    Malformed,
    Permanent,
    RpcError,
)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "exit-codes.md"


def test_the_page_has_the_codes_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {kind: int(code) for code, kind in rows} == {k: v.code for k, v in KINDS.items()}
    assert "| 129, 130, 143 | `interrupted` |" in PAGE.read_text("utf-8")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Permanent("x"), "failed"),
        (Malformed("x"), "failed"),
        (BlockRefused("x"), "failed"),
        (LedgerError("x"), "failed"),
        (DamError("x"), "failed"),
        (ConfigError("x"), "settings"),
        (KeyFileError("x"), "key_file"),
        (RpcError("x"), "node"),
        (IpfsError("x"), "ipfs"),
        (IpfsUnreachable("x"), "ipfs"),
        (BlockMismatch("x"), "ipfs"),
        (ContractReverted("WrongStatus", {}), "refused"),
    ],
)
def test_kinds(error: DamError, kind: str) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.exit_code) == (kind, KINDS[kind].code)
    # Once something is sent, only the node's silence leaves it open what became of it.
    after = failure_of(error, ["0xab"])
    assert after.kind == ("unconfirmed" if kind == "node" else kind)
    assert ("0xab" in after.message) == (kind == "node")
