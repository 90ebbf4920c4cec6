"""What the parts of the server see of each other: typed Protocols, and the Context handed to a module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from xmppd.core.account import Account
from xmppd.core.hooks import Hooks
from xmppd.core.jid import JID
from xmppd.core.lane import Lane

if TYPE_CHECKING:
    from xmppd.core.errors import StanzaError, StreamError
    from xmppd.core.module import Module
    from xmppd.core.stanza import Stanza

__all__ = [
    "Accounts",
    "Archive",
    "Clock",
    "Completion",
    "Context",
    "Database",
    "Host",
    "Registry",
    "Router",
    "Session",
    "Ticket",
]

T = TypeVar("T")


class Completion(Protocol):
    """Someone who waits for a row to be durable; called in the reactor's thread."""

    def committed(self) -> None:
        """The row is on the disk."""

    def failed(self, error: BaseException) -> None:
        """The row alone could not be stored."""


class Ticket(Completion, Protocol):
    """What an incoming stanza holds until all that it caused is durable."""

    def hold(self) -> None:
        """One more thing to wait for; `committed` or `failed` lets go of it."""


class Session(Protocol):
    """A bound resource.  It may outlive its connection (stream management).

    :ivar jid: the full JID.
    :ivar account: whose session it is.
    :ivar priority: of its last presence; None before it is available and after it is unavailable.
    :ivar presence: the last available presence that it broadcast, or None.
    :ivar slots: what modules keep, by name (see `xmppd.core.slots`).
    """

    jid: JID
    account: Account
    priority: int | None
    presence: Stanza | None
    slots: dict[str, Any]

    @property
    def available(self) -> bool:
        """Whether it has sent available presence."""
        ...

    def send(self, stanza: Stanza, row: int | None = None) -> None:
        """Queue a stanza for the client.

        :param row: the sequence of the archived message that it delivers, where it is one.
        """

    def forget(self, rows: Collection[int], ids: Collection[str]) -> None:
        """Messages were erased: let go of what is kept of them for the client.

        :param rows: their sequences in the archive.
        :param ids: the ids that they have there; copies carry them.
        """

    @property
    def has_room(self) -> bool:
        """Whether the client reads what is written to it."""
        ...

    @property
    def is_far_behind(self) -> bool:
        """Whether so much waits for a client that is away, or comes back, that it is not to become more."""
        ...

    async def room(self) -> None:
        """Done when the client can take more; for whoever sends much at once, between its pieces."""

    def once_received(self, call: Callable[[], None]) -> None:
        """Call once the client certainly has all that it was sent until now.

        A later call takes the place of one that still waits.
        """

    def press(self) -> None:
        """Send what is held back, and ask the client how far it is."""

    def close(self, error: StreamError | None = None) -> None:
        """End the session for good."""


class Registry(Protocol):
    """Which accounts exist, and who is online."""

    def account(self, jid: JID) -> Account | None:
        """The account of a local bare JID (a resource is ignored)."""

    def accounts(self) -> Iterable[Account]:
        """All accounts of the process."""

    def session(self, jid: JID) -> Session | None:
        """The session bound to a full JID."""

    def sessions(self) -> Iterable[Session]:
        """All sessions of the process."""

    def is_local(self, domain: str) -> bool:
        """Whether this process serves the domain."""


class Router(Protocol):
    """The way of a stanza, whoever made it."""

    def send(self, stanza: Stanza, session: Session | None = None, ticket: Ticket | None = None) -> object:
        """A local user sends a stanza: the hooks of sending, then `arrive`.

        :param session: the client session that it came from, if any.
        :param ticket: what waits until all that it causes is durable.
        """

    def arrive(self, stanza: Stanza, ticket: Ticket | None = None) -> None:
        """A stanza arrives where its ``to`` says: a local account or domain, or another server.

        Modules and the server itself send what they make this way; sender and addressee are set.
        """

    def refuse(self, stanza: Stanza, problem: StanzaError) -> None:
        """Answer a stanza with an error, unless it is one that is never answered."""


