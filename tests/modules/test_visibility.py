"""What others may know of an account's resources (RFC 6121, sections 4.3.2, 4.6.6 and 8.5.3)."""

from typing import Any, cast

from tests.modules.conversation import Conversation
from tests.modules.fakes import stanza
from xmppd.core import subscriptions as s
from xmppd.core.jid import JID
from xmppd.core.visibility import may_see_presence
from xmppd.storage import marks
from xmppd.testing import BEGINNING
from xmppd.xml.delay import stamp


class ProbeTests(Conversation):
    def setUp(self) -> None:
        super().setUp()
        states = {state: f"c{state}@capulet.lit" for state in s.STATES}
        self.subscribers = [jid for state, jid in states.items() if state & s.FROM]
        self.others = [jid for state, jid in states.items() if not state & s.FROM]
        self.know("romeo", *((jid, state) for state, jid in states.items()))

    def probe(self, sender: str, to: str, number: str = "p1") -> list[str]:
        """What answers a probe."""
        self.abroad()
        self.from_abroad(f"<presence from='{sender}' to='{to}' id='{number}' type='probe'/>")
        return self.abroad()

    def come(self) -> None:
        """Two resources of Romeo's are available, one is bound."""
        self.user("romeo/orchard", presence=False).send("<presence id='o'><show>away</show></presence>")
        self.user("romeo/street", presence=False).send("<presence/>")
        self.user("romeo/bound", presence=False)

    def test_a_subscriber_sees_all_resources(self) -> None:
        self.come()
        for viewer in self.subscribers:
            for sender in (viewer, f"{viewer}/balcony"):
                self.assertEqual(
                    self.probe(sender, "romeo@example.org"),
                    [
                        # The id of the presence stays (section 4.3.2.1).
                        f"<presence from='romeo@example.org/orchard' to='{sender}' id='o'>"
                        "<show>away</show></presence>",
                        f"<presence from='romeo@example.org/street' to='{sender}'/>",
                    ],
                )

    def test_a_subscriber_hears_that_nobody_is_there(self) -> None:
        gone = "<presence from='romeo@example.org' to='{}' type='unavailable' id='p1'/>"
        for viewer in self.subscribers:
            self.assertEqual(self.probe(viewer, "romeo@example.org"), [gone.format(viewer)])
        self.user("romeo/bound", presence=False)
        self.assertEqual(self.probe(viewer, "romeo@example.org"), [gone.format(viewer)])

    def test_and_since_when(self) -> None:
        self.user("romeo/orchard").client.close()
        self.server.advance(60)
        (answer,) = self.probe("c3@capulet.lit", "romeo@example.org")
        addresses = "from='romeo@example.org' to='c3@capulet.lit'"
        since = stamp(int(BEGINNING) * 1_000_000)
        self.assertEqual(
            answer,
            f"<presence {addresses} type='unavailable' id='p1'>"
            f"<delay xmlns='urn:xmpp:delay' stamp='{since}'/></presence>",
        )

    def test_who_comes_meanwhile_is_not_gone(self) -> None:
        """The answer waits for the disk, and must not come behind the presence of who has come."""
        romeo = self.user("romeo/orchard", presence=False)
        for deed, answer in (
            ("<presence/>", "<presence from='romeo@example.org/orchard' to='c2@capulet.lit'/>"),
            (
                "<presence type='unavailable'/><presence to='c2@capulet.lit' type='unsubscribed'/>",
                "<presence from='romeo@example.org' to='c2@capulet.lit' type='unsubscribed'/>",
            ),
        ):
            self.abroad()
            self.server.database.append(marks.SAVE, marks.Mark(0, frozenset()).row(1))
            self.arrive(
                stanza("<presence from='c2@capulet.lit' to='romeo@example.org' type='probe' id='p1'/>")
            )
            romeo.send(deed)
            seen = [each for each in self.abroad() if " to='c2@capulet.lit'" in each]
            self.assertEqual(seen[-1], answer)
            self.assertNotIn("id='p1'", "".join(seen))

    def test_others_cannot_tell_whether_there_is_such_an_account(self) -> None:
        for there in (False, True):
            if there:
                self.come()
            for viewer in (*self.others, "stranger@capulet.lit"):
                for to in ("{}@example.org", "{}@example.org/orchard", "{}@example.org/bound"):
                    answers = [self.probe(f"{viewer}/x", to.format(name)) for name in ("romeo", "nobody")]
                    refusal = (
                        f"<presence from='romeo@example.org' to='{viewer}' type='unsubscribed' id='p1'/>"
                    )
                    self.assertEqual(answers, [[refusal], [refusal.replace("romeo", "nobody")]])

    def test_a_refusal_leaves_an_approval_alone(self) -> None:
        romeo = self.user("romeo/orchard", roster=True)
        self.probe(f"c{s.NONE_APPROVED}@capulet.lit", "romeo@example.org")
        self.assertEqual(romeo.take(), [])
        self.assertEqual(romeo.items().count("approved='true'"), 3)

    def test_of_one_resource_only_that_it_is_there(self) -> None:
        self.come()
        viewer = self.subscribers[0]
        there = f"<presence from='romeo@example.org/orchard' to='{viewer}'/>"
        self.assertEqual(self.probe(viewer, "romeo@example.org/orchard"), [there])
        for resource in ("bound", "elsewhere"):
            to = f"romeo@example.org/{resource}"
            gone = f"<presence from='{to}' to='{viewer}' type='unavailable' id='p1'/>"
            self.assertEqual(self.probe(viewer, to), [gone])

    def test_who_got_presence_may_ask_about_that_resource(self) -> None:
        self.come()
        bound = self.user("romeo/directing", presence=False)
        bound.send("<presence to='verona@chat.lit/Romeo'><show>xa</show></presence>")
        for sender in ("verona@chat.lit/Romeo", "verona@chat.lit"):
            self.assertEqual(
                self.probe(sender, "romeo@example.org/directing"),
                [f"<presence from='romeo@example.org/directing' to='{sender}'/>"],
            )
            for to in ("romeo@example.org", "romeo@example.org/orchard"):
                self.assertIn("type='unsubscribed'", self.probe(sender, to)[0])
        self.assertIn("type='unsubscribed'", self.probe("chat.lit", "romeo@example.org/directing")[0])
        bound.send("<presence to='verona@chat.lit/Romeo' type='unavailable'/>")
        self.assertIn("'unsubscribed'", self.probe("verona@chat.lit", "romeo@example.org/directing")[0])

    def test_without_id(self) -> None:
        self.from_abroad("<presence from='x@capulet.lit' to='romeo@example.org' type='probe'/>")
        self.assertEqual(
            self.abroad(), ["<presence from='romeo@example.org' to='x@capulet.lit' type='unsubscribed'/>"]
        )

    def test_of_oneself(self) -> None:
        self.come()
        other = self.user("romeo/other")
        other.send("<presence type='unavailable'/>")
        seen = other.ask("<presence to='romeo@example.org' type='probe'/>")
        self.assertEqual(
            [each.partition("'")[2].partition("'")[0] for each in seen],
            ["romeo@example.org/orchard", "romeo@example.org/street"],
        )

    def test_the_rule_that_others_ask(self) -> None:
        host = self.server.server.hosts["example.org"]

        def may_see(of: str, viewer: str) -> bool:
            seeing = may_see_presence(cast(Any, host), JID.parse(of), JID.parse(viewer))
            return self.server.wait_for(seeing)

        for come in (False, True):
            for viewer in (*self.subscribers, "romeo@example.org"):
                self.assertTrue(may_see("romeo@example.org", f"{viewer}/x"), viewer)
                self.assertEqual(may_see("nobody@example.org", f"{viewer}/x"), False)
            for viewer in (*self.others, "stranger@capulet.lit", "capulet.lit"):
                self.assertFalse(may_see("romeo@example.org", viewer), viewer)
            if not come:
                self.come()


