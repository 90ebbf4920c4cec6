"""Draw what a soak noted: ``python -m tests.endurance.plot soak.csv docs/soak.svg``."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

Row = dict[str, float | None]

WIDTH, LEFT, RIGHT = 860, 70, 130
PANEL, GAP, TOP = 130, 45, 50
PLOT = WIDTH - LEFT - RIGHT
COLOURS = ("#1f6f8b", "#c8553d")
STYLE = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ddd}.restart{stroke:#999}"


class Panel(NamedTuple):
    """One diagram: its title, and its lines as name, column and factor."""

    title: str
    lines: tuple[tuple[str, str, float], ...]


PANELS = (
    Panel("Resident memory, MiB", (("memory", "rss_kib", 1 / 1024),)),
    Panel("Open file descriptors", (("descriptors", "descriptors", 1),)),
    Panel("Delivery of a chat message, ms", (("p50", "chat_p50_ms", 1), ("p99", "chat_p99_ms", 1))),
    Panel("A page of the archive, ms", (("p50", "archive_p50_ms", 1), ("p99", "archive_p99_ms", 1))),
    Panel("CPU, % of one core", (("CPU", "cpu_percent", 1),)),
)


def read(file: Path) -> list[Row]:
    """The samples; None stands where there was nothing to measure."""
    with file.open(newline="") as lines:
        return [
            {name: float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(lines)
        ]


def ceiling(value: float) -> float:
    """The next round number: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power)


def number(value: float) -> str:
    """Without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def draw(rows: Sequence[Row]) -> str:
    """The diagrams of all panels below each other, as an SVG document. ValueError without samples."""
    if not rows:
        raise ValueError("there are no samples")
    end = max(row["seconds"] or 0 for row in rows) or 1
    height = TOP + len(PANELS) * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22">Dashed: graceful restarts. Below: minutes.</text>',
    ]
    for index, panel in enumerate(PANELS):
        parts += draw_panel(panel, rows, end, TOP + index * (PANEL + GAP))
    return "\n".join([*parts, "</svg>", ""])


def draw_panel(panel: Panel, rows: Sequence[Row], end: float, top: float) -> list[str]:
    """One diagram, whose upper edge is ``top``, from 0 to ``end`` seconds."""
    highest = ceiling(max((row[column] or 0) * factor for row in rows for _, column, factor in panel.lines))
    parts = [f'<text class="title" x="{LEFT}" y="{top - 6}">{panel.title}</text>']
    parts += axes(highest, end, top)
    for x in restarts(rows, end):
        parts.append(
            f'<line class="restart" stroke-dasharray="3 3" '
            f'x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + PANEL}"/>'
        )
    for index, (name, column, factor) in enumerate(panel.lines):
        points = " ".join(
            f"{LEFT + PLOT * seconds / end:.1f},{top + PANEL * (1 - value * factor / highest):.1f}"
            for seconds, value in ((row["seconds"], row[column]) for row in rows)
            if seconds is not None and value is not None
        )
        colour = COLOURS[index]
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>')
        parts.append(
            f'<text x="{LEFT + PLOT + 8}" y="{top + 12 + 16 * index}" style="fill:{colour}">{name}</text>'
        )
    return parts


def axes(highest: float, end: float, top: float) -> list[str]:
    """Grid lines with values on the left, and minutes below."""
    parts = []
    for part in range(5):
        y = top + PANEL * (1 - part / 4)
        value = number(highest * part / 4)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value}</text>')
    for part in range(7):
        x = LEFT + PLOT * part / 6
        minutes = number(end / 60 * part / 6)
        parts.append(f'<text x="{x:.1f}" y="{top + PANEL + 15}" text-anchor="middle">{minutes}</text>')
    return parts


def restarts(rows: Sequence[Row], end: float) -> list[float]:
    """Where on the x axis the server restarted."""
    return [
        LEFT + PLOT * (one["seconds"] or 0) / end
        for one, two in pairwise(rows)
        if one["restarts"] != two["restarts"]
    ]


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    Path(sys.argv[2]).write_text(draw(read(Path(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
