"""Settings: the file, the variables, and all faults at once."""

from pathlib import Path

import pytest

from dam.config.settings import Settings, dump_config, from_env_and_file, home_folder
from dam.config.values import check_ipfs
from dam.errors import ConfigError
from dam.market.deployment import save_deployment
from dam.types import Deployment

SECRET_URL = "https://node.example/v3/APIKEY123"


@pytest.fixture
def home(tmp_path: Path, deployment: Deployment) -> Path:
    save_deployment(deployment, tmp_path / "deployment.json")
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"DAM_HOME": str(home), **more}


def test_variables_alone_are_enough(home: Path, deployment: Deployment) -> None:
    settings = Settings.load(
        environment(
            home,
            DAM_RPC_URL=SECRET_URL,
            DAM_DEPLOYMENT=str(home / "deployment.json"),
            DAM_CONFIRMATIONS="5",
            DAM_POLL="0.2",
            DAM_ACCOUNT="ada",
            DAM_MIN_FEE="3 gwei",
        )
    )
    assert settings.deployment == deployment
    assert (settings.confirmations, settings.poll_seconds) == (5, 0.2)
    assert settings.min_fee == 3 * 10**9
    assert settings.account("seller") == settings.account("default") == "ada"
    assert settings.ipfs == f"dir:{home / 'blocks'}"
    assert settings.ledger("deliverer").parent == settings.state
    assert str(deployment.chain_id) in settings.state.name


def test_a_written_file_reads_back_and_variables_go_before_it(home: Path) -> None:
    text = dump_config(
        rpc_url=SECRET_URL,
        deployment="deployment.json",
        ipfs='dir:/with "quotes" and \\',
        confirmations=3,
        accounts={"default": "ada", "watchdog": "ada-op"},
    )
    (home / "config.toml").write_text(text)
    settings = from_env_and_file(environment(home))
    assert settings.rpc_url == SECRET_URL
    assert settings.ipfs == 'dir:/with "quotes" and \\'
    assert settings.account("watchdog") == "ada-op"
    assert settings.account("buyer") == "ada"
    assert from_env_and_file(environment(home, DAM_CONFIRMATIONS="9")).confirmations == 9


def test_a_written_file_may_name_several_nodes_and_a_tag(home: Path) -> None:
    urls = ("http://a", 'http://b/"\\')
    text = dump_config(
        rpc_url=urls, deployment="deployment.json", ipfs="dir:x", confirmations="safe", accounts={}
    )
    # What is written as a remark is what may be set: with the marks off, it reads, too.
    (home / "config.toml").write_text(text.replace("# rpc_agree", "rpc_agree"))
    settings = from_env_and_file(environment(home))
    assert (settings.rpc_urls, settings.confirmations) == (urls, "safe")
    marks = ("unprofitable", "pin_bytes", "halt_depth", "health_port", "max_fee_gwei", "min_fee")
    for key in marks:
        text = text.replace(f"# {key} =", f"{key} =")
    (home / "config.toml").write_text(text)
    assert from_env_and_file(environment(home)).health_port == 9464


def test_the_url_with_its_key_is_not_in_the_text_form(home: Path) -> None:
    settings = from_env_and_file(
        environment(
            home,
            DAM_RPC_URL=f"{SECRET_URL},https://other.example/APIKEY123",
            DAM_DEPLOYMENT=str(home / "deployment.json"),
        )
    )
    assert "APIKEY123" not in repr(settings)


def test_several_nodes_and_how_many_of_them_must_agree(home: Path) -> None:
    (home / "config.toml").write_text(
        'deployment = "deployment.json"\nrpc = ["http://a", "http://b:1", "https://c/key"]\n'
    )
    settings = from_env_and_file(environment(home))
    assert settings.rpc_urls == ("http://a", "http://b:1", "https://c/key")
    assert settings.rpc_url == "http://a"
    assert settings.rpc_agree == 2
    assert from_env_and_file(environment(home, DAM_RPC_AGREE="3")).rpc_agree == 3
    with pytest.raises(ConfigError, match="DAM_RPC_AGREE: not a whole number from 1 to 3"):
        from_env_and_file(environment(home, DAM_RPC_AGREE="4"))
    alone = from_env_and_file(environment(home, DAM_RPC_URL="http://one"))
    assert (alone.rpc_urls, alone.rpc_agree) == (("http://one",), 1)
    pair = from_env_and_file(environment(home, DAM_RPC_URL="http://a, http://b"))
    assert pair.rpc_urls == ("http://a", "http://b")


