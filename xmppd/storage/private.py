"""Pieces of XML that clients keep at the server (XEP-0049, XEP-0054), by account and name."""

from xmppd.storage.statement import Cursor


def get(cursor: Cursor, account: int, name: str) -> bytes | None:
    """What is kept under this name."""
    cursor.execute("SELECT content FROM private WHERE account = ? AND name = ?", (account, name))
    row = cursor.fetchone()
    return None if row is None else bytes(row[0])


def put(cursor: Cursor, account: int, name: str, content: bytes) -> None:
    """Keep this, in place of what was there."""
    cursor.execute(
        "INSERT INTO private (account, name, content) VALUES (?, ?, ?)"
        " ON CONFLICT (account, name) DO UPDATE SET content = excluded.content",
        (account, name, content),
    )


def delete(cursor: Cursor, account: int, name: str) -> bool:
    """Forget it; False if there was nothing."""
    cursor.execute("DELETE FROM private WHERE account = ? AND name = ?", (account, name))
    return cursor.rowcount > 0


def usage(cursor: Cursor, account: int) -> tuple[int, int]:
    """How many pieces an account keeps, and their bytes: for its limits."""
    cursor.execute(
        "SELECT count(*), coalesce(sum(length(content)), 0) FROM private WHERE account = ?", (account,)
    )
    number, size = cursor.fetchone()
    return int(number), int(size)
