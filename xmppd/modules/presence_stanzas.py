"""What stands in presence, and the presence that the server sends for a user (RFC 6121, section 4)."""

from __future__ import annotations

import re
from typing import Final

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.context import Clock, Router, Session, Ticket
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza
from xmppd.xml import tree

__all__ = [
    "AGAIN_ID",
    "DIRECTED",
    "PROBE_ID",
    "UNASKED",
    "has_directed",
    "hide_effort",
    "hide_presence",
    "priority_of",
    "show_presence",
    "unavailable",
]

#: To whom a session has sent presence by itself, as texts of JIDs (section 4.6); None for nobody.
DIRECTED: Final[Slot[dict[str, None] | None]] = Slot("presence.directed", None)

#: The ids of what the server sends for its users unasked, so that errors of it stay with the server: probes,
#: and subscription requests that are sent again.
PROBE_ID: Final = "probe"
AGAIN_ID: Final = "again"
UNASKED: Final = frozenset((PROBE_ID, AGAIN_ID))

#: Seconds; commits take a few milliseconds.
LONGEST_EFFORT: Final = 0.05

_PRIORITY: Final = re.compile(rb"<priority>\s*([+-]?[0-9]{1,9})\s*</priority>")
_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,9})\s*")


def priority_of(stanza: Stanza) -> int:
    """The priority in available presence (section 4.7.2.3).

    :raises StanzaError: ``bad-request`` if it is none.
    """
    found = [child for child in stanza.children if child[1] == "priority" and child[0] == ns.CLIENT]
    if not found:
        return 0
    if len(found) == 1:
        plain = _PRIORITY.fullmatch(stanza.xml(found[0]))
        match = plain or _NUMBER.fullmatch(str(tree.child(stanza, ns.CLIENT, "priority")))
        if match is not None and -128 <= int(match[1]) <= 127:
            return int(match[1])
    raise StanzaError("bad-request", "A priority is one whole number from -128 to 127")


def unavailable(sender: JID, to: JID | None = None) -> Stanza:
    """That a resource is gone, where its client did not say so itself."""
    return Stanza("presence", {"type": "unavailable"}, to=to, sender=sender)


def show_presence(router: Router, account: Account, viewer: JID) -> None:
    """Send the presence of all available sessions to someone who may see it now."""
    for session in tuple(account.sessions):
        if session.presence is not None:
            router.arrive(session.presence.readdressed(to=viewer))


def hide_effort(clock: Clock, ticket: Ticket) -> None:
    """Let the ticket of presence to another account stay open for longer than that account is work for.

    Else its sender sees by the acknowledgement whether there was anything to read and to write, and so
    whether there is such an account.
    """
    ticket.hold()
    clock.callLater(LONGEST_EFFORT, ticket.committed)


def hide_presence(router: Router, account: Account, viewer: JID) -> None:
    """Send unavailable presence of all sessions that they know of to someone who may not see more of it.

    That ends what a session has shown them by itself as well: an ex-contact could go on asking for it.
    """
    for session in tuple(account.sessions):
        if _forget_directed(session, viewer) or session.presence is not None:
            router.arrive(unavailable(session.jid, viewer))


def _forget_directed(session: Session, viewer: JID) -> bool:
    """Whether a session had sent presence to a contact, or to a resource of theirs."""
    bare, directed = viewer.bare.text, DIRECTED.get(session) or {}
    shown = [text for text in directed if text == bare or text.startswith(f"{bare}/")]
    for text in shown:
        del directed[text]
    return bool(shown)


def has_directed(session: Session, viewer: JID) -> bool:
    """Whether a session has sent presence to a JID, or to another resource of it (an occupant of a room)."""
    known = DIRECTED.get(session)
    if not known:
        return False
    bare = viewer.bare.text
    return bare in known or any(text.startswith(f"{bare}/") for text in known)
