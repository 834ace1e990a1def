"""Tokens as prices: hostile names, exact amounts, and permits that are safe to sign."""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_typed_data

from dam.cli.buyer.buy import payment_rows
from dam.crypto.hashing import escrow_of, keccak, sale_of
from dam.errors import Malformed, Permanent, RpcError
from dam.ethereum.erc20 import (
    NATIVE,
    Token,
    Tokens,
    balances,
    check_payable,
    clean_symbol,
    decode_text,
    funds,
    read_tokens,
    selector,
)
from dam.ethereum.erc2612 import NoPermit, Permit, domain_separator, make_permit
from dam.keystore.ape_accounts import Signer
from dam.market.abi import decode_event, encode, market_abi
from dam.roles.arbiter import ruling_amount
from dam.roles.buyer.payment import Payment, purchase_call, read_payment
from dam.roles.seller.store_file import Faults, read_store_file
from dam.types import ZERO_ADDRESS, Address

CHAIN = 31337
ACCOUNT = Account.from_key(b"\x07" * 32)
SIGNER = Signer(Address(ACCOUNT.address), ACCOUNT)


class Node:
    """Answers views of contracts from a table; everything else reverts."""

    def __init__(self, answers: dict[tuple[str, bytes], bytes]) -> None:
        self.answers = answers

    async def batch(self, calls: Any, *, errors: bool = False) -> list[Any]:
        assert errors
        found: list[Any] = []
        for method, (call, _) in calls:
            assert method == "eth_call"
            key = (call["to"], bytes.fromhex(call["data"][2:10]))
            found.append(
                "0x" + self.answers[key].hex() if key in self.answers else RpcError("reverted")
            )
        return found


def text(value: str) -> bytes:
    return abi_encode(["string"], [value])


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


@pytest.fixture
def token(make: Any) -> Address:
    return make.person(0x70)


def says(token: Address, **views: bytes) -> dict[tuple[str, bytes], bytes]:
    takes = {"balanceOf": "address", "allowance": "address,address", "nonces": "address"}
    return {(token, selector(f"{k}({takes.get(k, '')})")): v for k, v in views.items()}


# ---------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("said", "decimals", "amount"),
    [("5", 6, 5_000_000), ("5.25", 6, 5_250_000), ("0.000001", 6, 1), (7, 0, 7), ("1.50", 1, 15)],
)
def test_prices_in_tokens_are_exact_both_ways(
    token: Address, said: object, decimals: int, amount: int
) -> None:
    coin = Token(token, "USDX", decimals)
    assert coin.parse(said) == amount
    shown = coin.text(amount)
    assert coin.parse(shown.split()[0]) == amount
    assert shown.endswith(f"USDX ({token[:10]}..)")


@pytest.mark.parametrize(
    "said", ["5.1234567", "5 ether", "-1", "1e3", "", "x", 5.25, True, "9" * 60]
)
def test_what_is_no_amount_of_a_token_is_refused(token: Address, said: object) -> None:
    with pytest.raises(Malformed):
        Token(token, "USDX", 6).parse(said)


def test_a_token_without_decimals_is_told_in_smallest_units(token: Address) -> None:
    odd = Token(token, "ODD", None)
    assert odd.text(1234).startswith("1234 smallest units of ODD")
    with pytest.raises(Malformed, match="decimals"):
        odd.parse("5")
    assert NATIVE.text(10**18) == "1 ether"
    assert Tokens()[token].decimals is None


def test_a_ruling_may_be_an_amount_of_the_token(token: Address) -> None:
    coin = Token(token, "USDX", 6)
    assert ruling_amount("2.5", 5_000_000, coin) == 2_500_000
    assert ruling_amount("50%", 5_000_001, coin) == 2_500_000


# ------------------------------------------------------------------------------------ what it says


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("USDX", "USDX"),
        ("\x1b[31mRED\n", "31mRED"),
        ("e\u202eth", ""),
        ("ETHER", ""),
        ("wei", ""),
        ("A" * 100, "A" * 12),
        ("\u0415TH \u00a0", "TH"),
        ("", ""),
    ],
)
def test_a_symbol_harms_no_terminal_and_is_not_the_native_coin(said: str, shown: str) -> None:
    assert clean_symbol(said) == shown


def test_what_a_token_says_is_read_with_care(make: Any, token: Address) -> None:
    other, silent, wild = make.person(0x71), make.person(0x72), make.person(0x73)
    node = Node(
        says(token, symbol=text("USDX"), decimals=word(6))
        | says(other, symbol=b"MKR".ljust(32, b"\0"), decimals=word(37))
        | says(wild, symbol=word(32) + word(2**255), decimals=word(2**255))
    )
    wanted = [token, other, silent, wild, ZERO_ADDRESS]
    found = asyncio.run(read_tokens(node, wanted))  # type: ignore[arg-type]
    assert found[token] == Token(token, "USDX", 6)
    assert found[other] == Token(other, "MKR", None)
    assert found[silent] == Token(silent)
    assert found[wild] == Token(wild)
    assert {entry["address"] for entry in found.json()} == {token, other, silent, wild}
    assert decode_text(b"\xff" * 32) == "\ufffd" * 32


