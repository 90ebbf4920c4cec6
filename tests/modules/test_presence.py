"""Presence (RFC 6121, sections 4 and 8.5), as clients and other servers see it."""

from unittest import mock

from tests.modules.conversation import Conversation, User
from tests.modules.fakes import stanza
from xmppd.core import subscriptions as s
from xmppd.core.counters import hits
from xmppd.core.events import SessionAvailable
from xmppd.core.jid import JID
from xmppd.modules.presence_stanzas import DIRECTED
from xmppd.modules.roster_keeper import RETRY, keeper_of
from xmppd.storage import marks
from xmppd.storage.errors import FaultError

#: Presence with something in it.
AWAY = "<show>away</show><status xml:lang='it'>Torno &lt;subito&gt;</status>"


def available(sender: str, to: str, content: str = "") -> str:
    """Presence of a local resource: ``available("romeo/orchard", "juliet")``."""
    attributes = f"from='{_address(sender)}' to='{_address(to)}'"
    return f"<presence {attributes}>{content}</presence>" if content else f"<presence {attributes}/>"


def unavailable(sender: str, to: str) -> str:
    """That a local resource is gone."""
    return f"<presence from='{_address(sender)}' to='{_address(to)}' type='unavailable'/>"


def _address(name: str) -> str:
    local, slash, resource = name.partition("/")
    return f"{local if '@' in local or '.' in local else local + '@example.org'}{slash}{resource}"


