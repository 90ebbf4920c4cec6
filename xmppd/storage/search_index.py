"""The search index: one more reader of the archive, with a position in each (XEP-0431).

It is made from the archive and can be made again. Each word stands in it behind the number of its owner, so
that a search reads what is the owner's own and nothing else: measured in 200,000 rows of 100 accounts, a
common word took 3 ms this way and 90 ms where one list had it for everyone, at 4 µs more a row to write.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from xmppd.storage import meta
from xmppd.storage.search_engines import INDEXED, Index, index_of
from xmppd.storage.statement import Cursor
from xmppd.storage.words import VERSION, words_of

MADE: Final = "search_index"
"""In `meta`: how the words in the index were cut; nothing where there is no index."""

REMOVED: Final = "search_removed"
"""In `meta`: something was taken out of the index since it was cleaned for the last time."""


class Batch(NamedTuple):
    """Rows that are to be indexed, read and cut into words: what can be done beside the writer."""

    account: int
    after: int
    """The position before, and"""
    through: int
    """after it."""
    rows: list[tuple[int, set[str]]]
    """Sequence and words."""


# -- the index as a whole


def open_index(cursor: Cursor) -> bool:
    """Make the index if there is none, or none that fits; for a unit of `write`.

    :returns: False if the database can have none: then nothing is indexed, and searches read the archive.
    """
    index = index_of(cursor)
    if not index.is_possible(cursor):
        _forget(cursor)
        return False
    if meta.get(cursor, MADE) != VERSION:
        _make_anew(cursor)
    return True


def _make_anew(cursor: Cursor) -> None:
    drop_index(cursor)
    index_of(cursor).create(cursor)
    meta.put(cursor, MADE, VERSION)


def _change(cursor: Cursor, change: Callable[[Index], None]) -> bool:
    """Change the index. One that turns out to be damaged is made anew, and harms nothing else by that: the
    server must be able to go on writing.

    :returns: False if the index was made anew, and is empty.
    """
    index = index_of(cursor)
    try:
        change(index)
    except Exception as error:
        if not index.is_damage(error):
            raise
        _make_anew(cursor)
        return False
    return True


def drop_index(cursor: Cursor) -> None:
    """Take the index away: it can be made again."""
    if index_of(cursor).is_possible(cursor):
        index_of(cursor).drop(cursor)
    _forget(cursor)


def _forget(cursor: Cursor) -> None:
    """Nothing is indexed any more."""
    cursor.execute("DELETE FROM search_position")
    cursor.execute("DELETE FROM meta WHERE name IN (?, ?)", (MADE, REMOVED))


# -- filling it


def position(cursor: Cursor, account: int) -> int:
    """Up to where an archive is indexed; 0 where nothing is."""
    cursor.execute("SELECT seq FROM search_position WHERE account = ?", (account,))
    row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def include(cursor: Cursor, account: int, seq: int, stanza: bytes) -> None:
    """A row of the history was put in between others: if the index has come by its place, it goes in here."""
    if seq <= position(cursor, account):
        row = (seq, words_of(stanza))
        _change(cursor, lambda index: index.add(cursor, account, [row]))


def behind(cursor: Cursor, accounts: Iterable[int]) -> list[int]:
    """Of some accounts those that have rows which are not indexed."""
    found = []
    for account in accounts:
        cursor.execute(
            f"SELECT 1 FROM archive WHERE account = ? AND seq > ? AND {INDEXED} LIMIT 1",
            (account, position(cursor, account)),
        )
        if cursor.fetchone() is not None:
            found.append(account)
    return found


def next_batch(cursor: Cursor, account: int, limit: int) -> Batch | None:
    """The next rows of an archive to index, for `read`; None if there are none."""
    after = position(cursor, account)
    rows = cursor.stanzas(
        f"SELECT seq, stanza FROM archive WHERE account = ? AND seq > ? AND {INDEXED} ORDER BY seq LIMIT ?",
        (account, after, limit),
    )
    if not rows:
        return None
    read = [(seq, words_of(stanza)) for seq, stanza in sorted(rows)]
    return Batch(account, after, read[-1][0], read)


def add_batch(cursor: Cursor, batch: Batch) -> None:
    """Put rows in the index and move its position; for `write`. What was erased in between is left out."""
    account, after, through, rows = batch
    if meta.get(cursor, MADE) is None or position(cursor, account) != after:
        return
    cursor.execute(
        f"SELECT seq FROM archive WHERE account = ? AND seq > ? AND seq <= ? AND {INDEXED}",
        (account, after, through),
    )
    there = {row[0] for row in cursor.fetchall()}
    if not there.issubset(row[0] for row in rows):
        # Imported since the batch was read: its next try has them. They were never found otherwise.
        return

    def add(index: Index) -> None:
        index.add(cursor, account, [row for row in rows if row[0] in there])
        index.tidy(cursor)

    if there and _change(cursor, add):
        cursor.execute(
            "INSERT INTO search_position (account, seq) VALUES (?, ?)"
            " ON CONFLICT (account) DO UPDATE SET seq = excluded.seq",
            (account, through),
        )


# -- emptying it


def remove(cursor: Cursor, account: int, first: int, last: int) -> None:
    """Rows are about to be erased: take them out of the index before. Both ends inclusive."""
    reached = position(cursor, account)
    if not reached or reached < first:
        return
    if _change(cursor, lambda index: index.remove(cursor, account, first, min(last, reached))):
        meta.put(cursor, REMOVED, "yes")


def forget(cursor: Cursor, account: int) -> None:
    """Nothing is left of an archive: there is no place in it any more."""
    cursor.execute("DELETE FROM search_position WHERE account = ?", (account,))


def tidy(cursor: Cursor) -> None:
    """One small step of keeping the index in shape, after a step of some hundred rows that were taken out or
    put in. Without it SQLite at last makes up for all of them at once, in the middle of a write (measured:
    half a second at two million rows).
    """
    if meta.get(cursor, MADE) is not None:
        _change(cursor, lambda index: index.tidy(cursor))


def needs_cleaning(cursor: Cursor) -> bool:
    """Whether words that were taken out may still stand in the files."""
    return meta.get(cursor, REMOVED) is not None


def clean(cursor: Cursor, *, begin: bool) -> bool:
    """One small step of wiping what was taken out; for `write`. False after the last one.

    :param begin: whether it is the first step.
    """
    if begin:
        meta.put(cursor, REMOVED, "being cleaned")
    more = False

    def step(index: Index) -> None:
        nonlocal more
        more = index.clean(cursor, begin=begin)

    if _change(cursor, step) and more:
        return True
    cursor.execute("DELETE FROM meta WHERE name = ? AND value = 'being cleaned'", (REMOVED,))
    return False
