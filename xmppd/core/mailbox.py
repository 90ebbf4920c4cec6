"""Which messages an account has certainly got: a low-water mark over the rows of its archive.

A message is written once, in the archive; offline delivery is only a position in it.  Every row to deliver
at or below the mark is confirmed.  Confirmations above it stand in a small set, and a row that a live or
resumable session still owes holds the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from xmppd.core.errors import StreamError

if TYPE_CHECKING:
    from xmppd.core.context import Session
    from xmppd.core.stanza import Stanza

__all__ = ["MOST_CONFIRMED", "MOST_HELD", "Mailbox"]

#: Bytes of what comes for a session while it is being given what had waited.
MOST_HELD: Final = 1 << 20
#: Confirmed rows above the mark: they are in memory, and written down each time that one comes.
MOST_CONFIRMED: Final = 10_000
#: How many more there may be until it is looked at again what they wait for.
SOME: Final = 1000


class Mailbox:
    """The rows to deliver of one account.

    :param mark: rows at or below it are confirmed.
    :param confirmed: rows above the mark that are confirmed.
    :param latest: the greatest sequence in use when the server started: there may be rows up to it.
    :param moved: called when `mark` or `confirmed` have changed and want to be written down.

    :ivar read_until: rows up to here are confirmed or owed; those behind it, up to `backlog_until`, are on
        the disk only.
    :ivar owed: rows that were sent and are not confirmed yet, with the sessions that may confirm them.
    :ivar passing: rows that are no part of the history, and go when they are confirmed and `wanted` no more.
    :ivar wanted: confirmed ones of these, with the sessions that were sent them as well: if these are resumed
        they may have to read them again.
    """

    __slots__ = (
        "_finished",
        "_held",
        "_held_bytes",
        "_holding",
        "_moved",
        "_patience",
        "_pressed",
        "_replaying",
        "_replays",
        "_seen",
        "_shown",
        "backlog_until",
        "confirmed",
        "latest",
        "mark",
        "owed",
        "passing",
        "read_until",
        "wanted",
    )

    def __init__(
        self, mark: int, confirmed: Iterable[int], latest: int, moved: Callable[[Mailbox], None]
    ) -> None:
        self.mark = self.read_until = mark
        self.confirmed = set(confirmed)
        self.latest = self.backlog_until = max(latest, mark)
        self.owed: dict[int, list[Session]] = {}
        #: A heap of all that is owed or wanted, and some that is not any more.
        self._holding: list[int] = []
        self.passing: set[int] = set()
        self.wanted: dict[int, list[Session]] = {}
        self._finished: list[int] = []
        self._replaying: Session | None = None
        self._replays = 0
        self._held: list[tuple[Stanza, int | None]] = []
        self._held_bytes = 0
        #: Confirmed rows that whoever holds the mark may have above it, and the row that was asked for last.
        self._patience = MOST_CONFIRMED
        self._pressed = 0
        #: Rows that a session has been sent which does not count, and so wait all the same; and those of them
        #: that it has acknowledged.
        self._shown: dict[int, Session] = {}
        self._seen: set[int] = set()
        self._moved = moved

    @property
    def has_backlog(self) -> bool:
        """Whether there may be rows on the disk that nobody has been given."""
        return self.read_until < self.backlog_until

    @property
    def is_behind(self) -> bool:
        """Whether there may be rows that no client has confirmed."""
        return self.mark < self.latest

    # -- delivery

    def deliver(self, session: Session, stanza: Stanza, row: int | None) -> None:
        """Give a message to a session, behind what is being replayed to it."""
        if row is not None:
            if session.priority is not None and session.priority >= 0:
                self._owe(session, row)
            else:
                # What only a session of negative priority has got waits for another one as well.
                self._shown[row] = session
                self.wait(row)
        if session is not self._replaying:
            session.send(stanza, row)
            return
        self._held.append((stanza, row))
        self._held_bytes += len(stanza.wire)
        if self._held_bytes > MOST_HELD:
            # It reads just enough not to be given up, and others fill the memory meanwhile.
            session.close(StreamError("policy-violation", "Too much has come while you read what had waited"))

    def _owe(self, session: Session, row: int) -> None:
        if row in self.owed:
            self.owed[row].append(session)
        else:
            self.owed[row] = [session]
            self._hold(row)
        self.latest = max(self.latest, row)

    def _hold(self, row: int) -> None:
        heappush(self._holding, row)
        held = len(self.owed) + len(self.wanted)
        if len(self._holding) > 2 * held + 100:
            # The same rows again and again, behind one that stays.
            self._holding = sorted({*self.owed, *self.wanted})

    def wait(self, row: int) -> None:
        """Nobody is there: the row waits on the disk."""
        self.latest = self.backlog_until = max(self.latest, row)

    def pass_over(self, row: int) -> None:
        """Nobody is to get a row that has just come."""
        self.latest = max(self.latest, row)
        self.confirm((row,))

    def shown_to(self, session: Session) -> list[tuple[int, bool]]:
        """Rows that wait although this session has been sent them, and whether it has acknowledged them."""
        return [(row, row in self._seen) for row, shown in self._shown.items() if shown is session]

    def restore(self, session: Session, rows: Iterable[int], shown: Iterable[tuple[int, bool]] = ()) -> None:
        """A session of the last run has not acknowledged these rows.

        :param shown: what `shown_to` said of it.
        """
        waiting = dict(shown)
        for row in rows:
            if row in self.confirmed:
                if row in self.passing:
                    self.wanted.setdefault(row, []).append(session)
                    self._hold(row)
            elif row > self.mark and row not in waiting:
                self._owe(session, row)
        self._shown.update((row, session) for row in waiting)
        self._seen.update(row for row, seen in waiting.items() if seen)

    # -- replay

    def begin_replay(self, session: Session) -> int:
        """From now on live messages to this session wait until `end_replay`, so that all come in order.

        It takes over from one that is not to be given more.

        :returns: the number of the replay; 0 if another session is being given the backlog.
        """
        current = self._replaying
        if current is not None and current is not session and current.is_far_behind:
            self.end_replay(current)
        if self._replaying is not None:
            return 0
        self._replaying, self._held_bytes = session, 0
        self._replays += 1
        return self._replays

    def replays(self, number: int) -> bool:
        """Whether the replay of that number goes on."""
        return self._replaying is not None and self._replays == number

    def claim(self, session: Session, row: int, *, passing: bool = False) -> bool:
        """Whether a row of the backlog is to be sent to a session, which owes it from now on.

        :param passing: whether it is no part of the history.
        """
        if row <= self.mark or row in self.confirmed or row in self.owed:
            return False
        if passing:
            self.passing.add(row)
        self._owe(session, row)
        if self._shown.get(row) is not session:
            return True
        # From now on it counts.
        del self._shown[row]
        if row in self._seen:
            self.confirm((row,))
        return False

    def read_to(self, row: int) -> None:
        """All rows up to here have been claimed or are confirmed."""
        self.read_until = max(self.read_until, row)
        self._advance()

    def end_replay(self, session: Session) -> None:
        """The session has caught up: give it what came meanwhile."""
        if self._replaying is session:
            held, self._held, self._replaying = self._held, [], None
            for stanza, row in held:
                session.send(stanza, row)

    def take_unsent(self, session: Session) -> list[Stanza]:
        """A session has ended, or the server: messages that waited for its replay and stand in no row."""
        if self._replaying is not session:
            return []
        held, self._held, self._replaying = self._held, [], None
        return [stanza for stanza, row in held if row is None]

    # -- confirmation

    def confirm(self, rows: Iterable[int], by: Session | None = None) -> None:
        """A client has these rows, or nobody is to get them any more.

        :param by: its session; what it was only shown waits all the same, whoever owes it by now.
        """
        for row in rows:
            if by is not None and self._shown.get(row) is by:
                self._seen.add(row)
            elif row > self.mark:
                had = self._take_who_had(row)
                self.confirmed.add(row)
                if row in self.passing:
                    self._finish(row, [] if by is None else [session for session in had if session is not by])
        self._advance()

    def _take_who_had(self, row: int) -> list[Session]:
        """Sessions that were sent a row and have not acknowledged it; with that they owe it no more."""
        had = self.owed.pop(row, None) or self.wanted.pop(row, [])
        shown = self._shown.pop(row, None)
        if shown is not None and row not in self._seen:
            had.append(shown)
        self._seen.discard(row)
        return had

    def _finish(self, row: int, wanting: list[Session]) -> None:
        """A row that is no part of the history is confirmed: it goes, unless a session may read it again.

        It went at once, and a session that had been sent it as well, and kept no more of it than its
        position, was resumed without it. It is in no archive either.
        """
        if wanting:
            self.wanted[row] = wanting
        else:
            self.passing.discard(row)
            self._finished.append(row)

    def give_up(self, last: int) -> None:
        """Rows up to this one have expired: nobody is to get them any more."""
        for row in [row for row in self.owed if row <= last]:
            del self.owed[row]
        for row in [row for row in self._shown if row <= last]:
            del self._shown[row]
            self._seen.discard(row)
        self.passing = {row for row in self.passing if row > last}
        self.wanted = {row: wanting for row, wanting in self.wanted.items() if row > last}
        self.latest = max(self.latest, last)
        if last > self.mark:
            self.mark = last
            self.confirmed = {row for row in self.confirmed if row > last}
            self.read_until = max(self.read_until, last)
        self._advance()

    def erase(self, rows: Collection[int]) -> None:
        """Messages were erased: nobody is to get them any more."""
        self.passing.difference_update(rows)
        self.wanted = {row: wanting for row, wanting in self.wanted.items() if row not in rows}
        dropped = [row for _, row in self._held if row in rows]
        self._held = [(stanza, row) for stanza, row in self._held if row not in rows]
        self.confirm(row for row in dropped if row is not None)

    def gone(self, session: Session) -> None:
        """A session has ended: what it owed alone waits for another one."""
        self.take_unsent(session)
        for row in [row for row, shown in self._shown.items() if shown is session]:
            del self._shown[row]
            self._seen.discard(row)
        freed = []
        for row in [row for row, owing in self.owed.items() if session in owing]:
            left = [other for other in self.owed[row] if other is not session]
            if left:
                self.owed[row] = left
            else:
                del self.owed[row]
                freed.append(row)
        if freed:
            self.read_until = min(self.read_until, min(freed) - 1)
            self.backlog_until = self.latest
        self.confirm([row for row, wanting in self.wanted.items() if session in wanting], session)

    def _advance(self) -> None:
        mark = self.read_until if self.has_backlog else self.latest
        if (first := self._first_held()) is not None:
            mark = min(mark, first - 1)
        if mark > self.mark:
            self.mark = mark
            self.confirmed = {row for row in self.confirmed if row > mark}
            if self.passing:
                # Not all were confirmed: nobody is given a row that was erased while a session owed it.
                self._finished += [row for row in self.passing if row <= mark]
                self.passing = {row for row in self.passing if row > mark}
            self.read_until = max(self.read_until, mark)
            self._patience = MOST_CONFIRMED
        self._moved(self)

    def _first_held(self) -> int | None:
        """The first row that a session owes or wants; the mark does not pass it."""
        holding = self._holding
        while holding and holding[0] not in self.owed and holding[0] not in self.wanted:
            heappop(holding)
        return holding[0] if holding else None

    # -- what holds the mark for too long

    def relieve(self) -> bool:
        """Do not let thousands of confirmed rows wait for one that nobody confirms; to be called each second.

        Not while rows are given or confirmed: a session that ended in the middle of its replay went on
        claiming, and the mark passed what it had owed before.

        :returns: whether the backlog is what they wait for, and somebody is to be given it.
        """
        if len(self.confirmed) <= self._patience:
            return False
        first = self._first_held()
        if self.has_backlog and (first is None or first > self.read_until):
            self._patience = len(self.confirmed) + SOME
            return True
        if first in self.owed:
            self._press(first)
        else:
            self._give_up_wanted()
        return False

    def _press(self, row: int) -> None:
        """Hear from whoever owes a row; the second time it gives up on them, and others get it."""
        self._patience = len(self.confirmed) + SOME
        again, self._pressed = row == self._pressed, row
        for session in tuple(self.owed[row]):
            if again:
                session.close(StreamError("policy-violation", "You acknowledge nothing of what you are sent"))
            else:
                session.press()

    def _give_up_wanted(self) -> None:
        """Somebody has these rows: that others may read them again is not worth so much."""
        for _ in range(SOME):
            first = self._first_held()
            if first is None or first not in self.wanted:
                break
            del self.wanted[first]
            self._finish(first, [])
        self._advance()

    def take_finished(self) -> list[int]:
        """Confirmed rows that are no part of the history: they can be deleted."""
        finished, self._finished = self._finished, []
        return finished
