"""The server keeps its promises, whatever happens (`tests.model.promises`); `make model` runs it for long."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.model.machine import Machine, prepare
from tests.support.rounds import run_some

#: How many courses of things are tried here, and how long they are.
EXAMPLES, STEPS = 30, 50


class PromiseTests(TestCase):
    """One archive, many readers."""

    def test_everybody_gets_what_they_are_owed(self) -> None:
        """Neither loss nor duplicate, for any interleaving of what clients and the server do."""
        prepare(self.patch)
        run_some(Machine, EXAMPLES, STEPS)
