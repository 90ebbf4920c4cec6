"""What a scenario gets: its options, the server, and what all scenarios do."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable

from bench.load.client import Client
from bench.load.meter import Latencies, Meter, descendants, rss_kib
from bench.load.options import Options
from bench.load.target import Target

__all__ = ["CARBONS", "LOGINS_AT_A_TIME", "MEASURING", "PING", "PRESENCE", "ROSTER", "Run"]

PRESENCE = b"<presence><show>chat</show></presence>"
ROSTER = "<query xmlns='jabber:iq:roster'/>"
PING = "<ping xmlns='urn:xmpp:ping'/>"
CARBONS = "<enable xmlns='urn:xmpp:carbons:2'/>"
LOGINS_AT_A_TIME = 20
#: The line on standard error with which a measurement begins.
MEASURING = "measuring"


class Run:
    """One run of one scenario.

    :ivar stamp: makes the ids of stanzas unique over runs.
    :ivar done: tells the units of work done since the start, where `window` knows.
    :ivar errors: error stanzas that came; `error_sample` is the first.
    """

    def __init__(self, target: Target, options: Options) -> None:
        self.target, self.options = target, options
        self.stamp = f"{time.time_ns() // 1_000_000:x}"
        self.clients: list[Client] = []
        self.errors = 0
        self.error_sample = ""
        self.done: Callable[[], int] | None = None

    def on_error(self, data: bytes) -> None:
        """The server sent an error stanza."""
        self.errors += 1
        self.error_sample = self.error_sample or data[:400].decode(errors="replace")

    def measure(self) -> Meter:
        """Begin to measure, and say so, for whoever wants to look at the server meanwhile."""
        print(MEASURING, file=sys.stderr, flush=True)
        meter = Meter(self.options.pids)
        meter.start()
        return meter

    def rss(self) -> int:
        """The server's memory in KiB."""
        return rss_kib(descendants(self.options.pids))

    async def login(
        self,
        index: int,
        resource: str = "bench",
        *,
        smacks: bool = False,
        presence: bool = True,
        carbons: bool = False,
    ) -> Client:
        """Log in as a usual client does; it has no sink yet, unless there is stream management."""
        client = Client(self.target, index, resource)
        self.clients.append(client)
        await client.login()
        await client.iq(ROSTER, "roster")
        if carbons:
            await client.iq(CARBONS, "carbons", kind="set")
        if presence:
            # With the answer to the ping our own presence and what waited for us has come.
            client.send(PRESENCE)
            await client.iq(PING, "flush", self.target.domain)
        if smacks:
            await client.enable_smacks()
        return client

    async def login_many(
        self,
        specs: Iterable[tuple[int, str]],
        *,
        smacks: bool = False,
        presence: bool = True,
        carbons: bool = False,
    ) -> list[Client]:
        """Log in accounts, each with a resource, a few at a time; the clients in the same order."""
        gate = asyncio.Semaphore(LOGINS_AT_A_TIME)

        async def one(index: int, resource: str) -> Client:
            async with gate:
                return await self.login(index, resource, smacks=smacks, presence=presence, carbons=carbons)

        return await asyncio.gather(*(one(*spec) for spec in specs))

    async def sleep(self, seconds: float) -> None:
        """Sleep, but fail at once when a connection is lost."""
        await asyncio.wait([self.target.failure], timeout=seconds)
        if self.target.failure.done():
            self.target.failure.result()

    async def window(self, latencies: Latencies, done: Callable[[], int]) -> tuple[Meter, int]:
        """Let the load run warm, then measure.

        :param done: the units of work done so far.
        :returns: the meter, and the units of the window.
        """
        self.done = done
        await self.sleep(self.options.warmup)
        latencies.clear()
        before = done()
        meter = self.measure()
        await self.sleep(self.options.seconds)
        meter.stop()
        return meter, done() - before

    async def drain(self, pending: Callable[[], int], patience: float = 20.0) -> int:
        """Wait until nothing is pending; returns what still is when the patience ends."""
        deadline = time.monotonic() + patience
        while pending() and time.monotonic() < deadline:
            await self.sleep(0.02)
        return pending()

    async def close(self) -> None:
        """Close all streams."""
        for client in self.clients:
            client.close()
        await asyncio.sleep(0.3)
