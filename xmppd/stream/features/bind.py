"""Resource binding (RFC 6120, section 7); the session request of old clients (RFC 3921) does nothing."""

from __future__ import annotations

import secrets

from xmppd.core import ns, replies
from xmppd.core.account import Account
from xmppd.core.errors import StanzaError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.module import Xep
from xmppd.core.stanza import Stanza
from xmppd.stream.addressing import check_iq
from xmppd.stream.c2s import ClientStream, State
from xmppd.stream.features import Feature
from xmppd.stream.session import ClientSession
from xmppd.xml import tree

__all__ = ["BIND", "INFORMATION", "LIMITS", "bind"]


def _offer(_: ClientStream) -> bytes:
    return f"<bind xmlns='{ns.BIND}'/><session xmlns='{ns.SESSION}'><optional/></session>".encode()


def _tell_limits(stream: ClientStream) -> bytes:
    """What is taken now, and when a silent client is asked whether it is still there."""
    services, idle = stream.services, ""
    limits = services.strangers.limits
    if stream.account is not None:
        limits, idle = services.pool.limits, f"<idle-seconds>{int(services.timeouts.idle)}</idle-seconds>"
    return (
        f"<limits xmlns='{ns.STREAM_LIMITS}'><max-bytes>{limits.stanza_bytes}</max-bytes>{idle}</limits>"
    ).encode()


def _tell(stream: ClientStream) -> bytes:
    """What modules have to say, which is no step of the negotiation."""
    assert stream.served is not None
    return stream.served.offered()


def _wants(stanza: Stanza) -> bool:
    return stanza.kind == "iq" and stanza.type == "set" and stanza.has(ns.BIND, "bind")


def _full_jid(account: Account, stanza: Stanza) -> JID:
    element = tree.child(stanza, ns.BIND, "bind")
    wanted = ""
    for part in element.elements() if element is not None else ():
        if part.name == "resource" and part.uri == ns.BIND:
            wanted = str(part)
    try:
        return account.jid.with_resource(wanted or secrets.token_urlsafe(6))
    except InvalidJID as problem:
        raise StanzaError("bad-request", f"No resource can be called that: {problem}") from None


def bind(stream: ClientStream, account: Account, jid: JID) -> ClientSession:
    """Bind a resource to a stream.

    :raises StanzaError: ``resource-constraint`` if the account has too many, ``not-allowed``.
    """
    services = stream.services
    session = ClientSession(jid, account, services.new_outbox(), services.now())
    services.keeper.bind(session)
    stream.bound(session)
    return session


def _take(stream: ClientStream, stanza: Stanza) -> None:
    account = stream.account
    assert account is not None
    stanza.attrs.pop("from", None)
    stanza.attrs.pop("to", None)
    try:
        check_iq(stanza)
        session = bind(stream, account, _full_jid(account, stanza))
    except StanzaError as problem:
        stream.write(replies.error(stanza, problem).wire)
        return
    payload = f"<bind xmlns='{ns.BIND}'><jid>{session.jid.xml}</jid></bind>".encode()
    session.send(replies.result(stanza, ns.BIND, "bind", payload))


BIND = Feature(frozenset((State.AUTHENTICATED,)), _offer, {}, _wants, _take)

LIMITS = Feature(
    frozenset((State.SECURE, State.AUTHENTICATED, State.BOUND)),
    _tell_limits,
    xeps=(Xep("0478", "0.2.0", "Stream Limits Advertisement"),),
)

INFORMATION = Feature(frozenset((State.AUTHENTICATED, State.BOUND)), _tell)
