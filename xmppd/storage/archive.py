"""The rows of the message archive: reading them whole, putting them back, erasing them (RFC 6121 section 8).

The sequence of a row is its time of reception in microseconds since 1970, made strictly increasing
(sequence.py): it is order, time and, with the owner, the key. What queries find is in archive_query.py, what
is still to be delivered in archive_delivery.py, what may go in archive_retention.py.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from xmppd.storage import meta, search_index
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor, Statement, Value
from xmppd.xml import tree

GROUPCHAT = 1
ENCRYPTED = 2
TOMBSTONE = 4
"""Bits of `kind`: a groupchat message; one whose body only its receiver can read; one whose content was
erased."""

PAGE_BYTES = 512 * 1024
"""Bytes of stanzas after which a page ends: a client must be able to take it, and to be sent it once more
(XEP-0198), without more being kept for it than for others."""

PIECE = 10
"""Rows that are read at once where they may be large and a few may be enough."""

ROW_BYTES = 16 * 1024
"""Bytes for which a large row counts as one more, where what is read is bounded by rows."""

FLOOR = "sequence_floor"
"""In `meta`: a sequence that no row may have any more, since later ones were erased."""


class ArchiveRow(NamedTuple):
    """One message in one archive, in the order of the columns; flags are 0 or 1."""

    account: int
    seq: int
    peer: str
    """Bare JID of the other side; the owner's own in a message to oneself."""
    resource: str
    """Of the other side; empty if there is none."""
    own_resource: str
    """Of the owner: who sent it, or whom it was addressed to; empty if there is none."""
    outgoing: int
    history: int
    """Archive queries show it."""
    deliver: int
    """It is to be delivered until it is confirmed. Never set in what the owner sent, but to oneself."""
    kind: int
    stanza: bytes
    """A complete `<message xmlns='jabber:client'>`."""


_COLUMNS = ", ".join(ArchiveRow._fields)

APPEND = Statement.insert("archive", ArchiveRow._fields, weight="stanza")
"""The fast path into the archive; rows are ArchiveRow."""

TO_NOBODY = Statement.insert(
    "meta",
    ("name", "value"),
    tail="ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    newest_by=(0,),
)
"""A row that says nothing, for a message that nobody gets: it takes as long as one that is stored."""

DELETE_DELIVERED = Statement("DELETE FROM archive WHERE account = ? AND seq = ? AND history = 0", rank=2)
"""Forget a confirmed row that is not history; rows are (account, seq). Confirm it in the mark in the same
group."""


def rows(
    cursor: Cursor,
    account: int,
    *,
    peer: str | None = None,
    start: int = 0,
    end: int | None = None,
    limit: int = 1000,
) -> list[ArchiveRow]:
    """Whole rows in order, whatever they are: for export, and to make tombstones of.

    :param start: the first sequence, and
    :param end: the last one.
    """
    parts: list[str] = ["account = ?", "seq >= ?"]
    values: list[Value] = [account, start]
    if end is not None:
        parts.append("seq <= ?")
        values.append(end)
    if peer is not None:
        parts.append("peer = ?")
        values.append(peer)
    cursor.execute(
        f"SELECT {_COLUMNS} FROM archive WHERE {' AND '.join(parts)} ORDER BY seq LIMIT ?",
        (*values, limit),
    )
    return [ArchiveRow(*row) for row in cursor.fetchall()]


def restore(cursor: Cursor, rows: Iterable[ArchiveRow]) -> int:
    """Put messages back at their times. One that is there already, or was deleted there, is left as it is;
    one whose place another message has comes behind that.

    :returns: how many are new.
    """
    added = 0
    run: _Run | None = None
    for row in rows:
        if run is None or (run.account, run.first) != (row.account, row.seq):
            # Messages of one time follow each other in a file.
            run = _Run(cursor, row.account, row.seq)
        place = run.take(row)
        if place is not None:
            cursor.execute(APPEND.sql, row._replace(seq=place))
            if row.history and row.kind < TOMBSTONE:
                search_index.include(cursor, row.account, place, row.stanza)
            added += 1
    search_index.tidy(cursor)
    return added


class _Run:
    """The places from one time on that have a message each, as far as they had to be looked at.

    They are known to all messages of that time: when each looked through them, 800 took half a minute.

    :ivar first: the time.
    """

    def __init__(self, cursor: Cursor, account: int, first: int) -> None:
        self._cursor, self.account, self.first = cursor, account, first
        self._next = first
        #: By whose they are: what distinguishes the messages; None where one was erased.
        self._known: dict[tuple[str, str, int], set[bytes | None]] = {}

    def take(self, row: ArchiveRow) -> int | None:
        """The place for a row; None where it is there, or was erased there."""
        whose, which = (row.peer, row.resource, row.outgoing), _digest(row.stanza)
        while True:
            known = self._known.setdefault(whose, set())
            if None in known or which in known:
                return None
            if not self._look_at_next():
                break
        known.add(None if row.kind >= TOMBSTONE else which)
        self._next += 1
        return self._next - 1

    def _look_at_next(self) -> bool:
        """Whether there is a message at the next place."""
        self._cursor.execute(
            "SELECT peer, resource, outgoing, kind, stanza FROM archive WHERE account = ? AND seq = ?",
            (self.account, self._next),
        )
        found = self._cursor.fetchone()
        if found is None:
            return False
        peer, resource, outgoing, kind, stanza = found
        whose = peer, resource, outgoing
        which = None if kind >= TOMBSTONE else _digest(bytes(stanza))
        self._known.setdefault(whose, set()).add(which)
        self._next += 1
        return True


