"""The database can store nothing for a while: nobody sees what may be lost, and nobody is left waiting."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.trial.unittest import TestCase

from xmppd.core.jid import JID
from xmppd.testing import InProcessServer


class FaultTests(TestCase):
    """Messages while the disk is full."""

    def setUp(self) -> None:
        self.world = InProcessServer()
        for user in ("alice", "bob"):
            self.world.add_user(f"{user}@localhost")
        self.alice = self.world.login("alice@localhost/phone")
        self.bob = self.world.login("bob@localhost/desk")
        self.alice.ask("<enable xmlns='urn:xmpp:sm:3'/>")
        self.commit = self.world.database.dialect.commit

    def tearDown(self) -> None:
        self.heal()
        self.world.stop()

    def break_disk(self) -> None:
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL

        def fail(connection: Any) -> None:
            raise full

        self.patch(self.world.database.dialect, "commit", fail)

    def heal(self) -> None:
        self.world.database.dialect.commit = self.commit  # type: ignore[method-assign]

    def say(self, body: str) -> None:
        self.alice.send(f"<message to='bob@localhost' type='chat' id='{body}'><body>{body}</body></message>")

    def fault(self) -> None:
        """The first message is delivered before anybody knows of the fault; it is stored later."""
        self.break_disk()
        self.say("first")
        self.world.settle()
        self.assertIn("first", self.bob.take())
        self.assertTrue(self.world.database.faulted)

    def test_known_fault_holds_delivery_until_stored(self) -> None:
        """Nobody gets what is not stored; when the disk is back all of it comes, in order."""
        self.fault()
        self.say("second")
        self.say("third")
        self.world.settle()
        self.assertEqual("", self.bob.take())
        self.heal()
        self.world.advance(3)
        got = self.bob.take()
        self.assertLess(got.index("second"), got.index("third"))
        self.assertNotIn("first", got)

    def test_h_waits_for_the_disk(self) -> None:
        """What is not stored is not acknowledged; when it is, an acknowledgement follows by itself."""
        self.fault()
        self.alice.take()
        self.alice.send("<r xmlns='urn:xmpp:sm:3'/>")
        self.world.advance(0.2)
        self.assertIn("h='0'", self.alice.take())
        self.heal()
        self.world.advance(3)
        self.assertIn("h='1'", self.alice.take())

    def test_sender_of_what_nobody_got_is_told(self) -> None:
        """After a while the sender gets an error, and with that the stanza counts as handled."""
        self.fault()
        self.alice.take()
        self.say("second")
        for _ in range(20):
            self.world.advance(1)
        answer = self.alice.take()
        self.assertIn("type='error'", answer)
        self.assertIn("resource-constraint", answer)
        self.assertIn("id='second'", answer)
        self.heal()
        for _ in range(40):
            self.world.advance(1)
        self.assertEqual("", self.bob.take())

    def test_receiver_who_left_meanwhile_finds_it_later(self) -> None:
        """Who was there when it came is gone when it can be delivered: it waits."""
        self.fault()
        self.say("second")
        self.bob.close()
        self.heal()
        self.world.advance(3)
        again = self.world.connect()
        again.authenticate("bob@localhost", "secret")
        again.bind("desk")
        got = again.ask("<presence/>")
        self.assertEqual(1, got.count("<body>second</body>"))

    def test_what_was_given_back_does_not_count_as_waiting(self) -> None:
        """It used up what may wait beside the history, for good"""
        self.fault()
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
        self.alice.send(f"<message to='bob@localhost' type='chat' id='s'><body>second</body>{hint}</message>")
        for _ in range(20):
            self.world.advance(1)
        self.assertIn("id='s'", self.alice.take())
        account = self.world.server.registry.account(JID.parse("bob@localhost"))
        assert account is not None
        assert account.mailbox is not None
        self.assertEqual(account.mailbox.passing, set())

    def test_sender_who_was_blocked_meanwhile(self) -> None:
        """XEP-0191: what had waited came right behind the answer"""
        self.fault()
        self.say("second")
        alice = "<block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block>"
        self.bob.send(f"<iq type='set' id='b'>{alice}</iq>")
        self.heal()
        for _ in range(5):
            self.world.advance(1)
        got = self.bob.take()
        self.assertIn(" type='result' id='b'", got)
        self.assertNotIn("second", got)

    def test_message_that_cannot_go_on(self) -> None:
        """Those behind it do"""
        self.fault()
        self.say("second")
        self.say("third")
        hooks = self.world.server.hosts["localhost"].hooks
        run_after = hooks.run_after

        def fail_once(event: Any, stage: Any) -> bool:
            if event.stanza.id == "second":
                raise ValueError("broken in a test")
            return run_after(event, stage)

        self.patch(hooks, "run_after", fail_once)
        self.heal()
        self.world.advance(3)
        self.assertIn("third", self.bob.take())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_requests_without_the_disk_go_on(self) -> None:
        """A ping is answered whatever the disk does."""
        self.fault()
        answer = self.bob.ask("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.assertIn("type='result'", answer)
