"""To which resources a message goes: RFC 6121, section 8.5, as a pure function and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from xmppd.core.context import Session
from xmppd.core.decision import Decision, Otherwise
from xmppd.core.jid import JID

__all__ = ["decide"]


class _Row(NamedTuple):
    """Bare JID with nobody of non-negative priority; full JID without a match.

    :ivar full_as_bare: a full JID without a match is treated as the bare one if there are resources.
    """

    bare: Otherwise
    full: Otherwise
    full_as_bare: bool


_K, _R, _I = Otherwise.KEEP, Otherwise.REFUSE, Otherwise.IGNORE
#: RFC 6121, 8.5.2 and 8.5.3, by type.  Our choice where the RFC leaves one: see docs/architecture.md.
_TABLE: Final = {
    "normal": _Row(bare=_K, full=_R, full_as_bare=False),
    "chat": _Row(bare=_K, full=_K, full_as_bare=True),
    "groupchat": _Row(bare=_R, full=_R, full_as_bare=False),
    "headline": _Row(bare=_I, full=_I, full_as_bare=False),
    "error": _Row(bare=_I, full=_I, full_as_bare=False),
}


def _at_highest_priority(sessions: Sequence[Session]) -> list[Session]:
    best: list[Session] = []
    highest = 0
    for session in sessions:
        priority = session.priority
        if priority is None or priority < highest:
            continue
        if priority > highest:
            highest = priority
            best = []
        best.append(session)
    return best


def _non_negative(sessions: Sequence[Session]) -> list[Session]:
    return [session for session in sessions if session.priority is not None and session.priority >= 0]


def decide(kind: str, to: JID, sessions: Sequence[Session]) -> Decision:
    """Who gets a message.

    :param kind: the type of the message (`Stanza.message_type`).
    :param to: the addressee, bare or full.
    :param sessions: the sessions of the account, available or not.
    """
    row = _TABLE[kind]
    if to.resource:
        for session in sessions:
            if session.jid == to:
                return Decision((session,), row.full)
        if not row.full_as_bare:
            return Decision((), row.full)
    if kind in ("groupchat", "error"):
        return Decision((), row.bare)
    if kind == "headline":
        return Decision(_non_negative(sessions), row.bare)
    return Decision(_at_highest_priority(sessions), row.bare)
