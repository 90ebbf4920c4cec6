"""What the operator is told about sessions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from xmppd.admin.commands import SessionRow
from xmppd.core import ns
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.operator import ServerOperator
from xmppd.testing import Client, InProcessServer


class AccountsTests(SynchronousTestCase):
    def test_name_of_a_removed_account(self) -> None:
        """A name that is reserved is told from one that is taken, with what gives it out again."""
        world = InProcessServer()
        self.addCleanup(world.stop)
        world.add_user("alice@localhost")
        operator, alice = ServerOperator(world.server), JID.parse("alice@localhost")
        with self.assertRaisesRegex(StanzaError, "is taken"):
            world.wait_for(operator.add_user(alice, "secret"))
        world.wait_for(operator.remove_user(alice))
        with self.assertRaisesRegex(StanzaError, "`xmppctl release alice@localhost` gives it out"):
            world.wait_for(operator.add_user(alice, "secret"))
        world.wait_for(operator.release_user(alice))
        world.wait_for(operator.add_user(alice, "secret"))


class SessionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = InProcessServer()
        self.addCleanup(self.world.stop)
        self.world.add_user("alice@localhost")
        self.client: Client = self.world.login("alice@localhost/phone", presence=False)

    def row(self) -> SessionRow:
        (found,) = ServerOperator(self.world.server).sessions()
        return found

    def announce(self, node: str) -> None:
        """Send presence with entity capabilities."""
        self.client.ask(
            f"<presence><c xmlns='{ns.CAPS}' hash='sha-1' node='{node}' ver='8RovUdtOmiAjzj+xI7SK5BCw3A8='/>"
            "</presence>"
        )

    def test_before_presence(self) -> None:
        """Nothing is known of a client that has said nothing."""
        row = self.row()
        self.assertEqual((row.jid, row.client, row.priority), ("alice@localhost/phone", None, None))

    def test_client(self) -> None:
        """The software is what the client's capabilities name."""
        self.announce("https://gajim.org")
        self.assertEqual((self.row().client, self.row().priority), ("https://gajim.org", 0))

    def test_presence_without_capabilities(self) -> None:
        self.client.ask("<presence/>")
        self.assertIsNone(self.row().client)

    def test_long_name(self) -> None:
        """A client cannot fill the screen."""
        self.announce("x" * 1000)
        self.assertEqual(self.row().client, "x" * 60)

    def test_stream_management(self) -> None:
        """Its counters and its queue are those of the session."""
        self.announce("https://gajim.org")
        self.assertIsNone(self.row().sm)
        self.client.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        self.client.ask("<message to='alice@localhost/phone' type='chat' id='m1'><body>Me</body></message>")
        sm = self.row().sm
        assert sm is not None
        self.assertEqual((sm.inbound, sm.outbound, sm.queue, sm.resumable), (1, 1, 1, True))
        self.assertEqual((sm.hibernated, sm.oldest), (False, "message chat m1"))
