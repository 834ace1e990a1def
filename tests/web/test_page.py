"""The page in a browser, on a real chain with a real store."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from dam.web.server import WebServer
from tests.web.asking import TOKEN, Asking
from tests.web.browser import open_tab, origin_of
from tests.web.shop import ShopWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")
_LONG_MS = 60_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
async def test_screens_are_well_made(
    browser: Browser, shop_window: ShopWindow, size, scheme
) -> None:
    """axe, no horizontal scroll, targets of 44 pixels; and pictures to look at."""
    async with open_tab(browser, shop_window.origin, size=size, scheme=scheme) as tab:
        page = tab.page
        await page.goto(shop_window.url)
        await expect(page.locator(".card h2").first).to_be_visible(timeout=_LONG_MS)
        for name in ("", "settings"):
            await page.evaluate("(hash) => { location.hash = hash; }", f"#/{name}")
            await expect(page.get_by_text("block").first).to_be_visible(timeout=_LONG_MS)
            await tab.check_screen(f"{name or 'shop'}-{size}-{scheme}")
        await page.set_viewport_size({"width": 320, "height": 600})
        taken, there = await tab.widths()
        assert taken <= there


async def test_the_shop_finds_what_is_for_sale(browser: Browser, shop_window: ShopWindow) -> None:
    async with open_tab(browser, shop_window.origin) as tab:
        page = tab.page
        await page.goto(shop_window.url)
        cards = page.locator(".card")
        await expect(page.locator(".card h2")).to_have_count(4, timeout=_LONG_MS)
        ticket = cards.filter(has_text="A train ticket")
        await expect(ticket).to_contain_text("0.05 ETH")
        await expect(ticket).to_contain_text("3 of 3 left")
        await expect(ticket).to_contain_text("calls itself Here")
        await expect(ticket).to_contain_text("Disputes are decided")
        await expect(cards.filter(has_text="a poem")).to_contain_text("Nobody decides disputes")
        await page.get_by_role("searchbox").fill("walks")
        await page.get_by_role("searchbox").press("Enter")
        await expect(page.locator(".card h2")).to_have_count(1, timeout=_LONG_MS)
        await page.get_by_role("searchbox").fill("nothing-of-the-kind")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_text("Nothing has all of these words.")).to_be_visible()


async def test_the_token_leaves_the_address_and_stays_with_the_tab(
    browser: Browser, shop_window: ShopWindow
) -> None:
    async with open_tab(browser, shop_window.origin) as tab:
        page = tab.page
        await page.goto(shop_window.url)
        await expect(page.get_by_role("heading", name="Shop")).to_be_visible()
        assert TOKEN not in page.url
        await page.reload()
        await expect(page.get_by_role("heading", name="Shop")).to_be_visible()
        assert await page.evaluate("() => document.cookie") == ""
    async with open_tab(browser, shop_window.origin) as tab:
        await tab.page.goto(shop_window.origin)
        await expect(tab.page.get_by_text("lacks the token of this start")).to_be_visible()
        await tab.page.goto(f"{shop_window.origin}/#t=another")
        await expect(tab.page.get_by_text("was started again")).to_be_visible()


async def test_a_link_adds_no_market(browser: Browser, shop_window: ShopWindow) -> None:
    async with open_tab(browser, shop_window.origin) as tab:
        page = tab.page
        await page.goto(shop_window.url)
        await expect(page.get_by_role("heading", name="Shop")).to_be_visible()
        who = "0x" + "11" * 20
        await page.evaluate("(hash) => { location.hash = hash; }", f"#/s/1/{who}/{who}")
        await expect(page.get_by_text("does not know this market")).to_be_visible()


async def test_an_empty_market_says_so(browser: Browser, empty_window: WebServer) -> None:
    async with open_tab(browser, origin_of(empty_window)) as tab:
        await tab.page.goto(empty_window.url)
        await expect(tab.page.get_by_text("Nothing is for sale here yet.")).to_be_visible(
            timeout=_LONG_MS
        )
        assert await tab.axe() == []


async def test_another_chain_behind_the_node_is_told(
    browser: Browser, empty_window: WebServer, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's word against the record's."""
    node = ask.served.node
    call = node.call

    async def other(method: str, *params: object) -> object:
        return "0x1" if method == "eth_chainId" else await call(method, *params)

    monkeypatch.setattr(node, "call", other)
    async with open_tab(browser, origin_of(empty_window)) as tab:
        await tab.page.goto(empty_window.url)
        await tab.page.get_by_role("link", name="Settings").click()
        await expect(tab.page.get_by_text("Your node is on chain 1,")).to_be_visible()


async def test_the_keyboard_alone_reaches_the_first_good(
    browser: Browser, shop_window: ShopWindow
) -> None:
    async with open_tab(browser, shop_window.origin) as tab:
        page = tab.page
        await page.goto(shop_window.url)
        await expect(page.locator(".card h2").first).to_be_visible(timeout=_LONG_MS)
        await page.keyboard.press("Tab")
        assert await page.evaluate("() => document.activeElement.textContent") == (
            "Skip to the content"
        )
        await page.keyboard.press("Enter")
        for _ in range(4):
            await page.keyboard.press("Tab")
        assert await page.evaluate("() => document.activeElement.closest('.card') !== null")
