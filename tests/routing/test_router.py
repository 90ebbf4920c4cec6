"""The way of a stanza: hooks, other domains, and requests that take their time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.dialogues.case import ServerCase, split
from tests.modules.fakes import FakeTicket, stanza
from xmppd.core import ns
from xmppd.core.errors import StanzaError
from xmppd.core.events import IqArriving, IqSending, MessageArriving, MessageSending
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.module import IqRequest

PING = "<ping xmlns='urn:xmpp:ping'/>"


class RouterCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.world.server
        self.host = self.server.hosts["localhost"]
        self.alice, self.bob = self.login("alice/home"), self.login("bob/desk")
        self.alice.take()


class ElsewhereTests(RouterCase):
    """Domains that are not served here."""

    def test_messages_and_requests(self) -> None:
        """RFC 6120, 10.4: remote-server-not-found"""
        for xml in (
            "<message to='x@example.org' id='1'><body>x</body></message>",
            f"<iq to='example.org' type='get' id='1'>{PING}</iq>",
        ):
            (answer,) = split(self.alice.ask(xml))
            self.assertIn("<error type='cancel'><remote-server-not-found ", answer)

    def test_what_is_not_answered(self) -> None:
        for xml in (
            "<presence to='x@example.org'/>",
            "<presence to='x@example.org' type='unavailable'/>",
            "<message to='x@example.org' type='error'/>",
            "<iq to='x@example.org' type='result' id='1'/>",
        ):
            self.tell(self.alice, xml)
            self.assertEqual(self.take(self.alice), [])

    def test_answers_to_elsewhere(self) -> None:
        """An answer that cannot be delivered is answered by nobody"""
        self.server.router.arrive(
            stanza("<iq from='x@example.org' to='localhost' type='get' id='1'><y xmlns='t:y'/></iq>")
        )
        self.server.router.arrive(
            stanza("<message from='x@example.org' to='localhost' id='1'><body/></message>")
        )
        self.world.settle()


class HookTests(RouterCase):
    """What modules may do on the way."""

    def hook(self, event: type, handler: Any, stage: Stage = Stage.BLOCK) -> None:
        self.addCleanup(self.host.hooks.add(event, handler, stage))

    def test_settled(self) -> None:
        """Whoever settles an event is the last to see it"""
        for event, xml in (
            (MessageSending, "<message to='bob@localhost'><body>x</body></message>"),
            (MessageArriving, "<message to='bob@localhost'><body>x</body></message>"),
            (IqSending, f"<iq to='localhost' type='get' id='1'>{PING}</iq>"),
            (IqArriving, f"<iq type='get' id='1'>{PING}</iq>"),
        ):
            undo = self.host.hooks.add(event, lambda _: True, Stage.BLOCK)
            self.tell(self.alice, xml)
            self.assertEqual((self.take(self.alice), self.take(self.bob)), ([], []))
            undo()

    def test_refused(self) -> None:
        """A StanzaError on either side is the answer"""

        def refuse(_: Any) -> None:
            raise StanzaError("not-acceptable", "Not like this")

        for event in (MessageSending, MessageArriving):
            undo = self.host.hooks.add(event, refuse, Stage.BLOCK)
            (answer,) = split(self.alice.ask("<message to='bob@localhost' id='1'><body>x</body></message>"))
            self.assertIn("<not-acceptable ", answer)
            self.assertIn("from='bob@localhost' to='alice@localhost/home'", answer)
            undo()

    def test_changed(self) -> None:
        """What a hook puts in place of the message is what goes on"""

        def change(event: Any) -> None:
            event.stanza = event.stanza.adding("t:y", "y", b"<y xmlns='t:y'/>")

        for event in (MessageSending, MessageArriving):
            undo = self.host.hooks.add(event, change, Stage.STRIP)
            self.tell(self.alice, "<message to='bob@localhost'><body>x</body></message>")
            self.assertEqual(self.take(self.bob)[0].count("<y "), 1)
            undo()

    def test_who_got_it(self) -> None:
        """Copies need to know"""
        seen: list[Any] = []
        self.hook(MessageArriving, lambda event: seen.extend(event.delivered), Stage.COPY)
        self.tell(self.alice, "<message to='bob@localhost'><body>x</body></message>")
        self.assertEqual([session.jid.text for session in seen], ["bob@localhost/desk"])

    def test_ticket(self) -> None:
        """What a message causes on the disk is waited for, on both sides"""
        ticket = FakeTicket()
        message = stanza(
            "<message from='alice@localhost/home' to='bob@localhost' type='chat'><body>x</body></message>"
        )
        session: Any = self.account("alice").sessions[0]
        self.server.router.send(message, session, ticket)
        self.assertEqual(ticket.open, 2)
        self.world.settle()
        self.assertEqual((ticket.open, ticket.errors), (0, []))

    def test_made_by_the_server(self) -> None:
        """Without a session and without a ticket"""
        self.server.router.arrive(
            stanza(
                "<message from='localhost' to='bob@localhost/desk' type='headline'><body>x</body></message>"
            )
        )
        self.assertEqual(self.bodies(self.bob), ["x"])
        self.server.router.send(
            stanza("<message from='alice@localhost' to='bob@localhost'><body>y</body></message>")
        )
        self.assertEqual(self.bodies(self.bob), ["y"])

    def test_sender_who_is_gone(self) -> None:
        self.server.router.send(
            stanza("<message from='nobody@localhost' to='bob@localhost'><body>y</body></message>")
        )
        self.assertEqual(self.take(self.bob), [])


class WaitingRequestTests(RouterCase):
    """Requests that take their time."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[Deferred[None]] = []
        self.enable(self.alice)

    def answer_slowly(self, *, beside: bool) -> None:
        async def wait(_: IqRequest) -> None:
            self.waiting.append(Deferred())
            await self.waiting[-1]

        wait._beside = beside  # type: ignore[attr-defined]
        self.host._iq["get", "t:x", "x", "account"] = wait

    def ask(self, number: int) -> None:
        self.tell(self.alice, f"<iq type='get' id='{number}'><x xmlns='t:x'/></iq>")

    def ids(self) -> list[str]:
        return [xml.partition(" id='")[2].partition("'")[0] for xml in self.take(self.alice)]

    def test_in_order(self) -> None:
        """What follows waits, and the transport does not read"""
        self.answer_slowly(beside=False)
        self.ask(1)
        self.tell(self.alice, f"<iq type='get' id='2'>{PING}</iq>")
        self.assertEqual(self.ids(), [])
        self.assertTrue(self.alice.transport.paused)
        self.waiting[0].callback(None)
        self.world.settle()
        self.assertEqual(self.ids(), ["1", "2"])
        self.assertFalse(self.alice.transport.paused)

    def test_beside(self) -> None:
        """Two at most; what follows goes on meanwhile, and they count as handled"""
        self.answer_slowly(beside=True)
        self.ask(1)
        self.ask(2)
        self.assertFalse(self.alice.transport.paused)
        self.tell(self.alice, f"<iq type='get' id='3'>{PING}</iq>")
        self.assertEqual(self.ids(), ["3"])
        self.assertEqual(self.alice.ask(f"<r xmlns='{ns.SM}'/>"), f"<a xmlns='{ns.SM}' h='3'/>")
        self.ask(4)
        self.alice.send(" ")
        self.assertTrue(self.alice.transport.paused)
        self.waiting[0].callback(None)
        self.assertEqual(self.ids(), ["1"])
        self.waiting[2].callback(None)
        self.waiting[1].callback(None)
        self.world.settle()
        self.assertEqual(self.ids(), ["4", "2"])
        self.ask(5)
        self.assertFalse(self.alice.transport.paused)
        self.waiting[3].callback(None)

    def test_gone_meanwhile(self) -> None:
        """An answer for nobody"""
        self.answer_slowly(beside=True)
        self.ask(1)
        self.alice.close()
        self.waiting[0].callback(None)
        self.assertEqual(self.server.router._beside, {})

    def test_answer_goes_to_whoever_asked(self) -> None:
        """Not to another resource"""
        self.answer_slowly(beside=True)
        pad = self.login("alice/pad")
        self.ask(1)
        self.waiting[0].callback(None)
        self.assertEqual((self.ids(), self.take(pad)), (["1"], []))


class RegistryTests(RouterCase):
    def test_accounts(self) -> None:
        registry = self.server.registry
        self.assertIs(registry.account(JID.parse("alice@localhost")), self.account("alice"))
        self.assertIs(registry.account(JID.parse("alice@localhost/any")), self.account("alice"))
        self.assertIs(registry.account(JID.parse("nobody@localhost")), None)
        self.assertEqual({account.jid.local for account in registry.accounts()}, {"alice", "bob"})

    def test_sessions(self) -> None:
        registry = self.server.registry
        session = registry.session(JID.parse("alice@localhost/home"))
        self.assertEqual(self.account("alice").sessions, [session])
        for gone in ("alice@localhost/gone", "alice@localhost", "nobody@localhost/home"):
            self.assertIs(registry.session(JID.parse(gone)), None)
        self.assertEqual(len(list(registry.sessions())), 2)

    def test_domains(self) -> None:
        self.assertTrue(self.server.registry.is_local("localhost"))
        self.assertFalse(self.server.registry.is_local("example.org"))
