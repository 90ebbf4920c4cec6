"""What happens in a domain, as types.  Modules hook handlers to them (see `xmppd.core.hooks`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xmppd.core.account import Account
from xmppd.core.decision import Decision
from xmppd.core.jid import JID

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from xmppd.core.context import Session, Ticket
    from xmppd.core.stanza import Stanza

__all__ = [
    "AccountCreated",
    "AccountRemoved",
    "AccountRemoving",
    "AccountStays",
    "BacklogHolds",
    "IqArriving",
    "IqSending",
    "MessageArriving",
    "MessageRefused",
    "MessageSending",
    "PresenceArriving",
    "PresenceLeaving",
    "PresenceSending",
    "RosterChanged",
    "SessionAvailable",
    "SessionBound",
    "SessionEnded",
]


class MessageSending:
    """A local user sends a message.  Handlers may replace `stanza`, or settle it by answering it.

    :ivar archived_as: sequence of its row in the sender's archive, once it has one.
    """

    __slots__ = ("account", "archived_as", "session", "stanza", "ticket")

    def __init__(self, stanza: Stanza, account: Account, session: Session | None, ticket: Ticket) -> None:
        self.stanza = stanza
        self.account = account
        self.session = session
        self.ticket = ticket
        self.archived_as: int | None = None


class MessageArriving:
    """A message arrives for a local account, from wherever.

    :ivar archived_as: sequence of its row in the account's history, once it has one.
    :ivar row: its sequence there if it waits for delivery, so that a delivery confirms it.
    :ivar decision: who will get the original, and what becomes of it if that is nobody.
    :ivar delivered: the sessions that got the original, once it has been delivered.
    """

    __slots__ = ("account", "archived_as", "decision", "delivered", "row", "stanza", "ticket")

    def __init__(self, stanza: Stanza, account: Account, ticket: Ticket, decision: Decision) -> None:
        self.stanza = stanza
        self.account = account
        self.ticket = ticket
        self.decision = decision
        self.archived_as: int | None = None
        self.row: int | None = None
        self.delivered: list[Session] = []


@dataclass(slots=True)
class MessageRefused:
    """The server itself refuses a message, and has just told the session that sent it.

    :ivar stanza: the error.
    """

    stanza: Stanza
    session: Session


@dataclass(slots=True)
class PresenceSending:
    """A local session sends presence, of any type, to anyone or (no ``to``) as broadcast.

    :ivar waiting: what the session's next stanza has to wait for, where this one must wait for the disk.
    """

    stanza: Stanza
    account: Account
    session: Session | None
    ticket: Ticket
    waiting: Deferred[None] | None = None


@dataclass(slots=True)
class PresenceLeaving:
    """Presence of a local account leaves for another domain, made by its client or by the server for it."""

    stanza: Stanza
    account: Account


@dataclass(slots=True)
class PresenceArriving:
    """Presence of any type arrives for a local account or one of its resources."""

    stanza: Stanza
    account: Account
    ticket: Ticket


@dataclass(slots=True)
class IqSending:
    """A local session sends an iq to somebody else than its own account and server."""

    stanza: Stanza
    account: Account
    session: Session | None
    ticket: Ticket


@dataclass(slots=True)
class IqArriving:
    """An iq arrives for a local account or one of its resources."""

    stanza: Stanza
    account: Account
    ticket: Ticket


@dataclass(slots=True)
class SessionBound:
    """A resource was bound."""

    session: Session


@dataclass(slots=True)
class SessionAvailable:
    """A session sent available presence; `first` for the first time since it was unavailable.

    :ivar previous: the priority before, None if it was not available.
    """

    session: Session
    previous: int | None

    @property
    def first(self) -> bool:
        """Whether it was not available before."""
        return self.previous is None


@dataclass(slots=True)
class BacklogHolds:
    """Much that an account has got waits for messages that nobody was given yet."""

    account: Account


@dataclass(slots=True)
class SessionEnded:
    """A session is gone for good; it is no longer in its account's sessions.

    :ivar unacknowledged: what stream management still held that is in no archive, and when it was sent.
    """

    session: Session
    unacknowledged: list[tuple[Stanza, float]] = field(default_factory=list)


@dataclass(slots=True)
class RosterChanged:
    """A contact came into an account's roster, changed in it, or left it.

    :ivar present: whether the contact is in it now; None where a change was lost, and what is on the disk
        counts again.
    """

    account: Account
    contact: JID
    present: bool | None


@dataclass(slots=True)
class AccountCreated:
    """An account was made."""

    account: Account


@dataclass(slots=True)
class AccountRemoving:
    """An account is about to be removed: its sessions and rows are still there, so that it can take leave.

    :ivar ticket: handlers that need the disk before they can send hold it; the rows go when it is let go of.
    """

    account: Account
    ticket: Ticket


@dataclass(slots=True)
class AccountStays:
    """An account was to be removed, and could not: what was done for its leave is to be undone."""

    account: Account


@dataclass(slots=True)
class AccountRemoved:
    """An account was removed; its rows are gone."""

    account: Account
    jid: JID
