"""Fairness of what takes long: some at a time, one of each owner, and owners in turn."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from xmppd.core.lane import Lane


class LaneTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lane = Lane(2)
        self.running: dict[str, Deferred[str]] = {}

    def tearDown(self) -> None:
        """Nothing may wait for ever: whose turn would it be when it is thrown away?"""
        while self.running:
            self.answer(next(iter(self.running)))

    def ask(self, *names: str) -> list[Deferred[str]]:
        """Questions whose owner is the first letter."""

        async def answer(name: str) -> str:
            self.running[name] = Deferred()
            return await self.running[name]

        return [Deferred.fromCoroutine(self.lane.run(name[0], answer, name)) for name in names]

    def answer(self, *names: str) -> None:
        for name in names:
            self.running.pop(name).callback(name)

    def test_so_many_at_a_time(self) -> None:
        first, *_ = self.ask("a1", "b1", "c1")
        self.assertEqual(list(self.running), ["a1", "b1"])
        self.answer("a1")
        self.assertEqual(self.successResultOf(first), "a1")
        self.assertEqual(list(self.running), ["b1", "c1"])

    def test_one_of_each_owner(self) -> None:
        self.ask("a1", "a2", "a3")
        self.assertEqual(list(self.running), ["a1"])
        self.assertEqual(self.lane.waiting("a"), 2)
        self.ask("b1")
        self.assertEqual(list(self.running), ["a1", "b1"])

    def test_owners_in_turn(self) -> None:
        """Whoever asks a thousand times waits like the others."""
        self.ask("x1", "a1", "a2", "a3", "b1", "b2", "c1")
        order = ["x1", "a1"]
        for _ in range(5):
            self.answer(order[len(order) - 2])
            order += [name for name in self.running if name not in order]
        self.assertEqual(order, ["x1", "a1", "b1", "a2", "c1", "b2", "a3"])

    def test_failures_let_others_through(self) -> None:
        (failing,) = self.ask("a1")
        self.ask("a2")
        self.running.pop("a1").errback(ValueError("broken in a test"))
        self.failureResultOf(failing, ValueError)
        self.answer("a2")
        self.assertEqual(self.lane._running, set())
        self.assertEqual(self.lane._waiting, {})

    def test_answers_at_once(self) -> None:
        """As when the database has been closed: however many wait, and without a call for each in another"""

        async def refuse() -> None:
            raise ValueError("closed")

        (first,) = self.ask("a1")
        others = [Deferred.fromCoroutine(self.lane.run(owner, refuse)) for owner in "ab" * 2000]
        self.answer("a1")
        self.successResultOf(first)
        for each in others:
            self.failureResultOf(each, ValueError)
        self.assertEqual((self.lane._running, self.lane._waiting), (set(), {}))
