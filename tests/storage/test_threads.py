"""Threads for the database: each piece of work is done once, and reported."""

from __future__ import annotations

import threading
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from xmppd.storage.threads import DatabaseThreads, NoThreads

PATIENCE = 30


class Outcomes:
    """Collects what is reported, in whatever thread."""

    def __init__(self, number: int) -> None:
        self.found: list[tuple[bool, Any]] = []
        self._missing = number
        self._all = threading.Event()

    def __call__(self, success: bool, result: Any) -> None:
        self.found.append((success, result))
        if len(self.found) == self._missing:
            self._all.set()

    def wait(self) -> list[tuple[bool, Any]]:
        assert self._all.wait(PATIENCE)
        return self.found


class ThreadsTests(SynchronousTestCase):
    def threads(self, most: int) -> DatabaseThreads:
        threads = DatabaseThreads(most)
        threads.start()
        self.addCleanup(threads.stop)
        return threads

    def test_work_is_done_in_order_and_reported(self) -> None:
        threads, outcomes = self.threads(1), Outcomes(100)
        for number in range(100):
            threads.callInThreadWithCallback(outcomes, pow, number, exp=2)
        self.assertEqual(outcomes.wait(), [(True, number**2) for number in range(100)])

    def test_failure_is_reported_and_the_thread_goes_on(self) -> None:
        threads, outcomes = self.threads(1), Outcomes(2)
        threads.callInThreadWithCallback(outcomes, int, "x")
        threads.callInThreadWithCallback(None, int, "y")
        threads.callInThreadWithCallback(outcomes, int, "1")
        (failed, failure), rest = outcomes.wait()
        self.assertFalse(failed)
        self.assertIsInstance(failure, Failure)
        self.assertIsInstance(failure.value, ValueError)
        self.assertEqual(rest, (True, 1))

    def test_nothing_ends_a_thread_but_stop(self) -> None:
        def end() -> None:
            raise SystemExit(1)

        threads, outcomes = self.threads(1), Outcomes(2)
        threads.callInThreadWithCallback(outcomes, end)
        threads.callInThreadWithCallback(outcomes, int, "1")
        self.assertEqual([success for success, _ in outcomes.wait()], [False, True])

    def test_no_more_threads_than_are_needed_or_allowed(self) -> None:
        threads, gate, outcomes = self.threads(2), threading.Event(), Outcomes(4)
        threads.callInThreadWithCallback(outcomes, gate.wait, PATIENCE)
        self.assertEqual(len(threads._threads), 1)
        for _ in range(3):
            threads.callInThreadWithCallback(outcomes, gate.wait, PATIENCE)
        self.assertEqual(len(threads._threads), 2)
        gate.set()
        self.assertEqual(outcomes.wait(), [(True, True)] * 4)
        again = Outcomes(1)
        threads.callInThreadWithCallback(again, threading.current_thread)
        self.assertIn(again.wait()[0][1], threads._threads)

    def test_stop_waits_for_what_is_under_way(self) -> None:
        threads, outcomes = DatabaseThreads(1), Outcomes(2)
        gate = threading.Event()
        threads.callInThreadWithCallback(outcomes, gate.wait, PATIENCE)
        threads.callInThreadWithCallback(outcomes, int, "7")
        threading.Timer(0.05, gate.set).start()
        threads.stop()
        self.assertEqual(outcomes.found, [(True, True), (True, 7)])
        self.assertFalse(any(thread.is_alive() for thread in threads._threads))
        threads.callInThreadWithCallback(self.fail, int)

    def test_without_threads(self) -> None:
        outcomes = Outcomes(2)
        NoThreads().callInThreadWithCallback(outcomes, int, "1")
        NoThreads().callInThreadWithCallback(outcomes, int, "x")
        self.assertEqual([success for success, _ in outcomes.found], [True, False])
