"""When more waits for the disk than should, nobody is read from until it has drained."""

from __future__ import annotations

from twisted.logger import Logger

from xmppd.stream.services import Services

__all__ = ["Pressure"]

_log = Logger()


class Pressure:
    """Pauses and resumes the streams (see `xmppd.storage.writer.Observer`).

    :param services: the open connections, and what those find that come later.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def on_fault(self, error: BaseException) -> None:
        """Said once by the writer itself; nothing to pause yet."""

    def on_healthy(self) -> None:
        """Nothing was paused for that."""

    def on_full(self) -> None:
        """Read from nobody who is logged in."""
        _log.warn("the database cannot keep up: clients are not read from until it has")
        self._services.pace.held = True
        for stream in self._services.streams:
            stream.hold_reading()

    def on_drained(self) -> None:
        """Read again."""
        _log.info("the database has caught up: clients are read from again")
        self._services.pace.held = False
        for stream in self._services.streams:
            stream.go_on_reading()
