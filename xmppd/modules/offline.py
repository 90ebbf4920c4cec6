"""Messages for nobody online wait in the archive and go to whoever comes first (XEP-0160; RFC 6121, 8.5.2.2).

There is no other store: what an account has not got yet is a position in its archive (`xmppd.core.mailbox`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.logger import Logger

from xmppd.core.account import Account
from xmppd.core.context import Session
from xmppd.core.events import BacklogHolds, SessionAvailable, SessionBound, SessionEnded
from xmppd.core.mailbox import Mailbox
from xmppd.core.module import Module, Xep, on
from xmppd.core.pauses import pause
from xmppd.core.slots import FETCHED_UNTIL
from xmppd.core.stanza import Stanza
from xmppd.modules.blocking import is_blocked
from xmppd.storage import archive_delivery
from xmppd.storage.archive_book import arrived
from xmppd.storage.errors import FaultError, StorageError
from xmppd.xml import delay

__all__ = ["Offline"]

_log = Logger()

#: Rows that are read at once; the next ones when the client has room for more.
SLICE: Final = 50
#: Seconds after which a replay is tried again that the database could not serve.
RETRY: Final = 5.0


class Offline(Module):
    """Gives a session what its account has not got yet."""

    name = "offline"
    xeps = (Xep("0160", "1.0.1", "Best Practices for Handling Offline Messages"),)
    features = ("msgoffline",)

    @on(SessionAvailable)
    def available(self, event: SessionAvailable) -> None:
        """A session's first non-negative presence, or its first after negative ones, starts the replay."""
        if event.previous is None or event.previous < 0:
            self._offer(event.session)

    @on(SessionBound)
    def bound(self, event: SessionBound) -> None:
        """A session of the last run was available before anybody looked for a backlog in this one."""
        self._offer(event.session)

    @on(SessionEnded)
    def ended(self, event: SessionEnded) -> None:
        """What a dead session still owed goes to another one, or waits."""
        account = event.session.account
        if account.mailbox is not None:
            account.mailbox.gone(event.session)
            self._offer_to_anyone(account)

    @on(BacklogHolds)
    def wanted(self, event: BacklogHolds) -> None:
        """What was only sent to a session of negative priority goes to another one in the end."""
        self._offer_to_anyone(event.account)

    # -- replay

    def _offer_to_anyone(self, account: Account) -> None:
        ready = [session for session in account.sessions if _is_ready(session)]
        if ready:
            self._offer(max(ready, key=lambda session: (not session.is_far_behind, session.priority or 0)))

    def _offer(self, session: Session) -> None:
        mailbox = session.account.mailbox
        if mailbox is None or not mailbox.has_backlog or not _is_ready(session):
            return
        if number := mailbox.begin_replay(session):
            self.context.spawn(self._replay(session, mailbox, number))

    async def _replay(self, session: Session, mailbox: Mailbox, number: int) -> None:
        """Give the backlog to a session; live messages wait behind it, also while it cannot be read."""
        try:
            while not await self._has_given_all(session, mailbox, number):
                await pause(self.context.clock, RETRY)
        finally:
            if mailbox.replays(number):
                mailbox.end_replay(session)
        if mailbox.has_backlog:
            self._offer_to_anyone(session.account)

    async def _has_given_all(self, session: Session, mailbox: Mailbox, number: int) -> bool:
        """Give what can be read; false if that is not all."""
        try:
            await self._give_all(session, mailbox, number)
        except StorageError as problem:
            _log.warn(
                "the backlog of {account} waits: {problem}", account=session.account, problem=str(problem)
            )
            return False
        return True

    async def _give_all(self, session: Session, mailbox: Mailbox, number: int) -> None:
        """Read the backlog in slices.

        :raises StorageError: it cannot be read now.
        """
        database, account = self.context.database, session.account
        while mailbox.has_backlog and mailbox.replays(number) and _is_ready(session):
            after, until, erasures = mailbox.read_until, mailbox.backlog_until, account.erasures
            rows = await database.read("backlog", archive_delivery.deliverable, account.id, after, SLICE)
            if database.faulted:
                raise FaultError("what waits to be written would be passed over")
            # What somebody else owed may have been set free meanwhile, before this place, or been erased.
            if mailbox.read_until != after or account.has_erased(erasures, [row.seq for row in rows]):
                continue
            if mailbox.replays(number):
                self._give(session, mailbox, rows, until)
                if session.is_far_behind:
                    # Nobody who is there waits for one who is not.
                    self._offer_to_anyone(account)
                await session.room()

    def _give(
        self, session: Session, mailbox: Mailbox, rows: Sequence[archive_delivery.Delivery], until: int
    ) -> None:
        after = mailbox.read_until
        for row in rows:
            if row.seq > until:
                break
            if mailbox.read_until != after or not _is_ready(session):
                # It has ended, and what it owed is free again: somebody else is given that first.
                return
            if mailbox.claim(session, row.seq, passing=not row.history):
                if row.history and row.seq <= FETCHED_UNTIL.get(session):
                    mailbox.confirm((row.seq,))
                else:
                    self._send(session, mailbox, row)
            if not session.has_room:
                # All of a slice in one go was too much for the buffer: each login was cut again.
                until = row.seq
                break
        else:
            if rows:
                # There may be more; it is seen when the next slice has none.
                until = rows[-1].seq
        if mailbox.read_until == after:
            mailbox.read_to(until)

    def _send(self, session: Session, mailbox: Mailbox, row: archive_delivery.Delivery) -> None:
        """Send a message as it would have arrived, with its id and the time of its reception."""
        try:
            message = self._message(session.account, row)
        except Exception:
            # One row that cannot be read must not keep the others.
            _log.failure("row {row} of {account} is broken", row=row.seq, account=session.account)
            mailbox.confirm((row.seq,))
            return
        if is_blocked(self.context.host, session.account, message.sender):
            # The user has blocked the sender since: it stays in the history, and is delivered to nobody.
            mailbox.confirm((row.seq,))
            return
        session.send(message, row.seq)

    def _message(self, account: Account, row: archive_delivery.Delivery) -> Stanza:
        message = arrived(row.stanza)
        if row.history:
            message = self.context.archive.mark(account, message, row.seq)
        return delay.delayed(message, row.seq / 1_000_000, self.context.domain)


def _is_ready(session: Session) -> bool:
    """Whether a session gets what waits for its account: bound, and of non-negative priority."""
    return session.priority is not None and session.priority >= 0 and session in session.account.sessions
