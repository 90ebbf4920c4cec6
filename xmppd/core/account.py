"""An account as the running server knows it, and what is tied to it while it lives."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from xmppd.core.jid import JID

if TYPE_CHECKING:
    from xmppd.core.context import Session
    from xmppd.core.mailbox import Mailbox

__all__ = ["REMOVED", "Account"]

#: What the sessions of a removed account are told.
REMOVED: Final = "The account was removed"
#: Erased messages that are remembered by their sequences.
MOST_ERASED: Final = 1000


class Account:
    """One account.  All of them are in memory, so that a message never asks the disk who exists.

    :ivar id: the key of its rows; None for a guest, who has none.
    :ivar jid: its bare JID.
    :ivar enabled: whether it may log in.
    :ivar sessions: its bound sessions, hibernating ones included, in order of binding.
    :ivar mailbox: what it has not got yet; None for a guest.
    :ivar erasures: messages of its archive that were erased while this server ran.
    :ivar password_set_at: when its password changed last while this server ran, by the reactor's clock: a
        login that began before may have been checked with the old one.
    """

    __slots__ = (
        "__weakref__",
        "_erased",
        "enabled",
        "erasures",
        "id",
        "jid",
        "mailbox",
        "password_set_at",
        "sessions",
    )

    def __init__(
        self, number: int | None, jid: JID, mailbox: Mailbox | None, *, enabled: bool = True
    ) -> None:
        self.id = number
        self.jid = jid
        self.enabled = enabled
        self.erasures = 0
        self._erased: deque[int] | None = None
        self.mailbox = mailbox
        self.sessions: list[Session] = []
        self.password_set_at = -1.0

    def __repr__(self) -> str:
        return f"<Account {self.jid} {len(self.sessions)} sessions>"

    def note_erased(self, rows: Collection[int]) -> None:
        """Messages were erased: whoever has read them before is not to send them any more."""
        if self._erased is None:
            self._erased = deque(maxlen=MOST_ERASED)
        self._erased.extend(rows)
        self.erasures += len(rows)

    def has_erased(self, since: int, rows: Iterable[int]) -> bool:
        """Whether one of these was erased, or may have been, since there were so many `erasures`."""
        number = self.erasures - since
        if not number or self._erased is None:
            return False
        return number > len(self._erased) or not set(islice(reversed(self._erased), number)).isdisjoint(rows)

    @property
    def is_guest(self) -> bool:
        """Whether it lives only as long as its stream (SASL ANONYMOUS)."""
        return self.id is None
