"""The counting rule, proved: whatever happens, the server's counters are what went over the wire.

Clients with a parser of another kind (`tests.stream.devices`) count what they send and get, through random
interleavings of everything that makes stanzas, and that ends connections, sessions and servers (XEP-0198; the
bug that this project began with).  In the end no message is lost, and none comes again that was acknowledged.

`make counting` runs it for an hour; see CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.trial.unittest import TestCase

from tests.stream.devices import SM, Device
from tests.support.rounds import run_some
from xmppd.core.jid import JID
from xmppd.directory import MARKS_EVERY
from xmppd.stream.ledger import MODULUS
from xmppd.testing import InProcessServer

USERS = ("alice", "bob", "carol")
#: How many courses of things are tried here, and how long they are.
EXAMPLES, STEPS = 40, 60


class Counting(RuleBasedStateMachine):
    """Everything that makes stanzas, in any order; everything that ends connections, sessions and servers."""

    @initialize(start=st.sampled_from([0, 0, MODULUS - 3, MODULUS - 1]), queue=st.sampled_from([12, 40, 500]))
    def begin(self, start: int, queue: int) -> None:
        self.settings = ("limits.sessions_per_account=none", f"limits.sm_queue={queue}", "limits.csi_queue=5")
        self.first = start
        self.world = self._server()
        self.number = 0
        #: Ids of chat messages that somebody is to get, by user; and those that were perhaps stored twice.
        self.owed: dict[str, set[str]] = {user: set() for user in USERS}
        self.doubtful: set[str] = set()
        #: Devices that have been unavailable or of negative priority.
        self.shy: set[Device] = set()
        for user in USERS:
            self.world.add_user(f"{user}@localhost")
        users = (*USERS, "alice", "bob")
        self.devices = [Device(self.world, user, number, start) for number, user in enumerate(users)]
        for device in self.devices:
            device.login()

    def _server(self, database: str | None = None, elapsed: float = 0.0) -> InProcessServer:
        world = InProcessServer(*self.settings, database=database, elapsed=elapsed)
        services = world.server.services
        world.server.services = replace(services, sm=replace(services.sm, first=self.first))
        return world

    def pick(self, index: int, *, connected: bool = True) -> Device | None:
        matching = [device for device in self.devices if device.connected == connected]
        return matching[index % len(matching)] if matching else None

    def say(self, index: int, text: str) -> str:
        """The id of the stanza, if anybody was there to send it."""
        device = self.pick(index)
        if device is None:
            return ""
        self.number += 1
        device.say(text.replace("ID", f"i{self.number}"))
        return f"i{self.number}"

    who = st.integers(0, 9)
    user = st.sampled_from(USERS)

    @rule(
        who=who,
        to=user,
        full=st.integers(0, 9),
        content=st.sampled_from(["<body>Hi</body>", "<received xmlns='urn:xmpp:receipts' id='x'/>"]),
        hint=st.sampled_from(["", "no-store", "store"]),
    )
    def message(self, who: int, to: str, full: int, content: str, hint: str) -> None:
        """With a body, or one that an inactive client does not hear at once."""
        extra = f"<{hint} xmlns='urn:xmpp:hints'/>" if hint else ""
        address = self.devices[full].jid if full < len(self.devices) else f"{to}@localhost"
        said = self.say(who, f"<message to='{address}' type='chat' id='ID'>{content}{extra}</message>")
        if said and hint != "no-store":
            self.owed[JID.parse(address).local].add(said)
        if full < len(self.devices) and self.devices[full] in self.shy:
            # It waits for another one as well, whoever acknowledges it.
            self.doubtful.add(said)

    @rule(who=who, kind=st.sampled_from(["normal", "headline", "groupchat", "error"]), to=user)
    def odd_message(self, who: int, kind: str, to: str) -> None:
        self.say(who, f"<message to='{to}@localhost/gone' type='{kind}' id='ID'><body>?</body></message>")

    def note_shyness(self, who: int, *, shy: bool) -> None:
        """Messages to its full JID do not count as delivered (RFC 6121, section 8.5.2)."""
        device = self.pick(who)
        if shy and device is not None:
            self.shy.add(device)
            # Some may be on their way, and come when it is shy.
            for each in self.devices:
                self.doubt(text for text in each.unhandled() if device.jid in text)

    def doubt(self, texts: Iterable[str]) -> None:
        """These stanzas may come to somebody twice."""
        for text in texts:
            self.doubtful.update(re.findall(" id='([^']*)'", text))

    @rule(who=who, priority=st.integers(-1, 2))
    def presence(self, who: int, priority: int) -> None:
        self.note_shyness(who, shy=priority < 0)
        self.say(who, f"<presence id='ID'><priority>{priority}</priority></presence>")

    @rule(who=who)
    def unavailable(self, who: int) -> None:
        self.note_shyness(who, shy=True)
        self.say(who, "<presence type='unavailable' id='ID'/>")

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

    @rule(who=who, to=who)
    def request_to_a_client(self, who: int, to: int) -> None:
        address = self.devices[to % len(self.devices)].jid
        self.say(who, f"<iq type='get' to='{address}' id='ID'><what xmlns='urn:example'/></iq>")

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
        if device is not None:
            device.read()
            late = min(late, (device.received - device.acknowledged) % MODULUS)
            device.acknowledge((device.received - late) % MODULUS)

    @rule(who=who, by=st.sampled_from([1, 5, MODULUS // 2]))
    def lie(self, who: int, by: int) -> None:
        """An acknowledgement of what was never sent ends the session, and tells both numbers."""
        device = self.pick(who)
        if device is None or device.client is None or device.session is None:
            return
        device.read()
        wrong = (device.received + by) % MODULUS
        device.nonza(f"<a xmlns='{SM}' h='{wrong}'/>")
        answer = device.client.take()
        assert f"h='{wrong}' send-count='{device.received}'" in answer, answer
        assert device.session.ended
        device.client.cut()
        self.world.settle()
        assert not device.resume()

    @rule(who=who, half=st.sampled_from([b"", b"<message to='bob@local", b"<iq type='get'><ping xmlns='urn"]))
    def cut(self, who: int, half: bytes) -> None:
        device = self.pick(who)
        if device is not None:
            device.cut(half)

    @rule(who=who)
    def close(self, who: int) -> None:
        """A clean end, and a new session later."""
        device = self.pick(who)
        if device is not None:
            device.read()
            device.acknowledge(device.received)
            device.nonza("</stream:stream>")
            self.world.settle()
            device.cut()

    @rule(who=who, forgotten=st.integers(0, 3))
    def come_back(self, who: int, forgotten: int) -> None:
        device = self.pick(who, connected=False)
        if device is not None:
            device.resume(forgotten)

    @rule(who=who, forgotten=st.integers(0, 3))
    def resume_elsewhere(self, who: int, forgotten: int) -> None:
        """The old connection still looks alive; what the server had sent on it is not lost."""
        device = self.pick(who)
        if device is not None:
            device.read()
            device.resume(forgotten)

    @rule(who=who)
    def begin_anew(self, who: int) -> None:
        """The same resource is bound again: the session that waits ends."""
        device = self.pick(who, connected=False)
        # Another server may not have handled what was sent last: that is to be sent again.
        if device is not None and device.session is not None:
            self.world.settle()
            device.login()

    @rule(seconds=st.sampled_from([0.0, 0.004, 0.05, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule()
    def sessions_expire(self) -> None:
        """Of those that are there nobody is silent so long."""
        for _ in range(7):
            for device in self.devices:
                if device.connected:
                    device.nonza(" ")
                    device.read()
                    device.acknowledge(device.received)
            self.world.advance(100)
        self.world.settle()

    @rule()
    def restart(self) -> None:
        """A graceful one: what is there before is there afterwards."""
        self.world.stop()
        for device in self.devices:
            device.lost()
        self._start(self.world.url)

    @rule()
    def kill(self) -> None:
        """What the server has not acknowledged, or not written down that it had, is sent again."""
        for device in self.devices:
            device.read()
            self.doubt(device.unhandled(and_before=1))
            # What was acknowledged just now the disk does not know: it is written down once a second.
            since = self.world.reactor.seconds() - MARKS_EVERY - 0.1
            self.doubtful.update(name for name, when in device.certain.items() if when >= since)
            device.lost()
        killed = self.world.copy_of_database()
        self.world.stop()
        self._start(killed)

    def _start(self, database: str) -> None:
        elapsed = self.world.reactor.seconds() + 5
        self.world = self._server(database, elapsed)
        for device in self.devices:
            device.world = self.world
            device.session = None

    @invariant()
    def counts_agree(self) -> None:
        for device in getattr(self, "devices", ()):
            device.read()
            session = device.session
            if session is None or session.ended:
                continue
            assert session.ledger is not None and session.outbox.queue is not None
            behind = (device.sent - session.ledger.handled) % MODULUS
            assert behind <= len(device.unacknowledged), "h is ahead of what was sent"
            if device.connected:
                counted = (session.ledger.received + device.waiting()) % MODULUS
                assert counted == device.sent, (device.jid, counted, device.sent)
                assert session.outbox.queue.sent == device.received, (device.jid, session.outbox.queue.sent)
            else:
                waiting = (session.outbox.queue.sent - device.acknowledged) % MODULUS
                assert waiting == len(session.outbox.queue)

    @precondition(lambda self: hasattr(self, "devices"))
    @rule()
    def quiet(self) -> None:
        """When all is quiet `h` is exactly what was sent."""
        for _ in range(1000):
            if not any(device.waiting() or not device.settled for device in self.devices):
                break
            self.world.advance(0.01)
        for device in self.devices:
            if device.session is not None and device.connected:
                device.nonza(f"<r xmlns='{SM}'/>")
                device.read()
                assert device.server_handled == device.sent, (device.jid, device.server_handled, device.sent)

    def nothing_is_lost_or_doubled(self) -> None:
        """In the end: what nobody has acknowledged waits for the next client of a user, and nothing else."""
        self.quiet()
        for device in self.devices:
            if not device.connected:
                device.resume()
        self.quiet()
        for device in self.devices:
            device.cut()
        self.world.advance(700)
        self.world.settle()
        for user in USERS:
            last = Device(self.world, user, 99, self.first)
            last.login()
            last.read()
            own = [device for device in self.devices if device.user == user]
            certain: set[str] = set().union(*(device.certain for device in own))
            # A session is not given what it has found in the archive (XEP-0313, section 6.1.1).
            fetched: set[str] = set().union(*(device.fetched for device in own))
            lost = self.owed[user] - certain - last.chats - fetched
            assert not lost, (user, "lost", lost)
            twice = (last.chats & certain).union(*(device.twice for device in own)) - self.doubtful
            assert not twice, (user, "doubled", twice)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.nothing_is_lost_or_doubled()
            finally:
                self.world.stop()


class CountingTests(TestCase):
    """The counters and the wire agree."""

    def test_counters_are_what_went_over_the_wire(self) -> None:
        """SM S7, S8, S11 and the counting rule, for any interleaving."""
        run_some(Counting, EXAMPLES, STEPS)
