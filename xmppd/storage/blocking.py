"""Block lists (XEP-0191)."""

from collections.abc import Iterable

from xmppd.storage.statement import Cursor


def load(cursor: Cursor, account: int) -> list[str]:
    """Whom an account has blocked, by JID."""
    cursor.execute("SELECT jid FROM block WHERE account = ? ORDER BY jid", (account,))
    return [row[0] for row in cursor.fetchall()]


def load_domain(cursor: Cursor, domain: str) -> list[tuple[str, str]]:
    """All block lists of a domain: name of the account, JID that it has blocked."""
    cursor.execute(
        "SELECT account.name, block.jid FROM block JOIN account ON account.id = block.account"
        " WHERE account.domain = ?",
        (domain,),
    )
    return [(row[0], row[1]) for row in cursor.fetchall()]


def add(cursor: Cursor, account: int, jids: Iterable[str]) -> None:
    """Block these; those that are blocked already stay so."""
    cursor.executemany(
        "INSERT INTO block (account, jid) VALUES (?, ?) ON CONFLICT (account, jid) DO NOTHING",
        [(account, jid) for jid in jids],
    )


def remove(cursor: Cursor, account: int, jids: Iterable[str]) -> None:
    """Unblock these."""
    cursor.executemany("DELETE FROM block WHERE account = ? AND jid = ?", [(account, jid) for jid in jids])


def clear(cursor: Cursor, account: int) -> None:
    """Unblock everyone."""
    cursor.execute("DELETE FROM block WHERE account = ?", (account,))
