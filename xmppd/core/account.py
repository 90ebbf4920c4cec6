"""An account as the running server knows it, and what is tied to it while it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmppd.core.jid import JID

if TYPE_CHECKING:
    from xmppd.core.context import Session
    from xmppd.core.mailbox import Mailbox

__all__ = ["REMOVED", "Account"]

#: What the sessions of a removed account are told.
REMOVED: Final = "The account was removed"


class Account:
    """One account.  All of them are in memory, so that a message never asks the disk who exists.

    :ivar id: the key of its rows; None for a guest, who has none.
    :ivar jid: its bare JID.
    :ivar enabled: whether it may log in.
    :ivar sessions: its bound sessions, hibernating ones included, in order of binding.
    :ivar mailbox: what it has not got yet; None for a guest.
    :ivar erasures: how often messages of its archive were erased while this server ran: what was read before
        may have their content.
    :ivar password_set_at: when its password changed last while this server ran, by the reactor's clock: a
        login that began before may have been checked with the old one.
    """

    __slots__ = ("__weakref__", "enabled", "erasures", "id", "jid", "mailbox", "password_set_at", "sessions")

    def __init__(
        self, number: int | None, jid: JID, mailbox: Mailbox | None, *, enabled: bool = True
    ) -> None:
        self.id = number
        self.jid = jid
        self.enabled = enabled
        self.erasures = 0
        self.mailbox = mailbox
        self.sessions: list[Session] = []
        self.password_set_at = -1.0

    def __repr__(self) -> str:
        return f"<Account {self.jid} {len(self.sessions)} sessions>"

    @property
    def is_guest(self) -> bool:
        """Whether it lives only as long as its stream (SASL ANONYMOUS)."""
        return self.id is None
