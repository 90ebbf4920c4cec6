"""Use the server for long and watch it: ``python -m tests.endurance.soak --seconds 3600 soak.csv``.

Accounts chat, read their archives, change their presence, log in with a second device, and lose and
resume their connections; in the long form the server restarts gracefully now and then. Each message carries a
number: whoever gets it sees at once whether one is missing, doubled or out of order. What /proc says about
the server goes to a CSV file, with the latencies that the clients see.

Memory grows at first, until the page cache of SQLite's writer is full (some ten minutes of the default load).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO
from xml.etree.ElementTree import Element

from tests.endurance.archive import BODY, page, result_of
from tests.endurance.client import PATIENCE, Client, Failed, Lost, Session
from tests.endurance.process import cpu_seconds, descriptors, resident_kib
from tests.support.server import Server

COLUMNS = (
    "seconds",
    "rss_kib",
    "descriptors",
    "cpu_percent",
    "messages_per_second",
    "chat_p50_ms",
    "chat_p99_ms",
    "archive_p50_ms",
    "archive_p99_ms",
    "cuts",
    "restarts",
)
PAUSE = 0.2  # mean seconds between two deeds of a user
CHOICES = {"chat": 80, "archive": 8, "presence": 6, "login": 3, "cut": 3}


def percentile(values: list[float], share: float) -> float | None:
    """The value below which that share of the values is; None without values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


