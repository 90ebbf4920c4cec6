"""The counting rule, proved: whatever happens, the server's counters are what went over the wire.

A tap reads the bytes of every connection with another parser (libxml2) and counts by RFC 6120 alone: direct
children of the stream that are message, presence or iq in the content namespace.  Random interleavings of
everything that makes stanzas run against it (XEP-0198; the bug that this project began with).

`make counting` runs it for an hour; see CONTRIBUTING.md.
"""

from __future__ import annotations

import os
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lxml import etree
from twisted.trial.unittest import TestCase

from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.stream.ledger import MODULUS
from xmppd.stream.session import ClientSession
from xmppd.testing import Client, InProcessServer

USERS = ("alice", "bob", "carol")
STANZAS = tuple(f"{{jabber:client}}{kind}" for kind in ("message", "presence", "iq"))
SM = "urn:xmpp:sm:3"
#: Seconds for which a run goes on; the default is for CI.
EXAMPLES = int(os.environ.get("XMPPD_COUNTING_EXAMPLES", "40"))
STEPS = int(os.environ.get("XMPPD_COUNTING_STEPS", "60"))


class Tap:
    """Reads one direction of one connection with libxml2."""

    def __init__(self) -> None:
        self._parser = etree.XMLPullParser(events=("start", "end"), recover=False)
        self._depth = 0
        self.elements: list[Any] = []

    def feed(self, data: bytes) -> None:
        self._parser.feed(data)
        for event, element in self._parser.read_events():
            if event == "start":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 1:
                    self.elements.append(element)

    def take(self) -> list[Any]:
        elements, self.elements = self.elements, []
        return elements


class Device:
    """A client that counts by itself, and honestly unless it is told to lie."""

    def __init__(self, world: InProcessServer, user: str, number: int) -> None:
        self.world, self.user = world, user
        self.jid = f"{user}@localhost/d{number}"
        self.client: Client | None = None
        self.session: ClientSession | None = None
        self.token = ""
        self.received = self.sent = 0
        #: What was sent since the server's last acknowledgement, to be sent again after a resumption.
        self.unacknowledged: list[str] = []
        self.server_handled = 0

    # -- connections

    def login(self) -> None:
        self.client = self._connected()
        self.client.bind(JID.parse(self.jid).resource)
        self.client.send("<presence/>")
        self.world.settle()
        self.client.take()
        self._tap()
        self.client.send(f"<enable xmlns='{SM}' resume='true'/>")
        self.received = self.sent = self.server_handled = 0
        self.unacknowledged = []
        self.read()
        registry = self.world.server.registry
        self.session = cast(ClientSession, registry.session(JID.parse(self.jid)))

    def _connected(self) -> Client:
        client = self.world.connect()
        client.authenticate(f"{self.user}@localhost", "secret")
        return client

    def _tap(self) -> None:
        header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        self.inbound, self.outbound = Tap(), Tap()
        self.inbound.feed(header)
        self.outbound.feed(header)

    def start_at(self, value: int) -> None:
        """Move all four counters, as if so many stanzas had gone before."""
        assert self.session is not None and self.session.ledger is not None
        self.session.outbox.sent = self.received = (self.session.outbox.sent + value) % MODULUS
        ledger = self.session.ledger
        ledger.received = ledger.handled = self.sent = (ledger.handled + value) % MODULUS
        self.server_handled = self.sent

    def resume(self) -> None:
        """Come back on another connection; what the server has not handled is sent again."""
        self.client = self._connected()
        self._tap()
        self.client.send(f"<resume xmlns='{SM}' previd='{self.token}' h='{self.received}'/>")
        self.world.settle()
        again = self.read()
        if again is None:
            self.session = None
            return
        missing = (self.sent - again) % MODULUS
        self.unacknowledged = self.unacknowledged[len(self.unacknowledged) - missing :]
        self.sent = self.server_handled = again
        pending, self.unacknowledged = self.unacknowledged, []
        for text in pending:
            self.say(text)

    def cut(self, half: bytes = b"") -> None:
        assert self.client is not None
        if half:
            self.client.send(half)
        self.read()
        self.client.cut()
        self.client = None

    @property
    def connected(self) -> bool:
        return self.client is not None and not self.client.closed

    # -- talking

    def waiting(self) -> int:
        """Stanzas that the server has parsed and not taken yet, because a handler waits for the disk."""
        if self.client is None:
            return 0
        inbox = self.client.stream._inbox
        return sum(isinstance(item, Stanza) for item in (*inbox._queue, *inbox.reader._items))

    def say(self, text: str) -> None:
        """Send a stanza and count it."""
        assert self.client is not None
        self.outbound.feed(text.encode())
        assert [element.tag in STANZAS for element in self.outbound.take()] == [True]
        self.sent = (self.sent + 1) % MODULUS
        self.unacknowledged.append(text)
        self.client.send(text)

    def nonza(self, text: str) -> None:
        assert self.client is not None
        self.client.send(text)

    def read(self) -> int | None:
        """Count what the server has sent; the answer is `h` of a resumption."""
        if self.client is None:
            return None
        self.inbound.feed(self.client.take().encode())
        resumed = None
        for element in self.inbound.take():
            if element.tag in STANZAS:
                self.received = (self.received + 1) % MODULUS
            elif element.tag == f"{{{SM}}}enabled":
                self.token, self.received = element.get("id"), 0
            elif element.tag == f"{{{SM}}}resumed":
                resumed = int(element.get("h"))
            elif element.tag == f"{{{SM}}}a":
                self.server_handled = int(element.get("h"))
        return resumed


