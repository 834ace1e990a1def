"""A market whose people have no daemons: a test does by hand what they would do."""

from __future__ import annotations

import asyncio
import json
import secrets

import pytest

from dam.config.settings import key_paths
from dam.keystore import key_files
from dam.types import CopyId
from demo import by_hand, trade
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
            ring = await asyncio.to_thread(key_files.new_ring, paths.deliverer, actor.passphrase)
            chain, market = self.world.deployment.chain_id, self.world.deployment.market
            possession = ring.current.prove_possession(chain, market, actor.address)
            arguments = (ring.current.announced, possession)
        else:
            path = paths.seller if kind == "seller-seed" else paths.buyer
            await asyncio.to_thread(key_files.new_seed_file, path, kind, actor.passphrase)
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
        purchase = await trade.purchase(self.world, CopyId(bytes.fromhex(sale["id"][2:])))
        whose = by_hand.delivery_of(self.seller, purchase, index).deliverer
        [sender] = [a for a in self.deliverers if a.address == whose]
        await by_hand.deliver(self.world, self.seller, sender, purchase, index, junk=junk)

    async def fails(self, actor: Actor, *arguments: str) -> str:
        """What a command that must fail says, in one line and with code 1."""
        with pytest.raises(CommandFailed) as caught:
            await self.world.dam(actor, *arguments)
        assert 0 < caught.value.code < 128
        assert "Traceback" not in caught.value.stderr
        return caught.value.stderr
