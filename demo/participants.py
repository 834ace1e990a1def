"""Who takes part in the demo: people, who act by their commands, and daemons as processes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from dam.types import Address, CopyId, Purchase
from demo import documents, trade
from demo.actors import Actor
from demo.goods import Deal, Goods
from demo.processes import Daemon
from demo.report import Report
from demo.world import ROOT, World

BREAKS = {
    "fee": "the seller lists the coupon with a commission that is 1 wei a part too high",
    "key": "the buyer's seed is swapped for another before the coupon is opened",
    "price": "the document names a price that the catalogue root on chain does not",
    "daemon": "a deliverer is killed before the coupon is sold",
    "domain": "the deliverers' check of the domain is switched off",
}

STAKE = "0.5 ether"
"""Of a deliverer: above ten times the highest fee that is drawn."""


class Participants:
    """The people of the demo and their daemons.

    Args:
        world: Where they live.
        goods: What is sold.
        broken: One of `BREAKS`, or empty.
        named: Whether the seller names the deliverers; else they are taken at random from all.
    """

    KEY_FILE = Path("keys") / "deliverer.json"

    def __init__(
        self, world: World, goods: Goods, broken: str = "", *, named: bool = False
    ) -> None:
        self.world = world
        self.goods = goods
        self.broken = broken
        self.named = named
        self.coupons = [f"{goods.coupon}-{number}" for number in range(goods.coupon_deal.supply)]
        self.seller: Actor
        self.operator: Actor
        self.buyer: Actor
        self.arbitrator: Actor
        self.deliverers: list[Actor] = []
        self.daemons: list[Daemon] = []
        self.watchdog: Daemon

    # ----------------------------------------------------------------------- set-up, daemons

    async def enter(self) -> None:
        """Makes everybody, with stakes and keys; the store is published; daemons run."""
        world = self.world
        self.seller, self.buyer, self.arbitrator, self.operator = await asyncio.gather(
            world.actor("seller"),
            world.actor("buyer"),
            world.actor("arbitrator"),
            world.actor("watchdog"),
        )
        self.deliverers = list(
            await asyncio.gather(*(world.actor(f"deliverer {n}") for n in (1, 2, 3)))
        )
        await asyncio.gather(
            self._enter_seller(),
            world.dam(self.buyer, "keys", "new", "buyer"),
            *(self._enter_deliverer(actor) for actor in self.deliverers),
        )

    async def _enter_deliverer(self, actor: Actor) -> None:
        await self.world.dam(actor, "keys", "new", "deliverer")
        await self.world.dam(actor, "deliverer", "stake", STAKE, "--yes")

    async def _enter_seller(self) -> None:
        await self.world.dam(self.seller, "keys", "new", "seller")
        await self.world.dam(self.seller, "seller", "stake", "3 ether", "--yes")
        await self.world.dam(self.seller, "seller", "operator", self.operator.address)

    async def publish(self) -> int:
        """The seller writes and publishes listings; returns the block."""
        folder = self.seller.home / "store"
        folder.mkdir()
        goods = self.goods
        (folder / "coupons.txt").write_text("\n".join(self.coupons) + "\n", "utf-8")
        (folder / "album.bin").write_bytes(goods.file)
        (folder / "licence.txt").write_text(goods.silent_code, "utf-8")
        (folder / "voucher.txt").write_text(goods.loot, "utf-8")
        (folder / "pass.txt").write_text(goods.pass_code, "utf-8")
        coupon = _toml(goods.coupon_deal, self.arbitrator.address, 'codes_file = "coupons.txt"')
        if self.broken == "fee":
            wrong = goods.coupon_deal.commission + goods.coupon_deal.parts
            coupon = coupon.replace(str(goods.coupon_deal.commission), str(wrong))
        head = '[store]\nname = "The corner shop"'
        if self.named:
            names = json.dumps([actor.address for actor in self.deliverers])
            head += f"\n\n[defaults]\ndeliverers = {names}"
        listings = [
            head,
            coupon,
            _toml(goods.file_deal, self.arbitrator.address, 'file = "album.bin"'),
            _toml(goods.silent_deal, self.arbitrator.address, 'file = "licence.txt"'),
            _toml(goods.loot_deal, self.arbitrator.address, 'file = "voucher.txt"'),
            _toml(goods.pass_deal, self.arbitrator.address, 'file = "pass.txt"'),
        ]
        path = folder / "store.toml"
        path.write_text("\n\n".join(listings) + "\n", "utf-8")
        done = await self.world.dam(self.seller, "seller", "publish", path, "--yes", "--json")
        if self.broken == "price":
            await self._swap_price()
        return int(done.json["block"])

    async def _swap_price(self) -> None:
        """The document now says 1 wei less than the catalogue root, which stays as it is."""
        world = self.world
        digest = (await self.world.market.store(self.seller.address))[0]
        document = await documents.read_document(world.blocks, digest)
        [coupon] = [e for e in document["items"] if e["itemId"] == self.goods.coupon_deal.item]
        coupon["price"] = str(int(coupon["price"]) - 1)
        swapped, _ = await documents.put_document(world.blocks, document)
        root = (await self.world.store_version(self.seller.address)).root
        await world.send(self.seller, "updateStore", swapped, root)

    def raise_daemons(self) -> None:
        """Makes the four daemons; the watchdog needs the catalogue, so publish first."""
        careless = [sys.executable, "-m", "demo.unchecked_deliverer"]
        self.daemons = [
            self.world.daemon(
                actor,
                "deliverer",
                command=careless if self.broken == "domain" else (),
                env={"PYTHONPATH": str(ROOT)},
            )
            for actor in self.deliverers
        ]
        self.watchdog = self.world.daemon(
            self.operator,
            "watchdog",
            env={
                "DAM_HOME": str(self.seller.dam_home),
                "DAM_KEY_PASSPHRASE": self.seller.passphrase,
            },
        )
        for daemon in (*self.daemons, self.watchdog):
            daemon.start()

    async def ready(self, *daemons: Daemon) -> None:
        """Waits until each has caught up with the chain since its last start."""
        await asyncio.gather(*(daemon.event("ready") for daemon in daemons))

    async def daemons_up(self, report: Report) -> list[Daemon]:
        """Starts what was stopped; returns the deliverers' daemons, all running."""
        down = [daemon for daemon in (*self.daemons, self.watchdog) if not daemon.running]
        for daemon in down:
            daemon.start()
        await self.ready(*down)
        if down:
            names = ", ".join(daemon.name for daemon in down)
            report.step(f"started again: {names}", await self.world.block())
        return list(self.daemons)

    async def before_opening(self) -> None:
        """Where `DEMO_BREAK=key` does its harm."""
        if self.broken == "key":
            (self.buyer.dam_home / "keys" / "buyer-seed.json").unlink()
            await self.world.dam(self.buyer, "keys", "new", "buyer")

    async def before_selling(self, report: Report) -> None:
        """Where `DEMO_BREAK=daemon` does its harm."""
        if self.broken == "daemon":
            await self.daemons[1].kill()
            report.step(f"{self.daemons[1].name} is killed", await self.world.block())

    # -------------------------------------------------------------------------- what people do

    async def buy(self, buyer: Actor, seller: Actor, item: str, *more: str) -> Purchase:
        """Buys with the buyer's tool; the purchase as the chain has it."""
        command = ("buyer", "buy", seller.address, item, "--yes", "--json", *more)
        done = await self.world.dam(buyer, *command)
        return await trade.purchase(self.world, CopyId(bytes.fromhex(done.json["id"][2:])))

    async def open(self, buyer: Actor, sale: Purchase) -> bytes:
        """Opens the good with the buyer's tool, into a file."""
        path = buyer.home / f"good-{sale.copy_id.hex()[:8]}"
        await self.world.dam(buyer, "buyer", "wait", _hex(sale.copy_id))
        await self.world.dam(buyer, "buyer", "open", _hex(sale.copy_id), "-o", path)
        return path.read_bytes()

    async def confirm(self, buyer: Actor, sale: Purchase) -> int:
        """Confirms with the buyer's tool; returns the block."""
        done = await self.world.dam(
            buyer, "buyer", "confirm", _hex(sale.copy_id), "--yes", "--json"
        )
        return int(done.json["block"])

    async def refund(self, buyer: Actor, sale: Purchase) -> int:
        """Takes the refund with the buyer's tool; returns the block."""
        done = await self.world.dam(buyer, "buyer", "refund", _hex(sale.copy_id), "--json")
        return int(done.json["block"])

    async def withdraw(self, *actors: Actor) -> list[tuple[Actor, int]]:
        """Everybody takes what they are owed; who did, and in which block."""
        done = await asyncio.gather(
            *(self.world.dam(actor, "withdraw", "--yes", "--json") for actor in actors)
        )
        return [
            (actor, int(one.json["transactions"][-1]["block"]))
            for actor, one in zip(actors, done, strict=True)
        ]

    # ---------------------------------------------------------------------------------- for money

    def coupon(self, copy: int) -> bytes:
        """The code of a copy, as the seller listed it."""
        return self.coupons[copy].encode()

    def accounts(self) -> dict[str, Address]:
        """Every account that may gain or lose in a sale, by name."""
        actors = [self.buyer, self.seller, *self.deliverers, self.operator, self.arbitrator]
        return {actor.name: actor.address for actor in actors} | {
            "market": self.world.deployment.market
        }

    def name_of(self, address: Address) -> str:
        """A party's name."""
        names = {account: name for name, account in self.accounts().items()}
        return names.get(address, str(address))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _toml(deal: Deal, arbitrator: Address, good: str) -> str:
    return "\n".join(
        (
            "[[items]]",
            f"id = {json.dumps(deal.item)}",
            f"title = {json.dumps(deal.title)}",
            f'price = "{deal.price} wei"',
            f'commission = "{deal.commission} wei"',
            f'penalty = "{deal.penalty} wei"',
            f'bond = "{deal.bond} wei"',
            f"parts = {deal.parts}",
            f"threshold = {deal.threshold}",
            f'arbitrator = "{arbitrator}"',
            good if "codes" in good else f"{good}\nsupply = {deal.supply}",
        )
    )
