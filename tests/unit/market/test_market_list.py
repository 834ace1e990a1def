"""Lists of markets: whoever changes one, or hands out an old one, is found out."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from dam.crypto.hashing import keccak
from dam.errors import Malformed
from dam.ipfs import dag_json
from dam.market.market_list import MAX_LIST_BYTES, Seen, parse_list
from tests.unit.helpers.markets import DAY, NOW, Signer, record_of, signed

MARKETS = {"main": record_of(1), "base": record_of(8453, 9)}


def schema(name: str) -> Any:
    return json.loads((files("dam.market") / "schema" / f"{name}.schema.json").read_bytes())


VALIDATOR = Draft202012Validator(
    schema("market-list"),
    registry=Registry().with_resource(
        "deployment-record.schema.json", Resource.from_contents(schema("deployment-record"))
    ),
)


def changed(**values: Any) -> bytes:
    return json.dumps(json.loads(signed(MARKETS)) | values).encode()


def test_what_was_signed_is_read() -> None:
    text = signed(MARKETS)
    found = parse_list(text.encode())
    assert (found.name, found.serial, found.issued, found.expires) == (
        "Ada's", 3, NOW, NOW + 365 * DAY
    )  # fmt: skip
    assert found.markets == MARKETS
    assert found.signer == Signer().address
    assert found.faults == ()
    assert found.faults_at(NOW, None) == []
    VALIDATOR.check_schema(VALIDATOR.schema)
    VALIDATOR.validate(json.loads(text))
    # Only the values count, not how somebody's mail program broke the lines.
    again = json.loads(text)
    packed = json.dumps(dict(reversed(again.items())), separators=(",", ":"))
    assert parse_list(packed.encode()).digest == found.digest


def test_a_wallet_signs_and_recovers_the_same() -> None:
    """As EIP-712 has it, by a second implementation."""
    value = json.loads(signed(MARKETS))
    keys = {"name": "string", "serial": "uint64", "issued": "uint64", "expires": "uint64",
            "markets": "bytes32"}  # fmt: skip
    message = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                ],
                "MarketList": [{"name": key, "type": kind} for key, kind in keys.items()],
            },
            "primaryType": "MarketList",
            "domain": {"name": "DAM market list", "version": "1"},
            "message": {key: value[key] for key in keys}
            | {"markets": keccak(dag_json.dumps(value["markets"]))},
        }
    )
    assert Account.recover_message(message, signature=value["signature"]) == Signer().address
    made = Account.from_key((1).to_bytes(32, "big")).sign_message(message).signature
    assert "0x" + bytes(made).hex() == value["signature"]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "Bob's"},
        {"serial": 4},
        {"issued": NOW + 1},
        {"expires": NOW + 366 * DAY},
        {"markets": json.loads(signed({"main": record_of(1)}))["markets"]},
        {"markets": json.loads(signed(MARKETS | {"main": record_of(5)}))["markets"]},
        {"signer": Signer(2).address},
        {"signature": json.loads(signed(MARKETS, Signer(2)))["signature"]},
        {"signature": "0x" + "00" * 64 + "1b"},
    ],
)
def test_whatever_is_changed_it_is_not_signed_any_more(values: dict[str, Any]) -> None:
    [fault] = parse_list(changed(**values)).faults
    assert "did not sign this" in fault


def test_the_same_signature_written_otherwise_is_none() -> None:
    """With the other s, or another v: a list has one form."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = bytes.fromhex(json.loads(signed(MARKETS))["signature"][2:])
    other = order - int.from_bytes(raw[32:64], "big")
    flipped = raw[:32] + other.to_bytes(32, "big") + bytes([55 - raw[64]])
    for signature in (flipped, raw[:64] + bytes([raw[64] - 27])):
        assert parse_list(changed(signature="0x" + signature.hex())).faults


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"\xff{}", "UTF-8"),
        (b"[" * 50_000, "deeper than 5 levels"),
        (b'{"markets": {"a": {"timelock": {"proposers": [[]]}}}}', "deeper than 5 levels"),
        (b" " * (MAX_LIST_BYTES + 1), "at most 1048576 bytes"),
        (signed(MARKETS).replace('"base"', '"main"').encode(), "a key twice"),
        (signed(MARKETS).replace('"serial"', '"Serial"').encode(), "lacks serial"),
        (changed(extra=1), "a key that"),
        (changed(kind="DAM market list 2"), 'no "DAM market list 1"'),
        (changed(name=""), "name is not a text"),
        (changed(name="\x1b[2J"), "control, invisible"),
        (changed(name="x" * 513), "longer than 512"),
        (changed(serial=0), "serial number is not an integer from 1"),
        (changed(serial=2**53), "over 2^53"),
        (changed(serial=True), "serial number is not an integer"),
        (changed(issued="now"), "issued is not an integer"),
        (changed(expires=NOW), "expires is not an integer from"),
        (changed(markets={}), "1 to 64 records"),
        (changed(markets=[]), "1 to 64 records"),
        (changed(markets={str(i): {} for i in range(65)}), "1 to 64 records"),
        (changed(signer="0x12"), "signer is not an address"),
        (changed(signature="0x"), "signature is not 0x"),
        (changed(signature=5), "signature is not 0x"),
    ],
)  # fmt: skip
def test_what_is_no_list(data: bytes, fault: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_list(data)
    assert fault in str(caught.value)
    assert "\x1b" not in str(caught.value)


def spoiled(name: str, **values: Any) -> bytes:
    markets = json.loads(signed(MARKETS))["markets"]
    markets[name] = markets[name] | values
    return changed(markets=markets)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (spoiled("main", firstBlock="7"), "record main: firstBlock must be a whole number"),
        (spoiled("base", version=1), "record base: this is a record of version 1"),
        (spoiled("base", nonsense=1), "record base: 'nonsense' is unknown"),
        (spoiled("base", **{f"n{i}": 1 for i in range(9000)}), "'n0' is unknown"),
        (changed(markets={"main": 5}), "record main: adapter is missing"),
        (changed(markets={"Main Net": {}}), "'Main Net' is no name of a market"),
        (changed(markets={"\x1b[2J" * 100: {}}), r"'\x1b[2J\x1b[2J"),
    ],
)
def test_markets_that_are_wrong_are_named(data: bytes, fault: str) -> None:
    found = parse_list(data)
    assert any(fault in one for one in found.faults), found.faults
    assert all(len(one) <= 400 and one.isprintable() for one in found.faults)
    assert len(found.markets) < 2


