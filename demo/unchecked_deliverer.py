"""A deliverer whose check of the domain is switched off: `DEMO_BREAK=domain` runs it.

Everything else is the real daemon. What it does shows why the check must stay: it hands a thief's
buyer a part that was sealed for somebody else's item.
"""

from __future__ import annotations

import os
import runpy
from dataclasses import replace
from pathlib import Path

import dam.crypto.sealing
from dam.types import Part

ROOT = Path(__file__).resolve().parents[1]


class _AnyDomain(bytes):
    """A domain that equals every other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


def _switch_off() -> None:
    decode = dam.crypto.sealing._decode

    def careless(plaintext: bytes) -> Part:
        part = decode(plaintext)
        return replace(part, domain=_AnyDomain(part.domain))

    dam.crypto.sealing._decode = careless


if __name__ == "__main__":
    _switch_off()
    # The thief pays no fee: the profit rule, too, would keep the part from the thief.
    os.environ["DAM_UNPROFITABLE"] = "send"
    runpy.run_path(str(ROOT / "daemons" / "deliverer.py"), run_name="__main__")
