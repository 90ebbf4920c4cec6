"""Diagrams below each other, as an SVG document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Line", "Panel", "ceiling", "draw", "number"]

WIDTH, LEFT, RIGHT = 860, 70, 130
PANEL, GAP, TOP = 130, 45, 50
PLOT = WIDTH - LEFT - RIGHT
COLOURS = ("#1f6f8b", "#c8553d", "#5b8c5a", "#8a5a83")
STYLE = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ddd}.mark{stroke:#999}"


class Line(NamedTuple):
    """A name, and its points as x and y."""

    name: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """One diagram, from 0 upwards.

    :ivar ticks: what stands below: x, and its label; the first and the last are the edges.
    :ivar marks: x of dashed lines.
    :ivar logarithmic: x is drawn by its logarithm.
    :ivar dots: each point has a dot.
    """

    title: str
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]
    marks: Sequence[float] = ()
    logarithmic: bool = False
    dots: bool = False

    def place(self, x: float) -> float:
        """Where an x is drawn."""
        scale = math.log10 if self.logarithmic else float
        first, last = scale(self.ticks[0][0]), scale(self.ticks[-1][0])
        return LEFT + PLOT * (scale(x) - first) / ((last - first) or 1)

    @property
    def highest(self) -> float:
        """The upper end of the axis."""
        return ceiling(max((y for line in self.lines for _, y in line.points), default=0))


def ceiling(value: float) -> float:
    """The next round number: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power)


def number(value: float) -> str:
    """Without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def draw(heading: str, panels: Sequence[Panel]) -> str:
    """The document."""
    height = TOP + len(panels) * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22">{heading}</text>',
    ]
    for index, panel in enumerate(panels):
        parts += _panel(panel, TOP + index * (PANEL + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: float) -> Iterable[str]:
    yield f'<text class="title" x="{LEFT}" y="{top - 6}">{panel.title}</text>'
    yield from _axes(panel, top)
    for x in map(panel.place, panel.marks):
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + PANEL}"'
        yield f'<line class="mark" stroke-dasharray="3 3" {ends}/>'
    for index, line in enumerate(panel.lines):
        places = [(panel.place(x), top + PANEL * (1 - y / panel.highest)) for x, y in line.points]
        yield from _line(line.name, places, COLOURS[index], top + 12 + 16 * index, dots=panel.dots)


def _line(
    name: str, places: Sequence[tuple[float, float]], colour: str, label: float, *, dots: bool
) -> Iterable[str]:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline fill="none" stroke="{colour}" points="{points}"/>'
    for x, y in places if dots else ():
        yield f'<circle fill="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    yield f'<text x="{LEFT + PLOT + 8}" y="{label}" style="fill:{colour}">{name}</text>'


def _axes(panel: Panel, top: float) -> Iterable[str]:
    """Grid lines with values on the left, and the ticks below."""
    for part in range(5):
        y = top + PANEL * (1 - part / 4)
        value = number(panel.highest * part / 4)
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value}</text>'
    for x, label in panel.ticks:
        yield f'<text x="{panel.place(x):.1f}" y="{top + PANEL + 15}" text-anchor="middle">{label}</text>'
