"""The seed in the browser, and its backup: the command line's key files, both ways."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from dam.keystore import key_files
from dam.web.server import WebServer
from tests.web.browser import Tab, open_tab, origin_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
_SLOW_MS = 120_000
"""Passphrases are slow to try, on purpose."""


async def keys_of(tab: Tab, server: WebServer) -> Page:
    await tab.page.goto(server.url)
    await tab.page.get_by_role("link", name="Keys").click()
    return tab.page


async def give(page: Page, file: Path, passphrase: str, button: str) -> None:
    await page.get_by_label("Key file").set_input_files(file)
    await page.get_by_label("Passphrase", exact=True).fill(passphrase)
    await page.get_by_role("button", name=button).click()


async def test_keys_made_here_count_once_their_backup_was_read_back(
    browser: Browser, empty_window: WebServer, tmp_path: Path
) -> None:
    async with open_tab(browser, origin_of(empty_window), size="phone") as tab:
        page = await keys_of(tab, empty_window)
        await expect(page.get_by_text("This browser has no keys yet.")).to_be_visible()
        await tab.check_screen("keys-none-phone-light")
        await page.get_by_role("button", name="Make keys").click()
        await expect(page.get_by_text("have no backup yet")).to_be_visible(timeout=_SLOW_MS)
        await tab.check_screen("keys-fresh-phone-light")
        passphrase = await page.locator("code.secret").inner_text()
        assert len(set(passphrase)) > 8
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Save the backup").click()
        file = tmp_path / (await download.value).suggested_filename
        await (await download.value).save_as(file)
        file.chmod(0o600)
        # The command line opens it, by the passphrase that was shown.
        seed = key_files.load_seed(file, "buyer-seed", passphrase)
        assert len(seed) == 32
        other = tmp_path / "other.json"
        key_files.new_seed_file(other, "buyer-seed", "another")
        await give(page, other, passphrase, "Read it back")
        await expect(page.get_by_text("That did not work")).to_be_visible(timeout=_SLOW_MS)
        await expect(page.get_by_text("have no backup yet")).to_be_visible()
        await give(page, file, passphrase, "Read it back")
        await expect(page.get_by_text("backup was read back")).to_be_visible(timeout=_SLOW_MS)
        assert passphrase not in await page.content()
        await page.reload()
        await expect(page.get_by_text("backup was read back")).to_be_visible()
        assert seed.hex() not in await page.evaluate(_KEPT)


async def test_a_key_file_of_the_command_line_is_taken_and_can_be_removed(
    browser: Browser, empty_window: WebServer, tmp_path: Path
) -> None:
    file, passphrase = tmp_path / "buyer.json", secrets.token_hex(8)
    key_files.new_seed_file(file, "buyer-seed", passphrase)
    async with open_tab(browser, origin_of(empty_window)) as tab:
        page = await keys_of(tab, empty_window)
        await give(page, file, "wrong", "Take these keys")
        await expect(page.get_by_text("passphrase does not open")).to_be_visible(timeout=_SLOW_MS)
        await expect(page.get_by_text("This browser has no keys yet.")).to_be_visible()
        await give(page, file, passphrase, "Take these keys")
        await expect(page.get_by_text("backup was read back")).to_be_visible(timeout=_SLOW_MS)
        await tab.check_screen("keys-desktop-light")
        await page.get_by_text("Remove the keys from this browser").click()
        await page.get_by_role("button", name="Remove the keys").click()
        await expect(page.get_by_text("backup was read back")).to_be_visible()  # not ticked
        await page.get_by_label("I have the backup").check()
        await page.get_by_role("button", name="Remove the keys").click()
        await expect(page.get_by_text("This browser has no keys yet.")).to_be_visible()


_KEPT = """async () => {
  const db = await new Promise((resolve) => {
    const asked = indexedDB.open('dam');
    asked.onsuccess = () => resolve(asked.result);
  });
  const kept = await new Promise((resolve) => {
    const asked = db.transaction('keys').objectStore('keys').getAll();
    asked.onsuccess = () => resolve(asked.result);
  });
  return kept.map((one) => new TextDecoder().decode(one.box)).join();
}"""
