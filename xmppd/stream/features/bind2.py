"""Bind 2 (XEP-0386): a resource, and all that a session starts with, in one go and without a gap."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from xmppd.core import ns
from xmppd.core.account import Account
from xmppd.core.counters import hits
from xmppd.core.errors import StanzaError, StreamError
from xmppd.core.jid import JID, InvalidJID
from xmppd.core.slots import FETCHED_UNTIL, Slot
from xmppd.stream import csi
from xmppd.stream.c2s import ClientStream
from xmppd.stream.features.sasl2_request import Request, text_of
from xmppd.stream.features.sm import enable
from xmppd.stream.services import Served
from xmppd.stream.session import ClientSession
from xmppd.stream.smacks import failed
from xmppd.xml.tree import Element

__all__ = ["bind", "offer_inline", "resource"]

_log = Logger()

#: Which client installation a session is of, where it said so.
CLIENT: Final[Slot[str]] = Slot("client", "")


# -- what can be asked for along with a resource


@dataclass(frozen=True)
class Inline:
    """What a client may ask the stream for with its ``<bind/>``.

    :ivar feature: how the offer names it.
    :ivar apply: does it for the session, and gives what stands for it in ``<bound/>``.
    """

    feature: str
    apply: Callable[[ClientStream, ClientSession, Element], bytes]


def _enable(stream: ClientStream, session: ClientSession, element: Element) -> bytes:
    """XEP-0198, section 9.1; counting begins here, before anything is sent."""
    if session.smacks is not None:
        return failed(ns.SM, "unexpected-request")
    smacks = enable(stream, session, ns.SM, element.attributes)
    session.outbox.count(stream.services.sm.first)
    return smacks.enabled()


def _active(_: ClientStream, session: ClientSession, __: Element) -> bytes:
    csi.activate(session)
    return b""


def _inactive(stream: ClientStream, session: ClientSession, _: Element) -> bytes:
    csi.deactivate(session, stream.services.csi_queue)
    return b""


#: What the stream does itself; the rest is done by modules (`xmppd.core.module.Inlined`).
_INLINE: Final[Mapping[tuple[str, str], Inline]] = {
    (ns.SM, "enable"): Inline(ns.SM, _enable),
    (ns.CSI, "active"): Inline(ns.CSI, _active),
    (ns.CSI, "inactive"): Inline(ns.CSI, _inactive),
}


def _by_module(apply: Callable[[ClientSession], None]) -> Callable[..., bytes]:
    def run(_: ClientStream, session: ClientSession, __: Element) -> bytes:
        apply(session)
        return b""

    return run


def _inline(served: Served) -> dict[tuple[str, str], Inline]:
    found = dict(_INLINE)
    for inlined in served.inlined():
        key = (inlined.namespace, inlined.name)
        found[key] = Inline(inlined.feature, _by_module(inlined.apply))
    return found


def offer_inline(stream: ClientStream) -> bytes:
    """The element inside SASL2's ``<inline/>``."""
    assert stream.served is not None
    names = sorted({inline.feature for inline in _inline(stream.served).values()})
    features = "".join(f"<feature var='{name}'/>" for name in names)
    return f"<bind xmlns='{ns.BIND2}'><inline>{features}</inline></bind>".encode()


# -- the resource


def resource(account: Account, tag: str, client: str, secret: bytes) -> JID:
    """The full JID for a client: the same each time for the same tag and client, and no hint at its id.

    :param tag: what the client wants to be seen as, or ''; one that no resource can have is left out.
    :param client: the id of the client installation, or ''.
    :param secret: of the server.
    """
    suffix = secrets.token_bytes(12)
    if client:
        named = f"resource\0{account.jid.text}\0{client}".encode()
        suffix = hmac.digest(secret, named, "sha256")[:12]
    text = base64.urlsafe_b64encode(suffix).decode()
    if tag:
        try:
            return account.jid.with_resource(f"{tag}/{text}")
        except InvalidJID:
            pass
    return account.jid.with_resource(text)


def _new_session(stream: ClientStream, account: Account, element: Element, client: str) -> ClientSession:
    assert stream.served is not None
    tag = next((text_of(part) for part in element.elements() if (part.uri, part.name) == _TAG), "")
    jid = resource(account, tag, client, stream.served.directory.secret)
    services = stream.services
    session = ClientSession(jid, account, services.new_outbox(), services.now())
    CLIENT.set(session, client)
    return session


_TAG: Final = (ns.BIND2, "tag")


def _end_earlier(account: Account, client: str) -> None:
    """A client installation has one session (section 4.2)."""
    for other in list(account.sessions):
        if client and CLIENT.get(other) == client:
            other.close(StreamError("conflict", "The same client has come back on another connection"))


async def bind(stream: ClientStream, request: Request, answer: Callable[[JID, bytes], bytes]) -> bool:
    """Bind a resource if the client asked for one, and answer.

    The archive is described as it is once the session gets what arrives: nothing falls between the two.

    :param answer: makes the whole answer of the full JID and the ``<bound/>``.
    :returns: False if there is no session and nothing was answered.
    """
    element, account, served = request.child(ns.BIND2, "bind"), stream.account, stream.served
    if element is None or account is None or served is None:
        return False
    _end_earlier(account, request.client)
    session = _new_session(stream, account, element, request.client)
    try:
        stream.services.keeper.bind(session)
    except StanzaError as problem:
        hits.told(problem.text)
        if stream.services.lines.allows(account.jid.text):
            _log.info("{stream}: no resource was bound: {problem}", stream=stream, problem=problem)
        return False
    stream.bound(session)
    session.outbox.hold()
    latest = 0 if account.mailbox is None else account.mailbox.latest
    results = _apply_all(stream, session, element, served)
    described = await _describe(served, account)
    if described:
        FETCHED_UNTIL.set(session, latest)
    bound = b"<bound xmlns='%b'>%b%b</bound>" % (ns.BIND2.encode(), results, described)
    session.outbox.release(answer(session.jid, bound) + stream.offered())
    return True


def _apply_all(stream: ClientStream, session: ClientSession, element: Element, served: Served) -> bytes:
    known = _inline(served)
    wanted = [(known.get((part.uri, part.name)), part) for part in element.elements()]
    return b"".join(inline.apply(stream, session, part) for inline, part in wanted if inline is not None)


async def _describe(served: Served, account: Account) -> bytes:
    """What modules tell of the account; a session that cannot be told is a session all the same."""
    try:
        return await served.told_when_bound(account)
    except Exception:
        _log.failure("{account} could not be described to a client", account=account)
        return b""
