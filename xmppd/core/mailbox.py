"""Which messages an account has certainly got: a low-water mark over the rows of its archive.

A message is written once, in the archive; offline delivery is only a position in it.  Every row to deliver
at or below the mark is confirmed.  Confirmations above it stand in a small set, and a row that a live or
resumable session still owes holds the mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmppd.core.context import Session
    from xmppd.core.stanza import Stanza

__all__ = ["Mailbox"]


class Mailbox:
    """The rows to deliver of one account.

    :param mark: rows at or below it are confirmed.
    :param confirmed: rows above the mark that are confirmed.
    :param latest: the greatest sequence in use when the server started: there may be rows up to it.
    :param moved: called when `mark` or `confirmed` have changed and want to be written down.
    """

    __slots__ = ("_holding", "_moved", "backlog_until", "confirmed", "latest", "mark", "owed", "read_until")

    def __init__(
        self, mark: int, confirmed: Iterable[int], latest: int, moved: Callable[[Mailbox], None]
    ) -> None:
        self.mark = mark
        self.confirmed = set(confirmed)
        self.latest = self.backlog_until = max(latest, mark)
        #: Rows up to here are confirmed or owed; those behind it, up to `backlog_until`, are on the disk only.
        self.read_until = mark
        self.owed: dict[int, list[Session]] = {}
        self._holding: dict[int, list[tuple[Stanza, int | None]]] = {}
        self._moved = moved

    @property
    def has_backlog(self) -> bool:
        """Whether there may be rows on the disk that nobody has been given."""
        return self.read_until < self.backlog_until

    # -- delivery

    def deliver(self, session: Session, stanza: Stanza, row: int | None) -> None:
        """Give a message to a session, behind what is being replayed to it."""
        held = self._holding.get(id(session))
        if held is not None:
            held.append((stanza, row))
        if row is not None:
            self._owe(session, row)
        if held is None:
            session.send(stanza, row)

    def _owe(self, session: Session, row: int) -> None:
        self.owed.setdefault(row, []).append(session)
        self.latest = max(self.latest, row)

    def restore(self, session: Session, rows: Iterable[int]) -> None:
        """A session of the last run owes these rows still."""
        for row in rows:
            if row > self.mark and row not in self.confirmed:
                self._owe(session, row)

    def wait(self, row: int) -> None:
        """Nobody is there: the row waits on the disk."""
        self.latest = max(self.latest, row)
        self.backlog_until = self.latest

    # -- replay

    def begin_replay(self, session: Session) -> None:
        """Live messages to this session wait until `end_replay`, so that all come in order."""
        self._holding[id(session)] = []

    def is_replaying(self) -> bool:
        """Whether some session is being given the backlog."""
        return bool(self._holding)

    def replay(self, session: Session, stanza: Stanza, row: int) -> None:
        """Give a row of the backlog to a session."""
        self._owe(session, row)
        session.send(stanza, row)

    def wanted(self, row: int) -> bool:
        """Whether a row of the backlog still waits for somebody."""
        return row > self.mark and row not in self.confirmed and row not in self.owed

    def read_to(self, row: int) -> None:
        """All rows up to here have been given out or are confirmed."""
        self.read_until = max(self.read_until, row)
        self._advance()

    def end_replay(self, session: Session) -> None:
        """The session has caught up: give it what came meanwhile."""
        for stanza, row in self._holding.pop(id(session), ()):
            session.send(stanza, row)

    # -- confirmation

    def confirm(self, rows: Iterable[int]) -> None:
        """A client has these rows."""
        for row in rows:
            if row > self.mark:
                self.owed.pop(row, None)
                self.confirmed.add(row)
        self._advance()

    def gone(self, session: Session) -> bool:
        """A session has ended without confirming what it owed: that waits for another one.

        :returns: whether there is something for another session.
        """
        self._holding.pop(id(session), None)
        left = [row for row, owing in self.owed.items() if session in owing]
        freed = []
        for row in left:
            owing = self.owed[row]
            owing[:] = [other for other in owing if other is not session]
            if not owing:
                del self.owed[row]
                freed.append(row)
        if freed:
            self.read_until = min(self.read_until, min(freed) - 1)
            self.backlog_until = self.latest
        return bool(freed)

    def _advance(self) -> None:
        frontier = self.read_until if self.has_backlog else self.latest
        mark = min(min(self.owed) - 1, frontier) if self.owed else frontier
        if mark > self.mark:
            self.mark = mark
            self.confirmed = {row for row in self.confirmed if row > mark}
            self.read_until = max(self.read_until, mark)
        self._moved(self)