class Latencies:
    """Seconds of waiting since they were last taken, by kind; messages through a cut do not count."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {"chat": [], "archive": []}
        self._on_their_way: dict[tuple[str, str, int], float] = {}
        self._away: set[str] = set()

    def took(self, kind: str, seconds: float) -> None:
        self._seconds[kind].append(seconds)

    def sent(self, sender: str, receiver: str, number: int) -> None:
        if not self._away & {sender, receiver}:
            self._on_their_way[sender, receiver, number] = time.monotonic()

    def came(self, sender: str, receiver: str, number: int) -> None:
        sent = self._on_their_way.pop((sender, receiver, number), None)
        if sent is not None:
            self.took("chat", time.monotonic() - sent)

    def leaves(self, user: str) -> None:
        """Someone is away: forget what is on its way from and to them, and what will be."""
        self._away.add(user)
        self._on_their_way = {key: at for key, at in self._on_their_way.items() if user not in key[:2]}

    def returns(self, user: str) -> None:
        """Someone is back."""
        self._away.discard(user)

    def take(self) -> dict[str, float | None]:
        """Milliseconds by column; from now on they are collected anew."""
        row = {}
        for kind, values in self._seconds.items():
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                found = percentile(values, share)
                row[f"{kind}_{name}_ms"] = None if found is None else round(found * 1000, 2)
            values.clear()
        return row


class User:
    """One account with a device that is always there, and comes back when its connection is cut.

    :ivar sent: the number of the last message to each other user.
    :ivar received: the number of the last message from each.
    """

    def __init__(self, soak: Soak, number: int) -> None:
        self.soak, self.name = soak, f"user{number}"
        self.jid = f"{self.name}@localhost"
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.session = Session()
        self.client = Client(self.session, self._on_message)

    def _on_message(self, message: Element) -> None:
        body = message.findtext(BODY)
        if result_of(message) is not None or not body:
            return
        sender, _, number = body.partition(" ")
        self.received[sender] += 1
        if int(number) != self.received[sender]:
            raise Failed(f"{self.name} got {body!r} and expected number {self.received[sender]}")
        self.soak.latencies.came(sender, self.name, int(number))

    async def log_in(self) -> None:
        await self.client.connect(self.soak.server, self.name, "secret")
        await self.client.begin("main")
        self.client.send("<presence/>")

    async def befriend(self, other: User) -> None:
        """Subscribe to each other's presence."""
        for one, two in ((self, other), (other, self)):
            one.client.send(f"<presence to='{two.jid}' type='subscribe'/>")
            await one.ping()
            two.client.send(f"<presence to='{one.jid}' type='subscribed'/>")
            await two.ping()

    async def ping(self) -> None:
        await self.client.ask("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")

    # -- what it does

    async def live(self) -> None:
        """Do everything once, then what chance says, until the soak stops; a lost connection ends a deed."""
        chance, kinds = self.soak.chance, list(CHOICES)
        first = chance.sample(kinds, len(kinds))
        while not self.soak.stopping:
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE))
            kind = first.pop() if first else chance.choices(kinds, list(CHOICES.values()))[0]
            try:
                await getattr(self, f"_{kind}")()
            except Lost:
                await self.come_back()
            self.soak.done[kind] += 1

    async def come_back(self) -> None:
        """Resume. Raises Failed when the session is gone, or the server stays away."""
        self.soak.latencies.leaves(self.name)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            await self.client.cut()
            if isinstance(self.client.problem, Failed):
                raise self.client.problem
            self.client = Client(self.session, self._on_message)
            with suppress(Lost):
                await self.client.connect(self.soak.server, self.name, "secret")
                if (failed := await self.client.resume()) is not None:
                    raise Failed(f"{self.name} could not resume: {[child.tag for child in failed]}")
                self.soak.latencies.returns(self.name)
                return
            await asyncio.sleep(0.2)
        raise Failed(f"{self.name} could not come back: {self.client.problem}")

    async def _chat(self) -> None:
        other = self.soak.other(self)
        self.sent[other.name] += 1
        number = self.sent[other.name]
        self.soak.latencies.sent(self.name, other.name, number)
        # The session keeps it from here on: where the connection is lost, it is sent again.
        self.client.chat(other.jid, f"{self.name} {number}")
        if number % 5 == 0:
            self.client.request()

    async def _archive(self) -> None:
        began = time.monotonic()
        await page(self.client, None, last=True)
        self.soak.latencies.took("archive", time.monotonic() - began)

    async def _presence(self) -> None:
        show = self.soak.chance.choice(["", "<show>away</show>", "<show>dnd</show>"])
        self.client.send(f"<presence>{show}</presence>")

    async def _login(self) -> None:
        """A second device looks in; it does not count what it gets."""
        device = Client()
        try:
            await device.connect(self.soak.server, self.name, "secret")
            await device.begin("second")
            await device.ask("get", "<query xmlns='jabber:iq:roster'/>")
            device.send("<presence><priority>-1</priority></presence>")
            await device.ask("get", "<ping xmlns='urn:xmpp:ping'/>", "localhost")
            await device.close()
        except Lost:
            await device.cut()

    async def _cut(self) -> None:
        self.soak.latencies.leaves(self.name)
        await self.client.cut()
        self.soak.cuts += 1
        await asyncio.sleep(self.soak.chance.uniform(0, 1))
        await self.come_back()

    async def settle(self) -> None:
        """Wait until everything that others sent is here."""
        deadline = time.monotonic() + PATIENCE
        while self._missing():
            if time.monotonic() > deadline:
                raise Failed(f"{self.name} never got {self._missing()}")
            try:
                await self.ping()
            except Lost:
                await self.come_back()
            await asyncio.sleep(0.05)

    def _missing(self) -> dict[str, int]:
        others = self.soak.users.values()
        missing = {other.name: other.sent[self.name] - self.received[other.name] for other in others}
        return {name: number for name, number in missing.items() if number}


