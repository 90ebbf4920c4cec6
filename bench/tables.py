"""Tables in Markdown, readable as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from bench.plan import CASES, OURS, TARGETS, Target
from bench.results import Results

__all__ = ["all_figures", "explanation", "figure", "own_figures", "table", "target_figures"]

_TITLES = {case.name: case.title for case in CASES}
_ORDER = {case.name: place for place, case in enumerate(CASES)}

QUICK_SAYS = "Small numbers for a second each: this shows that everything works, and nothing else."

HOW_TO_READ = """\
CPU is the server's own time, user and system with all its threads, divided by the units of work done: it
holds on a busy machine, units/s and latencies do not. Latency is from sending until the last receiver has it.
KiB a client: resident memory of the server with all clients logged in over TLS, available and at rest for ten
seconds, less what it had warm and without clients, divided by their number.  Sessions that wait for their
clients have no connection, and one message each that was not acknowledged."""


def explanation(results: Results) -> str:
    """What to say below a table."""
    return QUICK_SAYS if results.about["quick"] else HOW_TO_READ


def figure(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: range) -> str:
    """Columns wide enough for what is in them; numbers end at the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rules = ["-" * (width - 1) + ":" if at in numbers else "-" * width for at, width in enumerate(widths)]

    def line(row: Sequence[str]) -> str:
        pairs = enumerate(zip(row, widths, strict=True))
        aligned = (cell.rjust(width) if at in numbers else cell.ljust(width) for at, (cell, width) in pairs)
        return f"| {' | '.join(aligned)} |"

    return "\n".join(map(line, [cells[0], rules, *cells[1:]]))


def _notes(results: Results, case: str, server: str) -> str:
    """What a row has beside the usual figures."""
    quiet = results.median(case, server, "quiet_ms.p99")
    at_rest = results.median(case, server, "kib_per_client")
    plain = results.median(case, server, "plain_cpu_us")
    errors = results.median(case, server, "error_stanzas")
    notes = [
        f"without them p99 {figure(quiet)} ms" if quiet is not None else "",
        f"without it {figure(plain)} µs" if plain is not None else "",
        f"{figure(at_rest)} KiB a client" if at_rest is not None else "",
        f"{figure(errors)} error stanzas" if errors else "",
    ]
    return "; ".join(note for note in notes if note)


def _figures(results: Results, case: str, server: str) -> list[str]:
    def median(path: str) -> float | None:
        return results.median(case, server, path)

    return [
        figure(median("server_cpu_us")),
        figure(median("rate")),
        _percent(median("server_busy")),
        figure(median("latency_ms.p50")),
        figure(median("latency_ms.p99")),
    ]


def _unit(results: Results, case: str, server: str) -> str:
    return str(results.of(case, server)[0]["unit"])


def _circumstances(results: Results, case: str, server: str) -> list[str]:
    """What tells how good the figures of a row are."""
    return [
        _percent(results.spread(case, server, "server_cpu_us")),
        figure(results.median(case, server, "generator_cpu_us")),
        _percent(results.median(case, server, "others_busy")),
        str(len(results.of(case, server))),
    ]


_FIGURES = ["CPU µs a unit", "units/s", "busy", "p50 ms", "p99 ms"]
_CIRCUMSTANCES = ["spread", "generator µs", "others", "runs"]


def _cells(results: Results) -> list[tuple[str, str]]:
    """Case and server of each row."""
    return sorted(results.cells(), key=lambda cell: _ORDER[cell[0]])


def own_figures(results: Results) -> str:
    """The table of `make bench`."""
    rows = [
        [_TITLES[cell[0]], _unit(results, *cell), *_figures(results, *cell), _notes(results, *cell)]
        for cell in _cells(results)
    ]
    return table(["", "unit", *_FIGURES, ""], rows, numbers=range(2, 7))


def all_figures(results: Results) -> str:
    """Everything that was measured, one row a case and server."""
    rows = []
    for cell in _cells(results):
        names = [_TITLES[cell[0]], cell[1], _unit(results, *cell)]
        numbers = [*_figures(results, *cell), *_circumstances(results, *cell)]
        rows.append([*names, *numbers, _notes(results, *cell)])
    head = ["", "server", "unit", *_FIGURES, *_CIRCUMSTANCES, ""]
    return table(head, rows, numbers=range(3, len(head) - 1))


def _fraction(value: Fraction) -> str:
    """As a fraction where that is short."""
    return str(value) if value.denominator < 20 else figure(float(value))


def _target_row(results: Results, target: Target, ours: str) -> list[str] | None:
    """One target beside what was measured; None where it was not."""
    itself = target.against == OURS
    mine = results.median(target.case, ours, target.field)
    other = results.median(
        target.case,
        ours if itself else target.against,
        target.other_field or target.field,
    )
    if mine is None or not other:
        return None
    ratio, most = mine / other, float(target.at_most)
    name = target.comparison if itself else target.against
    unit = {"server_cpu_us": "µs", "kib_per_client": "KiB"}.get(target.field, "ms")
    met = "yes" if ratio <= most else "no"
    figures = [f"{figure(mine)} {unit}", f"{figure(other)} {unit}", f"{ratio:.3g}", _fraction(target.at_most)]
    return [_TITLES[target.case], name, *figures, met]


def target_figures(results: Results, ours: str) -> str:
    """The targets, and whether they are met."""
    rows = [row for target in TARGETS if (row := _target_row(results, target, ours))]
    return table(["", "against", "ours", "theirs", "ratio", "at most", "met"], rows, numbers=range(2, 6))
