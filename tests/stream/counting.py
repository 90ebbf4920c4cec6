"""Hold the counters of stream management against the wire for long: ``python -m tests.stream.counting``.

What a failure prints (the seed, and the shortest way to it that was found) is enough to have it again.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from tests.stream.test_counting import Counting
from tests.support import rounds

#: How often what was done, by name.
done: Counter[str] = Counter()


class Counted(Counting):
    """Tells how much was tried."""

    def check_invariants(self, *args: object, **keywords: object) -> None:
        """After each step."""
        done["steps"] += 1
        super().check_invariants(*args, **keywords)  # type: ignore[no-untyped-call]


def main() -> int:
    """Run from the command line; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.stream.counting", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    return rounds.run(
        Counted,
        given.seed,
        examples=100,
        length=100,
        enough=lambda seconds: seconds >= given.seconds,
        done=lambda: f"{done['steps']} steps",
    )


if __name__ == "__main__":
    sys.exit(main())