class Soak:
    """A server of its own and its users.

    :param seconds: how long they are busy.
    :param interval: seconds between two samples.
    :param restart_every: seconds between two graceful restarts; None for none.
    :param report: takes each sample, by column.
    :ivar before: open descriptors before anyone came.
    :ivar after: those when everyone was gone again.
    """

    def __init__(
        self,
        users: int,
        seconds: float,
        interval: float,
        restart_every: float | None,
        report: Callable[[dict[str, Any]], None],
        seed: int = 1,
    ) -> None:
        self.seconds, self.interval, self.restart_every = seconds, interval, restart_every
        self.report, self.chance = report, random.Random(seed)
        self.server, self.latencies = Server(), Latencies()
        self.users = {user.name: user for user in (User(self, number) for number in range(users))}
        self.done: Counter[str] = Counter()
        self.cuts = self.restarts = self.before = self.after = 0
        self.stopping = False

    def other(self, user: User) -> User:
        """Anyone but that user."""
        return self.chance.choice([each for each in self.users.values() if each is not user])

    @property
    def pid(self) -> int:
        """The server's process; 0 while it restarts."""
        return self.server.process.pid if self.server.process is not None else 0

    async def run(self) -> None:
        """Do it all. Raises Failed."""
        await asyncio.to_thread(self._start)
        try:
            self.before = descriptors(self.pid)
            await self._arrive()
            await self._live()
            await asyncio.gather(*(user.settle() for user in self.users.values()))
            await asyncio.gather(*(user.client.close() for user in self.users.values()))
            self.after = await self._descriptors_when_all_are_gone()
        finally:
            await asyncio.gather(*(user.client.cut() for user in self.users.values()))
            await asyncio.to_thread(self.server.stop)

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                for user in self.users.values():
                    tasks.create_task(user.live())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _start(self) -> None:
        configured = self.server.configuration.read_text()
        self.server.configuration.write_text(configured.replace('"debug"', '"info"'))
        self.server.start()
        for user in self.users.values():
            self.server.add_account(user.name, "secret")

    async def _arrive(self) -> None:
        users = list(self.users.values())
        await asyncio.gather(*(user.log_in() for user in users))
        for number, user in enumerate(users):
            for other in users[number + 1 : number + 4]:
                await user.befriend(other)

    async def _watch(self) -> None:
        """Take samples and restart the server, until the time is over."""
        began = restarted = time.monotonic()
        last = self._reading()
        while time.monotonic() - began < self.seconds:
            await asyncio.sleep(self.interval)
            now = self._reading()
            self.report({"seconds": round(now["at"] - began), **self._sample(last, now)})
            last = now
            if self.restart_every is not None and now["at"] - restarted > self.restart_every:
                await self._restart()
                last, restarted = self._reading(), time.monotonic()
        self.stopping = True

    async def _restart(self) -> None:
        await asyncio.to_thread(self.server.restart)
        self.restarts += 1

    def _reading(self) -> dict[str, float]:
        messages = sum(user.received.total() for user in self.users.values())
        return {"at": time.monotonic(), "cpu": cpu_seconds(self.pid), "messages": messages}

    def _sample(self, last: dict[str, float], now: dict[str, float]) -> dict[str, Any]:
        seconds = now["at"] - last["at"]
        return {
            "rss_kib": resident_kib(self.pid),
            "descriptors": descriptors(self.pid),
            "cpu_percent": round((now["cpu"] - last["cpu"]) / seconds * 100, 1),
            "messages_per_second": round((now["messages"] - last["messages"]) / seconds, 1),
            **self.latencies.take(),
            "cuts": self.cuts,
            "restarts": self.restarts,
        }

    async def _descriptors_when_all_are_gone(self) -> int:
        """Give the server some time to close what is left of the connections."""
        deadline = time.monotonic() + PATIENCE
        while (found := descriptors(self.pid)) > self.before and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return found


class Table:
    """Writes samples as CSV, and shows them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer = csv.DictWriter(file, COLUMNS)
        self._writer.writeheader()

    def __call__(self, row: dict[str, Any]) -> None:
        self._writer.writerow(row)
        self._file.flush()


def main() -> int:
    """Run from the command line; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance.soak", description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--interval", type=float, default=10, help="seconds between two samples")
    parser.add_argument("--restart-every", type=float, default=1800, help="seconds between two restarts")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server is stopped, too
    with given.csv.open("w", newline="") as file:
        table = Table(file)

        def report(row: dict[str, Any]) -> None:
            table(row)
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)

        soak = Soak(given.users, given.seconds, given.interval, given.restart_every, report, given.seed)
        asyncio.run(soak.run())
    done = ", ".join(f"{kind} {number}" for kind, number in sorted(soak.done.items()))
    print(f"{done}; {soak.cuts} cuts, {soak.restarts} restarts; descriptors {soak.before} -> {soak.after}")
    return 0 if soak.after <= soak.before else 1


if __name__ == "__main__":
    sys.exit(main())
