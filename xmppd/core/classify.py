"""What a message is to client state, push, archive and carbons, decided in one place."""

from __future__ import annotations

import re
from typing import NamedTuple

from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.core.stanza import Stanza

__all__ = [
    "Verdict",
    "is_carbon",
    "is_carbon_eligible",
    "is_conversation",
    "is_room_private",
    "may_be_kept_for_later",
    "should_archive",
]

_HINT_STORE = "store"
_HINT_NEVER = frozenset(("no-store", "no-permanent-store"))
#: Payloads that belong to the history although they have no body (XEP-0313, 6.1.1).
_HISTORY = frozenset(
    (
        ns.RECEIPTS,
        ns.MARKERS,
        "urn:xmpp:reactions:0",
        "urn:xmpp:message-retract:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:message-correct:0",
        "urn:xmpp:jingle-message:0",
        "urn:xmpp:call-invites:0",
        "eu.siacs.conversations.axolotl",
        "urn:xmpp:omemo:2",
        "urn:xmpp:openpgp:0",
        "jabber:x:encrypted",
        "jabber:x:conference",
    )
)
#: Payloads that make a message of any type one of instant messaging (XEP-0280, 6.1).
_IN_CHATS = frozenset((ns.RECEIPTS, ns.CHAT_STATES, ns.MARKERS))
#: In the canonical form of stanzas no element has a prefix.
_invitation = re.compile(rb"<invite[ \t\r\n/>]").search


class Verdict(NamedTuple):
    """A decision and its reason, for the log and for whoever asks why."""

    yes: bool
    reason: str


def _hints(stanza: Stanza) -> set[str]:
    return {name for namespace, name, _, _ in stanza.children if namespace == ns.HINTS}


def is_conversation(stanza: Stanza) -> bool:
    """Whether a message has something that people would miss: a body, a subject, or one of `_HISTORY`."""
    for namespace, name, _, _ in stanza.children:
        if namespace == ns.CLIENT:
            if name == "body" or (name == "subject" and stanza.message_type == "normal"):
                return True
        elif namespace in _HISTORY and name not in ("request", "markable"):
            return True
    return False


def should_archive(stanza: Stanza) -> Verdict:
    """Whether a message goes into the history of its sender and of its addressee (XEP-0313, 6.1.1; 0334)."""
    kind = stanza.message_type
    if kind in ("error", "groupchat", "headline"):
        return Verdict(False, f"type {kind}")
    if stanza.has_namespace(ns.HINTS):
        hints = _hints(stanza)
        if hints & _HINT_NEVER:
            return Verdict(False, "hint no-store")
        if _HINT_STORE in hints:
            return Verdict(True, "hint store")
    if is_conversation(stanza):
        return Verdict(True, "content")
    return Verdict(False, "no content")


def may_be_kept_for_later(stanza: Stanza) -> Verdict:
    """Whether a message for nobody online waits for the addressee (XEP-0160; 0334)."""
    if stanza.message_type not in ("chat", "normal"):
        return Verdict(False, f"type {stanza.message_type}")
    if stanza.has_namespace(ns.HINTS):
        hints = _hints(stanza)
        if "no-store" in hints:
            return Verdict(False, "hint no-store")
        if _HINT_STORE in hints:
            return Verdict(True, "hint store")
    content = any(
        namespace != ns.CHAT_STATES and name != "thread" for namespace, name, _, _ in stanza.children
    )
    return Verdict(content, "content" if content else "chat state only")


def is_carbon(stanza: Stanza) -> bool:
    """Whether a message is a copy of another one (XEP-0280): no copies of it, and no place in an archive."""
    return any(
        namespace == ns.CARBONS and name in ("received", "sent") for namespace, name, _, _ in stanza.children
    )


def is_room_private(stanza: Stanza, peer: JID) -> bool:
    """Whether a message says of itself that it is a private one in a room (XEP-0045, 7.5).

    Mediated invitations have the same element, with an invitation in it.

    :param peer: the other side; an occupant of a room has a full JID.
    """
    if not peer.resource or stanza.message_type == "groupchat":
        return False
    mark = stanza.find(ns.MUC_USER, "x")
    return mark is not None and not _invitation(stanza.xml(mark))


def is_carbon_eligible(stanza: Stanza, *, room_private: bool, sent: bool, answers_eligible: bool) -> Verdict:
    """Whether the user's other resources get a copy of a message (XEP-0280, 6.1, all of it: ``rules:0``).

    :param room_private: it is a private message in a room.
    :param sent: the user sent it; else the user receives it.
    :param answers_eligible: where it is an error: whether it answers a message that was copied.
    """
    never = _why_never_copied(stanza)
    if never:
        return Verdict(False, never)
    if stanza.message_type == "error":
        return Verdict(answers_eligible, "error that answers" if answers_eligible else "error")
    if room_private:
        return Verdict(sent, "private message in a room")
    return _belongs_to_chat(stanza)


def _why_never_copied(stanza: Stanza) -> str:
    if stanza.message_type == "groupchat":
        return "type groupchat"
    for namespace, name, _, _ in stanza.children:
        if namespace == ns.CARBONS:
            return "private" if name == "private" else "a copy itself"
        # The hint is for full JIDs only (XEP-0334, 5.3).
        if namespace == ns.HINTS and name == "no-copy" and stanza.to is not None and stanza.to.resource:
            return "hint no-copy"
    return ""


def _belongs_to_chat(stanza: Stanza) -> Verdict:
    kind = stanza.message_type
    if kind == "chat":
        return Verdict(True, "type chat")
    for child in stanza.children:
        namespace = child[0]
        if namespace == ns.CLIENT and child[1] == "body" and kind == "normal":
            return Verdict(True, "body")
        if namespace in _IN_CHATS:
            return Verdict(True, "payload of chats")
        if namespace == ns.CONFERENCE or (namespace == ns.MUC_USER and _invitation(stanza.xml(child))):
            return Verdict(True, "invitation")
    return Verdict(False, "no content of chats")
