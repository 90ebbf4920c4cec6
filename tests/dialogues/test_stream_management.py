"""Stream management (XEP-0198), row by row, through the whole server."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tests.dialogues.case import ServerCase, SlowDatabase, attribute, split
from xmppd.core import ns
from xmppd.stream.ledger import MODULUS
from xmppd.stream.smacks import ASK_AFTER
from xmppd.testing import Client

R = f"<r xmlns='{ns.SM}'/>"
PING = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"


def failed(condition: str, h: int | None = None) -> str:
    """The answer to what cannot be met."""
    known = "" if h is None else f" h='{h}'"
    return f"<failed xmlns='{ns.SM}'{known}><{condition} xmlns='{ns.STANZA_ERRORS}'/></failed>"


def a(h: int) -> str:
    """An acknowledgement."""
    return f"<a xmlns='{ns.SM}' h='{h}'/>"


class SmCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")
        self.phone = self.login("bob/phone")
        self.alice.take()

    def write(self, *bodies: str, to: str = "bob@localhost", content: str = "") -> None:
        """Alice sends messages."""
        for body in bodies:
            self.tell(self.alice, f"<message to='{to}' type='chat'><body>{body}</body>{content}</message>")

    def authenticated(self) -> Client:
        """A connection of Bob's that is about to bind or to resume."""
        client = self.world.connect()
        client.authenticate("bob@localhost", "secret")
        client.take()
        return client


def resume(token: str, h: int) -> str:
    """A request."""
    return f"<resume xmlns='{ns.SM}' previd='{token}' h='{h}'/>"


class EnableTests(SmCase):
    """Negotiation."""

    def test_offered_after_authentication_only(self) -> None:
        """SM S1"""
        client = self.world.connect()
        before = client.open()
        client.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGJvYgBzZWNyZXQ=</auth>")
        after = client.open()
        offer = f"<sm xmlns='{ns.SM}'/>"
        self.assertNotIn(offer, re.sub("<inline.*</inline>", "", before))
        self.assertIn(offer, after)

    def test_too_early(self) -> None:
        """SM S1, S17: before authentication, and before binding"""
        client = self.world.connect()
        client.open()
        for _ in range(2):
            self.assertEqual(client.ask(f"<enable xmlns='{ns.SM}'/>"), failed("unexpected-request"))
        self.assertEqual(
            client.ask(f"<resume xmlns='{ns.SM}' previd='x' h='0'/>"), failed("unexpected-request")
        )
        client.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGJvYgBzZWNyZXQ=</auth>")
        client.open()
        self.assertEqual(client.ask(f"<enable xmlns='{ns.SM}'/>"), failed("unexpected-request"))
        client.bind("pad")
        self.assertIn("<enabled ", client.ask(f"<enable xmlns='{ns.SM}'/>"))

    def test_resumption_only_if_asked(self) -> None:
        """SM S2, S3"""
        for attributes, resumable in (
            ("", False),
            (" resume='false'", False),
            (" resume='true'", True),
            (" resume='1'", True),
        ):
            client = self.login("bob/pad")
            (answer,) = split(client.ask(f"<enable xmlns='{ns.SM}'{attributes}/>"))
            self.assertEqual("resume='true'" in answer, resumable, attributes)
            self.assertEqual(" id='" in answer, resumable)
            client.close()

    def test_ids_are_not_reused(self) -> None:
        """SM S3"""
        tokens = {self.enable(self.login(f"bob/{name}")) for name in "abcd"}
        self.assertEqual(len(tokens), 4)
        self.assertTrue(all(22 <= len(token) < 4000 for token in tokens))

    def test_max(self) -> None:
        """SM S4: the shorter of both times, and it is kept"""
        for asked, given in (("60", 60), ("100000", 600), ("0", 600), ("x", 600)):
            client = self.login(f"bob/{asked}")
            answer = client.ask(f"<enable xmlns='{ns.SM}' resume='true' max='{asked}'/>")
            self.assertEqual(attribute(answer, "max"), str(given))
            client.cut()
        self.world.advance(61)
        names = {session.jid.resource for session in self.account("bob").sessions}
        self.assertEqual(names, {"phone", "100000", "0", "x"})

    def test_twice(self) -> None:
        """SM S5: <failed/>, then a stream error"""
        self.enable(self.phone)
        answer = self.phone.ask(f"<enable xmlns='{ns.SM}' resume='true'/>")
        self.assertTrue(answer.startswith(failed("unexpected-request") + "<stream:error>"), answer)
        self.assertTrue(self.phone.closed)
        self.assertEqual(self.account("bob").sessions, [])

    def test_older_version(self) -> None:
        """The answers are in the namespace of the request"""
        self.phone.ask("<enable xmlns='urn:xmpp:sm:2' resume='true'/>")
        self.assertEqual(self.phone.ask("<r xmlns='urn:xmpp:sm:2'/>"), "<a xmlns='urn:xmpp:sm:2' h='0'/>")
        client = self.authenticated()
        answer = client.ask("<resume xmlns='urn:xmpp:sm:2' previd='unknown' h='0'/>")
        self.assertTrue(answer.startswith("<failed xmlns='urn:xmpp:sm:2'>"), answer)

    def test_other_version_after_resumption(self) -> None:
        """From then on the session speaks the version that it was resumed with"""
        answer = self.phone.ask("<enable xmlns='urn:xmpp:sm:2' resume='true'/>")
        _, (first, *_) = self.reconnect("bob", attribute(answer, "id"), 0)
        self.assertTrue(first.startswith(f"<resumed xmlns='{ns.SM}' "), first)

    def test_location(self) -> None:
        """SM S4: where to come back to, if the operator says so, and only where there is coming back"""
        self.assertNotIn(" location=", self.phone.ask(f"<enable xmlns='{ns.SM}' resume='true'/>"))
        self.start("listen.location=[2001:db8::1]:5222")
        self.world.add_user("bob@localhost")
        answer = self.login("bob/phone").ask(f"<enable xmlns='{ns.SM}' resume='true'/>")
        self.assertEqual(attribute(answer, "location"), "[2001:db8::1]:5222")
        answer = self.login("bob/pad").ask(f"<enable xmlns='{ns.SM}'/>")
        self.assertEqual(answer, f"<enabled xmlns='{ns.SM}'/>")

    def test_not_enabled(self) -> None:
        self.assertIn("<policy-violation ", self.phone.ask(R))
        self.assertIn("<policy-violation ", self.login("bob/pad").ask(a(0)))


