"""Resumption when something is still at work, and several connections at once (XEP-0198, section 5)."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from tests.dialogues.case import SlowDatabase, attribute, split
from tests.dialogues.test_stream_management import PING, R, SmCase, a, failed, resume
from xmppd.core import ns
from xmppd.core.stanza import Stanza
from xmppd.storage.errors import FaultError
from xmppd.storage.group import Outcome
from xmppd.stream.ledger import MODULUS
from xmppd.testing import Client

ROSTER_SET = "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>"
ROSTER_GET = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"


class ResumptionCase(SmCase):
    def setUp(self) -> None:
        super().setUp()
        self.token = self.enable(self.phone)

    def held_back(self, name: str) -> list[Deferred[None]]:
        """Reads of that name from the database wait: each until its own one of these fires."""
        gates: list[Deferred[None]] = []
        read = self.world.database.read

        async def wait(what: str, *args: Any) -> Any:
            if what == name:
                gates.append(Deferred())
                await gates[-1]
            return await read(what, *args)

        self.world.database.read = wait  # type: ignore[method-assign]
        return gates

    def bodies_in(self, text: str | list[str]) -> list[str]:
        return re.findall("<body>(.*?)</body>", "".join(text))


class AtWorkTests(ResumptionCase):
    """What the old connection had begun is done once, and `h` says whether."""

    def test_handler_that_waits(self) -> None:
        """What it has taken is done and covered; what stood behind it is neither done nor covered"""
        self.phone.ask(ROSTER_GET)
        phone = self.authenticated()
        behind = "<message to='alice@localhost' type='chat'><body>behind</body></message>"
        with SlowDatabase(self) as release:
            self.phone.send(ROSTER_SET + behind)
            phone.send(resume(self.token, 1))
            self.assertEqual(phone.take(), "")
            release()
            first, *rest = split(phone.take())
        self.assertEqual(attribute(first, "h"), "2")
        self.assertEqual(sum(" type='result' id='r'" in xml for xml in rest), 1)
        self.assertEqual(sum("<item jid='x@y'" in xml for xml in rest), 1)
        self.assertEqual(self.bodies(self.alice), [])
        self.tell(phone, behind)
        self.assertEqual(self.bodies(self.alice), ["behind"])
        self.assertEqual(phone.ask(R), a(3))

    def test_archive_page(self) -> None:
        """SM S11: a page that is being sent is counted and sent again as a whole, once"""
        bodies = [str(number) for number in range(30)]
        self.write(*bodies)
        pad = self.login("bob/pad", presence=False)
        token = self.enable(pad)
        pad.transport.producer.pauseProducing()
        pad.send(f"<iq type='set' id='mam'><query xmlns='{ns.MAM}'/></iq>")
        self.world.settle()
        pad.cut()
        self.world.settle()
        pad, (first, *again) = self.reconnect("bob", token, 0)
        self.assertEqual(attribute(first, "h"), "1")
        self.assertEqual(self.bodies_in(again), bodies)
        self.assertIn("<fin ", again[-2])
        pad.cut()
        _, (_, *rest) = self.reconnect("bob", token, 10)
        self.assertEqual(self.bodies_in(rest), bodies[10:])

    def test_archive_page_that_is_read_meanwhile(self) -> None:
        """It comes on the new connection, behind what is sent again"""
        self.write("one", "two")
        gates = self.held_back("archive page")
        self.phone.send(f"<iq type='set' id='mam'><query xmlns='{ns.MAM}'/></iq>")
        self.phone.cut()
        phone, (first, *again) = self.reconnect("bob", self.token, 1)
        self.assertEqual(attribute(first, "h"), "1")
        self.assertEqual(self.bodies_in(again), ["two"])
        gates[0].callback(None)
        self.assertEqual(self.bodies(phone), ["one", "two"])
        self.acknowledge(phone, 5)
        self.assertFalse(phone.closed)

    def test_unacknowledged_stanza_that_comes_again(self) -> None:
        """Edge: a client that sends again what our h covered cannot be told from one that sends anew"""
        message = "<message to='alice@localhost' type='chat'><body>again</body></message>"
        self.tell(self.phone, message)
        self.phone.cut()
        phone, (first, *_) = self.reconnect("bob", self.token, 0)
        self.assertEqual(attribute(first, "h"), "1")
        self.tell(phone, message)
        self.assertEqual(self.bodies(self.alice), ["again", "again"])
        self.assertEqual(phone.ask(R), a(2))

    def test_stanzas_right_behind_the_request(self) -> None:
        """They belong to the session"""
        self.phone.cut()
        phone = self.authenticated()
        (first, *_, last) = split(phone.ask(resume(self.token, 0) + PING + R))
        self.assertIn("<resumed ", first)
        self.assertEqual(last, a(1))

    def test_half_a_stanza(self) -> None:
        """Edge: what never was complete is not counted"""
        self.phone.send(f"{PING}<message to='alice@localhost'><body>ha")
        self.phone.cut()
        _, (first, *_) = self.reconnect("bob", self.token, 0)
        self.assertEqual(attribute(first, "h"), "1")
        self.assertEqual(self.bodies(self.alice), [])


class SeveralTests(ResumptionCase):
    """SM S12; edge: each valid resumption succeeds in its turn, the latest connection wins."""

    def waiting(self, number: int) -> list[Client]:
        """Connections that ask for the session, while what it sent last is being stored."""
        clients = [self.authenticated() for _ in range(number)]
        self.write("one")
        self.phone.send("<message to='alice@localhost'><body>Hi</body></message>")
        for client in clients:
            client.send(resume(self.token, 0))
        return clients

    def assert_has_it(self, client: Client) -> None:
        (session,) = self.account("bob").sessions
        self.assertIs(session.stream, client.stream)

    def test_many(self) -> None:
        clients = self.waiting(4)
        self.world.settle()
        answers = [client.take() for client in clients]
        for answer in answers:
            self.assertIn("<resumed ", answer)
            self.assertEqual(self.bodies_in(answer)[:1], ["one"])
        self.assertEqual([client.closed for client in clients], [True, True, True, False])
        self.assertEqual(["<conflict " in answer for answer in answers], [True, True, True, False])
        self.assert_has_it(clients[-1])
        self.assertEqual(self.bodies(self.alice), ["Hi"])

    def test_first_is_slower(self) -> None:
        """The one that asked later has it, whoever is served first"""
        self.world.stop()
        self.settings = ("limits.sm_queue=1",)
        self.start(*self.settings)
        for name in self.users:
            self.world.add_user(f"{name}@localhost")
        self.alice, self.phone = self.login("alice/home"), self.login("bob/phone")
        self.token = self.enable(self.phone)
        self.phone.cut()
        self.write("one", "two", "three")
        gates = self.held_back("archived messages")
        clients = [self.authenticated() for _ in range(2)]
        for client in clients:
            client.send(resume(self.token, 0))
        while gates:
            gates.pop().callback(None)
            self.world.settle()
        self.assertEqual(self.bodies_in(clients[1].take()), ["one", "two", "three"])
        self.assert_has_it(clients[1])
        self.assertEqual([client.closed for client in clients], [True, False])

    def test_one_that_is_gone_again(self) -> None:
        """Whoever does not wait for its turn disturbs nobody"""
        first, second = self.waiting(2)
        first.cut()
        self.world.settle()
        self.assertIn("<resumed ", second.take())
        self.assert_has_it(second)
        self.assertFalse(second.closed)

    def test_nobody_is_left(self) -> None:
        """The session waits on, as after any lost connection, and for no longer"""
        (client,) = self.waiting(1)
        client.cut()
        self.world.settle()
        (session,) = self.account("bob").sessions
        self.assertIsNone(session.stream)
        self.world.advance(601)
        self.assertEqual(self.account("bob").sessions, [])

    def test_after_a_conflict(self) -> None:
        """Who lost it may take it back"""
        pad, _ = self.reconnect("bob", self.token, 0)
        self.assertIn("<conflict ", self.phone.take())
        self.phone.cut()
        phone, (first, *_) = self.reconnect("bob", self.token, 0)
        self.assertIn("<resumed ", first)
        self.assertIn("<conflict ", pad.take())
        self.assert_has_it(phone)

    def test_session_that_ends_meanwhile(self) -> None:
        """The stream goes on without it: binding is possible"""
        client = self.authenticated()
        with SlowDatabase(self) as release:
            self.phone.send("<message to='alice@localhost'><body>Hi</body></message>")
            client.send(resume(self.token, 0))
            self.account("bob").sessions[0].close()
            release()
        self.assertEqual(client.take(), failed("item-not-found", 1))
        self.assertEqual(client.bind("pad"), "bob@localhost/pad")


class OrderTests(ResumptionCase):
    """Everything stands behind <resumed/>, once."""

    def test_what_follows_from_the_acknowledgement(self) -> None:
        """It was written before <resumed/>, and again behind it"""
        session = self.account("bob").sessions[0]
        self.write("one")
        self.phone.cut()
        news = Stanza("message", {"id": "news"}, to=session.jid)
        self.patch(session.outbox, "confirm", lambda _: session.send(news))  # type: ignore[attr-defined]
        _, (resumed, *got) = self.reconnect("bob", self.token, 1)
        self.assertIn("<resumed ", resumed)
        self.assertEqual(["id='news'" in xml for xml in got], [True, False])
        self.assertEqual(got[1:], [R])


class FailureTests(ResumptionCase):
    """SM S19: whatever goes wrong with a request is answered with <failed/>."""

    async def broken(self, *_: object) -> None:
        raise FaultError("disk full")

    def test_session_that_is_not_known(self) -> None:
        self.patch(self.world.server.keeper, "handled_before", self.broken)
        client = self.authenticated()
        self.assertEqual(client.ask(resume("unknown", 0)), failed("internal-server-error"))
        self.assertEqual(client.bind("pad"), "bob@localhost/pad")

    def leave_to_the_archive(self) -> None:
        """What waits for Bob is no longer in memory."""
        self.account("bob").sessions[0].outbox.queue.fits(0, 0)

    def test_queue_that_cannot_be_read(self) -> None:
        """Nothing of it is lost: it can be tried again on the same stream"""
        self.phone.cut()
        self.write("one")
        self.leave_to_the_archive()
        undo = self.patch(self.world.server.keeper, "stored_messages", self.broken)
        client = self.authenticated()
        self.assertEqual(client.ask(resume(self.token, 0)), failed("internal-server-error"))
        undo.restore()
        self.assertEqual(self.bodies_in(client.ask(resume(self.token, 0))), ["one"])

    def test_message_that_is_not_stored_yet(self) -> None:
        """While nothing can be written, what waits for it is not taken for erased"""

        async def fault(units: object) -> Outcome:
            return Outcome(fault=FaultError("disk full"))

        self.phone.cut()
        client = self.authenticated()
        undo = self.patch(self.world.database, "run_group", fault)
        self.write("one")
        self.leave_to_the_archive()
        self.assertTrue(self.world.database.faulted)
        self.assertEqual(client.ask(resume(self.token, 0)), failed("internal-server-error"))
        undo.restore()
        self.world.advance(5)
        self.world.settle()
        self.assertEqual(self.bodies_in(client.ask(resume(self.token, 0))), ["one"])


class SentBeforeTests(SmCase):
    """What was sent before counting began: no byte of another connection confirms it."""

    def test_it_is_sent_again(self) -> None:
        """Edge: it has no number, and gets one when the connection is lost"""
        self.phone.send(" ")
        self.phone.transport.producer.pauseProducing()
        self.write("never written")
        self.phone.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        (session,) = self.account("bob").sessions
        token = session.smacks.token  # type: ignore[attr-defined]
        self.phone.cut()
        phone, (_, *again) = self.reconnect("bob", token, 0)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(again)), ["never written"])
        phone.send(" ")
        phone.cut()
        _, (_, *again) = self.reconnect("bob", token, 0)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(again)), ["never written"])

    def test_nor_does_it_when_the_session_ends(self) -> None:
        self.phone.send(" ")
        self.phone.transport.producer.pauseProducing()
        self.write("never written")
        self.phone.send(f"<enable xmlns='{ns.SM}' resume='true'/>")
        self.phone.cut()
        self.world.advance(601)
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), ["never written"])


class WrapTests(ResumptionCase):
    """SM S8, S11: the counter wraps inside the queue."""

    def test_resumption(self) -> None:
        self.account("bob").sessions[0].outbox.count(MODULUS - 2)
        self.phone.cut()
        self.write("-1", "0", "1", "2")
        for h, expected in ((MODULUS - 1, ["0", "1", "2"]), (0, ["1", "2"]), (1, ["2"]), (2, [])):
            phone, (_, *again) = self.reconnect("bob", self.token, h)
            self.assertEqual(self.bodies_in(again), expected)
            phone.cut()
        answer = self.authenticated().ask(resume(self.token, 3))
        self.assertIn(f"<handled-count-too-high xmlns='{ns.SM}' h='3' send-count='2'/>", answer)
        answer = self.authenticated().ask(resume(self.token, MODULUS - 1))
        self.assertIn(f"h='{MODULUS - 1}' send-count='2'/>", answer)
