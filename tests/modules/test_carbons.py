"""Message carbons: every row of the obligations, K1 to K10, has its test."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.modules.fakes import FakeArchive, FakeSession, World, stanza
from xmppd.core.classify import is_carbon
from xmppd.core.decision import Decision, Otherwise
from xmppd.core.events import MessageArriving, MessageSending, PresenceSending
from xmppd.core.hooks import Stage
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza
from xmppd.modules.carbons import COPIED, MOST_COPIED, MOST_ROOMS, ROOMS, Carbons
from xmppd.modules.disco import Disco
from xmppd.xml import tree

ROMEO = "romeo@example.org"
JULIET = "juliet@example.net"
PRIVATE = "<private xmlns='urn:xmpp:carbons:2'/>"
MUC_USER = "http://jabber.org/protocol/muc#user"


class CarbonsCase(TestCase):
    """Romeo with three resources of which two have carbons enabled, and orchard talks to Juliet."""

    def setUp(self) -> None:
        self.world = World(archive=FakeArchive())
        self.world.load(Carbons)
        self.orchard = self.world.session("romeo/orchard")
        self.garden = self.world.session("romeo/garden")
        self.home = self.world.session("romeo/home")
        self.world.hooks.add(MessageArriving, self.deliver, Stage.DELIVER)
        for session in (self.garden, self.home):
            self.set_carbons(session)

    def deliver(self, event: MessageArriving) -> None:
        event.delivered = list(event.decision.recipients)
        for session in event.delivered:
            session.send(event.stanza)

    def iq(self, session: FakeSession, name: str) -> str:
        return self.successResultOf(
            self.ask(
                f"<iq from='{session.jid.xml}' type='set' id='1'><{name} xmlns='urn:xmpp:carbons:2'/></iq>"
            )
        )

    def ask(self, xml: str) -> Deferred[str]:
        return Deferred.fromCoroutine(self.world.ask(xml))

    def set_carbons(self, session: FakeSession, name: str = "enable") -> None:
        self.assertIn(" type='result'", self.iq(session, name))

    def send(self, xml: str, archived_as: int | None = None) -> MessageSending:
        """A message of orchard, or of whoever its `from` says."""
        message = stanza(xml)
        assert message.sender is not None
        session = self.world.registry.session(message.sender)
        event = MessageSending(message, session.account, session, self.world.ticket)
        event.archived_as = archived_as
        self.world.hooks.run(event)
        return event

    def arrive(self, xml: str, *delivered: FakeSession) -> None:
        """A message that reaches these of Romeo's sessions."""
        self.run_arriving(stanza(xml), delivered)

    def run_arriving(self, message: Stanza, delivered: Sequence[FakeSession] = ()) -> None:
        assert message.to is not None
        account = self.world.registry.account(message.to)
        assert account is not None
        decision = Decision(delivered, Otherwise.KEEP)
        self.world.hooks.run(MessageArriving(message, account, self.world.ticket, decision))

    def presence(self, session: FakeSession, xml: str) -> None:
        event = PresenceSending(stanza(xml), session.account, session, self.world.ticket)
        self.world.hooks.run(event)

    def copies(self) -> tuple[int, int, int]:
        """How many messages orchard, garden and home got since the last call."""
        return len(self.orchard.take()), len(self.garden.take()), len(self.home.take())


def outgoing(content: str = "<body>Neither</body>", to: str = f"{JULIET}/balcony", kind: str = "chat") -> str:
    attribute = f" type='{kind}'" if kind else ""
    return f"<message from='{ROMEO}/orchard' to='{to}'{attribute} id='m1'>{content}</message>"


def incoming(
    content: str = "<body>What man</body>",
    to: str = f"{ROMEO}/orchard",
    kind: str = "chat",
    sender: str = f"{JULIET}/balcony",
) -> str:
    attribute = f" type='{kind}'" if kind else ""
    return f"<message from='{sender}' to='{to}'{attribute} id='m1'>{content}</message>"


