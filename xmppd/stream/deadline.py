"""How long a peer may take to log in, whatever it sends meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xmppd.core.context import Clock

__all__ = ["Deadline"]


class Deadline:
    """One timer for a negotiation and its steps, none of which moves the end of the whole.

    :param late: called with the name of the limit that was reached.
    """

    __slots__ = ("_clock", "_late", "_since", "_timer", "_until", "_whole")

    def __init__(self, clock: Clock, late: Callable[[str], object]) -> None:
        self._clock = clock
        self._late: Callable[[str], object] = late
        self._since = self._until = clock.seconds()
        self._whole = ""
        self._timer: Any = None

    def allow(self, seconds: float, limit: str) -> None:
        """All of it must be over so long after it began.

        :param limit: the name of the limit that says so.
        """
        self._until, self._whole = self._since + seconds, limit
        self.expect_within(seconds, limit)

    def expect_within(self, seconds: float, limit: str) -> None:
        """The next step must be over in so many seconds, and never later than the whole may be."""
        self.stop()
        left = self._until - self._clock.seconds()
        name = limit if seconds < left else self._whole
        self._timer = self._clock.callLater(max(0.0, min(seconds, left)), self._reached, name)

    def _reached(self, limit: str) -> None:
        self._timer = None
        self._late(limit)

    def stop(self) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """The peer is gone: let go of whoever would be told."""
        self.stop()
        self._late = str
