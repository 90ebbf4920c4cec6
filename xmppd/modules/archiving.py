"""What goes into the archives, before it goes anywhere else (XEP-0313, section 6.1; XEP-0334).

A message is written once in its sender's archive and once in its addressee's, whatever is forked or copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.classify import Verdict, may_be_kept_for_later, says_something, should_archive
from xmppd.core.context import Context
from xmppd.core.counters import hits
from xmppd.core.decision import Otherwise
from xmppd.core.events import MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.mailbox import Mailbox
from xmppd.core.module import Module, Xep, on
from xmppd.core.stanza import Stanza
from xmppd.modules.archive_preferences import ArchivePolicy, policy_of
from xmppd.modules.retention import Quota, quota_of
from xmppd.storage import archive_delivery

__all__ = ["Archiving", "Options"]


@dataclass(frozen=True)
class Options:
    """Options of archiving."""

    dont_archive_namespaces: tuple[str, ...] = (ns.CHAT_STATES,)
    """Elements of these namespaces are left out of what is archived, and messages with nothing else."""


class Archiving(Module):
    """Writes messages down as they pass."""

    name = "archiving"
    xeps = (Xep("0334", "1.0.0", "Message Processing Hints"),)
    Options = Options

    _policy: ArchivePolicy | None = None
    _quota: Quota | None = None

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._left_out = frozenset(options.dont_archive_namespaces)
        #: The last message, and what archives have of it: it is asked for twice in a row.
        self._last: tuple[Stanza | None, Stanza | None] = None, None

    async def start(self) -> None:
        """Find who decides, and what waits for delivery without being part of the history."""
        self._policy, self._quota = policy_of(self.context.host), quota_of(self.context.host)
        waiting = await self.context.database.read("passing messages", archive_delivery.passing)
        for account in self.context.registry.accounts():
            if account.jid.domain == self.context.domain.text and account.mailbox is not None:
                account.mailbox.passing.update(waiting.get(account.id or 0, ()))

    @on(MessageSending, Stage.ARCHIVE)
    def sent(self, event: MessageSending) -> None:
        """The sender's side."""
        account, stanza = event.account, event.stanza
        to = stanza.to
        if account.id is None or to is None or to.bare == account.jid:
            # A guest has no archive; a message to oneself is written when it arrives.
            return
        archived = self._archived(stanza) if self.verdict(account, stanza, to).yes else None
        if archived is None:
            return
        event.archived_as = self.context.archive.store(
            account, archived, outgoing=True, history=True, deliver=False, ticket=event.ticket
        )
        if self._quota is not None:
            self._quota.stored(account)

    @on(MessageArriving, Stage.ARCHIVE)
    def arrived(self, event: MessageArriving) -> None:
        """The addressee's side; from here on the message carries the id that the archive gave it."""
        account, stanza, decision = event.account, event.stanza, event.decision
        mailbox, sender = account.mailbox, stanza.sender
        if mailbox is None or not (decision.recipients or decision.otherwise is Otherwise.KEEP):
            return
        assert sender is not None
        archived = self._archived(stanza) if self.verdict(account, stanza, sender).yes else None
        history = archived is not None
        keep = may_be_kept_for_later(stanza).yes
        if keep and not history and self._is_full(mailbox):
            # Its sender does not hear of the limit: nobody else is to learn how much waits for a user.
            hits.hit("offline_messages")
            keep = False
        if not history and not keep:
            return
        if history and self._quota is not None:
            self._quota.admit(account)
        archive = self.context.archive
        row = archive.store(
            account, archived or stanza, outgoing=False, history=history, deliver=keep, ticket=event.ticket
        )
        if keep:
            event.row = row
            if not history:
                mailbox.passing.add(row)
        if history:
            event.archived_as = row
            event.stanza = archive.mark(account, stanza, row)

    # -- what is part of the history

    def verdict(self, account: Account, stanza: Stanza, peer: JID) -> Verdict:
        """Whether a message goes into an account's history, and why.

        :param peer: the addressee of what goes out, the sender of what comes in.
        """
        verdict = should_archive(stanza)
        if not verdict.yes:
            return verdict
        return verdict if self._policy is None else self._policy.wants(account, peer)

    def _archived(self, stanza: Stanza) -> Stanza | None:
        """What the archive has of a message; None where nothing is left of it.

        It is the same for both sides of a message that nobody has changed on its way.
        """
        if stanza is not self._last[0]:
            self._last = stanza, self._without_what_is_left_out(stanza)
        return self._last[1]

    def _without_what_is_left_out(self, stanza: Stanza) -> Stanza | None:
        left_out = self._left_out
        for child in stanza.children:
            if child[0] in left_out:
                kept = stanza.keep(lambda child: child[0] not in left_out)
                return kept if says_something(kept, left_out) else None
        return stanza

    def _is_full(self, mailbox: Mailbox) -> bool:
        """Whether no more may wait that is no part of the history, which has room for the rest."""
        most = self.context.limits.offline_messages
        return most is not None and len(mailbox.passing) - len(mailbox.wanted) >= most
