"""Named people, tokens and items on the real chain, for whatever a model has decided.

What is junk, a stand-in for the verifier says (`StubProofs`), so that a test of the rules needs no
cryptography; `test_real_junk` has the real one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from anvil_market import RICH, Chain, Contract, helper_contracts, market_contract
from coincurve import PrivateKey
from eth_abi.abi import encode
from reference import Agreement, Entry, Item, Leaf, Sale
from reference_stakes import Rules

from dam.crypto.hashing import (
    agreement_digest,
    checksum,
    copy_id,
    domain_separator,
    entry,
    escrow_hash,
    fragments_digest,
    item_id,
    keccak,
    keys_hash,
    part_leaf,
    sale_hash,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.ethereum.compact_signature import sign_digest
from dam.testing.nodes import AnvilNode
from dam.types import (
    ZERO32,
    ZERO_ADDRESS,
    Address,
    Delivery,
    Escrow,
    Hint,
    JunkEvidence,
    PartLeaf,
    Signature,
    SignedList,
    Split,
    Status,
    Terms,
)
from dam.types import Leaf as LeafRecord
from dam.types import Sale as SaleRecord

ETHER = 10**18
SELLERS, DELIVERERS, BUYERS = ("sam", "sue"), ("dan", "dee", "dot"), ("bea", "ben")
PEOPLE = (*SELLERS, "wes", *DELIVERERS, *BUYERS, "art", "gov", "wal")
TOKENS = ("", "usd", "eur")
HOUR, DAY = 3600, 86400
# All different, so that no window can stand in for another unseen.
RULES = Rules(
    refund=2 * HOUR,
    dispute=5000,
    arbitration=DAY + 60,
    exit=DAY + 21000,
    slash_delay=HOUR + 20,
    slash_lapse=HOUR + 70,
    min_deliverer=ETHER // 10,
    min_seller=2 * ETHER,
    junk_fine=ETHER // 200,
    governor="gov",
)
KEY, NO_POSSESSION, BAD_KEY = b"\x09" + bytes(31), (bytes(32), bytes(32)), bytes(32)
NO_HINT = Hint(0, 0, 0, 0, 0)
SETUP = "((uint64,uint64,uint64,uint64,uint64,uint64),address,uint256,uint256,uint256,address)"


def key_of(name: str) -> bytes:
    """A good X25519 public key, another for each name; the stand-in's secret is its hash."""
    return keccak(name.encode())[:31] + b"\x42"


def xor(value: bytes, number: int) -> bytes:
    return (int.from_bytes(value, "big") ^ number).to_bytes(32, "big")


@dataclass(frozen=True)
class Goods:
    """What the chain wants to see of an item."""

    item: Item
    terms: Terms
    leaves: dict[tuple[int, Leaf], PartLeaf]
    parts: MerkleTree
    people: dict[str, Address]

    def leaf(self, copy: int, leaf: Leaf) -> PartLeaf:
        """Also of a part that the item has not."""
        return PartLeaf(
            copy=copy,
            index=leaf.index,
            deliverer=self.people[leaf.deliverer],
            commitment=keccak(self.share(leaf)),
            secret_hash=keccak(keccak(leaf.secret.encode())),
            salt=ZERO32,
        )

    def share(self, leaf: Leaf) -> bytes:
        return xor(keccak(leaf.share.encode()), leaf.index + 1)

    def proof(self, leaf: PartLeaf) -> tuple[bytes, ...]:
        """Of a part that the item has not, the first one's."""
        wanted = part_leaf(leaf)
        if wanted not in self.parts:
            wanted = part_leaf(next(iter(self.leaves.values())))
        return self.parts.proof(wanted)


@dataclass(frozen=True)
class Bought:
    """What the chain wants to see of a sale."""

    goods: Goods
    copy_id: bytes
    sale: SaleRecord
    escrow: Escrow
    keys: tuple[bytes, ...]

    def leaf(self, leaf: Leaf) -> PartLeaf:
        return self.goods.leaf(self.sale.copy if self.sale.stock else 0, leaf)

    def open_leaf(self, leaf: Leaf) -> LeafRecord:
        """A leaf with its proof."""
        one = self.leaf(leaf)
        words = (one.index, one.deliverer, one.commitment, one.secret_hash, one.salt)
        return LeafRecord(*words, self.goods.proof(one))

    def key(self, leaf: Leaf, fresh: str) -> bytes:
        """To which a fragment is sealed."""
        return key_of(fresh) if fresh else (*self.keys, BAD_KEY)[min(leaf.index, len(self.keys))]

    def fragment(self, one: Entry) -> bytes:
        made, commitment = one.fragment, self.leaf(one.leaf).commitment
        begin = keccak(f"junk {made.nonce}".encode())
        if made.good:
            begin = keccak(self.key(one.leaf, made.key) + commitment)
        return (begin + keccak(str(made.nonce).encode()) + bytes(16))[:80]

    def delivery(self, one: Entry) -> Delivery:
        leaf = self.leaf(one.leaf)
        return Delivery(
            copy_id=self.copy_id,
            sale=self.sale,
            index=leaf.index,
            deliverer=leaf.deliverer,
            commitment=leaf.commitment,
            secret_hash=leaf.secret_hash,
            salt=leaf.salt,
            fresh_key=key_of(one.fresh) if one.fresh else ZERO32,
            proof=self.goods.proof(leaf),
            fragment=self.fragment(one),
        )

    def evidence(self, one: Entry) -> JunkEvidence:
        made = self.delivery(one)
        secret = keccak(self.key(one.leaf, one.fresh))
        leaf = (made.index, made.deliverer, made.commitment, made.secret_hash, made.salt)
        return JunkEvidence(*leaf, made.proof, made.fresh_key, made.fragment, secret, NO_HINT)


