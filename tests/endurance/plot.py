"""Draw what a soak noted: ``python -m tests.endurance.plot soak.csv docs/soak.svg``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bench import diagram

Row = dict[str, float | None]

HEADING = "Dashed: graceful restarts. Below: minutes."


class Figure(NamedTuple):
    """One diagram: its title, and its lines as name, column and factor."""

    title: str
    lines: tuple[tuple[str, str, float], ...]


FIGURES = (
    Figure("Resident memory, MiB", (("memory", "rss_kib", 1 / 1024),)),
    Figure("Open file descriptors", (("descriptors", "descriptors", 1),)),
    Figure("Delivery of a chat message, ms", (("p50", "chat_p50_ms", 1), ("p99", "chat_p99_ms", 1))),
    Figure("A page of the archive, ms", (("p50", "archive_p50_ms", 1), ("p99", "archive_p99_ms", 1))),
    Figure("CPU, % of one core", (("CPU", "cpu_percent", 1),)),
)


def read(file: Path) -> list[Row]:
    """The samples; None stands where there was nothing to measure."""
    with file.open(newline="") as lines:
        return [
            {name: float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(lines)
        ]


def draw(rows: Sequence[Row]) -> str:
    """The diagrams of all figures below each other, as an SVG document. ValueError without samples."""
    if not rows:
        raise ValueError("there are no samples")
    end = max(row["seconds"] or 0 for row in rows) or 1
    ticks = [(end * part / 6, diagram.number(end / 60 * part / 6)) for part in range(7)]
    panels = [
        diagram.Panel(figure.title, [_line(rows, *line) for line in figure.lines], ticks, restarts(rows))
        for figure in FIGURES
    ]
    return diagram.draw(HEADING, panels)


def _line(rows: Sequence[Row], name: str, column: str, factor: float) -> diagram.Line:
    points = [
        (seconds, value * factor)
        for seconds, value in ((row["seconds"], row[column]) for row in rows)
        if seconds is not None and value is not None
    ]
    return diagram.Line(name, points)


def restarts(rows: Sequence[Row]) -> list[float]:
    """The seconds after which the server restarted."""
    return [one["seconds"] or 0 for one, two in pairwise(rows) if one["restarts"] != two["restarts"]]


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    Path(sys.argv[2]).write_text(draw(read(Path(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
