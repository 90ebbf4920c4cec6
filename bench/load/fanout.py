"""One thing sent, many copies received: groups and presence."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from bench.load.meter import Latencies

__all__ = ["FanOut"]


class FanOut:
    """Keeps some sendings in flight; each is over when its last copy has arrived.

    :param send: sends number n, counted from 1.
    :ivar width: copies of one sending; until it is known nothing is over.
    """

    def __init__(self, send: Callable[[int], None], width: int = 0) -> None:
        self._send, self.width = send, width
        self.latencies = Latencies()
        self.flying: deque[float] = deque()
        self.copies = self.sent = 0
        self.active = True

    def send(self) -> None:
        """Send the next one."""
        self.sent += 1
        self.flying.append(time.perf_counter())
        self._send(self.sent)

    def on_copy(self, count: int) -> None:
        """What the receivers' `Counter` calls; copies arrive in the order of sending."""
        self.copies += count
        while self.width and self.flying and self.copies >= (self.sent - len(self.flying) + 1) * self.width:
            self.latencies.add(time.perf_counter() - self.flying.popleft())
            if self.active:
                self.send()

    def restart(self, width: int) -> None:
        """Forget what was sent so far."""
        self.width, self.copies, self.sent = width, 0, 0
        self.flying.clear()
