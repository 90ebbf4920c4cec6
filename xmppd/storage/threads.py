"""What runs in database threads, and a stand-in for tests that run everything in one thread."""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.python.failure import Failure


class Threads(Protocol):
    """What adbapi needs of a pool of threads."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def callInThreadWithCallback(
        self, on_result: Callable[..., Any] | None, func: Callable[..., Any], *args: Any, **kw: Any
    ) -> None: ...


class NoThreads:
    """Runs everything at once in the caller's thread, so that a test with a fake clock sees no other order of
    events.

    The reactor that goes with it needs a `callFromThread` (it may call at once, too).
    """

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def callInThreadWithCallback(
        self, on_result: Callable[..., Any] | None, func: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Call, then report success and result, or the failure."""
        try:
            result, success = func(*args, **kw), True
        except Exception:
            result, success = Failure(), False
        if on_result is not None:
            on_result(success, result)
