"""How each database product searches for words: FTS5 of SQLite, the text search of PostgreSQL."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from xmppd.storage.statement import Cursor
from xmppd.storage.words import Term, words_of

INDEXED: Final = "history = 1 AND kind < 4"
"""The rows that are indexed: history, and no tombstones."""

CANDIDATES: Final = 500
"""Rows that are taken from the index at once."""


class Found(NamedTuple):
    """What was found in the index."""

    rows: list[int]
    """Sequences, in the order that was asked for."""
    end: int | None
    """The row that was looked at last; None if there is none behind it."""


class Index(ABC):
    """How one database product searches."""

    def is_possible(self, cursor: Cursor) -> bool:
        """Whether the database can have an index."""
        return True

    def is_damage(self, error: Exception) -> bool:
        """Whether an error says that the index is damaged, and nothing else."""
        return False

    @abstractmethod
    def create(self, cursor: Cursor) -> None:
        """Make an empty index."""

    @abstractmethod
    def drop(self, cursor: Cursor) -> None:
        """Take it away, if there is one."""

    @abstractmethod
    def add(self, cursor: Cursor, account: int, rows: Sequence[tuple[int, set[str]]]) -> None:
        """Put rows in; sequence and words, in order."""

    def tidy(self, cursor: Cursor) -> None:
        """After rows were put in: one small step of keeping the index in shape."""
        return

    @abstractmethod
    def remove(self, cursor: Cursor, account: int, first: int, last: int) -> None:
        """Take rows out, while they still stand in the archive; both ends inclusive."""

    @abstractmethod
    def clean(self, cursor: Cursor, *, begin: bool) -> bool:
        """One small step of wiping what was taken out; False when there is nothing left to do.

        :param begin: whether it is the first step.
        """

    @abstractmethod
    def find(
        self,
        cursor: Cursor,
        account: int,
        wanted: Iterable[Term],
        first: int,
        last: int,
        order: str,
        enough: int,
    ) -> Found:
        """The next rows that have all words, between two bounds, in order.

        :param order: "ASC" or "DESC".
        :param enough: rows for which it is not worth while to look at all that there are.
        """


class FTS5(Index):
    """SQLite's full-text search, over words alone: no text, no positions, no sizes.

    A table that stores its text could delete by key, but would keep all text twice; so what is deleted is cut
    into words again. (Deleting by key without the text needs SQLite 3.43.) With text and positions an index
    over 100,000 messages of twelve words took 25 MB and 19 µs a row to write, this one takes 7 MB and 15 µs.

    Merges are done in steps of our own, so that none of them takes long.
    """

    #: Pages that one step merges.
    MERGE = 32

    def is_possible(self, cursor: Cursor) -> bool:
        """FTS5 can be left out of SQLite; this may be another SQLite than the one that made the database."""
        cursor.execute("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'")
        return bool(cursor.fetchone()[0])

    def is_damage(self, error: Exception) -> bool:
        """See Index.is_damage."""
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CORRUPT_VTAB

    def create(self, cursor: Cursor) -> None:
        """See Index.create."""
        cursor.execute(
            "CREATE VIRTUAL TABLE search USING"
            " fts5(words, content='', columnsize=0, detail=none, tokenize='ascii')"
        )
        for name, value in (("automerge", 0), ("crisismerge", 64)):
            cursor.execute("INSERT INTO search (search, rank) VALUES (?, ?)", (name, value))

    def drop(self, cursor: Cursor) -> None:
        """See Index.drop."""
        cursor.execute("DROP TABLE IF EXISTS search")

    def add(self, cursor: Cursor, account: int, rows: Sequence[tuple[int, set[str]]]) -> None:
        """See Index.add."""
        cursor.executemany(
            "INSERT INTO search (rowid, words) VALUES (?, ?)",
            [(seq, _owned(account, found)) for seq, found in rows if found],
        )

    def tidy(self, cursor: Cursor) -> None:
        """See Index.tidy."""
        cursor.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (self.MERGE,))

    def remove(self, cursor: Cursor, account: int, first: int, last: int) -> None:
        """See Index.remove."""
        rows = [(seq, words_of(stanza)) for seq, stanza in _rows(cursor, account, first, last)]
        cursor.executemany(
            "INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)",
            [(seq, _owned(account, found)) for seq, found in rows if found],
        )

    def clean(self, cursor: Cursor, *, begin: bool) -> bool:
        """Merge everything into one piece: what is marked as deleted is left out of it."""
        cursor.execute("SELECT total_changes()")
        before = cursor.fetchone()[0]
        pages = -self.MERGE if begin else self.MERGE
        cursor.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (pages,))
        cursor.execute("SELECT total_changes()")
        return bool(cursor.fetchone()[0] - before > 1)

    def find(
        self,
        cursor: Cursor,
        account: int,
        wanted: Iterable[Term],
        first: int,
        last: int,
        order: str,
        enough: int,
    ) -> Found:
        """Every word is a quoted string: nothing in it is an operator."""
        match = " AND ".join(f'"{account}x{term.word}"{" *" * term.beginning}' for term in wanted)
        cursor.execute(
            "SELECT rowid FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ?"
            f" ORDER BY rowid {order} LIMIT {CANDIDATES}",
            (match, first, last),
        )
        return _first([int(row[0]) for row in cursor.fetchall()])


class TextSearch(Index):
    """PostgreSQL's text search: a tsvector of our own words for each row, behind a GIN index."""

    #: Rows that are looked at one by one before all that have a word are asked for: 2 ms.
    NEAR = 4000

    def create(self, cursor: Cursor) -> None:
        """See Index.create."""
        cursor.execute(
            "CREATE TABLE search (account BIGINT NOT NULL, seq BIGINT NOT NULL, words TSVECTOR NOT NULL,"
            " PRIMARY KEY (account, seq))"
        )
        cursor.execute("CREATE INDEX search_words ON search USING gin (words)")

    def drop(self, cursor: Cursor) -> None:
        """See Index.drop."""
        cursor.execute("DROP TABLE IF EXISTS search")

    def add(self, cursor: Cursor, account: int, rows: Sequence[tuple[int, set[str]]]) -> None:
        """See Index.add."""
        cursor.executemany(
            "INSERT INTO search (account, seq, words)"
            " VALUES (?, ?, array_to_tsvector(string_to_array(?, ' ')))"
            " ON CONFLICT (account, seq) DO NOTHING",
            [(account, seq, _owned(account, found)) for seq, found in rows if found],
        )

    def remove(self, cursor: Cursor, account: int, first: int, last: int) -> None:
        """See Index.remove; what is deleted goes with `Database.scrub`."""
        cursor.execute(
            "DELETE FROM search WHERE account = ? AND seq BETWEEN ? AND ?",
            (account, first, last),
        )

    def clean(self, cursor: Cursor, *, begin: bool) -> bool:
        """The server does that by itself."""
        return False

    def find(
        self,
        cursor: Cursor,
        account: int,
        wanted: Iterable[Term],
        first: int,
        last: int,
        order: str,
        enough: int,
    ) -> Found:
        """Every word is a quoted lexeme: nothing in it is an operator.

        GIN gives all rows that have a word, in no order: in an archive of a million rows a frequent word took
        seconds. Of such a word there is enough among the nearest rows, which are looked at first.
        """
        match = " & ".join(f"'{account}x{term.word}'{':*' * term.beginning}" for term in wanted)
        # Bitmaps are all that GIN has; without them the archive is better read.
        cursor.execute("SET LOCAL enable_bitmapscan = on")
        cursor.execute("SET LOCAL enable_seqscan = off")
        near = self._find_near(cursor, account, match, first, last, order)
        if near.end is None or len(near.rows) >= enough:
            return near
        cursor.execute(
            "WITH hit AS MATERIALIZED (SELECT seq FROM search WHERE words @@ CAST(? AS tsquery))"
            f" SELECT seq FROM hit WHERE seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT {CANDIDATES}",
            (match, first, last),
        )
        return _first([int(row[0]) for row in cursor.fetchall()])

    def _find_near(
        self, cursor: Cursor, account: int, match: str, first: int, last: int, order: str
    ) -> Found:
        """What the nearest rows have."""
        cursor.execute(
            "SELECT count(*), min(seq), max(seq), array_agg(seq) FILTER (WHERE words @@ CAST(? AS tsquery))"
            " FROM (SELECT seq, words FROM search WHERE account = ? AND seq BETWEEN ? AND ?"
            f" ORDER BY seq {order} LIMIT {self.NEAR}) AS near",
            (match, account, first, last),
        )
        number, lowest, highest, rows = cursor.fetchone()
        backwards = order == "DESC"
        found = _first(sorted(rows or (), reverse=backwards))
        if found.end is not None or number < self.NEAR:
            return found
        return Found(found.rows, lowest if backwards else highest)


_FTS5 = FTS5()
_TEXT_SEARCH = TextSearch()


def index_of(cursor: Cursor) -> Index:
    """The index of the database that this cursor belongs to."""
    return _FTS5 if isinstance(cursor, sqlite3.Cursor) else _TEXT_SEARCH


def _first(rows: list[int]) -> Found:
    """As many as are taken from the index at once."""
    return Found(rows[:CANDIDATES], rows[CANDIDATES - 1] if len(rows) >= CANDIDATES else None)


def _owned(account: int, found: Iterable[str]) -> str:
    """The words of a row as they stand in the index, sorted, so that neighbours share their beginnings."""
    return " ".join([f"{account}x{word}" for word in sorted(found)])


def _rows(cursor: Cursor, account: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """The indexed rows of a range, a piece at a time."""
    while first <= last:
        found = cursor.stanzas(
            f"SELECT seq, stanza FROM archive WHERE account = ? AND seq BETWEEN ? AND ? AND {INDEXED}"
            f" ORDER BY seq LIMIT {CANDIDATES}",
            (account, first, last),
        )
        yield from found
        if len(found) < CANDIDATES:
            break
        first = max(seq for seq, _ in found) + 1
