"""Whoever is woken by a line of the log is told what to do next."""

from __future__ import annotations

import ast
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from dam.log import NEXT_STEP, configure_logging, get_logger, with_alerts

SOURCE = Path(__file__).resolve().parents[2] / "src" / "dam"
LOUD = {"warning", "error", "critical", "exception", "_alert", "alert", "alert_once", "_failed"}


def calls() -> list[tuple[str, ast.Call, ast.AST]]:
    """Every call that logs at level warning or above, with its file and the function around it."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        functions = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        for function in functions:
            for node in ast.walk(function):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                if node.func.attr in LOUD and node.args:
                    found.append((path.name, node, function))
    return found


def events(call: ast.Call, function: ast.AST) -> set[str]:
    """Names of the events that a call may log; empty: it passes on what another named."""
    first = call.args[0]
    if isinstance(first, ast.Constant):
        return {first.value} if isinstance(first.value, str) else set()
    found: set[str] = set()
    if isinstance(first, ast.Name):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == first.id for target in node.targets
            ):
                either = node.value
                parts = [either.body, either.orelse] if isinstance(either, ast.IfExp) else [either]
                found |= {
                    part.value
                    for part in parts
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value
                }
    return found


def test_every_loud_line_says_what_to_do() -> None:
    """In the call itself, or by its event in `NEXT_STEP`."""
    seen: set[str] = set()
    missing = []
    for name, call, function in calls():
        said = any(keyword.arg == "next_step" for keyword in call.keywords)
        named = events(call, function)
        seen |= named
        missing += [
            f"{name}:{call.lineno}: {event}" for event in named - set(NEXT_STEP) if not said
        ]
    assert {"no_balance", "tick_failed", "purchase_late", "stopped_by_fault"} <= seen
    assert missing == []


def test_no_advice_is_left_over() -> None:
    """Every event of the table is one that the code knows."""
    text = "".join(p.read_text("utf-8") for p in SOURCE.rglob("*.py"))
    # The table itself names each once, as a key.
    assert [e for e in NEXT_STEP if text.count(f'"{e}"') <= text.count(f'"{e}": ')] == []


def test_advice_is_a_sentence_that_begins_with_the_step() -> None:
    for event, step in NEXT_STEP.items():
        assert 10 < len(step) <= 100, event
        assert not step.endswith("."), event


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    made = io.StringIO()
    configure_logging(stream=made)
    return made


def test_the_step_stands_in_the_line(stream: io.StringIO) -> None:
    log = get_logger("test")
    log.error("no_balance", account="0x1")
    log.error("no_balance", next_step="a better one")
    log.info("no_balance")
    try:
        raise ValueError
    except ValueError:
        log.exception("internal_error")
    first, second, third, fourth = written(stream)
    assert first["next_step"] == NEXT_STEP["no_balance"]
    assert second["next_step"] == "a better one"
    assert "next_step" not in third
    assert fourth["next_step"] == NEXT_STEP["internal_error"]


def test_loud_lines_are_counted_and_the_counter_is_not_written(stream: io.StringIO) -> None:
    counted: list[tuple[str, str]] = []
    log = with_alerts(get_logger("test"), lambda event, level: counted.append((event, level)))
    log.info("ready")
    log.bind(more=1).warning("tick_failed")
    log.critical("cannot_run")
    get_logger("test").error("no_balance")
    assert counted == [("tick_failed", "warning"), ("cannot_run", "critical")]
    assert all("_alerts" not in line for line in written(stream))


def test_what_libraries_say_is_a_line_without_addresses(stream: io.StringIO) -> None:
    """An address may hold an API key."""
    logger = logging.getLogger("aiohttp.client")
    logger.warning("Unclosed response <ClientResponse(https://node.example/v3/APIKEY123) [200]>")
    logger.info("not worth a word")
    try:
        raise ValueError("https://node.example/v3/APIKEY123")
    except ValueError:
        logger.exception("Task failed: %s", "wss://node.example/APIKEY123\n")
    first, second = written(stream)
    assert (first["event"], first["level"], first["logger"]) == (
        "library",
        "warning",
        "aiohttp.client",
    )
    assert (second["event"], second["level"]) == ("library", "error")
    assert second["text"] == "Task failed: <url>\\n: ValueError"
    assert "APIKEY123" not in stream.getvalue()


def test_configured_twice_a_library_is_heard_once(stream: io.StringIO) -> None:
    again = io.StringIO()
    configure_logging(stream=again)
    logging.getLogger("x").warning("hm")
    assert len(written(again)) == 1
    assert written(stream) == []
