"""The least important lines that are logged, changeable while the server runs."""

from __future__ import annotations

from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)

__all__ = ["Level"]


class Level:
    """Filters what reaches the observers that Twisted has set up.

    :param name: debug, info, warn, error or critical.
    """

    def __init__(self, name: str) -> None:
        self._predicate: Any = LogLevelFilterPredicate(LogLevel.levelWithName(name))
        self._begun = False

    def begin(self) -> None:
        """Put the filter before every observer of the process."""
        if self._begun:
            return
        self._begun = True
        publisher: Any = globalLogPublisher
        for observer in list(publisher._observers):
            publisher.removeObserver(observer)
            publisher.addObserver(FilteringLogObserver(observer, [self._predicate]))

    def set(self, name: str) -> None:
        """Another level, from now on."""
        self._predicate.defaultLogLevel = LogLevel.levelWithName(name)
        self._predicate.clearLogLevels()
