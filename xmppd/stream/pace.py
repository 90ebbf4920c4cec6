"""How fast a client is listened to: a token bucket over what it costs, which pauses and never drops.

What it costs are the bytes that come, with those of TLS around them, and the time that is spent on them: few
bytes can be much work, such as presence that goes to hundreds.
"""

from __future__ import annotations

from typing import Final

__all__ = ["OVERHEAD", "SHARE", "Pace"]

#: Bytes around each piece that comes: a record of TLS.  One byte in each would cost a hundred times as much
#: as all of them in one.
OVERHEAD: Final = 22
#: The part of the process's time that one client may take in the long run.
SHARE: Final = 0.1


class Pace:
    """The bucket of every stream.  Of each stream there is one number, kept by its brake: its mark.

    The mark is the time at which all that was read would have come at the rate.  It may be ahead of now by
    what may come at once.

    :param rate: bytes a second, None for any number, and for any work.
    :param burst: bytes that may come at once.

    :ivar allowed: seconds by which a mark may be ahead.
    :ivar held: whether nobody who is logged in is listened to, since the database cannot keep up.
    """

    __slots__ = ("_per_byte", "_per_second", "allowed", "held")

    def __init__(self, rate: int | None, burst: int) -> None:
        self._per_byte = 1 / rate if rate else 0.0
        self._per_second = 1 / SHARE if rate else 0.0
        self.allowed = burst * self._per_byte
        self.held = False

    def read(self, mark: float, size: int, now: float) -> float:
        """The mark after so many bytes more; as long as it is ahead by more than `allowed`, read nothing."""
        return (mark if mark > now else now) + (size + OVERHEAD) * self._per_byte

    def worked(self, mark: float, seconds: float, now: float) -> float:
        """The mark after work that has taken so long."""
        return (mark if mark > now else now) + seconds * self._per_second
