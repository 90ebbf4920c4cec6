"""The order of reception."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xmppd.storage.sequence import Sequence, seq_of, time_of


class SequenceTests(SynchronousTestCase):
    def test_is_the_time_in_microseconds(self) -> None:
        self.assertEqual(Sequence(lambda: 1700000000.25).next(), 1_700_000_000_250_000)

    @given(st.lists(st.floats(0, 4e9), min_size=1), st.integers(0, 1 << 60))
    def test_always_increases_whatever_the_clock_does(self, times: list[float], last: int) -> None:
        clock = iter(times)
        sequence = Sequence(lambda: next(clock), last)
        made = [sequence.next() for _ in times]
        self.assertEqual(made, sorted(set(made)))
        self.assertGreater(made[0], last)
        self.assertEqual(sequence.last, made[-1])

    def test_returns_to_the_time_when_the_clock_has_caught_up(self) -> None:
        times = iter([100.0, 50.0, 60.0, 101.0])
        sequence = Sequence(lambda: next(times))
        self.assertEqual(
            [sequence.next() for _ in range(4)], [100_000_000, 100_000_001, 100_000_002, 101_000_000]
        )

    def test_time_of_a_row(self) -> None:
        moment = datetime(2026, 3, 1, 12, 30, 5, 123456, tzinfo=UTC)
        self.assertEqual(time_of(seq_of(moment)), moment)
        self.assertEqual(seq_of(datetime(1970, 1, 1, tzinfo=UTC)), 0)

    @given(
        st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))
    )
    def test_times_and_sequences_are_the_same_thing(self, moment: datetime) -> None:
        self.assertEqual(time_of(seq_of(moment)), moment)
