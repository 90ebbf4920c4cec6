"""Messages for nobody online (XEP-0160), and who gets them then."""

from __future__ import annotations

import re
from typing import Any

from tests.dialogues.case import ServerCase, split
from xmppd.core import mailbox, ns
from xmppd.core.mailbox import MOST_HELD
from xmppd.storage import archive as store
from xmppd.storage.errors import FaultError
from xmppd.testing import Client

NO_STORE = f"<no-store xmlns='{ns.HINTS}'/>"
PASSING = f"<no-permanent-store xmlns='{ns.HINTS}'/>"


class OfflineCase(ServerCase):
    users = ("alice", "bob", "spam")

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")

    def write(self, *bodies: str, content: str = "", to: str = "bob@localhost", kind: str = "chat") -> None:
        for body in bodies:
            self.tell(self.alice, f"<message to='{to}' type='{kind}'><body>{body}</body>{content}</message>")

    def bound(self, name: str) -> Client:
        """A session of Bob's that is not available yet."""
        return self.login(f"bob/{name}", presence=False)

    def unreadable(self) -> Any:
        """The database cannot be read, until this is restored."""

        async def fail(*_: Any) -> None:
            raise FaultError("broken in a test")

        return self.patch(
            self.world.server.hosts["localhost"].modules["offline"].context.database, "read", fail
        )

    def appear(self, client: Client, priority: int = 0) -> list[str]:
        """The bodies that a client gets when it becomes available."""
        client.take()
        self.tell(client, f"<presence><priority>{priority}</priority></presence>")
        return self.bodies(client)