class EnablingTests(CarbonsCase):
    """Switching it on and off."""

    def test_features(self) -> None:
        """CARBONS K1"""
        self.world.load(Disco)
        for to in ("example.org", ROMEO):
            answer = self.successResultOf(
                self.ask(
                    f"<iq from='{ROMEO}/orchard' to='{to}' type='get' id='1'>"
                    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                )
            )
            self.assertIn("<feature var='urn:xmpp:carbons:2'/>", answer)
            self.assertIn("<feature var='urn:xmpp:carbons:rules:0'/>", answer)

    def test_enabled_and_disabled_again_and_again(self) -> None:
        """CARBONS K2"""
        for name, copies in (("enable", 1), ("enable", 1), ("disable", 0), ("disable", 0), ("enable", 1)):
            self.assertEqual(
                self.iq(self.home, name), f"<iq from='{ROMEO}' to='{ROMEO}/home' type='result' id='1'/>"
            )
            self.send(outgoing())
            self.assertEqual(self.copies(), (0, 1, copies))

    def test_nobody_else_can_enable_it(self) -> None:
        """CARBONS K2"""
        self.world.session("tybalt/x")
        for sender in ("tybalt@example.org/x", f"{JULIET}/balcony"):
            for to in (ROMEO, "nobody@example.org"):
                answer = self.successResultOf(
                    self.ask(
                        f"<iq from='{sender}' to='{to}' type='set' id='1'>"
                        "<enable xmlns='urn:xmpp:carbons:2'/></iq>"
                    )
                )
                self.assertIn("<error type='cancel'><service-unavailable ", answer)

    def test_without_a_session(self) -> None:
        """CARBONS K2"""
        answer = self.successResultOf(
            self.ask(
                f"<iq from='{ROMEO}/gone' to='{ROMEO}' type='set' id='1'>"
                "<enable xmlns='urn:xmpp:carbons:2'/></iq>"
            )
        )
        self.assertIn("<error type='cancel'><not-allowed ", answer)

    def test_the_flag_survives_in_the_session(self) -> None:
        """CARBONS K8: client state does not, it begins anew"""
        self.assertTrue(Slot.all["carbons"].durable)
        self.assertIs(self.garden.slots["carbons"], True)

    def test_it_can_be_enabled_while_binding(self) -> None:
        """CARBONS K10: by setting the flag, with no answer of its own"""
        attic = self.world.session("romeo/attic")
        Carbons.enable_for(attic)
        self.assertEqual(attic.take(), [])
        self.send(outgoing())
        self.assertEqual(len(attic.take()), 1)


