"""A bound resource: what of a client outlives its connection."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from xmppd.core.account import Account
from xmppd.core.errors import StreamError
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza
from xmppd.core.ticket import NO_TICKET, NoTicket
from xmppd.stream.ledger import Ledger, OpenTicket
from xmppd.stream.outbox import Outbox
from xmppd.stream.unacknowledged import Sent

if TYPE_CHECKING:
    from xmppd.stream.c2s import ClientStream
    from xmppd.stream.csi import Inactive
    from xmppd.stream.smacks import Smacks

__all__ = ["ClientSession", "detached"]


class ClientSession:
    """A session (see `xmppd.core.context.Session`).

    :ivar stream: its connection; None while it hibernates.
    :ivar ledger: what the client sent, once stream management is enabled.
    :ivar smacks: its stream management, once enabled.
    :ivar inactive: what holds stanzas back while the user does not look (XEP-0352), else None.
    :ivar since: seconds since 1970 when it was bound.
    """

    __slots__ = (
        "__weakref__",
        "account",
        "description",
        "ended",
        "inactive",
        "jid",
        "ledger",
        "outbox",
        "presence",
        "priority",
        "since",
        "slots",
        "smacks",
        "stream",
    )

    def __init__(self, jid: JID, account: Account, outbox: Outbox, since: float) -> None:
        self.jid = jid
        self.account = account
        self.outbox = outbox
        if (mailbox := account.mailbox) is not None:
            outbox.confirm = lambda rows: mailbox.confirm(rows, self)
        self.since = since
        self.priority: int | None = None
        self.presence: Stanza | None = None
        self.slots: dict[str, Any] = {}
        self.stream: ClientStream | None = None
        self.ledger: Ledger | None = None
        self.smacks: Smacks | None = None
        self.inactive: Inactive | None = None
        self.ended = False
        #: Address and TLS of its last connection, for people.
        self.description: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Session {self.jid}>"

    @property
    def available(self) -> bool:
        """Whether it has sent available presence."""
        return self.presence is not None

    def send(self, stanza: Stanza, row: int | None = None) -> None:
        """Queue a stanza for the client."""
        if self.ended:
            return
        if self.inactive is not None:
            self.inactive.send(stanza, row)
            return
        self.outbox.send(stanza, row)
        if self.smacks is not None:
            self.smacks.queued(stanza)

    def forget(self, rows: Collection[int], ids: Collection[str]) -> None:
        """Messages were erased: let go of what is kept of them for the client."""
        names = {each.encode() for each in ids}
        if self.inactive is not None:
            self.inactive.forget(rows, names)
        if (queue := self.outbox.queue) is not None:
            erased = Stanza("message", {"type": "headline"}, to=self.jid, sender=self.account.jid)
            queue.forget(rows, names, erased)

    async def room(self) -> None:
        """Done when the client reads what was written to it, or is gone; with a long queue, when it is back.

        Of several who wait, one after the other goes on, as long as there is room.
        """
        while not self.ended:
            waiting = self.outbox.progress() if self.is_far_behind else self.outbox.room()
            if waiting is None:
                break
            await waiting

    @property
    def has_room(self) -> bool:
        """Whether the client reads what is written to it."""
        return not self.outbox.blocked

    @property
    def is_far_behind(self) -> bool:
        """Whether so much waits for a client that is away, or comes back, that it is not to become more."""
        return self.smacks is not None and self.smacks.is_far_behind

    def once_received(self, call: Callable[[], None]) -> None:
        """Call once the client certainly has all that it was sent until now."""
        self.outbox.then(call)
        if self.smacks is not None:
            self.smacks.ask()

    def press(self) -> None:
        """Send what is held back, and ask the client how far it is."""
        if self.inactive is not None:
            self.inactive.let_go()
        if self.smacks is not None:
            self.smacks.ask()

    def ticket(self) -> OpenTicket | NoTicket:
        """A ticket for a stanza that has just been received."""
        return NO_TICKET if self.ledger is None else self.ledger.open()

    def close(self, error: StreamError | None = None) -> None:
        """End the session for good, with its stream."""
        if self.stream is not None:
            self.stream.end(error)
        elif self.smacks is not None:
            self.smacks.expire()

    def take_unacknowledged(self) -> list[Sent]:
        """What the client never acknowledged, or was never sent."""
        if self.inactive is not None:
            self.inactive.let_go()
        return self.outbox.take_unacknowledged()


def detached(account: Account) -> list[ClientSession]:
    """The sessions of an account that wait for resumption; the one that has the least time left first."""
    waiting = [
        (session.smacks.seconds_left, session)
        for session in account.sessions
        if isinstance(session, ClientSession) and session.stream is None and session.smacks is not None
    ]
    return [session for _, session in sorted(waiting, key=lambda pair: pair[0])]
