"""How long archives keep what is in them: age, quota and size (XEP-0313 section 3.2)."""

from collections.abc import Iterable
from dataclasses import dataclass

from xmppd.storage import archive, marks
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor


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
    deleted = archive.delete_up_to(cursor, account, last)
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


def is_full(cursor: Cursor, account: int, keep: int, mark: Mark) -> bool:
    """Whether a quota is used up, and the oldest row may not go because it is still to be delivered.

    :param mark: what the account has got.
    """
    if keep and beyond(cursor, account, keep - 1) is None:
        return False
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
