"""Who buys: one seed and the records of its purchases, at one market."""

from __future__ import annotations

from dataclasses import dataclass

from dam.crypto.derivation import BuyerSeed
from dam.ipfs.blocks import BlockStore
from dam.market.client import Market
from dam.roles.buyer.records import Records
from dam.types import Deployment


@dataclass(frozen=True)
class Buyer:
    """What buying and opening work with. The account that pays is a `Wallet`, given where it does.

    No two processes may buy the same copy with one seed at a time; `Records.add` refuses that.
    """

    market: Market
    blocks: BlockStore
    seed: BuyerSeed
    records: Records

    @property
    def deployment(self) -> Deployment:
        """Which contract on which chain."""
        return self.market.deployment