class Counting(RuleBasedStateMachine):
    """Everything that makes stanzas, in any order."""

    @initialize(start=st.sampled_from([0, 0, MODULUS - 3, MODULUS - 1]))
    def begin(self, start: int) -> None:
        self.world = InProcessServer("limits.sessions_per_account=none")
        self.number = 0
        for user in USERS:
            self.world.add_user(f"{user}@localhost")
        self.devices = [Device(self.world, user, n) for n, user in enumerate((*USERS, "alice"))]
        for device in self.devices:
            device.login()
            device.start_at(start)

    def pick(self, index: int, *, connected: bool = True) -> Device | None:
        matching = [device for device in self.devices if device.connected == connected and device.session]
        return matching[index % len(matching)] if matching else None

    def say(self, index: int, text: str) -> None:
        device = self.pick(index)
        if device is not None:
            self.number += 1
            device.say(text.replace("ID", f"i{self.number}"))

    who = st.integers(0, 7)
    user = st.sampled_from(USERS)

    @rule(who=who, to=user, full=st.booleans(), hint=st.sampled_from(["", "no-store", "store"]))
    def message(self, who: int, to: str, full: bool, hint: str) -> None:
        address = f"{to}@localhost/d0" if full else f"{to}@localhost"
        extra = f"<{hint} xmlns='urn:xmpp:hints'/>" if hint else ""
        self.say(who, f"<message to='{address}' type='chat' id='ID'><body>Hi</body>{extra}</message>")

    @rule(who=who, kind=st.sampled_from(["normal", "headline", "groupchat", "error"]), to=user)
    def odd_message(self, who: int, kind: str, to: str) -> None:
        self.say(who, f"<message to='{to}@localhost/gone' type='{kind}' id='ID'><body>?</body></message>")

    @rule(who=who, priority=st.integers(-1, 2))
    def presence(self, who: int, priority: int) -> None:
        self.say(who, f"<presence id='ID'><priority>{priority}</priority></presence>")

    @rule(who=who, to=user, kind=st.sampled_from(["subscribe", "subscribed", "unsubscribe"]))
    def subscription(self, who: int, to: str, kind: str) -> None:
        self.say(who, f"<presence to='{to}@localhost' type='{kind}' id='ID'/>")

    @rule(who=who)
    def flood_of_presence(self, who: int) -> None:
        for number in range(12):
            self.say(who, f"<presence id='ID'><status>{number}</status></presence>")

    @rule(who=who)
    def ping(self, who: int) -> None:
        self.say(who, "<iq type='get' to='localhost' id='ID'><ping xmlns='urn:xmpp:ping'/></iq>")

    @rule(who=who)
    def unknown_request(self, who: int) -> None:
        self.say(who, "<iq type='get' to='localhost' id='ID'><what xmlns='urn:example'/></iq>")

    @rule(who=who, to=st.sampled_from(["not@@valid", "x@y@z", "nobody@localhost"]))
    def bad_address(self, who: int, to: str) -> None:
        self.say(who, f"<message to='{to}' id='ID'><body>?</body></message>")

    @rule(who=who, page=st.integers(0, 10))
    def archive_query(self, who: int, page: int) -> None:
        rsm = f"<set xmlns='http://jabber.org/protocol/rsm'><max>{page}</max></set>"
        self.say(who, f"<iq type='set' id='ID'><query xmlns='urn:xmpp:mam:2'>{rsm}</query></iq>")

    @rule(who=who, what=st.sampled_from(["enable", "disable"]))
    def carbons(self, who: int, what: str) -> None:
        self.say(who, f"<iq type='set' id='ID'><{what} xmlns='urn:xmpp:carbons:2'/></iq>")

    @rule(who=who, name=st.sampled_from(["a", "b"]))
    def roster(self, who: int, name: str) -> None:
        item = f"<item jid='friend@localhost' name='{name}'/>"
        self.say(who, f"<iq type='set' id='ID'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
        self.say(who, "<iq type='get' id='ID'><query xmlns='jabber:iq:roster'/></iq>")

    @rule(who=who, what=st.sampled_from(["active", "inactive"]))
    def client_state(self, who: int, what: str) -> None:
        device = self.pick(who)
        if device is not None:
            device.nonza(f"<{what} xmlns='urn:xmpp:csi:0'/>")

    @rule(who=who, blanks=st.sampled_from([" ", "\n", "  "]))
    def keepalive(self, who: int, blanks: str) -> None:
        device = self.pick(who)
        if device is not None:
            device.nonza(blanks)

    @rule(who=who)
    def ask(self, who: int) -> None:
        device = self.pick(who)
        if device is not None:
            device.nonza(f"<r xmlns='{SM}'/>")

    @rule(who=who, late=st.integers(0, 3))
    def acknowledge(self, who: int, late: int) -> None:
        device = self.pick(who)
        if device is None or device.session is None:
            return
        device.read()
        queue = device.session.outbox.queue
        assert queue is not None
        h = (device.received - min(late, len(queue))) % MODULUS
        device.nonza(f"<a xmlns='{SM}' h='{h}'/>")

    @rule(who=who)
    def lie(self, who: int) -> None:
        """An acknowledgement of what was never sent ends the session, and tells both numbers."""
        device = self.pick(who)
        if device is None or device.client is None:
            return
        device.read()
        device.client.take()
        wrong = (device.received + 5) % MODULUS
        device.nonza(f"<a xmlns='{SM}' h='{wrong}'/>")
        answer = device.client.take()
        assert "handled-count-too-high" in answer, answer
        assert f"h='{wrong}'" in answer
        device.client.cut()
        device.login()

    @rule(who=who, half=st.sampled_from([b"", b"<message to='bob@local", b"<iq type='get'><ping xmlns='urn"]))
    def cut(self, who: int, half: bytes) -> None:
        device = self.pick(who)
        if device is not None:
            device.cut(half)

    @rule(who=who)
    def come_back(self, who: int) -> None:
        device = self.pick(who, connected=False)
        if device is not None:
            device.resume()

    @rule(who=who)
    def resume_elsewhere(self, who: int) -> None:
        """The old connection still looks alive; what the server had sent on it is not lost."""
        device = self.pick(who)
        if device is not None:
            device.read()
            device.resume()

    @rule(seconds=st.sampled_from([0.0, 0.004, 0.05, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @invariant()
    def counts_agree(self) -> None:
        for device in getattr(self, "devices", ()):
            device.read()
            session = device.session
            if session is None:
                continue
            assert session.ledger is not None and session.outbox.queue is not None
            behind = (device.sent - session.ledger.handled) % MODULUS
            assert behind <= len(device.unacknowledged), "h is ahead of what was sent"
            if device.connected:
                counted = (session.ledger.received + device.waiting()) % MODULUS
                assert counted == device.sent, (device.jid, counted, device.sent)
                assert session.outbox.sent == device.received, (device.jid, session.outbox.sent)
            else:
                waiting = (session.outbox.sent - device.received) % MODULUS
                assert waiting <= len(session.outbox.queue)

    @precondition(lambda self: hasattr(self, "devices"))
    @rule()
    def quiet(self) -> None:
        """When all is quiet `h` is exactly what was sent."""
        self.world.settle()
        self.world.advance(0.2)
        for device in self.devices:
            if device.session is not None and device.connected:
                device.nonza(f"<r xmlns='{SM}'/>")
                device.read()
                assert device.server_handled == device.sent, (device.jid, device.server_handled, device.sent)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.stop()


class CountingTests(TestCase):
    """The counters and the wire agree."""

    def test_counters_are_what_went_over_the_wire(self) -> None:
        """SM S7, S8, S11 and the counting rule, for any interleaving."""
        run_state_machine_as_test(
            Counting,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
