"""Run the tests with trial and say at the end, as the last line, ``N passed, N failed``.

    python tests/run.py [--jobs N] [name ...]

Names are modules, classes or methods below ``tests``, which is the default. A test that was skipped or
is expected to fail counts as failed: what does not run proves nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = re.compile(rb"^(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)
COUNT = re.compile(rb"(\w+)=(\d+)")


def run_trial(names: list[str], jobs: int) -> tuple[int, bytes]:
    """Run trial, showing what it writes; returns its exit code and the end of its output."""
    command = [sys.executable, "-m", "twisted.trial", "--reporter=text"]
    command += [f"--jobs={jobs}"] if jobs > 1 else []
    tail = b""
    with subprocess.Popen(
        [*command, *names], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as trial:
        assert trial.stdout is not None
        while chunk := os.read(trial.stdout.fileno(), 65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            tail = (tail + chunk)[-10000:]
    return trial.returncode, tail


def count(tail: bytes) -> tuple[int, int]:
    """Read trial's last summary: tests that passed, and those that did anything else."""
    summaries = SUMMARY.findall(tail)
    counts = {name: int(number) for name, number in COUNT.findall(summaries[-1])} if summaries else {}
    passed = counts.pop(b"successes", 0)
    return passed, sum(counts.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("name", nargs="*", default=["tests"])
    arguments = parser.parse_args()
    code, tail = run_trial(arguments.name, arguments.jobs)
    passed, failed = count(tail)
    if passed + failed == 0 or (code != 0 and failed == 0):
        print(f"trial ran {passed} tests and ended with exit code {code}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
