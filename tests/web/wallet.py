"""A wallet that a page finds by EIP-6963; its answers come from Python, and from a real chain."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from playwright.async_api import Page

from dam.testing.nodes import AnvilNode, NodeFailedError

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
_PROVIDER = """
(() => {
  const told = {};
  const provider = {
    async request({ method, params }) {
      const answer = JSON.parse(await walletRequest(JSON.stringify({ method, params })));
      if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
      return answer.result;
    },
    on(event, listener) { (told[event] ??= new Set()).add(listener); },
    removeListener(event, listener) { told[event]?.delete(listener); },
  };
  window.walletEmit = (event, value) => { for (const one of told[event] ?? []) one(value); };
  const info = INFO;
  const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider',
    { detail: Object.freeze({ info, provider }) }));
  addEventListener('eip6963:requestProvider', announce);
  announce();
})();
"""


class FakeWallet:
    """Switches make it another chain's, another copy's, or have it refuse a method by a code."""

    def __init__(self, node: AnvilNode, accounts: list[str]) -> None:
        self._node = node
        self.accounts = accounts
        self.chain = node.chain_id
        self.unlocked = False
        self.refused: dict[str, int] = {}
        """Codes by method."""
        self.forged: dict[str, Any] = {}
        """Results by method."""
        self.asked: list[str] = []
        self.transactions: list[dict[str, Any]] = []
        """That it was asked to send, also those that it did not."""
        self.silent = False
        """It leaves what it is asked to send unanswered, as one whose question nobody looks at."""
        self.released = asyncio.Event()
        """Ends that."""

    async def install(self, page: Page) -> None:
        await page.expose_function("walletRequest", self._request)
        info = {
            "uuid": "350670db-19fa-4704-a166-e52e178b59d2",
            "name": "Pretend wallet",
            "rdns": "example.pretend",
            "icon": f"data:image/png;base64,{PNG}",
        }
        await page.add_init_script(_PROVIDER.replace("INFO", json.dumps(info)))

    async def emit(self, page: Page, event: str, value: Any) -> None:
        await page.evaluate("([event, value]) => walletEmit(event, value)", [event, value])

    async def _request(self, text: str) -> str:
        asked = json.loads(text)
        method, params = asked["method"], asked.get("params") or []
        self.asked.append(method)
        if method == "eth_sendTransaction":
            self.transactions.append(params[0])
            if self.silent:
                await self.released.wait()
                return json.dumps({"error": {"code": 4900, "message": "gone"}})
        if method in self.refused:
            return json.dumps({"error": {"code": self.refused[method], "message": "no"}})
        try:
            return json.dumps({"result": await self._answer(method, params)})
        except NodeFailedError as error:
            return json.dumps({"error": {"code": -32603, "message": str(error)}})

    async def send(self) -> str:
        """Sends what it was last asked to, whether the page is still there or not."""
        asked = self.transactions[-1]
        return str(await asyncio.to_thread(self._node.request, "eth_sendTransaction", asked))

    async def _answer(self, method: str, params: list[Any]) -> Any:
        if method in self.forged:
            return self.forged[method]
        if method == "eth_requestAccounts":
            self.unlocked = True
        if method in ("eth_requestAccounts", "eth_accounts"):
            return self.accounts if self.unlocked else []
        if method == "eth_chainId":
            return hex(self.chain)
        if method == "wallet_switchEthereumChain":
            self.chain = int(params[0]["chainId"], 16)
            return None
        return await asyncio.to_thread(self._node.request, method, *params)
