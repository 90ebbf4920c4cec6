"""What xmppctl shows to people."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

from xmppd.admin.archive_views import ARCHIVE
from xmppd.admin.migration import Moved
from xmppd.admin.offline import Findings
from xmppd.admin.tables import pairs, safe, table

Row = Mapping[str, Any]

_DONE: Final[Mapping[str, str]] = {
    "adduser": "{jid} can log in.",
    "passwd": "{jid} has a new password.",
    "deluser": "{jid} is removed. Its name stays reserved; `xmppctl release {jid}` gives it out again.",
    "release": "The name {jid} can be given out again.",
    "disable": "{jid} cannot log in any more.",
    "enable": "{jid} can log in again.",
    "kick": "{jid}: {sessions} ended.",
}


def result(command: str, answer: Any, *, sm: bool) -> str:
    """Write the server's answer to a command.

    :param sm: whether sessions are shown with their stream management.
    """
    if command in _DONE:
        sessions = _count(answer.get("sessions", 0), "session")
        return safe(_DONE[command].format(jid=answer["jid"], sessions=sessions))
    if command in ARCHIVE:
        return ARCHIVE[command](answer)
    if command == "users":
        return _users(answer)
    if command == "sessions":
        return _stream_management(answer) if sm else _sessions(answer)
    if command == "archive-search":
        return _found(answer)
    return pairs(answer)


def moved(result: Moved) -> str:
    """Write what was moved from one database to another."""
    lines = table(("TABLE", "ROWS"), list(result.rows.items()))
    return (
        f"{lines}\nAll of it is in the new database, and was counted there. Set server.database in the"
        " configuration, then start the server."
    )


def findings(found: Findings) -> str:
    """Write what a check has found."""
    lines = [f"Configuration: {found.source}"]
    lines += [f"Certificate of {domain}: {text}" for domain, text in found.certificates.items()]
    lines += found.problems
    lines.append(
        f"{_count(len(found.problems), 'problem')} found." if found.problems else "No problem found."
    )
    return "\n".join(map(safe, lines))


def progress(report: Row) -> str:
    """Write how far a command is in one line, with a bar where the end is known."""
    done, total = report["done"], report["total"]
    if not total:
        return f"{safe(report['text'])}: {done}"
    share = min(done / total, 1)
    bar = "#" * int(share * 30)
    return f"{safe(report['text'])}: [{bar:<30}] {share:4.0%} ({done} of {total})"


def _found(answer: Row) -> str:
    if not answer["messages"]:
        return "No message has these words."
    cells = [(_minute(row["time"]), row["from"], row["to"], row["text"]) for row in answer["messages"]]
    lines = table(("TIME (UTC)", "FROM", "TO", "TEXT"), cells)
    return lines if answer["complete"] else f"{lines}\nThere are older ones; --limit shows more."


def _users(rows: Sequence[Row]) -> str:
    if not rows:
        return "No accounts. `xmppctl adduser NAME@DOMAIN` makes one."
    cells = [(row["jid"], row["state"], _day(row["created"]), row["sessions"]) for row in rows]
    return table(("ACCOUNT", "STATE", "CREATED", "SESSIONS"), cells)


def _sessions(rows: Sequence[Row]) -> str:
    if not rows:
        return "Nobody is online."
    cells = [
        (row["jid"], row["address"], row["client"], row["tls"], _minute(row["since"]), _presence(row))
        for row in rows
    ]
    return table(("SESSION", "ADDRESS", "CLIENT", "TLS", "SINCE (UTC)", "PRESENCE"), cells)


def _stream_management(rows: Sequence[Row]) -> str:
    if not rows:
        return "Nobody is online."
    titles = ("SESSION", "HANDLED", "SENT", "QUEUE", "STATE", "OLDEST UNACKNOWLEDGED", "AGE (S)")
    return table(titles, [_stream_management_cells(row["jid"], row["sm"]) for row in rows])


def _stream_management_cells(jid: str, sm: Row | None) -> tuple[object, ...]:
    if sm is None:
        return jid, None, None, None, "off", None, None
    state = "hibernated" if sm["hibernated"] else "resumable" if sm["resumable"] else "acknowledging"
    return jid, sm["inbound"], sm["outbound"], sm["queue"], state, sm["oldest"], sm["oldest_age"]


def _presence(row: Row) -> str:
    if row["sm"] is not None and row["sm"]["hibernated"]:
        return "hibernated"
    return "unavailable" if row["priority"] is None else f"available ({row['priority']})"


def _day(time: str) -> str:
    return f"{datetime.datetime.fromisoformat(time):%Y-%m-%d}"


def _minute(time: str) -> str:
    return f"{datetime.datetime.fromisoformat(time):%Y-%m-%d %H:%M}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
