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
        self.pages = [known[page["/"]] for page in self.root["pages"]]
        self.part_pages = {
            section["page"]["/"]: known[section["page"]["/"]]
            for page in self.pages
            for item in page["items"]
            for section in item.get("sections", [])
        }

    @property
    def item(self) -> dict[str, Any]:
        return self.pages[0]["items"][0]

    async def put(self, value: Any) -> dict[str, str]:
        data = value if isinstance(value, bytes) else canonical(value)
        return {"/": str(await self.shop.blocks.put("dag-json", data))}

    async def read(self, limits: Limits | None = None, **other: Any) -> Any:
        """Publishes the bent documents and reads them as the chain would name them."""
        for page in self.pages:
            items = page.get("items") if isinstance(page, dict) else None
            for item in items if isinstance(items, list) else []:
                for section in item.get("sections", []) if isinstance(item, dict) else []:
                    link = section.get("page") if isinstance(section, dict) else None
                    if isinstance(link, dict) and link.get("/") in self.part_pages:
                        section["page"] = await self.put(self.part_pages[link["/"]])
        if isinstance(self.root.get("pages"), list):
            self.root["pages"] = [await self.put(page) for page in self.pages]
        link = await self.put(self.root)
        digest = Cid.parse(link["/"]).digest
        return await self.shop.read(digest, self.root_hash, limits, **other)


def change(**values: Any) -> Callable[[Documents], None]:
    return lambda d: d.item.update(values)


def drop(name: str) -> Callable[[Documents], None]:
    return lambda d: d.item.__delitem__(name)


def at(path: str, value: Any) -> Callable[[Documents], None]:
    """Sets ``root.x`` or ``page.x``."""

    def bend(d: Documents) -> None:
        place, name = path.split(".")
        (d.root if place == "root" else d.pages[0])[name] = value

    return bend


def in_list(name: str, edit: Callable[[list[Any]], Any]) -> Callable[[Documents], None]:
    return lambda d: edit(d.item[name])
