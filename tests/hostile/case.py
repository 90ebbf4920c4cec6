"""What a case is, and how it is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

from tests.hostile.wire import Connection, Refused, Target


class Stage(Enum):
    """How far the connection is when the case begins."""

    CONNECTED = auto()
    OPEN = auto()
    TLS = auto()
    SECURE = auto()
    AUTHENTICATED = auto()
    BOUND = auto()


#: Plays the case; what it returns is the outcome, else the next thing that the server says.
Play = Callable[[Connection], str | None]


@dataclass(frozen=True)
class Case:
    """One attack.

    :ivar group: its class.
    :ivar expected: the outcomes that are right.
    :ivar slow: whether it takes longer than a few seconds.
    :ivar alone: whether it disturbs others that are played at the same time.
    """

    group: str
    name: str
    stage: Stage
    expected: tuple[str, ...]
    play: Play
    slow: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came out of a case."""

    case: Case
    outcome: str

    @property
    def passed(self) -> bool:
        """Whether it is what was expected."""
        return self.outcome in self.case.expected


class Group:
    """The cases of one class of failures."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: list[Case] = []

    def case(
        self, stage: Stage, *expected: str, slow: bool = False, alone: bool = False
    ) -> Callable[[Play], Play]:
        """Make a case of a function; its name says what it does."""

        def add(play: Play) -> Play:
            name = play.__name__.replace("_", " ").strip()
            self.cases.append(Case(self.name, name, stage, expected, play, slow, alone))
            return play

        return add

    def named(self, name: str, stage: Stage, *expected: str) -> Callable[[Play], Play]:
        """Make a case of a function, with a name of its own."""

        def add(play: Play) -> Play:
            self.cases.append(Case(self.name, name, stage, expected, play))
            return play

        return add

    def sends(self, stage: Stage, name: str, data: str | bytes, *expected: str) -> None:
        """Add a case that only sends bytes."""
        self.cases.append(Case(self.name, name, stage, expected, lambda peer: peer.send(data)))


def advance(peer: Connection, stage: Stage) -> None:
    """Come as far as a case needs."""
    if stage is Stage.OPEN:
        peer.open()
    elif stage is Stage.TLS:
        peer.start_tls()
    elif stage is Stage.SECURE:
        peer.start_tls()
        peer.open()
    elif stage is not Stage.CONNECTED:
        account = peer.accounts()[0]
        if stage is Stage.BOUND:
            peer.log_in(account)
        else:
            peer.start_tls()
            peer.open()
            peer.authenticate(account)


def run(case: Case, target: Target) -> Verdict:
    """Play a case, and see whether the server still serves others."""
    try:
        with Connection(target) as peer:
            advance(peer, case.stage)
            outcome = case.play(peer) or peer.outcome()
    except (Refused, OSError) as problem:
        return Verdict(case, f"could not begin: {problem}")
    return Verdict(case, outcome if serves(target) else f"{outcome}, and then the server was gone")


def serves(target: Target) -> bool:
    """Whether a new client is served, at once or when the server has noticed that others are gone."""
    for _ in range(20):
        with suppress(OSError, Refused), Connection(target) as peer:
            return bool(peer.open())
        time.sleep(0.25)
    return False
