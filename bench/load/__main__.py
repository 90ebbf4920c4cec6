"""Run one scenario against one running server; the result is one JSON object on standard output.

python -m bench.load chat --window 20 --port 15222 --server-pids 4711
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import bench.load.scenarios  # noqa: F401 (they register themselves)
from bench.load.options import Options, parse
from bench.load.registry import SCENARIOS, Result
from bench.load.run import Run
from bench.load.target import Target, XmppError

#: Without uvloop the generator costs more; the server's figures stay.
loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")


async def load(name: str, options: Options) -> Result:
    """Run a scenario.

    :raises XmppError: it failed.
    """
    target = Target(options.host, options.port, options.domain, options.password, options.mechanism)
    run = Run(target, options)
    try:
        result = await SCENARIOS[name](run)
    finally:
        await run.close()
    if run.done:
        result["all_units"] = run.done()
    if run.errors:
        result |= {"error_stanzas": run.errors, "error_sample": run.error_sample}
    return result


def lift_limits() -> None:
    """As many connections as the system lets us have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> Any:
    """Returns what `sys.exit` takes."""
    name, options = parse()
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    lift_limits()
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        try:
            print(json.dumps(runner.run(load(name, options))))
        except (XmppError, OSError) as error:
            return f"{name} failed: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
