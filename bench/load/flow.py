"""Messages in a closed loop: a delivery causes the next one."""

from __future__ import annotations

import time
from collections import deque

from bench.load.client import Client
from bench.load.meter import Latencies
from bench.load.run import Run

__all__ = ["BODY_END", "Flow", "Pace", "message_template"]

#: Exactly one in each copy of a message: delivered, carbon or archived.
BODY_END = b"</body>"
BODY = "Did you see the mail about Friday? I would rather meet at half past seven at Jo&apos;s."


def message_template(to: str, stamp: str, kind: str = "chat") -> bytes:
    """What a usual client sends, with two ``%d`` for the number in its id."""
    return (
        f"<message to='{to}' type='{kind}' id='{stamp}-%d'><body>{BODY}</body>"
        f"<origin-id xmlns='urn:xmpp:sid:0' id='{stamp}-%d'/>"
        "<markable xmlns='urn:xmpp:chat-markers:0'/><request xmlns='urn:xmpp:receipts'/></message>"
    ).encode()


class Flow:
    """Keeps `window` messages in flight from one client to a bare JID.

    Messages arrive in order, so the times of sending are matched with the deliveries in order.

    :param ack_every: ask for an acknowledgement after so many messages; 0: never.
    :param limit: stop after so many messages; 0: never.
    """

    def __init__(
        self,
        run: Run,
        sender: Client,
        to: str,
        latencies: Latencies,
        window: int,
        ack_every: int = 0,
        limit: int = 0,
    ) -> None:
        self.sender, self.window, self.latencies = sender, window, latencies
        self.ack_every, self.limit = ack_every, limit
        self.template = message_template(to, f"{run.stamp}-{sender.index}")
        self.flying: deque[float] = deque()
        self.sequence = self.delivered = 0
        self.active = True

    def start(self) -> None:
        """Send the first ones."""
        self.send(self.window)

    def send(self, count: int) -> None:
        """Send messages in one write."""
        parts, now = [], time.perf_counter()
        for _ in range(count):
            self.sequence += 1
            parts.append(self.template % (self.sequence, self.sequence))
            if self.ack_every and self.sequence % self.ack_every == 0:
                parts.append(b"<r xmlns='urn:xmpp:sm:3'/>")
            self.flying.append(now)
        self.sender.send(b"".join(parts))

    def on_delivery(self, count: int) -> None:
        """What the receiver's `Counter` calls."""
        now = time.perf_counter()
        count = min(count, len(self.flying))  # there may be strays, from an earlier run
        for _ in range(count):
            self.latencies.add(now - self.flying.popleft())
        self.delivered += count
        if self.limit:
            count = min(count, self.limit - self.sequence)
        if self.active and count > 0:
            self.send(count)


class Pace:
    """Sends messages at a steady rate, whether they arrive or not; times count from when each was due."""

    def __init__(
        self, run: Run, sender: Client, to: str, rate: float, latencies: Latencies | None = None
    ) -> None:
        self.run, self.sender, self.rate = run, sender, rate
        self.template = message_template(to, f"{run.stamp}-pace")
        self.latencies = Latencies() if latencies is None else latencies
        self.flying: deque[float] = deque()
        self.sequence = 0

    async def talk(self, seconds: float) -> None:
        """Send for so long, and wait until all has arrived."""
        start = time.perf_counter()
        for number in range(int(seconds * self.rate)):
            due = start + number / self.rate
            if (delay := due - time.perf_counter()) > 0:
                await self.run.sleep(delay)
            self.sequence += 1
            self.flying.append(due)
            self.sender.send(self.template % (self.sequence, self.sequence))
        await self.run.drain(lambda: len(self.flying), patience=60)

    def on_delivery(self, count: int) -> None:
        """What the receiver's `Counter` calls."""
        now = time.perf_counter()
        for _ in range(min(count, len(self.flying))):
            self.latencies.add(now - self.flying.popleft())
