"""The one place that hands stanzas to a transport: it numbers, queues and writes them.

Nonzas go another way and are not counted.  Nothing else can write: `tests/test_architecture.py` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from xmppd.core.stanza import Stanza
from xmppd.stream.turns import Turns
from xmppd.stream.unacknowledged import Sent, Unacknowledged

__all__ = ["AT_ONCE", "Framer", "Outbox"]

#: Bytes that are collected in one turn; with more they are written before its end, so that the transport says
#: in time that it is full.
AT_ONCE: Final = 128 << 10


class Framer(Protocol):
    """Puts bytes on a transport: a TCP stream as they are, WebSocket in frames."""

    def write(self, frames: list[bytes]) -> None:
        """Write what a turn has collected; each item is one stanza or nonza."""

    def overflowed(self) -> None:
        """The client does not read, and too much waits for it."""


def _confirm_nothing(_: list[int]) -> None:
    """Guests have no archive."""


class Outbox:
    """What goes to one client.

    With stream management every stanza is numbered when it is queued and kept until the client
    acknowledges it; without, the rows that it delivers are confirmed by the next byte of the client.

    :param now: seconds since 1970.
    :param write_buffer: bytes that may wait for a client that does not read.

    :ivar confirm: called with the rows that the client certainly has.
    :ivar queue: what it has been sent and has not acknowledged; None without stream management.
    """

    __slots__ = (
        "_framer",
        "_now",
        "_pending",
        "_pending_bytes",
        "_scheduled",
        "_then",
        "_turns",
        "_unwritten_rows",
        "_waiting_for_progress",
        "_waiting_for_room",
        "_write_buffer",
        "_written_rows",
        "blocked",
        "confirm",
        "held",
        "queue",
    )

    def __init__(
        self,
        turns: Turns,
        now: Callable[[], float],
        write_buffer: int,
    ) -> None:
        self.confirm: Callable[[list[int]], None] = _confirm_nothing
        self._turns, self._now, self._write_buffer = turns, now, write_buffer
        self._framer: Framer | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._scheduled = False
        self._unwritten_rows: list[int] = []
        self._written_rows: list[int] = []
        self._waiting_for_room: list[Deferred[None]] = []
        self._waiting_for_progress: list[Deferred[None]] = []
        #: What to call once the client has so many stanzas.
        self._then: tuple[int, Callable[[], None]] | None = None
        self.blocked = False
        #: Whether what is sent waits for something that is to be written before it.
        self.held = False
        self.queue: Unacknowledged | None = None

    # -- sending

    def send(self, stanza: Stanza, row: int | None = None) -> None:
        """Queue a stanza; it is numbered now and written at the end of the turn."""
        if self.queue is not None:
            if not self.queue.add(stanza, row, self._now()):
                return
        elif row is not None:
            self._unwritten_rows.append(row)
        self._put(stanza.wire)

    def nonza(self, data: bytes) -> None:
        """Queue what is not a stanza: it is written in order and not counted."""
        self._put(data)

    def _put(self, data: bytes) -> None:
        if self._framer is None:
            return
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self.blocked:
            if self._pending_bytes > self._write_buffer:
                framer = self._framer
                self.detach()
                framer.overflowed()
        elif self._pending_bytes > AT_ONCE:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._turns.at_end(self._flush_at_end)

    def _flush_at_end(self) -> None:
        self._scheduled = False
        if not self.blocked:
            self.flush()

    def flush(self) -> None:
        """Write what is pending, now."""
        if self._pending and self._framer is not None and not self.held:
            frames, self._pending, self._pending_bytes = self._pending, [], 0
            if self._unwritten_rows:
                self._written_rows += self._unwritten_rows
                self._unwritten_rows = []
            self._framer.write(frames)

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait because the client does not read."""
        return self._pending_bytes

    def block(self) -> None:
        """The transport is full: write nothing until `unblock`."""
        self.blocked = True

    def unblock(self) -> None:
        """The transport has room again.

        It gets no more than it can take: all at once was progress only at its end, and whoever read 12 kB a
        second was given up as one who reads nothing.
        """
        self.blocked = self.held
        while self._pending and not self.blocked:
            self._write_some()
        if not self.blocked:
            self._tell(self._waiting_for_room)

    def _write_some(self) -> None:
        number = size = 0
        while number < len(self._pending) and size < AT_ONCE:
            size += len(self._pending[number])
            number += 1
        if number == len(self._pending) or self._framer is None:
            self.flush()
            return
        frames, self._pending = self._pending[:number], self._pending[number:]
        self._pending_bytes -= size
        self._framer.write(frames)

    def hold(self) -> None:
        """Collect what is sent from now on: something that is not known yet is to be written before it."""
        self.held = self.blocked = True

    def release(self, first: bytes) -> None:
        """Write this, which is not a stanza, and then what was collected."""
        if self._framer is not None:
            self._pending.insert(0, first)
            self._pending_bytes += len(first)
        self.held = False
        self.unblock()

    def room(self) -> Deferred[None] | None:
        """When the transport has room again, or is gone; None if there is nothing to wait for."""
        if not self.blocked:
            return None
        self._waiting_for_room.append(Deferred())
        return self._waiting_for_room[-1]

    def progress(self) -> Deferred[None]:
        """When more is acknowledged, all is sent again, or the session is over."""
        self._waiting_for_progress.append(Deferred())
        return self._waiting_for_progress[-1]

    @staticmethod
    def _tell(waiting: list[Deferred[None]]) -> None:
        told = waiting[:]
        waiting.clear()
        for each in told:
            each.callback(None)

    # -- connections come and go

    def attach(self, framer: Framer) -> None:
        """From now on write to this transport."""
        self._framer, self.blocked, self._scheduled, self.held = framer, False, False, False
        self._pending, self._pending_bytes = [], 0

    def detach(self) -> None:
        """The connection is gone; with stream management stanzas are queued from now on."""
        self._framer, self.blocked, self.held = None, False, False
        self._pending, self._pending_bytes = [], 0
        if self.queue is not None:
            self._count_what_was_sent_before(self.queue)
        self._tell(self._waiting_for_room)

    def _count_what_was_sent_before(self, queue: Unacknowledged) -> None:
        """What no byte of this connection has confirmed gets a number, and is sent again on the next one."""
        queue.unsent = 0
        for row in (*self._written_rows, *self._unwritten_rows):
            queue.add_row(row)
        self._written_rows, self._unwritten_rows = [], []

    # -- acknowledgements

    def count(self, start: int = 0) -> None:
        """Number and keep what is sent from now on (after ``<enabled/>`` has been written)."""
        self.queue = Unacknowledged(start)

    def acknowledged(self, h: int) -> None:
        """The client has handled `h` stanzas (XEP-0198, section 4).

        :raises TooHigh: so many were not sent.
        """
        assert self.queue is not None
        if rows := self.queue.acknowledge(h):
            self.confirm(rows)
        if self._then is not None and self.queue.has(self._then[0]):
            self._call()
        if self._waiting_for_progress:
            self._tell(self._waiting_for_progress)

    def heard(self) -> None:
        """A byte has come from the client: without stream management it has what was written before.

        That is not said of what it does not read.
        """
        if self.blocked:
            return
        if self._written_rows:
            rows, self._written_rows = self._written_rows, []
            self.confirm(rows)
        if self._then is not None and self.queue is None and not self._pending:
            self._call()

    def then(self, call: Callable[[], None]) -> None:
        """Call once the client certainly has all that was sent until now, instead of what still waits."""
        self._then = 0 if self.queue is None else self.queue.sent, call

    def _call(self) -> None:
        assert self._then is not None
        (_, call), self._then = self._then, None
        call()

    def send_again(self, stanzas: Sequence[bytes]) -> None:
        """Write the next ones that are not acknowledged once more; they have their numbers."""
        assert self.queue is not None
        self.queue.written_again(len(stanzas))
        for data in stanzas:
            self._put(data)
        if not self.queue.unsent:
            self._tell(self._waiting_for_progress)

    def take_unacknowledged(self) -> list[Sent]:
        """What the client never acknowledged, once; with that the queue is empty."""
        self._written_rows, self._unwritten_rows = [], []
        self._tell(self._waiting_for_room)
        self._tell(self._waiting_for_progress)
        return [] if self.queue is None else self.queue.take()