class BroadcastTests(Conversation):
    """Romeo has a contact of each kind here and elsewhere."""

    def setUp(self) -> None:
        super().setUp()
        states = {"none": s.NONE, "to": s.TO, "from": s.FROM, "both": s.BOTH, "asked": s.NONE_OUT}
        self.know(
            "romeo",
            *((f"{name}@example.org", state) for name, state in states.items()),
            *((f"{name}@capulet.lit", state) for name, state in states.items()),
            ("gone@example.org", s.BOTH),
            ("transport.capulet.lit", s.BOTH),
        )
        for name in ("to", "both"):
            self.know(name, ("romeo@example.org", s.BOTH if name == "both" else s.FROM))
        self.know("asked", ("romeo@example.org", s.NONE_IN))
        self.contacts = {name: self.user(f"{name}/there") for name in states}
        self.romeo = self.user("romeo/orchard", presence=False)

    def take_all(self) -> dict[str, list[str]]:
        """What the contacts here have seen."""
        return {name: contact.take() for name, contact in self.contacts.items()}

    def seen_by_subscribers(self, xml: str) -> dict[str, list[str]]:
        """That who is subscribed has seen this, addressed to the bare JID, and nobody else anything."""
        return {
            name: [xml.replace(" to=''", f" to='{name}@example.org'")] if name in ("from", "both") else []
            for name in self.contacts
        }

    def test_coming(self) -> None:
        seen = self.romeo.ask(f"<presence id='p'>{AWAY}</presence>")
        presence = f"<presence from='romeo@example.org/orchard' to='' id='p'>{AWAY}</presence>"
        self.assertEqual(self.take_all(), self.seen_by_subscribers(presence))
        self.assertEqual(
            seen,
            [
                # Its own, to the account; then what there is to see.
                presence.replace("to=''", "to='romeo@example.org'"),
                available("both/there", "romeo/orchard"),
                "<presence from='gone@example.org' to='romeo@example.org' type='unsubscribed' id='probe'/>",
                available("to/there", "romeo/orchard"),
            ],
        )
        probe = "<presence from='romeo@example.org' to='{}' type='probe' id='probe'/>"
        self.assertEqual(
            self.abroad(),
            [
                presence.replace("to=''", "to='both@capulet.lit'"),
                presence.replace("to=''", "to='from@capulet.lit'"),
                presence.replace("to=''", "to='transport.capulet.lit'"),
                probe.format("both@capulet.lit"),
                probe.format("to@capulet.lit"),
                probe.format("transport.capulet.lit"),
                # And what has not been answered yet is asked again.
                "<presence from='romeo@example.org' to='asked@capulet.lit' type='subscribe' id='again'/>",
            ],
        )

    def test_changing(self) -> None:
        self.romeo.send("<presence/>")
        self.take_all()
        self.abroad()
        seen = self.romeo.ask(f"<presence>{AWAY}</presence>")
        self.assertEqual(seen, [available("romeo/orchard", "romeo", AWAY)])
        changed = f"<presence from='romeo@example.org/orchard' to=''>{AWAY}</presence>"
        self.assertEqual(self.take_all(), self.seen_by_subscribers(changed))
        # Nobody is probed again.
        self.assertEqual(len(self.abroad()), 3)

    def test_going(self) -> None:
        self.romeo.send("<presence/>")
        self.take_all()
        self.abroad()
        seen = self.romeo.ask("<presence type='unavailable'><status>Addio</status></presence>")
        attributes = "from='romeo@example.org/orchard' to='' type='unavailable'"
        gone = f"<presence {attributes}><status>Addio</status></presence>"
        self.assertEqual(seen, [gone.replace("to=''", "to='romeo@example.org'")])
        self.assertEqual(self.take_all(), self.seen_by_subscribers(gone))
        self.assertEqual(len(self.abroad()), 3)
        # Who is not there cannot go.
        self.assertEqual(self.romeo.ask("<presence type='unavailable'/>"), [])
        self.assertEqual((self.abroad(), self.take_all()["both"]), ([], []))

    def test_coming_back_is_like_coming(self) -> None:
        self.romeo.send("<presence/>")
        self.romeo.send("<presence type='unavailable'/>")
        self.abroad()
        self.assertEqual(len(self.romeo.ask("<presence/>")), 3)
        self.assertEqual(len(self.abroad()), 7)

    def test_a_connection_that_is_cut(self) -> None:
        self.romeo.send("<presence/>")
        self.take_all()
        self.abroad()
        self.romeo.client.cut()
        gone = "<presence from='romeo@example.org/orchard' to='' type='unavailable'/>"
        self.assertEqual(self.take_all(), self.seen_by_subscribers(gone))
        self.assertEqual(len(self.abroad()), 3)

    def test_a_client_that_never_came_just_goes(self) -> None:
        self.romeo.client.close()
        self.assertEqual(self.abroad(), [])
        self.assertEqual(self.take_all(), {name: [] for name in self.contacts})

    def test_contacts_that_are_bound_only_see_nothing(self) -> None:
        both = self.user("both/bound", presence=False)
        self.romeo.send("<presence/>")
        self.assertEqual(both.take(), [])

    def test_all_resources_of_a_contact_see_the_same(self) -> None:
        second = self.user("both/second")
        self.take_all()
        self.romeo.send("<presence/>")
        expected = [available("romeo/orchard", "both")]
        self.assertEqual((second.take(), self.contacts["both"].take()), (expected, expected))

    def test_a_contact_that_is_made_later(self) -> None:
        self.romeo.send("<presence/>")
        self.know("gone", ("romeo@example.org", s.BOTH))
        gone = self.user("gone/back")
        self.romeo.send("<presence/>")
        self.assertEqual(gone.take(), [available("romeo/orchard", "gone")])

    def test_a_contact_that_is_removed(self) -> None:
        self.romeo.send("<presence/>")
        self.server.wait_for(self.server.server.accounts.remove(JID.parse("both@example.org")))
        self.server.settle()
        self.contacts.pop("both")
        self.take_all()
        self.romeo.send("<presence/>")
        self.assertEqual([name for name, seen in self.take_all().items() if seen], ["from"])

    def test_what_one_does_not_allow_is_not_seen(self) -> None:
        """The rosters of both sides disagree: that of the seen one counts, and the other is put right."""
        self.know("juliet", ("romeo@example.org", s.NONE))
        self.know("nurse", ("juliet@example.org", s.BOTH))
        self.user("juliet/balcony")
        nurse = self.user("nurse/kitchen", presence=False, roster=True)
        seen = nurse.ask("<presence/>")
        refusal = "from='juliet@example.org' to='nurse@example.org' type='unsubscribed' id='probe'"
        self.assertEqual(seen[1], f"<presence {refusal}/>")
        self.assertEqual(nurse.items(), "<item jid='juliet@example.org' subscription='from'/>")

    def test_a_contact_that_does_not_exist_is_put_right(self) -> None:
        self.romeo.send("<presence/>")
        self.assertIn("<item jid='gone@example.org' subscription='from'/>", self.romeo.items())


