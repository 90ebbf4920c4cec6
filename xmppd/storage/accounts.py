"""Accounts and what they log in with."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from xmppd.storage import archive, tokens
from xmppd.storage.errors import StorageError
from xmppd.storage.marks import Mark
from xmppd.storage.statement import Cursor

OWNED = (
    "credential",
    "roster",
    "roster_item",
    "roster_request",
    "session",
    "block",
    "archive_preference",
    "private",
    "token",
)
"""The tables whose rows belong to an account, beside the archive and what goes with that (`archive.erase`);
a test holds this against the schema."""


class AccountState(Enum):
    """What an account may do."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REMOVED = "removed"


class AccountExistsError(StorageError):
    """The name is taken, perhaps by an account that was removed."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account, as it is in the directory in memory."""

    id: int
    domain: str
    name: str
    state: AccountState
    created: int
    """Seconds since 1970."""
    mark: Mark


@dataclass(frozen=True, slots=True)
class Credential:
    """What a password is checked against: one hash function of SCRAM (RFC 5802 section 3)."""

    hash: str
    """As in the mechanism's name: SHA-1, SHA-256, SHA-512."""
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


_COLUMNS = "id, domain, name, state, created, cursor, confirmed"


def _account(row: tuple[int, str, str, str, int, int, bytes]) -> Account:
    number, domain, name, state, created, cursor, confirmed = row
    return Account(number, domain, name, AccountState(state), created, Mark.decode(cursor, confirmed))


def load_directory(cursor: Cursor) -> list[Account]:
    """All accounts of all domains, those that were removed too (their names are taken)."""
    cursor.execute(f"SELECT {_COLUMNS} FROM account ORDER BY id")
    return [_account(row) for row in cursor.fetchall()]


def find(cursor: Cursor, domain: str, name: str) -> Account | None:
    """One account by its name."""
    cursor.execute(f"SELECT {_COLUMNS} FROM account WHERE domain = ? AND name = ?", (domain, name))
    row = cursor.fetchone()
    return None if row is None else _account(row)


def create(
    cursor: Cursor,
    domain: str,
    name: str,
    credentials: Iterable[Credential],
    *,
    created: int,
    cursor_at: int = 0,
) -> Account:
    """Make an account.

    :param created: seconds since 1970.
    :param cursor_at: its mark in the archive.
    :raises AccountExistsError: if there is or was one of this name.
    """
    if find(cursor, domain, name) is not None:
        raise AccountExistsError(f"{name}@{domain}")
    cursor.execute(
        "INSERT INTO account (domain, name, state, created, cursor) VALUES (?, ?, 'active', ?, ?)",
        (domain, name, created, cursor_at),
    )
    account = find(cursor, domain, name)
    assert account is not None
    set_credentials(cursor, account.id, credentials)
    return account


def set_credentials(cursor: Cursor, account: int, credentials: Iterable[Credential]) -> None:
    """Replace all credentials of an account: a new password, and no token of before."""
    tokens.revoke_all(cursor, account)
    cursor.execute("DELETE FROM credential WHERE account = ?", (account,))
    cursor.executemany(
        "INSERT INTO credential (account, hash, salt, iterations, stored_key, server_key)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(account, c.hash, c.salt, c.iterations, c.stored_key, c.server_key) for c in credentials],
    )


def credential(cursor: Cursor, domain: str, name: str, hash_name: str) -> Credential | None:
    """The credential of an account for one hash function, also of a disabled one.

    Always one query, whether there is one or not.
    """
    cursor.execute(
        "SELECT c.hash, c.salt, c.iterations, c.stored_key, c.server_key FROM account a"
        " JOIN credential c ON c.account = a.id"
        " WHERE a.domain = ? AND a.name = ? AND a.state != 'removed' AND c.hash = ?",
        (domain, name, hash_name),
    )
    row = cursor.fetchone()
    return None if row is None else Credential(*row)


def set_state(cursor: Cursor, account: int, state: AccountState) -> None:
    """Disable an account, or enable it again."""
    cursor.execute("UPDATE account SET state = ? WHERE id = ?", (state.value, account))


def remove(cursor: Cursor, account: int) -> None:
    """Erase what is the account's own; its name stays taken until `release`.

    Its archive is to be erased in steps (`archive.erase_some`), so that others do not wait.
    """
    _erase(cursor, account)
    cursor.execute(
        "UPDATE account SET state = 'removed', cursor = 0, confirmed = ? WHERE id = ?", (b"", account)
    )


def with_remains(cursor: Cursor) -> list[int]:
    """Removed accounts of which the archive has something: the server stopped before all was erased."""
    cursor.execute(
        "SELECT id FROM account WHERE state = 'removed'"
        " AND EXISTS (SELECT 1 FROM archive WHERE archive.account = account.id)"
    )
    return [row[0] for row in cursor.fetchall()]


def release(cursor: Cursor, domain: str, name: str) -> bool:
    """Let the name of a removed account be given out again; False if no account of this name was removed."""
    found = find(cursor, domain, name)
    if found is None or found.state is not AccountState.REMOVED:
        return False
    # What was under way for it may have been written after it had gone.
    archive.erase(cursor, found.id)
    _erase(cursor, found.id)
    cursor.execute("DELETE FROM account WHERE id = ?", (found.id,))
    return True


def _erase(cursor: Cursor, account: int) -> None:
    for table in OWNED:
        cursor.execute(f"DELETE FROM {table} WHERE account = ?", (account,))
