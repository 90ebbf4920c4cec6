"""Run the tests with trial and say at the end, as the last line, ``N passed, N failed``.

    python tests/run.py [--jobs N] [name ...]

Names are modules, classes or methods below ``tests``, which is the default. A test that was skipped or
is expected to fail counts as failed: what does not run proves nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET = 300  # seconds without output after which the run is taken for stuck
SUMMARY = re.compile(rb"^(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)
COUNT = re.compile(rb"(\w+)=(\d+)")


def run_trial(names: list[str], jobs: int) -> tuple[int, bytes]:
    """Run trial, showing what it writes; returns its exit code and the end of its output."""
    command = [sys.executable, "-X", "faulthandler", "-m", "twisted.trial", "--reporter=text"]
    command += [f"--jobs={jobs}"] if jobs > 1 else []
    with subprocess.Popen(
        [*command, *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as trial:
        try:
            tail = show(trial)
        except TimeoutError:
            tell_where_it_stands(trial)
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(trial.pid, signal.SIGKILL)  # workers and servers too
    return trial.returncode, tail


def show(trial: subprocess.Popen[bytes], patience: float = QUIET) -> bytes:
    """Pass on what trial writes, until it ends; returns the end of it. TimeoutError when nothing comes."""
    assert trial.stdout is not None
    tail = b""
    while select.select([trial.stdout], [], [], patience)[0]:
        if not (chunk := os.read(trial.stdout.fileno(), 65536)):
            return tail
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        tail = (tail + chunk)[-10000:]
    raise TimeoutError(f"no test has ended for {patience} seconds")


def tell_where_it_stands(trial: subprocess.Popen[bytes]) -> None:
    """Have the workers write their tracebacks, and show those."""
    children = Path(f"/proc/{trial.pid}/task/{trial.pid}/children").read_text().split()
    workers = [pid for pid in children if b"workertrial" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in workers or [trial.pid]:
        os.kill(int(pid), signal.SIGABRT)
    with suppress(TimeoutError):
        show(trial, patience=5)
    for log in sorted(ROOT.glob("_trial_temp/*/err.log")):
        print(f"\n{log}\n{log.read_text(errors='replace')[-5000:]}")


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
    try:
        code, tail = run_trial(arguments.name, arguments.jobs)
    except TimeoutError as error:
        print(f"\n{error}\n0 passed, 1 failed")
        return 1
    passed, failed = count(tail)
    if passed + failed == 0 or (code != 0 and failed == 0):
        print(f"trial ran {passed} tests and ended with exit code {code}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
