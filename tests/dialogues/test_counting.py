"""The counting rule of stream management: both sides count the same stanzas, whatever happens.

The wire is tapped and parsed by another parser than the server's, which knows one thing only: a stanza is a
child of the stream whose name is message, presence or iq in ``jabber:client`` (RFC 6120, section 4.1).
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import XMLPullParser

from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from tests.dialogues.case import ServerCase
from xmppd.core import ns
from xmppd.stream.ledger import MODULUS
from xmppd.testing import Client

STANZAS = {f"{{{ns.CLIENT}}}{name}" for name in ("message", "presence", "iq")}


class Tap:
    """What goes over one connection, from the start of counting."""

    def __init__(self) -> None:
        self._parser = XMLPullParser(["start", "end"])
        self._parser.feed(f"<s:stream xmlns:s='{ns.STREAMS}' xmlns='{ns.CLIENT}'>")
        self._depth = 0

    def feed(self, data: str) -> list[str]:
        """The body of each stanza that has come to its end; empty for all but live messages."""
        self._parser.feed(data)
        found = []
        for event, element in self._parser.read_events():
            self._depth += 1 if event == "start" else -1
            if event == "end" and self._depth == 1 and element.tag in STANZAS:
                found.append(element.findtext(f"{{{ns.CLIENT}}}body", ""))
        return found


class CountingClient:
    """A client with stream management that may lose what it got last."""

    def __init__(self, case: CountingTests, client: Client) -> None:
        self.case, self.client = case, client
        client.take()
        self.token = case.enable(client)
        self.tap = Tap()
        #: What it got and will never forget, and how much of it the server knows of.
        self.got: list[str] = []
        self.acked = self.sent = 0

    def send(self, *stanzas: str) -> None:
        self.case.tell(self.client, *stanzas)
        self.sent += len(stanzas)
        self.read()

    def read(self) -> None:
        self.got += self.tap.feed(self.client.take())

    def acknowledge(self) -> None:
        self.read()
        self.acked = len(self.got)
        self.case.tell(self.client, f"<a xmlns='{ns.SM}' h='{self.acked % MODULUS}'/>")
        self.case.assertFalse(self.client.closed, "the server counted less than it wrote")

    def check(self) -> None:
        """Ask how far the server is."""
        self.read()
        answer = self.client.ask(f"<r xmlns='{ns.SM}'/>")
        found = re.findall("<a [^>]*h='([0-9]+)'", answer)
        self.case.assertEqual(found, [str(self.sent)])
        self.got += self.tap.feed(answer)

    def come_back(self, lost: int) -> None:
        """The connection breaks; the last stanzas have never arrived."""
        self.read()
        del self.got[max(self.acked, len(self.got) - lost) :]
        self.client.cut()

    def resume(self) -> None:
        self.client = self.case.world.connect()
        self.client.authenticate("bob@localhost", "secret")
        answer = self.client.ask(f"<resume xmlns='{ns.SM}' previd='{self.token}' h='{len(self.got)}'/>")
        self.case.assertIn(f"h='{self.sent}'", answer.partition(">")[0])
        self.acked = len(self.got)
        self.tap = Tap()
        self.got += self.tap.feed(answer)


PAGE = f"<set xmlns='{ns.RSM}'><max>3</max><before/></set>"
QUERY = f"<iq type='set' id='mam'><query xmlns='{ns.MAM}'>{PAGE}</query></iq>"

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("chat"), st.integers(1, 12)),
        st.tuples(st.just("quiet"), st.integers(1, 3)),
        st.tuples(st.just("copied"), st.integers(1, 2)),
        st.tuples(st.just("presence"), st.integers(1, 3)),
        st.tuples(st.just("own"), st.integers(1, 3)),
        st.tuples(st.just("query"), st.integers(1, 3)),
        st.tuples(st.just("state"), st.integers(0, 1)),
        st.tuples(st.just("ack"), st.just(0)),
        st.tuples(st.just("cut"), st.integers(0, 9)),
        st.tuples(st.just("away"), st.integers(0, 9)),
    ),
    max_size=14,
)


class CountingTests(ServerCase):
    settings = ("limits.sm_queue=15",)

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.login("alice/home")
        self.other = self.login("bob/other", presence="-1")
        self.other.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.number = 0

    def chat(self, number: int, content: str = "") -> list[str]:
        """Alice writes to Bob; the bodies."""
        bodies = []
        for _ in range(number):
            self.number += 1
            bodies.append(f"b{self.number}")
            self.tell(
                self.alice,
                f"<message to='bob@localhost' type='chat'><body>{bodies[-1]}</body>{content}</message>",
            )
        return bodies

    @run(max_examples=40)
    @given(STEPS)
    def test_both_sides_count_the_same(self, steps: list[tuple[str, int]]) -> None:
        """SM: any interleaving of chats, copies, archive, presence, client state, losses and resumption"""
        bob = CountingClient(self, self.login("bob/phone"))
        bob.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        chats: list[str] = []
        for name, number in steps:
            chats += self.step(bob, name, number)
            bob.acknowledge()
            bob.check()
        session = self.account("bob").sessions[-1]
        self.tell(bob.client, f"<active xmlns='{ns.CSI}'/>")
        bob.acknowledge()
        self.assertEqual(session.outbox.unacknowledged, 0)
        self.assertEqual([body for body in bob.got if body], chats, "lost, doubled or out of order")
        bob.client.close()

    def step(self, bob: CountingClient, name: str, number: int) -> list[str]:
        """Do something; the bodies of what goes to Bob's phone."""
        if name == "chat":
            return self.chat(number)
        if name == "quiet":
            return self.chat(number, "<no-store xmlns='urn:xmpp:hints'/>")
        if name == "copied":
            for _ in range(number):
                self.tell(self.other, "<message to='alice@localhost' type='chat'><body>copy</body></message>")
        elif name == "presence":
            for _ in range(number):
                self.tell(self.alice, "<presence to='bob@localhost/phone'/>")
        elif name == "own":
            bob.send(*["<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"] * number)
            bob.send("<message to='nobody@localhost' type='groupchat'/>", "<iq/>", "<presence/>")
        elif name == "query":
            bob.send(*[QUERY] * number)
        elif name == "state":
            state = "active" if number else "inactive"
            self.tell(bob.client, f"<{state} xmlns='{ns.CSI}'/>")
        elif name in ("cut", "away"):
            bob.come_back(number)
            missed = self.chat(number) if name == "away" else []
            bob.resume()
            return missed
        return []
