"""An HTTP node that serves made-up logs of a large market, as a process of its own.

Stores are created a hundred a block, then come sales, twenty a block: each with its purchase, one
delivery and its end. All follows from the numbers; nothing is kept but the documents' digests.
"""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dam.crypto.abi_words import encode_struct
from dam.crypto.hashing import (
    catalogue_commitment,
    checksum,
    copy_id,
    item_id,
    keccak,
    part_leaf,
    terms_leaf,
)
from dam.crypto.merkle import MerkleTree
from dam.crypto.sealing import PLAIN_SEALED_BYTES
from dam.ipfs import dag_json
from dam.market.abi import encode, market_abi
from dam.types import (
    ZERO_ADDRESS,
    Address,
    Deployment,
    PartLeaf,
    Terms,
    Wei,
    Windows,
)

CHAIN, CODE = 31337, b"\x01"
MARKET = checksum(bytes([0xDA]) * 20)
DEPLOYMENT = Deployment(
    CHAIN, MARKET, 1, keccak(CODE), ZERO_ADDRESS, ZERO_ADDRESS,
    Windows(86_400, 259_200, 604_800, 2_246_400, 604_800, 604_800, Wei(1), Wei(1), Wei(1)),
    ZERO_ADDRESS,
)  # fmt: skip
STORES_A_BLOCK, SALES_A_BLOCK, MOST_LOGS = 100, 20, 20_000
OPERATORS = [checksum(keccak(b"operator %d" % i)[:20]) for i in range(50)]
BUYER = checksum(keccak(b"buyer")[:20])
ARBITER = checksum(keccak(b"arbiter")[:20])
WORDS = ("red", "blue", "green", "night", "river", "stone", "light", "paper", "glass", "winter")
TOPICS = {entry.name: "0x" + entry.id.hex() for entry in market_abi().events.values()}
SELECTORS = {
    encode(name, *arguments)[:4]: name
    for name, arguments in {
        "clock": (), "stores": (BUYER,), "sellerStakes": (BUYER,), "sales": (bytes(32),),
        "deliverers": (BUYER,),
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a market is."""

    sales: int
    stores: int
    items: int
    """In each store."""

    @property
    def first_sale_block(self) -> int:
        return 2 + -(-self.stores // STORES_A_BLOCK)

    @property
    def head(self) -> int:
        return self.first_sale_block + -(-self.sales // SALES_A_BLOCK)

    def sale(self, number: int) -> tuple[int, int, int]:
        """Store, item and copy of a sale."""
        slot = number * 7919 % (self.stores * self.items)
        return slot // self.items, slot % self.items, number // (self.stores * self.items)


@cache
def seller(store: int) -> Address:
    return checksum(keccak(b"seller %d" % store)[:20])


def leaf(store: int, item: int) -> PartLeaf:
    salt = keccak(b"salt %d %d" % (store, item))
    return PartLeaf(0, 0, OPERATORS[item % 50], salt, salt, salt)


def terms(store: int, item: int) -> Terms:
    return Terms(
        item_id(name(item)), ZERO_ADDRESS, 10**15 + (store * 31 + item) % 997 * 10**12,
        Wei(10**13), Wei(10**12), Wei(0), 10**6, False, 1, 1, ARBITER,
        MerkleTree([part_leaf(leaf(store, item))]).root,
    )  # fmt: skip


def name(item: int) -> str:
    return f"item-{item}"


def document(store: int, items: int) -> tuple[bytes, bytes]:
    """A store document of version 2, and its catalogue root."""
    listed, leaves = [], []
    for item in range(items):
        one = terms(store, item)
        leaves.append(terms_leaf(one))
        words = [WORDS[(store + item * 3) % 10], WORDS[(store // 10 + item) % 10], f"no{store}"]
        listed.append(
            {
                "itemId": name(item), "title": " ".join(words), "price": str(one.price),
                "token": one.token, "commission": str(one.commission),
                "penalty": str(one.penalty), "bond": "0", "supply": str(one.supply),
                "stock": False, "parts": 1, "threshold": 1, "arbitrator": one.arbitrator,
                "partsRoot": "0x" + one.parts_root.hex(), "otherMetadata": {},
                "encryptedParts": ["0x" + (one.item_id * 7)[:PLAIN_SEALED_BYTES].hex()],
                "partLeaves": ["0x" + part_leaf(leaf(store, item)).hex()],
                "payloads": [{"inline": "0x" + (one.item_id * 10)[:296].hex()}],
            }
        )  # fmt: skip
    whole = {
        "version": 2, "storeName": f"Store {store}", "chainId": CHAIN, "market": MARKET,
        "seller": seller(store), "items": listed,
    }  # fmt: skip
    return dag_json.dumps(whole), MerkleTree(leaves).root


def _word(value: int) -> str:
    return f"{value:064x}"


def _account(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


class MadeChain:
    """Answers the calls that a command makes."""

    def __init__(self, size: Size, documents: list[tuple[bytes, bytes]], head: int) -> None:
        self.size, self.documents, self.head = size, documents, head
        self._purchases: dict[tuple[int, int], tuple[str, Terms]] = {}

    def answer(self, method: str, params: list[Any]) -> Any:
        found = getattr(self, method.lower())(*params)
        return {"error": found} if isinstance(found, dict) and "code" in found else found

    # --------------------------------------------------------------------------- the methods

    def eth_chainid(self) -> str:
        return hex(CHAIN)

    def eth_getcode(self, address: str, _: str) -> str:
        return "0x" + CODE.hex() if address.lower() == MARKET.lower() else "0x"

    def eth_blocknumber(self) -> str:
        return hex(self.head)

    def eth_getbalance(self, *_: Any) -> str:
        return hex(10**21)

    def eth_estimategas(self, *_: Any) -> str:
        return hex(200_000)

    def eth_maxpriorityfeepergas(self) -> str:
        return hex(10**9)

    def eth_feehistory(self, *_: Any) -> Any:
        return {"baseFeePerGas": [hex(10**9)] * 2, "oldestBlock": hex(self.head)}

    def eth_getblockbynumber(self, tag: str, _: bool) -> Any:
        number = self.head if tag in ("latest", "pending") else int(tag, 16)
        if number > self.head:
            return None
        return {
            "number": hex(number), "hash": self._hash(number), "timestamp": hex(10**9 + number),
            "baseFeePerGas": hex(10**9), "gasLimit": hex(30_000_000),
        }  # fmt: skip

    def eth_call(self, call: dict[str, str], _: str) -> str:
        if call["to"].lower() != MARKET.lower():
            return "0x"
        data = bytes.fromhex(call["data"][2:])
        kind = SELECTORS[data[:4]]
        if kind == "clock":
            return "0x" + _word(self.head) + _word(10**9 + self.head)
        if kind == "sellerStakes":
            return "0x" + _word(10**18)
        if kind == "stores":
            digest, root = self.documents[self._stores[data[16:36]]]
            return "0x" + digest.hex() + catalogue_commitment(digest, root).hex()
        if kind == "sales":
            return "0x" + _word(0) * 6
        return "0x" + _word(0) * 5

    def eth_getlogs(self, query: dict[str, Any]) -> Any:
        first, last = int(query["fromBlock"], 16), min(int(query["toBlock"], 16), self.head)
        wanted = set(query["topics"][0])
        found: list[dict[str, str]] = []
        for block in range(first, last + 1):
            found += [log for log in self._logs(block) if log["topics"][0] in wanted]
            if len(found) > MOST_LOGS:
                return {"code": -32005, "message": f"query returned more than {MOST_LOGS} results"}
        return found

    # ------------------------------------------------------------------------------ the logs

    @cached_property
    def _stores(self) -> dict[bytes, int]:
        return {bytes.fromhex(seller(s)[2:]): s for s in range(self.size.stores)}

    def _hash(self, block: int) -> str:
        return f"0x{block:064x}"

    def _logs(self, block: int) -> list[dict[str, str]]:
        logs: list[tuple[list[str], str]] = []
        if block < self.size.first_sale_block:
            first = (block - 1) * STORES_A_BLOCK
            for store in range(first, min(first + STORES_A_BLOCK, self.size.stores)):
                digest, root = self.documents[store]
                topics = [TOPICS["StoreCreated"], _account(seller(store))]
                logs.append((topics, "0x" + digest.hex() + root.hex()))
        else:
            first = (block - self.size.first_sale_block) * SALES_A_BLOCK
            # After the head that a bench begins with, sales go on.
            for sale in range(first, first + SALES_A_BLOCK):
                logs += self._sale(sale, block)
        place = {
            "address": MARKET.lower(), "blockNumber": hex(block), "blockHash": self._hash(block),
            "transactionHash": "0x" + _word(block << 32),
        }  # fmt: skip
        return [
            {**place, "topics": topics, "data": data, "logIndex": hex(index)}
            for index, (topics, data) in enumerate(logs)
        ]

    def _sale(self, number: int, block: int) -> list[tuple[list[str], str]]:
        store, item, copy = self.size.sale(number)
        key = store, item
        if key not in self._purchases:
            if len(self._purchases) > 200_000:
                self._purchases.clear()
            sold = terms(store, item)
            self._purchases[key] = encode_struct(sold).hex(), sold
        text, sold = self._purchases[key]
        mine = seller(store)
        sale = "0x" + copy_id(mine, sold.item_id, copy).hex()
        data = (
            "0x" + self.documents[store][0].hex() + _word(copy) + _word(block)
            + _word(10**9 + block) + text + _word(4 * 32 + len(text) // 2 + 32) + _word(1)
            + _word(number + 1)
        )  # fmt: skip
        by = OPERATORS[item % 50]
        part = "0x" + _word(0) + by[2:].lower().rjust(64, "0") + _word(1) * 3 + _word(7)
        part += "7" * 32 + "0" * 32 + "8" * 64
        return [
            ([TOPICS["ItemPurchased"], sale, _account(mine), _account(BUYER)], data),
            ([TOPICS["FragmentDelivered"], sale, _account(by)], part),
            ([TOPICS["SaleSettled"], sale, _account(BUYER)], "0x"),
        ]


class Handler(BaseHTTPRequestHandler):
    """JSON-RPC over HTTP, alone or in batches."""

    protocol_version = "HTTP/1.1"
    chain: MadeChain

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        many = isinstance(body, list)
        replies = [self._reply(one) for one in (body if many else [body])]
        data = json.dumps(replies if many else replies[0]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "made_grow":
            self.chain.head += request["params"][0]
            return head | {"result": True}
        found = self.chain.answer(request["method"], request["params"])
        return head | (found if isinstance(found, dict) and "error" in found else {"result": found})

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    size, documents = pickle.loads(Path(sys.argv[1]).read_bytes())
    Handler.chain = MadeChain(Size(*size), documents, Size(*size).head - 1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
