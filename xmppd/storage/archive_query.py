"""Queries of the history: which rows, and a page of them (XEP-0313 section 4, XEP-0059).

Times are asked for as ranges of sequences (archive.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xmppd.storage import archive
from xmppd.storage.statement import Cursor, Value, one_of

COUNT_LIMIT = 10_000
"""Rows up to which the size of a result is counted (XEP-0059 lets a costly count be left out)."""


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
        yield one_of("seq", query.ids), tuple(sorted(set(query.ids)))


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
        if size > archive.PAGE_BYTES and number:
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
        f"SELECT seq FROM archive WHERE account = ? AND history = 1 AND {one_of('seq', seqs)}",
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
