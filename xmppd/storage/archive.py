"""The message archive: rows in order of reception, and positions in it (XEP-0313, RFC 6121 section 8,
XEP-0160).
 The sequence of a row is its time of reception in microseconds since 1970, made strictly increasing
(sequence.py): it is order, time and, with the owner, the key. Times are asked for as ranges of sequences.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xmppd.storage import marks, meta, search_index
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor, Statement, Value
from xmppd.xml import tree

GROUPCHAT = 1
ENCRYPTED = 2
TOMBSTONE = 4
"""Bits of `kind`: a groupchat message; one whose body only its receiver can read; one whose content was
erased."""

COUNT_LIMIT = 10_000
"""Rows up to which the size of a result is counted (XEP-0059 lets a costly count be left out)."""

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


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows of the history; every condition must hold. Sequences stand for times and for archive ids."""

    peer: str | None = None
    """`with`: bare JID. The owner's own finds exactly what they sent to themselves."""
    resource: str | None = None
    """`with` of a full JID: exactly this resource of `peer`."""
    own_resource: str | None = None
    """`with` of one of the owner's own full JIDs: sent by this resource, or addressed to it. `peer` is the
    owner."""
    groupchat: bool | None = None
    """Only groupchat messages, or all others."""
    start: int | None = None
    end: int | None = None
    """Both inclusive."""
    after_id: int | None = None
    before_id: int | None = None
    """Both exclusive: they bound the result, not the page."""
    ids: tuple[int, ...] | None = None
    after: int | None = None
    before: int | None = None
    """Both exclusive: where the page begins (XEP-0059)."""
    backwards: bool = False
    """The last rows rather than the first. Results are in chronological order all the same."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """What a query found."""

    rows: list[tuple[int, bytes]]
    """Sequence and stanza, in chronological order."""
    complete: bool
    """Nothing lies beyond this page, in the direction of paging (XEP-0313 section 4.3.2)."""
    count: int | None
    """How many rows the query has in all, without `after` and `before`; None where counting would cost too
    much."""
    index: int | None = None
    """How many of these stand before the page; None where counting would cost too much."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row that is to be delivered."""

    seq: int
    peer: str
    resource: str
    own_resource: str
    history: bool
    stanza: bytes


@dataclass(frozen=True, slots=True)
class Expired:
    """One step of a clean-up."""

    deleted: int
    mark: Mark | None
    """The account's mark where the step had to move it: rows that nobody confirmed are gone."""
    more: bool
    """There may be more to delete."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an archive holds."""

    rows: int
    bytes: int
    undelivered: int
    """Rows above the mark's cursor that are to be delivered."""


# Queries of the history


def bounds_of(query: Query, *, paging: bool) -> tuple[int | None, int | None]:
    """The first and the last sequence that can be in the result, both inclusive."""
    lowest = [query.start, _next(query.after_id), _next(query.after) if paging else None]
    highest = [query.end, _previous(query.before_id), _previous(query.before) if paging else None]
    return (
        max((bound for bound in lowest if bound is not None), default=None),
        min((bound for bound in highest if bound is not None), default=None),
    )


def _next(seq: int | None) -> int | None:
    return None if seq is None else seq + 1


def _previous(seq: int | None) -> int | None:
    return None if seq is None else seq - 1


def _conditions(account: int, query: Query, *, paging: bool) -> tuple[str, list[Value]]:
    """The WHERE of a query."""
    parts, values = ["account = ?", "history = 1"], [account]
    found: list[tuple[str, tuple[Value, ...]]] = list(_filters(query))
    lowest, highest = bounds_of(query, paging=paging)
    if lowest is not None:
        found.append(("seq >= ?", (lowest,)))
    if highest is not None:
        found.append(("seq <= ?", (highest,)))
    all_values: list[Value] = [*values]
    for part, more in found:
        parts.append(part)
        all_values.extend(more)
    return " AND ".join(parts), all_values


def _filters(query: Query) -> Iterable[tuple[str, tuple[Value, ...]]]:
    if query.own_resource is not None:
        own = query.own_resource
        yield "(own_resource = ? OR (peer = ? AND resource = ?))", (own, query.peer, own)
    elif query.peer is not None:
        yield "peer = ?", (query.peer,)
        if query.resource is not None:
            yield "resource = ?", (query.resource,)
    if query.groupchat is not None:
        yield f"kind % 2 = {int(query.groupchat)}", ()
    if query.ids is not None:
        yield _one_of(query.ids), tuple(sorted(set(query.ids)))


def _one_of(ids: Sequence[int]) -> str:
    marks = ", ".join("?" for _ in set(ids))
    return f"seq IN ({marks})" if marks else "1 = 0"


