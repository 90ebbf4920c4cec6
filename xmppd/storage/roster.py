"""Rosters (RFC 6121 section 2), their versions, and requests that wait for an answer (section 3.1.3)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from xmppd.storage.statement import Cursor

Subscription = Literal["none", "to", "from", "both"]


@dataclass(frozen=True, slots=True)
class RosterItem:
    """One contact, as RFC 6121 section 2.1.2 describes it."""

    jid: str
    name: str = ""
    groups: tuple[str, ...] = ()
    subscription: Subscription = "none"
    ask: bool = False
    approved: bool = False
    version: int = 0
    """The roster's version at the last change of this item; given by `upsert`."""
    removed: bool = False
    """A tombstone: the contact was removed in that version."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks for the account's presence."""

    jid: str
    stanza: bytes


@dataclass(frozen=True, slots=True)
class Roster:
    """The whole roster of an account."""

    version: int
    items: list[RosterItem]


_COLUMNS = "jid, name, groups, subscription, ask, approved, version, removed"


def _item(row: tuple[str, str, str, str, int, int, int, int]) -> RosterItem:
    jid, name, groups, subscription, ask, approved, version, removed = row
    return RosterItem(
        jid,
        name,
        tuple(json.loads(groups)),
        cast(Subscription, subscription),
        bool(ask),
        bool(approved),
        version,
        bool(removed),
    )


def _versions(cursor: Cursor, account: int) -> tuple[int, int]:
    """The version, and the oldest from which changes are known."""
    cursor.execute("SELECT version, floor FROM roster WHERE account = ?", (account,))
    row = cursor.fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def _next_version(cursor: Cursor, account: int) -> int:
    cursor.execute(
        "INSERT INTO roster (account, version) VALUES (?, 1)"
        " ON CONFLICT (account) DO UPDATE SET version = roster.version + 1",
        (account,),
    )
    return _versions(cursor, account)[0]


def is_subscriber(cursor: Cursor, domain: str, name: str, viewer: str) -> bool:
    """Whether somebody is subscribed to an account's presence: one query, whether there is such an account
    or not."""
    cursor.execute(
        "SELECT 1 FROM account JOIN roster_item ON roster_item.account = account.id"
        " WHERE account.domain = ? AND account.name = ? AND account.state != 'removed'"
        " AND roster_item.jid = ? AND roster_item.removed = 0"
        " AND roster_item.subscription IN ('from', 'both')",
        (domain, name, viewer),
    )
    return cursor.fetchone() is not None


def load(cursor: Cursor, account: int) -> Roster:
    """All contacts, by JID."""
    cursor.execute(
        f"SELECT {_COLUMNS} FROM roster_item WHERE account = ? AND removed = 0 ORDER BY jid", (account,)
    )
    items = [_item(row) for row in cursor.fetchall()]
    return Roster(_versions(cursor, account)[0], items)


def contacts(cursor: Cursor, accounts: Iterable[int]) -> dict[int, set[str]]:
    """The bare JIDs of the contacts of some accounts; those without a contact are in it, too."""
    found: dict[int, set[str]] = {}
    for account in accounts:
        cursor.execute("SELECT jid FROM roster_item WHERE account = ? AND removed = 0", (account,))
        found[account] = {jid for (jid,) in cursor.fetchall()}
    return found


def upsert(cursor: Cursor, account: int, item: RosterItem) -> int:
    """Add a contact or replace it.

    :returns: the version that the roster has with it; the item's own is not looked at.
    """
    version = _next_version(cursor, account)
    cursor.execute(
        "INSERT INTO roster_item (account, jid, name, groups, subscription, ask, approved, version, removed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, jid) DO UPDATE SET name = excluded.name,"
        " groups = excluded.groups, subscription = excluded.subscription, ask = excluded.ask,"
        " approved = excluded.approved, version = excluded.version, removed = excluded.removed",
        (
            account,
            item.jid,
            item.name,
            json.dumps(item.groups, ensure_ascii=False),
            item.subscription,
            int(item.ask),
            int(item.approved),
            version,
            int(item.removed),
        ),
    )
    return version


def delete(cursor: Cursor, account: int, jid: str) -> int | None:
    """Remove a contact; a tombstone stays for clients that knew it.

    :returns: the version that the roster has without it; None if there was no such contact.
    """
    cursor.execute("SELECT 1 FROM roster_item WHERE account = ? AND jid = ? AND removed = 0", (account, jid))
    if cursor.fetchone() is None:
        return None
    return upsert(cursor, account, RosterItem(jid, removed=True))


def changes_since(cursor: Cursor, account: int, version: int) -> list[RosterItem] | None:
    """What a client that knows this version has to be told, oldest change first (RFC 6121 section 2.6.3).

    :returns: None if that is not known: the version is too old, or not of this roster. Then all of it is
        sent.
    """
    current, floor = _versions(cursor, account)
    if not floor <= version <= current:
        return None
    cursor.execute(
        f"SELECT {_COLUMNS} FROM roster_item WHERE account = ? AND version > ? ORDER BY version",
        (account, version),
    )
    return [_item(row) for row in cursor.fetchall()]


def prune(cursor: Cursor, account: int, keep: int) -> int:
    """Forget all tombstones but the newest `keep`; clients with a version from before get the whole roster.

    :returns: how many were forgotten.
    """
    cursor.execute(
        "SELECT version FROM roster_item WHERE account = ? AND removed = 1"
        " ORDER BY version DESC LIMIT 1 OFFSET ?",
        (account, keep),
    )
    row = cursor.fetchone()
    if row is None:
        return 0
    cursor.execute("UPDATE roster SET floor = ? WHERE account = ?", (row[0], account))
    cursor.execute(
        "DELETE FROM roster_item WHERE account = ? AND removed = 1 AND version <= ?", (account, row[0])
    )
    return cursor.rowcount


def requests(cursor: Cursor, account: int) -> list[Request]:
    """Requests that wait for the account's answer, by JID."""
    cursor.execute("SELECT jid, stanza FROM roster_request WHERE account = ? ORDER BY jid", (account,))
    return [Request(*row) for row in cursor.fetchall()]


def put_request(cursor: Cursor, account: int, request: Request) -> None:
    """Keep a request; the newest of each contact counts."""
    cursor.execute(
        "INSERT INTO roster_request (account, jid, stanza) VALUES (?, ?, ?)"
        " ON CONFLICT (account, jid) DO UPDATE SET stanza = excluded.stanza",
        (account, request.jid, request.stanza),
    )


def delete_request(cursor: Cursor, account: int, jid: str) -> bool:
    """Forget a request; False if there was none."""
    cursor.execute("DELETE FROM roster_request WHERE account = ? AND jid = ?", (account, jid))
    return cursor.rowcount > 0
