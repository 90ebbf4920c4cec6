"""A client that says everything at once, over a real TLS connection, and counts how often it speaks."""

from __future__ import annotations

import socket
import struct

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from tests.support.server import PATIENCE

__all__ = ["PipeliningClient"]


class PipeliningClient:
    """A connection to a port with direct TLS; the handshake is over when it is made.

    It trusts any certificate.

    :param version: the newest version of TLS that it speaks.
    :ivar flights: how often it has sent something.
    """

    def __init__(self, port: int, version: int = SSL.TLS1_3_VERSION) -> None:
        self.flights = 0
        self._received = ""
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.settimeout(None)
        # A time limit of Python's own would make it a non-blocking socket for OpenSSL.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE, 0))
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(version)
        self.tls = SSL.Connection(context, self._socket)
        self.tls.set_tlsext_host_name(b"localhost")
        self.tls.set_connect_state()
        self.tls.do_handshake()

    def send(self, text: str) -> None:
        """Send, all in one go."""
        self.flights += 1
        self.tls.sendall(text.encode())

    def read_until(self, *wanted: str) -> str:
        """What the server has sent, up to and including the last of these texts, whichever comes first."""
        while not any(text in self._received for text in wanted):
            try:
                self._received += self.tls.recv(1 << 16).decode()
            except (SSL.WantReadError, SSL.ZeroReturnError, SSL.SysCallError) as problem:
                raise AssertionError(f"{wanted} never came, but {self._received}") from problem
        end = min(self._received.index(text) + len(text) for text in wanted if text in self._received)
        read, self._received = self._received[:end], self._received[end:]
        return read

    def binding(self, mechanism: str) -> bytes:
        """The channel-binding data of this connection for a mechanism of FAST."""
        if mechanism.endswith("-EXPR"):
            return self.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        if mechanism.endswith("-ENDP"):
            certificate = self.tls.get_peer_certificate(as_cryptography=True)
            assert certificate is not None
            return certificate.fingerprint(hashes.SHA256())
        return b""

    def cut(self) -> None:
        """Be gone without a word; once more is no error."""
        if self._socket.fileno() < 0:
            return
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