class AcknowledgementTests(SmCase):
    """What the server has handled."""

    def test_counts_from_enable(self) -> None:
        """SM S7: 0 at enable; what is pipelined behind it counts"""
        self.phone.take()
        self.phone.send(f"{PING}<enable xmlns='{ns.SM}'/>{PING}{PING}{R}")
        self.world.settle()
        self.assertEqual(split(self.phone.take())[-1], a(2))

    def test_what_was_sent_before_does_not_count(self) -> None:
        """SM S7: our answer to what came before <enable/> stands before <enabled/>"""
        self.phone.take()
        with SlowDatabase(self) as release:
            self.phone.send(
                "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>"
                f"<enable xmlns='{ns.SM}'/>{PING}"
            )
            self.assertEqual(self.phone.take(), "")
            self.write("one")
            release()
        names = [xml.split(" ")[0] for xml in split(self.phone.take())]
        self.assertEqual(names[-2:], ["<enabled", "<iq"])
        self.assertIn("<message", names[:-2])
        self.acknowledge(self.phone, 1)
        self.assertFalse(self.phone.closed)
        self.assertIn("<handled-count-too-high ", self.phone.ask(a(2)))

    def test_every_kind_counts(self) -> None:
        """SM S6, counting rule: stanzas count whatever becomes of them, nothing else does"""
        self.enable(self.phone)
        stanzas = (
            PING,
            "<iq type='get'/>",
            "<iq type='result' id='x'/>",
            "<message to='@@'/>",
            "<message to='nobody@localhost' type='groupchat'><body/></message>",
            "<message type='error'/>",
            "<presence to='nobody@localhost'/>",
            "<presence type='nonsense'/>",
        )
        for h, stanza in enumerate(stanzas, 1):
            self.assertEqual(split(self.phone.ask(f"{stanza} {R}"))[-1], a(h))
        for nonza in (" ", R, a(0), f"<active xmlns='{ns.CSI}'/>"):
            self.phone.ask(nonza)
        self.assertEqual(self.phone.ask(R), a(len(stanzas)))

    def test_errors_do_not_freeze_the_count(self) -> None:
        """A stanza counts once its error is queued: of a handler that is broken, and of a row that is"""
        self.enable(self.phone)
        host: Any = self.world.server.hosts["localhost"]

        def broken(*_: object) -> None:
            raise RuntimeError("broken in a test")

        async def broken_later(*_: object) -> None:
            raise RuntimeError("broken in a test")

        for h, handler in enumerate((broken, broken_later), 1):
            self.patch(host, "iq_handler", lambda *_, handler=handler: handler)
            error, answer = split(self.phone.ask(PING + R))
            self.assertIn("<internal-server-error ", error)
            self.assertEqual(answer, a(h))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.world.wait_for(
            self.world.database.write("break", lambda cursor: cursor.execute("DROP TABLE archive"))
        )
        self.tell(self.phone, "<message to='alice@localhost'><body>Hi</body></message>")
        self.assertEqual(split(self.phone.ask(R))[-1], a(3))

    def test_broken_xml(self) -> None:
        """Counting rule: what never was complete is not counted; the error ends the session"""
        token = self.enable(self.phone)
        self.phone.ask(PING)
        answer = self.phone.ask(f"{PING}<message to='alice@localhost'><body>Hi</message>")
        self.assertIn("<not-well-formed ", answer)
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got, [failed("item-not-found", 2)])
        self.assertEqual(self.bodies(self.alice), [])

    def test_unknown_elements(self) -> None:
        """Counting rule: what is no stanza ends the stream"""
        for element in ("<foo/>", "<message xmlns='test:x'/>"):
            client = self.login("bob/pad")
            self.assertIn("<unsupported-stanza-type ", client.ask(element))

    def test_waits_for_the_commit(self) -> None:
        """SM S6: an answer waits for the commit under way"""
        self.enable(self.phone)
        self.phone.send(f"<message to='alice@localhost'><body>Hi</body></message>{R}")
        self.assertEqual(self.phone.take(), "")
        self.world.advance(0.02)
        self.assertEqual(self.phone.take(), a(1))

    def test_waits_at_most_100_ms(self) -> None:
        """SM S6: then what there is, and the rest follows by itself"""
        self.enable(self.phone)
        self.phone.ask(PING)
        with SlowDatabase(self) as release:
            self.phone.send(f"<message to='alice@localhost'><body>Hi</body></message>{PING}{R}")
            self.assertNotIn("<a ", self.phone.take())
            self.world.advance(0.1)
            self.assertEqual(self.phone.take(), a(1))
            self.phone.send(R)
            self.world.advance(0.1)
            self.assertEqual(self.phone.take(), a(1))
            release()
            self.assertEqual(self.phone.take(), a(3))
        self.world.advance(1)
        self.assertEqual(self.phone.take(), "")
        self.assertNotIn("<a ", self.phone.ask(PING), "it was told once")

    def test_every_request_is_answered(self) -> None:
        """SM S6: also those that wait together"""
        self.enable(self.phone)
        self.phone.send(f"<message to='alice@localhost'><body>Hi</body></message>{R}{R}{R}")
        self.world.advance(0.02)
        self.assertEqual(self.phone.take(), a(1) * 3)

    def test_passes_a_handler_that_waits(self) -> None:
        """SM S6: a request that waits for the disk does not keep the answer"""
        self.enable(self.phone)
        with SlowDatabase(self) as release:
            self.phone.send(
                "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>" + R
            )
            self.world.advance(0.1)
            self.assertEqual(self.phone.take(), a(0))
            self.phone.send(R)
            self.assertTrue(self.phone.transport.paused)
            self.world.advance(0.1)
            self.assertEqual(self.phone.take(), a(0))
            release()
        self.assertTrue(self.phone.take().endswith(a(1) * 2), "what was answered too early is answered again")
        self.assertFalse(self.phone.transport.paused)
        self.assertEqual(self.phone.ask(R), a(1))

    def test_wrap(self) -> None:
        """SM S8: 2**32-1 is followed by 0, both ways"""
        self.start_counting_at(MODULUS - 2)
        token = self.enable(self.phone)
        for h in (MODULUS - 1, 0, 1):
            self.assertEqual(split(self.phone.ask(PING + R))[-1], a(h))
        self.write("one")
        self.acknowledge(self.phone, 2)
        self.phone.cut()
        self.write("two")
        _, got = self.reconnect("bob", token, 2)
        self.assertEqual(attribute(got[0], "h"), "1")
        self.assertEqual(re.findall("<body>(.*)</body>", "".join(got)), ["two"])

    def start_counting_at(self, first: int) -> None:
        services = self.world.server.services
        sm = dataclasses.replace(services.sm, first=first)
        self.phone.stream.services = dataclasses.replace(services, sm=sm)


