"""Named actors, a market of their own, and `create_*` factories for the contract's tests.

The market is deployed once; Ape takes every test's changes back. Whatever a test did, the market's
balance must at its end be what the views say it owes, to the wei: see `books`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from ape.exceptions import ContractLogicError, CustomError
from eth_abi.abi import decode

from dam.crypto.hashing import (
    copy_id,
    escrow_hash,
    item_id,
    keccak,
    keys_hash,
    part_leaf,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import public_key
from dam.types import ZERO_ADDRESS, Address, Escrow, PartLeaf, Sale, Terms, Wei
from tests.contracts.sales import (
    ARBITRATION,
    DISPUTE,
    ETHER,
    EXIT,
    JUNK_FINE,
    MIN_DELIVERER_STAKE,
    MIN_SELLER_STAKE,
    POSSESSION,
    REFUND,
    SLASH_DELAY,
    SLASH_LAPSE,
    Books,
    Clock,
    Holdings,
    Item,
    Order,
    key_of,
    plain,
    secret_of,
    shares_of,
)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from scripts._contracts import load_fresh  # noqa: E402

# Before Ape starts its chain; see that script.
os.environ["PATH"] = f"{ROOT / 'tools' / 'small_anvil'}{os.pathsep}{os.environ['PATH']}"


# ------------------------------------------------------------------------------------------ actors


@pytest.fixture(scope="session")
def deployer(accounts: Any) -> Any:
    return accounts[0]


@pytest.fixture(scope="session")
def seller(accounts: Any) -> Any:
    """Has 100 ether of free stake."""
    return accounts[1]


@pytest.fixture(scope="session")
def buyer(accounts: Any) -> Any:
    return accounts[2]


@pytest.fixture(scope="session")
def alice(accounts: Any) -> Any:
    """A staked deliverer, who owns herself."""
    return accounts[3]


@pytest.fixture(scope="session")
def bob(accounts: Any) -> Any:
    """A staked deliverer, whose owner is `owner`."""
    return accounts[4]


@pytest.fixture(scope="session")
def carol(accounts: Any) -> Any:
    """A staked deliverer, who owns herself."""
    return accounts[5]


@pytest.fixture(scope="session")
def owner(accounts: Any) -> Any:
    """Bob's owner: holds the money, never delivers."""
    return accounts[6]


@pytest.fixture(scope="session")
def watchdog(accounts: Any) -> Any:
    """The seller's operator."""
    return accounts[7]


@pytest.fixture(scope="session")
def arbitrator(accounts: Any) -> Any:
    return accounts[8]


@pytest.fixture(scope="session")
def stranger(accounts: Any) -> Any:
    """Nobody: neither stake nor role."""
    return accounts[9]


@pytest.fixture(scope="session")
def dave(accounts: Any) -> Any:
    """Will be a deliverer, and is not one yet."""
    return accounts[10]


@pytest.fixture(scope="session")
def newcomer(accounts: Any) -> Any:
    """Will be a seller, and is not one yet."""
    return accounts[11]


# ------------------------------------------------------------------------------------------ market


@pytest.fixture(scope="session")
def marketplace(project: Any, request: pytest.FixtureRequest) -> Any:
    """The contract, compiled from the sources as they are.

    tools/mutate_contract.py puts broken builds in its place, as parameters.
    """
    if hasattr(request, "param"):
        return request.param
    load_fresh(project)
    return project.Marketplace


@pytest.fixture(scope="session")
def proofs(project: Any, deployer: Any, clock: Clock) -> Any:
    """The verifier of evidence, as it is."""
    load_fresh(project)
    return deployer.deploy(project.Proofs)


@pytest.fixture(scope="session")
def create_market(marketplace: Any, deployer: Any, proofs: Any) -> Callable[..., Any]:
    def create(
        refund: int = REFUND,
        dispute: int = DISPUTE,
        arbitration: int = ARBITRATION,
        exit_: int = EXIT,
        slash_delay: int = SLASH_DELAY,
        slash_lapse: int = SLASH_LAPSE,
        governor: str = ZERO_ADDRESS,
        deliverer_stake: int = MIN_DELIVERER_STAKE,
        seller_stake: int = MIN_SELLER_STAKE,
        junk_fine: int = JUNK_FINE,
        verifier: Any = proofs,
    ) -> Any:
        windows = (refund, dispute, arbitration, exit_, slash_delay, slash_lapse)
        amounts = (deliverer_stake, seller_stake, junk_fine)
        return deployer.deploy(marketplace, (windows, governor, *amounts, verifier))

    return create


