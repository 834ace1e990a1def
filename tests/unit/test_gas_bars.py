"""The verdict of bench/gas.py, on figures that nobody has to measure."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
LINE = "confirm"


@pytest.mark.parametrize(
    ("arguments", "factor", "size", "said"),
    [
        ([], 1.0, 1, "every line is within its bar\n"),
        (["--check"], 1.0, 1, "every line is within its bar, and none is dearer than it was\n"),
        ([], 1.02, 1, "every line is within its bar\n"),
        (["--check"], 1.02, 1, f"64 items: {LINE}: "),
        (["--check"], 1.2, 1, f"{LINE}: "),
        (["--check"], 1.0, 24_000, "Proofs: 24,000 bytes"),
        (["--check"], 0.0, 1, f"{LINE}: not measured"),
    ],
)
def test_the_verdict_says_what_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    factor: float,
    size: int,
    said: str,
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    gas = importlib.import_module("gas")
    figures = json.loads((BENCH / "gas.json").read_text(encoding="utf-8"))
    figures["64 items"][LINE] *= factor
    if not factor:
        del figures["64 items"][LINE]

    async def run(_: Any) -> Any:
        return figures, {"Proofs": size}

    monkeypatch.setattr(gas, "run", run)
    monkeypatch.setattr("sys.argv", ["gas.py", *arguments])
    good = said.startswith("every")
    assert gas.main() == (0 if good else 1)
    errors = capsys.readouterr().err
    assert errors == said if good else errors.startswith(said)
    # Above its bar, and dearer than it was: both are told.
    assert len(errors.splitlines()) == (2 if factor == 1.2 else 1)