class AskingTests(SmCase):
    """What the client has handled."""

    def test_server_asks(self) -> None:
        """After some stanzas, and not again before the answer"""
        self.enable(self.phone)
        self.write(*map(str, range(2 * ASK_AFTER)))
        self.assertEqual(self.phone.take().count("<r "), 1)
        self.acknowledge(self.phone, ASK_AFTER)
        self.write("last")
        self.assertEqual(self.phone.take().count("<r "), 1)

    def test_server_asks_soon(self) -> None:
        """Also a client that gets little, so that what it has got is known; and only once"""
        self.enable(self.phone)
        self.world.advance(5 - self.world.reactor.seconds() % 5 - 0.2)
        self.write("one")
        self.assertNotIn("<r ", self.phone.take())
        self.world.advance(0.2)
        self.assertEqual(self.phone.take(), "", "it was sent just now")
        for _ in range(4):
            self.world.advance(5)
        self.assertEqual(self.phone.take(), R)
        self.acknowledge(self.phone, 1)
        for _ in range(4):
            self.world.advance(5)
        self.assertEqual(self.phone.take(), "")
        box = self.account("bob").mailbox
        assert box is not None
        self.assertEqual(box.owed, {})

    def test_too_high(self) -> None:
        """SM S14: a stream error that says so; the session cannot be resumed, what it owed is not lost"""
        token = self.enable(self.phone)
        self.write("one")
        self.phone.take()
        answer = self.phone.ask(a(2))
        self.assertIn("<stream:error><undefined-condition ", answer)
        self.assertIn(f"<handled-count-too-high xmlns='{ns.SM}' h='2' send-count='1'/>", answer)
        self.assertTrue(self.phone.closed)
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got, [failed("item-not-found", 0)])
        self.assert_waiting(["one"])

    def test_lower_than_before(self) -> None:
        """SM S14"""
        self.enable(self.phone)
        self.write("one", "two")
        self.acknowledge(self.phone, 2)
        self.assertIn("<handled-count-too-high ", self.phone.ask(a(1)))

    def test_no_number(self) -> None:
        """Edge: h missing, negative, not a number, too large"""
        for h in ("", " h=''", " h='-1'", " h='x'", " h='1.0'", " h='4294967296'", " h='99999999999'"):
            client = self.login("bob/pad")
            self.enable(client)
            self.assertIn("<invalid-xml ", client.ask(f"<a xmlns='{ns.SM}'{h}/>"), h)

    def assert_waiting(self, bodies: list[str]) -> None:
        """What the next client gets, as something that was delayed."""
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        got = self.take(later)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), bodies)
        for xml in got:
            self.assertIn("<delay xmlns='urn:xmpp:delay'", xml)
        later.close()