@pytest.fixture(scope="session", autouse=True)
def market(
    create_market: Any,
    seller: Any,
    watchdog: Any,
    alice: Any,
    bob: Any,
    carol: Any,
    owner: Any,
    clock: Clock,
) -> Any:
    market = create_market()
    # Not only for the first of many builds.
    clock.rpc("anvil_setBalance", seller.address, hex(10_000 * ETHER))
    market.stakeAsSeller(sender=seller, value=100 * ETHER)
    market.setSellerOperator(watchdog, sender=seller)
    stake = {"value": MIN_DELIVERER_STAKE}
    market.stakeAsDeliverer(key_of(0), POSSESSION, sender=alice, **stake)
    market.stakeAsDelivererFor(owner, key_of(1), POSSESSION, sender=bob, **stake)
    market.stakeAsDeliverer(key_of(2), POSSESSION, sender=carol, **stake)
    return market


# ------------------------------------------------------------------------------------------- chain


@pytest.fixture(scope="session")
def clock(chain: Any) -> Clock:
    clock = Clock(chain.provider)
    # A second a block, whatever the machine's clock says.
    clock.rpc("anvil_setBlockTimestampInterval", 1)
    return clock


@pytest.fixture
def fund(clock: Clock) -> Callable[[Any, int], None]:
    """Gives an account as many wei as a test needs, beyond what Anvil starts with."""

    def give(account: Any, amount: int) -> None:
        clock.rpc("anvil_setBalance", account.address, hex(amount))

    return give


# ------------------------------------------------------------------------------------ expectations


@pytest.fixture(scope="session")
def reverts(marketplace: Any) -> Any:
    """The call reverts with this custom error and exactly these arguments, all of them.

    Ape's own `reverts` lets an unknown argument, and a revert that is no custom error, pass.
    """
    errors = {keccak(abi.selector.encode())[:4]: abi for abi in marketplace.contract_type.errors}

    def read(exception: ContractLogicError) -> tuple[str, dict[str, Any]]:
        if isinstance(exception, CustomError):
            return type(exception).__name__, dict(exception.inputs)
        # Ape leaves what a constructor throws as it came.
        message = exception.revert_message
        assert message.startswith("0x"), f"no custom error: {exception!r}"
        data = bytes.fromhex(message[2:])
        abi = errors[data[:4]]
        values = decode([one.canonical_type for one in abi.inputs], data[4:])
        return abi.name, dict(zip([one.name for one in abi.inputs], values, strict=True))

    @contextmanager
    def expect(error: str, **arguments: Any) -> Iterator[None]:
        with pytest.raises(ContractLogicError) as caught:
            yield
        name, values = read(caught.value)
        got = {key: plain(value) for key, value in values.items()}
        expected = {key: plain(value) for key, value in arguments.items()}
        assert (name, got) == (error, expected)

    return expect


@pytest.fixture(scope="session")
def logged() -> Callable[[Any], list[tuple[str, dict[str, Any]]]]:
    """The events of a transaction: names and arguments."""

    def read(receipt: Any) -> list[tuple[str, dict[str, Any]]]:
        return [
            (log.event_name, {name: plain(value) for name, value in log.event_arguments.items()})
            for log in receipt.events
        ]

    return read