class ReplayTests(OfflineCase):
    """D11: when, to whom, and in which form."""

    def test_with_the_first_presence(self) -> None:
        """Not at binding"""
        self.write("one", "two")
        desk = self.bound("desk")
        self.world.settle()
        self.assertEqual(self.bodies(desk), [])
        self.assertEqual(self.appear(desk), ["one", "two"])
        self.assertEqual(self.appear(desk), [])

    def test_form(self) -> None:
        """XEP-0203: delayed by the server; as it was, with the id of the archive"""
        self.tell(
            self.alice,
            "<message to='bob@localhost' type='chat' id='i'><body>x</body><y xmlns='t:y'/></message>",
        )
        self.world.advance(3600)
        desk = self.bound("desk")
        self.tell(desk, "<presence/>")
        (got,) = self.take(desk)
        self.assertRegex(
            got,
            "^<message from='alice@localhost/home' to='bob@localhost' type='chat' id='i'><body>x</body>"
            f"<y xmlns='t:y'/><stanza-id xmlns='{ns.STANZA_ID}' by='bob@localhost' id='[0-9a-f]{{32}}'/>"
            r"<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:0\d\.\d+Z'/></message>$",
        )

    def test_old_delay(self) -> None:
        """What says already when it was sent is not told again"""
        self.write("x", content="<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z' from='icq.x'/>")
        desk = self.bound("desk")
        self.tell(desk, "<presence/>")
        self.assertEqual(desk.take().count("<delay "), 1)

    def test_negative_priority(self) -> None:
        """D4: nothing, until it is no longer negative"""
        self.write("one")
        bot = self.bound("bot")
        self.assertEqual(self.appear(bot, -1), [])
        self.assertEqual(self.appear(bot, -5), [])
        self.assertEqual(self.appear(bot, 0), ["one"])
        self.assertEqual(self.appear(bot, -1), [])
        self.assertEqual(self.appear(bot, 0), [])

    def test_negative_priority_does_not_take_away(self) -> None:
        """What only such a resource got waits for another one"""
        bot = self.bound("bot")
        self.appear(bot, -1)
        self.write("one", to="bob@localhost/bot")
        self.assertEqual(self.bodies(bot), ["one"])
        self.tell(bot, " ")
        bot.close()
        self.assertEqual(self.appear(self.bound("desk")), ["one"])

    def test_before_presence(self) -> None:
        """What a resource got before its presence does not come again"""
        desk = self.bound("desk")
        self.write("one", to="bob@localhost/desk")
        self.assertEqual(self.bodies(desk), ["one"])
        self.assertEqual(self.appear(desk), [])
        desk.close()
        self.assertEqual(self.appear(self.bound("pad")), [])

    def test_two_devices(self) -> None:
        """The first one gets it all; the other one has the archive"""
        self.write("one", "two")
        desk, pad = self.bound("desk"), self.bound("pad")
        self.assertEqual(self.appear(desk), ["one", "two"])
        self.assertEqual(self.appear(pad), [])
        self.assertEqual(self.archived(pad), ["one", "two"])

    def test_nothing_twice(self) -> None:
        """Without stream management the next byte confirms"""
        self.write("one")
        desk = self.bound("desk")
        self.assertEqual(self.appear(desk), ["one"])
        self.tell(desk, " ")
        desk.cut()
        self.assertEqual(self.appear(self.bound("desk")), [])

    def test_device_that_dies_without_a_sign(self) -> None:
        """Whoever has not shown that it got them: they wait for the next one"""
        self.write("one", "two")
        desk = self.bound("desk")
        self.assertEqual(self.appear(desk), ["one", "two"])
        desk.cut()
        self.assertEqual(self.appear(self.bound("pad")), ["one", "two"])

    def test_device_that_dies_while_another_is_there(self) -> None:
        """The other one gets them at once"""
        self.write("one")
        desk, pad = self.bound("desk"), self.bound("pad")
        self.appear(desk)
        self.appear(pad)
        desk.cut()
        self.world.settle()
        self.assertEqual(self.bodies(pad), ["one"])

    def test_clean_close_confirms(self) -> None:
        self.write("one")
        desk = self.bound("desk")
        self.appear(desk)
        desk.close()
        self.assertEqual(self.appear(self.bound("pad")), [])

    def test_live_messages_come_behind(self) -> None:
        """In the order of their arrival, whatever is kept or not"""
        self.write("one", "two")
        desk = self.bound("desk")
        desk.take()
        desk.send("<presence/>")
        self.alice.send("<message to='bob@localhost' type='chat'><body>three</body></message>")
        self.alice.send(f"<message to='bob@localhost' type='chat'><body>four</body>{NO_STORE}</message>")
        self.world.settle()
        self.assertEqual(self.bodies(desk), ["one", "two", "three", "four"])

    def test_many(self) -> None:
        """More than one slice, with the database asked for each"""
        bodies = [str(number) for number in range(120)]
        self.write(*bodies)
        self.assertEqual(self.appear(self.bound("desk")), bodies)

    def test_slow_reader(self) -> None:
        """What follows waits until the client has read"""
        self.write(*map(str, range(60)))
        desk = self.bound("desk")
        producer = desk.transport.producer
        producer.pauseProducing()
        self.tell(desk, "<presence/>")
        outbox = self.account("bob").sessions[0].outbox  # type: ignore[attr-defined]
        self.assertEqual(b"".join(outbox._pending).count(b"<body>"), 1)
        producer.resumeProducing()
        self.world.settle()
        self.assertEqual(self.bodies(desk), [str(number) for number in range(60)])

    def test_large_messages(self) -> None:
        """A slice has fewer of them, down to one"""
        self.patch(store, "PAGE_BYTES", 1)
        self.patch(store, "PIECE", 5)
        self.write(*map(str, range(12)))
        desk = self.bound("desk")
        producer = desk.transport.producer
        producer.pauseProducing()
        self.tell(desk, "<presence/>")
        outbox = self.account("bob").sessions[0].outbox  # type: ignore[attr-defined]
        self.assertEqual(b"".join(outbox._pending).count(b"<body>"), 1)
        producer.resumeProducing()
        self.world.settle()
        self.assertEqual(self.bodies(desk), [str(number) for number in range(12)])

    def test_gone_in_the_middle(self) -> None:
        """What was not given yet is not lost, nor is what arrived meanwhile"""
        self.write(*map(str, range(60)))
        desk = self.bound("desk")
        desk.transport.producer.pauseProducing()
        self.tell(desk, "<presence/>")
        self.write("60")
        self.write("quiet", content=NO_STORE)
        self.alice.take()
        desk.cut()
        self.world.settle()
        (answer,) = self.take(self.alice)
        self.assertIn("<service-unavailable ", answer)
        self.assertEqual(self.appear(self.bound("pad")), [str(number) for number in range(61)])

    def test_much_comes_while_a_slow_reader_reads(self) -> None:
        """What waits for it is bounded as for others; nothing of it is lost"""
        self.write(*map(str, range(60)))
        desk = self.bound("desk")
        producer = desk.transport.producer
        producer.pauseProducing()
        self.tell(desk, "<presence/>")
        bodies = [f"{number}{'x' * (MOST_HELD // 8)}" for number in range(8)]
        self.write(*bodies)
        self.assertTrue(desk.closed)
        self.assertEqual(self.appear(self.bound("pad")), [*map(str, range(60)), *bodies])

    def test_whoever_never_acknowledges_cannot_hold_the_mark_for_ever(self) -> None:
        self.patch(mailbox, "MOST_CONFIRMED", 20)
        self.patch(mailbox, "SOME", 10)
        box = self.account("bob").mailbox
        assert box is not None
        box._patience = 20
        holder = self.bound("holder")
        self.enable(holder)
        self.tell(holder, "<presence/>")
        self.write("held")
        self.tell(holder, "<presence><priority>-1</priority></presence>")
        desk = self.bound("desk")
        self.tell(desk, "<presence/>")
        asked = []
        for number in range(60):
            self.write(str(number), to="bob@localhost/desk")
            self.tell(desk, " ")
            self.world.advance(1)
            self.assertLessEqual(len(box.confirmed), 35)
            asked.append("<r " in holder.take())
        self.assertIn(True, asked)
        self.assertTrue(holder.closed)
        self.assertFalse(desk.closed)
        self.assertEqual(box.confirmed, set())
        self.assertEqual(self.bodies(desk).count("held"), 1)

    def test_session_that_is_ended_while_it_is_given_the_backlog(self) -> None:
        """It owed the first of it, thousands after it were confirmed without being sent, for which it was
        ended in the middle; it went on claiming, and nobody was given the first one any more"""
        self.patch(mailbox, "MOST_CONFIRMED", 20)
        self.patch(mailbox, "SOME", 10)
        spam = self.login("spam/x")
        box = self.account("bob").mailbox
        assert box is not None
        box._patience = 20
        self.write("precious", content=PASSING)
        for _ in range(45):
            self.tell(spam, "<message to='bob@localhost' type='chat'><body>spam</body></message>")
        self.write("last")
        desk = self.bound("desk")
        spammer = "<block xmlns='urn:xmpp:blocking'><item jid='spam@localhost'/></block>"
        self.tell(desk, f"<iq type='set' id='b'>{spammer}</iq>")
        self.enable(desk)
        self.assertEqual(self.appear(desk), ["precious", "last"])
        for _ in range(60):
            self.write("more", to="bob@localhost/pad")
            self.world.advance(2)
        self.account("bob").sessions[0].close()
        self.assertEqual(self.appear(self.bound("pad"))[:2], ["precious", "last"])

    def test_bot_that_was_written_to(self) -> None:
        """What waits because it was for somebody of negative priority ends no session, and goes to one"""
        self.patch(mailbox, "MOST_CONFIRMED", 20)
        self.patch(mailbox, "SOME", 10)
        box = self.account("bob").mailbox
        assert box is not None
        box._patience = 20
        bot, desk = self.bound("bot"), self.bound("desk")
        self.appear(bot, -1)
        self.appear(desk)
        self.write("for the bot", to="bob@localhost/bot")
        for number in range(30):
            self.write(str(number))
            if number:
                self.tell(desk, " ")
        self.world.advance(1)
        self.world.settle()
        self.assertFalse(desk.closed)
        self.assertCountEqual(self.bodies(desk), [*map(str, range(30)), "for the bot"])
        self.tell(desk, " ")
        self.assertEqual(box.confirmed, set())

    def test_priority_falls_in_the_middle(self) -> None:
        """Another device goes on"""
        self.write(*map(str, range(60)))
        desk, pad = self.bound("desk"), self.bound("pad")
        producer = desk.transport.producer
        producer.pauseProducing()
        self.tell(desk, "<presence/>")
        self.appear(pad)
        desk.send("<presence><priority>-1</priority></presence>")
        producer.resumeProducing()
        self.world.settle()
        both = self.bodies(desk), self.bodies(pad)
        self.assertEqual(both[0] + both[1], [str(number) for number in range(60)])
        self.assertTrue(both[1])

    def test_broken_row(self) -> None:
        """One row that cannot be read does not keep the others"""
        self.write("one")
        number = self.account("bob").id or 0
        seq = int(self.world.reactor.now() * 1_000_000) + 10
        row = store.ArchiveRow(number, seq, "x@y", "", "", 0, 1, 1, 0, b"<message")
        self.world.database.append(store.APPEND, row)
        self.world.settle()
        self.world.advance(1)
        self.write("two")
        self.assertEqual(self.appear(self.bound("desk")), ["one", "two"])
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_database_that_stores_nothing(self) -> None:
        """What waits to be written is not passed over"""
        self.write("one")
        desk = self.bound("desk")
        self.world.database._writer.faulted = True
        self.assertEqual(self.appear(desk), [])
        self.world.database._writer.faulted = False
        self.world.advance(5)
        self.world.settle()
        self.assertEqual(self.bodies(desk), ["one"])

    def test_database_that_cannot_be_read(self) -> None:
        """It is tried again"""
        self.write("one")
        desk = self.bound("desk")
        fault = self.unreadable()
        self.assertEqual(self.appear(desk), [])
        fault.restore()
        self.world.advance(5)
        self.world.settle()
        self.assertEqual(self.bodies(desk), ["one"])

    def test_what_comes_while_it_is_tried_again_comes_behind(self) -> None:
        """What was held went out when a read failed, before the backlog"""
        self.write("one", "two")
        desk = self.bound("desk")
        fault = self.unreadable()
        self.assertEqual(self.appear(desk), [])
        fault.restore()
        self.write("three")
        self.world.advance(5)
        self.world.settle()
        self.write("four")
        self.assertEqual(self.bodies(desk), ["one", "two", "three", "four"])

    def test_session_that_ends_while_it_cannot_be_read(self) -> None:
        """Another one gets it, once"""
        self.write("one")
        desk, pad = self.bound("desk"), self.bound("pad")
        fault = self.unreadable()
        self.appear(desk)
        fault.restore()
        self.write("two")
        desk.cut()
        self.assertEqual(self.appear(pad), ["one", "two"])
        self.world.advance(10)
        self.world.settle()
        self.assertEqual(self.bodies(pad), [])


