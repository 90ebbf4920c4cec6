"""What a client has been sent and has not acknowledged (XEP-0198, sections 4 and 5)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Set
from itertools import islice
from typing import NamedTuple

from xmppd.core import ns
from xmppd.core.stanza import Stanza
from xmppd.storage.archive_book import arrived
from xmppd.stream.dropped import Dropped
from xmppd.stream.ledger import MODULUS

__all__ = ["Sent", "TooHigh", "Unacknowledged", "has_copy"]


#: Ids as our archives give them, in attributes that we have written.
_ids_in = re.compile(rb"'([0-9a-f]{32})'").findall


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


def has_copy(stanza: Stanza, ids: Set[bytes]) -> bool:
    """Whether a stanza has a copy of one of these messages in it, as carbons and results of queries have.

    :param ids: of the messages in the archive.
    """
    inner = stanza.inner
    if b"stanza-id" not in inner and not stanza.has(ns.MAM, "result"):
        return False
    # Once through, not once for each id: a queue of results made a step of erasing take 178 ms.
    return not ids.isdisjoint(_ids_in(inner))


class Unacknowledged:
    """The stanzas of one session from their numbering to their acknowledgement, oldest first.

    :param entries: what was queued before a restart; stanzas in it are counted as in memory.

    :ivar sent: the number of the newest one, mod 2**32.
    :ivar unsent: entries at the end that have not been written on this connection yet.
    :ivar dropped: of a session that cannot be resumed the oldest ones, which are no longer among the entries;
        None where there are no such.
    :ivar kept: entries that are in memory, and
    :ivar kept_bytes: their bytes; the others are read again from the archive.
    """

    __slots__ = ("_bare", "_bereft", "dropped", "entries", "kept", "kept_bytes", "sent", "unsent")

    def __init__(self, sent: int = 0, entries: Iterable[Sent] = ()) -> None:
        self.sent, self.unsent = sent, 0
        self.dropped: Dropped | None = None
        self._fill(entries)

    def _fill(self, entries: Iterable[Sent]) -> None:
        self.entries = deque(entries)
        in_memory = [entry.size for entry in self.entries if entry.kept is not None]
        self.kept, self.kept_bytes = len(in_memory), sum(in_memory)
        #: Entries at the beginning of which none that is in the archive is in memory, and none at all.
        self._bare = self._bereft = 0

    def __len__(self) -> int:
        return len(self.dropped or ()) + len(self.entries)

    @property
    def oldest(self) -> Sent | None:
        """The oldest entry of which more than its number is known."""
        return self.entries[0] if self.entries else None

    # -- one after the other

    def add(self, stanza: Stanza, row: int | None, at: float) -> bool:
        """Number a stanza.

        :param row: see `Sent`.
        :returns: False if older ones are to be written again before it.
        """
        data = stanza.wire
        self.sent = (self.sent + 1) % MODULUS
        self.entries.append(Sent(stanza if row is None else data, row, at))
        self.kept += 1
        self.kept_bytes += len(data)
        if self.unsent:
            self.unsent += 1
            return False
        return True

    def add_row(self, row: int) -> None:
        """Number a message of which only its position in the archive is kept."""
        self.sent = (self.sent + 1) % MODULUS
        self.entries.append(Sent(None, row, row / 1_000_000))

    def acknowledge(self, h: int) -> list[int]:
        """The client has handled `h` stanzas.

        :returns: the archived messages among those that are newly acknowledged.
        :raises TooHigh: so many were not sent.
        """
        number = self._newly_acknowledged(h)
        if number > len(self):
            raise TooHigh(h, self.sent)
        rows: list[int] = []
        if self.dropped:
            gone = min(number, len(self.dropped))
            rows += self.dropped.take(gone)
            number -= gone
        rows += [row for row in self._pop(number) if row is not None]
        return rows

    def can_acknowledge(self, h: int) -> bool:
        """Whether `h` is a count that the client can have reached."""
        return self._newly_acknowledged(h) <= len(self)

    def _newly_acknowledged(self, h: int) -> int:
        return (h - self.sent + len(self)) % MODULUS

    def has(self, number: int) -> bool:
        """Whether the client has acknowledged the stanza of that number."""
        return (self.sent - len(self) - number) % MODULUS < MODULUS // 2

    def _pop(self, number: int) -> list[int | None]:
        """Take the oldest entries away; what they deliver of the archive."""
        entries, rows = self.entries, []
        for _ in range(number):
            kept, row, _ = entries.popleft()
            rows.append(row)
            if kept is not None:
                self.kept -= 1
                self.kept_bytes -= len(kept if isinstance(kept, bytes) else kept.wire)
        self._bare, self._bereft = max(0, self._bare - number), max(0, self._bereft - number)
        self.unsent = min(self.unsent, len(entries))
        return rows

    def take(self) -> list[Sent]:
        """All entries, once."""
        left = list(self.entries)
        self.dropped, self.unsent = None, 0
        self._fill(())
        return left

    # -- in bounds

    def fits(self, stanzas: int, size: int) -> bool:
        """Keep the queue in bounds: archived entries give up their bytes and keep their position.

        :returns: False if what is not in the archive is too much already.
        """
        if self.kept <= stanzas and self.kept_bytes <= size:
            return True
        # Not from the beginning each time: in a long queue there is little behind what was looked at before.
        for place in range(self._bare, len(self.entries)):
            if self.entries[place].row is not None:
                self._let_go(place)
        self._bare = len(self.entries)
        return self.kept <= stanzas and self.kept_bytes <= size

    def _let_go(self, place: int) -> None:
        """Keep the number and the position of an entry, and not its bytes."""
        entry = self.entries[place]
        if entry.kept is not None:
            self.kept -= 1
            self.kept_bytes -= entry.size
            self.entries[place] = entry._replace(kept=None)

    def forget(self, rows: Collection[int], ids: Set[bytes], erased: Stanza) -> None:
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

        if self.entries:
            self._fill(map(without, self.entries))

    def trim(self, stanzas: int, size: int, positions: int) -> None:
        """Forget the oldest stanzas of a session that cannot be resumed, until the rest fits.

        They still count, and what of them is in the archive is confirmed by their acknowledgement.

        :param positions: entries that are kept at all; of those before them only the number is.
        """
        # Nor from the beginning: once positions are too many as well this is asked for with each stanza.
        while self._bereft < len(self.entries) and (self.kept > stanzas or self.kept_bytes > size):
            self._let_go(self._bereft)
            self._bereft += 1
        too_many = len(self.entries) - positions
        if too_many > 0:
            self.dropped = self.dropped or Dropped()
            self.dropped.add(self._pop(too_many))

    # -- again, on another connection

    def missing_rows(self) -> list[int]:
        """The rows that must be read from the archive before the queue can be written again."""
        return [entry.row for entry in self.entries if entry.kept is None and entry.row is not None]

    def begin_again(self) -> None:
        """All that is not acknowledged is to be sent again; what is sent from now on comes behind it."""
        self.unsent = len(self.entries)

    @property
    def written(self) -> int:
        """How many stanzas were written, mod 2**32: those that are still to be sent again do not count."""
        return (self.sent - self.unsent) % MODULUS

    def next_unsent(self, most: int) -> list[Sent]:
        """The next entries that are to be sent again."""
        first = len(self.entries) - self.unsent
        return list(islice(self.entries, first, first + most))

    def written_again(self, number: int) -> None:
        """So many of these were written; they have their numbers (XEP-0198, section 5)."""
        self.unsent -= number