def page(cursor: Cursor, account: int, query: Query) -> Page:
    """One page of the history, by keyset: what it costs does not depend on where it lies in the archive."""
    if query.limit <= 0:
        size = count(cursor, account, query)
        return Page([], size == 0, size)
    where, values = _conditions(account, query, paging=True)
    order = "DESC" if query.backwards else "ASC"
    found = cursor.stanzas(
        f"SELECT seq, stanza FROM archive WHERE {where} ORDER BY seq {order} LIMIT ?",
        (*values, query.limit + 1),
    )
    return page_of(found, query)


def page_of(found: list[tuple[int, bytes]], query: Query) -> Page:
    """The page that rows make: at most the limit, and not too many bytes, but one row in any case.

    :param found: in the direction of paging; one more than the limit if there are more.
    """
    kept = found[: max(query.limit, 0)]
    size = 0
    for number, (_, stanza) in enumerate(kept):
        size += len(stanza)
        if size > PAGE_BYTES and number:
            kept = kept[:number]
            break
    complete = len(kept) == len(found)
    at_start = query.after is None and (complete or not query.backwards)
    whole = complete and at_start and query.before is None
    return Page(sorted(kept), complete, len(kept) if whole else None, 0 if at_start else None)


def count(cursor: Cursor, account: int, query: Query, most: int = COUNT_LIMIT) -> int | None:
    """How many rows a query has in all, without `after` and `before`; None if there are more than `most`."""
    where, values = _conditions(account, query, paging=False)
    cursor.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM archive WHERE {where} LIMIT ?) AS found",
        (*values, most + 1),
    )
    number = int(cursor.fetchone()[0])
    return number if number <= most else None


def known(cursor: Cursor, account: int, seqs: Sequence[int]) -> set[int]:
    """Which of these sequences are in the history; tombstones are."""
    cursor.execute(
        f"SELECT seq FROM archive WHERE account = ? AND history = 1 AND {_one_of(seqs)}",
        (account, *sorted(set(seqs))),
    )
    return {row[0] for row in cursor.fetchall()}


def exists(cursor: Cursor, account: int, seq: int) -> bool:
    """Whether this sequence is in the history."""
    return bool(known(cursor, account, (seq,)))


def bounds(cursor: Cursor, account: int) -> tuple[int, int] | None:
    """The first and the last sequence of the history (XEP-0313 section 5); None if it is empty."""
    ends = []
    for order in ("ASC", "DESC"):
        cursor.execute(
            f"SELECT seq FROM archive WHERE account = ? AND history = 1 ORDER BY seq {order} LIMIT 1",
            (account,),
        )
        row = cursor.fetchone()
        if row is None:
            return None
        ends.append(int(row[0]))
    return ends[0], ends[1]


# Delivery


def deliverable(cursor: Cursor, account: int, after: int, limit: int) -> list[Delivery]:
    """The next rows to deliver above a sequence, in order, as many as make a page; those that are confirmed
    already are among them. None where there are no more."""
    found: list[Delivery] = []
    size = 0
    while len(found) < limit and size <= PAGE_BYTES:
        cursor.execute(
            "SELECT seq, peer, resource, own_resource, history, stanza FROM archive"
            " WHERE account = ? AND seq > ? AND deliver = 1 ORDER BY seq LIMIT ?",
            (account, after, min(PIECE, limit - len(found))),
        )
        piece = [
            Delivery(seq, peer, resource, own_resource, bool(history), bytes(stanza))
            for seq, peer, resource, own_resource, history, stanza in cursor.fetchall()
        ]
        if not piece:
            break
        found += piece
        size += sum(len(row.stanza) for row in piece)
        after = piece[-1].seq
    return found


def passing(cursor: Cursor) -> dict[int, list[int]]:
    """By account, the rows that are to be delivered and are no part of the history: for the start.

    One query an account: joined, either database reads the whole archive of everyone.
    """
    cursor.execute("SELECT id, cursor FROM account")
    found: dict[int, list[int]] = {}
    for account, mark in cursor.fetchall():
        cursor.execute(
            "SELECT seq FROM archive WHERE account = ? AND seq > ? AND deliver = 1 AND history = 0"
            " ORDER BY seq",
            (account, mark),
        )
        rows = [int(row[0]) for row in cursor.fetchall()]
        if rows:
            found[account] = rows
    return found


def owed(cursor: Cursor, account: int, after: int, most: int) -> int:
    """How many rows above a sequence are to be delivered; counted up to `most`."""
    cursor.execute(
        "SELECT count(*) FROM"
        " (SELECT 1 FROM archive WHERE account = ? AND seq > ? AND deliver = 1 LIMIT ?) AS found",
        (account, after, most),
    )
    return int(cursor.fetchone()[0])


