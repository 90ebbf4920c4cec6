"""Clients that count for themselves, by what a parser of another kind (libxml2) finds on the wire.

They count by RFC 6120 alone: direct children of the stream that are message, presence or iq in the content
namespace; nothing of the server's own parser or counters is asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from tests.support.tap import Tap
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.stream.ledger import MODULUS
from xmppd.stream.session import ClientSession
from xmppd.testing import Client, InProcessServer

__all__ = ["SM", "Device"]

CLIENT = "{jabber:client}"
STANZAS = tuple(f"{CLIENT}{kind}" for kind in ("message", "presence", "iq"))
#: What a message says that somebody is to get; copies and results of archives have it deeper inside.
CONTENT = (f"{CLIENT}body", "{urn:xmpp:receipts}received")
RESULT = "{urn:xmpp:mam:2}result"
SM = "urn:xmpp:sm:3"


class Seen(NamedTuple):
    """What is the same of a stanza however often it is sent."""

    tag: str
    kind: str | None
    id: str | None
    sender: str | None

    @classmethod
    def of(cls, element: Any) -> Seen:
        return cls(element.tag, element.get("type"), element.get("id"), element.get("from"))

    @property
    def is_chat(self) -> bool:
        return self.tag == STANZAS[0] and self.kind == "chat" and self.id is not None


class Device:
    """A client that counts by itself, and honestly unless it is told to lie.

    :param first: where all counters begin (tests start near 2**32).

    :ivar received: stanzas from the server; :ivar acknowledged: those of them that it has acknowledged.
    :ivar sent: stanzas to the server; :ivar server_handled: the last `h` of the server.
    :ivar got: what it received in this session, in order.
    :ivar chats: ids of all chat messages that it was ever sent.
    :ivar certain: those that it acknowledged, and when it did.
    :ivar twice: those that it was sent twice in one session, with different numbers.
    :ivar fetched: ids of all messages that it has found in the archive.
    """

    def __init__(self, world: InProcessServer, user: str, number: int, first: int = 0) -> None:
        self.world, self.user, self.first = world, user, first
        self.jid = f"{user}@localhost/d{number}"
        self.client: Client | None = None
        self.session: ClientSession | None = None
        self.token = ""
        self.chats: set[str] = set()
        self.certain: dict[str, float] = {}
        self.twice: set[str] = set()
        self.fetched: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self.received = self.acknowledged = self.sent = self.server_handled = self.first
        self.got: list[Seen] = []
        #: What was sent in this session, to be sent again where the server has not handled it.
        self.unacknowledged: list[str] = []

    # -- connections

    def login(self) -> None:
        """Begin a new session."""
        self.client = self._connected()
        self.client.bind(JID.parse(self.jid).resource)
        self.client.send(f"<enable xmlns='{SM}' resume='true'/>")
        self._begin()
        self.read()
        self._find_session()
        self.say("<presence/>")
        self.world.settle()

    def _connected(self) -> Client:
        client = self.world.connect()
        client.authenticate(f"{self.user}@localhost", "secret")
        client.take()
        self.inbound, self.outbound = Tap(), Tap()
        return client

    def _find_session(self) -> None:
        registry = self.world.server.registry
        self.session = cast(ClientSession | None, registry.session(JID.parse(self.jid)))

    def resume(self, forgotten: int = 0) -> bool:
        """Come back on another connection; what the server has not handled is sent again.

        :param forgotten: stanzas that it has, and says that it has not.
        :returns: whether the session was still there; if not, a new one has begun.
        """
        forgotten = min(forgotten, (self.received - self.acknowledged) % MODULUS)
        h = (self.received - forgotten) % MODULUS
        before = self.got[len(self.got) - forgotten :]
        self.client = self._connected()
        self.client.send(f"<resume xmlns='{SM}' previd='{self.token}' h='{h}'/>")
        self.world.settle()
        self.received = self.acknowledged = h
        place = len(self.got) - forgotten
        self.got = self.got[:place]
        answer = self.read()
        assert answer is not None, "neither resumed nor failed"
        pending = self._pending(answer.get("h"))
        resumed = bool(answer.tag == f"{{{SM}}}resumed")
        if resumed:
            self._certain(place)
            again = self.got[place : place + forgotten]
            assert again == before, (self.jid, again, before)
            self._find_session()
            self.sent = self.server_handled = int(answer.get("h"))
            self.unacknowledged = []
        else:
            self.login()
        for text in pending:
            self.say(text)
        return resumed

    def _pending(self, h: str | None) -> list[str]:
        """What the server has not handled of what was sent; all that it may not have, where nobody knows."""
        # A smaller one was written down before the server said more.
        if h is not None and (int(h) - self.server_handled) % MODULUS <= MODULUS // 2:
            self.server_handled = int(h)
        missing = (self.sent - self.server_handled) % MODULUS
        assert missing <= len(self.unacknowledged), (self.jid, h, self.sent, "h is ahead of what was sent")
        return self.unhandled()

    def unhandled(self, *, and_before: int = 0) -> list[str]:
        """What was sent in this session, and the server has not said that it has handled.

        :param and_before: so many of the newest ones that it has.
        """
        missing = (self.sent - self.server_handled) % MODULUS + and_before
        return self.unacknowledged[max(0, len(self.unacknowledged) - missing) :]

    def cut(self, half: bytes = b"") -> None:
        assert self.client is not None
        if half:
            self.client.send(half)
        self.read()
        self.client.cut()
        self.client = None

    def lost(self) -> None:
        """The server is gone."""
        self.read()
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

    @property
    def settled(self) -> bool:
        """Whether the server has handled all that it has taken."""
        session = self.session
        return session is None or session.ended or session.ledger is None or session.ledger.settled

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

    def acknowledge(self, h: int) -> None:
        """Say how many stanzas have been handled."""
        self.acknowledged = h
        self._certain(len(self.got) - (self.received - h) % MODULUS)
        self.nonza(f"<a xmlns='{SM}' h='{h}'/>")

    def _certain(self, known: int) -> None:
        """So many of the stanzas of this session are acknowledged."""
        now = self.world.reactor.seconds()
        for seen in self.got[:known]:
            if seen.is_chat and seen.id:
                self.certain.setdefault(seen.id, now)

    def read(self) -> Any:
        """Count what the server has sent; the answer is what it said to a resumption."""
        if self.client is None:
            return None
        self.inbound.feed(self.client.take().encode())
        answer = None
        for element in self.inbound.take():
            if element.tag in STANZAS:
                self._count(element)
            elif element.tag == f"{{{SM}}}enabled":
                self.token, self.received = element.get("id"), self.first
            elif element.tag in (f"{{{SM}}}resumed", f"{{{SM}}}failed"):
                answer = element
            elif element.tag == f"{{{SM}}}a":
                self.server_handled = int(element.get("h"))
        return answer

    def _count(self, element: Any) -> None:
        self.received = (self.received + 1) % MODULUS
        seen = Seen.of(element)
        if seen.is_chat and any(element.find(name) is not None for name in CONTENT):
            if seen in self.got:
                self.twice.add(cast(str, seen.id))
            self.chats.add(cast(str, seen.id))
        if (result := element.find(RESULT)) is not None:
            self.fetched.update(inner.get("id", "") for inner in result.iter(STANZAS[0]))
        self.got.append(seen)
