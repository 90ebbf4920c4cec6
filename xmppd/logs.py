"""The log: what people see in the foreground, and the least important lines that are logged."""

from __future__ import annotations

import sys
import time
from typing import Any, Final, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    eventAsText,
    globalLogPublisher,
)

__all__ = ["Level", "console"]

#: Whose lines are for the operator whatever their level; of others, Twisted above all, those that warn.
_OURS: Final = ("xmppd", "stdout", "stderr")


def console(out: TextIO | None = None) -> Any:
    """The log of the console script ``xmppd``: plain lines, and none on what Twisted does inside.

    :param out: where they go; None for standard output.
    """
    observer: Any = FileLogObserver(sys.stdout if out is None else out, _line)
    predicate: Any = _concerns_people
    return FilteringLogObserver(observer, [predicate])


def _concerns_people(event: LogEvent) -> Any:
    """Whether an event is for the console; what is marked as ``told`` stands there already."""
    if event.get("told"):
        return PredicateResult.no
    ours = event.get("log_namespace", "").partition(".")[0] in _OURS
    if ours or event.get("log_level", LogLevel.info) >= LogLevel.warn:
        return PredicateResult.maybe
    return PredicateResult.no


def _line(event: LogEvent) -> str:
    """Time, level where it matters, and text."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["log_time"]))
    level = event.get("log_level", LogLevel.info)
    mark = f"{level.name}: " if level >= LogLevel.warn else ""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return f"{when} {mark}{text.rstrip()}\n"


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
