"""A client that sends much at once, perhaps to one that does not read."""

from __future__ import annotations

import asyncio
from functools import partial

from bench.load.client import Client
from bench.load.flow import BODY_END, Pace, message_template
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.sinks import Counter, nothing

__all__ = ["flood"]


class Burst:
    """Messages from one client to another, all in one write. To lose them is a result, not a failure."""

    def __init__(self, run: Run, sender: Client, receiver: Client) -> None:
        self.run, self.sender, self.receiver = run, sender, receiver
        self.delivered = 0
        self.lost: list[str] = []
        self.peak = self.before = run.rss()
        for client in (sender, receiver):
            client.on_loss = partial(self.lost.append, client.jid)
        sender.count(nothing)
        receiver.count(Counter(BODY_END, self._on_copy))
        if run.options.deaf and receiver.transport:
            receiver.transport.pause_reading()

    def _on_copy(self, count: int) -> None:
        self.delivered += count

    async def send(self) -> None:
        """Send all, and watch for the measured seconds, or until all has arrived."""
        size = self.run.options.burst
        template = message_template(self.receiver.jid, self.run.stamp)
        self.sender.send(b"".join(template % (number, number) for number in range(size)))
        for _ in range(int(self.run.options.seconds / 0.1)):
            await self.run.sleep(0.1)
            self.peak = max(self.peak, self.run.rss())
            if self.delivered >= size:
                break


@scenario("flood")
async def flood(run: Run) -> Result:
    """--burst messages at once; --deaf: the receiver does not read (unit: message; latency: a paced pair)."""
    options = run.options
    sender, receiver, left, right = await run.login_many([(index, "flood") for index in range(4)])
    burst, pace = Burst(run, sender, receiver), Pace(run, left, right.jid, options.rate)
    left.count(Counter(BODY_END, nothing, run.on_error))
    right.count(Counter(BODY_END, pace.on_delivery, run.on_error))
    meter = run.measure()
    talk = asyncio.create_task(pace.talk(options.seconds))
    await burst.send()
    meter.stop()
    await talk
    notes = {"burst": options.burst, "delivered": burst.delivered, "lost": burst.lost}
    notes |= {"kib_before": burst.before, "kib_peak": burst.peak}
    units = burst.delivered or options.burst
    return {**meter.report(units, "message"), "latency_ms": pace.latencies.report(), "notes": notes}