def test_balances_and_allowances(make: Any, token: Address) -> None:
    node: Any = Node(says(token, balanceOf=word(50), allowance=word(20)))
    silent = make.person(0x72)
    assert asyncio.run(balances(node, [token, silent], make.buyer)) == {token: 50, silent: 0}
    assert asyncio.run(funds(node, token, make.buyer, make.seller)) == (50, 20)
    with pytest.raises(Permanent, match="ERC-20"):
        asyncio.run(funds(node, silent, make.buyer, make.seller))


def test_what_cannot_pay_is_no_price(make: Any, token: Address) -> None:
    """An ERC-721 contract knows balances, but no allowance; an account without code, nothing."""
    deed, nobody = make.person(0x71), make.person(0x72)
    node: Any = Node(
        says(token, balanceOf=word(0), allowance=word(0)) | says(deed, balanceOf=word(1))
    )
    known = Tokens({deed: Token(deed, "DEED")})
    asyncio.run(check_payable(node, known, [token, ZERO_ADDRESS]))
    for wrong, name in ((deed, "DEED"), (nobody, "token")):
        with pytest.raises(Permanent, match=f"nothing can be sold for {name}"):
            asyncio.run(check_payable(node, known, [token, wrong]))


# ----------------------------------------------------------------------------------------- paying


class Market:
    def __init__(self, node: Node, address: Address) -> None:
        self.rpc = node
        self.address = address


def test_too_little_of_a_token_is_said_before_anything(make: Any, token: Address) -> None:
    market: Any = Market(Node(says(token, balanceOf=word(49), allowance=word(0))), make.seller)
    coin = Token(token, "USDX", 1)
    with pytest.raises(Permanent, match=r"4.9 USDX .*the price is 5 USDX"):
        asyncio.run(read_payment(market, coin, 50, make.buyer))
    payment = asyncio.run(read_payment(market, coin, 49, make.buyer))
    assert payment.needs_allowance
    told = dict(payment_rows(payment, make.seller, by_permit=False))
    assert "4.9 USDX" in told["Token"]
    assert "exactly the price" in told["Allowance"]
    assert not Payment(coin, 49, 49, 49).needs_allowance
    assert payment_rows(Payment(NATIVE, 49, 0, 0), make.seller, by_permit=True) == []


# ---------------------------------------------------------------------------------------- permits


def permitting(token: Address, **changes: bytes) -> Node:
    domain = abi_encode(
        ["bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"],
        [b"\x0f", "Plain", "1", CHAIN, token, bytes(32), []],
    )
    views = {
        "eip712Domain": domain,
        "name": text("Plain"),
        "DOMAIN_SEPARATOR": domain_separator("Plain", "1", CHAIN, token),
        "nonces": word(3),
    }
    return Node(says(token, **{k: v for k, v in (views | changes).items() if v}))


def permit_of(node: Node, token: Address, spender: Address) -> Any:
    return asyncio.run(
        make_permit(
            node,  # type: ignore[arg-type]
            SIGNER,
            token,
            spender,
            500,
            chain_id=CHAIN,
            deadline=99,
        )
    )


@pytest.mark.parametrize("changes", [{}, {"eip712Domain": b""}])
def test_a_permit_is_for_this_token_spender_and_price(
    make: Any, token: Address, changes: dict[str, bytes]
) -> None:
    permit = permit_of(permitting(token, **changes), token, make.seller)
    assert (permit.value, permit.deadline) == (500, 99)
    struct = keccak(
        keccak(
            b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        )
        + abi_encode(
            ["address", "address", "uint256", "uint256", "uint256"],
            [SIGNER.address, make.seller, 500, 3, 99],
        )
    )
    digest = keccak(b"\x19\x01" + domain_separator("Plain", "1", CHAIN, token) + struct)
    vrs = (permit.v, int.from_bytes(permit.r, "big"), int.from_bytes(permit.s, "big"))
    assert Account._recover_hash(digest, vrs=vrs) == SIGNER.address


def test_nothing_is_signed_for_another_token_chain_or_domain(make: Any, token: Address) -> None:
    kinds = ["bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"]
    other = make.person(0x71)
    for domain in (
        [b"\x0f", "Plain", "1", CHAIN, other, bytes(32), []],
        [b"\x0f", "Plain", "1", 1, token, bytes(32), []],
        [b"\x1f", "Plain", "1", CHAIN, token, b"\x01" * 32, []],
        [b"\x0f", "Other", "1", CHAIN, token, bytes(32), []],
    ):
        node = permitting(token, eip712Domain=abi_encode(kinds, domain))
        with pytest.raises(NoPermit):
            permit_of(node, token, make.seller)
    for changes in (
        {"DOMAIN_SEPARATOR": domain_separator("Plain", "1", CHAIN, other)},
        {"DOMAIN_SEPARATOR": b""},
        {"nonces": b""},
    ):
        with pytest.raises(NoPermit):
            permit_of(permitting(token, **changes), token, make.seller)


