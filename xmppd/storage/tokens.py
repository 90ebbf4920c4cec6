"""Tokens that clients log in with instead of a password (XEP-0484)."""

from dataclasses import dataclass, field

from xmppd.storage.statement import Cursor


@dataclass(frozen=True, slots=True)
class Token:
    """One token, as it is kept: the token itself is known to its client only."""

    mechanism: str
    """The only one that it is good for."""
    key: bytes = field(repr=False)
    """SHA-256 of the token."""
    issued: int
    """Seconds since 1970."""
    expires: int
    """Seconds since 1970."""
    used: bool = False
    """Whether the client has logged in with it."""


def find(cursor: Cursor, domain: str, name: str, client: str) -> list[Token]:
    """The tokens of one client of an account, those that have expired too; the newest one first.

    Always one query, whether there is such an account or not.
    """
    cursor.execute(
        "SELECT t.mechanism, t.key, t.issued, t.expires, t.used FROM account a"
        " JOIN token t ON t.account = a.id"
        " WHERE a.domain = ? AND a.name = ? AND a.state != 'removed' AND t.client = ? ORDER BY t.used",
        (domain, name, client),
    )
    return [
        Token(mechanism, bytes(key), issued, expires, bool(used))
        for mechanism, key, issued, expires, used in cursor.fetchall()
    ]


def add(cursor: Cursor, account: int, client: str, token: Token, *, most: int) -> None:
    """Keep a new token, in place of one that the client never used. The one in use stays.

    Tokens that expired before this one was issued go, whoever's they are.

    :param most: clients of the account that may have tokens; of more, those whose tokens expire first lose
        them.
    """
    cursor.execute("DELETE FROM token WHERE expires <= ?", (token.issued,))
    cursor.execute("DELETE FROM token WHERE account = ? AND client = ? AND used = 0", (account, client))
    cursor.execute(
        "INSERT INTO token (account, client, used, mechanism, key, issued, expires)"
        " VALUES (?, ?, 0, ?, ?, ?, ?)",
        (account, client, token.mechanism, token.key, token.issued, token.expires),
    )
    cursor.execute(
        "SELECT client FROM token WHERE account = ? GROUP BY client ORDER BY max(expires) DESC, client",
        (account,),
    )
    for row in cursor.fetchall()[most:]:
        revoke(cursor, account, row[0])


def use(cursor: Cursor, account: int, client: str, token: Token) -> bool:
    """A client has logged in with its newest token: the older one is worth nothing any more.

    :returns: False if the newest token is another one by now.
    """
    cursor.execute(
        "SELECT key FROM token WHERE account = ? AND client = ? AND used = 0",
        (account, client),
    )
    row = cursor.fetchone()
    if row is None or bytes(row[0]) != token.key:
        return False
    cursor.execute("DELETE FROM token WHERE account = ? AND client = ? AND used = 1", (account, client))
    cursor.execute("UPDATE token SET used = 1 WHERE account = ? AND client = ?", (account, client))
    return True


def revoke(cursor: Cursor, account: int, client: str) -> None:
    """The tokens of one client are worth nothing any more."""
    cursor.execute("DELETE FROM token WHERE account = ? AND client = ?", (account, client))


def revoke_all(cursor: Cursor, account: int) -> None:
    """The tokens of all clients of an account are worth nothing any more."""
    cursor.execute("DELETE FROM token WHERE account = ?", (account,))
