"""TCP and TLS for many small messages, on top of Twisted's.

What Twisted's own do for every write and read of a chat message, and these do not (measured with one message
in flight over 50 pairs): two calls of epoll_ctl and one more turn of the reactor for a write that the kernel
would have taken at once, a timer that collects small writes which are collected already, and two exceptions
to learn that a TLS record was the last one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast

from OpenSSL.SSL import Error, WantReadError
from twisted.internet._newtls import _BypassTLS
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Port, Server
from twisted.logger import LogEvent, Logger, globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from xmppd.core.budget import LineBudget

__all__ = ["EagerConnection", "LeanTLS", "TLSFactory", "tune"]

#: What TLS serves when the connection is gone.
_NOBODY: Final[Any] = Protocol()
#: Connections that a listener accepts in one turn of the reactor, so that others get theirs.
ACCEPTS: Final = 64

_HEADER: Final = 5
_LARGEST_RECORD: Final = 1 << 14
#: More than TLS adds to one record, with room for what was waiting.
_OVERHEAD: Final = 1024


class Records:
    """Follows the framing of TLS records, to know whether bytes end with exactly one whole record."""

    __slots__ = ("_header", "_missing")

    def __init__(self) -> None:
        self._header = b""
        self._missing = 0

    def is_one(self, data: bytes) -> bool:
        """Take the next bytes; whether they are one record, whole, and nothing else."""
        at_start = not self._missing and not self._header
        if at_start and len(data) >= _HEADER and _HEADER + (data[3] << 8 | data[4]) == len(data):
            return True
        self._follow(data)
        return False

    def _follow(self, data: bytes) -> None:
        place = 0
        while place < len(data):
            if self._missing:
                step = min(self._missing, len(data) - place)
                self._missing -= step
            else:
                step = min(_HEADER - len(self._header), len(data) - place)
                self._header += data[place : place + step]
                if len(self._header) == _HEADER:
                    self._missing = self._header[3] << 8 | self._header[4]
                    self._header = b""
            place += step


class LeanTLS(TLSMemoryBIOProtocol):
    """Twisted's TLS, with a short way for a single record and for a single write."""

    transport: Any

    def makeConnection(self, transport: Any) -> None:
        """As in Twisted, without declaring interfaces for every single connection (0.1 ms)."""
        self._records = Records()
        self._tlsConnection = self.factory._creatorCallable(self)
        self._appSendBuffer: list[bytes] = []
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        if self._connectWrapped:
            cast(Any, self.wrappedProtocol).makeConnection(self)
        self._checkHandshakeStatus()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the network."""
        if not self._records.is_one(data) or not self._handshakeDone or self._appSendBuffer:
            self._receive_all(data)
            return
        connection = self._tlsConnection
        try:
            connection.bio_write(data)
            text = connection.recv(len(data))
        except Error:
            # Not application data, or the end: Twisted's way sorts it out.
            self._receive_all(b"", len(data))
            return
        if not self._aborted:
            ProtocolWrapper.dataReceived(self, text)

    def _receive_all(self, data: bytes, size: int = 0) -> None:
        """Twisted's way.  What TLS keeps for itself, such as new keys, is work as well: tell the stream.

        :param size: bytes that TLS has got before.
        """
        stream: Any = self.wrappedProtocol
        before = getattr(stream, "weight", None)
        if data:
            super().dataReceived(data)
        else:
            self._flushReceiveBIO()
        if before is not None:
            unheard = len(data) + size - (stream.weight - before)
            if unheard > 0:
                stream.carried(unheard)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: protocol and transport must not keep each other.

        All that came has been read.  Twisted would look once more, and keep the failure of that in a cycle.
        """
        self._lostTLSConnection = True
        super().connectionLost(reason)
        self.wrappedProtocol = _NOBODY

    def _write(self, data: bytes) -> None:
        if self._lostTLSConnection or not 0 < len(data) <= _LARGEST_RECORD:
            super()._write(data)
            return
        connection = self._tlsConnection
        try:
            connection.send(data)
            room = len(data) + _OVERHEAD
            sealed = connection.bio_read(room)
        except WantReadError:
            self._bufferedWrite(data)
        except Error:
            self._tlsShutdownFinished(Failure())
        else:
            self.transport.write(sealed)
            if len(sealed) == room:
                self._flushSendBIO()


class TLSFactory(TLSMemoryBIOFactory):
    """Puts `LeanTLS` around the protocols of another factory, where that makes one."""

    protocol = LeanTLS
    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        """The protocol of a new connection; None for one that is to be closed."""
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, cast(Any, inner))


@lru_cache(maxsize=16)
def _factory_for(creator: Any) -> TLSFactory:
    """One factory for all connections that begin TLS with the same contexts."""
    return TLSFactory(creator, False, cast(Any, None))


class _Beneath(_BypassTLS):
    """What TLS writes to: the connection without TLS."""

    def write(self, data: bytes) -> None:
        self._connection.write_now(data)


class EagerConnection(Server):
    """An accepted connection that writes at once while the kernel has room."""

    _tls: Any

    def getHandle(self) -> Any:
        """The TLS connection where there is one, else the socket."""
        return self._tls.getHandle() if self.TLS else super().getHandle()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone: TLS and what it writes to must not keep each other."""
        super().connectionLost(reason)
        if self.TLS:
            self._tls.transport = None

    def write(self, data: bytes) -> None:
        """Write through TLS if there is TLS."""
        if not self.TLS:
            self.write_now(data)
        elif self.connected:
            self._tls.write(data)

    def write_now(self, data: bytes) -> None:
        """Write to the socket; what it does not take waits as usual, and stops the producer."""
        sent = 0
        if self.connected and not self._tempDataLen and len(self.dataBuffer) == self.offset:
            try:
                sent = self.socket.send(data)
            except OSError:
                # Full, or broken: the reactor will find out which.
                sent = 0
        if sent < len(data):
            FileDescriptor.write(self, data[sent:] if sent else data)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Put TLS between this connection and its protocol."""
        factory = _factory_for(ctx)
        tls = LeanTLS(factory, self.protocol, False)
        self.protocol = self._tls = cast(Any, tls)
        self.TLS = True
        tls.makeConnection(_Beneath(FileDescriptor, self))


def tune(port: Any, lines: LineBudget | None = None) -> None:
    """Make a listener accept such connections.

    :param lines: how much it may log; without file descriptors that would be lines for every stranger.
    """

    def observe(event: LogEvent) -> None:
        if lines is None or lines.allows("accept"):
            globalLogPublisher(event)

    if isinstance(port, Port):
        port.transport = EagerConnection
        port.numberAccepts = ACCEPTS
        port._logger = Logger("xmppd.stream.transport", observer=cast(Any, observe))
