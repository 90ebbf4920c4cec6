"""How long a peer may take to log in."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial import unittest

from xmppd.stream.deadline import Deadline


class DeadlineTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reached: list[str] = []
        self.deadline = Deadline(self.clock, self.reached.append)

    def test_whole(self) -> None:
        self.deadline.allow(60, "all")
        self.clock.advance(59)
        self.assertEqual(self.reached, [])
        self.clock.advance(1)
        self.assertEqual(self.reached, ["all"])

    def test_step(self) -> None:
        self.deadline.allow(60, "all")
        self.deadline.expect_within(20, "step")
        self.clock.advance(20)
        self.assertEqual(self.reached, ["step"])

    def test_steps_do_not_move_the_whole(self) -> None:
        self.deadline.allow(60, "all")
        for _ in range(4):
            self.deadline.expect_within(20, "step")
            self.clock.advance(15)
        self.assertEqual(self.reached, ["all"])

    def test_longer_whole_counts_from_the_beginning(self) -> None:
        """However often it is asked for"""
        self.deadline.allow(60, "all")
        for _ in range(11):
            self.deadline.allow(600, "more")
            self.clock.advance(54)
        self.assertEqual(self.reached, [])
        self.deadline.allow(600, "more")
        self.clock.advance(6)
        self.assertEqual(self.reached, ["more"])

    def test_too_late_already(self) -> None:
        self.deadline.allow(60, "all")
        self.deadline.stop()
        self.clock.advance(100)
        self.deadline.expect_within(20, "step")
        self.clock.advance(0)
        self.assertEqual(self.reached, ["all"])

    def test_stopped(self) -> None:
        self.deadline.allow(60, "all")
        self.deadline.stop()
        self.deadline.stop()
        self.deadline.allow(60, "all")
        self.deadline.close()
        self.clock.advance(100)
        self.assertEqual((self.reached, self.clock.getDelayedCalls()), ([], []))