class OwnTests(Conversation):
    """Everyone sees their own presence."""

    def test_resources_see_each_other(self) -> None:
        orchard = self.user("romeo/orchard")
        street = self.user("romeo/street", presence=False)
        self.assertEqual(
            street.ask(f"<presence>{AWAY}</presence>"),
            [available("romeo/street", "romeo", AWAY), available("romeo/orchard", "romeo/street")],
        )
        self.assertEqual(orchard.take(), [available("romeo/street", "romeo", AWAY)])
        street.client.close()
        self.assertEqual(orchard.take(), [unavailable("romeo/street", "romeo")])

    def test_one_that_is_bound_only_sees_nothing(self) -> None:
        bound = self.user("romeo/bound", presence=False)
        self.user("romeo/orchard")
        self.assertEqual(bound.take(), [])


class PriorityTests(Conversation):
    def setUp(self) -> None:
        super().setUp()
        self.romeo = self.user("romeo/orchard", presence=False)
        (self.session,) = self.account("romeo").sessions
        self.events: list[tuple[int | None, int | None]] = []
        hooks = self.server.server.hosts["example.org"].hooks
        hooks.add(SessionAvailable, self.note)

    def note(self, event: SessionAvailable) -> None:
        self.events.append((event.previous, event.session.priority))

    def prioritise(self, text: str) -> list[str]:
        return self.romeo.ask(f"<presence><priority>{text}</priority></presence>")

    def test_others_hear_of_it(self) -> None:
        self.romeo.send("<presence/>")
        self.prioritise("5")
        self.prioritise("-1")
        self.romeo.send("<presence type='unavailable'/>")
        self.romeo.send("<presence type='unavailable'/>")
        self.prioritise("-128")
        self.assertEqual(self.events, [(None, 0), (0, 5), (5, -1), (None, -128)])

    def test_what_is_one(self) -> None:
        for text, value in (
            ("0", 0),
            ("127", 127),
            ("+5", 5),
            ("-128", -128),
            (" 7\n", 7),
            ("007", 7),
            ("&#49;", 1),
        ):
            self.assertEqual(len(self.prioritise(text)), 1)
            self.assertEqual(self.session.priority, value)

    def test_what_is_none(self) -> None:
        self.romeo.send("<presence><priority>3</priority></presence>")
        for text in ("", " ", "high", "128", "-129", "1.0", "1_0", "--1", "\u0661", "9" * 20, "<x/>"):
            (answer,) = self.prioritise(text)
            self.assertIn("<bad-request ", answer)
        (answer,) = self.prioritise("1</priority><priority>2")
        self.assertIn("<bad-request ", answer)
        self.assertEqual(self.session.priority, 3)

    def test_priorities_of_others_mean_nothing(self) -> None:
        self.prioritise("1")
        sent = "<presence><priority xmlns='other'>2</priority></presence>"
        self.assertEqual(self.romeo.ask(sent)[0].partition(">")[2], sent.partition(">")[2])
        self.assertEqual(self.session.priority, 0)

    def test_none_when_gone(self) -> None:
        self.prioritise("1")
        self.romeo.send("<presence type='unavailable'/>")
        self.assertIsNone(self.session.priority)
        self.assertFalse(self.session.available)


