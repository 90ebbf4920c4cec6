import sqlite3
from base64 import b64encode
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from bench import floor
from bench.floor import Relay, RelayFactory, Rows


class Wire(StringTransport):
    """A transport on which TLS begins at once."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do."""

    def startTLS(self, context: object) -> None:
        """Nothing to do."""


class Tls:
    """Contexts that nobody uses."""

    starttls = None


class RelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.factory = RelayFactory(cast(Any, Tls()), None)

    def login(self, name: bytes) -> tuple[Relay, Wire]:
        relay, wire = cast(Relay, self.factory.buildProtocol(cast(Any, None))), Wire()
        relay.makeConnection(wire)
        for said in (
            b"<?xml version='1.0'?><stream:stream to='localhost'>",
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            b"<?xml version='1.0'?><stream:stream to='localhost'>",
            b"<auth mechanism='PLAIN'>" + b64encode(b"\0" + name + b"\0pw") + b"</auth>",
            b"<?xml version='1.0'?><stream:stream to='localhost'>",
            b"<iq type='set' id='bind'><bind><resource>r</resource></bind></iq>",
        ):
            relay.dataReceived(said)
        self.assertIn(b"<jid>" + name + b"@localhost/r</jid>", wire.value())
        wire.clear()
        return relay, wire

    def test_a_message_goes_to_its_receiver(self) -> None:
        sender, _ = self.login(b"a")
        _, wire = self.login(b"b")
        sender.dataReceived(b"<message to='b@localhost' id='1'><body>hello</body></mess")
        self.assertEqual(wire.value(), b"")
        sender.dataReceived(b"age>")
        self.assertEqual(
            wire.value(),
            b"<message from='a@localhost/r' to='b@localhost' id='1'><body>hello</body>"
            b"<stanza-id xmlns='urn:xmpp:sid:0' by='b@localhost' id='0000000000000001'/></message>",
        )

    def test_to_nobody_it_is_dropped(self) -> None:
        sender, wire = self.login(b"a")
        sender.dataReceived(b"<message to='b@localhost'></message>")
        self.assertEqual((wire.value(), sender.buffer), (b"", b""))

    def test_requests_are_answered_and_presence_swallowed(self) -> None:
        relay, wire = self.login(b"a")
        relay.dataReceived(b"<presence/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.assertEqual((wire.value(), relay.buffer), (b"<iq type='result' id='p'/>", b""))

    def test_the_end(self) -> None:
        relay, wire = self.login(b"a")
        relay.dataReceived(b"</stream:stream>")
        self.assertTrue(wire.disconnecting)
        relay.connectionLost()
        self.assertEqual(self.factory.online, {})


class RowsTests(TestCase):
    async def test_both_sides_get_a_row_and_a_full_queue_stops_the_sender(self) -> None:
        self.patch(floor, "MANY_ROWS", 1)
        path, wire, resumed = Path(self.mktemp()), StringTransport(), Deferred[None]()
        rows = Rows(path)
        rows.start()
        rows.add(b"a@localhost", b"b@localhost", b"<message/>")
        self.patch(wire, "resumeProducing", lambda: resumed.callback(None))
        rows.stop_if_full(wire)
        self.assertEqual(wire.producerState, "paused")
        await resumed
        with sqlite3.connect(path) as connection:
            found = connection.execute("SELECT account, peer FROM archive ORDER BY account").fetchall()
        self.assertEqual(found, [(b"a@localhost", b"b@localhost"), (b"b@localhost", b"a@localhost")])
