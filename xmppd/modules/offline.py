"""Messages for nobody online wait in the archive and go to whoever comes first (XEP-0160; RFC 6121, 8.5.2.2).

There is no other store: what an account has not got yet is a position in its archive (`xmppd.core.mailbox`).
"""

from __future__ import annotations

from xmppd.core.account import Account
from xmppd.core.context import Session
from xmppd.core.events import SessionAvailable, SessionBound, SessionEnded
from xmppd.core.mailbox import Mailbox
from xmppd.core.module import Module, Xep, on
from xmppd.core.stanza import Stanza
from xmppd.storage import archive
from xmppd.storage.archive_book import arrived
from xmppd.xml import delay

__all__ = ["Offline"]

#: Rows that are read at once.
SLICE = 100


class Offline(Module):
    """Gives a session what its account has not got yet."""

    name = "offline"
    xeps = (Xep("0160", "1.0.1", "Best Practices for Handling Offline Messages"),)
    features = ("msgoffline",)

    @on(SessionAvailable)
    def available(self, event: SessionAvailable) -> None:
        """A session's first non-negative presence, or its first after negative ones, starts the replay."""
        session = event.session
        was_ready = event.previous is not None and event.previous >= 0
        if session.priority is not None and session.priority >= 0 and not was_ready:
            self._offer(session)

    @on(SessionBound)
    def bound(self, event: SessionBound) -> None:
        """A session of the last run was available before anybody looked for a backlog in this one."""
        if event.session.priority is not None and event.session.priority >= 0:
            self._offer(event.session)

    @on(SessionEnded)
    def ended(self, event: SessionEnded) -> None:
        """What a dead session still owed goes to another one, or waits."""
        account = event.session.account
        mailbox = account.mailbox
        if mailbox is not None and mailbox.gone(event.session):
            for session in account.sessions:
                if session.priority is not None and session.priority >= 0:
                    self._offer(session)
                    return

    def _offer(self, session: Session) -> None:
        mailbox = session.account.mailbox
        if mailbox is not None and mailbox.has_backlog and not mailbox.is_replaying():
            self.context.spawn(self._replay(session, session.account, mailbox))

    async def _replay(self, session: Session, account: Account, mailbox: Mailbox) -> None:
        """Read the backlog in slices and give it to a session; live messages wait behind it."""
        mailbox.begin_replay(session)
        try:
            while mailbox.has_backlog and session in account.sessions and session.priority is not None:
                until = mailbox.backlog_until
                rows = await self.context.database.read(
                    "backlog", archive.deliverable, account.id, mailbox.read_until, SLICE
                )
                for row in rows:
                    if session not in account.sessions:
                        return
                    if row.seq <= until and mailbox.wanted(row.seq):
                        mailbox.replay(session, self._message(account, row), row.seq)
                    mailbox.read_to(min(row.seq, until))
                if len(rows) < SLICE:
                    mailbox.read_to(until)
        finally:
            mailbox.end_replay(session)

    def _message(self, account: Account, row: archive.Delivery) -> Stanza:
        """The message as it would have arrived, with its id and the time of its reception."""
        message = arrived(row.stanza)
        if row.history:
            message = self.context.archive.mark(account, message, row.seq)
        return delay.delayed(message, row.seq / 1_000_000, self.context.domain)
