"""Whether others notice that somebody reads a long archive."""

from __future__ import annotations

import asyncio

from bench.load.archive_reader import fill_archive, owners, pages
from bench.load.client import Client
from bench.load.flow import BODY_END, Pace
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.sinks import Counter, nothing

__all__ = ["neighbour"]


class Readers:
    """Clients that read the archives from end to end, again and again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.results = self.pages = 0
        self.clients: list[Client] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        specs = [
            (owners(self.run)[number % 2], f"sync{number}") for number in range(self.run.options.readers)
        ]
        self.clients = await self.run.login_many(specs, presence=False)
        self.tasks = [asyncio.create_task(self._read(client)) for client in self.clients]

    async def _read(self, client: Client) -> None:
        while True:
            async for count, _ in pages(client, self.run.options.sync_page):
                self.results += count
                self.pages += 1

    async def stop(self) -> None:
        """End the reading.

        :raises XmppError: one of them failed on the way.
        """
        for task in self.tasks:
            task.cancel()
        ends = await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.clients:
            client.sink = nothing
        for end in ends:
            if end is not None and not isinstance(end, asyncio.CancelledError):
                raise end


@scenario("neighbour")
async def neighbour(run: Run) -> Result:
    """A paced pair without and with --readers archive readers (unit: result; latency: of the pair)."""
    options = run.options
    await fill_archive(run)
    left, right = await run.login_many([(0, "pace"), (1, "pace")])
    pace = Pace(run, left, right.jid, options.rate)
    left.count(Counter(BODY_END, nothing, run.on_error))
    right.count(Counter(BODY_END, pace.on_delivery, run.on_error))
    await pace.talk(options.warmup)
    pace.latencies.clear()
    await pace.talk(options.seconds)
    quiet = pace.latencies.report()

    readers = Readers(run)
    await readers.start()
    await run.sleep(options.warmup)
    pace.latencies.clear()
    before, pages_before, meter = readers.results, readers.pages, run.measure()
    await pace.talk(options.seconds)
    meter.stop()
    results, turned = readers.results - before, readers.pages - pages_before
    await readers.stop()
    notes = {"page": round(results / max(1, turned), 1), "rate": options.rate}
    return {
        **meter.report(results, "result"),
        "latency_ms": pace.latencies.report(),
        "quiet_ms": quiet,
        "notes": notes,
    }
