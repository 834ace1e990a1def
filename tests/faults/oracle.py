"""What must hold after every fault: the text at the top of the table of faults, as a function.

After every fault: each valid purchase on the canonical chain has exactly one delivery of each of
our parts before its deadline, or a recorded and alerted reason; never two live transactions for one
part; no secret in a log; the process is healthy or has exited with a non-zero code; memory stays
under its cap.
"""

from __future__ import annotations

import base64
import resource
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from dam.crypto.hashing import keccak
from dam.crypto.sealing import open_fragment
from dam.types import FragmentDelivered
from demo.trade import Bought
from tests.faults.daemons import Deliverer, Process
from tests.faults.transactions import parts_in
from tests.faults.world import FaultWorld

PROCESS_BYTES = 256 << 20
"""Cap of a daemon's memory, resident."""
TOGETHER_BYTES = 1 << 30
"""Cap of the test's own process: three daemons, the proxy and the tests."""
_ALERTS = ("warning", "error", "critical")


async def oracle(
    world: FaultWorld,
    *,
    daemons: Collection[Deliverer | Process] = (),
    sales: Collection[Bought] | None = None,
    reasons: Collection[str] = (),
    exits: Collection[int] = (),
    reverted: int = 0,
) -> Counter[str]:
    """Checks everything that must hold, and returns how many parts ended how.

    Call it while the daemons still run, or after they ended by themselves.

    Args:
        world: Chain, shop and log.
        daemons: Whose parts; all that the test made, unless named.
        sales: Which sales on the canonical chain are to be served; all that were bought.
        reasons: What may stand in the ledger as reason of a part that was not delivered; each has
            to be in the log, too, at level warning or above. Empty: every part is delivered.
        exits: Exit codes of daemons that may have ended; empty: all run, or drained with 0.
        reverted: How many of our transactions may be mined and have failed.

    Returns:
        Parts by ``delivered``, or by the reason why not.
    """
    who = list(daemons or world.daemons)
    assert who, "the oracle was asked about nobody"
    sold = list(world.sold if sales is None else sales)
    outcome: Counter[str] = Counter()
    delivered = await world.delivered()
    for daemon in {one.number: one for one in who}.values():
        for bought in sold:
            outcome[_part(world, daemon, who, bought, delivered, reasons)] += 1
    ours = {daemon.actor.address for daemon in who}
    copies = {one.sale.copy_id for one in sold}
    strange = [log for log in delivered if log.by in ours and log.copy_id not in copies]
    assert not strange, "a part of no sale was delivered"

    await world.look_for_doubles()
    assert not world.doubles, f"parts in two waiting transactions: {world.doubles}"
    await _no_gas_for_nothing(world, ours, reverted)
    check_secrets(world, who)
    for daemon in who:
        code = daemon.code
        if not daemon.running:
            allowed = exits or (0,)
            assert code in allowed, f"{daemon} ended with {code}, not {allowed}: {daemon.tail()}"
        if isinstance(daemon, Process) and daemon.running:
            assert daemon.peak_bytes() < PROCESS_BYTES, f"{daemon}: {daemon.peak_bytes()} bytes"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak < TOGETHER_BYTES, f"{peak} bytes resident"
    return outcome


def _part(
    world: FaultWorld,
    daemon: Deliverer | Process,
    who: list[Deliverer | Process],
    bought: Bought,
    delivered: list[FragmentDelivered],
    reasons: Collection[str],
) -> str:
    """How the daemon's part of a sale ended; fails if it is neither there nor accounted for."""
    sale, index = bought.sale, daemon.number
    mine = [
        log
        for log in delivered
        if (log.copy_id, log.index) == (sale.copy_id, index)
        and log.at.block.number >= sale.purchase_block
    ]
    if mine:
        [log] = mine
        # The contract takes none that is too late.
        share = open_fragment(log.fragment, bought.secrets[index])
        assert keccak(share) == log.commitment, "what was delivered is not the share"
        return "delivered"
    told = []
    for one in who:
        if one.number == daemon.number:
            told += _reasons(one, bought)
    where = f"part {index} of copy {sale.copy}, bought in block {sale.purchase_block}"
    assert told, f"{where}: not delivered, and {daemon} wrote down no reason; {daemon.tail()}"
    for reason in told:
        if any(reason.startswith(allowed) for allowed in reasons):
            return reason
    raise AssertionError(f"{where}: not delivered because of {told}; {daemon.tail()}")


def _reasons(daemon: Deliverer | Process, bought: Bought) -> list[str]:
    """What the ledger has as the reason, if the log has told it to the operator, too."""
    copy_id = bought.sale.copy_id
    rows = daemon.query(
        "SELECT state, reason FROM purchases WHERE copy_id = ? AND state IN ('refused', 'late') "
        "UNION ALL SELECT state, reason FROM jobs WHERE copy_id = ? AND state = 'failed'",
        copy_id,
        copy_id,
    )
    name = "0x" + copy_id.hex()
    alerts = [line for line in daemon.lines() if line.get("level") in _ALERTS]
    told = [line for line in alerts if line.get("sale") == name]
    noted = [event for event, detail in daemon.journal() if detail.get("sale") == name]
    return [str(reason) for _, reason in rows if told and noted]


async def _no_gas_for_nothing(world: FaultWorld, ours: Collection[str], allowed: int) -> None:
    """No transaction of ours is mined twice for one part, and none fails."""
    failed, carried = [], Counter[Any]()
    addresses = {address.lower() for address in ours}
    for number in range(world.first, await world.block() + 1):
        block = await world.rpc.call("eth_getBlockByNumber", hex(number), True)
        for tx in block["transactions"]:
            if tx["from"].lower() not in addresses:
                continue
            receipt = await world.rpc.call("eth_getTransactionReceipt", tx["hash"])
            if receipt["status"] != "0x1":
                failed.append(tx["hash"])
            elif len(parts_in(tx["input"])) == 1:
                carried.update(parts_in(tx["input"]))
    assert len(failed) <= allowed, f"mined and reverted: {failed}"
    assert all(times == 1 for times in carried.values()), "a part was mined twice"


def check_secrets(world: FaultWorld, who: Collection[Deliverer | Process]) -> None:
    """No secret stands in a log, in any of the forms in which it might get there."""
    texts = {"log of this process": world.log.getvalue()}
    texts |= {f"log of {one}": one.text() for one in who if isinstance(one, Process)}
    for name, secret in world.secrets.items():
        for form in forms(secret):
            for where, text in texts.items():
                assert form not in text, f"{name} stands in the {where}"
    # No table holds one either: what is sealed stays sealed.
    for one in who:
        for path in (one.ledger, Path(f"{one.ledger}-wal")):
            data = path.read_bytes() if path.exists() else b""
            for name, secret in world.secrets.items():
                # A good may be so short that its bytes stand anywhere by chance.
                if len(secret) >= 16:
                    assert secret not in data, f"{name} stands in the ledger of {one}"


def forms(secret: bytes) -> list[str]:
    """How bytes may be written in a log: as text, hex, base64, or Python's own way."""
    found = [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]]
    if len(secret) == 32:
        found.append(str(int.from_bytes(secret, "big")))
    return found
