"""Bind 2 (XEP-0386): a resource and all that a session starts with, and counting from there (XEP-0198)."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.dialogues.case import attribute
from tests.stream.sasl2 import (
    AGENT,
    CARBONS,
    ENABLE,
    OTHER_AGENT,
    Answer,
    Sasl2Case,
    authenticate,
    bind,
    header,
    plain,
)
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.counters import hits
from xmppd.core.jid import JID
from xmppd.stream.csi import INACTIVE
from xmppd.stream.features.bind2 import resource
from xmppd.testing import Client

SECRET = b"s" * 32
JULIET = Account(1, JID.parse("juliet@example.org"), None)


class OfferTests(Sasl2Case):
    settings = ('domains.localhost.without=["carbons"]',)

    def test_features(self) -> None:
        """Section 4.1, and XEP-0198 section 9.1; a module that is left out is not offered."""
        offered = self.world.connect().open()
        inline = offered.partition(f"<bind xmlns='{ns.BIND2}'>")[2].partition("</bind>")[0]
        self.assertEqual(re.findall("var='([^']*)'", inline), [ns.CSI, ns.SM])


class ResourceTests(SynchronousTestCase):
    def name(
        self, tag: str = "", client: str = AGENT, account: Account = JULIET, secret: bytes = SECRET
    ) -> str:
        return resource(account, tag, client, secret).resource

    def test_stable_for_a_client(self) -> None:
        self.assertEqual(self.name("App"), self.name("App"))
        self.assertRegex(self.name("App"), "^App/[A-Za-z0-9_-]{16}$")
        self.assertEqual("App/" + self.name(), self.name("App"))

    def test_differs_between_clients_accounts_and_servers(self) -> None:
        nurse = Account(2, JID.parse("nurse@example.org"), None)
        names = {
            self.name(),
            self.name(client=OTHER_AGENT),
            self.name(account=nurse),
            self.name(secret=b"t" * 32),
        }
        self.assertEqual(len(names), 4)

    def test_says_nothing_of_the_client(self) -> None:
        """Section 4.2.1: the id of the user agent is not exposed."""
        for part in AGENT.split("-"):
            self.assertNotIn(part, self.name("App"))

    def test_client_without_an_id_gets_another_one_each_time(self) -> None:
        self.assertNotEqual(self.name(client=""), self.name(client=""))

    def test_tag_that_cannot_be_part_of_a_resource_is_left_out(self) -> None:
        for tag in ("x" * 1010, "\x00", "\u0627\u202e"):
            self.assertEqual(self.name(tag), self.name())

    @given(st.text(max_size=40))
    def test_any_tag_gives_a_resource_of_the_account(self, tag: str) -> None:
        made = resource(JULIET, tag, AGENT, SECRET)
        self.assertEqual(made.bare, JULIET.jid)
        self.assertTrue(made.resource.endswith(self.name()))


class BindTests(Sasl2Case):
    def test_success_has_the_full_jid(self) -> None:
        answer = self.enter("alice", bind(tag="App"))
        self.assertRegex(answer.jid, "^alice@localhost/App/")
        assert self.client.stream.session is not None
        self.assertEqual(self.client.stream.session.jid.text, answer.jid)

    def test_same_client_gets_the_same_resource(self) -> None:
        first = self.enter("alice", bind(tag="App")).jid
        self.client.close()
        self.assertEqual(self.enter("alice", bind(tag="App")).jid, first)

    def test_features_that_are_left_follow(self) -> None:
        """XEP-0388 section 2.6.1: no binding any more, and stream management only where it is not enabled."""
        answer = self.enter("alice", bind())
        for missing in (ns.BIND, ns.SASL, ns.SASL2, ns.SESSION):
            self.assertNotIn(f"'{missing}'", answer.features)
        for there in (ns.ROSTER_VERSIONING, ns.CSI, ns.SM, ns.STREAM_LIMITS):
            self.assertIn(f"'{there}'", answer.features)
        self.client.close()
        self.assertNotIn(f"'{ns.SM}'", self.enter("alice", bind(ENABLE)).features)

    def test_stream_management_can_be_enabled_afterwards(self) -> None:
        self.enter("alice", bind())
        self.assertIn("<enabled ", self.client.ask(ENABLE))

    def test_k10_carbons_from_the_first_message_on(self) -> None:
        """K10: enabled with the binding, and no element answers."""
        answer = self.enter("alice", bind(CARBONS))
        self.assertNotIn(ns.CARBONS, answer.success)
        other = self.login("alice/other")
        self.tell(other, "<message to='bob@localhost' type='chat'><body>Hi</body></message>")
        self.assertIn("<sent xmlns='urn:xmpp:carbons:2'>", self.client.take())

    def test_without_asking_no_carbons(self) -> None:
        self.enter("alice", bind())
        other = self.login("alice/other")
        self.tell(other, "<message to='bob@localhost' type='chat'><body>Hi</body></message>")
        self.assertEqual(self.client.take(), "")

    def test_begins_inactive(self) -> None:
        """Section 4.2: the session begins in the state that the client says."""
        for state, inactive in (("inactive", True), ("active", False)):
            answer = self.enter("alice", bind(f"<{state} xmlns='{ns.CSI}'/>"))
            session = self.client.stream.session
            assert session is not None
            self.assertEqual((session.inactive is not None, INACTIVE.get(session)), (inactive, inactive))
            self.assertNotIn(ns.CSI, answer.success)
            self.client.close()

    def test_what_nobody_knows_is_ignored(self) -> None:
        answer = self.enter(
            "alice", bind("<enable xmlns='urn:example'/>", CARBONS), "<x xmlns='urn:example'/>"
        )
        self.assertIn("/", answer.jid)
        self.assertNotIn("urn:example", answer.text)

    def test_too_many_sessions(self) -> None:
        """The login stands; what is missing can be asked for in the old way, which says why."""
        self.start("limits.sessions_per_account=1")
        self.world.add_user("alice@localhost")
        self.login("alice/one")
        before = hits.of("sessions_per_account")
        answer = self.enter("alice", bind(ENABLE))
        self.assertEqual(hits.of("sessions_per_account"), before + 1)
        self.assertEqual(answer.jid, "alice@localhost")
        self.assertIsNone(answer.element(ns.BIND2, "bound"))
        self.assertIn(f"<bind xmlns='{ns.BIND}'/>", answer.features)
        refused = self.client.ask(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
        self.assertIn("<resource-constraint", refused)


class EarlierSessionTests(Sasl2Case):
    """Section 4.2: a client that comes back ends its earlier session, not those of others."""

    def test_with_the_same_tag(self) -> None:
        self.enter("alice", bind(tag="App"))
        first = self.client
        self.enter("alice", bind(tag="App"))
        self.assertIn("<conflict", first.take())
        self.assertEqual(len(self.account("alice").sessions), 1)

    def test_with_another_tag(self) -> None:
        self.enter("alice", bind(tag="App 1"))
        first = self.client
        self.enter("alice", bind(tag="App 2"))
        self.assertIn("<conflict", first.take())

    def test_that_waited_for_resumption(self) -> None:
        self.enter("alice", bind(ENABLE, tag="App 1"))
        self.client.cut()
        self.assertEqual(len(self.account("alice").sessions), 1)
        self.enter("alice", bind(tag="App 2"))
        self.assertEqual(len(self.account("alice").sessions), 1)

    def test_others_stay(self) -> None:
        self.enter("bob", bind(tag="App"))
        self.enter("alice", bind(tag="App"))
        self.enter("alice", bind(tag="App"), agent=OTHER_AGENT)
        for _ in range(2):
            self.enter("alice", bind(tag="App"), agent="")
        self.assertEqual(len(self.account("alice").sessions), 4)
        self.assertEqual(len(self.account("bob").sessions), 1)


class CountingTests(Sasl2Case):
    """SM S16 and the rows of the counting rule that speak of SASL2."""

    def sent(self, client: Client) -> int:
        """How many stanzas the server thinks it has sent."""
        assert client.stream.session is not None
        return client.stream.session.outbox.queue.sent

    def test_enabled_stands_in_bound(self) -> None:
        answer = self.enter("alice", bind(ENABLE))
        enabled = answer.bound(ns.SM, "enabled")
        assert enabled is not None
        self.assertEqual((enabled["resume"], enabled["max"]), ("true", "600"))
        self.assertEqual(answer.rest, [])

    def test_attributes_of_enable(self) -> None:
        answer = self.enter("alice", bind(f"<enable xmlns='{ns.SM}' resume='1' max='60'/>"))
        self.assertEqual(attribute(answer.success.partition("<enabled")[2], "max"), "60")
        answer = self.enter("alice", bind(f"<enable xmlns='{ns.SM}'/>"))
        self.assertIn(f"<enabled xmlns='{ns.SM}'/>", answer.success)

    def test_second_enable_fails_inside_bound(self) -> None:
        answer = self.enter("alice", bind(ENABLE, ENABLE))
        self.assertIsNotNone(answer.bound(ns.SM, "enabled"))
        failed = answer.bound(ns.SM, "failed")
        assert failed is not None
        self.assertEqual([part.name for part in failed.elements()], ["unexpected-request"])

    def test_what_is_pipelined_counts(self) -> None:
        """Inbound from the receipt of ``<authenticate/>``."""
        client = self.opened()
        text = authenticate("PLAIN", plain("alice"), bind(ENABLE))
        answer = Answer(
            client.ask(
                f"{text}<presence/><message to='bob@localhost'><body>Hi</body></message><r xmlns='{ns.SM}'/>"
            )
        )
        self.assertEqual(answer.rest[-1], f"<a xmlns='{ns.SM}' h='2'/>")
        assert client.stream.session is not None
        assert client.stream.session.ledger is not None
        self.assertEqual(client.stream.session.ledger.received, 2)

    def test_what_follows_success_counts(self) -> None:
        """Outbound from ``<success/>``; neither it nor the features are stanzas."""
        self.enter("alice", bind(ENABLE))
        self.assertEqual(self.sent(self.client), 0)
        bob = self.login("bob/desk")
        self.tell(bob, "<message to='alice@localhost' type='chat'><body>Hi</body></message>")
        self.tell(bob, f"<message to='{self.jid()}' type='chat'><body>Ho</body></message>")
        stanzas = self.take(self.client)
        self.assertEqual(self.sent(self.client), len(stanzas))

    def jid(self) -> str:
        assert self.client.stream.session is not None
        return self.client.stream.session.jid.text


class DescriptionTests(Sasl2Case):
    """The archive is described as it is at the moment from which the session gets what arrives."""

    def setUp(self) -> None:
        super().setUp()
        self.bob = self.login("bob/desk")

    def held_back(self) -> Callable[[], None]:
        """Keep the archive from being described; the answer lets it be."""
        waiting: Deferred[None] = Deferred()
        host = self.world.server.hosts["localhost"]
        describe = host.told_when_bound

        async def wait(account: Account) -> bytes:
            await waiting
            return await describe(account)

        host.told_when_bound = wait  # type: ignore[method-assign]
        return lambda: waiting.callback(None)

    def begin(self, *inline: str) -> str:
        """Log in up to where the archive is to be described; the full JID."""
        self.client = self.opened()
        self.assertEqual(self.client.ask(authenticate("PLAIN", plain("alice"), bind(*inline))), "")
        (session,) = self.account("alice").sessions
        return session.jid.text

    def test_empty_archive(self) -> None:
        metadata = self.enter("alice", bind()).bound(ns.MAM, "metadata")
        assert metadata is not None
        self.assertEqual(list(metadata.elements()), [])

    def test_first_and_last_message(self) -> None:
        self.tell(self.bob, *(f"<message to='alice@localhost'><body>{n}</body></message>" for n in range(3)))
        metadata = self.enter("alice", bind()).bound(ns.MAM, "metadata")
        answer = self.client.ask(f"<iq type='set' id='1'><query xmlns='{ns.MAM}'/></iq>")
        ids = re.findall("<result [^>]*id='([^']*)'", answer)
        assert metadata is not None
        self.assertEqual(
            [(part.name, part["id"]) for part in metadata.elements()], [("start", ids[0]), ("end", ids[-1])]
        )

    def test_message_that_comes_meanwhile_comes_behind_and_counts(self) -> None:
        """It is in the archive that is described, and it is sent: nothing falls between the two."""
        go_on = self.held_back()
        jid = self.begin(ENABLE, CARBONS)
        self.tell(self.bob, f"<message to='{jid}' type='chat'><body>Hi</body></message>")
        self.client.send(f"<r xmlns='{ns.SM}'/>")
        self.assertEqual(self.client.take(), "")
        go_on()
        self.world.settle()
        answer = Answer(self.client.take())
        self.assertTrue(answer.text.startswith("<success"))
        self.assertEqual([part.split(" ")[0] for part in answer.rest], ["<message", "<a"])
        metadata = answer.bound(ns.MAM, "metadata")
        assert metadata is not None
        last = [part["id"] for part in metadata.elements()][-1]
        self.assertIn(f"id='{last}'", answer.rest[0])
        self.acknowledge(self.client, 1)
        self.assertFalse(self.client.closed)

    def test_message_that_comes_meanwhile_without_stream_management(self) -> None:
        go_on = self.held_back()
        jid = self.begin()
        self.tell(self.bob, f"<message to='{jid}' type='chat'><body>Hi</body></message>")
        go_on()
        self.world.settle()
        self.assertEqual(len(Answer(self.client.take()).rest), 1)

    def test_transport_that_pulls_the_reins_meanwhile(self) -> None:
        """What is held is not written because the transport has room again."""
        go_on = self.held_back()
        jid = self.begin()
        producer = self.client.transport.producer
        producer.pauseProducing()
        self.tell(self.bob, f"<message to='{jid}' type='chat'><body>Hi</body></message>")
        producer.resumeProducing()
        self.assertEqual(self.client.take(), "")
        go_on()
        self.world.settle()
        self.assertTrue(self.client.take().startswith("<success"))

    def test_question_that_was_pipelined_waits_for_what_stands_before_it(self) -> None:
        go_on = self.held_back()
        self.client = self.opened()
        request = authenticate("PLAIN", plain("alice"), bind(ENABLE))
        self.client.send(f"{request}<presence/><r xmlns='{ns.SM}'/>")
        self.world.settle()
        go_on()
        self.world.settle()
        self.assertTrue(self.client.take().endswith(f"<a xmlns='{ns.SM}' h='1'/>"))

    def test_what_waits_is_bounded(self) -> None:
        """limits.write_buffer_bytes"""
        self.start("limits.write_buffer_bytes=2048")
        for name in ("alice", "bob"):
            self.world.add_user(f"{name}@localhost")
        self.bob = self.login("bob/desk")
        self.held_back()
        jid = self.begin()
        self.client.transport.producer.resumeProducing()
        for _ in range(3):
            self.tell(self.bob, f"<message to='{jid}'><body>{'x' * 1000}</body></message>")
        self.assertTrue(self.client.transport.aborted)

    def test_connection_that_is_lost_meanwhile(self) -> None:
        """What came for the session waits for the next one."""
        go_on = self.held_back()
        jid = self.begin()
        self.tell(self.bob, f"<message to='{jid}' type='chat'><body>Hi</body></message>")
        self.client.cut()
        go_on()
        self.world.settle()
        self.assertEqual(self.account("alice").sessions, [])
        again = self.login("alice/old", presence=False)
        self.tell(again, "<presence/>")
        self.assertEqual(self.bodies(again), ["Hi"])

    def test_archive_that_cannot_be_described(self) -> None:
        """The session is there all the same."""

        async def fail(account: Account) -> bytes:
            raise OSError("no such disk")

        host = self.world.server.hosts["localhost"]
        host.told_when_bound = fail  # type: ignore[method-assign]
        answer = self.enter("alice", bind(ENABLE))
        self.assertIsNotNone(answer.bound(ns.SM, "enabled"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class OfflineTests(Sasl2Case):
    """Section 4.2: what waits is not sent, because the client fetches it; and nothing vanishes."""

    def setUp(self) -> None:
        super().setUp()
        self.bob = self.login("bob/desk")

    def message(self, body: str, payload: str = "", to: str = "alice@localhost") -> None:
        self.tell(self.bob, f"<message to='{to}' type='chat'><body>{body}</body>{payload}</message>")

    def test_what_the_archive_has_is_not_sent(self) -> None:
        self.message("1")
        self.message("2", "<no-permanent-store xmlns='urn:xmpp:hints'/>")
        self.message("3")
        self.enter("alice", bind())
        self.client.send("<presence/>")
        self.world.settle()
        self.assertEqual(self.bodies(self.client), ["2"])
        self.assertEqual(self.archived(self.client), ["1", "3"])

    def test_nobody_else_is_sent_it_afterwards(self) -> None:
        self.message("1")
        self.enter("alice", bind())
        self.client.ask("<presence/>")
        other = self.login("alice/other", presence=False)
        self.tell(other, "<presence/>")
        self.assertEqual(self.bodies(other), [])

    def test_it_waits_as_long_as_the_client_is_not_available(self) -> None:
        self.message("1")
        self.enter("alice", bind())
        other = self.login("alice/other", presence=False)
        self.tell(other, "<presence/>")
        self.assertEqual(self.bodies(other), ["1"])

    def test_what_another_session_still_owed_is_sent(self) -> None:
        """It is newer than the archive that the client has fetched."""
        self.message("0")
        self.enter("alice", bind())
        self.client.ask("<presence><priority>0</priority></presence>")
        other = self.login("alice/other", presence="5")
        self.enable(other)
        self.message("1")
        self.assertEqual(self.bodies(self.client), [])
        other.cut()
        self.world.advance(601)
        self.world.settle()
        self.assertEqual(self.bodies(self.client), ["1"])

    def test_domain_without_archive_sends_it(self) -> None:
        self.start('domains.localhost.without=["archive"]')
        for name in ("alice", "bob"):
            self.world.add_user(f"{name}@localhost")
        self.bob = self.login("bob/desk")
        self.message("1")
        answer = self.enter("alice", bind())
        self.assertIsNone(answer.bound(ns.MAM, "metadata"))
        self.client.send("<presence/>")
        self.world.settle()
        self.assertEqual(self.bodies(self.client), ["1"])


class PipelineTests(Sasl2Case):
    def test_whole_start_in_one_write(self) -> None:
        """From the header to the roster, with nothing waited for."""
        client = self.world.connect()
        roster = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"
        text = header() + authenticate("PLAIN", plain("alice"), bind(ENABLE)) + roster + "<presence/>"
        for cut in range(0, len(text), 97):
            client.stream.dataReceived(text[cut : cut + 97].encode())
        self.world.settle()
        came = client.take()
        order = [
            came.index(part) for part in ("<stream:stream", "<success", "<bound", "id='roster'", "<presence")
        ]
        self.assertEqual(order, sorted(order))
        self.assertEqual(came.count("<stream:features>"), 2)
