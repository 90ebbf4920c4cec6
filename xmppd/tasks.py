"""Coroutines beside what is handled: someone always looks at their failure."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

__all__ = ["spawn"]

_log = Logger()


def spawn(work: Awaitable[Any]) -> None:
    """Run a coroutine; its failure is logged."""
    running: Deferred[Any] = Deferred.fromCoroutine(work)  # type: ignore[arg-type]
    running.addErrback(lambda failure: _log.failure("a task failed", failure))
