"""Show where the server's time goes, by function, in microseconds a unit of work.

    python -m bench.profile CASE [--top N] [--seconds N] [--lines]
    python -m bench.profile CASE --calls

It starts the server as `python -m bench` does.  The usual way samples it with py-spy while it works, and
shares out the CPU time that each thread used over the samples. Time in C (TLS, expat, SQLite, system calls)
is that of the Python function that called it.  A thread that waits for the disk is sampled as if it worked,
so commits look dearer than they are beside the other functions of their thread.

With --calls the server runs under cProfile: its times are distorted, but it counts calls.  It sees the
reactor's thread only, from its start on, logins among them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.campaign import CHECKOUT, Campaign, Conditions
from bench.command_line import PROBLEMS, stop_on_sigterm
from bench.load.meter import thread_seconds
from bench.load.run import MEASURING
from bench.plan import OURS, Case, choose
from bench.samples import Spent, read_samples, share_out
from bench.servers import SERVERS
from bench.servers.base import Server, ServerError
from bench.servers.xmppd import Xmppd
from bench.tables import figure, table

#: A sample stops the server for a moment.
RATE = 200


@contextlib.contextmanager
def prepared(case: Case, name: str, seconds: float) -> Iterator[tuple[Campaign, Server]]:
    """A server that has what the case needs; it does not run."""
    with tempfile.TemporaryDirectory(prefix="xmppd-profile-") as folder:
        campaign = Campaign(Path(folder), Conditions(seconds=seconds), lambda line: None)
        server = SERVERS[name](Path(folder))
        campaign.fill(server, [case])
        try:
            yield campaign, server
        finally:
            server.stop()


def sample(server: Server, core: int | None, seconds: float, output: Path, lines: bool) -> dict[int, float]:
    """Sample a server; returns the CPU seconds that each of its threads used meanwhile.

    :raises ServerError: py-spy is not there, or may not.
    """
    pin = [] if core is None else ["taskset", "--cpu-list", str(core)]
    options = ["--format", "raw", "--threads", *([] if lines else ["--function"])]
    timing = ["--rate", str(RATE), "--duration", str(max(1, int(seconds)))]
    spy = [*pin, str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(server.pid)]
    before = thread_seconds(server.pid)
    done = subprocess.run(
        [*spy, *options, *timing, "--output", str(output)], capture_output=True, text=True, check=False
    )
    after = thread_seconds(server.pid)
    if done.returncode:
        raise ServerError(
            f"py-spy (pip install py-spy) failed: {(done.stderr or done.stdout).strip()[-500:]}"
        )
    return {thread: cpu - before.get(thread, 0.0) for thread, cpu in after.items()}


def by_samples(case: Case, options: argparse.Namespace) -> str:
    """The table of a sampled run."""
    with prepared(case, options.server, options.seconds + 2) as (campaign, server):
        server.start(campaign.core)
        output = server.root / "samples.txt"
        command = [sys.executable, "-m", "bench.load", *campaign.arguments(server, case.load)]
        generator = subprocess.Popen(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with generator:
            assert generator.stdout
            assert generator.stderr
            while MEASURING not in (line := generator.stderr.readline()):
                if not line:
                    raise ServerError(f"{case.name} failed")
            cores = campaign.conditions.cores
            began = time.monotonic()
            cpu = sample(server, cores[1] if cores else None, options.seconds, output, options.lines)
            seconds = time.monotonic() - began
            result = json.load(generator.stdout)
        units = result["rate"] * seconds
        spent = share_out(read_samples(output.read_text().splitlines()), cpu, units)
    return sampled_table(result["unit"], spent, cpu, units, options.top)


def sampled_table(unit: str, spent: list[Spent], cpu: dict[int, float], units: float, top: int) -> str:
    """The functions with the most time of their own."""
    names = dict.fromkeys(one.thread for one in spent)
    sums = {name: sum(one.own for one in spent if one.thread == name) for name in names}
    parts = ", ".join(f"{figure(own)} in {name}" for name, own in sums.items())
    rows = [[one.function, one.thread, figure(one.own), figure(one.whole)] for one in spent[:top]]
    said = f"{figure(sum(cpu.values()) / units * 1e6)} µs of CPU a {unit}: {parts}."
    return (
        said + "\n\n" + table(["function", "thread", "own µs", "with callees µs"], rows, numbers=range(2, 4))
    )


def by_calls(case: Case, options: argparse.Namespace) -> str:
    """The table of a run under cProfile."""
    with prepared(case, OURS, options.seconds) as (campaign, server):
        assert isinstance(server, Xmppd)
        output = server.root / "calls.profile"
        server.extra = ["--profile", str(output)]
        server.start(campaign.core)
        result = campaign.load(server, case.load)
        server.stop()
        stats: Any = pstats.Stats(str(output))
    return calls_table(result["unit"], stats.stats, result.get("all_units", result["units"]), options.top)


def shorten(path: str) -> str:
    """The file and its folder."""
    return "/".join(Path(path).parts[-2:])


def calls_table(unit: str, stats: dict[tuple[str, int, str], Any], units: float, top: int) -> str:
    """The functions with the most time of their own, and how often each is called."""
    found = sorted(stats.items(), key=lambda item: -item[1][2])
    rows = [
        [
            f"{name} ({shorten(path)}:{line})",
            *(figure(each / units) for each in (calls, own * 1e6, whole * 1e6)),
        ]
        for (path, line, name), (_, calls, own, whole, _) in found[:top]
    ]
    calls = sum(entry[1] for entry in stats.values()) / units
    said = f"{calls:.0f} calls a {unit} in the reactor's thread, logins among them:"
    return (
        said + "\n\n" + table(["function", "calls", "own µs", "with callees µs"], rows, numbers=range(1, 4))
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.splitlines()[0])
    parser.add_argument("case", help="one of those that python -m bench --help names")
    parser.add_argument("--top", type=int, default=25, help="rows")
    parser.add_argument("--seconds", type=float, default=8, help="length of the look")
    parser.add_argument("--lines", action="store_true", help="by line, not by function")
    parser.add_argument("--calls", action="store_true", help="count calls, with cProfile")
    parser.add_argument("--server", default=OURS, choices=SERVERS, help="another one, for example floor")
    return parser


def main() -> int:
    """Profile; returns an exit code."""
    options = parser().parse_args()
    stop_on_sigterm()
    try:
        case = choose(options.case)[0]
        print(by_calls(case, options) if options.calls else by_samples(case, options))
    except PROBLEMS as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
