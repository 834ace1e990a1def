"""Buying in the page, up to the good in hand; and a tab that closes, or a wallet that does not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from dam.config.settings import key_paths
from dam.crypto.hashing import copy_id, item_id
from dam.types import CopyId, Status
from demo import trade
from demo.actors import Actor
from tests.web.browser import Tab, open_tab
from tests.web.shop import ShopWindow
from tests.web.wallet import FakeWallet

pytestmark = pytest.mark.asyncio(loop_scope="session")
_LONG_MS = 60_000
COUPON = "0x" + item_id("coupon").hex()


@asynccontextmanager
async def buying(
    browser: Browser, shop: ShopWindow, buyer: Actor, *, size="desktop"
) -> AsyncIterator[tuple[Tab, FakeWallet]]:
    """A tab with the buyer's keys and wallet."""
    world = shop.world
    await world.rpc.call("anvil_impersonateAccount", buyer.address)
    wallet = FakeWallet(world.chain, [buyer.address])
    async with open_tab(browser, shop.origin, size=size) as tab:
        page = tab.page
        await wallet.install(page)
        await page.goto(shop.url)
        await page.get_by_role("button", name="Connect wallet").click()
        await page.get_by_role("button", name="Pretend wallet").click()
        await page.get_by_role("link", name="Keys").click()
        await page.get_by_label("Key file").set_input_files(key_paths(buyer.dam_home).buyer)
        await page.get_by_label("Passphrase", exact=True).fill(buyer.passphrase)
        await page.get_by_role("button", name="Take these keys").click()
        await expect(page.get_by_text("backup was read back")).to_be_visible(timeout=_LONG_MS)
        try:
            yield tab, wallet
        finally:
            wallet.released.set()


async def start(tab: Tab, shop: ShopWindow, *, locked_for: Actor | None = None) -> Page:
    """Up to the dialog's last button; with whose keys, where a reload has locked them."""
    page = tab.page
    deployment = shop.world.deployment
    place = f"#/s/{deployment.chain_id}/{deployment.market.lower()}/{shop.seller}/i/{COUPON}"
    await page.evaluate("(hash) => { location.hash = hash; }", place)
    await page.get_by_role("button", name="Buy for 0.01 ETH").click(timeout=_LONG_MS)
    if locked_for is not None:
        await unlock(page, locked_for)
    await page.get_by_role("button", name="Pay 0.01 ETH").click(timeout=_LONG_MS)
    return page


async def copy_of(page: Page) -> CopyId:
    """Of the purchase that is shown."""
    await expect(page).to_have_url(re.compile("#/p/"), timeout=_LONG_MS)
    found = re.search(r"#/p/0x([0-9a-f]{64})-", page.url)
    assert found
    return CopyId(bytes.fromhex(found[1]))


async def unlock(page: Page, buyer: Actor) -> None:
    await page.get_by_label("Passphrase of your keys").fill(buyer.passphrase)
    await page.get_by_role("button", name="Open my keys").click()


async def test_a_code_is_bought_and_read_and_its_sale_confirmed(
    browser: Browser, shop_window: ShopWindow
) -> None:
    world, market = shop_window.world, shop_window.market
    buyer = market.buyer
    async with buying(browser, shop_window, buyer, size="phone") as (tab, wallet):
        page = await start(tab, shop_window)
        copy = await copy_of(page)
        sale = {"id": "0x" + copy.hex()}
        await expect(page.get_by_text("0 of 3 pieces are here")).to_be_visible(timeout=_LONG_MS)
        assert wallet.asked.count("eth_sendTransaction") == 1
        await tab.check_screen("purchase-waiting-phone-light")
        await market.deliver(sale, 0)
        await expect(page.get_by_text("Piece 1 is here, and good.")).to_be_visible(timeout=_LONG_MS)
        await market.deliver(sale, 1, junk=True)
        await expect(page.get_by_text("Piece 2 does not fit")).to_be_visible(timeout=_LONG_MS)
        await expect(page.get_by_role("button", name="Show code")).to_have_count(0)
        await market.deliver(sale, 2)
        await page.get_by_role("button", name="Show code").wait_for(timeout=_LONG_MS)
        assert "COUPON-" not in await page.content()
        await page.get_by_role("button", name="Show code").click()
        await expect(page.locator("code.secret")).to_have_text(re.compile(r"^COUPON-[1-6]$"))
        code = await page.locator("code.secret").inner_text()
        await tab.check_screen("purchase-open-phone-light")
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Save file").click()
        assert (await (await download.value).path()).read_text("utf-8") == code
        await page.get_by_role("button", name="Confirm", exact=True).click()
        await expect(page.get_by_text("this purchase has ended well")).to_be_visible(
            timeout=_LONG_MS
        )
        [state] = await world.market.sale_states([copy])
        assert state.status == Status.SETTLED
        # Its seed alone opens it elsewhere.
        opened = await world.dam(buyer, "buyer", "open", sale["id"], "--json")
        assert code in opened.stdout
        await page.reload()
        await unlock(page, buyer)
        await page.get_by_role("button", name="Show code").click(timeout=_LONG_MS)
        await expect(page.locator("code.secret")).to_have_text(code)
        await page.get_by_role("link", name="Library").click()
        await expect(page.locator(".card")).to_contain_text("Ended")
        await tab.check_screen("library-phone-light")


