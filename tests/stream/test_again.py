"""SM S11: a long queue is sent again in slices, as the client reads it; nothing is lost, moved or doubled."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from tests.dialogues.case import attribute, split
from tests.dialogues.test_stream_management import NO_STORE, PING, R, SmCase, a, resume
from xmppd.core import ns
from xmppd.storage.errors import FaultError
from xmppd.stream.again import SLICE
from xmppd.testing import Client


class AgainCase(SmCase):
    settings = ("limits.sm_queue=100",)
    #: Messages that wait; most are only in the archive.
    number = 3 * SLICE

    def setUp(self) -> None:
        super().setUp()
        self.token = self.enable(self.phone)
        self.phone.cut()
        self.write(*self.all_bodies)

    @property
    def all_bodies(self) -> list[str]:
        return [str(number) for number in range(self.number)]

    @property
    def outbox(self) -> Any:
        return self.account("bob").sessions[0].outbox  # type: ignore[attr-defined]

    def resumed_and_deaf(self, h: int = 0) -> Client:
        """A connection on which the session is resumed, and that reads only what was written at once."""
        client = self.authenticated()
        write = client.transport.write

        def fill(data: bytes) -> None:
            write(data)
            client.transport.producer.pauseProducing()

        client.transport.write = fill
        client.send(resume(self.token, h))
        self.world.settle()
        return client

    def read(self, client: Client) -> list[str]:
        """All that comes until nothing more does."""
        found = []
        while got := split(client.take()):
            found += got
            client.transport.producer.resumeProducing()
            self.world.settle()
        return found

    def bodies_in(self, stanzas: list[str]) -> list[str]:
        return re.findall("<body>(.*?)</body>", "".join(stanzas))


class SlicesTests(AgainCase):
    def test_as_the_client_reads(self) -> None:
        """Not more than a slice waits for it"""
        phone = self.resumed_and_deaf()
        first = split(phone.take())
        self.assertEqual(self.bodies_in(first), self.all_bodies[:SLICE])
        self.assertLess(self.outbox.pending_bytes, 1000)
        phone.transport.producer.resumeProducing()
        rest = self.read(phone)
        self.assertEqual(self.bodies_in(rest), self.all_bodies[SLICE:])
        self.assertEqual(rest[-1], R)
        self.acknowledge(phone, self.number)
        self.assertFalse(phone.closed)
        self.assertEqual(len(self.outbox.queue), 0)

    def test_what_comes_meanwhile_comes_behind(self) -> None:
        """Messages, answers and what client state held; nonzas do not wait"""
        phone = self.resumed_and_deaf()
        self.write("new", content=NO_STORE)
        phone.send(f"{PING}{R}")
        self.world.settle()
        self.write("last")
        got = self.read(phone)
        self.assertEqual(self.bodies_in(got), [*self.all_bodies, "new", "last"])
        self.assertLess(got.index(a(1)), len(got) - 10)
        ids = [xml for xml in got if " id='p'" in xml]
        self.assertEqual(len(ids), 1)
        self.acknowledge(phone, self.number + 3)
        self.assertFalse(phone.closed)
        self.write("after")
        self.assertEqual(self.bodies(phone), ["after"])

    def test_acknowledgements_meanwhile(self) -> None:
        phone = self.resumed_and_deaf()
        first = self.bodies_in(split(phone.take()))
        self.acknowledge(phone, SLICE)
        phone.transport.producer.resumeProducing()
        rest = self.bodies_in(self.read(phone))
        self.assertEqual([*first, *rest], self.all_bodies)

    def test_more_is_acknowledged_than_was_sent_again(self) -> None:
        """A client that had it all, and says so only now, is not sent it"""
        phone = self.resumed_and_deaf()
        phone.take()
        self.acknowledge(phone, self.number - 1)
        self.assertEqual(self.bodies_in(self.read(phone)), [])
        phone.transport.producer.resumeProducing()
        self.world.settle()
        self.write("new")
        self.assertEqual(self.bodies_in(self.read(phone)), [self.all_bodies[-1], "new"])
        self.acknowledge(phone, self.number + 1)
        self.assertFalse(phone.closed)

    def test_questions_are_about_what_was_written(self) -> None:
        """While the archive is slow, a client that answers what it has got so far does not miscount"""
        lines = self.watch_log()
        slow: Deferred[None] = Deferred()
        stored = self.world.server.keeper.stored_messages

        async def wait(session: Any, rows: Any) -> Any:
            if len(rows) > 1:
                await slow
            return await stored(session, rows)

        self.patch(self.world.server.keeper, "stored_messages", wait)
        phone, _ = self.reconnect("bob", self.token, 0)
        for _ in range(5):
            self.world.advance(5)
            self.assertEqual(phone.take(), R)
            self.acknowledge(phone, 0)
        slow.callback(None)
        self.world.settle()
        self.assertEqual(self.bodies_in(self.read(phone)), self.all_bodies)
        self.assertEqual([line for line in lines() if "miscounts" in line], [])

    def test_cut_in_the_middle(self) -> None:
        """The next resumption goes on where the client is"""
        phone = self.resumed_and_deaf()
        got = self.bodies_in(split(phone.take()))
        phone.cut()
        self.write("new")
        _, (first, *again) = self.reconnect("bob", self.token, len(got))
        self.assertEqual(attribute(first, "h"), "0")
        self.assertEqual([*got, *self.bodies_in(again)], [*self.all_bodies, "new"])

    def test_resumed_elsewhere_in_the_middle(self) -> None:
        phone = self.resumed_and_deaf()
        pad, (_, *again) = self.reconnect("bob", self.token, 0)
        self.assertEqual(self.bodies_in(again), self.all_bodies)
        self.assertEqual(len(self.bodies(phone)), SLICE)
        self.acknowledge(pad, self.number)
        self.assertFalse(pad.closed)

    def test_restart_in_the_middle(self) -> None:
        phone = self.resumed_and_deaf()
        got = self.bodies_in(split(phone.take()))
        self.restart()
        _, (_, *again) = self.reconnect("bob", self.token, len(got))
        self.assertEqual([*got, *self.bodies_in(again)], self.all_bodies)

    def test_archive_that_cannot_be_read_any_more(self) -> None:
        """The connection is cut, and the session waits for another try"""
        phone = self.resumed_and_deaf()
        got = self.bodies_in(split(phone.take()))

        async def broken(*_: object) -> None:
            raise FaultError("disk full")

        undo = self.patch(self.world.server.keeper, "stored_messages", broken)
        phone.transport.producer.resumeProducing()
        self.assertTrue(phone.transport.aborted)
        phone.cut()
        undo.restore()
        self.assertEqual(len(self.bodies_in(split(phone.take()))), 0)
        _, (_, *again) = self.reconnect("bob", self.token, len(got))
        self.assertEqual([*got, *self.bodies_in(again)], self.all_bodies)

    def test_too_much_meanwhile(self) -> None:
        """SM S18, S9: what it was never sent is not forgotten: the session ends whole"""
        phone = self.resumed_and_deaf()
        self.tell(phone, "<presence to='alice@localhost/home'/>")
        phone.take()
        self.tell(self.alice, "<iq to='bob@localhost/phone' type='get' id='i'><x xmlns='test:x'/></iq>")
        for _ in range(210):
            self.tell(self.alice, "<presence to='bob@localhost/phone'/>")
        self.assertEqual(self.take(self.alice), [])
        self.assertTrue(phone.transport.aborted)
        phone.cut()
        self.assertEqual(self.account("bob").sessions, [])
        self.assertEqual(["<service-unavailable " in xml for xml in self.take(self.alice)], [True])
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), self.all_bodies)


class WithClientStateTests(AgainCase):
    number = SLICE

    def test_what_was_held_comes_last(self) -> None:
        """SM S11, XEP-0352: it gets its number behind what is sent again"""
        phone, _ = self.reconnect("bob", self.token, self.number)
        self.tell(phone, f"<inactive xmlns='{ns.CSI}'/>")
        self.tell(self.alice, "<presence to='bob@localhost/phone'/>")
        self.write("one")
        self.tell(self.alice, "<presence to='bob@localhost/phone' id='newest'/>")
        phone.cut()
        phone, (_, *again) = self.reconnect("bob", self.token, self.number)
        names = [xml.partition(" ")[0] for xml in again]
        self.assertEqual(names, ["<presence", "<message", "<presence", "<r"])
        self.assertIn("id='newest'", again[2])
        self.acknowledge(phone, self.number + 3)
        self.assertFalse(phone.closed)