class LongBacklogTests(OfflineCase):
    """A backlog that is longer than a queue may be."""

    settings = ("limits.sm_queue=10", "limits.rate=none")

    def test_client_that_is_away(self) -> None:
        """Its session went on being given what waited, until that was too much for it"""
        bodies = [str(number) for number in range(300)]
        for body in bodies:
            self.alice.send(f"<message to='bob@localhost' type='chat'><body>{body}</body></message>")
        self.world.settle()
        phone = self.bound("phone")
        token = self.enable(phone)
        phone.transport.producer.pauseProducing()
        self.tell(phone, "<presence/>")
        phone.cut()
        self.world.settle()
        self.write("300")
        phone, (first, *got) = self.reconnect("bob", token, 0)
        self.assertIn("<resumed ", first)
        for _ in range(50):
            self.acknowledge(phone, len([xml for xml in got if not xml.startswith(("<r ", "<a "))]))
            got += split(phone.take())
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), [*bodies, "300"])
        phone.close()
        self.assertEqual(self.appear(self.bound("pad")), [])


class StreamManagementTests(OfflineCase):
    """With stream management the acknowledgement confirms."""

    def test_unacknowledged(self) -> None:
        self.write("one", "two", "three")
        desk = self.bound("desk")
        self.enable(desk)
        self.assertEqual(self.appear(desk), ["one", "two", "three"])
        # Its own presence came first.
        self.acknowledge(desk, 2)
        desk.cut()
        pad = self.bound("pad")
        self.assertEqual(self.appear(pad), [])
        self.world.advance(601)
        self.world.settle()
        self.assertEqual(self.bodies(pad), ["two", "three"])

    def test_resumed(self) -> None:
        self.write("one", "two")
        desk = self.bound("desk")
        token = self.enable(desk)
        self.appear(desk)
        desk.cut()
        _, got = self.reconnect("bob", token, 2)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), ["two"])

    def test_replay_goes_on_while_nobody_is_there(self) -> None:
        """A session that can be resumed gets the rest when it is"""
        self.write(*map(str, range(60)))
        desk = self.bound("desk")
        token = self.enable(desk)
        desk.transport.producer.pauseProducing()
        self.tell(desk, "<presence/>")
        desk.cut()
        self.world.settle()
        self.write("60")
        _, got = self.reconnect("bob", token, 1)
        self.assertEqual(
            re.findall("<body>(.*?)</body>", "".join(got)), [str(number) for number in range(61)]
        )

    def test_messages_to_a_session_that_waits(self) -> None:
        """D9: they go to it, and to nobody else until it has expired"""
        desk = self.bound("desk")
        self.enable(desk)
        self.appear(desk, 5)
        desk.cut()
        self.write("one")
        pad = self.bound("pad")
        self.assertEqual(self.appear(pad), [])
        self.world.advance(601)
        self.world.settle()
        self.assertEqual(self.bodies(pad), ["one"])


