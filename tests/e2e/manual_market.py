"""A market whose people have no daemons: a test does by hand what they would do."""

from __future__ import annotations

import asyncio
import json
import secrets

import pytest

from dam.config.settings import key_paths
from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import part_leaf, sale_of
from dam.crypto.sealing import seal_fragment
from dam.keystore import key_files
from dam.roles.seller.listings import Catalogue, leaf_and_share, parts_tree
from dam.types import CopyId, Delivery
from demo import trade
from demo.actors import Actor
from demo.world import CommandFailed, World

_PEOPLE = ("seller", "buyer", "arbitrator", "one", "two", "three")


class ManualMarket:
    """A seller with a store, three deliverers without daemons, and a buyer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deliverers: list[Actor] = []

    async def open(self) -> ManualMarket:
        world = self.world
        self.seller, self.buyer, self.arbitrator, *self.deliverers = await asyncio.gather(
            *(world.actor(f"{who} {secrets.token_hex(3)}") for who in _PEOPLE)
        )
        await asyncio.gather(
            self._enter(self.seller, "seller-seed", "stakeAsSeller", value=10**18),
            self._enter(self.buyer, "buyer-seed"),
            *(
                self._enter(actor, "deliverer-keys", "stakeAsDeliverer", value=2 * 10**16)
                for actor in self.deliverers
            ),
        )
        return self

    async def _enter(self, actor: Actor, kind: str, function: str = "", *, value: int = 0) -> None:
        """What ``dam keys new`` and the first stake do, without their processes."""
        paths, arguments = key_paths(actor.dam_home), ()
        if kind == "deliverer-keys":
            ring = key_files.new_ring(paths.deliverer, actor.passphrase)
            arguments = (ring.current.public,)
        else:
            path = paths.seller if kind == "seller-seed" else paths.buyer
            key_files.new_seed_file(path, kind, actor.passphrase)
        if function:
            await self.world.send(actor, function, *arguments, value=value)

    async def publish(self, items: str, *more: str, command: str = "publish") -> dict:
        path = self.seller.home / "store.toml"
        path.write_text(f'[store]\nname = "Here"\n[defaults]\n{self.named}\n{items}', "utf-8")
        done = await self.world.dam(self.seller, "seller", command, path, "--json", *more)
        return done.json

    @property
    def named(self) -> str:
        return f"deliverers = {json.dumps([actor.address for actor in self.deliverers])}"

    async def buy(self, item: str, *more: str) -> dict:
        done = await self.world.dam(
            self.buyer, "buyer", "buy", self.seller.address, item, "--yes", "--json", *more
        )
        return done.json

    async def deliver(self, sale: dict, index: int, *, junk: bool = False) -> None:
        """A part, from the deliverer whom the leaf names: the share, or noise."""
        copy = CopyId(bytes.fromhex(sale["id"][2:]))
        purchase = await trade.purchase(self.world, copy)
        seed_file = key_paths(self.seller.dam_home).seller
        seed = SellerSeed(key_files.load_seed(seed_file, "seller-seed", self.seller.passphrase))
        [folder] = self.seller.dam_home.glob("markets/*/catalogue")
        listing = Catalogue(folder).recall(purchase.terms.parts_root)
        leaf, share = leaf_and_share(seed, listing, purchase.copy, index)
        fragment = seal_fragment(share, purchase.keys[index])
        delivery = Delivery(
            copy,
            sale_of(purchase),
            index,
            leaf.deliverer,
            leaf.commitment,
            leaf.secret_hash,
            leaf.salt,
            parts_tree(seed, listing).proof(part_leaf(leaf)),
            secrets.token_bytes(80) if junk else fragment,
        )
        [sender] = [a for a in self.deliverers if a.address == leaf.deliverer]
        await self.world.send(sender, "deliverFragment", delivery)

    async def fails(self, actor: Actor, *arguments: str) -> str:
        """What a command that must fail says, in one line and with code 1."""
        with pytest.raises(CommandFailed) as caught:
            await self.world.dam(actor, *arguments)
        assert 0 < caught.value.code < 128
        assert "Traceback" not in caught.value.stderr
        return caught.value.stderr
