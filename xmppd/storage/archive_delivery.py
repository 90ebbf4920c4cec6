"""What is still to be delivered from the archives: rows above an account's mark (marks.py, XEP-0160)."""

from collections.abc import Sequence
from dataclasses import dataclass

from xmppd.storage import archive
from xmppd.storage.statement import Cursor, one_of


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row that is to be delivered."""

    seq: int
    peer: str
    resource: str
    own_resource: str
    history: bool
    stanza: bytes


def deliverable(cursor: Cursor, account: int, after: int, limit: int) -> list[Delivery]:
    """The next rows to deliver above a sequence, in order, as many as make a page; those that are confirmed
    already are among them. None where there are no more."""
    found: list[Delivery] = []
    size = 0
    while len(found) < limit and size <= archive.PAGE_BYTES:
        cursor.execute(
            "SELECT seq, peer, resource, own_resource, history, stanza FROM archive"
            " WHERE account = ? AND seq > ? AND deliver = 1 ORDER BY seq LIMIT ?",
            (account, after, min(archive.PIECE, limit - len(found))),
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


def stanzas(cursor: Cursor, account: int, seqs: Sequence[int]) -> dict[int, tuple[bytes, bool]]:
    """The stanzas at these positions, as far as they are still there, and whether they are history: for
    resumption."""
    cursor.execute(
        f"SELECT seq, stanza, history FROM archive WHERE account = ? AND {one_of('seq', seqs)}",
        (account, *sorted(set(seqs))),
    )
    return {seq: (bytes(stanza), bool(history)) for seq, stanza, history in cursor.fetchall()}