class TypeTests(Conversation):
    def test_unknown_ones(self) -> None:
        romeo = self.user("romeo/orchard")
        for to in ("", " to='juliet@capulet.lit'"):
            (answer,) = romeo.ask(f"<presence type='invisible' id='i'{to}/>")
            self.assertIn("id='i'", answer)
            self.assertIn("<bad-request ", answer)
        self.assertEqual(self.abroad(), [])

    def test_those_that_need_an_addressee(self) -> None:
        romeo = self.user("romeo/orchard")
        for kind in ("probe", "error"):
            self.assertEqual(romeo.ask(f"<presence type='{kind}'/>"), [])

    def test_probes_of_a_client_go_their_way(self) -> None:
        romeo = self.user("romeo/orchard")
        romeo.send("<presence to='juliet@capulet.lit' type='probe'/>")
        self.assertEqual(
            self.abroad(),
            ["<presence from='romeo@example.org/orchard' to='juliet@capulet.lit' type='probe'/>"],
        )

    def test_errors_of_a_client_go_their_way(self) -> None:
        romeo = self.user("romeo/orchard")
        romeo.send("<presence to='juliet@capulet.lit/b' type='error'/>")
        self.assertEqual(len(self.abroad()), 1)

    def test_an_address_that_is_none(self) -> None:
        (answer,) = self.user("romeo/orchard").ask("<presence to='@'/>")
        self.assertIn("<jid-malformed ", answer)


