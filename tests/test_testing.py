"""The server that client developers start inside a test."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from xmppd.testing import BEGINNING, InProcessServer


class TestingTests(SynchronousTestCase):
    def start(self, *settings: str) -> InProcessServer:
        server = InProcessServer(*settings)
        self.addCleanup(server.stop)
        return server

    def test_example(self) -> None:
        """What the documentation of the module shows"""
        server = self.start()
        server.add_user("alice@localhost", "secret")
        server.add_user("bob@localhost", "secret")
        alice = server.login("alice@localhost/phone", "secret")
        bob = server.login("bob@localhost/desk", "secret")
        alice.send("<message to='bob@localhost'><body>Hi</body></message>")
        self.assertIn("<body>Hi</body>", bob.take())
        self.assertEqual(bob.take(), "")

    def test_clock_stands_still(self) -> None:
        server = self.start()
        before = server.reactor.now()
        self.assertGreaterEqual(before, BEGINNING)
        server.advance(3600)
        self.assertEqual(server.reactor.now(), before + 3600)

    def test_settings(self) -> None:
        server = self.start("limits.sm_queue=7")
        self.assertEqual(server.config.limits.sm_queue, 7)

    def test_servers_do_not_share_anything(self) -> None:
        one, two = self.start(), self.start()
        one.add_user("alice@localhost")
        self.assertRaises(AssertionError, two.login, "alice@localhost/x")

    def test_failures_are_raised(self) -> None:
        server = self.start()

        async def fail() -> None:
            raise ValueError("as expected")

        self.assertRaises(ValueError, server.wait_for, fail())

    def test_connection_without_tls(self) -> None:
        server = self.start()
        server.add_user("alice@localhost")
        client = server.connect(tls=False)
        client.start_tls()
        client.authenticate("alice@localhost", "secret")
        self.assertEqual(client.bind("x"), "alice@localhost/x")

    def test_stopped_twice(self) -> None:
        server = self.start()
        server.stop()
        server.stop()
