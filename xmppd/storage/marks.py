"""How far an account's messages are delivered: a low-water mark in its archive, and what is confirmed above
it."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from xmppd.storage.statement import Cursor, Row, Statement

SAVE = Statement("UPDATE account SET cursor = ?, confirmed = ? WHERE id = ?", rank=1, newest_by=(2,))
"""Write a mark; rows by `Mark.row`. Of several in a group only the last is run."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A reader's position in an archive."""

    cursor: int = 0
    """Every row to deliver up to and including this sequence is confirmed."""
    confirmed: frozenset[int] = frozenset()
    """Sequences above the cursor that are confirmed all the same."""

    @classmethod
    def decode(cls, cursor: int, confirmed: bytes) -> "Mark":
        """From the columns of `account`."""
        return cls(cursor, frozenset(struct.unpack(f">{len(confirmed) // 8}q", confirmed)))

    def row(self, account: int) -> Row:
        """For SAVE."""
        return self.cursor, encode(self.confirmed), account

    def covers(self, seq: int) -> bool:
        """Whether a row is confirmed."""
        return seq <= self.cursor or seq in self.confirmed


def encode(confirmed: Iterable[int]) -> bytes:
    """Eight bytes a sequence, in order."""
    numbers = sorted(confirmed)
    return struct.pack(f">{len(numbers)}q", *numbers)


def load(cursor: Cursor, account: int) -> Mark:
    """The mark as it was last stored.

    :raises LookupError: if there is no such account.
    """
    cursor.execute("SELECT cursor, confirmed FROM account WHERE id = ?", (account,))
    row = cursor.fetchone()
    if row is None:
        raise LookupError(account)
    return Mark.decode(*row)


def save(cursor: Cursor, account: int, mark: Mark) -> None:
    """Store a mark inside another unit of work."""
    cursor.execute(SAVE.sql, mark.row(account))