class Database(Protocol):
    """The door to the stores (see `xmppd.storage.database`).

    :ivar lane: for what clients can make long, by the number of the account.
    """

    lane: Lane

    @property
    def faulted(self) -> bool:
        """Whether nothing can be written now: what was given to it lately cannot be read yet."""
        ...

    @property
    def queued(self) -> int:
        """How many writes wait: whoever has time can wait until there are none."""
        ...

    async def read(self, name: str, function: Callable[..., T], /, *args: Any) -> T:
        """Run `function(cursor, *args)` in a reading transaction."""
        ...

    async def write(self, name: str, function: Callable[..., T], /, *args: Any) -> T:
        """Run `function(cursor, *args)` in the next group; done when it is durable."""
        ...

    async def scrub(self) -> None:
        """After content was erased: leave no copy of it in the database's files."""

    def scrub_later(self) -> None:
        """The same, soon: for what happens often."""

    def observe(self, observer: Any) -> None:
        """Tell this observer of faults and of a full queue (`xmppd.storage.writer.Observer`)."""

    def append(self, statement: Any, row: tuple[Any, ...], done: Completion | None = None) -> Any:
        """Put a row in the open group."""


class Accounts(Protocol):
    """What happens to whole accounts: in the store, to their sessions, to everyone's contacts."""

    async def create(self, jid: JID, password: str) -> None:
        """Make an account.

        :raises StanzaError: ``conflict`` where the name is taken, reserved, or was removed and not
            released; ``not-acceptable`` where name or password cannot be used.
        """

    async def set_password(self, jid: JID, password: str) -> None:
        """Give an account another password.

        :raises StanzaError: ``not-acceptable`` for a password that cannot be used, ``item-not-found``.
        """

    async def remove(self, jid: JID, asked_by: Session | None = None) -> None:
        """Remove an account with all that is its own; its sessions end with ``not-authorized``.

        :param asked_by: its session that stays until the asker ends it: it still gets the answer.
        :raises StanzaError: ``item-not-found``.
        """


class Host(Protocol):
    """A served domain, as its modules see it.

    :ivar modules: by name, in the order in which they were loaded.
    """

    modules: dict[str, Module]


class Archive(Protocol):
    """The archives of all accounts: one row a message and owner, in order of reception."""

    @property
    def latest(self) -> int:
        """The greatest sequence in use."""
        ...

    def store(
        self,
        account: Account,
        stanza: Stanza,
        *,
        outgoing: bool,
        history: bool,
        deliver: bool,
        ticket: Ticket,
    ) -> int:
        """Put a message in the open group and let the ticket wait for it.

        :param outgoing: whether the owner sent it.
        :param history: whether archive queries find it.
        :param deliver: whether it is replayed to the owner until a client has it.
        :returns: its sequence in the owner's archive.
        """
        ...

    def id_of(self, account: Account, row: int) -> str:
        """The id of a row for everyone to see (XEP-0359)."""
        ...

    def ids_of(self, account: Account, rows: Iterable[int]) -> list[str]:
        """The ids of many rows."""
        ...

    @property
    def faulted(self) -> bool:
        """Whether rows wait in memory because the database cannot store them."""
        ...

    def withdraw(self, account: Account, row: int) -> bool:
        """Take back a row that waits since a fault; false if it is too late for that."""
        ...

    def forget_waiting(self) -> None:
        """The fault is over: rows can no longer be withdrawn."""

    def mark(self, account: Account, stanza: Stanza, row: int) -> Stanza:
        """The message with the id that the owner's archive gave it."""
        ...

    def row_of(self, account: Account, text: str) -> int | None:
        """The sequence that such an id stands for; None if it is none of this archive."""
        ...


class Clock(Protocol):
    """A reactor or a fake one."""

    def seconds(self) -> float:
        """Time in seconds."""
        ...

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any) -> Any:
        """Call later."""


@dataclass(frozen=True)
class Context:
    """What a module gets: its domain and everything around it.

    :ivar domain: the domain that is served, as a JID.
    :ivar hooks: the events of this domain.
    :ivar now: seconds since 1970.
    :ivar spawn: run a coroutine beside the stanza that is handled; its failure is logged.
    :ivar settings: the configuration of the domain (`xmppd.config.DomainConfig`).
    :ivar limits: the limits of the process (`xmppd.config.Limits`).
    """

    domain: JID
    host: Host
    hooks: Hooks
    router: Router
    registry: Registry
    accounts: Accounts
    archive: Archive
    database: Database
    clock: Clock
    now: Callable[[], float]
    spawn: Callable[[Awaitable[None]], None]
    settings: Any
    limits: Any