class DirectedTests(Conversation):
    """Section 4.6."""

    ROOM = "verona@chat.lit/Romeo"

    def setUp(self) -> None:
        super().setUp()
        self.know("romeo", ("friend@capulet.lit", s.FROM))
        self.romeo = self.user("romeo/orchard")
        self.abroad()

    def to(self, jid: str, kind: str = "") -> str:
        attributes = f" type='{kind}'" if kind else ""
        return f"<presence from='romeo@example.org/orchard' to='{jid}'{attributes}/>"

    def send(self, jid: str, kind: str = "") -> list[str]:
        attributes = f" type='{kind}'" if kind else ""
        self.romeo.send(f"<presence to='{jid}'{attributes}/>")
        return self.abroad()

    def test_it_goes_there_and_is_not_broadcast(self) -> None:
        self.assertEqual(self.send(self.ROOM), [self.to(self.ROOM)])
        self.romeo.send("<presence><show>away</show></presence>")
        self.assertEqual(len(self.abroad()), 1)
        self.assertEqual(self.romeo.take(), [available("romeo/orchard", "romeo", "<show>away</show>")])

    def test_whoever_got_it_hears_when_the_resource_is_gone(self) -> None:
        for end in (
            lambda: self.romeo.send("<presence type='unavailable'/>"),
            self.romeo.client.cut,
        ):
            self.romeo.send("<presence/>")
            self.abroad()
            self.send(self.ROOM)
            self.send(self.ROOM)
            self.send("stranger@capulet.lit")
            end()
            self.assertEqual(
                self.abroad(),
                [
                    self.to("friend@capulet.lit", "unavailable"),
                    self.to(self.ROOM, "unavailable"),
                    self.to("stranger@capulet.lit", "unavailable"),
                ],
            )

    def test_what_the_user_says_at_the_end_goes_there_too(self) -> None:
        self.send(self.ROOM)
        self.romeo.send("<presence type='unavailable'><status>Addio</status></presence>")
        self.assertIn("<status>Addio</status>", self.abroad()[-1])

    def test_it_is_over_once(self) -> None:
        self.send(self.ROOM)
        self.romeo.send("<presence type='unavailable'/>")
        self.abroad()
        self.romeo.client.cut()
        self.assertEqual(self.abroad(), [])

    def test_without_being_available(self) -> None:
        bound = self.user("romeo/bound", presence=False)
        bound.send(f"<presence to='{self.ROOM}'/>")
        bound.send("<presence to='friend@capulet.lit'/>")
        self.abroad()
        bound.send("<presence type='unavailable'/>")
        gone = "<presence from='romeo@example.org/bound' to='{}' type='unavailable'/>"
        self.assertEqual(self.abroad(), [gone.format(self.ROOM), gone.format("friend@capulet.lit")])

    def test_who_was_told_is_not_told_again(self) -> None:
        self.send(self.ROOM)
        self.assertEqual(self.send(self.ROOM, "unavailable"), [self.to(self.ROOM, "unavailable")])
        self.romeo.client.cut()
        self.assertEqual(self.abroad(), [self.to("friend@capulet.lit", "unavailable")])

    def test_a_room_that_the_user_is_no_longer_in_is_not_told(self) -> None:
        self.send(self.ROOM)
        self.send("verona@chat.lit/Other")
        self.from_abroad(
            f"<presence from='{self.ROOM}' to='romeo@example.org/orchard' type='unavailable'>"
            "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>"
        )
        self.romeo.client.cut()
        self.assertEqual(
            self.abroad(),
            [
                self.to("friend@capulet.lit", "unavailable"),
                self.to("verona@chat.lit/Other", "unavailable"),
            ],
        )

    def test_who_has_only_hidden_is_told(self) -> None:
        """They still see the user."""
        self.send("someone@capulet.lit/phone")
        self.from_abroad(
            "<presence from='someone@capulet.lit/phone' to='romeo@example.org' type='unavailable'/>"
        )
        self.romeo.client.cut()
        self.assertIn(self.to("someone@capulet.lit/phone", "unavailable"), self.abroad())

    def test_a_subscriber_is_told_once(self) -> None:
        self.send("friend@capulet.lit")
        self.send("friend@capulet.lit/phone")
        self.romeo.client.cut()
        self.assertEqual(self.abroad(), [self.to("friend@capulet.lit", "unavailable")])

    def test_who_becomes_a_subscriber_is_told_once(self) -> None:
        self.send("new@capulet.lit")
        self.romeo.send("<presence to='new@capulet.lit' type='subscribed'/>")
        self.from_abroad("<presence from='new@capulet.lit' to='romeo@example.org' type='subscribe'/>")
        self.abroad()
        self.romeo.client.cut()
        self.assertEqual(self.abroad().count(self.to("new@capulet.lit", "unavailable")), 1)

    def test_an_error_does_not_make_it_known(self) -> None:
        self.romeo.send(
            "<presence to='x@capulet.lit' type='error'/><presence to='x@capulet.lit' type='probe'/>"
        )
        (session,) = self.account("romeo").sessions
        self.assertIsNone(DIRECTED.get(session))

    def test_on_the_same_server(self) -> None:
        juliet = self.user("juliet/balcony")
        bound = self.user("juliet/bound", presence=False)
        self.send("juliet@example.org")
        self.send("juliet@example.org/bound")
        self.assertEqual(juliet.take(), [available("romeo/orchard", "juliet")])
        self.assertEqual(bound.take(), [available("romeo/orchard", "juliet/bound")])
        self.romeo.client.cut()
        self.assertEqual(juliet.take(), [unavailable("romeo/orchard", "juliet")])
        self.assertEqual(bound.take(), [unavailable("romeo/orchard", "juliet/bound")])


class DirectedLimitTests(Conversation):
    settings = ("modules.presence.directed=2",)

    def test_not_to_everybody(self) -> None:
        romeo = self.user("romeo/orchard")
        for name in "aba":
            self.assertEqual(romeo.ask(f"<presence to='{name}@capulet.lit'/>"), [])
        before = hits.of("presence.directed")
        (answer,) = romeo.ask("<presence to='c@capulet.lit'/>")
        self.assertIn("<policy-violation ", answer)
        self.assertIn("(presence.directed)", answer)
        self.assertEqual(hits.of("presence.directed"), before + 1)
        self.assertEqual(len(self.abroad()), 3)
        self.assertEqual(romeo.ask("<presence to='a@capulet.lit' type='unavailable'/>"), [])
        self.assertEqual(romeo.ask("<presence to='c@capulet.lit'/>"), [])


