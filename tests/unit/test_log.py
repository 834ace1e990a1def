"""What a daemon logs, and what it never does."""

import io
import json

import pytest

from dam.log import configure_logging, get_logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    share = b"\x5e\xc2\xe7" * 11
    try:
        _fail(share)
    except ZeroDivisionError:
        get_logger("test").exception("internal_error")
    text = stream.getvalue()
    assert "ZeroDivisionError" in text
    assert "_fail" in text
    assert "5ec2e7" not in text
    assert repr(share)[2:20] not in text


def _fail(share: bytes) -> float:
    secret = share.hex()
    return len(secret) / 0


def test_json_lines_carry_the_event_and_bytes_as_hex() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_logger("test").info("sealed", copy_id=b"\x01\xff")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["copy_id"]) == ("sealed", "info", "0x01ff")
