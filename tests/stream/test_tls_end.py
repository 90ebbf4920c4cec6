"""How a stream over TLS ends: with the end of TLS on both sides, then that of the connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.dialogues.case import ServerCase
from tests.stream.pki import issue, save
from tests.stream.sasl2 import authenticate, bind, header, plain
from tests.support.server import PATIENCE, shared_server
from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.stream.listener import StreamFactory
from xmppd.stream.tls import TLSContexts
from xmppd.stream.transport import TLSFactory

GOODBYE = "</stream:stream>"


def trusting() -> ssl.SSLContext:
    """A context that trusts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Transport(StringTransport):
    """A TCP connection."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It has no delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """It needs no blanks."""


class Client:
    """A client of the standard library, connected through memory; the handshake is over."""

    def __init__(self, factory: TLSFactory) -> None:
        self.transport = Transport()
        self.server = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5))
        self.server.makeConnection(self.transport)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(self.incoming, self.outgoing)
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.exchange()

    def exchange(self) -> None:
        """Let both sides have what the other one has sent."""
        if data := self.outgoing.read():
            self.server.dataReceived(data)
        self.incoming.write(self.transport.value())
        self.transport.clear()

    def send(self, text: str) -> None:
        """Send it."""
        self.tls.write(text.encode())
        self.exchange()

    def read(self) -> tuple[str, bool]:
        """What has come, and whether the server has ended TLS behind it."""
        self.exchange()
        text = b""
        try:
            while data := self.tls.read(1 << 16):
                text += data
        except ssl.SSLWantReadError:
            return text.decode(), False
        except ssl.SSLZeroReturnError:
            pass
        return text.decode(), True

    def end(self) -> None:
        """End TLS on this side."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.exchange()


class EndTests(ServerCase):
    """RFC 6120, 4.4: close_notify goes out with the closing tag, not when the patience is over."""

    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        contexts = TLSContexts({"localhost": save(folder, "localhost", issue(["localhost"]))})
        streams = StreamFactory(self.world.server.services, direct=True)
        self.factory = TLSFactory(contexts.direct, False, streams)

    def opened(self) -> Client:
        """A stream before authentication."""
        client = Client(self.factory)
        client.send(header())
        client.read()
        return client

    def bound(self) -> Client:
        """A stream with a resource."""
        client = self.opened()
        client.send(authenticate("PLAIN", plain("alice"), bind()))
        self.world.settle()
        self.assertIn("<bound ", client.read()[0])
        return client

    def assert_ends(self, client: Client, end: Callable[[], object]) -> None:
        """What ends the stream ends TLS, and then the connection."""
        end()
        self.world.settle()
        text, over = client.read()
        self.assertTrue(text.endswith(GOODBYE), text)
        self.assertTrue(over)
        self.assertFalse(client.transport.disconnecting)
        client.end()
        self.assertTrue(client.transport.disconnecting)

    def test_client_says_goodbye(self) -> None:
        for stage in (self.opened, self.bound):
            client = stage()
            self.assert_ends(client, lambda client=client: client.send(GOODBYE))  # type: ignore[misc]

    def test_stream_error(self) -> None:
        for stage in (self.opened, self.bound):
            client = stage()
            self.assert_ends(client, lambda client=client: client.send("<foo/>"))  # type: ignore[misc]

    def test_server_ends_the_session(self) -> None:
        client, accounts = self.bound(), self.world.server.accounts
        disabled = accounts.set_enabled(JID.parse("alice@localhost"), False)
        self.assert_ends(client, lambda: self.world.wait_for(disabled))

    def test_shutdown(self) -> None:
        self.assert_ends(self.bound(), self.world.stop)

    def test_client_that_does_not_read(self) -> None:
        """What ends TLS waits behind the closing tag."""
        client = self.bound()
        client.transport.producer.pauseProducing()
        client.send(GOODBYE)
        self.world.settle()
        self.assertEqual(client.read(), (GOODBYE, True))


class StartTlsTests(SynchronousTestCase):
    """The same behind STARTTLS, where the connection itself begins TLS: over a real socket."""

    def test_client_says_goodbye(self) -> None:
        server = shared_server()
        server.add_account("leaving", "secret")
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(header().encode())
            self.read_until(connection, "</stream:features>")
            connection.sendall(f"<starttls xmlns='{ns.TLS}'/>".encode())
            self.read_until(connection, "/>")
            # An end of the connection without an end of TLS would be an error.
            with trusting().wrap_socket(connection, suppress_ragged_eofs=False) as tls:
                tls.sendall((header() + authenticate("PLAIN", plain("leaving"), bind())).encode())
                self.read_until(tls, "<bound ", "</stream:features>")
                tls.sendall(GOODBYE.encode())
                self.assertEqual(self.read_until(tls), GOODBYE)

    def read_until(self, connection: socket.socket, *wanted: str) -> str:
        """What comes up to these texts, one after the other; without any, up to the end."""
        text = ""
        while not wanted or wanted[0] not in text:
            data = connection.recv(1 << 16)
            if not data:
                break
            text += data.decode()
            if len(wanted) > 1 and wanted[0] in text:
                text, wanted = text.partition(wanted[0])[2], wanted[1:]
        return text