def _digest(stanza: bytes) -> bytes:
    return hashlib.sha256(_canonical(stanza)).digest()


def _canonical(stanza: bytes) -> bytes:
    return tree.write(tree.parse(stanza))


def containing(
    cursor: Cursor, account: int, peer: str, fragment: bytes, *, outgoing: bool, before: int, limit: int
) -> Iterator[ArchiveRow]:
    """Rows whose stanza has these bytes in its start tag, newest first, among the last ones before a sequence
    of one side of a conversation. They are read as far as they are asked for. For the rare message that
    speaks of an earlier one by the id that its sender gave it (XEP-0424): an index over these ids would cost
    more with each message.

    :param limit: rows to look at, at most; large ones count as several.
    """
    while limit > 0:
        found = cursor.stanzas(
            "SELECT seq, stanza FROM archive WHERE account = ? AND peer = ? AND outgoing = ? AND seq < ?"
            " ORDER BY seq DESC LIMIT ?",
            (account, peer, int(outgoing), before, min(PIECE, limit)),
        )
        for seq, stanza in sorted(found, reverse=True):
            # Before the first child, which begins with what no attribute has.
            if stanza.find(fragment, 0, stanza.find(b"<", 1)) >= 0:
                yield from rows(cursor, account, start=seq, end=seq)
        if len(found) < min(PIECE, limit):
            break
        before = min(seq for seq, _ in found)
        limit -= sum(1 + len(stanza) // ROW_BYTES for _, stanza in found)


def redact(cursor: Cursor, account: int, seq: int, stanza: bytes) -> bool:
    """Replace a message by a tombstone: id, time and JIDs stay (XEP-0313 section 3.2), and nobody gets it any
    more.

    :param stanza: the tombstone, a complete message.
    :returns: False if there is no such row, or it is a tombstone already.
    """
    search_index.remove(cursor, account, seq, seq)
    cursor.execute(
        "UPDATE archive SET stanza = ?, deliver = 0, kind = kind + ?"
        " WHERE account = ? AND seq = ? AND kind < ?",
        (stanza, TOMBSTONE, account, seq, TOMBSTONE),
    )
    return cursor.rowcount > 0


def forget(cursor: Cursor, account: int, seq: int) -> bool:
    """Delete a row that is no part of the history, delivered or not; its sequence is not used again.

    :returns: False if there is no such row.
    """
    cursor.execute("DELETE FROM archive WHERE account = ? AND seq = ? AND history = 0", (account, seq))
    deleted = cursor.rowcount > 0
    if deleted:
        _raise_floor(cursor, seq)
    return deleted


def erase(cursor: Cursor, account: int) -> int:
    """Delete a whole archive.

    :returns: how many rows there were.
    """
    cursor.execute("SELECT max(seq) FROM archive WHERE account = ?", (account,))
    last = cursor.fetchone()[0]
    deleted = 0 if last is None else delete_up_to(cursor, account, last)
    search_index.forget(cursor, account)
    return deleted


def erase_some(cursor: Cursor, account: int, limit: int = 100) -> int:
    """Delete the oldest rows of an archive, whatever they are: one step of erasing it.

    :returns: how many rows there were; 0 when the archive is empty.
    """
    cursor.execute("SELECT seq FROM archive WHERE account = ? ORDER BY seq LIMIT ?", (account, limit))
    found = cursor.fetchall()
    if found:
        return delete_up_to(cursor, account, found[-1][0])
    search_index.forget(cursor, account)
    return 0


def delete_up_to(cursor: Cursor, account: int, last: int) -> int:
    """Delete the oldest rows of an archive, up to this one; their sequences are not used again.

    :returns: how many rows there were.
    """
    search_index.remove(cursor, account, 0, last)
    search_index.tidy(cursor)
    cursor.execute("DELETE FROM archive WHERE account = ? AND seq <= ?", (account, last))
    deleted = cursor.rowcount
    _raise_floor(cursor, last)
    return deleted


def _raise_floor(cursor: Cursor, last: int) -> None:
    if last > int(meta.get(cursor, FLOOR) or 0):
        meta.put(cursor, FLOOR, str(last))


def greatest(cursor: Cursor) -> int:
    """The greatest sequence that any row has or had; 0 in a new database. Sequences go on from there."""
    cursor.execute(
        "WITH RECURSIVE owner (id) AS (SELECT min(account) FROM archive UNION ALL"
        " SELECT (SELECT min(account) FROM archive WHERE account > owner.id) FROM owner"
        " WHERE owner.id IS NOT NULL)"
        " SELECT coalesce(max((SELECT max(seq) FROM archive WHERE account = owner.id)), 0) FROM owner"
    )
    last = int(cursor.fetchone()[0])
    cursor.execute("SELECT cursor, confirmed FROM account")
    for row in cursor.fetchall():
        mark = Mark.decode(*row)
        last = max(last, mark.cursor, *mark.confirmed)
    return max(last, int(meta.get(cursor, FLOOR) or 0))
