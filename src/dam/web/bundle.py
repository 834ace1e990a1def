"""The page's files, as they were built: read once, and served from memory.

What is not in the folder when the program starts has no address, so that no path needs checking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dam.errors import Permanent

STATIC = Path(__file__).parent / "static"
"""Where the build puts the page; not in git."""
PAGE = "index.html"
WORKER = "sw.js"
"""The service worker; it keeps this name for ever, for browsers ask for it again by it."""
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_RESET_WORKER = b"""\
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) await caches.delete(name);
  await self.registration.unregister();
  for (const page of await self.clients.matchAll({ type: "window" })) page.navigate(page.url);
})()));
"""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of the page."""

    body: bytes
    content_type: str


def load_bundle(folder: Path = STATIC, *, reset: bool = False) -> Mapping[str, StaticFile]:
    """The page's files by name.

    Args:
        folder: Where they are.
        reset: With a service worker that throws its own cache away and goes; what the page keeps
            of purchases and keys stays.

    Raises:
        Permanent: The page was not built.
    """
    files = {
        path.relative_to(folder).as_posix(): StaticFile(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }
    if PAGE not in files:
        raise Permanent(
            f"the page is not built ({folder / PAGE} is missing): run `make setup` in the "
            "checkout, or install a released package, which has it"
        )
    if reset:
        files[WORKER] = StaticFile(_RESET_WORKER, _TYPES[".js"])
    return files
