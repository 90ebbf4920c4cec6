"""Sessions of stream management across restarts (XEP-0198 section 5)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from xmppd.storage.statement import Cursor, Statement

REMEMBERED_FOR: Final = 30 * 86_400
"""Seconds for which `h` of a session is known after it has ended."""

REMEMBER_HANDLED = Statement.insert(
    "session",
    ("account", "token", "handled", "expires"),
    tail="ON CONFLICT (account, token) DO UPDATE SET handled = excluded.handled, expires = excluded.expires",
    rank=1,
    newest_by=(0, 1),
)
"""Keep how many stanzas of a client were handled; rows are (account, token, handled, expires). Of several
about one session in a group only the last is run."""

FORGET = Statement("DELETE FROM session WHERE account = ? AND token = ? AND payload IS NULL", rank=2)
"""Forget a session that has ended; rows are (account, token)."""


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A session that a client may resume."""

    account: int
    token: str
    """The id that the client resumes with."""
    handled: int
    """`h`: how many of the client's stanzas were handled, modulo 2^32."""
    expires: int
    """Seconds since 1970."""
    payload: bytes
    """Everything else, in the session's own encoding."""


def save_all(cursor: Cursor, sessions: Iterable[SavedSession]) -> None:
    """Write down sessions at a graceful stop."""
    cursor.executemany(
        "INSERT INTO session (account, token, handled, expires, payload) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (account, token) DO UPDATE SET handled = excluded.handled, expires = excluded.expires,"
        " payload = excluded.payload",
        [(s.account, s.token, s.handled, s.expires, s.payload) for s in sessions],
    )


def take_all(cursor: Cursor, remembered_until: int) -> list[SavedSession]:
    """All sessions that were written down, those that have expired meanwhile, too; they can be taken once.
    Their `h` stays known.

    :param remembered_until: seconds since 1970, when the last of them is forgotten.
    """
    cursor.execute(
        "SELECT account, token, handled, expires, payload FROM session"
        " WHERE payload IS NOT NULL ORDER BY account, token"
    )
    taken = [SavedSession(*row) for row in cursor.fetchall()]
    cursor.execute(
        "UPDATE session SET payload = NULL, expires = ? WHERE payload IS NOT NULL", (remembered_until,)
    )
    return taken


def handled(cursor: Cursor, account: int, token: str) -> int | None:
    """`h` of a session of this account, for the answer to a resumption that fails; None if it is not
    known."""
    cursor.execute("SELECT handled FROM session WHERE account = ? AND token = ?", (account, token))
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def prune(cursor: Cursor, now: int) -> int:
    """Forget what has expired.

    :returns: how many.
    """
    cursor.execute("DELETE FROM session WHERE expires <= ?", (now,))
    return cursor.rowcount