class KeepingTests(OfflineCase):
    """What is kept, and for how long."""

    def test_hints(self) -> None:
        """MAM A41: no-store is not kept; no-permanent-store waits, and is no history"""
        self.write("never", content=NO_STORE)
        self.write("once", content=PASSING)
        self.write("always")
        self.assertEqual(self.archived(self.bound("pad")), ["always"])
        self.assertEqual(self.appear(self.bound("desk")), ["once", "always"])

    def test_types(self) -> None:
        for kind in ("normal", "chat", "headline", "groupchat", "error"):
            self.write(kind, kind=kind)
        self.assertEqual(self.appear(self.bound("desk")), ["normal", "chat"])

    def test_blocked_meanwhile(self) -> None:
        """XEP-0191, 3.3: what waits of someone blocked is delivered to nobody; the history has it"""
        self.write("one")
        self.write("passing", content=PASSING)
        desk = self.bound("desk")
        desk.ask(
            f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='alice@localhost'/></block></iq>"
        )
        self.assertEqual(self.appear(desk), [])
        desk.ask(f"<iq type='set' id='u'><unblock xmlns='{ns.BLOCKING}'/></iq>")
        self.assertEqual(self.appear(self.bound("pad")), [])
        self.assertEqual(self.archived(desk), ["one"])
        self.write("two")
        self.assertEqual(self.bodies(desk), ["two"])

    def test_restart(self) -> None:
        """Nothing is lost, and nothing comes twice"""
        self.write("one")
        desk = self.bound("desk")
        self.appear(desk)
        self.tell(desk, " ")
        desk.close()
        self.write("two")
        self.restart()
        self.assertEqual(self.appear(self.bound("desk")), ["two"])

    def test_feature(self) -> None:
        """D11: the server says that it keeps messages"""
        answer = self.alice.ask(f"<iq type='get' id='d' to='localhost'><query xmlns='{ns.DISCO_INFO}'/></iq>")
        self.assertIn("<feature var='msgoffline'/>", answer)
