"""Messages that are taken out of archives: tombstones with their id and time stay (XEP-0313, section 3.2).

The content goes from the table, and from what waits for clients in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from xmppd.core.account import Account
from xmppd.core.context import Context
from xmppd.core.pauses import pause
from xmppd.core.stanza import Stanza
from xmppd.storage import archive as store
from xmppd.storage import search_index
from xmppd.storage.archive import TOMBSTONE, ArchiveRow
from xmppd.storage.archive_book import arrived
from xmppd.storage.statement import Cursor

__all__ = ["Scope", "erase", "redact", "tombstone", "wipe"]

#: Messages that one transaction erases, or bytes of them after which it ends, and seconds until the next one:
#: in between others write.
STEP: Final = 100
STEP_BYTES: Final = 512 * 1024
PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Scope:
    """Which messages of an archive.

    :ivar peer: bare JID of the other side; None for anyone.
    :ivar start: the first sequence.
    :ivar end: the last one; None for all that there are now.
    """

    peer: str | None = None
    start: int = 0
    end: int | None = None


def tombstone(stored: bytes, *children: tuple[str, str, bytes]) -> bytes:
    """What stands in the place of a message: who sent it to whom, and these children instead of its own."""
    message = arrived(stored)
    kept = {name: value for name, value in message.attrs.items() if name in ("id", "type")}
    empty = Stanza("message", kept, to=message.to, sender=message.sender)
    return empty.with_children(children).standing_alone()


def redact(cursor: Cursor, row: ArchiveRow, *children: tuple[str, str, bytes]) -> bool:
    """Put a tombstone in the place of a row; one that is no history has no place.  For `Database.write`.

    :returns: False if there is nothing left to take out.
    """
    if not row.history:
        return store.forget(cursor, row.account, row.seq)
    return store.redact(cursor, row.account, row.seq, tombstone(row.stanza, *children))


def wipe(context: Context, account: Account, rows: Sequence[int]) -> None:
    """Let go of what is in memory of these messages."""
    if rows:
        # For those who have read them, and wait for a client that does not read.
        account.note_erased(rows)
        ids = context.archive.ids_of(account, rows)
        for session in tuple(account.sessions):
            session.forget(frozenset(rows), ids)
        if account.mailbox is not None:
            account.mailbox.erase(frozenset(rows))


async def erase(
    context: Context, account: Account, scope: Scope, report: Callable[[int], None] | None = None
) -> int:
    """Take messages out of an account's archive, in steps, so that nobody waits for long.

    :param report: is told after each step how many are gone.
    :returns: how many were erased.
    """
    erased, after = 0, scope.start
    # What was imported may be newer than what this server has stored itself.
    now = max(context.archive.latest, int(context.now() * 1_000_000))
    end = now if scope.end is None else scope.end
    while True:
        following, rows = await context.database.write(
            "erase messages", _erase_some, account.id, scope.peer, after, end
        )
        wipe(context, account, rows)
        erased += len(rows)
        if report is not None:
            report(erased)
        if following is None:
            break
        after = following
        await pause(context.clock, PAUSE)
    if erased:
        await context.database.scrub()
    return erased


def _erase_some(
    cursor: Cursor, account: int, peer: str | None, start: int, end: int
) -> tuple[int | None, list[int]]:
    """Erase a step's rows; where the next step begins, if there is one, and what was erased."""
    erased: list[int] = []
    looked = size = 0
    following: int | None = start
    while following is not None and looked < STEP and size < STEP_BYTES:
        most = min(store.PIECE, STEP - looked)
        found = store.rows(cursor, account, peer=peer, start=following, end=end, limit=most)
        erased += [row.seq for row in found if row.kind < TOMBSTONE and redact(cursor, row)]
        following = found[-1].seq + 1 if len(found) == most else None
        looked += len(found)
        size += sum(len(row.stanza) for row in found)
    search_index.tidy(cursor)
    return following, erased
