"""The command line where no chain is needed."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from dam.cli.failures import error_text
from dam.cli.main import main
from dam.cli.session import confirm_or_abort, json_ready, table
from dam.config.settings import key_paths
from dam.crypto.hashing import keccak
from dam.errors import ContractReverted, Malformed, Permanent
from dam.ethereum.node_errors import RpcUnavailableError
from dam.keystore.key_files import load_ring, load_seed
from dam.roles.arbiter import ruling_amount
from dam.roles.sales import match_id
from dam.types import CopyId

PASSPHRASE = "correct horse"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DAM_RPC_URL", "DAM_DEPLOYMENT", "DAM_IPFS", "DAM_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAM_KEY_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("APE_DATA_FOLDER", str(tmp_path / "ape"))
    return tmp_path / "home"


def dam(*arguments: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, arguments)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom dam.cli.main import main\n"
        "r = CliRunner().invoke(main, ['--help'])\n"
        "heavy = {'web3', 'ape', 'eth_account', 'aiohttp', 'nacl', 'rich', 'jsonschema', 'asyncio',"
        " 'structlog', 'dam.cli.session', 'dam.config.settings'}\n"
        "print(r.exit_code, sorted(heavy & set(sys.modules)), r.output)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("0 [] Usage:"), done.stdout
    for name in main.list_commands(click.Context(main)):
        assert name in done.stdout


def commands_of(command: click.Command, name: str = "") -> list[tuple[str, click.Command]]:
    """A command, or all those of a group and of the groups in it, by their names."""
    if not isinstance(command, click.Group):
        return [(name, command)]
    found = []
    for sub, entry in command.commands.items():
        assert entry.help, f"{name} {sub}"
        found += commands_of(entry, sub)
    return found


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_every_command_has_help_and_readers_have_json(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help
    for sub, entry in commands_of(command):
        assert entry.help, f"{name} {sub}"
        options = {o for p in entry.params for o in p.opts}
        assert sub == "run" or name == "web" or "--json" in options, f"{name} {sub}"
    result = dam(name, "--help")
    assert result.exit_code == 0


def test_every_option_reaches_its_command() -> None:
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        for _, entry in commands_of(command):
            assert entry.callback is not None
            wanted = inspect.signature(entry.callback).parameters.values()
            if any(p.kind is p.VAR_KEYWORD for p in wanted):
                continue
            given = {p.name for p in entry.params} | ({"ctx"} if entry.name == "run" else set())
            assert {p.name for p in wanted} == given, f"{name} {entry.name}"


def test_all_commands_of_the_issue_are_there() -> None:
    wanted = {
        "keys": "new rotate backup restore",
        "seller": "stake publish update close close-item withdraw-codes sales supply operator "
        "unstake concede evidence",
        "deliverer": "init stake run status doctor recover config terms rotate exit withdraw-stake",
        "watchdog": "run status doctor recover",
        "buyer": "browse show buy wait open prove confirm refund dispute purchases concede rate "
        "evidence",
        "arbiter": "cases rule evidence",
        "store": "verify",
    }
    for name, subs in wanted.items():
        group = main.get_command(click.Context(main), name)
        assert isinstance(group, click.Group)
        assert set(group.commands) == set(subs.split())


def test_an_error_is_one_clear_line_and_has_its_code(home: Path) -> None:
    result = dam("buyer", "browse")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: the settings are not complete:")
    assert "dam init" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_usage_is_code_2(home: Path) -> None:
    for arguments in (
        ["buyer", "buy", "0x12", "thing"],
        ["seller", "stake", "lots"],
        ["arbiter", "rule", "0x123456"],
        ["nonsense"],
        ["keys", "new", "gold"],
    ):
        result = dam(*arguments)
        assert result.exit_code == 2, arguments
        assert "Traceback" not in result.stderr


def test_keys_are_made_rotated_backed_up_and_restored(home: Path, tmp_path: Path) -> None:
    made = dam("keys", "new", "all", "--json")
    assert made.exit_code == 0, made.stderr
    entries = {e["kind"]: e for e in json.loads(made.stdout)["made"]}
    paths = key_paths(home)
    assert entries["deliverer"]["publicKey"][2:] == (
        load_ring(paths.deliverer, PASSPHRASE).current.public.hex()
    )
    for path in (paths.deliverer, paths.seller, paths.buyer):
        assert path.stat().st_mode & 0o777 == 0o600
    again = dam("keys", "new", "buyer")
    assert again.exit_code == 2
    assert "is there already" in again.stderr

    rotated = dam("keys", "rotate", "--json")
    ring = load_ring(paths.deliverer, PASSPHRASE)
    assert json.loads(rotated.stdout) == {
        "publicKey": "0x" + ring.current.public.hex(),
        "keys": 2,
    }

    seed = load_seed(paths.seller, "seller-seed", PASSPHRASE)
    saved = tmp_path / "saved"
    assert dam("keys", "backup", "seller", str(saved)).exit_code == 0
    paths.seller.unlink()
    assert dam("keys", "restore", "seller", str(saved)).exit_code == 0
    assert load_seed(paths.seller, "seller-seed", PASSPHRASE) == seed
    paths.buyer.unlink()
    wrong = dam("keys", "restore", "buyer", str(saved))
    assert wrong.exit_code == 2
    assert "not of a seed of purchase secrets" in wrong.stderr
    assert not paths.buyer.exists()


def test_a_seller_hears_of_all_mistakes_before_anything_else(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.toml"
    path.write_text('[store]\nname = "s"\n[[items]]\nid = "a"\nprice = "?"\n')
    result = dam("seller", "publish", str(path))
    assert result.exit_code == 1
    assert "2 mistakes" in result.stderr


def test_nobody_there_to_ask_is_not_a_yes() -> None:
    with pytest.raises(Permanent, match="--yes"):
        confirm_or_abort("Pay?", yes=False)
    confirm_or_abort("Pay?", yes=True)


def test_tables_keep_whole_cells_and_align_wide_letters() -> None:
    text = click.unstyle(table(("a", "b"), [("文字", "x"), ("y", "0x" + "1" * 64)]))
    assert text.splitlines() == ["a     b", "文字  x", "y     0x" + "1" * 64]


def test_json_has_hex_for_bytes() -> None:
    assert json_ready({"a": b"\x01", "b": (1, None, [b""])}) == {
        "a": "0x01",
        "b": [1, None, ["0x"]],
    }


def test_a_sale_is_named_by_its_beginning() -> None:
    one, two = CopyId(b"\xab" * 32), CopyId(b"\xab" * 31 + b"\x01")
    assert match_id("0x" + one.hex(), [one, two]) == one
    assert match_id("0xABABAB", [one]) == one
    assert match_id("0x123456", [one, two]) is None
    with pytest.raises(Permanent, match="2 sales begin"):
        match_id("0xababab", [one, two])
    for text in ("", "0x12345", "123456", "0x" + "g" * 6, "0x" + "1" * 65):
        with pytest.raises(Permanent, match="6 digits"):
            match_id(text, [one])


@pytest.mark.parametrize(
    ("text", "amount"),
    [("50%", 500), ("0", 0), ("100 %", 1000), ("12.5%", 125), ("1000 wei", 1000), ("0.05%", 0)],
)
def test_rulings(text: str, amount: int) -> None:
    assert ruling_amount(text, 1000) == amount


@pytest.mark.parametrize("text", ["101%", "1001", "-1", "half", "1e3%", "%"])
def test_rulings_out_of_range(text: str) -> None:
    with pytest.raises(Malformed):
        ruling_amount(text, 1000)


def test_refusals_of_the_contract_are_told_in_words() -> None:
    low = ContractReverted("SellerStakeTooLow", {"seller": "0x1", "free": 5, "needed": 10**18})
    assert "free stake is 5 wei, and 1 ether are needed" in error_text(low)
    status = ContractReverted("WrongStatus", {"copyId": keccak(b""), "status": 4})
    assert "settled now" in error_text(status)
    late = ContractReverted("TooLate", {"copyId": keccak(b""), "lastTime": 1_700_000_000})
    assert "possible until 2023-11-14 22:13:20 UTC" in error_text(late)
    assert "BeforeGate" in error_text(ContractReverted("BeforeGate", {"gateBlock": 12}))
    assert "Strange" in error_text(ContractReverted("Strange", {"a": 1}))
    assert "CopyTaken" in error_text(ContractReverted("CopyTaken", {}))
    failed = ContractReverted("", {"transaction": "0xab", "block": 7})
    assert "transaction 0xab failed in block 7" in error_text(failed)


def test_every_refusal_of_the_contract_has_words() -> None:
    from dam.cli.errors import _TEXTS
    from dam.market.abi import market_abi

    errors = {entry.name: entry for entry in market_abi().errors.values()}
    assert set(_TEXTS) == set(errors)
    for name in _TEXTS:
        arguments: dict[str, object] = {
            p.name: b"\1" * 32 if p.type.startswith("bytes") else 1 for p in errors[name].inputs
        }
        told = error_text(ContractReverted(name, arguments))
        # Words of ours with every argument filled in, not the bare error.
        assert told.endswith(f" ({name})"), told
        assert "{" not in told


@pytest.mark.parametrize(
    ("status", "advice"),
    [(429, "wait a while"), (401, "mend the key"), (None, "does it run?"), (502, "does it run?")],
)
def test_a_node_that_cannot_be_asked_has_its_cause_and_a_next_step(
    status: int | None, advice: str
) -> None:
    cause = "eth_chainId: nothing answers at 127.0.0.1:9999"
    told = error_text(RpcUnavailableError(cause, status=status))
    assert told.startswith(cause)
    assert advice in told
