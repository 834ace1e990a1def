"""What gas costs where a node, or a chain, lacks what EIP-1559 brought."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from eth_account import Account

from dam.ethereum.rpc import JsonRpc
from dam.keystore.ape_accounts import Signer
from dam.sending.transactions import Price, next_price, suggest_fees
from dam.sending.wallet import KeyWallet
from dam.testing.nodes import AnvilNode
from dam.types import Address
from tests.node.servers import http

MISSING = {"error": {"code": -32601, "message": "the method does not exist/is not available"}}
HISTORY = {"result": {"baseFeePerGas": ["0x50", "0x60"]}}
TIP, PRICE = {"result": "0x7"}, {"result": "0x59"}
WITH_BASE, WITHOUT = {"result": {"baseFeePerGas": "0x50"}}, {"result": {"number": "0x1"}}


@pytest.mark.parametrize(
    ("history", "tip", "block", "price"),
    [
        (HISTORY, TIP, MISSING, Price(0x60, 7)),
        (MISSING, TIP, WITH_BASE, Price(0x50 * 9 // 8, 7)),
        ({"result": None}, TIP, WITH_BASE, Price(0x50 * 9 // 8, 7)),
        ({"result": {"baseFeePerGas": []}}, TIP, WITH_BASE, Price(0x50 * 9 // 8, 7)),
        (HISTORY, MISSING, MISSING, Price(0x60, 0)),
        ({"result": {"baseFeePerGas": ["0x50"]}}, MISSING, MISSING, Price(0x50, 9)),
        (MISSING, MISSING, WITHOUT, Price(0, 0x59)),
        (MISSING, TIP, WITHOUT, Price(0, 7)),
    ],
)
async def test_what_gas_costs(serve, history, tip, block, price: Price) -> None:
    answers = {
        "eth_feeHistory": history,
        "eth_maxPriorityFeePerGas": tip,
        "eth_getBlockByNumber": block,
        "eth_gasPrice": PRICE,
    }

    async def handle(path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        calls = json.loads(body)
        many = calls if isinstance(calls, list) else [calls]
        replies: list[dict[str, Any]] = [{"id": c["id"], **answers[c["method"]]} for c in many]
        writer.write(
            http("200 OK", json.dumps(replies if isinstance(calls, list) else replies[0]).encode())
        )

    server = await serve(handle)
    async with JsonRpc(server.url) as rpc:
        assert await next_price(rpc) == price


async def test_a_chain_without_a_base_fee_takes_our_transactions() -> None:
    with AnvilNode(args=("--hardfork", "berlin")) as chain:
        account = Account.create()
        chain.request("anvil_setBalance", account.address, hex(10**18))
        async with JsonRpc(chain.url) as rpc:
            price = await next_price(rpc)
            assert price.base == 0
            assert (await suggest_fees(rpc, 10**12)).max_fee == price.tip
            signer = Signer(Address(account.address), account)
            wallet = KeyWallet(rpc, signer, 31337, poll_seconds=0.1)
            receipt = await wallet.send(Address("0x" + "11" * 20), b"", 5)
            assert receipt.status == 1
            found = await rpc.call("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
            assert int(found["type"], 16) == 0
