"""Settings: the file, the variables, and all faults at once."""

from pathlib import Path

import pytest

from dam.config import Settings, check_ipfs, dump_config, from_env_and_file, home_folder
from dam.deployment import save_deployment
from dam.errors import ConfigError
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


def test_the_url_with_its_key_is_not_in_the_text_form(home: Path) -> None:
    settings = from_env_and_file(
        environment(home, DAM_RPC_URL=SECRET_URL, DAM_DEPLOYMENT=str(home / "deployment.json"))
    )
    assert "APIKEY123" not in repr(settings)


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
