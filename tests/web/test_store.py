"""A store and its items: only what the chain vouches for is shown, and each other state is told."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from dam.errors import IpfsError
from dam.ipfs.cid import Cid
from dam.web import hints
from tests.web.browser import Tab, open_tab
from tests.web.shop import ShopWindow

pytestmark = pytest.mark.asyncio(loop_scope="session")
_LONG_MS = 60_000


async def go(tab: Tab, shop: ShopWindow, seller: str, item: str = "") -> Page:
    await tab.page.goto(shop.url)
    await expect(tab.page.get_by_role("heading", name="Shop")).to_be_visible()
    deployment = shop.world.deployment
    place = f"#/s/{deployment.chain_id}/{deployment.market.lower()}/{seller}{item}"
    await tab.page.evaluate("(hash) => { location.hash = hash; }", place)
    return tab.page


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_store_and_an_item_are_checked_and_shown(
    browser: Browser, shop_window: ShopWindow, size, scheme
) -> None:
    async with open_tab(browser, shop_window.origin, size=size, scheme=scheme) as tab:
        page = tab.page
        await page.goto(shop_window.url)
        await page.get_by_role("link", name="calls itself Here").first.click(timeout=_LONG_MS)
        await expect(page.get_by_text("root as on chain")).to_be_visible(timeout=_LONG_MS)
        await expect(page.locator(".card h2")).to_have_count(4)
        await expect(page.get_by_role("main")).to_contain_text(shop_window.seller)
        await tab.check_screen(f"store-{size}-{scheme}")
        await page.get_by_role("link", name="A train ticket").click()
        risk = page.get_by_role("region", name="What you risk")
        await expect(risk).to_contain_text("You pay 0.05 ETH")
        await expect(risk).to_contain_text("You can take back all of it, and 0.005 ETH more.")
        await expect(risk).to_contain_text("Complain within 3 days of arrival")
        await expect(risk).to_contain_text("Any 2 of 3 pieces")
        await expect(page.get_by_text("3 of 3 left")).to_be_visible()
        await page.get_by_text("Details").click()
        await tab.check_screen(f"item-{size}-{scheme}")


async def test_an_item_without_an_arbitrator_says_so_in_red(
    browser: Browser, shop_window: ShopWindow
) -> None:
    async with open_tab(browser, shop_window.origin) as tab:
        page = await go(tab, shop_window, shop_window.seller)
        await page.get_by_role("link", name="a poem").click(timeout=_LONG_MS)
        nobody = page.get_by_text("Nobody decides: no dispute is possible.")
        await expect(nobody).to_have_class("danger", timeout=_LONG_MS)


async def test_an_address_without_a_store_and_a_store_without_the_item_say_so(
    browser: Browser, shop_window: ShopWindow
) -> None:
    async with open_tab(browser, shop_window.origin) as tab:
        page = await go(tab, shop_window, "0x" + "11" * 20)
        await expect(page.get_by_role("alert")).to_contain_text("has no store in this market")
        page = await go(tab, shop_window, shop_window.seller, "/i/0x" + "11" * 32)
        await expect(page.get_by_role("alert")).to_contain_text(
            "does not have that item any more", timeout=_LONG_MS
        )


async def test_a_root_that_the_chain_does_not_commit_to_is_not_believed(
    browser: Browser, shop_window: ShopWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = hints._version_json

    def other(*asked):
        found = true(*asked)
        return found and found | {"root": "0x" + "ab" * 32}

    monkeypatch.setattr(hints, "_version_json", other)
    async with open_tab(browser, shop_window.origin) as tab:
        page = await go(tab, shop_window, shop_window.seller)
        told = page.get_by_role("alert")
        await expect(told).to_contain_text("Nothing was paid. Look again.", timeout=_LONG_MS)
        assert await tab.axe() == []
        monkeypatch.undo()
        await page.get_by_role("button", name="Look again").click()
        await expect(page.get_by_text("root as on chain")).to_be_visible(timeout=_LONG_MS)


async def test_blocks_that_nobody_has_and_blocks_that_are_others_are_told(
    browser: Browser, shop_window: ShopWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server checks each block; the page does so again, for it trusts no server."""

    async def away(cid: Cid) -> bytes:
        raise IpfsError(f"{cid}: nobody has it")

    async def forged(cid: Cid) -> bytes:
        return b'{"version":2}'

    async with open_tab(browser, shop_window.origin) as tab:
        for find, why in ((away, "answered 404"), (forged, "bytes that are not this block")):
            monkeypatch.setattr(shop_window.server, "_find", find)
            page = await go(tab, shop_window, shop_window.seller)
            told = page.get_by_role("alert")
            await expect(told).to_contain_text(f"{why}", timeout=_LONG_MS)
            await expect(told).to_contain_text("not to be had now. Nothing was paid.")
            await page.evaluate("() => { location.hash = '#/'; }")


async def test_a_closed_store_says_so(browser: Browser, shop_window: ShopWindow) -> None:
    """Of a seller of its own: what is closed stays so."""
    world = shop_window.world
    seller = await world.actor("closing seller")
    await world.send(seller, "stakeAsSeller", value=10**18)
    await world.send(seller, "createStore", b"\x01" * 32, b"\x02" * 32)
    await world.send(seller, "updateStore", b"\x01" * 32, bytes(32))
    async with open_tab(browser, shop_window.origin) as tab:
        page = await go(tab, shop_window, seller.address)
        await expect(page.get_by_role("alert")).to_contain_text("has closed this store")
