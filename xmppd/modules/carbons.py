"""Message carbons (XEP-0280): a user's other devices get copies of what one of them sends or receives.

Copies are made of bytes: what all receivers share is built once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.classify import is_carbon_eligible, is_room_private
from xmppd.core.context import Session
from xmppd.core.errors import StanzaError
from xmppd.core.events import MessageArriving, MessageRefused, MessageSending, PresenceSending
from xmppd.core.hooks import Stage
from xmppd.core.jid import JID
from xmppd.core.module import Inlined, IqRequest, Module, Payload, Xep, iq, on
from xmppd.core.slots import Slot
from xmppd.core.stanza import Stanza

__all__ = ["Carbons"]

#: Whether a session gets copies; it survives resumption.
ENABLED: Final[Slot[bool]] = Slot("carbons", False)
#: The rooms that a session has joined, with its nick there.
ROOMS: Final[Slot[dict[str, str]]] = Slot("carbons-rooms", {})
#: Messages of which copies were sent and that a session has sent or got itself, by direction, peer and id:
#: copies of the errors that answer them follow.
COPIED: Final[Slot[dict[tuple[str, str, str], None]]] = Slot("carbons-copied", {}, durable=False)

#: Rooms that are remembered for a session.  In more of them its private messages are not copied.
MOST_ROOMS: Final = 256
#: Messages of a session that are remembered, and the longest id of one.
MOST_COPIED: Final = 64
LONGEST_ID: Final = 256


class Carbons(Module):
    """Sends copies to the resources that have enabled them, whatever their priority."""

    name = "carbons"
    xeps = (Xep("0280", "1.0.1", "Message Carbons"),)
    features = (ns.CARBONS, ns.CARBONS_RULES)
    account_features = (ns.CARBONS, ns.CARBONS_RULES)

    @iq("set", ns.CARBONS, "enable", "account")
    def enable(self, request: IqRequest) -> Payload:
        """Copies from now on; once more is no error."""
        self.enable_for(_session(request))
        return None

    @staticmethod
    def enable_for(session: Session) -> None:
        """Copies to a session from now on, also while it is being bound (XEP-0386)."""
        ENABLED.set(session, True)

    def inlined(self) -> tuple[Inlined, ...]:
        """They can be enabled with the binding (XEP-0386), so that no copy is missed."""
        return (Inlined(ns.CARBONS, ns.CARBONS, "enable", self.enable_for),)

    @iq("set", ns.CARBONS, "disable", "account")
    def disable(self, request: IqRequest) -> Payload:
        """No more copies; once more is no error."""
        ENABLED.set(_session(request), False)
        return None

    # -- copies

    @on(MessageSending, Stage.COPY)
    def sending(self, event: MessageSending) -> None:
        """Copies of what a session sends, to the others.

        What goes to the own account is copied when it arrives there.
        """
        sessions, sender = event.account.sessions, event.session
        if len(sessions) == 1 and sender is sessions[0]:
            return
        others = [session for session in sessions if session is not sender and ENABLED.get(session)]
        to = event.stanza.to
        if not others or to is None or to.bare == event.account.jid:
            return
        nick = "" if sender is None else ROOMS.get(sender).get(to.bare.text, "")
        private = bool(to.resource and nick) or is_room_private(event.stanza, to)
        if private:
            others = _in_room(others, to, nick)
        answers = sender is not None and _answers_copied("received", event.stanza, to, sender)
        if is_carbon_eligible(event.stanza, room_private=private, sent=True, answers_eligible=answers).yes:
            _copy("sent", self._with_id(event), event.account, others)
            if sender is not None:
                _remember("sent", event.stanza, to, sender)

    def _with_id(self, event: MessageSending) -> Stanza:
        """The message with the id that the sender's archive gave it, which the addressee does not see."""
        if event.archived_as is None:
            return event.stanza
        return self.context.archive.mark(event.account, event.stanza, event.archived_as)

    @on(MessageArriving, Stage.COPY)
    def arriving(self, event: MessageArriving) -> None:
        """Copies of what arrives, to those that did not get the original."""
        if len(event.delivered) != len(event.account.sessions):
            _copy_received(event.stanza, event.account, event.delivered)

    @on(MessageRefused, Stage.COPY)
    def refused(self, event: MessageRefused) -> None:
        """Copies of the server's own errors, as of all others that answer what was copied."""
        _copy_received(event.stanza, event.session.account, (event.session,))

    # -- rooms

    @on(PresenceSending, Stage.STRIP)
    def presence(self, event: PresenceSending) -> None:
        """Learn from directed presence which rooms a session is in."""
        stanza, session = event.stanza, event.session
        if session is None or (stanza.to is None and stanza.type != "unavailable"):
            return
        rooms = ROOMS.get(session)
        if stanza.to is None:
            if rooms:
                ROOMS.set(session, {})
        elif stanza.to.resource:
            _note_room(session, rooms, stanza, stanza.to)


