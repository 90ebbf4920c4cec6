"""What of the log people see."""

from __future__ import annotations

import io
import os
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from xmppd import logs


class LogTests(SynchronousTestCase):
    """What of the log reaches the console."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.publisher: Any = LogPublisher(logs.console(self.out))

    def told(self, namespace: str, level: Any, text: str, **fields: Any) -> str:
        """What the console shows of one event, without the time."""
        before = len(self.out.getvalue())
        Logger(namespace, observer=self.publisher).emit(level, text, **fields)
        return self.out.getvalue()[before + len("2026-01-01 00:00:00 ") :]

    def test_own_lines(self) -> None:
        """Own lines are plain, with the level from warnings on."""
        self.assertEqual(self.told("xmppd.tap", LogLevel.info, "{a} stops", a="it"), "it stops\n")
        self.assertEqual(self.told("xmppd.x", LogLevel.error, "oh"), "error: oh\n")

    def test_lines_of_others(self) -> None:
        """Of others there are warnings and what is worse, with their tracebacks."""
        self.assertEqual(self.told("twisted.internet", LogLevel.info, "factory starting"), "")
        self.assertEqual(self.told("log_legacy", LogLevel.info, "port closed"), "")
        self.assertEqual(self.told("twisted.x", LogLevel.warn, "mind"), "warn: mind\n")
        try:
            os.stat("/no/such/file")
        except OSError:
            Logger("twisted.x", observer=self.publisher).failure("what")
        self.assertIn("FileNotFoundError", self.out.getvalue())

    def test_what_is_told_already(self) -> None:
        """What stands on the console already does not come again."""
        self.assertEqual(self.told("xmppd.tap", LogLevel.critical, "no port", told=True), "")
