"""Blocking: the list, whom it keeps away, and what they see."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from tests.modules.conversation import Conversation, User
from xmppd.config import load
from xmppd.core.counters import hits
from xmppd.core.events import (
    IqArriving,
    IqSending,
    MessageArriving,
    MessageSending,
    PresenceArriving,
    PresenceLeaving,
    PresenceSending,
)
from xmppd.core.jid import JID
from xmppd.core.subscriptions import BOTH, PENDING_OUT, TO
from xmppd.modules.blocking import matches
from xmppd.testing import InProcessServer

JULIET = "juliet@example.org"
ROMEO = "romeo@example.org"
REFUSED = (
    "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>You have blocked this address</text>"
    "<blocked xmlns='urn:xmpp:blocking:errors'/></error>"
)
UNAVAILABLE = (
    "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


def items(*jids: str) -> str:
    return "".join(f"<item jid='{jid}'/>" for jid in jids)


class BlockingCase(Conversation):
    """Juliet and Romeo see each other; Tybalt is there, too."""

    def setUp(self) -> None:
        self.begin()
        self.befriend("juliet", "romeo")
        self.juliet = self.user("juliet/balcony")
        self.romeo = self.user("romeo/orchard")
        self.tybalt = self.user("tybalt/street")
        self.forget()

    def forget(self) -> None:
        for user in (self.juliet, self.romeo, self.tybalt):
            user.take()
        self.abroad()

    def set(self, name: str, *jids: str, user: User | None = None) -> list[str]:
        """Block or unblock, as Juliet."""
        return (user or self.juliet).ask(
            f"<iq type='set' id='{name}1'><{name} xmlns='urn:xmpp:blocking'>{items(*jids)}</{name}></iq>"
        )

    def block(self, *jids: str) -> None:
        """Juliet blocks these, and what follows from it has passed."""
        self.assertIn(
            f"<iq from='{JULIET}' to='{JULIET}/balcony' type='result' id='block1'/>", self.set("block", *jids)
        )
        self.forget()

    def get(self, user: User | None = None) -> str:
        (answer,) = (user or self.juliet).ask(
            "<iq type='get' id='list1'><blocklist xmlns='urn:xmpp:blocking'/></iq>"
        )
        return answer.partition("<blocklist xmlns='urn:xmpp:blocking'>")[2].partition("</blocklist>")[0]


class ListTests(BlockingCase):
    """Sections 3.2 to 3.5."""

    def test_an_empty_list(self) -> None:
        self.assertEqual(
            self.juliet.ask("<iq type='get' id='1'><blocklist xmlns='urn:xmpp:blocking'/></iq>"),
            [
                f"<iq from='{JULIET}' to='{JULIET}/balcony' type='result' id='1'>"
                "<blocklist xmlns='urn:xmpp:blocking'></blocklist></iq>"
            ],
        )

    def test_block_and_unblock(self) -> None:
        self.block(ROMEO, "Example.NET")
        self.assertEqual(self.get(), items("example.net", ROMEO))
        self.set("unblock", "example.net", "nobody@example.com")
        self.assertEqual(self.get(), items(ROMEO))
        self.block(ROMEO, "a@example.com/b&amp;c")
        self.assertEqual(self.get(), items("a@example.com/b&amp;c", ROMEO))
        self.set("unblock")
        self.assertEqual(self.get(), "")

    def test_address_that_no_key_has_room_for(self) -> None:
        """PostgreSQL failed with a traceback, and a database of SQLite with it could not be moved there"""
        (answer,) = self.set("block", f"{'y' * 1000}@b.example/{'x' * 1020}")
        self.assertIn("<not-acceptable ", answer)

    def test_lists_survive_a_restart(self) -> None:
        self.block(ROMEO, "example.net")
        self.user("juliet/street")
        database = self.server.config.server.database
        self.server.stop()
        self.begin(database)
        self.juliet = self.user("juliet/balcony")
        self.assertEqual(self.get(), items("example.net", ROMEO))
        self.set("unblock")
        self.assertEqual(self.get(), "")

    def test_unblocking_survives_a_restart(self) -> None:
        for unblocked, left in ((("a@example.net", "x@example.net"), items("b@example.net")), ((), "")):
            self.block("a@example.net", "b@example.net")
            self.set("unblock", *unblocked)
            self.restart()
            self.juliet = self.user("juliet/balcony")
            self.romeo, self.tybalt = self.user("romeo/orchard"), self.user("tybalt/street")
            self.assertEqual(self.get(), left)

    def test_those_who_asked_for_the_list_are_told(self) -> None:
        street, silent = self.user("juliet/street"), self.user("juliet/silent")
        for user in (self.juliet, street):
            self.get(user)
        for user in (self.juliet, street, silent):
            user.take()
        for name, jids in (("block", (ROMEO, "example.net")), ("unblock", (ROMEO,)), ("unblock", ())):
            came = self.set(name, *jids) + street.take()
            pushes = [each for each in came if each.startswith("<iq ") and "type='set'" in each]
            for push, resource in zip(pushes, ("balcony", "street"), strict=True):
                self.assertTrue(
                    push.startswith(f"<iq from='{JULIET}' to='{JULIET}/{resource}' type='set' id='")
                )
                self.assertTrue(
                    push.endswith(f"<{name} xmlns='urn:xmpp:blocking'>{items(*jids)}</{name}></iq>")
                )
            self.assertNotIn("urn:xmpp:blocking", "".join(silent.take()))

    def test_bad_requests(self) -> None:
        for name, content, condition in (
            ("block", "", "bad-request"),
            ("block", "<item/>", "bad-request"),
            ("block", "<item xmlns='urn:example' jid='a@b'/>", "bad-request"),
            ("block", items("a@b") + items("@b"), "jid-malformed"),
            ("unblock", items("a@/b"), "jid-malformed"),
        ):
            (answer,) = self.juliet.ask(
                f"<iq type='set' id='1'><{name} xmlns='urn:xmpp:blocking'>{content}</{name}></iq>"
            )
            self.assertIn(f"<{condition} ", answer)
        self.assertEqual(self.get(), "")

    def test_lists_of_others(self) -> None:
        self.block(ROMEO)
        for name in ("juliet", "nobody"):
            for kind, content in (
                ("get", "<blocklist xmlns='urn:xmpp:blocking'/>"),
                ("set", "<unblock xmlns='urn:xmpp:blocking'/>"),
                ("set", f"<block xmlns='urn:xmpp:blocking'>{items('a@b')}</block>"),
            ):
                (answer,) = self.tybalt.ask(
                    f"<iq type='{kind}' to='{name}@example.org' id='1'>{content}</iq>"
                )
                self.assertIn(UNAVAILABLE, answer)
        self.assertEqual(self.get(), items(ROMEO))

    def test_features(self) -> None:
        (answer,) = self.juliet.ask(
            "<iq type='get' to='example.org' id='1'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        self.assertIn("<feature var='urn:xmpp:blocking'/>", answer)

    def test_a_removed_account_leaves_nothing(self) -> None:
        self.block(ROMEO)
        accounts = self.server.server.accounts
        self.server.wait_for(accounts.remove(JID.parse(JULIET)))
        self.server.wait_for(accounts.release(JID.parse(JULIET)))
        self.juliet = self.user("juliet/balcony")
        self.assertEqual(self.get(), "")


class LimitTests(Conversation):
    settings = ("modules.blocking.items=3",)

    def test_too_many(self) -> None:
        juliet = self.user("juliet/balcony")

        def block(*jids: str) -> str:
            (answer,) = juliet.ask(
                f"<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'>{items(*jids)}</block></iq>"
            )
            return answer

        self.assertIn("type='result'", block("a.example", "b.example", "c.example"))
        before = hits.of("blocking.items")
        refused = block("d.example")
        self.assertIn("<policy-violation ", refused)
        self.assertIn("(blocking.items)", refused)
        self.assertEqual(hits.of("blocking.items"), before + 1)
        self.assertIn("type='result'", block("a.example", "c.example"))


class GuestTests(Conversation):
    settings = ('domains."example.org".anonymous=true',)

    def test_a_guest_has_a_list_while_it_is_there(self) -> None:
        client = self.server.connect()
        client.open("example.org")
        client.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>=</auth>")
        client.open("example.org")
        client.bind("x")
        guest, tybalt = User(client), self.user("tybalt/street")
        block = f"<block xmlns='urn:xmpp:blocking'>{items('tybalt@example.org')}</block>"
        guest.ask(f"<iq type='set' id='1'>{block}</iq>")
        (answer,) = tybalt.ask(f"<message to='{client.jid}' type='chat'><body>a</body></message>")
        self.assertIn(UNAVAILABLE, answer)
        module = self.server.server.hosts["example.org"].modules["blocking"]
        self.assertEqual(len(module._lists), 1)  # type: ignore[attr-defined]
        client.close()
        self.server.settle()
        self.assertEqual(len(module._lists), 0)  # type: ignore[attr-defined]


class MessageTests(BlockingCase):
    """Messages in both directions."""

    def history(self, user: User) -> str:
        """All that the user's archive has."""
        return "".join(user.ask("<iq type='set' id='h'><query xmlns='urn:xmpp:mam:2'/></iq>"))

    def test_a_message_from_someone_blocked(self) -> None:
        """MAM A32: not stored either"""
        self.block(ROMEO)
        for to in (JULIET, f"{JULIET}/balcony", f"{JULIET}/gone"):
            self.assertEqual(
                self.romeo.ask(f"<message to='{to}' type='chat' id='1'><body>psst</body></message>"),
                [f"<message from='{to}' to='{ROMEO}/orchard' type='error' id='1'>{UNAVAILABLE}</message>"],
            )
        self.assertEqual(self.juliet.take(), [])
        self.assertNotIn("psst", self.history(self.juliet))

    def test_errors_and_headlines_from_someone_blocked(self) -> None:
        self.block(ROMEO)
        self.assertEqual(
            self.romeo.ask(f"<message to='{JULIET}/balcony' type='error' id='1'><body>psst</body></message>"),
            [],
        )
        self.assertEqual(self.juliet.take(), [])

    def test_a_message_to_someone_blocked(self) -> None:
        """MAM A32: not stored either, and not copied"""
        street = self.user("juliet/street")
        street.ask("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.block(ROMEO)
        self.assertEqual(
            self.juliet.ask(f"<message to='{ROMEO}' type='chat' id='1'><body>psst</body></message>"),
            [f"<message from='{ROMEO}' to='{JULIET}/balcony' type='error' id='1'>{REFUSED}</message>"],
        )
        self.assertEqual(self.romeo.take(), [])
        self.assertEqual(street.take(), [])
        self.assertNotIn("psst", self.history(self.juliet))

    def test_after_unblocking(self) -> None:
        self.block(ROMEO)
        self.set("unblock", ROMEO)
        self.forget()
        self.assertEqual(self.romeo.ask(f"<message to='{JULIET}' type='chat'><body>a</body></message>"), [])
        self.assertIn("<body>a</body>", "".join(self.juliet.take()))
        self.assertEqual(self.juliet.ask(f"<message to='{ROMEO}' type='chat'><body>b</body></message>"), [])
        self.assertIn("<body>b</body>", "".join(self.romeo.take()))

    def test_others_are_not_concerned(self) -> None:
        self.block(ROMEO)
        self.assertEqual(self.tybalt.ask(f"<message to='{JULIET}' type='chat'><body>a</body></message>"), [])
        self.assertEqual(len(self.juliet.take()), 1)
        self.assertEqual(
            self.romeo.ask(f"<message to='{self.tybalt.client.jid}' type='chat'><body>b</body></message>"), []
        )
        self.assertEqual(len(self.tybalt.take()), 1)

    def test_one_resource(self) -> None:
        self.block(f"{ROMEO}/orchard")
        garden = self.user("romeo/garden")
        self.juliet.take()
        self.assertEqual(
            len(self.romeo.ask(f"<message to='{JULIET}' type='chat'><body>a</body></message>")), 1
        )
        garden.take()
        self.assertEqual(garden.ask(f"<message to='{JULIET}' type='chat'><body>b</body></message>"), [])
        self.assertIn("<body>b</body>", "".join(self.juliet.take()))

    def test_a_whole_domain_without_oneself_and_the_server(self) -> None:
        self.block("example.org")
        street = self.user("juliet/street")
        self.forget()
        self.assertEqual(
            len(self.romeo.ask(f"<message to='{JULIET}' type='chat'><body>a</body></message>")), 1
        )
        self.assertEqual(self.juliet.take(), [])
        street.send(f"<message to='{JULIET}/balcony' type='chat'><body>b</body></message>")
        self.assertIn("<body>b</body>", "".join(self.juliet.take()))
        (answer,) = self.juliet.ask(
            "<iq type='get' to='example.org' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        self.assertIn("type='result'", answer)
        (answer,) = self.juliet.ask("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.assertIn("type='result'", answer)

    def test_from_another_server(self) -> None:
        self.block("example.net")
        self.from_abroad(
            f"<message from='a@example.net/b' to='{JULIET}' type='chat' id='1'><body>a</body></message>"
        )
        self.assertEqual(self.juliet.take(), [])
        self.assertEqual(
            self.juliet.ask("<message to='a@example.net' type='chat' id='1'><body>a</body></message>"),
            [f"<message from='a@example.net' to='{JULIET}/balcony' type='error' id='1'>{REFUSED}</message>"],
        )


class IqTests(BlockingCase):
    """Requests and answers in both directions."""

    PING = "<ping xmlns='urn:xmpp:ping'/>"

    def test_a_request_of_someone_blocked(self) -> None:
        self.block(ROMEO)
        for to in (JULIET, f"{JULIET}/balcony"):
            self.assertEqual(
                self.romeo.ask(f"<iq to='{to}' type='get' id='1'>{self.PING}</iq>"),
                [f"<iq from='{to}' to='{ROMEO}/orchard' type='error' id='1'>{UNAVAILABLE}</iq>"],
            )
        self.assertEqual(self.juliet.take(), [])

    def test_an_answer_of_someone_blocked(self) -> None:
        self.block(ROMEO)
        for kind in ("result", "error"):
            self.assertEqual(self.romeo.ask(f"<iq to='{JULIET}/balcony' type='{kind}' id='1'/>"), [])
        self.assertEqual(self.juliet.take(), [])

    def test_a_request_to_someone_blocked(self) -> None:
        self.block(ROMEO)
        self.assertEqual(
            self.juliet.ask(f"<iq to='{ROMEO}/orchard' type='get' id='1'>{self.PING}</iq>"),
            [f"<iq from='{ROMEO}/orchard' to='{JULIET}/balcony' type='error' id='1'>{REFUSED}</iq>"],
        )
        self.assertEqual(self.romeo.take(), [])

    def test_an_answer_to_someone_blocked(self) -> None:
        self.block(ROMEO)
        self.assertEqual(self.juliet.ask(f"<iq to='{ROMEO}/orchard' type='result' id='1'/>"), [])
        self.assertEqual(self.romeo.take(), [])


class PresenceTests(BlockingCase):
    """What the blocked see, and what is seen of them."""

    def test_gone_and_back(self) -> None:
        self.set("block", ROMEO)
        self.assertEqual(
            self.romeo.take(), [f"<presence from='{JULIET}/balcony' to='{ROMEO}' type='unavailable'/>"]
        )
        self.juliet.send("<presence><show>dnd</show></presence>")
        self.assertEqual(self.romeo.take(), [])
        self.juliet.take()
        answers = self.set("unblock", ROMEO)
        self.assertEqual(
            self.romeo.take(),
            [f"<presence from='{JULIET}/balcony' to='{ROMEO}'><show>dnd</show></presence>"],
        )
        self.assertIn(f"<presence from='{ROMEO}/orchard' to='{JULIET}'/>", answers)

    def test_each_resource_goes_and_comes_back(self) -> None:
        self.user("juliet/street")
        self.user("juliet/silent", presence=False)
        self.romeo.take()
        for name, kind in (("block", " type='unavailable'"), ("unblock", "")):
            self.set(name, ROMEO)
            self.assertEqual(
                self.romeo.take(),
                [
                    f"<presence from='{JULIET}/{resource}' to='{ROMEO}'{kind}/>"
                    for resource in ("balcony", "street")
                ],
            )

    def test_presence_of_someone_blocked(self) -> None:
        self.block(ROMEO)
        self.romeo.send("<presence><show>away</show></presence>")
        self.romeo.send(f"<presence to='{JULIET}/balcony'/>")
        self.assertEqual(self.juliet.take(), [])

    def test_who_comes_later_is_not_seen(self) -> None:
        self.block(ROMEO)
        self.user("romeo/garden")
        self.assertEqual(self.juliet.take(), [])
        street = self.user("juliet/street")
        self.assertNotIn("romeo", "".join(street.take()))
        self.assertNotIn("street", "".join(self.romeo.take()))

    def test_requests_for_subscription(self) -> None:
        self.block("tybalt@example.org")
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"):
            self.assertEqual(self.tybalt.ask(f"<presence to='{JULIET}' type='{kind}'/>"), [])
        self.assertEqual(self.juliet.take(), [])

    def test_a_probe_from_abroad_is_not_answered(self) -> None:
        self.know("nurse", ("romeo@example.net", 3))
        nurse = self.user("nurse/room")
        nurse.ask(
            "<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='example.net'/></block></iq>"
        )
        self.abroad()
        self.from_abroad("<presence from='romeo@example.net' to='nurse@example.org' type='probe'/>")
        self.assertEqual(self.abroad(), [])

    def test_presence_to_someone_blocked(self) -> None:
        self.block(ROMEO)
        for kind in ("", " type='unavailable'", " type='subscribe'", " type='unsubscribed'"):
            (answer,) = self.juliet.ask(f"<presence to='{ROMEO}' id='1'{kind}/>")
            self.assertEqual(
                answer,
                f"<presence from='{ROMEO}' to='{JULIET}/balcony' type='error' id='1'>{REFUSED}</presence>",
            )
        self.assertEqual(self.romeo.take(), [])

    def test_to_strangers_nothing_is_told(self) -> None:
        self.juliet.send("<presence to='someone@example.net/x'/>")
        self.abroad()
        for jid in ("tybalt@example.org", "tybalt@example.org/street"):
            self.set("block", jid)
            self.set("unblock", jid)
        self.assertEqual((self.tybalt.take(), self.abroad()), ([], []))

    def test_who_is_listed_twice_is_told_once(self) -> None:
        self.set("block", ROMEO, f"{ROMEO}/orchard")
        gone = f"<presence from='{JULIET}/balcony' to='{ROMEO}' type='unavailable'/>"
        self.assertEqual(self.romeo.take(), [gone])

    def test_contacts_of_a_domain_abroad(self) -> None:
        self.know(
            "nurse", ("a@example.net", 3), ("b@example.net", 2), ("c@example.net", 1), ("d@example.com", 3)
        )
        nurse = self.user("nurse/room")
        self.abroad()
        self.set("block", "example.net", user=nurse)
        self.assertEqual(
            sorted(self.abroad()),
            [
                f"<presence from='nurse@example.org/room' to='{name}@example.net' type='unavailable'/>"
                for name in ("a", "b")
            ],
        )
        self.set("unblock", user=nurse)
        back = self.abroad()
        self.assertEqual(
            sorted(each for each in back if "probe" not in each),
            [f"<presence from='nurse@example.org/room' to='{name}@example.net'/>" for name in ("a", "b")],
        )
        self.assertEqual(
            sorted(each.partition(" to='")[2].partition("'")[0] for each in back if "type='probe'" in each),
            ["a@example.net", "c@example.net"],
        )

    def test_what_the_server_sends_for_the_user(self) -> None:
        """Broadcasts, probes, requests that it repeats, and the end of subscriptions."""
        self.know("nurse", ("a@example.net", BOTH), ("c@example.net", TO), ("d@example.net", PENDING_OUT))
        nurse = self.user("nurse/room")
        self.set("block", "example.net", user=nurse)
        self.abroad()
        nurse.send("<presence><show>away</show></presence>")
        self.user("nurse/kitchen").client.close()
        nurse.set_item("<item jid='a@example.net' subscription='remove'/>")
        nurse.client.cut()
        self.assertEqual(self.abroad(), [])

    def test_what_stays_blocked_is_not_shown(self) -> None:
        self.block(ROMEO, "example.org")
        self.set("unblock", ROMEO)
        self.assertEqual(self.romeo.take(), [])
        self.set("unblock", "example.org")
        self.assertEqual(self.romeo.take(), [f"<presence from='{JULIET}/balcony' to='{ROMEO}'/>"])

    def test_one_resource_of_a_contact(self) -> None:
        garden = self.user("romeo/garden")
        self.set("block", f"{ROMEO}/garden")
        self.assertEqual(
            garden.take()[-1], f"<presence from='{JULIET}/balcony' to='{ROMEO}/garden' type='unavailable'/>"
        )
        self.romeo.take()
        self.juliet.send("<presence><show>dnd</show></presence>")
        self.assertEqual(len(self.romeo.take()), 1)

    def test_who_got_presence_by_itself(self) -> None:
        self.juliet.send("<presence to='tybalt@example.org/street'/>")
        self.tybalt.take()
        self.set("block", "tybalt@example.org")
        gone = f"<presence from='{JULIET}/balcony' to='tybalt@example.org/street' type='unavailable'/>"
        self.assertEqual(self.tybalt.take(), [gone])
        self.set("unblock")
        self.juliet.send("<presence type='unavailable'/>")
        self.assertEqual(self.tybalt.take(), [])


class OtherDomainTests(TestCase):
    """Both domains are served by one process."""

    def test_presence_to_someone_blocked(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        file = folder / "xmppd.toml"
        file.write_text(f"[server]\ndata = '{folder}'\n[domains.verona]\n[domains.mantua]\n")
        server = InProcessServer(config=load(file))
        self.addCleanup(server.stop)
        server.add_user("juliet@verona")
        server.add_user("romeo@mantua")
        juliet, romeo = User(server.login("juliet@verona/balcony")), User(server.login("romeo@mantua/street"))
        romeo.send("<presence to='juliet@verona' type='subscribe'/>")
        juliet.send("<presence to='romeo@mantua' type='subscribed'/>")
        self.assertIn("<presence from='juliet@verona/balcony' to='romeo@mantua'/>", romeo.take())
        juliet.send("<presence><show>dnd</show></presence>")
        self.assertEqual(len(romeo.take()), 1)
        juliet.send(
            f"<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'>{items('romeo@mantua')}</block></iq>"
        )
        gone = "<presence from='juliet@verona/balcony' to='romeo@mantua' type='unavailable'/>"
        self.assertEqual(romeo.take(), [gone])
        juliet.send("<presence><show>away</show></presence>")
        self.assertEqual(romeo.take(), [])


class ChainTests(Conversation):
    def test_blocking_comes_first(self) -> None:
        """Before the archive, delivery and copies."""
        hooks = self.server.server.hosts["example.org"].hooks
        for event in (
            MessageSending,
            MessageArriving,
            PresenceSending,
            PresenceArriving,
            PresenceLeaving,
            IqSending,
            IqArriving,
        ):
            self.assertTrue(hooks.describe(event)[0].startswith("BLOCK Blocking."), event)


class MatchingTests(TestCase):
    """Section 5."""

    def test_what_means_whom(self) -> None:
        full, other, bare = "a@example.net/x", "a@example.net/y", "a@example.net"
        domain, service, neighbour = "example.net", "example.net/x", "b@example.net/x"
        everyone = (full, other, bare, domain, service, neighbour, "a@sub.example.net/x")
        for listed, meant in (
            (full, {full}),
            (bare, {full, other, bare}),
            (service, {service, full, neighbour}),
            (domain, {full, other, bare, domain, service, neighbour}),
        ):
            found = {jid for jid in everyone if matches({listed}, JID.parse(jid))}
            self.assertEqual(found, meant, listed)

    @given(
        st.sets(st.sampled_from(["a@b/c", "a@b", "b/c", "b", "a@b/d"])),
        st.sampled_from(["a@b/c", "a@b", "b/c", "b"]),
    )
    def test_a_list_means_whom_its_items_mean(self, listed: set[str], jid: str) -> None:
        parsed = JID.parse(jid)
        self.assertEqual(matches(listed, parsed), any(matches({item}, parsed) for item in listed))