def test_a_market_under_two_names_is_a_fault() -> None:
    with pytest.raises(Malformed, match="market two is one once more"):
        signed({"one": record_of(1), "two": record_of(1)})
    markets = {"one": record_of(1), "two": record_of(5)}
    value = json.loads(signed(markets))["markets"]
    value["two"]["chainId"] = 1
    value["two"]["market"] = value["two"]["market"].lower()
    assert "market two is one once more" in parse_list(changed(markets=value)).faults


def test_reader_and_schema_refuse_the_same() -> None:
    for data in (
        changed(kind="x"), changed(serial=0), changed(issued=-1), changed(markets={}),
        changed(signature="0x"), changed(signer="x"), changed(extra=1), spoiled("main", version=3),
        changed(markets={"A": json.loads(signed(MARKETS))["markets"]["main"]}),
        changed(markets={str(i): {} for i in range(65)}), changed(name=""),
    ):  # fmt: skip
        assert not VALIDATOR.is_valid(json.loads(data))
        try:
            assert parse_list(data).faults
        except Malformed:
            continue


@pytest.mark.parametrize(
    ("now", "seen", "fault"),
    [
        (NOW + 365 * DAY - 1, None, ""),
        (NOW + 365 * DAY, None, "it held until"),
        (NOW - DAY, None, ""),
        (NOW - DAY - 1, None, "a time to come"),
        (NOW, Seen(2, bytes(32)), ""),
        (NOW, Seen(4, bytes(32)), "serial 3 is older than 4, taken before"),
        (NOW, Seen(3, bytes(32)), "another list with serial 3 was taken before"),
        (NOW, Seen(3, parse_list(signed(MARKETS).encode()).digest), ""),
    ],
)
def test_what_is_wrong_here_and_now(now: int, seen: Seen | None, fault: str) -> None:
    found = parse_list(signed(MARKETS).encode()).faults_at(now, seen)
    assert len(found) == bool(fault)
    assert all(fault in one for one in found)
