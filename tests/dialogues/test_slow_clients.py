"""Clients that read slowly, and steadily: nothing is cut because of that, and nobody waits in vain."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from tests.dialogues.case import ServerCase, split
from tests.dialogues.test_stream_management import PING, a
from xmppd.core import ns
from xmppd.testing import Client


class SlowWire:
    """A connection with the buffers of Twisted's: full above 64 KiB, and asked for more when it is empty.

    :param kernel: bytes that the client reads in one `drain`.
    """

    def __init__(self, case: ServerCase, client: Client, kernel: int) -> None:
        self._transport, self._kernel = client.transport, kernel
        self.taken = self.waiting = 0
        self.text = bytearray()
        self._room = kernel
        self._paused = False
        case.patch(client.transport, "write", self._write)

    def _write(self, data: bytes) -> None:
        self.text += data
        self.waiting += len(data)
        self._flow()
        if self.waiting > 1 << 16 and not self._paused:
            self._paused = True
            self._transport.producer.pauseProducing()

    def _flow(self) -> None:
        taken = min(self.waiting, self._room)
        self.waiting -= taken
        self._room -= taken
        self.taken += taken

    def drain(self) -> None:
        """The client reads."""
        self._room = self._kernel
        self._flow()
        if not self.waiting and self._paused:
            self._paused = False
            self._transport.producer.resumeProducing()

    @property
    def bodies(self) -> list[str]:
        """The numbers at the beginning of the bodies that were written."""
        return re.findall("<body>([0-9]+)x*</body>", self.text.decode())


class SlowCase(ServerCase):
    settings: tuple[str, ...] = ("limits.rate=none",)

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")

    def write(self, number: int, size: int) -> list[str]:
        """Alice sends so many messages of so many bytes; the numbers in them."""
        for each in range(number):
            self.tell(
                self.alice,
                f"<message to='bob@localhost' type='chat'><body>{each}{'x' * size}</body></message>",
            )
        return [str(each) for each in range(number)]

    def connect(self, token: str = "", kernel: int = 87_000) -> tuple[Client, SlowWire]:
        """Bob's next connection: a new session, or a resumption."""
        client = self.world.connect()
        client.authenticate("bob@localhost", "secret")
        if not token:
            client.bind("phone")
        client.take()
        wire = SlowWire(self, client, kernel)
        if token:
            client.send(f"<resume xmlns='{ns.SM}' previd='{token}' h='0'/>")
        return client, wire

    def read_all(self, client: Client, wire: SlowWire, seconds: float = 0.1) -> None:
        """Until nothing more comes."""
        for _ in range(400):
            before = wire.taken
            self.world.advance(seconds)
            wire.drain()
            self.world.settle()
            self.assertFalse(client.transport.aborted)
            if wire.taken == before and not wire.waiting:
                break


class LargeMessagesTests(SlowCase):
    """A slice of them in one go was more than a connection's buffer may hold."""

    def test_backlog(self) -> None:
        expected = self.write(12, 200_000)
        bob, wire = self.connect()
        bob.send("<presence/>")
        self.read_all(bob, wire)
        self.assertEqual(wire.bodies, expected)

    def test_resumption(self) -> None:
        """Of what is read from the archive again, and of what is still in memory"""
        bob = self.login("bob/phone")
        token = self.enable(bob)
        bob.cut()
        for size in (30_000, 60_000):
            expected = self.write(45, size)
            bob, wire = self.connect(token)
            self.read_all(bob, wire)
            self.assertEqual(wire.bodies[-45:], expected)
            bob.cut()

    def test_slow_and_steady(self) -> None:
        """Time without progress is what counts: 12 kB a second is progress"""
        bob = self.login("bob/phone")
        wire = SlowWire(self, bob, 60_000)
        for number in range(32):
            self.alice.send(
                f"<message to='bob@localhost' type='chat'><body>{number}{'x' * 30_000}</body></message>"
            )
        self.world.settle()
        self.read_all(bob, wire, 5)
        self.assertEqual(wire.bodies, [str(number) for number in range(32)])

    def test_whoever_reads_nothing(self) -> None:
        bob = self.login("bob/phone")
        SlowWire(self, bob, 0)
        self.write(5, 30_000)
        self.world.advance(70)
        self.assertTrue(bob.transport.aborted)


class TakeOverTests(SlowCase):
    """Nobody waits behind somebody who is away."""

    settings = ("limits.rate=none", "limits.sm_queue=20")

    def test_rest_of_a_long_backlog(self) -> None:
        """It waited until the session that had been given the beginning had expired"""
        expected = self.write(400, 1)
        phone = self.login("bob/phone", presence=False)
        token = self.enable(phone)
        phone.transport.producer.pauseProducing()
        phone.send("<presence/>")
        phone.cut()
        self.world.settle()
        desk = self.login("bob/desk", presence=False)
        self.tell(desk, "<presence/>")
        got = re.findall("<body>([0-9]+)x*</body>", desk.take())
        self.assertGreater(len(got), 150)
        self.write(1, 1)
        _, again = self.reconnect("bob", token, 0)
        first = re.findall("<body>([0-9]+)x*</body>", "".join(again))
        self.assertEqual([*first[: 400 - len(got)], *got], expected)
        self.assertEqual(first[400 - len(got) :], ["0"])


class OneAfterTheOtherTests(SlowCase):
    """Of one client."""

    def test_acknowledgement_between_requests(self) -> None:
        """Whoever does not read the answer gets no other one, whatever it acknowledges"""
        bob = self.login("bob/phone")
        self.enable(bob)
        bob.transport.producer.pauseProducing()
        outbox = self.account("bob").sessions[0].outbox  # type: ignore[attr-defined]
        for number in range(20):
            bob.send(a(0) + PING.replace("'p'", f"'p{number}'"))
            self.world.settle()
        self.assertEqual(b"".join(outbox._pending).count(b" id='p"), 1)
        bob.transport.producer.resumeProducing()
        self.world.settle()
        answers = [xml for xml in split(bob.take()) if xml.startswith("<iq")]
        self.assertEqual(len(answers), 20)

    def test_two_handlers_at_once(self) -> None:
        """An acknowledgement behind a request that waited made two later ones begin together"""
        bob = self.login("bob/phone")
        self.enable(bob)
        handle = bob.stream.handle
        under_way, most = 0, 0

        def count(item: Any) -> Any:
            nonlocal under_way, most
            waiting = handle(item)
            if waiting is None:
                return None
            under_way += 1
            most = max(most, under_way)
            running = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)

            def done(result: Any) -> Any:
                nonlocal under_way
                under_way -= 1
                return result

            return running.addBoth(done)

        self.patch(bob.stream, "handle", count)
        bob.transport.producer.pauseProducing()
        query = "<query xmlns='jabber:iq:roster'><item jid='c{0}@x' name='n'/></query>"
        sets = "".join(f"<iq type='set' id='s{n}'>{query.format(n)}</iq>" for n in range(6))
        bob.stream.dataReceived((PING + a(0) + "<presence/>" * 32 + sets).encode())
        self.world.settle()
        bob.transport.producer.resumeProducing()
        for _ in range(20):
            self.world.settle()
        self.assertLessEqual(most, 1)
        self.assertEqual(bob.take().count(" type='result' id='s"), 6)
