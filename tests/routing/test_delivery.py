"""To whom a stanza for a local user goes: RFC 6121, section 8, row by row."""

from __future__ import annotations

from typing import Any

from twisted.trial import unittest

from tests.dialogues.case import ServerCase, split
from tests.modules.fakes import FakeSession
from xmppd.core.account import Account
from xmppd.core.decision import Decision, Otherwise
from xmppd.core.jid import JID
from xmppd.routing.delivery import decide
from xmppd.testing import Client

TYPES = ("normal", "chat", "groupchat", "headline", "error")
BARE, FULL = "bob@localhost", "bob@localhost/gone"

#: Address, priorities of the resources by name, and what becomes of each type: O is stored, E and S are
#: service-unavailable, - is silence, D goes to the first resource, M to those of the highest priority, A to
#: all of non-negative priority.  Where the RFC leaves a choice it is ours (docs/architecture.md).
TABLE: dict[str, tuple[str, dict[str, int | None], str]] = {
    "account, no resource, bare": (BARE, {}, "O O E - -"),
    "account, no resource, full": (FULL, {}, "S O S - -"),
    "only unavailable, bare": (BARE, {"desk": None}, "O O E - -"),
    "only unavailable, full match": ("bob@localhost/desk", {"desk": None}, "D D D D D"),
    "only unavailable, full no match": (FULL, {"desk": None}, "S O S - -"),
    "only negative priority, bare": (BARE, {"desk": -1}, "O O E - -"),
    "only negative, full match": ("bob@localhost/desk", {"desk": -1}, "D D D D D"),
    "only negative, full no match": (FULL, {"desk": -1}, "S O S - -"),
    "1 non-negative, bare": (BARE, {"desk": 0}, "D D E D -"),
    "1 non-negative, full match": ("bob@localhost/desk", {"desk": 0}, "D D D D D"),
    "1 non-negative, full no match": (FULL, {"desk": 0}, "S D S - -"),
    ">1 non-negative, bare": (BARE, {"desk": 5, "phone": 0, "pad": 5, "bot": -1}, "M M E A -"),
    ">1 non-negative, full match": ("bob@localhost/desk", {"desk": 0, "phone": 5}, "D D D D D"),
    ">1 non-negative, full no match": (FULL, {"desk": 5, "phone": 0, "pad": 5, "bot": -1}, "S M S - -"),
}


def receivers(outcome: str, priorities: dict[str, int | None]) -> list[str]:
    """The resources that get a message."""
    if outcome == "D":
        return ["desk"]
    ready = {
        name: priority for name, priority in priorities.items() if priority is not None and priority >= 0
    }
    if outcome == "A":
        return list(ready)
    if outcome == "M":
        return [name for name, priority in ready.items() if priority == max(ready.values())]
    return []


OTHERWISE = {"O": Otherwise.KEEP, "S": Otherwise.REFUSE, "E": Otherwise.REFUSE, "-": Otherwise.IGNORE}


class DecisionTests(unittest.SynchronousTestCase):
    """The rules as a pure function."""

    def decide(self, kind: str, to: str, priorities: dict[str, int | None]) -> Decision:
        account = Account(1, JID.parse(BARE), None)
        sessions: list[Any] = [
            FakeSession(account.jid.with_resource(name), account, priority)
            for name, priority in priorities.items()
        ]
        return decide(kind, JID.parse(to), sessions)

    def test_table(self) -> None:
        """DELIVERY: every row for every type"""
        for case, (to, priorities, outcomes) in TABLE.items():
            for kind, outcome in zip(TYPES, outcomes.split(), strict=True):
                decision = self.decide(kind, to, priorities)
                got = [session.jid.resource for session in decision.recipients]
                self.assertEqual(got, receivers(outcome, priorities), (case, kind))
                if outcome in OTHERWISE:
                    self.assertIs(decision.otherwise, OTHERWISE[outcome], (case, kind))

    def test_order_of_sessions_does_not_matter(self) -> None:
        """DELIVERY: the highest priority is found wherever it stands"""
        for order in (("a", "b"), ("b", "a")):
            decision = self.decide("chat", BARE, {name: {"a": 1, "b": 7}[name] for name in order})
            self.assertEqual([session.jid.resource for session in decision.recipients], ["b"])


