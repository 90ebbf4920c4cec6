"""Pairs of users in conversation."""

from __future__ import annotations

from bench.load.client import Client
from bench.load.flow import BODY_END, Flow
from bench.load.meter import Latencies
from bench.load.registry import Result, scenario
from bench.load.run import Run
from bench.load.sinks import Counter, nothing

__all__ = ["chat"]


class Pairs:
    """Accounts 2n write to accounts 2n+1; with carbons each has a second resource that listens.

    :param first: the first account, an even number.
    :param ack_every: see `Options.ack_every`; None for what that says.
    """

    def __init__(self, run: Run, first: int = 0, ack_every: int | None = None) -> None:
        self.run, self.options, self.first = run, run.options, first
        self.ack_every = run.options.ack_every if ack_every is None else ack_every
        self.latencies = Latencies()
        self.flows: list[Flow] = []
        self.copies = 0

    @property
    def delivered(self) -> int:
        return sum(flow.delivered for flow in self.flows)

    @property
    def flying(self) -> int:
        return sum(len(flow.flying) for flow in self.flows)

    async def login(self) -> None:
        options = self.options
        resources = ("r1", "r2") if options.carbons else ("r1",)
        indices = range(self.first, self.first + 2 * options.pairs)
        specs = [(index, resource) for index in indices for resource in resources]
        clients = await self.run.login_many(specs, smacks=bool(self.ack_every), carbons=options.carbons)
        by_spec = dict(zip(specs, clients, strict=True))
        for client in clients:
            client.count(Counter(BODY_END, self._on_copy, self.run.on_error))
        for index in indices[::2]:
            self._pair(by_spec[index, "r1"], by_spec[index + 1, "r1"])

    def _pair(self, sender: Client, receiver: Client) -> None:
        options = self.options
        flow = Flow(self.run, sender, receiver.jid, self.latencies, options.window, self.ack_every)
        receiver.count(Counter(BODY_END, flow.on_delivery, self.run.on_error))
        self.flows.append(flow)

    def _on_copy(self, count: int) -> None:
        self.copies += count

    def start(self) -> None:
        """Send the first messages."""
        for flow in self.flows:
            flow.active = True
            flow.start()

    async def stop(self) -> int:
        """Send no more; returns how many never arrived."""
        for flow in self.flows:
            flow.active = False
        return await self.run.drain(lambda: self.flying)

    def notes(self, lost: int) -> dict[str, float]:
        notes: dict[str, float] = {"pairs": self.options.pairs, "window": self.options.window}
        if lost:
            notes["undelivered"] = lost
        if self.options.carbons:
            notes["copies_a_message"] = round((self.copies + self.delivered) / max(1, self.delivered), 2)
        if self.ack_every:
            notes["acks"] = sum(flow.sender.smacks.acks for flow in self.flows if flow.sender.smacks)
        return notes


async def rest(run: Run, number: int) -> None:
    """Log in others, who then do nothing: the accounts behind those of the pairs."""
    first = 2 * run.options.pairs
    for client in await run.login_many([(first + index, "rest") for index in range(number)]):
        client.sink = nothing


@scenario("chat")
async def chat(run: Run) -> Result:
    """Pairs, each with --window messages in flight (unit: message)."""
    pairs = Pairs(run)
    await rest(run, run.options.online)
    await pairs.login()
    pairs.start()
    meter, units = await run.window(pairs.latencies, lambda: pairs.delivered)
    latency = pairs.latencies.report()
    lost = await pairs.stop()
    return {**meter.report(units, "message"), "latency_ms": latency, "notes": pairs.notes(lost)}
