"""A program of its own that trades by `dam.roles`, on a chain and a block store of its own.

`test_library_user.py` runs it, as a process in which nothing else has been imported.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from eth_account import Account

from dam.crypto.derivation import BuyerSeed, SellerSeed, new_seed
from dam.crypto.hashing import domain_separator, part_leaf, sale_of
from dam.crypto.sealing import seal_fragment
from dam.errors import Permanent
from dam.ethereum.erc20 import Tokens
from dam.index.index import Index
from dam.ipfs.blocks import BlockStore
from dam.ipfs.open import open_store
from dam.keystore.ape_accounts import Signer
from dam.keystore.key_files import KeyRing
from dam.market.calldata import signed_digest
from dam.market.client import Market
from dam.market.connect import open_node
from dam.market.log_history import EVIDENCE, read_deadlines, read_history
from dam.market.wallet import Wallet, send_call
from dam.roles import accounts, arbiter, disputes, sales, staking, storefront
from dam.roles.buyer import buying, opening
from dam.roles.buyer.buyer import Buyer
from dam.roles.buyer.records import Records
from dam.roles.seller import publishing
from dam.roles.seller.drafts import read_draft
from dam.roles.seller.listings import Catalogue, leaf_and_share, parts_tree
from dam.roles.seller.store_changes import Shop, catalogue_lock
from dam.sending.wallet import KeyWallet
from dam.testing.market import deploy_market
from dam.testing.nodes import AnvilNode
from dam.types import ZERO32, Address, Delivery, Purchase, Status

ETHER = 10**18
GOOD = b"the words that were sold"
STORE = """
[store]
name = "Words"
[defaults]
deliverers = {deliverers}
arbitrator = "{arbitrator}"
parts = 3
threshold = 2
[[items]]
id = "words"
price = "0.1 ether"
text = "the words that were sold"
supply = 5
[[items]]
id = "more-words"
price = "0.2 ether"
text = "more of them"
"""


@dataclass
class Place:
    """A market, a block store, and its people."""

    folder: Path
    chain: AnvilNode
    market: Market
    blocks: BlockStore
    deliverers: list[tuple[Wallet, KeyRing]] = field(default_factory=list)
    signers: dict[Address, Signer] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """By the index: nothing, as long as it is well."""

    def account(self) -> Wallet:
        """A new account with coins."""
        made = Account.create()
        self.chain.request("anvil_setBalance", made.address, hex(100 * ETHER))
        signer = Signer(Address(made.address), made)
        self.signers[signer.address] = signer
        chain_id = self.market.deployment.chain_id
        return KeyWallet(self.market.rpc, signer, chain_id, poll_seconds=0.02)

    async def enter(self) -> None:
        """Three deliverers, a seller, a buyer and an arbitrator."""
        for _ in range(3):
            wallet, ring = self.account(), KeyRing.generate()
            self.deliverers.append((wallet, ring))
            plan = staking.plan_registration(self.market, wallet.address, ring.current, ETHER)
            await staking.register(self.market, wallet, plan)
        self.seller, self.payer, self.judge = (self.account() for _ in range(3))
        await send_call(self.seller, self.market, "stakeAsSeller", value=10 * ETHER)
        deployment, seed = self.market.deployment, SellerSeed(new_seed())
        catalogue = Catalogue(self.folder / "catalogue")
        self.shop = Shop(deployment, self.seller.address, seed, catalogue)
        records = Records(self.folder / "purchases")
        self.index = Index(self.folder / "index", deployment, self.told.append)
        self.buyer = Buyer(self.market, self.blocks, BuyerSeed(new_seed()), records)

    async def publish(self) -> None:
        """Plans, looks, publishes; the second time nothing is left to do."""
        operators = [wallet.address for wallet, _ in self.deliverers]
        path = self.folder / "store.toml"
        text = STORE.format(
            deliverers=str(operators).replace("'", '"'), arbitrator=self.judge.address
        )
        path.write_text(text, "utf-8")
        draft = read_draft(path, overrides={}, tokens=Tokens())
        with catalogue_lock(self.shop.catalogue.folder):
            plan = await publishing.plan_publication(self.market, self.shop, draft)
            assert [change.what for change in plan.changes] == ["new", "new"]
            assert not plan.exists
            assert list(self.shop.catalogue.all()) == []
            published = await publishing.publish(
                self.market, self.blocks, self.seller, self.shop, plan
            )
            assert published.receipt is not None
            again = await publishing.plan_publication(self.market, self.shop, draft)
            assert [change.what for change in again.changes] == ["unchanged", "unchanged"]
            same = await publishing.publish(self.market, self.blocks, self.seller, self.shop, again)
            assert (same.receipt, same.built.cid) == (None, published.built.cid)
            listing = publishing.find_listing(self.shop, "more-words")
            gone = await publishing.plan_withdrawal(self.market, self.blocks, self.shop, listing)
            await publishing.withdraw_item(self.market, self.blocks, self.seller, self.shop, gone)
        listing = await storefront.browse(self.index, self.market, self.blocks)
        assert [hit.name for hit in listing.found.hits] == ["words"]

    async def buy(self) -> buying.Bought:
        """A quote costs nothing and leaves nothing; the purchase does what it says."""
        before = self.buyer.records.all()
        seller = self.seller.address
        quote = await buying.quote_purchase(self.buyer, self.index, self.payer, seller, "words")
        assert self.buyer.records.all() == before
        assert quote.payment.coins == ETHER // 10
        assert quote.gas_cost > 0
        bought = await buying.buy(self.buyer, self.payer, quote)
        assert bought.record in self.buyer.records.all()
        return bought

    async def purchase_of(self, bought: buying.Bought) -> Purchase:
        """The purchase as the chain has it."""
        history = await read_history(self.market, first=bought.receipt.block)
        return history.state.sales[bought.record.copy_id].purchase

    async def deliver(self, purchase: Purchase, index: int, *, junk: bool = False) -> None:
        """A part, from the deliverer whom the leaf names."""
        listing = self.shop.catalogue.recall(purchase.terms.parts_root)
        assert listing is not None
        leaf, share = leaf_and_share(self.shop.seed, listing, purchase.copy, index)
        fragment = seal_fragment(share, purchase.keys[index])
        delivery = Delivery(
            purchase.copy_id,
            sale_of(purchase),
            index,
            leaf.deliverer,
            leaf.commitment,
            leaf.secret_hash,
            leaf.salt,
            ZERO32,
            parts_tree(self.shop.seed, listing).proof(part_leaf(leaf)),
            secrets.token_bytes(80) if junk else fragment,
        )
        deployment = self.market.deployment
        separator = domain_separator(deployment.chain_id, deployment.market)
        signature = self.signers[leaf.deliverer].sign_digest(signed_digest(separator, [delivery]))
        # Anybody may send what a deliverer signed.
        await send_call(self.payer, self.market, "deliverFragment", delivery, signature)

    async def open(self, bought: buying.Bought) -> None:
        """Waits for the parts, one of them junk, and reads the good."""
        purchase = await self.purchase_of(bought)
        name = "0x" + purchase.copy_id.hex()
        await self.deliver(purchase, 0, junk=True)
        early = await opening.read_parts(self.buyer, name)
        assert len(early.parts.junk) == 1
        with pytest.raises(Permanent, match="0 good parts are there, 2 are needed"):
            await opening.open_good(self.buyer, early)
        looks: list[opening.ArrivedParts] = []
        waiting = asyncio.create_task(
            opening.wait_for_parts(
                self.buyer, name, timeout=30, poll_seconds=0.02, on_look=looks.append
            )
        )
        await self.deliver(purchase, 1)
        await self.deliver(purchase, 2)
        arrived = await waiting
        assert arrived is looks[-1]
        good = await opening.open_good(self.buyer, arrived)
        assert good.is_short
        assert await good.read() == GOOD
        saved = await good.save(self.folder / "good")
        assert (saved.size, (self.folder / "good").read_bytes()) == (len(GOOD), GOOD)
        assert GOOD.hex() not in repr(good)

    async def dispute(self, bought: buying.Bought) -> None:
        """The buyer disputes, the seller answers, the arbitrator reads both and rules."""
        market, blocks = self.market, self.blocks
        name = "0x" + bought.record.copy_id.hex()
        history = await read_history(market)
        sale = sales.find_sale(history, name)
        assert sale.status == Status.COMPLETE
        times = (await read_deadlines(market, history.head, [sale]))[sale.copy_id]
        plan = disputes.plan_dispute(sale, times, history.clock, market.deployment.windows)
        disputed = await disputes.open_dispute(
            market, blocks, self.payer, plan, text="These words are old."
        )
        assert disputed.evidence is not None
        history = await read_history(market)
        sale = sales.find_sale(history, name)
        await disputes.submit_evidence(market, blocks, self.seller, sale, text="They are new.")
        history = await read_history(market, also=EVIDENCE)
        [case] = arbiter.find_cases(history.state, self.judge.address)
        file = await arbiter.read_case(market, blocks, history, case)
        assert file.words == "These words are old."
        assert [(e.who, e.words) for e in file.more] == [(self.seller.address, "They are new.")]
        assert file.item is not None
        assert file.item.name == "words"
        ruling = await arbiter.plan_ruling(market, case.sale, "50%", with_penalty=False)
        assert ruling.to_buyer == ruling.to_seller == ETHER // 20
        await arbiter.send_ruling(market, self.judge, ruling)
        due = await accounts.plan_withdrawal(market, self.payer.address)
        # Half of the price, and the bond of who won.
        assert sum(one.amount for one in due) == ETHER // 20 + plan.bond
        done = [one async for one in accounts.withdraw(market, self.payer, due, self.payer.address)]
        assert [one.error for one in done] == [None]
        assert (await accounts.read_statement(market, self.payer.address)).credit == 0

    async def confirm(self, bought: buying.Bought) -> None:
        """The other end: the seller is paid, and rated."""
        market = self.market
        name = "0x" + bought.record.copy_id.hex()
        sale = sales.find_sale(await read_history(market), name)
        await sales.end_sale(market, self.payer, sales.plan_confirmation(sale))
        history = await read_history(market)
        sale = sales.find_sale(history, name)
        await sales.rate_sale(market, self.payer, history, sale, 4)
        [hit] = (await storefront.browse(self.index, market, self.blocks)).found.hits
        record = hit.store.record
        assert record.rating.tenths == 40
        assert str(record).startswith("4.0 of 5 (1 rated, weighed by ")
        assert (record.ended, record.lost) == (2, 1)


async def trade(folder: Path) -> None:
    """Publish, buy, open, dispute; buy again and confirm."""
    with AnvilNode() as chain:
        deployment = deploy_market(chain)
        async with open_node(chain.url, timeout=20) as node:
            blocks = open_store(f"dir:{folder / 'blocks'}")
            place = Place(folder, chain, Market(node, deployment), blocks)
            await place.market.check_deployment()
            await place.enter()
            await place.publish()
            first = await place.buy()
            await place.open(first)
            await place.dispute(first)
            second = await place.buy()
            purchase = await place.purchase_of(second)
            for index in range(3):
                await place.deliver(purchase, index)
            await place.confirm(second)
            await blocks.close()


if __name__ == "__main__":
    asyncio.run(trade(Path(sys.argv[1])))
    loaded = {name for name in sys.modules if name == "click" or name.startswith("dam.cli")}
    assert not loaded, loaded
    print("traded")
