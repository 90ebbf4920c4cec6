"""Sees when the reactor stands still, and what it is doing then: a thread looks, the reactor tells.

Everything waits for what runs longer than a moment in the reactor's thread.  The reactor notes the time
twenty times a second; a thread that finds the note too old takes down the stack of the reactor's thread
(names of functions, no values), and the reactor logs it as soon as it goes on.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, cast

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from xmppd.core.budget import LineBudget
from xmppd.core.context import Clock

__all__ = ["Watchdog"]

_log = Logger()

#: Seconds between two notes of the reactor, and between two looks at them.
EVERY: Final = 0.05
#: Seconds by which a note may be late; so what runs for 200 ms is always seen, wherever it begins.
ALLOWED: Final = 0.15
#: Innermost calls that are told.
DEPTH: Final = 8


class Watchdog:
    """Logs what held up the reactor.

    :param clock: the reactor.
    :param now: seconds from anywhere, as the reactor and the thread see them.
    :param frames: what each thread is doing, by thread.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        now: Callable[[], float] = time.monotonic,
        frames: Callable[[], dict[int, FrameType]] = sys._current_frames,
    ) -> None:
        self._now, self._frames = now, frames
        self._thread = threading.get_ident()
        self._noted = now()
        self._seen: str | None = None
        self._over = threading.Event()
        self._lines = LineBudget(clock, self._left_out)
        self._loop: Any = LoopingCall(self.note)
        self._loop.clock = cast(Any, clock)

    def start(self) -> None:
        """Begin, in the reactor's thread."""
        self._thread, self._noted = threading.get_ident(), self._now()
        self._loop.start(EVERY, now=False)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        if self._loop.running:
            self._loop.stop()

    # -- in the reactor

    def note(self) -> None:
        """The reactor is alive; if it was not just now, say so."""
        now = self._now()
        stood, self._noted = now - self._noted - EVERY, now
        seen, self._seen = self._seen, None
        if stood > ALLOWED and self._lines.allows("reactor"):
            _log.warn(
                "the reactor stood still for {ms} ms in {where}",
                ms=round(stood * 1000),
                where=seen or "what nobody saw: the process itself may have stood still",
            )

    def _left_out(self, _: str, lines: int) -> None:
        _log.warn("the reactor stood still {times} more times in the last minute", times=lines)

    # -- in the thread

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Take down what the reactor does, if it has not noted anything for too long."""
        if self._now() - self._noted > ALLOWED + EVERY and self._seen is None:
            frame = self._frames().get(self._thread)
            if frame is not None:
                self._seen = _describe(frame)


def _describe(frame: FrameType) -> str:
    """The innermost calls, innermost first."""
    calls = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=DEPTH, lookup_lines=False)
    return " < ".join(f"{call.name} ({call.filename.rpartition('/')[2]}:{call.lineno})" for call in calls)
