"""What a stream needs of the process around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from xmppd.auth.accounts import Directory
from xmppd.auth.fast import Tokens
from xmppd.auth.throttle import Throttle
from xmppd.core.account import Account
from xmppd.core.budget import LineBudget
from xmppd.core.context import Clock, Ticket
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.core.module import Inlined
from xmppd.core.stanza import Stanza
from xmppd.stream.admission import Admission
from xmppd.stream.outbox import Outbox
from xmppd.stream.pace import Pace
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import SmLimits
from xmppd.stream.turns import Turns
from xmppd.xml.reader import ParserPool
from xmppd.xml.tree import Element

if TYPE_CHECKING:
    from xmppd.stream.c2s import ClientStream

__all__ = ["Registrar", "Served", "Services", "SessionKeeper", "Timeouts"]


class Registrar(Protocol):
    """In-band registration before authentication (XEP-0077)."""

    def registration_form(self) -> bytes:
        """The payload that says what to fill in."""

    async def register(self, payload: Element, address: str) -> None:
        """Make an account; raises `StanzaError`."""


class Served(Protocol):
    """A domain, as a stream to it sees it."""

    jid: JID
    directory: Directory

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Names of the SASL mechanisms that it allows."""
        ...

    @property
    def registrar(self) -> Registrar | None:
        """Registration, where strangers may register."""
        ...

    @property
    def tokens(self) -> Tokens | None:
        """Where the tokens of clients are kept (XEP-0484), if anywhere."""
        ...

    def offered(self) -> bytes:
        """What its modules offer in the stream features after authentication."""
        ...

    def inlined(self) -> Iterable[Inlined]:
        """What clients may ask its modules for while a resource is bound."""
        ...

    async def told_when_bound(self, account: Account) -> bytes:
        """What its modules tell a client whose resource has been bound."""
        ...


class SessionKeeper(Protocol):
    """Who binds resources, and routes what they send."""

    def served(self, domain: str) -> Served | None:
        """The domain of that name, if it is served here."""

    def hostname(self) -> str:
        """The domain in whose name those are answered who asked for none that is served."""

    def enter(self, domain: JID, local: str, *, guest: bool) -> Account | None:
        """The account behind an authenticated identity; None if it is gone meanwhile."""

    def bind(self, session: ClientSession) -> None:
        """Put a session in its account; another one of the same full JID ends with ``conflict``."""

    def left(self, session: ClientSession) -> None:
        """A session has lost its connection and waits for its client."""

    def end(self, session: ClientSession) -> None:
        """A session is over for good."""

    def named(self, account: Account, token: str) -> ClientSession | None:
        """The session that a token of stream management names, also if it cannot be resumed any more."""

    async def handled_before(self, account: Account, token: str) -> int | None:
        """`h` of a session that is gone, where it is known; raises `StorageError` if it cannot be read."""

    async def stored_messages(self, session: ClientSession, rows: Collection[int]) -> Mapping[int, Stanza]:
        """Messages of which a session has kept only the position; raises `StorageError`."""

    def receive(self, stanza: Stanza, session: ClientSession, ticket: Ticket) -> Deferred[Any] | None:
        """A stanza with sender and addressee set; the answer is something to wait for, if anything."""

    def refuse(self, stanza: Stanza, session: ClientSession, problem: StanzaError) -> None:
        """Answer a client's stanza with an error."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.  See the limits of the configuration for what each means."""

    handshake: float = 20
    negotiation: float = 60
    registration: float = 600
    idle: float = 300
    answer: float = 30
    close: float = 5
    write: float = 60


@dataclass(frozen=True)
class Services:
    """What all client streams share.

    :ivar clock: the reactor.
    :ivar now: seconds since 1970.
    :ivar strangers: parsers, and bounds, before authentication.
    :ivar pool: the same after it.
    :ivar tls: the contexts of the served domains, for ``transport.startTLS``.
    :ivar streams: the open connections.
    :ivar admission: who may connect.
    :ivar pace: how fast clients are listened to.
    :ivar lines: how much strangers can write into the log.
    :ivar write_buffer: bytes that may wait for a client that does not read.
    :ivar csi_queue: stanzas that are held for an inactive client.
    """

    clock: Clock
    now: Callable[[], float]
    turns: Turns
    keeper: SessionKeeper
    strangers: ParserPool
    pool: ParserPool
    tls: Any
    throttle: Throttle
    streams: set[ClientStream]
    admission: Admission
    pace: Pace
    lines: LineBudget
    timeouts: Timeouts
    sm: SmLimits
    write_buffer: int = 1 << 20
    csi_queue: int = 256
    failures_per_stream: int = 5

    def new_outbox(self) -> Outbox:
        """An outbox for a session."""
        return Outbox(self.turns, self.now, self.write_buffer)
