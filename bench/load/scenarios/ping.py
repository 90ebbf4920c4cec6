"""The smallest request there is."""

from __future__ import annotations

import time

from bench.load.client import Client
from bench.load.meter import Latencies
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.sinks import Counter

__all__ = ["ping"]


class Pings:
    """One ping in flight on each client."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.latencies = Latencies()
        self.done = 0
        self.active = True

    def start(self, client: Client) -> None:
        request = (
            f"<iq type='get' id='{self.run.stamp}-%d' to='{self.run.target.domain}'>"
            "<ping xmlns='urn:xmpp:ping'/></iq>"
        ).encode()
        sent, number = 0.0, 0

        def ask() -> None:
            nonlocal sent, number
            sent, number = time.perf_counter(), number + 1
            client.send(request % number)

        def on_answer(count: int) -> None:
            self.latencies.add(time.perf_counter() - sent)
            self.done += count
            if self.active:
                ask()

        client.count(Counter(b"<iq ", on_answer, self.run.on_error))
        ask()


@scenario("ping")
async def ping(run: Run) -> Result:
    """XEP-0199, one in flight on each of --pairs clients (unit: ping)."""
    pings = Pings(run)
    for client in await run.login_many([(index, "ping") for index in range(run.options.pairs)]):
        pings.start(client)
    meter, units = await run.window(pings.latencies, lambda: pings.done)
    latency = pings.latencies.report()
    pings.active = False
    await run.sleep(0.3)
    return {**meter.report(units, "ping"), "latency_ms": latency}
