"""Everything at once, for long: whether a server grows slower or larger while it runs."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.load.archive_reader import fill_archive, owners, pages
from bench.load.flow import BODY_END, Pace
from bench.load.meter import Latencies, Meter
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.scenarios.login import Doors
from bench.load.sinks import Counter, nothing

__all__ = ["mixed"]

#: Seconds from one login, page of an archive, and change of presence to the next.
LOGIN, PAGE, PRESENCE = 0.2, 0.05, 0.1


class Mixture:
    """Paced pairs, and beside them logins, pages of an archive and changes of presence.

    :ivar delivered: messages that have arrived.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.latencies = Latencies()
        self.delivered = 0
        self._doors = Doors(run)
        self._paces: list[Pace] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Log in and start."""
        run, pairs = self.run, self.run.options.pairs
        await fill_archive(run)
        clients = await run.login_many([(index, "mixed") for index in range(2 * pairs)])
        for left, right in zip(clients[::2], clients[1::2], strict=True):
            self._pair(left, right)
        self._reader = await run.login(owners(run)[0], "reader", presence=False)
        self._pages = self._endless_pages()
        self._changes = itertools.cycle(clients)
        self._turns = itertools.count()
        self._start(PAGE, self._page)
        self._start(LOGIN, self._login)
        self._start(PRESENCE, self._change)

    def _pair(self, sender: Any, receiver: Any) -> None:
        pace = Pace(self.run, sender, receiver.jid, self.run.options.rate, self.latencies)

        def arrived(count: int) -> None:
            self.delivered += count
            pace.on_delivery(count)

        sender.count(Counter(BODY_END, nothing, self.run.on_error))
        receiver.count(Counter(BODY_END, arrived, self.run.on_error))
        self._paces.append(pace)

    def _start(self, period: float, deed: Callable[[], Awaitable[None]]) -> None:
        async def again_and_again() -> None:
            due = time.perf_counter()
            while True:
                await deed()
                due += period
                await asyncio.sleep(max(0.0, due - time.perf_counter()))

        self._tasks.append(asyncio.create_task(again_and_again()))

    async def _endless_pages(self) -> Any:
        while True:
            async for count, _ in pages(self._reader, self.run.options.page):
                yield count

    async def _page(self) -> None:
        await anext(self._pages)

    async def _login(self) -> None:
        turn = next(self._turns)
        first = 2 * self.run.options.pairs
        await self._doors.login(first + turn % self.run.options.login_users, f"l{turn}")

    async def _change(self) -> None:
        status = f"<presence><status>change {self.delivered}</status></presence>"
        next(self._changes).send(status.encode())

    async def talk(self, seconds: float) -> None:
        """Have the pairs talk for so long.

        :raises XmppError: something beside them failed.
        """
        async with asyncio.TaskGroup() as talks:
            for pace in self._paces:
                talks.create_task(pace.talk(seconds))
        for task in self._tasks:
            if task.done():
                task.result()

    async def end(self) -> None:
        """Stop what runs beside."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reader.sink = nothing


@scenario("mixed")
async def mixed(run: Run) -> Result:
    """Paced pairs, logins, an archive reader and presence; a look every --every seconds (unit: message)."""
    mixture, looks = Mixture(run), []
    await mixture.begin()
    await mixture.talk(run.options.warmup)
    whole, before = run.measure(), mixture.delivered
    while (passed := time.perf_counter() - whole.began) < run.options.seconds:
        mixture.latencies.clear()
        meter, start = Meter(run.options.pids), mixture.delivered
        meter.start()
        await mixture.talk(min(run.options.every, run.options.seconds - passed + 0.1))
        meter.stop()
        looks.append({**_look(run, meter, mixture, start), "at": round(time.perf_counter() - whole.began)})
    whole.stop()
    await mixture.end()
    return {**whole.report(mixture.delivered - before, "message"), "looks": looks}


def _look(run: Run, meter: Meter, mixture: Mixture, start: int) -> dict[str, Any]:
    report = meter.report(mixture.delivered - start, "message")
    names = ("server_cpu_us", "rate", "server_busy", "others_busy")
    return {**{name: report[name] for name in names}, "rss_kib": run.rss(), **mixture.latencies.report()}