class MessageTests(ServerCase):
    """The same rules through the server."""

    def setUp(self) -> None:
        """Each row has a server of its own."""

    def prepare(self, priorities: dict[str, int | None]) -> dict[str, Client]:
        super().setUp()
        self.alice = self.login("alice/home")
        clients = {
            name: self.login(f"bob/{name}", presence=False if priority is None else str(priority))
            for name, priority in priorities.items()
        }
        for client in (self.alice, *clients.values()):
            client.take()
        return clients

    def send(self, kind: str, to: str, content: str = "<body>{}</body>") -> list[str]:
        """Send a message of that type with that id; what the sender gets."""
        attribute = "" if kind == "normal" else f" type='{kind}'"
        self.tell(self.alice, f"<message to='{to}'{attribute} id='{kind}'>{content.format(kind)}</message>")
        return self.take(self.alice)

    def check_row(self, to: str, priorities: dict[str, int | None], outcomes: str) -> None:
        clients = self.prepare(priorities)
        waiting = []
        for kind, outcome in zip(TYPES, outcomes.split(), strict=True):
            self.check_answer(self.send(kind, to), outcome, kind)
            for name, client in clients.items():
                got = self.take(client)
                self.assertEqual(len(got), int(name in receivers(outcome, priorities)), (kind, name, got))
                for xml in got:
                    self.assertIn(f" to='{to}'", xml)
            # What only a resource got that does not count waits for the next one that does.
            counts = (priorities.get("desk") if outcome == "D" else None) in range(128)
            if outcome == "O" or (outcome == "D" and kind in ("normal", "chat") and not counts):
                waiting.append(kind)
        for client in clients.values():
            client.close()
        self.check_waiting(waiting)

    def check_answer(self, answers: list[str], outcome: str, kind: str) -> None:
        if outcome in "ES":
            (answer,) = answers
            self.assertIn(f"type='error' id='{kind}'", answer)
            self.assertIn("<error type='cancel'><service-unavailable ", answer)
        else:
            self.assertEqual(answers, [])

    def check_waiting(self, bodies: list[str]) -> None:
        later = self.login("bob/later", presence=False)
        self.tell(later, "<presence/>")
        self.assertEqual(self.bodies(later), bodies)

    def test_table(self) -> None:
        """DELIVERY: every row for every type; D9, D10, D11"""
        for case, row in TABLE.items():
            try:
                self.check_row(*row)
            except self.failureException as problem:
                raise self.failureException(case) from problem

    def test_no_account(self) -> None:
        """DELIVERY: no account answers exactly as an account with nobody online; D3"""
        self.prepare({})
        for resource in ("", "/gone"):
            for kind in TYPES:
                for content in ("<body>{}</body>", "<active xmlns='http://jabber.org/protocol/chatstates'/>"):
                    nobody = self.send(kind, f"nobody@localhost{resource}", content)
                    offline = self.send(kind, f"bob@localhost{resource}", content)
                    self.assertEqual([xml.replace("nobody@", "bob@") for xml in nobody], offline)

    def test_what_is_not_kept_is_refused(self) -> None:
        """D11: what asks not to be stored is not kept"""
        self.prepare({})
        content = "<body>Psst</body><no-store xmlns='urn:xmpp:hints'/>"
        self.check_answer(self.send("chat", "bob@localhost", content), "S", "chat")
        self.check_waiting([])

    def test_states_are_lost_without_a_word(self) -> None:
        """D11: nobody who types to somebody who is away is told of an error, nor does it wait"""
        self.prepare({})
        state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
        for content in (state, f"{state}<thread>t</thread><no-store xmlns='urn:xmpp:hints'/>"):
            for to in ("bob@localhost", "bob@localhost/gone", "nobody@localhost"):
                self.check_answer(self.send("chat", to, content), "-", "chat")
        self.check_waiting([])

    def test_no_room_for_more(self) -> None:
        """D11: too many messages that are no part of the history"""
        self.settings = ("limits.offline_messages=2",)
        self.prepare({})
        content = "<body>{}</body><no-permanent-store xmlns='urn:xmpp:hints'/>"
        for outcome in "OOS":
            self.check_answer(self.send("chat", "bob@localhost", content), outcome, "chat")
        self.check_answer(self.send("normal", "bob@localhost"), "O", "normal")
        self.check_waiting(["chat", "chat", "normal"])

    def test_without_addressee(self) -> None:
        """D1: a message without 'to' is for the own account"""
        self.prepare({})
        pad = self.login("alice/pad")
        self.tell(self.alice, "<message type='chat'><body>Note</body></message>")
        self.assertIn(" to='alice@localhost'", self.take(pad)[0])
        self.assertEqual(self.bodies(self.alice), ["Note"])

    def test_server_itself(self) -> None:
        """D2: nobody reads messages to the server, with or without resource"""
        self.prepare({})
        for to in ("localhost", "localhost/resource"):
            for kind, outcome in zip(TYPES, "SSS--", strict=True):
                self.check_answer(self.send(kind, to), outcome, kind)

    def test_negative_priority_never_gets_bare(self) -> None:
        """D4: also not if it was of another priority before"""
        clients = self.prepare({"desk": 3})
        self.tell(clients["desk"], "<presence><priority>-1</priority></presence>")
        clients["desk"].take()
        self.send("chat", "bob@localhost")
        self.assertEqual(self.take(clients["desk"]), [])

    def test_hibernating_session_counts(self) -> None:
        """D9: a session that can be resumed is available until it expires"""
        clients = self.prepare({"desk": 0})
        token = self.enable(clients["desk"])
        clients["desk"].cut()
        self.assertEqual(self.send("groupchat", "bob@localhost/desk"), [])
        _, got = self.reconnect("bob", token, 0)
        self.assertIn("<body>groupchat</body>", got[1])


