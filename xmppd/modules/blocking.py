"""Blocking (XEP-0191): nothing from whom a user has blocked, and nothing to them.

All lists are in memory: they are asked for every stanza.  The user's own resources and the server itself
are never blocked, whatever the list says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Final, cast

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.addresses import LONGEST_LISTED, parse_all
from xmppd.core.context import Context, Host
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError
from xmppd.core.events import (
    AccountRemoved,
    IqArriving,
    IqSending,
    MessageArriving,
    MessageSending,
    PresenceArriving,
    PresenceLeaving,
    PresenceSending,
    SessionEnded,
)
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.kinds import Between, Count
from xmppd.core.module import IqRequest, Module, Payload, Xep, iq, on
from xmppd.core.roster import Roster
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza, escape_attribute
from xmppd.core.subscriptions import FROM, TO
from xmppd.modules.presence_stanzas import DIRECTED, PROBE_ID, hide_presence, show_presence, unavailable
from xmppd.modules.roster_keeper import keeper_of
from xmppd.storage import blocking as store
from xmppd.xml import tree

__all__ = ["Blocking", "Options", "is_blocked", "matches"]

#: Whether a session has asked for the list, and is told of changes.
INTERESTED: Final[Slot[bool]] = Slot("blocking.interested", False)

#: What the limit is called where it is counted.
MOST_ITEMS: Final = "blocking.items"
hits.declare(MOST_ITEMS)


@dataclass(frozen=True)
class Options:
    """Options of blocking."""

    items: Annotated[Count, Between(1)] = 1000
    """Most addresses that an account may block."""


def matches(blocked: set[str], jid: JID) -> bool:
    """Whether a list has a JID: as it is, its bare JID, its domain with its resource, or its domain."""
    if jid.bare.text in blocked or jid.domain in blocked:
        return True
    if not jid.resource:
        return False
    return jid.text in blocked or f"{jid.domain}/{jid.resource}" in blocked


def is_blocked(host: Host, account: Account, peer: JID | None) -> bool:
    """Whether an account has blocked someone: for what came before, and would be given to the user now."""
    blocking = cast("Blocking | None", host.modules.get("blocking"))
    return blocking is not None and blocking.is_blocked(account, peer)


class Blocking(Module):
    """Keeps the block lists, and everything behind them."""

    name = "blocking"
    xeps = (Xep("0191", "1.3", "Blocking Command"),)
    Options = Options
    features = (ns.BLOCKING,)
    account_features = (ns.BLOCKING,)

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context, options)
        self._options: Options = options
        #: The lists of the accounts that have one.
        self._lists: dict[Account, set[str]] = {}
        self._push_numbers = count(1)

    async def start(self) -> None:
        """Read all lists."""
        context = self.context
        for name, jid in await context.database.read("block lists", store.load_domain, context.domain.text):
            account = context.registry.account(JID.make(name, context.domain.text))
            if account is not None:
                self._lists.setdefault(account, set()).add(jid)

    @on(AccountRemoved)
    def removed(self, event: AccountRemoved) -> None:
        """Its list is gone with it."""
        self._lists.pop(event.account, None)

    @on(SessionEnded)
    def ended(self, event: SessionEnded) -> None:
        """A guest does not come back."""
        account = event.session.account
        if account.is_guest and not account.sessions:
            self._lists.pop(account, None)

    # -- what it keeps away

    def is_blocked(self, account: Account, peer: JID | None) -> bool:
        """Whether an account wants to have nothing to do with someone."""
        blocked = self._lists.get(account)
        if blocked is None or peer is None or peer.bare == account.jid or peer == self.context.domain:
            return False
        return matches(blocked, peer)

    def _refuse_sending(self, account: Account, stanza: Stanza) -> None:
        if self.is_blocked(account, stanza.to):
            app = (ns.BLOCKING_ERRORS, "blocked")
            raise StanzaError("not-acceptable", "You have blocked this address", type="cancel", app=app)

    @on(MessageSending, Stage.BLOCK)
    def message_sending(self, event: MessageSending) -> None:
        """Nothing to whom the user has blocked."""
        if event.account in self._lists:
            self._refuse_sending(event.account, event.stanza)

    @on(IqSending, Stage.BLOCK)
    def iq_sending(self, event: IqSending) -> None:
        """Nothing to whom the user has blocked."""
        if event.account in self._lists:
            self._refuse_sending(event.account, event.stanza)

    @on(PresenceSending, Stage.BLOCK)
    def presence_sending(self, event: PresenceSending) -> None:
        """Nothing to whom the user has blocked."""
        if event.account in self._lists:
            self._refuse_sending(event.account, event.stanza)

    @on(MessageArriving, Stage.BLOCK)
    def message_arriving(self, event: MessageArriving) -> None:
        """The sender learns that it was not delivered."""
        if event.account in self._lists and self.is_blocked(event.account, event.stanza.sender):
            raise StanzaError("service-unavailable")

    @on(IqArriving, Stage.BLOCK)
    def iq_arriving(self, event: IqArriving) -> None:
        """A request is refused; answers vanish, since nothing answers them."""
        if event.account in self._lists and self.is_blocked(event.account, event.stanza.sender):
            raise StanzaError("service-unavailable")

    @on(PresenceArriving, Stage.BLOCK)
    def presence_arriving(self, event: PresenceArriving) -> bool:
        """Presence vanishes; also what the server sends for a user to someone whom the user has blocked."""
        if not self._lists:
            return False
        sender, to = event.stanza.sender, event.stanza.to
        if self.is_blocked(event.account, sender):
            return True
        theirs = self.context.registry.account(sender) if sender is not None else None
        return theirs is not None and self.is_blocked(theirs, to)

    @on(PresenceLeaving, Stage.BLOCK)
    def presence_leaving(self, event: PresenceLeaving) -> bool:
        """Such presence to other domains: broadcasts, probes, repeated requests, ends of subscriptions."""
        return event.account in self._lists and self.is_blocked(event.account, event.stanza.to)

    # -- the list (sections 3.2 to 3.5)

    @iq("get", ns.BLOCKING, "blocklist", "account")
    def blocklist(self, request: IqRequest) -> Payload:
        """The list; the session is told of its changes from now on."""
        account = _own(request)
        if request.session is not None:
            INTERESTED.set(request.session, True)
        return ns.BLOCKING, "blocklist", _element("blocklist", sorted(self._lists.get(account, ())))

    @iq("set", ns.BLOCKING, "block", "account")
    async def block(self, request: IqRequest) -> Payload:
        """Block addresses; the answer comes when that is on the disk."""
        account = _own(request)
        jids = await self._items(request, "block")
        if not jids:
            raise StanzaError("bad-request", "Nobody to block")
        most = self._options.items
        if len(self._lists.get(account, set()).union(jids)) > most:
            raise StanzaError("policy-violation", f"An account may block {most} addresses ({MOST_ITEMS})")
        # Nothing is waited for behind the disk: lists in memory change in the order of those on it.
        roster = await self._roster(account)
        if account.id is not None:
            await self.context.database.write("block", store.add, account.id, list(jids))
        self._hide(account, roster, set(jids))
        self._lists.setdefault(account, set()).update(jids)
        self._push(account, "block", jids)
        return None

    @iq("set", ns.BLOCKING, "unblock", "account")
    async def unblock(self, request: IqRequest) -> Payload:
        """Unblock addresses, or all of them; the answer comes when that is on the disk."""
        account = _own(request)
        jids = await self._items(request, "unblock")
        roster = await self._roster(account)
        if account.id is not None and jids:
            await self.context.database.write("unblock", store.remove, account.id, list(jids))
        elif account.id is not None:
            await self.context.database.write("unblock all", store.clear, account.id)
        before = self._lists.pop(account, set())
        after = before.difference(jids) if jids else set()
        if after:
            self._lists[account] = after
        self._show(account, roster, before, after)
        self._push(account, "unblock", jids)
        return None

    async def _items(self, request: IqRequest, name: str) -> dict[str, None]:
        """The addresses in a request, each once, in their order.

        :raises StanzaError: ``bad-request`` for an item without address, ``jid-malformed``.
        """
        payload = tree.child(request.stanza, ns.BLOCKING, name)
        assert payload is not None
        items = [child for child in payload.elements() if (child.uri, child.name) == (ns.BLOCKING, "item")]
        try:
            found = await parse_all([item.attributes["jid"] for item in items], self.context.clock)
        except KeyError:
            raise StanzaError("bad-request", "An item without jid") from None
        except InvalidJID:
            raise StanzaError("jid-malformed", "One of the addresses is none") from None
        if any(len(jid.text.encode()) > LONGEST_LISTED for jid in found):
            text = f"An address of more than {LONGEST_LISTED} bytes cannot be blocked"
            raise StanzaError("not-acceptable", text)
        return {jid.text: None for jid in found}

    def _push(self, account: Account, name: str, jids: Iterable[str]) -> None:
        payload = _element(name, jids)
        children = ((ns.BLOCKING, name, 0, len(payload)),)
        attrs = {"type": "set", "id": f"block-{next(self._push_numbers)}"}
        for session in tuple(account.sessions):
            if INTERESTED.get(session):
                session.send(Stanza("iq", attrs, payload, children, to=session.jid, sender=account.jid))

    # -- presence (sections 3.3 and 3.4)

    async def _roster(self, account: Account) -> Roster | None:
        if "roster" not in self.context.host.modules:
            return None
        return await keeper_of(self.context.host).load(account)

    def _hide(self, account: Account, roster: Roster | None, added: set[str]) -> None:
        """Seem to go away, for those who see the user, before the new items hold."""
        router = self.context.router
        for contact in _contacts(roster, added, FROM):
            if not self.is_blocked(account, contact):
                hide_presence(router, account, contact)
        for session in tuple(account.sessions):
            directed = DIRECTED.get(session) or {}
            for to in [jid for jid in map(JID.known, directed) if matches(added, jid)]:
                router.arrive(unavailable(session.jid, to))
                directed.pop(to.text, None)

    def _show(self, account: Account, roster: Roster | None, before: set[str], after: set[str]) -> None:
        """Seem to come back, for those who see the user, and ask how those are whom the user sees."""
        router = self.context.router
        for contact in _contacts(roster, before, FROM):
            if not matches(after, contact):
                show_presence(router, account, contact)
        if any(session.available for session in account.sessions):
            for contact in _contacts(roster, before, TO):
                if not matches(after, contact):
                    attrs = {"type": "probe", "id": PROBE_ID}
                    router.arrive(Stanza("presence", attrs, to=contact, sender=account.jid))


def _contacts(roster: Roster | None, listed: set[str], state: int) -> list[JID]:
    """Whom a list means among those in a roster who stand like that: contacts, and resources of contacts."""
    if roster is None:
        return []
    wanted = {text: item.jid for text, item in roster.items.items() if item.state & state}
    found = [jid for jid in wanted.values() if matches(listed, jid)]
    resources = [jid for jid in map(JID.known, listed) if jid.resource and jid.bare.text in wanted]
    return found + [jid for jid in resources if not matches(listed, jid.bare)]


def _own(request: IqRequest) -> Account:
    """The account, if its own user asks; to others it is one that does not exist."""
    if request.account is None or not request.is_own:
        raise StanzaError("service-unavailable")
    return request.account


def _element(name: str, jids: Iterable[str]) -> bytes:
    items = "".join(f"<item jid='{escape_attribute(jid)}'/>" for jid in jids)
    return f"<{name} xmlns='{ns.BLOCKING}'>{items}</{name}>".encode()
