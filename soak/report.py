"""What a soak found, as text for a terminal and for ``docs/soak.md``, and whether it is good."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from soak.gauges import Gauge, Sample, slope
from soak.plot import Panel, svg
from soak.run import Result

SLOPE = 1.0
"""MB an hour: what a daemon may grow."""
_LONG_MINUTES = 30.0
"""Only a run that goes on this long when it is warm says anything of a slope."""
_SETTLE, _LEAST = 30.0, 60.0
_STILL = ("deliverer 1",)
"""Daemons that are never killed: their slope is the one that counts."""
_DAEMONS = 4


def required(minutes: float) -> int:
    """How often every kind of fault has to have been injected: ten times an hour."""
    return int(minutes / 6)


def verdicts(result: Result) -> list[tuple[str, bool]]:
    """Everything that must hold, and whether it does."""
    verdict = result.verdict
    least = required(result.options.minutes)
    rare = [kind for kind in result.groups if result.injected[kind] < least]
    checks = [
        ("every part of every purchase is there: none lost", not verdict.lost),
        ("none doubled, and none of no purchase", not verdict.doubled and not verdict.stray),
        ("every part opens to what it was committed to, or was proved", not verdict.junk),
        (
            f"each of {verdict.proved} parts proved to be junk was replaced",
            verdict.replaced == verdict.proved > 0,
        ),
        ("none late without a reason", not result.unexcused),
        ("no part in two waiting transactions of ours", not result.twice),
        (
            f"{result.goods[1]} goods rebuilt from the buyers' keys, all right",
            result.goods[0] == result.goods[1] > 0,
        ),
        (
            f"every kind of fault was injected at least {least} times"
            + (f" (not: {', '.join(rare)})" if rare else ""),
            not rare,
        ),
        ("no daemon ended unasked, no internal error", not result.failures),
        ("no secret in a log", not result.leaks),
        (
            f"at least {result.options.rate:g} purchases a second",
            verdict.purchases >= 0.95 * result.options.rate * result.options.minutes * 60,
        ),
    ]
    if result.options.minutes - warm_seconds(result) / 60 >= _LONG_MINUTES:
        for gauge in result.gauges:
            if gauge.name in _STILL:
                grown = slope(_lives(result, gauge))
                checks.append(
                    (
                        f"{gauge.name} grows less than {SLOPE:g} MB an hour: {_slope(grown)}",
                        grown is not None and grown < SLOPE,
                    )
                )
    return checks


def summary(result: Result) -> str:
    """The whole table, in Markdown."""
    verdict, options = result.verdict, result.options
    sent, failed = result.transactions.mined.total(), len(result.transactions.reverted)
    rows = {
        "time": f"{options.minutes:g} minutes of purchases and faults, {result.seconds / 60:.1f} "
        f"in all; {result.blocks} blocks of one second",
        "seed": str(options.seed),
        "purchases on the chain": f"{verdict.purchases} ({result.signed} signed; "
        f"{result.sent_again} sent again after the chain forgot them, {result.swapped} given to "
        "another buyer)",
        "store documents": str(result.editions),
        "parts wanted": str(verdict.parts),
        "**delivered** in time by their deliverers": f"**{verdict.delivered}**",
        "**late**, after more than 100 blocks; the sale was saved": f"**{len(verdict.late)}**",
        "of these without a reason": f"**{len(result.unexcused)}**",
        "**lost**": f"**{len(verdict.lost)}**",
        "**doubled**": f"**{len(verdict.doubled)}**",
        "proved to be junk; of these **replaced**": f"{verdict.proved}; **{verdict.replaced}**",
        "blocks from purchase to part": _waits(result),
        "goods rebuilt by their buyers": f"{result.goods[0]} of {result.goods[1]} tried",
        "sales confirmed by their buyers": str(verdict.confirmed),
        "sales settled by the watchdog": str(verdict.settled),
        "transactions of the daemons": f"{sent}, of which {failed} reverted; "
        f"{result.transactions.gas / 1e6:.0f} M gas",
        "parts in two waiting transactions of ours": str(len(result.twice)),
        "parts carried by a second mined transaction (gas lost)": str(result.carried_again),
    }
    sections = [
        _table(("", ""), rows.items()),
        "### What must hold\n\n" + _table(("", "holds"), _verdict_rows(result)),
        "### Injected faults\n\n"
        + _table(("kind", "injected", "found nothing"), _fault_rows(result)),
        "Single faults injected by the proxies: "
        + (", ".join(f"{name} {n}" for name, n in sorted(result.events.items())) or "none")
        + ".",
        "### Processes\n\n" + _processes(result),
        "Ends of processes: "
        + "; ".join(
            f"{name}: " + (", ".join(f"{why} {n}" for why, n in sorted(deaths.items())) or "none")
            for name, deaths in result.deaths.items()
        )
        + ".",
    ]
    if result.excuses:
        late = ", ".join(f"{cause} {n}" for cause, n in result.excuses.most_common())
        sections.append(f"Late parts by reason: {late}.")
    logged = ", ".join(f"`{event}` {n}" for event, n in result.logged.most_common())
    sections.append(f"Log lines at warning or above: {logged or 'none'}.")
    return "\n\n".join(sections) + "\n"


def faults(result: Result) -> str:
    """What went wrong, in full; empty if nothing did."""
    verdict = result.verdict
    lines = [
        *(f"lost: part {i} of copy {s.copy}, block {s.block}" for s, i in verdict.lost),
        *(f"doubled: part {i} of copy {s.copy}, block {s.block}" for s, i in verdict.doubled),
        *(f"junk: part {i} of copy {s.copy}, block {s.block}" for s, i in verdict.junk),
        *(f"late: {text}" for text in result.unexcused),
        *result.twice,
        *result.leaks,
        *result.failures,
    ]
    return "\n".join(lines)


def drawing(result: Result) -> str:
    """Memory, open files and CPU of the daemons over time, as SVG."""
    daemons = result.gauges[:_DAEMONS]
    minutes = max(1.0, result.seconds / 60)
    panels = [
        Panel(
            "resident memory, MB",
            {g.name: _line(g, lambda s: s.rss / 1e6) for g in daemons},
        ),
        Panel("open files", {g.name: _line(g, lambda s: float(s.files)) for g in daemons}),
        Panel("CPU, percent of a core (a minute's mean)", {g.name: _cpu(g) for g in daemons}),
        Panel(
            "resident memory of the nodes, MB",
            {g.name: _line(g, lambda s: s.rss / 1e6) for g in result.gauges[_DAEMONS:]},
        ),
    ]
    return svg(panels, minutes=minutes, shaded=min(warm_seconds(result) / 60, minutes))


def warm_seconds(result: Result) -> float:
    """Seconds of the soak before which no slope is measured."""
    return min(result.options.warm_minutes, result.options.minutes / 2) * 60


def _lives(result: Result, gauge: Gauge) -> list[list[Sample]]:
    return gauge.lives(after=warm_seconds(result), settle=_SETTLE, least=_LEAST)


def _line(gauge: Gauge, value: object) -> list[tuple[float, float] | None]:
    assert callable(value)
    points: list[tuple[float, float] | None] = []
    pid = 0
    for sample in gauge.samples:
        if pid not in (0, sample.pid):
            points.append(None)
        pid = sample.pid
        points.append((sample.at / 60, value(sample)))
    return points


def _cpu(gauge: Gauge) -> list[tuple[float, float] | None]:
    points: list[tuple[float, float] | None] = []
    spans: dict[int, float] = {}
    before: Sample | None = None
    for sample in gauge.samples:
        same = before is not None and before.pid == sample.pid
        used = sample.cpu - before.cpu if before is not None and same else sample.cpu
        minute = int(sample.at // 60)
        spans[minute] = spans.get(minute, 0.0) + used
        before = sample
    for minute, used in sorted(spans.items()):
        points.append((minute + 0.5, used / 60 * 100))
    return points


def _processes(result: Result) -> str:
    rows = []
    for gauge in result.gauges:
        if not gauge.samples:
            continue
        sizes = [sample.rss / 1e6 for sample in gauge.samples]
        files = [sample.files for sample in gauge.samples]
        pids = len({sample.pid for sample in gauge.samples})
        share = gauge.cpu() / result.seconds * 100
        name = "the soak itself, with 8 proxies" if gauge.name == "self" else gauge.name
        rows.append(
            (
                name,
                str(pids),
                f"{min(sizes):.0f} to {max(sizes):.0f}",
                _slope(slope(_lives(result, gauge))),
                f"{min(files)} to {max(files)}",
                f"{share:.1f} %",
            )
        )
    head = ("process", "lives seen", "RSS, MB", "slope, MB/hour", "open files", "of a core")
    return _table(head, rows)


def _slope(value: float | None) -> str:
    return "too short" if value is None else f"{value:+.2f}"


def _waits(result: Result) -> str:
    waits = sorted(result.verdict.waits.elements())
    if not waits:
        return "none"

    def at(share: float) -> int:
        return waits[min(len(waits) - 1, math.ceil(share * len(waits)) - 1)]

    return f"median {at(0.5)}, 95 % within {at(0.95)}, 99 % within {at(0.99)}, longest {waits[-1]}"


def _verdict_rows(result: Result) -> list[tuple[str, str]]:
    return [(text, "yes" if holds else "**no**") for text, holds in verdicts(result)]


def _fault_rows(result: Result) -> list[tuple[str, str, str]]:
    return [
        (kind, str(result.injected[kind]), str(result.missed[kind] or "")) for kind in result.groups
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
