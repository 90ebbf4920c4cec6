"""How much strangers can write into the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial import unittest

from xmppd.core.budget import MOST_SOURCES, SUMMARY, LineBudget


class LineBudgetTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.summaries: list[tuple[str, int]] = []
        self.budget = LineBudget(self.clock, lambda *each: self.summaries.append(each), each=3, total=20)

    def test_some_for_each_then_a_summary(self) -> None:
        self.assertEqual([self.budget.allows("a") for _ in range(5)], [True] * 3 + [False] * 2)
        self.assertTrue(self.budget.allows("b"))
        self.clock.advance(60)
        self.assertEqual(self.summaries, [("a", 2)])
        self.assertTrue(self.budget.allows("a"))

    def test_nothing_to_sum_up(self) -> None:
        self.budget.allows("a")
        self.clock.advance(60)
        self.assertEqual((self.summaries, self.clock.getDelayedCalls()), ([], []))

    def test_some_in_all(self) -> None:
        allowed = [self.budget.allows(str(source)) for source in range(100)]
        self.assertEqual(sum(allowed), 20)
        self.clock.advance(60)
        self.assertEqual(len(self.summaries), SUMMARY + 1)
        self.assertEqual(sum(lines for _, lines in self.summaries), 80)
        self.assertEqual(self.summaries[-1], ("", 80 - SUMMARY))

    def test_a_bounded_memory(self) -> None:
        for source in range(2 * MOST_SOURCES):
            self.budget.allows(str(source))
        self.assertLessEqual(len(self.budget._lines), MOST_SOURCES + 1)

    @given(st.lists(st.integers(0, 30), max_size=200))
    def test_every_line_is_written_or_summed_up(self, sources: list[int]) -> None:
        summaries: list[int] = []
        clock = Clock()
        budget = LineBudget(clock, lambda _, lines: summaries.append(lines), each=3, total=20)
        written = sum(budget.allows(str(source)) for source in sources)
        clock.advance(60)
        self.assertLessEqual(written, 20)
        self.assertEqual(written + sum(summaries), len(sources))
