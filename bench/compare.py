"""Measure this server beside others, in one go, and hold it to its targets.

    python -m bench.compare [run] [--only NAMES] [--servers NAMES] [--repetitions N] [--out FILE] [--write]
    python -m bench.compare report FILE [--write]

The other servers are Debian's packages; what is missing is installed where that is allowed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import machine
from bench.command_line import PROBLEMS, add_options, measure, stop_on_sigterm
from bench.packages import install
from bench.plan import CASES, OURS, TARGETS, Case, UnknownCaseError, choose, rivals
from bench.results import Results, read
from bench.servers import SERVERS
from bench.tables import all_figures, explanation, target_figures

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- newest comparison -->", "<!-- end of it -->"

#: The rows that a target is set for, the large ones too.
COMPARED = [case for case in CASES if any(target.case == case.name for target in TARGETS)]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__.splitlines()[0])
    parser.add_argument("action", nargs="?", default="run", choices=["run", "report"])
    parser.add_argument("file", nargs="?", type=Path, help="report: what run has kept by --out")
    add_options(parser, repetitions=3)
    parser.add_argument("--servers", default="", metavar="NAMES", help="of: " + ", ".join(SERVERS))
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    return parser


def plan(only: str, servers: str) -> dict[Case, Sequence[str]]:
    """Which cases on which servers: those that a target names, unless others are chosen.

    :raises UnknownCaseError: a name is unknown.
    """
    chosen = [name for name in servers.replace(" ", "").split(",") if name]
    for name in chosen:
        if name not in SERVERS:
            raise UnknownCaseError(f"{name}: there are {', '.join(SERVERS)}")
    return {case: chosen or rivals(case) for case in (choose(only) if only else COMPARED)}


def run(options: argparse.Namespace) -> tuple[Results, list[str]]:
    """Measure; returns the results, and what failed.

    :raises MissingPackagesError: a server is not there.
    :raises UnknownCaseError: a name is unknown.
    """
    cases = plan(options.only, options.servers)
    install([name for names in cases.values() for name in names])
    return measure(options, "python -m bench.compare", cases)


def report(results: Results) -> str:
    """All tables, in Markdown."""
    versions = "\n".join(f"- {name}: {version}" for name, version in results.versions().items())
    parts = [target_figures(results, OURS), machine.sentence(results.about), versions, all_figures(results)]
    return "\n\n".join([*parts, explanation(results)])


def write(text: str, path: Path = README) -> None:
    """Put the tables in their place in a file."""
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


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
    text = report(results)
    print(text)
    if options.write and not results.about["quick"]:
        write(text)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
