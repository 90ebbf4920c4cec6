"""Subscriptions to presence: asking, granting, refusing, ending (RFC 6121, section 3 and appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Router, Session, Ticket
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError
from xmppd.core.events import (
    AccountRemoving,
    AccountStays,
    PresenceArriving,
    PresenceSending,
    SessionAvailable,
    SessionEnded,
)
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.kinds import Between, Bytes, Count
from xmppd.core.module import Module, on
from xmppd.core.roster import Roster
from xmppd.core.stanza import Stanza
from xmppd.core.subscriptions import FROM, PENDING_IN, PENDING_OUT, TO, TYPES, inbound, outbound
from xmppd.core.units import KIB
from xmppd.modules.blocking import is_blocked
from xmppd.modules.presence_stanzas import AGAIN_ID, hide_effort, hide_presence, show_presence
from xmppd.modules.roster_changes import INTERESTED, RosterChanges, changes_of
from xmppd.modules.roster_keeper import RosterKeeper, keeper_of
from xmppd.xml import tree

__all__ = ["Subscription", "SubscriptionOptions", "leave"]

#: What the limit is called where it is counted.
MOST_REQUESTS: Final = "subscription.requests"
hits.declare(MOST_REQUESTS)

_OWN: Final = "Everyone sees their own presence already"


@dataclass(frozen=True)
class SubscriptionOptions:
    """Options of the subscription module."""

    requests: Annotated[Count, Between(1)] = 100
    """Most subscription requests that wait for an account's answer; more are dropped."""
    request_bytes: Annotated[Bytes, Between(1024)] = 4 * KIB
    """Largest subscription request that is kept whole; of a larger one only the address is kept."""


def leave(router: Router, account: Account, contact: JID, state: int, ticket: Ticket | None) -> None:
    """End the subscriptions to and from a contact that is no longer in the roster (section 2.5.2)."""
    if state & (TO | PENDING_OUT):
        router.arrive(_presence("unsubscribe", account.jid, contact), ticket)
    if state & FROM:
        hide_presence(router, account, contact)
        router.arrive(_presence("unsubscribed", account.jid, contact), ticket)


def _presence(kind: str, sender: JID, to: JID, number: str | None = None) -> Stanza:
    attrs = {"type": kind} if number is None else {"type": kind, "id": number}
    return Stanza("presence", attrs, to=to, sender=sender)


def _between(stanza: Stanza, sender: JID, to: JID) -> Stanza:
    """A subscription is a matter of bare JIDs (section 3)."""
    return Stanza(stanza.kind, stanza.attrs, stanza.inner, stanza.children, to=to, sender=sender)


