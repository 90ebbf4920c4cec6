"""What a dead session never acknowledged and no archive keeps (XEP-0198, section 4; RFC 6121, section 8).

Messages that are to be delivered stand in the archive and wait there by themselves (`offline`).  Of the rest,
messages go to another resource or back to their sender, requests are answered, and what means nothing
without that session is dropped.
"""

from __future__ import annotations

from typing import Final

from xmppd.core.account import Account
from xmppd.core.classify import is_carbon, is_state_only
from xmppd.core.errors import StanzaError
from xmppd.core.events import SessionEnded
from xmppd.core.hooks import Stage
from xmppd.core.module import Module, on
from xmppd.core.stanza import Stanza
from xmppd.modules.blocking import is_blocked
from xmppd.routing.delivery import decide
from xmppd.xml.delay import delayed

__all__ = ["Undelivered"]

_PUBSUB_EVENT: Final = "http://jabber.org/protocol/pubsub#event"


class Undelivered(Module):
    """Deals with each such stanza once, when the session has ended for good."""

    name = "undelivered"

    @on(SessionEnded, Stage.NOTIFY)
    def ended(self, event: SessionEnded) -> None:
        """The session is no longer among those of its account.

        What the server made for this account means nothing to others: results, pushes, copies.
        """
        account = event.session.account
        for stanza, at in event.unacknowledged:
            if stanza.sender not in (None, account.jid, self.context.domain):
                if stanza.kind == "iq":
                    self._answer(stanza)
                elif stanza.kind == "message" and self._was_last(stanza):
                    self._pass_on(stanza, at, account)

    @staticmethod
    def _was_last(stanza: Stanza) -> bool:
        """Whether no other session has it, or has had it."""
        stanza.holders -= 1
        return stanza.holders <= 0

    def _answer(self, stanza: Stanza) -> None:
        if stanza.type in ("get", "set"):
            self.context.router.refuse(stanza, StanzaError("service-unavailable"))

    def _pass_on(self, stanza: Stanza, at: float, account: Account) -> None:
        """Give a message to another resource, neither archived nor copied again, or back to its sender."""
        kind = stanza.message_type
        if kind in ("error", "headline") or is_carbon(stanza) or stanza.has_namespace(_PUBSUB_EVENT):
            return
        blocked = is_blocked(self.context.host, account, stanza.sender)
        others = () if blocked else decide(kind, account.jid, account.sessions).recipients
        if not others:
            if blocked or not is_state_only(stanza):
                self.context.router.refuse(stanza, StanzaError("service-unavailable"))
            return
        passed_on = delayed(stanza, at, self.context.domain)
        passed_on.holders = len(others)
        for session in others:
            session.send(passed_on)
