"""What is wrong with a built site: links that lead nowhere, and addresses of other hosts it loads.

A link that a reader may follow to another host is fine. What a browser fetches by itself is not:
scripts, styles, images, fonts, frames, and whatever a script could ask for.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that a browser follows by itself, in any element but those of `FOLLOWED`.
LOADS = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background", "content"}
FOLLOWED = {"a", "area"}
# Links that tell about a page and load nothing.
TELLING = {"canonical", "next", "prev", "alternate", "author", "license"}
# Names of XML dialects: they look like addresses, and nobody fetches them.
NAMESPACES = ("http://www.w3.org/",)

_ADDRESS = re.compile(r"""(?:https?:|wss?:)//[^\s"'`)<>\\]+""", re.IGNORECASE)
_PROTOCOL_RELATIVE = re.compile(
    r"""["'`(]\s*(//[a-z0-9-]+(?:\.[a-z0-9-]+)+[^\s"'`)]*)""", re.IGNORECASE
)
_INLINE = re.compile(r"""url\((["']?)data:.*?\1\)""", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|<!--.*?-->", re.DOTALL)


def foreign(text: str) -> list[str]:
    """Addresses of other hosts in a script, a style or a picture.

    Left out are comments, and pictures that stand in the text itself: those load nothing.
    """
    text = _COMMENT.sub("", _INLINE.sub("", text))
    found = _ADDRESS.findall(text) + _PROTOCOL_RELATIVE.findall(text)
    return [address for address in found if not address.startswith(NAMESPACES)]


class Page(HTMLParser):
    """Anchors, links and loads of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self._inside = tag if tag in ("script", "style") else ""
        self.loads += foreign(given.get("style", ""))
        if tag in FOLLOWED:
            self.links.append(given.get("href", ""))
            return
        telling = tag == "link" and set(given.get("rel", "").split()) & TELLING
        if telling or (tag == "meta" and given.get("http-equiv", "").lower() != "refresh"):
            return
        for name in LOADS & set(given):
            if re.match(r"\s*(?:[a-z]+:)?//", given[name], re.IGNORECASE):
                self.loads.append(given[name])
            elif name in ("src", "href", "data", "poster"):
                self.links.append(given[name])

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the name is HTMLParser's
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.loads += foreign(data)


def faults_of(site: Path) -> list[str]:
    """Every fault of a site, one a line."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(site)
        faults += [f"{name}: loads {address}" for address in page.loads]
        faults += [
            f"{name}: {fault}" for link in page.links if (fault := broken(link, path, pages))
        ]
    for path in sorted(site.rglob("*")):
        if path.suffix in (".css", ".js", ".mjs", ".svg", ".webmanifest"):
            told = foreign(path.read_text("utf-8"))
            faults += [f"{path.relative_to(site)}: loads {address}" for address in told]
    return faults


def broken(link: str, path: Path, pages: dict[Path, Page]) -> str | None:
    """Why a link of a page leads nowhere; None if it does, or leaves the site."""
    parts = urlsplit(link)
    # The page that stands in for a missing one cannot know where it is shown.
    if parts.scheme or parts.netloc or not link or path.name == "404.html":
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return f"links to {link}, which is not there"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"links to {link}, which has no such anchor"
    return None
