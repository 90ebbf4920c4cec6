"""What one client has cost lately, and the rest that it is given when that is too much (see pace.py)."""

from __future__ import annotations

from typing import Any

from xmppd.core.context import Clock
from xmppd.core.counters import hits
from xmppd.stream.inbox import PACE, Inbox
from xmppd.stream.pace import OVERHEAD, Pace

__all__ = ["Brake"]


class Brake:
    """Pauses the inbox of a client that is ahead of its pace, until it no longer is.

    :ivar weight: bytes that have come, with what TLS adds to each piece.
    """

    __slots__ = ("_clock", "_inbox", "_mark", "_pace", "_resting", "weight")

    def __init__(self, pace: Pace, clock: Clock, inbox: Inbox) -> None:
        self._pace, self._clock, self._inbox = pace, clock, inbox
        self._mark = 0.0
        self._resting: Any = None
        self.weight = 0

    def read(self, size: int, now: float) -> None:
        """So many bytes have come."""
        pace = self._pace
        self.weight += size + OVERHEAD
        self._mark = pace.read(self._mark, size, now)
        if self._mark - now > pace.allowed:
            self._rest(self._mark - now - pace.allowed)

    def worked(self, seconds: float, now: float) -> None:
        """What has come has taken so long to handle."""
        pace = self._pace
        self._mark = pace.worked(self._mark, seconds, now)
        if self._mark - now > pace.allowed:
            self._rest(self._mark - now - pace.allowed)

    def _rest(self, seconds: float) -> None:
        if self._resting is None:
            hits.hit("rate")
            self._resting = self._clock.callLater(seconds, self._rested)
            self._inbox.pause(PACE)

    def _rested(self) -> None:
        ahead = self._mark - self._clock.seconds() - self._pace.allowed
        if ahead > 0:
            # What was under way came nevertheless.
            self._resting = self._clock.callLater(ahead, self._rested)
        else:
            self._resting = None
            self._inbox.resume(PACE)

    def close(self) -> None:
        """The connection is gone."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
