"""Fuzz one target, guided by coverage: ``python -m fuzz TARGET [--seconds N]``.

New inputs that reach new code are kept in ``fuzz/found/TARGET``; one that breaks something is written there
as ``crash-...`` and the exit code is not 0.  To see it again: ``python -m fuzz TARGET --input FILE``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["xmppd", "fuzz.targets"]):
    from fuzz.targets import TARGETS

HERE = Path(__file__).parent


def main() -> None:
    """Run until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--input", type=Path, help="only this input")
    given = parser.parse_args()
    target = TARGETS[given.target]
    if given.input is not None:
        target(given.input.read_bytes())
        return
    found = HERE / "found" / given.target
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={given.seconds}", "-max_len=4096", f"-artifact_prefix={found}/"]
    options += ["-print_final_stats=1", f"-dict={HERE / 'words.dict'}"]
    atheris.Setup([sys.argv[0], *options, str(found), str(HERE / "corpus" / given.target)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
