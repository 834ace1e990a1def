"""Addresses of contracts before they are made, and the usual deployer for CREATE2.

A contract that CREATE2 makes has an address that follows from its creation code, a salt and who
makes it (EIP-1014): the address proves the code. The deployer is the same on every chain, since one
transaction, signed once by nobody's key, makes it ("Nick's method";
https://github.com/Arachnid/deterministic-deployment-proxy).
"""

from __future__ import annotations

from dam.crypto.hashing import address_bytes, checksum, keccak
from dam.ethereum.eip1559 import rlp_list, rlp_number, rlp_string
from dam.types import Address

DEPLOYER = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
"""Takes a salt and creation code as its calldata."""
DEPLOYER_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234"
    "f58015156039578182fd5b8082525050506014600cf3"
)
DEPLOYER_SIGNER = Address("0x3fAB184622Dc19b6109349B94811493BF2a45362")
"""Nobody has its key; its first transaction makes the deployer, and needs coins there."""
DEPLOYER_CREATION = bytes.fromhex("604580600e600039806000f350fe") + DEPLOYER_CODE
DEPLOYER_GAS = 100_000
DEPLOYER_GAS_PRICE = 100 * 10**9
DEPLOYER_TRANSACTION = bytes.fromhex(
    "f8a58085174876e800830186a08080b853" + DEPLOYER_CREATION.hex() + "1ba0" + "22" * 32 + "a0"
    + "22" * 32
)  # fmt: skip
"""Without a chain id, so that every chain takes it (and nodes may refuse it for that)."""


def create_address(sender: Address, nonce: int) -> Address:
    """Of the contract that an account, or a contract, makes with this nonce."""
    content = rlp_list(rlp_string(address_bytes(sender)) + rlp_number(nonce))
    return checksum(keccak(content)[12:])


def create2_address(salt: bytes, creation: bytes, deployer: Address = DEPLOYER) -> Address:
    """Of the contract that the deployer makes of this code, arguments included."""
    content = b"\xff" + address_bytes(deployer) + salt + keccak(creation)
    return checksum(keccak(content)[12:])
