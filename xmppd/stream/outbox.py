"""The one place that hands stanzas to a transport: it numbers, queues and writes them.

Nonzas go another way and are not counted.  Nothing else can write: `tests/test_architecture.py` checks it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from xmppd.core import ns
from xmppd.core.stanza import Stanza
from xmppd.storage.archive_book import arrived
from xmppd.stream.dropped import Dropped
from xmppd.stream.ledger import MODULUS
from xmppd.stream.turns import Turns

__all__ = ["AT_ONCE", "Framer", "Outbox", "Sent", "TooHigh"]

#: Bytes that are collected in one turn; with more they are written before its end, so that the transport says
#: in time that it is full.
AT_ONCE: Final = 128 << 10


class Framer(Protocol):
    """Puts bytes on a transport: a TCP stream as they are, WebSocket in frames."""

    def write(self, frames: list[bytes]) -> None:
        """Write what a turn has collected; each item is one stanza or nonza."""

    def overflowed(self) -> None:
        """The client does not read, and too much waits for it."""


class Sent(NamedTuple):
    """A stanza that the client has not acknowledged yet.

    Of an archived message the bytes are enough. A stanza is some twenty objects, and a thousand of them that
    wait for their acknowledgement were out of the processor's cache when that came.

    :ivar kept: the stanza; the bytes of an archived message; None where only its position in the archive is
        kept, or nothing but its number.
    :ivar row: sequence of the archived message that it delivers, or None.
    :ivar at: when it was sent, in seconds since 1970.
    """

    kept: Stanza | bytes | None
    row: int | None
    at: float

    @property
    def stanza(self) -> Stanza | None:
        """What was sent, if that is kept."""
        return arrived(self.kept) if isinstance(self.kept, bytes) else self.kept

    @property
    def size(self) -> int:
        """Bytes that it is kept with."""
        kept = self.kept or b""
        return len(kept if isinstance(kept, bytes) else kept.wire)


class TooHigh(Exception):
    """The client acknowledged more than was sent."""

    def __init__(self, h: int, sent: int) -> None:
        super().__init__(h, sent)
        self.h, self.sent = h, sent


def _confirm_nothing(_: list[int]) -> None:
    """Guests have no archive."""


def has_copy(stanza: Stanza, ids: Collection[bytes]) -> bool:
    """Whether a stanza has a copy of one of these messages in it, as carbons and results of queries have.

    :param ids: of the messages in the archive.
    """
    inner = stanza.inner
    return (b"stanza-id" in inner or stanza.has(ns.MAM, "result")) and any(each in inner for each in ids)


class Outbox:
    """What goes to one client.

    With stream management every stanza is numbered when it is queued and kept until the client
    acknowledges it; without, the rows that it delivers are confirmed by the next byte of the client.

    :param now: seconds since 1970.
    :param write_buffer: bytes that may wait for a client that does not read.

    :ivar confirm: called with the rows that the client certainly has.
    """

    __slots__ = (
        "_bare",
        "_framer",
        "_now",
        "_pending",
        "_pending_bytes",
        "_scheduled",
        "_then",
        "_turns",
        "_unwritten_rows",
        "_waiting",
        "_write_buffer",
        "_written_rows",
        "blocked",
        "confirm",
        "dropped",
        "held",
        "kept",
        "kept_bytes",
        "queue",
        "sent",
        "unsent",
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
        self._waiting: list[Deferred[None]] = []
        #: What to call once the client has so many stanzas.
        self._then: tuple[int, Callable[[], None]] | None = None
        self.blocked = False
        #: Whether what is sent waits for something that is to be written before it.
        self.held = False
        self.queue: deque[Sent] | None = None
        #: The oldest stanzas without acknowledgement that are no longer in the queue, if there are such.
        self.dropped: Dropped | None = None
        #: Of the queue, the stanzas in memory and their bytes; the others are read again from the archive.
        self.kept = self.kept_bytes = 0
        #: Entries at the beginning of the queue of which none that is in the archive is in memory.
        self._bare = 0
        self.sent = 0
        #: Entries at the end of the queue that have not been written on this connection yet.
        self.unsent = 0

    # -- sending

    def send(self, stanza: Stanza, row: int | None = None) -> None:
        """Queue a stanza; it is numbered now and written at the end of the turn."""
        data = stanza.wire
        if self.queue is not None:
            self.sent = (self.sent + 1) % MODULUS
            self.queue.append(Sent(stanza if row is None else data, row, self._now()))
            self.kept += 1
            self.kept_bytes += len(data)
            if self.unsent:
                self.unsent += 1
                return
        elif row is not None:
            self._unwritten_rows.append(row)
        self._put(data)

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
        """The transport has room again."""
        self.blocked = self.held
        self.flush()
        self._tell_room()

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
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def _tell_room(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    # -- connections come and go

    def attach(self, framer: Framer) -> None:
        """From now on write to this transport."""
        self._framer, self.blocked, self._scheduled, self.held = framer, False, False, False
        self._pending, self._pending_bytes = [], 0
        self.unsent = 0

    def detach(self) -> None:
        """The connection is gone; with stream management stanzas are queued from now on."""
        self._framer, self.blocked, self.held = None, False, False
        self._pending, self._pending_bytes = [], 0
        self.unsent = 0
        if self.queue is not None:
            self._count_what_was_sent_before()
        self._tell_room()

    def _count_what_was_sent_before(self) -> None:
        """What no byte of this connection has confirmed gets a number, and is sent again on the next one."""
        assert self.queue is not None
        for row in (*self._written_rows, *self._unwritten_rows):
            self.sent = (self.sent + 1) % MODULUS
            self.queue.append(Sent(None, row, row / 1_000_000))
        self._written_rows, self._unwritten_rows = [], []

    # -- acknowledgements

    def count(self, start: int = 0) -> None:
        """Number and keep what is sent from now on (after ``<enabled/>`` has been written)."""
        self.restore((), start)

    def acknowledged(self, h: int) -> None:
        """The client has handled `h` stanzas (XEP-0198, section 4).

        :raises TooHigh: so many were not sent.
        """
        number = self._newly_acknowledged(h)
        if number > self.unacknowledged:
            raise TooHigh(h, self.sent)
        rows: list[int] = []
        if self.dropped:
            gone = min(number, len(self.dropped))
            rows += self.dropped.take(gone)
            number -= gone
        rows += [row for row in self._pop(number) if row is not None]
        if rows:
            self.confirm(rows)
        if self._then is not None and self._has(self._then[0]):
            self._call()

    def can_acknowledge(self, h: int) -> bool:
        """Whether `h` is a count that the client can have reached."""
        return self._newly_acknowledged(h) <= self.unacknowledged

    def _newly_acknowledged(self, h: int) -> int:
        return (h - self.sent + self.unacknowledged) % MODULUS

    @property
    def unacknowledged(self) -> int:
        """How many stanzas were sent and not acknowledged yet."""
        return len(self.dropped or ()) + len(self.queue or ())

    def _pop(self, number: int) -> list[int | None]:
        """Take the oldest entries out of the queue; what they deliver of the archive."""
        queue, rows = self.queue, []
        assert queue is not None
        for _ in range(number):
            kept, row, _ = queue.popleft()
            rows.append(row)
            if kept is not None:
                self.kept -= 1
                self.kept_bytes -= len(kept if isinstance(kept, bytes) else kept.wire)
        self._bare = max(0, self._bare - number)
        self.unsent = min(self.unsent, len(queue))
        return rows

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
        self._then = self.sent, call

    def _has(self, number: int) -> bool:
        """Whether the client has acknowledged the stanza of that number."""
        return (self.sent - self.unacknowledged - number) % MODULUS < MODULUS // 2

    def _call(self) -> None:
        assert self._then is not None
        (_, call), self._then = self._then, None
        call()

    def restore(self, queue: Iterable[Sent], sent: int) -> None:
        """Go on with what was queued before a restart; stanzas in it are counted as in memory."""
        self.queue, self.sent, self._bare = deque(queue), sent, 0
        in_memory = [entry.size for entry in self.queue if entry.kept is not None]
        self.kept, self.kept_bytes = len(in_memory), sum(in_memory)

    def fits(self, stanzas: int, size: int) -> bool:
        """Keep the queue in bounds: archived entries give up their bytes and keep their position.

        :returns: False if what is not in the archive is too much already.
        """
        if self.kept <= stanzas and self.kept_bytes <= size:
            return True
        assert self.queue is not None
        # Not from the beginning each time: in a long queue there is little behind what was looked at before.
        for place in range(self._bare, len(self.queue)):
            if self.queue[place].row is not None:
                self._let_go(place)
        self._bare = len(self.queue)
        return self.kept <= stanzas and self.kept_bytes <= size

    def _let_go(self, place: int) -> None:
        """Keep the number and the position of an entry, and not its bytes."""
        assert self.queue is not None
        entry = self.queue[place]
        if entry.kept is not None:
            self.kept -= 1
            self.kept_bytes -= entry.size
            self.queue[place] = entry._replace(kept=None)

    def forget(self, rows: Collection[int], ids: Collection[bytes], erased: Stanza) -> None:
        """Messages were erased: what was sent of them keeps its number, and no content.

        :param rows: their sequences: they are read again from the archive, which has tombstones.
        :param ids: their ids, which stand in copies and in results of queries.
        :param erased: what takes the place of a copy.
        """

        def without(entry: Sent) -> Sent:
            if entry.row in rows:
                return entry._replace(kept=None)
            copied = isinstance(entry.kept, Stanza) and has_copy(entry.kept, ids)
            return entry._replace(kept=erased) if copied else entry

        if self.queue:
            self.restore(map(without, self.queue), self.sent)

    def trim(self, stanzas: int, size: int, positions: int) -> None:
        """Forget the oldest stanzas of a session that cannot be resumed, until the rest fits.

        They still count, and what of them is in the archive is confirmed by their acknowledgement.

        :param positions: entries that are kept at all; of those before them only the number is.
        """
        assert self.queue is not None
        for place in range(len(self.queue)):
            if self.kept <= stanzas and self.kept_bytes <= size:
                break
            self._let_go(place)
        too_many = len(self.queue) - positions
        if too_many > 0:
            self.dropped = self.dropped or Dropped()
            self.dropped.add(self._pop(too_many))

    def missing_rows(self) -> list[int]:
        """The rows that must be read from the archive before the queue can be written again."""
        return [entry.row for entry in self.queue or () if entry.kept is None and entry.row is not None]

    def begin_again(self) -> None:
        """All that is not acknowledged is to be sent again; what is sent from now on comes behind it."""
        self.unsent = len(self.queue or ())

    @property
    def written(self) -> int:
        """How many stanzas were written, mod 2**32: those that are still to be sent again do not count."""
        return (self.sent - self.unsent) % MODULUS

    def next_unsent(self, most: int) -> list[Sent]:
        """The next entries that are to be sent again."""
        assert self.queue is not None
        first = len(self.queue) - self.unsent
        return list(islice(self.queue, first, first + most))

    def send_again(self, stanzas: Sequence[bytes]) -> None:
        """Write the next entries again; they have their numbers (XEP-0198, section 5)."""
        self.unsent -= len(stanzas)
        for data in stanzas:
            self._put(data)

    def take_unacknowledged(self) -> list[Sent]:
        """What the client never acknowledged, once; with that the queue is empty."""
        if self.queue is not None:
            left = list(self.queue)
            self.queue.clear()
            self.dropped, self.kept, self.kept_bytes = None, 0, 0
            return left
        self._written_rows, self._unwritten_rows = [], []
        return []
