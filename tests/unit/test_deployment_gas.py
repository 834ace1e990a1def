"""Fees and gas of `ape run deploy`: by rules of ours, whatever a node or Ape would take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ape.exceptions import TransactionError
from click import ClickException

from dam.types import ZERO_ADDRESS
from scripts._sending import fee_fields, gas_limit, send

GWEI = 10**9


class Provider:
    """A node, as Ape hands it out; ``None`` is a method that it does not have."""

    chain_id = 1337
    network = SimpleNamespace(
        auto_gas_multiplier=1.0, ecosystem=SimpleNamespace(create_transaction=dict)
    )

    def __init__(self, estimate: int = 5_000_000, **answers: Any) -> None:
        block = {"gasLimit": hex(60_000_000), "baseFeePerGas": hex(7 * GWEI)}
        self.answers = {
            "eth_getBlockByNumber": block,
            "eth_estimateGas": hex(estimate),
            "eth_maxPriorityFeePerGas": hex(GWEI),
            "eth_gasPrice": hex(9 * GWEI),
            "eth_getTransactionCount": "0x3",
            "eth_sendRawTransaction": "0x33",
            "eth_getTransactionReceipt": {
                "status": "0x1",
                "blockNumber": "0x5",
                "contractAddress": "0x22",
            },
            **answers,
        }
        self.asked: list[Any] = []
        self.balance = 10**18
        self.enough = False

    def make_request(self, method: str, parameters: list[Any]) -> Any:
        self.asked.append((method, parameters))
        if self.answers[method] is None:
            raise NotImplementedError(method)
        return self.answers[method]

    def get_balance(self, address: str) -> int:
        return self.balance


class Signed(SimpleNamespace):
    def serialize_transaction(self) -> bytes:
        return b"signed"


class Account:
    address = "0x11"
    signs = True

    def sign_transaction(self, transaction: Any) -> Any:
        self.signed = transaction
        return Signed() if self.signs else None


def test_fees_have_room_for_six_full_blocks() -> None:
    """The next base fee may be an eighth higher; Ape's own fee would be refused then."""
    fees = fee_fields(Provider())
    assert fees == {"type": 2, "max_fee": 15 * GWEI, "max_priority_fee": GWEI}


def test_a_base_fee_of_nothing_is_one() -> None:
    block = {"baseFeePerGas": "0x0"}
    fees = fee_fields(Provider(eth_getBlockByNumber=block))
    assert fees == {"type": 2, "max_fee": GWEI, "max_priority_fee": GWEI}


def test_a_node_without_a_tip_has_it_in_its_price() -> None:
    fees = fee_fields(Provider(eth_maxPriorityFeePerGas=None))
    assert fees == {"type": 2, "max_fee": 16 * GWEI, "max_priority_fee": 2 * GWEI}


def test_a_tip_is_capped() -> None:
    fees = fee_fields(Provider(eth_maxPriorityFeePerGas=hex(10**18)))
    assert fees["max_priority_fee"] == 20 * GWEI


def test_a_chain_without_base_fees_takes_a_price() -> None:
    fees = fee_fields(Provider(eth_getBlockByNumber={"gasLimit": "0x1"}))
    assert fees == {"type": 0, "gas_price": 9 * GWEI}


@pytest.mark.parametrize(
    ("estimate", "multiplier", "limit"),
    [
        (5_000_000, 1.0, 6_250_000),
        (5_000_000, 1.5, 7_500_000),
        # Room is no reason to be refused: a transaction has 2^24 at most (EIP-7825) ...
        (15_000_000, 1.25, 2**24),
        (2**24, 2.0, 2**24),
        # ... unless the node says that it may have more, as for state under EIP-8037.
        (34_000_000, 1.25, 42_500_000),
    ],
)
def test_the_limit_leaves_room_below_the_cap(estimate: int, multiplier: float, limit: int) -> None:
    assert gas_limit(estimate, multiplier) == limit


def test_a_deployment_takes_these_fees_and_this_gas() -> None:
    """Even where a block has 60 million gas, which Ape would take on a local chain."""
    provider, account = Provider(15_000_000), Account()
    assert send(provider, account, None, b"code") == (5, "0x22")
    assert account.signed == {
        "chain_id": 1337,
        "nonce": 3,
        "data": b"code",
        "value": 0,
        "gas_limit": 2**24,
        **fee_fields(provider),
    }
    # geth compares a fee with a base fee that moves.
    call = {"from": "0x11", "data": "0x636f6465", "value": "0x0"}
    assert ("eth_estimateGas", [call]) in provider.asked
    assert ("eth_sendRawTransaction", ["0x7369676e6564"]) in provider.asked


def test_where_a_node_cannot_estimate_all_that_is_allowed_may_do() -> None:
    """As on Hardhat, which tries more gas than it takes."""

    class Refusing(Provider):
        def make_request(self, method: str, parameters: list[Any]) -> Any:
            if method == "eth_estimateGas" or (method == "eth_call" and not self.enough):
                raise TransactionError(f"{method}: gas limit (25157274) is greater than the cap")
            return super().make_request(method, parameters)

    account, provider = Account(), Refusing(eth_call="0x")
    provider.enough = True
    send(provider, account, None, b"code")
    assert account.signed["gas_limit"] == 2**24
    call = {"from": "0x11", "data": "0x636f6465", "value": "0x0", "gas": hex(2**24)}
    assert ("eth_call", [call, "latest"]) in provider.asked
    provider.enough = False
    with pytest.raises(ClickException, match="eth_estimateGas: gas limit"):
        send(provider, account, None, b"code")


def test_an_account_without_coins_is_told_so() -> None:
    """As Ape's TEST::0 on geth, where it was a traceback of Ape's."""
    provider = Provider()
    provider.balance = 10**15
    with pytest.raises(ClickException, match=r"0x11 has 0\.001 ether, .*: send it some coins"):
        send(provider, Account(), None, b"code")
    provider.balance = 10**18
    with pytest.raises(ClickException, match="send it some coins"):
        send(provider, Account(), ZERO_ADDRESS, value=10**18)


def test_what_is_not_signed_is_not_sent() -> None:
    provider, account = Provider(), Account()
    account.signs = False
    with pytest.raises(ClickException, match="nothing was sent"):
        send(provider, account, None, b"code")
    assert "eth_sendRawTransaction" not in [method for method, _ in provider.asked]


def test_what_reverts_is_told() -> None:
    provider = Provider(eth_getTransactionReceipt={"status": "0x0", "blockNumber": "0x5"})
    with pytest.raises(ClickException, match="transaction 0x33 reverted"):
        send(provider, Account(), None, b"code")


def test_a_refusal_is_one_line() -> None:
    class Refused(Account):
        def sign_transaction(self, transaction: Any) -> Any:
            raise TransactionError("nonce too low")

    with pytest.raises(ClickException, match="nonce too low"):
        send(Provider(), Refused(), None, b"code")
