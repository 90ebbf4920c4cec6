"""What the commands of this folder have in common."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import machine
from bench.campaign import Campaign, Conditions
from bench.packages import MissingPackagesError
from bench.plan import CASES, Case, UnknownCaseError
from bench.results import Results
from bench.servers.base import ServerError

__all__ = ["PROBLEMS", "add_options", "measure", "stop_on_sigterm"]

#: What a command says in one line.
PROBLEMS = (UnknownCaseError, MissingPackagesError, ServerError, OSError)


def add_options(parser: argparse.ArgumentParser, repetitions: int) -> None:
    """What is measured and how."""
    add, names = parser.add_argument, ", ".join(case.name for case in CASES)
    add("--only", default="", metavar="NAMES", help=f"some of: {names}; * stands for any letters")
    add("--quick", action="store_true", help="a second each, small numbers: see that it works")
    add("--seconds", type=float, default=Conditions.seconds, help="length of each measurement")
    add("--repetitions", type=int, default=repetitions, help="the tables have medians")
    add("--unpinned", action="store_true", help="use all cores for everything")
    add("--folder", type=Path, help="where the servers keep their data while they are measured")
    add("--out", type=Path, help="keep the results, as JSON lines")


def _conditions(options: argparse.Namespace) -> Conditions:
    if options.quick:
        return Conditions.short()
    return Conditions(options.seconds, options.repetitions, pinned=not options.unpinned)


def measure(
    options: argparse.Namespace, command: str, plan: Mapping[Case, Sequence[str]]
) -> tuple[Results, list[str]]:
    """Measure these cases on these servers; returns the results, and what failed.

    :raises ServerError: a server does not start.
    """
    with tempfile.TemporaryDirectory(prefix="xmppd-bench-", dir=options.folder) as folder:
        about = machine.describe(" ".join([command, *sys.argv[1:]]), Path(folder))
        about["quick"] = options.quick
        results = Results(about, file=options.out)
        results.begin()
        campaign = Campaign(Path(folder), _conditions(options), lambda line: print(line, file=sys.stderr))
        return results, campaign.run(plan, results.add)


def stop_on_sigterm() -> None:
    """End by SIGTERM as by control-C, so that the servers are stopped and their folders removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
