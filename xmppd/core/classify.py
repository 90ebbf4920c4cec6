"""What a message is to client state, push, archive and carbons, decided in one place."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from xmppd.core import ns
from xmppd.core.jid import JID
from xmppd.core.stanza import Child, Stanza

__all__ = [
    "Importance",
    "Verdict",
    "importance",
    "is_carbon",
    "is_carbon_eligible",
    "is_conversation",
    "is_encryption",
    "is_room_private",
    "may_be_kept_for_later",
    "says_something",
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
#: What says nothing when it stands alone, as ``<thread/>`` does not: hints and ids.
_SILENT = frozenset((ns.HINTS, ns.STANZA_ID))
_STATES = frozenset((ns.CHAT_STATES,))
#: Payloads that make a message of any type one of instant messaging (XEP-0280, 6.1).
_IN_CHATS = frozenset((ns.RECEIPTS, ns.CHAT_STATES, ns.MARKERS))
#: What of the history nobody is to be disturbed for.
_QUIET = frozenset((ns.RECEIPTS, ns.MARKERS))
#: Payloads that a user wants to know of at once, as those of the history.
_LOUD = (_HISTORY - _QUIET) | {"urn:xmpp:attention:0"}
#: In the canonical form of stanzas no element has a prefix.
_invitation = re.compile(rb"<invite[ \t\r\n/>]").search
_displayed = re.compile(rb"<displayed[ \t\r\n/>]").search
_own_in_room = re.compile(rb"""<status[^>]*\scode=["']110["']""").search
_loud_inside = re.compile(
    rb"""<(?:body|subject)[ \t\r\n/>]|\sxmlns=["'](?:%b)["']"""
    % b"|".join(re.escape(namespace.encode()) for namespace in sorted(_LOUD))
).search
_states_inside = re.compile(rb"""\sxmlns=["']%b["']""" % re.escape(ns.CHAT_STATES.encode())).search
_quiet_inside = re.compile(
    rb"""\sxmlns=["'](?:%b)["']""" % b"|".join(re.escape(namespace.encode()) for namespace in sorted(_QUIET))
).search


#: Payloads that say in secret what the message says (XEP-0380, OMEMO, OpenPGP old and new).
_ENCRYPTION = (
    "urn:xmpp:eme:",
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:",
    "urn:xmpp:openpgp:",
    "jabber:x:encrypted",
    "urn:xmpp:otr:",
)


class Verdict(NamedTuple):
    """A decision and its reason, for the log and for whoever asks why."""

    yes: bool
    reason: str


_CONTENT: Final = Verdict(True, "content")
_NO_CONTENT: Final = Verdict(False, "no content")
_STATE_ONLY: Final = Verdict(False, "chat state only")
_HEADLINE: Final = Verdict(False, "type headline")


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


def is_encryption(namespace: str) -> bool:
    """Whether a payload of this namespace means that the body beside it is only a makeshift (XEP-0380)."""
    return namespace.startswith(_ENCRYPTION)


def should_archive(stanza: Stanza) -> Verdict:
    """Whether a message goes into the history of its sender and of its addressee (XEP-0313, 6.1.1; 0334).

    Groupchat is in the archive of its room.
    """
    kind = stanza.message_type
    if kind in ("error", "groupchat"):
        return Verdict(False, f"type {kind}")
    if stanza.has_namespace(ns.HINTS):
        hints = _hints(stanza)
        if hints & _HINT_NEVER:
            return Verdict(False, "hint no-store")
        if _HINT_STORE in hints:
            return Verdict(True, "hint store")
    if kind == "headline":
        return _HEADLINE
    return _CONTENT if is_conversation(stanza) else _NO_CONTENT


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
    return _STATE_ONLY if is_state_only(stanza) else _CONTENT


def is_state_only(stanza: Stanza) -> bool:
    """Whether a message says no more than that somebody is typing or not (XEP-0085): who is away misses
    nothing, and whoever sent it by typing is not to be told of an error."""
    return not says_something(stanza, _STATES)


def says_something(stanza: Stanza, left_out: frozenset[str]) -> bool:
    """Whether a message has more than elements of these namespaces, hints, ids, and a thread."""
    for namespace, name, _, _ in stanza.children:
        if namespace not in left_out and namespace not in _SILENT and name != "thread":
            return True
    return False


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


# -- client state (XEP-0352)


class Importance(Enum):
    """What becomes of a stanza for a client whose user does not look."""

    #: It is sent, behind all that was held.
    NOW = auto()
    #: It is held; a newer one from the same address takes its place.
    LATEST = auto()
    #: It is held.
    LATER = auto()
    #: It means nothing any more when the user looks again.
    NEVER = auto()


def importance(stanza: Stanza) -> tuple[Importance, str]:
    """How much a stanza matters while the user does not look, and why (XEP-0352, section 3.2)."""
    if stanza.kind == "message":
        return _importance_of_message(stanza)
    if stanza.kind == "presence":
        return _importance_of_presence(stanza)
    return Importance.NOW, "iq"


def _importance_of_presence(stanza: Stanza) -> tuple[Importance, str]:
    if stanza.type not in (None, "unavailable"):
        return Importance.NOW, f"presence {stanza.type}"
    mark = stanza.find(ns.MUC_USER, "x")
    if mark is not None and _own_in_room(stanza.xml(mark)):
        # It ends a join that the client waits for, or tells that the user is no longer in the room.
        return Importance.NOW, "own presence in a room"
    return Importance.LATEST, "presence"


def _importance_of_message(stanza: Stanza) -> tuple[Importance, str]:
    kind = stanza.message_type
    if kind == "error":
        return Importance.NOW, "type error"
    if kind == "headline":
        return Importance.LATER, "type headline"
    states = False
    others = False
    for child in stanza.children:
        namespace, name = child[0], child[1]
        if namespace == ns.CHAT_STATES:
            states = True
        elif namespace == ns.CARBONS and name in ("received", "sent"):
            return _importance_of_copy(stanza.xml(child), sent=name == "sent")
        elif _is_loud(stanza, child):
            return Importance.NOW, "content"
        elif namespace != ns.HINTS and (namespace, name) != (ns.CLIENT, "thread"):
            others = True
    if states and not others:
        return Importance.NEVER, "chat state only"
    return Importance.LATER, "no content"


def _is_loud(stanza: Stanza, child: Child) -> bool:
    namespace, name = child[0], child[1]
    if namespace == ns.CLIENT:
        return name in ("body", "subject")
    if namespace == ns.MUC_USER:
        return _invitation(stanza.xml(child)) is not None
    # The client waits for what it has asked its archive for.
    return namespace in _LOUD or (namespace == ns.MAM and name == "result")


def _importance_of_copy(xml: bytes, *, sent: bool) -> tuple[Importance, str]:
    """Of a carbon; its payloads have a declaration of their namespace each."""
    if _loud_inside(xml) or _invitation(xml):
        return Importance.NOW, "copy of content"
    if sent and _displayed(xml):
        return Importance.NOW, "read on another device"
    if _states_inside(xml) and not _quiet_inside(xml):
        return Importance.NEVER, "copy of a chat state"
    return Importance.LATER, "copy without content"
