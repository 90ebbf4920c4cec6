"""What is measured, and what is aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from fractions import Fraction

__all__ = ["CASES", "OURS", "QUICK", "TARGETS", "Case", "Target", "UnknownCaseError", "choose", "rivals"]

OURS = "xmppd"


@dataclass(frozen=True)
class Case:
    """One row of the tables.

    :ivar load: scenario of bench/load and its options.
    :ivar needs: scenarios that prepare the data it reads.
    :ivar usual: measured unless somebody picks others.
    :ivar repetitions: at most so many, where one says it all.
    """

    name: str
    title: str
    load: str
    needs: tuple[str, ...] = ()
    usual: bool = True
    repetitions: int = 1000


CASES: tuple[Case, ...] = (
    Case("chat", "chat, 50 pairs, one in flight", "chat"),
    Case("chat-20", "chat, 50 pairs, 20 in flight", "chat --window 20"),
    Case("chat-carbons", "chat, two resources each, carbons", "chat --carbons"),
    Case("chat-sm", "chat, stream management, <r/> every 5", "chat --ack-every 5"),
    Case("sm-cost", "chat, with and without it by turns", "turns --seconds 60"),
    Case("archive", "archive of 10,000, pages of 50", "archive", needs=("archives",)),
    Case("neighbour", "neighbour of four syncing clients", "neighbour", needs=("archives",)),
    Case("login", "login over a new TLS connection", "login"),
    Case("presence", "presence, 200 users, 100 contacts", "presence", needs=("rosters",)),
    Case("ping", "ping, 50 clients", "ping"),
    Case("memory", "memory, 1,000 clients at rest", "memory --clients 1000", repetitions=1),
    Case("memory-5000", "memory, 5,000 clients at rest", "memory --clients 5000", usual=False, repetitions=1),
    Case(
        "hibernated",
        "memory, 10,000 sessions that wait",
        "hibernated --clients 10000",
        usual=False,
        repetitions=1,
    ),
    Case("muc", "group chat, 50 occupants, one sender", "muc", usual=False),
    Case("muc-5", "group chat, 50 occupants, 5 senders", "muc --senders 5", usual=False),
    Case("flood", "5,000 messages at once", "flood --seconds 20", usual=False),
    Case("flood-deaf", "50,000 at once, not read", "flood --burst 50000 --seconds 20 --deaf", usual=False),
)

#: Enough to see that everything works; the last option of a name counts.
QUICK = (
    "--seconds 1 --warmup 0.3 --pairs 5 --archive 200 --members 10 --contacts 4 --clients 30 --settle 0.5 "
    "--concurrency 4 --login-users 8 --occupants 5 --burst 200 --online 10 --rate 20 --every 0.5"
)


@dataclass(frozen=True)
class Target:
    """How one of our figures is to compare with another.

    :ivar case: name of the row.
    :ivar field: which figure of the result; a dot leads into a part of it.
    :ivar against: name of the other server; `OURS` where another figure of our own is meant.
    :ivar other_field: that other figure, else the same.
    :ivar comparison: what to call the other figure, where it is our own.
    :ivar at_most: ours divided by the other.
    """

    case: str
    against: str
    at_most: Fraction
    field: str = "server_cpu_us"
    other_field: str = ""
    comparison: str = ""


TARGETS: tuple[Target, ...] = (
    Target("chat", "prosody", Fraction(1, 15)),
    Target("chat", "ejabberd-noarchive", Fraction(1)),
    Target("chat-20", "ejabberd-noarchive", Fraction(3, 4)),
    Target("chat-carbons", "ejabberd-noarchive", Fraction(1)),
    Target("chat-sm", "ejabberd-noarchive", Fraction(3, 4)),
    Target("sm-cost", OURS, Fraction(115, 100), other_field="plain_cpu_us", comparison="itself without it"),
    Target("archive", "ejabberd", Fraction(1, 5)),
    Target(
        "neighbour",
        OURS,
        Fraction(2),
        "latency_ms.p99",
        other_field="quiet_ms.p99",
        comparison="itself without them",
    ),
    Target("login", "ejabberd", Fraction(1)),
    Target("presence", "ejabberd", Fraction(3, 4)),
    Target("ping", "ejabberd", Fraction(3, 4)),
    Target("memory", "prosody", Fraction(1), "kib_per_client"),
    Target("memory-5000", "prosody", Fraction(1), "kib_per_client"),
)


class UnknownCaseError(Exception):
    """Nothing is called like that."""


def choose(only: str = "", among: Iterable[Case] = CASES) -> Sequence[Case]:
    """The cases that a comma separated list of names picks, with ``*`` for any letters; else the usual ones.

    :raises UnknownCaseError: a name picks nothing.
    """
    cases = tuple(among)
    patterns = [name for name in only.replace(" ", "").split(",") if name]
    if not patterns:
        return [case for case in cases if case.usual]
    for pattern in patterns:
        if not any(fnmatch(case.name, pattern) for case in cases):
            raise UnknownCaseError(f"{pattern}: there are {', '.join(case.name for case in cases)}")
    return [case for case in cases if any(fnmatch(case.name, pattern) for pattern in patterns)]


def rivals(case: Case) -> list[str]:
    """The servers that a case is measured against, ours first."""
    names = [OURS] + [target.against for target in TARGETS if target.case == case.name]
    return list(dict.fromkeys(names))
