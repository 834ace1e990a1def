"""`python -m demo.send_junk SALE PART`: what no honest daemon does, to try a proof of junk by hand.

In the home of the sale's seller, from whose seed and catalogue the part's leaf follows.
"""

from __future__ import annotations

import click

from dam.cli.session import asynchronous, connect, key_passphrase, open_signer
from dam.config.settings import Settings, key_paths
from dam.crypto.derivation import SellerSeed
from dam.crypto.hashing import domain_separator
from dam.keystore import key_files
from dam.market.calldata import signed_digest
from dam.market.log_history import read_history
from dam.roles.sales import find_sale
from dam.roles.seller.listings import Catalogue
from demo.by_hand import make_delivery


@click.command()
@click.argument("sale_id", metavar="SALE")
@click.argument("part", type=click.IntRange(min=1))
@click.option("--account", required=True, help="The deliverer's, which signs and sends.")
@asynchronous
async def send_junk(sale_id: str, part: int, account: str) -> None:
    """Delivers noise for PART of SALE, signed by the part's deliverer."""
    settings = Settings.load()
    seed = key_files.load_seed(key_paths(settings.home).seller, "seller-seed", key_passphrase())
    async with connect(settings) as session:
        sale = find_sale(await read_history(session.market), sale_id).purchase
        if part > sale.terms.parts:
            raise click.BadParameter(f"the sale has {sale.terms.parts} parts")
        catalogue = Catalogue(settings.catalogue)
        delivery = make_delivery(SellerSeed(seed), catalogue, sale, part - 1, junk=True)
        signer = open_signer(settings, "deliverer", account)
        if delivery.deliverer != signer.address:
            raise click.ClickException(f"part {part} is of {delivery.deliverer}")
        deployment = settings.deployment
        separator = domain_separator(deployment.chain_id, deployment.market)
        signature = signer.sign_digest(signed_digest(separator, [delivery]))
        receipt = await session.send(signer, "deliverFragment", delivery, signature)
    click.echo(f"Noise for part {part} is in block {receipt.block}.")


if __name__ == "__main__":
    send_junk()
