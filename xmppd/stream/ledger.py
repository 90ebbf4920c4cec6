"""What has been handled of what a client sent: `h` of stream management, after the commit.

Each stanza takes a ticket.  The ticket closes when what the stanza caused is durable, or when an error for
it is queued, or at once where nothing durable follows.  `h` is the end of the closed tickets in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

__all__ = ["MODULUS", "Ledger", "OpenTicket"]


#: Counters of stream management wrap here (XEP-0198, section 4).
MODULUS: Final = 1 << 32


class OpenTicket:
    """The ticket of one stanza.  It is made held once, by whoever handles the stanza.

    :ivar holds: how much is waited for; with 0 it is closed.
    """

    __slots__ = ("_ledger", "holds")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.holds = 1

    def void(self) -> None:
        """It never closes any more."""
        self.holds = -1 << 30

    def hold(self) -> None:
        """One more thing to wait for."""
        self.holds += 1

    def committed(self) -> None:
        """One thing less to wait for."""
        self.holds -= 1
        if not self.holds:
            self._ledger.closed()

    def failed(self, error: BaseException) -> None:
        """What was waited for will never be durable; whoever caused it has answered the sender."""
        self.committed()


class Ledger:
    """The stanzas received on one session, in order.

    :param start: the first value of the counter (tests start near 2**32).
    :ivar received: stanzas received, mod 2**32.
    :ivar handled: stanzas handled, in order and durably, mod 2**32: the `h` that we send.
    :ivar on_settled: called when the last open ticket has closed.
    """

    __slots__ = ("_open", "_seen", "_waiting", "handled", "on_settled", "received")

    def __init__(self, start: int = 0) -> None:
        self.received = self.handled = self._seen = start
        self.on_settled: Callable[[], None] | None = None
        self._open: deque[OpenTicket] = deque()
        self._waiting: list[Deferred[None]] = []

    def moved(self) -> bool:
        """Whether `handled` has moved since this was last asked."""
        moved = self.handled != self._seen
        self._seen = self.handled
        return moved

    @property
    def settled(self) -> bool:
        """Whether all that was received has been handled."""
        return not self._open

    def when_settled(self) -> Deferred[None]:
        """Fires when all that was received by then has been handled; it may be cancelled."""
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def open(self) -> OpenTicket:
        """A ticket for the next stanza."""
        self.received = (self.received + 1) % MODULUS
        ticket = OpenTicket(self)
        self._open.append(ticket)
        return ticket

    def forget_open(self) -> None:
        """The client sends again what is not handled yet: what those tickets wait for no longer counts."""
        for ticket in self._open:
            ticket.void()
        self._open.clear()
        self.received = self.handled
        self._settle()

    def closed(self) -> None:
        """Some ticket has closed: move `handled` over the closed ones in order."""
        waiting = self._open
        while waiting and not waiting[0].holds:
            waiting.popleft()
            self.handled = (self.handled + 1) % MODULUS
        if not waiting:
            self._settle()

    def _settle(self) -> None:
        if self.on_settled is not None:
            self.on_settled()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                if not each.called:
                    each.callback(None)