class IqTests(ServerCase):
    """Requests and answers to local users."""

    def setUp(self) -> None:
        super().setUp()
        self.alice, self.desk = self.login("alice/home"), self.login("bob/desk")
        self.alice.take()

    def befriend(self) -> None:
        """Bob lets Alice see his presence."""
        self.tell(self.alice, "<presence to='bob@localhost' type='subscribe'/>")
        self.tell(self.desk, "<presence to='alice@localhost' type='subscribed'/>")
        for client in (self.alice, self.desk):
            client.take()

    def ask(self, to: str, kind: str = "get", payload: str = "<x xmlns='test:x'/>") -> list[str]:
        self.tell(self.alice, f"<iq to='{to}' type='{kind}' id='i'>{payload}</iq>")
        return self.take(self.alice)

    def assert_unavailable(self, answers: list[str]) -> None:
        (answer,) = answers
        self.assertIn("type='error' id='i'", answer)
        self.assertIn("<service-unavailable ", answer)

    def test_no_such_user(self) -> None:
        """D3: service-unavailable for requests, silence for answers"""
        for to in ("nobody@localhost", "nobody@localhost/desk"):
            for kind in ("get", "set"):
                self.assert_unavailable(self.ask(to, kind))
            for kind in ("result", "error"):
                self.assertEqual(self.ask(to, kind), [])

    def test_bare(self) -> None:
        """D6: the server answers itself and no resource sees it"""
        for kind in ("get", "set"):
            self.assert_unavailable(self.ask("bob@localhost", kind))
        for kind in ("result", "error"):
            self.assertEqual(self.ask("bob@localhost", kind), [])
        self.assertEqual(self.take(self.desk), [])

    def test_own_account(self) -> None:
        """D1: without 'to' the server answers for the account"""
        self.tell(self.alice, "<iq type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>")
        (answer,) = self.take(self.alice)
        self.assertEqual(
            answer, "<iq from='alice@localhost' to='alice@localhost/home' type='result' id='i'/>"
        )

    def test_server(self) -> None:
        """D2: the server answers, with or without resource"""
        for to in ("localhost", "localhost/any"):
            (answer,) = self.ask(to, payload="<ping xmlns='urn:xmpp:ping'/>")
            self.assertEqual(answer, f"<iq from='{to}' to='alice@localhost/home' type='result' id='i'/>")

    def test_full_match_with_shared_presence(self) -> None:
        """D7: a request reaches the resource, and its answer the one that asked"""
        self.befriend()
        self.assertEqual(self.ask("bob@localhost/desk"), [])
        (request,) = self.take(self.desk)
        self.assertIn("from='alice@localhost/home' to='bob@localhost/desk'", request)
        self.tell(self.desk, "<iq to='alice@localhost/home' type='result' id='i'/>")
        self.assertIn("type='result' id='i'", self.take(self.alice)[0])

    def test_full_match_without_shared_presence(self) -> None:
        """D7: a stranger's request does not reach it"""
        self.assert_unavailable(self.ask("bob@localhost/desk"))
        self.assertEqual(self.take(self.desk), [])

    def test_full_match_after_directed_presence(self) -> None:
        """D7: directed presence shares it"""
        self.tell(self.desk, "<presence to='alice@localhost/home'/>")
        self.assertEqual(self.ask("bob@localhost/desk"), [])
        self.assertEqual(len(self.take(self.desk)), 1)

    def test_answers_reach_a_connected_resource(self) -> None:
        """D7: results and errors need no presence, neither shared nor sent"""
        shy = self.login("bob/shy", presence=False)
        for kind in ("result", "error"):
            self.assertEqual(self.ask("bob@localhost/shy", kind), [])
            self.assertIn(f"type='{kind}'", self.take(shy)[0])

    def test_full_no_match(self) -> None:
        """D8: service-unavailable for requests, also to those who share presence; silence for answers"""
        self.befriend()
        for kind in ("get", "set"):
            self.assert_unavailable(self.ask("bob@localhost/gone", kind))
        for kind in ("result", "error"):
            self.assertEqual(self.ask("bob@localhost/gone", kind), [])