async def test_a_purchase_goes_on_in_whatever_state_its_tab_was_closed(
    browser: Browser, shop_window: ShopWindow
) -> None:
    world, market = shop_window.world, shop_window.market
    async with buying(browser, shop_window, market.buyer) as (tab, wallet):
        # saved: a rejection, and the tab closed after it.
        wallet.refused["eth_sendTransaction"] = 4001
        page = await start(tab, shop_window)
        await expect(page.get_by_text("You said no in the wallet.")).to_be_visible(timeout=_LONG_MS)
        await expect(page.get_by_text("your keys for this try are kept")).to_be_visible()
        await tab.check_screen("pay-rejected-desktop-light")
        await page.get_by_role("link", name="To the purchase").click()
        copy = await copy_of(page)
        await page.reload()
        await expect(page.get_by_text("you can pay now")).to_be_visible(timeout=_LONG_MS)
        # asked: the tab is closed while the question is open, and the wallet sends it later.
        wallet.refused.clear()
        wallet.silent = True
        await page.get_by_role("button", name="Pay now").click(timeout=_LONG_MS)
        await expect(page.get_by_text("Your wallet was asked.")).to_be_visible(timeout=_LONG_MS)
        await page.reload()
        await expect(page.get_by_text("Your wallet was asked.")).to_be_visible(timeout=_LONG_MS)
        await expect(page.get_by_role("button", name="Ask the wallet again")).to_be_enabled()
        await wallet.send()
        await expect(page.get_by_text("0 of 3 pieces are here")).to_be_visible(timeout=_LONG_MS)
        assert await trade.purchase(world, copy)
        # sent: the hash that the wallet gave is never mined, for it was sped up under another.
        wallet.silent = False
        wallet.forged["eth_sendTransaction"] = "0x" + "ab" * 32
        await page.get_by_role("link", name="Keys").click()
        await page.evaluate("() => { location.hash = '#/'; }")
        page = await start(tab, shop_window, locked_for=market.buyer)
        other = await copy_of(page)
        assert other != copy
        await expect(page.get_by_text("Sent. Waiting until the chain has it")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("Sent. Waiting until the chain has it")).to_be_visible()
        await wallet.send()
        await expect(page.get_by_text("0 of 3 pieces are here")).to_be_visible(timeout=_LONG_MS)
        await page.get_by_role("link", name="Library").click()
        await expect(page.get_by_text("Paid, waiting for pieces")).to_have_count(2)


async def test_a_copy_that_another_took_is_told_and_cost_nothing(
    browser: Browser, shop_window: ShopWindow
) -> None:
    world, market = shop_window.world, shop_window.market
    faster = await world.actor("faster buyer")
    async with buying(browser, shop_window, market.buyer) as (tab, wallet):
        wallet.refused["eth_sendTransaction"] = 4001
        page = await start(tab, shop_window)
        await expect(page.get_by_text("You said no in the wallet.")).to_be_visible(timeout=_LONG_MS)
        await page.get_by_role("link", name="To the purchase").click()
        taken = await copy_of(page)
        await page.get_by_role("button", name="Pay now").wait_for(timeout=_LONG_MS)
        seller, item = market.seller, item_id("coupon")
        [number] = [n for n in range(6) if copy_id(seller.address, item, n) == taken]
        await trade.buy(world, faster, seller, "coupon", number)
        await expect(page.get_by_text("Another buyer was faster.")).to_be_visible(timeout=_LONG_MS)
        await expect(page.get_by_role("button", name="Pay now")).to_have_count(0)
        assert wallet.asked.count("eth_sendTransaction") == 1


async def test_a_purchase_of_the_command_line_is_opened_by_its_record(
    browser: Browser, shop_window: ShopWindow
) -> None:
    market = shop_window.market
    buyer = market.buyer
    sale = await market.buy("coupon")
    [record] = buyer.dam_home.rglob(f"{sale['id']}-*.json")
    for index in (0, 2):
        await market.deliver(sale, index)
    async with buying(browser, shop_window, buyer) as (tab, _):
        page = tab.page
        await page.get_by_role("link", name="Library").click()
        await expect(page.get_by_text("Nothing was bought in this browser yet.")).to_be_visible()
        await page.get_by_text("Take a purchase from elsewhere").click()
        await page.get_by_label("Record file").set_input_files(record)
        await page.get_by_role("button", name="Take this purchase").click()
        await page.get_by_role("button", name="Show code").click(timeout=_LONG_MS)
        await expect(page.locator("code.secret")).to_have_text(re.compile(r"^COUPON-[1-6]$"))
        await page.get_by_text("Details").click()
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Save the record").click()
        assert (await download.value).suggested_filename == record.name
        assert (await (await download.value).path()).read_bytes() == record.read_bytes()
        await tab.check_screen("purchase-details-desktop-light")
