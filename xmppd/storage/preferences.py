"""What accounts want to be archived (XEP-0441)."""

import json
from dataclasses import dataclass
from typing import Literal, cast

from xmppd.storage.statement import Cursor

Fallback = Literal["always", "never", "roster"]


@dataclass(frozen=True, slots=True)
class ArchivePreferences:
    """One account's choice."""

    fallback: Fallback
    """For everyone who is on neither list."""
    always: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Bare JIDs stand for all their resources, full ones for themselves."""


def load_all(cursor: Cursor) -> dict[int, ArchivePreferences]:
    """By account; who is not in it has made no choice."""
    cursor.execute("SELECT account, fallback, always, never FROM archive_preference")
    return {
        account: ArchivePreferences(
            cast(Fallback, fallback), tuple(json.loads(always)), tuple(json.loads(never))
        )
        for account, fallback, always, never in cursor.fetchall()
    }


def save(cursor: Cursor, account: int, preferences: ArchivePreferences) -> None:
    """Set an account's choice."""
    cursor.execute(
        "INSERT INTO archive_preference (account, fallback, always, never) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account) DO UPDATE SET fallback = excluded.fallback, always = excluded.always,"
        " never = excluded.never",
        (account, preferences.fallback, json.dumps(preferences.always), json.dumps(preferences.never)),
    )
