"""Waiting by the clock that a module was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from xmppd.core.context import Clock

__all__ = ["pause"]


def pause(clock: Clock, seconds: float) -> Deferred[None]:
    """Let others work meanwhile.

    :returns: fires after so many seconds.
    """
    passed: Deferred[None] = Deferred()
    clock.callLater(seconds, passed.callback, None)
    return passed