class ArrivingTests(Conversation):
    """Rows D3, D5, D7 and D8 of the delivery rules: RFC 6121, section 8.5."""

    def setUp(self) -> None:
        super().setUp()
        self.users = {
            "available": self.user("romeo/available"),
            "negative": self.user("romeo/negative"),
            "bound": self.user("romeo/bound", presence=False),
        }
        self.users["negative"].send("<presence><priority>-1</priority></presence>")
        self.take()

    def take(self) -> dict[str, list[str]]:
        return {name: user.take() for name, user in self.users.items()}

    def arrives(self, to: str, kind: str = "") -> list[str]:
        """The resources that get it."""
        attributes = f" type='{kind}'" if kind else ""
        xml = f"<presence from='juliet@capulet.lit/b' to='{to}'{attributes}/>"
        self.from_abroad(xml)
        seen = self.take()
        for stanzas in seen.values():
            self.assertIn(stanzas, ([], [xml]))
        return [name for name, stanzas in seen.items() if stanzas]

    def test_no_such_account(self) -> None:
        for kind in ("", "unavailable", "error"):
            for to in ("nobody@example.org", "nobody@example.org/x"):
                self.assertEqual(self.arrives(to, kind), [])
        self.assertEqual(self.abroad(), [])

    def test_bare(self) -> None:
        for kind in ("", "unavailable", "error"):
            self.assertEqual(self.arrives("romeo@example.org", kind), ["available", "negative"])

    def test_bare_with_nobody_there(self) -> None:
        self.account("tybalt")
        for kind in ("", "unavailable", "error"):
            self.assertEqual(self.arrives("tybalt@example.org", kind), [])
        self.user("tybalt/x", presence=False)
        self.assertEqual(self.arrives("tybalt@example.org"), [])
        self.assertEqual(self.abroad(), [])

    def test_full(self) -> None:
        for kind in ("", "unavailable", "error"):
            for name in self.users:
                self.assertEqual(self.arrives(f"romeo@example.org/{name}", kind), [name])

    def test_full_without_a_match(self) -> None:
        for kind in ("", "unavailable", "error"):
            self.assertEqual(self.arrives("romeo@example.org/elsewhere", kind), [])
        self.assertEqual(self.abroad(), [])

    def test_unknown_types_are_ignored(self) -> None:
        self.assertEqual(self.arrives("romeo@example.org", "invisible"), [])
        self.assertEqual(self.abroad(), [])

    def test_errors_of_what_the_server_sent_unasked_stay_with_it(self) -> None:
        self.from_abroad(
            "<presence from='juliet@capulet.lit' to='romeo@example.org' type='error' id='probe'/>"
        )
        self.assertEqual(self.take(), {name: [] for name in self.users})


