"""Going on without the catalogue folder: what it means is said, and it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dam.cli.seller.publish import _start_over
from dam.errors import Permanent
from dam.roles.seller.publishing import PublishPlan
from dam.roles.seller.versions import Base, Versions


def plan(lost: str) -> PublishPlan:
    return PublishPlan("s", (), (), {}, Base((bytes(32), bytes(32)), Versions(), lost))


def test_what_is_lost_is_said_before_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("/home/ada/catalogue")
    with pytest.raises(Permanent, match="nobody is there to ask"):
        _start_over(plan("the folder is empty"), folder, yes=False)
    said = capsys.readouterr().err
    for words in ("the folder is empty", "out of your files YOURSELF", "no watchdog"):
        assert words in said
    _start_over(plan("the folder is empty"), folder, yes=True)
    assert "YOURSELF" in capsys.readouterr().err


def test_who_lost_nothing_is_asked_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    _start_over(plan(""), Path("/x"), yes=False)
    assert capsys.readouterr().err == ""
