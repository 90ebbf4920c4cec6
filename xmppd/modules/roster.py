"""The roster: retrieving it, changing it, and telling clients of changes (RFC 6121, section 2)."""

from __future__ import annotations

import re
from typing import Any

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Context, Ticket
from xmppd.core.errors import StanzaError
from xmppd.core.events import AccountRemoved, SessionBound, SessionEnded
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.limits import Limits
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq, on
from xmppd.core.roster import Item
from xmppd.core.roster import Roster as Contacts
from xmppd.modules.roster_changes import INTERESTED, RosterChanges
from xmppd.modules.roster_keeper import RosterKeeper, Saved
from xmppd.modules.roster_xml import item_element, query_element, read_wish, version_text
from xmppd.modules.subscription import leave
from xmppd.storage import roster as store
from xmppd.xml import tree

__all__ = ["Roster"]


class Roster(Module):
    """Rosters of all accounts, with versions.

    :ivar keeper: the rosters in memory.
    :ivar changes: what changes them.
    """

    name = "roster"
    xeps = (
        Xep("RFC 6121", "2011-03", "XMPP: Instant Messaging and Presence"),
        Xep("0237", "1.3", "Roster Versioning"),
    )
    features = (ns.ROSTER,)
    stream_features = (f"<ver xmlns='{ns.ROSTER_VERSIONING}'/>".encode(),)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self.keeper = RosterKeeper(context)
        self.changes = RosterChanges(context, self.keeper)
        self._limits: Limits = context.limits

    async def start(self) -> None:
        """Find out whether the versions that clients know can be trusted."""
        await self.keeper.start()

    async def stop(self) -> None:
        """All that clients were told of is on the disk, or will be before the database is closed."""
        self.keeper.stop()

    # -- what is in memory

    @on(SessionBound)
    def bound(self, event: SessionBound) -> None:
        """The client will want its roster soon."""
        self.keeper.wake(event.session.account)

    @on(SessionEnded, Stage.NOTIFY)
    def ended(self, event: SessionEnded) -> None:
        """Its contacts have been told: the roster may go."""
        self.keeper.rest(event.session.account)

    @on(AccountRemoved, Stage.NOTIFY)
    def removed(self, event: AccountRemoved) -> None:
        """The rows are gone, too."""
        self.keeper.forget(event.account)

    async def may_see_presence(self, of: JID, viewer: JID) -> bool:
        """Whether someone is subscribed to the presence of an account here (`xmppd.core.visibility`).

        For whoever is not, it is one query in any case: the time does not tell whether there is such an
        account, or whether its user is there.
        """
        account = self.context.registry.account(of)
        known = None if account is None else self.keeper.get(account)
        if known is not None and known.may_see_presence(viewer):
            return True
        stored = await self.context.database.read(
            "subscriber", store.is_subscriber, of.domain, of.local, viewer.bare.text
        )
        return bool(stored) and known is None

    # -- retrieving (section 2.1.3, and 2.6 for versions)

    @iq("get", ns.ROSTER, "query", "account", owner=True)
    async def get(self, request: IqRequest) -> Payload:
        """All of the roster, or nothing if the client can be told what has changed since it had it."""
        account = _own(request)
        query = tree.child(request.stanza, ns.ROSTER, "query")
        assert query is not None
        if next(query.elements(), None) is not None:
            raise StanzaError("bad-request", "A request for the roster has no items")
        roster = await self.keeper.load(account)
        changes = None
        known = _known_version(roster, query.getAttribute("ver"))
        if known is not None:
            changes = await self.changes.since(roster, known)
        if request.session is not None:
            INTERESTED.set(request.session, True)
            self.changes.catch_up(request.session, changes or [])
        if changes is not None:
            return None
        items = map(item_element, roster.items.values())
        return ns.ROSTER, "query", query_element(roster, roster.version, items)

    # -- changing (sections 2.3 to 2.5)

    @iq("set", ns.ROSTER, "query", "account", owner=True)
    async def set(self, request: IqRequest) -> Payload:
        """Add, change or remove a contact; the answer comes when that is on the disk."""
        account = _own(request)
        query = tree.child(request.stanza, ns.ROSTER, "query")
        assert query is not None
        wish = read_wish(query, account, self._limits)
        roster = await self.keeper.load(account)
        saved = Saved()
        if wish.remove:
            self._remove(roster, wish.jid, saved)
        else:
            known = roster.items.get(wish.jid.text)
            state = 0 if known is None else known.state
            self.changes.put(roster, Item(wish.jid, wish.name, wish.groups, state), saved)
        await saved.wait()
        return None

    def _remove(self, roster: Contacts, contact: JID, ticket: Ticket) -> None:
        item = roster.items.get(contact.text)
        if item is None:
            raise StanzaError("item-not-found", "There is no such contact in the roster")
        self.changes.remove(roster, contact, ticket)
        leave(self.context.router, roster.account, contact, item.state, ticket)


def _own(request: IqRequest) -> Account:
    """The account, if its own user asks (section 2.1.5)."""
    if request.account is None or not request.is_own:
        raise StanzaError("forbidden", "A roster is only for its owner")
    return request.account


def _known_version(roster: Contacts, text: str | None) -> int | None:
    """The version that a client says it knows, if it is one of this roster."""
    match = re.fullmatch("[0-9]{1,15}-([0-9]{1,15})(-[0-9a-f]{8})?", text or "")
    if match is None:
        return None
    version = int(match[1])
    return version if text == version_text(roster, version) else None
