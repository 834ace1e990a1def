"""What a deployment consists of: creation code, addresses, and the code that stays on the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eth_abi.abi import encode as abi_encode

from dam.crypto.abi_words import uint_word
from dam.crypto.hashing import keccak
from dam.ethereum.create2 import create2_address, create_address
from dam.market.code import Build
from dam.market.deployment import Adapter, Origin, Record, Timelock
from dam.types import Address, Deployment, Windows

_P = 2**255 - 19
TABLE_HASH = bytes.fromhex("b5cba1a6cab344d82cd7ad148821b04ae5b7daf57bbe854b620566363f8e51e2")
"""keccak256 of the code that ``CombTable.sol`` makes; no address and no argument is in it."""


@dataclass(frozen=True, slots=True)
class Made:
    """One contract of a deployment."""

    name: str
    address: Address
    creation: bytes
    """With the constructor's arguments; empty: another contract of the deployment makes it."""
    code_hash: bytes
    """keccak256 of the code that stays on the chain."""


def setup_words(windows: Windows, governor: Address, proofs: Address) -> bytes:
    """The argument of the market's constructor, ``Setup``."""
    words = (
        windows.refund_seconds,
        windows.dispute_seconds,
        windows.arbitration_seconds,
        windows.exit_seconds,
        windows.slash_delay_seconds,
        windows.slash_lapse_seconds,
        int(governor, 16),
        windows.min_deliverer_stake,
        windows.min_seller_stake,
        windows.junk_fine,
        int(proofs, 16),
    )
    return b"".join(map(uint_word, words))


def timelock_creation(build: Build, timelock: Timelock) -> bytes:
    """Creation code of the timelock."""
    arguments = abi_encode(("uint256", "address[]"), (timelock.seconds, timelock.proposers))
    return build.contracts["Timelock"].creation + arguments


def adapter_creation(build: Build, market: Address, adapter: Adapter) -> bytes:
    """Creation code of the adapter to an ERC-792 arbitrator."""
    arguments = abi_encode(
        ("address", "address", "bytes", "uint64", "string"),
        (
            market,
            adapter.arbitrator,
            adapter.extra_data,
            adapter.submit_seconds,
            adapter.meta_evidence,
        ),
    )
    return build.contracts["Erc792Adapter"].creation + arguments


def market_creation(build: Build, windows: Windows, governor: Address, proofs: Address) -> bytes:
    """Creation code of the market; it makes the half that closes sales."""
    return build.contracts["Marketplace"].creation + setup_words(windows, governor, proofs)


def plan_create2(
    build: Build,
    chain_id: int,
    windows: Windows,
    governor: Address | None,
    origin: Origin,
) -> Record:
    """The record of a market that the usual deployer makes, but for its block: known beforehand.

    Args:
        build: The code.
        chain_id: Of the chain.
        windows: The market's immutables.
        governor: Who may slash; None: the timelock of ``origin``.
        origin: With salt and setups; addresses in it are filled in.
    """
    salt = origin.salt
    assert salt is not None
    if governor is None:
        assert origin.timelock is not None
        governor = create2_address(salt, timelock_creation(build, origin.timelock))
    proofs = create2_address(salt, build.contracts["Proofs"].creation)
    market = create2_address(salt, market_creation(build, windows, governor, proofs))
    return complete_record(build, chain_id, (proofs, market, governor), windows, origin)


def complete_record(
    build: Build,
    chain_id: int,
    addresses: tuple[Address, Address, Address],
    windows: Windows,
    origin: Origin,
) -> Record:
    """A record out of what was chosen, and the addresses of proofs, market and governor.

    Of a market that no CREATE2 made, the adapter's address is taken as ``origin`` has it.
    """
    proofs, market, governor = addresses
    adapter = origin.adapter
    if adapter is not None and origin.salt is not None:
        address = create2_address(origin.salt, adapter_creation(build, market, adapter))
        adapter = replace(adapter, address=address)
    closing = create_address(market, 1)
    values = _market_values(windows, governor, proofs, closing)
    deployment = Deployment(
        chain_id=chain_id,
        market=market,
        first_block=0,
        code_hash=keccak(build.contracts["Marketplace"].runtime(values)),
        proofs=proofs,
        closing=closing,
        windows=windows,
        governor=governor,
    )
    return Record(deployment, replace(origin, adapter=adapter))


def contracts_of(build: Build, record: Record) -> list[Made]:
    """All contracts of a deployment, as this build has them, in the order in which they are made.

    The addresses are the record's; `wrong_addresses` says whether they can be.
    """
    at, origin = record.deployment, record.origin
    values = _market_values(at.windows, at.governor, at.proofs, at.closing)
    table = create_address(at.proofs, 1)
    made = []

    def add(name: str, address: Address, creation: bytes, values: dict[str, int]) -> None:
        made.append(Made(name, address, creation, keccak(build.contracts[name].runtime(values))))

    if origin.timelock is not None:
        add("Timelock", at.governor, timelock_creation(build, origin.timelock), {})
    proofs = build.contracts["Proofs"].creation
    add("Proofs", at.proofs, proofs, {"TABLE": int(table, 16), "P": _P})
    made.append(Made("table of Proofs", table, b"", TABLE_HASH))
    market = market_creation(build, at.windows, at.governor, at.proofs)
    add("Marketplace", at.market, market, values)
    add("Closing", at.closing, b"", values)
    if origin.adapter is not None:
        one = origin.adapter
        add(
            "Erc792Adapter",
            one.address,
            adapter_creation(build, at.market, one),
            {
                "MARKET": int(at.market, 16),
                "ARBITRATOR": int(one.arbitrator, 16),
                "SUBMIT_SECONDS": one.submit_seconds,
            },
        )
    return made


def wrong_addresses(record: Record, made: Sequence[Made]) -> list[Made]:
    """Contracts whose address is not the one that their creation code gives.

    Of a plain deployment this says nothing but of what the market itself makes.
    """
    at = record.deployment
    wrong = []
    for one in made:
        expected = one.address
        if one.name == "Closing":
            expected = create_address(at.market, 1)
        elif one.creation and record.origin.salt is not None:
            expected = create2_address(record.origin.salt, one.creation, record.origin.deployer)
        if expected != one.address:
            wrong.append(one)
    return wrong


def _market_values(
    windows: Windows, governor: Address, proofs: Address, closing: Address
) -> dict[str, int]:
    """Of the immutables of both halves (``Books.sol``) and of either."""
    return {
        "_DELIVERY_SECONDS": windows.delivery_seconds,
        "_PROOF_SECONDS": windows.proof_seconds,
        "_REFUND_SECONDS": windows.refund_seconds,
        "_DISPUTE_SECONDS": windows.dispute_seconds,
        "_ARBITRATION_SECONDS": windows.arbitration_seconds,
        "_EXIT_SECONDS": windows.exit_seconds,
        "_SLASH_DELAY_SECONDS": windows.slash_delay_seconds,
        "_SLASH_LAPSE_SECONDS": windows.slash_lapse_seconds,
        "_GOVERNOR": int(governor, 16),
        "_MIN_DELIVERER_STAKE": windows.min_deliverer_stake,
        "_MIN_SELLER_STAKE": windows.min_seller_stake,
        "_JUNK_FINE": windows.junk_fine,
        "_PROOFS": int(proofs, 16),
        "CLOSING": int(closing, 16),
        "_SELF": int(closing, 16),
    }
