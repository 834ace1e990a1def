"""No encoding, pipe, signal or terminal breaks a command off with a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.terminal import CTRL_C, Terminal

DAM = (sys.executable, "-m", "dam")
HASH = "0x" + "ab" * 32


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "DAM_HOME": str(tmp_path / "home"),
        "APE_DATA_FOLDER": str(tmp_path / "ape"),
        "DAM_KEY_PASSPHRASE": "correct horse",
        "LC_ALL": "C.UTF-8",
    }


def run(env: dict[str, str], *arguments: str, **more: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*DAM, *arguments], env=env, capture_output=True, timeout=60, check=False, **more
    )


def script(body: str) -> list[str]:
    """A command of ours whose body is given, run as ``dam`` is."""
    head = """
        import asyncio, click, os, signal, sys
        from dam.cli.main import Program
        from dam.cli import session
        group = Program("dam")
    """
    code = textwrap.dedent(head) + textwrap.dedent(body) + "\ngroup()\n"
    return [sys.executable, "-c", code]


# -------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "en_US.ISO-8859-1", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_no_encoding_breaks_a_command_off(env, locale: dict[str, str], tmp_path: Path) -> None:
    assert run(env, "keys", "new", "buyer").returncode == 0
    target = tmp_path / "Schlüssel 鍵 \udce9"
    done = run(env | locale, "keys", "backup", "buyer", str(target))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"holds the seed of purchase secrets" in done.stdout
    again = run(env | locale, "keys", "backup", "buyer", str(target), "--json")
    assert again.returncode == 2
    assert b"Traceback" not in again.stderr
    assert "is there already" in json.loads(again.stdout)["error"]["message"]
    target.unlink()
    told = run(env | locale, "keys", "backup", "buyer", str(target), "--json")
    assert json.loads(told.stdout)["path"].endswith(("\udce9", "\\udce9"))


# ------------------------------------------------------------------------------------ pipes


def shell(env: dict[str, str], line: str) -> subprocess.CompletedProcess:
    words = " ".join(DAM)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('dam ', words + ' ')}"],
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_a_result_that_standard_output_does_not_take_is_on_standard_error(env, where: str) -> None:
    done = shell(env, f"dam keys new deliverer --json {where}")
    assert done.returncode == 7
    told = done.stderr.decode()
    assert '"publicKey": "0x' in told
    assert "it is done, but standard output did not take the result" in told
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    assert shell(env, f"dam --help {where}").returncode == 7


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "<&-", "2>&- <&-"])
def test_a_note_that_nobody_can_read_is_let_go(env, where: str) -> None:
    done = shell(env, f"dam keys new buyer {where}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"buyer-seed.json" in done.stdout
    failed = shell(env, f"dam buyer browse --json {where}")
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["error"]["kind"] == "settings"


def test_a_reader_who_leaves_is_no_error(env) -> None:
    run(env, "keys", "new", "buyer")
    done = shell(env, "dam keys backup buyer here | true")
    assert done.returncode in (0, 141)
    assert done.stderr == b""
    (Path("here")).unlink(missing_ok=True)
    gone = shell(env, "(sleep 0.2; dam keys new seller) | true")
    assert (gone.returncode, gone.stderr) == (141, b"")


def test_a_closed_descriptor_is_not_taken_by_the_next_file(env) -> None:
    body = """
        @group.command()
        def go():
            print(open(os.devnull).fileno() > 2, file=sys.stderr)
    """
    code = script(body)
    done = subprocess.run(
        ["bash", "-c", '"$@" <&- >&-', "-", *code, "go"], env=env, capture_output=True, check=False
    )
    assert done.stderr == b"True\n"


# ------------------------------------------------------------------------------- questions

ASKS = """
    @group.command()
    @session.asynchronous
    async def go():
        try:
            await asyncio.sleep(0)
            session.confirm_or_abort("Buy it?", False)
            print("bought")
        finally:
            await asyncio.sleep(0)
            print("closed")

    @group.command()
    @session.asynchronous
    async def hidden():
        print("got", session.ask_hidden("Passphrase"))
"""


@pytest.mark.parametrize("name", ["go", "hidden"])
@pytest.mark.parametrize(
    ("number", "code"), [(None, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_one_ctrl_c_at_a_question_ends_at_once(env, name: str, number, code: int) -> None:
    with Terminal([*script(ASKS), name], env) as person:
        person.expect("Buy it?" if name == "go" else "Passphrase")
        if number is None:
            person.type(CTRL_C)
        else:
            person.process.send_signal(number)
        assert person.end(10) == code
        assert "Error: stopped" in person.text
        assert "bought" not in person.text
        assert "Traceback" not in person.text
        assert ("closed" in person.text) == (name == "go")


def test_no_is_not_a_signal(env) -> None:
    with Terminal([*script(ASKS), "go"], env) as person:
        person.expect("Buy it?")
        person.type("n\n")
        assert person.end(10) == 1
        assert "aborted" in person.text


def test_a_hangup_that_is_ignored_stays_ignored(env) -> None:
    body = """
        @group.command()
        @session.asynchronous
        async def go():
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.1)
            print("done")
    """
    done = subprocess.run(
        ["nohup", *script(body), "go"], env=env, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"done\n")


# ------------------------------------------------------------------------ after money moved

SENDS = f"""
    from dam.errors import RpcError
    from dam.cli.terminal import write_result

    @group.command()
    @click.argument("how")
    @click.option("--json", is_flag=True)
    @session.asynchronous
    async def go(how, json):
        session._note_sent(bytes.fromhex("{HASH[2:]}"))
        if how == "fails":
            raise RpcError("the node failed")
        if how == "result":
            write_result('"a result"')
            raise RpcError("the node failed")
        await asyncio.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_after_sending_says_what_was_sent_and_how_to_look(env, number, code) -> None:
    process = subprocess.Popen(
        [*script(SENDS), "go", "waits", "--json"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stderr.readline()
    assert first == f"Sending transaction {HASH}\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in err
    assert f"what was sent stays sent: transaction {HASH}" in err
    assert "dam buyer purchases" in err
    error = json.loads(out)["error"]
    assert (error["kind"], error["sent"]) == ("interrupted", [HASH])


def test_a_node_that_fails_after_sending_is_a_kind_of_its_own(env) -> None:
    done = subprocess.run(
        [*script(SENDS), "go", "fails", "--json"], env=env, capture_output=True, check=False
    )
    assert done.returncode == 6
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exitCode"], error["sent"]) == ("unconfirmed", 6, [HASH])
    assert HASH in error["message"]


def test_standard_output_has_one_json_value(env) -> None:
    done = subprocess.run(
        [*script(SENDS), "go", "result", "--json"], env=env, capture_output=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)) == (6, "a result")
    assert HASH.encode() in done.stderr
