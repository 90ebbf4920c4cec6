"""How fast a client is listened to: a token bucket over the bytes read, which pauses and never drops."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """The bucket of every stream.  Of each stream there is one number, kept by the stream: its mark.

    The mark is the time at which all that was read would have come at the rate.  It may be ahead of now by
    what may come at once.

    :param rate: bytes a second, None for any number.
    :param burst: bytes that may come at once.

    :ivar allowed: seconds by which a mark may be ahead.
    :ivar held: whether nobody who is logged in is listened to, since the database cannot keep up.
    """

    __slots__ = ("_per_byte", "allowed", "held")

    def __init__(self, rate: int | None, burst: int) -> None:
        self._per_byte = 1 / rate if rate else 0.0
        self.allowed = burst * self._per_byte
        self.held = False

    def read(self, mark: float, size: int, now: float) -> float:
        """The mark after so many bytes more; as long as it is ahead by more than `allowed`, read nothing."""
        return (mark if mark > now else now) + size * self._per_byte
