"""Client state (XEP-0352): what is held while the user does not look, and when it is let go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.dialogues.case import ServerCase, attribute, split
from tests.modules.fakes import stanza
from xmppd.core import ns
from xmppd.core.counters import hits
from xmppd.core.stanza import Stanza
from xmppd.stream.csi import HELD_BYTES, INACTIVE, activate, deactivate
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import ASK_AFTER
from xmppd.testing import Client

ACTIVE = "<active xmlns='urn:xmpp:csi:0'/>"
INACTIVE_NONZA = "<inactive xmlns='urn:xmpp:csi:0'/>"
RECEIVED = "<received xmlns='urn:xmpp:receipts' id='1'/>"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
PING = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
SM = "urn:xmpp:sm:3"


def presence(number: int, who: str) -> Stanza:
    return stanza(f"<presence from='{who}@example.net/x' id='{number}'/>")


def message(number: int, payload: str) -> Stanza:
    return stanza(f"<message type='chat' from='a@example.net/x' id='{number}'>{payload}</message>")


#: Something that is sent to the session, by a letter.
MAKE: dict[str, Any] = {
    "a": lambda number: presence(number, "a"),
    "b": lambda number: presence(number, "b"),
    "receipt": lambda number: message(number, RECEIVED),
    "state": lambda number: message(number, COMPOSING),
    "body": lambda number: message(number, "<body>Hi</body>"),
}


class Fake:
    """A session whose outbox is a list."""

    def __init__(self, limit: int = 1000) -> None:
        self.sent: list[tuple[int, int | None]] = []
        self.confirmed: list[int] = []
        self.confirm = self.confirmed.extend
        self.session = cast(ClientSession, SimpleNamespace(outbox=self, smacks=None, slots={}, inactive=None))
        deactivate(self.session, limit)

    def send(self, one: Stanza, row: int | None) -> None:
        self.sent.append((int(one.id or 0), row))

    def give(self, one: Stanza, row: int | None = None) -> None:
        """As `ClientSession.send` does."""
        if self.session.inactive is not None:
            self.session.inactive.send(one, row)
        else:
            self.send(one, row)


class HoldingTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from(["a", "b", "receipt", "state", "body", "active"])), st.integers(1, 5))
    def test_nothing_is_lost_or_moved_that_matters(self, what: list[str], limit: int) -> None:
        """Against the same stanzas sent to a client that always looks."""
        fake = Fake(limit)
        given_: list[tuple[int, str]] = []
        for number, name in enumerate(what):
            if name == "active":
                activate(fake.session)
                deactivate(fake.session, limit)
                continue
            fake.give(MAKE[name](number))
            given_.append((number, name))
            assert fake.session.inactive is not None
            self.assertLessEqual(len(fake.session.inactive), limit)
            if name == "body":
                self.assertEqual(fake.sent[-1], (number, None))
        activate(fake.session)
        sent = [number for number, _ in fake.sent]
        names = dict(given_)
        self.assertEqual(sorted(set(sent)), sent)
        for name in ("receipt", "body"):
            expected = [number for number, other in given_ if other == name]
            self.assertEqual([number for number in sent if names[number] == name], expected)
        for name in ("a", "b"):
            newest = [number for number, other in given_ if other == name][-1:]
            self.assertEqual([number for number in sent if names[number] == name][-1:], newest)
        self.assertNotIn("state", [names[number] for number in sent])

    def test_what_the_archive_waits_for_is_never_dropped(self) -> None:
        fake = Fake()
        fake.give(MAKE["state"](1), 77)
        activate(fake.session)
        self.assertEqual(fake.sent, [(1, 77)])

    def test_bytes_are_bounded(self) -> None:
        fake = Fake()
        large = f"<event xmlns='e'>{'x' * (HELD_BYTES // 4)}</event>"
        for number in range(4):
            fake.give(message(number, large))
        self.assertEqual(len(fake.sent), 4)

    def test_bytes_of_replaced_presence_do_not_count(self) -> None:
        fake = Fake()
        for number in range(100):
            fake.give(
                stanza(f"<presence from='a@b/c' id='{number}'><status>{'x' * 9999}</status></presence>")
            )
        self.assertEqual(fake.sent, [])

    def test_what_is_erased_while_it_is_held_is_never_sent(self) -> None:
        """Found by the model: it was let go first, to be wiped in the queue, and went out in that turn."""
        fake = Fake()
        fake.give(MAKE["receipt"](1), 77)
        fake.give(MAKE["receipt"](2), 78)
        own = f"<stanza-id xmlns='urn:xmpp:sid:0' id='{'ab' * 16}' by='me'/>"
        fake.give(message(3, f"<x>{RECEIVED}{own}</x>"))
        assert fake.session.inactive is not None
        fake.session.inactive.forget({77}, {b"ab" * 16})
        self.assertEqual((fake.sent, fake.confirmed), ([], [77]))
        activate(fake.session)
        self.assertEqual(fake.sent, [(2, 78)])

    def test_saying_it_twice_is_no_error(self) -> None:
        fake = Fake()
        fake.give(MAKE["a"](1))
        deactivate(fake.session, 1000)
        self.assertEqual(fake.sent, [])
        activate(fake.session)
        activate(fake.session)
        self.assertEqual(fake.sent, [(1, None)])
        self.assertFalse(INACTIVE.get(fake.session))


class ClientStateCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/phone")
        self.bob = self.login("bob/desk")

    def ids(self, client: Client) -> list[str]:
        """The ids of the stanzas that came, in order."""
        return [attribute(one, "id") for one in split(client.take()) if " id='" in one]

    def from_bob(self, *stanzas: str) -> None:
        """Bob sends to Alice's phone: ``kind:id:payload``."""
        for text in stanzas:
            kind, number, payload = text.split(":", 2)
            self.tell(self.bob, f"<{kind} to='alice@localhost/phone' id='{number}'>{payload}</{kind}>")