def test_typed_data_without_chain_or_contract_is_never_signed() -> None:
    for domain in ({"name": "x", "chainId": 1}, {"name": "x", "verifyingContract": "0x0"}):
        with pytest.raises(ValueError, match="one chain"):
            SIGNER.sign_typed({"domain": domain})
    assert encode_typed_data is not None


# --------------------------------------------------------------------------------------- calldata


def test_calldata_by_hand_is_what_eth_abi_writes(make: Any, token: Address) -> None:
    purchase = make.purchase(token=token)
    terms = purchase.terms
    plain = (
        terms.item_id, terms.token, terms.price, terms.commission, terms.penalty, terms.bond,
        terms.supply, terms.stock, terms.parts, terms.threshold, terms.arbitrator,
        terms.parts_root, terms.salt,
    )  # fmt: skip
    proof, keys = [keccak(b"p")], list(purchase.keys)
    permit = Permit(500, 99, 27, keccak(b"r"), keccak(b"s"))
    entry = market_abi().functions["buyItemByPermit"]
    args = [make.seller, plain, proof, purchase.store_digest, 4, keys, astuple(permit)]
    expected = entry.id + abi_encode([p.type for p in entry.inputs], args)
    args[1], args[-1] = terms, permit
    assert encode("buyItemByPermit", *args) == expected

    sale, escrow = sale_of(purchase), escrow_of(purchase)
    entry = market_abi().functions["submitEvidence"]
    uri = "/ipfs/" + "b" * 59
    values = [tuple(getattr(r, s) for s in r.__slots__) for r in (sale, escrow)]
    expected = entry.id + abi_encode(
        [p.type for p in entry.inputs], [purchase.copy_id, *values, uri]
    )
    assert encode("submitEvidence", purchase.copy_id, sale, escrow, uri) == expected
    entry = market_abi().functions["rateSale"]
    expected = entry.id + abi_encode(
        [p.type for p in entry.inputs], [purchase.copy_id, values[0], 4]
    )
    assert encode("rateSale", purchase.copy_id, sale, 4) == expected


def test_evidence_of_any_bytes_is_read_and_no_other_form_is(make: Any) -> None:
    topic = market_abi().topic("Evidence")
    topics = [topic, bytes(12) + b"\1" * 20, keccak(b"copy"), bytes(12) + b"\2" * 20]
    data = word(32) + word(3) + b"a\xffb".ljust(32, b"\0")
    name, args = decode_event(topics, data)
    assert (name, args["_evidence"]) == ("Evidence", "a\ufffdb")
    for wrong in (data[:-1], data + bytes(32), word(64) + data[32:], data[:-1] + b"x"):
        with pytest.raises(Malformed):
            decode_event(topics, wrong)


def test_the_function_follows_the_permit() -> None:
    assert purchase_call([1], None) == ("buyItem", [1])


# ------------------------------------------------------------------------------------- store files


def written(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "store.toml"
    path.write_text(f'[store]\nname = "S"\n[[items]]\nid = "a"\ntext = "x"\n{more}\n')
    return path


def test_an_item_priced_in_a_token(tmp_path: Path, token: Address) -> None:
    more = f'token = "{token}"\nprice = "5.25"\ncommission = "30 gwei"\npenalty = "1 gwei"\n'
    known = Tokens({token: Token(token, "USDX", 6)})
    [item] = read_store_file(written(tmp_path, more), tokens=known).items
    assert (item.token, item.price, item.commission) == (token, 5_250_000, 30 * 10**9)
    # Without a node the seller says the decimals.
    [item] = read_store_file(written(tmp_path, more + "decimals = 2\n")).items
    assert item.price == 525


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ('price = "5 ether"\ncommission = 1\npenalty = 1', "no amount of a token"),
        ('price = "5"\npenalty = 1', "commission is missing"),
        ('price = "5"\ncommission = "5%"\npenalty = 1', "percentage"),
        ('price = "5"\ncommission = 1', "penalty is missing"),
        ('price = "5"\ncommission = 1\npenalty = 1\ndecimals = 7', "says 6 decimals"),
        ('price = "5"\ncommission = 1\npenalty = 1\ndecimals = 37', "0 to 36"),
    ],
)
def test_mistakes_with_tokens_are_told(
    tmp_path: Path, token: Address, changes: str, why: str
) -> None:
    known = Tokens({token: Token(token, "USDX", 6)})
    with pytest.raises(Faults, match=why):
        read_store_file(written(tmp_path, f'token = "{token}"\n{changes}'), tokens=known)