class WireTests(CarbonsCase):
    """What copies look like."""

    def test_sent(self) -> None:
        """CARBONS K5"""
        self.send(outgoing())
        self.assertEqual(
            self.garden.take(),
            [
                f"<message from='{ROMEO}' to='{ROMEO}/garden' type='chat'>"
                "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
                f"<message xmlns='jabber:client' from='{ROMEO}/orchard' to='{JULIET}/balcony' type='chat'"
                " id='m1'><body>Neither</body></message></forwarded></sent></message>"
            ],
        )

    def test_received(self) -> None:
        """CARBONS K5"""
        self.arrive(incoming(), self.orchard)
        self.assertEqual(
            self.home.take(),
            [
                f"<message from='{ROMEO}' to='{ROMEO}/home' type='chat'>"
                "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
                f"<message xmlns='jabber:client' from='{JULIET}/balcony' to='{ROMEO}/orchard' type='chat'"
                " id='m1'><body>What man</body></message></forwarded></received></message>"
            ],
        )

    def test_the_type_is_that_of_the_original(self) -> None:
        """CARBONS K5"""
        for kind in ("", "normal", "chat"):
            self.send(outgoing(kind=kind))
            (copy,) = self.garden.take()
            self.assertEqual(tree.parse(copy.encode()).getAttribute("type"), kind or None)

    def test_to_whom(self) -> None:
        """CARBONS K5: not to the sender, not to a resource without carbons, whoever sends"""
        self.send(outgoing())
        self.assertEqual(self.copies(), (0, 1, 1))
        self.send(outgoing().replace("orchard", "garden"))
        self.assertEqual(self.copies(), (0, 0, 1))

    def test_not_to_those_that_got_the_original(self) -> None:
        """CARBONS K5"""
        self.arrive(incoming(to=ROMEO), self.orchard, self.garden)
        self.assertEqual(self.copies(), (1, 1, 1))
        self.assertEqual(self.home.sent, [])

    def test_priority_does_not_matter(self) -> None:
        """CARBONS K5: negative, or not yet available"""
        self.garden.priority, self.home.priority = -1, None
        self.arrive(incoming(to=ROMEO), self.orchard)
        self.assertEqual(self.copies(), (1, 1, 1))
        self.arrive(incoming(to=ROMEO))
        self.assertEqual(self.copies(), (0, 1, 1))

    def test_a_single_resource(self) -> None:
        """CARBONS K5: alone it gets what it was not given as original, and nothing that it sends"""
        only = self.world.session("tybalt/x", priority=-1)
        self.set_carbons(only)
        only.take()
        self.send(f"<message from='tybalt@example.org/x' to='{JULIET}' type='chat'><body>a</body></message>")
        self.assertEqual(only.take(), [])
        message = stanza(
            f"<message from='{JULIET}/b' to='tybalt@example.org' type='chat'><body>b</body></message>"
        )
        self.run_arriving(message)
        self.assertEqual(len(only.take()), 1)

    def test_messages_to_oneself(self) -> None:
        """CARBONS K5: each resource sees them once, the sender none"""
        to_self = outgoing(to=ROMEO)
        self.send(to_self)
        self.arrive(to_self, self.garden)
        self.assertEqual(self.copies(), (0, 1, 1))
        self.set_carbons(self.orchard)
        self.orchard.take()
        self.send(to_self)
        self.arrive(to_self, self.garden)
        self.assertEqual(self.copies(), (0, 1, 1))

    def test_the_owners_id_in_sent_copies(self) -> None:
        """CARBONS K9: the addressee does not see it"""
        event = self.send(outgoing(), archived_as=1)
        (copy,) = self.garden.take()
        self.assertIn(
            "<body>Neither</body>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.org' id='row-1'/></message>",
            copy,
        )
        self.assertFalse(event.stanza.has("urn:xmpp:sid:0", "stanza-id"))

    def test_the_owners_id_in_received_copies(self) -> None:
        """CARBONS K9"""
        mark = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROMEO}' id='7'/>"
        self.arrive(incoming("<body>a</body>" + mark), self.orchard)
        self.assertIn(mark, self.home.take()[0])

    def test_what_all_receivers_share_is_built_once(self) -> None:
        self.send(outgoing())
        (one,), (other,) = self.garden.sent, self.home.sent
        self.assertIs(one.inner, other.inner)

    def test_a_copy_can_be_read_as_a_stanza(self) -> None:
        self.send(outgoing("<body>&lt;&amp;</body><thread>x</thread>"))
        (copy,) = self.garden.sent
        ((namespace, name, start, end),) = copy.children
        self.assertEqual((namespace, name), ("urn:xmpp:carbons:2", "sent"))
        self.assertEqual((start, end), (0, len(copy.inner)))
        forwarded = tree.parse(copy.inner).firstChildElement()
        self.assertEqual(str(forwarded.firstChildElement().body), "<&")