class DialogueTests(ClientStateCase):
    def test_offered_after_authentication_only(self) -> None:
        client = self.world.connect()
        self.assertNotIn("<csi ", client.open())
        client.ask(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>")
        self.assertIn("<csi xmlns='urn:xmpp:csi:0'/>", client.open())

    def test_without_a_resource_there_is_no_state(self) -> None:
        client = self.world.connect()
        client.authenticate("alice@localhost", "secret")
        self.assertIn("<policy-violation", client.ask(INACTIVE_NONZA))

    def test_newest_presence_of_each_is_sent_when_the_user_looks_again(self) -> None:
        other = self.login("bob/phone")
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:", "presence:2:<show>away</show>")
        self.tell(other, "<presence to='alice@localhost/phone' id='3'/>")
        self.from_bob("presence:4:<show>xa</show>")
        self.assertEqual(self.alice.take(), "")
        self.tell(self.alice, ACTIVE)
        self.assertEqual(self.ids(self.alice), ["3", "4"])
        self.from_bob("presence:5:")
        self.assertEqual(self.ids(self.alice), ["5"])

    def test_chat_states_are_dropped(self) -> None:
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob(f"message:1:{COMPOSING}")
        self.tell(self.alice, ACTIVE)
        self.assertEqual(self.alice.take(), "")

    def test_what_matters_comes_at_once_behind_what_was_held(self) -> None:
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:", f"message:2:{RECEIVED}")
        self.assertEqual(self.alice.take(), "")
        self.from_bob("message:3:<body>Hi</body>")
        self.assertEqual(self.ids(self.alice), ["1", "2", "3"])
        self.from_bob("presence:4:")
        self.assertEqual(self.alice.take(), "")

    def test_answers_come_at_once(self) -> None:
        """XEP-0352 section 5.1: the state changes before the next request is handled."""
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:")
        self.alice.send(ACTIVE + PING)
        self.world.settle()
        self.assertEqual(self.ids(self.alice), ["1", "ping"])
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:2:")
        self.alice.send(PING)
        self.world.settle()
        self.assertEqual(self.ids(self.alice), ["2", "ping"])

    def test_roster_pushes_come_at_once(self) -> None:
        self.alice.ask("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
        self.tell(self.alice, INACTIVE_NONZA)
        answer = self.alice.ask(
            "<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>"
        )
        self.assertEqual(answer.count("<query xmlns='jabber:iq:roster'"), 1)

    def test_nobody_else_learns_it(self) -> None:
        """XEP-0352 section 6."""
        self.bob.take()
        self.tell(self.alice, INACTIVE_NONZA, ACTIVE)
        self.assertEqual(self.bob.take(), "")

    def test_held_messages_that_wait_for_delivery_go_to_another_session(self) -> None:
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob(f"message:1:{RECEIVED}")
        self.alice.close()
        tablet = self.login("alice/tablet", presence=False)
        self.tell(tablet, "<presence/>")
        self.assertIn("urn:xmpp:receipts", tablet.take())


class LimitTests(ClientStateCase):
    settings = ("limits.csi_queue=3",)

    def test_queue_is_let_go_when_it_is_full(self) -> None:
        """limits.csi_queue"""
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob(*(f"message:{number}:{RECEIVED}" for number in range(3)))
        self.assertEqual(self.alice.take(), "")
        before = hits.of("csi_queue")
        self.from_bob(f"message:3:{RECEIVED}")
        self.assertEqual(hits.of("csi_queue"), before + 1)
        self.assertEqual(self.ids(self.alice), ["0", "1", "2", "3"])
        self.from_bob(f"message:4:{RECEIVED}")
        self.assertEqual(self.alice.take(), "")


class StreamManagementTests(ClientStateCase):
    def setUp(self) -> None:
        super().setUp()
        self.token = self.enable(self.alice)

    def test_numbered_when_let_go_not_when_held(self) -> None:
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:", "presence:2:")
        self.acknowledge(self.alice, 0)
        self.tell(self.alice, ACTIVE)
        self.assertEqual(self.ids(self.alice), ["2"])
        self.acknowledge(self.alice, 1)
        self.assertFalse(self.alice.closed)

    def test_what_is_let_go_is_asked_about(self) -> None:
        """It is in the queue like everything else, and bounded with it"""
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob(*(f"message:{number}:{RECEIVED}" for number in range(ASK_AFTER)))
        self.assertEqual(self.alice.take(), "")
        self.tell(self.alice, ACTIVE)
        self.assertEqual(self.alice.take().count(f"<r xmlns='{SM}'/>"), 1)

    def test_what_is_held_cannot_be_acknowledged(self) -> None:
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:")
        self.acknowledge(self.alice, 1)
        self.assertIn("send-count='0'", self.alice.take())

    def test_questions_and_acknowledgements_are_never_held(self) -> None:
        """SM S6"""
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:")
        self.assertEqual(self.alice.ask(f"<r xmlns='{SM}'/>"), f"<a xmlns='{SM}' h='0'/>")
        stream = self.alice.stream
        assert stream.session is not None
        assert stream.session.smacks is not None
        stream.session.smacks.ask()
        self.assertEqual(self.alice.take(), f"<r xmlns='{SM}'/>")

    def test_client_that_resumes_is_active(self) -> None:
        """XEP-0352 section 5.2; what was held comes behind what is sent again."""
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("message:1:<body>Hi</body>", "presence:2:")
        self.alice.cut()
        self.from_bob("presence:3:", "message:4:<body>Ho</body>", "presence:5:", "presence:6:")
        again, answer = self.reconnect("alice", self.token, 0)
        ids = [attribute(one, "id") for one in answer if one.startswith(("<message", "<presence"))]
        self.assertEqual(ids, ["1", "3", "4", "6"])
        self.acknowledge(again, 4)
        self.assertFalse(again.closed)
        self.from_bob("presence:7:")
        self.assertEqual(self.ids(again), ["7"])

    def test_what_is_held_survives_a_restart(self) -> None:
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:", "message:2:<x xmlns='x'/><no-store xmlns='urn:xmpp:hints'/>")
        self.restart()
        _, answer = self.reconnect("alice", self.token, 0)
        self.assertEqual([attribute(one, "id") for one in answer if one.startswith("<message")], ["2"])

    def test_what_no_archive_has_goes_to_another_session(self) -> None:
        """SM S9"""
        tablet = self.login("alice/tablet")
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("message:1:<x xmlns='x'/><no-store xmlns='urn:xmpp:hints'/>")
        tablet.take()
        self.alice.cut()
        self.world.advance(601)
        self.world.settle()
        self.assertIn("<message ", tablet.take())

    def test_what_was_held_when_the_session_dies_is_dealt_with(self) -> None:
        """SM S9: a message waits for the next session, presence is dropped."""
        self.tell(self.alice, INACTIVE_NONZA)
        self.from_bob("presence:1:", f"message:2:{RECEIVED}")
        self.alice.cut()
        self.world.advance(601)
        tablet = self.login("alice/tablet", presence=False)
        self.tell(tablet, "<presence/>")
        self.assertEqual(self.ids(tablet)[-1], "2")
