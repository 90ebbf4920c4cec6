"""Servers and cases in turn: who runs when, on which core, and what is written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load.ring import ring
from bench.plan import QUICK, Case
from bench.servers import SERVERS
from bench.servers.base import DOMAIN, Population, Server

__all__ = ["Campaign", "Conditions", "LoadError", "Record"]

#: What a scenario returned, with the names of case and server, the server's version and the repetition.
Record = dict[str, Any]

#: Seconds that a scenario may take beside those that it measures.
_PATIENCE = 1800.0
CHECKOUT = Path(__file__).resolve().parent.parent


class LoadError(Exception):
    """A scenario failed."""


@dataclass(frozen=True)
class Conditions:
    """How everything is measured.

    :ivar users: accounts on each server.
    :ivar members: those with rosters, of so many `contacts`.
    :ivar quick: only see that it works.
    :ivar pinned: server and generator on a core of their own.
    """

    seconds: float = 6.0
    repetitions: int = 3
    users: int = 1202
    members: int = 200
    contacts: int = 100
    quick: bool = False
    pinned: bool = True

    @classmethod
    def short(cls) -> Conditions:
        """As few as the quick form gets along with."""
        return cls(seconds=1, repetitions=1, users=60, members=10, contacts=4, quick=True)

    @property
    def cores(self) -> tuple[int, int] | None:
        """The server's core and the generator's, where there are two."""
        cores = sorted(os.sched_getaffinity(0))
        return (cores[0], cores[1]) if self.pinned and len(cores) > 1 else None

    def population(self, *, rosters: bool) -> Population:
        """Who has an account."""
        contacts = ring(self.users, self.members, self.contacts) if rosters else {}
        return Population(
            self.users,
            {
                f"user{each}": [f"user{other}@{DOMAIN}" for other in others]
                for each, others in contacts.items()
            },
        )


class Campaign:
    """Measures cases on servers, alternately.

    Each measurement gets a process that was just started, with the data of the ones before: a process with
    garbage collection grows slower with its heap.

    :param folder: where the servers keep their data.
    :param say: gets a line about what happens.
    """

    def __init__(self, folder: Path, conditions: Conditions, say: Callable[[str], None]) -> None:
        self.folder, self.conditions, self.say = folder, conditions, say
        self.servers: dict[str, Server] = {}

    def run(self, plan: Mapping[Case, Sequence[str]], record: Callable[[Record], None]) -> list[str]:
        """Measure, for each case, these servers in turn; then all of it again.

        :param record: gets each result.
        :returns: what failed, a line each.
        :raises ServerError: a server does not start at all.
        """
        names = dict.fromkeys(name for chosen in plan.values() for name in chosen)
        self.servers = {name: SERVERS[name](self.folder) for name in names}
        failures = []
        try:
            self._prepare(plan)
            for repetition in range(self.conditions.repetitions):
                for case, server in self._turns(plan, repetition):
                    try:
                        record(self._measure(case, server, repetition))
                    except LoadError as error:
                        failures.append(f"{server.name}, {case.name}: {error}")
                        self.say(failures[-1])
        finally:
            for server in self.servers.values():
                server.stop()
        return failures

    def _turns(self, plan: Mapping[Case, Sequence[str]], repetition: int) -> Iterator[tuple[Case, Server]]:
        for case, names in plan.items():
            if repetition < case.repetitions:
                yield from ((case, self.servers[name]) for name in names)

    @property
    def core(self) -> int | None:
        """The core for servers, or None for any."""
        return self.conditions.cores[0] if self.conditions.cores else None

    # -- before

    def _prepare(self, plan: Mapping[Case, Sequence[str]]) -> None:
        """All servers at a time: accounts, rosters, archives."""
        needs = {name: [case for case, chosen in plan.items() if name in chosen] for name in self.servers}
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(lambda server: self.fill(server, needs[server.name]), self.servers.values()):
                pass

    def fill(self, server: Server, cases: Sequence[Case]) -> None:
        """Begin a server anew, with what these cases need; it does not run afterwards.

        :raises LoadError: that failed.
        """
        needs = dict.fromkeys(need for case in cases for need in case.needs)
        server.reset(self.conditions.population(rosters="rosters" in needs))
        steps = [*(["accounts"] if server.registers else []), *needs]
        if not steps:
            return
        with self._running(server, None):
            for step in steps:
                self.load(server, step)

    @contextmanager
    def _running(self, server: Server, core: int | None, *, stay: bool = False) -> Iterator[None]:
        """A running server, which is stopped again unless it is to stay."""
        if server.process is None:
            server.start(core)
        try:
            yield
        finally:
            if not stay:
                server.stop()

    # -- measurements

    def _measure(self, case: Case, server: Server, repetition: int) -> Record:
        self.say(f"{case.title}: {server.name}")
        with self._running(server, self.core, stay=self.conditions.quick):
            result = self.load(server, case.load)
        return {
            "case": case.name,
            "server": server.name,
            "version": server.version(),
            "repetition": repetition,
            **result,
        }

    def load(self, server: Server, scenario: str) -> dict[str, Any]:
        """Run the generator on a running server.

        :raises LoadError: it failed.
        """
        command = [sys.executable, "-m", "bench.load", *self.arguments(server, scenario)]
        patience = _PATIENCE + self.conditions.seconds
        try:
            done = subprocess.run(
                command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=patience
            )
        except subprocess.CalledProcessError as error:
            raise LoadError(error.stderr.strip().splitlines()[-1]) from None
        except subprocess.TimeoutExpired:
            raise LoadError(f"{scenario} does not end") from None
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def arguments(self, server: Server, scenario: str) -> list[str]:
        """The generator's command line."""
        conditions = self.conditions
        values = {
            "port": server.port,
            "mechanism": server.mechanism,
            "server-pids": server.pid,
            "user-count": conditions.users,
            "members": conditions.members,
            "contacts": conditions.contacts,
        }
        if conditions.cores:
            values["cpu"] = conditions.cores[1]
        if "--seconds" not in scenario:
            values["seconds"] = conditions.seconds
        words = [*scenario.split(), *(QUICK.split() if conditions.quick else [])]
        return words + [word for name, value in values.items() for word in (f"--{name}", str(value))]
