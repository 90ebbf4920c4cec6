"""Measure whether costs grow: with who is online, with contacts, with archives, and with time.

    python -m bench.growth [run] [--only NAMES] [--minutes N] [--quick] [--out FILE]
    python -m bench.growth report FILE

It prints a table and draws bench/growth.svg.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.campaign import Campaign, Conditions
from bench.command_line import PROBLEMS, stop_on_sigterm
from bench.diagram import Line, Panel, draw, number
from bench.plan import OURS, Case, UnknownCaseError
from bench.results import Results, read
from bench.tables import figure, table

DRAWING = Path(__file__).resolve().parent / "growth.svg"
HEADING = "CPU of the server in microseconds a unit of work. Every axis begins at zero; see README.md."
TIME = Case("time", "everything at once, for long", "mixed --rate 20", needs=("archives",))


@dataclass(frozen=True)
class Step:
    """Cases that are measured on one server.

    :ivar conditions: what is special about it.
    """

    cases: Sequence[Case]
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Axis:
    """What grows.

    :ivar lines: what is measured: names of cases without the size at their end, and the units.
    """

    name: str
    title: str
    lines: Mapping[str, str]
    sizes: Sequence[int]
    steps: Sequence[Step]

    def panel(self, results: Results) -> Panel:
        """Its diagram."""
        lines = []
        for case, unit in self.lines.items():
            costs = ((size, results.median(f"{case}-{size}", OURS, "server_cpu_us")) for size in self.sizes)
            lines.append(Line(unit, [(size, cost) for size, cost in costs if cost is not None]))
        ticks = [(size, f"{size:,}") for size in self.sizes]
        return Panel(self.title, lines, ticks, logarithmic=True, dots=True)


def _online(size: int) -> Step:
    case = Case(f"online-{size}", f"chat, {size:,} others online", f"chat --online {size}")
    return Step([case], {"users": size + 102})


def _contacts(size: int) -> Step:
    """Who chats has that many contacts, and all of them are online for presence."""
    members = max(200, size + 2)
    cases = [
        Case(f"contacts-chat-{size}", f"chat, {size:,} contacts each", "chat", needs=("rosters",)),
        Case(
            f"contacts-presence-{size}", f"presence, {size:,} contacts each", "presence", needs=("rosters",)
        ),
    ]
    return Step(cases, {"users": members + 2, "members": members, "contacts": size})


def _stored(size: int) -> list[Case]:
    return [
        Case(f"stored-page-{size}", f"archive of {size:,}, pages of 50", f"archive --archive {size}"),
        Case(f"stored-chat-{size}", f"chat beside an archive of {size:,}", "chat"),
    ]


ONLINE, CONTACTS, STORED = (100, 1000, 5000), (10, 100, 1000), (10_000, 100_000, 1_000_000, 2_000_000)
AXES = (
    Axis(
        "online",
        "A message, by how many others are online",
        {"online": "message"},
        ONLINE,
        [_online(size) for size in ONLINE],
    ),
    Axis(
        "contacts",
        "A message, and presence for each who gets it, by contacts of each user",
        {"contacts-chat": "message", "contacts-presence": "delivery"},
        CONTACTS,
        [_contacts(size) for size in CONTACTS],
    ),
    # One server whose archive is filled up from step to step.
    Axis(
        "stored",
        "A message, and a result of the archive, by messages in it",
        {"stored-chat": "message", "stored-page": "result"},
        STORED,
        [Step([case for size in STORED for case in _stored(size)], {"repetitions": 1})],
    ),
)
NAMES = (*(axis.name for axis in AXES), TIME.name)


def time_panels(results: Results) -> Iterator[Panel]:
    """What an hour of load looks like."""
    looks = [look for record in results.of(TIME.name, OURS) for look in record["looks"]]
    if not looks:
        return
    end = looks[-1]["at"]
    ticks = [(end * part / 6, number(end / 60 * part / 6)) for part in range(7)]
    for title, name, unit, factor in (
        ("A message with all that goes on beside it, by minutes in one process", "server_cpu_us", "CPU", 1),
        ("Resident memory in MiB, by minutes", "rss_kib", "memory", 1 / 1024),
    ):
        yield Panel(title, [Line(unit, [(look["at"], look[name] * factor) for look in looks])], ticks)


def drawing(results: Results) -> str:
    """The diagrams of what was measured."""
    panels = [panel for axis in AXES if any((panel := axis.panel(results)).lines[0].points)]
    return draw(HEADING, [*panels, *time_panels(results)])


def figures(results: Results) -> str:
    """The table of what was measured."""
    titles = {case.name: case.title for axis in AXES for step in axis.steps for case in step.cases}
    rows = [
        [
            titles[case],
            str(results.of(case, OURS)[0]["unit"]),
            figure(results.median(case, OURS, "server_cpu_us")),
            figure(results.median(case, OURS, "latency_ms.p50")),
            figure(results.median(case, OURS, "latency_ms.p99")),
        ]
        for case, _ in results.cells()
        if case in titles
    ]
    for record in results.of(TIME.name, OURS):
        for name, look in (("first", record["looks"][0]), ("last", record["looks"][-1])):
            title = f"{TIME.title}: {name} look, after {look['at'] // 60} min, {look['rss_kib'] >> 10} MiB"
            rows.append([title, "message", *(figure(look[key]) for key in ("server_cpu_us", "p50", "p99"))])
    return table(["", "unit", "CPU µs a unit", "p50 ms", "p99 ms"], rows, numbers=range(2, 5))


def measure(options: argparse.Namespace, results: Results, folder: Path) -> list[str]:
    """Measure all axes that were chosen; returns what failed."""
    chosen = [name for name in options.only.replace(" ", "").split(",") if name] or NAMES
    for name in chosen:
        if name not in NAMES:
            raise UnknownCaseError(f"{name}: there are {', '.join(NAMES)}")
    usual = Conditions.short() if options.quick else Conditions()
    steps = [step for axis in AXES if axis.name in chosen for step in axis.steps]
    if TIME.name in chosen:
        seconds = usual.seconds if options.quick else options.minutes * 60
        steps.append(Step([TIME], {"seconds": seconds, "repetitions": 1}))
    failures = []
    for step in steps:
        conditions = usual if options.quick else replace(usual, **step.conditions)
        campaign = Campaign(folder, conditions, lambda line: print(line, file=sys.stderr))
        failures += campaign.run({case: [OURS] for case in step.cases}, results.add)
    return failures


def run(options: argparse.Namespace) -> tuple[Results, list[str]]:
    """Measure; returns the results, and what failed."""
    with tempfile.TemporaryDirectory(prefix="xmppd-growth-", dir=options.folder) as folder:
        about = machine.describe(" ".join(["python -m bench.growth", *sys.argv[1:]]), Path(folder))
        results = Results({**about, "quick": options.quick}, file=options.out)
        results.begin()
        return results, measure(options, results, Path(folder))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("action", nargs="?", default="run", choices=["run", "report"])
    add("file", nargs="?", type=Path, help="report: what run has kept by --out")
    add("--only", default="", metavar="NAMES", help=f"some of: {', '.join(NAMES)}")
    add("--minutes", type=float, default=60, help="of load in one process")
    add("--quick", action="store_true", help="small numbers: see that it works")
    add("--folder", type=Path, help="where the server keeps its data; the archives take 4 GiB")
    add("--out", type=Path, help="keep the results, as JSON lines")
    add("--drawing", type=Path, default=DRAWING, help="where to draw")
    return parser


def main() -> int:
    """Measure or report; returns an exit code."""
    options = parser().parse_args()
    stop_on_sigterm()
    if options.action == "report" and not options.file:
        parser().error("report needs a file")
    try:
        results, failures = (read(options.file), []) if options.action == "report" else run(options)
    except PROBLEMS as error:
        print(error, file=sys.stderr)
        return 1
    print(figures(results), machine.sentence(results.about), sep="\n\n")
    options.drawing.write_text(drawing(results))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
