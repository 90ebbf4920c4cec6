"""The server keeps its promises, whatever happens (`tests.model.promises`); `make model` runs it for long."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import TestCase

from tests.model.machine import Machine, prepare

#: How many courses of things are tried here, and how long they are.
EXAMPLES, STEPS = 30, 50


class PromiseTests(TestCase):
    """One archive, many readers."""

    def test_everybody_gets_what_they_are_owed(self) -> None:
        """Neither loss nor duplicate, for any interleaving of what clients and the server do."""
        prepare(self.patch)
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
