"""One write a connection and turn of the reactor, not one a stanza."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from xmppd.core.context import Clock

__all__ = ["Turns"]

_log = Logger()


class Turns:
    """Collects what wants to be written and calls it once, at the end of the turn.

    :param clock: the reactor.
    """

    __slots__ = ("_clock", "_waiting")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[Callable[[], None]] = []

    def at_end(self, flush: Callable[[], None]) -> None:
        """Call `flush` when this turn of the reactor is over."""
        if not self._waiting:
            self._clock.callLater(0, self._run)
        self._waiting.append(flush)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            try:
                flush()
            except Exception:
                # The others' clients are not to wait for ever for what was collected for them.
                _log.failure("what was collected for a client could not be written")