class ResumptionTests(SmCase):
    """A client comes back."""

    def test_exactly_what_is_missing(self) -> None:
        """SM S11: in order, before anything new, and the counters go on"""
        token = self.enable(self.phone)
        self.phone.ask(PING)
        self.write("one", "two")
        self.phone.cut()
        self.write("three", content=NO_STORE)
        self.write("four")
        phone, got = self.reconnect("bob", token, 2)
        self.assertEqual(got[0], f"<resumed xmlns='{ns.SM}' previd='{token}' h='1'/>")
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), ["two", "three", "four"])
        self.assertEqual(got[-1], R)
        self.write("five")
        self.assertEqual(self.bodies(phone), ["five"])
        self.acknowledge(phone, 6)
        self.assertFalse(phone.closed)
        self.assertEqual(phone.ask(R), a(1))

    def test_delay(self) -> None:
        """SM S11, counting rule: messages and presence say when they were sent, once; iqs do not"""
        token = self.enable(self.phone)
        self.write("old", content="<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>")
        self.tell(self.alice, "<presence to='bob@localhost/phone'/>")
        self.tell(self.phone, PING)
        self.phone.cut()
        self.world.advance(100)
        _, got = self.reconnect("bob", token, 0)
        stamps = [re.findall("stamp='(.*?)'", xml) for xml in got[1:-1]]
        self.assertEqual([len(each) for each in stamps], [1, 1, 0])
        self.assertEqual(stamps[0], ["2020-01-01T00:00:00Z"])
        self.assertTrue(stamps[1][0].startswith("2026-01-01T00:00:00"))

    def test_nothing_is_counted_archived_or_copied_again(self) -> None:
        """Counting rule: retransmission"""
        pad = self.login("bob/pad", presence="-1")
        pad.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        token = self.enable(self.phone)
        self.write("one")
        for _ in range(3):
            self.phone.cut()
            self.phone, got = self.reconnect("bob", token, 0)
            self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), ["one"])
            self.phone.take()
        self.assertEqual(self.bodies(pad), ["one"])
        self.assertEqual(self.archived(pad), ["one"])
        self.acknowledge(self.phone, 1)
        self.assertEqual(len(self.account("bob").sessions[0].outbox.queue), 0)

    def test_old_connection_looks_alive(self) -> None:
        """SM S12: it gets conflict, and the session goes on"""
        token = self.enable(self.phone)
        self.write("one")
        self.phone.take()
        phone, got = self.reconnect("bob", token, 0)
        self.assertIn("<stream:error><conflict ", self.phone.take())
        self.assertTrue(self.phone.closed)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(got)), ["one"])
        self.phone.cut()
        self.write("two")
        self.assertEqual(self.bodies(phone), ["two"])
        self.assertEqual(len(self.account("bob").sessions), 1)

    def test_what_the_old_connection_sent_last(self) -> None:
        """SM S11: h of <resumed/> covers what is being stored"""
        token = self.enable(self.phone)
        self.phone.send("<message to='alice@localhost'><body>Hi</body></message>")
        self.phone.cut()
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(attribute(got[0], "h"), "1")

    def test_what_takes_too_long_is_sent_again(self) -> None:
        """A database that hangs does not keep the client for ever; it sends again what is not stored"""
        token = self.enable(self.phone)
        phone = self.authenticated()
        with SlowDatabase(self):
            self.phone.send("<message to='alice@localhost'><body>Hi</body></message>")
            self.phone.cut()
            phone.send(resume(token, 0))
            self.assertEqual(phone.take(), "")
            self.world.advance(5)
            self.assertEqual(attribute(phone.take(), "h"), "0")
        phone.send("<message to='alice@localhost'><body>Hi</body></message>")
        self.world.settle()
        self.assertEqual(phone.ask(R), a(1))
        self.assertEqual(self.bodies(self.alice), ["Hi", "Hi"])

    def test_two_at_once(self) -> None:
        """Edge: the same previd from two connections; the latest wins, no queue is lost"""
        token = self.enable(self.phone)
        first, second = self.authenticated(), self.authenticated()
        self.write("one")
        self.phone.send("<message to='alice@localhost'><body>Hi</body></message>")
        first.send(resume(token, 0))
        second.send(resume(token, 0))
        self.assertEqual((first.take(), second.take()), ("", ""))
        self.world.settle()
        answers = first.take(), second.take()
        self.assertIn("<conflict ", answers[0])
        self.assertIn("<resumed ", answers[1])
        self.assertIn("<body>one</body>", answers[1])
        self.assertEqual(len(self.account("bob").sessions), 1)
        self.assertIs(self.account("bob").sessions[0].stream, second.stream)

    def test_resumed_again_and_again(self) -> None:
        """Edge: the token stays good"""
        token = self.enable(self.phone)
        for number in range(3):
            self.phone.cut()
            self.phone, got = self.reconnect("bob", token, number)
            self.assertIn("<resumed ", got[0])
            self.write(str(number))
            self.assertEqual(self.bodies(self.phone)[-1:], [str(number)])

    def test_presence_is_retained(self) -> None:
        """SM S21: nobody sees the client go; carbons stay on"""
        self.tell(self.alice, "<presence to='bob@localhost' type='subscribe'/>")
        self.tell(self.phone, "<presence to='alice@localhost' type='subscribed'/>")
        self.phone.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        token = self.enable(self.phone)
        self.alice.take()
        self.phone.cut()
        phone, _ = self.reconnect("bob", token, 0)
        self.assertEqual(self.alice.take(), "")
        self.write("one", to="bob@localhost/phone")
        self.assertEqual(self.bodies(phone), ["one"])
        other = self.login("bob/other")
        self.tell(other, "<message to='alice@localhost' type='chat'><body>two</body></message>")
        self.assertIn("<sent xmlns='urn:xmpp:carbons:2'>", phone.take())

    def test_roster_changes_meanwhile(self) -> None:
        """SM S21: roster pushes wait like everything else"""
        self.phone.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        token = self.enable(self.phone)
        self.phone.cut()
        pad = self.login("bob/pad")
        pad.ask("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>")
        _, got = self.reconnect("bob", token, 0)
        self.assertTrue(any("<query xmlns='jabber:iq:roster'" in xml for xml in got), got)


