"""Back-pressure: while more waits for the disk than should, nobody who could add to it is read from."""

from __future__ import annotations

import sqlite3
from typing import Any

from tests.dialogues.case import ServerCase
from xmppd.storage.database import Timing
from xmppd.storage.writer import LAST_RETRY, Limits
from xmppd.stream.resumption import SETTLE_WITHIN
from xmppd.testing import Client


class FullDiskCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/phone")
        self.token = self.enable(self.alice)
        self.bob = self.login("bob/desk")
        self.commit = self.world.database.dialect.commit
        self.addCleanup(self.heal)

    def break_disk(self) -> None:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL

        def fail(connection: Any) -> None:
            raise full

        self.world.database.dialect.commit = fail  # type: ignore[method-assign]

    def heal(self) -> None:
        self.world.database.dialect.commit = self.commit  # type: ignore[method-assign]

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.advance(1)
            self.alice.send(" ")


class LongFaultTests(FullDiskCase):
    """What goes on beside the clients goes on after a fault, and a stop in a fault is a stop."""

    def test_sessions_that_have_expired_are_forgotten_all_the_same(self) -> None:
        self.pass_time(3590)
        self.break_disk()
        self.pass_time(30)
        self.heal()
        self.pass_time(30)
        database = self.world.database
        before = database.timings.get("prune sessions", Timing()).count
        self.pass_time(3600)
        self.assertEqual(database.timings["prune sessions"].count, before + 1)

    def test_requests_are_refused_for_now_in_one_line_each(self) -> None:
        self.break_disk()
        self.patch(self.world.database.dialect, "begin_read", self.world.database.dialect.commit)
        log = self.watch_log()
        prefs = "<prefs xmlns='urn:xmpp:mam:2' default='never'/>"
        for request in (prefs, "<query xmlns='urn:xmpp:mam:2'/>"):
            self.alice.send(f"<iq type='set' id='q'>{request}</iq>")
            self.pass_time(10)
            answer = self.alice.take()
            self.assertIn("<error type='wait'><internal-server-error ", answer)
            self.assertIn("try again later", answer)
        lines = [line for line in log() if "<Stanza " in line]
        self.assertEqual(len(lines), 2, lines)
        for line in lines:
            self.assertIn("failed: database or disk is full", line)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stop(self) -> None:
        self.alice.send("<message to='bob@localhost' type='chat'><body>x</body></message>")
        self.break_disk()
        log = self.watch_log()
        self.world.stop()
        self.assertTrue(self.alice.closed)
        self.assertTrue(any("could not be stored before" in line for line in log()))
        self.assertEqual([line for line in log() if "Traceback" in line], [])


class PressureTests(FullDiskCase):
    """The queue of the database takes ten rows."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(self.world.database._writer, "_limits", Limits(queue_rows=10))
        self.break_disk()

    def fill(self) -> None:
        for number in range(6):
            self.alice.send(
                f"<message to='bob@localhost' type='chat' id='{number}'><body>{number}</body></message>"
            )
        self.assertTrue(self.world.database.full)

    def drain(self) -> None:
        self.heal()
        self.world.advance(LAST_RETRY)
        self.world.advance(LAST_RETRY)
        self.assertFalse(self.world.database.full)

    def is_held(self, client: Client) -> bool:
        return client.transport.paused

    def test_nobody_is_read_from_until_it_has_drained(self) -> None:
        self.fill()
        self.assertEqual([self.is_held(each) for each in (self.alice, self.bob)], [True, True])
        self.drain()
        self.assertEqual([self.is_held(each) for each in (self.alice, self.bob)], [False, False])

    def test_whoever_logs_in_meanwhile_is_not_read_from_either(self) -> None:
        self.fill()
        stranger = self.world.connect()
        stranger.authenticate("bob@localhost", "secret")
        self.assertFalse(self.is_held(stranger))
        stranger.bind("late")
        self.assertTrue(self.is_held(stranger))
        self.drain()
        self.assertFalse(self.is_held(stranger))

    def test_whoever_resumes_meanwhile_is_not_read_from_either(self) -> None:
        """Or each reconnection would let some more in."""
        self.fill()
        self.alice.cut()
        again, _ = self.reconnect("alice", self.token, 0)
        self.world.advance(SETTLE_WITHIN)
        self.assertIn("<resumed ", again.take())
        self.assertTrue(self.is_held(again))
        self.drain()
        self.assertFalse(self.is_held(again))

    def test_whoever_is_not_read_from_is_not_given_up(self) -> None:
        """They may have answered; nobody has looked."""
        self.fill()
        for _ in range(1000):
            self.world.advance(1)
        self.assertFalse(self.alice.transport.aborted)
        self.drain()
        for _ in range(100):
            self.world.advance(1)
        self.assertFalse(self.alice.transport.aborted)

    def test_whoever_was_asked_before_has_the_whole_time_to_answer(self) -> None:
        for _ in range(310):
            self.world.advance(1)
            self.bob.send(" ")
        self.assertIn("<r ", self.alice.take())
        self.bob.send("<message to='alice@localhost' type='chat'><body>x</body></message>" * 6)
        self.assertTrue(self.world.database.full)
        for _ in range(40):
            self.world.advance(1)
        self.drain()
        for _ in range(20):
            self.world.advance(1)
        self.assertFalse(self.alice.transport.aborted)
        for _ in range(400):
            self.world.advance(1)
        self.assertTrue(self.alice.transport.aborted)
