"""The oldest stanzas without acknowledgement, of a session that cannot be resumed (XEP-0198, section 5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ["Dropped"]


class Dropped:
    """Stanzas of which nothing is kept but their number, and which archived messages they were.

    What such a message was is nothing to forget: its acknowledgement is the only one that it gets.
    """

    __slots__ = ("_behind", "_number", "_rows")

    def __init__(self) -> None:
        self._number = 0
        #: The archived ones, oldest first: how many others come directly before it, and its sequence.
        self._rows: deque[tuple[int, int]] = deque()
        #: How many others come behind the last of them.
        self._behind = 0

    def __len__(self) -> int:
        return self._number

    def add(self, rows: Iterable[int | None]) -> None:
        """Newer ones: the sequences of those that are in the archive, and None for others."""
        for row in rows:
            self._number += 1
            if row is None:
                self._behind += 1
            else:
                self._rows.append((self._behind, row))
                self._behind = 0

    def take(self, number: int) -> list[int]:
        """So many of the oldest were acknowledged; the sequences among them.

        :param number: as many as there are, at most.
        """
        self._number -= number
        rows: list[int] = []
        while number and self._rows:
            before, row = self._rows[0]
            if before >= number:
                self._rows[0] = before - number, row
                return rows
            self._rows.popleft()
            rows.append(row)
            number -= before + 1
        self._behind -= number
        return rows
