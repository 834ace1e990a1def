"""The page ``docs/soak.md``: the table, what it means, and how to run it again."""

from __future__ import annotations

from soak import report
from soak.run import Result

_HEAD = """# The soak

Three deliverers and the seller's watchdog run as they are delivered (`dam deliverer run`,
`dam watchdog run`), each a process with a home of its own, behind a JSON-RPC proxy and an IPFS
proxy that lie, stall and break off. The chain is Anvil with blocks of one second, the IPFS node is
Kubo. A seller publishes a new document every half minute; twenty accounts buy, at random moments,
and confirm nine sales in ten once their parts lie deep enough; the rest is left to the watchdog.
All the time faults are injected. Half of the purchases are of an item whose
copies share their parts, half of stock, where each copy has parts of its own. Every item has three
parts, of which two open the good.

    make soak MINUTES={minutes:g} RATE={rate:g} SEED={seed}

"""

_TAIL = """
## How to read it

- *Delivered* is a part on the canonical chain within 100 blocks of its purchase, from the deliverer
  whom the leaf names. *Late* is one that came after that, from that deliverer or from the watchdog:
  the sale was saved, the fee was not always. A late part needs a reason: faults that held up its
  deliverer for at least half of those 100 seconds. *Lost* is a part that never came, or after the
  refund was possible; *doubled* one that stands on the chain twice.
- *Proved*: somebody signed noise with a stolen operator key and had it sent before the daemon's own
  part came; the sale's buyer proved it on chain. *Replaced*: the watchdog delivered that part anew,
  sealed to the sale's fresh key, and it opens. Such parts are neither in time nor late.
- The checker reads Anvil's raw logs and decodes and decrypts with code of its own; it shares none
  with the daemons, and asks Anvil itself, past the proxies.
- Deliverer 1 is never killed, told to stop, or put on a wrong chain, so that its memory can be
  watched over the whole time; all other faults are injected into it, too. Its slope is held to
  {slope:g} MB an hour: least squares over all samples after minute {warm:g}. For the others, one
  slope is fitted over all their lives of a minute and more, each with a level of its own and
  without its first half minute; the young minutes, in which it grows most, weigh more.
- A fault counts as *injected* when it did something: a rule of a proxy that found no request to
  change, or a crash point that was not passed in time, counts as *found nothing*.
- Killed processes start again at once, as under systemd.
- Anvil keeps all blocks in memory, so it grows; it is no part of DAM.

![Memory, open files and CPU over time](soak.svg)
"""


def page(result: Result) -> str:
    """The whole page, in Markdown."""
    options = result.options
    head = _HEAD.format(minutes=options.minutes, rate=options.rate, seed=options.seed)
    tail = _TAIL.format(slope=report.SLOPE, warm=report.warm_seconds(result) / 60)
    return head + report.summary(result) + tail