def entry_of(made: Delivery) -> bytes:
    """What is signed of a delivery, whatever the length of its fragment."""
    copy = made.sale.copy if made.sale.stock else 0
    leaf = PartLeaf(
        copy, made.index, made.deliverer, made.commitment, made.secret_hash, made.salt
    )  # fmt: skip
    hashes = (sale_hash(made.sale), part_leaf(leaf), made.fresh_key, made.fragment)
    return entry(made.copy_id, *hashes)


class World:
    """The chain, the market and everybody's address; the state in which every test begins."""

    def __init__(
        self, node: AnvilNode, rules: Rules = RULES, verifier: Contract | None = None
    ) -> None:
        chain = self.chain = Chain(node)
        self.contract = market_contract()
        helpers = helper_contracts()
        self.token, self.wallet = helpers["Token"], helpers["Wallet"]
        self.keys = {name: PrivateKey(keccak(name.encode())) for name in (*PEOPLE, "nobody")}
        self.at = {
            name: checksum(keccak(key.public_key.format(compressed=False)[1:])[12:])
            for name, key in self.keys.items()
        }
        self.at |= {"": ZERO_ADDRESS, "wal": Address(chain.deploy(self.wallet))}
        self.names = {address.lower(): name for name, address in self.at.items()}
        for name in PEOPLE:
            chain.rpc("anvil_setBalance", self.at[name], hex(RICH))
        self.proofs = chain.deploy(verifier or helpers["StubProofs"])
        self.market = chain.deploy(self.contract, self.setup(rules))
        self.separator = domain_separator(chain.id, Address(self.market))
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

    def setup(self, rules: Rules, proofs: str = "") -> bytes:
        """The constructor's argument."""
        amounts = (rules.min_deliverer, rules.min_seller, rules.junk_fine)
        values = (tuple(rules[:6]), self.at[rules.governor], *amounts, proofs or self.proofs)
        return encode([SETUP], [values])

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

    # ---------------------------------------------------------------------------- signatures

    def signed(self, signer: str, entries: Iterable[bytes]) -> Signature:
        """A list's."""
        return sign_digest(self.keys[signer], fragments_digest(self.separator, entries))

    def parts(self, signer: str, made: Sequence[Delivery], function: str = "") -> bytes:
        """The call that delivers these, signed."""
        signature = astuple(self.signed(signer, map(entry_of, made)))
        if len(made) == 1 and not function:
            return self.contract.call("deliverFragment", astuple(made[0]), signature)
        batch = [astuple(one) for one in made]
        return self.contract.call(function or "deliverFragments", batch, signature)

    def listed(self, signer: str, entries: Sequence[bytes], position: int) -> SignedList:
        return SignedList(tuple(entries), self.signed(signer, entries), position)

    def agreement(self, signer: str, bought: Bought, one: Agreement) -> bytes:
        """A signature in the long form; of a contract, what it says of itself."""
        status = Status[one.status.upper()]
        args = (bought.copy_id, sale_hash(bought.sale), status, one.since, Split(*one.split))
        digest = agreement_digest(self.separator, *args)
        if signer == "wal":
            say = self.wallet.call("sign", digest)
            self.chain.send(self.chain.accounts[0], self.at["wal"], say)
            return b"any"
        raw = self.keys[signer].sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes((27 + raw[64],))

    # --------------------------------------------------------------------------------- goods

    def goods(
        self, item: Item, stock: bool, rows: Sequence[Sequence[Leaf]], salt: bytes = ZERO32
    ) -> Goods:
        """Terms and trees of an item; `rows` are the leaves of each copy."""
        goods = Goods(item, None, {}, None, self.at)  # type: ignore[arg-type]
        leaves = {
            (copy, leaf): goods.leaf(copy, leaf) for copy, row in enumerate(rows) for leaf in row
        }
        parts = MerkleTree(sorted({part_leaf(leaf) for leaf in leaves.values()}))
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
            salt=salt,
        )
        return Goods(item, terms, leaves, parts, self.at)

    def buyers_keys(self, item: Item, copy: int) -> tuple[bytes, ...]:
        return tuple(key_of(f"{item.name} {copy} {index}") for index in range(item.n))

    def bought(self, sale: Sale, goods: Goods, copy: int, digest: bytes) -> Bought:
        """What later calls bring along of a purchase with `buyers_keys`."""
        terms, keys = goods.terms, self.buyers_keys(goods.item, copy)
        escrow = Escrow(
            store_digest=digest,
            keys_hash=keys_hash(keys),
            token=terms.token,
            price=terms.price,
            penalty=terms.penalty,
            bond=terms.effective_bond,
            arbitrator=terms.arbitrator,
        )
        record = SaleRecord(
            seller=self.at[sale.seller],
            buyer=self.at[sale.buyer],
            purchase_block=sale.block,
            purchase_time=sale.time,
            copy=copy,
            stock=terms.stock,
            parts=terms.parts,
            threshold=terms.threshold,
            fee=terms.fee,
            parts_root=terms.parts_root,
            escrow_hash=escrow_hash(escrow),
        )
        return Bought(goods, copy_id(record.seller, terms.item_id, copy), record, escrow, keys)


def catalogue(goods: Iterable[Goods]) -> MerkleTree:
    return MerkleTree([terms_leaf(one.terms) for one in goods])
