"""Messages by the words in them (XEP-0431): from the index, and by reading what is not indexed yet.

The index says which rows may be meant, in order; all other conditions are those of `archive_query.page`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from xmppd.storage import archive_query, search_engines, search_index
from xmppd.storage.archive_query import Page, Query
from xmppd.storage.statement import Cursor
from xmppd.storage.words import Term, matcher, words_of

__all__ = ["search"]

SCAN: Final = 200
"""Rows that one transaction reads of what is not indexed."""

_LAST: Final = (1 << 63) - 1


class Reader(Protocol):
    """What a search needs of the database."""

    async def read(self, name: str, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run `function(cursor, *args)` in a reading transaction."""
        ...


class Piece(NamedTuple):
    """What one transaction has found."""

    rows: list[tuple[int, bytes]]
    last: int | None
    """The row that was looked at last; None if there is none behind it."""


Step = Callable[[Cursor, int, Query, tuple[Term, ...]], Piece]


async def search(database: Reader, account: int, query: Query, wanted: tuple[Term, ...]) -> Page:
    """One page of the history of an account, of the messages that have all these words.

    It takes as many short transactions as it needs. A message that comes while it is under way may be in the
    page or not. The whole result is counted only where the page has all of it; with a limit of 0 the page
    says whether there is anything at all.

    :param wanted: from `words.terms`; without any nothing is found.
    """
    if not wanted:
        return Page([], complete=True, count=0)
    reached = await database.read("search position", search_index.position, account)
    most = max(query.limit, 0)
    found: list[tuple[int, bytes]] = []
    for step, part in _parts(query, reached):
        here = part
        while len(found) <= most:
            here = replace(here, limit=most + 1 - len(found))
            rows, last = await database.read("search", step, account, here, wanted)
            found += rows
            if last is None:
                break
            here = replace(here, before=last) if query.backwards else replace(here, after=last)
    return archive_query.page_of(found, query)


def _parts(query: Query, reached: int) -> list[tuple[Step, Query]]:
    """The steps of a search with what each looks at, in the direction of paging."""
    before, after = query.before, query.after
    indexed = replace(query, before=reached + 1 if before is None else min(before, reached + 1))
    fresh = replace(query, after=reached if after is None else max(after, reached))
    parts: list[tuple[Step, Query]] = [(look_up, indexed)] if reached else []
    parts.append((scan, fresh))
    return parts[::-1] if query.backwards else parts


def look_up(cursor: Cursor, account: int, query: Query, wanted: tuple[Term, ...]) -> Piece:
    """Of the next rows that the index has, those that the query means."""
    first, last = archive_query.bounds_of(query, paging=True)
    index, order = search_engines.index_of(cursor), "DESC" if query.backwards else "ASC"
    most = _LAST if last is None else last
    found = index.find(cursor, account, wanted, first or 0, most, order, query.limit)
    chosen = found.rows if query.ids is None else [seq for seq in found.rows if seq in query.ids]
    page = archive_query.page(cursor, account, replace(query, ids=tuple(chosen), after=None, before=None))
    rows = _in_order(page, query)
    return Piece(rows, found.end if page.complete else rows[-1][0])


def scan(cursor: Cursor, account: int, query: Query, wanted: tuple[Term, ...]) -> Piece:
    """Of the next rows those that have the words."""
    matches = matcher(wanted)
    page = archive_query.page(cursor, account, replace(query, limit=SCAN))
    rows = _in_order(page, query)
    hits = [(seq, stanza) for seq, stanza in rows if matches(words_of(stanza))]
    return Piece(hits, None if page.complete else rows[-1][0])


def _in_order(page: Page, query: Query) -> list[tuple[int, bytes]]:
    return page.rows[::-1] if query.backwards else page.rows