class PresenceTests(ServerCase):
    """Presence that is addressed to local users."""

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")
        self.clients = {
            "desk": self.login("bob/desk", presence="3"),
            "bot": self.login("bob/bot", presence="-1"),
            "shy": self.login("bob/shy", presence=False),
        }
        for client in (self.alice, *self.clients.values()):
            client.take()

    def send(self, to: str, kind: str | None) -> list[str]:
        """Send presence; the resources that get it."""
        attribute = "" if kind is None else f" type='{kind}'"
        self.tell(self.alice, f"<presence to='{to}'{attribute} id='p'/>")
        found = {
            name: [xml for xml in everything(client) if "id='p'" in xml]
            for name, client in self.clients.items()
        }
        for got in found.values():
            for xml in got:
                self.assertIn(f" to='{to}'", xml, "D10")
        return [name for name, got in found.items() if got]

    def test_bare(self) -> None:
        """D5, D10: all available resources, whatever their priority"""
        for kind in (None, "unavailable"):
            self.assertEqual(self.send("bob@localhost", kind), ["desk", "bot"])

    def test_full_match(self) -> None:
        """D7: the resource itself, available or only connected"""
        for kind in (None, "unavailable"):
            for name in self.clients:
                self.assertEqual(self.send(f"bob@localhost/{name}", kind), [name])

    def test_nobody(self) -> None:
        """D3, D5, D8: silence for users that do not exist, resources that are gone, users offline"""
        for client in self.clients.values():
            client.close()
        self.clients = {}
        for to in ("nobody@localhost", "nobody@localhost/x", "bob@localhost/gone", "bob@localhost"):
            for kind in (None, "unavailable"):
                self.assertEqual(self.send(to, kind), [])
                self.assertEqual(everything(self.alice), [], (to, kind))


def everything(client: Client) -> list[str]:
    """All that a client got."""
    return split(client.take())
