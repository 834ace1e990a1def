"""A chain and a staked deliverer, whose folder is copied for each test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from eth_account import Account

from dam.testing.market import SHORT_WINDOWS, MarketCode, deploy_market
from dam.testing.nodes import AnvilNode
from dam.types import Address, Deployment
from tests.node.operator.commands import PASSPHRASE, Operator


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command configures logging for the whole process: not for the tests that follow."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def chain() -> Iterator[AnvilNode]:
    with AnvilNode() as node:
        yield node


@pytest.fixture(scope="session")
def deployment(chain: AnvilNode, code: MarketCode) -> Deployment:
    governor = Address(chain.request("eth_accounts")[9])
    made = deploy_market(chain, SHORT_WINDOWS, governor=governor, code=code)
    chain.mine(5)
    return made


@pytest.fixture(scope="session")
def template(
    chain: AnvilNode, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> Operator:
    """A staked deliverer, whose folder is copied for each test."""
    made = Operator(tmp_path_factory.mktemp("operator"), chain, deployment)
    made.init()
    # The same account behind a lock that opens in no time.
    key = Account.decrypt(json.loads(made.keyfile.read_bytes()), PASSPHRASE)
    made.keyfile.write_text(json.dumps(Account.encrypt(key, PASSPHRASE, iterations=2)))
    made.stake()
    return made


@pytest.fixture
def operator(template: Operator, tmp_path: Path) -> Operator:
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    made = Operator(tmp_path, template.chain, template.deployment)
    config = made.home / "config.toml"
    config.write_text(config.read_text().replace(str(template.folder), str(tmp_path)))
    # A copied file's mode is the copy's; what was made was closed.
    made.ring.parent.chmod(0o700)
    return made


@pytest.fixture
def nobody(chain: AnvilNode, deployment: Deployment, tmp_path: Path) -> Operator:
    return Operator(tmp_path, chain, deployment)
