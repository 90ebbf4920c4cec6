"""Who a client's stanza is from and to, checked and stamped before anything else sees it."""

from __future__ import annotations

from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.stanza import Stanza
from xmppd.stream.session import ClientSession

__all__ = ["address", "check_iq"]


def address(stanza: Stanza, session: ClientSession, lang: str | None) -> None:
    """Set sender and addressee (RFC 6120, sections 8.1.1, 8.1.2 and 10.3) and the stream's language (8.1.5).

    :raises StreamError: ``invalid-from``.
    :raises StanzaError: ``jid-malformed``.
    """
    attrs = stanza.attrs
    stanza.sender = session.jid
    claimed = attrs.pop("from", None)
    if claimed is not None and claimed != session.jid.text:
        _check_sender(claimed, session)
    target = attrs.pop("to", None)
    if lang is not None and "xml:lang" not in attrs:
        attrs["xml:lang"] = lang
    if target is not None:
        try:
            stanza.to = JID.parse(target)
        except InvalidJID as problem:
            raise StanzaError("jid-malformed", f"The address in 'to' is no JID: {problem}") from None
    elif stanza.kind != "presence":
        stanza.to = session.account.jid


def _check_sender(claimed: str, session: ClientSession) -> None:
    try:
        sender = JID.parse(claimed)
    except InvalidJID:
        raise StreamError("invalid-from", "The address in 'from' is no JID") from None
    if sender not in (session.jid, session.account.jid):
        raise StreamError("invalid-from", "The address in 'from' is not yours")


def check_iq(stanza: Stanza) -> None:
    """The form of an iq (RFC 6120, section 8.2.3).

    :raises StanzaError: ``bad-request``.
    """
    kind = stanza.type
    if not stanza.id:
        raise StanzaError("bad-request", "An iq needs an id")
    if kind not in ("get", "set", "result", "error"):
        raise StanzaError("bad-request", "The type of an iq is get, set, result or error")
    if kind in ("get", "set") and len(stanza.children) != 1:
        raise StanzaError("bad-request", "A request has exactly one child")
    if kind == "result" and len(stanza.children) > 1:
        raise StanzaError("bad-request", "A result has at most one child")
