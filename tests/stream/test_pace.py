"""The rate at which clients are listened to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from xmppd.stream.pace import OVERHEAD, SHARE, Pace

reads = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 65536)), min_size=1, max_size=60)


class PaceTests(unittest.TestCase):
    def test_a_burst_and_then_the_rate(self) -> None:
        pace = Pace(1000, 5000)
        mark = pace.read(0.0, 5000 - OVERHEAD, 100.0)
        self.assertEqual(mark - 100.0, pace.allowed)
        mark = pace.read(mark, 2000 - OVERHEAD, 100.0)
        self.assertAlmostEqual(mark - 100.0 - pace.allowed, 2.0)

    def test_many_small_pieces(self) -> None:
        """One byte in each record of TLS is as much as the record."""
        pace, mark = Pace(1000, 5000), 100.0
        for _ in range(1000):
            mark = pace.read(mark, 1, 100.0)
        self.assertAlmostEqual(mark, 100.0 + OVERHEAD + 1)

    def test_work(self) -> None:
        """In the long run one client has a part of the time, whatever it sends."""
        pace = Pace(1000, 5000)
        mark = pace.worked(0.0, 0.5, 100.0)
        self.assertEqual(mark, 100.0 + 0.5 / SHARE)
        self.assertEqual(pace.worked(mark, 0.0, 110.0), 110.0)

    def test_no_rate(self) -> None:
        pace = Pace(None, 5000)
        self.assertEqual(pace.read(0.0, 1 << 30, 7.0) - 7.0, pace.allowed)
        self.assertEqual(pace.worked(0.0, 1000.0, 7.0) - 7.0, pace.allowed)

    @given(reads)
    def test_never_more_than_burst_and_rate(self, steps: list[tuple[int, int]]) -> None:
        """Whoever stops when told reads at most rate times time, a burst, and the last chunk."""
        pace, now, mark, total = Pace(1000, 5000), 50.0, 0.0, 0
        for pause, size in steps:
            now += pause / 100 + max(0.0, mark - now - pace.allowed)
            mark = pace.read(mark, size, now)
            total += size
            self.assertLessEqual(total, 5000 + 1000 * (now - 50.0) + size + 1e-3)
