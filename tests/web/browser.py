"""A tab of Debian's Chromium that asks nobody but the page's own server, and notes faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Request, Route

from dam.web.server import WebServer

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = ROOT / ".build" / "screens"
_SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) =>
  noteViolation(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`), true);
"""
Size = Literal["phone", "desktop"]
Scheme = Literal["light", "dark"]


@dataclass
class Tab:
    """A tab; at its end there was no violation of the policy, and no question to another host."""

    page: Page
    origin: str
    violations: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def shoot(self, name: str) -> None:
        """A picture for people, in .build/screens."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENS / f"{name}.png")

    async def axe(self) -> list[str]:
        """What axe-core finds on the screen: rules of WCAG 2.2 AA that a program can check."""
        await self.page.evaluate(AXE.read_text("utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found: Any = await self.page.evaluate(
            "(tags) => axe.run({ runOnly: { type: 'tag', values: tags } })", tags
        )
        return [
            f"{rule['id']}: {node['html'][:100]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    async def widths(self) -> tuple[int, int]:
        """What the page takes, and what there is."""
        found: list[int] = await self.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return found[0], found[1]

    async def small_targets(self) -> list[str]:
        """What can be pressed and is under 44 pixels high."""
        found: list[str] = await self.page.evaluate(
            """() => [...document.querySelectorAll('a, button, input, select, summary')]
              .filter((one) => one.checkVisibility() && !one.matches('.skip, p a'))
              .filter((one) => !one.matches('.card h2 a')) // its ::after is the whole card
              .filter((one) => one.getBoundingClientRect().height < 43.5)
              .map((one) => one.outerHTML.slice(0, 100))"""
        )
        return found

    async def check_screen(self, name: str) -> None:
        """What can be measured of a screen's making; and a picture, to be looked at."""
        await self.shoot(name)
        assert await self.axe() == []
        taken, there = await self.widths()
        assert taken <= there
        assert await self.small_targets() == []

    def check(self) -> None:
        assert self.violations == []
        assert self.strangers == []
        assert self.errors == []


def origin_of(server: WebServer) -> str:
    """Where a server's page is at home."""
    return server.url.partition("/#")[0]


@asynccontextmanager
async def open_tab(
    browser: Browser, origin: str, *, size: Size = "desktop", scheme: Scheme = "light"
) -> AsyncIterator[Tab]:
    """A tab with an empty profile of its own."""
    width, height = _SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    )
    try:
        page = await context.new_page()
        tab = Tab(page, origin)
        await page.expose_function("noteViolation", lambda told: tab.violations.append(told))
        await page.add_init_script(_VIOLATIONS)
        page.on("pageerror", lambda error: tab.errors.append(str(error)))

        async def own_alone(route: Route, request: Request) -> None:
            parts = urlsplit(request.url)
            if f"{parts.scheme}://{parts.netloc}" == origin:
                await route.continue_()
            else:
                tab.strangers.append(request.url)
                await route.abort()

        await page.route("**/*", own_alone)
        yield tab
        tab.check()
    finally:
        await context.close()
