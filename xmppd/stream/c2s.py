"""A client's connection: from the first byte to the last, whatever the session behind it does."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from xmppd.auth.throttle import address_key
from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.stanza import Stanza
from xmppd.stream import wire
from xmppd.stream.addressing import address, check_iq
from xmppd.stream.brake import Brake
from xmppd.stream.deadline import Deadline
from xmppd.stream.framing import Reins, TcpFramer
from xmppd.stream.inbox import STORE, Inbox
from xmppd.stream.opening import check_claim, check_namespaces, check_version
from xmppd.stream.outbox import Outbox
from xmppd.stream.services import Served, Services
from xmppd.stream.session import ClientSession, detached
from xmppd.xml.parser import Header, Item, Nonza
from xmppd.xml.reader import StreamReader

if TYPE_CHECKING:
    from xmppd.auth.offer import Offer
    from xmppd.stream.features import Feature
    from xmppd.stream.login import Login

__all__ = ["ClientStream", "State"]

_log = Logger()

#: Bytes that are written to a client that has bound no resource; it may not read them.
MOST_BEFORE_BINDING: Final = 64 << 10
#: Characters of the name of an unknown element that are told, and logged.
LONGEST_NAME: Final = 64
#: Characters of the addresses in a header: what is longer is not looked at, since a stranger may send it.
LONGEST_CLAIM: Final = 256


class State(Enum):
    """How far the negotiation is.  What is legal in which state stands with each feature."""

    PLAIN = auto()
    SECURE = auto()
    AUTHENTICATED = auto()
    BOUND = auto()
    CLOSED = auto()


def _room(outbox: Outbox, before: int) -> Deferred[Any] | None:
    """What to wait for behind the answer to a request: whoever does not read it gets no other one.

    :param before: bytes that waited for the client before the request, -1 where it had room.
    """
    return outbox.room() if outbox.blocked and outbox.pending_bytes > before else None


@implementer(IHandshakeListener)
class ClientStream(Protocol):
    """A stream over TCP, with STARTTLS or direct TLS.

    :param services: what all streams share.
    :param features: what is negotiated, in the order in which it is offered.
    :param direct: whether the connection begins with TLS (XEP-0368).

    :ivar served: the domain, fixed by the first header behind TLS.
    :ivar claimed: who the client said it is in its last header, if it did.
    :ivar account: who authenticated; set once, by SASL.
    :ivar session: the bound session, once there is one.
    :ivar deadline: until when a resource must be bound.
    """

    transport: Any

    def __init__(self, services: Services, features: tuple[Feature, ...], *, direct: bool = False) -> None:
        self.services = services
        self.features = features
        self.state = State.PLAIN
        self.served: Served | None = None
        self.claimed: str | None = None
        self.account: Account | None = None
        self.session: ClientSession | None = None
        self.login: Login | None = None
        self.offer: Offer | None = None
        self.bindings: dict[str, bytes] | None = None
        self.failures = 0
        self.lang: str | None = None
        self.id = secrets.token_hex(8)
        self.address = "?"
        #: Who it is, for the log: also when the session is gone.
        self._name = "stranger"
        self.deadline = Deadline(services.clock, self._too_slow)
        self.heard_at = services.clock.seconds()
        self.nudged_at = 0.0
        self.asked_at: float | None = None
        self.blocked_at: float | None = None
        self._direct = direct
        self._inbox = Inbox(self, services.strangers, services.clock)
        self._brake = Brake(services.pace, services.clock, self._inbox)
        self._header_sent = False
        self._closing: Any = None
        self._origin = ""
        self._told = 0

    # -- the transport

    def connectionMade(self) -> None:
        """A client has connected."""
        self.services.streams.add(self)
        peer = self.transport.getPeer()
        if isinstance(peer, IPv4Address | IPv6Address):
            self.address = wire.readable_address(peer.host)
            self._origin = address_key(peer.host)
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.services.admission.entered(self._origin)
        self.deadline.allow(self.services.timeouts.negotiation, "negotiation_timeout")
        if self._direct:
            self._expect_handshake()

    def _too_slow(self, limit: str) -> None:
        self.end(StreamError("connection-timeout", f"Log in faster ({limit})"))

    def _expect_handshake(self) -> None:
        self.deadline.expect_within(self.services.timeouts.handshake, "tls_handshake_timeout")

    def handshakeCompleted(self) -> None:
        """TLS is there; that does not bring back a stream that has been ended meanwhile."""
        if self.state is State.CLOSED:
            return
        self.state = State.SECURE
        self.deadline.expect_within(self.services.timeouts.negotiation, "negotiation_timeout")

    def start_tls(self) -> None:
        """Begin TLS; nothing that came in plaintext may be left, or counts any more (section 5.4.3.3).

        :raises StreamError: ``policy-violation``.
        """
        if self.state is not State.PLAIN:
            raise StreamError("policy-violation", "TLS is there already")
        if self._inbox.reader.leftover():
            raise StreamError("policy-violation", "Nothing may follow <starttls/> before TLS")
        self.write(wire.PROCEED)
        self._inbox.reader = StreamReader(self.services.strangers)
        self.served = self.claimed = self.lang = None
        self._begin_anew()
        self._expect_handshake()
        self.transport.startTLS(self.services.tls)

    def tls_connection(self) -> Any:
        """The TLS connection, for channel binding and for people."""
        handle = getattr(self.transport, "getHandle", None)
        return handle() if handle is not None and self.state is not State.PLAIN else None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.deadline.close()
        self._brake.close()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        self.services.admission.left(self._origin, known=self.account is not None)
        self.state = State.CLOSED
        session, self.session = self.session, None
        if session is not None:
            self._leave(session)
        self._inbox.leave()
        self.services.streams.discard(self)

    def _leave(self, session: ClientSession) -> None:
        session.stream = None
        smacks = session.smacks
        if smacks is not None and smacks.resumable:
            smacks.hibernate()
            self.services.keeper.left(session)
            self._bound_detached(session.account)
        else:
            self.services.keeper.end(session)

    def _bound_detached(self, account: Account) -> None:
        most, waiting = self.services.sm.detached, detached(account)
        if most is not None and len(waiting) > most:
            hits.hit("sm_detached_per_account")
            for session in waiting[: len(waiting) - most]:
                session.close()

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        if self.state is State.CLOSED:
            return
        self.heard_at = now = self.services.clock.seconds()
        self.asked_at = None
        self._brake.read(len(data), now)
        if self.session is not None:
            self.session.outbox.heard()
        self._inbox.push(data)

    @property
    def weight(self) -> int:
        """Bytes that have come, with what TLS adds to each piece."""
        return self._brake.weight

    def carried(self, size: int) -> None:
        """Beside data, TLS has carried so many bytes more."""
        if self.state is not State.CLOSED:
            self._brake.read(size, self.services.clock.seconds())

    def worked(self, seconds: float, now: float) -> None:
        """What it has sent has taken so long to handle."""
        self._brake.worked(seconds, now)

    def hold_reading(self) -> None:
        """The database cannot keep up."""
        if self.session is not None:
            self._inbox.pause(STORE)

    def go_on_reading(self) -> None:
        """The database has caught up; what the client has said meanwhile comes only now."""
        self.asked_at, self.heard_at = None, self.services.clock.seconds()
        self._inbox.resume(STORE)

    # -- for the inbox

    @property
    def is_closed(self) -> bool:
        """Whether nothing is handled any more."""
        return self.state is State.CLOSED

    @property
    def reads_ahead(self) -> bool:
        """Whether the stream is bound, and the client knows it: nothing changes any more what bytes mean."""
        return self.session is not None and not self.session.outbox.held

    def passes(self, item: Item) -> bool:
        """What stream management asks and says does not wait for a handler."""
        return isinstance(item, Nonza) and item.name in ("r", "a") and item.namespace in (ns.SM, ns.SM2)

    def comes_again(self, item: Item) -> bool:
        """A request for an acknowledgement that could not cover all before it is answered again."""
        return isinstance(item, Nonza) and item.name == "r"

    def failed(self, failure: Failure) -> None:
        """The stream cannot go on."""
        if isinstance(failure.value, StreamError):
            self.end(failure.value)
            return
        if self.may_log():
            _log.failure("{stream}: a handler failed", failure, stream=self)
        self.end(StreamError("internal-server-error"))

    def may_log(self) -> bool:
        """Whether a line about this client may still be logged; strangers must not flood the log."""
        return self.services.lines.allows(self.account.jid.text if self.account else self.address)

    # -- what came

    def handle(self, item: Item) -> Awaitable[None] | Deferred[Any] | None:
        """Do what an item asks for."""
        if isinstance(item, Stanza):
            return self._stanza(item)
        if isinstance(item, Nonza):
            return self._nonza(item)
        if isinstance(item, Header):
            self._open(item)
            return None
        self.end(None)
        return None

    def _stanza(self, stanza: Stanza) -> Awaitable[None] | Deferred[Any] | None:
        session = self.session
        if session is None:
            return self._stanza_before_binding(stanza)
        ticket, keeper, outbox = session.ticket(), self.services.keeper, session.outbox
        is_iq, before = stanza.kind == "iq", -1
        try:
            address(stanza, session, self.lang)
            if is_iq:
                before = outbox.pending_bytes if outbox.blocked else -1
                check_iq(stanza)
        except StanzaError as problem:
            keeper.refuse(stanza, session, problem)
            waiting = None
        else:
            waiting = keeper.receive(stanza, session, ticket)
        if waiting is None:
            ticket.committed()
            return _room(outbox, before) if is_iq else None

        def done(result: object) -> object:
            ticket.committed()
            room = _room(outbox, before) if is_iq else None
            return result if room is None else room.addCallback(lambda _: result)

        return waiting.addBoth(done)

    def _stanza_before_binding(self, stanza: Stanza) -> Awaitable[None] | None:
        if self.login is not None:
            raise StreamError("policy-violation", "Log in first, without anything between")
        for feature in self.features:
            if self.state in feature.states and feature.wants is not None and feature.wants(stanza):
                assert feature.take is not None
                return feature.take(self, stanza)
        raise StreamError("not-authorized", "Log in and bind a resource first")

    def _nonza(self, nonza: Nonza) -> Awaitable[None] | None:
        if self.login is not None and nonza.namespace not in (self.login.profile.namespace, ns.STREAMS):
            raise StreamError("policy-violation", "Log in first, without anything between")
        for feature in self.features:
            handler = feature.nonzas.get((nonza.namespace, nonza.name))
            if handler is not None:
                return handler(self, nonza)
        name = nonza.name[:LONGEST_NAME]
        raise StreamError("unsupported-stanza-type", f"Nobody knows what <{name}/> is here")

    # -- headers

    def _open(self, header: Header) -> None:
        check_namespaces(header)
        domain = header.attrs.get("to", "")
        served = self.services.keeper.served(domain) if 0 < len(domain) <= LONGEST_CLAIM else None
        lang = header.attrs.get("xml:lang")
        self.lang = lang if lang and len(lang) <= wire.LONGEST_LANG else None
        claimed = header.attrs.get("from", "")
        self.claimed = claimed if 0 < len(claimed) <= LONGEST_CLAIM else None
        ours = wire.header(self.id, self._domain(served), self.claimed)
        try:
            self._check_header(header, domain, served)
            self.served = served
            # In one write: they are three of the sixteen of a login.
            ours += self.offered()
        finally:
            self.write(ours)
            self._header_sent = True

    def _check_header(self, header: Header, domain: str, served: Served | None) -> None:
        check_version(header)
        if not domain:
            raise StreamError("improper-addressing", "The stream header needs a 'to'")
        if served is None:
            raise StreamError("host-unknown", "That domain is not served here")
        if self.served not in (None, served):
            raise StreamError("host-unknown", "The domain of a stream cannot change")
        if self.claimed is not None:
            account = self.account
            check_claim(
                self.claimed, served.jid, None if account is None or account.is_guest else account.jid
            )

    def _domain(self, served: Served | None) -> str:
        return self.services.keeper.hostname() if served is None else served.jid.text

    def offered(self) -> bytes:
        """What can be negotiated now."""
        offered = b"".join(feature.offer(self) for feature in self.features if self.state in feature.states)
        return b"<stream:features>" + offered + b"</stream:features>"

    # -- for the features

    def write(self, data: bytes) -> None:
        """Write what is not a stanza, before there is a session to write through."""
        if self.session is not None:
            self.session.outbox.nonza(data)
            return
        self._told += len(data)
        if self._told > MOST_BEFORE_BINDING:
            raise StreamError("policy-violation", "Bind a resource first; you have asked enough")
        self.transport.write(data)

    def authenticated(self, account: Account) -> None:
        """SASL has settled who this is; a new stream follows."""
        self.account, self._name = account, account.jid.text
        self.services.admission.known(self._origin)
        self.state = State.AUTHENTICATED
        self.login = self.offer = self.bindings = None
        self._inbox.reader.use(self.services.pool)

    def restart(self) -> None:
        """The next byte begins a new stream."""
        self._begin_anew()
        self._inbox.reader.restart()

    def _begin_anew(self) -> None:
        self.id = secrets.token_hex(8)
        self._header_sent = False

    def bound(self, session: ClientSession) -> None:
        """From now on this stream is that session's."""
        self.deadline.stop()
        self.state = State.BOUND
        self.session, self._name = session, session.jid.text
        session.stream = self
        session.description = wire.describe_connection(self.address, self.tls_connection())
        self._inbox.reader.settle(self.services.pool)
        session.outbox.attach(TcpFramer(self))
        self.transport.registerProducer(Reins(self), True)
        if self.services.pace.held:
            self.hold_reading()

    # -- the end

    def cut(self) -> None:
        """Give the connection up; the session may hibernate."""
        self.transport.abortConnection()

    def end(self, problem: StreamError | None, *, keep_session: bool = False) -> None:
        """Close the stream, with an error or without; the session ends with it unless it is kept.

        :param keep_session: it goes on without this stream (shutdown, or resumed on another one).
        """
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        session, self.session = self.session, None
        if session is not None:
            session.outbox.flush()
            session.outbox.detach()
            session.stream = None
        self._say_goodbye(problem)
        self._inbox.close()
        self.transport.loseConnection()
        if session is not None:
            # TLS does not end as long as there is somebody who may write.
            self.transport.unregisterProducer()
        self._closing = self.services.clock.callLater(self.services.timeouts.close, self._close_now)
        if session is not None and not keep_session:
            self.services.keeper.end(session)

    def _say_goodbye(self, problem: StreamError | None) -> None:
        if problem is not None:
            hits.told(problem.text)
            if self.may_log():
                _log.info("{stream}: closed: {problem}", stream=self, problem=problem)
        goodbye = b""
        if not self._header_sent:
            goodbye = wire.header(self.id, self._domain(self.served))
        self.transport.write(goodbye + wire.stream_error(problem) + b"</stream:stream>")

    def _close_now(self) -> None:
        self._closing = None
        hits.hit("close_timeout")
        self.transport.abortConnection()

    def __repr__(self) -> str:
        return f"<{self._name} from {self.address}>"
