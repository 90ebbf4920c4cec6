"""Dead peers are noticed: one look at all streams every few seconds, instead of a timer for each."""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from xmppd.core.counters import hits
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.services import Services

__all__ = ["Watch"]

_log = Logger()

#: Seconds between two looks.
EVERY: Final = 5.0


class Watch:
    """Asks silent clients for a sign of life, and gives up those that give none.

    A client with stream management is asked with ``<r/>``; others get a blank, which TCP acknowledges or not.

    :param services: the streams, their clock and timeouts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._loop: Any = LoopingCall(self.look)
        self._loop.clock = cast(Any, services.clock)

    def start(self) -> None:
        """Begin."""
        self._loop.start(EVERY, now=False)

    def stop(self) -> None:
        """End."""
        if self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """Look at all streams once."""
        now = self._services.clock.seconds()
        for stream in list(self._services.streams):
            if stream.state is State.BOUND:
                try:
                    self._look_at(stream, now)
                except Exception:
                    # Whatever is wrong with one: the others are looked at, now and in future.
                    stream.failed(Failure())

    def _look_at(self, stream: ClientStream, now: float) -> None:
        timeouts = self._services.timeouts
        if stream.blocked_at is not None:
            # It may not be read from before it reads.
            if now - stream.blocked_at > timeouts.write:
                self._give_up(stream, "reads nothing", "write_timeout")
        elif self._services.pace.held:
            return  # whatever it says is not read now
        elif stream.asked_at is not None:
            if now - stream.asked_at > timeouts.answer:
                self._give_up(stream, "does not answer", "answer_timeout")
        elif now - max(stream.heard_at, stream.nudged_at) > timeouts.idle:
            self._nudge(stream, now)
        elif stream.session is not None and stream.session.smacks is not None:
            # So that what has arrived is known soon, also of those that get little.
            stream.session.smacks.remind(self._services.now() - EVERY)

    def _nudge(self, stream: ClientStream, now: float) -> None:
        session = stream.session
        if session is None:
            return
        if session.smacks is not None:
            stream.asked_at = now
            session.smacks.ask()
        else:
            stream.nudged_at = now
            session.outbox.nonza(b" ")

    def _give_up(self, stream: ClientStream, why: str, limit: str) -> None:
        hits.hit(limit)
        _log.info("{stream}: {why} ({limit})", stream=stream, why=why, limit=limit)
        stream.cut()
