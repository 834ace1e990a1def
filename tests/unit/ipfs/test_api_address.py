"""One parser for the address of Kubo's RPC API, in the forms in which people have it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dam.config.settings import Settings, dump_config
from dam.config.table import SETTINGS
from dam.config.values import check_ipfs
from dam.errors import ConfigError
from dam.ipfs.api_address import authorization, parse_api_address
from dam.market.deployment import save_deployment
from dam.types import Deployment


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("http://127.0.0.1:5001/", "http://127.0.0.1:5001"),
        ("http://127.0.0.1", "http://127.0.0.1:5001"),
        ("http://LOCALHOST:5001/api/v0/", "http://localhost:5001"),
        ("http://[::1]:5001", "http://[::1]:5001"),
        ("https://ipfs.example", "https://ipfs.example:443"),
        ("https://ipfs.example/node/one", "https://ipfs.example:443/node/one"),
        ("https://ipfs.example:8443/node/one/api/v0", "https://ipfs.example:8443/node/one"),
        ("https://192.0.2.7:5001", "https://192.0.2.7:5001"),
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip4/127.0.0.1/tcp/5001/http", "http://127.0.0.1:5001"),
        ("/ip4/192.0.2.7/tcp/443/https", "https://192.0.2.7:443"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/ip6/2001:db8::1/tcp/443/tls/http", "https://[2001:db8::1]:443"),
        ("/dns4/ipfs.example/tcp/443/https", "https://ipfs.example:443"),
        ("/dns6/ipfs.example/tcp/443/https/", "https://ipfs.example:443"),
        ("/dns/localhost/tcp/5001", "http://localhost:5001"),
    ],
)
def test_forms(text: str, url: str) -> None:
    found = parse_api_address(text)
    assert str(found) == url
    assert parse_api_address(str(found)) == found
    assert found.endpoint("block/get") == f"{url}/api/v0/block/get"
    assert check_ipfs(text, Path("/home")) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "127.0.0.1:5001", "ftp://127.0.0.1", "http://", "https://", "http://:5001"),
        *("http://127.0.0.1:0", "http://127.0.0.1:65536", "http://127.0.0.1:port"),
        *("http://127.0.0.1:5001?x", "http://127.0.0.1:5001/#x", "https://a b", "https://a/b c"),
        *(
            "https://a/../b",
            "https://a//b",
            "https://a/%2e%2e",
            "https://ä.example",
            "https://[::1",
        ),
        *("https://[fe80::1%25eth0]", "https://a\n", "https://a\0b", "https://" + "a" * 300),
        # Without TLS a loopback address alone.
        *("http://example.org:5001", "http://192.168.0.1:5001", "http://0.0.0.0:5001"),
        *("http://127.0.0.1.example.org:5001", "/ip4/192.0.2.7/tcp/5001", "/dns/a.example/tcp/80"),
        *("/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/5001", "/ip4/::1/tcp/5001", "/ip6/127.0.0.1/tcp/1"),
        *(
            "/ip4/127.0.0.1/tcp/5001/ws",
            "/ip4/127.0.0.1/tcp/99999",
            "/unix/run/api",
            "/dns4//tcp/1",
        ),
        *("/ip4/127.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001/p2p/Qm", "/dns4/a\n/tcp/1/https"),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_api_address(text)


@pytest.mark.parametrize("text", ["https://ada:secret@a.example", "http://secret@127.0.0.1:5001"])
def test_a_secret_in_the_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="ipfs_auth") as caught:
        parse_api_address(text)
    assert "secret" not in str(caught.value)


def test_secrets_as_kubo_writes_them() -> None:
    assert authorization("bearer:a.b-c=") == "Bearer a.b-c="
    basic = authorization("basic:ada:pass: word")
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"ada:pass: word"
    for text in ("", "token", "bearer:", "basic:ada", "Bearer:a", "bearer:a b", "bearer:a\r\nX: y"):
        with pytest.raises(ConfigError) as caught:
            authorization(text)
        assert "a b" not in str(caught.value)


def settings_of(home: Path, deployment: Deployment, **more: str) -> Settings:
    save_deployment(deployment, home / "deployment.json")
    text = dump_config(
        rpc_url="http://127.0.0.1:1",
        deployment="deployment.json",
        ipfs="/dns4/ipfs.example/tcp/443/https",
        confirmations=2,
        accounts={},
    )
    (home / "config.toml").write_text(text)
    return Settings.load({"DAM_HOME": str(home), **more})


def test_the_secret_is_a_setting_a_variable_or_a_credential_and_never_shown(
    tmp_path: Path, deployment: Deployment
) -> None:
    plain = settings_of(tmp_path, deployment)
    assert (plain.ipfs, plain.ipfs_auth) == ("https://ipfs.example:443", "")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "dam-ipfs-auth").write_text("bearer:tops3cret\n")
    by_credential = settings_of(tmp_path, deployment, CREDENTIALS_DIRECTORY=str(credentials))
    by_variable = settings_of(tmp_path, deployment, DAM_IPFS_AUTH="bearer:tops3cret")
    [row] = [setting for setting in SETTINGS if setting.key == "ipfs_auth"]
    for found in (by_credential, by_variable):
        assert found.ipfs_auth == "bearer:tops3cret"
        assert "tops3cret" not in repr(found)
        assert row.show(found.ipfs_auth) == "***"
    with pytest.raises(ConfigError, match="DAM_IPFS_AUTH") as caught:
        settings_of(tmp_path, deployment, DAM_IPFS_AUTH="tops3cret")
    assert "tops3cret" not in str(caught.value)
    (credentials / "dam-ipfs-auth").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="dam-ipfs-auth cannot be read"):
        settings_of(tmp_path, deployment, CREDENTIALS_DIRECTORY=str(credentials))
