"""Strangers who come and go leave nothing behind: memory and file descriptors stay as they are."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.hostile.memory import rounds
from tests.support.server import Server


class MemoryTests(TestCase):
    def test_rounds_of_strangers(self) -> None:
        server = Server()
        self.addCleanup(server.stop)
        seen = list(rounds(server.start(), 2_400, 6))
        memory, files = zip(*seen, strict=True)
        self.assertLess(memory[-1] - memory[2], 1024, seen)
        self.assertEqual(files[-1], files[0])
