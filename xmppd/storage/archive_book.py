"""The archives as the running server writes them: sequences, ids, and rows into the open group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sys import maxsize
from typing import TYPE_CHECKING

from xmppd.core import ns
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.storage import archive, archive_delivery
from xmppd.storage.archive_ids import ArchiveIds, load_key
from xmppd.storage.database import Database
from xmppd.storage.sequence import Sequence
from xmppd.storage.statement import Unit
from xmppd.xml.items import Item, Limits, standard_header
from xmppd.xml.parser import XMLParser

if TYPE_CHECKING:
    from xmppd.core.account import Account
    from xmppd.core.context import Ticket

__all__ = ["ArchiveBook", "arrived"]


class ArchiveBook:
    """Writes messages into archives (see `xmppd.core.context.Archive`).

    :param now: seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._sequence = Sequence(now)
        #: Rows stored since a fault began, by owner and sequence; the database bounds how many wait.
        self._waiting: dict[tuple[int, int], tuple[Unit, Ticket]] = {}
        self._ids: ArchiveIds

    async def open(self) -> None:
        """Read the key of the ids, and the sequence to go on from."""
        self._ids = ArchiveIds(await self._database.write("archive key", load_key))
        self._sequence.last = await self._database.read("greatest sequence", archive.greatest)

    @property
    def latest(self) -> int:
        """The greatest sequence in use."""
        return self._sequence.last

    def store(
        self,
        account: Account,
        stanza: Stanza,
        *,
        outgoing: bool,
        history: bool,
        deliver: bool,
        ticket: Ticket,
    ) -> int:
        """Put a message in the open group and let the ticket wait for it."""
        assert account.id is not None
        assert stanza.to is not None
        assert stanza.sender is not None
        peer, own = (stanza.to, stanza.sender) if outgoing else (stanza.sender, stanza.to)
        seq = self._sequence.next()
        ticket.hold()
        row = (
            account.id,
            seq,
            peer.bare.text,
            peer.resource,
            own.resource,
            int(outgoing),
            int(history),
            int(deliver),
            int(stanza.message_type == "groupchat"),
            stanza.standing_alone(),
        )
        unit = self._database.append(archive.APPEND, row, ticket)
        if self._database.faulted:
            self._waiting[account.id, seq] = (unit, ticket)
        return seq

    def store_nothing(self, ticket: Ticket) -> None:
        """Let the ticket of a message to nobody wait as if there were an archive that it is stored in."""
        ticket.hold()
        self._database.append(archive.TO_NOBODY, ("nobody", ""), ticket)

    # -- while nothing can be stored

    @property
    def faulted(self) -> bool:
        """Whether rows wait in memory because the database cannot store them."""
        return self._database.faulted

    def withdraw(self, account: Account, row: int) -> bool:
        """Take back a row that waits since a fault; whoever waited for it need not any more."""
        assert account.id is not None
        unit, ticket = self._waiting.pop((account.id, row), (None, None))
        if unit is None or ticket is None or not unit.withdraw():
            return False
        ticket.committed()
        return True

    def forget_waiting(self) -> None:
        """The fault is over: rows can no longer be withdrawn."""
        self._waiting.clear()

    def id_of(self, account: Account, row: int) -> str:
        """The id of a row for everyone to see (XEP-0359)."""
        assert account.id is not None
        return self._ids.encode(account.id, row)

    def ids_of(self, account: Account, rows: Iterable[int]) -> list[str]:
        """The ids of many rows."""
        assert account.id is not None
        return self._ids.encode_all(account.id, rows)

    def mark(self, account: Account, stanza: Stanza, row: int) -> Stanza:
        """The message with the id that the owner's archive gave it (XEP-0359)."""
        mark = f"<stanza-id xmlns='{ns.STANZA_ID}' by='{account.jid.xml}' id='{self.id_of(account, row)}'/>"
        return stanza.adding(ns.STANZA_ID, "stanza-id", mark.encode())

    def row_of(self, account: Account, text: str) -> int | None:
        """The sequence that such an id stands for; None if it is none of this archive."""
        assert account.id is not None
        return self._ids.decode(account.id, text)

    async def messages(self, account: Account, rows: list[int]) -> dict[int, Stanza]:
        """Stored messages as they were sent, by sequence, as far as they are still there.

        Those of the history have their ids: another one is in no archive, and an id would promise that.
        """
        assert account.id is not None
        found = await self._database.read("archived messages", archive_delivery.stanzas, account.id, rows)
        return {
            row: self.mark(account, arrived(stored), row) if history else arrived(stored)
            for row, (stored, history) in found.items()
        }


#: What was stored came through the limits that held then.
_STORED = Limits(stanza_bytes=maxsize, elements=maxsize, depth=maxsize, attributes=maxsize)
_HEADER = standard_header(ns.CLIENT)


def arrived(stored: bytes) -> Stanza:
    """The message that was stored, as it arrived.

    No tree is built: for 256 KiB of many small pieces that took a tenth of a second.

    :raises ValueError: if it is none.
    """
    parser = XMLParser(_HEADER, limits=_STORED)
    items: list[Item] = []
    try:
        parser.feed(stored, items)
    except StreamError as error:
        raise ValueError(error.condition) from None
    finally:
        parser.close()
    (message,) = items
    assert isinstance(message, Stanza)
    to, sender = message.attrs.pop("to", None), message.attrs.pop("from", None)
    message.to = JID.known(to) if to else None
    message.sender = JID.known(sender) if sender else None
    return message