@pytest.mark.parametrize(
    "value",
    ['[]', '["http://a", "http://a"]', '"http://a,,http://b"', '["http://a", 3]', "7",
     '["http://1", "http://2", "http://3", "http://4", "http://5", "http://6"]',
     '["http://a", "ftp://APIKEY123"]'],
)  # fmt: skip
def test_lists_of_nodes_that_are_none(home: Path, value: str) -> None:
    (home / "config.toml").write_text(f'deployment = "deployment.json"\nrpc = {value}\n')
    with pytest.raises(ConfigError) as caught:
        from_env_and_file(environment(home))
    assert f"rpc in {home / 'config.toml'}" in str(caught.value)
    assert str(caught.value).count("\n  - ") == 1
    assert "APIKEY123" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "found", "blocks"),
    [("7", 7, 7), ("safe", "safe", 40), ("finalized", "finalized", 80), ("0", 0, 0)],
)
def test_depth_in_blocks_or_by_the_nodes_word(
    home: Path, value: str, found: int | str, blocks: int
) -> None:
    (home / "config.toml").write_text('deployment = "deployment.json"\nrpc = "http://x"\n')
    settings = from_env_and_file(environment(home, DAM_CONFIRMATIONS=value))
    assert (settings.confirmations, settings.confirmation_blocks) == (found, blocks)


def test_settings_of_a_daemon_that_is_left_alone(home: Path) -> None:
    (home / "config.toml").write_text('deployment = "deployment.json"\nrpc = "http://x"\n')
    plain = from_env_and_file(environment(home))
    assert (plain.unprofitable, plain.halt_depth, plain.health_port) == ("skip", 64, None)
    told = from_env_and_file(
        environment(
            home, DAM_UNPROFITABLE="send", DAM_HALT_DEPTH="10", DAM_HEALTH_PORT="0",
            DAM_CONFIRMATIONS="safe",
        )
    )  # fmt: skip
    assert (told.unprofitable, told.halt_depth, told.health_port) == ("send", 10, 0)
    with pytest.raises(ConfigError) as caught:
        from_env_and_file(
            environment(
                home, DAM_UNPROFITABLE="maybe", DAM_HALT_DEPTH="0", DAM_HEALTH_PORT="65536",
                DAM_CONFIRMATIONS="latest",
            )
        )  # fmt: skip
    for part in ("DAM_UNPROFITABLE", "DAM_HALT_DEPTH", "DAM_HEALTH_PORT", "DAM_CONFIRMATIONS"):
        assert part in str(caught.value), part
    assert str(caught.value).count("\n  - ") == 4


def test_all_faults_come_together(home: Path) -> None:
    (home / "config.toml").write_text(
        'rpc = "ftp://APIKEY123"\nipfs = "/ipfs/x"\nconfirmations = 99\npoll_seconds = "soon"\n'
        'deployment = "nowhere.json"\ncolour = 3\n[accounts]\nking = "a"\nseller = "../x"\n'
    )
    with pytest.raises(ConfigError) as caught:
        from_env_and_file(environment(home, DAM_MAX_FEE_GWEI="-1", DAM_MIN_FEE="much"))
    text = str(caught.value)
    for part in (
        "rpc", "ipfs", "confirmations", "poll_seconds", "nowhere.json", "'colour'",
        "accounts.'king'", "accounts.seller", "DAM_MAX_FEE_GWEI", "DAM_MIN_FEE",
    ):  # fmt: skip
        assert part in text, part
    assert text.count("\n  - ") == 10
    assert "APIKEY123" not in text


def test_a_table_that_the_variable_replaces_is_checked_all_the_same(home: Path) -> None:
    """Else it would fail on the day that the variable is gone."""
    (home / "config.toml").write_text('[accounts]\nking = "a"\n')
    with pytest.raises(ConfigError, match="'king' is no role"):
        from_env_and_file(environment(home, DAM_ACCOUNT="ada"))


def test_the_folder_where_we_stand_may_be_gone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    record = home / "deployment.json"
    found = from_env_and_file(environment(home, DAM_RPC_URL="http://x", DAM_DEPLOYMENT=str(record)))
    assert found.deployment_path == record


def test_nothing_at_all_names_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dam init"):
        from_env_and_file(environment(tmp_path))


def test_broken_toml_is_a_fault(home: Path) -> None:
    (home / "config.toml").write_text("rpc = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        from_env_and_file(environment(home))


def test_paths_are_relative_to_the_file_or_to_the_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text('rpc = "http://x"\ndeployment = "deployment.json"\n')
    assert from_env_and_file(environment(home)).deployment_path == home / "deployment.json"
    monkeypatch.chdir(home)
    (home / "config.toml").unlink()
    found = from_env_and_file(
        environment(home, DAM_RPC_URL="http://x", DAM_DEPLOYMENT="deployment.json")
    )
    assert found.deployment_path == home / "deployment.json"
    assert check_ipfs("dir:blocks", home) == f"dir:{home}/blocks"


def test_home_is_named_or_the_users_own(tmp_path: Path) -> None:
    assert home_folder({"DAM_HOME": str(tmp_path)}) == tmp_path
    assert home_folder({}).name == "dam"