def _session(request: IqRequest) -> Session:
    """The session that asks about itself.

    :raises StanzaError: for anyone else, as for an account that does not exist.
    """
    if not request.is_own:
        raise StanzaError("service-unavailable")
    if request.session is None:
        raise StanzaError("not-allowed")
    return request.session


def _copy(name: str, original: Stanza, account: Account, receivers: Sequence[Session]) -> None:
    """Send wrapped copies, each to one full JID, from the account itself (XEP-0280, 7 and 8)."""
    forwarded = original.standing_alone()
    inner = b"<%b xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>%b</forwarded></%b>" % (
        name.encode(),
        forwarded,
        name.encode(),
    )
    attrs = {"type": original.attrs["type"]} if "type" in original.attrs else {}
    children = ((ns.CARBONS, name, 0, len(inner)),)
    for session in receivers:
        session.send(Stanza("message", attrs, inner, children, to=session.jid, sender=account.jid))


def _copy_received(stanza: Stanza, account: Account, delivered: Sequence[Session]) -> None:
    sessions, peer = account.sessions, stanza.sender
    others = [
        session
        for session in sessions
        if ENABLED.get(session) and session not in delivered and session.jid != peer
    ]
    if not others or peer is None:
        return
    private = _is_occupant(peer, sessions) or is_room_private(stanza, peer)
    answered = stanza.type == "error" and any(
        session.jid == stanza.to and _answers_copied("sent", stanza, peer, session) for session in sessions
    )
    if answered and private:
        others = _in_room(others, peer, _nick_of_first(delivered, peer))
    if is_carbon_eligible(stanza, room_private=private, sent=False, answers_eligible=answered).yes:
        # Who has a copy is not given the original when somebody else dies with it.
        stanza.holders += len(others)
        _copy("received", stanza, account, others)
        for session in delivered:
            _remember("received", stanza, peer, session)


# -- errors that answer what was copied


def _remember(direction: str, stanza: Stanza, peer: JID, session: Session) -> None:
    if stanza.id is None or len(stanza.id) > LONGEST_ID:
        return
    copied = COPIED.get(session)
    if copied is COPIED.default:
        copied = {}
        COPIED.set(session, copied)
    copied[direction, peer.bare.text, stanza.id] = None
    if len(copied) > MOST_COPIED:
        del copied[next(iter(copied))]


def _answers_copied(direction: str, stanza: Stanza, peer: JID, session: Session) -> bool:
    """Whether a message is the error that answers a copied one, between a session and a peer."""
    return stanza.type == "error" and (direction, peer.bare.text, stanza.id) in COPIED.get(session)


# -- rooms


def _note_room(session: Session, rooms: dict[str, str], stanza: Stanza, occupant: JID) -> None:
    """Joining needs the element of rooms; another nick, and leaving, do not (XEP-0045, 7.2, 7.6 and 7.14)."""
    room = occupant.bare.text
    known = room in rooms
    if stanza.type == "unavailable" and known:
        ROOMS.set(session, {name: nick for name, nick in rooms.items() if name != room})
    elif stanza.type is None and (known or (stanza.has(ns.MUC, "x") and len(rooms) < MOST_ROOMS)):
        ROOMS.set(session, {**rooms, room: occupant.resource})


def _is_occupant(peer: JID, sessions: Sequence[Session]) -> bool:
    """Whether someone is in a room that one of the sessions has joined."""
    return bool(peer.resource) and any(peer.bare.text in ROOMS.get(session) for session in sessions)


def _in_room(sessions: Sequence[Session], occupant: JID, nick: str) -> list[Session]:
    """Those that are in the room of an occupant under that nick: the others could not answer."""
    room = occupant.bare.text
    return [session for session in sessions if nick and ROOMS.get(session).get(room) == nick]


def _nick_of_first(sessions: Sequence[Session], occupant: JID) -> str:
    return ROOMS.get(sessions[0]).get(occupant.bare.text, "") if sessions else ""
