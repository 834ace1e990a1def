"""A published store whose documents can be changed, block by block."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dam.catalog.reader import Limits
from dam.ipfs.cid import Cid


def canonical(value: Any) -> bytes:
    """Canonical bytes also of what no writer of ours would take: a float, a number below zero."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Documents:
    """A store's documents as plain JSON, to bend one thing and publish the rest as it was."""

    def __init__(self, shop: Any, built: Any) -> None:
        self.shop = shop
        self.root_hash = built.root
        known = {str(cid): json.loads(data) for cid, data in built.blocks}
        self.root = known[str(built.cid)]
        self._made = set(known)
        self.pages = [known[page["/"]] for page in self.root["pages"]]
        self.details = [known[page["details"]["/"]] for page in self.pages]
        self.goods = [known[page["goods"]["/"]] for page in self.pages]
        self.part_pages = {
            section["page"]["/"]: known[section["page"]["/"]]
            for block in self.goods
            for item in block["items"]
            for section in item.get("sections", [])
        }

    @property
    def item(self) -> dict[str, Any]:
        return self.pages[0]["items"][0]

    @property
    def item_details(self) -> dict[str, Any]:
        return self.details[0]["items"][0]

    @property
    def item_goods(self) -> dict[str, Any]:
        return self.goods[0]["items"][0]

    @property
    def blocks(self) -> list[Any]:
        return [self.root, *self.pages, *self.details, *self.goods]

    def _linked(self, page: Any, name: str) -> bool:
        link = page.get(name) if isinstance(page, dict) else None
        return isinstance(link, dict) and isinstance(link.get("/"), str) and link["/"] in self._made

    async def put(self, value: Any) -> dict[str, str]:
        data = value if isinstance(value, bytes) else canonical(value)
        return {"/": str(await self.shop.blocks.put("dag-json", data))}

    async def read(self, limits: Limits | None = None, **other: Any) -> Any:
        """Publishes the bent documents and reads them as the chain would name them."""
        return await self.shop.read(await self.publish(), self.root_hash, limits, **other)

    async def publish(self) -> bytes:
        """Puts the bent documents; the digest of the root."""
        for block in self.goods:
            items = block.get("items") if isinstance(block, dict) else None
            for item in items if isinstance(items, list) else []:
                for section in item.get("sections", []) if isinstance(item, dict) else []:
                    link = section.get("page") if isinstance(section, dict) else None
                    if isinstance(link, dict) and link.get("/") in self.part_pages:
                        section["page"] = await self.put(self.part_pages[link["/"]])
        for number, page in enumerate(self.pages):
            for name, blocks in (("details", self.details), ("goods", self.goods)):
                # One that was bent is published as it is.
                if self._linked(page, name) and number < len(blocks):
                    page[name] = await self.put(blocks[number])
        if isinstance(self.root.get("pages"), list):
            self.root["pages"] = [await self.put(page) for page in self.pages]
        link = await self.put(self.root)
        return Cid.parse(link["/"]).digest


def change(**values: Any) -> Callable[[Documents], None]:
    return lambda d: d.item.update(values)


def drop(name: str) -> Callable[[Documents], None]:
    return lambda d: d.item.__delitem__(name)


def at(path: str, value: Any) -> Callable[[Documents], None]:
    """Sets ``root.x``, ``page.x``, ``details.x`` or ``goods.x``."""

    def bend(d: Documents) -> None:
        place, name = path.split(".")
        block = {"root": d.root, "page": d.pages[0], "details": d.details[0], "goods": d.goods[0]}
        block[place][name] = value

    return bend


def in_list(name: str, edit: Callable[[list[Any]], Any]) -> Callable[[Documents], None]:
    return lambda d: edit(d.item_goods[name])


def change_details(**values: Any) -> Callable[[Documents], None]:
    return lambda d: d.item_details.update(values)


def change_goods(**values: Any) -> Callable[[Documents], None]:
    return lambda d: d.item_goods.update(values)


def drop_goods(name: str) -> Callable[[Documents], None]:
    return lambda d: d.item_goods.__delitem__(name)
