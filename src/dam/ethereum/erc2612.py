"""ERC-2612 permits: an allowance by signature, checked against the token before anybody signs.

What a token says about its domain is not trusted: chain and contract are ours, the separator that
it publishes must be the hash of what is signed, and nothing is signed for another contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from dam.crypto.hashing import checksum, keccak
from dam.ethereum.erc20 import decode_text, selector, views
from dam.ethereum.node import Node
from dam.types import Address, Bytes32, Uint8, Uint256

_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_ALL_FIELDS = b"\x0f"
_MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Permit:
    """The argument of ``buyItemByPermit`` (see ``IMarketplace.Permit``)."""

    value: Uint256
    deadline: Uint256
    v: Uint8
    r: Bytes32
    s: Bytes32


class NoPermit(Exception):
    """The token takes no permit that would be safe to sign; the text says why."""


class TypedSigner(Protocol):
    """An account that signs EIP-712 data."""

    @property
    def address(self) -> Address:
        """Its address."""
        ...

    def sign_typed(self, message: dict[str, Any], /) -> tuple[int, bytes, bytes]:
        """v, r and s."""
        ...


def domain_separator(name: str, version: str, chain_id: int, token: Address) -> bytes:
    """The EIP-712 domain separator, 32 bytes."""
    return keccak(
        keccak(_DOMAIN.encode())
        + keccak(name.encode("utf-8"))
        + keccak(version.encode("utf-8"))
        + chain_id.to_bytes(32, "big")
        + bytes(12)
        + bytes.fromhex(token[2:])
    )


def _domain_of(data: bytes, chain_id: int, token: Address) -> tuple[str, str] | None:
    """Name and version from ``eip712Domain()``; None if the token has none.

    Raises:
        NoPermit: It names another chain, another contract, or a domain of another form.
    """
    if not data:
        return None
    from eth_abi.abi import decode as abi_decode  # slow to import, and few tokens need it

    kinds = ["bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"]
    try:
        fields, name, version, chain, contract, _, more = abi_decode(kinds, data)
    except Exception:  # noqa: BLE001 - eth_abi's errors have no base of their own
        return None
    if fields != _ALL_FIELDS or more:
        raise NoPermit("its signing domain has another form")
    if chain != chain_id or checksum(bytes.fromhex(contract[2:])) != token:
        raise NoPermit("its signing domain is another chain's or another contract's")
    return name, version


async def read_domain(
    rpc: Node, token: Address, owner: Address, chain_id: int
) -> tuple[str, str, int]:
    """Name and version of a token's signing domain, and the owner's nonce.

    Raises:
        NoPermit: With the reason.
    """
    owner_word = bytes(12) + bytes.fromhex(owner[2:])
    calls = ("eip712Domain()", "name()", "version()", "DOMAIN_SEPARATOR()")
    asked = [(token, selector(call)) for call in calls]
    asked.append((token, selector("nonces(address)") + owner_word))
    domain, name, version, separator, nonce = await views(rpc, asked)
    if len(separator) != 32 or len(nonce) != 32:
        raise NoPermit("it has no permit (ERC-2612)")
    found = _domain_of(domain, chain_id, token)
    if found is None:
        found = decode_text(name), decode_text(version) or "1"
    if any(len(text) > _MAX_TEXT for text in found):
        raise NoPermit("its name is too long")
    if domain_separator(*found, chain_id, token) != separator:
        raise NoPermit("its DOMAIN_SEPARATOR is not the hash of its name, version and chain")
    return (*found, int.from_bytes(nonce, "big"))


async def make_permit(
    rpc: Node,
    signer: TypedSigner,
    token: Address,
    spender: Address,
    value: int,
    *,
    chain_id: int,
    deadline: int,
) -> Permit:
    """Signs a permit for exactly ``value``.

    Raises:
        NoPermit: The token takes none that would be safe to sign.
    """
    name, version, nonce = await read_domain(rpc, token, signer.address, chain_id)
    fields = ("owner", "spender", "value", "nonce", "deadline")
    kinds = {"owner": "address", "spender": "address"}
    v, r, s = signer.sign_typed(
        {
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Permit": [{"name": f, "type": kinds.get(f, "uint256")} for f in fields],
            },
            "primaryType": "Permit",
            "domain": {
                "name": name,
                "version": version,
                "chainId": chain_id,
                "verifyingContract": token,
            },
            "message": {
                "owner": signer.address,
                "spender": spender,
                "value": value,
                "nonce": nonce,
                "deadline": deadline,
            },
        }
    )
    return Permit(value, deadline, v, r, s)
