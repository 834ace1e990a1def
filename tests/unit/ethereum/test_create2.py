"""Addresses of contracts to come, and the deployer that every chain shares."""

from __future__ import annotations

from eth_account import Account

from dam.crypto.hashing import checksum
from dam.ethereum.create2 import (
    DEPLOYER,
    DEPLOYER_GAS,
    DEPLOYER_GAS_PRICE,
    DEPLOYER_SIGNER,
    DEPLOYER_TRANSACTION,
    create2_address,
    create_address,
)


def test_the_one_transaction_is_its_signers_and_makes_the_deployer() -> None:
    assert Account.recover_transaction(DEPLOYER_TRANSACTION) == DEPLOYER_SIGNER
    assert create_address(DEPLOYER_SIGNER, 0) == DEPLOYER
    assert DEPLOYER_GAS.to_bytes(3, "big") in DEPLOYER_TRANSACTION
    assert DEPLOYER_GAS_PRICE.to_bytes(5, "big") in DEPLOYER_TRANSACTION


def test_create2_as_in_eip_1014() -> None:
    """Its examples 1, 3 and 6."""
    zero, beef = (
        checksum(bytes(20)),
        checksum(bytes.fromhex("00000000000000000000000000000000deadbeef")),
    )
    assert create2_address(bytes(32), b"\0", zero) == "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"
    feed = checksum(bytes.fromhex("deadbeef" + "00" * 16))
    salt = bytes.fromhex("000000000000000000000000feed" + "00" * 18)
    assert create2_address(salt, b"\0", feed) == "0xD04116cDd17beBE565EB2422F2497E06cC1C9833"
    salt = bytes.fromhex("00" * 28 + "cafebabe")
    code = bytes.fromhex("deadbeef" * 11)
    assert create2_address(salt, code, beef) == "0x1d8bfDC5D46DC4f61D6b6115972536eBE6A8854C"


def test_nonces_of_any_size() -> None:
    """As RLP has them; Anvil's first account, whose first contracts everybody has seen."""
    first = checksum(bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"))
    assert create_address(first, 0) == "0x5FbDB2315678afecb367f032d93F642f64180aa3"
    assert create_address(first, 1) == "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"
    made = {create_address(first, nonce) for nonce in (127, 128, 255, 256, 2**40)}
    assert len(made) == 5
