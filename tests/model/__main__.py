"""Hold the server against its promises for long: ``python -m tests.model --steps 1000000``.

Each process has its own random numbers; what a failure prints (the seed, and the shortest way to it that was
found) is enough to have it again.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys

from tests.model.machine import Machine, done, prepare
from tests.support import rounds


def run(first: int, steps: int) -> int:
    """Run until so many steps are done, or a promise is broken; the exit code says which."""
    prepare(setattr)
    return rounds.run(
        Machine, first, examples=100, length=150, enough=lambda _: done["steps"] >= steps, done=summary
    )


def summary() -> str:
    """What was done so far, in words."""
    told = ", ".join(f"{number} {name}" for name, number in sorted(done.items()) if name != "steps")
    return f"{done['steps']} steps: {told}"


def main() -> int:
    """Run from the command line; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    if given.jobs == 1:
        return run(given.seed, given.steps)
    share = ["--steps", str(-(-given.steps // given.jobs)), "--jobs", "1"]
    command = [sys.executable, "-m", "tests.model", *share, "--seed"]
    jobs = [subprocess.Popen([*command, str(given.seed + n * 1_000_000)]) for n in range(given.jobs)]
    try:
        codes = [job.wait() for job in jobs]
    finally:
        for job in jobs:
            job.terminate()
    print("every promise was kept" if not any(codes) else "FAILED")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
