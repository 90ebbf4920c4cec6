"""Changes of rosters: made in memory, written down, pushed to the user's clients (RFC 6121, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, cast

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.context import Completion, Context, Host, Session, Ticket
from xmppd.core.errors import StanzaError
from xmppd.core.events import RosterChanged
from xmppd.core.jid import JID
from xmppd.core.limits import Limits
from xmppd.core.roster import Item, Roster
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza
from xmppd.core.subscriptions import PENDING_IN
from xmppd.modules.roster_keeper import RosterKeeper
from xmppd.modules.roster_store import element_of, remove_contact, stored_item
from xmppd.modules.roster_xml import item_element, push, removal_element
from xmppd.storage import roster as store

__all__ = ["INTERESTED", "MOST_CHANGES", "RosterChanges", "changes_of"]

_log = Logger()

#: Whether a session has asked for the roster, and is told of changes (RFC 6121, section 2.2).
INTERESTED: Final[Slot[bool]] = Slot("roster.interested", False)

#: More changes than this are not told one by one: the whole roster is sent.
MOST_CHANGES: Final = 50
#: How often changes are read again because the roster changed meanwhile.
_MOST_READS: Final = 3


class RosterChanges:
    """Changes the rosters of one domain.  A change holds its ticket until it is on the disk."""

    def __init__(self, context: Context, keeper: RosterKeeper) -> None:
        self._context = context
        self._keeper = keeper
        self._limits: Limits = context.limits
        #: Sessions that are being told of earlier changes: what they get, by identity.
        self._catching_up: dict[int, list[Stanza]] = {}

    # -- making them

    def put(self, roster: Roster, item: Item, ticket: Ticket) -> None:
        """Add a contact or replace it.

        :raises StanzaError: ``policy-violation`` if the roster is full.
        """
        most = self._limits.roster_items
        if most is not None and item.jid.text not in roster.items and len(roster.items) >= most:
            raise StanzaError("policy-violation", f"A roster may have {most} contacts here (roster_items)")
        roster.put(item)
        self._changed(roster, item.jid, present=True)
        self._push(roster, item_element(item))
        self._write(roster, item.jid, ticket, store.upsert, stored_item(item))

    def remove(self, roster: Roster, contact: JID, ticket: Ticket) -> None:
        """Take a contact out."""
        roster.remove(contact)
        self._changed(roster, contact, present=False)
        self._push(roster, removal_element(contact))
        self._write(roster, contact, ticket, remove_contact, contact.text)

    def set_state(self, roster: Roster, contact: JID, state: int, ticket: Ticket) -> None:
        """Change how the subscription of a contact stands; a request that this answers is forgotten.

        :raises StanzaError: ``policy-violation`` if that makes a new contact and the roster is full.
        """
        item = roster.items.get(contact.text)
        shown = state & ~PENDING_IN
        if item is None and shown:
            self.put(roster, Item(contact, "", (), shown), ticket)
        elif item is not None and item.state != shown:
            self.put(roster, Item(contact, item.name, item.groups, shown), ticket)
        if not state & PENDING_IN and roster.requests.pop(contact.text, None) is not None:
            self._write(roster, contact, ticket, store.delete_request, contact.text)

    def keep_request(self, roster: Roster, contact: JID, stanza: Stanza, ticket: Ticket) -> None:
        """Keep a subscription request until it is answered (section 3.1.3)."""
        data = stanza.standing_alone(ns.CLIENT)
        roster.requests[contact.text] = data
        self._write(roster, contact, ticket, store.put_request, store.Request(contact.text, data))

    def _changed(self, roster: Roster, contact: JID, *, present: bool | None) -> None:
        self._context.hooks.run(RosterChanged(roster.account, contact, present))

    # -- writing them down

    def _write(
        self, roster: Roster, contact: JID, ticket: Ticket, function: Callable[..., object], *args: object
    ) -> None:
        if roster.account.id is not None:
            ticket.hold()
            roster.unsaved += 1
            self._context.spawn(self._written(roster, contact, ticket, function, *args))

    async def _written(
        self, roster: Roster, contact: JID, done: Completion, function: Callable[..., object], *args: object
    ) -> None:
        problem: Exception | None = None
        try:
            await self._context.database.write("roster", function, roster.account.id, *args)
        except Exception as error:
            _log.failure("a change of the roster of {account} is lost", account=roster.account)
            roster.lost += (contact,)
            problem = error
        roster.unsaved -= 1
        if roster.lost and not roster.unsaved:
            self._start_over(roster)
        if problem is None:
            done.committed()
        else:
            done.failed(problem)

    def _start_over(self, roster: Roster) -> None:
        """What is in memory never reached the disk: go on from what is there, and tell clients of it.

        Not before the last change that is under way has ended, well or not: it would be missing.
        """
        account, lost = roster.account, dict.fromkeys(roster.lost)
        roster.lost = ()
        self._keeper.begin_era()
        if self._keeper.get(account) is roster:
            self._keeper.forget(account)
        for contact in lost:
            self._changed(roster, contact, present=None)
        if account.sessions:
            self._keeper.use(account, lambda read: self._push_as_they_are(read, lost))

    def _push_as_they_are(self, roster: Roster, contacts: Iterable[JID]) -> None:
        for contact in contacts:
            item = roster.items.get(contact.text)
            self._push(roster, removal_element(contact) if item is None else item_element(item))

    # -- telling clients

    def _push(self, roster: Roster, element: bytes) -> None:
        stanza = None
        for session in tuple(roster.account.sessions):
            if INTERESTED.get(session):
                stanza = stanza or push(roster, roster.version, element)
                self._give(session, stanza.readdressed(to=session.jid))

    def _give(self, session: Session, stanza: Stanza) -> None:
        held = self._catching_up.get(id(session))
        if held is None:
            session.send(stanza)
        else:
            held.append(stanza)

    async def since(self, roster: Roster, version: int) -> list[Stanza] | None:
        """What a client that knows an earlier version has to be told (section 2.6.3).

        :returns: pushes without addressee, oldest first; None if all of the roster is to be sent: the version
            is not known any more, or too much has changed.
        """
        account = roster.account
        if version == roster.version or account.id is None:
            return [] if version == roster.version else None
        for _ in range(_MOST_READS):
            current = roster.version
            changes = await self._context.database.read(
                "roster changes", store.changes_since, account.id, version
            )
            if changes is None or len(changes) > MOST_CHANGES or self._context.database.faulted:
                # While it is faulted the disk does not have the newest ones.
                return None
            if current == roster.version:
                return [push(roster, change.version, element_of(change)) for change in changes]
        return None

    def catch_up(self, session: Session, pushes: list[Stanza]) -> None:
        """Tell a session of earlier changes in the next turn of the reactor, behind the answer to it."""
        if pushes:
            if id(session) not in self._catching_up:
                self._context.clock.callLater(0, self._caught_up, session)
            held = self._catching_up.setdefault(id(session), [])
            held += [each.readdressed(to=session.jid) for each in pushes]

    def _caught_up(self, session: Session) -> None:
        for stanza in self._catching_up.pop(id(session), ()):
            session.send(stanza)


class _ChangesRosters(Protocol):
    changes: RosterChanges


def changes_of(host: Host) -> RosterChanges:
    """What changes a domain's rosters: the roster module has it."""
    return cast(_ChangesRosters, host.modules["roster"]).changes
