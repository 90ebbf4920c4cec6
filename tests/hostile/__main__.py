"""Attack a server: ``python -m tests.hostile HOST PORT``.

The port is one for STARTTLS.  Without accounts only what strangers can try is tried.  Wrong passwords are
among it: a server that bans addresses may ban this one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.hostile import hoards, logins, strangers, users
from tests.hostile.case import Case, Verdict, run
from tests.hostile.wire import NoAccounts, Target

GROUPS = (*strangers.GROUPS, *logins.GROUPS, *users.GROUPS, *hoards.GROUPS)


def cases(words: list[str], *, slow: bool = False) -> list[Case]:
    """The cases whose class or name has one of these words, all if there are none."""
    found = [case for group in GROUPS for case in group.cases if slow or not case.slow]
    return [case for case in found if not words or any(word in f"{case.group} {case.name}" for word in words)]


def attack(target: Target, chosen: list[Case], jobs: int = 1) -> Iterator[Verdict]:
    """Play the cases, so many at a time; those that need accounts only if there are some."""
    with ThreadPoolExecutor(jobs) as threads:
        together = threads.map(lambda case: play(case, target), [case for case in chosen if not case.alone])
        yield from filter(None, together)
    for case in chosen:
        if case.alone and (verdict := play(case, target)):
            yield verdict


def play(case: Case, target: Target) -> Verdict | None:
    """Play one case, if it can be played."""
    try:
        return run(case, target)
    except NoAccounts:
        return None


def account(text: str) -> tuple[str, str]:
    """An account as the command line has it: name@domain:password."""
    jid, colon, password = text.partition(":")
    if not colon or "@" not in jid:
        raise argparse.ArgumentTypeError("write name@domain:password")
    return jid, password


def main() -> int:
    """Run from the command line; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("word", nargs="*", help="only cases with one of these words")
    parser.add_argument("--domain", help="the domain (default: the host)")
    parser.add_argument("--attacker", type=account, metavar="JID:PASSWORD")
    parser.add_argument("--victim", type=account, metavar="JID:PASSWORD")
    parser.add_argument("--slow", action="store_true", help="also what takes longer than a few seconds")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time (default: 1)")
    given = parser.parse_args()
    target = Target(given.host, given.port, given.domain or given.host, given.attacker, given.victim)
    passed = failed = 0
    for verdict in attack(target, cases(given.word, slow=given.slow), given.jobs):
        passed, failed = passed + verdict.passed, failed + (not verdict.passed)
        print("ok  " if verdict.passed else "FAIL", f"{verdict.case.group}: {verdict.case.name}", end="")
        print(f" -> {verdict.outcome}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
