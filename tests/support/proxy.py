"""A TCP relay between clients and a server that can stall and cut what it carries."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater


class _End(Protocol):
    """One connection: a client's, or the one to the server that was made for ``client``."""

    def __init__(self, proxy: Proxy, client: _End | None) -> None:
        self.proxy = proxy
        self.to_server = client is not None
        self.peer = client
        self.opened = False

    def connectionMade(self) -> None:
        self.proxy.ends.add(self)
        if self.peer is None:
            self.transport.pauseProducing()
            self.proxy.open(self)
        else:
            self.peer.peer = self
            self.proxy.flow(self)
            self.proxy.flow(self.peer)

    def dataReceived(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(data)

    def connectionLost(self, reason: Any) -> None:
        self.proxy.ends.discard(self)
        if self.peer is not None:
            self.peer.peer = None
            self.peer.transport.loseConnection()

    def leave(self) -> None:
        """Tear the pair apart: what arrives at the other end from now on goes nowhere."""
        if self.peer is not None:
            self.peer.peer = None
            self.peer = None


class _Ends(Factory):
    noisy = False

    def __init__(self, proxy: Proxy, client: _End | None = None) -> None:
        self.proxy = proxy
        self.client = client

    def buildProtocol(self, address: Any) -> _End | None:
        if self.client is not None and self.client not in self.proxy.ends:
            return None
        return _End(self.proxy, self.client)


class Proxy:
    """Relays connections to 127.0.0.1:``target``.

    ``stall`` stops the bytes both ways and closes nothing; connections made meanwhile wait for
    ``release``. ``cut`` resets connections. A stall before the cut loses what was on its way; a stall
    that lasts keeps a client away.
    """

    def __init__(self, reactor: Any, target: int) -> None:
        self.reactor = reactor
        self.target = target
        self.port = 0
        self.ends: set[_End] = set()
        self.stalled = False
        self._opening: set[Deferred[Any]] = set()

    async def start(self) -> Proxy:
        """Listen on a loopback port that the system chooses and leaves in ``port``."""
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        self._listener = await endpoint.listen(_Ends(self))
        self.port = self._listener.getHost().port
        return self

    async def stop(self) -> None:
        """Reset everything and wait until nothing is left open."""
        await self._listener.stopListening()
        self.cut()
        while self.ends or self._opening:
            await deferLater(self.reactor, 0, lambda: None)

    def stall(self) -> None:
        self.stalled = True
        for end in self.ends:
            end.transport.pauseProducing()

    def release(self) -> None:
        self.stalled = False
        for end in list(self.ends):
            if end.peer is None and not end.to_server:
                self.open(end)
            else:
                self.flow(end)

    def cut(self, server_notices: bool = True) -> None:
        """Reset every client's connection, and the one to the server unless it shall not notice."""
        for end in list(self.ends):
            end.leave()
            if server_notices or not end.to_server:
                end.transport.abortConnection()

    def flow(self, end: _End) -> None:
        if not self.stalled:
            end.transport.resumeProducing()

    def open(self, client: _End) -> None:
        """Make the connection to the server for ``client``; one that fails resets the client's."""
        if self.stalled or client.opened:
            return
        client.opened = True
        opening = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.target).connect(_Ends(self, client))
        self._opening.add(opening)
        opening.addErrback(lambda failure: client.transport.abortConnection())
        opening.addBoth(lambda result: self._opening.discard(opening))