def waits_between(cursor: Cursor, account: int, after: int, before: int) -> bool:
    """Whether there is a row of the history to deliver between two sequences, both exclusive."""
    cursor.execute(
        "SELECT 1 FROM archive"
        " WHERE account = ? AND seq > ? AND seq < ? AND deliver = 1 AND history = 1 LIMIT 1",
        (account, after, before),
    )
    return cursor.fetchone() is not None


def stanzas(cursor: Cursor, account: int, seqs: Sequence[int]) -> dict[int, bytes]:
    """The stanzas at these positions, as far as they are still there: for resumption."""
    found = cursor.stanzas(
        f"SELECT seq, stanza FROM archive WHERE account = ? AND {_one_of(seqs)}",
        (account, *sorted(set(seqs))),
    )
    return dict(found)


# Erasing


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
    for row in rows:
        place = _free_place(cursor, row)
        if place is not None:
            cursor.execute(APPEND.sql, row._replace(seq=place))
            if row.history and row.kind < TOMBSTONE:
                search_index.include(cursor, row.account, place, row.stanza)
            added += 1
    search_index.tidy(cursor)
    return added


def _free_place(cursor: Cursor, row: ArchiveRow) -> int | None:
    """Where to put a row; None where it is there."""
    seq = row.seq
    while True:
        cursor.execute(
            "SELECT peer, resource, outgoing, kind, stanza FROM archive WHERE account = ? AND seq = ?",
            (row.account, seq),
        )
        found = cursor.fetchone()
        if found is None:
            return seq
        peer, resource, outgoing, kind, stanza = found
        if (peer, resource, outgoing) == (row.peer, row.resource, row.outgoing) and (
            kind >= TOMBSTONE or _canonical(bytes(stanza)) == _canonical(row.stanza)
        ):
            return None
        seq += 1


def _canonical(stanza: bytes) -> bytes:
    return tree.write(tree.parse(stanza))


def containing(
    cursor: Cursor, account: int, peer: str, fragment: bytes, *, outgoing: bool, before: int, limit: int
) -> Iterator[ArchiveRow]:
    """Rows whose stanza has these bytes, newest first, among the last ones before a sequence of one side of a
    conversation. They are read as far as they are asked for. For the rare message that speaks of an earlier
    one by the id that its sender gave it (XEP-0424): an index over these ids would cost more with each
    message.

    :param limit: rows to look at, at most; large ones count as several.
    """
    while limit > 0:
        found = cursor.stanzas(
            "SELECT seq, stanza FROM archive WHERE account = ? AND peer = ? AND outgoing = ? AND seq < ?"
            " ORDER BY seq DESC LIMIT ?",
            (account, peer, int(outgoing), before, min(PIECE, limit)),
        )
        for seq, stanza in sorted(found, reverse=True):
            if fragment in stanza:
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
    deleted = 0 if last is None else _delete_up_to(cursor, account, last)
    search_index.forget(cursor, account)
    return deleted


def erase_some(cursor: Cursor, account: int, limit: int = 100) -> int:
    """Delete the oldest rows of an archive, whatever they are: one step of erasing it.

    :returns: how many rows there were; 0 when the archive is empty.
    """
    cursor.execute("SELECT seq FROM archive WHERE account = ? ORDER BY seq LIMIT ?", (account, limit))
    found = cursor.fetchall()
    if found:
        return _delete_up_to(cursor, account, found[-1][0])
    search_index.forget(cursor, account)
    return 0


def _delete_up_to(cursor: Cursor, account: int, last: int) -> int:
    search_index.remove(cursor, account, 0, last)
    search_index.tidy(cursor)
    cursor.execute("DELETE FROM archive WHERE account = ? AND seq <= ?", (account, last))
    deleted = cursor.rowcount
    _raise_floor(cursor, last)
    return deleted


def _raise_floor(cursor: Cursor, last: int) -> None:
    if last > int(meta.get(cursor, FLOOR) or 0):
        meta.put(cursor, FLOOR, str(last))


# Retention


