"""`ape run deploy` on geth and Hardhat: the deployer for CREATE2 is not there from the start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dam.ethereum.create2 import DEPLOYER, DEPLOYER_SIGNER, DEPLOYER_TRANSACTION
from dam.market.code import shipped_build
from dam.market.creation import plan_create2
from dam.market.deployment import CREATE2, Origin
from dam.testing.nodes import LocalNode, NodeFailedError, NodeMissingError
from dam.types import ZERO_ADDRESS
from scripts._create2 import is_refusal
from scripts._profiles import PROFILES
from tests.chains.nodes import KINDS, GethNode, geth
from tests.node.deploying import PAYER, made, verify

PLAN = plan_create2(
    shipped_build(),
    1,
    PROFILES["development"].windows,
    ZERO_ADDRESS,
    Origin("development", CREATE2, DEPLOYER, bytes(32)),
)
MARKET = PLAN.deployment.market
pytestmark = pytest.mark.slow


@pytest.fixture
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalNode]:
    try:
        with request.param(tmp_path / "chain") as node:
            bank = node.request("eth_accounts")[-1]
            coins = {"from": bank, "to": PAYER, "value": hex(10**19)}
            before = int(node.request("eth_getBalance", PAYER, "latest"), 16)
            node.request("eth_sendTransaction", coins)
            while int(node.request("eth_getBalance", PAYER, "latest"), 16) == before:
                time.sleep(0.1)
            yield node
    except NodeMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("chain", KINDS, indirect=True, ids=lambda make: make.__name__)
def test_the_address_is_that_of_every_chain(chain: LocalNode, tmp_path: Path) -> None:
    """geth has the deployer from the start, on Hardhat it is made."""
    path = tmp_path / "record.json"
    there = chain.request("eth_getCode", DEPLOYER, "latest") != "0x"
    assert there == isinstance(chain, GethNode)
    record, said = made(chain.url, path)
    assert (record.origin.method, record.origin.deployer) == (CREATE2, DEPLOYER)
    market = record.deployment.market
    assert market == MARKET
    if not there:  # The address was known before anything was paid.
        assert said.index(f"Marketplace {market}: to be made") < said.index(f"to {DEPLOYER_SIGNER}")
    code, found = verify(chain.url, path)
    assert code == 0, found
    nonce = chain.request("eth_getTransactionCount", PAYER, "latest")
    path.unlink()
    again, said = made(chain.url, path)
    assert again == record
    assert "to be made" not in said
    assert chain.request("eth_getTransactionCount", PAYER, "latest") == nonce


@pytest.mark.parametrize("chain", [geth], indirect=True)
def test_what_geth_says_of_a_transaction_without_a_chain_id(chain: LocalNode) -> None:
    """In these words it is recognised, before coins go to its signer."""
    with pytest.raises(NodeFailedError) as refused:
        chain.request("eth_sendRawTransaction", "0x" + DEPLOYER_TRANSACTION.hex())
    assert is_refusal(str(refused.value)), refused.value