class Subscription(Module):
    """The states of subscriptions, with approval in advance."""

    name = "subscription"
    Options = SubscriptionOptions
    stream_features = (f"<sub xmlns='{ns.PREAPPROVAL}'/>".encode(),)

    _keeper: RosterKeeper
    _changes: RosterChanges

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._options: SubscriptionOptions = options
        self._router = context.router

    async def start(self) -> None:
        """The rosters are kept by the roster module."""
        self._keeper = keeper_of(self.context.host)
        self._changes = changes_of(self.context.host)

    # -- the user sends (appendix A.2)

    @on(PresenceSending)
    def sending(self, event: PresenceSending) -> None:
        """Change the user's side, and pass it on."""
        stanza, account, ticket = event.stanza, event.account, event.ticket
        if stanza.type not in TYPES:
            return
        if stanza.to is None:
            raise StanzaError("bad-request", "A subscription needs a 'to'")
        contact = stanza.to.bare
        if contact == account.jid:
            raise StanzaError("not-allowed", _OWN)
        hide_effort(self.context.clock, ticket)
        event.waiting = self._keeper.use(
            account,
            lambda roster: self._send(roster, contact, _between(stanza, account.jid, contact), ticket),
            stanza,
            ticket,
        )

    def _send(self, roster: Roster, contact: JID, stanza: Stanza, ticket: Ticket) -> None:
        assert stanza.type is not None
        before = roster.state(contact)
        step = outbound(before, stanza.type)
        if before & FROM & ~step.state:
            hide_presence(self._router, roster.account, contact)
        self._changes.set_state(roster, contact, step.state, ticket)
        if step.passes:
            self._router.arrive(stanza, ticket)
        if step.state & FROM & ~before:
            show_presence(self._router, roster.account, contact)

    # -- the contact sends (appendix A.3)

    @on(PresenceArriving)
    def arriving(self, event: PresenceArriving) -> None:
        """Change the user's side, and tell the user's clients."""
        stanza, account, ticket = event.stanza, event.account, event.ticket
        to, sender = stanza.to, stanza.sender
        if stanza.type not in TYPES or to is None or sender is None or sender.bare == account.jid:
            return
        if to.resource and stanza.type != "subscribe" and not _is_bound(account, to):
            return
        contact = sender.bare
        self._keeper.use(
            account,
            lambda roster: self._receive(roster, contact, _between(stanza, contact, account.jid), ticket),
            None,
            ticket,
        )

    def _receive(self, roster: Roster, contact: JID, stanza: Stanza, ticket: Ticket) -> None:
        assert stanza.type is not None
        before = roster.state(contact)
        step = inbound(before, stanza.type)
        if step.state & PENDING_IN & ~before and not self._keep_request(roster, contact, stanza, ticket):
            return
        if step.passes:
            self._deliver(roster.account, stanza)
        self._changes.set_state(roster, contact, step.state, ticket)
        if before & FROM & ~step.state:
            hide_presence(self._router, roster.account, contact)
        if step.answer is not None:
            self._router.arrive(_presence(step.answer, roster.account.jid, contact, stanza.id), ticket)
        if step.answer == "subscribed":
            # Also where that is no news here: who asks again has not seen it.
            show_presence(self._router, roster.account, contact)

    def _deliver(self, account: Account, stanza: Stanza) -> None:
        """A request goes to available resources; what changes the roster also to whoever asked for it."""
        is_request = stanza.type == "subscribe"
        for session in tuple(account.sessions):
            if session.presence is not None or (not is_request and INTERESTED.get(session)):
                session.send(stanza)

    # -- requests that wait for the user (section 3.1.3)

    def _keep_request(self, roster: Roster, contact: JID, stanza: Stanza, ticket: Ticket) -> bool:
        if len(roster.requests) >= self._options.requests:
            # No line in the log: whoever asks again and again would fill it.
            hits.hit(MOST_REQUESTS)
            return False
        if len(stanza.wire) > self._options.request_bytes:
            assert stanza.sender is not None
            stanza = _presence("subscribe", stanza.sender, roster.account.jid)
        self._changes.keep_request(roster, contact, stanza, ticket)
        return True

    @on(SessionAvailable)
    def available(self, event: SessionAvailable) -> None:
        """Ask the user again what is not answered yet, and others what the user has asked them."""
        session = event.session
        roster = self._keeper.get(session.account)
        if event.first and roster is not None:
            self._give_requests(roster, session)
            self._ask_again(roster)

    def _give_requests(self, roster: Roster, session: Session) -> None:
        account = roster.account
        for text, data in roster.requests.items():
            contact = JID.known(text)
            if not is_blocked(self.context.host, account, contact):
                session.send(_kept(data, contact, account.jid))

    def _ask_again(self, roster: Roster) -> None:
        """A request may have been lost on its way, or there was no such account yet (section 3.1.2)."""
        for item in tuple(roster.items.values()):
            if item.state & PENDING_OUT:
                self._router.arrive(_presence("subscribe", roster.account.jid, item.jid, AGAIN_ID))

    # -- the account goes

    @on(AccountRemoving)
    def removing(self, event: AccountRemoving) -> None:
        """Take leave of all contacts."""
        ticket = event.ticket
        self._keeper.use(event.account, lambda roster: self._leave_all(roster, ticket), None, ticket)

    @on(AccountStays)
    def stays(self, event: AccountStays) -> None:
        """The roster is what the disk has: that it was empty was in memory only."""
        self._keeper.begin_era()
        self._keeper.forget(event.account)

    @on(SessionEnded, Stage.COPY)
    def ended(self, event: SessionEnded) -> None:
        """What a guest has agreed on ends with its last session, after its presence (XEP-0175, 3)."""
        account = event.session.account
        if account.is_guest and not account.sessions:
            self._keeper.use(account, lambda roster: self._leave_all(roster, None))

    def _leave_all(self, roster: Roster, ticket: Ticket | None) -> None:
        items = tuple(roster.items.values())
        roster.items.clear()
        roster.requests.clear()
        roster.audience = None
        for item in items:
            leave(self._router, roster.account, item.jid, item.state, ticket)


def _is_bound(account: Account, jid: JID) -> bool:
    return any(session.jid == jid for session in account.sessions)


def _kept(data: bytes, sender: JID, to: JID) -> Stanza:
    """A request as it was kept, addresses as JIDs again."""
    found = tree.stanza(tree.parse(data))
    del found.attrs["from"], found.attrs["to"]
    return _between(found, sender, to)
