"""What a message is to client state, push, archive and carbons, decided in one place."""

from __future__ import annotations

from typing import NamedTuple

from xmppd.core import ns
from xmppd.core.stanza import Stanza

__all__ = ["Verdict", "is_conversation", "may_be_kept_for_later", "should_archive"]

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
