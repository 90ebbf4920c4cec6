"""Measure this server and print one table.

    python -m bench [--only NAMES] [--quick] [--seconds N] [--repetitions N] [--out FILE]

The server runs in a temporary folder, on a port that the system chooses, on a core of its own if there are
two.
"""

from __future__ import annotations

import argparse
import sys

from bench import machine
from bench.command_line import PROBLEMS, add_options, measure, stop_on_sigterm
from bench.plan import OURS, choose
from bench.servers import SERVERS
from bench.tables import explanation, own_figures


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    add_options(parser, repetitions=1)
    parser.add_argument("--server", default=OURS, choices=SERVERS, help="another one, for example floor")
    return parser


def main() -> int:
    """Measure; returns an exit code."""
    options = parser().parse_args()
    stop_on_sigterm()
    try:
        plan = {case: [options.server] for case in choose(options.only)}
        results, failures = measure(options, "python -m bench", plan)
    except PROBLEMS as error:
        print(error, file=sys.stderr)
        return 1
    print(own_figures(results), machine.sentence(results.about), explanation(results), sep="\n\n")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
