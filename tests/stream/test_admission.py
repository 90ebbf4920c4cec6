"""Who may connect: in all, from one address, and with file descriptors that are left."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial import unittest

from xmppd.core.counters import hits, limit_named
from xmppd.stream import admission
from xmppd.stream.admission import Admission, TurnedAway
from xmppd.stream.c2s import ClientStream
from xmppd.stream.certificates import ensure_self_signed
from xmppd.stream.listener import StreamFactory
from xmppd.stream.tls import TLSContexts
from xmppd.stream.transport import TLSFactory
from xmppd.testing import InProcessServer


class AdmissionTests(unittest.TestCase):
    def name(self, door: Admission, origin: str) -> str | None:
        problem = door.refusal(origin)
        return None if problem is None else limit_named(problem.text)

    def test_strangers_from_one_address(self) -> None:
        door = Admission(unauthenticated_per_address=2)
        door.entered("a")
        door.entered("a")
        self.assertEqual(self.name(door, "a"), "unauthenticated_per_address")
        self.assertIsNone(door.refusal("b"))
        door.known("a")
        self.assertIsNone(door.refusal("a"))

    def test_connections_from_one_address(self) -> None:
        door = Admission(per_address=2)
        for _ in range(2):
            door.entered("a")
            door.known("a")
        self.assertEqual(self.name(door, "a"), "connections_per_address")
        door.left("a", known=True)
        self.assertIsNone(door.refusal("a"))

    def test_strangers_in_all(self) -> None:
        door = Admission(unauthenticated=2)
        door.entered("a")
        door.entered("b")
        self.assertEqual(self.name(door, "c"), "unauthenticated")
        door.left("a", known=False)
        self.assertIsNone(door.refusal("c"))

    def test_file_descriptors(self) -> None:
        door = Admission()
        door.most = 1
        door.entered("a")
        problem = door.refusal("b")
        assert problem is not None
        self.assertEqual(problem.condition, "resource-constraint")

    def test_without_an_address_only_the_sum_counts(self) -> None:
        door = Admission(unauthenticated=3, unauthenticated_per_address=1, per_address=1)
        for _ in range(3):
            self.assertIsNone(door.refusal(""))
            door.entered("")
        self.assertEqual(self.name(door, ""), "unauthenticated")

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
    def test_nothing_is_left_of_those_who_left(self, visits: list[tuple[str, bool]]) -> None:
        door = Admission(unauthenticated=1)
        for origin, known in visits:
            door.entered(origin)
            if known:
                door.known(origin)
        for origin, known in visits:
            door.left(origin, known=known)
        self.assertEqual(len(door), 0)
        self.assertIsNone(door.refusal("a"))


class FilesTests(unittest.TestCase):
    def limit(self, soft: int, hard: int) -> int:
        self.patch(resource, "getrlimit", lambda _: (soft, hard))
        self.patch(resource, "setrlimit", lambda _, limits: self.limits.append(limits))
        self.limits: list[tuple[int, int]] = []
        return admission.raise_file_limit()

    def test_takes_what_is_allowed_and_keeps_some(self) -> None:
        self.assertEqual(self.limit(1024, 4096), 4096 - admission.RESERVED_FILES)
        self.assertEqual(self.limits, [(4096, 4096)])

    def test_few(self) -> None:
        self.assertEqual(self.limit(40, 40), 20)

    def test_any_number(self) -> None:
        most = self.limit(1024, resource.RLIM_INFINITY)
        self.assertEqual(most, admission.MOST_FILES - admission.RESERVED_FILES)
        self.assertEqual(self.limits, [(admission.MOST_FILES, resource.RLIM_INFINITY)])


class DoorTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = InProcessServer(
            "limits.unauthenticated_per_address=2", "limits.connections_per_address=3"
        )
        self.addCleanup(self.world.stop)
        self.services = self.world.server.services

    def connect(self, host: str, *, direct: bool = False) -> Any:
        kind = IPv6Address if ":" in host else IPv4Address
        peer = kind("TCP", host, 50000)
        protocol = StreamFactory(self.services, direct=direct).buildProtocol(peer)
        if protocol is not None:
            transport = StringTransport(peerAddress=peer)
            transport.setTcpNoDelay = transport.setTcpKeepAlive = lambda _: None
            protocol.makeConnection(transport)
        return protocol

    def test_the_third_stranger(self) -> None:
        streams = [self.connect("192.0.2.1") for _ in range(2)]
        before = hits.of("unauthenticated_per_address")
        away = self.connect("192.0.2.1")
        self.assertIsInstance(away, TurnedAway)
        said = away.transport.value().decode()
        self.assertIn("<stream:error><policy-violation ", said)
        self.assertIn("(unauthenticated_per_address)", said)
        self.assertIn(" from='localhost'>", said)
        self.assertTrue(away.transport.disconnecting)
        self.assertEqual(hits.of("unauthenticated_per_address"), before + 1)
        self.assertIsInstance(self.connect("192.0.2.2"), ClientStream)
        streams[0].connectionLost()
        self.assertIsInstance(self.connect("192.0.2.1"), ClientStream)

    def test_one_network_of_ipv6_is_one_address(self) -> None:
        self.connect("2001:db8::1")
        self.connect("2001:db8::ffff:2")
        self.assertIsInstance(self.connect("2001:db8::3"), TurnedAway)
        self.assertIsInstance(self.connect("2001:db8:0:1::3"), ClientStream)

    def test_ipv4_inside_ipv6_is_ipv4(self) -> None:
        self.connect("192.0.2.1")
        self.connect("::ffff:192.0.2.1")
        self.assertIsInstance(self.connect("192.0.2.1"), TurnedAway)

    def test_direct_tls_is_closed_without_a_handshake(self) -> None:
        for _ in range(2):
            self.connect("192.0.2.1")
        self.assertIsNone(self.connect("192.0.2.1", direct=True))
        tls = TLSContexts({"localhost": ensure_self_signed(Path(self.mktemp()), "localhost")})
        factory = TLSFactory(tls.direct, False, StreamFactory(self.services, direct=True))
        self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5)))

    def test_a_unix_socket_has_no_address(self) -> None:
        factory = StreamFactory(self.services, direct=False)
        for _ in range(5):
            self.assertIsInstance(factory.buildProtocol(UNIXAddress(b"/run/x")), ClientStream)

    def test_whoever_logs_in_makes_room_for_strangers(self) -> None:
        self.world.add_user("alice@localhost")
        clients = [self.world.connect() for _ in range(2)]
        address = clients[0].stream.address
        self.assertIsInstance(self.connect(address), TurnedAway)
        clients[0].authenticate("alice@localhost", "secret")
        self.assertIsInstance(self.connect(address), ClientStream)
        clients[1].authenticate("alice@localhost", "secret")
        problem = self.services.admission.refusal(address)
        assert problem is not None
        self.assertEqual(limit_named(problem.text), "connections_per_address")
        clients[0].cut()
        self.assertIsNone(self.services.admission.refusal(address))
