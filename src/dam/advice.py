"""What to do about a line of the log, for whoever is woken by it at 3 a.m.

`logs` adds the sentence as ``next_step`` to every line of level warning or above that brings none
of its own. ``docs/operating.md`` has the same events with more words.
"""

from __future__ import annotations

from collections.abc import Mapping

NEXT_STEP: Mapping[str, str] = {
    # -- needs a person
    "cannot_run": "mend what `reason` names, then start again; `dam deliverer doctor` checks all",
    "stopped_by_fault": "read `reason`; if it starts again and stays up, do nothing else",
    "stuck": "starts again if supervised; repeated: look at disk and memory, report it",
    "loop_blocked": "look at disk and load of the machine; the process ends itself if it lasts",
    "no_balance": "send coins to `account`; it goes on by itself",
    "fee_over_cap": "wait for cheaper gas; if deadlines come near, raise max_fee_gwei and restart",
    "unprofitable": 'wait for cheaper gas; or set unprofitable = "send" and restart',
    "not_eligible": "top the stake up, or cancel the exit: `dam deliverer status`",
    "announced_key_missing": "dam keys restore deliverer FILE; if lost: dam deliverer rotate",
    "not_operator": "make this account the seller's operator: `dam seller operator ADDRESS`",
    "foreign_transaction": "find who else has this key; unknown: move earnings, exit, new operator",
    "transaction_reverted": "nothing at once, it is tried again; repeated: look at the node",
    "refused_by_contract": "look `error` up in docs/calls.md; report it if the part is yours",
    "too_late": "find what held it up: look above for tick_failed, no_balance, fee_over_cap",
    "purchase_late": "find what held it up: was the daemon down, or the node behind?",
    "endpoints_disagree": "find the node that is wrong; take it out of `rpc` and restart",
    "internal_error": "report it with the trace; restart if the sale matters",
    "nonce_gap": "nothing, it is filled; repeated: somebody else sends with this key",
    "nonces_too_high": "look at your node: it miscounted this account's transactions",
    "transaction_refused": "`error` is the nodes' word; if only one says so, use another node",
    "nobody_sent": "look at the daemon that should have: this one is a dry run and sends nothing",
    # -- goes by itself, unless it stays
    "tick_failed": "nothing once; repeated: look at node and disk",
    "background_failed": "nothing once; repeated: look at IPFS node and disk",
    "node_unreachable": "start the node, or mend its address: setting rpc",
    "endpoint_set_aside": "nothing, the others answer; look at that node when there is time",
    "recheck_failed": "nothing, the last blocks are read once more with the next one",
    "reorganisation": "nothing, it is handled; often: raise `confirmations`",
    "ipfs_down": "start the IPFS node, or mend the address `ipfs` in the settings and restart",
    "store_unavailable": "one store: nothing; all stores: look at your IPFS node",
    "store_refused": "nothing: the seller must publish a proper document",
    "part_refused": "read `reason` in docs/operating.md; often nothing: the seller's mistake",
    "purchase_refused": "read `reason` in docs/operating.md",
    "pin_unavailable": "nothing, it is tried again; all stores: look at your IPFS node",
    "pin_refused": "raise pin_bytes if the store is worth it; parts are delivered all the same",
    "unknown_transactions": "nothing after a recovery; else find who else has this key",
    "node_refused": "nothing once; repeated: `error` is the node's word",
    "drain_timeout": "nothing: it goes on from there at the next start",
    "stopped_at_once": "nothing: what was saved goes on at the next start",
    "keyfile-tightened": "nothing: the file's mode is right now",
    "library": "nothing once; repeated: report it",
}
"""Event to one sentence: the next step first."""
