"""A small SVG of lines over time: several panels, one below the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_COLOURS = ("#0b6e99", "#c2571a", "#3b8132", "#8e44ad", "#b03060", "#7f6000")
_WIDTH, _HEIGHT = 900, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 150, 26, 24


@dataclass(frozen=True)
class Panel:
    """One picture: lines of (minutes, value), None where a line is broken."""

    title: str
    lines: Mapping[str, Sequence[tuple[float, float] | None]]


def svg(panels: Sequence[Panel], *, minutes: float, shaded: float = 0.0) -> str:
    """The whole drawing.

    Args:
        panels: From the top down.
        minutes: The time axis ends here.
        shaded: Minutes at the start that do not count: they are grey.
    """
    height = len(panels) * _HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">',
        "<style>text{font:11px sans-serif}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        out += _draw(panel, number * _HEIGHT, minutes, shaded)
    return "\n".join([*out, "</svg>"]) + "\n"


def _draw(panel: Panel, y: int, minutes: float, shaded: float) -> list[str]:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    values = [point[1] for line in panel.lines.values() for point in line if point]
    step = _step(max(values, default=1.0))
    top = step * max(1, math.ceil(max(values, default=1.0) / step))
    bottom = y + _TOP + height

    def place(point: tuple[float, float]) -> str:
        return f"{_LEFT + point[0] / minutes * width:.1f},{bottom - point[1] / top * height:.1f}"

    out = [f'<text x="{_LEFT}" y="{y + 16}" font-weight="bold">{escape(panel.title)}</text>']
    if shaded:
        out.append(
            f'<rect x="{_LEFT}" y="{y + _TOP}" width="{shaded / minutes * width:.1f}" '
            f'height="{height}" fill="#eee"/>'
        )
    for number in range(round(top / step) + 1):
        level = bottom - number * step / top * height
        out.append(
            f'<path d="M{_LEFT} {level:.1f}h{width}" stroke="#ccc"/>'
            f'<text x="{_LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">{number * step:g}</text>'
        )
    gap = _step(minutes)
    for number in range(int(minutes / gap) + 1):
        x = _LEFT + number * gap / minutes * width
        out.append(
            f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{number * gap:g}</text>'
        )
    out.append(f'<text x="{_LEFT + width + 8}" y="{bottom + 15}">minutes</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path, pen = "", "M"
        for point in line:
            if point is None:
                pen = "M"
                continue
            path, pen = f"{path}{pen}{place(point)}", "L"
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        out.append(
            f'<text x="{_LEFT + width + 8}" y="{y + _TOP + 10 + 15 * number}" '
            f'fill="{colour}">{escape(name)}</text>'
        )
    return out


def _step(largest: float) -> float:
    """A round number, four to ten of which reach ``largest``."""
    power = 10.0 ** math.floor(math.log10(max(largest, 1e-9)))
    for factor in (0.1, 0.2, 0.5, 1.0):
        if largest / (power * factor) <= 10:
            return power * factor
    return power
