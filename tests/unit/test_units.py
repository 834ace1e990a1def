"""Amounts: exact both ways, and nothing that only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dam.errors import Malformed
from dam.types import MAX_AMOUNT
from dam.units import format_about, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("0.05 ether", 5 * 10**16),
        ("0.05ETH", 5 * 10**16),
        ("10 gwei", 10**10),
        ("1.5 gwei", 1_500_000_000),
        ("7", 7),
        ("1_000 wei", 1000),
        ("0.000000000000000001 ether", 1),
        ("1.000000000000000000000 ether", 10**18),
        (12, 12),
    ],
)
def test_reads(text: object, wei: int) -> None:
    assert parse_amount(text) == wei


@pytest.mark.parametrize(
    "text",
    [
        "", "ether", "-1", "+1 wei", "1e18", "0x10", "1.5 wei", "0.0000000000000000001 ether",
        "1 dollar", "5%", "1,5 ether", "nan", "1 2", "٣", ".5 ether", "1" * 200, 1.5, True, None,
        -1, 2**128,
    ],
)  # fmt: skip
def test_refuses(text: object) -> None:
    with pytest.raises(Malformed):
        parse_amount(text)


def test_a_percentage_is_rounded_down_and_only_of_something() -> None:
    assert parse_amount("5%", of=1019) == 50
    assert parse_amount("2.5 %", of=1000) == 25
    assert parse_amount("100%", of=2**128 - 1) == 2**128 - 1
    assert parse_amount("0.05 ether", of=1) == 5 * 10**16


@given(st.integers(0, MAX_AMOUNT))
def test_what_is_written_reads_back(wei: int) -> None:
    assert parse_amount(format_amount(wei)) == wei


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 wei"),
        (999_999, "999999 wei"),
        (10**6, "0.001 gwei"),
        (10**14 - 1, "99999.999999999 gwei"),
        (10**14, "0.0001 ether"),
        (10**18, "1 ether"),
        (10**20, "100 ether"),
        (-(10**18), "-1 ether"),
    ],
)
def test_writes(wei: int, text: str) -> None:
    assert format_amount(wei) == text


def test_gas_is_told_in_four_digits() -> None:
    assert format_about(49_366_451_666_661) == "0.00004936 ether"
    assert format_about(0) == "0 ether"
