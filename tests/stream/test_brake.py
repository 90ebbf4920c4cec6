"""The rest of a client that costs too much."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from xmppd.stream.brake import Brake
from xmppd.stream.inbox import PACE
from xmppd.stream.pace import OVERHEAD, SHARE, Pace


class Reading:
    """Notes when it is paused."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []

    def pause(self, reason: int) -> None:
        self.said.append(("pause", reason))

    def resume(self, reason: int) -> None:
        self.said.append(("resume", reason))


class BrakeTests(SynchronousTestCase):
    """A thousand bytes a second, two thousand at once."""

    def setUp(self) -> None:
        self.clock, self.reading = Clock(), Reading()
        self.clock.advance(100)
        self.brake = Brake(Pace(1000, 2000), self.clock, cast(Any, self.reading))

    def read(self, size: int) -> list[tuple[str, int]]:
        self.brake.read(size - OVERHEAD, self.clock.seconds())
        return self.said()

    def said(self) -> list[tuple[str, int]]:
        said, self.reading.said = self.reading.said, []
        return said

    def test_rests_until_it_is_at_its_pace_again(self) -> None:
        self.assertEqual(self.read(2000), [])
        self.assertEqual(self.read(500), [("pause", PACE)])
        self.clock.advance(0.4)
        self.assertEqual(self.said(), [])
        self.clock.advance(0.2)
        self.assertEqual(self.said(), [("resume", PACE)])

    def test_what_comes_nevertheless_makes_the_rest_longer(self) -> None:
        self.assertEqual(self.read(2500), [("pause", PACE)])
        self.assertEqual(self.read(1000), [])
        self.clock.advance(0.6)
        self.assertEqual(self.said(), [])
        self.clock.advance(1)
        self.assertEqual(self.said(), [("resume", PACE)])

    def test_work_counts(self) -> None:
        self.brake.worked(3 * SHARE, self.clock.seconds())
        self.assertEqual(self.said(), [("pause", PACE)])

    def test_weight_is_what_has_come(self) -> None:
        self.read(100)
        self.read(200)
        self.assertEqual(self.brake.weight, 300)

    def test_lost_connection_leaves_no_timer(self) -> None:
        self.read(2500)
        self.brake.close()
        self.brake.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