class FailedResumptionTests(SmCase):
    """A client comes back, and cannot go on."""

    def test_unknown(self) -> None:
        """SM S10, S13, S19: item-not-found, and binding is possible on the same stream"""
        client, got = self.reconnect("bob", "unknown", 0)
        self.assertEqual(got, [failed("item-not-found")])
        self.assertEqual(client.bind("pad"), "bob@localhost/pad")

    def test_h_of_a_session_that_is_gone(self) -> None:
        """SM S10: the client learns how far it got"""
        token = self.enable(self.phone)
        self.phone.ask(PING)
        self.phone.ask(PING)
        self.phone.cut()
        self.world.advance(601)
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got, [failed("item-not-found", 2)])

    def test_somebody_elses(self) -> None:
        """SM S17: a token is good for its account only"""
        token = self.enable(self.phone)
        self.phone.cut()
        _, got = self.reconnect("alice", token, 0)
        self.assertEqual(got, [failed("item-not-found")])
        _, got = self.reconnect("bob", token, 0)
        self.assertIn("<resumed ", got[0])

    def test_bad_requests(self) -> None:
        """SM S19; edge: h missing, negative, not a number, too large; no previd"""
        token = self.enable(self.phone)
        for attributes in (
            f"previd='{token}'",
            f"previd='{token}' h=''",
            f"previd='{token}' h='-1'",
            f"previd='{token}' h='1e3'",
            f"previd='{token}' h='4294967296'",
            "h='0'",
            "previd='' h='0'",
        ):
            client = self.world.connect()
            client.authenticate("bob@localhost", "secret")
            self.assertEqual(client.ask(f"<resume xmlns='{ns.SM}' {attributes}/>"), failed("bad-request"))
        self.assertFalse(self.phone.closed)

    def test_after_binding(self) -> None:
        """SM S19"""
        token = self.enable(self.phone)
        pad = self.login("bob/pad")
        self.assertEqual(
            pad.ask(f"<resume xmlns='{ns.SM}' previd='{token}' h='0'/>"), failed("unexpected-request")
        )

    def test_too_high(self) -> None:
        """SM S14: on <resume/> the old session stays as it is, connection included"""
        token = self.enable(self.phone)
        self.write("one")
        self.phone.take()
        got = self.authenticated().ask(resume(token, 2))
        self.assertIn(f"<handled-count-too-high xmlns='{ns.SM}' h='2' send-count='1'/>", got)
        self.assertFalse(self.phone.closed)
        self.phone.cut()
        _, resumed = self.reconnect("bob", token, 0)
        self.assertEqual(re.findall("<body>(.*?)</body>", "".join(resumed)), ["one"])

    def test_not_offered(self) -> None:
        """SM S10: feature-not-implemented where sessions cannot be resumed"""
        self.start("limits.sm_resume_timeout=none")
        self.world.add_user("bob@localhost")
        phone = self.login("bob/phone")
        self.assertEqual(self.enable(phone), "")
        _, got = self.reconnect("bob", "x", 0)
        self.assertEqual(got, [failed("feature-not-implemented")])

    def test_nobody_wants_a_message_twice(self) -> None:
        """Edge: a new bind of the same resource ends the session that waits, and its queue is handled once"""
        token = self.enable(self.phone)
        self.write("one")
        self.phone.cut()
        phone = self.login("bob/phone", presence=False)
        self.tell(phone, "<presence/>")
        self.assertEqual(self.bodies(phone), ["one"])
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got, [failed("item-not-found", 0)])

    def test_nor_what_no_archive_keeps(self) -> None:
        """Edge: it goes back or to another resource once, and neither comes with a resumption"""
        token = self.enable(self.phone)
        self.phone.cut()
        self.write("back", to="bob@localhost/phone", content=NO_STORE)
        phone = self.login("bob/phone")
        self.assertEqual(["<service-unavailable " in xml for xml in self.take(self.alice)], [True])
        self.write("other", to="bob@localhost/phone", content=NO_STORE)
        self.assertEqual(self.bodies(phone), ["other"])
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got, [failed("item-not-found", 0)])

    def test_clean_end(self) -> None:
        """SM S15: </stream:stream> ends the session; the last <a/> counts"""
        token = self.enable(self.phone)
        self.write("one", "two")
        self.phone.send(f"{a(1)}</stream:stream>")
        self.assertIn("</stream:stream>", self.phone.take())
        self.assertEqual(self.account("bob").sessions, [])
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), ["two"])
        _, got = self.reconnect("bob", token, 0)
        self.assertEqual(got[0], failed("item-not-found", 0))

    def test_clean_end_behind_a_handler_that_waits(self) -> None:
        """SM S15: what was sent before it is done, the last <a/> counts, and the session ends"""
        self.enable(self.phone)
        self.write("one", "two")
        with SlowDatabase(self) as release:
            self.phone.send(
                "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>"
                f"<message to='alice@localhost' type='chat'><body>bye</body></message>{a(1)}</stream:stream>"
            )
            release()
        self.assertTrue(self.phone.closed)
        self.assertEqual(self.account("bob").sessions, [])
        self.assertEqual(self.bodies(self.alice), ["bye"])
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), ["two"])

    def test_stream_error(self) -> None:
        """SM S15, S9: a stream error ends the session; what it never acknowledged is dealt with"""
        self.enable(self.phone)
        self.tell(self.phone, "<presence to='alice@localhost/home'/>")
        self.tell(self.alice, "<iq to='bob@localhost/phone' type='get' id='i'><x xmlns='test:x'/></iq>")
        self.write("one")
        self.assertEqual(self.take(self.alice), [])
        self.phone.ask("<foo/>")
        self.assertEqual(self.account("bob").sessions, [])
        self.assertIn("<service-unavailable ", "".join(self.take(self.alice)))
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), ["one"])

    def test_without_resumption(self) -> None:
        """SM S15: a lost connection ends a session that did not ask for resumption"""
        self.enable(self.phone, resume=False)
        self.write("one")
        self.phone.cut()
        self.assertEqual(self.account("bob").sessions, [])


