"""The watchdog: what held up the reactor is logged, and nothing else."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from xmppd.watchdog import Watchdog


class WatchdogTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.time = 100.0
        self.lines: list[str] = []
        self.dog = Watchdog(self.clock, now=lambda: self.time)
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "xmppd.watchdog":
            self.lines.append(event["log_format"].format(**event))

    def test_quiet_while_the_reactor_runs(self) -> None:
        for _ in range(20):
            self.time += 0.19
            self.dog.look()
            self.dog.note()
        self.assertEqual(self.lines, [])

    def a_slow_handler(self) -> None:
        self.time += 0.5
        self.dog.look()

    def test_names_what_held_it_up(self) -> None:
        self.a_slow_handler()
        self.time += 0.1
        self.dog.look()
        self.dog.note()
        self.assertEqual(len(self.lines), 1)
        self.assertIn("stood still for 550 ms in", self.lines[0])
        self.assertIn(" < a_slow_handler (test_watchdog.py:", self.lines[0])
        self.dog.note()
        self.assertEqual(len(self.lines), 1)

    def test_nobody_saw_it(self) -> None:
        self.time += 5
        self.dog.note()
        self.assertIn(" 4950 ms ", self.lines[0])
        self.assertIn("nobody saw", self.lines[0])

    def test_a_log_that_is_not_flooded(self) -> None:
        for _ in range(50):
            self.a_slow_handler()
            self.dog.note()
        self.assertEqual(len(self.lines), 10)
        self.clock.advance(60)
        self.assertEqual(self.lines[10:], ["the reactor stood still 40 more times in the last minute"])

    def test_the_thread_looks(self) -> None:
        looked = threading.Event()
        self.patch(self.dog, "look", looked.set)
        self.dog.start()
        self.addCleanup(self.dog.stop)
        self.assertTrue(looked.wait(20))

    def test_notes_by_itself_and_ends(self) -> None:
        self.dog.start()
        self.time += 3
        self.clock.advance(0.1)
        self.assertEqual(len(self.lines), 1)
        self.dog.stop()
        self.time += 3
        self.clock.advance(0.1)
        self.assertEqual(len(self.lines), 1)
        self.dog.stop()

    def test_a_thread_that_is_gone(self) -> None:
        dog = Watchdog(self.clock, now=lambda: self.time, frames=dict)
        self.time += 1
        dog.look()
        dog.note()
        self.assertIn("nobody saw", self.lines[0])
