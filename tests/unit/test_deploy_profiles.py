"""Profiles of `ape run deploy`: what each proposes, and which chain it is for."""

from __future__ import annotations

import click
import pytest

from dam.types import Windows
from scripts._chain_clock import Measured, fallback_fault
from scripts._deploy_options import choose_governor, choose_profile, choose_windows
from scripts._profiles import PROFILES, propose

HOUR = 3600
NOTHING_SAID = dict.fromkeys(
    (
        "refund_seconds", "dispute_seconds", "arbitration_seconds", "exit_seconds",
        "slash_delay_seconds", "slash_lapse_seconds", "min_deliverer_stake", "min_seller_stake",
        "junk_fine",
    )
)  # fmt: skip
ETHEREUM = Measured(1200.0, "its own", True)
OP = Measured(200.0, "its own", True)
ARBITRUM = Measured(1200.0, "another chain's", False)


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_profile_says_is_what_the_contract_takes(name: str) -> None:
    profile = PROFILES[name]
    windows = choose_windows(profile, NOTHING_SAID)
    assert windows == profile.windows
    _, most = profile.fallback_seconds
    assert name == "development" or fallback_fault(most, windows) == ""


def test_deliverers_outlast_whoever_keeps_transactions_out() -> None:
    """12 h on OP-stack chains, 24 h on Arbitrum."""
    hours = {name: profile.windows.delivery_seconds / HOUR for name, profile in PROFILES.items()}
    assert hours == {"l1": 8, "rollup": 16, "arbitrum": 32, "development": 8}


def test_options_override() -> None:
    said = NOTHING_SAID | {"refund_seconds": 30 * HOUR, "min_seller_stake": 0}
    windows = choose_windows(PROFILES["l1"], said)
    assert (windows.refund_seconds, windows.min_seller_stake) == (30 * HOUR, 0)
    usual: Windows = PROFILES["l1"].windows
    assert windows.exit_seconds == usual.exit_seconds + 6 * HOUR
    assert windows.junk_fine == usual.junk_fine


@pytest.mark.parametrize(
    ("measured", "name"),
    [
        (ETHEREUM, "l1"),
        (Measured(500.0, "", True), "l1"),
        (OP, "rollup"),
        (ARBITRUM, "arbitrum"),
        (Measured(5.0, "", True), ""),
        (Measured(None, "", True), ""),
        (Measured(None, "", None), ""),
    ],
)
def test_what_a_chain_looks_like(measured: Measured, name: str) -> None:
    assert propose(measured.own_blocks, measured.seconds) == name


def test_a_profile_for_another_kind_of_chain_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for name, measured in (("l1", ARBITRUM), ("rollup", ARBITRUM), ("arbitrum", ETHEREUM)):
        with pytest.raises(click.ClickException, match="is not for this chain: contracts count"):
            choose_profile(name, measured, False)
    for name, measured in (("l1", OP), ("rollup", ETHEREUM)):
        assert choose_profile(name, measured, False) is PROFILES[name]
        assert "Warning: 100 blocks last about" in capsys.readouterr().err
    for name, measured in (("l1", ETHEREUM), ("rollup", OP), ("arbitrum", ARBITRUM)):
        assert choose_profile(name, measured, False) is PROFILES[name]
        assert capsys.readouterr().err == ""


def test_a_chain_that_lasts_has_a_profile_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    with pytest.raises(click.UsageError, match="this one looks like rollup"):
        choose_profile(None, OP, False)
    with pytest.raises(click.UsageError, match="this one lasts"):
        choose_profile("development", OP, False)
    assert choose_profile(None, OP, True) is PROFILES["development"]
    assert choose_profile("arbitrum", OP, True) is PROFILES["arbitrum"]


def test_a_timelock_has_some_proposers_and_not_too_many() -> None:
    said = {"governor": "timelock", "timelock_seconds": 5}
    some = tuple(f"0x{number:040x}" for number in range(1, 66))
    _, timelock = choose_governor(said | {"proposers": some[:64]})
    assert timelock is not None
    assert len(timelock.proposers) == 64
    with pytest.raises(click.UsageError, match="at most 64 of --timelock-proposer, not 65"):
        choose_governor(said | {"proposers": some})
    with pytest.raises(click.UsageError, match="needs at least one"):
        choose_governor(said | {"proposers": ()})
