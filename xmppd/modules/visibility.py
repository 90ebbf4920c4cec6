"""What others may know of an account's resources (RFC 6121, sections 4.3.2, 4.6.6 and 8.5.3)."""

from __future__ import annotations

from xmppd.core.account import Account
from xmppd.core.context import Session
from xmppd.core.errors import StanzaError
from xmppd.core.events import IqArriving, PresenceArriving
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.module import Module, on
from xmppd.core.roster import Roster
from xmppd.core.stanza import Stanza
from xmppd.core.subscriptions import answer_to_probe, refusal_of_probe
from xmppd.modules.presence_stanzas import has_directed, show_presence
from xmppd.modules.roster_keeper import RosterKeeper, keeper_of
from xmppd.storage import last_activity
from xmppd.xml.delay import delayed

__all__ = ["Visibility"]


class Visibility(Module):
    """Answers probes, and keeps requests of strangers from resources."""

    name = "visibility"

    _keeper: RosterKeeper

    async def start(self) -> None:
        """The rosters are kept by the roster module."""
        self._keeper = keeper_of(self.context.host)

    # -- probes (sections 4.3.2 and 4.6.6)

    @on(PresenceArriving)
    def arriving(self, event: PresenceArriving) -> None:
        """Somebody asks for an account's presence."""
        stanza = event.stanza
        if stanza.type == "probe":
            self._keeper.use(event.account, lambda roster: self._answer(roster, stanza), None, event.ticket)

    def _answer(self, roster: Roster, probe: Stanza) -> None:
        assert probe.to is not None
        assert probe.sender is not None
        if probe.to.resource:
            self.context.router.arrive(self._about_resource(roster, probe, probe.to, probe.sender))
        elif not roster.may_see_presence(probe.sender):
            self.context.router.arrive(refusal_of_probe(probe))
        elif _is_there(roster.account):
            show_presence(self.context.router, roster.account, probe.sender)
        else:
            self.context.spawn(self._tell_gone(roster, probe, probe.to, probe.sender))

    def _about_resource(self, roster: Roster, probe: Stanza, to: JID, viewer: JID) -> Stanza:
        """Tell of one resource only whether it is there."""
        session = next((each for each in roster.account.sessions if each.jid == to), None)
        directed = session is not None and has_directed(session, viewer)
        if not directed and not roster.may_see_presence(viewer):
            return refusal_of_probe(probe)
        if session is not None and (directed or session.presence is not None):
            return Stanza("presence", {}, to=viewer, sender=to)
        return answer_to_probe(probe, "unavailable", to, viewer)

    async def _tell_gone(self, roster: Roster, probe: Stanza, to: JID, viewer: JID) -> None:
        """Tell that nobody is there, and since when."""
        account = roster.account
        answer = answer_to_probe(probe, "unavailable", to, viewer)
        if account.id is not None:
            last = await self.context.database.read("last activity", last_activity.load, account.id)
            if _is_there(account) or not roster.may_see_presence(viewer):
                # That has changed meanwhile, and the viewer was told.
                return
            if last is not None:
                answer = delayed(answer, last.at)
        self.context.router.arrive(answer)

    # -- requests to a resource (section 8.5.3.1)

    @on(IqArriving, Stage.STRIP)
    def asking(self, event: IqArriving) -> None:
        """Only who sees that a resource is there may ask it something; so may its server."""
        to, sender = event.stanza.to, event.stanza.sender
        if to is None or sender is None or not to.resource or sender == self.context.domain:
            return
        if event.stanza.type in ("get", "set"):
            session = self.context.registry.session(to)
            if session is not None and not self.shares_presence(session, sender):
                raise StanzaError("service-unavailable")

    def shares_presence(self, session: Session, viewer: JID) -> bool:
        """Whether the viewer has a subscription, or got presence from the session itself (section 4.6)."""
        if has_directed(session, viewer):
            return True
        roster = self._keeper.get(session.account)
        return roster is not None and roster.may_see_presence(viewer)


def _is_there(account: Account) -> bool:
    return any(session.presence is not None for session in account.sessions)
