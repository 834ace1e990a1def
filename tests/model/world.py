"""Named people, tokens and items on the real chain, for whatever a model has decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anvil_market import RICH, Chain, helper_contracts, market_contract
from eth_abi.abi import encode
from reference import Item, Sale
from reference_stakes import Rules

from dam.crypto.hashing import copy_id, escrow_hash, item_id, keccak, keys_hash, part_leaf
from dam.crypto.merkle import MerkleTree
from dam.testing.nodes import AnvilNode
from dam.types import ZERO_ADDRESS, Delivery, Escrow, PartLeaf, Terms
from dam.types import Sale as SaleRecord

ETHER = 10**18
SELLERS, DELIVERERS, BUYERS = ("sam", "sue"), ("dan", "dee", "dot"), ("bea", "ben")
PEOPLE = (*SELLERS, "wes", *DELIVERERS, *BUYERS, "art", "gov", "wal")
TOKENS = ("", "usd", "eur")
# All different, so that no window can stand in for another unseen.
RULES = Rules(300, 110, 120, 660, 105, 130, ETHER // 10, 2 * ETHER, "gov")
GOOD_KEY, BAD_KEY = b"\x09" + bytes(31), bytes(32)


@dataclass(frozen=True)
class Goods:
    """What the chain wants to see of an item."""

    terms: Terms
    leaves: dict[tuple[int, int], PartLeaf]
    parts: MerkleTree


@dataclass(frozen=True)
class Bought:
    """What the chain wants to see of a sale."""

    goods: Goods
    copy_id: bytes
    sale: SaleRecord
    escrow: Escrow

    def delivery(self, index: int) -> Delivery:
        """The delivery of a part; of one that the item has not, with the leaf of the first."""
        wanted = self.sale.copy if self.sale.stock else 0
        leaf = self.goods.leaves.get((wanted, index)) or self.goods.leaves[wanted, 0]
        return Delivery(
            copy_id=self.copy_id,
            sale=self.sale,
            index=index,
            deliverer=leaf.deliverer,
            commitment=leaf.commitment,
            secret_hash=leaf.secret_hash,
            salt=leaf.salt,
            proof=self.goods.parts.proof(part_leaf(leaf)),
            fragment=bytes(range(80)),
        )


class World:
    """The chain, the market and everybody's address; the state in which every test begins."""

    def __init__(self, node: AnvilNode, rules: Rules = RULES) -> None:
        chain = self.chain = Chain(node)
        self.contract = market_contract()
        helpers = helper_contracts()
        self.token, self.wallet = helpers["Token"], helpers["Wallet"]
        people = [name for name in PEOPLE if name != "wal"]
        self.at = dict(zip(people, chain.accounts[1:], strict=True))
        self.at |= {"": ZERO_ADDRESS, "wal": chain.deploy(self.wallet)}
        self.names = {address.lower(): name for name, address in self.at.items()}
        chain.rpc("anvil_setBalance", self.at["wal"], hex(RICH))
        types = ["(uint64,uint64,uint64,uint64,uint64,uint64)", "address", "uint256", "uint256"]
        governor = self.at[rules.governor]
        values = (tuple(rules[:6]), governor, rules.min_deliverer, rules.min_seller)
        self.market = chain.deploy(self.contract, encode(types, values))
        self.token_at = {"": ZERO_ADDRESS}
        for token in TOKENS[1:]:
            self.token_at[token] = chain.deploy(self.token)
            for name in PEOPLE:
                mint = self.token.call("mint", self.at[name], RICH)
                chain.send(chain.accounts[0], self.token_at[token], mint)
                # Nobody has approved euros: a purchase in them needs a permit.
                if token == "usd":
                    approve = self.token.call("approve", self.market, RICH)
                    self.send(name, self.token_at[token], approve)
        self.start = chain.snapshot()

    def reset(self) -> None:
        self.start = self.chain.revert(self.start)

    def send(self, who: str, to: str, data: bytes, value: int = 0) -> None:
        self.chain.send(*self._route(who, to, data, value))

    def attempt(self, who: str, to: str, data: bytes, value: int = 0) -> str | None:
        """The name of the error with which the next block would refuse this; None: it would not."""
        reverted = self.chain.attempt(*self._route(who, to, data, value))
        return None if reverted is None else self._name(reverted)

    def refusal_of_construction(self, arguments: bytes) -> str | None:
        """The name of the error with which the market could not be built so; None: it could."""
        reverted = self.chain.attempt_to_deploy(self.contract, arguments)
        return None if reverted is None else self._name(reverted)

    def _name(self, reverted: bytes) -> str:
        return self.contract.errors.get(reverted[:4], f"revert 0x{reverted.hex()}")

    def _route(self, who: str, to: str, data: bytes, value: int) -> tuple[str, str, bytes, int]:
        """From an account; or, for the contract, through what it is told."""
        if who != "wal":
            return self.at[who], to, data, value
        return self.chain.accounts[0], self.at["wal"], self.wallet.call("run", to, value, data), 0

    def goods(self, item: Item, stock: bool, leaves: Sequence[Sequence[str]]) -> Goods:
        """Terms and trees of an item; `leaves` name the deliverers of each copy."""
        rows = {
            (copy, i): PartLeaf(
                copy=copy,
                index=i,
                deliverer=self.at[by],
                commitment=keccak(f"{item.name} {copy} {i}".encode()),
                secret_hash=keccak(f"{item.name} {copy}".encode()),
                salt=bytes(32),
            )
            for copy, row in enumerate(leaves)
            for i, by in enumerate(row)
        }
        parts = MerkleTree([part_leaf(leaf) for leaf in rows.values()])
        terms = Terms(
            item_id=item_id(item.name),
            token=self.token_at[item.token],
            price=item.price,
            commission=item.commission,
            penalty=item.penalty,
            bond=item.bond,
            supply=item.supply,
            stock=stock,
            parts=item.n,
            threshold=item.k,
            arbitrator=self.at[item.arbitrator],
            parts_root=parts.root,
        )
        return Goods(terms, rows, parts)

    def bought(self, sale: Sale, goods: Goods, copy: int, digest: bytes) -> Bought:
        """What later calls bring along of a purchase with `GOOD_KEY` for every part."""
        terms = goods.terms
        escrow = Escrow(
            store_digest=digest,
            keys_hash=keys_hash([GOOD_KEY] * terms.parts),
            token=terms.token,
            price=terms.price,
            penalty=terms.penalty,
            bond=terms.effective_bond,
            arbitrator=terms.arbitrator,
        )
        record = SaleRecord(
            seller=self.at[sale.seller],
            buyer=self.at[sale.buyer],
            purchase_block=sale.born,
            copy=copy,
            stock=terms.stock,
            parts=terms.parts,
            threshold=terms.threshold,
            fee=terms.fee,
            parts_root=terms.parts_root,
            escrow_hash=escrow_hash(escrow),
        )
        return Bought(goods, copy_id(record.seller, terms.item_id, copy), record, escrow)