class SlowStoreTests(Conversation):
    """The roster is still being read when presence comes."""

    def test_it_waits_in_order(self) -> None:
        self.befriend("romeo", "juliet")
        juliet = self.user("juliet/balcony")
        romeo = self.user("romeo/orchard", presence=False)
        self.forget("romeo")
        # Something is being written: what is read now waits for it.
        self.write_something()
        romeo.client.send(
            "<presence/><presence><show>away</show></presence><presence to='juliet@example.org'/>"
        )
        self.assertEqual((juliet.take(), romeo.take()), ([], []))
        self.server.settle()
        self.assertEqual(
            juliet.take(),
            [
                available("romeo/orchard", "juliet"),
                available("romeo/orchard", "juliet", "<show>away</show>"),
                available("romeo/orchard", "juliet"),
            ],
        )

    def test_a_session_that_ends_meanwhile(self) -> None:
        self.befriend("romeo", "juliet")
        juliet = self.user("juliet/balcony")
        romeo = self.user("romeo/orchard", presence=False)
        events: list[object] = []
        self.server.server.hosts["example.org"].hooks.add(SessionAvailable, events.append)
        self.forget("romeo")
        self.write_something()
        romeo.client.send("<presence/>")
        romeo.client.cut()
        self.server.settle()
        self.assertEqual((juliet.take(), events), ([], []))

    def test_what_follows_waits_too(self) -> None:
        """RFC 6120, 10.1: stanzas between two entities keep their order, whatever they are."""
        juliet = self.user("juliet/balcony")
        romeo = self.user("romeo/orchard", presence=False)
        for kind in ("", " type='subscribe'"):
            self.forget("romeo")
            self.write_something()
            juliet.take()
            romeo.client.send(
                f"<presence to='juliet@example.org/balcony'{kind}/>"
                "<message to='juliet@example.org/balcony' type='headline'/>"
            )
            self.server.settle()
            self.assertEqual([each.partition(" ")[0] for each in juliet.take()], ["<presence", "<message"])

    def test_presence_comes_behind_the_subscription(self) -> None:
        """Romeo's roster is being read when Juliet lets him see her."""
        self.know("romeo", ("juliet@capulet.lit", s.NONE_OUT))
        romeo = self.user("romeo/orchard", presence=False)
        self.forget("romeo")
        self.write_something()
        romeo.client.send("<presence/>")
        granted = (
            "<presence from='juliet@capulet.lit' to='romeo@example.org' type='subscribed'/>",
            "<presence from='juliet@capulet.lit/balcony' to='romeo@example.org'/>",
        )
        for xml in granted:
            self.arrive(stanza(xml))
        self.assertEqual(romeo.take(), [])
        self.server.settle()
        self.assertEqual(romeo.take(), [available("romeo/orchard", "romeo"), *granted])

    def test_presence_comes_also_if_the_roster_cannot_be_read(self) -> None:
        romeo = self.user("romeo/orchard")
        self.forget("romeo")
        with mock.patch.object(self.server.database, "read", side_effect=FaultError("gone")):
            keeper_of(self.server.server.hosts["example.org"]).wake(self.account("romeo"))
            self.from_abroad("<presence from='x@capulet.lit/y' to='romeo@example.org'/>")
            self.assertEqual(romeo.take(), [])
            self.server.advance(RETRY)
        self.assertEqual(romeo.take(), ["<presence from='x@capulet.lit/y' to='romeo@example.org'/>"])

    def write_something(self) -> None:
        self.server.database.append(marks.SAVE, marks.Mark(0, frozenset()).row(1))


class HibernationTests(Conversation):
    """A session that can be resumed is there until it expires."""

    def test_it_is_there(self) -> None:
        self.befriend("romeo", "juliet")
        juliet = self.user("juliet/balcony")
        romeo = self.user("romeo/orchard")
        juliet.take()
        romeo.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        romeo.client.cut()
        self.assertEqual(juliet.take(), [])
        nurse = self.user("juliet/nurse", presence=False)
        self.assertIn(available("romeo/orchard", "juliet/nurse"), nurse.ask("<presence/>"))
        self.server.advance(601)
        self.assertEqual(juliet.take()[-1], unavailable("romeo/orchard", "juliet"))


class ManyTests(Conversation):
    def test_all_contacts_of_a_large_roster(self) -> None:
        names = [f"c{number}" for number in range(20)]
        self.know("romeo", *((f"{name}@example.org", s.BOTH) for name in names))
        users: dict[str, User] = {}
        for name in names:
            self.know(name, ("romeo@example.org", s.BOTH))
            users[name] = self.user(f"{name}/x")
        romeo = self.user("romeo/orchard", presence=False)
        self.assertEqual(len(romeo.ask("<presence/>")), 21)
        for name, user in users.items():
            self.assertEqual(user.take(), [available("romeo/orchard", name)])
