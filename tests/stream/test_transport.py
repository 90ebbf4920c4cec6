"""TLS for many small messages: what of it the stream is told."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.stream.pki import issue, save
from xmppd.stream.pace import OVERHEAD
from xmppd.stream.tls import TLSContexts
from xmppd.stream.transport import LeanTLS, TLSFactory


class Heard(Protocol):
    """A stream that notes what comes."""

    def __init__(self) -> None:
        self.weight = 0
        self.data = b""
        self.beside: list[int] = []

    def dataReceived(self, data: bytes) -> None:
        self.weight += len(data) + OVERHEAD
        self.data += data

    def carried(self, size: int) -> None:
        self.beside.append(size)


class WeightTests(SynchronousTestCase):
    """TLS renegotiation flood: what TLS keeps for itself is no way around the pace."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        files = save(folder, "localhost", issue("localhost"))
        contexts: Any = TLSContexts({"localhost": files})
        self.heard, self.transport = Heard(), StringTransport()
        self.server = LeanTLS(TLSFactory(contexts.direct, False, None), self.heard)  # type: ignore[arg-type]
        self.server.makeConnection(self.transport)
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        self.client = SSL.Connection(context, None)
        self.client.set_connect_state()
        for _ in range(3):
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
            self.pass_on()
        self.beside()

    def pass_on(self) -> int:
        """Both sides get what the other has sent; how much the client has sent."""
        data = b""
        with contextlib.suppress(SSL.WantReadError):
            data = self.client.bio_read(1 << 20)
        if data:
            self.server.dataReceived(data)
        if self.transport.value():
            self.client.bio_write(self.transport.value())
            self.transport.clear()
        return len(data)

    def beside(self) -> int:
        """Bytes that were told to the stream since the last call."""
        told, self.heard.beside = sum(self.heard.beside), []
        return told

    def test_data_is_no_more_than_it_is(self) -> None:
        for piece in (b"<message/>", b"x" * 20_000):
            self.client.sendall(piece)
            self.pass_on()
        self.assertEqual(self.heard.data, b"<message/>" + b"x" * 20_000)
        # The rest of the record's own bytes, at most.
        self.assertLessEqual(self.beside(), 3 * 16)

    def test_each_of_many_small_records_has_its_weight(self) -> None:
        for _ in range(100):
            self.client.send(b" ")
        size = self.pass_on()
        self.assertEqual(self.heard.data, b" " * 100)
        self.assertGreaterEqual(self.heard.weight + self.beside(), size)

    def test_renegotiation(self) -> None:
        for _ in range(3):
            self.client.renegotiate()
            with contextlib.suppress(SSL.Error):
                self.client.do_handshake()
            self.assertEqual(self.beside(), 0)
            self.assertEqual((self.pass_on(), self.heard.data), (self.beside(), b""))