@pytest.fixture(scope="session")
def event() -> Callable[..., tuple[str, dict[str, Any]]]:
    """What `logged` should have."""

    def expect(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        return name, {name: plain(value) for name, value in arguments.items()}

    return expect


# --------------------------------------------------------------------------------------- factories


@pytest.fixture(scope="session")
def publish(market: Any) -> Callable[[Any, bytes, bytes], None]:
    """Creates the seller's store, or updates it where there is one."""

    def update(seller: Any, digest: bytes, root: bytes) -> None:
        exists = market.sellerStoreCID(seller)
        (market.updateStore if exists else market.createStore)(digest, root, sender=seller)

    return update


@pytest.fixture
def create_item(
    market: Any, seller: Any, alice: Any, bob: Any, carol: Any, arbitrator: Any, publish: Any
) -> Callable[..., Item]:
    """Puts an item, four others beside it, into the seller's store.

    `deliverers` take the parts in turn; `leaves` replaces all leaves; every field of `Terms` can
    be given. Defaults: 1 ether, 2 of 3, an arbitrator, a commission that leaves 2 wei of dust.
    """
    numbers = iter(range(1_000_000))

    def create(
        *,
        by: Any = seller,
        deliverers: Any = (alice, bob, carol),
        leaves: tuple[PartLeaf, ...] | None = None,
        copies: int = 4,
        **changes: Any,
    ) -> Item:
        number = next(numbers)
        terms = Terms(
            item_id=item_id(f"item-{number}"),
            token=ZERO_ADDRESS,
            price=ETHER,
            commission=Wei(3 * 10**16 + 2),
            penalty=Wei(ETHER // 2 + 1),
            bond=Wei(ETHER // 5 + 3),
            supply=100,
            stock=False,
            parts=3,
            threshold=2,
            arbitrator=Address(arbitrator.address),
            parts_root=bytes(32),
        )
        terms = replace(terms, **changes)
        shares: dict[tuple[int, int], bytes] = {}
        if leaves is None:
            rows = range(copies if terms.stock else 1)
            for copy in rows:
                row = shares_of(number, copy, terms.parts or 1, terms.threshold)
                shares |= {(copy, index): share for index, share in enumerate(row)}
            leaves = tuple(
                PartLeaf(
                    copy=copy,
                    index=index,
                    deliverer=Address(deliverers[index % len(deliverers)].address),
                    commitment=keccak(shares[copy, index]),
                    secret_hash=keccak(keccak(b"secret%d-%d" % (number, copy))),
                    salt=keccak(b"salt%d-%d-%d" % (number, copy, index)),
                )
                for copy in rows
                for index in range(terms.parts or 1)
            )
        tree = MerkleTree([part_leaf(leaf) for leaf in leaves])
        if "parts_root" not in changes:
            terms = replace(terms, parts_root=tree.root)
        others = [keccak(b"other%d-%d" % (number, i)) for i in range(4)]
        catalogue = MerkleTree([terms_leaf(terms), *others])
        digest = keccak(b"document%d" % number)
        publish(by, digest, catalogue.root)
        proof = catalogue.proof(terms_leaf(terms))
        return Item(by, terms, leaves, tree, catalogue.root, digest, proof, shares)

    return create


@pytest.fixture
def create_sale(
    market: Any, clock: Clock, buyer: Any, create_item: Any, accounts: Any
) -> Callable[..., Order]:
    """Buys a copy, of a new item made from `terms` where none is given."""
    people = {account.address: account for account in accounts}

    def create(
        item: Item | None = None,
        *,
        copy: int = 0,
        by: Any = buyer,
        value: int | None = None,
        send: Callable[..., Any] | None = None,
        **terms: Any,
    ) -> Order:
        item = item or create_item(**terms)
        secrets = tuple(secret_of(1000 + 50 * copy + i) for i in range(item.terms.parts))
        keys = tuple(map(public_key, secrets))
        arguments = (
            item.seller.address, astuple(item.terms), item.proof, item.digest, copy, keys
        )  # fmt: skip
        paid = item.terms.price if value is None else value
        if send:
            receipt = send(market.buyItem.encode_input(*arguments), paid)
        else:
            receipt = market.buyItem(*arguments, sender=by, value=paid)
        escrow = Escrow(
            store_digest=item.digest,
            keys_hash=keys_hash(keys),
            token=item.terms.token,
            price=item.terms.price,
            penalty=item.terms.penalty,
            bond=item.terms.effective_bond,
            arbitrator=item.terms.arbitrator,
        )
        sale = Sale(
            seller=Address(item.seller.address),
            buyer=Address(by.address),
            purchase_block=receipt.block_number,
            purchase_time=receipt.timestamp,
            copy=copy,
            stock=item.terms.stock,
            parts=item.terms.parts,
            threshold=item.terms.threshold,
            fee=item.terms.fee,
            parts_root=item.terms.parts_root,
            escrow_hash=escrow_hash(escrow),
        )
        key = copy_id(sale.seller, item.terms.item_id, copy)
        return Order(market, clock, item, by, key, sale, escrow, receipt, people, secrets)

    return create


@pytest.fixture
def create_complete_sale(create_sale: Any) -> Callable[..., Order]:
    """A sale of which all parts are there, so that its gate is open."""

    def create(*args: Any, **kwargs: Any) -> Order:
        order: Order = create_sale(*args, **kwargs)
        order.deliver_all()
        return order

    return create


@pytest.fixture
def create_disputed_sale(create_complete_sale: Any) -> Callable[..., Order]:
    def create(*args: Any, **kwargs: Any) -> Order:
        order: Order = create_complete_sale(*args, **kwargs)
        order.dispute()
        return order

    return create


# --------------------------------------------------------------------------------------- the books


@pytest.fixture
def holdings(market: Any) -> Callable[[Any], Holdings]:
    """Native credit, free stake as a seller, and earnings as a deliverer."""

    def read(account: Any) -> Holdings:
        return Holdings(
            market.credits(account, ZERO_ADDRESS),
            market.sellerStakes(account),
            market.deliverers(account).earned,
        )

    return read


@pytest.fixture(autouse=True)
def books(market: Any, clock: Clock) -> Iterator[Books]:
    """Checked at the end of every test; `books.check()` in between."""
    books = Books(market, clock)
    yield books
    books.check()
