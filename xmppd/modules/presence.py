"""Presence: who is told that somebody comes, changes and goes (RFC 6121, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Session, Ticket
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError
from xmppd.core.events import (
    AccountCreated,
    AccountRemoved,
    PresenceArriving,
    PresenceSending,
    SessionAvailable,
    SessionEnded,
)
from xmppd.core.jid import JID
from xmppd.core.kinds import Between, Count
from xmppd.core.module import Module, on
from xmppd.core.roster import Audience, Roster
from xmppd.core.stanza import Stanza
from xmppd.core.subscriptions import FROM, TO, TYPES
from xmppd.modules.presence_stanzas import (
    DIRECTED,
    PROBE_ID,
    UNASKED,
    hide_effort,
    priority_of,
    show_presence,
    unavailable,
)
from xmppd.modules.roster_keeper import RosterKeeper, keeper_of

__all__ = ["Presence", "PresenceOptions"]

#: What the limit is called where it is counted.
MOST_DIRECTED: Final = "presence.directed"
hits.declare(MOST_DIRECTED)


@dataclass(frozen=True)
class PresenceOptions:
    """Options of the presence module."""

    directed: Annotated[Count, Between(1)] = 1000
    """Most addresses that a session may have sent presence to by itself."""


class Presence(Module):
    """Broadcast presence and directed presence."""

    name = "presence"
    Options = PresenceOptions

    _keeper: RosterKeeper

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._options: PresenceOptions = options
        self._router = context.router
        self._registry = context.registry

    async def start(self) -> None:
        """The rosters are kept by the roster module."""
        self._keeper = keeper_of(self.context.host)

    # -- who is local

    @on(AccountCreated)
    def created(self, event: AccountCreated) -> None:
        """It may be somebody's contact already."""
        self._forget_audiences()

    @on(AccountRemoved)
    def removed(self, event: AccountRemoved) -> None:
        """It may still be somebody's contact."""
        self._forget_audiences()

    def _forget_audiences(self) -> None:
        for roster in self._keeper.loaded():
            roster.audience = None

    # -- a local user sends

    @on(PresenceSending)
    def sending(self, event: PresenceSending) -> None:
        """Check what a client sends, and do it once its roster is there."""
        stanza, session, ticket = event.stanza, event.session, event.ticket
        kind = stanza.attrs.get("type")
        if kind in TYPES:
            return
        if kind is not None and kind not in ("unavailable", "probe", "error"):
            raise StanzaError("bad-request", "There is no such type of presence")
        if kind == "probe":
            hide_effort(self.context.clock, ticket)
        priority = priority_of(stanza) if kind is None and stanza.to is None else 0
        roster = self._keeper.get(event.account)
        if roster is not None:
            self._send(roster, session, stanza, priority, ticket)
        else:
            event.waiting = self._keeper.use(
                event.account,
                lambda read: self._send(read, session, stanza, priority, ticket),
                stanza,
                ticket,
            )

    def _send(
        self, roster: Roster, session: Session | None, stanza: Stanza, priority: int, ticket: Ticket
    ) -> None:
        kind = stanza.attrs.get("type")
        if stanza.to is not None:
            if session is not None and (kind is None or kind == "unavailable"):
                self._remember_directed(roster, session, stanza)
            self._router.arrive(stanza, ticket)
        elif session is not None and session in roster.account.sessions:
            if kind is None:
                self._become_available(roster, session, stanza, priority, ticket)
            elif kind == "unavailable":
                self._become_unavailable(roster, session, stanza, ticket)

    @on(SessionEnded)
    def ended(self, event: SessionEnded) -> None:
        """Whatever the reason: nobody is to think that it is still there (section 4.5.2)."""
        session = event.session
        gone = unavailable(session.jid)
        self._keeper.use(
            session.account, lambda roster: self._become_unavailable(roster, session, gone, None)
        )

    # -- broadcast (sections 4.2, 4.4 and 4.5)

    def _become_available(
        self, roster: Roster, session: Session, stanza: Stanza, priority: int, ticket: Ticket
    ) -> None:
        previous = session.priority
        session.priority, session.presence = priority, stanza
        self._broadcast(roster, stanza, ticket)
        self._tell_own(roster.account, stanza)
        if previous is None:
            self._learn(roster, session)
        self.context.hooks.run(SessionAvailable(session, previous))

    def _become_unavailable(
        self, roster: Roster, session: Session, stanza: Stanza, ticket: Ticket | None
    ) -> None:
        was_available = session.presence is not None
        if was_available:
            self._broadcast(roster, stanza, ticket)
            self._tell_own(roster.account, stanza)
        session.priority = session.presence = None
        for text in DIRECTED.get(session) or ():
            to = JID.known(text)
            if not (was_available and roster.may_see_presence(to)):
                self._router.arrive(stanza.readdressed(to=to), ticket)
        DIRECTED.set(session, None)

    def _broadcast(self, roster: Roster, stanza: Stanza, ticket: Ticket | None) -> None:
        local, remote = roster.audience or self._find_audience(roster)
        arrive = self._router.arrive
        for account in local:
            if account.sessions:
                arrive(stanza.readdressed(to=account.jid), ticket)
        for jid in remote:
            arrive(stanza.readdressed(to=jid), ticket)

    def _tell_own(self, account: Account, stanza: Stanza) -> None:
        """Everyone sees their own presence; all sessions get the same bytes."""
        own = stanza.readdressed(to=account.jid)
        for session in tuple(account.sessions):
            if session.presence is not None:
                session.send(own)

    def _find_audience(self, roster: Roster) -> Audience:
        local, remote = [], []
        for item in roster.items.values():
            if not item.state & FROM:
                continue
            if not self._registry.is_local(item.jid.domain):
                remote.append(item.jid)
            elif (account := self._registry.account(item.jid)) is not None:
                local.append(account)
            elif item.jid.domain != self.context.domain.text or not item.jid.local:
                # Nobody tells this domain when somebody comes to exist in another one.
                remote.append(item.jid)
        roster.audience = tuple(local), tuple(remote)
        return roster.audience

    # -- what a session that has just come sees (sections 4.2.2 and 4.3.1)

    def _learn(self, roster: Roster, session: Session) -> None:
        for other in tuple(roster.account.sessions):
            if other is not session and other.presence is not None:
                self._router.arrive(other.presence.readdressed(to=session.jid))
        for item in tuple(roster.items.values()):
            if item.state & TO:
                self._learn_about(item.jid, roster.account, session)

    def _learn_about(self, contact: JID, user: Account, session: Session) -> None:
        """Get the presence of a contact: from memory where that is possible, else with a probe."""
        account = self._registry.account(contact)
        if account is not None:
            if not account.sessions:
                return
            theirs = self._keeper.get(account)
            if theirs is not None and theirs.may_see_presence(user.jid):
                show_presence(self._router, account, session.jid)
                return
        attrs = {"type": "probe", "id": PROBE_ID}
        self._router.arrive(Stanza("presence", attrs, to=contact, sender=user.jid))

    # -- directed presence (section 4.6)

    def _remember_directed(self, roster: Roster, session: Session, stanza: Stanza) -> None:
        assert stanza.to is not None
        known = DIRECTED.get(session)
        if stanza.type == "unavailable":
            if known is not None:
                known.pop(stanza.to.text, None)
            return
        if session.presence is not None and roster.may_see_presence(stanza.to):
            return
        if known is None:
            DIRECTED.set(session, known := {})
        if stanza.to.text not in known and len(known) >= self._options.directed:
            most = self._options.directed
            raise StanzaError("policy-violation", f"Presence may go to {most} addresses ({MOST_DIRECTED})")
        known[stanza.to.text] = None

    # -- presence arrives (sections 8.5.2 and 8.5.3)

    @on(PresenceArriving)
    def arriving(self, event: PresenceArriving) -> None:
        """Give presence to those whom it is for."""
        stanza, account = event.stanza, event.account
        kind = stanza.attrs.get("type")
        if kind is None or kind == "unavailable" or (kind == "error" and stanza.id not in UNASKED):
            if self._keeper.is_reading(account):
                self._deliver_behind(stanza, account, event.ticket)
            else:
                self._deliver(stanza, account)

    def _deliver_behind(self, stanza: Stanza, account: Account, ticket: Ticket) -> None:
        """The user's own presence, or the subscription that this belongs to, may wait for the roster."""
        waiting = self._keeper.use(account, lambda _: None, None, ticket)
        assert waiting is not None
        waiting.addCallback(lambda _: self._deliver(stanza, account))

    def _deliver(self, stanza: Stanza, account: Account) -> None:
        to = stanza.to
        assert to is not None
        is_bare = not to.resource
        for session in tuple(account.sessions):
            if session.presence is not None if is_bare else session.jid == to:
                known = session.slots.get(DIRECTED.name)
                if known and stanza.sender is not None and stanza.type == "unavailable":
                    _leave_room(known, stanza, stanza.sender)
                session.send(stanza)


def _leave_room(directed: dict[str, None], stanza: Stanza, occupant: JID) -> None:
    """A room says that the user is no longer in it: it need not hear that from the user.

    People who seem to have gone may only have hidden, and still see the user (section 4.6.3).
    """
    if occupant.text in directed and stanza.has(ns.MUC_USER, "x"):
        del directed[occupant.text]
