"""Messages that their author retracts (XEP-0424): a tombstone in both archives.

The retraction itself stays, for clients that were away.  Nobody can retract what somebody else wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Ticket
from xmppd.core.events import MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.module import Module, Xep, on
from xmppd.core.pauses import pause
from xmppd.core.stanza import Stanza, escape_attribute
from xmppd.modules.redaction import redact, wipe
from xmppd.storage import archive as store
from xmppd.storage.archive import TOMBSTONE, ArchiveRow
from xmppd.storage.archive_book import arrived
from xmppd.storage.errors import FaultError
from xmppd.storage.statement import Cursor
from xmppd.xml import delay, tree

__all__ = ["Retraction"]

_RETRACT: Final = ns.RETRACT

_log = Logger()

#: Retractions of one author in one archive that wait for their turn; beyond them no tombstone is made.
MOST_WAITING: Final = 100
#: How far back a retracted message may lie, counted in messages of its author in the same conversation.
MOST_BACK: Final = 1000
#: How many of that name are read. A thousand retractions of one name made each further one take seconds.
MOST_OF_A_NAME: Final = 5
#: Seconds after which it is tried again while the database cannot.
RETRY: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Retracted:
    """Which message is retracted.

    :ivar peer: the other side of the conversation.
    :ivar outgoing: whether the owner of the archive retracts.
    :ivar id: what its author called the message.
    :ivar by: the id of the retraction.
    :ivar row: the sequence of the retraction.
    :ivar in_room: whether the retraction says that the peer is an occupant of a room.
    """

    peer: JID
    outgoing: bool
    id: str
    by: str
    row: int
    in_room: bool


class Retraction(Module):
    """Follows retractions that pass and are archived."""

    name = "retraction"
    xeps = (Xep("0424", "0.4.2", "Message Retraction"),)
    features = (ns.RETRACT, ns.RETRACT_TOMBSTONE)
    account_features = (ns.RETRACT, ns.RETRACT_TOMBSTONE)
    serves_guests = False

    @on(MessageSending, Stage.NOTIFY)
    def sending(self, event: MessageSending) -> None:
        """The owner of the archive retracts."""
        for child in event.stanza.children:
            if child[0] == _RETRACT:
                stanza, row = event.stanza, event.archived_as
                if row is not None and stanza.to is not None:
                    self._follow(event.account, stanza, stanza.to, row, event.ticket, outgoing=True)
                return

    @on(MessageArriving, Stage.NOTIFY)
    def arriving(self, event: MessageArriving) -> None:
        """Somebody retracts what they have sent to the owner of the archive."""
        for child in event.stanza.children:
            if child[0] == _RETRACT:
                stanza, row = event.stanza, event.archived_as
                if row is not None and stanza.sender is not None:
                    self._follow(event.account, stanza, stanza.sender, row, event.ticket, outgoing=False)
                return

    def _follow(
        self, account: Account, stanza: Stanza, peer: JID, row: int, ticket: Ticket, *, outgoing: bool
    ) -> None:
        retract = tree.child(stanza, ns.RETRACT, "retract")
        wanted = "" if retract is None else retract.attributes.get("id", "")
        # Clients find the message that a tombstone belongs to by the id of the retraction: it must have one.
        in_room = stanza.has(ns.MUC_USER, "x")
        retracted = _Retracted(peer, outgoing, wanted, stanza.id or "", row, in_room)
        waiting = self.context.database.lane.waiting(_author(account, retracted))
        if wanted and retracted.by and waiting < MOST_WAITING:
            ticket.hold()
            self.context.spawn(self._retract(account, retracted, ticket))

    async def _retract(self, account: Account, wanted: _Retracted, ticket: Ticket) -> None:
        """Make a tombstone; until then the retraction is not handled, whatever the state of the database."""
        try:
            while not await self._is_done(account, wanted):
                await pause(self.context.clock, RETRY)
        except Exception as problem:
            ticket.failed(problem)
            raise
        ticket.committed()

    async def _is_done(self, account: Account, wanted: _Retracted) -> bool:
        """Make a tombstone, if there is a message for it; false if that is not possible now.

        While the database is faulted it does not have what waits to be written: the message was not found
        there, its content stayed, and the retraction was acknowledged.
        """
        database = self.context.database
        if database.faulted:
            return False
        try:
            found = await database.lane.run(
                _author(account, wanted), database.read, "retracted message", _find, account.id, wanted
            )
            if found is None and database.faulted:
                # The fault began meanwhile: what waits to be written was not seen.
                return False
            if found is not None and await database.write("retract", redact, found, _child(wanted)):
                wipe(self.context, account, [found.seq])
                database.scrub_later()
        except FaultError as problem:
            _log.warn("a retraction in {account} waits: {problem}", account=account, problem=str(problem))
            return False
        return True


def _author(account: Account, wanted: _Retracted) -> object:
    """Whose turn is used up; not that of an archive's owner for what others retract."""
    return account.id if wanted.outgoing else (account.id, wanted.peer.bare.text)


def _find(cursor: Cursor, account: int, wanted: _Retracted) -> ArchiveRow | None:
    """The newest message of that name, of the same author, before the retraction."""
    fragment = f" id='{escape_attribute(wanted.id)}'".encode()
    rows = store.containing(
        cursor,
        account,
        wanted.peer.bare.text,
        fragment,
        outgoing=wanted.outgoing,
        before=wanted.row,
        limit=MOST_BACK,
    )
    for row in islice(rows, MOST_OF_A_NAME):
        message = arrived(row.stanza)
        if message.id == wanted.id and _may_be_retracted(row, message, wanted):
            return row if row.kind < TOMBSTONE else None
    return None


def _may_be_retracted(row: ArchiveRow, message: Stanza, wanted: _Retracted) -> bool:
    """Whether who sent the message retracts it: in a room, occupants share a bare JID.

    A retraction stays: clients that were away have to learn of it (section 5).
    """
    if message.has(_RETRACT, "retract"):
        return False
    in_room = wanted.in_room or message.has(ns.MUC_USER, "x")
    return wanted.outgoing or not in_room or row.resource == wanted.peer.resource


def _child(wanted: _Retracted) -> tuple[str, str, bytes]:
    """What says that there was a message: since when it is gone, and by which retraction."""
    stamp, by = delay.stamp(wanted.row), escape_attribute(wanted.by)
    text = f"<retracted xmlns='{ns.RETRACT}' stamp='{stamp}' id='{by}'/>"
    return ns.RETRACT, "retracted", text.encode()
