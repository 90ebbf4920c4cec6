"""How many lines of the log strangers can cause: some for each, some in all, and a summary of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from xmppd.core.context import Clock

__all__ = ["LineBudget"]

#: Sources that are told apart in one period; all others are one.
MOST_SOURCES: Final = 1024
#: Sources that have a line of their own in the summary.
SUMMARY: Final = 10


class LineBudget:
    """Lines by source (an address, an account) and period.

    :param summary: is called at the end of a period with each of the worst sources and the number of its
        lines that were left out, then with an empty source for all others.
    :param each: lines of one source in a period.
    :param total: lines of all sources in a period.
    :param period: seconds.
    """

    def __init__(
        self,
        clock: Clock,
        summary: Callable[[str, int], object],
        *,
        each: int = 10,
        total: int = 100,
        period: float = 60.0,
    ) -> None:
        self._clock, self._summary = clock, summary
        self._each, self._total, self._period = each, total, period
        self._written = 0
        self._lines: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._timer: object = None

    def allows(self, source: str) -> bool:
        """Whether one more line about this source may be written; it counts as written."""
        if self._timer is None:
            self._timer = self._clock.callLater(self._period, self._end_period)
        if source not in self._lines and len(self._lines) >= MOST_SOURCES:
            source = ""
        self._lines[source] += 1
        if self._lines[source] <= self._each and self._written < self._total:
            self._written += 1
            return True
        self._left_out[source] += 1
        return False

    def _end_period(self) -> None:
        left_out, self._timer, self._written = self._left_out, None, 0
        self._lines, self._left_out = Counter(), Counter()
        rest = left_out.total()
        for source, lines in left_out.most_common(SUMMARY):
            if source:
                self._summary(source, lines)
                rest -= lines
        if rest:
            self._summary("", rest)
