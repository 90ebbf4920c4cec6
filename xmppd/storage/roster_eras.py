"""Eras of rosters: what makes the numbers of their versions mean one thing only (RFC 6121 section 2.6.3).

Clients are told of a change before it is on the disk. Where it never comes there (a crash, a database that
failed), its number is given out again, for another change: the era that stands with it tells the two apart.
"""

import secrets
from typing import Final

from xmppd.storage import meta
from xmppd.storage.statement import Cursor, Statement

_ENDED: Final = "ended"

SAVE: Final = Statement.insert(
    "meta", ("name", "value"), tail="ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
"""Write down an era; rows by `row`."""


def new() -> str:
    """An era that never was."""
    return f"-{secrets.token_hex(4)}"


def row(domain: str, era: str, *, ended: bool) -> tuple[str, str]:
    """For SAVE.

    :param ended: whether all changes of the run of the server are on the disk, if this is.
    """
    return f"era of rosters of {domain}", f"{era} {_ENDED if ended else 'lasts'}"


def take_up(cursor: Cursor, domain: str) -> str:
    """The era of the last run, if that has ended well; else a new one. The first is the empty text."""
    name, _ = row(domain, "", ended=False)
    era, _, state = (meta.get(cursor, name) or f" {_ENDED}").partition(" ")
    if state != _ENDED:
        era = new()
    cursor.execute(SAVE.sql, row(domain, era, ended=False))
    return era
