"""A lane for what may take long: some at a time, one of each owner, and owners in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ["Lane"]


class Lane:
    """Bounds how many questions of clients the database answers at a time.

    Whoever has filled an archive with a million messages can ask it for what takes seconds, as often as they
    like.  Nobody's login waits behind that if one connection stays free, and no other archive waits for more
    than one of them.

    :param most: at a time.
    """

    __slots__ = ("_going_on", "_most", "_running", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[object] = set()
        self._going_on = False
        #: What waits, by owner; the owner whose turn is longest ago comes first.
        self._waiting: OrderedDict[object, deque[Deferred[None]]] = OrderedDict()

    async def run(self, owner: object, function: Callable[..., Any], /, *args: Any) -> Any:
        """Await ``function(*args)`` when it is its turn.

        :param owner: whose it is.
        """
        if owner in self._running or len(self._running) >= self._most:
            turn: Deferred[None] = Deferred()
            self._waiting.setdefault(owner, deque()).append(turn)
            await turn
        else:
            self._running.add(owner)
        try:
            return await function(*args)
        finally:
            self._running.discard(owner)
            self._go_on()

    def waiting(self, owner: object) -> int:
        """How much of an owner's waits for its turn."""
        return len(self._waiting.get(owner, ()))

    def _go_on(self) -> None:
        """Let in whose turn it is. Who is answered at once comes here again: one loop, no recursion."""
        if self._going_on:
            return
        self._going_on = True
        while len(self._running) < self._most and (turn := self._next()):
            turn.callback(None)
        self._going_on = False

    def _next(self) -> Deferred[None] | None:
        """Whose turn it is, counted as running."""
        owner = next((each for each in self._waiting if each not in self._running), None)
        if owner is None:
            return None
        self._running.add(owner)
        queue = self._waiting[owner]
        turn = queue.popleft()
        if queue:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
        return turn