class EligibilityTests(CarbonsCase):
    """Which messages are copied, in both directions."""

    def check(self, copied: bool, content: str, kind: str, why: str = "") -> None:
        self.send(outgoing(content, kind=kind))
        self.assertEqual(self.copies(), (0, copied, copied), f"sent: {kind} {content} {why}")
        self.arrive(incoming(content, kind=kind), self.orchard)
        self.assertEqual(self.copies(), (1, copied, copied), f"received: {kind} {content} {why}")

    def test_by_type_and_content(self) -> None:
        """CARBONS K3"""
        body = "<body>a</body>"
        receipt = "<received xmlns='urn:xmpp:receipts' id='1'/>"
        state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
        marker = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
        other = "<x xmlns='urn:example'/>"
        for copied, kind, contents in (
            (True, "chat", (body, receipt, state, marker, other, "")),
            (True, "normal", (body, receipt, state, marker, other + body)),
            (True, "", (body, receipt, state, marker)),
            (False, "normal", (other, "", "<subject>a</subject>", "<body xmlns='urn:example'>a</body>")),
            (False, "", (other, "")),
            (True, "headline", (receipt, state, marker)),
            (False, "headline", (body, other, "")),
            (True, "of-no-rfc", (body,)),
        ):
            for content in contents:
                self.check(copied, content, kind)

    def test_groupchat(self) -> None:
        """CARBONS K4"""
        for content in ("<body>a</body>", "<received xmlns='urn:xmpp:receipts' id='1'/>"):
            self.check(False, content, "groupchat")

    def test_private(self) -> None:
        """CARBONS K6: with and without the hint, and it is not removed"""
        for extra in ("", "<no-copy xmlns='urn:xmpp:hints'/>"):
            self.check(False, "<body>a</body>" + PRIVATE + extra, "chat")
        event = self.send(outgoing(PRIVATE))
        self.assertTrue(event.stanza.has("urn:xmpp:carbons:2", "private"))

    def test_private_to_the_bare_jid_is_delivered_as_ever(self) -> None:
        """CARBONS K6"""
        self.arrive(incoming("<body>a</body>" + PRIVATE, to=ROMEO), self.orchard, self.garden)
        self.assertEqual(self.copies(), (1, 1, 0))

    def test_the_hint_alone(self) -> None:
        """CARBONS K6, XEP-0334: it is for full JIDs and nothing else"""
        hint = "<body>a</body><no-copy xmlns='urn:xmpp:hints'/>"
        self.check(False, hint, "chat")
        self.send(outgoing(hint, to=JULIET))
        self.assertEqual(self.copies(), (0, 1, 1))

    def test_copies_are_not_copied(self) -> None:
        """CARBONS K8: neither ours nor forged ones"""
        for name in ("sent", "received"):
            forged = (
                f"<{name} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
                "<message xmlns='jabber:client' type='chat'><body>a</body></message></forwarded>"
                f"</{name}><body>b</body>"
            )
            self.check(False, forged, "chat")

    def test_our_copies_can_be_told(self) -> None:
        """CARBONS K8: those that were never acknowledged are dropped, not stored"""
        self.send(outgoing())
        self.assertTrue(is_carbon(self.garden.sent[0]))
        self.assertFalse(is_carbon(stanza(outgoing("<body>a</body>" + PRIVATE))))


class ErrorTests(CarbonsCase):
    """Errors that answer messages, and errors that answer copies."""

    ERROR = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

    def error(self, **changes: str) -> str:
        return incoming(**{"content": self.ERROR, "kind": "error", **changes})

    def test_the_error_of_a_copied_message(self) -> None:
        """CARBONS K3: whichever resource of the addressee answers"""
        self.send(outgoing())
        self.copies()
        for sender in (f"{JULIET}/balcony", JULIET):
            self.arrive(self.error(sender=sender), self.orchard)
            self.assertEqual(self.copies(), (1, 1, 1))

    def test_the_error_that_the_user_answers_with(self) -> None:
        """CARBONS K3: of a message that was copied, from the session that got it"""
        for original, eligible in ((incoming(), 1), (incoming(PRIVATE), 0), (incoming(kind="headline"), 0)):
            self.arrive(original, self.orchard)
            self.copies()
            self.send(outgoing(self.ERROR, kind="error"))
            self.assertEqual(self.copies(), (0, eligible, eligible))
            COPIED.set(self.orchard, {})
        self.arrive(incoming(), self.orchard)
        self.copies()
        for answer in (
            outgoing(self.ERROR, kind="error").replace("m1", "m2"),
            outgoing(self.ERROR, kind="error", to="tybalt@example.net/x"),
            outgoing(self.ERROR, kind="error").replace("/orchard", "/garden"),
        ):
            self.send(answer)
            self.assertEqual(self.copies(), (0, 0, 0), answer)

    def test_the_error_of_a_message_that_was_not_copied(self) -> None:
        """CARBONS K3"""
        self.send(outgoing(PRIVATE))
        self.arrive(self.error(), self.orchard)
        self.assertEqual(self.copies(), (1, 0, 0))

    def test_what_the_error_repeats_does_not_matter(self) -> None:
        """CARBONS K7: neither makes it eligible nor the opposite"""
        self.arrive(self.error(content="<body>Neither</body>" + self.ERROR), self.orchard)
        self.assertEqual(self.copies(), (1, 0, 0))

    def test_another_id_another_sender_another_resource(self) -> None:
        """CARBONS K3"""
        self.send(outgoing())
        self.copies()
        for error in (
            self.error().replace("id='m1'", "id='m2'"),
            self.error().replace(" id='m1'", ""),
            self.error(sender="tybalt@example.net/x"),
            self.error(to=f"{ROMEO}/home"),
        ):
            self.arrive(error, self.orchard)
            self.assertEqual(self.copies(), (1, 0, 0), error)

    def test_the_error_of_a_copy_goes_nowhere(self) -> None:
        """CARBONS K7: a copy comes from the own bare JID, and there its error ends"""
        self.send(outgoing())
        self.copies()
        self.arrive(self.error(sender=f"{ROMEO}/garden", to=ROMEO))
        self.assertEqual(self.copies(), (0, 0, 0))
        self.assertEqual(self.world.router.take(), [])

    def test_only_so_many_are_remembered(self) -> None:
        for number in range(MOST_COPIED + 10):
            self.send(outgoing().replace("m1", f"m{number}"))
        self.assertEqual(len(COPIED.get(self.orchard)), MOST_COPIED)
        self.copies()
        self.arrive(self.error().replace("m1", "m9"), self.orchard)
        self.assertEqual(self.copies(), (1, 0, 0))
        self.arrive(self.error().replace("m1", "m10"), self.orchard)
        self.assertEqual(self.copies(), (1, 1, 1))

    def test_long_ids_are_not_remembered(self) -> None:
        """An attribute may be as long as a stanza, and this stays as long as the session."""
        self.send(f"<message from='{ROMEO}/orchard' to='{JULIET}' type='chat' id='{'x' * 300}'/>")
        self.assertEqual(len(COPIED.get(self.orchard)), 0)

    def test_sessions_do_not_share_what_is_remembered(self) -> None:
        self.send(outgoing())
        self.assertEqual(len(COPIED.get(self.garden)), 0)


