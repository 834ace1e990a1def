"""``dam deliverers`` and ``dam deliverer``: who delivers; and one's own stake, key and daemon."""

from __future__ import annotations

from dataclasses import replace

import click

from dam.cli.deliverer.config import config_command
from dam.cli.deliverer.doctor import doctor_command
from dam.cli.deliverer.init import init_command
from dam.cli.deliverer.recover import recover_command
from dam.cli.deliverer.status import status_command
from dam.cli.deliverer.view import (
    asks_text,
    deliverer_json,
    slash_json,
    slash_text,
    state_text,
)
from dam.cli.markets import every_market
from dam.cli.session import (
    ADDRESS,
    AMOUNT,
    Group,
    Session,
    account_option,
    asynchronous,
    confirm_or_abort,
    connect,
    dry_run_address,
    dry_run_options,
    json_option,
    key_passphrase,
    once_option,
    open_signer,
    passphrase_prompt,
    print_note,
    print_result,
    receipt_json,
    table,
    to_hex,
    to_option,
    yes_option,
)
from dam.config.settings import Settings
from dam.errors import Permanent
from dam.index.deliverers import read_indexed_pool
from dam.keystore.key_files import load_ring
from dam.market.reputation import PostedTerms, proposed_slashes
from dam.roles import staking
from dam.roles.staking import Registration
from dam.types import Address, Wei
from dam.units import format_amount, format_span, format_time


@click.command()
@json_option
@every_market
@asynchronous
async def deliverers(as_json: bool) -> None:
    """Lists the deliverers: stake, record, key, and since when.

    Established is who has had its stake in for 30 days, and was paid by three sellers with stores
    as old: `dam seller publish` picks such deliverers for the parts that count.
    """
    async with connect() as session:
        pool = await session.indexed(lambda index: read_indexed_pool(index, session.market))
    found = pool.candidates
    windows = session.settings.deployment.windows
    slashes = proposed_slashes(pool.logs, pool.synced.clock.time)
    frozen = {slash.operator: slash for slash in slashes}
    rows = [
        {
            **deliverer_json(c, windows, frozen.get(c.operator)),
            "fees": str(c.record.fees),
            "established": c.record.established,
        }
        for c in found.values()
    ]
    human = "Nobody delivers yet."
    if rows:
        human = table(
            ("deliverer", "stake", "delivered", "fees", "since", "key", "asks", "state"),
            [
                (
                    c.operator,
                    format_amount(c.stake),
                    c.delivered,
                    format_amount(c.record.fees) + (", established" * c.record.established),
                    f"block {c.registration.since}",
                    to_hex(c.registration.key),
                    asks_text(c.terms),
                    state_text(c, windows, frozen.get(c.operator)),
                )
                for c in found.values()
            ],
        )
    for slash in slashes:
        human += f"\n{slash.operator}: {slash_text(slash)}"
    value = {
        "block": pool.synced.head.number,
        "deliverers": rows,
        "slashes": [slash_json(slash) for slash in slashes],
    }
    print_result(value, as_json, human)


@click.group(cls=Group)
def deliverer() -> None:
    """Deliver parts of what others sell, and earn their fees.

    In this order: init, stake, doctor, run; then status, now and then.
    """


for _command in (
    init_command,
    status_command("deliverer"),
    doctor_command("deliverer"),
    recover_command("deliverer"),
    config_command,
):
    deliverer.add_command(_command)


@deliverer.command()
@click.argument("amount", type=AMOUNT)
@click.option(
    "--owner",
    type=ADDRESS,
    help="Who alone may take stake and earnings, for good. [default: the account itself]",
)
@account_option
@yes_option
@json_option
@asynchronous
async def stake(
    amount: int, owner: Address | None, account: str | None, yes: bool, as_json: bool
) -> None:
    """Registers the account as a deliverer with AMOUNT as its stake, or adds to its stake."""
    settings = Settings.load()
    signer = open_signer(settings, "deliverer", account)
    async with connect(settings) as session:
        found = await session.market.deliverer(signer.address)
        if staking.is_registered(found):
            if owner is not None and owner != found.owner:
                raise Permanent("a deliverer's owner cannot be changed; leave --owner away")
            question = f"Add {format_amount(amount)} to the stake of {signer.address}?"
            confirm_or_abort(question, yes or as_json)
            receipt = await staking.add_stake(session.market, session.wallet(signer), amount)
            what = "Added to the stake"
        else:
            plan = _plan_registration(session, signer.address, amount, owner)
            question = f"Register with a stake of {format_amount(amount)}?"
            confirm_or_abort(question, yes or as_json)
            receipt = await staking.register(session.market, session.wallet(signer), plan)
            what = "Registered as a deliverer"
        after = await session.market.deliverer(signer.address)
    print_result(
        {**receipt_json(receipt), "operator": signer.address, "stake": str(after.stake)},
        as_json,
        f"{what} {receipt}.\nStake {format_amount(after.stake)}. Next: dam deliverer run",
    )


def _plan_registration(
    session: Session, operator: Address, amount: int, owner: Address | None
) -> Registration:
    """What would be registered, shown; the key file's passphrase is asked for only then."""
    staking.check_stake(session.market, amount)
    pair = load_ring(session.settings.keys.deliverer, key_passphrase()).current
    plan = staking.plan_registration(session.market, operator, pair, amount, owner=owner)
    print_note(f"Account   {plan.operator} delivers and signs (a hot key, if a daemon uses it)")
    print_note(f"Owner     {plan.owner} alone takes stake and earnings; this cannot be changed")
    print_note(f"Key       {to_hex(pair.public)}")
    return plan


