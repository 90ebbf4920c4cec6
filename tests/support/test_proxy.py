"""The relay that stalls and cuts, between two connections of this process."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from tests.support.proxy import Proxy


class Peer(Protocol):
    """Keeps what comes in queues."""

    def __init__(self, accepted: DeferredQueue[Peer]) -> None:
        self.accepted = accepted
        self.received: DeferredQueue[bytes] = DeferredQueue()
        self.ended: Deferred[Any] = Deferred()

    def connectionMade(self) -> None:
        self.accepted.put(self)

    def dataReceived(self, data: bytes) -> None:
        self.received.put(data)

    def connectionLost(self, reason: Any) -> None:
        self.ended.errback(reason)


class ProxyTests(TestCase):
    timeout = 20

    async def setUp(self) -> None:
        self.accepted: DeferredQueue[Peer] = DeferredQueue()
        factory = Factory()
        factory.buildProtocol = lambda address: Peer(self.accepted)
        self.listener = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(self.listener.stopListening)
        self.proxy = await Proxy(reactor, self.listener.getHost().port).start()
        self.addCleanup(self.proxy.stop)

    async def client(self) -> Peer:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.proxy.port)
        return await connectProtocol(endpoint, Peer(DeferredQueue()))

    async def pair(self) -> tuple[Peer, Peer]:
        client = await self.client()
        server = await self.accepted.get()
        server.transport.write(b"hello")  # what arrives came through both halves
        await client.received.get()
        return client, server

    async def ends(self, *peers: Peer) -> None:
        for peer in peers:
            with self.assertRaises(ConnectionLost):
                await peer.ended

    async def test_relays_both_ways(self) -> None:
        client, server = await self.pair()
        client.transport.write(b"there")
        self.assertEqual(await server.received.get(), b"there")
        server.transport.write(b"back")
        self.assertEqual(await client.received.get(), b"back")
        self.proxy.cut()
        await self.ends(client, server)

    async def test_what_was_stalled_is_lost_by_a_cut(self) -> None:
        client, server = await self.pair()
        self.proxy.stall()
        client.transport.write(b"lost")
        server.transport.write(b"lost")
        self.proxy.cut()
        await self.ends(client, server)
        self.assertEqual(client.received.pending + server.received.pending, [])

    async def test_what_was_stalled_arrives_after_release(self) -> None:
        client, server = await self.pair()
        self.proxy.stall()
        client.transport.write(b"late")
        self.proxy.release()
        self.assertEqual(await server.received.get(), b"late")
        self.proxy.cut()
        await self.ends(client, server)

    async def test_who_connects_during_a_stall_waits_for_release(self) -> None:
        self.proxy.stall()
        client = await self.client()
        client.transport.write(b"patient")
        self.assertEqual(self.accepted.pending, [])
        self.proxy.release()
        server = await self.accepted.get()
        self.assertEqual(await server.received.get(), b"patient")
        self.proxy.cut()
        await self.ends(client, server)

    async def test_a_cut_that_the_server_does_not_notice(self) -> None:
        client, server = await self.pair()
        self.proxy.cut(server_notices=False)
        await self.ends(client)
        self.assertFalse(server.ended.called)
        self.proxy.cut()
        await self.ends(server)
