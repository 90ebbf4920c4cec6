"""What is kept of stanzas that were dropped from a queue: SM S18."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xmppd.stream.dropped import Dropped


class DroppedTests(SynchronousTestCase):
    @given(st.lists(st.lists(st.none() | st.integers(1, 99)) | st.floats(0, 1)))
    def test_as_a_list_of_everything(self, what: list[list[int | None] | float]) -> None:
        dropped = Dropped()
        known: list[int | None] = []
        for each in what:
            if isinstance(each, list):
                dropped.add(each)
                known += each
            else:
                number = round(each * len(known))
                taken, known = known[:number], known[number:]
                self.assertEqual(dropped.take(number), [row for row in taken if row is not None])
            self.assertEqual(len(dropped), len(known))

    def test_what_is_in_no_archive_takes_no_memory(self) -> None:
        dropped = Dropped()
        dropped.add([None] * 100_000)
        dropped.add([7])
        self.assertEqual(len(dropped._rows), 1)
        self.assertEqual((dropped.take(100_000), dropped.take(1)), ([], [7]))