class RoomTests(CarbonsCase):
    """Messages that have to do with group chat."""

    ROOM = "room@rooms.example.net"

    def join(self, session: FakeSession, nick: str = "Romeo", room: str = ROOM) -> None:
        self.presence(
            session,
            f"<presence from='{session.jid.xml}' to='{room}/{nick}'>"
            "<x xmlns='http://jabber.org/protocol/muc'/></presence>",
        )

    def leave(self, session: FakeSession, nick: str = "Romeo") -> None:
        self.presence(
            session, f"<presence from='{session.jid.xml}' to='{self.ROOM}/{nick}' type='unavailable'/>"
        )

    def send_private(self, content: str = "<body>psst</body>") -> tuple[int, int, int]:
        self.send(outgoing(content, to=f"{self.ROOM}/Juliet"))
        return self.copies()

    def test_invitations(self) -> None:
        """CARBONS K4: direct, and mediated in both ways, with the mark that private messages have too"""
        direct = f"<x xmlns='jabber:x:conference' jid='{self.ROOM}'/>"
        for kind in ("normal", ""):
            self.send(outgoing(direct, kind=kind))
            self.assertEqual(self.copies(), (0, 1, 1))
            self.arrive(incoming(direct, kind=kind), self.orchard)
            self.assertEqual(self.copies(), (1, 1, 1))
            mediated = f"<x xmlns='{MUC_USER}'><invite %s='{JULIET}'><reason>come</reason></invite></x>"
            self.send(outgoing(mediated % "to", to=self.ROOM, kind=kind))
            self.assertEqual(self.copies(), (0, 1, 1))
            self.arrive(incoming(mediated % "from", sender=self.ROOM, kind=kind), self.orchard)
            self.assertEqual(self.copies(), (1, 1, 1))

    def test_notices_of_rooms(self) -> None:
        """CARBONS K4: the mark alone is no invitation"""
        notice = f"<x xmlns='{MUC_USER}'><status code='101'/></x>"
        self.arrive(incoming(notice, sender=self.ROOM, kind="normal"), self.orchard)
        self.assertEqual(self.copies(), (1, 0, 0))

    def test_outgoing_private_messages_go_to_those_in_the_room(self) -> None:
        """CARBONS K4: with the mark and without it"""
        for session in (self.orchard, self.garden):
            self.join(session)
            # Who is in a room, and says something to everyone, stays there.
            self.presence(session, f"<presence from='{session.jid.xml}'><show>away</show></presence>")
        self.assertEqual(self.send_private(), (0, 1, 0))
        self.assertEqual(self.send_private(f"<body>psst</body><x xmlns='{MUC_USER}'/>"), (0, 1, 0))
        self.assertEqual(self.send_private("<body>psst</body>" + PRIVATE), (0, 0, 0))

    def test_another_nick_is_another_occupant(self) -> None:
        """CARBONS K4"""
        self.join(self.orchard)
        self.join(self.garden, "Montague")
        self.assertEqual(self.send_private(), (0, 0, 0))
        self.presence(
            self.garden,
            f"<presence from='{ROMEO}/garden' to='{self.ROOM}/Romeo'><show>away</show></presence>",
        )
        self.assertEqual(self.send_private(), (0, 1, 0))

    def test_the_mark_without_a_room(self) -> None:
        """CARBONS K4: nobody is there to answer"""
        self.assertEqual(self.send_private(f"<body>psst</body><x xmlns='{MUC_USER}'/>"), (0, 0, 0))

    def test_after_leaving(self) -> None:
        """CARBONS K4"""
        for session in (self.orchard, self.garden, self.home):
            self.join(session)
        self.leave(self.garden)
        self.assertEqual(self.send_private(), (0, 0, 1))
        self.presence(self.home, f"<presence from='{ROMEO}/home' type='unavailable'/>")
        self.assertEqual(self.send_private(), (0, 0, 0))
        self.assertEqual(ROOMS.get(self.home), {})

    def test_incoming_private_messages(self) -> None:
        """CARBONS K4: the room sends them to every client in it; with the mark and without it"""
        mark = f"<x xmlns='{MUC_USER}'/>"
        self.arrive(incoming("<body>psst</body>" + mark, sender=f"{self.ROOM}/Juliet"), self.orchard)
        self.assertEqual(self.copies(), (1, 0, 0))
        self.join(self.orchard)
        self.arrive(incoming(sender=f"{self.ROOM}/Juliet"), self.orchard)
        self.assertEqual(self.copies(), (1, 0, 0))

    def test_the_error_of_a_private_message(self) -> None:
        """CARBONS K3, K4"""
        for session in (self.orchard, self.garden):
            self.join(session)
        self.send_private()
        self.arrive(incoming(ErrorTests.ERROR, kind="error", sender=f"{self.ROOM}/Juliet"), self.orchard)
        self.assertEqual(self.copies(), (1, 1, 0))

    def test_presence_to_people_is_no_room(self) -> None:
        for to in (f"{JULIET}/balcony", JULIET):
            self.presence(self.orchard, f"<presence from='{ROMEO}/orchard' to='{to}'/>")
        self.presence(self.orchard, f"<presence from='{ROMEO}/orchard'/>")
        self.leave(self.orchard)
        self.assertNotIn("carbons-rooms", self.orchard.slots)

    def test_only_so_many_rooms_are_remembered(self) -> None:
        for number in range(MOST_ROOMS + 1):
            self.join(self.orchard, room=f"room{number}@rooms.example.net")
        self.assertEqual(len(ROOMS.get(self.orchard)), MOST_ROOMS)

    def test_rooms_survive_in_the_session(self) -> None:
        """CARBONS K8"""
        self.assertTrue(Slot.all["carbons-rooms"].durable)


class ChainTests(CarbonsCase):
    """Where copies stand among the hooks."""

    def test_after_delivery(self) -> None:
        self.assertEqual(self.world.hooks.describe(MessageSending), ["COPY Carbons.sending"])
        self.assertEqual(
            self.world.hooks.describe(MessageArriving),
            ["DELIVER CarbonsCase.deliver", "COPY Carbons.arriving"],
        )

    def test_nothing_is_settled_by_it(self) -> None:
        event = MessageSending(stanza(outgoing()), self.orchard.account, self.orchard, self.world.ticket)
        self.assertFalse(self.world.hooks.run(event))
        self.assertIsInstance(event.stanza, Stanza)
