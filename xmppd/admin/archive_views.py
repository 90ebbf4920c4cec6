"""What `xmppctl archive` shows to people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from xmppd.admin.tables import pairs, safe, table

Row = Mapping[str, Any]


def _stats(rows: Sequence[Row]) -> str:
    cells = [
        (row["jid"], row["messages"], row["bytes"], row["undelivered"], _day(row["first"]), _day(row["last"]))
        for row in rows
    ]
    return table(("ACCOUNT", "MESSAGES", "BYTES", "UNDELIVERED", "FIRST", "LAST"), cells)


def _export(rows: Sequence[Row]) -> str:
    return table(
        ("ACCOUNT", "MESSAGES", "FILE"), [(row["jid"], row["messages"], row["file"]) for row in rows]
    )


def _import(answer: Row) -> str:
    lines = [
        pairs(
            {
                "new": answer["messages"],
                "known already": answer["known"],
                "skipped": answer["skipped"],
            }
        )
    ]
    lines += [f"There is no account {jid} here." for jid in answer["unknown_accounts"]]
    return "\n".join(map(_safe_lines, lines))


def _expire(answer: Row) -> str:
    return f"{_count(answer['messages'], 'message')} of {_count(answer['accounts'], 'account')} expired."


def _delete(answer: Row) -> str:
    return safe(f"{_count(answer['messages'], 'message')} of {answer['jid']} deleted.")


def _day(time: str | None) -> str | None:
    return None if time is None else time[:10]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _safe_lines(text: str) -> str:
    return "\n".join(map(safe, text.splitlines()))


ARCHIVE: Final[Mapping[str, Callable[[Any], str]]] = {
    "archive-stats": _stats,
    "archive-export": _export,
    "archive-import": _import,
    "archive-expire": _expire,
    "archive-delete": _delete,
}
"""How each answer is written, by command."""