class SmallQueueTests(SmCase):
    settings = ("limits.sm_queue=10",)

    def test_server_asks_before_the_queue_is_full(self) -> None:
        """SM S18: or the session could not be resumed any more before anybody has been asked"""
        self.enable(self.phone)
        self.write(*map(str, range(4)))
        self.assertNotIn("<r ", self.phone.take())
        self.write("fifth")
        self.assertEqual(self.phone.take().count("<r "), 1)


class UnresumableTests(SmCase):
    """Too much was not acknowledged that no archive keeps."""

    settings = ("limits.sm_queue=5",)

    def test_what_was_sent_last_is_in_h(self) -> None:
        """SM S10: or the client sends it again, and it comes twice"""
        token = self.enable(self.phone)
        self.write(*map(str, range(10)), content=NO_STORE)
        phone = self.authenticated()
        self.phone.send("<message to='alice@localhost' type='chat'><body>last</body></message>")
        phone.send(resume(token, 0))
        self.world.settle()
        self.assertEqual(phone.take(), failed("item-not-found", 1))
        self.assertIn("<conflict ", self.phone.take())
        self.assertEqual(self.bodies(self.alice), ["last"])
        self.assertEqual(self.account("bob").sessions, [])


class DeadSessionTests(SmCase):
    """SM S9: what a session that expired never acknowledged."""

    def setUp(self) -> None:
        super().setUp()
        self.tell(self.alice, "<presence to='bob@localhost/phone'/>")
        self.tell(self.phone, "<presence to='alice@localhost/home'/>")
        self.token = self.enable(self.phone)
        self.phone.cut()

    def die(self) -> None:
        self.alice.take()
        self.world.advance(601)
        self.world.settle()

    def no_store(self, *bodies: str, kind: str = "chat") -> None:
        for body in bodies:
            self.tell(
                self.alice,
                f"<message to='bob@localhost/phone' type='{kind}' id='{body}'><body>{body}</body>"
                "<no-store xmlns='urn:xmpp:hints'/></message>",
            )

    def test_archived_messages_wait(self) -> None:
        """They are neither archived nor carboned again"""
        pad = self.login("bob/pad", presence="-1")
        pad.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.write("one")
        self.assertEqual(self.bodies(pad), ["one"])
        self.die()
        self.assertEqual(self.take(pad), [])
        self.assertEqual(self.take(self.alice), [])
        self.tell(pad, "<presence/>")
        self.assertEqual(self.bodies(pad), ["one"])
        self.assertEqual(self.archived(pad), ["one"])

    def test_archived_messages_go_to_another_resource(self) -> None:
        pad = self.login("bob/pad", presence="0")
        self.tell(self.alice, "<message to='bob@localhost/phone'><body>one</body></message>")
        self.assertEqual(self.bodies(pad), [])
        self.die()
        (got,) = self.take(pad)
        self.assertIn("<body>one</body>", got)
        self.assertIn("<delay xmlns='urn:xmpp:delay' from='localhost'", got)

    def test_others_go_to_another_resource(self) -> None:
        """Once, to where a message for the account would go"""
        pad = self.login("bob/pad", presence="5")
        tab = self.login("bob/tab", presence="0")
        self.no_store("one")
        self.die()
        (got,) = self.take(pad)
        self.assertIn("to='bob@localhost/phone'", got)
        self.assertIn("<body>one</body>", got)
        self.assertIn("<delay xmlns='urn:xmpp:delay' from='localhost'", got)
        self.assertEqual(self.take(tab), [])
        self.assertEqual(self.take(self.alice), [])

    def test_others_of_someone_blocked_meanwhile(self) -> None:
        """XEP-0191, 3.3: another resource does not get them"""
        pad = self.login("bob/pad")
        self.no_store("one")
        blocked = "<block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block>"
        pad.ask(f"<iq type='set' id='b'>{blocked}</iq>")
        self.die()
        self.assertEqual(self.take(pad), [])
        (answer,) = self.take(self.alice)
        self.assertIn("<service-unavailable ", answer)

    def test_or_back_to_their_sender(self) -> None:
        self.no_store("one", "two")
        self.no_store("room", kind="groupchat")
        self.die()
        answers = self.take(self.alice)
        self.assertEqual([attribute(xml, "id") for xml in answers], ["one", "two", "room"])
        for xml in answers:
            self.assertIn("from='bob@localhost/phone'", xml)
            self.assertIn("<service-unavailable ", xml)

    def both_get(self, body: str) -> tuple[Client, str]:
        """A message that nobody keeps goes to two devices; the other one, and its token."""
        pad = self.login("bob/pad")
        token = self.enable(pad)
        no_store = "<no-store xmlns='urn:xmpp:hints'/>"
        self.tell(
            self.alice,
            f"<message to='bob@localhost' type='chat' id='{body}'><body>{body}</body>{no_store}</message>",
        )
        self.assertEqual(self.bodies(pad), [body])
        return pad, token

    def test_what_another_device_has_is_not_given_to_it_again(self) -> None:
        """Nor does it come back"""
        pad, _ = self.both_get("one")
        self.die()
        self.assertEqual(self.bodies(pad), [])
        self.assertEqual(self.take(self.alice), [])

    def test_states_mean_nothing_any_more(self) -> None:
        """Whoever typed is not told of an error"""
        state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
        self.tell(self.alice, f"<message to='bob@localhost' type='chat' id='s'>{state}</message>")
        self.die()
        self.assertEqual(self.take(self.alice), [])

    def test_what_no_device_has_acknowledged_comes_back_once(self) -> None:
        pad, _ = self.both_get("one")
        pad.cut()
        self.die()
        (answer,) = self.take(self.alice)
        self.assertIn("type='error' id='one'", answer)

    def test_what_another_device_has_across_a_restart(self) -> None:
        _, token = self.both_get("one")
        self.restart()
        pad, got = self.reconnect("bob", token, 1)
        self.assertIn("<resumed ", got[0])
        self.world.advance(601)
        self.world.settle()
        self.assertEqual(self.account("bob").sessions, [pad.stream.session])
        self.assertEqual(self.bodies(pad), [])

    def test_what_no_device_has_acknowledged_across_a_restart(self) -> None:
        self.both_get("one")
        self.restart()
        self.alice = self.login("alice/home")
        self.world.advance(601)
        self.world.settle()
        self.assertEqual(self.account("bob").sessions, [])
        self.assertEqual(self.alice.take().count("<service-unavailable "), 1)

    def test_requests_are_answered(self) -> None:
        self.tell(self.alice, "<iq to='bob@localhost/phone' type='get' id='i'><x xmlns='test:x'/></iq>")
        self.die()
        (answer,) = self.take(self.alice)
        self.assertIn("type='error' id='i'", answer)
        self.assertIn("<service-unavailable ", answer)

    def test_the_rest_is_dropped(self) -> None:
        """Answers, presence, headlines, errors, results of the archive, pushes, copies"""
        for stanza in (
            "<iq to='bob@localhost/phone' type='result' id='i'/>",
            "<iq to='bob@localhost/phone' type='error' id='i'/>",
            "<presence to='bob@localhost/phone' type='unavailable'/>",
            "<message to='bob@localhost/phone' type='headline' id='i'><body>x</body></message>",
            "<message to='bob@localhost/phone' type='error' id='i'><body>x</body></message>",
        ):
            self.tell(self.alice, stanza)
        pad = self.login("bob/pad")
        self.die()
        self.assertEqual(self.take(pad), [])
        self.assertEqual(self.take(self.alice), [])

    def test_what_the_server_made_for_it_is_dropped(self) -> None:
        """Carbons, roster pushes and events of PEP mean nothing without that session"""
        resumed, _ = self.reconnect("bob", self.token, 0)
        resumed.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        resumed.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        pad = self.login("bob/pad")
        resumed.cut()
        self.tell(pad, f"<message to='alice@localhost' type='chat'><body>sent</body>{NO_STORE}</message>")
        pad.ask("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>")
        event = f"<event xmlns='http://jabber.org/protocol/pubsub#event'/>{NO_STORE}"
        self.tell(self.alice, f"<message to='bob@localhost/phone' id='pep'>{event}</message>")
        session = next(each for each in self.account("bob").sessions if each.jid.resource == "phone")
        queued = b"".join(entry.stanza.wire for entry in session.outbox.queue.entries)
        for name in (b"urn:xmpp:carbons:2", b"jabber:iq:roster", b"pubsub#event"):
            self.assertIn(name, queued)
        pad.take()
        self.die()
        self.assertEqual(self.take(pad), [])
        self.assertEqual(self.take(self.alice), [])

    def test_what_the_user_sent_to_it(self) -> None:
        """From another resource of the same account it is like anybody's"""
        pad = self.login("bob/pad", presence="-1")
        self.tell(
            pad,
            "<iq to='bob@localhost/phone' type='set' id='i'><x xmlns='test:x'/></iq>",
            f"<message to='bob@localhost/phone' type='chat' id='m'><body>x</body>{NO_STORE}</message>",
        )
        pad.take()
        self.die()
        answers = self.take(pad)
        self.assertEqual([attribute(xml, "id") for xml in answers], ["i", "m"])
        for xml in answers:
            self.assertIn("<service-unavailable ", xml)

    def test_archive_results_are_dropped(self) -> None:
        """Edge: n results and the iq count, and nothing becomes of them"""
        self.write("one", "two")
        phone = self.login("bob/other", presence=False)
        self.enable(phone)
        self.assertEqual(self.archived(phone), ["one", "two"])
        self.assertEqual(self.account("bob").sessions[-1].outbox.queue.sent, 3)
        phone.cut()
        self.die()
        self.assertEqual(self.take(self.alice), [])
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), ["one", "two"])

    def test_presence_of_the_dead(self) -> None:
        """Contacts learn that it is gone when it expires, not before"""
        self.assertNotIn("unavailable", self.alice.take())
        self.world.advance(599)
        self.assertNotIn("unavailable", self.alice.take())
        self.world.advance(2)
        self.assertIn("type='unavailable'", self.alice.take())
