"""Client state (XEP-0352): what is held while the user does not look.

It stands between a session and its counter: what is held has no number yet, and gets one when it is let go.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import TYPE_CHECKING, Final

from xmppd.core.classify import Importance, importance
from xmppd.core.counters import hits
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza
from xmppd.stream.unacknowledged import has_copy

if TYPE_CHECKING:
    from xmppd.stream.session import ClientSession

__all__ = ["HELD_BYTES", "INACTIVE", "Inactive", "activate", "deactivate"]

#: Whether the user of a session does not look, for the next start.  Nobody else may learn it.
INACTIVE: Final[Slot[bool]] = Slot("csi-inactive", False)

#: Bytes that are held for one session; beyond them all is let go.
HELD_BYTES: Final = 256 << 10


class Inactive:
    """Takes the place of a session's outbox while its client is inactive.

    It stays through hibernation and restarts; a client that resumes is active (XEP-0352, section 5.2).

    :param limit: stanzas that are held; with one more all are let go.
    """

    __slots__ = ("_bytes", "_held", "_limit", "_number", "_session")

    def __init__(self, session: ClientSession, limit: int) -> None:
        self._session, self._limit = session, limit
        self._bytes = self._number = 0
        #: In the order in which they are sent.  By address where only the newest counts, else by number.
        self._held: dict[str | int, tuple[Stanza, int | None]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def send(self, stanza: Stanza, row: int | None) -> None:
        """Hold a stanza, or drop it, or send it behind all that is held."""
        verdict, _ = importance(stanza)
        if verdict is Importance.NOW:
            self.let_go()
            self._pass_on(stanza, row)
        elif verdict is not Importance.NEVER or row is not None:
            self._hold(stanza, row, newest=verdict is Importance.LATEST)

    def _hold(self, stanza: Stanza, row: int | None, *, newest: bool) -> None:
        self._number += 1
        key = stanza.sender.text if newest and stanza.sender is not None else self._number
        replaced = self._held.pop(key, None)
        if replaced is not None:
            self._bytes -= len(replaced[0].wire)
        self._held[key] = stanza, row
        self._bytes += len(stanza.wire)
        if len(self._held) > self._limit or self._bytes > HELD_BYTES:
            hits.hit("csi_queue")
            self.let_go()

    def forget(self, rows: Collection[int], ids: Set[bytes]) -> None:
        """Messages were erased: they are not sent any more, nor copies of them.

        :param rows: their sequences in the archive, and
        :param ids: their ids.
        """
        for key, (stanza, row) in list(self._held.items()):
            if row in rows or has_copy(stanza, ids):
                del self._held[key]
                self._bytes -= len(stanza.wire)
                if row is not None:
                    self._session.outbox.confirm([row])

    def let_go(self) -> None:
        """Send all that is held, in order."""
        held, self._held, self._bytes = self._held, {}, 0
        for stanza, row in held.values():
            self._pass_on(stanza, row)

    def _pass_on(self, stanza: Stanza, row: int | None) -> None:
        session = self._session
        session.outbox.send(stanza, row)
        if session.smacks is not None:
            session.smacks.queued(stanza)


def deactivate(session: ClientSession, limit: int) -> None:
    """The user does not look any more; once more is no error."""
    if session.inactive is None:
        session.inactive = Inactive(session, limit)
        INACTIVE.set(session, True)


def activate(session: ClientSession) -> None:
    """The user looks again, or the client has come back on another stream."""
    inactive, session.inactive = session.inactive, None
    if inactive is not None:
        INACTIVE.set(session, False)
        inactive.let_go()
