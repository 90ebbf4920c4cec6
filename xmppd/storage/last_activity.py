"""When accounts were last there, and what they said when they left (XEP-0012)."""

from typing import Final, NamedTuple

from xmppd.storage import private
from xmppd.storage.statement import Cursor, Statement

#: It is one of the pieces that an account keeps; no client can have one of this name.
NAME: Final = "last activity"

SAVE: Final = Statement.insert(
    "private",
    ("account", "name", "content"),
    tail="ON CONFLICT (account, name) DO UPDATE SET content = excluded.content",
    newest_by=(0, 1),
)


class LastActivity(NamedTuple):
    """How an account left.

    :ivar at: seconds since 1970.
    :ivar status: of its last unavailable presence, or ''.
    """

    at: int
    status: str

    def row(self, account: int) -> tuple[int, str, bytes]:
        """For SAVE."""
        return account, NAME, f"{self.at} {self.status}".encode()


def load(cursor: Cursor, account: int) -> LastActivity | None:
    """How an account last left; None if it never did."""
    content = private.get(cursor, account, NAME)
    if content is None:
        return None
    at, _, status = content.decode().partition(" ")
    return LastActivity(int(at), status)
