"""A market on a real chain, with a seller, a buyer and three deliverers who sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from nacl.public import PrivateKey

from dam.crypto.hashing import (
    domain_separator,
    item_id,
    keccak,
    part_leaf,
    sale_of,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyPair
from dam.market.abi import encode
from dam.market.calldata import signed_digest
from dam.testing.market import transact
from dam.testing.nodes import AnvilNode
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    Address,
    Delivery,
    Deployment,
    PartLeaf,
    Purchase,
    Signature,
    Terms,
    Wei,
)

ETHER = 10**18
DIGEST = keccak(b"document")


KEYS = [keccak(b"deliverer %d" % i) for i in range(3)]


def x25519() -> bytes:
    return bytes(PrivateKey.generate().public_key)


@dataclass
class LiveMarket:
    """A market with a seller, a buyer and three deliverers, before the first sale."""

    anvil: AnvilNode
    deployment: Deployment
    accounts: list[Address]

    def __post_init__(self) -> None:
        self.seller, self.buyer = self.accounts[1:3]
        self.signers = [Signer(Address(one.address), one) for one in map(Account.from_key, KEYS)]
        self.deliverers = [signer.address for signer in self.signers]
        for deliverer in self.deliverers:
            self.anvil.request("anvil_setBalance", deliverer, hex(10 * ETHER))
            self.anvil.request("anvil_impersonateAccount", deliverer)
        self.shares = [bytes([i]) * 32 for i in range(3)]
        self.leaves = [
            PartLeaf(0, i, d, keccak(share), keccak(b"key"), bytes([9, i]) * 16)
            for i, (d, share) in enumerate(zip(self.deliverers, self.shares, strict=True))
        ]
        self.parts = MerkleTree([part_leaf(leaf) for leaf in self.leaves])
        self.terms = Terms(
            item_id("song"), ZERO_ADDRESS, ETHER, Wei(3 * 10**15), Wei(10**17), Wei(10**16), 10,
            False, 3, 2, self.accounts[7], self.parts.root,
        )  # fmt: skip
        self.catalogue = MerkleTree([terms_leaf(self.terms)])

    def send(self, who: Address, function: str, *args: Any, value: int = 0) -> dict[str, str]:
        return transact(self.anvil, who, self.deployment.market, encode(function, *args), value)

    def open(self) -> None:
        self.send(self.seller, "stakeAsSeller", value=5 * ETHER)
        for deliverer in self.deliverers:
            self.send(deliverer, "stakeAsDeliverer", *self.announced(deliverer), value=ETHER)
        self.send(self.seller, "createStore", DIGEST, self.catalogue.root)

    def announced(self, operator: Address, pair: KeyPair | None = None) -> tuple[bytes, bytes]:
        """A key, and what shows that the operator has it."""
        pair, place = pair or KeyPair.generate(), self.deployment
        return pair.announced, pair.prove_possession(place.chain_id, place.market, operator)

    def sign(self, index: int, *deliveries: Delivery) -> Signature:
        """Of a deliverer, over the whole list."""
        separator = domain_separator(self.deployment.chain_id, self.deployment.market)
        return self.signers[index].sign_digest(signed_digest(separator, deliveries))

    def deliver(self, purchase: Purchase, index: int) -> None:
        delivery = self.delivery(purchase, index)
        signature = self.sign(index, delivery)
        self.send(self.deliverers[index], "deliverFragment", delivery, signature)

    def buy(self, copy: int = 0) -> None:
        keys = [x25519() for _ in range(3)]
        proof = self.catalogue.proof(terms_leaf(self.terms))
        self.send(
            self.buyer, "buyItem", self.seller, self.terms, proof, DIGEST, copy, keys, value=ETHER
        )

    def delivery(self, purchase: Purchase, index: int) -> Delivery:
        leaf = self.leaves[index]
        return Delivery(
            purchase.copy_id, sale_of(purchase), index, leaf.deliverer, leaf.commitment,
            leaf.secret_hash, leaf.salt, ZERO32, self.parts.proof(part_leaf(leaf)),
            bytes([index]) * 80,
        )  # fmt: skip


def head(live: LiveMarket) -> int:
    return int(live.anvil.request("eth_blockNumber"), 16)