@deliverer.command()
@click.option("--operator", type=ADDRESS, help="Of which deliverer. [default: the account]")
@account_option
@json_option
@asynchronous
async def rotate(operator: Address | None, account: str | None, as_json: bool) -> None:
    """Announces the key that `dam keys rotate` made, once the daemon has been restarted with it.

    In that order, or a part sealed to the new key could meet a daemon that does not have it.
    """
    settings = Settings.load()
    ring = load_ring(settings.keys.deliverer, key_passphrase())
    signer = open_signer(settings, "deliverer", account)
    who = operator or signer.address
    async with connect(settings) as session:
        pair, wallet = ring.current, session.wallet(signer)
        receipt = await staking.announce_key(session.market, wallet, pair, operator=who)
    public = to_hex(pair.public)
    print_result(
        {**receipt_json(receipt), "publicKey": public},
        as_json,
        f"Key {public} announced {receipt}. Sellers use it from now on.",
    )


@deliverer.command()
@click.option("--min-fee", type=AMOUNT, required=True, help="Least fee of a part: '0.001 ether'.")
@click.option("--open/--closed", "is_open", required=True, help="Whether new items are welcome.")
@click.option("--operator", type=ADDRESS, help="Of which deliverer. [default: the account]")
@account_option
@json_option
@asynchronous
async def terms(
    min_fee: int, is_open: bool, operator: Address | None, account: str | None, as_json: bool
) -> None:
    """Posts what the deliverer asks for; sellers' tools respect it when they pick.

    Parts that are sealed to it already are delivered as before. The daemon's own least fee is the
    setting `min_fee`.
    """
    settings = Settings.load()
    signer = open_signer(settings, "deliverer", account)
    who = operator or signer.address
    async with connect(settings) as session:
        receipt = await session.send(signer, "postTerms", who, min_fee, is_open)
    asked = asks_text(PostedTerms(Wei(min_fee), is_open))
    print_result(
        {**receipt_json(receipt), "operator": who, "minFee": str(min_fee), "open": is_open},
        as_json,
        f"Posted {receipt}: {asked}.",
    )


@deliverer.command("exit")
@click.option("--cancel", is_flag=True, help="Take an earlier request back.")
@click.option("--operator", type=ADDRESS, help="Of which deliverer. [default: the account]")
@account_option
@yes_option
@json_option
@asynchronous
async def leave(
    cancel: bool, operator: Address | None, account: str | None, yes: bool, as_json: bool
) -> None:
    """Asks to exit: no more deliveries from now on, and the stake leaves after a delay."""
    settings = Settings.load()
    signer = open_signer(settings, "deliverer", account)
    who = operator or signer.address
    async with connect(settings) as session:
        if not cancel:
            delay = format_span(settings.deployment.windows.exit_seconds)
            print_note(f"The right to deliver ends at once; the stake leaves {delay} later.")
        confirm_or_abort(f"{'Stay' if cancel else 'Exit'} as {who}?", yes or as_json)
        receipt = await session.send(signer, "cancelExit" if cancel else "requestExit", who)
        info = await session.market.deliverer(who)
    outcome = "It stays"
    if not cancel:
        outcome = f"The stake leaves from {format_time(info.exit_time)} on"
    print_result(
        {**receipt_json(receipt), "operator": who, "exitTime": info.exit_time},
        as_json,
        f"{outcome}: {receipt}.",
    )


@deliverer.command("withdraw-stake")
@click.option("--operator", type=ADDRESS, help="Of which deliverer. [default: the account]")
@to_option
@account_option
@json_option
@asynchronous
async def withdraw_stake(
    operator: Address | None, to: Address | None, account: str | None, as_json: bool
) -> None:
    """Takes the whole stake, once the delay after `exit` is over."""
    settings = Settings.load()
    signer = open_signer(settings, "deliverer", account)
    who, recipient = operator or signer.address, to or signer.address
    async with connect(settings) as session:
        before = await session.market.deliverer(who)
        receipt = await session.send(signer, "withdrawDelivererStake", who, recipient)
    print_result(
        {**receipt_json(receipt), "operator": who, "to": recipient, "amount": str(before.stake)},
        as_json,
        f"{format_amount(before.stake)} went to {recipient} {receipt}.",
    )


@deliverer.command()
@once_option
@dry_run_options
@account_option
@click.pass_context
def run(
    ctx: click.Context, once: bool, dry_run: bool, address: Address | None, account: str | None
) -> None:
    """Runs the daemon: follows the chain and delivers until it is told to stop (SIGTERM, Ctrl-C).

    It logs on standard error, as JSON unless that is a terminal. A second signal stops it at once.
    """
    from dam.daemon.run import deliverer_main
    from dam.log import configure_logging

    configure_logging()
    settings = Settings.load()
    if account:
        settings = replace(settings, accounts={**settings.accounts, "deliverer": account})
    played = dry_run_address(settings, "deliverer", account, dry_run, address)
    ctx.exit(deliverer_main(settings, prompt=passphrase_prompt(), once=once, dry_run=played))
