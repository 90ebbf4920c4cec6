"""Values that a database has once."""

import secrets

from xmppd.storage.statement import Cursor


def get(cursor: Cursor, name: str) -> str | None:
    """The value of this name, if there is one."""
    cursor.execute("SELECT value FROM meta WHERE name = ?", (name,))
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def put(cursor: Cursor, name: str, value: str) -> None:
    """Set the value of this name."""
    cursor.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def secret(cursor: Cursor, name: str, size: int = 32) -> bytes:
    """A secret of the server of `size` random bytes; made when it is asked for the first time, and kept."""
    value = get(cursor, name)
    if value is None:
        value = secrets.token_hex(size)
        put(cursor, name, value)
    return bytes.fromhex(value)
