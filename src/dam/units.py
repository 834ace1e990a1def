"""Parsing and printing amounts: exact integers in the smallest unit, never floats.

``0.05 ether``, ``20 gwei``, ``1 wei``, or a whole number of wei; digits may be grouped with ``_``.
Where an amount is a share of another, ``5%`` is understood, too, rounded down. Times are seconds
UTC, as a block's timestamp.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from dam.errors import Malformed
from dam.types import MAX_AMOUNT

UNITS = {"wei": 0, "gwei": 9, "ether": 18, "eth": 18}
"""Decimals of each unit of the native coin."""
_AMOUNT = re.compile(
    r"(?P<whole>\d[\d_]*)(?:\.(?P<part>\d[\d_]*))?\s*(?P<unit>[a-z]+|%)?", re.ASCII | re.IGNORECASE
)
_HINT = "write it as '0.05 ether', '20 gwei' or a whole number of wei"


def parse_amount(value: object, *, of: int | None = None) -> int:
    """Reads an amount.

    Args:
        value: A text as above, or an integer of wei.
        of: What a percentage is of, in the smallest unit; None refuses percentages.

    Returns:
        The amount in the smallest unit.

    Raises:
        Malformed: It is none, it is over 2^128 - 1, or has a fraction below the smallest unit.
    """
    if type(value) is int:
        amount = value
    elif isinstance(value, str):
        amount = _parse(value.strip(), of)
    else:
        raise Malformed(f"an amount is a text: {_HINT}")
    if not 0 <= amount <= MAX_AMOUNT:
        raise Malformed("the amount is negative or over 2^128")
    return amount


def _parse(text: str, of: int | None) -> int:
    if len(text) > 100:
        raise Malformed(f"this is no amount: {_HINT}")
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise Malformed(f"{text!a} is no amount: {_HINT}")
    whole = match["whole"].replace("_", "")
    part = (match["part"] or "").replace("_", "")
    unit = (match["unit"] or "wei").lower()
    if unit == "%":
        if of is None:
            raise Malformed(f"{text!a}: a percentage makes no sense here; {_HINT}")
        # Whole numbers all the way: 2.5 % is 25 of 1000.
        return int(whole + part) * of // int("100" + "0" * len(part))
    decimals = UNITS.get(unit)
    if decimals is None:
        raise Malformed(f"{text!a}: unknown unit; {_HINT}")
    if len(part.rstrip("0")) > decimals:
        raise Malformed(f"{text!a} has a fraction of a wei")
    return int(whole + part[:decimals].ljust(decimals, "0"))


def parse_units(value: object, decimals: int) -> int:
    """Reads an amount of a token in whole tokens, ``5`` or ``5.25``, as its smallest units.

    Raises:
        Malformed: It is none, it is over 2^128 - 1, or finer than the token's smallest unit.
    """
    if type(value) is int and abs(value) > MAX_AMOUNT:
        raise Malformed("the amount is negative or over 2^128")
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or len(text) > 100:
        raise Malformed("an amount of a token is a text: write it as '5' or '5.25'")
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match["unit"]:
        raise Malformed(f"{text!a} is no amount of a token: write it as '5' or '5.25'")
    part = (match["part"] or "").replace("_", "")
    if len(part.rstrip("0")) > decimals:
        raise Malformed(f"{text!a} is finer than the token, which has {decimals} decimals")
    whole = match["whole"].replace("_", "")
    amount = int(whole + part[:decimals].ljust(decimals, "0"))
    if amount > MAX_AMOUNT:
        raise Malformed("the amount is over 2^128")
    return amount


def format_units(amount: int, decimals: int) -> str:
    """An amount of smallest units in whole tokens, exact; what `parse_units` reads again."""
    sign = "-" if amount < 0 else ""
    return sign + _shift(abs(amount), decimals)


def format_amount(wei: int) -> str:
    """An amount of the native coin as people read it: exact, in the unit that is shortest to read.

    ``50000000000000000`` gives ``0.05 ether``; what `parse_amount` reads again.
    """
    if wei < 0:
        return "-" + format_amount(-wei)
    for unit, least in (("ether", 10**14), ("gwei", 10**6)):
        if wei >= least:
            return f"{_shift(wei, UNITS[unit])} {unit}"
    return f"{wei} wei"


def format_about(wei: int) -> str:
    """An approximate amount in ether, as for gas: four digits, rounded down."""
    digits = str(wei)
    rounded = int(digits[:4].ljust(len(digits), "0"))
    return f"{_shift(rounded, 18)} ether"


def format_time(seconds: int) -> str:
    """A moment as people read it: ``2026-11-30 14:05:09 UTC``."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"second {seconds}"


def format_span(seconds: int) -> str:
    """A length of time in its two largest units, rounded down: ``2 d 3 h``, ``5 min``, ``8 s``."""
    days, rest = divmod(max(0, seconds), 24 * 3600)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((n for n, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def _shift(value: int, decimals: int) -> str:
    # A Decimal made from a text is exact, whatever its length.
    text = f"{Decimal(f'{value}e-{decimals}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
