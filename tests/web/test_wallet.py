"""The wallet in the bar at the top: found, connected, on the right chain, or told what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from dam.web.server import WebServer
from tests.web.asking import Asking
from tests.web.browser import Tab, open_tab, origin_of
from tests.web.wallet import FakeWallet

pytestmark = pytest.mark.asyncio(loop_scope="session")
ONE, OTHER = "0x" + "11" * 20, "0x" + "22" * 20


@asynccontextmanager
async def window(
    browser: Browser, server: WebServer, ask: Asking
) -> AsyncIterator[tuple[Tab, FakeWallet]]:
    wallet = FakeWallet(ask.anvil, [ONE])
    async with open_tab(browser, origin_of(server)) as tab:
        await wallet.install(tab.page)
        await tab.page.goto(server.url)
        yield tab, wallet


async def choose(page: Page) -> None:
    await page.get_by_role("button", name="Connect wallet").click()
    await page.get_by_role("button", name="Pretend wallet").click()


async def test_a_wallet_is_connected_by_two_clicks_and_again_by_itself(
    browser: Browser, empty_window: WebServer, ask: Asking
) -> None:
    async with window(browser, empty_window, ask) as (tab, wallet):
        page = tab.page
        await page.get_by_role("button", name="Connect wallet").click()
        await expect(page.locator(".wallets img")).to_be_visible()
        assert (await page.locator(".wallets img").get_attribute("src") or "").startswith("blob:")
        assert await tab.axe() == []
        await tab.shoot("wallet-desktop-light")
        assert "eth_requestAccounts" not in wallet.asked
        await page.get_by_role("button", name="Pretend wallet").click()
        await expect(page.get_by_role("button", name="0x1111…1111")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("status")).to_have_count(0)
        wallet.asked.clear()
        await page.reload()
        await expect(page.get_by_role("button", name="0x1111…1111")).to_be_visible()
        assert "eth_requestAccounts" not in wallet.asked
        await page.get_by_role("button", name="0x1111…1111").click()
        await page.get_by_role("button", name="Disconnect").click()
        await page.reload()
        await expect(page.get_by_role("button", name="Connect wallet")).to_be_visible()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (4001, "You said no in the wallet. Nothing was paid."),
        (-32002, "Your wallet has the question open already"),
        (4900, "Your wallet has no connection"),
        (-1, "did not answer as wallets do"),
    ],
)
async def test_a_refusal_is_told_and_can_be_tried_again(
    browser: Browser, empty_window: WebServer, ask: Asking, code: int, sentence: str
) -> None:
    async with window(browser, empty_window, ask) as (tab, wallet):
        wallet.refused["eth_requestAccounts"] = code
        await choose(tab.page)
        await expect(tab.page.get_by_text(sentence)).to_be_visible()
        wallet.refused.clear()
        await tab.page.get_by_role("button", name="Pretend wallet").click()
        await expect(tab.page.get_by_role("button", name="0x1111…1111")).to_be_visible()


async def test_a_wrong_chain_is_told_and_switched(
    browser: Browser, empty_window: WebServer, ask: Asking
) -> None:
    async with window(browser, empty_window, ask) as (tab, wallet):
        page = tab.page
        wallet.chain = 1
        wallet.refused["wallet_switchEthereumChain"] = 4902
        await choose(page)
        told = page.get_by_role("status")
        await expect(told).to_contain_text("Your wallet is on chain 1, this market on chain 31337.")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        assert await tab.axe() == []
        await page.get_by_role("button", name="Switch the wallet").click()
        await expect(told).to_contain_text("does not know this chain. Nothing was paid.")
        wallet.refused.clear()
        await page.get_by_role("button", name="Switch the wallet").click()
        await expect(told).to_have_count(0)
        wallet.chain = 5
        await wallet.emit(page, "chainChanged", "0x5")
        await expect(told).to_contain_text("Your wallet is on chain 5,")


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getCode"])
async def test_another_copy_of_the_chain_is_told(
    browser: Browser, empty_window: WebServer, ask: Asking, method: str
) -> None:
    async with window(browser, empty_window, ask) as (tab, wallet):
        wallet.forged[method] = {"hash": "0x" + "ab" * 32} if "Block" in method else "0x60"
        await choose(tab.page)
        await expect(tab.page.get_by_text("on another copy of this chain")).to_be_visible()


async def test_the_account_is_the_one_that_the_wallet_shows_now(
    browser: Browser, empty_window: WebServer, ask: Asking
) -> None:
    async with window(browser, empty_window, ask) as (tab, wallet):
        page = tab.page
        await choose(page)
        await expect(page.get_by_role("button", name="0x1111…1111")).to_be_visible()
        await wallet.emit(page, "accountsChanged", [OTHER])
        await expect(page.get_by_role("button", name="0x2222…2222")).to_be_visible()
        await wallet.emit(page, "accountsChanged", [])
        await expect(page.get_by_role("button", name="Connect wallet")).to_be_visible()


async def test_what_is_no_wallet_is_not_listed(
    browser: Browser, empty_window: WebServer, ask: Asking
) -> None:
    async with window(browser, empty_window, ask) as (tab, _):
        page = tab.page
        await expect(page.get_by_role("button", name="Connect wallet")).to_be_visible()
        await page.evaluate(
            """() => {
              const provider = { request: async () => null };
              const say = (info, given = provider) => dispatchEvent(new CustomEvent(
                'eip6963:announceProvider', { detail: { info, provider: given } }));
              const uuid = (n) => `350670db-19fa-4704-a166-${String(n).padStart(12, '0')}`;
              const info = { uuid: uuid(1), name: 'Bad', rdns: 'bad.example', icon: '' };
              say(null); say({ ...info, uuid: 1 }); say({ ...info, rdns: '<b>' });
              say({ ...info, name: {} }); say(info, {}); say(info, null);
              say({ ...info, uuid: '350670db-19fa-4704-a166-e52e178b59d2', name: 'Thief' });
              say({ ...info, name: 'Long\\u202e'.repeat(50), icon: 'https://evil.example/x.png' });
              for (let n = 2; n < 40; n++) say({ ...info, uuid: uuid(n), name: `W${n}` });
            }"""
        )
        await page.get_by_role("button", name="Connect wallet").click()
        listed = await page.locator(".wallets bdi").all_inner_texts()
        assert len(listed) == 16
        assert listed[0] == "Pretend wallet"
        assert listed[1] == ("Long" * 50)[:40]
        assert not {"Bad", "Thief"} & set(listed)
        assert await page.locator(".wallets img").count() == 1


async def test_without_a_wallet_it_says_what_to_do(
    browser: Browser, empty_window: WebServer
) -> None:
    async with open_tab(browser, origin_of(empty_window), size="phone") as tab:
        await tab.page.goto(empty_window.url)
        await tab.page.get_by_role("button", name="Connect wallet").click()
        await expect(tab.page.get_by_text("has no wallet that this page can see")).to_be_visible()
        assert await tab.axe() == []
        await tab.shoot("no-wallet-phone-light")
