"""The order of reception, which is the time of reception as well."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sequence:
    """Gives each row of the archive its sequence: microseconds since 1970, strictly increasing.

    If the clock is set back, or more than a million rows come in a second, it counts on from the last one.

    :param seconds: the clock: seconds since 1970 (a reactor's `seconds`).
    :param last: the greatest sequence in the database (`archive.greatest`).
    """

    def __init__(self, seconds: Callable[[], float], last: int = 0) -> None:
        self._seconds = seconds
        self.last = last

    def next(self) -> int:
        """A sequence greater than all before."""
        now = int(self._seconds() * 1_000_000)
        last = self.last + 1
        self.last = now if now > last else last
        return self.last


def time_of(seq: int) -> datetime:
    """The time of reception, in UTC."""
    return EPOCH + timedelta(microseconds=seq)


def seq_of(moment: datetime) -> int:
    """The sequence of a row that came in at this moment.

    :param moment: with its time zone.
    """
    return (moment - EPOCH) // timedelta(microseconds=1)
