"""Last activity."""

from __future__ import annotations

from unittest import mock

from tests.modules.conversation import Conversation, User
from xmppd.storage import last_activity

LAST = "<query xmlns='jabber:iq:last'/>"
UNAVAILABLE = (
    "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


class LastTests(Conversation):
    """Juliet and Romeo see each other; Tybalt is a stranger."""

    def setUp(self) -> None:
        self.begin()
        self.befriend("juliet", "romeo")
        self.romeo = self.user("romeo/orchard")

    def ask(self, to: str, user: User | None = None) -> str:
        (answer,) = (user or self.romeo).ask(f"<iq type='get' to='{to}' id='1'>{LAST}</iq>")
        return answer

    def payload(self, to: str = "juliet@example.org") -> str:
        """What the answer has, without its envelope."""
        return self.ask(to).partition(">")[2].removesuffix("</iq>")

    def wait(self, seconds: float) -> None:
        self.server.advance(seconds)

    def test_the_server_has_been_up(self) -> None:
        self.wait(123.9)
        self.assertRegex(
            self.ask("example.org"),
            r"^<iq from='example\.org' to='romeo@example\.org/orchard' type='result' id='1'>"
            r"<query xmlns='jabber:iq:last' seconds='12[3-9]'></query></iq>$",
        )

    def test_a_user_who_is_there(self) -> None:
        self.user("juliet/balcony")
        self.wait(100)
        self.assertEqual(self.payload(), "<query xmlns='jabber:iq:last' seconds='0'></query>")

    def test_a_user_who_took_leave(self) -> None:
        juliet = self.user("juliet/balcony")
        juliet.send("<presence type='unavailable'><status>Heading &lt;home&gt;</status></presence>")
        self.wait(903)
        self.assertEqual(
            self.payload(), "<query xmlns='jabber:iq:last' seconds='903'>Heading &lt;home&gt;</query>"
        )

    def test_the_end_of_the_session_does_not_hide_what_was_said(self) -> None:
        juliet = self.user("juliet/balcony")
        juliet.send("<presence type='unavailable'><status>bye</status></presence>")
        self.wait(50)
        juliet.client.close()
        self.wait(50)
        self.assertEqual(self.payload(), "<query xmlns='jabber:iq:last' seconds='100'>bye</query>")

    def test_a_user_whose_connection_broke(self) -> None:
        juliet = self.user("juliet/balcony")
        juliet.client.cut()
        self.wait(60)
        self.assertEqual(self.payload(), "<query xmlns='jabber:iq:last' seconds='60'></query>")

    def test_the_last_resource_counts(self) -> None:
        balcony, street = self.user("juliet/balcony"), self.user("juliet/street")
        self.user("juliet/silent", presence=False)
        balcony.send("<presence type='unavailable'><status>bye</status></presence>")
        self.wait(10)
        self.assertIn("seconds='0'", self.payload())
        street.client.close()
        self.wait(20)
        self.assertEqual(self.payload(), "<query xmlns='jabber:iq:last' seconds='20'></query>")

    def test_it_is_kept(self) -> None:
        self.user("juliet/balcony").client.close()
        self.server.settle()
        database = self.server.config.server.database
        self.server.stop()
        self.begin(database)
        self.romeo = self.user("romeo/orchard")
        self.assertIn(" seconds='", self.payload())

    def test_a_user_who_never_came(self) -> None:
        self.assertIn("<error type='cancel'><item-not-found ", self.ask("juliet@example.org"))

    def test_the_own_account(self) -> None:
        juliet = self.user("juliet/balcony", presence=False)
        self.user("juliet/street").client.close()
        self.wait(30)
        (answer,) = juliet.ask(f"<iq type='get' id='1'>{LAST}</iq>")
        self.assertIn("seconds='30'", answer)

    def test_strangers_cannot_tell_which_accounts_exist(self) -> None:
        self.user("juliet/balcony").client.close()
        tybalt = self.user("tybalt/street")
        answers = {
            self.ask(f"{name}@example.org", tybalt).replace(name, "x") for name in ("juliet", "nobody")
        }
        self.assertEqual(len(answers), 1)
        self.assertIn(UNAVAILABLE, answers.pop())

    def test_directed_presence_is_no_leave(self) -> None:
        juliet = self.user("juliet/balcony")
        juliet.send("<presence to='romeo@example.org' type='unavailable'><status>bye</status></presence>")
        self.wait(10)
        juliet.client.close()
        self.wait(5)
        self.assertEqual(self.payload(), "<query xmlns='jabber:iq:last' seconds='5'></query>")

    def test_who_was_not_there_takes_no_leave(self) -> None:
        self.user("juliet/balcony").client.close()
        self.wait(10)
        self.user("juliet/bound", presence=False).send(
            "<presence type='unavailable'><status>x</status></presence>"
        )
        self.wait(5)
        self.assertEqual(self.payload(), "<query xmlns='jabber:iq:last' seconds='15'></query>")

    def test_a_long_status_is_cut(self) -> None:
        juliet = self.user("juliet/balcony")
        juliet.send(f"<presence type='unavailable'><status>{'x' * 5000}</status></presence>")
        self.assertIn(f">{'x' * 1000}</query>", self.payload())


class GuestTests(Conversation):
    settings = ('domains."example.org".anonymous=true',)

    def test_of_a_guest_nothing_is_kept(self) -> None:
        client = self.server.connect()
        client.open("example.org")
        client.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
        client.open("example.org")
        client.bind()
        client.ask("<presence/>")
        with mock.patch.object(self.server.database, "append") as append:
            client.close()
        self.assertNotIn(last_activity.SAVE, [call.args[0] for call in append.call_args_list])
