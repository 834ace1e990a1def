"""What the contract refuses, in words, with the next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dam.errors import ContractReverted
from dam.types import Status
from dam.units import format_amount, format_time

_TEXTS = {
    "AlreadyRated": "the sale is rated already, and a rating stays",
    "CoinsWithToken": "the item is priced in a token: no native coins go along ({value:wei} did)",
    "InvalidRating": "a rating is from 1 to 5 stars, not {stars}",
    "InvalidWindow": "the window {name} is {value}, and must be from {min} to {max} seconds",
    "NoSlash": "slash {id} is not open: never proposed, executed, cancelled or lapsed",
    "SlashTooEarly": "slash {id} can be executed from {firstTime:time} on",
    "StakeFrozen": "a slash of {operator} is proposed: its stake stays until {lastTime:time}, or "
    "until the slash is executed or cancelled",
    "StoreClosed": "{seller} has closed the store: nothing in it is for sale",
    "TokenAmountWrong": "the token {token} moved {received} of its smallest units instead of "
    "{price}: such tokens (fees on transfers, say) are not taken",
    "TokenTransferFailed": "the token {token} did not move: too little of it, too little allowed "
    "to the market, or an odd token",
    "AlreadyRegistered": "{operator} is a deliverer already; `dam deliverer stake` adds to it",
    "AlreadyDelivered": "part {index:nth} is there already",
    "AmountTooLarge": "{amount:wei} is more than the market can hold",
    "BeforeGate": "parts are still missing: this is possible from block {gateBlock} on, or as "
    "soon as all of them are there",
    "CopyBeyondSupply": "the store sells {supply} copies only; copy {copy:nth} is beyond them",
    "CopyTaken": "somebody else was faster: copy {copy:nth} is sold. Buy again, another is taken",
    "DeliveryClosed": "deliveries counted until {lastTime:time}",
    "EmptyStore": "a store needs a document",
    "ExitNotRequested": "{operator} did not ask to exit: run `dam deliverer exit` first",
    "ExitPending": "the stake of {operator} leaves from {availableTime:time} on",
    "ExitRequested": "{operator} asked to exit; take that back with `dam deliverer exit --cancel`",
    "FallbackTooEarly": "until block {firstBlock} this part is its deliverer's alone; from then on "
    "the seller's side may deliver it",
    "InvalidArbitrator": "{arbitrator} cannot arbitrate: it is the seller or the buyer",
    "InvalidFragmentLength": "a fragment has exactly 80 bytes, and this one has {length}",
    "InvalidKey": "the X25519 key {key} is not canonical or of low order",
    "InvalidTerms": "the item's terms are impossible: its parts, its threshold or its commission",
    "ListTooLong": "{entries} parts in one list, and {most} is the most: send them in several",
    "NoArbitrator": "the item names no arbitrator, so nobody could rule on a dispute",
    "NotAllowed": "{caller} may not do this; use the account of the one who may (--account)",
    "NotEligible": "{operator} does not deliver: its stake is below the minimum or below "
    "ten times the fee, or it asked to exit",
    "NotRegistered": "{operator} is no deliverer: run `dam deliverer stake` first",
    "NoStore": "{seller} has no store yet: `dam seller publish` opens one",
    "NothingDelivered": "nothing of this batch was still to be delivered: the parts are there "
    "already, the sales are closed, or it is too early",
    "NothingToWithdraw": "there is nothing to withdraw",
    "NotYourPart": "this part is the one of {deliverer}, not of {signer}",
    "PartNotInItem": "the item's root does not commit to part {index:nth} as it was given: another "
    "item's, share, salt or deliverer",
    "Reentered": "the market was called from within one of its own calls, by a token or by a "
    "payee: such a one cannot be used here",
    "RulingTooHigh": "the buyer cannot get more than the price of {price} wei",
    "SellerStakeTooLow": "the seller's free stake is {free:wei}, and {needed:wei} are needed: "
    "the seller adds some with `dam seller stake`",
    "StakeTooLow": "a stake of {stake:wei} is below the minimum of {minimum:wei}",
    "StoreChanged": "the store has changed since it was read: look at it again before you pay",
    "StoreExists": "{seller} has a store already: update it",
    "TermsNotInCatalogue": "the item's terms are not those that the store's root commits to",
    "TooEarly": "this is possible from {firstTime:time} on",
    "TooLate": "this was possible until {lastTime:time}",
    "TransferFailed": "{to} does not take coins: name another recipient with --to",
    "Underpaid": "{paid:wei} is less than the price of {price:wei}",
    "WrongBond": "a dispute takes exactly the bond of {bond:wei}",
    "WrongEscrow": "the sale is not what it was taken for: the chain may have been rewritten; "
    "look again with `dam buyer purchases`",
    "WrongSale": "there is no such sale (any more): the chain may have been rewritten; look again",
    "WrongKeyCount": "{keys} one-time keys do not fit {parts} parts",
    "WrongStatus": "the sale is {status:status} now, and in that state this is not possible",
    "AlreadyPunished": "part {index:nth} of this sale was proved to be junk before, and a second "
    "proof takes nothing",
    "EntryNotFound": "this is not what was signed or delivered as part {index:nth}: look "
    "again with `dam buyer purchases`",
    "IndexPunished": "part {index:nth} was proved to be junk: the seller's side alone delivers it",
    "InvalidSignature": "the signature is malformed, or nobody's",
    "InvalidSplit": "the split gives more than there is, or the arbitrator, who had a third of the "
    "time to rule, less than a bond: make a new offer",
    "JunkFineTooHigh": "the fine for junk of {fine:wei} is above the least stake of "
    "{minDelivererStake:wei}",
    "NoProofs": "the verifier of evidence {proofs} has no code: deploy it first",
    "NotAgreed": "{party} neither sends this nor signed it as it is",
    "NotTheDeliverers": "the list was signed by {signer}, not by {deliverer} as a deliverer",
    "NothingClosed": "no sale of the list can be closed now: it is too early, or they have ended",
    "NothingProved": "nothing is wrong with it: it opens to what was committed to",
    "NothingToSlash": "a slash of {operator} would take nothing",
    "SealedForAnotherCopy": "this offer is for copy {sealedFor:nth} alone, not for {copy:nth}",
    "WrongFreshKey": "the key is not the sale's fresh key, or the part was never proved to be junk",
    "WrongKeys": "these are not the keys of the purchase: was it made with another seed?",
    "WrongShares": "the evidence takes exactly as many shares as open the good, of distinct parts",
    "ZeroAddress": "an address that must be somebody is zero",
}


def refusal_text(error: ContractReverted) -> str:
    """A sentence about a refusal; its name with arguments where there is none of our own."""
    text = _TEXTS.get(error.error)
    if text is None:
        transaction = error.arguments.get("transaction")
        if transaction:
            block = error.arguments.get("block")
            return (
                f"transaction {transaction} failed in block {block}: the chain moved between "
                "the check and the block; look again and repeat it if it still makes sense"
            )
        return f"the market refused: {error}"
    try:
        filled = text.format_map(_Arguments(error.arguments))
    except (KeyError, ValueError, TypeError):
        return f"the market refused: {error}"
    return f"the market refused: {filled} ({error.error})"


class _Arguments(dict[str, Any]):
    def __init__(self, arguments: Mapping[str, object]) -> None:
        super().__init__({name: _Argument(value) for name, value in arguments.items()})


class _Argument:
    """A value that knows how ``wei``, ``time`` and ``status`` are written, and that people count
    from 1.
    """

    def __init__(self, value: object) -> None:
        self._value = value

    def __format__(self, spec: str) -> str:
        value = self._value
        if spec == "wei" and isinstance(value, int):
            return format_amount(value)
        if spec == "time" and isinstance(value, int):
            return format_time(value)
        if spec == "nth" and isinstance(value, int):
            return str(value + 1)
        if spec == "status" and isinstance(value, int):
            return Status(value).name.lower()
        return "0x" + value.hex() if isinstance(value, bytes) else str(value)
