"""What goes into the archives, before it goes anywhere else (XEP-0313, section 6.1; XEP-0334).

A message is written once in its sender's archive and once in its addressee's, whatever is forked or copied.
"""

from __future__ import annotations

from xmppd.core.classify import may_be_kept_for_later, should_archive
from xmppd.core.decision import Otherwise
from xmppd.core.events import MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.core.mailbox import Mailbox
from xmppd.core.module import Module, Xep, on

__all__ = ["Archiving"]


class Archiving(Module):
    """Writes messages down as they pass."""

    name = "archiving"
    xeps = (Xep("0334", "1.0.0", "Message Processing Hints"),)

    @on(MessageSending, Stage.ARCHIVE)
    def sent(self, event: MessageSending) -> None:
        """The sender's side."""
        account, stanza = event.account, event.stanza
        if account.id is None or (stanza.to is not None and stanza.to.bare == account.jid):
            # A guest has no archive; a message to oneself is written when it arrives.
            return
        if should_archive(stanza).yes:
            archive = self.context.archive
            row = archive.store(
                account, stanza, outgoing=True, history=True, deliver=False, ticket=event.ticket
            )
            event.archived_as, event.stanza_id = row, archive.id_of(account, row)

    @on(MessageArriving, Stage.ARCHIVE)
    def arrived(self, event: MessageArriving) -> None:
        """The addressee's side; from here on the message carries the id that the archive gave it."""
        account, stanza, decision = event.account, event.stanza, event.decision
        mailbox = account.mailbox
        if mailbox is None or not (decision.recipients or decision.otherwise is Otherwise.KEEP):
            return
        history = should_archive(stanza).yes
        keep = may_be_kept_for_later(stanza).yes
        if keep and not history and self._is_full(mailbox):
            keep = False
        if not history and not keep:
            return
        archive = self.context.archive
        row = archive.store(
            account, stanza, outgoing=False, history=history, deliver=keep, ticket=event.ticket
        )
        if keep:
            event.row = row
            if not history:
                mailbox.passing.add(row)
        if history:
            event.stanza_id = archive.id_of(account, row)
            event.stanza = archive.mark(account, stanza, row)

    def _is_full(self, mailbox: Mailbox) -> bool:
        """Whether no more may wait that is no part of the history, which has room for the rest."""
        most = self.context.limits.offline_messages
        return most is not None and len(mailbox.passing) >= most
