"""The search of the shortest way to a failure."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from tests.support.rounds import run_some
from tests.support.shorten import failure_of, shorten, steps_of


class Stack(RuleBasedStateMachine):
    """Breaks when three are on it, and in other ways when none is left to be taken."""

    @initialize(there=st.lists(st.integers(), max_size=1))
    def begin(self, there: list[int]) -> None:
        self.items = there

    @rule(item=st.integers())
    def put(self, item: int) -> None:
        self.items.append(item)

    @rule()
    def look(self) -> None:
        pass

    @rule()
    def take(self) -> None:
        if self.items:
            self.items.pop()

    @invariant()
    def is_low(self) -> None:
        assert len(getattr(self, "items", [])) < 3


class ShorteningTests(SynchronousTestCase):
    def failing(self) -> list[str]:
        problem: Any = self.assertRaises(AssertionError, run_some, Stack, 200, 50, database=None)
        return steps_of(problem)

    def test_steps_that_were_found_fail_again(self) -> None:
        steps = self.failing()
        self.assertTrue(steps[0].startswith("state.begin("))
        place = failure_of(Stack, steps)
        assert place is not None
        self.assertEqual(place[0], "AssertionError")

    def test_what_is_not_needed_is_left_out(self) -> None:
        steps = ["state.begin(there=[])", *["state.put(item=1)", "state.look()", "state.take()"] * 5]
        steps += ["state.put(item=2)"] * 4 + ["state.look()", "state.is_low()", "state.take()"]
        place = failure_of(Stack, steps)
        shortest = shorten(steps, lambda fewer: failure_of(Stack, fewer) == place, 60)
        self.assertEqual((len(shortest), shortest[0], shortest[-1]), (5, steps[0], "state.is_low()"))

    def test_another_failure_is_not_the_same(self) -> None:
        first = failure_of(Stack, ["state.begin(there=[])", "state.nothing()"])
        second = failure_of(Stack, ["state.begin(there=[1, 2, 3])", "state.is_low()"])
        self.assertNotEqual(first, second)
        self.assertIsNone(failure_of(Stack, ["state.begin(there=[])", "state.is_low()"]))

    def test_when_time_is_up_what_was_found_is_told(self) -> None:
        steps = ["state.begin(there=[])", "state.look()", "state.look()"]
        self.assertEqual(shorten(steps, lambda fewer: True, 0), steps)