class RevokedTests(Conversation):
    """Who was a contact."""

    def test_presence_that_was_directed_to_them(self) -> None:
        """It was in force until the session ended: they could ask for more"""
        romeo, juliet = self.user("romeo/orchard"), self.user("juliet/balcony")
        romeo.send("<presence to='juliet@example.org'/>")
        juliet.send("<presence type='subscribe' to='romeo@example.org'/>")
        for kind in ("subscribed", "unsubscribed"):
            romeo.send(f"<presence type='{kind}' to='juliet@example.org'/>")
        juliet.take()
        romeo.take()
        juliet.send("<presence type='probe' to='romeo@example.org/orchard'/>")
        juliet.send(
            "<iq type='get' id='v' to='romeo@example.org/orchard'><query xmlns='jabber:iq:version'/></iq>"
        )
        self.assertNotIn("<presence from='romeo@example.org/orchard' to='juliet", "".join(juliet.take()))
        self.assertEqual(romeo.take(), [])


class RequestTests(Conversation):
    """A request to a resource is for those who see it (section 8.5.3.1)."""

    def setUp(self) -> None:
        super().setUp()
        self.know("romeo", ("friend@capulet.lit", s.FROM), ("seen@capulet.lit", s.TO))
        self.romeo = self.user("romeo/orchard")

    def asks(self, sender: str, kind: str = "get") -> bool:
        """Whether such a request gets through; if not it is answered as if nobody were there."""
        self.abroad()
        content = "" if kind in ("result", "error") else "<ping xmlns='urn:xmpp:ping'/>"
        request = f"<iq from='{sender}' to='romeo@example.org/{{}}' type='{kind}' id='1'>{content}</iq>"
        self.from_abroad(request.format("orchard"))
        got = bool(self.romeo.take())
        answers = self.abroad()
        self.from_abroad(request.format("nowhere"))
        refusal = [each.replace("/nowhere", "/orchard") for each in self.abroad()]
        if kind in ("get", "set"):
            self.assertIn("<service-unavailable ", refusal[0])
        self.assertEqual(answers, [] if got else refusal)
        return got

    def test_subscribers(self) -> None:
        self.assertTrue(self.asks("friend@capulet.lit/x"))
        self.assertTrue(self.asks("friend@capulet.lit/x", "set"))

    def test_strangers(self) -> None:
        for sender in ("seen@capulet.lit/x", "stranger@capulet.lit/x", "capulet.lit"):
            self.assertFalse(self.asks(sender))
            self.assertFalse(self.asks(sender, "set"))

    def test_answers_always_get_through(self) -> None:
        for kind in ("result", "error"):
            self.assertTrue(self.asks("stranger@capulet.lit/x", kind))

    def test_who_got_presence(self) -> None:
        self.romeo.send("<presence to='verona@chat.lit/Romeo'/>")
        for nick in ("Romeo", "Mercutio"):
            self.assertTrue(self.asks(f"verona@chat.lit/{nick}"))
        self.assertFalse(self.asks("mantua@chat.lit/Romeo"))

    def test_oneself_and_the_own_server(self) -> None:
        street = self.user("romeo/street")
        ping = "<ping xmlns='urn:xmpp:ping'/>"
        street.send(f"<iq to='romeo@example.org/orchard' type='get' id='1'>{ping}</iq>")
        self.assertIn(ping, self.romeo.take()[-1])
        self.from_abroad(
            f"<iq from='example.org' to='romeo@example.org/orchard' type='get' id='2'>{ping}</iq>"
        )
        self.assertEqual(len(self.romeo.take()), 1)

    def test_a_request_to_the_account_is_another_matter(self) -> None:
        self.abroad()
        self.from_abroad(
            "<iq from='stranger@capulet.lit/x' to='romeo@example.org' type='get' id='1'>"
            "<nothing xmlns='of:the:kind'/></iq>"
        )
        self.assertIn("<service-unavailable ", self.abroad()[0])