def expire(cursor: Cursor, account: int, *, history_before: int, offline_before: int, limit: int) -> Expired:
    """Delete the oldest rows, without holes (XEP-0313 section 3.2), in one small step. A row that is still to
    be delivered stops it there, unless that is older than `offline_before`: then it is given up, and the mark
    moves above it.

        :param history_before: rows of a smaller sequence expire.
        :param limit: rows to look at.
    """
    mark = marks.load(cursor, account)
    cursor.execute(
        "SELECT seq, deliver FROM archive WHERE account = ? AND seq < ? ORDER BY seq LIMIT ?",
        (account, history_before, limit),
    )
    found = cursor.fetchall()
    last = None
    for seq, deliver in found:
        if deliver and seq >= offline_before and not mark.covers(seq):
            break
        last = seq
    if last is None:
        return Expired(0, None, more=False)
    deleted = _delete_up_to(cursor, account, last)
    return Expired(
        deleted, _move_mark(cursor, account, mark, last), more=len(found) == limit and deleted == limit
    )


def give_up(cursor: Cursor, account: int, *, before: int) -> Mark | None:
    """Nothing from before this sequence is to be delivered any more; history stays.

    :returns: the mark, if it had to be moved.
    """
    mark = marks.load(cursor, account)
    cursor.execute(
        "SELECT max(seq) FROM archive WHERE account = ? AND seq > ? AND seq < ? AND deliver = 1",
        (account, mark.cursor, before),
    )
    last = cursor.fetchone()[0]
    if last is None:
        return None
    cursor.execute(
        "DELETE FROM archive WHERE account = ? AND seq > ? AND seq <= ? AND history = 0",
        (account, mark.cursor, last),
    )
    return _move_mark(cursor, account, mark, last)


def _move_mark(cursor: Cursor, account: int, mark: Mark, last: int) -> Mark | None:
    if last <= mark.cursor:
        return None
    moved = Mark(last, frozenset(seq for seq in mark.confirmed if seq > last))
    marks.save(cursor, account, moved)
    return moved


def beyond(cursor: Cursor, account: int, keep: int) -> int | None:
    """The sequence from which on the history has `keep` rows: what lies before it exceeds a quota; None if
    nothing."""
    cursor.execute(
        "SELECT seq FROM archive WHERE account = ? AND history = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?",
        (account, keep),
    )
    row = cursor.fetchone()
    return None if row is None else int(row[0]) + 1


def expirable(
    cursor: Cursor, accounts: Iterable[int], *, history_before: int, offline_before: int, keep: int | None
) -> list[int]:
    """Of some accounts those that a clean-up may have something to do for; it costs little to ask.

    :param keep: the quota, see `beyond`.
    """
    return [
        account
        for account in accounts
        if _is_expirable(cursor, account, history_before, offline_before)
        or (keep is not None and _has_more(cursor, account, keep))
    ]


def _is_expirable(cursor: Cursor, account: int, history_before: int, offline_before: int) -> bool:
    cursor.execute("SELECT min(seq) FROM archive WHERE account = ?", (account,))
    oldest = cursor.fetchone()[0]
    if oldest is None:
        return False
    if oldest < history_before:
        return True
    return oldest < offline_before and bool(
        owed_before(cursor, account, marks.load(cursor, account).cursor, offline_before)
    )


def owed_before(cursor: Cursor, account: int, after: int, before: int) -> int:
    """The last row to deliver between two sequences, both exclusive; 0 if there is none."""
    cursor.execute(
        "SELECT seq FROM archive WHERE account = ? AND seq > ? AND seq < ? AND deliver = 1"
        " ORDER BY seq DESC LIMIT 1",
        (account, after, before),
    )
    row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def _has_more(cursor: Cursor, account: int, number: int) -> bool:
    cursor.execute(
        "SELECT count(*) FROM (SELECT 1 FROM archive WHERE account = ? LIMIT ?) AS found",
        (account, number + 1),
    )
    return int(cursor.fetchone()[0]) > number


def is_full(cursor: Cursor, account: int, keep: int) -> bool:
    """Whether a quota is used up, and the oldest row may not go because it is still to be delivered."""
    if keep and beyond(cursor, account, keep - 1) is None:
        return False
    mark = marks.load(cursor, account)
    cursor.execute(
        "SELECT seq, deliver FROM archive WHERE account = ? ORDER BY seq LIMIT 1",
        (account,),
    )
    row = cursor.fetchone()
    return row is not None and bool(row[1]) and not mark.covers(row[0])


def usage(cursor: Cursor, account: int) -> Usage:
    """Count an archive. It reads every row: for clean-up and the operator, not for each message."""
    mark = marks.load(cursor, account)
    cursor.execute(
        "SELECT count(*), coalesce(sum(length(stanza)), 0),"
        " coalesce(sum(CASE WHEN deliver = 1 AND seq > ? THEN 1 ELSE 0 END), 0)"
        " FROM archive WHERE account = ?",
        (mark.cursor, account),
    )
    number, size, undelivered = cursor.fetchone()
    return Usage(int(number), int(size), int(undelivered))


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
